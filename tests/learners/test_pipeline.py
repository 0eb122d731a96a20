"""Scaling and reduction against scikit-learn, row by row, and through stored bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import decomposition, preprocessing

from many_models.bundle.container import pack, unpack
from many_models.errors import DamagedError
from many_models.features.settings import FeatureSettings
from many_models.learners.pipeline import SCALINGS, Pipeline, Reduction, Scaling, stated_pipeline

THEIRS = {
    "standard": preprocessing.StandardScaler,
    "minmax": preprocessing.MinMaxScaler,
    "maxabs": preprocessing.MaxAbsScaler,
    "robust": preprocessing.RobustScaler,
    "normalizer": preprocessing.Normalizer,
}


def table(n=80, seed=0):
    """Columns of many sizes, one constant, one of zeros, one that copies another, one of flags."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 9)) * [1, 2, 100, 1e-3, 1, 1, 1, 1, 1] + [0, 5, 1e3, 0, 0, 0, 0, 0, 0]
    x[:, 4] = 7.3
    x[:, 5] = 0.0
    x[:, 6] = x[:, 1] * 2
    x[:, 7] = rng.random(n) < 0.1
    return x


@pytest.mark.parametrize("method", list(THEIRS))
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), rows=st.integers(2, 60))
def test_scaling_is_that_of_scikit_learn(method, seed, rows):
    x, new = table(rows, seed), table(20, seed + 1)
    new[3] = 0.0
    expected = THEIRS[method]().fit(x).transform(new)
    np.testing.assert_allclose(Scaling.fit(x, method).transform(new), expected, rtol=1e-12, atol=1e-12)


def test_no_scaling_is_the_very_columns():
    x = table()
    assert Pipeline.fit(x, "none", None).transform(x) is x


@pytest.mark.parametrize("components", [1, 3, 5])
def test_pca_is_that_of_scikit_learn(components):
    x, new = table()[:, [0, 1, 3, 7, 8]], table(20, 1)[:, [0, 1, 3, 7, 8]]
    theirs = decomposition.PCA(components, svd_solver="full").fit(x)
    ours = Reduction.fit(x, "pca", components)
    np.testing.assert_allclose(ours.components, theirs.components_, atol=1e-12)
    np.testing.assert_allclose(ours.transform(new), theirs.transform(new), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_share_of_the_variance_takes_as_many_components_as_scikit_learn(share):
    x = preprocessing.StandardScaler().fit_transform(table())
    theirs = decomposition.PCA(share, svd_solver="full").fit(x)
    assert len(Reduction.fit(x, "pca", share).components) == theirs.n_components_


def test_truncated_svd_is_that_of_scikit_learn():
    x, new = table()[:, [0, 1, 3, 7, 8]], table(20, 1)[:, [0, 1, 3, 7, 8]]
    theirs = decomposition.TruncatedSVD(3, algorithm="arpack", random_state=0).fit(x)
    ours = Reduction.fit(x, "svd", 3)
    np.testing.assert_allclose(ours.transform(new), theirs.transform(new), rtol=1e-9, atol=1e-9)
    # Given the same components the transform is the same to the last digits.
    same = Reduction(ours.centre, theirs.components_)
    np.testing.assert_allclose(same.transform(new), theirs.transform(new), rtol=1e-12, atol=1e-12)


def test_no_more_components_than_there_are_directions():
    assert len(Reduction.fit(table(40), "pca", 500).components) == 6
    assert len(Reduction.fit(table(4), "pca", 500).components) == 3
    assert len(Reduction.fit(np.ones((10, 3)), "pca", 2).components) == 1
    assert len(Reduction.fit(np.zeros((10, 3)), "svd", 0.9).components) == 1
    assert Pipeline.fit(np.empty((10, 0)), "standard", ("pca", 3)).transform(np.empty((4, 0))).shape == (4, 0)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("reduction", [None, ("pca", 0.9), ("svd", 3)])
def test_rows_by_themselves_and_after_storing_are_the_same_bits(scaling, reduction):
    x, new = table(), table(24, 5)
    pipeline = Pipeline.fit(x, scaling, reduction)
    whole = pipeline.transform(new)
    assert whole.shape == (24, pipeline.columns(9))
    assert all(np.array_equal(pipeline.transform(new[i : i + 1])[0], whole[i]) for i in range(24))
    assert np.array_equal(pipeline.transform(new[:4]), whole[:4])
    loaded = Pipeline.load(unpack(pack(pipeline.state())), 9)
    assert np.array_equal(loaded.transform(new), whole)


def test_a_state_of_other_columns_is_refused():
    state = Pipeline.fit(table(), "robust", ("pca", 2)).state()
    with pytest.raises(DamagedError):
        Pipeline.load(state, 8)
    with pytest.raises(DamagedError):
        Pipeline.load({**state, "scaling": "zscore"}, 9)
    with pytest.raises(DamagedError):
        Pipeline.load({**state, "reduction": {**state["reduction"], "components": np.ones((2, 4))}}, 9)


def test_auto_scales_where_distances_or_sums_of_columns_are_taken():
    auto, reduced = FeatureSettings(), FeatureSettings(reduction=("pca", 3))
    assert stated_pipeline(auto, by_distance=False) == ("none", None)
    assert stated_pipeline(auto, by_distance=True) == ("standard", None)
    assert stated_pipeline(reduced, by_distance=False) == ("standard", ("pca", 3))
    assert stated_pipeline(FeatureSettings(scaling="none"), by_distance=True) == ("none", None)
