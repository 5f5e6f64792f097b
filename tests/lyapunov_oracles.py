"""Independent arithmetic that spectra are held to."""

import mpmath
import torch

from aelle.lyapunov.block_run import BlockTangent
from aelle.lyapunov.block_tangent import with_structure
from aelle.lyapunov.cell_tangent import CellTangent
from aelle.lyapunov.factorise import random_frame
from aelle.recurrent.registry import ARCHITECTURES
from aelle.spectra import DrivenMap, lyapunov_spectrum


def as_map(cell):
    """A cell as a map of one flat state, with the cell's own closed-form Jacobian."""
    return DrivenMap(
        lambda x, s: cell.step(x.unsqueeze(0), s.unsqueeze(0)).squeeze(0),
        cell.state_size,
        lambda x, s: cell.jacobian(x.unsqueeze(0), s.unsqueeze(0)).squeeze(0),
    )


def mp_exponents(jacobians, frame, steps, digits=60):
    """ln diag R of the whole product by modified Gram-Schmidt, once per step, descending; -inf where singular.

    Args:
        jacobians: mpmath matrices, first to last.
        frame: tensor (n, k).
        steps: how many of the last steps are measured.
        digits: precision.
    """
    mpmath.mp.dps = digits
    Q = mpmath.matrix(frame.tolist())
    n, k = Q.rows, Q.cols
    sums = [mpmath.mpf(0)] * k
    for t, J in enumerate(jacobians):
        Z = J * Q
        for j in range(k):
            before = mpmath.sqrt(sum(Z[a, j] ** 2 for a in range(n)))
            for i in range(j):
                r = sum(Z[a, i] * Z[a, j] for a in range(n))
                for a in range(n):
                    Z[a, j] -= r * Z[a, i]
            r = mpmath.sqrt(sum(Z[a, j] ** 2 for a in range(n)))
            # What is left below the precision of its own subtraction is nothing: the product is singular.
            if r <= before * mpmath.mpf(10) ** (10 - digits):
                r = mpmath.mpf(0)
            if t >= len(jacobians) - steps:
                sums[j] += mpmath.log(r) if r else -mpmath.inf
            for a in range(n):
                Z[a, j] = Z[a, j] / r if r else mpmath.mpf(0)
        Q = Z
    return sorted((float(s / steps) for s in sums), reverse=True)


def against_many_digits(name, size, gain, seed, warmup=10, steps=20, digits=80):
    """Errors of a random cell's exponents against many digits, the stated ones, and how many are trusted.

    None where a Jacobian of the warm-up is singular, since what begins anew there depends on how; where the engine
    takes it by blocks, which have first frames of their own; and where Jacobians rounded to 64 bits have lost their
    determinant (a saturated LSTM's), so that many digits of them tell nothing.
    """
    torch.manual_seed(seed)
    cell = ARCHITECTURES[name](2, size, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(1, warmup + steps, 2, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.mul_(gain)
        states = cell.trajectory(inputs, cell.initial_state(1))[0]
        jacobians = cell.jacobian(inputs[0], states[:-1])
        singular = torch.linalg.svdvals(jacobians[:warmup])
    if isinstance(with_structure(CellTangent(cell), cell.state_size), BlockTangent):
        return None
    if not states.isfinite().all() or bool((singular[:, -1] <= 1e-14 * singular[:, 0]).any()):
        return None
    n = cell.state_size
    frame = random_frame(n, n, torch.float64, inputs.device, None).mT
    expected = mp_exponents([mpmath.matrix(J.tolist()) for J in jacobians], frame, steps, digits)
    closed = cell.log_abs_det(inputs[0, warmup:], states[warmup:-1])
    if closed is not None and abs(float(closed.detach().mean()) - sum(expected)) > 1e-6:
        return None
    spectrum = lyapunov_spectrum(cell, inputs, warmup=warmup)
    found = spectrum.exponents.tolist()
    errors = [0.0 if a == b else abs(a - b) for a, b in zip(found, expected, strict=True)]
    return errors, spectrum.rounding_error.tolist(), spectrum.trusted
