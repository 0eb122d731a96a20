"""Season and trend of a decomposition, as they were known at each row's cutoff."""

from __future__ import annotations

import json

import numpy as np
import pytest
from statsmodels.tsa.seasonal import STL

from many_models.features.base import Wishes
from many_models.features.rows import Rows
from many_models.features.settings import FeatureSettings
from many_models.features.stl import DAMPING, Stl
from many_models.panel.series import Future

PLAIN = Wishes("linear", season=7, reach=14, settings=FeatureSettings(stl=True, transform="none"))


@pytest.fixture
def sales(make_series):
    at = np.arange(210)
    rng = np.random.default_rng(2)
    return make_series("D", 210, y=50 + 0.1 * at + 8 * np.sin(2 * np.pi * at / 7) + rng.normal(0, 1, 210))


def test_the_future_repeats_the_last_cycle_and_goes_on_with_a_slope_that_dies_out(sales):
    family = Stl.decide(sales, PLAIN)
    future = Future(sales.grid, sales.end + 1 + np.arange(14), np.empty((14, 0)))
    season, trend = family.build(Rows.future(future, sales.y, sales.end)).T
    parts = STL(sales.y, period=7).fit()
    np.testing.assert_allclose(season, np.tile(parts.seasonal[-7:], 2), rtol=1e-4)
    slope, value = (parts.trend[-1] - parts.trend[-8]) / 7, parts.trend[-1] - sales.y.mean()
    for step in range(14):
        value += slope * DAMPING ** (step + 1)
        assert trend[step] == pytest.approx(value, rel=1e-3, abs=1e-3)


def test_a_row_reads_the_last_decomposition_before_its_cutoff_and_zeros_before_the_first(sales):
    family = Stl.decide(sales, PLAIN)
    ends = [vintage.end for vintage in family.vintages]
    assert ends[-1] == sales.end
    assert len(ends) == 6
    targets = np.arange(20, 200)
    steps = targets % 9 + 1
    built = family.build(Rows.training(sales, sales.y, steps, targets, gap=2))
    for row, (target, step) in enumerate(zip(targets.tolist(), steps.tolist(), strict=True)):
        cutoff = sales.start + target - step - 2
        known = [number for number, end in enumerate(ends) if end <= cutoff]
        if not known:
            assert not built[row].any()
            continue
        vintage = family.vintages[known[-1]]
        assert built[row, 0] == vintage.cycle[(sales.start + target - vintage.end - 1) % 7]


def test_nothing_after_the_cutoff_of_a_row_changes_it(sales, make_series):
    family = Stl.decide(sales, PLAIN)
    rows = Rows.past(sales)
    before = family.build(rows)
    for vintage in family.vintages[:-1]:
        cut = vintage.end - sales.start + 1
        changed = sales.y.copy()
        changed[cut:] = 1e6 * np.arange(len(changed) - cut)
        late = Stl.decide(make_series("D", 210, y=changed), PLAIN).build(rows)
        assert np.array_equal(late[: cut + 1], before[: cut + 1])


def test_it_is_off_unless_asked_for_and_needs_two_rounds(sales, make_series):
    assert Stl.decide(sales, Wishes("linear", season=7)) is None
    assert Stl.decide(make_series("D", 14), PLAIN) is None
    assert Stl.decide(make_series("D", 15), PLAIN) is not None
    assert Stl.decide(make_series("YS", 40), Wishes("linear", settings=FeatureSettings(stl=True))) is None
    weekly = Stl.decide(make_series("W-SUN", 120), Wishes("linear", settings=FeatureSettings(stl=True)))
    assert len(weekly.vintages[0].cycle) == 52


@pytest.mark.parametrize("y", [np.zeros(60), np.full(60, 7.0), np.r_[np.zeros(50), np.full(10, 1e90)]])
def test_flat_and_wild_histories_give_finite_columns(make_series, y):
    wild = Wishes("tree", season=7, settings=FeatureSettings(stl=True))
    series = make_series("D", 60, y=y)
    assert np.isfinite(Stl.decide(series, wild).build(Rows.past(series))).all()


def test_it_survives_storing_and_a_row_is_itself_alone(sales):
    family = Stl.decide(sales, PLAIN)
    again = Stl.from_dict(json.loads(json.dumps(family.to_dict())))
    assert again == family
    whole = again.build(Rows.past(sales))
    some = np.array([100, 207])
    for row in some:
        one = Rows.training(sales, sales.y, np.array([1]), np.array([row]), 0)
        assert np.array_equal(again.build(one)[0], whole[row])
