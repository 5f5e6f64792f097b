"""scikit-learn's trees without what it spends beside growing them, which for some hundred rows is the greater part.

The trees are the same to the last bit.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from sklearn import config_context
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.tree import ExtraTreeRegressor


class _Tree(ExtraTreeRegressor):
    """A tree whose parameters are looked up once, not for every copy that a forest makes of it."""

    @classmethod
    @cache
    def _get_param_names(cls) -> list[str]:
        return list(super()._get_param_names())


def extra_trees(trees: int, seed: int) -> ExtraTreesRegressor:
    """Extremely randomised trees (Geurts et al. 2006) for a few hundred rows."""
    forest = ExtraTreesRegressor(trees, min_samples_leaf=2, max_features=0.5, random_state=seed)
    forest.estimator = _Tree()
    return forest


def parameters_unchecked(finite: bool = False) -> AbstractContextManager[None]:
    """Spare the check of each tree's parameters, which are the same for all; of the inputs too where they are `finite`."""
    context: AbstractContextManager[None] = config_context(
        skip_parameter_validation=True, assume_finite=finite
    )
    return context
