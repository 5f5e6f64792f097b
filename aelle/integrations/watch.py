"""SpectrumWatch: a verdict on one's own network after an epoch of one's own training loop."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from aelle.hyperparameters import NAMES, SHAPE
from aelle.integrations.measures import EconomyLook, WholeSpectrum, exponents_of
from aelle.integrations.reading import as_mapping, finite
from aelle.integrations.rule import (
    IntegrationError,
    PredictsFinalMetric,
    PruningRule,
    Verdict,
    look_of,
    require_fit,
)
from aelle.modules.wrappers import unwrapped
from aelle.prediction.predictor import Predictor
from aelle.recurrent.cell import Cell
from aelle.recurrent.convert import cells_of
from aelle.spectra import Look, LyapunovSpectrum

_TOLD = tuple(name for name in NAMES if name not in SHAPE)  # what a module does not show by itself
_NETWORK_ID = "watched"


class SpectrumWatch:
    """Take a network's Lyapunov spectrum while it trains, predict how it will end, and say when to stop it.

        watch = aelle.SpectrumWatch(lstm, inputs, "artifacts/latch/predictor")
        for epoch in range(epochs + 1):  # 0 is before training
            if epoch > 0:
                train_one_epoch(lstm)
            verdict = watch(epoch, val_metric=accuracy)
            if verdict.stop:
                print(verdict.reason)
                break

    What is taken is what the predictor learnt from. One fitted on economy looks (`[spectrum] look = "economy"`) takes
    `aelle.look`, a few milliseconds, along `inputs`, or `sequences` where they are given, and needs the readout. One
    fitted on full spectra takes those, each with its own warm-up.

    It is taken, and paid for, at the predictor's epochs alone; at others the verdict is to go on. Each spectrum
    is measured from a state of zero after its own warm-up, as the spectra were that the predictor learnt from:
    starting from the last epoch's state and frame would save a third of the steps at most, and moved the
    exponents by about a standard error.

    Args:
        model: a torch.nn.RNN, GRU, LSTM or one of their Cells, or an aelle cell or network: the recurrent part
            of a larger model by itself. Its current weights are read at every call; it is never modified.
        inputs: sequences that drive it for its spectrum, as `aelle.lyapunov_spectrum` takes them: of the kind
            and length (warm-up included) that the predictor's records were taken with. For looks these are some
            of the task's own, from their first step to the one at which the readout answers.
        predictor: a `Predictor`, or the folder that holds one.
        rule: when to stop.
        warmup: steps of transient, the first ones of the inputs.
        readout: the linear map that reads the model's last hidden vector; None takes that of an aelle network.
        sequences: (batch, T, input_size), some of the task's own, from their first step to the one at which the
            readout answers. With them and a readout, `aelle.readout_growth` is taken where the predictor reads it;
            without, the prediction rests on the views of the spectrum that do without it.
        hyperparameters: those of `aelle.hyperparameters` that a module does not show by itself (learning_rate, dropout,
            init_gain, …), whatever is known: the predictor uses what it learnt to use.
        task: of the training loop; checked against the predictor's where given.
        metric_name: likewise.

    Raises:
        TypeError: for a model or inputs of an unknown kind.
        ValueError: where the inputs do not fit the model.
        IntegrationError: for a predictor of another task or metric, an unknown hyperparameter, or one of readout
            and sequences without the other.
        PredictorError: where the folder holds no predictor.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Any,
        predictor: PredictsFinalMetric | str | Path,
        *,
        rule: PruningRule | None = None,
        warmup: int | str = "auto",
        readout: nn.Linear | None = None,
        sequences: Tensor | None = None,
        hyperparameters: Mapping[str, float] | None = None,
        task: str | None = None,
        metric_name: str | None = None,
    ) -> None:
        model = unwrapped(model)
        self.model, self.inputs, self.warmup = model, inputs, warmup
        self.readout, self.sequences = readout, sequences
        self.predictor = Predictor.load(predictor) if isinstance(predictor, str | Path) else predictor
        self.rule = rule or PruningRule()
        require_fit(self.predictor, task=task, metric_name=metric_name)
        self._described = _describe(cells_of(model, torch.float64), _checked(hyperparameters or {}))
        self._measure: WholeSpectrum | EconomyLook
        if look_of(self.predictor) == "economy":
            self._measure = EconomyLook(model, inputs if sequences is None else sequences, readout)
        else:
            state = self.predictor.spectrum_state
            self._measure = WholeSpectrum(model, inputs, warmup, readout, sequences, state)
        self._measure.check()
        self._rows: list[dict[str, Any]] = []
        self.spectra: dict[int, LyapunovSpectrum | Look] = {}

    def __call__(
        self,
        epoch: int,
        *,
        val_metric: float | None = None,
        val_loss: float | None = None,
        train_loss: float | None = None,
        best: float | None = None,
    ) -> Verdict:
        """Judge the network after `epoch` epochs of training; 0 is before training.

        The curve's values go to the predictor where it learnt from them. `best` is the best metric that the
        search this network belongs to has reached, for a rule with `beat_best`.
        """
        if self._rows and epoch <= self._rows[-1]["epoch"]:
            raise IntegrationError(
                f"epoch {epoch} comes after epoch {self._rows[-1]['epoch']}; epochs must rise"
            )
        curve = {
            name: None if value is None else float(value)  # 0-d tensors as well
            for name, value in (
                ("val_metric", val_metric),
                ("val_loss", val_loss),
                ("train_loss", train_loss),
            )
        }
        best = None if best is None else float(best)
        row = self._described | curve | {"epoch": int(epoch), **self._convention()}
        self._rows.append(row)
        if not finite(self.model):
            row["status"] = "diverged"
            return Verdict(True, epoch, f"stopped at epoch {epoch}: a parameter is NaN or infinite")
        if epoch not in self.predictor.epochs:
            known = ", ".join(map(str, self.predictor.epochs))
            return Verdict(
                False, epoch, f"goes on at epoch {epoch}: the predictor knows the epochs {known} alone"
            )
        self.spectra[epoch], columns = self._measure.take()
        row |= columns
        if not bool((exponents_of(self.spectra[epoch]) < torch.inf).all()):
            row["status"] = "diverged"
            return Verdict(True, epoch, f"stopped at epoch {epoch}: the network's state grows without bound")
        prediction: dict[str, Any] = dict(self.predictor.predict(self.rows, epoch).iloc[0])
        verdict = self.rule.judge(prediction, self.predictor, best)
        if verdict.predicted is None:
            warnings.warn(verdict.reason, stacklevel=2)
        return verdict

    @property
    def rows(self) -> pd.DataFrame:
        """What has been seen so far, one row an epoch, in the columns of records."""
        return pd.DataFrame(self._rows)

    def state_dict(self) -> dict[str, Any]:
        """What has been seen so far, as plain data, for a checkpoint; all but `spectra`."""
        rows = [{name: _plain(value) for name, value in row.items()} for row in self._rows]
        return {"network": {name: _plain(value) for name, value in self._described.items()}, "rows": rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` gave, as if training had not been interrupted.

        Raises:
            IntegrationError: where it is something else, or of another network.
        """
        given = as_mapping(state, {"network", "rows"}, "a SpectrumWatch")
        same = {name: value for name, value in self._described.items() if name not in _TOLD} | {
            name: value for name, value in self._convention().items() if name in ("task", "spectrum_state")
        }
        for row in [given["network"], *given["rows"]]:
            for name, value in same.items():
                if row.get(name, value) != value:
                    raise IntegrationError(f"the saved watch was of {name} {row[name]!r}, not {value!r}")
        self._rows = [_as_seen(row) for row in given["rows"]]

    def _convention(self) -> dict[str, Any]:
        predictor = self.predictor
        return {
            "network_id": _NETWORK_ID,
            "task": predictor.task,
            "metric_name": predictor.metric_name,
            "higher_is_better": predictor.higher_is_better,
            "status": "ok",
            **dict.fromkeys(("spectrum", "spectrum_se", "spectrum_std", "trusted_count")),
            "spectrum_state": predictor.spectrum_state,
        }


def _describe(cells: list[Cell], hyperparameters: Mapping[str, float]) -> dict[str, Any]:
    """What a record says of a network beside its epoch."""
    first = cells[0]
    if len({cell.hidden_size for cell in cells}) > 1 or len({type(cell) for cell in cells}) > 1:
        raise IntegrationError(
            "the layers differ in kind or size; predictors know networks of equal layers alone"
        )
    return {
        "architecture": first.architecture,
        "hidden_size": first.hidden_size,
        "num_layers": len(cells),
        "bias": first.bias,
        "layer_sizes": [cell.carried_size for cell in cells],
        **hyperparameters,
    }


def _checked(hyperparameters: Mapping[str, float]) -> dict[str, float]:
    for name in hyperparameters:
        if name not in _TOLD:
            raise IntegrationError(f"unknown hyperparameter {name!r}; known: {', '.join(_TOLD)}")
    return dict(hyperparameters)


def _plain(value: Any) -> Any:
    """Arrays and numbers of numpy as lists and numbers of Python."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _as_seen(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it was before `_plain`: lists of numbers in the precision of records."""
    return {
        name: np.asarray(value, np.float32) if isinstance(value, list) and name != "layer_sizes" else value
        for name, value in row.items()
    }
