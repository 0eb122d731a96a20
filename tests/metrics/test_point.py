from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn import metrics as sk

from many_models import metrics as m

relaxed = settings(deadline=None, max_examples=60)
UNSCALED = [m.mae, m.rmse, m.mape, m.smape, m.wape, m.nrmse, m.nmae, m.r2, m.spearman, m.bias, m.total_error]
SCALED = [m.mase, m.rmsse]

values = st.floats(-1e6, 1e6, allow_nan=False, width=32)
steps = st.integers(2, 12)


@st.composite
def pairs(draw, low=-1e6, missing=True):
    number = st.floats(low, 1e6, allow_nan=False, width=32)
    length = draw(steps)
    y = draw(hnp.arrays(np.float64, length, elements=number))
    f = draw(hnp.arrays(np.float64, length, elements=number))
    if missing:
        y = np.where(draw(hnp.arrays(np.bool_, length)), np.nan, y)
    return y, f


def plain(y, f):
    """The observed pairs as plain Python floats."""
    return [(float(a), float(b)) for a, b in zip(y, f, strict=True) if not math.isnan(a)]


def average(numbers):
    return math.fsum(numbers) / len(numbers) if numbers else math.nan


def close(found, expected, scale=1.0):
    if math.isnan(expected):
        assert math.isnan(found)
    else:
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9 * scale)


@relaxed
@given(pairs())
def test_errors_agree_with_a_plain_loop(sample):
    y, f = sample
    rows = plain(y, f)
    close(m.mae(y, f), average([abs(a - b) for a, b in rows]))
    close(m.rmse(y, f), math.sqrt(average([(a - b) ** 2 for a, b in rows])))
    close(m.mape(y, f), 100 * average([abs(a - b) / abs(a) for a, b in rows if a != 0]))
    close(
        m.smape(y, f),
        average([200 * abs(a - b) / (abs(a) + abs(b)) if abs(a) + abs(b) > 0 else 0.0 for a, b in rows]),
    )
    size = math.fsum(abs(a) for a, _ in rows)
    close(m.wape(y, f), math.fsum(abs(a - b) for a, b in rows) / size if size > 0 else math.nan)


@relaxed
@given(pairs())
def test_range_errors_agree_with_a_plain_loop(sample):
    y, f = sample
    rows = plain(y, f)
    span = max(a for a, _ in rows) - min(a for a, _ in rows) if rows else 0.0
    for found, error in ((m.nmae(y, f), m.mae(y, f)), (m.nrmse(y, f), m.rmse(y, f))):
        close(found, float(error) / span if span > 0 else math.nan)
    if rows:
        assert m.nmae(y, f, span=4.0) == m.mae(y, f) / 4.0


@relaxed
@given(pairs(low=0.0))
def test_bias_and_total_are_relative_errors_of_the_sum(sample):
    y, f = sample
    rows = plain(y, f)
    total = math.fsum(a for a, _ in rows)
    expected = math.fsum(b for _, b in rows) / total - 1 if total > 0 else math.nan
    close(m.bias(y, f), expected)
    close(m.total_error(y, f), abs(expected))


@relaxed
@given(pairs(missing=False))
def test_scores_agree_with_scikit_learn(sample):
    y, f = sample
    assert m.mae(y, f) == pytest.approx(sk.mean_absolute_error(y, f))
    assert m.rmse(y, f) == pytest.approx(sk.root_mean_squared_error(y, f))
    if np.ptp(y) > 1e-3:
        assert m.r2(y, f) == pytest.approx(sk.r2_score(y, f), rel=1e-6, abs=1e-6)
    if np.all(np.abs(y) > 1e-3):  # scikit-learn divides by at least 2e-16
        assert m.mape(y, f) == pytest.approx(100 * sk.mean_absolute_percentage_error(y, f))


@relaxed
@given(
    hnp.arrays(np.float64, 9, elements=st.integers(0, 4).map(float)),
    hnp.arrays(np.float64, 9, elements=st.integers(0, 4).map(float)),
    hnp.arrays(np.bool_, 9),
)
def test_spearman_agrees_with_scipy_on_ties_and_holes(y, f, hole):
    y = np.where(hole, np.nan, y)
    seen = ~hole
    if seen.sum() < 2 or np.ptp(y[seen]) == 0 or np.ptp(f[seen]) == 0:
        assert np.isnan(m.spearman(y, f))
    else:
        assert m.spearman(y, f) == pytest.approx(stats.spearmanr(y[seen], f[seen]).statistic)


@relaxed
@given(pairs(), st.integers(-30, 30), st.floats(0.1, 10.0))
def test_relative_scores_do_not_depend_on_the_unit(sample, power, factor):
    y, f = sample
    for metric in (m.mape, m.smape, m.wape, m.nmae, m.nrmse):
        np.testing.assert_array_equal(metric(2.0**power * y, 2.0**power * f), metric(y, f))
    for unit in (2.0**power, factor):
        for metric in (m.mape, m.smape, m.wape):
            np.testing.assert_allclose(metric(unit * y, unit * f), metric(y, f), rtol=1e-9, atol=1e-9)
        for metric in SCALED:
            np.testing.assert_allclose(metric(unit * y, unit * f, unit * 3.0), metric(y, f, 3.0), rtol=1e-9)


@relaxed
@given(pairs())
def test_perfect_forecast_has_no_error(sample):
    y, _ = sample
    for metric in (m.mae, m.rmse, m.smape, m.mape, m.wape, m.total_error):
        score = metric(y, y)
        assert np.isnan(score) or score == 0.0
    for metric in (m.r2, m.spearman):
        score = metric(y, y)
        assert np.isnan(score) or score == pytest.approx(1.0)


@relaxed
@given(pairs())
def test_smape_stays_between_0_and_200(sample):
    y, f = sample
    score = m.smape(y, f)
    assert np.isnan(score) or 0.0 <= score <= 200.0 + 1e-9


@pytest.mark.parametrize("metric", UNSCALED + SCALED)
def test_many_candidates_are_scored_at_once_as_one_by_one(metric):
    draw = np.random.default_rng(1)
    actual = draw.normal(50, 9, (4, 8))
    actual[1, 2:5] = np.nan
    actual[3] = np.nan
    forecast = draw.normal(50, 9, (5, 4, 8))
    forecast[2, 0, 1] = np.nan
    scale = draw.uniform(1, 2, 4)
    extra = (scale,) if metric in SCALED else ()
    together = metric(actual, forecast, *extra)
    assert together.shape == (5, 4)
    for candidate in range(5):
        for fold in range(4):
            one = metric(actual[fold], forecast[candidate, fold], *(s[fold] for s in extra))
            np.testing.assert_array_equal(together[candidate, fold], one)


@pytest.mark.parametrize("metric", UNSCALED)
def test_missing_actuals_are_left_out_whatever_was_forecast_there(metric):
    y = np.array([1.0, np.nan, 4.0, 3.0, np.nan])
    short = metric([1.0, 4.0, 3.0], [2.0, 2.0, 5.0])
    for junk in (0.0, np.nan, np.inf, 1e300):
        assert metric(y, np.array([2.0, junk, 2.0, 5.0, -junk])) == short


@pytest.mark.parametrize("metric", UNSCALED)
def test_nothing_to_judge_is_nan(metric):
    assert np.isnan(metric([np.nan, np.nan], [1.0, 2.0]))
    assert np.isnan(metric(np.empty(0), np.empty(0)))


@pytest.mark.parametrize("metric", UNSCALED)
def test_broken_forecast_never_looks_good(metric):
    assert np.isnan(metric([1.0, 2.0, 4.0], [1.0, np.nan, 4.0]))


@pytest.mark.parametrize("metric", [m.mae, m.rmse, m.wape, m.nmae, m.nrmse])
def test_infinite_forecast_has_infinite_error(metric):
    assert metric([1.0, 2.0, 4.0], [1.0, np.inf, 4.0]) == np.inf


@pytest.mark.parametrize("metric", UNSCALED)
def test_huge_and_tiny_numbers_raise_no_warning(metric):
    for size in (1e300, 1.7e308, 1e-300):
        metric([size, -size, size], [-size, size, 0.0])


def test_squares_of_huge_errors_do_not_overflow():
    assert m.rmse([3e200, 0.0], [0.0, 4e200]) == pytest.approx(5e200 / math.sqrt(2))
    assert m.rmse([3e-200, 0.0], [0.0, 4e-200]) == pytest.approx(5e-200 / math.sqrt(2))


def test_nothing_to_divide_by_is_nan():
    assert np.isnan(m.wape([0.0, 0.0], [1.0, 1.0]))
    assert np.isnan(m.mape([0.0, 0.0], [1.0, 1.0]))
    assert np.isnan(m.bias([0.0, 0.0], [1.0, 1.0]))
    assert np.isnan(m.nmae([3.0, 3.0], [1.0, 1.0]))
    assert np.isnan(m.r2([0.1, 0.1, 0.1], [0.1, 0.1, 0.1]))
    assert np.isnan(m.mase([1.0], [2.0], 0.0))
    assert np.isnan(m.rmsse([1.0], [2.0], np.nan))


def test_all_zero_pairs_count_nothing_in_smape():
    assert m.smape([0.0, 2.0], [0.0, 6.0]) == 50.0


def test_inputs_stay_as_they_were():
    y, f = np.array([1.0, np.nan, 3.0]), np.array([2.0, np.nan, 1.0])
    for metric in UNSCALED:
        metric(y, f)
    np.testing.assert_array_equal(y, [1.0, np.nan, 3.0])
    np.testing.assert_array_equal(f, [2.0, np.nan, 1.0])


def test_single_numbers_are_refused():
    with pytest.raises(ValueError, match="axis of steps"):
        m.mae(1.0, 2.0)


def test_owa_averages_before_it_divides():
    smape, mase = np.array([10.0, 30.0]), np.array([1.0, 2.0])
    naive_smape, naive_mase = np.array([20.0, 20.0]), np.array([4.0, 2.0])
    assert m.owa(smape, mase, naive_smape, naive_mase) == pytest.approx((20 / 20 + 1.5 / 3) / 2)


def test_owa_leaves_a_series_without_a_score_out_of_everything():
    assert m.owa([10.0, np.nan], [1.0, 9.0], [10.0, 50.0], [1.0, 7.0]) == 1.0
    assert math.isnan(m.owa([np.nan], [1.0], [1.0], [1.0]))
