"""Leading exponents that can be differentiated: exponents as a regulariser."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from aelle.lyapunov.arguments import generator_of, steps_or_auto, whole_number
from aelle.lyapunov.differentiable import differentiable_exponents
from aelle.lyapunov.factorise import random_frame
from aelle.lyapunov.inputs import as_sequences, plan_steps
from aelle.lyapunov.undisturbed import undisturbed
from aelle.modules.conversion import is_convertible, required_cells
from aelle.modules.driving import as_read_by
from aelle.modules.wrappers import unwrapped
from aelle.recurrent.cell import Cell
from aelle.recurrent.convert import initial_states
from aelle.recurrent.flat import attached_cells
from aelle.spectra.systems import number_of


@undisturbed
def leading_exponents(
    system: nn.Module,
    inputs: Tensor,
    k: int = 1,
    *,
    warmup: int | str = 30,
    trajectory: str = "full",
    dtype: torch.dtype | None = None,
    initial_state: Any = None,
    generator: torch.Generator | int | None = None,
) -> Tensor:
    """Leading exponents with a graph back to the system's parameters: exponents as a regulariser.

    Args:
        system: recurrent module, cell or network whose parameters require gradients.
        inputs: as `lyapunov_spectrum` reads them; the first `warmup` steps are a transient.
        k: number of exponents.
        warmup: steps of transient, or "auto" as in `lyapunov_spectrum`; gradients flow through it unless the
            trajectory is frozen.
        trajectory: "full" differentiates the trajectory too; "frozen" holds the states fixed and
            differentiates only how the Jacobians depend on the parameters, which stays tame in chaos.
        dtype: precision; that of the parameters where None, and float32 of half-precision ones.
        initial_state: as `lyapunov_spectrum` takes it.
        generator: for the first frame.

    Returns:
        exponents (k,), descending, in nats per step.

    Raises:
        ValueError: for settings or inputs that do not fit.
    """
    if trajectory not in ("full", "frozen"):
        raise ValueError(f'trajectory must be "full" or "frozen", got {trajectory!r}')
    system = unwrapped(system)
    if not isinstance(system, nn.Module) or not is_convertible(system):
        raise TypeError(f"leading_exponents takes modules with a closed form, not {type(system).__name__}")
    own = next(system.parameters()).dtype
    dtype = dtype or (torch.float32 if own in (torch.float16, torch.bfloat16) else own)
    sequences = as_sequences(as_read_by(system, inputs))
    if len({len(sequence) for sequence in sequences}) > 1:
        raise ValueError("leading_exponents needs sequences of one length")
    length, generator = len(sequences[0]), generator_of(generator)
    transient = steps_or_auto("warmup", warmup)
    if isinstance(transient, str):
        transient = plan_steps(length, None, transient)[0]
    if length <= transient:
        raise ValueError(f"a sequence of {length} steps leaves none to measure after {transient} of warm-up")
    with torch.no_grad():
        checked = required_cells(system, dtype, sequences, "leading_exponents", initial_state)
    cells: list[Cell] = attached_cells(system, checked, dtype)
    states = initial_states(
        [cell.state_size for cell in cells],
        len(sequences),
        initial_state,
        dtype,
        next(checked[0].parameters()).device,
    )
    size = sum(cell.state_size for cell in cells)
    k = whole_number("k", k)
    number_of(k, size)
    frames = [
        random_frame(cell.state_size, min(k, cell.state_size), dtype, like.device, generator).mT
        for cell, like in zip(cells, states, strict=True)
    ]
    exponents = differentiable_exponents(
        [cell.step for cell in cells],
        [cell.output for cell in cells],
        torch.stack(sequences).to(states[0]),
        states,
        frames,
        warmup=transient,
        frozen=trajectory == "frozen",
    )
    return exponents[:k]
