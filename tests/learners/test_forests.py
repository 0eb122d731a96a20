"""Trees of scikit-learn as arrays against its own predictions, and what they cost to store."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor, GradientBoostingRegressor, RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor

from many_models.bundle.container import pack, unpack
from many_models.errors import DamagedError, LearnerError
from many_models.learners.base import Deadline, FitContext
from many_models.learners.forests import (
    DecisionTree,
    ExtraTrees,
    Forest,
    GradientBoosting,
    RandomForest,
    trees_of,
)

LEARNERS = (DecisionTree(), RandomForest(), ExtraTrees(), GradientBoosting())
PLAIN = {"history": True, "known": False, "transform": "log"}


def table(n=150, seed=0, holes=False):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6))
    x[:, 3] = rng.integers(0, 2, n)
    if holes:
        x[rng.random(n) < 0.2, 0] = np.nan
    return x, np.nan_to_num(x[:, 0]) * 2 + x[:, 1] ** 2 + x[:, 3] + rng.normal(0, 0.1, n)


def models(x, z):
    """(fitted model of scikit-learn, the same as arrays)."""
    tree = DecisionTreeRegressor(max_leaf_nodes=12, random_state=0).fit(x, z)
    yield tree, trees_of([tree.tree_], 1.0)
    for kind in (RandomForestRegressor, ExtraTreesRegressor):
        forest = kind(8, max_leaf_nodes=12, random_state=0).fit(x, z)
        yield forest, trees_of([t.tree_ for t in forest.estimators_], 1 / 8)
    if np.isfinite(x).all():
        boosted = GradientBoostingRegressor(n_estimators=10, max_leaf_nodes=6, random_state=0).fit(x, z)
        yield boosted, trees_of([t.tree_ for t in boosted.estimators_.ravel()], 0.1, float(z.mean()))


@pytest.mark.parametrize("holes", [False, True])
def test_arrays_predict_what_scikit_learn_predicts(holes):
    x, z = table(holes=holes)
    new, _ = table(200, 1, holes)
    for theirs, trees in models(x, z):
        for rows in (x, new):
            np.testing.assert_allclose(
                Forest(trees).predict(rows), theirs.predict(rows), rtol=1e-12, atol=1e-12
            )
            np.testing.assert_allclose(Forest(trees.single()).predict(rows), theirs.predict(rows), atol=1e-5)


def test_a_threshold_between_two_neighbouring_numbers_parts_them():
    low = np.float32(1000.1)
    high = np.nextafter(low, np.float32(2000))
    x = np.repeat(np.array([low, high], dtype=np.float64), 10)[:, None]
    z = np.repeat([0.0, 1.0], 10)
    tree = DecisionTreeRegressor(random_state=0).fit(x, z)
    np.testing.assert_array_equal(Forest(trees_of([tree.tree_], 1.0).single()).predict(x), z)


def test_a_target_that_cannot_be_split_is_one_leaf():
    x, _ = table()
    for theirs, trees in models(x, np.full(150, 2.5)):
        np.testing.assert_allclose(Forest(trees).predict(x), theirs.predict(x))


def test_stored_trees_predict_the_same_bits_and_damage_is_refused():
    x, z = table()
    for _, trees in models(x, z):
        forest = Forest(trees.single())
        state = unpack(pack(forest.state()))
        assert np.array_equal(Forest.load(state).predict(x), forest.predict(x))
        with pytest.raises(DamagedError):
            Forest.load({**state, "inner": state["inner"][:-1]})


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: learner.info.name)
def test_models_of_two_years_of_weeks_are_under_eight_kilobytes(learner, make_series):
    rng = np.random.default_rng(2)
    series = make_series(np.exp(rng.normal(4, 0.5, 120)), "W-THU")
    model = learner.fit(series, PLAIN, FitContext(horizon=8, nonnegative=True))
    assert len(pack(model.state())) < 8_000


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: learner.info.name)
def test_no_tree_is_grown_after_the_deadline(learner, make_series, quarterly):
    context = FitContext(horizon=4, season=4, deadline=Deadline(time.monotonic() - 1))
    with pytest.raises(LearnerError) as caught:
        learner.fit(make_series(quarterly()), {**PLAIN, "transform": "none"}, context)
    assert caught.value.code == "DEADLINE"
