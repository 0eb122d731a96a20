"""No row of any family knows what came after its cutoff; families are found in their table."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.features.base import Wishes
from many_models.features.plan import FAMILIES
from many_models.features.rows import Rows
from many_models.features.settings import CovariateSettings, FeatureSettings, WindowSettings
from many_models.panel.context import lowest_name, mean_name
from many_models.panel.grid import Frequency, Grid
from many_models.panel.series import Covariate, Series
from many_models.spec.calendar_fields import CALENDAR_FIELDS

DAYS, HORIZON, LATE = 160, 9, 3
DAY_US = 86_400_000_000
EVERY = ((None, (1,)),)
EVENTS = (("strike", tuple((d * DAY_US, (d + 1) * DAY_US) for d in (18_020, 18_060, 18_140))),)
KNOWN = (
    Covariate("price"),
    Covariate("advert", "boolean"),
    Covariate("aisle", "category", ("a", "b", "c")),
    Covariate(lowest_name("price"), origin="siblings"),
    Covariate(mean_name("price"), origin="siblings"),
)
ALL = FeatureSettings(
    lags=(1, 2, 7),
    windows=WindowSettings((3, 7), ("mean", "std", "min", "max", "sum", "median", "nonzeros"), 2, (2.0,)),
    calendar=CALENDAR_FIELDS,
    fourier=2,
    stl=True,
    holidays=(("US", "CA"), ("DE", None)),
    holiday_names=True,
    holiday_before=2,
    holiday_after=1,
    covariates=CovariateSettings(
        EVERY, EVERY, EVERY, ((None, (4,)),), past_lags=(1, 7), past_windows=(4,), delays=(("visits", LATE),)
    ),
    events=EVENTS,
    event_before=2,
    event_after=2,
    context=("relative", "mean", "min", "above_min"),
)
"""Everything that a family can be asked for."""
CHOSEN = replace(ALL, lags="pacf", windows=None, fourier="validate")
"""The same, where a family chooses by the values."""


@cache
def panel(seed):
    """A daily series with a price, siblings, and visits that are published three days late."""
    rng = np.random.default_rng(seed)
    price = rng.uniform(1, 3, (DAYS, 3)).round(2)
    flags = np.column_stack([rng.integers(0, 2, DAYS), rng.integers(0, 3, DAYS)])
    siblings = np.column_stack([price[:, 1:].min(axis=1), price[:, 1:].mean(axis=1)])
    visits = np.column_stack([rng.uniform(50, 150, DAYS), rng.uniform(0, 9, DAYS).round()])
    y = (20 + 5 * np.sin(np.arange(DAYS) * 2 * np.pi / 7) - 3 * price[:, 0] + rng.normal(0, 1, DAYS)).clip(0)
    return Series(
        Grid(Frequency.parse("D")),
        18_000,
        y,
        rng.uniform(size=DAYS) > 0.1,
        np.column_stack([price[:, 0], flags, siblings]).astype(np.float64),
        visits,
        np.empty(0),
        KNOWN,
        (Covariate("visits"), Covariate("rain")),
    )


def part(series, n):
    """The training part of the first `n` days."""
    return replace(
        series,
        y=series.y[:n],
        observed=series.observed[:n],
        known_x=series.known_x[:n],
        past_x=series.past_x[:n],
    )


def later(series, n, bad):
    """The series with all that nobody knows after its first `n` days replaced."""
    y, past = series.y.copy(), series.past_x.copy()
    y[n:], past[n - LATE :, 0], past[n:, 1] = bad, bad, bad
    return replace(series, y=y, past_x=past)


@pytest.mark.parametrize("style", ["linear", "tree"])
@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 9),
    n=st.integers(120, DAYS - HORIZON),
    recursive=st.booleans(),
    wish=st.sampled_from([ALL, CHOSEN]),
    bad=st.sampled_from([math.nan, 1e30]),
)
def test_no_row_changes_with_what_comes_after_its_cutoff(name, style, seed, n, recursive, wish, bad):
    series = panel(seed)
    wishes = Wishes(style, 7, 1 if recursive else HORIZON, wish, recursive)
    family = FAMILIES[name].decide(part(series, n), wishes)
    assert family is not None, f"give the family {name} something to read in this test"
    assert FAMILIES[name].decide(part(later(series, n, bad), n), wishes) == family
    # rows of the training part, each seen from some step, and those of the horizon after it
    targets = np.arange(40, n + HORIZON, dtype=np.int64)
    steps = np.maximum(np.arange(len(targets)) % HORIZON + 1, targets - (n - 1))
    built = [
        family.build(Rows.training(each, each.y, steps, targets, 0))
        for each in (series, later(series, n, bad))
    ]
    assert np.isfinite(built[0]).all()
    assert np.array_equal(*built)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("bad", [math.nan, 1e30])
def test_a_row_inside_the_training_part_reads_nothing_behind_its_own_cutoff(name, bad):
    series = panel(3)
    family = FAMILIES[name].decide(series, Wishes("linear", 7, HORIZON, ALL))
    for target, step in ((80, 1), (101, 4), (150, HORIZON)):
        one = np.array([step]), np.array([target])
        whole, cut = series, later(series, target - step + 1, bad)
        built = [family.build(Rows.training(each, each.y, *one, 0)) for each in (whole, cut)]
        assert np.array_equal(*built)
