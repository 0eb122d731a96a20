"""`models.forecast` with Spark tables, classic and Connect: the answers of pandas, as Spark tables."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, open_models, train
from many_models.runs.tables import Rows

pytestmark = [pytest.mark.spark, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
ODD = ["Store.id", "the `item`", "Week Of", "price.in $"]


def odd_names(frame):
    return frame.rename(columns=dict(zip(["store", "item", "date", "price"], ODD, strict=True)))


def other_run(frame, folder, times, **data):
    """The run directory of a table whose times are of another kind; four steps are left to forecast."""
    config = {
        "name": folder.name,
        "data": {"target": "sales", **data},
        "forecast": {"horizon": 4},
        "learners": {"preset": "fast", "allow": ["naive", "arx"]},
        "engine": {"workers": 1},
    }
    return train(times(frame), ForecastSpec.from_dict(config), run_dir=folder / "run").directory


def as_dates(frame):
    return frame.assign(**{"Week Of": frame["Week Of"].dt.date})


def as_integers(frame):
    week = (frame["date"] - frame["date"].min()).dt.days // 7
    return frame.assign(date=week.astype(np.int64))


def in_berlin(frame):
    return frame.assign(date=frame["date"].dt.tz_localize("Europe/Berlin"))


@pytest.fixture(scope="module")
def cases(registered, tmp_path_factory):
    """The folder with cases.json, and the cases."""
    folder = tmp_path_factory.mktemp("spark")
    plan, frame = registered.plan, registered.frame.drop(columns=["stock_out", "closed"])
    odd = odd_names(frame)
    siblings = {"by": [ODD[0]], "columns": [ODD[3]]}
    roles = {"time": ODD[2], "series": ODD[:2], "known": [ODD[3]], "context": siblings}
    odd_run = other_run(odd, folder / "odd", as_dates, **roles, frequency="W-MON")
    common = {"time": "date", "series": ["store", "item"]}
    integer_run = other_run(frame, folder / "integer", as_integers, **common, frequency="W")
    zoned_run = other_run(frame, folder / "zoned", in_berlin, **common)
    last = frame.loc[frame["sales"].notna(), "date"].max()
    newer = frame[frame["date"] > last].assign(sales=50.0)
    strangers = plan.head(2).assign(store=999)
    asked = pd.concat([plan, strangers]).sample(frac=1.0, random_state=1)
    cases = {}

    def add(name, run, future=None, history=None, where=None, horizon=None, cast=None):
        paths = {}
        for part, table in (("future", future), ("history", history)):
            paths[part] = None if table is None else str(folder / f"{name}-{part}.parquet")
            if table is not None:
                table.to_parquet(paths[part], index=False)
        case = {"run": str(run), "where": where, "horizon": horizon, "cast": cast or {}, **paths}
        cases[name] = case

    add("future", registered.run, future=asked)
    add("instants", registered.run, future=asked, cast={"date": "timestamp", "store": "int"})
    add("history", registered.run, history=newer.head(3), horizon=2)
    add("both", registered.run, future=plan[plan["date"] > last + pd.Timedelta(7, "D")], history=newer)
    add("where", registered.run, future=plan, where={"store": 2})
    add("odd", odd_run, future=as_dates(odd_names(plan)))
    item = str(plan["item"].iloc[0])
    add("one_of_siblings", odd_run, future=as_dates(odd_names(plan)), where={ODD[1]: item})
    add("integer", integer_run, future=as_integers(frame)[frame["date"] > last].drop(columns="sales"))
    add("zoned", zoned_run, future=in_berlin(plan))
    add("zoned_clock", zoned_run, future=plan)
    (folder / "cases.json").write_text(json.dumps(cases))
    plan.to_parquet(folder / "plan.parquet", index=False)
    given = {
        "tracking_uri": registered.tracking_uri,
        "uri": registered.uri,
        "plan": str(folder / "plan.parquet"),
    }
    (folder / "udf.json").write_text(json.dumps(given))
    return folder, cases


_told = {}


@pytest.fixture(params=["classic", "connect"])
def told(request, cases, needs_spark, finished):
    """(kind of session, what it told), each kind asked once."""
    kind = request.param
    if kind not in _told:
        folder, _ = cases
        done = finished([sys.executable, HERE / "spark_host.py", kind, folder], folder)
        assert done.returncode == 0, done.stderr[-5000:]
        _told[kind] = json.loads((folder / kind / "told.json").read_text())
    return kind, _told[kind]


on_classic = pytest.mark.parametrize("told", ["classic"], indirect=True)


def in_order(frame):
    names = list(frame.columns)
    return frame.sort_values([*names[:2], names[3]], ignore_index=True)


def wanted(case):
    parts = {
        part: None if case[part] is None else pd.read_parquet(case[part]) for part in ("history", "future")
    }
    frames = {part: None if table is None else Rows(table) for part, table in parts.items()}
    return open_models(case["run"]).forecast(**frames, where=case["where"], horizon=case["horizon"])


@pytest.mark.parametrize("name", ["future", "both", "odd"])
def test_spark_answers_as_pandas_does(told, cases, name):
    check_case(told[0], *cases, name)


@on_classic
@pytest.mark.parametrize("name", ["history", "where", "one_of_siblings", "integer", "zoned"])
def test_other_questions_are_answered_as_pandas_does(told, cases, name):
    check_case(told[0], *cases, name)


def check_case(kind, folder, all_cases, name):
    got = pd.read_parquet(folder / kind / f"{name}.parquet")
    want = wanted(all_cases[name])
    for stamp in (got.columns[2], got.columns[3]):
        if isinstance(want[stamp].dtype, pd.DatetimeTZDtype):  # one instant, whatever zone shows it
            got[stamp] = got[stamp].dt.tz_convert(want[stamp].dt.tz)
    assert len(got)
    pd.testing.assert_frame_equal(in_order(got), in_order(want), check_dtype=False)


def test_the_session_was_the_one_it_is_called(told):
    kind, seen = told
    assert (".connect." in seen["session"]) == (kind == "connect")


def test_unknown_keys_have_rows_that_say_so(told, cases):
    kind, _ = told
    folder, _ = cases
    got = pd.read_parquet(folder / kind / "future.parquet").query("store == 999")
    assert got["reason"].tolist() == ["UNKNOWN_KEY"] * 2
    assert got["mean"].isna().all()


@on_classic
def test_the_time_column_keeps_its_type(told):
    _, seen = told
    kinds = {name: seen[name]["date"] for name in ("future", "instants", "integer", "zoned", "zoned_clock")}
    assert kinds == {
        "future": "timestamp_ntz",
        "instants": "timestamp",
        "integer": "long",
        "zoned": "timestamp",
        "zoned_clock": "timestamp_ntz",
    }
    assert seen["odd"]["Week Of"] == "date"


@on_classic
def test_instants_are_read_on_the_clock_of_the_session(told, cases):
    """A model without a zone, asked with TIMESTAMP: midnight in New York is the model's midnight."""
    kind, _ = told
    folder, _ = cases
    got = pd.read_parquet(folder / kind / "instants.parquet")
    want = pd.read_parquet(folder / kind / "future.parquet")
    shown = got.assign(
        **{
            name: got[name].dt.tz_convert("America/New_York").dt.tz_localize(None)
            for name in ("cutoff", "date")
        }
    )
    pd.testing.assert_frame_equal(in_order(shown), in_order(want), check_dtype=False)


@on_classic
def test_clock_times_are_read_in_the_zone_of_the_models(told, cases):
    kind, _ = told
    folder, _ = cases
    clock = pd.read_parquet(folder / kind / "zoned_clock.parquet")
    instants = pd.read_parquet(folder / kind / "zoned.parquet")
    assert np.isfinite(clock["mean"]).all()
    np.testing.assert_array_equal(in_order(clock)["mean"], in_order(instants)["mean"])


def test_nothing_is_read_before_the_answer_is(told):
    _, seen = told
    assert seen["lazy"] == {"read": True}


def test_a_forecaster_takes_spark_rows_without_keys(told):
    _, seen = told
    assert seen["one"] == 4


def test_wrong_tables_are_refused_before_spark_reads_a_row(told):
    _, seen = told
    said = seen["refused"]
    assert said["no time"].startswith("date: found no such column")
    assert said["no target"].startswith("sales: found no such column")
    assert said["horizon"].startswith("horizon: found 0")
    assert "shop" in said["where"]
    assert "Spark data frame" in said["mixed"]


@on_classic
def test_a_spark_udf_gives_the_same_numbers(told, cases, registered):
    _, seen = told
    want = open_models(registered.run).forecast(future=registered.plan)
    rows = {(row[0], row[1], row[2][:10]): row[3:] for row in seen["udf"]}
    assert len(rows) == len(want)
    for row in want.to_dict("records"):
        got = rows[row["store"], row["item"], str(row["date"])[:10]]
        assert got == [row["mean"], row["q0.5"], row["status"]]
