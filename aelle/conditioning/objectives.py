"""Objectives of conditioning with a graph back to the parameters."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from aelle.conditioning.stack import Drive, Stack
from aelle.lyapunov.differentiable import ChaoticGradientWarning, differentiable_exponents
from aelle.lyapunov.factorise import random_frame
from aelle.lyapunov.inputs import plan_steps
from aelle.spectra.readout import joint_trajectory, unit_directions

_SMALLEST = 1e-300


def growth_with_graph(stack: Stack, drive: Drive, lags: Sequence[int]) -> Tensor:
    """Readout growth ⟨ln ‖∂(u · y_T)/∂s_{T-τ}‖⟩ at lag 0 and at each of `lags`, (1 + lags,), differentiable.

    The adjoint is brought back to length 1 after each step, so that nothing under- or overflows on the way. One random
    direction u for each sequence, the same in each call.

    Args:
        stack: whose parameters the graph leads to.
        drive: inputs of the steps over which growth is taken, and the states before them, which are held fixed.
        lags: ascending, of 1 or more.
    """
    output, states = joint_trajectory(stack.cells, drive.inputs, torch.cat(drive.states, dim=-1))
    if stack.readout is not None:
        output = output @ stack.readout.weight.mT
    read = (unit_directions(len(output), output) * output).sum()
    (adjoint,) = torch.autograd.grad(read, states[-1], create_graph=True)
    length = adjoint.norm(dim=-1).clamp_min(_SMALLEST)
    total = length.log()
    found = [total]
    for lag in range(1, lags[-1] + 1):
        adjoint = adjoint / length.unsqueeze(-1)
        (adjoint,) = torch.autograd.grad(states[-lag], states[-lag - 1], adjoint, create_graph=True)
        length = adjoint.norm(dim=-1).clamp_min(_SMALLEST)
        total = total + length.log()
        if lag in lags:
            found.append(total)
    return torch.stack(found, dim=-1).mean(0)


def flatness(growth: Tensor, lags: Sequence[int], target: float = 0.0) -> Tensor:
    """Mean square of what growth at the lags differs by from that at lag 0 plus `target` per step."""
    steps = growth.new_tensor(lags)
    return (growth[1:] - growth[0] - target * steps).square().mean()


def exponents_with_graph(stack: Stack, drive: Drive, k: int, frozen: bool = False) -> Tensor:
    """Leading k exponents of each layer, (layers · k,), descending, differentiable; the frame is drawn alike each time."""
    frames = [
        random_frame(tangent.size, min(k, tangent.size), state.dtype, state.device, None).mT
        for tangent, state in zip(stack.tangents, drive.states, strict=True)
    ]
    transient, _ = plan_steps(drive.inputs.shape[1], None, "auto")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ChaoticGradientWarning)  # a step that does not help is not kept
        return differentiable_exponents(
            [cell.step for cell in stack.cells],
            [cell.output for cell in stack.cells],
            drive.inputs,
            drive.states,
            frames,
            warmup=transient,
            frozen=frozen,
        )


def squared_exponents(exponents: Tensor, target: float = 0.0) -> Tensor:
    """Mean square of the exponents' distance from the target: gradient flossing's loss where that is 0."""
    return (exponents - target).square().mean()
