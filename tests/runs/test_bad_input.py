"""Bad input: a clear error that helps, or a finding on the series that has the trouble, and nothing lost."""

from __future__ import annotations

import json
import shutil
import time
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from many_models import ForecastSpec, check_source, open_models, open_run, train
from many_models.errors import DamagedError, DataError, InputError, LookupFailed, SpecError
from many_models.runs.bundling import bundle_of_run
from many_models.runs.directory import RunDirectory

DAYS, HORIZON = 70, 4


def spec_of(learners=("naive",), horizon=HORIZON, **data):
    """A configuration of few learners on one worker; `data` replaces settings of that section."""
    return ForecastSpec.from_dict(
        {
            "name": "bad",
            "data": {"time": "day", "target": "sold", "series": ["key"], **data},
            "forecast": {"horizon": horizon},
            "learners": {"preset": "fast", "allow": list(learners)},
            "engine": {"workers": 1},
        }
    )


def series(key, y=None, start="2023-01-02", freq="D", seed=1, **columns):
    """A daily series with a level, noise and a price that matters, and the prices of the next days."""
    rng = np.random.default_rng(seed)
    length = DAYS if y is None else len(y)
    price = np.where(rng.random(length + HORIZON) < 0.5, 2.0, 3.0)
    if y is None:
        y = np.round(90 - 20 * price[:length] + rng.normal(0, 1, length), 3)
    days = pd.date_range(start, periods=length + HORIZON, freq=freq)
    sold = np.append(np.asarray(y, dtype=float), np.full(HORIZON, np.nan))
    return pd.DataFrame({"key": key, "day": days, "sold": sold, "price": price, **columns})


def history(frame):
    """The rows that have a target."""
    return frame[frame["sold"].notna()]


def with_values(key, places, value):
    """A series that has this value at some places."""
    frame = series(key)
    frame.loc[places, "sold"] = value
    return frame


LONG = "x" * 1000
ODD_KEYS = [
    "with space", " lead", "a/b", "../up", 'quote"', "it's", "back\\slash", "emoji 🍊", "line\nbreak", LONG,
    "007", "7", "NA", "null", "None", "", "a=b", "Case", "case", "[1]", "%2F", "`tick`", "ünïcode",
]  # fmt: skip


def trouble_frame():
    """Many series, most of them in trouble, in one table that is not sorted."""
    partly = series("future partly missing")
    partly.loc[partly.index[-2:], "price"] = np.nan
    duplicates = series("equal duplicates")
    conflicting = series("conflicting duplicates")
    holes = series("holes").drop(index=[20, 21, 40])
    parts = [
        series("plain"),
        series("all NaN", np.full(DAYS, np.nan)),
        series("constant", np.full(DAYS, 5.0)),
        series("all zero", np.zeros(DAYS)),
        with_values("some infinite", [10, 20], [np.inf, -np.inf]),
        series("all infinite", np.full(DAYS, np.inf)),
        with_values("some huge", [10, 20], [1e300, -1e300]),
        series("all huge", np.full(DAYS, 1e300)),
        series("large", np.linspace(1, 2, DAYS) * 1e140),
        series("tiny", np.linspace(1, 2, DAYS) * 1e-300),
        history(series("one row", [7.0])),
        history(series("two rows", [7.0, 8.0])),
        pd.concat([duplicates, duplicates.iloc[[3, 4]]]),
        pd.concat([conflicting, conflicting.iloc[[3]].assign(sold=1.0)]),
        series("unsorted").sample(frac=1, random_state=2),
        holes,
        series("weekly", freq="W-MON"),
        series("monthly", freq="MS"),
        history(series("future missing")),
        partly,
        *(series(key, np.arange(30) % 7 + 3.0, seed=3) for key in ODD_KEYS),
    ]
    return pd.concat(parts).sample(frac=1, random_state=4, ignore_index=True)


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """The run over all of them."""
    spec = spec_of(["naive", "theta", "elastic_net"], known=["price"])
    return train(trouble_frame(), spec, run_dir=tmp_path_factory.mktemp("bad") / "run")


def codes(run, key):
    """Finding code -> count of one series."""
    found = run.findings(key=key)
    return dict(zip(found["code"], found["count"], strict=True))


# -- one series' trouble is that series' row ------------------------------------------


def test_every_series_in_trouble_has_one_row_and_none_failed(troubled):
    results = troubled.results()
    assert sorted(results["key"]) == sorted(trouble_frame()["key"].unique())
    assert troubled.summary["series"] == len(results) == sum(troubled.summary["outcomes"].values())
    assert set(results["status"]) == {"TRAINED", "FALLBACK", "SKIPPED"}
    assert results.loc[results["status"] != "TRAINED", "reason"].notna().all()
    assert not troubled.summary["too_many_failed"]


def test_every_series_with_an_observation_has_a_finite_forecast(troubled):
    served = troubled.results().query("status != 'SKIPPED'")["key"]
    forecasts = troubled.forecasts()
    assert sorted(forecasts["key"].unique()) == sorted(served)
    assert (forecasts.groupby("key").size() == HORIZON).all()
    numbers = forecasts[["mean", "q0.1", "q0.5", "q0.9"]].to_numpy()
    assert np.isfinite(numbers).all()
    assert all((forecasts[low] <= forecasts[high]).all() for low, high in pairwise(["q0.1", "q0.5", "q0.9"]))


@pytest.mark.parametrize("key", ["all NaN", "all infinite", "all huge"])
def test_a_series_without_a_usable_value_is_skipped_and_says_so(troubled, key):
    row = troubled.results().set_index("key").loc[key]
    assert (row["status"], row["reason"]) == ("SKIPPED", "NO_OBSERVATIONS")
    assert "NO_OBSERVATIONS" in codes(troubled, key)


@pytest.mark.parametrize(
    ("key", "code", "count"),
    [
        ("constant", "CONSTANT", DAYS),
        ("all zero", "ALL_ZERO", DAYS),
        ("some infinite", "NOT_FINITE_TARGET", 2),
        ("some huge", "NOT_FINITE_TARGET", 2),
        ("one row", "FREQUENCY_FROM_PANEL", 1),
        ("two rows", "FREQUENCY_FROM_PANEL", 2),
        ("equal duplicates", "DUPLICATES_DROPPED", 2),
        ("conflicting duplicates", "DUPLICATES_CONFLICTING", 1),
        ("holes", "GAPS_FILLED", 3),
        ("weekly", "FREQUENCY_DIFFERS", DAYS + HORIZON),
        ("monthly", "FREQUENCY_DIFFERS", DAYS + HORIZON),
    ],
)
def test_trouble_is_a_finding_with_a_count(troubled, key, code, count):
    assert codes(troubled, key).get(code) == count


@pytest.mark.parametrize("key", ["one row", "two rows"])
def test_a_short_series_falls_back_and_says_so(troubled, key):
    row = troubled.results().set_index("key").loc[key]
    assert (row["status"], row["reason"]) == ("FALLBACK", "TOO_SHORT")
    forecast = troubled.forecasts(key=key)
    last = {"one row": 7.0, "two rows": 8.0}[key]
    assert forecast["q0.5"].tolist() == [last] * HORIZON
    assert forecast["day"].iloc[0] == {"one row": pd.Timestamp("2023-01-03")}.get(
        key, pd.Timestamp("2023-01-04")
    )


@pytest.mark.parametrize(("key", "value"), [("constant", 5.0), ("all zero", 0.0)])
def test_a_series_that_never_moves_goes_on_like_that(troubled, key, value):
    assert troubled.results().set_index("key").loc[key, "status"] in ("TRAINED", "FALLBACK")
    assert troubled.forecasts(key=key)["mean"].tolist() == pytest.approx([value] * HORIZON, abs=1e-9)


def test_the_order_of_rows_changes_nothing(troubled):
    columns = ["day", "mean", "q0.1", "q0.5", "q0.9"]
    plain, unsorted = troubled.results().set_index("key").loc[["plain", "unsorted"]].itertuples()
    assert plain.n_obs == unsorted.n_obs == DAYS
    assert plain.trained_until == unsorted.trained_until
    means = [troubled.forecasts(key=key)[columns[1]].to_numpy() for key in ("plain", "unsorted")]
    np.testing.assert_allclose(*means, rtol=1e-9)


def test_series_of_other_frequencies_are_forecast_on_their_own(troubled):
    weekly, monthly = (troubled.forecasts(key=key)["day"] for key in ("weekly", "monthly"))
    assert weekly.diff().dropna().unique() == [pd.Timedelta(days=7)]
    assert (monthly.dt.day == 1).all()


def test_missing_future_covariates_are_answered_by_the_stand_by(troubled):
    models = troubled.models()
    for key in ("plain", "future missing", "future partly missing"):
        # the price explains nearly everything, so that the winner has to use it
        assert models.load(models.find(key=key).record["content_id"]).uses_known
    reason = "FUTURE_COVARIATES_MISSING"
    statuses = {
        key: troubled.forecasts(key=key)[["status", "reason"]].to_numpy().tolist()
        for key in ("plain", "future missing", "future partly missing")
    }
    assert statuses["plain"] == [["TRAINED", None]] * HORIZON
    assert statuses["future missing"] == [["FALLBACK", reason]] * HORIZON
    assert statuses["future partly missing"] == [["TRAINED", None]] * 2 + [["FALLBACK", reason]] * 2
    assert codes(troubled, "future missing")[reason] == HORIZON
    assert codes(troubled, "future partly missing")[reason] == 2


@pytest.mark.parametrize("store", ["run", "bundle"])
def test_odd_keys_are_just_characters(troubled, tmp_path, store):
    models = troubled.models()
    if store == "bundle":
        bundle_of_run(RunDirectory(troubled.directory), tmp_path / "bundle")
        models = open_models(tmp_path / "bundle")
    trained = troubled.forecasts()
    for key in ODD_KEYS:
        found = models.find(key=key)
        assert found.record["key"] == key
        assert found.forecast()["key"].unique().tolist() == [key]
        future = trained.loc[trained["key"] == key, ["key", "day"]]
        assert found.forecast(future=future)["mean"].notna().all()
    with pytest.raises(LookupFailed):
        models.find(key="CASE")


def test_a_run_of_troubles_can_be_read_by_a_person(troubled, tmp_path):
    page = troubled.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "NO_OBSERVATIONS" in page
    assert len(troubled.leaderboard()) > 1
    assert open_run(troubled.directory).summary["outcomes"]["SKIPPED"] == 3


# -- tables that are written in their own way ----------------------------------------


def numbered(run):
    """What a run forecast, without names and stamps."""
    return run.forecasts()[["step", "mean", "q0.1", "q0.5", "q0.9"]].to_numpy()


FORMS = {
    "ISO text": (lambda day: day.dt.strftime("%Y-%m-%d"), "2023-03-13"),
    "month/day/year text": (lambda day: day.dt.strftime("%-m/%-d/%Y"), "2023-03-13"),
    "date numbers": (lambda day: day.dt.strftime("%Y%m%d").astype("int64"), "2023-03-13"),
    "dates": (lambda day: day.dt.date, "2023-03-13"),
    "nanoseconds": (lambda day: day.astype("datetime64[ns]"), "2023-03-13"),
    "with a zone": (lambda day: day.dt.tz_localize("Europe/Berlin"), "2023-03-13 00:00:00+01:00"),
    "an index, one step a day": (lambda day: (day - day.min()).dt.days + 1, "71"),
}


@pytest.fixture(scope="module")
def as_stamps(tmp_path_factory):
    """The forecasts of a clean series with ordinary stamps."""
    frame = history(series("a"))
    return numbered(train(frame, spec_of(["naive"]), run_dir=tmp_path_factory.mktemp("stamps") / "run"))


@pytest.mark.parametrize("form", FORMS)
def test_time_may_be_written_in_any_way(form, as_stamps, tmp_path):
    write, first = FORMS[form]
    frame = history(series("a"))
    table = tmp_path / "table.parquet"
    frame.assign(day=write(frame["day"])).to_parquet(table)
    if form == "nanoseconds":
        assert str(pq.read_schema(table).field("day").type) == "timestamp[ns]"
    data = {"frequency": "D"} if "index" in form else {}
    run = train(None, spec_of(["naive"], path=str(table), **data), run_dir=tmp_path / "run")
    np.testing.assert_array_equal(numbered(run), as_stamps)
    assert str(run.forecasts()["day"].iloc[0]).removesuffix(" 00:00:00") == first
    told = run.findings().query("state != 'passed'")["code"].tolist()
    assert told in ([], ["PERFECT_FORESIGHT"])


def test_csv_keys_stay_what_they_are(tmp_path):
    keys = ["007", "NA", "12", "null"]
    table = tmp_path / "table.csv"
    pd.concat(history(series(key)) for key in keys).to_csv(table, index=False)
    run = train(None, spec_of(path=str(table)), run_dir=tmp_path / "run")
    assert sorted(run.results()["key"]) == sorted(keys)
    for key in keys:
        assert run.models().find(key=key).record["status"] == "TRAINED"
    with pytest.raises(LookupFailed, match="'007'"):
        run.models().find(key="07")


ODD_NAMES = {
    "dots and spaces": ("sku id", "when.at", "units sold.net", "price (€), net"),
    "our own words": ("y", "ds", "status", "step"),
    "canonical names": ("t", "k0", "x0", "y"),
    "only case apart": ("Key", "Day", "day", "key"),
    "backticks": ("`a`", "b`c", "d'e", 'f"g'),
}


@pytest.mark.parametrize("names", ODD_NAMES)
def test_columns_may_have_any_name(names, tmp_path):
    key, day, target, price = ODD_NAMES[names]
    frame = series("a").rename(columns={"key": key, "day": day, "sold": target, "price": price})
    spec = spec_of(["naive", "elastic_net"], time=day, target=target, series=[key], known=[price])
    run = train(frame, spec, run_dir=tmp_path / "run")
    assert run.summary["outcomes"] == {"TRAINED": 1}
    assert list(run.forecasts().columns[:4]) == [key, "cutoff", day, "step"]
    models = open_models(run.directory)
    answer = models.find({key: "a"}).forecast(future=frame.tail(HORIZON)[[day, price]])
    np.testing.assert_array_equal(answer["mean"], run.forecasts()["mean"])
    assert "</html>" in run.report(tmp_path / "report.html").read_text(encoding="utf-8")


def test_incomplete_first_and_last_periods_are_left_out_and_counted(tmp_path):
    # a Wednesday to a Tuesday: the weeks at both ends are not whole
    frame = pd.DataFrame({"key": "a", "day": pd.date_range("2023-01-04", "2023-12-05"), "sold": 1.0})
    run = train(frame, spec_of(frequency="W-SUN"), run_dir=tmp_path / "run")
    found = codes(run, "a")
    assert found["AGGREGATED"] == len(frame)
    assert found["INCOMPLETE_PERIOD_DROPPED"] == 2
    assert run.forecasts()["mean"].tolist() == pytest.approx([7.0] * HORIZON)


@pytest.mark.parametrize("stamps", ["aware", "naive"])
def test_hours_over_both_changes_of_the_clock(stamps, tmp_path, monkeypatch, fresh_children):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        hours = pd.date_range("2023-03-01", "2023-11-15", freq="h", tz="America/New_York")
        frame = pd.DataFrame({"key": "a", "day": hours, "sold": 10.0 + hours.hour})
        if stamps == "naive":
            frame["day"] = frame["day"].dt.tz_localize(None)
        spec = spec_of(["seasonal_naive"], horizon=24, timezone="America/New_York")
        run = train(frame, spec, run_dir=tmp_path / "run")
    finally:
        monkeypatch.undo()
        time.tzset()
    found = codes(run, "a")
    assert not {"GAPS_FILLED", "OFF_GRID_ROWS", "DUPLICATES_CONFLICTING", "DST_SKIPPED_HOUR"} & set(found)
    assert found.get("DST_DUPLICATE", 0) == (1 if stamps == "naive" else 0)
    assert run.results()["n_obs"].item() == len(frame)
    forecast = run.forecasts()
    shown = forecast["day"] if stamps == "naive" else forecast["day"].dt.tz_convert("America/New_York")
    assert shown.iloc[0].strftime("%Y-%m-%d %H:%M") == "2023-11-15 01:00"
    assert forecast["q0.5"].to_numpy() == pytest.approx(10.0 + shown.dt.hour.to_numpy())


def test_a_table_without_key_columns_is_one_series(tmp_path):
    frame = series("a").drop(columns="key")
    spec = spec_of(["naive", "elastic_net"], series=[], known=["price"])
    run = train(frame, spec, run_dir=tmp_path / "run")
    assert run.summary["series"] == len(run.results()) == 1
    assert next(iter(run.forecasts().columns)) == "cutoff"
    assert run.leaderboard()["candidate"].tolist()
    assert run.plot().axes
    bundle_of_run(RunDirectory(run.directory), tmp_path / "bundle")
    for models in (run.models(), open_models(tmp_path / "bundle")):
        assert len(models) == len(models.keys()) == 1
        assert models.find().record["status"] == "TRAINED"
        answer = models.forecast(future=frame.tail(HORIZON)[["day", "price"]])
        np.testing.assert_array_equal(answer["mean"], run.forecasts()["mean"])
        newer = frame.tail(HORIZON).head(1).assign(sold=40.0)
        assert models.find().forecast(history=newer, horizon=1)["cutoff"].item() == newer["day"].item()
        with pytest.raises(LookupFailed, match="no key columns"):
            models.find(key="a")


# -- the user's mistakes --------------------------------------------------------------


def clean():
    """A small table without trouble."""
    return history(series("a"))


MISTAKES = {
    "no rows": (lambda: clean().head(0), {}, "no rows"),
    "missing column": (lambda: clean().rename(columns={"sold": "sodl"}), {}, "did you mean 'sodl'"),
    "missing covariate": (clean, {"known": ["prices"]}, "did you mean 'price'"),
    "text in the target": (
        lambda: clean().assign(sold=lambda f: f["sold"].astype(object).where(f.index != 3, "n/a?")),
        {},
        "'n/a[?]'",
    ),
    "stamps in the target": (lambda: clean().assign(sold=lambda f: f["day"]), {}, "timestamp"),
    "null in a key": (
        lambda: clean().assign(key=lambda f: f["key"].where(f.index != 3)),
        {},
        "key: found 1 empty values in a key column",
    ),
    "integer 12 and text 12 in a key": (
        lambda: pd.concat([clean().assign(key=12), clean().assign(key="12")]),
        {},
        "mixed types in a key column: integer [(]12[)] and text [(]'12'[)]",
    ),
    "fractions in a key": (lambda: clean().assign(key=1.5), {}, "no whole"),
    "stamps in a key": (lambda: clean().assign(key=lambda f: f["day"]), {}, "timestamp values in a key"),
    "a time is missing": (
        lambda: clean().assign(day=lambda f: f["day"].where(f.index != 3)),
        {},
        "1 rows without a time",
    ),
    "no time at all": (lambda: clean().assign(day=pd.NaT), {}, "no time at all"),
    "times that cannot be read": (lambda: clean().assign(day="yesterday"), {}, "'yesterday'"),
    "times in two forms": (
        lambda: clean().assign(
            day=lambda f: f["day"].dt.strftime("%Y-%m-%d").where(f.index != 3, "5. Jan 2023")
        ),
        {},
        "5. Jan 2023",
    ),
    "a key named like ours": (
        lambda: clean().rename(columns={"key": "Step"}),
        {"series": ["Step"]},
        "Step_key",
    ),
    "a time named like ours": (
        lambda: clean().rename(columns={"day": "status"}),
        {"time": "status"},
        "status",
    ),
    "a key named like a quantile": (
        lambda: clean().rename(columns={"key": "q0.5"}),
        {"series": ["q0.5"]},
        "q0.5",
    ),
    "keys that differ only in case": (
        lambda: clean().assign(KEY="b"),
        {"series": ["key", "KEY"]},
        "only in case",
    ),
    "two columns of one name": (
        lambda: pd.concat([clean(), clean()[["sold"]]], axis=1),
        {},
        "2 columns of this name",
    ),
    "steps for dates": (clean, {"frequency": "1"}, "data.frequency"),
    "a wrong frequency": (clean, {"frequency": "W-THURSDAY"}, "W-MON"),
    "a mask that is no flag": (
        lambda: clean().assign(out="maybe"),
        {"mask": "out"},
        "neither true nor false",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("command", [train, check_source])
def test_a_mistake_in_the_table_is_told_before_anything_is_trained(mistake, command, tmp_path):
    make, data, words = MISTAKES[mistake]
    frame, spec = make(), spec_of(**data)
    options = {"run_dir": tmp_path / "run"} if command is train else {}
    with pytest.raises(InputError, match=words) as caught:
        command(frame, spec, **options)
    assert caught.value.exit_code == 2
    for problem in caught.value.problems:
        assert problem.where
        assert problem.found
        assert problem.allowed
        assert problem.action
    assert not (tmp_path / "run").exists()


def test_all_mistakes_of_a_table_are_told_at_once():
    frame = clean().assign(key=None, sold="x").drop(columns="day")
    with pytest.raises(DataError) as caught:
        check_source(frame, spec_of(known=["pirce"]))
    assert {problem.where for problem in caught.value.problems} == {"key", "sold", "day", "pirce"}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", "", "empty|no such column"),
        ("header.csv", "key,day,sold\n", "no rows"),
        ("binary.csv", b"\xff\xfe\x00key,day,sold\n", "UTF-8|cannot be read"),
        (
            "ragged.csv",
            "key,day,sold\na,2023-01-01,1,9,9\nb,2023-01-02\n",
            "Expected 3 columns, got 5",
        ),
        ("short.csv", "key,day,sold\na,2023-01-01\n", "Expected 3 columns, got 2"),
        ("comma.csv", "key,day,sold\na,2023-01-01,1,5\n", "Expected 3 columns, got 4"),
        ("text.parquet", "key,day,sold\n", "cannot be read as parquet"),
        ("table.xlsx", "PK", "unknown kind"),
        ("nokey.csv", "key,day,sold\n,2023-01-01,1\n", "1 empty values in a key"),
        ("thousands.csv", 'key,day,sold\na,2023-01-01,"1,000"\n', "'1,000'"),
    ],
)
def test_a_file_that_is_no_table_is_told(name, content, words, tmp_path):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=words) as caught:
        train(None, spec_of(path=str(path)), run_dir=tmp_path / "run")
    assert caught.value.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_a_file_that_is_not_there_names_what_is(tmp_path):
    clean().to_parquet(tmp_path / "sales.parquet")
    with pytest.raises(DataError, match=r"did you mean 'sales.parquet'"):
        train(None, spec_of(path=str(tmp_path / "sale.parquet")), run_dir=tmp_path / "run")


def test_files_of_one_folder_that_disagree_are_told(tmp_path):
    folder = tmp_path / "sales"
    folder.mkdir()
    clean().assign(key=12).to_parquet(folder / "a.parquet")
    clean().assign(key="12").drop(columns="sold").to_parquet(folder / "b.parquet")
    with pytest.raises(DataError, match=r"string in .*b\.parquet, number in .*a\.parquet") as caught:
        train(None, spec_of(path=str(folder)), run_dir=tmp_path / "run")
    assert "no column 'sold'" in str(caught.value)


def test_an_address_that_nothing_opens_is_told(tmp_path):
    with pytest.raises(DataError, match="Protocol not known") as caught:
        train(None, spec_of(path="nowhere://sales.parquet"), run_dir=tmp_path / "run")
    assert caught.value.problems[0].where == "nowhere://sales.parquet"


@pytest.mark.parametrize("cutoff", ["yesterday", "31.12.2022", "2023-02-30", ""])
def test_a_cutoff_that_is_no_time_is_told(cutoff, tmp_path):
    with pytest.raises(DataError, match="such as 2024-01-31") as caught:
        train(clean(), spec_of(), run_dir=tmp_path / "run", cutoff=cutoff)
    assert caught.value.problems[0].where == "cutoff"


def test_an_empty_parquet_table_has_no_rows(tmp_path):
    schema = pa.schema([("key", pa.string()), ("day", pa.timestamp("us")), ("sold", pa.float64())])
    pq.write_table(schema.empty_table(), tmp_path / "none.parquet")
    with pytest.raises(DataError, match="no rows"):
        train(None, spec_of(path=str(tmp_path / "none.parquet")), run_dir=tmp_path / "run")


def test_a_misspelt_setting_names_the_nearest(tmp_path):
    text = "name: a\ndata: {time: day, traget: sold, series: [key]}\nforecast: {horizn: 3}\n"
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        ForecastSpec.from_yaml(tmp_path / "a.yaml")
    advice = {problem.where.split(": ")[-1]: problem.action for problem in caught.value.problems}
    assert "data.target" in advice["data.traget"]
    assert "forecast.horizon" in advice["forecast.horizn"]
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("part", ["results", "models", "summary.json", "layout.json"])
def test_a_run_directory_that_is_damaged_is_told(troubled, part, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(troubled.directory, copy)
    file = max((copy / part).glob("part-*.parquet")) if (copy / part).is_dir() else copy / part
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(DamagedError, match=file.name):
        open_models(copy)


@pytest.mark.parametrize("content", ["{}", "[]", '{"run_id": 7}'])
def test_a_summary_that_does_not_say_its_run_is_damage(troubled, content, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(troubled.directory, copy)
    (copy / "summary.json").write_text(content)
    with pytest.raises(
        DamagedError, match=r"summary\.json is not what was written: it does not say its run_id"
    ):
        open_models(copy)


@pytest.mark.parametrize("name", [0, {"$f": "nan"}, "kye"])
def test_a_layout_that_names_another_key_is_refused(troubled, name, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(troubled.directory, copy)
    layout = json.loads((copy / "layout.json").read_text())
    layout["keys"][0]["name"] = name
    (copy / "layout.json").write_text(json.dumps(layout))
    with pytest.raises(
        (DamagedError, DataError), match=r"lacks 'kye', a key|the name of a column is no text"
    ):
        open_run(copy).results()


def test_a_series_that_only_lacks_a_future_column_is_no_mistake(troubled):
    rows = history(series("plain"))[["key"]].head(1).assign(day=pd.Timestamp("2023-03-13"))
    answer = troubled.models().forecast(future=rows)
    assert answer[["status", "reason"]].to_numpy().tolist() == [["FALLBACK", "FUTURE_COVARIATES_MISSING"]]
    assert answer["mean"].notna().all()


def test_keys_in_the_index_are_told_from_columns_that_are_missing(tmp_path):
    days = pd.date_range("2024-01-01", periods=10, freq="D")
    frame = pd.DataFrame({"key": "a", "day": days, "sold": 1.0}).set_index(["key", "day"])
    with pytest.raises(DataError, match=r"key: found in the index.*reset_index(.|\n)*day: found in"):
        train(frame, spec_of(), run_dir=tmp_path / "run")
