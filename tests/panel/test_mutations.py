"""The journal of preparation: replayed on the rows that went in, it gives what a model is fitted on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.errors import DataError
from many_models.panel.keys import KeyColumn, SeriesKey
from many_models.panel.layout import CovariateColumn, Layout, TimeColumn
from many_models.panel.mutations import COLUMNS, Journal, report_schema
from many_models.panel.preparation import PrepareSettings, prepare

KEY = SeriesKey(("store",), ("a",))
DAY = 86_400_000_000


def layout(time="when", **flags):
    columns = (
        CovariateColumn("price", "known", "number"),
        CovariateColumn("town", "known", "category"),
        CovariateColumn("visits", "past", "number"),
    )
    names = {name: name for name, there in flags.items() if there}
    return Layout(
        (KeyColumn("store", "text"),), (0,), TimeColumn(time, "timestamp"), "sales", columns, **names
    )


def days(n, start="2024-01-01"):
    return pd.date_range(start, periods=n, freq="D").as_unit("us").asi8


def frame(t, y, price=None, town=None, visits=None, **flags):
    n = len(t)
    columns = {
        "k0": np.full(n, "a", dtype=object),
        "t": np.asarray(t, dtype=np.int64),
        "y": np.asarray(y, dtype=float),
        "x0": np.ones(n) if price is None else price,
        "x1": np.full(n, "p", dtype=object) if town is None else town,
        "x2": np.ones(n) if visits is None else visits,
    }
    return pd.DataFrame(columns | flags)


def told(rows, where=None, **options):
    """Prepared series and its report as a data frame; the report changes nothing that is prepared."""
    where = where or layout()
    settings_ = PrepareSettings(**options)
    journal = Journal(where)
    prepared = prepare(rows, KEY, where, settings_, journal)
    alone = prepare(rows, KEY, where, settings_)
    assert alone.findings == prepared.findings
    assert alone.y.tobytes() == prepared.y.tobytes()
    return prepared, journal.table(KEY).to_pandas()


def what(report):
    return report.groupby("change").size().to_dict()


def test_clean_series_has_an_empty_report_with_all_columns():
    _, report = told(frame(days(30), np.sin(np.arange(30.0))))
    assert list(report.columns) == ["store", "when", *COLUMNS]
    assert report.empty


def test_filled_values_stand_with_their_rule_and_column():
    y = np.array([1.0, np.nan, 3.0, 4.0, 5.0, 6.0, 7.0])
    price = np.array([1.0, 2.0, np.nan, 4.0, 5.0, 6.0, 7.0])
    town = np.array(["a", "b", "b", None, "b", "a", "b"], dtype=object)
    _, report = told(frame(days(7), y, price, town), impute={"town": {"constant": "none"}})
    shown = report[["column", "change", "after", "after_text", "rule"]].astype(object)
    shown = shown.where(shown.notna(), None)
    assert shown.values.tolist() == [
        ["sales", "imputed", 2.0, None, "linear"],
        ["price", "imputed", 2.0, None, "forward"],
        ["town", "imputed", None, "none", "constant none"],
    ]
    assert report["before"].isna().all()
    assert report["when"].dt.day.tolist() == [2, 3, 4]


def test_dropped_rows_say_what_they_held():
    t = np.r_[days(9), days(9)[[4, 4]], days(9)[3] + 5]
    y = np.r_[np.nan, np.arange(1.0, 9.0), 4.0, 40.0, 50.0]
    _, report = told(frame(t, y), frequency="auto")
    dropped = report[(report["change"] == "dropped") & (report["column"] == "sales")]
    assert sorted(zip(dropped["rule"], dropped["before"], strict=True)) == [
        ("DUPLICATES_CONFLICTING", 4.0),
        ("DUPLICATES_DROPPED", 4.0),
        ("OFF_GRID_ROWS", 50.0),
    ]
    leading = report[report["rule"] == "LEADING_MISSING_TRIMMED"]
    assert leading["column"].tolist() == ["price", "town", "visits"]
    assert leading["before_text"].tolist() == [None, "p", None]


def test_masked_and_closed_values_stand_with_what_the_fit_sees():
    mask, closed = np.zeros(8), np.zeros(8)
    mask[2], closed[5] = 1, 1
    y = np.array([1.0, 2, 0, 4, 5, 0, 7, 8])
    rows = frame(days(8), y, mask=mask, closed=closed)
    _, report = told(rows, layout(mask=True, closed=True))
    assert report[["change", "before", "after"]].values.tolist() == [
        ["masked", 0.0, 3.0],
        ["closed", 0.0, 6.0],
    ]


def test_capped_values_can_be_put_back():
    y = 100 + np.random.default_rng(0).normal(size=60)
    y[30] = 1000.0
    prepared, report = told(frame(days(60), y), cap=True)
    assert what(report) == {"capped": 1}
    fitted = prepared.train(60).y.copy()
    place = int((report["when"].iloc[0] - pd.Timestamp("2024-01-01")).days)
    assert fitted[place] == report["after"].iloc[0]
    fitted[place] = report["before"].iloc[0]
    assert fitted.tobytes() == y.tobytes()


def test_padded_rows_are_told():
    prepared, report = told(frame(days(6), np.arange(6.0)), pad=(4, 0))
    own = report[report["column"] == "sales"]
    assert what(own) == {"padded": prepared.padded}
    assert set(own["after"]) == {2.5}
    assert own["when"].max() == pd.Timestamp("2023-12-31")


def test_every_row_that_was_rolled_up_says_into_what():
    price = np.arange(24.0)
    town = np.array(["a", "b", "b"] * 8, dtype=object)
    _, report = told(frame(days(24), np.arange(24.0), price, town), frequency="W-MON")
    rolled = report[report["change"] == "aggregated"]
    sales = rolled[rolled["column"] == "sales"]
    assert sales["before"].tolist() == list(np.arange(24.0))
    assert sales["after"].tolist() == list(np.repeat([21.0, 70.0, 119.0, 66.0], [7, 7, 7, 3]))
    assert sales["rule"].iloc[7] == "sum into 2024-01-08T00:00"
    assert rolled[rolled["column"] == "price"]["rule"].iloc[0] == "mean into 2024-01-01T00:00"
    assert set(rolled[rolled["column"] == "town"]["before_text"]) == {"a", "b"}
    assert set(rolled[rolled["column"] == "town"]["after_text"]) == {"b"}
    lost = report[report["rule"] == "INCOMPLETE_PERIOD_DROPPED"]
    assert lost[["column", "before"]].values.tolist() == [["sales", 66.0]]


def test_values_that_are_no_numbers_and_rows_that_count_as_zero_are_told():
    keep = np.delete(np.arange(20), 7)
    y = np.arange(20.0)[keep]
    y[3] = np.inf
    _, report = told(frame(days(20)[keep], y), frequency="D", absent="zero")
    own = report[report["column"] == "sales"]
    assert what(own) == {"missing": 1, "imputed": 2}
    zero = own[own["rule"] == "data.absent: zero"]
    assert zero[["after"]].values.tolist() == [[0.0]]
    assert zero["when"].iloc[0] == pd.Timestamp("2024-01-08")


def test_static_values_that_vary_are_told():
    where = Layout(
        (KeyColumn("store", "text"),),
        (0,),
        TimeColumn("when", "timestamp"),
        "sales",
        (CovariateColumn("size", "static", "category"),),
    )
    size = np.array([None, "S", "L", "S", "L"], dtype=object)
    rows = frame(days(5), np.arange(5.0), size)[["k0", "t", "y", "x0"]]
    _, report = told(rows.assign(x0=size), where)
    assert (
        report[["column", "before_text", "after_text", "rule"]].values.tolist()
        == [["size", "L", "S", "STATIC_VARIES"]] * 2
    )


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    impute=st.sampled_from(["auto", "median", "forward", {"sales": {"constant": 3.0}, "price": "linear"}]),
    absent=st.sampled_from(["auto", "zero"]),
    cap=st.booleans(),
)
def test_replaying_the_report_gives_what_a_model_is_fitted_on(seed, impute, absent, cap):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 40))
    t = np.sort(rng.choice(days(n), int(rng.integers(2, 2 * n))))
    y = rng.choice([1.0, 2.0, 3.0, np.nan, 500.0, np.inf], len(t), p=[0.3, 0.25, 0.2, 0.15, 0.05, 0.05])
    price = rng.choice([1.0, 2.0, np.nan], len(t))
    rows = frame(t, y, price, mask=rng.choice([0.0, 1.0], len(t), p=[0.9, 0.1]))
    where = layout(mask=True)
    prepared, report = told(rows, where, frequency="D", impute=impute, absent=absent, cap=cap)
    if not prepared.n_obs:
        return
    series = prepared.train(prepared.length)
    stamps = pd.DatetimeIndex(prepared.grid.wall(series.ordinals)).as_unit("us")
    for column, source, fitted in (("sales", y, series.y), ("price", price, series.known_x[:, 0])):
        own = report[report["column"] == column]
        kept = {}
        gone = own[own["change"] == "dropped"]
        for stamp, value in zip(pd.DatetimeIndex(np.asarray(t, "datetime64[us]")), source, strict=True):
            if np.isfinite(value):
                kept.setdefault(stamp, []).append(value)
        for stamp, value in zip(gone["when"], gone["before"], strict=True):
            if np.isfinite(value):
                kept[stamp].remove(value)
        given_ = {stamp: values[0] for stamp, values in kept.items() if values}
        assert all(len(values) <= 1 for values in kept.values())
        for change in ("imputed", "masked", "capped"):
            part = own[own["change"] == change]
            given_ |= dict(zip(part["when"], part["after"], strict=True))
        replayed = [given_.get(stamp, np.nan) for stamp in stamps]
        np.testing.assert_array_equal(replayed, fitted)


@pytest.mark.parametrize("name", ["rule", "change"])
def test_a_time_column_with_a_name_of_the_report_is_refused(name):
    with pytest.raises(DataError, match=name):
        report_schema(layout(time=name))
