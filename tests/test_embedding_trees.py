"""Trees grown with less overhead are scikit-learn's own, to the last bit."""

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from aelle.embedding.trees import extra_trees, parameters_unchecked


def test_leaner_trees_are_scikit_learns_own():
    random = np.random.default_rng(0)
    x, new = random.normal(size=(50, 7)), random.normal(size=(30, 7))
    y = x[:, 0] * x[:, 1]
    theirs = ExtraTreesRegressor(40, min_samples_leaf=2, max_features=0.5, random_state=3).fit(x, y)
    with parameters_unchecked():
        ours = extra_trees(40, 3).fit(x, y)
    assert np.array_equal(ours.predict(new), theirs.predict(new))
    assert all(
        np.array_equal(a.tree_.threshold, b.tree_.threshold)
        for a, b in zip(ours.estimators_, theirs.estimators_, strict=True)
    )
    assert ours.estimators_[0].get_params() == theirs.estimators_[0].get_params()
