"""The scalar LSTM with exponential gates (Beck, Pöppel, Spanring, Auer, Prudnikova, Kopp, Klambauer, Brandstetter &
Hochreiter 2024, NeurIPS, arXiv:2405.04517).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

from aelle.recurrent.cell import (
    Cell,
    log_abs_det_of,
    log_sigmoid_slope,
    sigmoid_slope,
    tanh_slope,
)


class SLSTM(Cell):
    """sLSTM: c' = F c + I z, n' = F n + I, h' = σ(a_o) c'/n', with I = exp a_i, F = σ(a_f) and z = tanh a_z.

    Section 2.2 of the paper, one head. Exponential gates overflow; the paper carries c and n scaled by exp(-m),
    a third number that only says the scale, so that the state has a direction that means nothing. Here the state
    is what means something and cannot overflow, the content r = c/n and the weight l = ln n:
        w = σ(ln F + l - a_i),    r' = w r + (1 - w) z,    l' = ln(F exp l + exp a_i),    h' = σ(a_o) r'.
    It is the same map: h, c and n come out equal. State (h, r, l), n = 3H; zeros mean c = 0 with n = 1.

    weight_ih (4H, I) and weight_hh (4H, H) hold i, f, z and o, one above the other.

    Options:
        exponential_forget: 1 for F = exp a_f, the paper's other choice; 0.
    """

    architecture = "slstm"
    state_parts = ("h", "content", "log_weight")
    gates = 4
    default_options: ClassVar[Mapping[str, float]] = {"exponential_forget": 0.0}

    def _parts(self, x: Tensor, state: Tensor) -> tuple[Tensor, ...]:
        """a_i, a_f, z's and o's pre-activations, and u = ln F + l - a_i."""
        h, _, weight = self.split(state)
        a_i, a_f, a_z, a_o = (self._from_input(x) + self._from_hidden(h)).chunk(4, dim=-1)
        log_f = a_f if self.options["exponential_forget"] else logsigmoid(a_f)
        return a_i, a_f, a_z, a_o, log_f + weight - a_i

    def step(self, x: Tensor, state: Tensor) -> Tensor:
        """(h, r, l) → (σ(a_o) r', w r + (1 - w) z, a_i + ln(1 + exp u))."""
        a_i, _, a_z, a_o, u = self._parts(x, state)
        content = torch.lerp(self.split(state)[1], torch.tanh(a_z), torch.sigmoid(-u))
        return torch.cat([torch.sigmoid(a_o) * content, content, a_i + _log_of_one_and(u)], dim=-1)

    def jacobian(self, x: Tensor, state: Tensor) -> Tensor:
        """Blocks by chain rule through u, the logarithm of what is kept over what comes in."""
        _, a_f, a_z, a_o, u = self._parts(x, state)
        content, z, kept = self.split(state)[1], torch.tanh(a_z), torch.sigmoid(u)
        new, o = torch.lerp(content, z, torch.sigmoid(-u)), torch.sigmoid(a_o)
        by_u = (content - z) * sigmoid_slope(u)
        forget = torch.ones_like(a_f) if self.options["exponential_forget"] else torch.sigmoid(-a_f)
        w_i, w_f, w_z, w_o = self._recurrent_blocks()
        u_by_h = _rows(forget, w_f) - w_i
        r_by_h = _rows(by_u, u_by_h) + _rows(torch.sigmoid(-u) * tanh_slope(a_z), w_z)
        h_by_h = _rows(o, r_by_h) + _rows(sigmoid_slope(a_o) * new, w_o)
        l_by_h = w_i + _rows(kept, u_by_h)
        diagonal, zero = torch.diag_embed, torch.zeros_like(h_by_h)
        rows = (
            [h_by_h, diagonal(o * kept), diagonal(o * by_u)],
            [r_by_h, diagonal(kept), diagonal(by_u)],
            [l_by_h, zero, diagonal(kept)],
        )
        return torch.cat([torch.cat(row, dim=-1) for row in rows], dim=-2)

    def log_abs_det(self, x: Tensor, state: Tensor) -> Tensor:
        """ln|det R_o| + Σ ln σ'(a_o) + Σ ln|r'| + 2 Σ ln w: take σ(a_o) times the r' rows from the h' rows."""
        _, _, a_z, a_o, u = self._parts(x, state)
        new = torch.lerp(self.split(state)[1], torch.tanh(a_z), torch.sigmoid(-u))
        per_unit = log_sigmoid_slope(a_o) + new.abs().log() + 2 * logsigmoid(u)
        return log_abs_det_of(self.weight_hh.chunk(4, dim=-2)[3]) + per_unit.sum(-1)


def _rows(factors: Tensor, matrix: Tensor) -> Tensor:
    """diag(factors) times a matrix."""
    return factors.unsqueeze(-1) * matrix


def _log_of_one_and(u: Tensor) -> Tensor:
    """ln(1 + exp u) to rounding: torch's softplus drops exp(-u) above its threshold."""
    return softplus(u, threshold=40.0)
