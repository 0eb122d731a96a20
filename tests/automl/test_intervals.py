"""Scales, and quantiles that never cross around a median that stays what it is."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.automl.intervals import (
    bounded,
    earlier_sums,
    error_factor,
    recency_scale,
    step_quantiles,
    whole,
)


def slow_scale(y, observed, season):
    """Mean absolute seasonal difference; a difference counts half every max(12, 2 m) values back."""
    lag = season if len(y) > season else 1
    top = bottom = 0.0
    for t in range(lag, len(y)):
        if observed[t] and observed[t - lag]:
            weight = 0.5 ** ((len(y) - 1 - t) / max(12, 2 * season))
            top, bottom = top + weight * abs(y[t] - y[t - lag]), bottom + weight
    return top / bottom


@pytest.mark.parametrize("season", [1, 4, 12])
def test_the_scale_is_the_recency_weighted_mean_seasonal_difference(season):
    rng = np.random.default_rng(season)
    y, observed = rng.normal(10, 3, 60), rng.random(60) > 0.2
    assert recency_scale(y, observed, season) == pytest.approx(slow_scale(y, observed, season))


def test_recent_changes_weigh_more_than_old_ones():
    calm_now, calm_once = (
        np.r_[np.tile([0.0, 9.0], 30), np.zeros(60)],
        np.r_[np.zeros(60), np.tile([0.0, 9.0], 30)],
    )
    everything = np.ones(120, dtype=bool)
    assert recency_scale(calm_now, everything, 1) < 0.2 * recency_scale(calm_once, everything, 1)


def test_filled_values_say_nothing_of_the_scale():
    y = np.array([1.0, 2, 3, 400, 5, 6, 7, 8])
    observed = np.ones(8, dtype=bool)
    observed[3] = False
    assert recency_scale(y, observed, 1) == pytest.approx(1.0)


def test_a_constant_history_keeps_a_sliver_of_its_size_and_zeros_keep_none():
    everything = np.ones(10, dtype=bool)
    assert recency_scale(np.full(10, 50.0), everything, 1) == pytest.approx(5.0)
    assert recency_scale(np.zeros(10), everything, 1) == 0.0
    assert recency_scale(np.array([7.0]), np.array([True]), 12) == pytest.approx(0.7)


@pytest.mark.parametrize("season", [1, 4])
@pytest.mark.parametrize("more", [0, 7])
def test_a_tail_with_what_came_before_gives_the_scale_of_the_whole(season, more):
    rng = np.random.default_rng(season)
    y, observed = rng.normal(10, 3, 60 + more), rng.random(60 + more) > 0.2
    earlier = earlier_sums(y[:60], observed[:60], season, 12)
    found = recency_scale(y[48:], observed[48:], season, earlier)
    assert found == pytest.approx(slow_scale(y, observed, season), rel=1e-12)


def test_a_history_that_is_all_tail_has_nothing_before_it():
    assert earlier_sums(np.arange(8.0), np.ones(8, dtype=bool), 4, 12) == (0.0, 0.0)


def test_own_and_pooled_error_meet_in_the_middle():
    assert error_factor(4.0, 1.0) == pytest.approx(2.0)
    assert error_factor(None, 1.5) == error_factor(float("nan"), 1.5) == 1.5
    assert 0 < error_factor(0.0, 1.0) < 1


levels = st.sampled_from([(0.5,), (0.1, 0.5, 0.9), (0.01, 0.02, 0.5), (0.5, 0.7, 0.71)])
numbers = st.floats(-1e6, 1e6)


@settings(max_examples=100, deadline=None)
@given(st.data(), levels)
def test_quantiles_never_cross_and_the_median_is_the_median(data, chosen):
    rows = data.draw(st.integers(1, 4))
    median = np.array(data.draw(st.lists(numbers, min_size=rows, max_size=rows)))
    deviations = np.array(
        data.draw(
            st.lists(
                st.lists(numbers, min_size=len(chosen), max_size=len(chosen)), min_size=rows, max_size=rows
            )
        )
    )
    kept = median.copy()
    quantiles = step_quantiles(median, deviations, chosen)
    assert quantiles.shape == (rows, len(chosen))
    np.testing.assert_array_equal(quantiles[:, chosen.index(0.5)], kept)
    assert (np.diff(quantiles, axis=1) >= 0).all()


def test_deviations_in_order_are_taken_as_they_are():
    found = step_quantiles(
        np.array([10.0, 20.0]), np.array([[-1.0, 0.3, 2.0], [-2.0, 0.3, 4.0]]), (0.1, 0.5, 0.9)
    )
    np.testing.assert_array_equal(found, [[9, 10, 12], [18, 20, 24]])


def test_bounds_hold_and_none_is_no_bound():
    values = np.array([-5.0, 0.0, 5.0])
    np.testing.assert_array_equal(bounded(values, 0.0, None), [0, 0, 5])
    np.testing.assert_array_equal(bounded(values, None, 1.0), [-5, 0, 1])
    assert bounded(values, None, None) is values


@given(rate=st.floats(0.2, 80.0), level=st.floats(0.02, 0.98))
def test_a_whole_quantile_is_the_first_number_whose_probability_reaches_the_level(rate, level):
    normal = NormalDist(rate, np.sqrt(rate))
    n = int(whole(np.array([normal.inv_cdf(level)]), None, None)[0])
    reached = [normal.cdf(k + 0.5) >= level - 1e-9 for k in (n - 1, n)]
    assert reached[1]
    assert not reached[0] or abs(normal.cdf(n - 0.5) - level) < 1e-6


def test_whole_quantiles_keep_their_order_and_the_whole_numbers_within_the_bounds():
    found = whole(np.array([[0.2, 0.5, 0.51, 1.5, 2.6, 9.0]]), 0.3, 4.8)
    np.testing.assert_array_equal(found, [[1, 1, 1, 1, 3, 4]])
    assert np.signbit(whole(np.array([-0.2]), None, None)).sum() == 0
