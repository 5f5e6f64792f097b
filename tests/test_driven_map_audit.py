"""A driven map is held against itself: what is no function of input and state alone is refused, or measured as it is."""

import math

import pytest
import torch

from aelle import DrivenMap, lyapunov_spectrum
from aelle.lyapunov.derivatives import StepError
from aelle.lyapunov.reference import reference_exponents

torch.manual_seed(0)
ROTATION = torch.linalg.qr(torch.randn(4, 4).double())[0]
X = torch.randn(3, 120, 4, generator=torch.Generator().manual_seed(1)).double()
START = torch.randn(3, 4, generator=torch.Generator().manual_seed(2)).double()


def take(step, n=4, jacobian=None, **settings):
    return lyapunov_spectrum(DrivenMap(step, n, jacobian), X, initial_state=START[:, :n], **settings)


def test_a_norm_over_the_batch_is_taken_row_by_row():
    def step(x, s):
        s = 1.2 * s @ ROTATION.T
        return s / s.norm().clamp(min=1.0)

    spectrum = take(step, warmup=40)
    expected = reference_exponents(DrivenMap(step, 4), X[0], START[0], warmup=40)
    assert abs(float(spectrum.exponents[0])) < 1e-9
    assert abs(float(expected[0])) < 1e-9
    assert spectrum.trusted == 3  # the radial direction is singular


class Clock:
    def __init__(self):
        self.calls = 0

    def __call__(self, x, s):
        self.calls += 1
        return (0.5 + 0.01 * (self.calls % 7)) * s @ ROTATION.T


class Memory:
    def __init__(self):
        self.before = torch.zeros(4).double()

    def __call__(self, x, s):
        after = 0.5 * s @ ROTATION.T + 0.1 * self.before.mean()
        self.before = s.detach().clone()
        return after


def detached(x, s):
    return torch.tanh(s @ ROTATION.T) + 0.3 * s.detach().sin()


def partly_without_gradient(x, s):
    with torch.no_grad():
        part = 0.5 * s.roll(1, -1)
    return 0.5 * torch.tanh(s) + part


def surrogate(x, s):
    class Step(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            return torch.sin(a)

        @staticmethod
        def backward(ctx, gradient):
            return 2 * gradient

    return Step.apply(s + x)


@pytest.mark.parametrize(
    "step, message",
    [
        (lambda x, s: 0.5 * s + 0.1 * torch.randn(4).double(), "two answers at one point"),
        (Clock(), "two answers at one point"),
        (Memory(), "two answers|differently later|taken again|state of its own"),
        (detached, "does not have the derivatives that torch finds"),
        (partly_without_gradient, "does not have the derivatives"),
        (surrogate, "does not have the derivatives"),
        (lambda x, s: (0.5 * s).float(), "float64, as it is given, got torch.float32"),
        (lambda x, s: (10 * s).long(), "got torch.int64"),
    ],
    ids=["noise", "clock", "memory", "detached", "no_grad", "surrogate", "float32", "integer"],
)
def test_what_is_no_driven_map_is_refused_in_one_line(step, message):
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match=message) as raised:
        take(step)
    assert "\n" not in str(raised.value)
    assert torch.equal(torch.get_rng_state(), state)


def in_place(x, s):
    s.mul_(0.5)
    return s


def by_sign(x, s):
    return 0.5 * s if s.sum() > 0 else 0.25 * s


class OldFunction(torch.autograd.Function):
    """Without setup_context: neither vmap nor forward mode can follow."""

    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a)
        return torch.sin(a)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0].cos()


@pytest.mark.parametrize("k", [None, 1])
@pytest.mark.parametrize(
    "step",
    [
        in_place,
        by_sign,
        lambda x, s: OldFunction.apply(s @ ROTATION.T + x),
        lambda x, s: (0.5 * s).sort(0)[0] + 0 * x,
    ],
    ids=["in place", "data-dependent", "old autograd function", "sorts"],
)
def test_what_vmap_cannot_follow_is_measured_all_the_same(step, k):
    spectrum = take(step, warmup=20, k=k)
    sums = 0
    for x, s in zip(X, START, strict=True):
        frame = torch.eye(4).double()
        for t in range(120):
            leaf = s.clone().requires_grad_()
            after = step(x[t], leaf * 1)
            jacobian = torch.stack([torch.autograd.grad(a, leaf, retain_graph=True)[0] for a in after])
            frame, r = torch.linalg.qr(jacobian @ frame)
            sums = sums + (r.diagonal().abs().log() if t >= 20 else 0)
            s = after.detach()
    expected = (sums / 300).sort(descending=True).values
    if k is None:
        assert torch.allclose(spectrum.exponents.sum(), expected.sum(), atol=1e-9)
    assert abs(float(spectrum.exponents[0] - expected[0])) < 0.02


def henon(x, s):
    return torch.stack([1 - 1.4 * s[0] ** 2 + s[1], 0.3 * s[0]])


def henon_jacobian(factor, where=(1, 0)):
    def jacobian(x, s):
        rows = [[-2.8 * s[0], torch.ones_like(s[0])], [torch.full_like(s[0], 0.3), torch.zeros_like(s[0])]]
        rows[where[0]][where[1]] = factor * rows[where[0]][where[1]]
        return torch.stack([torch.stack(row) for row in rows])

    return jacobian


def test_a_given_jacobian_is_compared_with_the_step():
    right = lyapunov_spectrum(DrivenMap(henon, 2, henon_jacobian(1.0)), steps=500)
    assert abs(float(right.exponents.sum()) - math.log(0.3)) < 1e-9
    for where in ((1, 0), (0, 0)):
        with pytest.raises(StepError, match=rf"entry \({where[0]}, {where[1]}\) is"):
            lyapunov_spectrum(DrivenMap(henon, 2, henon_jacobian(2.0, where)), steps=500)


def test_a_given_jacobian_may_know_what_torch_cannot_see():
    def step(x, s):
        return (
            torch.from_numpy((0.5 * s).detach().numpy())
            if not torch._C._functorch.is_batchedtensor(s)
            else 0.5 * s
        )

    spectrum = take(step, jacobian=lambda x, s: 0.5 * torch.eye(4).double())
    assert torch.allclose(spectrum.exponents, torch.full((4,), math.log(0.5)).double())


W = 4 * torch.randn(4, 4, generator=torch.Generator().manual_seed(5)).double()


def saturated(x, s):
    return torch.tanh(3 * W @ s + 12)


def test_saturated_units_are_differentiated_exactly():
    exact = lyapunov_spectrum(
        DrivenMap(saturated, 4, lambda x, s: 3 * W / torch.cosh(3 * W @ s + 12).square().unsqueeze(1)),
        steps=100,
    )
    found = lyapunov_spectrum(DrivenMap(saturated, 4), steps=100)
    assert torch.allclose(found.exponents, exact.exponents, atol=1e-8)
    assert found.exponents[-1] < -45
    assert found.trusted == 4


def test_a_given_jacobian_that_rounds_to_nothing_is_not_trusted():
    given = lyapunov_spectrum(
        DrivenMap(saturated, 4, lambda x, s: (1 - saturated(x, s) ** 2).unsqueeze(1) * 3 * W), steps=100
    )
    true = lyapunov_spectrum(DrivenMap(saturated, 4), steps=100).exponents
    assert given.trusted < 4
    assert (given.exponents[: given.trusted] - true[: given.trusted]).abs().max() < 1e-3


@pytest.mark.parametrize(
    "mode", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)]
)
def test_every_mode_of_torch_gives_the_same(mode):
    expected = lyapunov_spectrum(DrivenMap(henon, 2), steps=200)
    with mode():
        found = lyapunov_spectrum(DrivenMap(henon, 2), steps=200)
    assert torch.equal(found.exponents, expected.exponents)
