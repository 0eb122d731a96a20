"""Weights learned from out-of-fold forecasts."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as some

from many_models.learners.stacking import stacked_weights


@settings(max_examples=30, deadline=None)
@given(some.integers(0, 10_000), some.integers(2, 6), some.integers(2, 5))
def test_weights_are_shares(seed, candidates, folds):
    rng = np.random.default_rng(seed)
    actual = 10 + rng.normal(size=(folds, 4))
    actual[0, 0] = np.nan
    weights = stacked_weights(actual + rng.normal(size=(candidates, folds, 4)), actual, np.ones(folds))
    if weights is not None:
        assert np.isfinite(weights).all()
        assert weights.min() >= 0
        assert abs(weights.sum() - 1) < 1e-12


def test_a_mixture_is_found_again():
    rng = np.random.default_rng(0)
    parts = 20 + 5 * rng.normal(size=(4, 12, 6))
    actual = 0.7 * parts[0] + 0.3 * parts[2]
    weights = stacked_weights(parts, actual, np.ones(12))
    np.testing.assert_allclose(weights, [0.7, 0, 0.3, 0], atol=0.05)


def test_the_unit_of_a_series_does_not_matter():
    rng = np.random.default_rng(3)
    actual = 10 + rng.normal(size=(4, 5))
    forecasts = actual + rng.normal(size=(3, 4, 5))
    first = stacked_weights(forecasts, actual, np.ones(4))
    np.testing.assert_allclose(first, stacked_weights(1e6 * forecasts, 1e6 * actual, np.full(4, 1e6)))


def test_one_fold_and_nothing_observed_teach_nothing():
    actual = np.ones((1, 4))
    assert stacked_weights(np.ones((2, 1, 4)), actual, np.ones(1)) is None
    assert stacked_weights(np.ones((2, 3, 4)), np.full((3, 4), np.nan), np.ones(3)) is None
