"""Models that read every feature of time: stored and loaded alike, step by step alike."""

from __future__ import annotations

import numpy as np
import pytest

from many_models.bundle.container import pack, unpack
from many_models.features.settings import FeatureSettings
from many_models.learners.base import FitContext
from many_models.learners.table import learner
from many_models.panel.series import Future, Series

EVERYTHING = FitContext(
    horizon=8,
    season=7,
    features=FeatureSettings(
        calendar=("month", "working_days", "cyclic_day_of_year", "month_end"),
        fourier="validate",
        stl=True,
        holidays=(("US", None), ("DE", "BY")),
        holiday_names=True,
        holiday_before=2,
        holiday_after=0,
    ),
)


@pytest.fixture
def daily(make_series):
    at = np.arange(800)
    noise = np.random.default_rng(1).normal(0, 1, 800)
    return make_series(40 + 5 * np.sin(2 * np.pi * at / 7) + 3 * np.cos(2 * np.pi * at / 365.25) + noise, "D")


def head_of(series, n):
    none = np.empty((n, 0))
    return Series(series.grid, series.start, series.y[:n], series.observed[:n], none, none, np.empty(0))


def ahead(series, steps):
    return Future(series.grid, series.end + 1 + np.arange(steps), np.empty((steps, 0)))


@pytest.mark.parametrize("name", ["arx", "elastic_net", "lightgbm"])
def test_a_model_with_features_of_time_keeps_its_promises(daily, name):
    past = head_of(daily, 780)
    fit = learner(name)
    parameters = fit.candidates(past, EVERYTHING)[-1].parameters
    model = fit.fit(past, parameters, EVERYTHING)
    mean = model.predict(ahead(past, 8)).mean
    again = fit.load(unpack(pack(model.state())))
    assert np.array_equal(again.predict(ahead(past, 8)).mean, mean)
    assert np.array_equal(again.predict(ahead(past, 4)).mean, mean[:4])
    moved, loaded = model.update(daily), again.update(daily)
    assert np.array_equal(moved.predict(ahead(daily, 8)).mean, loaded.predict(ahead(daily, 8)).mean)
    columns = str(model.state())
    for column in ("working_days", "vintages", "Christmas Day"):
        assert column in columns
