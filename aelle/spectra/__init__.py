"""Lyapunov spectra, and what belongs to them, of any recurrent network or driven map."""

from aelle.lyapunov.covariant import CovariantVectors
from aelle.lyapunov.differentiable import ChaoticGradientWarning
from aelle.lyapunov.driven_map import DrivenMap
from aelle.lyapunov.fixed_points import FixedPoints
from aelle.lyapunov.mean_field import MeanField, mean_field
from aelle.lyapunov.reference import reference_exponents
from aelle.lyapunov.result import LyapunovSpectrum
from aelle.lyapunov.structure import BlockDiagonal, DiagonalPlusLowRank
from aelle.spectra.closed_loop import DrivenAndGenerative, conditional_vs_generative
from aelle.spectra.cohort import lyapunov_spectra
from aelle.spectra.covariant import covariant_lyapunov_vectors
from aelle.spectra.distance import spectrum_distance
from aelle.spectra.fixed_points import fixed_points
from aelle.spectra.flow import flow_map
from aelle.spectra.front import lyapunov_spectrum
from aelle.spectra.gradients import leading_exponents
from aelle.spectra.look import Look, look
from aelle.spectra.readout import cohort_readout_growth, readout_growth

__all__ = [
    "BlockDiagonal",
    "ChaoticGradientWarning",
    "CovariantVectors",
    "DiagonalPlusLowRank",
    "DrivenAndGenerative",
    "DrivenMap",
    "FixedPoints",
    "Look",
    "LyapunovSpectrum",
    "MeanField",
    "cohort_readout_growth",
    "conditional_vs_generative",
    "covariant_lyapunov_vectors",
    "fixed_points",
    "flow_map",
    "leading_exponents",
    "look",
    "lyapunov_spectra",
    "lyapunov_spectrum",
    "mean_field",
    "readout_growth",
    "reference_exponents",
    "spectrum_distance",
]
