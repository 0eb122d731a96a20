"""Each guardrail finds what was planted for it, and is silent where nothing is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.panel.demand import outlier_bounds, outliers
from many_models.panel.findings import CODES
from many_models.panel.forecastability import forecastability
from many_models.panel.guardrails import GUARDRAIL_OF, GUARDRAILS, Surroundings, guarded, mixed_scale
from many_models.panel.keys import KeyColumn, SeriesKey
from many_models.panel.layout import CovariateColumn, Layout, TimeColumn
from many_models.panel.preparation import PrepareSettings, prepare
from many_models.panel.shifts import distance, level_shift

KEY = SeriesKey(("store",), ("a",))
RNG = np.random.default_rng(11)
WEEKS = 160


def layout(*known, mask=False, closed=False, zone=None):
    return Layout(
        (KeyColumn("store", "text"),),
        (0,),
        TimeColumn("when", "timestamp", zone),
        "sales",
        tuple(CovariateColumn(name, "known", kind) for name, kind in known),
        "mask" if mask else None,
        "closed" if closed else None,
    )


def frame(y, start="2023-01-02", **columns):
    days = pd.date_range(start, periods=len(y), freq="D").as_unit("us").asi8
    return pd.DataFrame({"k0": "a", "t": days, "y": np.asarray(y, dtype=float)} | columns)


def look(y, where=None, columns=None, horizon=7, folds=(60, 70, 80), folds_set=False):
    """Code -> state of everything that the guardrails say of a series."""
    where, rows = where or layout(), frame(y, **(columns or {}))
    prepared = prepare(rows, KEY, where, PrepareSettings())
    around = Surroundings(horizon, 0, folds, folds_set)
    found = guarded(prepared, prepared.findings, rows, where, around)
    assert len({one.code for one in found}) == len(found)
    return {one.code: one for one in found}


def lively(n=WEEKS):
    """A series with level, weekly season and memory, as sales are."""
    noise = RNG.normal(size=n)
    for i in range(1, n):
        noise[i] += 0.6 * noise[i - 1]
    return np.round(100 + 20 * np.sin(2 * np.pi * np.arange(n) / 7) + 4 * noise)


def alerts(found):
    return {code for code, one in found.items() if one.state != "passed"}


# -- the table --------------------------------------------------------------------


def test_every_code_of_a_guardrail_has_one_guardrail_and_a_meaning():
    codes = [code for rail in GUARDRAILS for code in rail.codes]
    assert len(codes) == len(set(codes))
    assert set(codes) <= set(CODES)
    names = [rail.name for rail in GUARDRAILS]
    assert len(set(names)) == len(names)
    assert not set(names) & set(CODES)
    assert set(GUARDRAIL_OF) == set(codes) | set(names)


def test_a_covariate_without_any_value_is_named_and_the_others_are_not():
    where = layout(("price", "number"), ("town", "category"))
    town = np.where(np.arange(WEEKS) % 3 > 0, "north", "south")
    some = np.r_[np.nan, np.linspace(1, 2, WEEKS - 1)]
    found = look(lively(), where, {"x0": np.full(WEEKS, np.nan), "x1": town})
    assert found["COVARIATE_EMPTY"].state == "alerted"
    assert found["COVARIATE_EMPTY"].count == 1
    assert found["COVARIATE_EMPTY"].message.endswith(": price")
    both = look(lively(), where, {"x0": some, "x1": np.full(WEEKS, None, dtype=object)})
    assert both["COVARIATE_EMPTY"].message.endswith(": town")
    assert both["COVARIATE_FILLED"].count == 1
    assert "COVARIATE_EMPTY" not in look(lively(), where, {"x0": some, "x1": town})
    size = replace(where, covariates=(CovariateColumn("size", "static", "number"),))
    assert look(lively(), size, {"x0": np.full(WEEKS, np.nan)})["COVARIATE_EMPTY"].message.endswith(": size")


def test_a_clean_series_passes_everywhere_and_each_row_counts_what_was_looked_at():
    found = look(lively())
    assert not alerts(found)
    assert found["OUTLYING_VALUES"].count == found["MISSING_VALUES"].count == WEEKS
    assert found["VALIDATION"].count == 3
    assert "3 folds of 7 steps" in found["VALIDATION"].message
    assert found["FREQUENCY"].message == "D, season 7"
    # nothing to look at, no row
    assert not {"MASKED_ROWS", "CLOSED_ROWS", "LEAKAGE", "CATEGORIES", "SCALE"} & set(found)


def test_a_guardrail_that_found_something_does_not_pass_as_well():
    y = lively()
    y[40] = np.nan
    found = look(y)
    assert alerts(found) == {"GAPS_FILLED"}
    assert "MISSING_VALUES" not in found
    assert found["OUTLYING_VALUES"].count == WEEKS - 1


def test_a_series_without_observations_is_looked_at_all_the_same():
    found = look(np.full(20, np.nan), folds=())
    assert alerts(found) == {"NO_OBSERVATIONS"}
    assert found["REPEATED_ROWS"].state == "passed"


# -- shape ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "code"),
    [
        (np.full(WEEKS, 5.0), "CONSTANT"),
        (np.zeros(WEEKS), "ALL_ZERO"),
        (np.where(np.arange(WEEKS) % 4 == 0, 3.0 + np.arange(WEEKS) % 3, 0.0), "INTERMITTENT"),
        (np.where(np.arange(WEEKS) % 4 == 0, 3.0 ** (np.arange(WEEKS) % 5), 0.0), "LUMPY"),
        (np.r_[lively(WEEKS - 30), np.zeros(30)], "DEAD"),
        (lively(12), "NEWBORN"),
        (RNG.normal(100, 10, 400), "UNPREDICTABLE"),
        (np.r_[lively(80), lively(80) + 300], "LEVEL_SHIFT"),
        (np.r_[lively(200), lively(12) + 1000], "TARGET_DRIFT"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_planted_shape_is_found(y, code):
    assert look(y)[code].state == "alerted"


def test_a_trend_is_no_level_shift_and_noise_around_a_season_is_not_unpredictable():
    found = look(lively() + 3.0 * np.arange(WEEKS))
    assert not {"LEVEL_SHIFT", "UNPREDICTABLE", "OUTLIERS"} & set(found)


def test_the_place_and_size_of_a_level_shift():
    y = np.r_[np.full(70, 100.0), np.full(50, 160.0)] + np.tile([0.0, 1.0, -1.0, 2.0, 0.0], 24)
    place, jump = level_shift(y, 1)
    assert abs(place - 70) <= 3
    assert jump == pytest.approx(60, abs=2)
    assert level_shift(y[:60], 1) is None


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=12), st.lists(st.integers(0, 6), min_size=1, max_size=12)
)
def test_distance_of_two_samples_by_counting(before, after):
    slow = max(
        abs(sum(v <= at for v in before) / len(before) - sum(v <= at for v in after) / len(after))
        for at in range(7)
    )
    assert distance(np.array(before, float), np.array(after, float)) == pytest.approx(slow)


def test_strengths_and_entropy_tell_waves_from_noise():
    wave = forecastability(np.sin(2 * np.pi * np.arange(240) / 12), 12)
    noise = forecastability(RNG.normal(size=240), 12)
    assert wave.season > 0.99
    assert wave.entropy < 0.6 < noise.entropy
    assert not wave.noise
    assert noise.season < 0.5
    assert forecastability(RNG.normal(size=40), 12) is None
    assert forecastability(np.ones(240), 12) is None


# -- outliers ---------------------------------------------------------------------


def test_a_planted_outlier_lies_beyond_its_bounds_and_no_other_value_does():
    y = lively()
    y[50] *= 10
    low, high = outlier_bounds(y, np.ones(WEEKS, dtype=bool), 7)
    assert np.flatnonzero((y < low) | (y > high)).tolist() == [50]
    assert y[50 - 7] < high[50] < y[50]
    assert np.flatnonzero(outliers(y, np.ones(WEEKS, dtype=bool), 7)).tolist() == [50]


def test_small_counts_spread_as_counts_do():
    y = RNG.poisson(4.0, 300).astype(float)
    assert not outliers(y, np.ones(300, dtype=bool), 7).any()


# -- covariates, masks, scale -------------------------------------------------------


def test_covariates_that_leave_the_range_of_their_history_have_drifted():
    price = RNG.uniform(2, 3, WEEKS)
    moved = np.r_[price[:-12], price[-12:] + 5]
    where = layout(("price", "number"))
    assert "COVARIATE_DRIFT" not in look(lively(), where, {"x0": price})
    found = look(lively(), where, {"x0": moved})["COVARIATE_DRIFT"]
    assert (found.count, "price" in found.message) == (1, True)


def test_a_known_column_that_is_never_there_ahead_is_named():
    where = layout(("price", "number"), ("advert", "number"))
    y = np.r_[lively(150), np.full(10, np.nan)]
    price, advert = RNG.uniform(2, 3, WEEKS), RNG.uniform(0, 1, WEEKS)
    assert look(y, where, {"x0": price, "x1": advert})["COVARIATES_AHEAD"].state == "passed"
    advert[150:] = np.nan
    found = look(y, where, {"x0": price, "x1": advert})["COVARIATE_ABSENT_AHEAD"]
    assert (found.count, found.severity) == (1, "warning")
    assert "advert" in found.message
    assert "price" not in found.message


def test_steps_of_the_horizon_that_lack_a_covariate_are_counted():
    where = layout(("price", "number"), ("advert", "number"))
    y = np.r_[lively(150), np.full(10, np.nan)]
    price, advert = RNG.uniform(2, 3, WEEKS), RNG.uniform(0, 1, WEEKS)
    price[152], advert[[152, 155]] = np.nan, np.nan
    found = look(y, where, {"x0": price, "x1": advert})["COVARIATE_PARTLY_AHEAD"]
    assert (found.count, found.state) == (2, "alerted")
    assert "price (1), advert (2)" in found.message
    advert[:], price[152] = 0.5, 2.0
    price[157:] = np.nan  # behind the horizon
    assert "COVARIATE_PARTLY_AHEAD" not in look(y, where, {"x0": price, "x1": advert})
    shorter = {"x0": price[:155], "x1": advert[:155]}
    assert look(y[:155], where, shorter)["COVARIATE_PARTLY_AHEAD"].count == 2


def test_masked_rows_that_sell_as_usual_and_closed_rows_that_sell_are_doubtful():
    y = lively()
    flags = np.zeros(WEEKS)
    flags[20:30] = 1
    quiet = np.where(flags == 1, 0.0, y)
    assert look(quiet, layout(mask=True), {"mask": flags})["MASKED"].count == 10
    assert "MASK_DOUBTFUL" not in look(quiet, layout(mask=True), {"mask": flags})
    assert "MASK_DOUBTFUL" in look(np.where(flags == 1, 150.0, y), layout(mask=True), {"mask": flags})
    assert "CLOSED_WITH_SALES" not in look(quiet, layout(closed=True), {"closed": flags})
    assert look(y, layout(closed=True), {"closed": flags})["CLOSED_WITH_SALES"].count == 10


def test_few_folds_are_told_unless_they_were_asked_for():
    assert look(lively(), folds=(60, 70))["FEW_FOLDS"].count == 2
    assert "FEW_FOLDS" not in look(lively(), folds=(60, 70), folds_set=True)


def test_series_of_very_different_level_in_one_group():
    rows = pd.DataFrame({"k0": ["a"] * 9 + ["b"] * 9, "y": [1.0] * 9 + [2e4] * 9})
    assert mixed_scale(rows, layout())[0].count == 2
    assert mixed_scale(rows.assign(y=np.arange(18.0) + 1), layout()) == ()
