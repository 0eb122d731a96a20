"""Scales of targets: undone exactly, quantiles in order, means unbiased; and levels against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from many_models.errors import LearnerError
from many_models.features.rows import Rows
from many_models.features.settings import FeatureSettings
from many_models.learners.base import FitContext
from many_models.learners.target import (
    TRANSFORMS,
    Level,
    TargetScale,
    best_power,
    stated_level,
    transform_for,
    trend_and_season,
)

ALL = pytest.mark.parametrize("transform", TRANSFORMS)


def skewed(n=200, seed=0, zeros=False):
    rng = np.random.default_rng(seed)
    y = np.exp(rng.normal(3, 0.8, n))
    return np.where(rng.random(n) < 0.2, 0.0, y) if zeros else y


# -- there and back ---------------------------------------------------------------


@ALL
@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.floats(0, 1e6), min_size=3, max_size=30),
    unit=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_a_scale_is_undone_and_survives_as_json(transform, values, unit):
    y = np.array(values) * unit
    scale = TargetScale.of(y, transform)
    z = scale.forward(y)
    assert np.isfinite(z).all()
    np.testing.assert_allclose(scale.backward(z), y, rtol=1e-6, atol=2e-3 * max(y.mean(), 1e-12))
    assert TargetScale.from_list(scale.to_list()) == scale


@ALL
def test_the_order_of_quantiles_is_kept_and_none_is_below_the_floor(transform):
    scale = TargetScale.of(skewed(zeros=True), transform)
    z = np.linspace(-50, 50, 400)
    back = scale.backward(z)
    assert (np.diff(back) >= 0).all()
    assert np.isfinite(back).all()
    assert back.min() >= scale.floor
    inside = np.quantile(scale.forward(skewed()), [0.1, 0.5, 0.9])
    np.testing.assert_allclose(scale.backward(inside), np.quantile(skewed(), [0.1, 0.5, 0.9]), rtol=0.02)


@ALL
def test_a_value_below_what_was_fitted_is_finite(transform):
    scale = TargetScale.of(skewed(), transform)
    assert np.isfinite(scale.forward(np.array([0.0, -3.0]))).all()


@pytest.mark.parametrize("transform", ["log", "log1p", "box_cox"])
def test_values_below_zero_have_no_log_and_no_power(transform):
    with pytest.raises(LearnerError) as caught:
        TargetScale.of(np.array([1.0, -1.0, 2.0]), transform)
    assert caught.value.code == "NEGATIVE"


def test_settings_decide_where_the_history_allows():
    def chosen(transform, nonnegative):
        features = FeatureSettings(transform=transform)
        return transform_for(FitContext(horizon=1, nonnegative=nonnegative, features=features))

    assert [chosen(t, True) for t in ("auto", *TRANSFORMS)] == ["log", *TRANSFORMS]
    assert {chosen(t, False) for t in ("auto", *TRANSFORMS)} == {"none"}


def test_log1p_is_the_log_of_one_more():
    y = skewed(zeros=True)
    np.testing.assert_allclose(TargetScale.of(y, "log1p").forward(y), np.log(1 + y), rtol=1e-12)


# -- Box-Cox ----------------------------------------------------------------------


@pytest.mark.parametrize("power", [0.1, 0.33, 0.5, 0.7])
def test_the_power_is_the_one_that_scipy_finds(power):
    rng = np.random.default_rng(int(100 * power))
    y = (rng.normal(10, 2.0, 800) * power + 1) ** (1 / power)
    expected = stats.boxcox(y)[1]
    assert 0 < expected < 1
    constant = np.full((800, 1), 800**-0.5)
    assert best_power(y, constant) == pytest.approx(expected, abs=2e-3)
    assert best_power(y * 1e-4, constant) == pytest.approx(expected, abs=2e-3)


def test_powers_stay_between_the_log_and_none():
    rng = np.random.default_rng(0)
    constant = np.full((300, 1), 300**-0.5)
    assert best_power(1 / rng.normal(10, 1, 300), constant) == 0.0
    assert best_power(rng.normal(10, 1, 300) ** 0.2, constant) == 1.0
    assert best_power(np.full(300, 5.0), constant) == 1.0
    assert TargetScale.of(1 / rng.normal(10, 1, 300), "box_cox").transform == "log"


def test_a_trend_and_a_season_do_not_pass_for_skewness():
    rng = np.random.default_rng(1)
    t = np.arange(240)
    root = 30 + 0.15 * t + 8 * np.sin(t * np.pi / 6) + rng.normal(0, 1, 240)
    power = TargetScale.of(root**2, "box_cox", season=12).power
    assert power == pytest.approx(0.5, abs=0.15)


def test_the_basis_is_orthonormal_and_never_wider_than_the_data():
    for count, season in [(3, 1), (8, 4), (40, 12), (120, 52)]:
        basis = trend_and_season(count, season)
        np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-12)
        assert basis.shape[1] <= max(1, count // 4)


# -- means ------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("sd", [0.1, 0.4])
@pytest.mark.parametrize("zeros", [False, True])
def test_the_mean_is_the_average_of_simulated_targets(transform, sd, zeros):
    y = skewed(400, 2, zeros)
    scale = TargetScale.of(y, transform)
    sd = sd * scale.forward(y).std()
    centre = np.quantile(scale.forward(y), [0.3, 0.6, 0.9])
    draws = np.random.default_rng(7).normal(size=200_000)
    found = scale.mean(centre, np.full(3, sd**2))
    for z, mean in zip(centre, found, strict=True):
        # Without the floor, which a mean of logs looks past where a target of zero is likely.
        simulated = scale.backward(z + sd * draws)
        noise = simulated.std() / np.sqrt(len(draws))
        assert mean == pytest.approx(simulated.mean(), abs=5 * noise + 0.01 * y.mean())


@ALL
def test_a_row_has_the_same_mean_with_and_without_its_neighbours(transform):
    scale = TargetScale.of(skewed(), transform)
    z = np.linspace(-1, 2, 12)
    whole = scale.mean(z, np.full(12, 0.2))
    assert all(scale.mean(z[i : i + 1], np.full(1, 0.2))[0] == whole[i] for i in range(12))


def test_without_an_error_the_mean_is_the_median():
    for transform in TRANSFORMS:
        scale = TargetScale.of(skewed(), transform)
        z = np.linspace(-1, 1, 5)
        np.testing.assert_allclose(scale.mean(z, np.zeros(5)), scale.backward(z), rtol=1e-12)


# -- levels -----------------------------------------------------------------------


def rows_of(make_series, y, targets, steps, gap=0):
    series = make_series(y)
    targets, steps = np.asarray(targets), np.asarray(steps)
    return Rows.training(series, series.y, steps, targets, gap)


def slow_level(kind, width, y, target, cutoff):
    """The level of one row by walking back, or by forecasting a seasonal random walk with drift."""
    if kind == "mean":
        return np.mean(y[max(0, cutoff - width + 1) : cutoff + 1]) if cutoff + 1 >= width else None
    path = list(y[: cutoff + 1])
    change = path[-1] - path[-1 - width] if kind == "both" else 0.0
    while len(path) <= target:
        path.append(path[-width] + change)
    return path[target]


@pytest.mark.parametrize("kind", ["mean", "seasonal", "both"])
@pytest.mark.parametrize("gap", [0, 2])
def test_levels_are_those_of_a_plain_walk(kind, gap, make_series):
    rng = np.random.default_rng(3)
    y, width = rng.normal(100, 10, 60), 4
    targets = np.repeat(np.arange(20, 60), 9)
    steps = np.tile(np.arange(1, 10), 40)
    rows = rows_of(make_series, y, targets, steps, gap)
    level = Level(kind, width)
    expected = [slow_level(kind, width, y, t, t - s - gap) for t, s in zip(targets, steps, strict=True)]
    np.testing.assert_allclose(level.of(rows), expected, rtol=1e-12)


@pytest.mark.parametrize("kind", ["none", "mean", "seasonal", "both"])
def test_a_level_reads_no_more_than_its_memory_and_nothing_after_the_cutoff(kind, make_series):
    y = np.random.default_rng(3).normal(100, 10, 60)
    level = Level(kind, 4)
    rows = rows_of(make_series, y, [50, 51, 55], [1, 2, 6])
    whole = level.of(rows)
    spoilt = y.copy()
    spoilt[50:] = np.nan
    spoilt[: 50 - level.memory] = np.nan
    assert np.array_equal(level.of(rows_of(make_series, spoilt, [50, 51, 55], [1, 2, 6])), whole)
    assert Level.from_list(level.to_list()) == level


def test_a_difference_that_the_history_cannot_carry_is_a_first_difference():
    assert stated_level("seasonal", 100, 12, 6) == Level("seasonal", 12)
    assert stated_level("both", 100, 12, 6) == Level("both", 12)
    assert stated_level("seasonal", 25, 12, 6) == Level("mean", 1)
    assert stated_level("both", 100, 1, 6) == Level("mean", 1)
    assert stated_level("off", 100, 12, 6) == Level("none", 0)
