"""Hidden covariance (Serianni & Kalita 2023, "Training-free neural architecture search for RNNs and transformers")."""

from __future__ import annotations

from torch import Tensor

from aelle.proxies.correlation import correlation_score


def hidden_covariance(hidden: Tensor) -> float:
    """`correlation_score` of the hidden vectors (N, H) after the last step, one a sequence."""
    return correlation_score(hidden)
