from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import mean_pinball_loss

from many_models.metrics import METRICS, coverage, mae, pinball, winkler

relaxed = settings(deadline=None, max_examples=60)
LEVELS = np.array([0.1, 0.5, 0.9])
numbers = st.floats(-1e4, 1e4, width=32)


@relaxed
@given(hnp.arrays(np.float64, 6, elements=numbers), hnp.arrays(np.float64, (6, 3), elements=numbers))
def test_pinball_agrees_with_scikit_learn(y, quantiles):
    expected = np.mean([mean_pinball_loss(y, quantiles[:, i], alpha=q) for i, q in enumerate(LEVELS)])
    assert pinball(y, quantiles, LEVELS) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@relaxed
@given(hnp.arrays(np.float64, 5, elements=numbers), hnp.arrays(np.float64, 5, elements=numbers))
def test_pinball_of_the_median_is_half_the_absolute_error(y, median):
    assert pinball(y, median[:, None], [0.5]) == pytest.approx(mae(y, median) / 2)


def test_pinball_is_least_at_the_true_quantile():
    y = np.random.default_rng(0).normal(size=20_000)
    at = {q: float(pinball(y, np.full((y.size, 1), q), [0.9])) for q in (0.8, 1.2816, 1.8)}
    assert min(at, key=at.__getitem__) == 1.2816


@relaxed
@given(
    hnp.arrays(np.float64, 7, elements=st.one_of(st.just(math.nan), numbers)),
    hnp.arrays(np.float64, (2, 7), elements=numbers),
)
def test_interval_scores_agree_with_a_plain_loop(y, ends):
    low, high = np.sort(ends, axis=0)
    inside, scores = [], []
    for a, lo, hi in zip(y, low, high, strict=True):
        if math.isnan(a):
            continue
        inside.append(lo <= a <= hi)
        scores.append(hi - lo + 10 * (max(lo - a, 0) + max(a - hi, 0)))
    share = sum(inside) / len(inside) if inside else math.nan
    score = math.fsum(scores) / len(scores) if scores else math.nan
    assert coverage(y, low, high) == pytest.approx(share, nan_ok=True)
    assert winkler(y, low, high, 0.8) == pytest.approx(score, nan_ok=True, rel=1e-9, abs=1e-9)


def test_winkler_is_ten_times_two_pinballs():
    draw = np.random.default_rng(3)
    y, quantiles = draw.normal(size=50), np.sort(draw.normal(size=(50, 2)), axis=1)
    loss = pinball(y, quantiles, [0.1, 0.9])
    assert winkler(y, quantiles[:, 0], quantiles[:, 1], 0.8) == pytest.approx(2 * loss * 10)


def test_many_candidates_are_scored_at_once_as_one_by_one():
    draw = np.random.default_rng(2)
    y = draw.normal(size=(3, 8))
    y[1, :4] = np.nan
    y[2] = np.nan
    quantiles = np.sort(draw.normal(size=(4, 3, 8, 3)), axis=-1)
    for name in ("pinball", "coverage", "winkler"):
        together = METRICS[name](y, quantiles, levels=LEVELS)
        assert together.shape == (4, 3)
        for i in range(4):
            for j in range(3):
                one = METRICS[name](y[j], quantiles[i, j], levels=LEVELS)
                np.testing.assert_array_equal(together[i, j], one)


def test_broken_interval_never_looks_good():
    for low, high in (([np.nan, 0.0], [2.0, 2.0]), ([0.0, 0.0], [2.0, np.nan])):
        assert np.isnan(coverage([1.0, 1.0], low, high))
        assert np.isnan(winkler([1.0, 1.0], low, high, 0.8))
    assert np.isnan(pinball([1.0], [[np.nan, 1.0]], [0.5, 0.9]))


def test_one_level_has_neither_coverage_nor_winkler():
    assert np.isnan(METRICS["coverage"]([1.0], [[1.0]], levels=[0.5]))
    assert np.isnan(METRICS["winkler"]([1.0], [[1.0]], levels=[0.5]))


def test_lopsided_levels_have_coverage_but_no_winkler():
    assert METRICS["coverage"]([1.0], [[0.0, 2.0]], levels=[0.5, 0.9]) == 1.0
    assert np.isnan(METRICS["winkler"]([1.0], [[0.0, 2.0]], levels=[0.5, 0.9]))


@pytest.mark.parametrize("levels", [[], [0.0, 0.5], [1.0], [[0.5]], [math.nan]])
def test_impossible_levels_are_refused(levels):
    with pytest.raises(ValueError, match="levels: found"):
        pinball([1.0], np.ones((1, 2)), levels)


def test_columns_that_do_not_match_the_levels_are_refused():
    with pytest.raises(ValueError, match=r"quantiles: found shape \(1, 2\)"):
        pinball([1.0], np.ones((1, 2)), LEVELS)


@pytest.mark.parametrize("level", [0.0, 1.0, 80.0])
def test_impossible_nominal_coverage_is_refused(level):
    with pytest.raises(ValueError, match="nominal coverage"):
        winkler([1.0], [0.0], [2.0], level)
