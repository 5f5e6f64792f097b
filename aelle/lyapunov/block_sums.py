"""What intervals add up to between the marks of a run: growth of each block, rounding errors, and the audit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from aelle.lyapunov.rounding import corrections, difference, gaps_of, rounding_bound, rounding_error


class BlockSums:
    """Logarithms of intervals, added up block by block as marks close the blocks.

    The first mark ends the warm-up, each later one a block. Rounding errors count from the very first interval on: a
    direction lost in the warm-up starts the measurement elsewhere, which no measured interval tells.

    Args:
        frame: (rows, k, n), the first.
        exact_derivatives: as `TangentMap` says; else determinants are of the same entries, rounded to noise, and say nothing.
    """

    def __init__(self, frame: Tensor, exact_derivatives: bool) -> None:
        self.rows, self.k, self.n = frame.shape
        self._exact_derivatives = exact_derivatives
        self.rounding = frame.new_zeros(self.rows, self.k)
        self.audit = frame.new_zeros(self.rows)
        self.audited_steps = torch.zeros(self.rows, dtype=torch.long, device=frame.device)
        self._offset: Tensor | None = None  # ln diag R of the frame at the last mark; None before the first
        self._blocks: list[Tensor] = []  # (blocks, rows, k)
        self._logs: list[Tensor] = []  # of the intervals since the last mark, (intervals, rows, k)
        self._residuals: list[Tensor] = []

    @property
    def measuring(self) -> bool:
        """Whether the warm-up has ended."""
        return self._offset is not None

    @property
    def pending(self) -> int:
        """Intervals since the last mark."""
        return sum(len(logs) for logs in self._logs)

    @property
    def logs(self) -> Tensor:
        """Growth of every block, (rows, blocks, k)."""
        return torch.cat(self._blocks).transpose(0, 1)

    def add(self, logs: Tensor, residuals: Tensor | None) -> None:
        """Add intervals, (intervals, rows, k), with the residuals (intervals, rows) of their sums, where these are known."""
        self._logs.append(logs)
        if residuals is not None:
            self._residuals.append(residuals)

    def add_residuals(self, residuals: Tensor, steps: int) -> None:
        """Add finite residuals (intervals, rows), of so many steps in all, to the audit."""
        self.audit += residuals.sum(0)
        self.audited_steps += steps

    def add_audit(self, sums: Tensor, expected: Tensor, interval: int) -> None:
        """Compare sums of intervals, (intervals, rows), with their determinants, where these say something."""
        told = expected.isfinite() | (sums == expected)
        self.audit += torch.where(told, difference(sums, expected), 0.0).sum(0)
        self.audited_steps += interval * told.sum(0)

    def mark(
        self,
        read_off: Tensor,
        before: Sequence[int] | None = None,
        dead: Tensor | None = None,
        ended: Tensor | None = None,
    ) -> None:
        """Close blocks: ln diag R (marks, rows, k) is that of the whole product at each mark.

        Args:
            read_off: ln diag R.
            before: intervals not yet closed that come before each mark; of one mark, all of them where None.
            dead: directions (rows, k) that have ended, or None.
            ended: those of them that are known to have.
        """
        if self._logs:
            self._close(read_off, [self.pending] if before is None else before, dead, ended)
        self._offset = read_off[-1]

    def _close(
        self, read_off: Tensor, before: Sequence[int], dead: Tensor | None, ended: Tensor | None
    ) -> None:
        closed, marks = before[-1], len(before)
        logs, residuals = _joined(self._logs), _joined(self._residuals) if self._residuals else None
        self._logs = [logs[closed:]] if closed < len(logs) else []
        self._residuals = [residuals[closed:]] if residuals is not None and closed < len(logs) else []
        logs = logs[:closed]
        known = residuals[:closed] if residuals is not None and self._exact_derivatives else None
        counts = [after - first for first, after in zip([0, *before], before, strict=False)]
        block = torch.arange(marks).repeat_interleave(torch.tensor(counts)).to(logs.device)
        bound = rounding_bound(gaps_of(logs, ended), self.n)
        self.rounding += rounding_error(bound, self.n, known, block, marks).sum(0)
        measured = slice(0 if self._offset is not None else 1, None)  # the first mark ends the warm-up
        first = read_off[:1] if self._offset is None else self._offset.unsqueeze(0)
        growth = logs.new_zeros(marks, self.rows, self.k).index_add_(0, block, logs)
        growth += read_off - torch.cat([first, read_off[:-1]])
        if known is not None:
            growth -= corrections(bound, known, dead, block, marks)
        if self.k == self.n:
            self.audit += (read_off[-1] - first[0]).sum(-1)
        if marks > 1 or self._offset is not None:
            self._blocks.append(growth[measured])


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
