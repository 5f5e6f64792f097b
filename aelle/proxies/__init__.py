"""Zero-cost proxies: what one batch says of an untrained network, by formulas of the field; rungs that spectra must beat."""

from aelle.proxies.batch import Batch, proxies
from aelle.proxies.correlation import correlation_score
from aelle.proxies.gradient_norm import gradient_norm
from aelle.proxies.hidden_covariance import hidden_covariance
from aelle.proxies.jacobian_cosine import jacobian_cosine
from aelle.proxies.jacobian_covariance import jacobian_covariance
from aelle.proxies.parameters import number_of_parameters
from aelle.proxies.power_law_alpha import power_law_alpha
from aelle.proxies.synaptic_saliency import synaptic_saliency

__all__ = [
    "Batch",
    "correlation_score",
    "gradient_norm",
    "hidden_covariance",
    "jacobian_cosine",
    "jacobian_covariance",
    "number_of_parameters",
    "power_law_alpha",
    "proxies",
    "synaptic_saliency",
]
