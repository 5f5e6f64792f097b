"""Systems whose spectra are known, for tests."""

import torch

from aelle.spectra import DrivenMap


def henon(a=1.4, b=0.3):
    """The Hénon map: exponents 0.41922, -1.62320 at the classical parameters; the determinant is -b."""
    return DrivenMap(lambda x, s: torch.stack([1 - a * s[0] ** 2 + s[1], b * s[0]]), 2)


def lorenz(t, y, sigma=10.0, rho=28.0, beta=8 / 3):
    """Right-hand side of Lorenz (1963): exponents 0.9056, 0, -14.5723 per unit of time; divergence -σ - 1 - β."""
    u, v, w = y.unbind(-1)
    return torch.stack([sigma * (v - u), u * (rho - w) - v, u * v - beta * w], dim=-1)


def rossler(t, y, a=0.2, b=0.2, c=5.7):
    """Right-hand side of Rössler (1976): exponents 0.0714, 0, -5.3943 per unit of time; divergence a + u - c."""
    u, v, w = y.unbind(-1)
    return torch.stack([-v - w, u + a * v, b + w * (u - c)], dim=-1)


def lorenz_96(t, y, forcing=8.0):
    """Right-hand side of Lorenz (1996): 40 variables at F = 8 have λ₁ 1.68 and dimension 27.1; divergence -n."""
    before = torch.roll(y, 1, -1)
    return (torch.roll(y, -1, -1) - torch.roll(y, 2, -1)) * before - y + forcing
