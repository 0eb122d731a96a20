"""Simulated paths: each step as its quantiles, each sum as its totals."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from many_models.automl.paths import at_scores, normals

LEVELS = (0.1, 0.5, 0.9)
MANY = 40_000


@pytest.mark.parametrize("power", [0.5, 0.8, 1.0])
def test_sums_over_the_first_steps_are_spread_as_the_totals_say(power):
    step = np.linspace(1.0, 2.0, 8)
    total = np.array([step[: h + 1].mean() * (h + 1) ** power for h in range(8)])
    total[0] = step[0]
    scores = normals(step, total, MANY, 1).T
    sums = np.cumsum(scores * step, axis=1)
    np.testing.assert_allclose(sums.std(axis=0), total, rtol=0.03)
    np.testing.assert_allclose(scores.std(axis=0), 1.0, rtol=0.02)
    assert np.abs(scores.mean(axis=0)).max() < 0.03


def test_the_first_steps_are_the_same_however_many_follow():
    step, total = np.ones(8), np.arange(1.0, 9.0) ** 0.7
    np.testing.assert_array_equal(normals(step[:4], total[:4], 20, 5), normals(step, total, 20, 5)[:4])
    assert not np.array_equal(normals(step, total, 20, 5), normals(step, total, 20, 6))


def test_spreads_that_no_errors_could_have_give_paths_all_the_same():
    for total in (np.zeros(5), np.full(5, 1e6)):
        scores = normals(np.ones(5), total, 1000, 0).T
        assert np.isfinite(scores).all()
        np.testing.assert_allclose(scores.std(axis=0), 1.0, rtol=0.1)
    assert np.isfinite(normals(np.zeros(5), np.zeros(5), 10, 0)).all()


def test_values_have_the_quantiles_of_their_step_skewed_or_not():
    quantiles = np.array([[8.0, 10.0, 12.0], [0.0, 1.0, 9.0]])
    z = np.random.default_rng(0).standard_normal((MANY, 2))
    found = np.quantile(at_scores(z.T, quantiles, LEVELS), LEVELS, axis=1).T
    np.testing.assert_allclose(found, quantiles, atol=0.15)
    # beyond the outermost level values go on along the line over the normal scores
    far = at_scores(np.full((2, 1), NormalDist().inv_cdf(0.9) * 2), quantiles, LEVELS)
    np.testing.assert_allclose(far, [[14.0], [17.0]])
