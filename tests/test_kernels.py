"""The compiled loops against torch's operations and against explicit products, on every kind of processor."""

import pytest
import torch
from torch import nn

import aelle
from aelle.kernels import library
from aelle.lyapunov import frame_run
from aelle.lyapunov.cell_tangent import CellTangent
from aelle.lyapunov.factorise import Workspace, split
from aelle.recurrent.registry import ARCHITECTURES

F64 = torch.float64
pytestmark = pytest.mark.skipif(library.library() is None, reason="the compiled loops were not built here")


@pytest.fixture(params=["plain", "avx2", "avx512"])
def processor(request):
    """The loops for each kind of processor; a kind that this one lacks runs the best that it has."""
    library.library().aelle_limit(["plain", "avx2", "avx512"].index(request.param))
    yield request.param
    library.library().aelle_limit(2)


def product_of(matrices):
    """J_T … J_1 of (rows, steps, n, n)."""
    whole = torch.eye(matrices.shape[-1], dtype=F64).expand(len(matrices), -1, -1)
    for step in matrices.unbind(1):
        whole = step @ whole
    return whole


@pytest.mark.parametrize("n", [1, 2, 7, 8, 16, 33, 64])
@pytest.mark.parametrize("k", [1, 3, 6, 9, 64])
def test_a_split_frame_and_its_logarithms_make_up_the_product(processor, n, k):
    k = min(n, k)
    torch.manual_seed(n * 100 + k)
    matrices = torch.randn(2, 4, n, n, dtype=F64) / n**0.5
    frame = torch.linalg.qr(torch.randn(n, k, dtype=F64))[0].mT.repeat(2, 1, 1)
    out = torch.empty_like(frame)
    logs = library.CompiledJacobians.dense(matrices).run(0, 2, 2, frame, out).sum(0)
    whole = (product_of(matrices) @ frame.mT).mT
    # whole = out times an upper triangle whose diagonal is exp(logs): ln diag R follows from both alike.
    expected = torch.linalg.qr(whole.mT)[1].diagonal(dim1=-2, dim2=-1).abs().log()
    torch.testing.assert_close(logs + library.log_diagonal_of_r(out), expected, rtol=0, atol=1e-9)
    assert out.abs().amax() <= 1 + 1e-12, "pivoting keeps the frame below one"


def test_splitting_is_that_of_a_pivoted_lu(processor):
    torch.manual_seed(0)
    pushed = torch.randn(3, 20, 20, dtype=F64)
    out, expected = torch.empty_like(pushed), torch.empty_like(pushed)
    identity = torch.eye(20, dtype=F64).expand(3, 1, 20, 20)
    logs = library.CompiledJacobians.dense(identity).run(0, 1, 1, pushed, out)
    plain = split(pushed.clone(), Workspace.of(pushed), expected)
    torch.testing.assert_close(logs[0], plain, rtol=0, atol=1e-12)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rank", [0, 1, 5, 11])
def test_singular_products_give_minus_infinity_as_often_as_their_rank_is_short(processor, rank):
    torch.manual_seed(rank)
    n = 12
    matrix = torch.zeros(n, n, dtype=F64)
    matrix[:rank] = torch.randint(
        -3, 4, (rank, n), dtype=F64
    )  # small whole numbers: elimination is nearly exact
    matrix[:rank, :rank] += 10 * torch.eye(rank, dtype=F64)
    frame, out = torch.eye(n, dtype=F64).unsqueeze(0), torch.empty(1, n, n, dtype=F64)
    logs = library.CompiledJacobians.dense(matrix.expand(1, 1, n, n)).run(0, 1, 1, frame, out)
    assert int(logs.isinf().sum()) == n - rank
    assert out.isfinite().all()


def test_numbers_that_are_not_finite_come_out_as_such(processor):
    for strange in (float("nan"), float("inf")):
        matrix = torch.eye(9, dtype=F64).repeat(1, 1, 1, 1)
        matrix[0, 0, 4, 3] = strange
        frame, out = torch.randn(1, 9, 9, dtype=F64), torch.empty(1, 9, 9, dtype=F64)
        logs = library.CompiledJacobians.dense(matrix).run(0, 1, 1, frame, out)
        assert not (logs.isfinite().all() and out.isfinite().all())


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
@pytest.mark.parametrize("size", [3, 13])
def test_vectors_are_pulled_back_through_transposed_jacobians(processor, name, size):
    torch.manual_seed(size)
    cell = ARCHITECTURES[name](2, size, dtype=F64)
    inputs = torch.randn(3, 12, 2, dtype=F64)
    with torch.no_grad():
        segment = CellTangent(cell).segment(inputs, cell.initial_state(3), 12, cell.state_size, None)
        jacobians = segment.compiled
        if jacobians is None:
            pytest.skip("no tangent terms: its Jacobians are explicit")
        vectors, lags = torch.randn(3, 4, cell.state_size, dtype=F64), [0, 1, 5, 12]
        found = jacobians.pull(vectors, 12, lags)
        expected, pulled = [], vectors
        for lag in range(13):
            if lag in lags:
                expected.append(pulled.norm(dim=-1).log())
            if lag < 12:
                pulled = pulled @ cell.jacobian(inputs[:, 11 - lag], segment.states[:, 11 - lag])
    torch.testing.assert_close(found, torch.stack(expected, dim=1), rtol=0, atol=1e-10)


def test_pulling_back_neither_overflows_nor_underflows(processor):
    for factor in (1e-30, 1e30):
        matrices = (factor * torch.eye(5, dtype=F64)).expand(1, 40, 5, 5)
        vectors = torch.ones(1, 1, 5, dtype=F64)
        found = library.CompiledJacobians.dense(matrices).pull(vectors, 40, [0, 40])[0, :, 0]
        growth = torch.tensor(factor, dtype=F64).log() * 40
        torch.testing.assert_close(found[1] - found[0], growth, rtol=1e-12, atol=0)


@pytest.mark.parametrize("size", [1, 5, 32])
def test_an_lstms_trajectory_is_that_of_its_steps(processor, size):
    torch.manual_seed(size)
    cell = ARCHITECTURES["lstm"](2, size, dtype=F64)
    inputs, state = torch.randn(3, 10, 2, dtype=F64), torch.randn(3, 2 * size, dtype=F64)
    with torch.no_grad():
        states, expected = cell.trajectory(inputs, state), [state]
        for x in inputs.unbind(1):
            expected.append(cell.step(x, expected[-1]))
    torch.testing.assert_close(states, torch.stack(expected, dim=1), rtol=0, atol=1e-14)


@pytest.mark.parametrize("size", [1, 5, 16, 33])
@pytest.mark.parametrize("scale", [0.3, 10.0, 60.0])
@pytest.mark.parametrize("hidden_only", [False, True])
def test_an_lstms_gains_are_those_of_its_gates_also_where_they_saturate(processor, size, scale, hidden_only):
    torch.manual_seed(size)
    cell = ARCHITECTURES["lstm"](2, size, dtype=F64)
    inputs = scale * torch.randn(3, 12, 2, dtype=F64)
    with torch.no_grad():
        cell.weight_ih.mul_(2)
        states, found = cell.linearised_trajectory(inputs, cell.initial_state(3), hidden_only)
        expected = cell.tangent_terms(inputs.flatten(0, 1), states[:, :-1].flatten(0, 1), hidden_only)
    near = 1e-12 if scale < 50 else 1e-9  # c' is then a small difference of large numbers
    for one, other in zip(found.gains, expected.gains, strict=True):
        torch.testing.assert_close(one, other, rtol=near, atol=1e-300)
    for name in ("diagonal", "shear", "log_abs_det"):
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=near, atol=1e-300)


def test_an_lstm_whose_gates_are_far_out_goes_by_torch(processor):
    torch.manual_seed(0)
    gates, state = torch.randn(2, 5, 12, dtype=F64), torch.zeros(2, 6, dtype=F64)
    weight = torch.randn(12, 3, dtype=F64)
    assert library.lstm_trajectory(gates, state, weight, False) is not None
    for far in (500.0, -500.0, float("nan"), float("inf")):
        there = gates.clone()
        there[1, 3, 7] = far
        assert library.lstm_trajectory(there, state, weight, False) is None
    torch.manual_seed(0)
    cell = ARCHITECTURES["lstm"](2, 3, dtype=F64)
    inputs = 2000 * torch.randn(2, 6, 2, dtype=F64)
    with torch.no_grad():
        states, expected = cell.trajectory(inputs, cell.initial_state(2)), [cell.initial_state(2)]
        for x in inputs.unbind(1):
            expected.append(cell.step(x, expected[-1]))
    torch.testing.assert_close(states, torch.stack(expected, dim=1), rtol=0, atol=1e-14)


@pytest.mark.parametrize("n", [1, 3, 8, 21, 64])
def test_a_determinant_is_that_of_lapack(processor, n):
    torch.manual_seed(n)
    matrix = torch.randn(n, n, dtype=F64)
    torch.testing.assert_close(
        library.log_abs_det(matrix), torch.linalg.slogdet(matrix)[1], rtol=1e-12, atol=1e-12
    )
    matrix[-1] = 0.0
    assert library.log_abs_det(matrix) == -torch.inf


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
@pytest.mark.parametrize("size", [1, 6, 17])
def test_determinants_of_steps_are_those_of_their_jacobians(processor, name, size):
    torch.manual_seed(size)
    cell = ARCHITECTURES[name](2, size, dtype=F64)
    inputs = torch.randn(3, 9, 2, dtype=F64)
    with torch.no_grad():
        segment = CellTangent(cell).segment(inputs, cell.initial_state(3), 9, cell.state_size, None)
        if segment.compiled is None:
            pytest.skip("no tangent terms: its Jacobians are explicit")
        jacobians = [cell.jacobian(inputs[:, t], segment.states[:, t]) for t in range(9)]
    expected = torch.linalg.slogdet(torch.stack(jacobians, dim=1))[1]
    found = segment.compiled.log_abs_dets(2, 5)
    torch.testing.assert_close(found, expected[:, 2:7], rtol=1e-9, atol=1e-9)


def scaled(module, scale):
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(scale)
    return module


WAYS = {
    "an LSTM": (nn.LSTM, 1.0, {}),
    "an LSTM, hidden state": (nn.LSTM, 1.0, {"state": "hidden"}),
    "a saturated LSTM": (nn.LSTM, 12.0, {}),
    "few exponents": (nn.LSTM, 2.0, {"k": 3}),
    "one exponent": (nn.GRU, 1.0, {"k": 1}),
    "a GRU without a determinant": (nn.GRU, 3.0, {}),
    "an interval that is given": (nn.LSTM, 1.0, {"qr_interval": 4}),
    "no warm-up": (nn.GRU, 1.0, {"warmup": 0}),
    "a chaotic network": (nn.RNN, 4.0, {}),
    "two layers": (lambda *a, **b: nn.LSTM(*a, num_layers=2, **b), 1.0, {}),
    "units that die": (lambda *a, **b: nn.RNN(*a, nonlinearity="relu", **b), 1.5, {}),
}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("shape", [(1, 40), (3, 90), (2, 400)])
def test_a_run_in_one_call_is_the_run_interval_by_interval(name, shape, processor, monkeypatch):
    make, scale, settings = WAYS[name]
    torch.manual_seed(1)
    module, inputs = scaled(make(3, 20, batch_first=True), scale), torch.randn(*shape, 3)
    at_once = aelle.lyapunov_spectrum(module, inputs, **settings)
    monkeypatch.setattr(frame_run, "compiled_jacobians", lambda chunk, frame: None)
    one_by_one = aelle.lyapunov_spectrum(module, inputs, **settings)
    near = 10 * one_by_one.rounding_error.nan_to_num(0.0, 0.0) + 1e-9
    finite = one_by_one.exponents.isfinite()
    assert torch.equal(at_once.exponents.isfinite(), finite)
    assert bool(((at_once.exponents - one_by_one.exponents)[finite].abs() <= near[finite]).all())
    assert at_once.qr_interval == pytest.approx(one_by_one.qr_interval, abs=2)
    assert at_once.trusted == one_by_one.trusted
    assert (at_once.certificate is None) == (one_by_one.certificate is None)
    if at_once.certificate is not None:
        assert at_once.certificate < 1e-6
        assert torch.equal(at_once.growth.audited_steps > 0, one_by_one.growth.audited_steps > 0)
    ratio = at_once.rounding_error[finite].log() - one_by_one.rounding_error[finite].log()
    assert ratio.numel() == 0 or ratio.abs().median() < 2.0
    torch.testing.assert_close(at_once.block_steps, one_by_one.block_steps)
    torch.testing.assert_close(at_once.finite_time, one_by_one.finite_time, rtol=0, atol=1e-5)


def test_a_run_goes_on_as_if_it_had_not_stopped(processor):
    torch.manual_seed(0)
    module, inputs = nn.LSTM(3, 12, batch_first=True), torch.randn(2, 400, 3)
    whole = aelle.lyapunov_spectrum(module, inputs, warmup=40)
    parts = aelle.lyapunov_spectrum(module, inputs[:, :150], warmup=40).continue_(inputs[:, 150:])
    torch.testing.assert_close(parts.exponents, whole.exponents, rtol=0, atol=1e-8)


@pytest.mark.parametrize("make", [nn.RNN, nn.GRU, nn.LSTM])
@pytest.mark.parametrize("settings", [{}, {"k": 3}, {"state": "hidden"}])
def test_a_machine_without_the_loops_gives_the_same_spectrum(make, settings, monkeypatch):
    torch.manual_seed(0)
    module, inputs = make(3, 12, batch_first=True), torch.randn(2, 120, 3)
    with_loops = aelle.lyapunov_spectrum(module, inputs, **settings)
    monkeypatch.setattr(library, "library", lambda: None)
    without = aelle.lyapunov_spectrum(module, inputs, **settings)
    torch.testing.assert_close(with_loops.exponents, without.exponents, rtol=0, atol=1e-7)
    torch.testing.assert_close(with_loops.standard_error, without.standard_error, rtol=1e-3, atol=1e-9)


def test_missing_loops_are_said_once(monkeypatch):
    fresh = library.library.__wrapped__
    monkeypatch.setattr(library.sysconfig, "get_platform", lambda: "no-such-machine")
    with pytest.warns(UserWarning, match="compiled loops are missing"):
        assert fresh() is None
    monkeypatch.setenv("AELLE_KERNELS", "0")
    assert fresh() is None, "asked for, so that nothing is said"


def test_loops_left_by_another_version_are_not_called(monkeypatch):
    monkeypatch.setattr(library, "INTERFACE", library.INTERFACE + 1)
    with pytest.warns(UserWarning, match="compiled loops are of another version"):
        assert library.library.__wrapped__() is None
