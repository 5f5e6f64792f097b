"""Figures: for each picture plain data (`..._info`), then a thin plotly figure that draws it."""

from aelle.explorer.figures.contrast import contrast_histograms
from aelle.explorer.figures.latent_map import latent_map, latent_map_info
from aelle.explorer.figures.learning_curves import (
    curve_bands,
    curve_bands_info,
    learning_curves,
    learning_curves_info,
)
from aelle.explorer.figures.prediction import (
    Predicted,
    calibration,
    calibration_info,
    ladder,
    ladder_info,
    level_methods,
    methods_at,
    predicted_against_actual,
    predicted_info,
)
from aelle.explorer.figures.spectra import (
    decoded_spectrum,
    spectra_over_epochs,
    spectra_over_epochs_info,
    spectrum_bands,
    spectrum_bands_info,
)
from aelle.explorer.figures.trails import add_trails, trails_info

__all__ = [
    "Predicted",
    "add_trails",
    "calibration",
    "calibration_info",
    "contrast_histograms",
    "curve_bands",
    "curve_bands_info",
    "decoded_spectrum",
    "ladder",
    "ladder_info",
    "level_methods",
    "latent_map",
    "latent_map_info",
    "learning_curves",
    "learning_curves_info",
    "methods_at",
    "predicted_against_actual",
    "predicted_info",
    "spectra_over_epochs",
    "spectra_over_epochs_info",
    "spectrum_bands",
    "spectrum_bands_info",
    "trails_info",
]
