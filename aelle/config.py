"""Strict TOML ↔ typed experiment. An unknown key, a wrong type or a wrong value is one clear error line."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import tomli_w
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator
from pydantic_core import ErrorDetails


class ConfigError(ValueError):
    """An experiment file that cannot be used; the message names the file, the key and what would be right."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Uniform(_Strict):
    """A number drawn uniformly from [low, high], written `{ uniform = [low, high] }`."""

    uniform: Annotated[list[float], Field(min_length=2, max_length=2)]

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        if self.uniform[0] > self.uniform[1]:
            raise ValueError(f"the range [{self.uniform[0]}, {self.uniform[1]}] runs downwards")
        return self


class LogUniform(_Strict):
    """A number whose logarithm is uniform on [ln low, ln high], written `{ log_uniform = [low, high] }`."""

    log_uniform: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2, max_length=2)]

    @model_validator(mode="after")
    def _ordered(self) -> LogUniform:
        if self.log_uniform[0] > self.log_uniform[1]:
            raise ValueError(f"the range [{self.log_uniform[0]}, {self.log_uniform[1]}] runs downwards")
        return self


class Choice(_Strict):
    """One value drawn from a list, written `{ choice = [a, b] }`."""

    choice: Annotated[list[bool | int | float | str], Field(min_length=1)]


PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
_SHAPES = ("fixed", "grid", "uniform", "log_uniform", "choice")


def _shape(value: Any) -> str:
    """Tell which form of a search-space entry was written, so that errors speak of that form alone."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, dict):
        return next((name for name in _SHAPES[2:] if name in value), "choice")
    return "grid" if isinstance(value, list) else "fixed"


def _searched(kind: Any) -> Any:
    """Type of one entry of the search space: a value, a grid of values, or a distribution of them."""
    forms: dict[str, Any] = {
        "fixed": kind,
        "grid": Annotated[list[kind], Field(min_length=1)],
        "choice": Choice,
    }
    if kind is not str:
        forms.update(uniform=Uniform, log_uniform=LogUniform)
    tagged = tuple(Annotated[form, Tag(name)] for name, form in forms.items())
    return Annotated[Union[tagged], Discriminator(_shape)]  # noqa: UP007


class Networks(_Strict):
    """The search space. A plain list is a grid axis; a distribution is drawn anew for every network.

    `cell_options` are fixed hyperparameters of an architecture, checked by it: `cell_options.cornn.dt = 0.05`.
    """

    architecture: _searched(str) = ["rnn", "gru", "lstm"]  # type: ignore[valid-type]
    hidden_size: _searched(PositiveInt) = [16, 32]  # type: ignore[valid-type]
    num_layers: _searched(PositiveInt) = 1  # type: ignore[valid-type]
    bias: bool = False
    per_combination: PositiveInt = 20
    init_gain: _searched(PositiveFloat) | None = None  # type: ignore[valid-type]
    init_scale: _searched(PositiveFloat) | None = None  # type: ignore[valid-type]
    learning_rate: _searched(PositiveFloat) = 0.003  # type: ignore[valid-type]
    dropout: _searched(Fraction) = 0.0  # type: ignore[valid-type]
    weight_decay: _searched(NonNegativeFloat) = 0.0  # type: ignore[valid-type]
    cell_options: dict[str, dict[str, float]] = {}

    @model_validator(mode="after")
    def _one_initialisation(self) -> Networks:
        if self.init_gain is not None and self.init_scale is not None:
            raise ValueError("give init_gain (U(±gain/√H)) or init_scale (U(±scale)), not both")
        return self


class Task(_Strict):
    """What the networks learn; `options` are the task's own arguments, checked by the task.

    `data_folder` holds the data files of tasks that need any; without it the folder in the environment
    variable AELLE_DATA is taken, else files are downloaded. It decides nothing about the records.
    """

    name: str
    options: dict[str, bool | int | float | str] = {}
    data_folder: str | None = None


class Training(_Strict):
    """How the networks learn.

    `backend` "native" trains one network after another with torch's kernels, in `workers` processes (0: one a
    core); "population" trains a cohort as one batch on `device`; "auto" takes the latter where there is a GPU.
    `cohort_size = 0` means 5 networks for "native", and as many as free memory holds for "population".
    """

    epochs: PositiveInt = 12
    batch_size: PositiveInt = 32
    gradient_clip: PositiveFloat | None = None
    backend: Literal["auto", "native", "population"] = "auto"
    device: str = "auto"
    workers: Annotated[int, Field(ge=0)] = 0
    cohort_size: Annotated[int, Field(ge=0)] = 0
    keep_checkpoints: bool = False
    stop_after_failures: PositiveInt = 3


class Spectrum(_Strict):
    """When and how the spectrum is taken: `sequences` driving sequences of `steps` steps after `warmup`.

    `also` lists what is recorded besides at the same epochs: "hidden", the spectrum with state = "hidden";
    "noise", the spectrum under inputs = "noise"; "readout", growth backward in time from the readout.
    """

    epochs: list[Annotated[int, Field(ge=0)]] | Literal["all"] = [0, 1, 3]
    sequences: PositiveInt = 8
    steps: PositiveInt = 60
    warmup: Annotated[int, Field(ge=0)] = 40
    state: Literal["full", "hidden"] = "full"
    inputs: Literal["validation", "noise"] = "validation"
    also: list[Literal["hidden", "noise", "readout"]] = []

    def at(self, epoch: int) -> bool:
        """Say whether the spectrum is due after `epoch` epochs of training."""
        return self.epochs == "all" or epoch in self.epochs


Channels = Annotated[list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]], Field(min_length=1)]


def _paper_preset(content: Mapping[str, Any]) -> dict[str, Any]:
    """The autoencoder of Vogt, Zheng & Shlizerman, as their published code builds and trains it by default.

    Three fully connected layers of n/8, n/16 and 32 units with tanh, mirrored; dropout after every layer of
    the decoder too; absolute error of the spectrum plus α times the squared error of a linear read-out of the
    latent point; α = 5, 5, 10, 20 for 1,000 epochs each; batches of 128; Adam.
    """
    length = content.get("length", 128)
    return {
        "length": length,
        "channels": ["spectrum"],
        "hidden_sizes": [max(1, length // part) for part in (8, 16)] if isinstance(length, int) else [16, 8],
        "latent_size": 32,
        "head_sizes": [],
        "head": "network",
        "activation": "tanh",
        "summaries": False,
        "epoch_conditioned": False,
        "decoder_dropout": True,
        "reconstruction_loss": "absolute",
        "learning_rate": 0.0001,
        "weight_decay": 0.0,
        "epochs": 4000,
        "patience": 4000,
        "batch_size": 128,
        "prediction_weights": [5.0, 5.0, 10.0, 20.0],
        "select_by": "prediction",
    }


class Autoencoder(_Strict):
    """The autoencoder of spectra and its accuracy head.

    `preset` "paper" takes every setting that is not given from the autoencoder of Vogt, Zheng & Shlizerman
    (arXiv:2204.04876) instead of from the defaults here.

    What it sees: `channels` of each spectrum (spectrum, change, temporal_std, standard_error, change_of_X, or
    any record column X that holds lists), each as `length` values over the normalised index, and with
    `summaries` six numbers of the spectrum. With `epoch_conditioned` the epoch is an input of all parts.

    What it is: `encoder` "mlp" reads all positions at once; "set", "convolution" and "attention" share their
    weights over positions, as tokens (index fraction, values). `hidden_sizes` are the widths of its layers,
    mirrored by the decoder; `head_sizes` those of the heads, which read the latent point. With `kl_weight`
    above 0 the latent point is drawn from a Gaussian held near N(0, 1) (variational). `head` "network" predicts
    by the network's head; "forest" by `forest_trees` extra-trees an epoch and member on the same inputs; "mixture"
    by the mean of both. The latents and what `aelle train` predicts always come from the network.

    How it learns: reconstruction_weight · reconstruction + w · prediction + kl_weight · divergence.
    `prediction_loss` "gaussian" makes the heads predict a variance too. w rises from `prediction_weight_start` by
    the factor `prediction_weight_growth` an epoch up to `prediction_weight_end`; or, where `prediction_weights`
    lists some, it takes each of them for an equal share of the epochs. Kept is the epoch of the least validation
    loss, of the sum or of the `prediction` term alone (`select_by`).
    """

    preset: Literal["aelle", "paper"] = "aelle"
    encoder: Literal["mlp", "set", "convolution", "attention"] = "mlp"
    length: Annotated[int, Field(ge=8)] = 32
    channels: Channels = ["spectrum", "change", "temporal_std"]
    summaries: bool = True
    epoch_conditioned: bool = True
    hidden_sizes: Annotated[list[PositiveInt], Field(min_length=1)] = [64, 32]
    latent_size: PositiveInt = 8
    head_sizes: list[PositiveInt] = [16]
    head: Literal["network", "forest", "mixture"] = "mixture"
    forest_trees: PositiveInt = 20
    activation: Literal["silu", "tanh"] = "silu"
    reconstruction_loss: Literal["squared", "absolute"] = "squared"
    reconstruction_weight: NonNegativeFloat = 1.0
    prediction_loss: Literal["squared", "gaussian"] = "squared"
    kl_weight: NonNegativeFloat = 0.0
    learning_rate: PositiveFloat = 0.01
    weight_decay: NonNegativeFloat = 0.01
    epochs: PositiveInt = 100
    batch_size: PositiveInt = 512
    dropout: Fraction = 0.1
    decoder_dropout: bool = False
    patience: PositiveInt = 30
    select_by: Literal["total", "prediction"] = "total"
    validation_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    prediction_weight_start: PositiveFloat = 0.1
    prediction_weight_growth: Annotated[float, Field(ge=1)] = 1.2
    prediction_weight_end: PositiveFloat = 10.0
    prediction_weights: list[NonNegativeFloat] = []

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, content: Any) -> Any:
        if isinstance(content, Mapping) and content.get("preset") == "paper":
            return {**_paper_preset(content), **content}
        return content


class Prediction(_Strict):
    """Early prediction. `epochs` empty means every epoch at which spectra were recorded.

    `folds` of networks are held out in turn; in each fold, for each of the `views` (channels of the spectrum)
    `ensemble` autoencoders, each stopped early on another part of the training networks, are averaged.
    `bootstrap` resamplings of the networks give intervals of the correlations at `confidence`; `interval` is the
    probability with which each network's own prediction interval is to cover. With `leave_out` the folds are
    whole architectures or sizes instead: does what was learnt hold for one never seen?
    """

    target: Literal["final", "best"] = "final"
    leave_out: Literal["network", "architecture", "hidden_size"] = "network"
    epochs: list[Annotated[int, Field(ge=0)]] = []
    folds: Annotated[int, Field(ge=2)] = 5
    ensemble: Annotated[int, Field(ge=2)] = 5
    views: Annotated[list[Channels], Field(min_length=1)] = [
        ["spectrum"],
        ["spectrum", "change", "temporal_std"],
    ]
    bootstrap: PositiveInt = 1000
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    interval: Annotated[float, Field(ge=0.5, lt=1)] = 0.9


class Experiment(_Strict):
    """One experiment: a task, a search space, and the settings of each stage."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    seed: Annotated[int, Field(ge=0)] = 0
    task: Task
    networks: Networks = Networks()
    training: Training = Training()
    spectrum: Spectrum = Spectrum()
    autoencoder: Autoencoder = Autoencoder()
    prediction: Prediction = Prediction()


def load_experiment(path: str | Path, overrides: Iterable[str] = ()) -> Experiment:
    """Read an experiment from TOML and apply overrides `section.key=value` (values in TOML's own syntax).

    Raises:
        ConfigError: for a missing or unreadable file, broken TOML, an unknown key, or a wrong value.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such experiment file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    for override in overrides:
        _apply(content, override)
    return parse_experiment(content, source=str(path))


def parse_experiment(content: Mapping[str, Any], source: str = "experiment") -> Experiment:
    """Check a nested mapping against the schema.

    Raises:
        ConfigError: naming the first wrong key, and how many others there are.
    """
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{source}: {_explain(error)}") from None


def dump_experiment(experiment: Experiment) -> str:
    """Write the resolved experiment, every default included, as TOML."""
    return tomli_w.dumps(experiment.model_dump(mode="json", exclude_none=True))


def _apply(content: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set {override}: expected section.key=value")
    *sections, last = key.strip().split(".")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise ConfigError(f"--set {override}: {section} is a value, not a section")
    content[last] = _toml_value(value.strip())


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word such as lstm is a string


def _explain(error: ValidationError) -> str:
    """Turn pydantic's list of errors into one line about the most telling one."""
    # A union reports an error for every member; the unknown keys and the shallowest locations tell most.
    details = sorted(error.errors(), key=lambda d: (d["type"] != "extra_forbidden", len(d["loc"])))
    keys = list(dict.fromkeys(_key(detail["loc"]) for detail in details))
    line = _explain_one(details[0])
    return line if len(keys) == 1 else f"{line} (and {len(keys) - 1} more: {', '.join(keys[1:4])})"


def _key(location: Sequence[int | str]) -> str:
    """Name the place as the user wrote it: `section.key[index]`, without the names of union members."""
    path = ""
    for position, part in enumerate(location):
        if isinstance(part, int):
            path += f"[{part}]"
        elif not (position == 2 and part in _SHAPES):
            path += f".{part}" if path else part
    return path


def _explain_one(detail: ErrorDetails) -> str:
    location, place = detail["loc"], _key(detail["loc"])
    if detail["type"] == "extra_forbidden":
        names = _known_keys(location[:-1])
        close = difflib.get_close_matches(str(location[-1]), names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
        return f"unknown key {place!r}; {hint}"
    if detail["type"] == "missing":
        return f"{place!r} is missing"
    if detail["type"] in ("model_type", "model_attributes_type"):
        return f"{place!r} must be a section, got {detail['input']!r}"
    if detail["type"] == "union_tag_invalid":
        return f"{place!r} takes no distribution of numbers"
    message = detail["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(detail["input"], dict) else f" (got {detail['input']!r})"
    return f"{place}: {message[0].lower()}{message[1:]}{shown}"


def _known_keys(location: Sequence[int | str]) -> list[str]:
    """List what may stand at a place of the experiment."""
    if len(location) > 2:
        return list(_SHAPES[2:])
    model: Any = Experiment.model_fields[str(location[0])].annotation if location else Experiment
    return sorted(model.model_fields)
