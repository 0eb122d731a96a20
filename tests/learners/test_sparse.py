"""The lasso by least angles and gradient descent against scikit-learn's own fits."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Lasso, Ridge

from many_models.learners.sparse import gradient_descent, lasso_lars


def table(n=120, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8)) * np.arange(1, 9) + 10
    return x, x[:, 0] - 0.5 * x[:, 2] + rng.normal(0, 0.5, n)


@pytest.mark.parametrize("scaled", [True, False])
def test_the_lasso_is_scikit_learns_at_its_penalty(scaled):
    x, z = table()
    core = lasso_lars(x, z, 120, scaled)
    assert {0, 2} <= set(core.used.tolist())
    standard = (x - x.mean(axis=0)) / (x.std(axis=0) if scaled else 1.0)
    # At a knot the largest correlation with what is left is the penalty itself.
    penalty = np.abs(standard.T @ (z - core.predict(x))).max() / 120
    theirs = Lasso(alpha=penalty, tol=1e-10, max_iter=100_000).fit(standard, z)
    np.testing.assert_allclose(core.predict(x), theirs.predict(standard), atol=1e-6)


def test_columns_that_copy_each_other_or_stand_still_are_no_trouble():
    x, z = table(30)
    x = np.column_stack([x, x[:, 0], x[:, 0] * 2, np.ones(30)])
    for core in (lasso_lars(x, z, 30), gradient_descent(x, z, 0)):
        assert np.isfinite(core.predict(x)).all()
        assert 10 not in core.used


def test_without_columns_or_differences_the_answer_is_the_mean():
    z = np.arange(10.0)
    for x in (np.empty((10, 0)), np.ones((10, 2))):
        for core in (lasso_lars(x, z, 10), gradient_descent(x, z, 0)):
            np.testing.assert_allclose(core.predict(x), 4.5)


def test_gradient_descent_ends_near_the_least_squares():
    x, z = table(400)
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    theirs = Ridge(alpha=1.0).fit(standard, z).predict(standard)
    ours = gradient_descent(x, z, 0).predict(x)
    assert np.corrcoef(theirs, ours)[0, 1] > 0.99
    assert np.array_equal(ours, gradient_descent(x, z, 0).predict(x))
    assert not np.array_equal(ours, gradient_descent(x, z, 1).predict(x))
