"""Modules without a closed form are read as they come: against a plain QR loop on automatic Jacobians of the module."""

import copy
from collections import namedtuple

import pytest
import torch
from torch import nn

from aelle import lyapunov_spectrum
from aelle.modules.errors import ModuleError, SideEffectWarning
from tests.module_oracles import plain_exponents

WARMUP = 20
X = torch.randn(2, 60, 3, generator=torch.Generator().manual_seed(3))
Memory = namedtuple("Memory", "hidden matrix")


class Affine(nn.Module):
    """tanh(W x + U h + b), what the modules below are made of; a state of its own where none is given."""

    def __init__(self, size=4, inputs=3):
        super().__init__()
        self.w, self.u, self.size = nn.Linear(inputs, size), nn.Linear(size, size, bias=False), size

    def new(self, x, h):
        return torch.tanh(self.w(x) + 1.5 * self.u(h))

    def zeros(self, x, *shape):
        return self.w.weight.new_zeros(x.shape[0], *(shape or (self.size,)))


class Cell(Affine):
    def forward(self, x, h=None):
        return self.new(x, self.zeros(x) if h is None else h)


class CellWithOutput(Affine):
    def forward(self, x, h=None):
        h = self.new(x, self.zeros(x) if h is None else h)
        return h.sin(), h


class NamedMatrix(Affine):
    """A hidden vector and a matrix, as linear attention keeps one, in a NamedTuple."""

    def forward(self, x, state=None):
        state = Memory(self.zeros(x), self.zeros(x, 4, 4)) if state is None else state
        h = self.new(x, state.hidden) + 0.1 * state.matrix.sum(-1)
        return h, Memory(h, 0.8 * state.matrix + 0.1 * h.unsqueeze(-1) * h.unsqueeze(-2))


class Dict(Affine):
    """Keys come back in another order than they are given."""

    def forward(self, x, state=None):
        state = {"c": self.zeros(x), "h": self.zeros(x)} if state is None else state
        c = 0.7 * state["c"] + 0.3 * self.new(x, state["h"])
        return {"h": c.tanh(), "c": c}


class Complex(Affine):
    """A diagonal complex recurrence over sequences, layers first in the state."""

    def __init__(self):
        super().__init__()
        self.decay = nn.Parameter(0.9 * torch.exp(1j * torch.arange(4)))

    def forward(self, x, state=None):
        h = self.zeros(x).to(self.decay.dtype) if state is None else state[0]
        outputs = []
        for t in range(x.shape[1]):
            h = self.decay * h * (1 - 0.2 * h.abs().square().tanh()) + self.w(x[:, t])
            outputs.append(h.real)
        return torch.stack(outputs, 1), h.unsqueeze(0)


class TimeFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.GRU(3, 4)

    def forward(self, x, h=None):
        return self.inner(2 * x, h)


class NeedsState(nn.Module):
    hidden_size = 4

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(3, 4)

    def forward(self, x, state):
        return self.cell(x.tanh(), state)


class LearnedStart(Affine):
    def __init__(self):
        super().__init__()
        self.start = nn.Parameter(torch.tensor([2.0, -1.0, 0.5, 1.0]))

    def forward(self, x, h=None):
        return self.new(x, self.start.expand(len(x), -1) if h is None else h)


class MakesItsOwn(Affine):
    """Makes tensors in torch's default precision at every step."""

    def forward(self, x, h=None):
        h = torch.zeros(len(x), 4) if h is None else h
        return self.new(x, h @ torch.eye(4))


class OldFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a)
        return torch.sin(a)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0].cos()


class OldFunctionCell(Affine):
    def forward(self, x, h=None):
        return OldFunction.apply(2 * self.new(x, self.zeros(x) if h is None else h))


class Writes(Affine):
    """Changes the state it is given in place, so that it has no backward pass."""

    def forward(self, x, h=None):
        h = self.zeros(x) if h is None else h
        return h.mul_(0.5).add_(0.5 * self.new(x, h))


class WritesNothing(Affine):
    def forward(self, x, h):
        return 0.5 * h + 0.5 * self.new(x, 0.5 * h)


class Counts(Affine):
    calls = 0

    def forward(self, x, h=None):
        self.calls += 1
        return self.new(x, self.zeros(x) if h is None else h)


def one(module, flat, structured, state_of=lambda result: result, shape=lambda x: x.unsqueeze(0)):
    own = copy.deepcopy(module).double().eval()
    if isinstance(module, Complex):
        own.decay.data = own.decay.data.to(torch.complex128)
    return lambda x, s: flat(state_of(own(shape(x), structured(s)))).flatten()


def joint(*parts):
    return torch.cat([part.flatten() for part in parts])


second = lambda result: result[1]  # noqa: E731
hidden = lambda s: s.clone().unsqueeze(0)  # noqa: E731
pair = lambda s: tuple(part.unsqueeze(0) for part in s.chunk(2))  # noqa: E731
KINDS = {
    "cell": (Cell, 4, lambda m: one(m, lambda h: h, hidden)),
    "cell with output": (CellWithOutput, 4, lambda m: one(m, lambda h: h, hidden, second)),
    "named tuple with a matrix": (
        NamedMatrix,
        20,
        lambda m: one(m, lambda s: joint(*s), lambda s: Memory(s[None, :4], s[4:].reshape(1, 4, 4)), second),
    ),
    "dict": (
        Dict,
        8,
        lambda m: one(m, lambda s: joint(s["c"], s["h"]), lambda s: {"c": s[None, :4], "h": s[None, 4:]}),
    ),
    "complex": (
        Complex,
        8,
        lambda m: one(
            m,
            torch.view_as_real,
            lambda s: torch.view_as_complex(s.reshape(1, 1, 4, 2)),
            second,
            lambda x: x.reshape(1, 1, 3),
        ),
    ),
    "time first": (
        TimeFirst,
        4,
        lambda m: one(m, lambda h: h, lambda s: s.reshape(1, 1, 4), second, lambda x: x.reshape(1, 1, 3)),
    ),
    "needs a state": (NeedsState, 8, lambda m: one(m, lambda s: joint(*s), pair)),
    "learned start": (LearnedStart, 4, lambda m: one(m, lambda h: h, hidden)),
    "makes its own tensors": (MakesItsOwn, 4, lambda m: one(with_weights_of(m, Cell()), lambda h: h, hidden)),
    "old autograd function": (OldFunctionCell, 4, lambda m: one(m, lambda h: h, hidden)),
    "writes to its state": (
        Writes,
        4,
        lambda m: one(with_weights_of(m, WritesNothing()), lambda h: h, hidden),
    ),
    "counts": (Counts, 4, lambda m: one(m, lambda h: h, hidden)),
}


def with_weights_of(module, other):
    other.load_state_dict(module.state_dict())
    return other


@pytest.mark.parametrize("kind", KINDS)
def test_a_module_as_it_comes(kind):
    torch.manual_seed(7)
    make, size, oracle = KINDS[kind]
    module = make()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    found = lyapunov_spectrum(module, X, warmup=WARMUP)
    start = torch.zeros(2, size).double()
    inputs, warmup, step = X.double(), WARMUP, oracle(module)
    if kind == "learned start":  # where the module begins is known only after its first step
        start = torch.stack([step(x[0], module.start.detach().double()) for x in inputs]).detach()
        inputs, warmup = inputs[:, 1:], WARMUP - 1
    expected = plain_exponents(step, inputs, start, warmup)
    assert len(found) == size
    known = expected > -25
    assert (found.exponents[known] - expected[known]).abs().max() < 1e-7
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert getattr(module, "calls", 0) == 0


def test_a_state_of_the_modules_own_structure_begins_it():
    torch.manual_seed(7)
    module, begun = NamedMatrix(), Memory(torch.randn(2, 4), torch.randn(2, 4, 4))
    found = lyapunov_spectrum(module, X, warmup=0, initial_state=begun)
    start = torch.cat([begun.hidden, begun.matrix.flatten(1)], dim=1).double()
    expected = plain_exponents(KINDS["named tuple with a matrix"][2](module), X.double(), start, 0)
    assert (found.exponents - expected).abs().max() < 1e-7


def test_a_few_exponents_by_products():
    torch.manual_seed(7)
    module = NamedMatrix()
    full, few = lyapunov_spectrum(module, X), lyapunov_spectrum(module, X, k=2)
    assert (full.exponents[:2] - few.exponents).abs().max() < 0.05


class Clock(Counts):
    def forward(self, x, h=None):
        return super().forward(x, h) / (1 + 0.01 * self.calls)


class HiddenState(Affine):
    before = None

    def forward(self, x, h=None):
        after = self.new(x, self.zeros(x) if h is None else h)
        if self.before is not None and self.before.shape == after.shape:
            after = 0.5 * after + 0.5 * self.before
        self.before = after.detach()
        return after


class Noisy(Affine):
    def forward(self, x, h=None):
        h = self.new(x, self.zeros(x) if h is None else h)
        return h + 0.1 * torch.randn_like(h)


class Mixes(Affine):
    def forward(self, x, h=None):
        h = self.new(x, self.zeros(x) if h is None else h)
        return h - h.mean(0)


class SortsRows(Affine):
    def forward(self, x, h=None):
        return self.new(x, self.zeros(x) if h is None else h).sort(0)[0]


class Counter(Affine):
    def forward(self, x, state=None):
        h, step = (self.zeros(x), torch.zeros(len(x), dtype=torch.long)) if state is None else state
        return self.new(x, h) * (1 - 0.001 * step.unsqueeze(1)), step + 1


class LooksAhead(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.GRU(3, 4, batch_first=True, bidirectional=True)

    def forward(self, x, h=None):
        return self.inner(x, h)


class Centred(nn.Module):
    """Subtracts the mean over time, later inputs and all."""

    def __init__(self):
        super().__init__()
        self.inner = nn.GRU(3, 4, batch_first=True)

    def forward(self, x, h=None):
        return self.inner(x - x.mean(1, keepdim=True), h)


class Detached(Affine):
    def forward(self, x, h=None):
        h = self.zeros(x) if h is None else h
        return 0.5 * self.new(x, h) + 0.5 * h.detach().sin()


class WithoutGradient(Affine):
    def forward(self, x, h=None):
        with torch.no_grad():
            return self.new(x, self.zeros(x) if h is None else h)


@pytest.mark.parametrize(
    "make, message",
    [
        (Clock, "two answers at one point"),
        (HiddenState, "state of its own"),
        (Noisy, "two answers at one point"),
        (Mixes, "mixes the sequences"),
        (SortsRows, "mixes the sequences"),
        (Counter, "a part of torch.int64, a counter"),
        (LooksAhead, "step by step than at once"),
        (Centred, "step by step than at once"),
        (Detached, "does not have the derivatives"),
        (WithoutGradient, "does not have the derivatives"),
        (lambda: nn.Linear(3, 3), "cannot be read as module"),
    ],
)
def test_what_is_no_driven_map_is_refused_in_one_line(make, message):
    torch.manual_seed(7)
    module = make()
    state = torch.get_rng_state()
    with pytest.raises((ModuleError, ValueError), match=message) as raised:
        lyapunov_spectrum(module, X)
    assert "\n" not in str(raised.value)
    assert torch.equal(torch.get_rng_state(), state)


def test_training_mode_is_said_to_be_left_aside():
    torch.manual_seed(7)

    class Normalised(Affine):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(4)

        def forward(self, x, h=None):
            return self.norm(self.new(x, self.zeros(x) if h is None else h))

    module = Normalised()
    before = copy.deepcopy(module.state_dict())
    with pytest.warns(SideEffectWarning, match="spectrum is that of evaluation mode"):
        found = lyapunov_spectrum(module, X)
    assert module.training
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    assert torch.equal(found.exponents, lyapunov_spectrum(module.eval(), X).exponents)
    with pytest.warns(SideEffectWarning, match="evaluation mode"):
        lyapunov_spectrum(nn.LSTM(3, 4, num_layers=2, dropout=0.5, batch_first=True), X)


@pytest.mark.parametrize(
    "mode", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)]
)
@pytest.mark.parametrize("make", [Cell, NamedMatrix, lambda: nn.LSTM(3, 4, batch_first=True)])
def test_every_mode_of_torch_gives_the_same(mode, make):
    torch.manual_seed(7)
    module = make()
    expected = lyapunov_spectrum(module, X).exponents
    with mode():
        found = lyapunov_spectrum(module, X.clone()).exponents
    assert torch.equal(found, expected)
