"""Systems with known spectra: the value, its error within the stated one, and the flags as they should be."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy.special import psi

from aelle.recurrent.registry import ARCHITECTURES
from aelle.spectra import DrivenMap, flow_map, lyapunov_spectrum
from tests.lyapunov_oracles import against_many_digits

F64 = torch.float64


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@dataclass
class Truth:
    """What is known of a system.

    exponents: by place; slack: of the value beyond the stated error; total: of all exponents, to 1e-8 of a step;
    dimension: with its slack; converged: None where a run this long may say either.
    """

    system: Any
    exponents: dict
    call: dict
    slack: float = 1e-9
    total: float | None = None
    dimension: tuple | None = None
    converged: bool | None = True


def lorenz(t, s):
    x, y, z = s.unbind(-1)
    return torch.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], -1)


def lorenz96(t, s):
    return (s.roll(-1, -1) - s.roll(2, -1)) * s.roll(1, -1) - s + 8


def rossler(t, s):
    x, y, z = s.unbind(-1)
    return torch.stack([-y - z, x + 0.2 * y, 0.2 + z * (x - 5.7)], -1)


def van_der_pol(t, s):
    x, y = s.unbind(-1)
    return torch.stack([y, (1 - x**2) * y - x], -1)


def mackey_glass(points, dt):
    """Delay of `points` steps as a map of the last values, newest first; Euler, so that the map is exact."""

    def step(x, s):
        late, now = s[-1], s[0]
        return torch.cat([(now + dt * (0.2 * late / (1 + late**10) - 0.1 * now)).unsqueeze(0), s[:-1]])

    return DrivenMap(step, points, dt=dt)


def products(n):
    return DrivenMap(
        lambda x, s: (x.unflatten(-1, (n, n)) @ s.unsqueeze(-1)).squeeze(-1), n,
        jacobian=lambda x, s: x.unflatten(-1, (n, n)),
    )  # fmt: skip


def linear(W):
    return DrivenMap(lambda x, s: W @ s, len(W), jacobian=lambda x, s: W)


CAT = torch.tensor([[2.0, 1.0], [1.0, 1.0]], dtype=F64)
GOLDEN = math.log((3 + math.sqrt(5)) / 2)
CYCLE = torch.linalg.qr(draw(3, 3, 3, seed=2))[0] @ torch.diag_embed(draw(3, 3, seed=3).abs() + 0.1)
CYCLE_TRUTH = (
    torch.linalg.eigvals(CYCLE[2] @ CYCLE[1] @ CYCLE[0]).abs().log().sort(descending=True).values / 3
)
SCALAR = DrivenMap(lambda x, s: x.exp() * s, 1, jacobian=lambda x, s: x.exp().unsqueeze(-1))
LOW = draw(5, 2, seed=4) @ draw(2, 5, seed=5)
LOW_TRUTH = torch.linalg.eigvals(LOW).abs().sort(descending=True).values[:2].log()


def two_frequencies(t, s):
    """A torus: two limit cycles of frequencies 1 and √2, each with a radius that relaxes at rate 2."""
    parts = []
    for pair, frequency in ((s[..., :2], 1.0), (s[..., 2:], math.sqrt(2))):
        x, y = pair.unbind(-1)
        r = 1 - x**2 - y**2
        parts += [x * r - frequency * y, y * r + frequency * x]
    return torch.stack(parts, -1)


SYSTEMS = {
    "Hénon": Truth(
        DrivenMap(lambda x, s: torch.stack([1 - 1.4 * s[0] ** 2 + s[1], 0.3 * s[0]]), 2),
        {0: 0.41922, 1: -1.62320}, {"steps": 2000, "initial_state": 0.1 * torch.rand(20, 2, dtype=F64)},
        total=math.log(0.3), dimension=(1.2583, 0.01),
    ),
    "Lorenz 1963": Truth(
        flow_map(lorenz, 3, 0.01), {0: 0.9056, 1: 0.0, 2: -14.5723},
        {"steps": 6000, "warmup": 1500, "initial_state": 1 + draw(20, 3)}, slack=2e-3, dimension=(2.062, 0.005),
    ),
    "Rössler": Truth(
        flow_map(rossler, 3, 0.05), {0: 0.0714, 1: 0.0, 2: -5.394},
        {"steps": 6000, "warmup": 1000, "initial_state": draw(10, 3)}, slack=4e-3, dimension=(2.0132, 0.005),
    ),
    "van der Pol": Truth(
        flow_map(van_der_pol, 2, 0.02), {0: 0.0, 1: -1.0594},
        {"steps": 6000, "warmup": 2000, "initial_state": torch.tensor([2.0, 0.0], dtype=F64)},
        slack=2e-3, dimension=(1.0, 0.01), converged=None,
    ),
    "torus": Truth(
        flow_map(two_frequencies, 4, 0.05), {0: 0.0, 1: 0.0, 2: -2.0, 3: -2.0},
        {"steps": 4000, "warmup": 1000, "initial_state": torch.tensor([1.0, 0.0, 0.0, 1.0], dtype=F64)},
        slack=1e-3, dimension=(2.0, 0.01), converged=None,
    ),
    "cat map": Truth(
        DrivenMap(lambda x, s: torch.remainder(CAT @ s, 1.0), 2), {0: GOLDEN, 1: -GOLDEN},
        {"steps": 300, "initial_state": torch.tensor([0.123, 0.456], dtype=F64)}, total=0.0, dimension=(2.0, 1e-6),
    ),
    "orthogonal": Truth(
        linear(torch.linalg.qr(draw(5, 5))[0]), dict.fromkeys(range(5), 0.0), {"steps": 300}, total=0.0,
        dimension=(5.0, 1e-6),
    ),
    "low rank": Truth(
        linear(LOW), {0: float(LOW_TRUTH[0]), 1: float(LOW_TRUTH[1])}, {"steps": 300, "k": 2}, slack=5e-3,
        converged=None,
    ),
    "cocycle of period 3": Truth(
        DrivenMap(lambda x, s: torch.einsum("p,pij,j->i", x, CYCLE, s), 3), dict(enumerate(CYCLE_TRUTH.tolist())),
        {"inputs": torch.eye(3, dtype=F64).repeat(300, 1).unsqueeze(0), "warmup": 300}, slack=5e-3,
        total=float(CYCLE_TRUTH.sum()), converged=None,
    ),
    "Gaussian products": Truth(
        products(5), {i: 0.5 * (psi((5 - i) / 2) + math.log(2 / 5)) for i in range(5)},
        {"inputs": draw(12, 340, 25) / math.sqrt(5), "warmup": 40},
    ),
    "drift": Truth(
        SCALAR, {}, {"inputs": torch.linspace(-0.2, 0.2, 540, dtype=F64).view(1, -1, 1) + 0.1 * draw(6, 540, 1),
                     "warmup": 40}, converged=False,
    ),
    "bistable": Truth(
        DrivenMap(lambda x, s: torch.tanh(1.6 * s + 0.1 + 0.05 * x), 1), {},
        {"inputs": draw(8, 300, 1), "initial_state": torch.tensor([[1.0]] * 4 + [[-1.0]] * 4, dtype=F64)},
        converged=False,
    ),
    "intermittent": Truth(
        DrivenMap(lambda x, s: torch.remainder(s + s.abs() ** 1.9, 1.0), 1), {},
        {"steps": 2000, "initial_state": torch.rand(8, 1, generator=torch.Generator().manual_seed(1), dtype=F64)},
        converged=False,
    ),
}  # fmt: skip
SLOW = {
    "Lorenz 1996": Truth(
        flow_map(lorenz96, 40, 0.05), {0: 1.68},
        {"steps": 2000, "warmup": 500, "initial_state": 8 + draw(3, 40)}, slack=0.03, dimension=(27.1, 0.4),
    ),
    "Mackey-Glass": Truth(
        # τ = 17 in 170 Euler steps; λ_1 of the flow is 0.0071 to 0.0086 in the literature.
        mackey_glass(170, 0.1), {0: 0.0075, 1: 0.0},
        {"steps": 12000, "warmup": 3000, "k": 4, "initial_state": 0.9 + 0.2 * torch.rand(3, 170, dtype=F64)},
        slack=3e-3, converged=None,
    ),
}  # fmt: skip


def hold(truth):
    spectrum = lyapunov_spectrum(truth.system, **truth.call)
    low, high = spectrum.confidence_interval(0.999)
    for i, value in truth.exponents.items():
        assert float(low[i]) - truth.slack <= value <= float(high[i]) + truth.slack, (i, spectrum)
    if truth.total is not None:
        assert float(spectrum.exponents.sum()) == pytest.approx(truth.total, abs=1e-8)
    if truth.dimension is not None:
        value, slack = truth.dimension
        assert abs(spectrum.kaplan_yorke_dimension - value) <= slack + 3 * spectrum.kaplan_yorke_error
        if value == round(value):
            assert spectrum.kaplan_yorke_dimension == pytest.approx(value, abs=slack)
    assert spectrum.trusted == len(spectrum)
    if truth.converged is not None:
        assert spectrum.converged == truth.converged, spectrum.doubts


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_known_spectra(name):
    hold(SYSTEMS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SLOW))
def test_known_spectra_of_long_runs(name):
    hold(SLOW[name])


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(sorted(ARCHITECTURES)), st.integers(1, 2), st.sampled_from([0.3, 1.0, 3.0, 8.0]),
    st.integers(0, 10_000),
)  # fmt: skip
def test_trusted_exponents_equal_many_digits(name, size, gain, seed):
    compared = against_many_digits(name, 2 * size, gain, seed)
    assume(compared is not None)
    error, stated, trusted = compared
    assert all(e <= 1e-3 for e in error[:trusted])
    assert all(e <= s + 1e-9 * gain for e, s in zip(error[:trusted], stated, strict=False))
