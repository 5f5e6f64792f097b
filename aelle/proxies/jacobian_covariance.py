"""Jacobian covariance (Mellor, Turner, Storkey & Crowley 2020, first version)."""

from __future__ import annotations

from torch import Tensor

from aelle.proxies.correlation import correlation_score


def jacobian_covariance(gradients: Tensor) -> float:
    """`correlation_score` of the gradients (N, …) of the sum of the outputs with respect to each sequence's inputs."""
    return correlation_score(gradients.flatten(1))
