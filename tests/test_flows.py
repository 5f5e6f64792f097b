"""Exponents per unit of time, of differential equations and of maps that say how long a step takes."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from aelle import plot
from aelle.spectra import (
    DrivenMap,
    covariant_lyapunov_vectors,
    fixed_points,
    flow_map,
    lyapunov_spectrum,
    spectrum_distance,
)
from tests.systems import henon, lorenz, lorenz_96, rossler

F64 = torch.float64


def stability_polynomial(z):
    return 1 + z + z**2 / 2 + z**3 / 6 + z**4 / 24


def spiral():
    """Two real and a complex pair of eigenvalues: -0.3, -2, -0.1 ± 1.5i."""
    basis = torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=F64)
    core = torch.diag(torch.tensor([-0.3, -2.0, -0.1, -0.1], dtype=F64))
    core[2, 3], core[3, 2] = 1.5, -1.5
    return basis @ core @ torch.linalg.inv(basis), np.array([-0.1 + 1.5j, -0.1 + 1.5j, -0.3, -2.0])


def test_a_linear_flow_has_the_real_parts_of_its_eigenvalues_to_fourth_order():
    matrix, eigenvalues = spiral()
    sums = []
    for substeps in (1, 2):
        flow = flow_map(lambda t, y: matrix @ y, 4, 0.5, substeps=substeps)
        spectrum = lyapunov_spectrum(flow, steps=400, warmup=100)
        h = 0.5 / substeps
        exact = np.log(np.abs(stability_polynomial(h * eigenvalues))) / h  # of this integrator
        assert float(spectrum.exponents.sum()) == pytest.approx(exact.sum(), abs=1e-10)
        np.testing.assert_allclose(spectrum.exponents, exact, atol=2e-2)  # a pair turns inside its plane
        sums.append(float(spectrum.exponents.sum()) - eigenvalues.real.sum())
    assert 12 < sums[0] / sums[1] < 24  # the error falls by about 2⁴


def test_dt_divides_every_rate_and_nothing_else():
    start = torch.rand(20, 2, generator=torch.Generator().manual_seed(0), dtype=F64) / 10
    step = henon().step
    plain = lyapunov_spectrum(DrivenMap(step, 2), steps=400, initial_state=start)
    timed = lyapunov_spectrum(DrivenMap(step, 2, dt=0.25), steps=400, initial_state=start)
    for name in ("exponents", "standard_error", "per_sequence", "finite_time", "convergence", "temporal_std",
                 "rounding_error"):  # fmt: skip
        torch.testing.assert_close(getattr(timed, name), 4 * getattr(plain, name), rtol=1e-12, atol=1e-15)
    assert timed.certificate == pytest.approx(4 * plain.certificate, abs=1e-12)
    assert timed.entropy_rate == pytest.approx(4 * plain.entropy_rate)
    assert timed.kaplan_yorke_dimension == pytest.approx(plain.kaplan_yorke_dimension)
    assert (timed.steps, timed.warmup, timed.trusted, timed.converged) == (
        plain.steps, plain.warmup, plain.trusted, plain.converged
    )  # fmt: skip
    low, high = timed.confidence_interval()
    assert (low < timed.exponents).all()
    assert (timed.exponents < high).all()
    assert float(timed.in_bits().exponents[0]) == pytest.approx(4 * float(plain.exponents[0]) / math.log(2))
    assert float(timed.exponents.sum()) == pytest.approx(4 * math.log(0.3), abs=1e-9)


def test_the_unit_is_shown_everywhere():
    spectrum = lyapunov_spectrum(DrivenMap(henon().step, 2, dt=0.25), steps=200)
    assert "in nats per unit of time" in repr(spectrum)
    assert "1 × 200 steps of 0.25 after 100" in repr(spectrum)
    assert set(spectrum.to_frame()["unit"]) == {"nats per unit of time"}
    assert "nats per unit of time" in spectrum.plot().layout.yaxis.title.text
    assert "bits per unit of time" in plot.convergence(spectrum.in_bits()).layout.yaxis.title.text
    plain = lyapunov_spectrum(henon(), steps=200)
    assert "in nats per step" in repr(plain)
    assert set(plain.to_frame()["unit"]) == {"nats per step"}
    assert "nats per step" in plain.plot().layout.yaxis.title.text
    with pytest.raises(ValueError, match="nats per step and nats per unit of time"):
        spectrum_distance(plain, spectrum)


def test_a_timed_run_goes_on_and_keeps_its_unit():
    system = DrivenMap(henon().step, 2, dt=0.25)
    whole = lyapunov_spectrum(system, steps=400, warmup=50)
    parts = lyapunov_spectrum(system, steps=250, warmup=50).continue_(steps=150)
    assert parts.rate_unit == "nats per unit of time"
    torch.testing.assert_close(parts.exponents, whole.exponents, rtol=1e-9, atol=0)
    accurate = lyapunov_spectrum(system, tolerance=0.08, initial_state=torch.rand(20, 2) / 10)
    assert float(accurate.standard_error.max()) <= 0.08
    vectors, plain = (covariant_lyapunov_vectors(s, steps=300) for s in (system, henon()))
    torch.testing.assert_close(vectors.exponents, 4 * plain.exponents, rtol=1e-12, atol=0)


def test_the_lorenz_flow():
    # The divergence is -σ - 1 - β = -41/3 everywhere.
    start = 1 + torch.rand(40, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    spectrum = lyapunov_spectrum(flow_map(lorenz, 3, 0.01), steps=3000, warmup=1000, initial_state=start)
    expected = torch.tensor([0.9056, 0.0, -14.5723], dtype=F64)
    assert ((spectrum.exponents - expected).abs() < 4 * spectrum.standard_error + 5e-4).all()
    assert float(spectrum.exponents.sum()) == pytest.approx(-41 / 3, abs=2e-4)
    assert spectrum.kaplan_yorke_dimension == pytest.approx(2.062, abs=0.005)


def test_the_rossler_flow():
    start = torch.tensor([1.0, 1.0, 0.0], dtype=F64) + torch.rand(
        30, 3, generator=torch.Generator().manual_seed(0), dtype=F64
    )
    # From near its unstable focus, it takes some hundred units of time to come to its attractor.
    flow = flow_map(rossler, 3, 0.1, substeps=2)
    spectrum = lyapunov_spectrum(flow, steps=2000, warmup=3000, initial_state=start)
    expected = torch.tensor([0.0714, 0.0, -5.3943], dtype=F64)
    assert ((spectrum.exponents - expected).abs() < 4 * spectrum.standard_error + 5e-4).all()


@pytest.mark.slow
def test_lorenz_96_with_forty_variables():
    # Divergence -40; λ₁ 1.68 and dimension 27.1 at F = 8 (Karimi & Paul 2010).
    start = 8 + torch.randn(10, 40, generator=torch.Generator().manual_seed(0), dtype=F64)
    spectrum = lyapunov_spectrum(flow_map(lorenz_96, 40, 0.05), steps=2000, warmup=400, initial_state=start)
    assert float(spectrum.exponents[0]) == pytest.approx(1.68, abs=0.03)
    assert spectrum.kaplan_yorke_dimension == pytest.approx(27.1, abs=0.15)
    assert float(spectrum.exponents.sum()) == pytest.approx(-40, abs=0.02)
    assert spectrum.trusted == 40


def test_a_neural_differential_equation_computes_in_the_precision_of_the_run():
    class Field(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3))

        def forward(self, t, y):
            return self.net(y) + torch.zeros(3, dtype=t.dtype, device=t.device)

    torch.manual_seed(0)
    field = Field()
    spectrum = lyapunov_spectrum(flow_map(field, 3, 0.1), steps=300, warmup=2000)
    assert all(parameter.dtype == torch.float32 for parameter in field.parameters())
    weights = field.double()
    net, mean_divergence = weights.net, []
    y = torch.zeros(3, dtype=F64)
    h = 0.1
    for t in range(2300):
        if t >= 2000:
            mean_divergence.append(torch.autograd.functional.jacobian(net, y).trace())
        k1 = net(y)
        k2 = net(y + h / 2 * k1)
        k3 = net(y + h / 2 * k2)
        y = (y + h / 6 * (k1 + 2 * k2 + 2 * k3 + net(y + h * k3))).detach()
    # It ends at a fixed point: the sum of the exponents is the divergence there, up to O(h⁴).
    assert float(spectrum.exponents.sum()) == pytest.approx(
        float(torch.stack(mean_divergence).mean()), abs=1e-4
    )


def test_a_driven_flow_holds_its_input_over_a_step():
    # y' = -a y + x: over dt the state contracts by P(-a dt) whatever the input.
    flow = flow_map(lambda y, x: -2.0 * y + x, 1, 0.1, driven=True)
    spectrum = lyapunov_spectrum(flow, torch.randn(3, 80, 1))
    assert float(spectrum.exponents[0]) == pytest.approx(
        math.log(stability_polynomial(-0.2)) / 0.1, abs=1e-12
    )


def test_fixed_points_of_a_flow_have_the_eigenvalues_of_its_right_hand_side():
    found = fixed_points(flow_map(lorenz, 3, 0.01), starts=torch.randn(40, 3) * 10)
    far = math.sqrt(8 / 3 * 27)
    expected = torch.tensor([[-far, -far, 27], [0, 0, 0], [far, far, 27]], dtype=F64)
    order = found.points[:, 0].argsort()
    torch.testing.assert_close(found.points[order], expected, rtol=0, atol=1e-9)
    matrix = torch.tensor([[-10.0, 10, 0], [28, -1, 0], [0, 0, -8 / 3]], dtype=F64)
    at_zero = torch.linalg.eigvals(matrix).real.sort(descending=True).values
    torch.testing.assert_close(
        found.exponents[order][1].sort(descending=True).values, at_zero, rtol=0, atol=1e-3
    )


BAD = [
    (lambda: DrivenMap(lambda x, s: s, 1, dt=0.0), "dt must be a positive number"),
    (lambda: DrivenMap(lambda x, s: s, 1, dt=math.inf), "dt must be a positive number"),
    (lambda: flow_map(lorenz, 3, -0.1), "dt must be a positive number"),
    (lambda: flow_map(lorenz, 3, 0.1, substeps=0), "substeps must be"),
    (lambda: lyapunov_spectrum(flow_map(lorenz, 3, 0.1), torch.randn(2, 60, 1)), "takes no inputs"),
    (lambda: lyapunov_spectrum(flow_map(lorenz, 3, 0.1, driven=True), steps=9), "needs inputs"),
    (lambda: lyapunov_spectrum(flow_map(lambda t, y: -y + torch.sin(t), 1, 0.1), steps=9), "reads t"),
    (lambda: lyapunov_spectrum(flow_map(lambda t, y: -y if t < 5 else y, 1, 0.1), steps=9), "reads t"),
    (lambda: lyapunov_spectrum(flow_map(lambda t, y: -y * float(t), 1, 0.1), steps=9), "reads t"),
]


@pytest.mark.parametrize("call, sentence", BAD)
def test_one_clear_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence) as raised:
        call()
    assert "\n" not in str(raised.value)
