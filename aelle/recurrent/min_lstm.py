"""The minimal long short-term memory (Feng, Tung, Ahmed, Bengio & Hajimirsadeghi 2024, arXiv:2410.01201)."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from aelle.recurrent.min_gru import MinGRU


class MinLSTM(MinGRU):
    """h' = f h + i n with f = σ(W_f x + b_f), i = σ(W_i x + b_i), both divided by f + i, and n = W_n x + b_n.

    Section 3.2 of the paper. Divided by their sum, the gates are 1 - z and z of a minimal GRU with
    ln(z / (1 - z)) = ln i - ln f: everything else is `MinGRU`'s.

    weight_ih (3H, I) and bias_ih (3H,) hold f, i and n, one above the other.
    """

    architecture = "minlstm"
    gates = 3

    def gate(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """ln i - ln f and n, from W x + b."""
        a_f, a_i, n = projected.chunk(3, dim=-1)
        return logsigmoid(a_i) - logsigmoid(a_f), n
