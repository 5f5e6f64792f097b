"""Ways to search a pool of recorded networks, replayed: each yields what it spends and what it finds.

A strategy is a generator over a `Pool` and an order of its networks. It yields `(seconds, network)`: the
seconds that one step took, and the network whose training that step completed, or None. It may look at a
network's records only up to the epoch that it has paid for, and at a spectrum, or a prediction that needs one,
only once it has paid for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import optuna

from aelle.integrations.optuna import SpectrumPruner, report
from aelle.integrations.rule import Verdict

optuna.logging.set_verbosity(optuna.logging.ERROR)
Step = tuple[float, int | None]
Strategy = Callable[["Pool", Iterable[int]], Iterator[Step]]
HALVING = 3  # successive halving keeps a third at epochs 1, 3, 9, …
SCREENED = 9  # screening trains one network in nine to its end


@dataclass(frozen=True)
class Forecast:
    """Predictions of the final metric of a pool's networks at some epochs, in the metric's unit.

    Attributes:
        predicted, lower, upper: epoch → (n,); NaN where there is none.
        needs_spectra: whether spectra at this and earlier forecast epochs have to be paid for.
    """

    predicted: dict[int, np.ndarray]
    lower: dict[int, np.ndarray] = field(default_factory=dict)
    upper: dict[int, np.ndarray] = field(default_factory=dict)
    needs_spectra: bool = True


@dataclass(frozen=True)
class Pool:
    """Recorded networks that a search draws from.

    Attributes:
        metric: (n, epochs + 1) validation metric; NaN after a network diverged.
        final: (n,) metric at the end; the worst of the pool for a network that diverged.
        train_seconds: (n, epochs + 1), validation included; 0 after a network diverged.
        spectrum_seconds: (n, epochs + 1); 0 where no spectrum was recorded.
        higher_is_better: direction of the metric.
        forecasts: by name.
        bars: what `SpectrumPruner` asks of a predictor.
    """

    metric: np.ndarray
    final: np.ndarray
    train_seconds: np.ndarray
    spectrum_seconds: np.ndarray
    higher_is_better: bool
    forecasts: dict[str, Forecast]
    bars: Any

    @property
    def epochs(self) -> int:
        """Epochs of training."""
        return self.metric.shape[1] - 1

    def oriented(self, values: np.ndarray) -> np.ndarray:
        """Higher is better; what is not known counts as worst."""
        return np.nan_to_num(values if self.higher_is_better else -values, nan=-np.inf)

    def train(self, network: int, start: int, stop: int) -> Iterator[Step]:
        """Train from after epoch `start` to `stop`; epoch 0 is the validation of the untrained network."""
        for epoch in range(start + 1, stop + 1):
            completed = epoch == self.epochs
            yield float(self.train_seconds[network, epoch]), network if completed else None


def random_search(pool: Pool, order: Iterable[int]) -> Iterator[Step]:
    """Train every network to its end."""
    for network in order:
        yield from pool.train(network, -1, pool.epochs)


def with_optuna(
    make_pruner: Callable[[Pool], optuna.pruners.BasePruner],
    forecast: str | None = None,
    at: Sequence[int] = (),
) -> Strategy:
    """Train one network after another; an Optuna pruner is asked after each epoch of training.

    With a forecast, its predictions are left with the trial at the epochs `at`, of which 0 is before training.
    """

    def run(pool: Pool, order: Iterable[int]) -> Iterator[Step]:
        direction = "maximize" if pool.higher_is_better else "minimize"
        study = optuna.create_study(
            direction=direction, pruner=make_pruner(pool), sampler=optuna.samplers.RandomSampler(0)
        )
        for network in order:
            trial, state = study.ask(), optuna.trial.TrialState.COMPLETE
            for epoch in range(pool.epochs + 1):
                yield from pool.train(network, epoch - 1, epoch)
                if forecast is not None and epoch in at:
                    yield from _leave_prediction(pool, forecast, trial, network, epoch)
                if epoch > 0:
                    trial.report(float(pool.metric[network, epoch]), epoch)
                if (epoch > 0 or forecast is not None) and trial.should_prune():
                    state = optuna.trial.TrialState.PRUNED
                    break
            complete = state == optuna.trial.TrialState.COMPLETE
            study.tell(trial, float(pool.final[network]) if complete else None, state)

    return run


def _leave_prediction(
    pool: Pool, name: str, trial: optuna.trial.Trial, network: int, epoch: int
) -> Iterator[Step]:
    forecast = pool.forecasts[name]
    if forecast.needs_spectra:
        yield float(pool.spectrum_seconds[network, epoch]), None
    parts = (forecast.predicted, forecast.lower or forecast.predicted, forecast.upper or forecast.predicted)
    values = [float(part[epoch][network]) for part in parts]
    if np.isfinite(values).all():
        report(trial, Verdict(False, epoch, "", *values, percentile=0.0))


def median_pruner(pool: Pool) -> optuna.pruners.BasePruner:
    """Optuna's, with its defaults: five trials run to their end first."""
    return optuna.pruners.MedianPruner()


def asha_pruner(pool: Pool) -> optuna.pruners.BasePruner:
    """Optuna's asynchronous successive halving."""
    return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=HALVING)


def spectrum_pruner(quantile: float | None, beat_best: bool) -> Callable[[Pool], optuna.pruners.BasePruner]:
    """Ours, by the interval."""
    return lambda pool: SpectrumPruner(pool.bars, quantile=quantile, beat_best=beat_best)


def gate_then_asha(pool: Pool) -> optuna.pruners.BasePruner:
    """Ours, by the prediction: only what it places in the best third of its training networks gets to ASHA."""
    best_third = 1 - 1 / HALVING
    return SpectrumPruner(pool.bars, quantile=best_third, by="predicted", wrapped_pruner=asha_pruner(pool))


def successive_halving(pool: Pool, order: Iterable[int]) -> Iterator[Step]:
    """Batches of 27 networks: the best third goes on after epochs 1, 3, 9."""
    return _halve(pool, order, [1, 3, 9], lambda epoch: pool.metric[:, epoch])


def successive_halving_on(name: str, epochs: Sequence[int]) -> Strategy:
    """Successive halving by the predicted final metric instead of the latest one."""

    def run(pool: Pool, order: Iterable[int]) -> Iterator[Step]:
        forecast = pool.forecasts[name]
        return _halve(pool, order, epochs, lambda epoch: forecast.predicted[epoch], forecast.needs_spectra)

    return run


def screening(epoch: int) -> Strategy:
    """Batches of nine networks: the best one after `epoch` epochs is trained to its end."""
    return lambda pool, order: _screen(pool, order, epoch, pool.metric[:, epoch], ())


def screening_on(name: str, epoch: int) -> Strategy:
    """Screening by the predicted final metric; the forecast's earlier spectra are paid for too."""

    def run(pool: Pool, order: Iterable[int]) -> Iterator[Step]:
        forecast = pool.forecasts[name]
        paid = [e for e in forecast.predicted if e <= epoch] if forecast.needs_spectra else []
        return _screen(pool, order, epoch, forecast.predicted[epoch], paid)

    return run


def _screen(
    pool: Pool, order: Iterable[int], epoch: int, values: np.ndarray, spectra: Sequence[int]
) -> Iterator[Step]:
    scores = pool.oriented(values)
    for batch in _batches(order, SCREENED):
        for network in batch:
            yield from pool.train(network, -1, epoch)
            yield float(pool.spectrum_seconds[network, list(spectra)].sum()), None
        yield from pool.train(max(batch, key=lambda network: scores[network]), epoch, pool.epochs)


def _halve(
    pool: Pool,
    order: Iterable[int],
    rungs: Sequence[int],
    values: Callable[[int], np.ndarray],
    spectra: bool = False,
) -> Iterator[Step]:
    rungs = [rung for rung in rungs if rung < pool.epochs]
    for batch in _batches(order, HALVING ** len(rungs)):
        reached = -1
        for rung in rungs:
            for network in batch:
                yield from pool.train(network, reached, rung)
                if spectra:
                    yield float(pool.spectrum_seconds[network, rung]), None
            scores = pool.oriented(values(rung))
            batch = sorted(batch, key=lambda network: -scores[network])[: max(len(batch) // HALVING, 1)]
            reached = rung
        for network in batch:
            yield from pool.train(network, reached, pool.epochs)


def _batches(order: Iterable[int], size: int) -> Iterator[list[int]]:
    networks = iter(order)
    while batch := list(islice(networks, size)):
        yield batch
