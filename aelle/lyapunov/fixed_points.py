"""Fixed and slow points of a map by batched minimisation of its speed (Sussillo & Barak 2013, Neural Comput. 25:626).

The speed of a state s under the map F is q(s) = ½ |F(s) - s|². Its zeros are the fixed points of F; a local
minimum above zero is a slow point, near which a trajectory lingers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from aelle.lyapunov.speed import StateMap, minimise, newton_step, size_of

MARGIN = 1e-6
"""Distance from 1 within which the modulus of an eigenvalue does not tell growth from decay."""

_NEIGHBOURS = 1e-3  # relative distance within which slow points, and badly located fixed points, are one


@dataclass(frozen=True)
class FixedPoints:
    """Fixed and slow points of one map, the slowest first.

    Attributes:
        points: (m, n).
        speed: q = ½ |F(s) - s|² of each, (m,).
        fixed: whether F(s) - s vanishes up to rounding, (m,); the others are slow points.
        eigenvalues: of ∂F/∂s at each point, complex, (m, n), by descending modulus.
        location_error: length of one more Newton step, (m,): how far off a fixed point may be; NaN for slow ones.
        found: how many starts ended at each point, (m,).
        lost: how many starts ended at none: where the speed has no minimum, or too large a one.
        dt: time of one step, or None.
    """

    points: Tensor
    speed: Tensor
    fixed: Tensor
    eigenvalues: Tensor
    location_error: Tensor
    found: Tensor
    lost: int
    dt: float | None = None

    @property
    def exponents(self) -> Tensor:
        """ln |μ| of the eigenvalues, (m, n), per step, or per unit of time where the map has a `dt`.

        At a stable fixed point they are the Lyapunov exponents of every trajectory that ends there.
        """
        return self.eigenvalues.abs().log() / (self.dt or 1.0)

    @property
    def unstable_directions(self) -> Tensor:
        """How many eigenvalues of each point lie outside the unit circle, (m,)."""
        return (self.eigenvalues.abs() > 1 + MARGIN).sum(-1)

    @property
    def stability(self) -> list[str]:
        """What the linearisation says of each point.

        "stable": all eigenvalues inside the unit circle. "unstable": all outside. "saddle": some inside, some
        outside. "marginal": none outside, and some within 1e-6 of the circle, so that linearisation does not decide.
        """
        moduli = self.eigenvalues.abs()
        names = []
        for largest, smallest in zip(moduli.amax(-1).tolist(), moduli.amin(-1).tolist(), strict=True):
            if largest < 1 - MARGIN:
                names.append("stable")
            elif largest <= 1 + MARGIN:
                names.append("marginal")
            else:
                names.append("saddle" if smallest < 1 - MARGIN else "unstable")
        return names

    def to_frame(self) -> Any:
        """Return a pandas DataFrame, one row a point."""
        import pandas as pd

        return pd.DataFrame(
            {
                "kind": ["fixed" if is_fixed else "slow" for is_fixed in self.fixed.tolist()],
                "stability": self.stability,
                "unstable_directions": self.unstable_directions.cpu().numpy(),
                "largest_modulus": self.eigenvalues.abs().amax(-1).cpu().numpy(),
                "speed": self.speed.cpu().numpy(),
                "location_error": self.location_error.cpu().numpy(),
                "found": self.found.cpu().numpy(),
            }
        )

    def __len__(self) -> int:
        return len(self.points)

    def __repr__(self) -> str:
        kinds = self.to_frame().groupby(["kind", "stability"]).size()
        found = ", ".join(f"{count} {kind} {stability}" for (kind, stability), count in kinds.items())
        starts = int(self.found.sum()) + self.lost
        return f"FixedPoints({found or 'none'}; {starts - self.lost} of {starts} starts ended at one)"


def points_from(
    step: StateMap, jacobian: StateMap, starts: Tensor, *, slowest: float, iterations: int
) -> FixedPoints:
    """Minimise the speed from every start, and keep one of each point found.

    Args:
        step: F, on states (rows, n).
        jacobian: ∂F/∂s, (rows, n, n).
        starts: (rows, n).
        slowest: largest speed at which a minimum counts as a slow point.
        iterations: at most, of each start.
    """
    rows = max(1, 16_000_000 // starts.shape[1] ** 2)
    from_starts = lambda s: minimise(step, jacobian, s, rows, slowest, iterations)  # noqa: E731
    states, residuals, ended = from_starts(starts)
    matrices = _at_a_time(jacobian, states, rows)
    fixed = _is_zero(residuals, states, matrices)
    slow = ended & (residuals.square().sum(-1) / 2 <= slowest)
    again = (~fixed & slow).nonzero().squeeze(-1)
    if len(again):  # a start on a maximum or saddle of the speed stays there: only a minimum survives a nudge
        states[again], residuals[again], ended[again] = from_starts(_nudged(states[again]))
        matrices[again] = _at_a_time(jacobian, states[again], rows)
        fixed = _is_zero(residuals, states, matrices)
    speed, size = residuals.square().sum(-1) / 2, size_of(states)
    kept = fixed | (ended & (speed <= slowest))
    error = newton_step(matrices, residuals).norm(dim=-1).nan_to_num(torch.inf, torch.inf)
    near = torch.where(fixed, 1e-7 * size + 4 * error.clamp(max=_NEIGHBOURS * size), _NEIGHBOURS * size)
    order = torch.arange(len(states), device=states.device)[kept]
    order = order[speed[order].argsort(stable=True)]
    chosen, found = _distinct(states[order], near[order], fixed[order])
    index = order[chosen]
    eigenvalues = _eigenvalues(matrices[index])
    return FixedPoints(
        states[index],
        speed[index],
        fixed[index],
        eigenvalues,
        torch.where(fixed, error, torch.nan)[index],
        found,
        int((~kept).sum()),
    )


def _is_zero(residuals: Tensor, states: Tensor, jacobians: Tensor) -> Tensor:
    """Whether F(s) - s is no more than what rounding leaves of it at the very best."""
    rounding = 64 * torch.finfo(states.dtype).eps * (1 + jacobians.flatten(1).norm(dim=-1)) * size_of(states)
    return residuals.norm(dim=-1) <= rounding


def _nudged(states: Tensor) -> Tensor:
    direction = torch.randn(states.shape, generator=torch.Generator().manual_seed(0)).to(states)
    step = _NEIGHBOURS * size_of(states) / direction.norm(dim=-1)
    return states + step.unsqueeze(-1) * direction


def _eigenvalues(matrices: Tensor) -> Tensor:
    values = [torch.linalg.eigvals(matrix) for matrix in matrices]
    if not values:
        return matrices.new_zeros(0, matrices.shape[-1], dtype=torch.complex128)
    return torch.stack([v[v.abs().argsort(descending=True)] for v in values])


def _at_a_time(function: StateMap, states: Tensor, rows: int) -> Tensor:
    return torch.cat([function(part) for part in states.split(rows)])


def _distinct(states: Tensor, near: Tensor, fixed: Tensor) -> tuple[Tensor, Tensor]:
    """Positions of one state for each point, in order, and how many states each stands for."""
    left = torch.ones(len(states), dtype=torch.bool, device=states.device)
    chosen, found = [], []
    for i in range(len(states)):
        if not left[i]:
            continue
        same = left & ((states - states[i]).norm(dim=-1) <= torch.maximum(near, near[i]))
        same &= ~fixed | fixed[i]  # a slow point never takes a fixed one away
        left &= ~same
        chosen.append(i)
        found.append(int(same.sum()))
    return torch.tensor(chosen, dtype=torch.long), torch.tensor(found, dtype=torch.long)
