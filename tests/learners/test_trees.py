"""Trees as arrays against LightGBM's own predictions."""

from __future__ import annotations

import lightgbm
import numpy as np
import pytest

from many_models.bundle.container import pack, unpack
from many_models.errors import DamagedError
from many_models.learners.trees import Trees


def table(n, holes, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6))
    x[:, 3] = rng.integers(0, 2, n)
    x[:, 4:] = np.eye(3)[rng.integers(0, 3, n)][:, :2]
    if holes:
        x[rng.random(n) < 0.3, 0] = np.nan
        x[rng.random(n) < 0.1, 3] = np.nan
    y = np.nan_to_num(x[:, 0]) * 2 + x[:, 1] ** 2 + 3 * x[:, 4] + rng.normal(0, 0.1, n)
    return x, y


def boosted(x, y, rounds=40, **settings):
    settings = {
        "num_leaves": 12,
        "min_data_in_leaf": 3,
        "verbosity": -1,
        "num_threads": 1,
        "deterministic": True,
        **settings,
    }
    booster = lightgbm.Booster(settings, lightgbm.Dataset(x, y, params=settings))
    for _ in range(rounds):
        booster.update()
    return booster


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("settings", [{}, {"objective": "regression_l1"}, {"extra_trees": True}])
def test_arrays_predict_what_lightgbm_predicts(holes, settings):
    x, y = table(200, holes)
    booster = boosted(x, y, **settings)
    new, _ = table(80, True, seed=1)
    new[:5] = np.nan
    new[5:9] = 0.0
    trees = Trees.of(booster)
    np.testing.assert_allclose(trees.predict(new), booster.predict(new), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(trees.predict(x), booster.predict(x), rtol=1e-12, atol=1e-12)


def test_a_target_that_cannot_be_split_is_one_leaf_per_tree():
    x, _ = table(50, False)
    booster = boosted(x, np.full(50, 3.5), rounds=3)
    np.testing.assert_allclose(Trees.of(booster).predict(x), booster.predict(x), rtol=1e-12)


def test_stored_trees_predict_the_same_bits():
    x, y = table(120, True)
    trees = Trees.of(boosted(x, y)).single()
    loaded = Trees.load(unpack(pack(trees.state())))
    assert np.array_equal(loaded.predict(x), trees.predict(x))
    np.testing.assert_allclose(trees.predict(x), boosted(x, y).predict(x), atol=1e-4)


def test_a_row_is_predicted_the_same_with_and_without_its_neighbours():
    x, y = table(120, True)
    trees = Trees.of(boosted(x, y))
    whole = trees.predict(x)
    assert all(trees.predict(x[i : i + 1])[0] == whole[i] for i in range(0, 120, 7))


def test_more_than_255_columns_are_kept():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 400))
    booster = boosted(x, x[:, 399] * 5 + x[:, 2])
    trees = Trees.load(unpack(pack(Trees.of(booster).single().state())))
    np.testing.assert_allclose(trees.predict(x), booster.predict(x), atol=1e-4)


@pytest.mark.parametrize("rounds", [1, 40])
def test_any_order_of_splits_is_stored_as_the_same_trees(rounds):
    x, y = table(200, True)
    trees = Trees.of(boosted(x, y, rounds)).single()
    state = trees.state()
    loaded = Trees.load(unpack(pack(state)))
    assert np.array_equal(loaded.predict(x), trees.predict(x))
    again = loaded.state()
    assert all(np.array_equal(state[name], again[name]) for name in state)
    # written level by level, each split but a root is the child of one that came before
    splits = int(loaded.leaves[0]) - 1
    below = np.stack([loaded.left[:splits], loaded.right[:splits]], axis=1).ravel()
    assert [c for c in below if c < splits] == list(range(1, splits))
    assert [c for c in below if c >= splits] == list(range(splits, 2 * splits + 1))


@pytest.mark.parametrize("name", ["leaves", "feature", "threshold", "left_if_nan", "inner", "value"])
def test_damaged_arrays_are_refused_and_never_walked(name):
    x, y = table(120, False)
    state = Trees.of(boosted(x, y)).single().state()
    shorter = dict(state, **{name: state[name][:-1]})
    with pytest.raises(DamagedError):
        Trees.load(shorter)
    if name in ("leaves", "inner"):
        for damaged in (np.zeros_like(state[name]), state[name] ^ 1, np.full_like(state[name], 255)):
            with pytest.raises(DamagedError):
                Trees.load(dict(state, **{name: damaged}))
