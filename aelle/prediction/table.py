"""What is known of networks up to an epoch, in one form for recorded networks and for new, still running ones.

A table is made from records alone, always by the same steps. Where the networks have ended, their outcomes stand
beside it; whoever fits a method looks at the outcomes of the networks it is fitted on, and at nothing of others:
`Table.of` cuts a table down to some networks, and what is cut away cannot be looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from aelle.embedding.dataset import SpectraDataset, spectrum_rows
from aelle.hyperparameters import NAMES
from aelle.prediction.errors import PredictorError
from aelle.records import SCHEMA, Metric

CURVES = ("val_metric", "val_loss", "train_loss")
_KEPT = ("network_id", "epoch", "status", *CURVES, "weight_statistics")
_ENDED = ("diverged", "failed", "pruned")


@dataclass(frozen=True)
class Table:
    """Networks, and their records up to an epoch.

    Attributes:
        networks: one row per network, indexed by network_id: hyperparameters (NaN where not known); of networks
            that have ended also `target` in metric units and `diverged`, as `SpectraDataset.networks` has them.
        records: one row per network and epoch, sorted so: network_id, `network` (position in `networks`), epoch,
            status, the curves, weight_statistics.
        spectra: one row per usable spectrum, sorted likewise: network_id, network, epoch, and lists of numbers; of
            looks `spectrum` is the leading exponents.
        epoch: the last epoch of which anything is known.
        epochs: the epochs with spectra at which predictions are made, ascending.
        final_epoch: the last epoch of training.
        metric: the metric that is predicted.
    """

    networks: pd.DataFrame
    records: pd.DataFrame
    spectra: pd.DataFrame
    epoch: int
    epochs: tuple[int, ...]
    final_epoch: int
    metric: Metric

    @classmethod
    def of_dataset(cls, dataset: SpectraDataset, epochs: Sequence[int]) -> Table:
        """Tabulate recorded networks with their outcomes, up to their last spectra; predictions are made at `epochs`."""
        table = cls.of_records(
            dataset.records,
            int(dataset.spectra["epoch"].max()),
            epochs=epochs,
            final_epoch=dataset.final_epoch,
            metric=dataset.metric,
        )
        outcomes = dataset.networks[["target", "diverged"]].reindex(table.networks.index)
        return replace(table, networks=table.networks.assign(**outcomes))

    @classmethod
    def of_records(
        cls, records: pd.DataFrame, epoch: int, *, epochs: Sequence[int], final_epoch: int, metric: Metric
    ) -> Table:
        """Tabulate what records say of their networks up to an epoch; later rows are not looked at.

        All but the records are as the attributes of that name.

        Args:
            records: rows in the columns of records; columns that are missing are unknown.

        Raises:
            PredictorError: where a column is missing without which nothing can be said.
        """
        if "leading_exponents" not in records and "spectrum" not in records:
            raise PredictorError("the records lack the column 'spectrum', or 'leading_exponents' of looks")
        for name in ("network_id", "epoch"):
            if name not in records:
                raise PredictorError(f"the records lack the column {name!r}")
        ids = pd.Index(np.sort(records["network_id"].unique()), name="network_id")
        rows = records[records["epoch"] <= epoch].sort_values(["network_id", "epoch"], ignore_index=True)
        rows = rows.reindex(columns=list(dict.fromkeys([*SCHEMA.names, *rows.columns])))
        networks = rows.groupby("network_id").first().reindex(ids)[list(NAMES)]
        kept, spectra = (
            frame.assign(network=ids.get_indexer(pd.Index(frame["network_id"])))
            for frame in (rows[list(_KEPT)], spectrum_rows(rows))
        )
        return cls(networks, kept, spectra, epoch, tuple(sorted(epochs)), final_epoch, metric)

    def __len__(self) -> int:
        return len(self.networks)

    def of(self, chosen: np.ndarray) -> Table:
        """Cut down to the networks of a boolean mask; nothing of the others is left."""
        position = np.cumsum(chosen) - 1

        def part(frame: pd.DataFrame) -> pd.DataFrame:
            network = frame["network"].to_numpy()
            kept = frame[chosen[network]].reset_index(drop=True)
            return kept.assign(network=position[kept["network"].to_numpy()])

        return replace(
            self, networks=self.networks[chosen], records=part(self.records), spectra=part(self.spectra)
        )

    def up_to(self, epoch: int) -> Table:
        """Forget what came after an epoch."""
        records, spectra = (
            frame[frame["epoch"] <= epoch].reset_index(drop=True) for frame in (self.records, self.spectra)
        )
        return replace(self, records=records, spectra=spectra, epoch=epoch)

    @property
    def targets(self) -> np.ndarray:
        """Outcomes in metric units, (n,)."""
        return self.networks["target"].to_numpy(float)

    @property
    def diverged(self) -> np.ndarray:
        """Whether each network diverged, (n,)."""
        return self.networks["diverged"].to_numpy(bool)

    @property
    def predictable(self) -> np.ndarray:
        """Networks that are alive at the epoch and have a usable spectrum there, (n,)."""
        mask: np.ndarray = self.has_spectrum(self.epoch) & (self._status() == "ok")
        return mask

    def has_spectrum(self, epoch: int) -> np.ndarray:
        """Networks with a usable spectrum at an epoch, (n,)."""
        there = np.zeros(len(self), dtype=bool)
        there[self.spectra.loc[self.spectra["epoch"] == epoch, "network"]] = True
        return there

    def why_not(self) -> dict[str, str]:
        """Say of every network that is not `predictable` why; by its id."""
        status, there = self._status(), self.has_spectrum(self.epoch)
        reached = np.zeros(len(self), dtype=bool)
        reached[self.records.loc[self.records["epoch"] == self.epoch, "network"]] = True
        reasons = {}
        for i, network in enumerate(self.networks.index):
            if status[i] != "ok":
                reasons[network] = status[i]
            elif not reached[i]:
                reasons[network] = f"has not reached epoch {self.epoch}"
            elif not there[i]:
                reasons[network] = f"no usable spectrum at epoch {self.epoch}"
        return reasons

    def curve(self, name: str) -> np.ndarray:
        """A learning curve from epoch 0 on, (n, epoch + 1); NaN where it is missing or infinite."""
        values = np.full((len(self), self.epoch + 1), np.nan)
        found = pd.to_numeric(self.records[name], errors="coerce").to_numpy(float)
        values[self.records["network"], self.records["epoch"]] = np.where(np.isfinite(found), found, np.nan)
        return values

    def list_at(self, column: str, epoch: int) -> list[np.ndarray]:
        """A list-valued column of the spectra at an epoch, one array per network; NaN where there is none."""
        rows = self.spectra[self.spectra["epoch"] == epoch]
        found = [np.full(1, np.nan)] * len(self)
        for network, value in zip(rows["network"], rows[column], strict=True):
            if np.ndim(value) == 1 and len(value):
                found[network] = np.asarray(value, float)
        return found

    def _status(self) -> np.ndarray:
        """How each network stands: "ok", or the first other status that was recorded."""
        status = np.full(len(self), "ok", dtype=object)
        rows = self.records[self.records["status"].isin(_ENDED)]
        status[rows["network"][::-1]] = rows["status"][::-1]
        return status
