"""The hyperparameters of networks: name, type, bounds, scale and wording of each, once.

Settings, search space, network ids, records, predictors and the page read this list. A new hyperparameter is one more
entry with `later = True`, and acts where some code reads it: a learning rule, a cell, the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Hyperparameter:
    """One hyperparameter.

    Attributes:
        name: in settings and in records.
        label: in words, for axes and legends.
        kind: str, bool, int or float.
        default: where the settings say nothing; None where another one stands for it.
        above, at_least, at_most, below: bounds of a number; None for none.
        logarithmic: ratios of it matter, not differences; predictors take its logarithm.
        shape: it decides what the network is, not how it learns; a cell or module shows it by itself.
        section: of the settings in which it stands.
        searched: it takes a list (an axis of the grid) or a distribution besides one value.
        later: it came after records were first written: files may lack it, and ids pass over its default.
    """

    name: str
    label: str
    kind: type[str] | type[bool] | type[int] | type[float]
    default: Any = None
    above: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    below: float | None = None
    logarithmic: bool = False
    shape: bool = False
    section: str = "networks"
    searched: bool = True
    later: bool = False

    def allows(self, value: Any) -> bool:
        """Whether a value is of the kind and within the bounds; NaN is not."""
        whole = self.kind is int and isinstance(value, int) and not isinstance(value, bool)
        number = self.kind is float and isinstance(value, int | float) and not isinstance(value, bool)
        if not (whole or number):
            return self.kind in (str, bool) and isinstance(value, self.kind)
        return (
            (self.above is None or value > self.above)
            and (self.at_least is None or value >= self.at_least)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
            and value == value
        )

    @property
    def allowed(self) -> str:
        """What is allowed, in words: "a whole number of at least 1"."""
        words = {str: "a word", bool: "true or false", int: "a whole number", float: "a number"}[self.kind]
        bounds = (
            ("above", self.above),
            ("of at least", self.at_least),
            ("and at most", self.at_most),
            ("below", self.below),
        )
        return " ".join([words, *(f"{bound} {value:,.10g}" for bound, value in bounds if value is not None)])


# Upper bounds are where numbers stop to mean anything: a spectrum of 8,192 LSTM units is a frame of 16,384² numbers,
# 2 GiB; AdamW moves every weight by about the learning rate at each step; a scale of 1e6 saturates every unit.
HYPERPARAMETERS = (
    Hyperparameter("architecture", "architecture", str, ["rnn", "gru", "lstm"], shape=True),
    Hyperparameter(
        "hidden_size", "hidden size", int, [16, 32], at_least=1, at_most=8192, logarithmic=True, shape=True
    ),
    Hyperparameter("num_layers", "layers", int, 1, at_least=1, at_most=256, shape=True),
    Hyperparameter("bias", "bias", bool, False, shape=True, searched=False),
    Hyperparameter("init_scale", "initial scale p of U(±p)", float, above=0, at_most=1e6, logarithmic=True),
    Hyperparameter("init_gain", "initial gain p·√H", float, above=0, at_most=1e6, logarithmic=True),
    Hyperparameter("learning_rate", "learning rate", float, 0.003, above=0, at_most=1e3, logarithmic=True),
    Hyperparameter("dropout", "dropout", float, 0.0, at_least=0, below=1),
    Hyperparameter("weight_decay", "weight decay", float, 0.0, at_least=0, at_most=1e3),
    Hyperparameter(
        "batch_size",
        "batch size",
        int,
        32,
        at_least=1,
        at_most=10**6,
        logarithmic=True,
        section="training",
        searched=False,
    ),
    Hyperparameter(
        "learning_rate_decay",
        "learning rate's factor per epoch",
        float,
        1.0,
        above=0,
        at_most=1,
        section="training",
        searched=False,
        later=True,
    ),
    Hyperparameter(
        "decay_after",
        "epochs before the learning rate decays",
        int,
        0,
        at_least=0,
        at_most=10**6,
        section="training",
        searched=False,
        later=True,
    ),
    Hyperparameter(
        "condition",
        "conditioning before training",
        str,
        "none",
        section="training",
        searched=False,
        later=True,
    ),
)
NAMES = tuple(h.name for h in HYPERPARAMETERS)
SHAPE = tuple(h.name for h in HYPERPARAMETERS if h.shape)
WORDS = tuple(h.name for h in HYPERPARAMETERS if h.kind is str)
LOGARITHMIC = tuple(h.name for h in HYPERPARAMETERS if h.logarithmic)
LABELS = {h.name: h.label for h in HYPERPARAMETERS}
