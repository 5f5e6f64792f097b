"""What is collected: the search space, the task, how networks learn, and when spectra are taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, create_model, model_validator

from aelle.config.values import Epochs, PositiveFloat, Strict, hyperparameters

_MOST_STEPS = 10**8
LOOK_SEQUENCES = 2
"""Sequences of a look, where nothing else is asked for (docs/spectrum.md has what more or fewer tell)."""


class Networks(create_model("Networks", __base__=Strict, **hyperparameters("networks"))):  # type: ignore[misc]
    """The search space: the hyperparameters of networks, those of `aelle.hyperparameters`.

    Each takes a value; a plain list, which is a grid axis; or a distribution, drawn anew for every network. Every
    point of the grid gets `per_combination` networks. `cell_options` are fixed hyperparameters of an architecture,
    checked by it: `cell_options.cornn.dt = 0.05`.
    """

    per_combination: Annotated[int, Field(ge=1, le=10**6)] = 20
    cell_options: dict[str, dict[str, float]] = {}

    @model_validator(mode="after")
    def _one_initialisation(self) -> Networks:
        if self.init_gain is not None and self.init_scale is not None:
            raise ValueError("give init_gain (U(±gain/√H)) or init_scale (U(±scale)), not both")
        return self


class Task(Strict):
    """What the networks learn; `options` are the task's own arguments, checked by the task.

    `data_folder` holds the data files of tasks that need any; without it the folder in the environment
    variable AELLE_DATA is taken, else files are downloaded. It decides nothing about the records.
    """

    name: str
    options: dict[str, bool | int | float | str] = {}
    data_folder: str | None = None


class Training(create_model("Training", __base__=Strict, **hyperparameters("training"))):  # type: ignore[misc]
    """How the networks learn, for `epochs` epochs of batches of `batch_size` sequences.

    `backend` "native" trains one network after another with torch's kernels, in `workers` processes (0: one a
    core); "population" trains a cohort as one batch on `device`; "auto" takes the latter where there is a GPU.
    After `decay_after` epochs every further epoch multiplies the learning rate by `learning_rate_decay`.
    `condition` brings every network to where gradients reach over the task's sequences before it trains, by the
    methods of `aelle.condition`: "scale", for example; "none" leaves networks as they are drawn.
    `cohort_size = 0` means 5 networks for "native", and as many as free memory holds for "population".
    """

    epochs: Epochs = 12
    gradient_clip: PositiveFloat | None = None
    backend: Literal["auto", "native", "population"] = "auto"
    device: str = "auto"
    workers: Annotated[int, Field(ge=0, le=4096)] = 0
    cohort_size: Annotated[int, Field(ge=0, le=10**6)] = 0
    keep_checkpoints: bool = False
    stop_after_failures: Annotated[int, Field(ge=1, le=10**6)] = 3


class Spectrum(Strict):
    """When and how the spectrum is taken: `sequences` driving sequences of `steps` steps after `warmup`.

    `look` "economy" takes, in its place, the few quantities of `aelle.look` along the first `sequences` validation
    sequences, as the task gives them and no longer than warmup + steps: leading exponents, the mean exponent and
    growth backward from the readout. There is no `state` or `inputs` to choose then, and nothing recorded besides.

    `also` lists what is recorded besides at the same epochs: "hidden", the spectrum with state = "hidden";
    "noise", the spectrum under inputs = "noise"; "layers", the first and the last layer's own; "readout", growth backward in time from the readout, which
    costs one backward pass and helps early prediction more than anything else.
    """

    look: Literal["full", "economy"] = "full"
    epochs: list[Annotated[int, Field(ge=0, le=10**6)]] | Literal["all"] = [0, 1, 3]
    sequences: Annotated[int, Field(ge=1, le=10**5)] = 8
    steps: Annotated[int, Field(ge=1, le=10**7)] = 60
    warmup: Annotated[int, Field(ge=0, le=10**7)] = 40
    state: Literal["full", "hidden"] = "full"
    inputs: Literal["validation", "noise"] = "validation"
    also: list[Literal["hidden", "noise", "layers", "readout"]] = ["readout"]

    @model_validator(mode="before")
    @classmethod
    def _with_defaults_of_a_look(cls, content: Any) -> Any:
        if isinstance(content, Mapping) and content.get("look") == "economy":
            return {"sequences": LOOK_SEQUENCES, **content}
        return content

    @model_validator(mode="after")
    def _of_a_look(self) -> Spectrum:
        other = [f'state = "{self.state}"'] if self.state != "full" else []
        other += [f'inputs = "{self.inputs}"'] if self.inputs != "validation" else []
        other += [f'also = ["{name}"]' for name in self.also if name != "readout"]
        if self.look == "economy" and other:
            raise ValueError(
                f'look = "economy" does not go with {other[0]}: a look is of the full state, along validation '
                f'sequences, and nothing is recorded besides; leave it out, or take look = "full"'
            )
        return self

    @model_validator(mode="after")
    def _fits(self) -> Spectrum:
        steps = self.sequences * (self.steps + self.warmup)
        if steps > _MOST_STEPS:
            raise ValueError(
                f"sequences × (steps + warmup) is {steps:,}, more than {_MOST_STEPS:,}: all networks share these "
                f"driving sequences, in memory"
            )
        return self

    def at(self, epoch: int) -> bool:
        """Say whether the spectrum is due after `epoch` epochs of training."""
        return self.epochs == "all" or epoch in self.epochs
