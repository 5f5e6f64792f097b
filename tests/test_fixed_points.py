"""Fixed points against closed forms, an independent solver, and automatic differentiation."""

import numpy as np
import pytest
import torch
from scipy.optimize import fsolve
from torch import nn

from aelle.spectra import DrivenMap, fixed_points, lyapunov_spectrum
from tests.systems import henon

F64 = torch.float64


def tanh_network(gain=3.0, units=2, seed=0):
    torch.manual_seed(seed)
    net = nn.RNN(1, units, batch_first=True).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(gain)
    return net


def test_a_linear_map_has_one_fixed_point_with_the_eigenvalues_of_its_matrix():
    matrix = torch.tensor([[0.5, 2.0], [-0.1, 1.3]], dtype=F64)
    shift = torch.tensor([1.0, -2.0], dtype=F64)
    found = fixed_points(DrivenMap(lambda x, s: matrix @ s + shift, 2))
    expected = torch.linalg.solve(torch.eye(2, dtype=F64) - matrix, shift)
    assert len(found) == 1
    assert found.fixed.all()
    assert found.lost == 0
    torch.testing.assert_close(found.points[0], expected, rtol=1e-12, atol=1e-12)
    moduli = torch.linalg.eigvals(matrix).abs().sort(descending=True).values
    torch.testing.assert_close(found.eigenvalues[0].abs(), moduli, rtol=1e-12, atol=0)


def test_the_two_fixed_points_of_henon():
    # a x² + (1 - b) x - 1 = 0, y = b x.
    a, b = 1.4, 0.3
    found = fixed_points(henon(a, b))
    roots = np.sort(np.roots([a, 1 - b, -1]))
    order = found.points[:, 0].argsort()
    np.testing.assert_allclose(found.points[order, 0], roots, rtol=1e-12)
    np.testing.assert_allclose(found.points[order, 1], b * roots, rtol=1e-12)
    assert found.stability == ["saddle", "saddle"]
    for x, values in zip(roots, found.eigenvalues[order], strict=True):
        expected = np.linalg.eigvals([[-2 * a * x, 1], [b, 0]])
        np.testing.assert_allclose(np.sort(values.real), np.sort(expected), rtol=1e-11)


@pytest.mark.parametrize("seed", range(6))
def test_every_fixed_point_of_a_two_unit_network_is_found(seed):
    # Against scipy's hybrid method from a dense grid, on the network's own formula.
    net = tanh_network(4.0, seed=seed)
    weight, drive = net.weight_hh_l0.detach().numpy(), 0.3 * net.weight_ih_l0.detach().numpy()[:, 0]
    bias = (net.bias_ih_l0 + net.bias_hh_l0).detach().numpy()
    excess = lambda s: np.tanh(weight @ s + drive + bias) - s  # noqa: E731
    roots = []
    for start in np.stack(np.meshgrid(*2 * [np.linspace(-1.05, 1.05, 21)]), -1).reshape(-1, 2):
        root, _, success, _ = fsolve(excess, start, full_output=True, xtol=1e-13)
        new = all(np.abs(root - other).max() > 1e-6 for other in roots)
        if success == 1 and new and np.abs(excess(root)).max() < 1e-11:
            roots.append(root)
    found = fixed_points(net, torch.tensor([0.3], dtype=F64))
    points = found.points[found.fixed].numpy()
    assert len(points) == len(roots)
    for root in roots:
        near = np.abs(points - root).max(-1).argmin()
        np.testing.assert_allclose(points[near], root, atol=1e-9)
        slope = (1 - np.tanh(weight @ root + drive + bias) ** 2)[:, None] * weight
        moduli = np.sort(np.abs(np.linalg.eigvals(slope)))[::-1]
        np.testing.assert_allclose(found.eigenvalues[found.fixed][near].abs(), moduli, rtol=1e-6)
        stable = "stable" if moduli[0] < 1 else "saddle" if moduli[1] < 1 else "unstable"
        assert np.array(found.stability)[found.fixed.numpy()][near] == stable


@pytest.mark.parametrize("make, layers", [(nn.GRU, 1), (nn.LSTM, 1), (nn.LSTM, 2), (nn.RNN, 2)])
def test_points_of_gated_networks_stay_where_they_are_and_have_the_eigenvalues_of_autograd(make, layers):
    torch.manual_seed(3)
    net = make(2, 4, num_layers=layers, batch_first=True).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(5)
    x = torch.tensor([0.4, -1.0], dtype=F64)
    found = fixed_points(net, x, inputs=torch.randn(4, 50, 2), count=60)
    assert found.fixed.any()
    hidden, parts = 4, 2 if make is nn.LSTM else 1

    def step(flat):
        by_layer = flat.view(layers, 1, parts * hidden)
        state = by_layer.split(hidden, -1) if parts == 2 else by_layer
        after = net(x.view(1, 1, 2), tuple(s.contiguous() for s in state) if parts == 2 else state)[1]
        return (torch.cat(after, -1) if parts == 2 else after).reshape(-1)

    for point, values in zip(found.points[found.fixed], found.eigenvalues[found.fixed], strict=True):
        assert (step(point) - point).abs().max() < 1e-12
        jacobian = torch.autograd.functional.jacobian(step, point)
        expected = torch.linalg.eigvals(jacobian).abs().sort(descending=True).values
        torch.testing.assert_close(values.abs(), expected, rtol=1e-6, atol=1e-9)


def test_a_ghost_is_slow_and_not_fixed():
    # s' = s + ε + s²: roots ±√-ε for ε < 0; for ε > 0 none, and the speed is least at 0, where it is ε²/2.
    ghost = fixed_points(
        DrivenMap(lambda x, s: s + 1e-3 + s**2, 1), starts=torch.linspace(-1, 1, 9).view(-1, 1)
    )
    assert len(ghost) == 1
    assert not ghost.fixed.any()
    assert abs(float(ghost.points[0, 0])) < 1e-6
    assert float(ghost.speed[0]) == pytest.approx(5e-7, rel=1e-9)
    assert ghost.to_frame()["kind"].tolist() == ["slow"]
    assert not fixed_points(DrivenMap(lambda x, s: s + 1e-9 + s**2, 1)).fixed.any()
    pair = fixed_points(
        DrivenMap(lambda x, s: s - 1e-4 + s**2, 1), starts=torch.linspace(-1, 1, 9).view(-1, 1)
    )
    torch.testing.assert_close(pair.points[:, 0].sort().values, torch.tensor([-0.01, 0.01], dtype=F64))
    assert sorted(pair.stability) == ["stable", "unstable"]


def test_where_there_is_no_point_none_is_given():
    found = fixed_points(DrivenMap(lambda x, s: s + 1, 1))
    assert len(found) == 0
    assert found.lost == 256
    assert found.to_frame().empty
    assert "none" in repr(found)
    # A minimum of the speed that is not slow: r = 1 + s².
    assert len(fixed_points(DrivenMap(lambda x, s: s + 1 + s**2, 1))) == 0


def test_a_marginal_point_is_called_so():
    quarter_turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=F64)
    assert fixed_points(DrivenMap(lambda x, s: quarter_turn @ s, 2)).stability == ["marginal"]
    # A threefold root, where Newton's method crawls: all starts still end at one point.
    pitchfork = fixed_points(DrivenMap(lambda x, s: s - s**3, 1))
    assert pitchfork.stability == ["marginal"]
    assert abs(float(pitchfork.points[0, 0])) < 1e-4


def test_exponents_of_a_stable_point_are_the_spectrum_there():
    net = tanh_network(0.8, units=5)
    x = torch.tensor([0.3], dtype=F64)
    found = fixed_points(net, x)
    assert found.stability == ["stable"]
    spectrum = lyapunov_spectrum(net, x.expand(1, 800, 1), warmup=400)
    assert float(found.exponents.sum() - spectrum.exponents.sum()) == pytest.approx(0, abs=1e-9)
    torch.testing.assert_close(found.exponents[0], spectrum.exponents, rtol=0, atol=5e-3)


def test_nothing_of_the_network_changes_and_equal_calls_agree():
    net = tanh_network()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    random = torch.get_rng_state()
    first, second = fixed_points(net), fixed_points(net)
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(first.points, second.points)


class Leaky(nn.GRUCell):
    def forward(self, x, h=None):
        h = x.new_zeros(len(x), self.hidden_size) if h is None else h
        return 0.5 * h + 0.5 * super().forward(x, h)


@pytest.mark.parametrize("x", [None, torch.tensor([0.4, -1.0], dtype=F64)])
def test_a_subclass_is_searched_as_it_runs(x):
    # (h + G(h)) / 2 has the fixed points of G, and half its eigenvalues plus a half.
    torch.manual_seed(0)
    leaky, plain = Leaky(2, 4), nn.GRUCell(2, 4)
    plain.load_state_dict(leaky.state_dict())
    found, expected = fixed_points(leaky, x), fixed_points(plain, x)
    torch.testing.assert_close(found.points, expected.points, rtol=0, atol=1e-9)
    halved = (0.5 + 0.5 * expected.eigenvalues).abs().sort(descending=True).values
    torch.testing.assert_close(found.eigenvalues.abs(), halved, rtol=0, atol=1e-9)


NET = nn.LSTM(3, 4, batch_first=True)
BAD = [
    (lambda: fixed_points(NET, torch.zeros(2)), r"input must have shape \(3,\)"),
    (lambda: fixed_points(NET, torch.zeros(1, 3)), r"input must have shape \(3,\)"),
    (lambda: fixed_points(NET, torch.full((3,), torch.nan)), "NaN"),
    (lambda: fixed_points(NET, starts=torch.zeros(4)), r"starts must have shape \(m, 8\)"),
    (lambda: fixed_points(NET, starts=torch.zeros(2, 8) / 0), "NaN"),
    (lambda: fixed_points(NET, count=0), "count must be"),
    (lambda: fixed_points(NET, iterations=0), "iterations must be"),
    (lambda: fixed_points(NET, noise=-1.0), "noise must not be negative"),
]


@pytest.mark.parametrize("call, sentence", BAD)
def test_one_clear_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence) as raised:
        call()
    assert "\n" not in str(raised.value)
