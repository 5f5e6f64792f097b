"""Recurrent weights times one factor a layer, so that λ₁ is what it should be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor

from aelle.conditioning.method import METHODS, Method, Moved
from aelle.conditioning.reach import layer_exponents
from aelle.conditioning.recurrent_parameters import recurrent_matrices
from aelle.conditioning.stack import Drive, Stack

_RATIO, _REACH = 1.6, 10  # factors up to 1.6^10 = 110 and down to its inverse
_BISECTIONS, _HALVINGS = 24, 4


@METHODS.register
@dataclass(frozen=True)
class Scale(Method):
    """Find the factor nearest 1 at which a layer's λ₁ is the target, by bisection; first layer to last.

    After the scaling of recurrent weights to the edge of chaos: Sompolinsky, Crisanti & Sommers 1988 (PRL 61:259), for
    untrained networks under input Legenstein & Maass 2007 (Neural Networks 20:323), here by the measured λ₁ of the
    very network under its own inputs. The target is -1/horizon where None.

    Attributes:
        precision: of λ₁, as a share of 1/horizon.
    """

    name: ClassVar[str] = "scale"
    source: ClassVar[str] = "Sompolinsky, Crisanti & Sommers 1988; Legenstein & Maass 2007"
    precision: float = 0.02

    def move(self, stack: Stack, target: float | None) -> Moved:
        """Scale each layer under the outputs of those below as they are scaled already."""
        wanted = _target(stack, target)
        notes, evaluations = [], 0
        for layer in range(len(stack.cells)):
            masks = recurrent_matrices(stack.cells[layer])
            if not masks:
                notes.append(f"layer {layer} has no recurrent matrix to scale")
                continue
            factor, tried, reached = self._scaled(stack, layer, masks, wanted)
            evaluations += tried
            if not reached:
                notes.append(
                    f"layer {layer} comes no nearer to λ₁ = {wanted:.3g} than at a factor of {factor:.3g}"
                )
        return Moved(evaluations, "; ".join(notes))

    @torch.no_grad()
    def _scaled(
        self, stack: Stack, layer: int, masks: dict[str, Tensor], wanted: float
    ) -> tuple[float, int, bool]:
        drive = stack.fitting
        inputs, state = stack.below(layer, drive), drive.states[layer]
        parameters = stack.movable(layer, list(masks))
        originals = [parameter.detach().clone() for parameter in parameters]

        def set_to(factor: float) -> None:
            for parameter, original, mask in zip(parameters, originals, masks.values(), strict=True):
                parameter.copy_(torch.where(mask, original * factor, original))

        @cache
        def gap(log_factor: float) -> float:
            set_to(math.exp(log_factor))
            exponent = float(layer_exponents(stack, layer, inputs, state).mean())
            return math.inf if math.isnan(exponent) else exponent - wanted

        best, reached = _nearest_root(gap, self.precision / stack.horizon)
        set_to(math.exp(best))
        return math.exp(best), gap.cache_info().misses, reached

    def distance(self, stack: Stack, drive: Drive, target: float | None) -> float:
        """Mean over layers of |λ₁ - target|."""
        wanted, inputs, gaps = _target(stack, target), drive.inputs, []
        with torch.no_grad():
            for layer, cell in enumerate(stack.cells):
                found = layer_exponents(stack, layer, inputs, drive.states[layer]).mean()
                gaps.append(abs(float(found) - wanted))
                inputs = cell.output(cell.trajectory(inputs, drive.states[layer])[:, 1:])
        return sum(gaps) / len(gaps)


def _target(stack: Stack, target: float | None) -> float:
    return -1 / stack.horizon if target is None else target


def _nearest_root(gap: Callable[[float], float], tolerance: float) -> tuple[float, bool]:
    """Where a function is 0, nearest to 0, and whether it is; else where it is nearest to 0 among places tried."""
    at, step = gap(0.0), math.log(_RATIO)
    tried = {0.0: at}
    if abs(at) <= tolerance:
        return 0.0, True
    for i in range(1, _REACH + 1):
        for way in (-1, 1) if at > 0 else (1, -1):
            here, before = way * i * step, way * (i - 1) * step
            tried[here] = gap(here)
            if (tried[here] > 0) != (tried[before] > 0):
                return _bisected(gap, before, here, tolerance)
    best = min(tried, key=lambda place: (abs(tried[place]), abs(place)))
    for _ in range(_HALVINGS):  # it may be met between the places tried
        step /= 2
        for here in (best - step, best + step):
            if (gap(here) > 0) != (gap(best) > 0):
                return _bisected(gap, best, here, tolerance)
        best = min((best, best - step, best + step), key=lambda place: abs(gap(place)))
    return best, False


def _bisected(gap: Callable[[float], float], low: float, high: float, tolerance: float) -> tuple[float, bool]:
    middle = low
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        found = gap(middle)
        if abs(found) <= tolerance:
            return middle, True
        low, high = (middle, high) if (found > 0) == (gap(low) > 0) else (low, middle)
    return middle, False
