"""Spectra of modules by a plain QR loop on automatic Jacobians, one sequence at a time: what aelle is held to."""

import torch
from torch.autograd.functional import jacobian as automatic

from aelle.lyapunov.factorise import random_frame


def plain_exponents(step, inputs, states, warmup):
    """Exponents of step(x, s) on flat rows, pooled over sequences, descending.

    Args:
        step: (input of one sequence, flat state (n,)) to the next flat state.
        inputs: (batch, time, ...), float64.
        states: (batch, n), initial.
        warmup: first steps, not measured.
    """
    n = states.shape[1]
    sums = torch.zeros(n, dtype=torch.float64)
    for sequence, s in zip(inputs, states, strict=True):
        frame = random_frame(n, n, torch.float64, torch.device("cpu"), None).mT
        for t, x in enumerate(sequence):
            frame, r = torch.linalg.qr(automatic(lambda state, x=x: step(x, state), s) @ frame)
            if t >= warmup:
                sums += r.diagonal().abs().log()
            s = step(x, s).detach()
    return (sums / (len(inputs) * (inputs.shape[1] - warmup))).sort(descending=True).values
