from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.panel.canonical import canonical_frame, column_facts
from many_models.panel.findings import CODES
from many_models.panel.folds import cutoffs
from many_models.panel.keys import KeyColumn, SeriesKey
from many_models.panel.layout import CovariateColumn, Layout, TimeColumn, decide_layout
from many_models.panel.preparation import PrepareSettings, demand_class, future_rows, prepare
from many_models.panel.series import UNSEEN

KEY = SeriesKey(("store",), ("a",))


def layout(*covariates, zone=None, integer=False, mask=False, closed=False, shown_in=None):
    return Layout(
        (KeyColumn("store", "text"),),
        (0,),
        TimeColumn("when", "integer" if integer else "timestamp", zone, shown_in),
        "sales",
        tuple(CovariateColumn(name, role, kind) for name, role, kind in covariates),
        "mask" if mask else None,
        "closed" if closed else None,
    )


def micros(index):
    return pd.DatetimeIndex(index).as_unit("us").asi8


def frame(t, y, **columns):
    data = {
        "k0": np.full(len(t), "a", dtype=object),
        "t": np.asarray(t, dtype=np.int64),
        "y": np.asarray(y, dtype=float),
    }
    return pd.DataFrame(data | columns)


def days(n, start="2024-01-01"):
    return micros(pd.date_range(start, periods=n, freq="D"))


def counts(prepared):
    return {found.code: found.count for found in prepared.findings}


def run(t, y, where=None, columns=None, **options):
    options.setdefault("outliers", False)
    return prepare(frame(t, y, **(columns or {})), KEY, where or layout(), PrepareSettings(**options))


# -- rows -----------------------------------------------------------------------


def test_clean_series_has_no_findings_and_keeps_every_value():
    y = np.sin(np.arange(30.0))
    prepared = run(days(30), y)
    assert prepared.findings == ()
    assert (prepared.length, prepared.n_obs, prepared.grid.frequency.alias) == (30, 30, "D")
    np.testing.assert_array_equal(prepared.y, y)
    assert np.array_equal(prepared.grid.stamps(prepared.start + np.arange(30)), days(30))


def test_order_of_rows_does_not_matter():
    rng = np.random.default_rng(0)
    t = rng.choice(days(12), 40)
    rows = frame(t, rng.choice([1.0, 2.0, np.nan, np.inf], 40), x0=rng.choice([1.0, np.nan], 40))
    where = layout(("price", "known", "number"))
    one = prepare(rows, KEY, where, PrepareSettings())
    for seed in range(5):
        other = prepare(rows.sample(frac=1, random_state=seed), KEY, where, PrepareSettings())
        assert other.findings == one.findings
        np.testing.assert_array_equal(other.y, one.y)
        np.testing.assert_array_equal(other.known_x, one.known_x)


def test_equal_duplicates_are_dropped_and_conflicting_ones_are_counted():
    t = np.concatenate([days(10), days(10)[[2, 3, 4]]])
    y = np.concatenate([np.arange(10.0), [2.0, 30.0, np.nan]])
    prepared = run(t, y)
    assert counts(prepared) == {"DUPLICATES_DROPPED": 1, "DUPLICATES_CONFLICTING": 2}
    # the last in sorted order; a missing value never pushes out a number
    assert prepared.y.tolist() == [0, 1, 2, 30, 4, 5, 6, 7, 8, 9]


def test_gaps_are_filled_for_the_fit_and_never_scored():
    keep = np.array([0, 1, 2, 3, 6, 7, 8, 9])
    prepared = run(days(10)[keep], keep.astype(float))
    assert counts(prepared) == {"GAPS_FILLED": 2}
    series = prepared.train(10)
    assert series.y.tolist() == list(range(10))
    assert series.observed.tolist() == [True] * 4 + [False] * 2 + [True] * 4
    np.testing.assert_array_equal(prepared.actual(4, 4), [np.nan, np.nan, 6.0, 7.0])


def test_leading_and_trailing_holes():
    y = np.array([np.nan, np.nan, 1, 2, np.nan, 4, 5, 6, np.nan, np.nan])
    prepared = run(days(10), y)
    assert counts(prepared) == {"LEADING_MISSING_TRIMMED": 2, "TRAILING_MISSING": 2, "GAPS_FILLED": 1}
    assert (prepared.length, len(prepared.known_x)) == (6, 8)
    assert prepared.train(6).y.tolist() == [1, 2, 3, 4, 5, 6]
    # cut inside the hole, the last value is carried on: what comes after is not known there
    assert prepared.train(3).y.tolist() == [1, 2, 2]


@pytest.mark.parametrize("wild", [np.inf, -np.inf, 1e300, -1e200])
def test_infinite_and_huge_targets_are_missing_and_counted(wild):
    y = np.arange(10.0)
    y[4] = wild
    prepared = run(days(10), y)
    assert counts(prepared) == {"NOT_FINITE_TARGET": 1, "GAPS_FILLED": 1}
    assert prepared.train(10).y[4] == 4.0


@pytest.mark.parametrize("y", [[np.nan] * 5, [np.inf] * 5, []])
def test_series_without_observation_says_so(y):
    where = layout(("price", "known", "number"), ("town", "static", "category"))
    columns = {"x0": np.ones(len(y)), "x1": np.array(["x"] * len(y), dtype=object)}
    prepared = run(days(len(y)), y, where, columns)
    assert prepared.n_obs == prepared.length == 0
    assert "NO_OBSERVATIONS" in counts(prepared)
    assert prepared.known_x.shape == (0, 1)


def test_masked_everywhere_is_no_observation():
    prepared = run(days(5), np.ones(5), layout(mask=True), {"mask": np.ones(5)})
    assert prepared.n_obs == 0


def test_mask_and_closed_leave_values_out():
    mask, closed = np.zeros(14), np.zeros(16)
    mask[3] = 1
    closed[[6, 13, 15]] = 1
    y = np.arange(16.0)
    y[14:] = np.nan
    y[closed == 1] = 0
    y[15] = np.nan
    prepared = run(days(16), y, layout(mask=True, closed=True), {"mask": np.r_[mask, 0, 0], "closed": closed})
    assert counts(prepared)["MASKED"] == 1
    assert counts(prepared)["CLOSED"] == 2
    assert prepared.length == 14
    assert prepared.n_obs == 11
    assert np.isnan(prepared.actual(0, 14)[[3, 6, 13]]).all()
    assert prepared.closed_ahead(14, 3).tolist() == [False, True, False]
    assert prepared.train(14).y[[3, 6]].tolist() == [3.0, 6.0]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 1.0, np.nan]), st.booleans(), st.booleans(), st.booleans()),
        min_size=3,
        max_size=25,
    )
)
def test_every_position_of_the_history_is_accounted_for_once(cells):
    y, mask, closed, there = (np.array(column) for column in zip(*cells, strict=True))
    kept = np.flatnonzero(there)
    where = layout(mask=True, closed=True)
    columns = {"mask": mask[kept].astype(float), "closed": closed[kept].astype(float)}
    prepared = run(days(len(y))[kept], y[kept], where, columns, frequency="D")
    found = counts(prepared)
    usable = int((np.isfinite(y) & ~mask & ~closed & there).sum())
    assert prepared.n_obs == usable
    if not usable:
        assert "NO_OBSERVATIONS" in found
        return
    parts = sum(found.get(code, 0) for code in ("GAPS_FILLED", "CLOSED"))
    both = int((prepared.closed[: prepared.length] & ~prepared.observed).sum())
    assert both == found.get("CLOSED", 0)
    masked_only = prepared.length - prepared.n_obs - parts
    assert 0 <= masked_only <= found.get("MASKED", 0)
    in_history = prepared.length + found.get("TRAILING_MISSING", 0) + found.get("LEADING_MISSING_TRIMMED", 0)
    assert in_history >= len(kept)


def test_absent_rows_are_zero_only_where_configured():
    keep = np.array([0, 1, 2, 4, 9])
    y = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    zero = run(days(10)[keep], y, frequency="D", absent="zero")
    assert zero.y.tolist() == [1, 2, 3, 0, 4, 0, 0, 0, 0, 5]
    assert counts(zero)["ABSENT_ZERO"] == 5
    assert "GAPS_FILLED" not in counts(zero)
    asked = run(days(10)[keep], y, frequency="D", absent="auto")
    assert counts(asked)["ABSENT_MEANING_UNCLEAR"] == 5
    assert asked.n_obs == 5


@pytest.mark.parametrize(
    ("impute", "expected"),
    [("auto", 3.0), ("linear", 3.0), ("forward", 2.0), ("median", 3.0), ("zero", 0.0), ("seasonal", 3.0)],
)
def test_ways_to_fill_a_hole(impute, expected):
    prepared = run(days(5), [1.0, 2.0, np.nan, 4.0, 5.0], impute=impute)
    assert prepared.train(5).y[2] == expected


def test_seasonal_filling_takes_the_value_one_season_before():
    y = np.tile(np.arange(7.0), 3)
    y[9] = np.nan
    assert run(days(21), y, impute="seasonal").train(21).y[9] == 2.0


# -- frequency -------------------------------------------------------------------


def test_one_and_two_row_series_take_the_panels_frequency():
    week = micros(["2024-01-04", "2024-01-18"])
    prepared = run(week, [1.0, 2.0], panel_frequency="W-THU")
    assert prepared.grid.frequency.alias == "W-THU"
    assert prepared.length == 3
    assert counts(prepared) == {"FREQUENCY_FROM_PANEL": 2, "GAPS_FILLED": 1}
    assert run(week[:1], [1.0], panel_frequency="W-THU").length == 1


def test_series_of_another_frequency_keeps_its_own_and_says_so():
    months = micros(pd.date_range("2020-01-01", periods=24, freq="MS"))
    prepared = run(months, np.arange(24.0), panel_frequency="D")
    assert prepared.grid.frequency.alias == "MS"
    assert counts(prepared)["FREQUENCY_DIFFERS"] == 24
    sparse = np.sort(np.random.default_rng(1).choice(days(300), 40, replace=False))
    assert run(sparse, np.ones(40) + np.arange(40), panel_frequency="D").grid.frequency.alias == "D"


def test_few_stamps_that_lie_on_the_panels_grid_stay_on_it():
    every_fourth = micros(pd.date_range("2024-01-04", periods=4, freq="28D"))
    prepared = run(every_fourth, np.arange(4.0), panel_frequency="W-THU")
    assert prepared.grid.frequency.alias == "W-THU"


def test_rows_off_the_grid_are_left_out_and_counted():
    t = days(40)
    t[7] += 3_600_000_000
    prepared = run(t, np.arange(40.0))
    assert counts(prepared) == {"OFF_GRID_ROWS": 1, "GAPS_FILLED": 1}


def test_integer_time_has_a_season_and_no_calendar():
    prepared = run(np.arange(1, 31), np.arange(30.0), layout(integer=True), frequency="QS")
    assert (prepared.start, prepared.grid.frequency.season, prepared.grid.has_calendar) == (1, 4, False)
    assert run(np.arange(1, 31), np.arange(30.0), layout(integer=True)).grid.stamps([5]).tolist() == [5]
    five = run(np.array([1990, 1995, 2005]), [1.0, 2.0, 4.0], layout(integer=True))
    assert five.train(4).y.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_hourly_series_over_both_changes_of_the_clock_has_no_gap(zone):
    local = pd.date_range("2021-01-01", "2022-01-01", freq="h", tz=zone)
    t = local.as_unit("us").asi8
    prepared = run(t, np.arange(len(t), dtype=float), layout(zone=zone, shown_in=zone))
    assert prepared.findings == ()
    assert prepared.length == len(t)


def test_naive_hours_that_come_twice_get_their_second_pass():
    local = pd.date_range("2021-10-30", periods=60, freq="h", tz="Europe/Berlin")
    where = layout(zone="Europe/Berlin")
    naive = pd.DataFrame({"store": "a", "when": local.tz_localize(None), "sales": np.arange(60.0)})
    t = canonical_frame(naive, where)["t"]
    prepared = prepare(frame(t, np.arange(60.0)), KEY, where, PrepareSettings(outliers=False))
    assert counts(prepared) == {"DST_DUPLICATE": 1}
    assert prepared.n_obs == prepared.length == 60
    assert np.array_equal(prepared.grid.stamps(prepared.start + np.arange(60)), local.as_unit("us").asi8)


def test_local_days_at_midnight_have_no_gap_over_the_change_of_the_clock(data_spec):
    table = pd.DataFrame(
        {"store": "a", "when": pd.date_range("2021-01-01", periods=365), "sales": np.arange(365.0)}
    )
    data = data_spec(timezone="America/Havana")
    where = decide_layout(column_facts(table, data), list(table.columns), data)
    prepared = prepare(canonical_frame(table, where), KEY, where, PrepareSettings(outliers=False))
    assert prepared.findings == ()
    assert prepared.length == 365


def test_absurdly_long_span_does_not_fill_the_memory():
    t = np.concatenate(
        [
            micros(pd.date_range("2024-01-01", periods=40, freq="s")),
            np.array(["1500-01-01"], dtype="datetime64[us]").astype(np.int64),
        ]
    )
    prepared = run(t, np.arange(41.0), frequency="s")
    assert prepared.n_obs == 0
    assert {f.severity for f in prepared.findings if f.code == "OFF_GRID_ROWS"} == {"error"}


# -- rolling up ---------------------------------------------------------------------


@pytest.mark.parametrize("alias", ["W-SUN", "MS", "ME", "QS-JAN", "W-THU"])
@pytest.mark.parametrize("rule", ["sum", "mean", "max", "min", "last"])
def test_rolling_up_equals_pandas(alias, rule):
    index = pd.date_range("2022-12-01", "2023-12-31", freq="D")
    values = pd.Series(np.random.default_rng(0).normal(size=len(index)), index)
    prepared = run(micros(index), values.to_numpy(), frequency=alias, aggregate=rule)
    label = "right" if alias in ("ME",) else "left"
    how = {"W-SUN": ("W-SUN", "left", "left"), "W-THU": ("W-THU", "left", "left")}.get(
        alias, (alias, label, label)
    )
    expected = values.resample(how[0], closed=how[1], label=how[2]).agg(rule)
    whole = values.resample(how[0], closed=how[1], label=how[2]).count()
    ours = pd.Series(prepared.y, prepared.grid.wall(prepared.start + np.arange(prepared.length)))
    both = ours.index.intersection(expected.index)
    assert len(both) >= len(expected) - 2
    np.testing.assert_allclose(ours[both], expected[both])
    full = {"W-SUN": 7, "W-THU": 7}.get(alias, 28)
    assert (whole[both] >= full).all()
    dropped = len(expected) - len(both)
    assert counts(prepared).get("INCOMPLETE_PERIOD_DROPPED", 0) == dropped
    assert counts(prepared)["AGGREGATED"] == len(index)


def test_weeks_that_end_on_their_stamp():
    index = pd.date_range("2022-12-30", periods=70, freq="D")
    values = np.arange(70.0)
    prepared = run(micros(index), values, frequency="W-THU", label="end")
    expected = pd.Series(values, index).resample("W-THU").sum()
    ours = pd.Series(prepared.y, prepared.grid.wall(prepared.start + np.arange(prepared.length)))
    pd.testing.assert_series_equal(ours, expected, check_freq=False, check_index_type=False)


def test_hours_that_label_their_end_roll_up_to_the_day_they_lie_in():
    index = pd.date_range("2024-01-01 01:00", periods=24 * 5, freq="h")
    prepared = run(micros(index), np.ones(120), frequency="D", label="end")
    assert prepared.y.tolist() == [24.0] * 5


def test_covariates_roll_up_by_kind_and_rows_of_one_stamp_all_count():
    t = np.sort(np.concatenate([days(28), days(28)]))
    where = layout(("price", "known", "number"), ("promo", "known", "boolean"), ("town", "known", "category"))
    columns = {
        "x0": np.arange(56.0),
        "x1": np.tile([0.0, 1.0], 28),
        "x2": np.array(["x", "y"] * 28, dtype=object),
    }
    prepared = run(t, np.ones(56), where, columns, frequency="W-MON")
    assert prepared.y.tolist() == [14.0] * 4
    assert prepared.known_x[0].tolist() == [6.5, 1.0, 0.0]
    assert prepared.known[2].categories == ("y",)


def test_incomplete_last_period_is_forecast_not_learned():
    prepared = run(days(38), np.ones(38), frequency="W-MON")
    assert prepared.y.tolist() == [7.0] * 5
    assert counts(prepared)["INCOMPLETE_PERIOD_DROPPED"] == 1


def test_shops_closed_on_sundays_have_whole_weeks():
    open_days = [d for d in pd.date_range("2024-01-01", periods=56) if d.dayofweek != 6]
    prepared = run(micros(open_days), np.ones(len(open_days)), frequency="W-MON")
    assert prepared.y.tolist() == [6.0] * 8
    assert "INCOMPLETE_PERIOD_DROPPED" not in counts(prepared)


def test_period_summed_from_fewer_rows_is_told():
    keep = np.delete(np.arange(56), [17, 18])
    prepared = run(days(56)[keep], np.ones(54), frequency="W-MON")
    assert counts(prepared)["PARTIAL_PERIODS"] == 1


# -- covariates ----------------------------------------------------------------------

COVARIATES = layout(
    ("price", "known", "number"),
    ("town", "known", "category"),
    ("visits", "past", "number"),
    ("size", "static", "category"),
)


def covariates(n):
    return {
        "x0": np.arange(float(n)),
        "x1": np.array((["b", "a", None, "c"] * n)[:n], dtype=object),
        "x2": np.arange(float(n)) * 10,
        "x3": np.full(n, "L", dtype=object),
    }


def test_known_covariates_reach_beyond_the_last_target():
    y = np.r_[np.arange(8.0), np.nan, np.nan]
    prepared = run(days(10), y, COVARIATES, covariates(10))
    future = prepared.future(8, 3)
    np.testing.assert_array_equal(future.known_x[:, 0], [8.0, 9.0, np.nan])
    assert future.ordinals.tolist() == [prepared.start + 8 + i for i in range(3)]
    assert prepared.future(8, 2, gap=1).ordinals[0] == prepared.start + 9
    assert prepared.past_x.shape == (8, 1)


def test_holes_in_covariates_are_filled_from_the_past_but_never_into_the_horizon():
    columns = covariates(10)
    columns["x0"][[0, 3, 8]] = np.nan
    y = np.r_[np.arange(8.0), np.nan, np.nan]
    prepared = run(days(10), y, COVARIATES, columns)
    assert prepared.train(8).known_x[:, 0].tolist() == [1, 1, 2, 2, 4, 5, 6, 7]
    assert np.isnan(prepared.future(8, 2).known_x[0, 0])
    assert prepared.future(2, 3).known_x[:, 0].tolist() == [2, 2, 4]
    assert counts(prepared)["COVARIATE_FILLED"] == 4


def test_categories_are_those_of_the_training_part():
    prepared = run(days(8), np.arange(8.0), COVARIATES, covariates(8))
    assert prepared.known[1].categories == ("a", "b", "c")
    early = prepared.train(2)
    assert early.known[1].categories == ("a", "b")
    assert early.known_x[:, 1].tolist() == [1.0, 0.0]
    # "c" was never seen before this cutoff
    np.testing.assert_array_equal(prepared.future(2, 3).known_x[:, 1], [0.0, UNSEEN, 1.0])


def test_category_only_seen_ahead_is_none_of_those_known_and_told():
    columns = covariates(6)
    columns["x1"] = np.array(["a", "a", "b", "b", "z", "a"], dtype=object)
    prepared = run(days(6), [1, 2, 3, 4, np.nan, np.nan], COVARIATES, columns)
    assert prepared.known[1].categories == ("a", "b")
    assert counts(prepared)["CATEGORY_UNSEEN"] == 1
    np.testing.assert_array_equal(prepared.future(4, 2).known_x[:, 1], [UNSEEN, 0.0])


def test_a_category_column_with_very_many_values_is_told_and_a_usual_one_is_not():
    def told(codes):
        columns = covariates(len(codes)) | {"x1": np.array([f"c{i}" for i in codes], dtype=object)}
        prepared = run(days(len(codes)), np.arange(float(len(codes))), COVARIATES, columns)
        return next((f.message for f in prepared.findings if f.code == "HIGH_CARDINALITY"), None)

    assert "town 21" in told(np.arange(210) % 21)
    assert told(np.arange(200) % 20) is None
    assert "town 12" in told(np.arange(24) % 12)
    assert told(np.arange(12) % 5) is None


def test_flags_say_where_covariates_were_missing_in_past_and_future():
    columns = covariates(10)
    columns["x0"][[2, 5]] = np.nan
    columns["x2"][3] = np.nan
    rows = np.delete(np.arange(10), 6)
    columns = {name: values[rows] for name, values in columns.items()}
    y = np.r_[np.arange(8.0), np.nan, np.nan][rows]
    prepared = run(days(10)[rows], y, COVARIATES, columns, was_missing=True)
    flags = ["was_missing(price)", "was_missing(town)"]
    assert [c.name for c in prepared.known] == ["price", "town", *flags]
    assert [c.source for c in prepared.known] == ["price", "town", "price", "town"]
    series = prepared.train(8)
    np.testing.assert_array_equal(series.known_x[:, 2], [0, 0, 1, 0, 0, 1, 1, 0])
    np.testing.assert_array_equal(series.past_x[:, 1], [0, 0, 0, 1, 0, 0, 1, 0])
    # a fold's horizon has them too, a training part no more than its own
    np.testing.assert_array_equal(prepared.train(3).known_x[:, 2], [0, 0, 1])
    np.testing.assert_array_equal(prepared.future(4, 3).known_x[:, 2], [0, 1, 1])
    assert run(days(10)[rows], y, COVARIATES, columns).known == prepared.known[:2]


def test_asked_rows_have_the_flags_of_the_model():
    prepared = run(days(8), np.arange(8.0), COVARIATES, covariates(8), was_missing=True)
    columns = covariates(2) | {"x0": np.array([np.nan, 1.0])}
    rows = future_rows(
        frame(days(10)[8:], np.full(2, np.nan), **columns),
        prepared.end,
        prepared.grid,
        prepared.known,
        COVARIATES,
    )
    np.testing.assert_array_equal(rows.known_x, [[np.nan, 1, 1, 0], [1, 0, 0, 0]])


def test_static_covariate_that_varies_keeps_its_first_value():
    columns = covariates(6)
    columns["x3"] = np.array([None, "S", "L", "L", "L", "L"], dtype=object)
    prepared = run(days(6), np.arange(6.0), COVARIATES, columns)
    assert prepared.static[0].categories == ("S",)
    assert counts(prepared)["STATIC_VARIES"] == 1


def test_infinite_covariates_are_missing_and_told():
    columns = covariates(6)
    columns["x0"][2] = np.inf
    assert counts(run(days(6), np.arange(6.0), COVARIATES, columns))["COVARIATE_NOT_FINITE"] == 1


# -- no leakage ------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(2, 35),
    poison=st.sampled_from([np.nan, 1e30, np.inf, 0.0]),
    impute=st.sampled_from(["auto", "forward", "seasonal", "median", "zero"]),
)
def test_training_part_is_the_same_bits_whatever_comes_later(seed, n, poison, impute):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=36)
    y[rng.random(36) < 0.2] = np.nan
    y[[0, -1]] = 1.0
    columns = covariates(36)
    columns["x0"] = np.where(rng.random(36) < 0.2, np.nan, columns["x0"])
    columns["x1"] = rng.choice(["a", "b", "c", None], 36).astype(object)
    options = {"impute": impute, "frequency": "D", "outliers": True}
    whole = run(days(36), y, COVARIATES, columns, **options).train(n)
    later = np.arange(36) >= n
    poisoned = {"x0": np.where(later, poison, columns["x0"]), "x1": np.where(later, "0", columns["x1"]),
                "x2": np.where(later, poison, columns["x2"]), "x3": columns["x3"]}  # fmt: skip
    y2 = np.where(later, poison, y)
    y2[-1] = 1.0
    other = run(days(36), y2, COVARIATES, poisoned, **options).train(n)
    for name in ("y", "observed", "known_x", "past_x", "static_x"):
        assert getattr(whole, name).tobytes() == getattr(other, name).tobytes(), name
    assert (whole.known, whole.past, whole.static, whole.start) == (
        other.known,
        other.past,
        other.static,
        other.start,
    )
    cut = run(days(36)[:n], y[:n], COVARIATES, {k: v[:n] for k, v in columns.items()}, **options)
    if cut.length == n:
        assert cut.train(n).y.tobytes() == whole.y.tobytes()


def test_input_frame_is_left_alone():
    rows = frame(days(10), np.r_[np.inf, np.arange(9.0)], x0=np.r_[np.inf, np.arange(9.0)])
    before = rows.copy(deep=True)
    prepare(rows, KEY, layout(("price", "known", "number")), PrepareSettings())
    pd.testing.assert_frame_equal(rows, before)


# -- the rest --------------------------------------------------------------------------


def test_panel_origin_carries_every_series_to_the_panels_end():
    t = days(10)
    prepared = run(t[:7], np.arange(7.0), panel_end=int(t[9]))
    assert prepared.length == 10
    assert prepared.train(10).y[6:].tolist() == [6.0] * 4
    assert counts(prepared) == {"GAPS_FILLED": 3}
    zero = run(t[:7], np.arange(7.0), panel_end=int(t[9]), absent="zero")
    assert zero.y[7:].tolist() == [0.0] * 3


def test_shape_findings():
    def shape(y):
        return set(counts(run(days(len(y)), y, outliers=True)))

    assert shape(np.zeros(20)) == {"ALL_ZERO"}
    assert shape(np.full(20, 3.0)) == {"CONSTANT"}
    assert shape(np.tile([0.0, 0.0, 5.0], 10)) == {"INTERMITTENT"}
    assert shape(np.r_[np.ones(20) + np.arange(20), np.zeros(20)]) == {"INTERMITTENT", "DEAD"}
    rng = np.random.default_rng(0)
    noisy = 100 + rng.normal(size=60)
    assert shape(noisy) == set()
    noisy[30] = 1000
    assert shape(noisy) == {"OUTLIERS"}


@pytest.mark.parametrize(
    ("y", "expected"),
    [([5, 5, 6, 5, 4], "smooth"), ([1, 100, 1, 2, 90], "erratic"), ([0, 5, 0, 0, 5, 0], "intermittent"),
     ([0, 1, 0, 0, 90, 0, 2], "lumpy"), ([0, 0, 0], "intermittent"), ([1e140, 1e140], "smooth")],
)  # fmt: skip
def test_demand_class(y, expected):
    assert demand_class(np.array(y, dtype=float)) == expected


def test_future_rows_are_answered_one_by_one():
    prepared = run(days(8), np.arange(8.0), COVARIATES, covariates(8))
    t = np.concatenate([days(12)[[9, 3, 9, 8]], days(12)[[10]] + 1])
    columns = covariates(5) | {"x1": np.array(["a", "b", "c", "zzz", None], dtype=object)}
    rows = future_rows(
        frame(t, np.full(5, np.nan), **columns), prepared.end, prepared.grid, prepared.known, COVARIATES
    )
    assert rows.reason == (None, "NOT_AFTER_HISTORY", "REPEATED", None, "OFF_GRID")
    future, places = rows.future(prepared.grid)
    assert places.tolist() == [3, 0]
    assert (future.ordinals - prepared.end).tolist() == [1, 2]
    np.testing.assert_array_equal(future.known_x, [[3.0, UNSEEN], [0.0, 0.0]])


def test_rows_are_put_on_the_grid_of_a_fitted_model():
    grid = run(micros(pd.date_range("2024-01-04", periods=10, freq="W-THU")), np.arange(10.0)).grid
    later = micros(["2024-03-14", "2024-03-21", "2024-03-22"])
    prepared = run(later, [1.0, 2.0, 3.0], grid=grid)
    assert prepared.grid == grid
    assert counts(prepared)["OFF_GRID_ROWS"] == 1


def test_every_code_can_be_read_by_a_person():
    for name, code in CODES.items():
        assert name == name.upper()
        assert code.meaning[0] != " "
        assert code.meaning.format(count=3)


def test_orange_juice_is_weekly_and_accounted_for(real_data, data_spec):
    oj = pd.read_parquet(real_data / "oj" / "oj_weekly.parquet")
    data = data_spec(
        time="WeekStarting", target="Quantity", series=("Store", "Brand"), known=("Price", "feat")
    )
    where = decide_layout(column_facts(oj, data), list(oj.columns), data)
    ours = canonical_frame(oj, where)
    observed = 0
    for values, rows in ours.groupby(["k0", "k1"]):
        prepared = prepare(
            rows, SeriesKey(("Store", "Brand"), values), where, PrepareSettings(panel_frequency="W-THU")
        )
        assert prepared.grid.frequency.alias == "W-THU"
        observed += prepared.n_obs
    assert observed == len(oj)


def test_newer_daily_rows_are_rolled_up_onto_the_weekly_grid_of_a_fitted_model():
    grid = run(days(56), np.ones(56), frequency="W-MON").grid
    later = run(days(28, "2024-03-04"), np.ones(28), frequency="W-MON", grid=grid)
    assert later.grid == grid
    assert later.y.tolist() == [7.0] * 4
    assert "AGGREGATED" in counts(later)


def test_rows_in_the_hour_that_clocks_skip_are_told():
    naive = pd.date_range("2021-03-27", periods=48, freq="h")
    where = layout(zone="Europe/Berlin")
    t = canonical_frame(pd.DataFrame({"store": "a", "when": naive, "sales": np.arange(48.0)}), where)["t"]
    prepared = prepare(frame(t, np.arange(48.0)), KEY, where, PrepareSettings(outliers=False))
    assert counts(prepared) == {"DST_SKIPPED_HOUR": 1}
    assert prepared.n_obs == 47


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 9), poison=st.sampled_from([np.nan, 1e30, np.inf]))
def test_rolled_up_training_part_is_the_same_bits_whatever_comes_later(seed, n, poison):
    rng = np.random.default_rng(seed)
    there = np.flatnonzero(rng.random(90) < 0.9)
    t, y = days(90, "2024-01-03")[there], rng.normal(size=90)[there]
    y[rng.random(len(y)) < 0.1] = np.nan
    y[[0, -1]] = 1.0
    whole = run(t, y, frequency="W-MON")
    cut = whole.grid.stamps(whole.start + n)
    other = run(t, np.where((t >= cut) & (t < t[-1]), poison, y), frequency="W-MON")
    assert other.start == whole.start
    assert other.train(n).y.tobytes() == whole.train(n).y.tobytes()


# -- rules by column -----------------------------------------------------------------------


def test_every_column_is_filled_by_its_own_rule_and_named():
    columns = covariates(8)
    columns["x0"][[2, 3]] = np.nan
    columns["x2"][4] = np.nan
    impute = {"sales": {"constant": 5.0}, "price": "linear", "town": {"constant": "none"}, "visits": "zero"}
    y = np.array([1, np.nan, 3, 4, 5, 6, 7, 8.0])
    prepared = run(days(8), y, COVARIATES, columns, impute=impute)
    series = prepared.train(8)
    assert series.y[1] == 5.0
    assert series.known_x[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert series.known[1].categories == ("a", "b", "c", "none")
    assert series.known_x[:, 1].tolist() == [1, 0, 3, 2, 1, 0, 3, 2]
    assert series.past_x[:, 0].tolist() == [0, 10, 20, 30, 0, 50, 60, 70]
    found = {f.code: f for f in prepared.findings}
    assert found["COVARIATE_FILLED"].count == 5
    assert "price 2 (linear), town 2 (constant none), visits 1 (zero)" in found["COVARIATE_FILLED"].message
    assert "(constant 5.0)" in found["GAPS_FILLED"].message


def test_covariates_of_absent_rows_are_unknown_filled_inside_the_history_alone():
    keep = np.array([0, 1, 2, 5, 6, 7, 9])
    columns = {name: values[keep] for name, values in covariates(10).items()}
    y = np.r_[np.arange(6.0), np.nan]
    prepared = run(days(10)[keep], y, COVARIATES, columns, frequency="D", impute={"price": "linear"})
    assert np.isnan(prepared.known_x[[3, 4, 8]]).all()
    assert prepared.train(8).known_x[:, 0].tolist() == list(range(8))
    ahead = prepared.future(8, 2).known_x[:, 0]
    np.testing.assert_array_equal(ahead, [np.nan, 9.0])
    assert {f.code: f.count for f in prepared.findings}["COVARIATE_FILLED"] == 2 * 3 + 2
    assert "2 periods have no row" in next(
        f.message for f in prepared.findings if f.code == "COVARIATE_FILLED"
    )


@pytest.mark.parametrize("impute", [{"price": "median"}, {"price": "linear"}, {"price": "seasonal"}, "auto"])
def test_holes_in_the_horizon_of_a_fold_are_filled_from_nothing_after_it(impute):
    columns = covariates(30)
    columns["x0"][[12, 13]] = np.nan
    whole = run(days(30), np.arange(30.0), COVARIATES, columns, impute=impute)
    columns["x0"][16:] = 1e9
    other = run(days(30), np.arange(30.0), COVARIATES, columns, impute=impute)
    assert whole.future(10, 6).known_x.tobytes() == other.future(10, 6).known_x.tobytes()
    assert np.isfinite(whole.future(10, 6).known_x[:, 0]).all()


def test_a_category_constant_is_known_before_it_fills_anything():
    columns = covariates(8)
    columns["x1"] = np.array(["b"] * 6 + [None, "a"], dtype=object)
    options = {"impute": {"town": {"constant": "none"}}}
    early = run(days(8), np.arange(8.0), COVARIATES, columns, **options).train(4)
    assert early.known[1].categories == ("b", "none")


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"impute": {"town": "linear"}}, "preparation.impute.town"),
        ({"impute": {"sales": {"constant": "x"}}}, "preparation.impute.sales"),
        ({"aggregate_columns": {"town": "sum"}}, "preparation.aggregate.columns.town"),
        ({"aggregate_columns": {"price": "mode"}}, "preparation.aggregate.columns.price"),
    ],
)
def test_rules_that_do_not_fit_a_column_are_refused_by_name(options, where):
    assert [p.where for p in PrepareSettings(**options).problems(COVARIATES)] == [where]
    assert PrepareSettings().problems(COVARIATES) == []


# -- rolling up, closely ---------------------------------------------------------------------

WEEKLY = layout(
    ("price", "known", "number"),
    ("promo", "known", "boolean"),
    ("town", "known", "category"),
    ("visits", "past", "number"),
)


def weekly_columns(n, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "x0": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)),
        "x1": (rng.random(n) < 0.3).astype(float),
        "x2": rng.choice(["a", "b", "c", None], n).astype(object),
        "x3": rng.integers(0, 9, n).astype(float),
    }


def mode_of(values):
    """The most frequent value; of several the one seen last."""
    values = [value for value in values if value is not None and value == value]
    best = max((values.count(value) for value in values), default=0)
    return next((value for value in reversed(values) if values.count(value) == best), None)


@pytest.mark.parametrize("rule", ["mean", "sum", "min", "max", "first", "last"])
def test_numbers_roll_up_by_the_rule_of_their_column(rule):
    columns = weekly_columns(70)
    options = {"frequency": "W-MON", "aggregate_columns": {"price": rule}}
    prepared = run(days(70), np.ones(70), WEEKLY, columns, **options)
    grouped = pd.Series(columns["x0"], pd.RangeIndex(70)).groupby(np.arange(70) // 7)
    np.testing.assert_allclose(prepared.known_x[:, 0], grouped.agg(rule))


def test_flags_and_text_roll_up_to_any_share_and_mode():
    columns = weekly_columns(70, seed=3)
    prepared = run(days(70), np.ones(70), WEEKLY, columns, frequency="W-MON")
    flags = pd.Series(columns["x1"]).groupby(np.arange(70) // 7)
    np.testing.assert_array_equal(prepared.known_x[:, 1], flags.max())
    texts = pd.Series(columns["x2"]).groupby(np.arange(70) // 7).agg(lambda part: mode_of(list(part)))
    names = prepared.known[2].categories
    assert [names[int(code)] for code in prepared.known_x[:, 2]] == texts.tolist()
    assert prepared.known[1].kind == "boolean"
    share = run(
        days(70), np.ones(70), WEEKLY, columns, frequency="W-MON", aggregate_columns={"promo": "mean"}
    )
    np.testing.assert_allclose(share.known_x[:, 1], flags.mean())
    assert share.known[1].kind == "number"


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", None])
@pytest.mark.parametrize("alias", ["D", "W-MON", "W-THU", "MS"])
def test_hours_roll_up_to_local_periods_over_both_changes_of_the_clock(zone, alias):
    index = pd.date_range("2021-02-10 05:00", "2021-11-20 13:00", freq="h", tz=zone or "UTC")
    values = pd.Series(np.random.default_rng(1).normal(size=len(index)), index)
    where = layout(zone=zone, shown_in=zone)
    prepared = run(index.as_unit("us").asi8, values.to_numpy(), where, frequency=alias)
    local = index.tz_localize(None).normalize()
    days_back = {"W-MON": (local.dayofweek - 0) % 7, "W-THU": (local.dayofweek - 3) % 7}.get(
        alias, 0 * local.day
    )
    start = local - pd.to_timedelta(local.day - 1 if alias == "MS" else days_back, unit="D")
    expected = values.groupby(start).sum().iloc[1:-1]
    ours = pd.Series(prepared.y, prepared.grid.wall(prepared.start + np.arange(prepared.length)))
    np.testing.assert_allclose(ours.to_numpy(), expected.to_numpy())
    assert ours.index.equals(pd.DatetimeIndex(expected.index).as_unit(ours.index.unit))
    assert counts(prepared)["INCOMPLETE_PERIOD_DROPPED"] == 2
    assert "PARTIAL_PERIODS" not in counts(prepared)


def test_whole_first_and_last_periods_stay():
    prepared = run(days(56), np.ones(56), frequency="W-MON")
    assert prepared.y.tolist() == [7.0] * 8
    assert "INCOMPLETE_PERIOD_DROPPED" not in counts(prepared)


def test_weeks_whose_sundays_are_closed_without_a_target_are_whole():
    index = pd.date_range("2024-01-01", periods=56)
    closed = (index.dayofweek == 6).astype(float)
    y = np.where(closed > 0, np.nan, 1.0)
    prepared = run(micros(index), y, layout(closed=True), {"closed": closed}, frequency="W-MON")
    assert prepared.y.tolist() == [6.0] * 8
    assert not {"INCOMPLETE_PERIOD_DROPPED", "PARTIAL_PERIODS"} & set(counts(prepared))
    short = run(micros(index)[:-2], y[:-2], layout(closed=True), {"closed": closed[:-2]}, frequency="W-MON")
    assert counts(short)["INCOMPLETE_PERIOD_DROPPED"] == 1


@pytest.mark.parametrize(
    ("rule", "second"), [("sum", 5.0), ("mean", 5 / 7), ("min", 0.0), ("max", 1.0), ("last", 1.0)]
)
def test_rows_absent_inside_a_period_count_as_zero_where_configured(rule, second):
    keep = np.delete(np.arange(56), [9, 10])
    prepared = run(days(56)[keep], np.ones(54), frequency="W-MON", aggregate=rule, absent="zero")
    assert prepared.y[1] == pytest.approx(second)
    assert prepared.y[0] == (7.0 if rule == "sum" else 1.0)
    assert counts(prepared)["ABSENT_ZERO"] == 2
    assert "PARTIAL_PERIODS" not in counts(prepared)


# -- capping ---------------------------------------------------------------------------------


def spiky(n=60, at=30, size=1000.0):
    y = 100 + np.random.default_rng(0).normal(size=n)
    y[at] = size
    return y


def test_outliers_are_capped_for_the_fit_and_scored_as_they_are():
    prepared = run(days(60), spiky(), outliers=True, cap=True)
    assert counts(prepared) == {"OUTLIERS_CAPPED": 1}
    series = prepared.train(60)
    assert 100 < series.y[30] < 130
    assert series.observed[30]
    assert prepared.actual(28, 4)[2] == 1000.0
    assert prepared.y[30] == 1000.0
    np.testing.assert_array_equal(np.delete(series.y, 30), np.delete(prepared.y, 30))


def test_without_outliers_capping_changes_nothing_and_says_nothing():
    y = spiky(size=101.0)
    prepared = run(days(60), y, outliers=True, cap=True)
    assert prepared.findings == ()
    assert prepared.train(60).y.tobytes() == y.tobytes()


# -- short histories ---------------------------------------------------------------------------


def padded_run(n, horizon=4, gap=0, **options):
    return run(days(n), 10.0 + np.arange(n), pad=(horizon, gap), frequency="D", **options)


@pytest.mark.parametrize("n", [4, 5, 9, 15])
@pytest.mark.parametrize("gap", [0, 1])
def test_short_history_is_padded_to_the_fewest_rows_that_give_a_fold(n, gap):
    prepared = padded_run(n, gap=gap)
    needed = 15 + gap + 2  # max(7, 2 x 7 + 1) + gap + half the horizon
    assert prepared.padded == needed - n
    assert (prepared.length, prepared.n_obs) == (needed, n)
    at = cutoffs(prepared.observed, 4, gap, 7, trainable=prepared.trainable)
    assert at == (15,)
    train = prepared.train(15)
    own = np.median(10.0 + np.arange(15 - prepared.padded))
    assert train.y[: prepared.padded].tolist() == [own] * prepared.padded
    assert not train.observed[: prepared.padded].any()
    assert train.y[prepared.padded :].tolist() == (10.0 + np.arange(15 - prepared.padded)).tolist()
    message = next(f.message for f in prepared.findings if f.code == "PADDED")
    assert f"one fold needs {needed} (max(7, 2 x season 7 + 1) + gap {gap} + half the horizon 2)" in message


def test_history_that_has_a_fold_is_not_padded():
    assert padded_run(17).padded == 0
    assert padded_run(16).padded == 1


@pytest.mark.parametrize("n", [1, 2])
def test_history_without_anything_to_learn_from_before_a_score_is_not_padded(n):
    prepared = padded_run(n)
    assert prepared.padded == 0
    assert "PADDED" not in counts(prepared)


def test_padding_takes_covariates_along():
    prepared = run(days(6), np.arange(6.0), COVARIATES, covariates(6), pad=(4, 0))
    series = prepared.train(prepared.length)
    front = prepared.padded
    assert np.isfinite(series.known_x).all()
    assert series.known_x[front:, 0].tolist() == list(range(6))
    assert prepared.end == run(days(6), np.arange(6.0), COVARIATES, covariates(6)).end


# -- what the past may depend on, with every option --------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(9, 35),
    poison=st.sampled_from([np.nan, 1e30, -5.0, 0.0]),
    impute=st.sampled_from(
        [
            {"sales": "median", "price": "linear", "town": "median"},
            {"sales": {"constant": 2.0}, "price": "seasonal", "town": {"constant": "c"}, "visits": "median"},
            {"price": {"constant": -1.0}, "town": {"constant": "zz"}, "visits": "linear"},
        ]
    ),
    cap=st.booleans(),
    rows=st.sampled_from([36, 14]),
)
def test_training_part_depends_on_nothing_later_whatever_is_configured(seed, n, poison, impute, cap, rows):
    rng = np.random.default_rng(seed)
    n = min(n, rows - 1)
    y = np.exp(rng.normal(size=rows))
    y[rng.random(rows) < 0.2] = np.nan
    y[rng.integers(0, rows)] = 1e4
    y[[0, -1]] = 1.0
    columns = {
        "x0": np.where(rng.random(rows) < 0.3, np.nan, rng.normal(size=rows)),
        "x1": rng.choice(["a", "b", "c", None], rows).astype(object),
        "x2": np.where(rng.random(rows) < 0.3, np.nan, rng.normal(size=rows)),
        "x3": np.full(rows, "L", dtype=object),
    }
    options = {"impute": impute, "cap": cap, "frequency": "D", "outliers": True}
    whole = run(days(rows), y, COVARIATES, columns, **options)
    later = np.arange(rows) >= n
    y2 = np.where(later, poison, y)
    y2[-1] = 1.0
    poisoned = {
        "x0": np.where(later, poison, columns["x0"]),
        "x1": np.where(later, "0", columns["x1"]),
        "x2": np.where(later, poison, columns["x2"]),
        "x3": columns["x3"],
    }
    other = run(days(rows), y2, COVARIATES, poisoned, **options)
    one, two = whole.train(n), other.train(n)
    for name in ("y", "observed", "known_x", "past_x", "static_x"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes(), name
    assert (one.known, one.past, one.start) == (two.known, two.past, two.start)
    cut = run(days(rows)[:n], y[:n], COVARIATES, {k: v[:n] for k, v in columns.items()}, **options)
    if cut.length == n:
        assert cut.train(n).y.tobytes() == one.y.tobytes()
        assert cut.train(n).known_x.tobytes() == one.known_x.tobytes()
