"""The table of events: how it is read, what is refused, and what a forecast makes of it."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, train
from many_models.errors import DataError, SpecError
from many_models.panel.keys import KeyColumn, SeriesKey
from many_models.panel.layout import Layout, TimeColumn
from many_models.runs.events import event_findings, events_of, read_events
from many_models.runs.tables import Rows, read_table

LAYOUT = Layout(
    (KeyColumn("store", "integer"), KeyColumn("item", "text")),
    (0, 1),
    TimeColumn("week", "timestamp"),
    "sold",
)
GROUPS = pd.DataFrame({"k0": [1, 2], "k1": ["a", "a"]})


def spec_with(**events):
    return ForecastSpec.from_dict(
        {
            "data": {"time": "week", "target": "sold", "series": ["store", "item"]},
            "forecast": {"horizon": 4},
            "events": {"path": "events.csv"} | events,
        }
    )


def read(frame, layout=LAYOUT, **events):
    return read_events(Rows(pd.DataFrame(frame)), spec_with(**events), layout)


def moment(text):
    return int(np.datetime64(text, "us").astype(np.int64))


def test_dates_are_whole_days_and_moments_are_moments():
    table = read(
        {
            "event": ["promo", "promo", "strike", "outage"],
            "date": ["2024-01-02", "2024-02-02", "2024-03-01 13:00", "2024-03-01 13:00"],
            "until": ["2024-01-04", "", None, "2024-03-01 15:30"],
        },
        end="until",
    )
    assert dict(table.of(SeriesKey(("store", "item"), (1, "a")))) == {
        "promo": (
            (moment("2024-01-02"), moment("2024-01-05")),
            (moment("2024-02-02"), moment("2024-02-03")),
        ),
        "strike": ((moment("2024-03-01T13:00"), moment("2024-03-01T13:00") + 1),),
        "outage": ((moment("2024-03-01T13:00"), moment("2024-03-01T15:30")),),
    }


def test_each_series_has_its_own_events_and_repeats_count_once():
    table = read(
        {"store": [1, 2, 2], "event": "promo", "date": ["2024-01-01", *["2024-01-08"] * 2]}, by=["store"]
    )
    assert [len(table.of(SeriesKey(("store", "item"), (s, "a")))) for s in (1, 2, 3)] == [1, 1, 0]
    assert len(table.rows) == 2


def test_the_same_table_as_csv_and_parquet(tmp_path):
    frame = pd.DataFrame(
        {
            "store": [1, 2],
            "event": ["x", "y"],
            "date": pd.to_datetime(["2024-05-01 00:00", "2024-06-01 06:00"]),
        }
    )
    frame.to_parquet(tmp_path / "events.parquet")
    frame.to_csv(tmp_path / "events.csv", index=False)
    tables = [
        read_events(read_table(str(tmp_path / f"events.{kind}")), spec_with(by=["store"]), LAYOUT)
        for kind in ("parquet", "csv")
    ]
    assert tables[0] == tables[1]
    assert [row[0] for row in tables[0].rows] == [(1,), (2,)]


def test_stamps_with_a_zone_are_read_on_the_clock_of_the_data():
    berlin = Layout(LAYOUT.keys, (0, 1), TimeColumn("week", "timestamp", "Europe/Berlin"), "sold")
    table = read({"event": ["x"], "date": pd.to_datetime(["2024-07-01 22:00"]).tz_localize("UTC")}, berlin)
    assert table.rows[0][2] == moment("2024-07-02")


@pytest.mark.parametrize(
    ("frame", "events", "told"),
    [
        ({"event": ["x"], "dat": ["2024-01-01"]}, {}, "did you mean 'dat'"),
        ({"event": ["x"], "date": ["soon"]}, {}, "'soon'"),
        ({"event": ["x"], "date": ["1/2/2024"]}, {}, "day and month can be swapped"),
        ({"event": [""], "date": ["2024-01-01"]}, {}, "without a name"),
        ({"event": ["x"], "date": [None]}, {}, "rows without a time"),
        ({"event": [], "date": []}, {}, "no rows"),
        (
            {"event": ["x"], "date": ["2024-01-02"], "e": ["2024-01-01"]},
            {"end": "e"},
            "end before they begin",
        ),
        ({"event": ["x"], "date": ["2024-01-02"], "store": ["one"]}, {"by": ["store"]}, "integer values"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_by_name(frame, events, told):
    with pytest.raises(DataError, match=told):
        read(frame, **events)


def test_whole_number_times_have_no_events():
    layout = Layout(LAYOUT.keys, (0, 1), TimeColumn("week", "integer"), "sold")
    with pytest.raises(DataError, match="whole numbers"):
        read({"event": ["x"], "date": ["2024-01-01"]}, layout)


def test_keys_that_the_data_do_not_have_are_a_finding(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("store,event,date\n1,x,2024-01-01\n9,x,2024-01-01\n")
    spec = spec_with(path=str(path), by=["store"])
    table = events_of(spec, LAYOUT, GROUPS)
    assert table.keys == {(1,), (9,)}
    (found,) = event_findings(table, LAYOUT, GROUPS)
    assert (found.code, found.count, found.state) == ("EVENTS_UNKNOWN_KEY", 1, "alerted")
    assert "1 of 2 keys in events are not in the data: (9,)" in found.message
    path.write_text("store,event,date\n9,x,2024-01-01\n")
    with pytest.raises(DataError, match="1 of 1 keys"):
        events_of(spec, LAYOUT, GROUPS)
    assert events_of(spec.replace({"events": None}), LAYOUT, GROUPS) is None
    assert event_findings(None, LAYOUT, GROUPS) == ()


def test_a_column_that_is_no_key_is_refused_with_its_neighbour():
    with pytest.raises(SpecError, match=r"events\.by.*did you mean store"):
        spec_with(by=["stor"])


def test_a_relative_path_is_taken_from_the_folder_of_the_configuration(tmp_path):
    (tmp_path / "events.csv").write_text("event,date\nx,2024-01-01\n")
    (tmp_path / "c.yaml").write_text(spec_with().to_yaml())
    assert ForecastSpec.from_yaml(tmp_path / "c.yaml").events.path == str(tmp_path / "events.csv")


def test_the_fingerprint_holds_the_settings_and_not_the_path():
    assert spec_with().fingerprint == spec_with(path="other.csv").fingerprint
    assert spec_with().fingerprint != spec_with(before=1).fingerprint


def test_a_coming_event_is_in_the_forecast_of_the_stored_model(tmp_path):
    rng = np.random.default_rng(0)
    weeks = pd.date_range("2022-01-03", periods=120, freq="W-MON")
    busy = np.sort(rng.choice(120, 12, replace=False))
    sold = rng.normal(100, 4, 120)
    sold[busy] += 60
    frame = pd.DataFrame({"store": 1, "item": "a", "week": weeks, "sold": sold})
    days = [weeks[0] + pd.Timedelta(days=int(7 * w + 2)) for w in (*busy, 122)]
    pd.DataFrame({"event": "promo", "date": days}).to_csv(tmp_path / "events.csv", index=False)
    spec = spec_with(path=str(tmp_path / "events.csv")).replace({"learners.allow": ["arx"]})
    run = train(frame, spec, run_dir=tmp_path / "run")
    (tmp_path / "events.csv").unlink()
    told = run.models().find(store=1, item="a").forecast(horizon=4)["mean"].to_numpy()
    assert told.tolist() == run.forecasts()["mean"].tolist()
    assert told[2] > 130 > 115 > max(told[[0, 1, 3]])


ROWS = [
    {"store": 1, "event": "promo", "date": "2024-01-02", "until": "2024-01-04"},
    {"store": 2, "event": "strike", "date": "2024-03-01 13:00"},
]


def test_events_may_stand_in_the_configuration_itself():
    spec = spec_with(path=None, rows=ROWS, by=["store"], end="until")
    written = ForecastSpec.from_dict(spec.to_dict())
    assert written == spec
    assert written.fingerprint == spec.fingerprint
    assert spec.fingerprint != spec_with(path=None, rows=ROWS[:1], by=["store"], end="until").fingerprint
    expected = read(ROWS, by=["store"], end="until")
    assert events_of(spec, LAYOUT, GROUPS) == expected
    dated = [{**ROWS[0], "date": date(2024, 1, 2)}, {**ROWS[1], "date": datetime(2024, 3, 1, 13)}]
    assert events_of(spec_with(path=None, rows=dated, by=["store"], end="until"), LAYOUT, GROUPS) == expected


@pytest.mark.parametrize(
    ("events", "where", "found"),
    [
        ({"path": None}, "events.path", "neither"),
        ({"rows": ROWS[:1], "by": ["store"], "end": "until"}, "events.path", "both"),
        ({"path": None, "rows": [{"event": "x"}]}, "events.rows[0]", "nothing for date"),
        ({"path": None, "rows": [{"evnt": "x", "date": "2024-01-01"}]}, "events.rows[0].evnt", "unknown"),
        ({"path": None, "rows": [{"event": ["x"], "date": "2024-01-01"}]}, "events.rows[0].event", "x"),
        ({"path": None, "rows": []}, "events.rows", "[]"),
    ],
)
def test_events_that_cannot_be_understood_are_refused_with_their_row(events, where, found):
    with pytest.raises(SpecError) as refused:
        spec_with(**events)
    assert any(p.where == where and found in p.found for p in refused.value.problems)
