"""The plan: decided on the training part, kept as JSON, the same columns for past and future."""

from __future__ import annotations

import json

import numpy as np
import pytest

from many_models.features.base import Family, Wishes
from many_models.features.plan import FAMILIES, FeaturePlan
from many_models.features.rows import Rows
from many_models.features.settings import CovariateSettings, FeatureSettings
from many_models.panel.grid import Frequency, Grid
from many_models.panel.series import Covariate, Future, Series

EVERYTHING = tuple(FAMILIES)


@pytest.fixture
def daily():
    rng = np.random.default_rng(0)
    n = 1200
    known_x = np.column_stack([rng.uniform(1, 3, n), rng.integers(0, 2, n).astype(float)])
    return Series(
        Grid(Frequency.parse("D")),
        18_000,
        rng.normal(10, 1, n),
        np.ones(n, bool),
        known_x,
        rng.uniform(50, 150, (n, 1)),
        np.empty(0),
        (Covariate("price"), Covariate("advert", "boolean")),
        (Covariate("visits"),),
    )


WISHES = Wishes("linear", season=7, reach=14, settings=FeatureSettings(stl=True, holidays=(("US", "CA"),)))


def test_every_family_keeps_the_contract(daily):
    silent = {"context", "events"}  # without siblings and without a table of events
    for name, family in FAMILIES.items():
        decided = family.decide(daily, WISHES) or family.decide(daily, Wishes("tree"))
        if decided is None:
            assert name in silent
            continue
        assert isinstance(decided, Family)
        assert decided.name == name
        assert family.from_dict(decided.to_dict()) == decided


@pytest.mark.parametrize("style", ["linear", "tree"])
def test_a_plan_survives_json_and_builds_the_same_columns(daily, style):
    wishes = Wishes(style, season=7, reach=14, settings=FeatureSettings(stl=True, holidays=(("US", "CA"),)))
    plan = FeaturePlan.decide(daily, wishes, EVERYTHING)
    again = FeaturePlan.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert again == plan
    targets = np.arange(600, 1200)
    rows = Rows.training(daily, daily.y, targets % 14 + 1, targets, 0)
    assert np.array_equal(plan.build(rows), again.build(rows))
    assert plan.build(rows).shape == (600, len(plan.columns))
    assert len(set(plan.columns)) == len(plan.columns)
    future = Future(daily.grid, daily.end + 1 + np.arange(3), daily.known_x[:3])
    assert plan.build(Rows.future(future, daily.y, daily.end, None, daily.past_x)).shape == (
        3,
        len(plan.columns),
    )


def test_the_same_row_has_the_same_features_as_past_and_as_future(daily):
    plan = FeaturePlan.decide(daily, WISHES, EVERYTHING)
    early = daily.y[:1100]
    future = Future(daily.grid, daily.start + np.arange(1100, 1114), daily.known_x[1100:1114])
    ahead = plan.build(Rows.future(future, early, daily.start + 1099, None, daily.past_x[:1100]))
    targets = np.arange(1100, 1114)
    past = plan.build(Rows.training(daily, daily.y, targets - 1099, targets, 0))
    assert np.array_equal(ahead, past)


def test_a_row_is_the_same_with_and_without_its_neighbours(daily):
    plan = FeaturePlan.decide(daily, WISHES, EVERYTHING)
    targets = np.arange(900, 1000)
    rows = plan.build(Rows.training(daily, daily.y, targets % 14 + 1, targets, 0))
    one = plan.build(Rows.training(daily, daily.y, targets[5:6] % 14 + 1, targets[5:6], 0))
    assert np.array_equal(rows[5:6], one)


def test_a_plan_without_families_has_no_columns(daily):
    plan = FeaturePlan.decide(
        daily, Wishes("linear", settings=FeatureSettings(fourier=0, calendar=False)), ("fourier", "calendar")
    )
    assert plan.columns == ()
    assert plan.memory == 0
    assert plan.build(Rows.past(daily)).shape == (1200, 0)


def test_settings_switch_families_off(daily):
    past = CovariateSettings(past_lags=(), past_windows=())
    none = FeatureSettings(lags=(), windows=(), calendar=False, fourier=0, covariates=past, block=("group",))
    wishes = Wishes("tree", season=7, reach=14, settings=none)
    assert FeaturePlan.decide(daily, wishes, EVERYTHING).columns == ("price", "advert")
