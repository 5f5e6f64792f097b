"""The architectures beside torch's own: their papers' equations, exact spectra, determinants and options."""

import numpy as np
import pytest
import torch

from aelle.recurrent.antisymmetric import AntisymmetricRNN, GatedAntisymmetricRNN
from aelle.recurrent.coupled_oscillator import CoRNN
from aelle.recurrent.lipschitz import LipschitzRNN
from aelle.recurrent.long_expressive_memory import LEM
from aelle.recurrent.min_gru import MinGRU, parallel_scan, sequential_scan
from aelle.recurrent.orthogonal import ExpRNN
from aelle.spectra import lyapunov_spectrum
from tests.random_cells import F64, HIDDEN, INPUT, random_cell, random_inputs, sigma

CELLS = [AntisymmetricRNN, GatedAntisymmetricRNN, CoRNN, LipschitzRNN, ExpRNN, LEM, MinGRU]


# One step each as the papers write it, for one sequence and in numpy. State and input are vectors; W, V and b
# are cut from the cell's parameters by the layout that its docstring states.


def antisymmetric(p, x, h):
    A = p["weight_hh"] - p["weight_hh"].T - 0.2 * np.eye(HIDDEN)
    return h + 0.3 * np.tanh(A @ h + p["weight_ih"] @ x + p["bias_ih"])


def gated_antisymmetric(p, x, h):
    A = p["weight_hh"] - p["weight_hh"].T - 0.2 * np.eye(HIDDEN)
    V_h, V_z = np.split(p["weight_ih"], 2)
    b_h, b_z = np.split(p["bias_ih"], 2)
    return h + 0.3 * sigma(A @ h + V_z @ x + b_z) * np.tanh(A @ h + V_h @ x + b_h)


def coupled_oscillator(p, x, state):
    dt, gamma, eps = 0.2, 1.3, 2.1
    y, z = np.split(state, 2)
    W, calW = np.split(p["weight_hh"], 2)
    drive = W @ y + calW @ z + p["weight_ih"] @ x + p["bias_ih"]
    new_z = z + dt * np.tanh(drive) - dt * gamma * y - dt * eps * z
    return np.concatenate([y + dt * new_z, new_z])


def lipschitz(p, x, h):
    beta, gamma = 0.6, 0.1
    A, W = (
        (1 - beta) * (M + M.T) + beta * (M - M.T) - gamma * np.eye(HIDDEN)
        for M in np.split(p["weight_hh"], 2)
    )
    return h + 0.3 * A @ h + 0.3 * np.tanh(W @ h + p["weight_ih"] @ x + p["bias_ih"])


def exponential(p, x, h):
    # exp(A) by the eigenvectors of the Hermitian iA, not by the function the cell uses.
    values, vectors = np.linalg.eigh(1j * (p["weight_hh"] - p["weight_hh"].T))
    B = ((vectors * np.exp(-1j * values)) @ vectors.conj().T).real
    a = B @ h + p["weight_ih"] @ x + p["bias_ih"]
    return np.sign(a) * np.maximum(np.abs(a) + p["threshold"], 0)


def long_expressive_memory(p, x, state):
    dt = 0.7
    y, z = np.split(state, 2)
    W_1, W_2, W_z, W_y = np.split(p["weight_hh"], 4)
    V_1, V_2, V_z, V_y = np.split(p["weight_ih"], 4)
    b_1, b_2, b_z, b_y = np.split(p["bias_ih"], 4)
    dt_1 = dt * sigma(W_1 @ y + V_1 @ x + b_1)
    dt_2 = dt * sigma(W_2 @ y + V_2 @ x + b_2)
    z = (1 - dt_1) * z + dt_1 * np.tanh(W_z @ y + V_z @ x + b_z)
    y = (1 - dt_2) * y + dt_2 * np.tanh(W_y @ z + V_y @ x + b_y)
    return np.concatenate([y, z])


def minimal_gru(p, x, h):
    W_z, W_h = np.split(p["weight_ih"], 2)
    b_z, b_h = np.split(p["bias_ih"], 2)
    z = sigma(W_z @ x + b_z)
    return (1 - z) * h + z * (W_h @ x + b_h)


@pytest.mark.parametrize(
    "kind, options, equations",
    [
        (AntisymmetricRNN, {"eps": 0.3, "gamma": 0.2}, antisymmetric),
        (GatedAntisymmetricRNN, {"eps": 0.3, "gamma": 0.2}, gated_antisymmetric),
        (CoRNN, {"dt": 0.2, "gamma": 1.3, "eps": 2.1}, coupled_oscillator),
        (LipschitzRNN, {"eps": 0.3, "beta": 0.6, "gamma": 0.1}, lipschitz),
        (ExpRNN, {}, exponential),
        (LEM, {"dt": 0.7}, long_expressive_memory),
        (MinGRU, {}, minimal_gru),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_step_is_the_papers(kind, options, equations):
    cell = random_cell(kind, **options)
    parameters = {name: tensor.detach().numpy() for name, tensor in cell.named_parameters()}
    states = torch.randn(4, cell.state_size, dtype=F64, generator=torch.Generator().manual_seed(1))
    inputs = random_inputs(4, 1)[:, 0]
    expected = [equations(parameters, x.numpy(), s.numpy()) for x, s in zip(inputs, states, strict=True)]
    np.testing.assert_allclose(cell.step(inputs, states).detach().numpy(), expected, rtol=1e-12, atol=1e-13)


# Exact spectra.


def log_moduli(matrix):
    return torch.linalg.eigvals(matrix.detach()).abs().log().sort(descending=True).values


@pytest.mark.parametrize("hidden", [6, 7])
@pytest.mark.parametrize("kind, gate", [(AntisymmetricRNN, 1.0), (GatedAntisymmetricRNN, 0.5)])
def test_an_antisymmetric_network_at_rest(kind, gate, hidden):
    # At h = 0 without input J = I + ε z (W - Wᵀ - γI), with z = σ(0) = ½ where there is a gate: normal, with
    # eigenvalues 1 - εzγ ± iεzω.
    eps, gamma = 0.5, 0.3
    cell = random_cell(kind, bias=False, hidden=hidden, eps=eps, gamma=gamma)
    spectrum = lyapunov_spectrum(cell, torch.zeros(1, 1700, INPUT), warmup=1500)
    omega = torch.linalg.eigvals((cell.weight_hh - cell.weight_hh.mT).detach()).imag
    expected = 0.5 * torch.log((1 - eps * gate * gamma) ** 2 + (eps * gate * omega) ** 2)
    expected = expected.sort(descending=True).values
    torch.testing.assert_close(spectrum.exponents, expected, rtol=0, atol=1e-9)
    assert spectrum.certificate < 1e-10


@pytest.mark.parametrize("dt, eps", [(0.042, 4.7), (0.3, 9.5)])
def test_a_coupled_oscillator_without_coupling_of_velocities_loses_volume_at_a_fixed_rate(dt, eps):
    cell = random_cell(CoRNN, hidden=8, dt=dt, gamma=2.7, eps=eps)
    with torch.no_grad():
        cell.weight_hh[8:] = 0
    spectrum = lyapunov_spectrum(cell, random_inputs(3, 120), warmup=40)
    assert len(spectrum) == 16
    assert abs(float(spectrum.exponents.sum()) / 8 - np.log(abs(1 - dt * eps))) < 1e-11
    assert spectrum.certificate < 1e-9


@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_an_orthogonal_network_neither_grows_nor_shrinks_while_all_units_are_active(scale):
    cell = random_cell(ExpRNN, bias=False, scale=scale, hidden=12)
    with torch.no_grad():
        cell.threshold.abs_()
    spectrum = lyapunov_spectrum(cell, random_inputs(2, 150), warmup=50)
    torch.testing.assert_close(spectrum.exponents, torch.zeros(12, dtype=F64), rtol=0, atol=1e-12)
    weight = cell.recurrent_weight().detach()
    torch.testing.assert_close(weight @ weight.mT, torch.eye(12, dtype=F64), rtol=0, atol=1e-13)


def test_an_inactive_unit_of_an_orthogonal_network_makes_its_jacobian_singular():
    cell = random_cell(ExpRNN)
    with torch.no_grad():
        cell.threshold[2] = -1e3
    x, state = random_inputs(4, 1)[:, 0], torch.randn(4, HIDDEN, dtype=F64)
    assert (cell.log_abs_det(x, state) == -torch.inf).all()
    assert (torch.linalg.slogdet(cell.jacobian(x, state))[1] == -torch.inf).all()
    assert (cell.step(x, state)[:, 2] == 0).all()


def test_an_orthogonal_network_has_slope_one_at_zero_itself():
    # The first steps of an image are often all zero: gradients must pass there, and the Jacobian agree.
    cell = random_cell(ExpRNN, bias=False)
    with torch.no_grad():
        cell.threshold.fill_(0.01)
    x, state = torch.zeros(1, INPUT, dtype=F64), torch.zeros(1, HIDDEN, dtype=F64)
    automatic = torch.autograd.functional.jacobian(lambda s: cell.step(x, s)[0], state)[:, 0]
    torch.testing.assert_close(cell.jacobian(x, state)[0], automatic)
    torch.testing.assert_close(automatic, cell.recurrent_weight().detach())


def test_a_minimal_gru_has_the_mean_logarithms_of_what_its_gates_keep():
    cell = random_cell(MinGRU, scale=0.5)
    with torch.no_grad():  # gates so different that the frame soon turns into the axes
        cell.bias_ih[:HIDDEN] = torch.linspace(-3, 3, HIDDEN)[[3, 0, 4, 1, 2]]
    inputs = random_inputs(3, 160)
    spectrum = lyapunov_spectrum(cell, inputs, warmup=100)
    a_z = (inputs[:, 100:] @ cell.weight_ih.mT + cell.bias_ih).detach()[..., :HIDDEN]
    expected = torch.nn.functional.logsigmoid(-a_z).mean((0, 1)).sort(descending=True).values
    torch.testing.assert_close(spectrum.exponents, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("kind", [LipschitzRNN, LEM, CoRNN])
def test_at_rest_a_spectrum_is_that_of_one_jacobian(kind):
    options = {"eps": 0.3} if kind is LipschitzRNN else {}
    cell = random_cell(kind, bias=False, **options)
    spectrum = lyapunov_spectrum(cell, torch.zeros(1, 2000, INPUT), warmup=1000)
    zero = torch.zeros(1, cell.state_size, dtype=F64)
    expected = log_moduli(cell.jacobian(torch.zeros(1, INPUT, dtype=F64), zero)[0])
    if float(expected[0]) < 0:  # otherwise the rest state is unstable, but h = 0 is kept exactly
        torch.testing.assert_close(cell.trajectory(torch.zeros(1, 5, INPUT, dtype=F64), zero)[0, -1], zero[0])
    # Complex pairs turn inside their plane: their common value is met only on average.
    torch.testing.assert_close(spectrum.exponents, expected, rtol=0, atol=5e-3)
    assert abs(float(spectrum.exponents.sum() - expected.sum())) < 1e-9


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_spectra_of_driven_networks_are_certified(kind, bias):
    cell = random_cell(kind, bias, hidden=10)
    if kind is ExpRNN:
        with torch.no_grad():
            cell.threshold.abs_()
    spectrum = lyapunov_spectrum(cell, random_inputs(3, 80), warmup=30)
    assert len(spectrum) == cell.state_size
    assert spectrum.exponents.isfinite().all()
    assert spectrum.certificate < 1e-9
    hidden = lyapunov_spectrum(cell, random_inputs(3, 80), warmup=30, state="hidden")
    assert len(hidden) == 10


# Determinants, scans and options.


@pytest.mark.parametrize("population", [(), (2,)])
@pytest.mark.parametrize("kind", [CoRNN, LEM])
def test_determinants_of_many_steps_taken_in_parts(kind, population):
    cell = kind(INPUT, HIDDEN, population=population, dtype=F64)
    cell.reset_parameters(1.5, torch.Generator().manual_seed(2))
    x = torch.randn(*population, 150, INPUT, dtype=F64)
    state = torch.randn(*population, 150, cell.state_size, dtype=F64)
    expected = torch.linalg.slogdet(cell.jacobian(x, state))[1]
    torch.testing.assert_close(cell.log_abs_det(x, state), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", [LEM, MinGRU])
def test_determinants_stay_exact_where_gates_saturate(kind):
    # 1 - σ(100) is 0 in floating-point numbers; its logarithm is -100.
    cell = random_cell(kind)
    with torch.no_grad():
        cell.bias_ih[:HIDDEN] = 100.0
    x, state = torch.zeros(1, INPUT, dtype=F64), torch.zeros(1, cell.state_size, dtype=F64)
    closed = cell.log_abs_det(x, state).detach()
    assert closed.isfinite().all()
    assert float(closed) < -90 * HIDDEN
    assert (cell.jacobian(x, state).diagonal(dim1=-2, dim2=-1)[..., -HIDDEN:] > 0).all()


@pytest.mark.parametrize("steps", [1, 2, 7, 8, 33])
@pytest.mark.parametrize("scan", [parallel_scan, sequential_scan])
def test_both_scans_equal_the_recurrence(scan, steps):
    generator = torch.Generator().manual_seed(steps)
    kept = torch.rand(2, steps, 4, dtype=F64, generator=generator)
    kept[..., 0] = 1e-300  # products of what is kept underflow, and may
    added = torch.randn(2, steps, 4, dtype=F64, generator=generator)
    states = [torch.randn(2, 4, dtype=F64, generator=generator)]
    for t in range(steps):
        states.append(kept[:, t] * states[-1] + added[:, t])
    expected = torch.stack(states[1:], dim=1)
    torch.testing.assert_close(scan(kept, added, states[0]), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", CELLS)
def test_initialisation_is_uniform_within_the_scale_and_bias_free_where_asked(kind):
    for scale in (0.05, 2.0):
        cell = random_cell(kind, scale=scale, hidden=40)
        for name, parameter in cell.state_dict().items():
            bound = 0.01 if name == "threshold" else scale
            assert float(parameter.abs().max()) <= bound
            if parameter.dim() == 2:  # at least 120 draws
                assert float(parameter.abs().max()) > 0.9 * bound
                assert abs(float(parameter.std()) - bound / 3**0.5) < 0.1 * bound
    without = {name for name, _ in random_cell(kind, bias=False).named_parameters()}
    assert not any("bias" in name for name in without)


def test_options_are_checked_and_kept():
    assert LEM(2, 3).options == {"dt": 1.0}
    assert LipschitzRNN(2, 3, beta=0.9).options == {"eps": 0.03, "beta": 0.9, "gamma": 0.001}
    with pytest.raises(ValueError, match="architecture 'asrnn' has no option 'epss'; did you mean 'eps'"):
        AntisymmetricRNN(2, 3, epss=0.1)
    with pytest.raises(ValueError, match="architecture 'mingru' has no option 'dt'; known: none"):
        MinGRU(2, 3, dt=0.1)
    with pytest.raises(ValueError, match="option 'dt' of architecture 'lem' must be a number, got 'x'"):
        LEM(2, 3, dt="x")
    stacked = CoRNN.stack([CoRNN(2, 3, dt=0.5), CoRNN(2, 3, dt=0.5)])
    assert stacked.options == {"dt": 0.5, "gamma": 2.7, "eps": 4.7}
