"""Rolling windows against plain loops, and what they may never read."""

from __future__ import annotations

import json
import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.features import windows
from many_models.features.base import Wishes
from many_models.features.lags import Lags
from many_models.features.plan import FeaturePlan
from many_models.features.rows import Rows
from many_models.features.settings import FeatureSettings, WindowSettings
from many_models.features.windows import Windows
from many_models.panel.grid import Frequency, Grid
from many_models.panel.series import Future

EVERY = ("mean", "std", "min", "max", "sum", "median", "nonzeros", "since_nonzero")
FULL = Windows((3, 8), 7, EVERY, 4, (0.5, 2.0))
GRID = Grid(Frequency.parse("D"))


def rows_of(y, targets, steps, level=0.0):
    n = len(targets)
    targets, steps = np.asarray(targets), np.asarray(steps)
    none = np.empty((n, 0))
    return Rows(GRID, targets, none, np.asarray(y, float), targets, targets - steps, np.full(n, level))


def slowly(family, y, target, cutoff, level, zero):
    """The columns of one row by plain loops over lists."""

    def last(newest, count, apart=1):
        return [y[max(newest - apart * back, 0)] for back in range(count)]

    found = {}
    for width in family.widths:
        values = last(cutoff, width)
        found[f"mean{width}"] = statistics.fmean(values) - level
        found[f"std{width}"] = statistics.pstdev(values)
        found[f"min{width}"] = min(values) - level
        found[f"max{width}"] = max(values) - level
        found[f"sum{width}"] = math.fsum(value - level for value in values)
        found[f"median{width}"] = statistics.median(values) - level
        found[f"nonzeros{width}"] = sum(value != zero for value in values)
    age = 0
    for value in last(cutoff, family.widths[-1]):
        if value != zero:
            break
        age += 1
    found[f"since_nonzero{family.widths[-1]}"] = age
    for half_life in family.half_lives:
        values = last(cutoff, math.ceil(6 * half_life))
        weights = [0.5 ** (back / half_life) for back in range(len(values))]
        pairs = zip(values, weights, strict=True)
        found[f"ewm{half_life:g}"] = math.fsum(v * w for v, w in pairs) / math.fsum(weights) - level
    newest = target
    while newest > cutoff:
        newest -= family.season
    found[f"seasonal_mean{family.season}"] = (
        statistics.fmean(last(newest, family.cycles, family.season)) - level
    )
    return [found[column] for column in family.columns]


@settings(max_examples=25, deadline=None)
@given(
    y=st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.5, 40.0, -3.0]), min_size=30, max_size=60),
    step=st.integers(1, 9),
    level=st.sampled_from([0.0, 5.5]),
)
def test_every_statistic_is_that_of_plain_loops(y, step, level):
    targets = np.arange(step, len(y) + step)
    found = FULL.build(rows_of(y, targets, np.full(len(y), step), level))
    for row, target in enumerate(targets):
        np.testing.assert_allclose(
            found[row], slowly(FULL, y, int(target), int(target) - step, level, 0.0), rtol=1e-9, atol=1e-9
        )


def test_zero_is_counted_on_the_scale_of_the_learner():
    y = np.array([0.0, 3.0, 0.0, 0.0, 7.0, 0.0])
    family = Windows((4,), 1, ("nonzeros", "since_nonzero"))
    rows = rows_of(np.log(y + 2.0), [6], [1])
    assert family.build(rows.with_zero(float(np.log(2.0)))).tolist() == [[1.0, 1.0]]
    assert family.build(rows).tolist() == [[4.0, 0.0]]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), step=st.integers(1, 9), hole=st.sampled_from([np.nan, 1e30]))
def test_nothing_after_the_cutoff_is_read_by_one_bit(seed, step, hole):
    y = np.random.default_rng(seed).normal(size=80)
    targets = np.arange(60, 80)
    steps = np.full(20, step)
    for family in (FULL, Lags((1, 2, 7, 13))):
        before = family.build(rows_of(y, targets, steps))
        for row in (0, 7, 19):
            changed = y.copy()
            changed[targets[row] - step + 1 :] = hole
            assert np.array_equal(family.build(rows_of(changed, targets, steps))[row], before[row])


def test_the_stored_tail_is_all_that_a_forecast_reads(make_series):
    series = make_series("D", 200, y=np.random.default_rng(0).poisson(1.0, 200))
    future = Future(GRID, series.end + 1 + np.arange(14), np.empty((14, 0)))
    for family in (FULL, Lags((1, 2, 7, 13)), Windows((2,), 1, EVERY), Windows((), 1, (), 3, (4.0,))):
        whole = family.build(Rows.future(future, series.y, series.end))
        tail = family.build(Rows.future(future, series.y[-family.memory :], series.end))
        assert np.array_equal(whole, tail)


def test_rows_are_the_same_bits_in_blocks_and_at_once(monkeypatch):
    y = np.random.default_rng(1).normal(size=300)
    rows = rows_of(y, np.arange(60, 300), np.arange(60, 300) % 9 + 1)
    whole = FULL.build(rows)
    monkeypatch.setattr(windows, "BLOCK", 70)
    assert np.array_equal(FULL.build(rows), whole)


@pytest.mark.parametrize("recursive", [False, True])
def test_settings_say_which_windows_there_are(make_series, recursive):
    series = make_series("D", 300)

    def columns(asked, season=7):
        wishes = Wishes("tree", season, 14, FeatureSettings(windows=asked), recursive)
        found = Windows.decide(series, wishes)
        return () if found is None else found.columns

    assert columns(()) == ()
    assert columns(None) == ("mean4", "std4", "mean7", "std7", "seasonal_mean7")
    assert columns((3, 5)) == ("mean3", "std3", "mean5", "std5", "seasonal_mean7")
    assert columns(WindowSettings()) == columns(None)
    asked = WindowSettings((9, 5), ("max", "since_nonzero"), 0, (2.5,))
    assert columns(asked) == ("max5", "max9", "since_nonzero9", "ewm2.5")
    assert columns(WindowSettings((5000,), ("max",), 0, (500.0,))) == ()
    assert columns(WindowSettings((5000,), ("max",), 21)) == ("seasonal_mean7",)
    assert columns(WindowSettings((5000,), ("max",), 22)) == ()


def test_a_decision_survives_json():
    assert Windows.from_dict(FULL.to_dict()) == FULL


def test_a_matrix_that_would_be_too_large_has_fewer_windows_and_lags_and_says_so():
    plan = FeaturePlan((Lags((1, 2, 3, 4, 5)), Windows((2, 3, 4, 5), 1, ("mean", "max"))))
    assert plan.bytes(1000) == 8 * 1000 * 13
    assert plan.within(1000, plan.bytes(1000)) == plan
    thinned = plan.within(1000, plan.bytes(1000) - 1)
    assert thinned.columns == (
        "lag1",
        "lag2",
        "lag3",
        "lag4",
        "lag5",
        "mean2",
        "max2",
        "mean4",
        "max4",
    )
    assert thinned.dropped == ("mean3", "max3", "mean5", "max5")
    assert FeaturePlan.from_dict(json.loads(json.dumps(thinned.to_dict()))) == thinned
    least = plan.within(1000, 1)
    assert least.columns == ("lag1", "mean2", "max2")
    assert set(least.columns) | set(least.dropped) == set(plan.columns)
