"""What a network in training is watched by: a few numbers of one economy look."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from aelle.integrations.rule import IntegrationError
from aelle.lyapunov.estimates import kaplan_yorke_dimension
from aelle.modules.wrappers import unwrapped
from aelle.spectra.look import EXPONENTS, look
from aelle.spectra.parts import driven_parts, is_larger_model

FLOOR = math.log(torch.finfo(torch.float32).eps)
"""About -16 nats: gradients of a step that are smaller by more are lost in float32's rounding of the last step's."""

NO_GRADIENT = -600.0
"""A readout whose ln norm is below this reads nothing (weights of zero): gradients through it say nothing."""


@dataclass(frozen=True)
class Reading:
    """A network after some epochs of training, in nats; plain numbers and lists alone.

    Attributes:
        epoch: epochs of training it has had.
        leading: leading exponents, descending, per step: as many as the Kaplan-Yorke dimension needs, and more.
        mean_exponent: of all exponents, per step; NaN where the architecture has no closed-form determinant.
        kaplan_yorke_dimension: of the finite-time exponents; 0 where the largest is negative.
        readout_growth: ln ‖∂(u · y_T)/∂s_{T-τ}‖ at each lag.
        lags: the lags τ, in steps, from 0 to the length of the sequences.
        horizon: how many steps back gradients are to reach.
        seconds: what the look took.
    """

    epoch: int
    leading: list[float]
    mean_exponent: float
    kaplan_yorke_dimension: float
    readout_growth: list[float]
    lags: list[int]
    horizon: int
    seconds: float

    @property
    def growth_at_horizon(self) -> float:
        """Readout growth at the horizon, interpolated between the lags of the look."""
        return float(np.interp(self.horizon, self.lags, self.readout_growth))

    def reach(self, floor: float = FLOOR) -> int:
        """Steps back to which the gradient stays above e^floor of what it is at the last step, at most the horizon.

        The horizon too where the readout reads nothing, as with weights of zero: then there is no gradient to fade.
        """
        last = self.readout_growth[0]
        if last < NO_GRADIENT:
            return self.horizon
        for step in range(1, self.horizon + 1):
            if float(np.interp(step, self.lags, self.readout_growth)) - last < floor:
                return step - 1
        return self.horizon

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON or a checkpoint; `Reading(**data)` undoes it."""
        return asdict(self)


def read(
    model: nn.Module,
    inputs: Any,
    epoch: int,
    *,
    readout: nn.Linear | str | None = None,
    horizon: int | None = None,
    part: str | None = None,
    exponents: int = EXPONENTS,
) -> Reading:
    """Look at a network, or at the recurrent part of a larger model as the model's own forward drives it.

    Args:
        model: as `aelle.look` takes it, or a larger model with a recurrent part.
        inputs: as `aelle.look` takes them; of a larger model, what its forward takes: a tensor, a tuple of arguments, a
            dict of named ones.
        epoch: epochs of training it has had.
        readout: the linear map that reads the last hidden vector, or its qualified name in the model.
        horizon: steps back that gradients are to reach; the length of the sequences where None.
        part: qualified name of the recurrent part; where None, the only one.
        exponents: how many leading exponents at least.

    Raises:
        IntegrationError: for several recurrent parts and none named, a readout that is not there, or a horizon beyond
            the sequences.
        TypeError, ValueError: as `aelle.look`, and `aelle.lyapunov_spectrum` for a part.
    """
    model = unwrapped(model)
    read_by = _readout(model, readout)
    network, sequences, begun = _recurrent(model, inputs, part)
    k = max(1, exponents)
    while True:
        seen = look(network, sequences, read_by, k=k, initial_state=begun)
        taken = len(seen.leading)
        if taken < k or bool((seen.leading.cumsum(0) < 0).any()):
            break
        k *= 2  # the dimension lies beyond these
    length = seen.lags[-1]
    if horizon is not None and not 1 <= horizon <= length:
        raise IntegrationError(
            f"horizon must lie between 1 and the {length} steps of the inputs, got {horizon}"
        )
    return Reading(
        epoch=int(epoch),
        leading=seen.leading.tolist(),
        mean_exponent=float(seen.mean_exponent),
        kaplan_yorke_dimension=kaplan_yorke_dimension(seen.leading),
        readout_growth=seen.readout_growth.tolist(),
        lags=list(seen.lags),
        horizon=length if horizon is None else int(horizon),
        seconds=seen.seconds,
    )


def scalars(reading: Reading, floor: float = FLOOR) -> dict[str, float]:
    """The numbers to log, by name; those that are not finite are left out."""
    named = {
        "aelle/lambda_1": reading.leading[0],
        "aelle/mean_exponent": reading.mean_exponent,
        "aelle/kaplan_yorke_dimension": reading.kaplan_yorke_dimension,
        "aelle/readout_growth_at_horizon": reading.growth_at_horizon,
        "aelle/gradient_reach": float(reading.reach(floor)),
        "aelle/look_seconds": reading.seconds,
    }
    return {name: value for name, value in named.items() if math.isfinite(value)}


def finite(model: nn.Module) -> bool:
    """Whether every parameter is."""
    return all(bool(parameter.isfinite().all()) for parameter in model.parameters())


def _recurrent(model: nn.Module, inputs: Any, part: str | None) -> tuple[nn.Module, Any, Any]:
    """The module to look at, what drives it and the state it begins with."""
    if not is_larger_model(model, part):
        return model, inputs, None
    parts = driven_parts(model, inputs, part)
    if len(parts) > 1:
        raise IntegrationError(
            f"the model has several recurrent parts; name one with part=: {', '.join(parts)}"
        )
    module, sequences, begun = next(iter(parts.values()))
    return unwrapped(module), sequences, begun


def _readout(model: nn.Module, given: nn.Linear | str | None) -> nn.Linear | None:
    if not isinstance(given, str):
        return given
    found = dict(model.named_modules()).get(given)
    if isinstance(found, nn.Linear):
        return found
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    raise IntegrationError(
        f"the model has no torch.nn.Linear {given!r} to read with; it has {', '.join(linear) or 'none'}"
    )


def as_mapping(data: Any, keys: set[str], what: str) -> Mapping[str, Any]:
    """A saved state with these keys; IntegrationError for anything else."""
    if not isinstance(data, Mapping) or not keys <= set(data):
        raise IntegrationError(f"not the saved state of {what}: it needs {', '.join(sorted(keys))}")
    return data
