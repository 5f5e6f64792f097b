"""The reference loop: against closed forms, against 50 digits, and as the engine's oracle at small sizes."""

import math

import mpmath
import pytest
import torch

from aelle.lyapunov.factorise import random_frame
from aelle.lyapunov.structure import BlockDiagonal
from aelle.recurrent.registry import ARCHITECTURES
from aelle.spectra import DrivenMap, lyapunov_spectrum, reference_exponents
from tests.lyapunov_oracles import as_map, mp_exponents

F64 = torch.float64


def test_it_has_the_log_moduli_of_a_triangular_matrix():
    W = torch.tensor([[1.2, 5.0, -2.0], [0.0, 0.7, 1.0], [0.0, 0.0, -0.3]], dtype=F64)
    found = reference_exponents(
        DrivenMap(lambda x, s: W @ s, 3), [None] * 300, torch.zeros(3).double(), warmup=200
    )
    expected = torch.tensor([1.2, 0.7, 0.3], dtype=F64).log()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_the_sum_over_the_henon_map_is_the_logarithm_of_its_determinant():
    henon = DrivenMap(lambda x, s: torch.stack([1 - 1.4 * s[0] ** 2 + s[1], 0.3 * s[0]]), 2)
    found = reference_exponents(henon, [None] * 2000, torch.tensor([0.1, 0.1], dtype=F64), warmup=100)
    assert float(found.sum()) == pytest.approx(math.log(0.3), abs=1e-13)
    assert float(found[0]) == pytest.approx(0.419, abs=0.03)


def test_order_is_forward_in_time():
    A, B = torch.tensor([[1.0, 2.0], [0.0, 1.0]]).double(), torch.tensor([[1.0, 0.0], [3.0, 1.0]]).double()
    matrices = torch.stack([A, B])
    alternating = DrivenMap(lambda x, s: torch.einsum("p,pij,j->i", x, matrices, s), 2)
    inputs = torch.eye(2, dtype=F64).repeat(60, 1)
    found = reference_exponents(alternating, inputs, torch.zeros(2).double(), warmup=60)
    expected = torch.linalg.eigvals(B @ A).abs().log().sort(descending=True).values / 2
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_it_equals_fifty_digits_from_the_same_frame():
    torch.manual_seed(0)
    cell, inputs = ARCHITECTURES["lstm"](2, 3, dtype=F64), torch.randn(30, 2, dtype=F64)
    frame = torch.linalg.qr(torch.randn(6, 4, dtype=F64))[0]
    with torch.no_grad():
        found = reference_exponents(as_map(cell), inputs, torch.zeros(6).double(), frame=frame, warmup=10)
        states = cell.trajectory(inputs.unsqueeze(0), cell.initial_state(1))[0]
        jacobians = cell.jacobian(inputs, states[:-1])
    expected = mp_exponents([mpmath.matrix(J.tolist()) for J in jacobians], frame, 20)
    assert found.tolist() == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_the_engine_gives_the_same_numbers_for_every_architecture(name):
    torch.manual_seed(3)
    cell, inputs = ARCHITECTURES[name](3, 6, dtype=F64), torch.randn(2, 60, 3, dtype=F64)
    if name == "relu_rnn":  # kept alive; silent units are a matter of their own
        cell.weight_hh.data.abs_().mul_(0.5)
        cell.bias_ih.data += 4
    spectrum = lyapunov_spectrum(cell, inputs, warmup=30)
    assert spectrum.trusted >= len(spectrum) // 2
    hold_to_the_reference(cell, inputs, spectrum, 1e-6)


@pytest.mark.parametrize("gain", [1.0, 3.0])
@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_the_engine_gives_the_same_numbers_at_high_gain(name, gain):
    torch.manual_seed(0)
    cell, inputs = ARCHITECTURES[name](3, 12, dtype=F64), torch.randn(4, 100, 3, dtype=F64)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.mul_(gain)
    spectrum = lyapunov_spectrum(cell, inputs, warmup=40)
    tolerance = 1e-9 + float(spectrum.rounding_error.max()) + 1e-13 * 2.0 ** (10 * gain)
    hold_to_the_reference(cell, inputs, spectrum, tolerance)


def hold_to_the_reference(cell, inputs, spectrum, tolerance):
    """Sequence by sequence: there each side sorts its own directions."""
    rows, frame = spectrum.per_sequence.sort(dim=1, descending=True).values, None
    if cell.unit_jacobians(inputs[:, 0], cell.initial_state(len(inputs))) is not None:
        # Units that do not act on each other are taken one by one: the frame lies in their axes or planes.
        b, units = len(cell.state_parts), BlockDiagonal(len(cell.state_parts), by_parts=True)
        order = units.gather(torch.arange(cell.state_size)).flatten()
        small = random_frame(b, b, F64, inputs.device, None)
        frame = units.dense(small.expand(cell.hidden_size, b, b))[:, order]
    for x, found in zip(inputs, rows, strict=True):
        with torch.no_grad():
            state = cell.initial_state(1)[0]
            expected = reference_exponents(as_map(cell), x, state, frame=frame, warmup=spectrum.warmup)
        trusted = slice(spectrum.trusted)
        torch.testing.assert_close(found[trusted], expected[trusted], rtol=0, atol=tolerance)


def test_nothing_to_measure_is_one_sentence():
    with pytest.raises(ValueError, match="warmup must lie between 0 and 4, got 5"):
        reference_exponents(DrivenMap(lambda x, s: s, 1), [None] * 5, torch.zeros(1), warmup=5)
