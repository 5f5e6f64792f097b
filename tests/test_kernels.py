"""The compiled loops against torch's operations and against explicit products, on every kind of processor."""

import pytest
import torch
from torch import nn

import aelle
from aelle.kernels import library
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
