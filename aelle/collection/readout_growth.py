"""How strongly what a network answers depends on its state some steps before: growth backward in time.

A spectrum averages over all directions of the state. What a task needs is that the directions which its
readout reads reach back to the inputs that matter, so here the adjoint of the tangent map, v_t = J_tᵀ v_{t+1},
starts from the readout: v at lag τ is the gradient of an output with respect to the state τ steps earlier,
the quantity whose vanishing or explosion decides what gradient descent can learn (Bengio, Simard & Frasconi
1994; Pascanu, Mikolov & Bengio 2013).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from aelle.recurrent.network import Network

LAGS = 24  # at most; short sequences have fewer whole numbers to choose from
_DIRECTIONS = 4
_SMALLEST, _LARGEST = 1e-300, 1e300


def growth_lags(length: int) -> list[int]:
    """Lags at which growth is recorded for sequences of `length` steps: 0, then about evenly in logarithm to it."""
    steps = max(LAGS - 2, 1)
    return sorted({0, *(round(length ** (i / steps)) for i in range(steps + 1))})


def readout_growth(network: Network, inputs: Tensor, initial_state: Tensor | None = None) -> Tensor:
    """⟨ln ‖∂(u · y_T) / ∂s_{T-τ}‖⟩ at each lag of `growth_lags`, float64 (lags,), in nats.

    y_T is the output at the last step, u a random unit vector of output space (equal draws for every
    network), s the joint state of all layers; the mean is over sequences and directions u. At lag 0 it is the
    norm of the readout itself. A gradient that vanishes to less than 1e-300, or explodes above 1e300, counts as
    that bound, so that the result is always finite.

    Args:
        network: with a readout; never modified.
        inputs: (batch, T, input_size), sequences as the task gives them.
        initial_state: (n,) over all layers; zeros where None, as in training.
    """
    network = copy.deepcopy(network).double().eval().requires_grad_(False)
    driving = inputs.double().repeat_interleave(_DIRECTIONS, dim=0)
    output, states = _run(network, driving, initial_state)
    generator = torch.Generator().manual_seed(_DIRECTIONS)
    directions = torch.randn(len(driving), output.shape[-1], generator=generator, dtype=torch.float64)
    directions /= directions.norm(dim=-1, keepdim=True)
    lags = growth_lags(inputs.shape[1])
    wanted = [states[-1 - lag] for lag in lags]
    gradients = torch.autograd.grad((directions * output).sum(), wanted)
    return torch.stack([_log_norm(gradient).mean() for gradient in gradients])


def _run(network: Network, driving: Tensor, initial_state: Tensor | None) -> tuple[Tensor, Sequence[Tensor]]:
    """Output at the last step, and the joint states (batch, n) of all times, in one autograd graph."""
    sizes = network.layer_sizes
    start = torch.zeros(sum(sizes)) if initial_state is None else initial_state
    joint = start.double().expand(len(driving), -1).clone().requires_grad_()
    states = [joint]
    for step_input in driving.unbind(dim=1):
        below, parts = step_input, []
        for cell, state in zip(network.layers, joint.split(sizes, dim=-1), strict=True):
            parts.append(cell.step(below, state))
            below = cell.output(parts[-1])
        joint = torch.cat(parts, dim=-1)
        states.append(joint)
    # The last hidden vector is read from the joint state, so that lag 0 is the readout alone.
    hidden = network.layers[-1].output(joint.split(sizes, dim=-1)[-1])
    return (hidden if network.readout is None else network.readout(hidden)), states


def _log_norm(gradient: Tensor) -> Tensor:
    """Natural logarithm of the norms of the rows, without overflow or underflow on the way."""
    largest = gradient.abs().amax(dim=-1, keepdim=True).nan_to_num(_LARGEST, _LARGEST)
    scale = largest.clamp(_SMALLEST, _LARGEST)
    log = (gradient / scale).norm(dim=-1).log() + scale.squeeze(-1).log()
    return log.nan_to_num(math.log(_LARGEST)).clamp(math.log(_SMALLEST), math.log(_LARGEST))
