"""Past-only covariates: readings against plain loops, publication lags, and what models keep."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.bundle.container import pack, unpack
from many_models.features.base import Wishes
from many_models.features.past import Past
from many_models.features.rows import Rows
from many_models.features.settings import CovariateSettings, FeatureSettings
from many_models.learners.base import FitContext
from many_models.learners.regression import ElasticNet, LightGBM
from many_models.panel.grid import Frequency, Grid
from many_models.panel.series import UNSEEN, Covariate, Future, Series

COLUMNS = (
    Covariate("visits"),
    Covariate("strike", "boolean"),
    Covariate("mood", "category", ("bad", "fair", "good")),
)
DELAYS = (("strike", 1), ("visits", 3))
SOME = CovariateSettings(past_lags=(1, 2, 7), past_windows=(4,), delays=DELAYS)


def panel(n=120, seed=0):
    """A random daily series with three past-only covariates; tomorrow's level is today's visits."""
    rng = np.random.default_rng(seed)
    visits = rng.uniform(50, 150, n).round(1)
    table = np.column_stack([visits, rng.integers(0, 2, n), rng.integers(0, 3, n)])
    y = np.concatenate([[1.0], visits[:-1] / 100]) + rng.normal(0, 0.01, n)
    grid, none = Grid(Frequency.parse("D")), np.empty((n, 0))
    return Series(grid, 18_000, y, np.ones(n, bool), none, table, np.empty(0), (), COLUMNS)


def wishes(style="tree", covariates=SOME, reach=10):
    return Wishes(style, season=7, reach=reach, settings=FeatureSettings(covariates=covariates))


def context(covariates=SOME, horizon=10):
    own = FeatureSettings(covariates=covariates)
    return FitContext(horizon=horizon, season=7, nonnegative=True, features=own)


def oracle(name, series, target, cutoff, style, low_high):
    """A reading by its name; NaN where nothing is published by the cutoff."""
    base, kind, steps = next(
        (b, k, int(n)) for k in "-/" for b, found, n in [name.rpartition(k)] if found and n.isdigit()
    )
    covariate, _, category = base.removeprefix("log_").partition("=")
    source = [c.name for c in COLUMNS].index(covariate)
    newest = cutoff - dict(DELAYS).get(covariate, 0)

    def at(position):
        value = series.past_x[position, source]
        if category:
            return float(COLUMNS[source].categories[int(value)] == category)
        value = min(max(value, low_high[source][0]), low_high[source][1])
        return math.log(value) if base.startswith("log_") else value

    if kind == "-":
        position = target - steps
        while position > newest:
            position -= steps
        return at(position) if position >= 0 else math.nan
    taken = [at(p) for p in range(newest, newest - steps, -1) if p >= 0]
    return sum(taken) / len(taken) if taken else math.nan


@pytest.mark.parametrize("style", ["linear", "tree"])
@pytest.mark.parametrize("gap", [0, 2])
def test_each_reading_is_what_a_loop_over_the_published_rows_gives(style, gap):
    series = panel()
    family = Past.decide(series, wishes(style))
    assert len(family.columns) == 4 * (1 + 1 + 3)
    targets = np.arange(5, 120)
    targets = targets[targets - (targets % 10 + 1) - gap >= 0]
    steps = targets % 10 + 1
    built = family.build(Rows.training(series, series.y, steps, targets, gap))
    bounds = {column.source: (column.low, column.high) for column in family.sources}
    for place, reading in enumerate(family.readings):
        told = [
            oracle(reading.name, series, t, t - s - gap, style, bounds)
            for t, s in zip(targets.tolist(), steps.tolist(), strict=True)
        ]
        expected = np.nan_to_num(told, nan=reading.neutral)
        np.testing.assert_allclose(built[:, place], expected, rtol=1e-12, err_msg=reading.name)


def test_the_future_is_read_from_the_stored_tail_alone():
    series = panel()
    family = Past.decide(series, wishes())
    assert family.past_memory == 3 + 7
    ordinals = series.end + np.array([1, 2, 5, 9, 30])
    future = Future(series.grid, ordinals, np.empty((5, 0)))
    whole = family.build(Rows.future(future, series.y, series.end, None, series.past_x))
    tail = series.past_x[-family.past_memory :]
    for recent in (series.y[-1:], np.empty(0), series.y[-20:]):
        assert np.array_equal(family.build(Rows.future(future, recent, series.end, None, tail)), whole)
    bounds = {column.source: (column.low, column.high) for column in family.sources}
    for place, reading in enumerate(family.readings):
        told = [
            oracle(reading.name, series, int(t) - series.start, len(series) - 1, "tree", bounds)
            for t in ordinals
        ]
        np.testing.assert_allclose(whole[:, place], told, rtol=1e-12)


def unpublished(series, cutoff, bad):
    """The series with everything that is not published at the cutoff replaced, column by column."""
    table = series.past_x.copy()
    for place, covariate in enumerate(series.past):
        first = max(0, cutoff - dict(DELAYS).get(covariate.name, 0) + 1)
        # A category cannot be 1e30; any other one is as wrong.
        table[first:, place] = (table[first:, place] + 1) % 3 if covariate.kind == "category" else bad
    return replace(series, past_x=table)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    row=st.integers(10, 119),
    step=st.integers(1, 9),
    bad=st.sampled_from([math.nan, 1e30]),
)
def test_a_row_reads_nothing_that_is_published_after_its_cutoff(seed, row, step, bad):
    series = panel(seed=seed)
    family = Past.decide(series, wishes("linear"))
    one = np.array([row]), np.array([step])
    before = family.build(Rows.training(series, series.y, one[1], one[0], 0))
    late = unpublished(series, row - step, bad)
    after = family.build(Rows.training(late, late.y, one[1], one[0], 0))
    assert np.array_equal(before, after)
    assert np.isfinite(before).all()


@pytest.mark.parametrize("learner", [ElasticNet(), LightGBM()])
@pytest.mark.parametrize("bad", [math.nan, 1e30])
def test_no_forecast_changes_with_what_is_not_published_at_its_cutoff(learner, bad):
    series = panel()
    late = unpublished(series, len(series) - 1, bad)
    future = Future(series.grid, series.end + 1 + np.arange(10), np.empty((10, 0)))
    answers = []
    for past in (series, late):
        candidate = learner.candidates(past, context())[-1]
        model = learner.fit(past, candidate.parameters, context())
        assert model.frame.plan.past_memory
        answers.append(model.predict(future).mean)
    assert np.array_equal(*answers)


def test_what_was_published_by_the_cutoff_is_read():
    series = panel()
    future = Future(series.grid, series.end + 1 + np.arange(3), np.empty((3, 0)))
    at_once = CovariateSettings(past_lags=(1,), past_windows=())
    model = ElasticNet().fit(
        series, ElasticNet().candidates(series, context(at_once))[-1].parameters, context(at_once, 1)
    )
    table = series.past_x.copy()
    table[-1, 0] = 149.0
    moved = model.update(replace(series, past_x=table))
    assert moved.predict(future).mean[0] == pytest.approx(1.49, abs=0.05)


def test_a_category_that_was_never_seen_and_a_constant_column_say_nothing():
    series = panel()
    table = series.past_x.copy()
    table[:, 1] = 1.0
    family = Past.decide(replace(series, past_x=table), wishes())
    assert not any("strike" in name for name in family.columns)
    table[-7:, 2] = UNSEEN
    built = family.build(
        Rows.future(
            Future(series.grid, series.end + 1 + np.arange(3), np.empty((3, 0))),
            series.y, series.end, None, table,
        )
    )  # fmt: skip
    mood = [i for i, name in enumerate(family.columns) if name.startswith("mood") and "/" not in name]
    assert not built[:, mood].any()


def test_a_flag_of_missing_values_is_published_with_its_column():
    series = panel()
    flag = (np.arange(120) % 5 == 0).astype(float)
    flagged = replace(
        series,
        past_x=np.column_stack([series.past_x, flag]),
        past=(*series.past, Covariate.was_missing("visits")),
    )
    family = Past.decide(flagged, wishes())
    delays = {reading.name.rpartition("-")[0]: reading.delay for reading in family.readings}
    assert delays["was_missing(visits)"] == delays["visits"] == 3


def test_the_configuration_decides_and_null_reads_nothing():
    series = panel()
    off = CovariateSettings(past_lags=(), past_windows=())
    assert Past.decide(series, wishes(covariates=off)) is None
    assert Past.decide(series, wishes(covariates=None)) is None
    usual = Past.decide(series, wishes(covariates=CovariateSettings()))
    assert usual.columns[:3] == ("visits-1", "visits-7", "visits/7")
    short = series.tail(30)
    assert "visits-7" not in (Past.decide(short, wishes()) or usual.__class__((), ())).columns


@pytest.mark.parametrize("learner", [ElasticNet(), LightGBM()])
def test_past_covariates_are_a_candidate_of_their_own(learner):
    series = panel()
    names = [candidate.name for candidate in learner.candidates(series, context())]
    assert names == [learner.info.name, f"{learner.info.name}_past"]
    assert not any(candidate.uses_known for candidate in learner.candidates(series, context()))
    bare = replace(series, past_x=np.empty((120, 0)), past=())
    assert [c.name for c in learner.candidates(bare, context())] == [learner.info.name]
    assert len(learner.candidates(series, context(None))) == 1


@pytest.mark.parametrize("learner", [ElasticNet(), LightGBM()])
def test_a_stored_model_forecasts_the_same_bits_and_moves_with_new_rows(learner):
    series = panel()
    candidate = learner.candidates(series, context())[-1]
    model = learner.fit(series.tail(110), candidate.parameters, context())
    again = learner.load(unpack(pack(model.state())))
    family = next(f for f in again.frame.plan.families if f.name == "past")
    assert Past.from_dict(json.loads(json.dumps(family.to_dict()))) == family
    future = Future(series.grid, series.end + 1 + np.arange(10), np.empty((10, 0)))
    assert np.array_equal(again.predict(future).mean, model.predict(future).mean)
    four = Future(series.grid, future.ordinals[:4], future.known_x[:4])
    assert np.array_equal(model.predict(four).mean, model.predict(future).mean[:4])
    longer = panel(125)
    moved = [
        model.update(longer.tail(size)).predict(
            Future(series.grid, longer.end + 1 + np.arange(4), np.empty((4, 0)))
        )
        for size in (model.tail, 125)
    ]
    assert np.array_equal(moved[0].mean, moved[1].mean)
