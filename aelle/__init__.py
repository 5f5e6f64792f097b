"""Lyapunov spectra of recurrent networks: collect, embed, predict, explore.

Public names load on first use, so that `import aelle` itself imports nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aelle import plot as plot
    from aelle.collection.collect import collect as collect
    from aelle.conditioning import condition as condition
    from aelle.conditioning import diagnose as diagnose
    from aelle.config import load_experiment as load_experiment
    from aelle.embedding.fit import train as train
    from aelle.integrations.monitor import SpectrumMonitor as SpectrumMonitor
    from aelle.integrations.watch import SpectrumWatch as SpectrumWatch
    from aelle.interchange.importing import import_spectra as import_spectra
    from aelle.prediction.evaluate import evaluate as evaluate
    from aelle.prediction.new_networks import predict as predict
    from aelle.records import ExperimentFolder as ExperimentFolder
    from aelle.records import read_records as read_records
    from aelle.spectra import BlockDiagonal as BlockDiagonal
    from aelle.spectra import DiagonalPlusLowRank as DiagonalPlusLowRank
    from aelle.spectra import DrivenMap as DrivenMap
    from aelle.spectra import LyapunovSpectrum as LyapunovSpectrum
    from aelle.spectra import conditional_vs_generative as conditional_vs_generative
    from aelle.spectra import covariant_lyapunov_vectors as covariant_lyapunov_vectors
    from aelle.spectra import fixed_points as fixed_points
    from aelle.spectra import flow_map as flow_map
    from aelle.spectra import leading_exponents as leading_exponents
    from aelle.spectra import look as look
    from aelle.spectra import lyapunov_spectra as lyapunov_spectra
    from aelle.spectra import lyapunov_spectrum as lyapunov_spectrum
    from aelle.spectra import mean_field as mean_field
    from aelle.spectra import readout_growth as readout_growth
    from aelle.spectra import reference_exponents as reference_exponents
    from aelle.spectra import spectrum_distance as spectrum_distance

__version__ = "0.1.0"

_HOMES = {
    "lyapunov_spectrum": "aelle.spectra",
    "lyapunov_spectra": "aelle.spectra",
    "leading_exponents": "aelle.spectra",
    "look": "aelle.spectra",
    "LyapunovSpectrum": "aelle.spectra",
    "DrivenMap": "aelle.spectra",
    "BlockDiagonal": "aelle.spectra",
    "DiagonalPlusLowRank": "aelle.spectra",
    "covariant_lyapunov_vectors": "aelle.spectra",
    "conditional_vs_generative": "aelle.spectra",
    "fixed_points": "aelle.spectra",
    "flow_map": "aelle.spectra",
    "mean_field": "aelle.spectra",
    "readout_growth": "aelle.spectra",
    "spectrum_distance": "aelle.spectra",
    "reference_exponents": "aelle.spectra",
    "condition": "aelle.conditioning",
    "diagnose": "aelle.conditioning",
    "load_experiment": "aelle.config",
    "ExperimentFolder": "aelle.records",
    "read_records": "aelle.records",
    "import_spectra": "aelle.interchange.importing",
    "collect": "aelle.collection.collect",
    "train": "aelle.embedding.fit",
    "evaluate": "aelle.prediction.evaluate",
    "predict": "aelle.prediction.new_networks",
    "SpectrumWatch": "aelle.integrations.watch",
    "SpectrumMonitor": "aelle.integrations.monitor",
}
_MODULES = {"plot": "aelle.plot"}
__all__ = sorted([*_HOMES, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'aelle' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
