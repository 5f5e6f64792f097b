"""Strict TOML ↔ typed experiment. An unknown key, a wrong type or a wrong value is one clear error line."""

from aelle.config.autoencoder import Autoencoder
from aelle.config.collection import Networks, Spectrum, Task, Training
from aelle.config.errors import ConfigError
from aelle.config.experiment import Experiment, Prediction
from aelle.config.files import dump_experiment, load_experiment, parse_experiment
from aelle.config.values import Choice, LogUniform, Uniform

__all__ = [
    "Autoencoder",
    "Choice",
    "ConfigError",
    "Experiment",
    "LogUniform",
    "Networks",
    "Prediction",
    "Spectrum",
    "Task",
    "Training",
    "Uniform",
    "dump_experiment",
    "load_experiment",
    "parse_experiment",
]
