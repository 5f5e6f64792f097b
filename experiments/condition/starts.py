"""Starts that the contest sets beside `aelle.condition`: published initialisations, each in place on a network.

A start takes a network of one recurrent layer with torch's default weights, sequences of its task (batch, T, input_size),
the horizon of the task in steps, and a generator. What it does not set stays as torch drew it.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from aelle.recurrent.network import Network

Start = Callable[[Network, Tensor, int, torch.Generator], None]
# Rows of weight_hh, weight_ih and the biases that hold the gate which keeps the old state; of the one that writes.
KEEPING = {"lstm": 1, "gru": 1}
WRITING = {"lstm": 0}


def default(network: Network, inputs: Tensor, horizon: int, generator: torch.Generator) -> None:
    """Leave torch's U(±1/√H)."""


@torch.no_grad()
def orthogonal(network: Network, inputs: Tensor, horizon: int, generator: torch.Generator) -> None:
    """Orthogonal recurrent matrices (Saxe et al. 2014), one per gate, biases 0."""
    (cell,) = network.layers
    for block in cell.weight_hh.split(cell.hidden_size):
        torch.nn.init.orthogonal_(block, generator=generator)
    _set_biases(network, 0.0)


@torch.no_grad()
def identity(network: Network, inputs: Tensor, horizon: int, generator: torch.Generator) -> None:
    """Recurrent matrices the identity, one per gate, biases 0 (Le et al. 2015, for relu)."""
    (cell,) = network.layers
    for block in cell.weight_hh.split(cell.hidden_size):
        block.copy_(torch.eye(cell.hidden_size))
    _set_biases(network, 0.0)


@torch.no_grad()
def forget_bias(network: Network, inputs: Tensor, horizon: int, generator: torch.Generator) -> None:
    """Bias 1 in the gate that keeps the old state (Gers et al. 2000; Jozefowicz et al. 2015)."""
    _set_gate(network, KEEPING, torch.ones(network.layers[0].hidden_size))


def orthogonal_forget_bias(
    network: Network, inputs: Tensor, horizon: int, generator: torch.Generator
) -> None:
    """Both of the above: what Keras does to its LSTM."""
    orthogonal(network, inputs, horizon, generator)
    if network.layers[0].architecture in KEEPING:
        forget_bias(network, inputs, horizon, generator)


@torch.no_grad()
def chrono(network: Network, inputs: Tensor, horizon: int, generator: torch.Generator) -> None:
    """Biases ln u, u ~ U(1, horizon - 1), in the keeping gate and -ln u in the writing one (Tallec & Ollivier 2018)."""
    size = network.layers[0].hidden_size
    times = 1 + (max(horizon, 3) - 2) * torch.rand(size, generator=generator)
    _set_gate(network, KEEPING, times.log())
    if network.layers[0].architecture in WRITING:
        _set_gate(network, WRITING, -times.log())


@torch.no_grad()
def unit_variance(network: Network, inputs: Tensor, horizon: int, generator: torch.Generator) -> None:
    """Orthogonal matrices, scaled on data until each gate's two pre-activations have variance 1.

    Layer-sequential unit variance (Mishkin & Matas 2016), with the steps of time in the place of layers: the input's
    share by one scaling, the hidden vector's, which changes what it is measured on, by up to ten.
    """
    orthogonal(network, inputs, horizon, generator)
    (cell,) = network.layers
    for block in cell.weight_ih.split(cell.hidden_size):
        rows, columns = block.shape
        square = torch.empty(max(rows, columns), max(rows, columns))
        block.copy_(torch.nn.init.orthogonal_(square, generator=generator)[:rows, :columns])
        block.div_((inputs @ block.mT).std().clamp(min=1e-6))
    for _ in range(10):
        hidden = cell.scan(inputs, cell.initial_state(len(inputs)))[0]
        deviations = torch.stack([(hidden @ b.mT).std() for b in cell.weight_hh.split(cell.hidden_size)])
        if not deviations.isfinite().all() or (deviations.log().abs() < 0.05).all():
            return
        for block, deviation in zip(cell.weight_hh.split(cell.hidden_size), deviations, strict=True):
            block.div_(deviation.clamp(min=0.1, max=10.0))


@torch.no_grad()
def random_gain(network: Network, inputs: Tensor, horizon: int, generator: torch.Generator) -> None:
    """Multiply all recurrent parameters by a gain drawn log-uniformly from 0.3 to 12."""
    gain = math.exp(math.log(0.3) + math.log(40.0) * torch.rand((), generator=generator).item())
    for parameter in network.layers[0].parameters():
        parameter.mul_(gain)


def _set_biases(network: Network, value: float) -> None:
    for parameter in (network.layers[0].bias_ih, network.layers[0].bias_hh):
        parameter.fill_(value)


def _set_gate(network: Network, gates: dict[str, int], values: Tensor) -> None:
    """Give one gate's bias: `values` in bias_ih, 0 in bias_hh."""
    (cell,) = network.layers
    rows = slice(
        gates[cell.architecture] * cell.hidden_size, (gates[cell.architecture] + 1) * cell.hidden_size
    )
    cell.bias_ih[rows] = values
    cell.bias_hh[rows] = 0.0


STARTS: dict[str, Start] = {
    "torch default": default,
    "orthogonal": orthogonal,
    "identity": identity,
    "forget bias 1": forget_bias,
    "orthogonal, forget bias 1": orthogonal_forget_bias,
    "chrono": chrono,
    "unit variance": unit_variance,
    "random gain": random_gain,
}
