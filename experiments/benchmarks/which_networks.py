"""What the spectrum of each kind of network costs: the table of docs/how-to/which-networks.md.

    python experiments/benchmarks/which_networks.py --hidden 32

Each row measures a spectrum of 4 sequences of 100 steps, all exponents, and in turn with it that of a torch.nn.LSTM of
the same hidden size: CPU time of one thread, the cost per exponent and step relative to the LSTM's. Packages that are not
installed are left out.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from aelle.recurrent.linear_recurrent_unit import LRU
from aelle.recurrent.lstm import LSTM
from aelle.recurrent.min_gru import MinGRU
from aelle.recurrent.slstm import SLSTM
from aelle.spectra import DiagonalPlusLowRank, DrivenMap, lyapunov_spectrum


@dataclass(frozen=True)
class Kind:
    """A row of the table.

    Attributes:
        make: network of a hidden size.
        input_size: of that hidden size.
        state: a state of one sequence in the structure that it takes.
        package: what has to be installed.
        sequences: whether it takes (batch, time, input size), not one step.
    """

    make: Callable[[int], Any]
    input_size: Callable[[int], int] = lambda hidden: 3
    state: Callable[[int], Any] = lambda hidden: torch.zeros(1, hidden, dtype=torch.float64)
    package: str | None = None
    sequences: bool = False


class Leaky(nn.RNNCell):
    """A subclass of a torch cell with a forward of its own."""

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        h = x.new_zeros(len(x), self.hidden_size) if h is None else h
        return 0.8 * h + 0.2 * super().forward(x, h)


class ComplexDiagonal(nn.Module):
    """A linear recurrent unit on a complex state."""

    def __init__(self, input_size: int, hidden: int) -> None:
        super().__init__()
        self.rate, self.angle = nn.Parameter(torch.rand(hidden) + 0.1), nn.Parameter(torch.rand(hidden))
        self.enter = nn.Linear(input_size, hidden)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        entries = torch.polar(torch.exp(-self.rate), self.angle)
        state = torch.zeros(len(x), len(self.rate), dtype=entries.dtype) if state is None else state
        outputs = []
        for one in x.unbind(1):
            state = entries * state + self.enter(one)
            outputs.append(state.real)
        return torch.stack(outputs, 1), state


class MinGRUPackage(nn.Module):
    """minGRU-pytorch, asked for its state."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        from minGRU_pytorch import minGRU

        self.inner = minGRU(hidden)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.inner(x, state, return_next_prev_hidden=True)


class MambaStep(nn.Module):
    """A block of mambapy, by the step that it generates with: state (selective scan, window of the convolution)."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        from mambapy.mamba import MambaBlock, MambaConfig

        self.inner = MambaBlock(MambaConfig(d_model=hidden, n_layers=1, d_state=2, expand_factor=1))

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        h = self.inner.config.d_inner
        return self.inner.step(x, state or (x.new_zeros(len(x), h, 2), x.new_zeros(len(x), h, 3)))


class XLSTMScalarCell(nn.Module):
    """The sLSTM layer of xlstm, by its step."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        from xlstm import sLSTMLayer, sLSTMLayerConfig

        config = sLSTMLayerConfig(embedding_dim=hidden, num_heads=1, conv1d_kernel_size=0, backend="vanilla")
        self.inner = sLSTMLayer(config)

    def initial_state(self, rows: int) -> Tensor:
        return next(self.parameters()).new_ones(rows, 4, self.inner.config.embedding_dim)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        output, after = self.inner.step(x.unsqueeze(1), slstm_state=state.transpose(0, 1))
        return output.squeeze(1), after["slstm_state"].transpose(0, 1)


class XLSTMMatrixCell(nn.Module):
    """The mLSTM layer of xlstm, by its step: a matrix, a normaliser and its scale, and the window of the convolution."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        from xlstm import mLSTMLayer, mLSTMLayerConfig

        sizes = {"embedding_dim": hidden, "proj_factor": 1.0, "round_proj_up_to_multiple_of": 1}
        self.inner = mLSTMLayer(mLSTMLayerConfig(**sizes, num_heads=1, context_length=8))

    def initial_state(self, rows: int) -> Any:
        h, like = self.inner.config.embedding_dim, next(self.parameters())
        memory = [like.new_zeros(rows, 1, *shape) for shape in ((h, h), (h, 1), (1, 1))]
        return (*memory, like.new_zeros(rows, 4, h))

    def forward(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        output, after = self.inner.step(x.unsqueeze(1), mlstm_state=state[:3], conv_state=(state[3],))
        return output.squeeze(1), (*after["mlstm_state"], after["conv_state"][0])


def delta_rule(hidden: int) -> DrivenMap:
    """Decay and one key a step."""
    decay = torch.linspace(0.5, 0.95, hidden, dtype=torch.float64)

    def key(x: Tensor) -> Tensor:
        drawn = torch.sin(x.sum() + torch.arange(hidden, dtype=torch.float64).unsqueeze(-1))
        return nn.functional.normalize(drawn, dim=0)

    def step(x: Tensor, s: Tensor) -> Tensor:
        return decay * s + (x.sum() - 0.8 * key(x).T @ s) * key(x).squeeze(-1)

    parts = lambda x, s: (decay.expand(s.shape), -0.8 * key(x), key(x))  # noqa: E731
    return DrivenMap(step, hidden, parts, DiagonalPlusLowRank(1))


def plain_map(hidden: int) -> DrivenMap:
    weight = torch.randn(hidden, hidden, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return DrivenMap(lambda x, s: torch.tanh(weight @ s / hidden**0.5 + x.sum()), hidden)


def sequence(name: str) -> Callable[[int], nn.Module]:
    return lambda hidden: getattr(nn, name)(3, hidden, batch_first=True)


def of(package: str, name: str) -> Callable[[int], nn.Module]:
    def make(hidden: int) -> nn.Module:
        return getattr(importlib.import_module(package), name)(3, hidden)

    return make


def zeros(*shapes: tuple[int, ...]) -> Any:
    found = tuple(torch.zeros(shape, dtype=torch.float64) for shape in shapes)
    return found if len(found) > 1 else found[0]


def own_size(hidden: int) -> int:
    return hidden


def cell(kind: Any) -> Callable[[int], nn.Module]:
    return lambda hidden: kind(3, hidden)


KINDS: dict[str, Kind] = {
    "torch.nn.RNN": Kind(sequence("RNN"), state=lambda h: zeros((1, 1, h)), sequences=True),
    "torch.nn.GRU": Kind(sequence("GRU"), state=lambda h: zeros((1, 1, h)), sequences=True),
    "torch.nn.LSTM": Kind(sequence("LSTM"), state=lambda h: zeros((1, 1, h), (1, 1, h)), sequences=True),
    "torch.nn.LSTMCell": Kind(cell(nn.LSTMCell), state=lambda h: zeros((1, h), (1, h))),
    "aelle's cells: LSTM": Kind(cell(LSTM), state=lambda h: zeros((1, 2 * h))),
    "aelle's cells: sLSTM": Kind(cell(SLSTM), state=lambda h: zeros((1, 3 * h))),
    "aelle's cells: minGRU": Kind(cell(MinGRU)),
    "aelle's cells: LRU": Kind(cell(LRU), state=lambda h: zeros((1, 2 * h))),
    "a subclass of a torch cell": Kind(cell(Leaky)),
    "a complex diagonal": Kind(
        cell(ComplexDiagonal), state=lambda h: torch.zeros(1, h, dtype=torch.complex128), sequences=True
    ),
    "torchrecurrent.MGUCell": Kind(of("torchrecurrent", "MGUCell"), package="torchrecurrent"),
    "torchrecurrent.PeepholeLSTMCell": Kind(
        of("torchrecurrent", "PeepholeLSTMCell"),
        state=lambda h: zeros((1, h), (1, h)),
        package="torchrecurrent",
    ),
    "torchrecurrent.coRNNCell": Kind(
        of("torchrecurrent", "coRNNCell"), state=lambda h: zeros((1, h), (1, h)), package="torchrecurrent"
    ),
    "torchrecurrent.IndRNNCell": Kind(of("torchrecurrent", "IndRNNCell"), package="torchrecurrent"),
    "ncps.torch.CfC": Kind(of("ncps.torch", "CfC"), package="ncps", sequences=True),
    "ncps.torch.LTC": Kind(of("ncps.torch", "LTC"), package="ncps", sequences=True),
    "minGRU-pytorch": Kind(
        MinGRUPackage, own_size, lambda h: zeros((1, 1, h)) + 0.5, "minGRU_pytorch", sequences=True
    ),
    "mambapy's MambaBlock": Kind(MambaStep, own_size, lambda h: zeros((1, h, 2), (1, h, 3)), "mambapy"),
    "xlstm's sLSTM": Kind(XLSTMScalarCell, own_size, lambda h: zeros((1, 4, h)) + 1, "xlstm"),
    "xlstm's mLSTM": Kind(
        XLSTMMatrixCell,
        own_size,
        lambda h: zeros((1, 1, h, h), (1, 1, h, 1), (1, 1, 1, 1), (1, 4, h)),
        "xlstm",
    ),
    "DrivenMap, a delta rule": Kind(delta_rule),
    "DrivenMap, any function": Kind(plain_map),
}


def cpu_seconds(system: Any, inputs: Tensor) -> tuple[float, int]:
    start = time.process_time()
    found = lyapunov_spectrum(system, inputs, warmup=30)
    return time.process_time() - start, len(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    hidden, rows, steps = arguments.hidden, 4, 100
    print(f"torch {torch.__version__}, one thread; {hidden} units, {rows} sequences of {steps} steps")
    print("| network | exponents | ms | of an LSTM's | of an LSTM's, per exponent |")
    print("|---|---|---|---|---|")
    generator = torch.Generator().manual_seed(1)
    reference, driving = (
        nn.LSTM(3, hidden, batch_first=True),
        torch.randn(rows, steps, 3, generator=generator),
    )
    for name, kind in KINDS.items():
        if kind.package is not None and importlib.util.find_spec(kind.package) is None:
            continue
        torch.manual_seed(0)
        system = kind.make(hidden)
        inputs = torch.randn(rows, steps, kind.input_size(hidden), generator=generator)
        cpu_seconds(system, inputs)
        pairs = [
            (cpu_seconds(system, inputs), cpu_seconds(reference, driving)) for _ in range(arguments.repeats)
        ]
        seconds, count = statistics.median(own for (own, _), _ in pairs), pairs[0][0][1]
        ratio = statistics.median(own / other for (own, _), (other, _) in pairs)
        per_exponent = ratio * 2 * hidden / count
        print(f"| {name} | {count} | {1000 * seconds:.0f} | {ratio:.2f}× | {per_exponent:.2f}× |", flush=True)


if __name__ == "__main__":
    main()
