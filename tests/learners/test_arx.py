"""ARX: what it recovers, what it is made of, and how it does on real series."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from many_models.errors import LearnerError
from many_models.features.settings import FeatureSettings
from many_models.learners.arx import Arx, auto_lags
from many_models.learners.base import FitContext
from many_models.learners.linear import ridge
from many_models.panel.grid import Frequency, Grid
from many_models.panel.series import Covariate, Future, Series

JOINT = {"lags": "joint", "anchor": 0, "transform": "none", "known": False}
LAST = {**JOINT, "anchor": 1}
KNOWN = {"lags": "none", "anchor": 0, "transform": "log", "known": True}
ERRORS = {**KNOWN, "lags": "errors"}
PRICE = (Covariate("price"), Covariate("advert", "boolean"))


@pytest.fixture
def sales(make_series):
    """A function: n weeks of sales that follow price and promotion."""

    def make(n=120, seed=0, noise=0.1):
        rng = np.random.default_rng(seed)
        x = np.column_stack([rng.uniform(1, 3, n), rng.integers(0, 2, n)])
        log = 6 - 2 * np.log(x[:, 0]) + 0.5 * x[:, 1] + rng.normal(0, noise, n)
        return make_series(np.exp(log), "W-THU", x, PRICE)

    return make


def test_ridge_leave_one_out_is_the_error_of_refits_without_each_row():
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(40, 5)), rng.normal(size=40)
    z = z + x[:, 0]
    penalty = 0.1
    fit = ridge(x, z, (penalty,))
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    for row in (0, 7, 39):
        kept = np.arange(40) != row
        design = np.column_stack([np.ones(40), standard])
        gram = design[kept].T @ design[kept] + 40 * penalty * np.diag([0.0] + [1.0] * 5)
        other = np.linalg.solve(gram, design[kept].T @ z[kept])
        np.testing.assert_allclose(fit.residuals[row], z[row] - design[row] @ other, rtol=1e-9)


def test_ridge_without_penalty_is_least_squares():
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(40, 5)) * 10 + 3, rng.normal(size=40)
    fit = ridge(x, z, (1e-12,))
    solution, *_ = np.linalg.lstsq(np.column_stack([np.ones(40), x]), z, rcond=None)
    np.testing.assert_allclose([fit.intercept, *fit.coefficients], solution, rtol=1e-6)


def test_a_recursion_is_the_hand_written_one(make_series, make_future, quarterly):
    series = make_series(quarterly(80))
    context = FitContext(horizon=8, season=4, features=FeatureSettings(fourier=0, calendar=False))
    model = Arx().fit(series, LAST, context)
    seen = list(model.scale.forward(series.y))
    for _ in range(8):
        seen.append(
            model.intercept + sum(w * seen[-lag] for lag, w in zip(model.lags, model.weights, strict=True))
        )
    oracle = model.scale.backward(np.array(seen[-8:]))
    np.testing.assert_allclose(model.predict(make_future(series, 8)).median, oracle, rtol=1e-10)


def test_weights_that_are_shrunk_to_an_anchor_sum_to_one(make_series, quarterly):
    context = FitContext(horizon=8, season=4)
    model = Arx().fit(make_series(quarterly(80)), LAST, context)
    np.testing.assert_allclose(model.weights.sum(), 1.0)


def test_a_clean_season_is_continued(make_series, make_future):
    t = np.arange(96)
    series = make_series(50 + 10 * np.sin(2 * np.pi * t / 12), "MS")
    context = FitContext(horizon=12, season=12, nonnegative=True)
    for candidate in Arx().candidates(series, context):
        forecast = Arx().fit(series, candidate.parameters, context).predict(make_future(series, 12))
        truth = 50 + 10 * np.sin(2 * np.pi * np.arange(96, 108) / 12)
        np.testing.assert_allclose(forecast.median, truth, atol=1.5)


def test_price_and_promotion_effects_are_found(sales, make_future):
    series = sales()
    context = FitContext(horizon=4, nonnegative=True)
    model = Arx().fit(series, KNOWN, context)
    x = np.array([[1.0, 0], [2.0, 0], [2.0, 1], [3.0, 0]])
    found = model.predict(make_future(series, 4, x)).median
    np.testing.assert_allclose(found, np.exp(6 - 2 * np.log(x[:, 0]) + 0.5 * x[:, 1]), rtol=0.15)


def test_the_mean_of_a_log_model_is_above_its_median(sales, make_future):
    series = sales(n=400, noise=0.6)
    context = FitContext(horizon=4, nonnegative=True)
    forecast = Arx().fit(series, KNOWN, context).predict(make_future(series, 4, series.known_x[:4]))
    np.testing.assert_allclose(forecast.mean / forecast.median, np.exp(0.6**2 / 2), rtol=0.05)


def test_errors_need_no_covariates_for_the_steps_of_a_gap(sales, make_future):
    series = sales()
    context = FitContext(horizon=4, gap=3, nonnegative=True)
    model = Arx().fit(series, ERRORS, context)
    x = series.known_x[:4]
    late = model.predict(make_future(series, 4, x, gap=3))
    whole = model.predict(make_future(series, 7, np.vstack([series.known_x[50:53], x])))
    assert np.array_equal(late.mean, whole.mean[3:])


@pytest.mark.parametrize("parameters", [KNOWN, ERRORS])
def test_missing_known_covariates_are_named(sales, make_future, parameters):
    series = sales()
    model = Arx().fit(series, parameters, FitContext(horizon=2, nonnegative=True))
    with pytest.raises(LearnerError) as caught:
        model.predict(make_future(series, 2, np.array([[1.0, 0.0], [np.nan, 0.0]])))
    assert caught.value.code == "FUTURE_COVARIATES_MISSING"


@pytest.mark.parametrize("parameters", [JOINT, LAST, KNOWN, ERRORS])
def test_four_steps_are_the_first_of_eight_bit_for_bit(sales, make_future, parameters):
    series = sales()
    series = series if parameters["known"] else series.without_known()
    model = Arx().fit(series, parameters, FitContext(horizon=8, season=1, nonnegative=True))
    eight = make_future(series, 8, sales(8, 1).known_x if parameters["known"] else None)
    four = Future(eight.grid, eight.ordinals[:4], eight.known_x[:4])
    assert np.array_equal(model.predict(four).mean, model.predict(eight).mean[:4])
    one = Future(eight.grid, eight.ordinals[2:3], eight.known_x[2:3])
    assert np.array_equal(model.predict(one).mean, model.predict(eight).mean[2:3])


def test_filled_values_are_not_learned_from(sales, make_future):
    series = sales()
    context = FitContext(horizon=4, nonnegative=True)
    y, observed = series.y.copy(), np.ones(120, dtype=bool)
    y[40:44], observed[40:44] = y.mean(), False
    other = y.copy()
    other[40:44] = y.mean() * 1.0001
    future = make_future(series, 4, series.known_x[:4])

    def forecast(values):
        part = Series(
            series.grid, series.start, values, observed, series.known_x, series.past_x, series.static_x, PRICE
        )
        return Arx().fit(part, KNOWN, context).predict(future).median

    np.testing.assert_allclose(forecast(y), forecast(other), rtol=1e-5)


def test_settings_choose_lags_and_switch_logs_off(make_series, quarterly):
    series = make_series(quarterly(80))
    features = FeatureSettings(lags=(1, 4), transform="none")
    context = FitContext(horizon=4, season=4, nonnegative=True, features=features)
    assert {"none"} == {c.parameters["transform"] for c in Arx().candidates(series, context)}
    assert Arx().fit(series, JOINT, context).lags == (1, 4)


def test_short_series_get_few_lags():
    assert auto_lags(12, (4,)) == (1,)
    assert max(auto_lags(960, (24, 168))) <= 320


def test_weekly_series_of_m4_beat_the_last_value(real_data):
    frame = pd.read_parquet(real_data / "m4" / "weekly_train.parquet")
    grid = Grid(Frequency.parse("W"), integer=True)
    ours, naive = [], []
    for _, part in list(frame.groupby("unique_id"))[::4]:
        y = part.sort_values("t")["y"].to_numpy(np.float64)
        past, truth = y[:-13], y[-13:]
        n = len(past)
        series = Series(grid, 1, past, np.ones(n, bool), np.empty((n, 0)), np.empty((n, 0)), np.empty(0))
        context = FitContext(horizon=13, season=52 if n >= 117 else 1, nonnegative=bool(past.min() >= 0))
        future = Future(grid, np.arange(n + 1, n + 14), np.empty((13, 0)))
        parameters = {**LAST, "transform": "log" if context.nonnegative else "none"}
        scale = np.abs(np.diff(past)).mean()
        ours.append(
            np.abs(truth - Arx().fit(series, parameters, context).predict(future).median).mean() / scale
        )
        naive.append(np.abs(truth - past[-1]).mean() / scale)
    assert np.mean(ours) < 0.95 * np.mean(naive)
