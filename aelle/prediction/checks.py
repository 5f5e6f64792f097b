"""Sets of networks of which a prediction would say less than it seems to: refused, or warned of."""

from __future__ import annotations

import numpy as np
import pandas as pd

from aelle.embedding.dataset import SpectraDataset
from aelle.prediction.errors import PredictionError

UNIT = "nats per step"
_FEW_SHARE = 0.2  # of networks with another outcome than the most common one
_SCALE_FACTOR = 8.0  # between the exponents of one cohort and those of the others


def require_varied(dataset: SpectraDataset) -> SpectraDataset:
    """Return the dataset where its outcomes and spectra can be learnt from.

    Raises:
        PredictionError: where fewer networks than folds (and fewer than 5) have another outcome than the most
            common one, or spectra of several conventions or units are mixed under one name.
    """
    needed = max(5, dataset.experiment.prediction.folds)
    common, others = _most_common(dataset)
    if others < needed:
        raise PredictionError(
            f"{len(dataset.networks) - others} of {len(dataset.networks)} networks end with the same "
            f"{dataset.metric.name} ({common:g}): there is one class of outcome; at least {needed} networks "
            "must end otherwise"
        )
    require_one_unit(dataset.records)
    _require_one_state(dataset)
    return dataset


def warnings_of(dataset: SpectraDataset) -> list[str]:
    """Say what makes numbers of this set say less than they seem to."""
    found = []
    networks, diverged = len(dataset.networks), int(dataset.diverged.sum())
    common, others = _most_common(dataset)
    if 2 * diverged > networks:
        found.append(
            f"{diverged} of {networks} networks diverged and count alike as the worst: correlations mostly say "
            "which networks diverge"
        )
    elif others < _FEW_SHARE * networks:
        found.append(
            f"{networks - others} of {networks} networks end with the same {dataset.metric.name} ({common:g}): "
            f"correlations rest on the other {others}"
        )
    found += _other_scales(dataset)
    if dataset.experiment.prediction.leave_out != "network":
        found.append(
            f"whole groups by {dataset.experiment.prediction.leave_out} are left out: prediction intervals rest "
            "on the groups that were seen, so they need not cover one that was not"
        )
    return found


def _most_common(dataset: SpectraDataset) -> tuple[float, int]:
    """The most common outcome, and how many networks have another."""
    values, counts = np.unique(dataset.targets, return_counts=True)
    return float(values[counts.argmax()]), int(len(dataset.targets) - counts.max())


def require_one_unit(records: pd.DataFrame) -> None:
    """Refuse spectra that name another unit; records of `collect` name none and are nats per step."""
    if "spectrum_unit" not in records:
        return
    found = {str(unit) for unit in records["spectrum_unit"].dropna().unique()} - {UNIT}
    if found:
        raise PredictionError(
            f"the records hold spectra in {', '.join(sorted(found))}; convert them to {UNIT} first"
        )


def _require_one_state(dataset: SpectraDataset) -> None:
    """Refuse spectra whose length gives away that both state conventions are mixed under one name.

    A network's spectrum has as many exponents a hidden unit as every other's of its architecture. A look has the
    leading ones alone, always of the full state.
    """
    if dataset.look == "economy":
        return
    spectra, networks = dataset.spectra, dataset.networks
    place = networks.iloc[spectra["network"]]
    units = (place["hidden_size"] * place["num_layers"]).to_numpy(float)
    ratios = pd.Series([len(s) for s in spectra["spectrum"]]) / units
    for architecture, found in ratios.groupby(place["architecture"].to_numpy()):
        several = sorted(found.unique())
        if len(several) > 1 and _is_double(several):
            raise PredictionError(
                f"spectra of {architecture} hold {' and '.join(f'{r:g}' for r in several)} exponents a hidden "
                "unit: spectra of the full and of the hidden state are mixed; keep each in a folder of its own"
            )


def _is_double(ratios: list[float]) -> bool:
    return any(np.isclose(b, 2 * a) for a in ratios for b in ratios)


def _other_scales(dataset: SpectraDataset) -> list[str]:
    """Warn of cohorts whose exponents are many times as large or small as those of the same architecture.

    Sums instead of means over steps, or a rate per unit of time, differ so; bits differ from nats by 1.44 alone,
    which no spread of exponents gives away.
    """
    if dataset.look == "economy":  # the leading exponents alone do not tell
        return []
    first = dataset.records.dropna(subset=["spectrum"]).groupby("network_id").first()
    size = [
        np.median(np.abs(s[np.isfinite(s)])) if np.isfinite(s).any() else np.nan for s in first["spectrum"]
    ]
    frame = first[["architecture", "cohort"]].assign(size=np.log(np.maximum(size, 1e-6)))
    usual = frame.groupby("architecture")["size"].transform("median")
    apart = (frame["size"] - usual).groupby(frame["cohort"]).median()
    strange = apart[apart.abs() > np.log(_SCALE_FACTOR)]
    return [
        f"the exponents of cohort {cohort} are typically {np.exp(abs(value)):.0f} times as "
        f"{'large' if value > 0 else 'small'} as the others': are they in {UNIT}?"
        for cohort, value in strange.items()
    ]
