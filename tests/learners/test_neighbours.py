"""Nearest neighbours against scikit-learn, and what a model may learn its number from."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsRegressor

from many_models.bundle.container import pack, unpack
from many_models.errors import DamagedError
from many_models.learners.neighbours import COUNTS, MOST_ROWS_KEPT, Neighbours, neighbours


def table(n=100, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    return x, x[:, 0] + 0.5 * x[:, 1] + rng.normal(0, 0.3, n)


def test_the_answers_are_those_of_scikit_learn():
    x, z = table()
    core = neighbours(x, z, np.arange(100))
    theirs = KNeighborsRegressor(core.count).fit(core.x, core.z)
    new = table(60, 1)[0].astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(core.predict(new), theirs.predict(new), rtol=1e-12)


def test_the_number_is_the_one_with_the_least_left_out_error():
    x, z = table()
    core = neighbours(x, z, np.arange(100))
    errors = []
    for count in COUNTS:
        wrong = 0.0
        for i in range(100):
            rest = np.arange(100) != i
            theirs = KNeighborsRegressor(count).fit(core.x[rest], z[rest])
            wrong += abs(theirs.predict(core.x[[i]])[0] - z[i])
        errors.append(wrong)
    assert core.count == COUNTS[int(np.argmin(errors))]


def test_other_views_of_the_same_value_are_left_out_too():
    x, z = np.random.default_rng(0).normal(size=(40, 3)), np.random.default_rng(1).normal(size=40)
    rng = np.random.default_rng(2)
    seen = np.tile(x, (5, 1)) + rng.normal(0, 1e-3, (200, 3))
    # Noise alone: of honest numbers the largest wins; copies of the answer would make it the smallest.
    assert neighbours(seen, np.tile(z, 5), np.tile(np.arange(40), 5)).count > COUNTS[0]
    assert neighbours(seen, np.tile(z, 5), np.arange(200)).count == COUNTS[0]


def test_long_histories_keep_their_newest_rows():
    x, z = table(2 * MOST_ROWS_KEPT)
    core = neighbours(x, z, np.arange(2 * MOST_ROWS_KEPT))
    np.testing.assert_array_equal(core.z, z[MOST_ROWS_KEPT:].astype(np.float32))


def test_stored_rows_answer_the_same_bits_and_damage_is_refused():
    x, z = table()
    core = neighbours(x, z, np.arange(100))
    state = unpack(pack(core.state()))
    new = table(30, 3)[0]
    whole = core.predict(new)
    assert np.array_equal(Neighbours.load(state).predict(new), whole)
    assert all(core.predict(new[i : i + 1])[0] == whole[i] for i in range(30))
    for broken in ({"count": 0}, {"z": state["z"][:-1]}, {"x": state["x"][0]}):
        with pytest.raises(DamagedError):
            Neighbours.load({**state, **broken})
