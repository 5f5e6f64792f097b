"""The long short-term memory with a recurrent projection (Sak, Senior & Beaufays 2014, arXiv:1402.1128)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from aelle.recurrent.cell import Cell
from aelle.recurrent.lstm import LSTM, gates_of, stepped
from aelle.recurrent.projected import log_abs_det_by_parts


class LSTMP(Cell):
    """State (h, c), n = P + H: c' = f c + i g, h' = W_hr (o tanh c'); torch.nn.LSTM with proj_size = P.

    Parameters as torch.nn.LSTM has them: weight_hh (4H, P), weight_hr (P, H). P is the option `proj_size`.
    """

    architecture = "lstmp"
    state_parts = ("h", "c")
    gates = 4
    default_options: ClassVar = {"proj_size": 1}
    weight_hr: Tensor

    def _parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """As every cell's, with P columns of weight_hh, and weight_hr (P, H)."""
        shapes = super()._parameter_shapes()
        rows = self.gates * self.hidden_size
        return shapes | {
            "weight_hh": (rows, self.output_size),
            "weight_hr": (self.output_size, self.hidden_size),
        }

    @property
    def output_size(self) -> int:
        """P."""
        return int(self.options["proj_size"])

    @property
    def state_size(self) -> int:
        """n = P + H."""
        return self.output_size + self.hidden_size

    def split(self, state: Tensor) -> tuple[Tensor, ...]:
        """h of P components, c of H."""
        return state.split([self.output_size, self.hidden_size], dim=-1)

    def step(self, x: Tensor, state: Tensor) -> Tensor:
        """(h, c) → (W_hr (o tanh c'), f c + i g)."""
        h, c = self.split(state)
        hidden, c = stepped(gates_of(self, x, h), c)
        return torch.cat([hidden @ self.weight_hr.mT, c], dim=-1)

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """Blocks [[∂h'/∂h, ∂h'/∂c], [∂c'/∂h, ∂c'/∂c]]; those of h' are W_hr times those of an LSTM."""
        h, c = self.split(state)
        by_gate, output, f, shear = LSTM.gains(gates_of(self, x, h), c)
        w_i, w_f, w_g, w_o = self._recurrent_blocks()
        gated = [gain.unsqueeze(-1) * w for gain, w in zip(by_gate, (w_i, w_f, w_g), strict=True)]
        c_by_h = gated[0] + gated[1] + gated[2]
        projection = self.weight_hr.unsqueeze(-3)
        h_by_h = projection @ (output.unsqueeze(-1) * w_o + shear.unsqueeze(-1) * c_by_h)
        h_by_c = projection * (shear * f).unsqueeze(-2)
        top = torch.cat([h_by_h, h_by_c], dim=-1)
        return torch.cat([top, torch.cat([c_by_h, torch.diag_embed(f)], dim=-1)], dim=-2)

    def log_abs_det(self, x: Tensor, state: Tensor) -> Tensor:
        """ln|det W_hr diag(o' tanh c') W_o| + Σ ln f: the c' rows eliminated from those of h'."""
        h, c = self.split(state)
        _, _, f, _ = LSTM.gains(gates_of(self, x, h), c)
        return log_abs_det_by_parts(self._projected_output_block, x, state) + f.log().sum(-1)

    def _projected_output_block(self, x: Tensor, state: Tensor) -> Tensor:
        h, c = self.split(state)
        _, output, _, _ = LSTM.gains(gates_of(self, x, h), c)
        return self.weight_hr.unsqueeze(-3) @ (output.unsqueeze(-1) * self._recurrent_blocks()[3])
