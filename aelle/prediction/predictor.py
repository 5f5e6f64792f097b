"""A saved early predictor: fitted on the finished networks of one experiment, used on new and running ones.

    Predictor.fit(load_dataset(folder)).save(folder.root / "predictor")
    Predictor.load("artifacts/digits/predictor").predict(records, epoch=1)

It is the method "AeLLE + curve + hyperparameters" of the report: an ensemble of autoencoders reads the spectrum,
and trees read its score beside whatever else is known of a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from aelle.config import Experiment
from aelle.embedding.channels import is_change
from aelle.embedding.checkpoint import FittedAutoencoder
from aelle.embedding.dataset import SpectraDataset
from aelle.prediction import explanation
from aelle.prediction.checks import require_one_unit
from aelle.prediction.errors import PredictorError
from aelle.prediction.new_networks import NewNetworks, select
from aelle.prediction.occlusion import MedianSpectra
from aelle.prediction.stage import Stage, Table
from aelle.prediction.views import readable
from aelle.records import Metric

__all__ = ["Predictor", "PredictorError"]


@dataclass(frozen=True)
class Predictor:
    """Predict the final metric of networks from what is known of them at an early epoch.

    Attributes:
        experiment: the experiment whose networks it was fitted on.
        metric: the metric it predicts.
        spectrum_state, spectrum_inputs: convention of the spectra it was fitted on.
        epochs: the epochs at which it can predict.
        level: probability with which its intervals are to cover.
        members: the autoencoders, an ensemble for each view of the spectrum.
        table: the training networks: outcome, hyperparameters, curves and out-of-fold AeLLE scores. The trees
            and the margins of the intervals are made from it anew, deterministically, when first needed.
        medians: the median training spectra, for the explanation.
    """

    experiment: Experiment
    metric: Metric
    spectrum_state: str
    spectrum_inputs: str
    epochs: tuple[int, ...]
    level: float
    members: list[list[FittedAutoencoder]]
    table: Table
    medians: MedianSpectra
    _stages: dict[tuple[int, tuple[int, ...], tuple[str, ...]], Stage] = field(
        default_factory=dict, repr=False, compare=False
    )

    @classmethod
    def fit(cls, dataset: SpectraDataset, *, level: float = 0.9) -> Predictor:
        """Fit on all finished networks of a dataset.

        Raises:
            EmbeddingError: for fewer than 20 networks, or a single outcome.
            PredictionError: where no epoch has enough spectra, or too few networks finished.
        """
        from aelle.prediction.predictor_fit import fit

        return fit(dataset, level)

    @classmethod
    def load(cls, folder: str | Path) -> Predictor:
        """Read a predictor; nothing in its files can run code.

        Raises:
            PredictorError: where there is none, or a file is missing, corrupt or of another predictor.
        """
        from aelle.prediction.predictor_files import load

        return load(Path(folder))

    def save(self, folder: str | Path) -> None:
        """Write the predictor: safetensors, Parquet, TOML and JSON; the description comes last."""
        from aelle.prediction.predictor_files import save

        save(self, Path(folder))

    @property
    def task(self) -> str:
        """The task whose networks it was fitted on."""
        return self.experiment.task.name

    @property
    def metric_name(self) -> str:
        """Name of the metric it predicts."""
        return self.metric.name

    @property
    def higher_is_better(self) -> bool:
        """Direction of the metric."""
        return self.metric.higher_is_better

    @property
    def first_spectrum(self) -> int | None:
        """The epoch whose spectrum every network must have, since some view counts change from it."""
        changes = any(is_change(channel) for view in self.views for channel in view)
        return min(self.epochs) if changes else None

    def quantile(self, share: float) -> float:
        """Return the metric that this share of the training networks does not surpass, the worst ones first."""
        return float(self.metric.oriented(np.quantile(self.metric.oriented(self.table.targets), share)))

    def percentile(self, values: np.ndarray) -> np.ndarray:
        """Return the percentage of training networks that ended worse than these values; equals count half."""
        ends = np.sort(self.metric.oriented(self.table.targets))
        sides = [np.searchsorted(ends, self.metric.oriented(values), side) for side in ("left", "right")]
        return 50.0 * (sides[0] + sides[1]) / len(ends)

    def predict(self, rows: pd.DataFrame, epoch: int, *, explain: bool = True) -> pd.DataFrame:
        """Predict the final metric of every network in some record rows.

        Args:
            rows: in the columns of records; rows after `epoch` are not looked at. Columns may be missing:
                without hyperparameters, curve, or what some view of the spectrum needs, the prediction rests
                on the rest, with the interval of predictions that rest on it.
            epoch: one of `epochs`.
            explain: also find out what moved each prediction; five times the work.

        Returns:
            one row a network: network_id, epoch, predicted, lower, upper (metric units; NaN where nothing can
            be predicted), percentile (of training networks that ended worse than predicted), why (what moved
            it, or why nothing can be predicted), used (what the prediction rests on), warning.

        Raises:
            PredictorError: for another task, metric or convention of the spectrum, or an unknown epoch.
        """
        self._check(rows, epoch)
        new = select(rows, epoch, self.first_spectrum, [e for e in self.table.curve_epochs if e <= epoch])
        frame = self._predict(new, epoch, explain)
        missing = pd.DataFrame({"network_id": list(new.left_out), "why": list(new.left_out.values())})
        missing = missing.assign(epoch=epoch, used="", warning="")
        blank = ("predicted", "lower", "upper", "percentile")
        missing = missing.assign(**dict.fromkeys(blank, np.nan))[list(frame.columns)]
        kept = [part for part in (frame, missing) if len(part)]
        return pd.concat(kept, ignore_index=True) if kept else frame

    @property
    def views(self) -> list[list[str]]:
        """Channels of each view of the spectrum."""
        return [list(members[0].settings.channels) for members in self.members]

    def stage(self, epoch: int, views: tuple[int, ...], used: tuple[str, ...]) -> Stage:
        """Return weights, trees and margin for an epoch, the views that can be read, and what is known; made once."""
        key = (epoch, views, used)
        if key not in self._stages:
            self._stages[key] = Stage.fit(self.table, epoch, views, used, self.level, self.experiment.seed)
        return self._stages[key]

    def score_spectra(self, spectra: pd.DataFrame, networks: pd.DataFrame, stage: Stage) -> np.ndarray:
        """Read AeLLE's two scores (networks, heads) off spectra up to a stage's epoch, by its views."""
        described = networks[["architecture", "hidden_size", "num_layers"]].copy()
        known = described["architecture"].notna()
        described["architecture"] = described["architecture"].astype(object).where(known, "")
        described = described.fillna({"hidden_size": 1, "num_layers": 1})  # used only where they are known
        place = described.loc[spectra["network_id"]]
        chosen = (spectra["epoch"] == stage.epoch).to_numpy()
        scored = []
        for members in (self.members[view] for view in stage.views):
            each = [member.members.predict_by_parts(spectra, place) for member in members]
            for part in self.table.parts:
                scored.append(np.mean([by_parts[part][:, 0].numpy() for by_parts in each], axis=0).T[chosen])
        scores = pd.DataFrame(stage.blend(np.stack(scored, axis=1)), index=spectra.loc[chosen, "network_id"])
        return scores.loc[networks.index].to_numpy(float)

    def _predict(self, new: NewNetworks, epoch: int, explain: bool) -> pd.DataFrame:
        networks = new.networks.index
        columns: dict[str, np.ndarray] = {
            name: np.full(len(networks), np.nan) for name in ("predicted", "lower", "upper")
        }
        used_by = self.table.usable(new.networks, epoch)
        views_by = self._readable(new, epoch)
        why = np.full(len(networks), "", dtype=object)
        for views, used in dict.fromkeys(zip(views_by, used_by, strict=True)):
            chosen = np.array([key == (views, used) for key in zip(views_by, used_by, strict=True)])
            part = NewNetworks(
                new.networks[chosen], new.spectra[new.spectra["network_id"].isin(networks[chosen])], {}
            )
            stage = self.stage(epoch, views, used)
            aelle = self.score_spectra(part.spectra, part.networks, stage)
            scores = stage.score(aelle, part.networks)
            columns["predicted"][chosen] = stage.target.invert(scores)
            columns["lower"][chosen], columns["upper"][chosen] = stage.interval(scores)
            if explain:
                why[chosen] = explanation.explain(self, part, stage, aelle)
        return pd.DataFrame(
            {
                "network_id": networks,
                "epoch": epoch,
                **columns,
                "percentile": self.percentile(columns["predicted"]),
                "why": why,
                "used": [", ".join(("spectrum", *used)) for used in used_by],
                "warning": explanation.warnings_of(self, new, epoch, views_by),
            }
        )

    def _readable(self, new: NewNetworks, epoch: int) -> list[tuple[int, ...]]:
        """Positions of the views that can be read of each network; all of them where none can, by averages."""
        epochs = [epoch] if self.first_spectrum is None else [self.first_spectrum, epoch]
        found = readable(self.views, new.spectra, epochs).reindex(new.networks.index)
        return [views or tuple(range(len(self.views))) for views in found]

    def _check(self, rows: pd.DataFrame, epoch: int) -> None:
        if epoch not in self.epochs:
            raise PredictorError(
                f"the predictor was fitted for the epochs {', '.join(map(str, self.epochs))}, not for epoch {epoch}"
            )
        require_one_unit(rows)
        asked: Sequence[tuple[str, str, object]] = (
            ("task", "task", self.task),
            ("metric_name", "metric", self.metric_name),
            ("higher_is_better", "direction higher_is_better", self.higher_is_better),
            ("spectrum_state", "state convention", self.spectrum_state),
            ("spectrum_inputs", "driving inputs", self.spectrum_inputs),
        )
        for column, words, learnt in asked:
            found = set() if column not in rows else set(rows[column].dropna().unique()) - {learnt}
            if found:
                raise PredictorError(
                    f"the predictor was fitted on {words} {learnt!r}, the records have "
                    f"{', '.join(sorted(repr(v) if isinstance(v, str) else str(v) for v in found))}; use one fitted on records of the same kind"
                )
