"""Two more linear regressions on the common frame: the lasso by least angles, and gradient descent."""

from __future__ import annotations

import numpy as np

from many_models.learners.base import FitContext
from many_models.learners.guards import library
from many_models.learners.linear import Centred, LinearCore
from many_models.learners.regression import Lesson, LinearRegression
from many_models.learners.table import learner_info
from many_models.panel.series import Floats


class LassoLars(LinearRegression):
    """The lasso, its whole path by least angle regression."""

    info = learner_info("lasso_lars")

    def learn(self, lesson: Lesson, context: FitContext) -> LinearCore:
        """The coefficients at the knot of the path that the corrected information criterion prefers."""
        return lasso_lars(lesson.x, lesson.z, lesson.distinct, self.own_size(context), lesson.weight)


MOST_KNOTS = 60
"""Longest path, in columns that enter or leave."""


def lasso_lars(
    x: Floats, z: Floats, count: int, scaled: bool = True, weight: Floats | None = None
) -> LinearCore:
    """The lasso of `z` [n] on `x` [n, c] at the knot with the lowest AICc.

    `count` observations stand behind the n rows, which count `weight` [n]; not `scaled`: columns are
    penalised as they are.
    """
    from sklearn.linear_model import lars_path_gram

    problem = Centred.of(x, z, scaled, weight)
    if not problem.strongest > 1e-12:
        return problem.core(np.zeros(x.shape[1]))
    knots = max(1, min(MOST_KNOTS, x.shape[1], count - 4))
    with library("the lasso's path"):
        _, _, path = lars_path_gram(
            problem.products, problem.x.T @ problem.x, n_samples=len(z), max_iter=knots, method="lasso"
        )
    return problem.core(problem.by_information(np.asarray(path), count))


class Sgd(LinearRegression):
    """A linear model by averaged stochastic gradient descent."""

    info = learner_info("sgd")

    def learn(self, lesson: Lesson, context: FitContext) -> LinearCore:
        """The coefficients after a fixed number of passes, in an order that the seed decides."""
        return gradient_descent(lesson.x, lesson.z, context.seed, self.own_size(context), lesson.weight)


PASSES = 100
PENALTY = 0.01


def gradient_descent(
    x: Floats, z: Floats, seed: int, scaled: bool = True, weight: Floats | None = None
) -> LinearCore:
    """Squared errors of `z` [n] on `x` [n, c] with an elastic penalty, by gradient descent."""
    from sklearn.linear_model import SGDRegressor

    problem = Centred.of(x, z, scaled, weight)
    if x.shape[1] == 0:
        return problem.core(np.empty(0))
    model = SGDRegressor(
        penalty="elasticnet", alpha=PENALTY, l1_ratio=0.5, fit_intercept=False, average=True,
        max_iter=PASSES, tol=None, random_state=seed % 2**31,
    )  # fmt: skip
    with library("gradient descent; scale the columns"):
        model.fit(problem.x, problem.z)
    return problem.core(np.asarray(model.coef_))
