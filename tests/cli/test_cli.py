"""The commands as a user types them: what they print where, the code they end with, what they leave."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from many_models.cli.main import app, guarded

CONFIG = """\
name: shops
data:
  path: shops.csv
  time: week
  target: sold
  series: [shop, item]
  known: [price]
forecast: {horizon: 4}
learners: {preset: fast, allow: [naive, theta, elastic_net]}
engine: {workers: 2}
"""


@dataclass(frozen=True)
class Told:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def records(self):
        """The JSON objects on stdout, one per line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def last(self):
        """The last line of stdout."""
        return self.out.splitlines()[-1]


def shops(seed=5):
    """Two shops with two items, a hundred weeks, price known ahead."""
    rng = np.random.default_rng(seed)
    weeks = pd.date_range("2021-01-07", periods=100, freq="W-THU")
    parts = []
    for shop in (2, 10):
        for item in ("tropicana", "a b/ü"):
            price = np.where(rng.random(100) < 0.3, 2.0, 3.0)
            sold = np.round(60 * np.exp(-0.4 * price) * rng.lognormal(0, 0.1, 100) + 20, 1)
            parts.append(
                pd.DataFrame({"shop": shop, "item": item, "week": weeks, "sold": sold, "price": price})
            )
    return pd.concat(parts, ignore_index=True)


def plan(frame, weeks=4):
    """The rows of the next weeks: keys, times and prices."""
    last = frame["week"].max()
    keys = frame[["shop", "item"]].drop_duplicates()
    ahead = pd.DataFrame({"week": [last + pd.Timedelta(weeks=w) for w in range(1, weeks + 1)], "price": 2.5})
    return keys.merge(ahead, how="cross")


def say(capsys, *arguments):
    """What the command says, run in this process."""
    capsys.readouterr()
    code = guarded(lambda: app([str(a) for a in arguments], standalone_mode=False))
    out, err = capsys.readouterr()
    return Told(code, out, err)


def start(*arguments, **options):
    """The command as a process of its own, which hears Ctrl-C even where the tests run in the background."""
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "from many_models.cli.main import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", **options
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with a configuration, its table, the plan of the next weeks, and a trained, registered run."""
    folder = tmp_path_factory.mktemp("shops")
    frame = shops()
    (folder / "shops.yaml").write_text(CONFIG)
    frame.to_csv(folder / "shops.csv", index=False)
    plan(frame).sample(frac=1, random_state=1).to_csv(folder / "plan.csv", index=False)
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    """That folder as the current one, with no registry in the environment."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return folder


@pytest.fixture(scope="session")
def trained(folder):
    """What `train --register` said; the run lies in `first`, version 1 is registered as `shops`."""
    before = Path.cwd()
    uri = os.environ.pop("MLFLOW_TRACKING_URI", None)
    os.chdir(folder)
    try:
        process = start("train", "shops.yaml", "--run-dir", "first", "--register", "shops")
        out, err = process.communicate(timeout=200)
        return Told(process.returncode, out, err)
    finally:
        os.chdir(before)
        if uri is not None:
            os.environ["MLFLOW_TRACKING_URI"] = uri


@pytest.fixture
def run(here, capsys):
    """A function that runs a command in this process, in the folder."""
    return lambda *arguments: say(capsys, *arguments)


def config(here, name, *changes):
    """Another configuration beside the first, with texts replaced."""
    text = CONFIG
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (here / name).write_text(text)
    return name


def closed_port():
    """An address that refuses connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


# -- help and misuse ---------------------------------------------------------------


def test_help_imports_nothing_heavy():
    heavy = (
        "pyspark mlflow torch prophet statsforecast statsmodels sklearn lightgbm matplotlib pandas pyarrow"
    )
    program = f"""
import sys
from many_models.cli.main import app, guarded
code = guarded(lambda: app(["--help"], standalone_mode=False))
loaded = [name for name in {heavy.split()!r} if name in sys.modules]
sys.exit(f"loaded {{loaded}}" if loaded else code)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("check", "train", "forecast", "find", "register", "versions", "promote", "report"):
        assert command in done.stdout


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "train"),
        (["trian"], "trian"),
        (["train"], "config"),
        (["train", "shops.yaml", "--limit", "many"], "--limit"),
        (["train", "shops.yaml", "--speed", "3"], "--speed"),
        (["forecast", "first"], "--out"),
    ],
)
def test_misuse_of_the_command_line_ends_with_2(run, arguments, word):
    told = run(*arguments)
    assert told.code == 2
    assert told.out == ""
    assert word.lower() in told.err.lower()


# -- check -------------------------------------------------------------------------


def test_check_prints_the_table_and_trains_nothing(run, here):
    before = set(here.iterdir())
    told = run("check", "shops.yaml")
    assert told.code == 0
    assert told.out.startswith("4 series in 4 groups, 400 rows, frequency W-THU")
    assert "nothing" in told.last
    assert told.err == ""
    assert set(here.iterdir()) == before


def test_check_tells_findings_as_json(run, here):
    frame = pd.read_csv(here / "shops.csv")
    frame.loc[frame.index[5], "sold"] = np.nan
    pd.concat([frame, frame.tail(1)]).to_csv(here / "odd.csv", index=False)
    told = run("check", "shops.yaml", "--data", "odd.csv", "--json")
    assert told.code == 0
    table, *findings = told.records
    assert table["code"] == "TABLE"
    assert (table["series"], table["rows"], table["frequency"]) == (4, 401, "W-THU")
    rails = {row["guardrail"]: row for row in findings if row["code"] == "GUARDRAIL"}
    assert (rails["REPEATED_ROWS"]["passed"], rails["REPEATED_ROWS"]["done"]) == (3, 1)
    assert rails["REPEATED_ROWS"]["share"] == 0.25
    found = {row["code"]: row["count"] for row in findings if row["code"] != "GUARDRAIL"}
    assert {"DUPLICATES_DROPPED": 1, "GAPS_FILLED": 1, "COVARIATE_ABSENT_AHEAD": 4}.items() <= found.items()


def test_check_says_how_it_read_an_ambiguous_date(run, here):
    days = pd.date_range("2021-01-01", "2021-12-31", freq="MS")
    frame = pd.DataFrame({"shop": 1, "item": "a", "week": days.strftime("%d/%m/%Y"), "sold": 1.0, "price": 2})
    frame.to_csv(here / "months.csv", index=False)
    assert "note: week: month and day can be read either way round; read as %d/%m/%Y" in (
        run("check", "shops.yaml", "--data", "months.csv").out
    )
    notes = [
        r for r in run("check", "shops.yaml", "--data", "months.csv", "--json").records if r["code"] == "NOTE"
    ]
    assert len(notes) == 1
    assert "%d/%m/%Y" in notes[0]["message"]


def test_check_tells_every_problem_at_once(run, here):
    name = config(
        here,
        "wrong.yaml",
        ("horizon: 4", "horizon: 0"),
        ("series: [", "sereis: ["),
        ("target: sold", "target: 5"),
    )
    told = run("check", name)
    assert told.code == 2
    assert told.out == ""
    for words in ("forecast.horizon", "did you mean data.series?", "data.target"):
        assert words in told.err
    told = run("check", name, "--json")
    assert told.code == 2
    places = {record["where"].split(": ")[-1] for record in told.records}
    assert places >= {"data.sereis", "data.target", "forecast.horizon"}
    assert all(r["code"] == "PROBLEM" and r["found"] for r in told.records)


def test_check_of_the_data_names_columns_and_files(run, here):
    pd.DataFrame({"shop": [1], "itme": ["a"], "week": ["2021-01-07"], "sold": ["x"]}).to_csv(
        here / "bad.csv", index=False
    )
    told = run("check", "shops.yaml", "--data", "bad.csv")
    assert told.code == 2
    assert "did you mean 'itme'?" in told.err
    assert "price" in told.err
    assert "no number" in told.err
    told = run("check", "shops.yaml", "--data", "shop.csv")
    assert told.code == 2
    assert "did you mean 'shops.csv'?" in told.err


def test_a_configuration_that_is_not_there(run):
    told = run("check", "shop.yaml")
    assert told.code == 2
    assert "shop.yaml" in told.err


# -- train -------------------------------------------------------------------------


def test_train_ends_with_the_run_directory_and_registers(trained, folder):
    assert trained.code == 0, trained.err
    assert trained.last == "first"
    assert "4 series: " in trained.out
    assert "registered models:/shops/1, alias champion" in trained.err
    assert "registered" not in trained.out
    summary = json.loads((folder / "first" / "summary.json").read_text())
    assert summary["series"] == 4
    assert summary["registered"] == {"name": "shops", "version": 1, "alias": "champion"}
    assert (folder / "runs" / "mlflow.db").is_file()
    assert not (folder / "mlruns").exists()
    assert not (folder / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("verbosity", "told", "untold"),
    [
        ("error", [], ["run "]),
        ("debug", ["run opened", "group done", "run done"], []),
    ],
)
def test_verbosity_says_what_stderr_is_told(run, here, tmp_path, verbosity, told, untold):
    said = run("train", "shops.yaml", "--limit", 1, "--run-dir", tmp_path / "run", "--verbosity", verbosity)
    assert said.code == 0
    for words in told:
        assert words in said.err
    for words in untold:
        assert words not in said.err


def test_train_with_limit_and_cutoff_into_a_folder_of_its_own(run, here):
    told = run("train", "shops.yaml", "--limit", 1, "--cutoff", "2022-06-30")
    assert told.code == 0, told.err
    assert re.fullmatch(r"runs/shops-\d{8}T\d{6}Z", told.last)
    summary = json.loads((here / told.last / "summary.json").read_text())
    assert (summary["series"], summary["limit"], summary["cutoff"]) == (1, 1, "2022-06-30")
    assert summary["registered"] is None
    results = pd.read_parquet(here / told.last / "results")
    assert results[["shop", "item"]].to_numpy().tolist() == [[2, "a b/ü"]]
    assert results["trained_until"].item() <= pd.Timestamp("2022-06-30")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--limit", "0"], "--limit"),
        (["--cutoff", "yesterday"], "yesterday"),
        (["--cutoff", "1990-01-01"], "no rows"),
        (["--engine", "local[2]"], "engine.kind"),
        (["--register", "a/b"], "registry.name"),
        (["--data", "nothing.csv"], "nothing.csv"),
        (["--run-dir", "."], "holds something"),
        (["--run-dir", "shops.csv"], "a file"),
    ],
)
def test_train_refuses_what_is_wrong_and_leaves_nothing(run, here, arguments, words):
    runs = sorted((here / "runs").glob("*/spec.yaml"))
    told = run("train", "shops.yaml", *arguments)
    assert told.code == 2
    assert told.out == ""
    assert words in told.err
    assert sorted((here / "runs").glob("*/spec.yaml")) == runs


def test_a_folder_that_cannot_be_written_ends_with_4(run, here):
    told = run("train", "shops.yaml", "--run-dir", "shops.csv/run")
    assert told.code == 4
    assert told.out == ""
    assert "shops.csv/run" in told.err


def test_a_registry_that_is_down_is_told_before_training(run, here, monkeypatch):
    address = closed_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    told = run("train", "shops.yaml", "--run-dir", "unregistered", "--register", "shops")
    assert told.code == 4
    assert address in told.err
    assert "many-models register RUN_DIR NAME" in told.err
    assert not (here / "unregistered").exists()


def test_a_registry_that_is_down_after_training_names_the_command_that_continues(run, trained, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", closed_port())
    told = run("register", "first", "other")
    assert told.code == 4
    assert "to continue: many-models register first other" in told.err
    assert json.loads(Path("first/summary.json").read_text())["registered"]["name"] == "shops"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_with_130_and_keep_what_is_finished(here, sent):
    frame = pd.concat([shops(seed).assign(shop=lambda f, s=seed: f["shop"] + 100 * s) for seed in range(200)])
    frame.to_csv(here / "many.csv", index=False)
    stopped = f"stopped by {sent.name}"
    command = ("train", "shops.yaml", "--data", "many.csv", "--run-dir", stopped)
    process = start(*command, cwd=here, start_new_session=True)
    results = here / stopped / "results"
    deadline = time.monotonic() + 120
    while len(list(results.glob("part-*.parquet"))) < 2 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    if sent == signal.SIGINT:  # a terminal sends it to the whole group, the children included
        os.killpg(process.pid, sent)
    else:
        process.send_signal(sent)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "cancelled" in err
    assert stopped in err
    assert "Traceback" not in err
    assert out == ""
    assert 0 < len(pd.read_parquet(results)) < 800


def test_too_many_failed_registers_but_moves_no_alias(run, here, trained):
    name = config(
        here,
        "hasty.yaml",
        ("name: shops", "name: hasty"),
        ("engine: {", "budget: {seconds_per_group: 0.001}\nengine: {"),
    )
    told = run("train", name, "--run-dir", "hasty", "--register", "hasty", "--limit", 1)
    assert told.code == 3, told.err
    assert told.last == "hasty"
    assert "max_failed_fraction" in told.err
    assert "the alias was not moved" in told.err
    results = pd.read_parquet("hasty/results")
    assert results["status"].tolist() == ["TIMED_OUT"]
    assert pd.read_parquet("hasty/forecasts")["mean"].notna().all()
    (version,) = run("versions", "hasty", "--json").records
    assert version["aliases"] == []
    assert run("find", "models:/hasty@champion", "shop=2", "item=tropicana").code == 2
    assert run("find", "models:/hasty/1", "shop=2", "item=a b/ü").code == 0


# -- find --------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["first", "models:/shops@champion", "models:/shops/1"])
def test_find_tells_who_serves_a_key(run, trained, model):
    told = run("find", model, "shop=2", "item=tropicana", "--json")
    assert told.code == 0, told.err
    (record,) = told.records
    assert (record["shop"], record["item"], record["status"]) == (2, "tropicana", "TRAINED")
    assert record["learner"]
    assert record["score"] > 0
    assert record["spec_fingerprint"]
    assert record["run_id"] == json.loads(Path("first/summary.json").read_text())["run_id"]
    assert sum(record["members"].values()) == pytest.approx(1, abs=1e-3)
    if model != "first":
        assert (record["name"], record["version"]) == ("shops", 1)
    plain = run("find", model, "item=tropicana", "shop=2")
    assert plain.code == 0
    assert re.search(r"(?m)^learner +\S", plain.out)


@pytest.mark.parametrize("model", ["first", "models:/shops@champion"])
def test_find_of_a_part_of_a_key_lists_the_keys_that_have_it(run, trained, model):
    told = run("find", model, "item=tropicana", "--json")
    assert told.code == 0, told.err
    results = pd.read_parquet("first/results")
    wanted = results[results["item"] == "tropicana"].sort_values("shop")
    assert [(r["shop"], r["item"], r["status"], r["learner"]) for r in told.records] == list(
        wanted[["shop", "item", "status", "learner"]].itertuples(index=False, name=None)
    )
    assert "tropicana" in run("find", model, "shop=2").out


@pytest.mark.parametrize(
    ("model", "key", "words"),
    [
        ("first", ["shop=3"], "no shop is 3"),
        ("first", ["shop=two", "item=tropicana"], "integer values only"),
        ("first", ["shop=2", "itme=tropicana"], "did you mean 'item'?"),
        ("first", ["shop=2", "item=tropicanna"], "nearest 'tropicana'"),
        ("first", ["shop=3", "item=tropicana"], "no shop is 3"),
        ("first", [], "shop"),
        ("frist", ["shop=2", "item=tropicana"], "first"),
        ("models:/shops@challenger", ["shop=2", "item=tropicana"], "champion"),
        ("models:/shop@champion", ["shop=2", "item=tropicana"], "shops"),
        ("models:/shops/7", ["shop=2", "item=tropicana"], "7"),
        ("models:/", ["shop=2", "item=tropicana"], "models:/"),
    ],
)
def test_find_of_what_is_not_there_names_what_is(run, trained, model, key, words):
    told = run("find", model, *key)
    assert told.code == 2
    assert told.out == ""
    assert words in told.err


# -- forecast ----------------------------------------------------------------------


def test_forecast_of_all_series_goes_to_the_file(run, trained):
    told = run("forecast", "models:/shops@champion", "--out", "next.parquet")
    assert told.code == 0, told.err
    assert told.out == "next.parquet\n"
    assert told.err.startswith("16 rows")
    frame = pd.read_parquet("next.parquet")
    assert frame["mean"].notna().all()
    assert frame.groupby(["shop", "item"])["step"].apply(list).map(lambda s: s == [1, 2, 3, 4]).all()
    stood_by = frame["status"] == "FALLBACK"
    assert (frame.loc[stood_by, "reason"] == "FUTURE_COVARIATES_MISSING").all()


def test_forecast_writes_simulated_paths_where_they_are_asked_for(run, trained):
    told = run("forecast", "first", "--out", "paths.csv", "--paths", 3)
    assert told.code == 0, told.err
    drawn = pd.read_csv("paths.csv")
    assert len(drawn) == 16 * 3
    assert drawn.groupby(["shop", "item", "step"])["path"].apply(sorted).map(lambda p: p == [1, 2, 3]).all()
    assert drawn["value"].notna().all()


def test_forecast_of_a_plan_has_its_rows_in_its_order(run, trained):
    told = run("forecast", "first", "--future", "plan.csv", "--out", "planned.csv", "--horizon", 2)
    assert told.code == 0, told.err
    asked, answer = pd.read_csv("plan.csv"), pd.read_csv("planned.csv")
    pd.testing.assert_frame_equal(answer[["shop", "item", "week"]], asked[["shop", "item", "week"]])
    assert answer["mean"].notna().all()
    assert not (answer["reason"] == "FUTURE_COVARIATES_MISSING").any()


def test_forecast_of_rows_that_have_no_answer_says_how_many(run, trained, here):
    rows = pd.read_csv("plan.csv")
    rows.loc[0, "shop"] = 99
    rows.to_csv("strange.csv", index=False)
    told = run("forecast", "first", "--future", "strange.csv", "--out", "strange_answer.parquet")
    assert told.code == 0
    assert "16 rows, 1 without a forecast" in told.err
    answer = pd.read_parquet("strange_answer.parquet")
    assert answer["reason"].iloc[0] == "UNKNOWN_KEY"
    assert answer["mean"].isna().tolist() == [True] + [False] * 15


def test_forecast_for_some_keys_and_another_horizon(run, trained):
    told = run("forecast", "first", "--key", "shop=2", "--horizon", 6, "--out", "some.parquet")
    assert told.code == 0, told.err
    frame = pd.read_parquet("some.parquet")
    assert frame["shop"].unique().tolist() == [2]
    assert len(frame) == 12
    assert frame.loc[frame["step"] > 4, "reason"].notna().all()
    one = ["--key", "shop=2", "--key", "item=tropicana"]
    assert run("forecast", "first", *one, "--future", "plan.csv", "--out", "one.parquet").code == 0
    assert len(pd.read_parquet("one.parquet")) == 4


def test_newer_history_moves_the_state_and_revisions_are_told_once(run, trained, here):
    newer = shops().groupby(["shop", "item"]).tail(3)
    newer = newer.assign(week=newer["week"] + pd.Timedelta(weeks=2), sold=newer["sold"] + 1)
    newer.to_csv("newer.csv", index=False)
    told = run("forecast", "first", "--data", "newer.csv", "--out", "moved.parquet")
    assert told.code == 0, told.err
    frame = pd.read_parquet("moved.parquet")
    assert frame["cutoff"].unique() == [newer["week"].max()]
    assert frame.loc[frame["step"] == 1, "week"].unique() == [newer["week"].max() + pd.Timedelta(weeks=1)]
    assert told.err.count("HISTORY_REVISED") == 1
    assert "HISTORY_REVISED" not in told.out
    assert len(told.err.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "f.txt"], ".parquet or .csv"),
        (["--out", "f.csv", "--horizon", "0"], "1 or more"),
        (["--out", "f.csv", "--key", "shop=77"], "shop=77"),
        (["--out", "f.csv", "--key", "colour=red"], "shop"),
        (["--out", "f.csv", "--future", "plam.csv"], "did you mean 'plan.csv'?"),
        (["--out", "f.csv", "--data", "plan.csv"], "sold"),
        (["--out", "f.csv", "--future", "nokey.csv"], "item"),
    ],
)
def test_forecast_refuses_what_is_wrong_and_writes_nothing(run, trained, here, arguments, words):
    (here / "nokey.csv").write_text("shop,week,price\n2,2022-12-08,2\n")
    told = run("forecast", "first", *arguments)
    assert told.code == 2
    assert told.out == ""
    assert words in told.err
    assert not (here / arguments[1]).exists()


def test_forecast_into_a_folder_that_is_not_there_ends_with_4(run, trained):
    told = run("forecast", "first", "--out", "no/such/folder/f.parquet")
    assert told.code == 4
    assert "no/such/folder/f.parquet" in told.err


def test_a_flipped_byte_in_a_registered_model_is_told(run, trained, here):
    told = run("register", "first", "flipped")
    assert told.code == 0, told.err
    shards = list((here / "runs" / "mlartifacts" / "flipped").rglob("models/*.parquet"))
    assert shards
    for shard in shards:
        damaged = bytearray(shard.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        shard.write_bytes(damaged)
    told = run("forecast", "models:/flipped@champion", "--out", "flipped.parquet")
    assert told.code == 4
    assert "Traceback" not in told.err
    assert not (here / "flipped.parquet").exists()


# -- the registry ------------------------------------------------------------------


def test_versions_and_promote_move_the_alias(run, trained):
    assert run("register", "first", "walk").code == 0
    assert run("register", "first", "walk").code == 0
    newest, oldest = run("versions", "walk", "--json").records
    assert (newest["version"], newest["aliases"]) == (2, ["champion"])
    assert (oldest["version"], oldest["aliases"]) == (1, [])
    told = run("promote", "walk", 1)
    assert told.code == 0
    assert told.out == "models:/walk@champion is version 1 (was version 2)\n"
    assert run("promote", "walk", 2, "--alias", "challenger").code == 0
    newest, oldest = run("versions", "walk", "--json").records
    assert (newest["aliases"], oldest["aliases"]) == (["challenger"], ["champion"])
    table = run("versions", "walk")
    assert table.code == 0
    assert "champion" in table.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["versions", "shopz"], "shops"),
        (["promote", "shops", "9"], "9"),
        (["promote", "shops", "1", "--alias", "v1"], "alias"),
        (["register", "first", "a/b"], "a/b"),
        (["register", "frist", "x"], "first"),
        (["report", "frist"], "first"),
    ],
)
def test_the_registry_and_reports_refuse_what_is_wrong(run, trained, arguments, words):
    told = run(*arguments)
    assert told.code == 2
    assert told.out == ""
    assert words in told.err


def test_promote_only_better_says_who_serves_what_and_on_what_that_was_judged(run, trained):
    assert run("register", "first", "better").code == 0
    assert run("register", "first", "better").code == 0
    assert run("promote", "better", 1).code == 0
    told = run("promote", "better", 2, "--only-better", "--data", "shops.csv")
    assert told.code == 0, told.err
    assert "4 series: 4 by the challenger (4 SAME_MODEL)" in told.out
    assert told.last == "models:/better@champion stays version 1"
    wrong = run("promote", "better", 2, "--data", "shops.csv")
    assert (wrong.code, "--only-better" in wrong.err) == (2, True)
    assert run("promote", "better", 1, "--only-better").code == 2  # it is the champion


def test_train_only_what_is_new_inherits_the_rest(run, trained, here):
    more = pd.concat([shops(), shops().query("shop == 10").assign(shop=11)])
    more.to_csv("more.csv", index=False)
    name = config(here, "more.yaml", ("shops.csv", "more.csv"))
    told = run("train", name, "--only", "new", "--base", "models:/shops@champion", "--run-dir", "more")
    assert told.code == 0, told.err
    assert "trained: 2 new; 4 series inherited from models:/shops/" in told.out
    (record,) = run("find", "more", "shop=2", "item=tropicana", "--json").records
    assert record["inherited_from"].startswith("models:/shops/")
    (record,) = run("find", "more", "shop=11", "item=tropicana", "--json").records
    assert record["inherited_from"] is None
    wrong = run("train", name, "--only", "newest", "--base", "more", "--run-dir", "wrong")
    assert (wrong.code, "new" in wrong.err) == (2, True)
    assert run("train", name, "--only", "new", "--run-dir", "wrong").code == 2
    assert not (here / "wrong").exists()


def test_monitor_prints_errors_by_step_and_writes_them(run, trained, here):
    late = shops()
    late["week"] += pd.Timedelta(weeks=3)  # the last three weeks are newer than what was trained on
    late.to_csv("late.csv", index=False)
    told = run("monitor", "first", "--data", "late.csv", "--out", "watched")
    assert told.code == 0, told.err
    assert told.last == "watched"
    assert "4 of 4 series have 12 newer values" in told.out
    assert {path.name for path in (here / "watched").iterdir()} == {
        "rows.parquet",
        "series.parquet",
        "summary.json",
        "errors.png",
    }
    assert len(run("monitor", "first", "--data", "late.csv", "--out", "again", "--json").records) == 4


# -- report ------------------------------------------------------------------------


def test_report_writes_the_page_where_asked(run, trained, here):
    told = run("report", "first", "--out", "page.html")
    assert told.code == 0, told.err
    assert told.out == "page.html\n"
    assert "</html>" in (here / "page.html").read_text(encoding="utf-8")
    assert run("report", "first").last == "first/report.html"


def test_a_table_without_key_columns_from_end_to_end(run, here, trained):
    frame = shops().query("shop == 2 and item == 'tropicana'").drop(columns=["shop", "item"])
    frame.to_csv("one.csv", index=False)
    name = config(
        here, "one.yaml", ("[shop, item]", "[]"), ("shops.csv", "one.csv"), ("name: shops", "name: one")
    )
    told = run("train", name, "--run-dir", "one", "--register", "one")
    assert told.code == 0, told.err
    assert told.out.startswith("1 series: 1 TRAINED")
    for model in ("one", "models:/one@champion"):
        (record,) = run("find", model, "--json").records
        assert record["status"] == "TRAINED"
    pd.read_csv("plan.csv").query("shop == 2 and item == 'tropicana'")[["week", "price"]].to_csv(
        "ahead.csv", index=False
    )
    told = run("forecast", "models:/one@champion", "--future", "ahead.csv", "--out", "one.parquet")
    assert told.code == 0, told.err
    answer = pd.read_parquet("one.parquet")
    assert answer["week"].astype(str).tolist() == pd.read_csv("ahead.csv")["week"].tolist()
    assert answer["mean"].notna().all()
    assert "no key columns" in run("find", "one", "shop=2").err
    assert "no key columns" in run("find", "one", "shop").err
    assert run("report", "one").code == 0


# -- the configurations that ship ----------------------------------------------------

TABLES = {
    "orange_juice": ("oj/oj_weekly.parquet", 249, "W-THU"),
    "m4_yearly": ("m4/yearly_train.parquet", 600, "YS"),
    "nyc_energy": ("notebooks/nyc_energy.parquet", 1, "h"),
}
CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("name", TABLES)
def test_a_shipped_configuration_is_fine_with_its_table(real_data, run, name):
    path, count, frequency = TABLES[name]
    told = run("check", CONFIGS / f"{name}.yaml", "--data", real_data / path, "--json")
    assert told.code == 0, told.err
    table, *findings = told.records
    assert (table["series"], table["frequency"]) == (count, frequency)
    assert not [row for row in findings if row["severity"] == "error"]


def test_the_quickstart_is_fine_with_the_panel_that_ships(run, here):
    from many_models.datasets import fertility

    fertility().to_parquet(here / "fertility.parquet")
    told = run("check", CONFIGS / "quickstart.yaml", "--data", "fertility.parquet")
    assert told.code == 0, told.err
    assert "nothing stops a training" in told.last
