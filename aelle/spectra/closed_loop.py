"""A network under its inputs against the same network fed by its own output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aelle.lyapunov.driven_map import DrivenMap
from aelle.lyapunov.inputs import Inputs, as_sequences
from aelle.lyapunov.result import LyapunovSpectrum
from aelle.lyapunov.undisturbed import undisturbed
from aelle.modules.conversion import required_cells
from aelle.modules.driving import as_read_by
from aelle.modules.wrappers import unwrapped
from aelle.recurrent.flat import closed_loop, readout_of
from aelle.spectra.front import lyapunov_spectrum


@dataclass(frozen=True)
class DrivenAndGenerative:
    """Spectra of one network under its inputs, and fed by its own output.

    Attributes:
        conditional: under the inputs (teacher forcing).
        generative: in closed loop, from where the inputs ended.
    """

    conditional: LyapunovSpectrum
    generative: LyapunovSpectrum

    @property
    def difference(self) -> Tensor:
        """Generative minus conditional exponents, (n,)."""
        return self.generative.exponents - self.conditional.exponents


@undisturbed
def conditional_vs_generative(
    network: nn.Module,
    inputs: Inputs,
    *,
    readout: Callable[[Tensor], Tensor] | None = None,
    steps: int | None = None,
    warmup: int | str = "auto",
    dtype: torch.dtype = torch.float64,
) -> DrivenAndGenerative:
    """Compare the driven (conditional) spectrum with that of the closed loop, where the output feeds the input.

    A generator that is stable under teacher forcing may be chaotic on its own, or fall silent.

    Args:
        network: aelle network with a readout to its inputs, or any recurrent module with `readout` given.
        inputs: as `lyapunov_spectrum` reads them.
        readout: map from the last hidden vector to the next input; the network's own where None.
        steps: measured steps of the closed loop; as many as of the driven run where None.
        warmup: transient of both runs, as in `lyapunov_spectrum`.
        dtype: precision.

    Raises:
        ValueError: where there is no readout, or it does not give an input.
    """
    with torch.no_grad():
        network = unwrapped(network)
        sequences = as_sequences(as_read_by(network, inputs))
        cells = required_cells(network, dtype, sequences, "the closed loop")
        feed_back = readout_of(network, readout, dtype)
        fed = feed_back(cells[-1].output(cells[-1].initial_state(1)))
        if fed.shape[-1] != cells[0].input_size:
            raise ValueError(
                f"the readout gives {fed.shape[-1]} numbers, but the network takes {cells[0].input_size}"
            )
    conditional = lyapunov_spectrum(network, sequences, warmup=warmup, dtype=dtype)
    assert conditional.position is not None
    loop = DrivenMap(closed_loop(cells, feed_back), sum(cell.state_size for cell in cells))
    generative = lyapunov_spectrum(
        loop,
        steps=conditional.steps if steps is None else steps,
        warmup=warmup,
        dtype=dtype,
        initial_state=torch.cat(conditional.position.states, dim=-1),
    )
    return DrivenAndGenerative(conditional, generative)
