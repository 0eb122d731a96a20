from __future__ import annotations

import datetime
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.errors import DataError
from many_models.panel.canonical import (
    canonical_frame,
    column_facts,
    key_types,
    sort_canonical,
    stamp_of,
    time_array,
    time_type,
)
from many_models.panel.layout import Facts, Layout, decide_layout


def decide(frame, data, **options):
    return decide_layout(column_facts(frame, data, **options), list(frame.columns), data)


def canonical(frame, data, **options):
    layout = decide(frame, data, **options)
    return layout, canonical_frame(frame, layout, time_tag=options.get("time_tag"))


def problems(frame, data, **options):
    with pytest.raises(DataError) as caught:
        decide(frame, data, **options)
    return {problem.where: str(problem) for problem in caught.value.problems}


def table(**columns):
    length = max(len(values) for values in columns.values())
    base = {
        "store": ["a"] * length,
        "when": pd.date_range("2024-01-01", periods=length),
        "sales": np.arange(length, dtype=float),
    }
    return pd.DataFrame(base | columns)


def micros(text):
    return np.array(text, dtype="datetime64[us]").astype(np.int64).tolist()


DAYS = ["2024-01-01", "2024-01-02", "2024-02-29"]
AWARE = pd.DatetimeIndex(DAYS).tz_localize("Europe/Berlin")
SAME_DAYS = {
    "ns": pd.Series(pd.DatetimeIndex(DAYS).as_unit("ns")),
    "us": pd.Series(pd.DatetimeIndex(DAYS).as_unit("us")),
    "s": pd.Series(pd.DatetimeIndex(DAYS).as_unit("s")),
    "arrow": pd.Series(pd.DatetimeIndex(DAYS)).astype(pd.ArrowDtype(pa.timestamp("ms"))),
    "date objects": pd.Series([datetime.date.fromisoformat(d) for d in DAYS], dtype=object),
    "arrow dates": pd.Series(
        [datetime.date.fromisoformat(d) for d in DAYS], dtype=pd.ArrowDtype(pa.date32())
    ),
    "datetime objects": pd.Series([datetime.datetime.fromisoformat(d) for d in DAYS], dtype=object),
    "stamp objects": pd.Series([pd.Timestamp(d) for d in DAYS], dtype=object),
    "periods": pd.Series(pd.PeriodIndex(DAYS, freq="D")),
    "iso text": pd.Series(DAYS),
    "string dtype": pd.Series(DAYS, dtype="string"),
    "category": pd.Series(DAYS, dtype="category"),
    "iso text with T": pd.Series([f"{d}T00:00:00" for d in DAYS]),
    "m/d/Y": pd.Series(["1/1/2024", "1/2/2024", "2/29/2024"]),
    "d/m/Y": pd.Series(["01/01/2024", "02/01/2024", "29/02/2024"]),
    "m/d/Y H:M": pd.Series(["1/1/2024 0:00", "1/2/2024 0:00", "2/29/2024 0:00"]),
    "d.m.Y": pd.Series(["1.1.2024", "2.1.2024", "29.2.2024"]),
    "Y/m/d": pd.Series(["2024/1/1", "2024/01/02", "2024/02/29"]),
    "Ymd text": pd.Series(["20240101", "20240102", "20240229"]),
    "Ymd integers": pd.Series([20240101, 20240102, 20240229]),
}


@pytest.mark.parametrize("form", SAME_DAYS)
def test_every_way_to_write_a_day_gives_the_same_time(form, data_spec):
    frame = table(when=SAME_DAYS[form])
    layout, ours = canonical(frame, data_spec())
    assert layout.time.kind == "timestamp"
    assert ours["t"].tolist() == micros(DAYS)
    stored = time_array(ours["t"], layout)
    assert stored.type == time_type(layout)
    assert [str(v)[:10] for v in stored.to_pylist()] == DAYS


def test_dates_stay_dates_and_text_becomes_timestamps_in_microseconds(data_spec):
    assert time_type(decide(table(when=SAME_DAYS["date objects"]), data_spec())) == pa.date32()
    assert time_type(decide(table(when=SAME_DAYS["iso text"]), data_spec())) == pa.timestamp("us")
    hourly = decide(table(when=SAME_DAYS["date objects"]), data_spec(frequency="h"))
    assert time_type(hourly) == pa.timestamp("us")


@pytest.mark.parametrize(
    "when",
    [
        pd.Series(AWARE),
        pd.Series(AWARE.as_unit("us")).astype(pd.ArrowDtype(pa.timestamp("us", "Europe/Berlin"))),
        pd.Series(list(AWARE), dtype=object),
    ],
)
def test_stamps_with_a_zone_keep_it(when, data_spec):
    layout, ours = canonical(table(when=when), data_spec())
    assert (layout.time.zone, layout.time.shown_in) == ("Europe/Berlin", "Europe/Berlin")
    assert ours["t"].tolist() == AWARE.as_unit("us").asi8.tolist()
    back = time_array(ours["t"], layout).to_pandas()
    assert str(back.dtype) == "datetime64[us, Europe/Berlin]"
    assert (back == AWARE).all()


def test_configured_zone_cuts_days_and_column_zone_is_shown(data_spec):
    layout = decide(table(when=pd.Series(AWARE.tz_convert("UTC"))), data_spec(timezone="Europe/Berlin"))
    assert (layout.time.zone, layout.time.shown_in) == ("Europe/Berlin", "UTC")


def test_fixed_offsets_and_text_with_offsets_are_instants(data_spec):
    text = pd.Series(["2024-01-01T00:00:00+02:00", "2024-01-02 00:00Z", "2024-01-03T00:00:00.5-0530"])
    layout, ours = canonical(table(when=text), data_spec())
    assert ours["t"].tolist() == micros(["2023-12-31T22:00", "2024-01-02T00:00", "2024-01-03T05:30:00.5"])
    assert layout.time.shown_in == "UTC"
    fixed = pd.Series(pd.DatetimeIndex(DAYS).tz_localize("UTC+02:00"))
    layout, ours = canonical(table(when=fixed), data_spec())
    assert layout.time.zone == "Etc/GMT-2"
    assert (
        ours["t"].tolist()
        == fixed.dt.tz_convert("UTC").dt.tz_localize(None).dt.as_unit("us").astype("int64").tolist()
    )


def test_naive_stamps_are_localised_in_the_configured_zone(data_spec):
    when = pd.Series(["2021-03-28 01:30", "2021-03-28 02:30", "2021-07-01 12:00", "2021-10-31 02:30"])
    layout, ours = canonical(table(when=when), data_spec(timezone="Europe/Berlin"))
    assert ours["t"].tolist() == micros(
        ["2021-03-28T00:30", "2021-03-28T01:30", "2021-07-01T10:00", "2021-10-31T00:30"]
    )
    assert str(time_array(ours["t"], layout).to_pandas()[2]) == "2021-07-01 12:00:00"


@pytest.mark.parametrize(("tag", "zone"), [("timestamp", "UTC"), ("timestamp_ntz", None), ("date", None)])
def test_micros_with_a_tag_are_read_as_spark_gives_them(tag, zone, data_spec):
    frame = table(when=np.array(micros(DAYS)))
    data = data_spec()
    layout, ours = canonical(frame, data, time_tag=tag)
    assert layout.time.shown_in == zone
    assert layout.time.is_date == (tag == "date")
    assert ours["t"].tolist() == micros(DAYS)


def test_integer_time_is_an_index_and_survives(data_spec):
    for values in ([1, 2, 3], [1990.0, 1991.0, 1992.0], pd.array([1, 2, 3], dtype="Int32")):
        layout, ours = canonical(table(when=values), data_spec(frequency="YS"))
        assert layout.time.kind == "integer"
        assert ours["t"].tolist() == list(values)
        assert time_array(ours["t"], layout).to_pandas().dtype == np.int64
    layout, ours = canonical(table(when=["1", "2", "10"]), data_spec(), text_table=True)
    assert layout.time.kind == "integer"
    assert ours["t"].tolist() == [1, 2, 10]
    assert stamp_of("7", layout) == 7


def test_day_and_month_that_can_be_swapped_are_told_apart_by_which_repeats(data_spec):
    monthly_us = table(when=["1/1/2011", "2/1/2011", "3/1/2011"])
    layout, ours = canonical(monthly_us, data_spec())
    assert layout.time.text_format == "%m/%d/%Y"
    assert len(layout.notes) == 1
    monthly_eu = table(when=["01/01/2011", "01/02/2011", "01/03/2011"])
    assert canonical(monthly_eu, data_spec())[1]["t"].tolist() == ours["t"].tolist()


def test_cutoff_is_read_in_the_users_terms(data_spec):
    layout = decide(table(when=SAME_DAYS["m/d/Y"]), data_spec())
    assert stamp_of("2024-02-29", layout) == stamp_of("2/29/2024", layout) == micros("2024-02-29")
    with pytest.raises(DataError, match="soon"):
        stamp_of("soon", layout)


NUMBERS = {
    "float": pd.Series([1.0, np.nan, 3.0]),
    "nullable": pd.Series([1, None, 3], dtype="Int64"),
    "nullable float": pd.Series([1, None, 3], dtype="Float32"),
    "arrow": pd.Series([1, None, 3], dtype=pd.ArrowDtype(pa.int8())),
    "arrow decimal": pd.Series([Decimal("1"), None, Decimal("3")], dtype=pd.ArrowDtype(pa.decimal128(9, 2))),
    "decimal": pd.Series([Decimal("1"), None, Decimal("3.0")], dtype=object),
    "objects": pd.Series([1, None, 3.0], dtype=object),
    "text": pd.Series(["1", "NA", " 3.0 "]),
    "text words": pd.Series(["1.", "null", "3e0"]),
}


@pytest.mark.parametrize("form", NUMBERS)
def test_every_way_to_write_a_number_gives_the_same_target(form, data_spec):
    _, ours = canonical(table(sales=NUMBERS[form]), data_spec())
    assert ours["y"].dtype == np.float64
    np.testing.assert_array_equal(ours["y"], [1.0, np.nan, 3.0])


def test_keys_keep_their_types(data_spec):
    frame = table(
        store=pd.Series([7, 8, 9], dtype="Int16"),
        b=pd.Series(["007", "NA", "é/../"], dtype="category"),
        c=[True, False, True],
    )
    layout, ours = canonical(frame, data_spec(series=("store", "b", "c"), group=("b",)))
    assert [key.kind for key in layout.keys] == ["integer", "text", "boolean"]
    assert [str(t) for t in key_types(layout)] == ["int64", "string", "bool"]
    assert layout.group_names == ("k1",)
    assert list(ours.columns) == ["k0", "k1", "k2", "t", "y"]
    assert ours["k0"].dtype == np.int64
    assert ours["k1"].tolist() == ["007", "NA", "é/../"]
    assert [key.name for key in layout.keys] == ["store", "b", "c"]
    assert Layout.from_dict(layout.to_dict()) == layout


def test_csv_key_is_an_integer_only_if_every_value_survives(data_spec):
    def kind(values):
        return (
            decide(table(store=values, when=DAYS, sales=["1", "2", ""]), data_spec(), text_table=True)
            .keys[0]
            .kind
        )

    assert kind(["1", "-2", "30"]) == "integer"
    assert kind(["1", "2", "007"]) == "text"
    assert kind(["1", "2", "3.0"]) == "text"
    assert kind(["1", "2", "9" * 19]) == "text"
    assert kind(["NA", "NaN", "null"]) == "text"
    # outside a CSV file text is what the user stored
    assert decide(table(store=["1", "2", "3"]), data_spec()).keys[0].kind == "text"
    found = problems(table(store=["1", "", "2"], when=DAYS), data_spec(), text_table=True)
    assert "1 empty values" in found["store"]


def test_covariates_are_numbers_booleans_or_categories(data_spec):
    frame = table(
        price=[1, 2, 3],
        promo=[True, None, False],
        flag=[True, False, True],
        town=["x", None, "z"],
        size=pd.Categorical(["S", "M", None]),
    )
    data = data_spec(known=("price", "promo"), past=("flag",), static=("town", "size"))
    layout, ours = canonical(frame, data)
    assert [c.kind for c in layout.covariates] == ["number", "boolean", "boolean", "category", "category"]
    assert layout.role("static") == (3, 4)
    np.testing.assert_array_equal(ours["x1"], [1.0, np.nan, 0.0])
    assert ours["x3"].tolist() == ["x", None, "z"]
    assert ours["x4"].tolist() == ["S", "M", None]


def test_csv_covariates_are_typed_by_what_they_hold(data_spec):
    frame = table(
        when=DAYS,
        sales=["1", "2", ""],
        price=["1.5", "", "NA"],
        promo=["true", "False", ""],
        town=["x", "NA", "z"],
    )
    layout, ours = canonical(frame, data_spec(known=("price", "promo", "town")), text_table=True)
    assert [c.kind for c in layout.covariates] == ["number", "boolean", "category"]
    np.testing.assert_array_equal(ours["x1"], [1.0, 0.0, np.nan])
    assert ours["x2"].tolist() == ["x", None, "z"]


def test_mask_and_closed_are_flags_of_any_writing(data_spec):
    frame = table(out=["yes", "no", ""], shut=[0, 1, 1])
    _, ours = canonical(frame, data_spec(mask="out", closed="shut"))
    np.testing.assert_array_equal(ours["mask"], [1.0, 0.0, np.nan])
    assert ours["closed"].tolist() == [0.0, 1.0, 1.0]
    found = problems(table(out=["maybe", "no", "no"], shut=[0, 1, 2]), data_spec(mask="out", closed="shut"))
    assert "maybe" in found["out"]
    assert "shut" in found


# -- refusals -----------------------------------------------------------------


def test_all_problems_are_named_at_once(data_spec):
    frame = pd.DataFrame(
        {"Store": ["a", None, "b"], "date": ["soon", "later", "2024-01-01"], "sales": ["1", "many", "x"]}
    )
    found = problems(frame, data_spec(series=("Store", "stroe"), time="date"))
    assert set(found) == {"Store", "stroe", "date", "sales"}
    assert "1 empty values in a key column" in found["Store"]
    assert "did you mean 'Store'?" in found["stroe"]
    assert "'later', 'soon'" in found["date"]
    assert "2 texts in the target that are no number: 'many', 'x'" in found["sales"]


def test_no_rows_is_refused(data_spec):
    assert "no rows" in problems(table(sales=[1.0])[:0], data_spec())["data"]


def test_mixed_types_in_a_key_are_refused_with_examples(data_spec):
    found = problems(table(store=pd.Series([12, "12", 13], dtype=object)), data_spec())
    assert "integer (12) and text ('12')" in found["store"]
    found = problems(table(store=[1.0, 2.5, 3.0]), data_spec())
    assert "no whole" in found["store"]
    found = problems(table(store=pd.to_datetime(DAYS)), data_spec())
    assert "timestamp values in a key column" in found["store"]


def test_null_integer_key_is_refused_by_name(data_spec):
    assert "1 empty values" in problems(table(store=[1.0, np.nan, 2.0]), data_spec())["store"]


@pytest.mark.parametrize("name", ["status", "Step", "MEAN", "q0.5", "cutoff", "State", "q.9"])
def test_key_named_like_one_of_ours_is_refused_ignoring_case(name, data_spec):
    frame = table(sales=[1.0, 2.0, 3.0]).rename(columns={"store": name})
    assert "every run writes" in problems(frame, data_spec(series=(name,)))[name]


@pytest.mark.parametrize("name", ["y", "ds", "unique_id", "q1", "Q", "a.b c", "t", "k0"])
def test_other_names_are_free(name, data_spec):
    frame = table(sales=[1.0, 2.0, 3.0]).rename(columns={"store": name})
    assert decide(frame, data_spec(series=(name,))).keys[0].name == name


def test_target_and_covariates_may_have_any_name_and_case_twins_are_apart(data_spec):
    frame = table(status=[1.0, 2.0, 3.0], Status=[4.0, 5.0, 6.0])
    _, ours = canonical(frame, data_spec(target="status", known=("Status",)))
    assert ours["x0"].tolist() == [4.0, 5.0, 6.0]
    twins = table(Store=["x"] * 3)
    assert "only in case" in problems(twins, data_spec(series=("store", "Store")))["Store"]


def test_column_that_is_there_twice_is_refused(data_spec):
    frame = pd.concat([table(sales=[1.0, 2.0]), table(sales=[1.0, 2.0])[["store"]]], axis=1)
    assert "2 columns of this name" in problems(frame, data_spec())["store"]


def test_times_that_are_missing_are_refused(data_spec):
    assert "no time at all" in problems(table(when=[None, None]), data_spec())["when"]
    assert (
        "1 rows without a time"
        in problems(table(when=pd.to_datetime(["2024-01-01", None])), data_spec())["when"]
    )
    assert "no whole numbers" in problems(table(when=[1.5, np.inf]), data_spec())["when"]
    found = problems(table(when=["2024-01-01", "1/2/2024"]), data_spec())
    assert "different formats" in found["when"]
    assert "2023-02-29" in problems(table(when=["2023-02-29", "2024-01-01"]), data_spec())["when"]


def test_wrong_zone_and_frequency_are_named_with_the_rest(data_spec):
    found = problems(table(store=[None, None]), data_spec(timezone="Europe/Berln", frequency="weekly"))
    assert {"data.timezone", "data.frequency", "store"} <= set(found)
    assert "Europe/Berlin" in found["data.timezone"]


def test_later_rows_of_another_type_are_refused(data_spec):
    layout = decide(table(store=[1, 2, 3]), data_spec())
    with pytest.raises(DataError, match="store"):
        canonical_frame(table(store=["1x", "2", "3"]), layout)
    with pytest.raises(DataError, match="when"):
        canonical_frame(table(store=[1], when=[5.5]), layout)


def test_future_rows_need_neither_target_nor_covariates(data_spec):
    frame = table(price=[1.0, 2.0, 3.0], town=["x", "y", "z"])
    layout = decide(frame, data_spec(known=("price", "town")))
    future = canonical_frame(frame[["store", "when"]], layout, with_target=False)
    assert future[["y", "x0"]].isna().all(axis=None)
    assert future["x1"].tolist() == [None] * 3


# -- merging and order --------------------------------------------------------


def decided(facts, frame, data):
    try:
        return decide_layout(facts, list(frame.columns), data)
    except DataError as error:
        return [problem.where for problem in error.problems]


@settings(max_examples=100, deadline=None)
@given(
    cut=st.integers(0, 6),
    values=st.lists(
        st.sampled_from([1, 2.5, "x", "7", "007", None, True, "2024-01-01", float("inf"), ""]),
        min_size=6,
        max_size=6,
    ),
)
def test_facts_of_parts_merge_to_the_facts_of_the_whole(cut, values):
    data = SimpleNamespace(
        series=("store",),
        group=None,
        group_columns=("store",),
        time="when",
        target="sales",
        known=("x",),
        past=(),
        static=(),
        kinds={},
        mask=None,
        closed=None,
        context=None,
        timezone=None,
        frequency="auto",
        path=None,
    )
    column = pd.Series(values, dtype=object)
    frame = pd.DataFrame({"store": column, "when": column, "sales": column, "x": column})
    whole = column_facts(frame, data)
    parts = column_facts(frame[:cut], data).merge(column_facts(frame[cut:], data))
    assert decided(parts, frame, data) == decided(whole, frame, data)
    assert Facts.from_dict(parts.to_dict()) == parts


def test_rows_in_any_order_sort_to_one_frame(data_spec):
    rng = np.random.default_rng(0)
    n = 60
    frame = pd.DataFrame(
        {
            "store": rng.choice(["b", "a", "Z", "é"], n),
            "when": rng.choice(pd.date_range("2024-01-01", periods=5), n),
            "sales": rng.choice([0.0, -0.0, 1.0, np.nan], n),
            "town": rng.choice(["x", None, "y"], n),
        }
    )
    layout = decide(frame, data_spec(known=("town",)))
    one = sort_canonical(canonical_frame(frame, layout), layout)
    for _ in range(5):
        mixed = frame.iloc[rng.permutation(n)]
        other = sort_canonical(canonical_frame(mixed, layout), layout)
        pd.testing.assert_frame_equal(one, other)
        assert one["y"].to_numpy().tobytes() == other["y"].to_numpy().tobytes()
    assert one["k0"].is_monotonic_increasing
    assert one["k0"][0] == "Z"


def test_real_tables_are_laid_out(real_data, data_spec):
    oj = pd.read_parquet(real_data / "oj" / "oj_weekly.parquet")
    data = data_spec(
        time="WeekStarting",
        target="Quantity",
        series=("Store", "Brand"),
        known=("Price", "deal"),
        static=("Large HH",),
    )
    layout, ours = canonical(oj, data)
    assert [key.kind for key in layout.keys] == ["integer", "text"]
    assert len(ours) == len(oj)
    nyc = pd.read_parquet(real_data / "notebooks" / "nyc_energy.parquet").assign(store="x")
    layout, ours = canonical(nyc, data_spec(time="timeStamp", target="demand", known=("temp",)))
    expected = pd.to_datetime(nyc["timeStamp"]).dt.as_unit("us").astype("int64")
    assert ours["t"].tolist() == expected.tolist()


def test_integer_frequency_with_dates_is_refused(data_spec):
    found = problems(table(sales=[1.0, 2.0, 3.0]), data_spec(frequency="1"))
    assert "integer steps" in found["data.frequency"]


def test_damaged_layout_is_refused(data_spec):
    good = decide(table(price=[1.0, 2.0, 3.0]), data_spec(known=("price",))).to_dict()
    assert Layout.from_dict(good)
    broken = (
        {},
        good | {"keys": [{"name": "store", "kind": "float"}]},
        good | {"group": [3]},
        good | {"time": good["time"] | {"zone": "Mars/Base"}},
        good | {"covariates": [{"name": "price", "role": "future", "kind": "number"}]},
        good | {"time": good["time"] | {"more": 1}},
    )
    for bad in broken:
        with pytest.raises(DataError, match="layout"):
            Layout.from_dict(bad)


@pytest.mark.parametrize("form", ["date", "naive", "aware"])
def test_a_known_date_is_the_days_from_each_row_to_it(form, data_spec):
    promised = [datetime.date(2024, 1, 1), datetime.date(2024, 3, 1), None, datetime.date(2023, 12, 31)]
    column = pd.Series(promised, dtype=object)
    if form != "date":
        column = pd.Series(pd.to_datetime(column))
        column = column.dt.tz_localize("Europe/Berlin") if form == "aware" else column
    when = pd.date_range("2024-01-01", periods=4)
    frame = table(due=column)
    if form == "aware":
        frame["when"] = when.tz_localize("Europe/Berlin")
    layout, made = canonical(frame, data_spec(known=("due",)))
    expected = [
        np.nan if day is None else (day - moment.date()).days
        for day, moment in zip(promised, when, strict=True)
    ]
    np.testing.assert_array_equal(made["x0"].to_numpy(), expected)
    assert Layout.from_dict(layout.to_dict()) == layout
    ahead = canonical_frame(frame.drop(columns="due"), layout, with_target=False)
    assert ahead["x0"].isna().all()
    with pytest.raises(DataError, match="dates"):
        canonical_frame(frame.assign(due=1.0), layout)


def test_a_date_that_is_static_or_beside_an_integer_index_is_refused(data_spec):
    opened = [datetime.date(2020, 1, 1)] * 3
    assert "data.known" in problems(table(opened=opened), data_spec(static=("opened",)))["opened"]
    numbered = table(due=opened).assign(when=[1, 2, 3])
    assert "due" in problems(numbered, data_spec(known=("due",)))
