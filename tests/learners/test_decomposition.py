"""MSTL and MFLES: several seasons, states that move, and the libraries as oracles."""

from __future__ import annotations

import numpy as np
import pytest
from statsforecast.mfles import MFLES
from statsforecast.models import MSTL as LIBRARY_MSTL
from statsforecast.models import AutoETS

from many_models.learners.base import FitContext
from many_models.learners.decomposition import Mfles, MflesModel, Mstl, periods_of


def hours(n, seed=0):
    t = np.arange(n)
    rng = np.random.default_rng(seed)
    day, week = np.sin(2 * np.pi * t / 24), np.sin(2 * np.pi * t / 168 + 1)
    return 100 + 0.02 * t + 10 * day + 6 * week + rng.normal(0, 1, n)


@pytest.fixture
def hourly(make_series):
    return make_series(hours(600), alias="h")


CONTEXT = FitContext(horizon=48, season=24, nonnegative=True)


def test_both_seasons_of_hours_are_taken_off_where_the_history_carries_them(hourly, make_series):
    assert periods_of(hourly, CONTEXT) == (24, 168)
    assert periods_of(make_series(hours(300), alias="h"), CONTEXT) == (24,)
    assert periods_of(make_series(hours(40), alias="h"), CONTEXT) == ()
    assert Mstl().candidates(make_series(hours(40), alias="h"), CONTEXT) == ()


@pytest.mark.parametrize("chosen", [Mstl(), Mfles()])
def test_a_second_season_is_forecast_too(chosen, hourly, make_future):
    model = chosen.fit(hourly, {}, CONTEXT)
    truth = hours(648, seed=1)[600:]
    forecast = model.predict(make_future(hourly, 48)).mean
    assert np.abs(forecast - truth).mean() < 3.0
    day = np.tile(hourly.y[-24:], 2)
    assert np.abs(forecast - truth).mean() < np.abs(day - truth).mean()


def test_mstl_forecasts_what_the_library_does(hourly, make_future):
    library = LIBRARY_MSTL([24, 168], trend_forecaster=AutoETS(model="ZZN"))
    expected = library.forecast(hourly.y, 48)["mean"]
    ours = Mstl().fit(hourly, {}, CONTEXT).predict(make_future(hourly, 48)).mean
    # the state at the end goes by the seasons as they are kept, so that it can be moved on
    np.testing.assert_allclose(ours, expected, atol=1.5)


@pytest.mark.parametrize("shift", [0.0, -100.0])
def test_mfles_forecasts_what_the_library_does(hourly, make_series, make_future, shift):
    series = make_series(hourly.y + shift, alias="h")
    library = MFLES(verbose=0)
    library.fit(series.y, seasonal_period=[24, 168])
    ours = Mfles().fit(series, {}, CONTEXT).predict(make_future(series, 48)).mean
    np.testing.assert_allclose(ours, library.predict(48), rtol=1e-6, atol=1e-6)


def test_the_level_of_mfles_follows_newer_values(make_series):
    start = make_series(np.full(30, 5.0))
    model = MflesModel(False, 5.0, 0.0, np.empty(0), start.end, 0.0, 1.0, start.end)
    longer = make_series(np.r_[np.full(30, 5.0), 9.0, 9.0])
    assert model.update(longer).level == pytest.approx(5 + 2 + 1)
    assert model.update(longer).end == longer.end
    assert model.update(start) == model or model.update(start).level == model.level


def test_logs_pass_over_values_that_have_none(make_series):
    start = make_series(np.full(30, 5.0))
    model = MflesModel(True, 0.0, 0.0, np.empty(0), start.end, 0.0, 4.0, start.end)
    longer = make_series(np.r_[np.full(30, 5.0), 0.0, 4.0])
    assert model.update(longer).level == pytest.approx(0.0)
