"""An experiment and its sections; that of early prediction stands here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from aelle.config.autoencoder import Autoencoder
from aelle.config.collection import Networks, Spectrum, Task, Training
from aelle.config.values import Channels, Strict


class Prediction(Strict):
    """Early prediction. `epochs` empty means every epoch at which spectra were recorded.

    `folds` of networks are held out in turn; in each fold, for each of the `views` (channels of the spectrum)
    `ensemble` autoencoders, each stopped early on another part of the training networks, are averaged, and the
    views are weighed by what they say of training networks left out. "auto" takes the bare spectrum; with its
    change and temporal spread; and with growth backward from the readout too, where that was recorded.
    `bootstrap` resamplings of the networks give intervals of the correlations at `confidence`; `interval` is the
    probability with which each network's own prediction interval is to cover. With `leave_out` the folds are
    whole architectures or sizes instead: does what was learnt hold for one never seen?
    """

    target: Literal["final", "best"] = "final"
    leave_out: Literal["network", "architecture", "hidden_size"] = "network"
    epochs: list[Annotated[int, Field(ge=0, le=10**6)]] = []
    folds: Annotated[int, Field(ge=2, le=1000)] = 5
    ensemble: Annotated[int, Field(ge=2, le=1000)] = 5
    views: Literal["auto"] | Annotated[list[Channels], Field(min_length=1)] = "auto"
    bootstrap: Annotated[int, Field(ge=1, le=10**6)] = 1000
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    interval: Annotated[float, Field(ge=0.5, lt=1)] = 0.9


class Experiment(Strict):
    """One experiment: a task, a search space, and the settings of each stage."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    task: Task
    networks: Networks = Networks()
    training: Training = Training()
    spectrum: Spectrum = Spectrum()
    autoencoder: Autoencoder = Autoencoder()
    prediction: Prediction = Prediction()
