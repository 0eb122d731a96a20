"""No forecast knows what came after its cutoff: every learner and every preset, found in their tables."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.automl.candidates import PRESETS, series_candidates
from many_models.automl.evaluation import make_folds, run_trial
from many_models.automl.prior import shipped_prior
from many_models.automl.settings import bounds_of, fit_context, plan_of, prior_of
from many_models.automl.task import TrainTask
from many_models.automl.training import train_series
from many_models.engines.reading import canonical_table, read_table
from many_models.learners.base import Deadline
from many_models.learners.table import learner, learner_info, learner_names
from many_models.panel.keys import SeriesKey
from many_models.panel.preparation import prepare
from many_models.spec import ForecastSpec

WEEKS = "W-MON"
DAYS, LAST, HORIZON, GAP, LATE = 84, 76, 5, 1, 2
KEY = SeriesKey((), ())
RICH = {
    "lags": "pacf",
    "windows": {"sizes": [4, 7], "statistics": ["mean", "std", "median", "since_nonzero"], "ewm": [2]},
    "fourier": "validate",
    "calendar": ["day_of_week", "month_end", "working_days", "time"],
    "stl": "on",
    "holidays": {"country": "US", "before": 1, "after": 1},
    "covariates": {"lags": [1], "leads": [1], "differences": [7], "relative": [7], "past_lags": [1, 7]},
    "was_missing": True,
}
EXAMPLES = {"trivial": 4, "cheap": 2, "moderate": 2, "dear": 1}
"""By the cost of a fit."""
INSTALLED = tuple(
    # what trains a network takes minutes
    pytest.param(name, marks=pytest.mark.slow) if info.requires and info.cost == "dear" else name
    for name, info in ((name, learner_info(name)) for name in learner_names())
    if all(find_spec(part) for part in info.requires)
)


def days(seed, frequency="D"):
    """Eighty-four days (or weeks) of sales that follow price, advert and the visits of the day before."""
    rng = np.random.default_rng(seed)
    price, advert = rng.choice([1.0, 1.5, 2.0], DAYS), rng.integers(0, 2, DAYS)
    visits = rng.uniform(50, 150, DAYS).round(1)
    week = 10 * np.sin(np.arange(DAYS) * 2 * np.pi / 7)
    sold = (60 + week - 20 * price + 5 * advert + 0.2 * np.roll(visits, 1) + rng.normal(0, 2, DAYS)).clip(1)
    frame = pd.DataFrame(
        {
            "when": pd.date_range("2023-11-01", periods=DAYS, freq=frequency),
            "sold": sold.round(1),
            "price": price,
            "advert": advert.astype(bool),
            "aisle": rng.choice(["a", "b"], DAYS),
            "visits": visits,
        }
    )
    frame.loc[[9, 30, 31], ["sold", "price", "visits"]] = np.nan
    return frame.drop(index=[20])


def spoiled(frame, cutoff, bad):
    """The table with all targets after the cutoff, and all visits not published by then, replaced."""
    day = frame.index  # of all days, those without a row too
    return frame.assign(
        sold=frame["sold"].mask(day >= cutoff, bad), visits=frame["visits"].mask(day >= cutoff - LATE, bad)
    )


@cache
def task_of(frequency="D", preset=None):
    tree = {
        "data": {
            "time": "when", "target": "sold", "series": [], "frequency": frequency,
            "known": ["price", "advert", "aisle"], "past": ["visits"], "publication_lag": {"visits": LATE},
        },
        "forecast": {"horizon": HORIZON, "gap": GAP},
        "features": RICH if preset is None else {},
        "learners": {"preset": preset or "fast"},
    }  # fmt: skip
    spec = ForecastSpec.from_dict(tree)
    _, layout = canonical_table(read_table(days(0, frequency), spec.data), spec.data, None)
    return TrainTask(spec, layout, shipped_prior(), frequency, None, "run", None)


def prepared_of(frame, task):
    rows, layout = canonical_table(read_table(frame, task.spec.data), task.spec.data, None)
    return prepare(rows, KEY, layout, task.prepare_settings)


def settled(candidate):
    """The candidate with an order, where it would search for one: a search reads what the fit reads."""
    if "arima" not in candidate.learner or candidate.learner == "arima":
        return candidate
    order = {"order": [0, 1, 1], "seasonal": [0, 1, 1], "season": 7, "constant": False}
    return replace(candidate, parameters={**candidate.parameters, **order})


def test_what_is_spoiled_is_all_that_a_forecast_must_not_see():
    task = task_of()
    clean, late = prepared_of(days(0), task), prepared_of(spoiled(days(0), LAST, 1e30), task)
    assert np.array_equal(clean.train(LAST).y, late.train(LAST).y)
    assert (late.y[LAST:] == 1e30).all()
    assert (late.past_x[LAST - LATE :, 0] == 1e30).all()
    assert np.array_equal(clean.known_x, late.known_x, equal_nan=True)


@pytest.mark.parametrize("name", INSTALLED)
def test_no_forecast_of_a_learner_changes_with_what_comes_after_its_cutoff(name):
    task, cost = task_of(), learner_info(name).cost

    @settings(max_examples=EXAMPLES[cost], deadline=None, derandomize=True)
    @given(seed=st.integers(0, 99), cutoff=st.integers(LAST - 8, LAST))
    def holds(seed, cutoff):
        frame = days(seed)
        clean = prepared_of(frame, task)
        context = fit_context(clean, KEY, task)
        candidates = series_candidates(clean.train(cutoff), context, (name,), named=True)
        assert candidates
        # the last candidate reads the most; the first the least
        chosen = {candidates[-1].name} | ({candidates[0].name} if EXAMPLES[cost] > 1 else set())
        answers = []
        for bad in (None, math.nan, 1e30):
            prepared = clean if bad is None else prepared_of(spoiled(frame, cutoff, bad), task)
            folds = make_folds(prepared, (cutoff,), context)
            found = series_candidates(prepared.train(cutoff), context, (name,), named=True)
            trials = [run_trial(settled(each), folds, context) for each in found if each.name in chosen]
            answers.append(np.array([[t.mean[0], t.median[0]] for t in trials]))
            assert not any(t.failed.any() for t in trials)
        assert np.array_equal(answers[0], answers[1])
        assert np.array_equal(answers[0], answers[2])

    holds()


@pytest.mark.slow  # seconds each; that of preset best, below, runs one of the searches every time
@pytest.mark.parametrize("name", ["auto_arima", "arima_pmdarima"])
def test_no_order_found_by_a_search_changes_with_what_comes_after_its_cutoff(name):
    task, frame, cutoff = task_of(WEEKS), days(2, WEEKS), 40
    found = []
    for bad in (None, math.nan, 1e30):
        prepared = prepared_of(frame if bad is None else spoiled(frame, cutoff, bad), task)
        series = prepared.train(cutoff)
        context = replace(fit_context(prepared, KEY, task), season=1)
        for candidate in learner(name).candidates(series, context):
            seen = series if candidate.uses_known else series.without_known()
            model = learner(name).fit(seen, candidate.parameters, context)
            found.append((bad, candidate.name, model.parameters, model.now.tolist(), model.weights.tolist()))
    kinds = len(found) // 3
    assert {name for _, name, *_ in found} == {name for _, name, *_ in found[:kinds]}
    for clean, of_nan, of_large in zip(
        found[:kinds], found[kinds : 2 * kinds], found[2 * kinds :], strict=True
    ):
        assert clean[1:] == of_nan[1:] == of_large[1:]


@pytest.mark.parametrize("preset", PRESETS)
def test_no_forecast_of_a_preset_changes_with_what_comes_after_its_cutoff(preset):
    # weeks have no season that so short a history carries: searches for one are slow
    task, frame, cutoffs = task_of(WEEKS, preset), days(1, WEEKS), (LAST - 7,)
    clean = prepared_of(frame, task)
    context, answers = fit_context(clean, KEY, task), []
    run = plan_of(clean, task.spec), prior_of(clean, task), bounds_of(clean, task.spec)
    for bad in (None, math.nan, 1e30):
        prepared = clean if bad is None else prepared_of(spoiled(frame, LAST, bad), task)
        trained = train_series(prepared, LAST, cutoffs, context, *run, Deadline())
        forecast = trained.model.forecast(prepared.future(LAST, HORIZON, GAP)).forecast
        names = [trial.candidate.name for trial in trained.trials]
        answers.append(
            (names, trained.weights, trained.backtest.quantiles, forecast.mean, forecast.quantiles)
        )
    for of_clean, of_nan, of_large in zip(*answers, strict=True):
        assert np.array_equal(of_clean, of_nan)
        assert np.array_equal(of_clean, of_large)
