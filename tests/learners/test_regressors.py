"""Known covariates as regressors of ARIMA and Prophet: odd columns neither fail nor gain a meaning."""

from __future__ import annotations

import numpy as np
import pytest

from many_models.learners.base import FitContext
from many_models.learners.covariates import Regressors, column_count
from many_models.learners.table import learner
from many_models.panel.series import MOST_CATEGORIES, UNSEEN, Covariate

ODD = (Covariate("constant"), Covariate("shelf", "category", ("end", "mid", "top")), Covariate("price"))


@pytest.mark.parametrize("name", ["arima", "auto_arima", "prophet", "elastic_net", "lightgbm"])
def test_a_column_that_never_varied_and_an_unseen_category_change_nothing(name, make_series, make_future):
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(60), rng.integers(0, 3, 60), rng.uniform(1, 2, 60)])
    y = 100 - 20 * x[:, 2] + 5 * (x[:, 1] == 1) + rng.normal(0, 1, 60)
    series = make_series(y, "W-THU", x, ODD)
    context = FitContext(horizon=4, nonnegative=True)
    candidate = next(c for c in learner(name).candidates(series, context) if c.uses_known)
    model = learner(name).fit(series, candidate.parameters, context)
    answers = []
    for constant, shelf in ((1.0, UNSEEN), (7.0, UNSEEN)):
        ahead = np.column_stack([np.full(4, constant), np.full(4, shelf), np.full(4, 1.5)])
        answers.append(model.predict(make_future(series, 4, ahead)).mean)
    assert np.array_equal(answers[0], answers[1])
    assert np.abs(answers[0] - 70).max() < 15
    moved = model.update(make_series(y, "W-THU", np.where(x == 2, UNSEEN, x), ODD))
    assert np.isfinite(moved.predict(make_future(series, 4, ahead)).mean).all()


def test_of_very_many_categories_the_frequent_ones_have_an_indicator(make_series):
    codes = np.concatenate([np.repeat(np.arange(30.0), 4), np.arange(30.0, 60.0), np.zeros(9)])
    many = (Covariate("sku", "category", tuple(f"s{i:02d}" for i in range(60))),)
    made = Regressors.of(make_series(np.arange(159.0), known_x=codes[:, None], known=many))
    assert made.level.tolist() == list(np.arange(1.0, MOST_CATEGORIES + 1))
    assert column_count(many) == MOST_CATEGORIES
    rare, unseen = made.ahead(np.array([[45.0], [UNSEEN]]))
    np.testing.assert_array_equal(rare, unseen)
    np.testing.assert_array_equal(rare, made.ahead(np.array([[0.0]]))[0])
