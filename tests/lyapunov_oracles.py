"""Independent arithmetic that spectra are held to."""

import mpmath

from aelle.spectra import DrivenMap


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
