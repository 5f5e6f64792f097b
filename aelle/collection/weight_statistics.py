"""Norms and quantiles of each weight matrix: the features of the strongest cheap baseline."""

from __future__ import annotations

import torch
from torch import Tensor

from aelle.recurrent.network import Network

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@torch.no_grad()
def weight_statistics(network: Network) -> dict[str, float]:
    """Statistics of each matrix by `layer0.weight_hh.gate1.rms`-like names; gates are taken one by one.

    For every matrix: root mean square, mean, largest magnitude, spectral norm, five quantiles; for square
    ones also the spectral radius.
    """
    matrices: dict[str, Tensor] = {}
    for layer, cell in enumerate(network.layers):
        for name, parameter in cell.named_parameters():
            stacked = parameter.dim() > 0 and parameter.shape[0] == cell.gates * cell.hidden_size
            gates = parameter.chunk(cell.gates) if stacked else (parameter,)
            for gate, block in enumerate(gates):
                label = f".gate{gate}" if len(gates) > 1 else ""
                matrices[f"layer{layer}.{name}{label}"] = block
    if network.readout is not None:
        matrices |= {f"readout.{name}": parameter for name, parameter in network.readout.named_parameters()}
    return {f"{name}.{key}": value for name, m in matrices.items() for key, value in _statistics(m).items()}


def _statistics(matrix: Tensor) -> dict[str, float]:
    values = matrix.double().flatten()
    if not bool(values.isfinite().all()):
        return {}
    found = {"rms": values.square().mean().sqrt(), "mean": values.mean(), "max_abs": values.abs().max()}
    quantiles = torch.quantile(values, torch.tensor(_QUANTILES, dtype=values.dtype))
    found |= {f"q{int(100 * q):02d}": value for q, value in zip(_QUANTILES, quantiles, strict=True)}
    if matrix.dim() == 2:
        found["spectral_norm"] = torch.linalg.matrix_norm(matrix.double(), ord=2)
        if matrix.shape[0] == matrix.shape[1]:
            found["spectral_radius"] = torch.linalg.eigvals(matrix.double()).abs().max()
    return {key: float(value) for key, value in found.items()}
