"""How good a set of predictions is, with bootstrap intervals over networks."""

from __future__ import annotations

import numpy as np
from scipy import stats
from sklearn.metrics import mean_absolute_error, r2_score

TOP_FRACTION = 0.1


def spearman(actual: np.ndarray, predicted: np.ndarray, axis: int = -1) -> np.ndarray:
    """Spearman's ρ along an axis, with mean ranks for ties; NaN where either side is constant."""
    a = stats.rankdata(actual, axis=axis)
    p = stats.rankdata(predicted, axis=axis)
    a = a - a.mean(axis=axis, keepdims=True)
    p = p - p.mean(axis=axis, keepdims=True)
    norm = np.sqrt((a**2).sum(axis=axis) * (p**2).sum(axis=axis))
    correlation: np.ndarray = np.divide(
        (a * p).sum(axis=axis), norm, out=np.full_like(norm, np.nan), where=norm > 0
    )
    return correlation


def resampled_spearman(actual: np.ndarray, predicted: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Spearman's ρ of several predictions on the same bootstrap resamples of the networks.

    Args:
        actual: (n,) outcomes.
        predicted: (methods, n).
        resamples: how often n networks are drawn with replacement.
        seed: of the draws.

    Returns:
        (methods, resamples); NaN where a resample leaves one side constant, or a prediction is constant as a whole.
    """
    drawn = np.random.default_rng(seed).integers(len(actual), size=(resamples, len(actual)))
    resampled = np.stack([spearman(actual[drawn], said[drawn]) for said in predicted])
    undefined = np.isnan(spearman(np.broadcast_to(actual, predicted.shape), predicted))
    return np.where(undefined[:, None], np.nan, resampled)


def percentile_interval(resampled: np.ndarray, confidence: float) -> tuple[float, float]:
    """Percentile bootstrap interval (Efron 1979) of a statistic that was resampled; (nan, nan) where undefined."""
    if np.isnan(resampled).all():
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(resampled, [tail, 1 - tail])
    return float(low), float(high)


def spearman_interval(
    actual: np.ndarray, predicted: np.ndarray, resamples: int, confidence: float, seed: int
) -> tuple[float, float]:
    """Percentile bootstrap interval of Spearman's ρ over networks; (nan, nan) where ρ is undefined."""
    return percentile_interval(resampled_spearman(actual, predicted[None], resamples, seed)[0], confidence)


def difference_interval(
    actual: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    resamples: int,
    confidence: float,
    seed: int,
) -> tuple[float, float]:
    """Percentile bootstrap interval of ρ(first) - ρ(second), both on the same resampled networks."""
    one, other = resampled_spearman(actual, np.stack([first, second]), resamples, seed)
    return percentile_interval(one - other, confidence)


def scores_of(actual: np.ndarray, predicted: np.ndarray, higher_is_better: bool) -> dict[str, float]:
    """Point values of all metrics; NaN where one is undefined.

    spearman, kendall; weighted_tau (Vigna 2015, the best networks count most); r2; mae in metric units;
    top_recall, the share of the best tenth that is predicted among the best tenth; f1_median, for being above
    the median.
    """
    sign = 1.0 if higher_is_better else -1.0
    good, promised = sign * actual, sign * predicted
    constant = np.ptp(predicted) == 0 or np.ptp(actual) == 0
    nan = float("nan")
    return {
        "spearman": float(spearman(actual, predicted)),
        "kendall": nan if constant else float(stats.kendalltau(actual, predicted).statistic),
        "weighted_tau": nan if constant else float(stats.weightedtau(good, promised).statistic),
        "r2": float(r2_score(actual, predicted)),
        "mae": float(mean_absolute_error(actual, predicted)),
        "top_recall": nan if constant else _top_recall(good, promised),
        "f1_median": nan if constant else _f1_at_median(good, promised),
    }


def _top_recall(good: np.ndarray, promised: np.ndarray) -> float:
    count = max(1, round(TOP_FRACTION * len(good)))
    best = set(np.argsort(-good, kind="stable")[:count].tolist())
    chosen = set(np.argsort(-promised, kind="stable")[:count].tolist())
    return len(best & chosen) / count


def _f1_at_median(good: np.ndarray, promised: np.ndarray) -> float:
    truth, said = good > np.median(good), promised > np.median(promised)
    hits = int((truth & said).sum())
    return 2 * hits / max(int(truth.sum() + said.sum()), 1)


def coverage_and_width(actual: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> tuple[float, float]:
    """Share of outcomes inside their interval, and the intervals' mean width; NaN where there are none."""
    known = np.isfinite(lower) & np.isfinite(upper)
    if not known.any():
        return float("nan"), float("nan")
    inside = (actual >= lower) & (actual <= upper)
    return float(inside[known].mean()), float((upper - lower)[known].mean())
