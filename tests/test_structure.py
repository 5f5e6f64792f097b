"""Diagonal and block-diagonal Jacobians: O(n) per step, equal to the dense answer, and refused where they are false."""

import math

import mpmath
import pytest
import torch

from aelle.lyapunov.benettin import measure
from aelle.lyapunov.block_run import BlockTangent
from aelle.lyapunov.block_tangent import with_structure
from aelle.lyapunov.driven_map import DrivenMapTangent
from aelle.lyapunov.growth import Position
from aelle.lyapunov.structure import BlockDiagonal, DiagonalPlusLowRank, StructureError
from aelle.recurrent.cell import Cell, UnitJacobians
from aelle.recurrent.min_gru import MinGRU
from aelle.recurrent.network import Network
from aelle.spectra import DrivenMap, covariant_lyapunov_vectors, lyapunov_spectra, lyapunov_spectrum
from aelle.testing import check_cell

F64 = torch.float64
N = 18  # below 17 nothing is looked for: dense factorisations cost nothing there
RATES = torch.linspace(-6, -0.2, N, dtype=F64)[torch.randperm(N, generator=torch.Generator().manual_seed(0))]
ANGLES, SIZES = torch.linspace(0.3, 2.8, N // 2, dtype=F64), torch.logspace(-1.5, -0.05, N // 2, dtype=F64)


def drive(batch=3, time=160, size=2, seed=0):
    return torch.randn(batch, time, size, dtype=F64, generator=torch.Generator().manual_seed(seed))


def diagonal_step(x, state):
    """Independent saturating units whose rates the input changes."""
    return torch.tanh(torch.exp(RATES + 0.1 * x.sum(-1, keepdim=True)) * state) + 0.01 * x.sum(
        -1, keepdim=True
    )


def rotate(x, state, by_parts=False):
    """Damped rotations, each turned a little further by how large it is."""
    pairs = state.unflatten(-1, (2, -1)).mT if by_parts else state.unflatten(-1, (-1, 2))
    angle = ANGLES + 0.1 * pairs.square().sum(-1)
    c, s = SIZES * angle.cos(), SIZES * angle.sin()
    re, im = pairs.unbind(-1)
    turned = torch.stack([c * re - s * im + x[..., :1], s * re + c * im + x[..., 1:2]], dim=-1)
    return (turned.mT if by_parts else turned).flatten(-2)


def logs_of_one_run(step, inputs, warmup):
    """Plain loop on automatic Jacobians, one sequence at a time: mean ln|entry| of each unit over all sequences."""
    found = []
    for sequence in inputs:
        state = torch.zeros(N, dtype=F64)
        for t, x in enumerate(sequence):
            jacobian = torch.autograd.functional.jacobian(lambda s, x=x: step(x, s), state)
            state = step(x, state)
            if t >= warmup:
                found.append(jacobian.diagonal().abs().log())
    return torch.stack(found).mean(0).sort(descending=True).values


@pytest.mark.parametrize("structure", ["auto", "diagonal"])
def test_a_diagonal_map_has_the_mean_logarithms_of_its_entries(structure):
    spectrum = lyapunov_spectrum(DrivenMap(diagonal_step, N, structure=structure), drive(), warmup=60)
    expected = logs_of_one_run(diagonal_step, drive(), 60)
    torch.testing.assert_close(spectrum.exponents, expected, rtol=0, atol=1e-12)
    assert spectrum.trusted == N
    assert spectrum.certificate < 1e-12


def dense_and_structured(step, **options):
    dense = lyapunov_spectrum(DrivenMap(step, N, structure="dense"), drive(), **options)
    return dense, lyapunov_spectrum(DrivenMap(step, N), drive(), **options)


@pytest.mark.parametrize("step", [diagonal_step, rotate, lambda x, s: rotate(x, s, by_parts=True)])
def test_everything_that_a_spectrum_says_equals_the_dense_answer(step):
    # Rates so different that the dense frame has turned into the axes by the end of the warm-up.
    dense, structured = dense_and_structured(step, warmup=120)
    tolerance = {"rtol": 0, "atol": 1e-9} if step is diagonal_step else {"rtol": 0, "atol": 0.05}
    torch.testing.assert_close(structured.exponents, dense.exponents, **tolerance)
    assert structured.trusted == dense.trusted
    assert structured.steps == dense.steps
    assert structured.sequences == dense.sequences
    assert structured.converged == dense.converged
    assert structured.finite_time.shape == dense.finite_time.shape
    assert abs(float(structured.exponents.sum() - dense.exponents.sum())) < 1e-10
    assert abs(structured.kaplan_yorke_dimension - dense.kaplan_yorke_dimension) < 1e-6
    assert structured.certificate < 1e-10
    if step is diagonal_step:
        torch.testing.assert_close(structured.standard_error, dense.standard_error, **tolerance)
        torch.testing.assert_close(structured.finite_time, dense.finite_time, **tolerance)
        torch.testing.assert_close(structured.temporal_std, dense.temporal_std, rtol=0, atol=1e-8)


def test_blocks_equal_the_dense_loop_started_in_the_planes_of_the_blocks():
    inputs, structure = drive(), BlockDiagonal(2, by_parts=True)
    tangent = DrivenMapTangent(
        DrivenMap(lambda x, s: rotate(x, s, by_parts=True), N, structure="dense"), 2, F64
    )
    blocks = with_structure(
        DrivenMapTangent(DrivenMap(lambda x, s: rotate(x, s, by_parts=True), N, structure=structure), 2, F64),
        N,
    )
    assert isinstance(blocks, BlockTangent)
    small = torch.eye(2, dtype=F64).expand(3, N // 2, 2, 2)
    frame = structure.dense(small).mT
    # Rows of the dense frame are directions: those of one plane side by side.
    order = structure.gather(torch.arange(N)).flatten()
    states = torch.zeros(3, N, dtype=F64)
    dense = measure(
        [tangent], inputs, Position([states], [frame[:, order]]), warmup=20, blocks=[70, 70], interval=1
    )
    found = measure([blocks], inputs, Position([states], [small]), warmup=20, blocks=[70, 70])
    torch.testing.assert_close(found[0][0].logs, dense[0][0].logs, rtol=0, atol=1e-9)
    torch.testing.assert_close(found[1].states[0], dense[1].states[0])


def test_complex_diagonals_have_exponents_in_equal_pairs():
    log_modulus = torch.linspace(-0.1, -2.5, N // 2, dtype=F64)
    entries = torch.polar(log_modulus.exp(), ANGLES)

    def step(x, state):
        return torch.view_as_real(
            torch.view_as_complex(state.unflatten(-1, (-1, 2))) * entries + x[..., :1]
        ).flatten(-2)

    spectrum = lyapunov_spectrum(DrivenMap(step, N, structure=BlockDiagonal(2)), drive(time=80))
    torch.testing.assert_close(spectrum.exponents, log_modulus.repeat_interleave(2), rtol=0, atol=1e-12)
    torch.testing.assert_close(
        lyapunov_spectrum(DrivenMap(step, N), drive(time=80)).exponents,
        spectrum.exponents,
        rtol=0,
        atol=1e-13,
    )


def test_larger_blocks_given_and_automatic_equal_the_dense_answer():
    weights = 0.4 * torch.randn(2, 6, 6, dtype=F64, generator=torch.Generator().manual_seed(3))

    def step(x, state):
        return torch.tanh(
            (weights @ state.unflatten(-1, (-1, 6)).unsqueeze(-1)).squeeze(-1) + x.sum(-1)
        ).flatten(-2)

    def blocks(x, state):
        a = (weights @ state.unflatten(-1, (-1, 6)).unsqueeze(-1)).squeeze(-1) + x.sum(-1)
        return weights / torch.cosh(a).square().unsqueeze(-1)

    inputs = drive(2, 1200, size=1)
    expected = lyapunov_spectrum(DrivenMap(step, 12, structure="dense"), inputs)
    for jacobian in (None, blocks):
        found = lyapunov_spectrum(DrivenMap(step, 12, jacobian, BlockDiagonal(6)), inputs)
        torch.testing.assert_close(found.exponents, expected.exponents, rtol=0, atol=0.02)
        assert abs(float(found.exponents.sum() - expected.exponents.sum())) < 1e-9
        assert found.certificate < 1e-10


@pytest.mark.parametrize("k", [1, 2, 5])
def test_k_leading_exponents_are_the_first_of_all(k):
    full = lyapunov_spectrum(DrivenMap(diagonal_step, N), drive(), warmup=60)
    few = lyapunov_spectrum(DrivenMap(diagonal_step, N), drive(), warmup=60, k=k)
    dense = lyapunov_spectrum(DrivenMap(diagonal_step, N, structure="dense"), drive(), warmup=60, k=k)
    torch.testing.assert_close(few.exponents, full.exponents[:k], rtol=0, atol=1e-15)
    assert (few.certificate is None) == (dense.certificate is None)
    assert len(few) == few.trusted == k


def test_a_continued_run_equals_an_uninterrupted_one():
    system = DrivenMap(rotate, N, structure=BlockDiagonal(2))
    whole = lyapunov_spectrum(system, drive(time=160), warmup=40, steps=120)
    begun = lyapunov_spectrum(system, drive(time=160)[:, :100], warmup=40, steps=60)
    begun.continue_(drive(time=160)[:, 100:])
    torch.testing.assert_close(begun.exponents, whole.exponents, rtol=0, atol=1e-12)
    assert begun.steps == 120
    assert begun.certificate < 1e-12


def test_ragged_sequences_a_tolerance_and_an_autonomous_map():
    ragged = [drive(1, 90, seed=1)[0], drive(1, 130, seed=2)[0]]
    spectrum = lyapunov_spectrum(DrivenMap(diagonal_step, N), ragged, warmup=60)
    one = [lyapunov_spectrum(DrivenMap(diagonal_step, N), s.unsqueeze(0), warmup=60) for s in ragged]
    for i in range(2):
        torch.testing.assert_close(spectrum.per_sequence[i].sort().values, one[i].exponents.flip(0))
    until = lyapunov_spectrum(DrivenMap(diagonal_step, N), drive(time=3000), tolerance=0.02)
    assert float(until.standard_error.max()) <= 0.02
    still = lyapunov_spectrum(DrivenMap(lambda _, s: s * RATES, N), steps=50)
    torch.testing.assert_close(still.exponents, RATES.abs().log().sort(descending=True).values)


def test_an_entry_of_zero_is_an_exponent_of_minus_infinity_and_no_other():
    factors = torch.tensor([0.5, 0.0, 2.0], dtype=F64)

    def given(x, state):
        return factors

    for jacobian in (None, given):
        spectrum = lyapunov_spectrum(
            DrivenMap(lambda x, s: factors * s + x.sum(), 3, jacobian, "diagonal"), drive(time=60), warmup=20
        )
        expected = torch.tensor([math.log(2), -math.log(2), -math.inf], dtype=F64)
        torch.testing.assert_close(spectrum.exponents, expected)
        assert spectrum.trusted >= 2
        assert spectrum.certificate == 0.0
    assert spectrum.trusted == 3, "a given zero is exact"


def test_entries_that_underflow_are_taken_by_their_logarithm():
    # 1 - σ(900) is 0 in floating-point numbers; its logarithm is -900.
    cell = MinGRU(2, 3, dtype=F64)
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.bias_ih[:3] = torch.tensor([900.0, 40.0, -40.0])
    spectrum = lyapunov_spectrum(cell, drive(time=60))
    expected = [float(-mpmath.log(1 + mpmath.exp(a))) for a in (-40, 40, 900)]
    torch.testing.assert_close(spectrum.exponents, torch.tensor(expected, dtype=F64), rtol=1e-14, atol=1e-17)
    assert spectrum.trusted == 3
    assert spectrum.certificate < 1e-10


def test_a_product_that_underflows_does_not_lose_its_exponents():
    factors = torch.tensor([1e-200, 1e-30, 1e200], dtype=F64)
    step = lambda x, s: s * factors  # noqa: E731
    spectrum = lyapunov_spectrum(DrivenMap(step, 3, structure="diagonal"), steps=500, warmup=30)
    torch.testing.assert_close(
        spectrum.exponents, factors.log().sort(descending=True).values, rtol=1e-13, atol=0
    )


def test_subnormal_entries_are_not_trusted():
    factors = torch.tensor([0.5, 5e-324], dtype=F64)
    spectrum = lyapunov_spectrum(
        DrivenMap(lambda x, s: s * factors, 2, lambda x, s: factors, "diagonal"), steps=50
    )
    assert spectrum.trusted == 1


def test_saturated_automatic_derivatives_are_not_trusted():
    # 1 - tanh² of 30 is rounded to 0; the truth is ln 4 - 60.
    factors, shifts = torch.tensor([[0.5, 30.0], [0.0, 1.0]], dtype=F64)
    system = DrivenMap(lambda _, state: torch.tanh(factors * state) + shifts, 2, structure="diagonal")
    spectrum = lyapunov_spectrum(system, steps=200)
    assert spectrum.trusted == 1


def coupled(x, state):
    """Diagonal, but for one weak coupling."""
    return diagonal_step(x, state) + 1e-3 * torch.nn.functional.pad(state[..., :1], (N - 1, 0))


def test_a_false_declaration_is_refused_in_one_line():
    with pytest.raises(StructureError, match="declared diagonal, but is not so") as caught:
        lyapunov_spectrum(DrivenMap(coupled, N, structure="diagonal"), drive())
    assert "\n" not in str(caught.value)
    with pytest.raises(StructureError, match="declared block-diagonal with blocks of 2"):
        lyapunov_spectrum(DrivenMap(coupled, N, structure=BlockDiagonal(2)), drive())
    with pytest.raises(StructureError, match="one from each part"):
        lyapunov_spectrum(DrivenMap(rotate, N, structure=BlockDiagonal(2, by_parts=True)), drive())


def test_a_given_diagonal_that_is_wrong_is_refused():
    def wrong(x, state):
        right = torch.func.jacfwd(diagonal_step, argnums=1)(x, state).diagonal()
        return torch.where(torch.arange(N) == 2, 2 * right, right)

    with pytest.raises(StructureError, match="not what its `jacobian` gives"):
        lyapunov_spectrum(DrivenMap(diagonal_step, N, wrong, "diagonal"), drive())


def test_a_structure_found_at_first_and_lost_on_the_way_gives_the_dense_answer():
    def step(x, state):  # units act on each other only beyond 2, where no probe is
        return diagonal_step(x, state) + torch.relu(state.roll(1, -1) - 2) + 3 * (x.sum(-1, keepdim=True) > 2)

    inputs = drive(time=200)
    expected = lyapunov_spectrum(DrivenMap(step, N, structure="dense"), inputs)
    found = lyapunov_spectrum(DrivenMap(step, N), inputs)
    torch.testing.assert_close(found.exponents, expected.exponents, rtol=0, atol=0)
    with pytest.raises(StructureError, match="declared diagonal"):
        lyapunov_spectrum(DrivenMap(step, N, structure="diagonal"), inputs)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"structure": "diagnoal"}, 'structure must be "auto", "dense", "diagonal", a BlockDiagonal or'),
        ({"structure": BlockDiagonal(4)}, "a state of 18 does not divide into blocks of 4"),
    ],
)
def test_a_structure_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DrivenMap(diagonal_step, N, **options)
    with pytest.raises(ValueError, match="block size must be at least 1"):
        BlockDiagonal(0)


def test_a_given_jacobian_of_another_shape_is_refused():
    dense = torch.func.jacfwd(diagonal_step, argnums=1)
    with pytest.raises(ValueError, match=r"jacobian must return shape \(18,\), got \(18, 18\)"):
        lyapunov_spectrum(DrivenMap(diagonal_step, N, dense, "diagonal"), drive())


def test_a_declared_jacobian_serves_covariant_vectors_too():
    given = lambda x, s: torch.func.jacfwd(diagonal_step, argnums=1)(x, s).diagonal()  # noqa: E731
    vectors = covariant_lyapunov_vectors(
        DrivenMap(diagonal_step, N, given, "diagonal"), drive(1, 300), k=2, warmup=100, cooldown=100
    )
    expected = covariant_lyapunov_vectors(
        DrivenMap(diagonal_step, N), drive(1, 300), k=2, warmup=100, cooldown=100
    )
    torch.testing.assert_close(vectors.exponents, expected.exponents)


@pytest.mark.parametrize("structure", [BlockDiagonal(1), BlockDiagonal(2), BlockDiagonal(3, by_parts=True)])
def test_the_layout_of_blocks(structure):
    count, b = N // structure.size, structure.size
    blocks = torch.randn(2, count, b, b, dtype=F64)
    vectors = torch.randn(2, N, dtype=F64)
    torch.testing.assert_close(structure.scatter(structure.gather(vectors)), vectors)
    applied = (blocks @ structure.gather(vectors).unsqueeze(-1)).squeeze(-1)
    dense = (structure.dense(blocks) @ vectors.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(structure.scatter(applied), dense)


# Diagonal plus low rank.

DECAY = torch.linspace(0.3, 0.95, N, dtype=F64)


def keys(x):
    """Two unit keys a step, which the input chooses."""
    angles = x.sum() + torch.arange(2 * N, dtype=F64).view(N, 2)
    return torch.nn.functional.normalize(torch.sin(angles), dim=0)


def delta_rule(x, state):
    """Decay, and a delta rule along the keys."""
    k = keys(x)
    return DECAY * state - 0.8 * k @ (k.mT @ state) + k.sum(1) * x.sum()


def delta_parts(x, state):
    k = keys(x)
    return DECAY.expand(state.shape), -0.8 * k, k


@pytest.mark.parametrize("k", [None, 3])
def test_a_diagonal_plus_low_rank_equals_the_dense_answer(k):
    low = DrivenMap(delta_rule, N, delta_parts, DiagonalPlusLowRank(2))
    dense = DrivenMap(delta_rule, N, structure="dense")
    found, expected = (lyapunov_spectrum(system, drive(2, 120), k=k) for system in (low, dense))
    torch.testing.assert_close(found.exponents, expected.exponents, rtol=0, atol=1e-9)
    if k is None:
        assert found.certificate < 1e-9
        torch.testing.assert_close(
            low.dense_jacobian(drive()[0, 0], RATES), dense.dense_jacobian(drive()[0, 0], RATES)
        )


def test_a_false_low_rank_declaration_is_refused():
    def wrong(x, state):
        d, u, v = delta_parts(x, state)
        return d, 1.001 * u, v

    with pytest.raises(StructureError, match="declared diagonal plus rank 2, but is not"):
        lyapunov_spectrum(DrivenMap(delta_rule, N, wrong, DiagonalPlusLowRank(2)), drive())
    with pytest.raises(ValueError, match="needs a jacobian that gives"):
        DrivenMap(delta_rule, N, structure=DiagonalPlusLowRank(2))
    with pytest.raises(ValueError, match=r"jacobian must return shape \(\(18,\), \(18, 3\), \(18, 3\)\)"):
        lyapunov_spectrum(DrivenMap(delta_rule, N, delta_parts, DiagonalPlusLowRank(3)), drive())


def test_a_singular_diagonal_has_no_determinant_by_the_lemma_and_the_right_exponents():
    parts = lambda x, s: (torch.tensor([0.0, 0.5, 0.9], dtype=F64), *torch.ones(2, 3, 1, dtype=F64))  # noqa: E731
    matrix = torch.diag(torch.tensor([0.0, 0.5, 0.9], dtype=F64)) + 1
    spectrum = lyapunov_spectrum(
        DrivenMap(lambda x, s: s @ matrix, 3, parts, DiagonalPlusLowRank(1)), steps=100
    )
    expected = torch.linalg.eigvalsh(matrix).abs().log().sort(descending=True).values
    torch.testing.assert_close(spectrum.exponents, expected, rtol=0, atol=1e-9)


# Cells.


class TwoParts(Cell):
    """Units of two parts, an oscillator each, driven but not coupled."""

    architecture = "two_parts"
    state_parts = ("y", "z")

    def _parameter_shapes(self):
        return {"weight_ih": (self.hidden_size, self.input_size), "damping": (self.hidden_size,)}

    def step(self, x, state):
        y, z = self.split(state)
        after = z + 0.3 * (x @ self.weight_ih.mT - torch.sin(y) - self.damping.unsqueeze(-2) * z)
        return torch.cat([y + 0.3 * after, after], dim=-1)

    def unit_jacobians(self, x, state):
        y, z = self.split(state)
        by_y, by_z = -0.3 * torch.cos(y), (1 - 0.3 * self.damping.unsqueeze(-2)).expand_as(z)
        rows = [[1 + 0.3 * by_y, 0.3 * by_z], [by_y, by_z]]
        return UnitJacobians(torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2))

    def jacobian(self, x, state):
        return self.unit_jacobians(x, state).dense()


class Lying(TwoParts):
    """The same with a coupling that its blocks know nothing of."""

    architecture = "lying"

    def step(self, x, state):
        return super().step(x, state) + 1e-4 * state.roll(1, -1)


class Coupled(Lying):
    """The same with a Jacobian that knows of the coupling."""

    architecture = "coupled"

    def jacobian(self, x, state):
        return super().jacobian(x, state) + 1e-4 * torch.eye(self.state_size, dtype=state.dtype).roll(1, 0)


def test_a_cell_of_uncoupled_units():
    check_cell(TwoParts)
    with pytest.raises(AssertionError, match=r"Lying\.jacobian differs"):
        check_cell(Lying)
    with pytest.raises(AssertionError, match=r"Coupled\.unit_jacobians are not the blocks of its Jacobian"):
        check_cell(Coupled)
    with pytest.raises(ValueError, match=r"Lying\.jacobian: the given Jacobian is not that of the step"):
        lyapunov_spectrum(Lying(2, 4, dtype=F64), drive())


def test_a_cell_of_uncoupled_units_equals_its_dense_answer():
    torch.manual_seed(1)
    cell = TwoParts(2, 4, dtype=F64)
    with torch.no_grad():
        cell.damping.copy_(torch.tensor([0.4, 1.5, 2.6, 3.0]))
    dense = DrivenMap(lambda x, s: cell.step(x, s).view_as(s), 8, structure="dense")
    inputs = drive(2, 3000)
    expected, found = lyapunov_spectrum(dense, inputs), lyapunov_spectrum(cell, inputs)
    torch.testing.assert_close(found.exponents, expected.exponents, rtol=0, atol=2e-3)
    assert abs(float(found.exponents.sum() - expected.exponents.sum())) < 1e-10


def test_stacks_and_populations_of_uncoupled_units():
    torch.manual_seed(2)
    cells = [MinGRU(2, 5, dtype=F64), MinGRU(5, 4, dtype=F64)]
    spectrum = lyapunov_spectrum(Network(cells), drive())
    assert [len(layer) for layer in spectrum.layers] == [5, 4]
    outputs, _ = cells[0].scan(drive(), cells[0].initial_state(3))
    above = lyapunov_spectrum(cells[1], outputs.detach())
    torch.testing.assert_close(spectrum.layers[1].exponents, above.exponents)
    networks = [Network([MinGRU(2, 5, dtype=F64)]) for _ in range(3)]
    together = lyapunov_spectra(networks, drive(), batched=True)
    for network, one in zip(networks, together, strict=True):
        torch.testing.assert_close(one.exponents, lyapunov_spectrum(network, drive()).exponents)


def test_the_hidden_spectrum_of_two_parts_stays_dense():
    torch.manual_seed(1)
    spectrum = lyapunov_spectrum(TwoParts(2, 4, dtype=F64), drive(), state="hidden")
    assert len(spectrum) == 4
