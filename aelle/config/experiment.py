"""An experiment and its sections; that of early prediction stands here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

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

    @model_validator(mode="before")
    @classmethod
    def _with_channels_of_a_look(cls, content: Any) -> Any:
        """What the autoencoder sees of looks, where nothing else is asked for."""
        if not isinstance(content, Mapping) or not _takes_looks(content.get("spectrum")):
            return content
        autoencoder = content.get("autoencoder", {})
        if not isinstance(autoencoder, Mapping) or autoencoder.get("preset") == "paper":
            return content
        return {**content, "autoencoder": {"channels": list(LOOK_CHANNELS), **autoencoder}}

    @model_validator(mode="after")
    def _channels_are_recorded(self) -> Experiment:
        views = [] if self.prediction.views == "auto" else self.prediction.views
        asked = {name for view in (self.autoencoder.channels, *views) for name in view}
        lacking = sorted(asked & {"temporal_std", "standard_error"})
        if self.spectrum.look == "economy" and lacking:
            raise ValueError(
                f'channel "{lacking[0]}" is of full spectra, and [spectrum] look = "economy" takes none; of looks there '
                f"are {', '.join(LOOK_CHANNELS)}, change_of_readout_growth and mean_exponent"
            )
        return self


LOOK_CHANNELS = ("spectrum", "change", "readout_growth")


def _takes_looks(spectrum: Any) -> bool:
    return (
        spectrum.look == "economy"
        if isinstance(spectrum, Spectrum)
        else isinstance(spectrum, Mapping) and spectrum.get("look") == "economy"
    )
