"""A run: every series accounted for, the run directory as it is promised."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from many_models import open_run, train
from many_models.automl.prior import shipped_prior
from many_models.engines.local import LocalEngine
from many_models.errors import DataError, StorageError
from many_models.runs.tally import Tally
from many_models.runs.train import open_source, train_task, usual_weight

KEYS = ["store", "item"]


def test_every_series_has_exactly_one_result_row(retail_run, retail_frame):
    results = retail_run.results()
    assert len(results) == len(retail_frame.drop_duplicates(KEYS))
    assert not results.duplicated(KEYS).any()
    assert results["status"].isin(["TRAINED", "FALLBACK", "SKIPPED"]).all()
    assert results.loc[results["status"] != "TRAINED", "reason"].notna().all()


def test_run_directory_has_the_promised_columns(retail_run):
    quantiles = ["q0.1", "q0.5", "q0.9"]
    expected = {
        "results": "status reason learner score skill bias seconds trained_until n_obs"
        " spec_fingerprint content_id"
        " mase rmsse wape pinball winkler crps coverage scored volume weight",
        "leaderboard": "candidate learner parameters score score_std weight fit_seconds predict_seconds"
        " status error_code",
        "findings": "code severity state count message action",
    }
    for folder, columns in expected.items():
        assert list(pd.read_parquet(retail_run.directory / folder).columns) == [*KEYS, *columns.split()]
    forecasts = pd.read_parquet(retail_run.directory / "forecasts")
    tail = ["learner", "status", "reason", "run_id"]
    assert list(forecasts.columns) == [*KEYS, "cutoff", "date", "step", "mean", *quantiles, *tail]
    totals = pd.read_parquet(retail_run.directory / "totals")
    assert list(totals.columns) == [*KEYS, "cutoff", "steps", "mean", *quantiles, *tail]
    backtest = pd.read_parquet(retail_run.directory / "backtest")
    middle = ["fold", "cutoff", "date", "step", "candidate", "actual", "mean", *quantiles]
    assert list(backtest.columns) == [*KEYS, *middle, "mase_scale", "rmsse_scale"]
    models = pd.read_parquet(retail_run.directory / "models")
    assert list(models.columns) == ["content_id", "kind", "format_version", "state"]
    assert models["content_id"].is_unique


def test_keys_and_time_keep_their_types(retail_run):
    schema = pq.read_schema(next((retail_run.directory / "forecasts").glob("part-*.parquet")))
    assert str(schema.field("store").type) == "int64"
    assert str(schema.field("item").type) == "string"
    assert str(schema.field("date").type) == "timestamp[us]"


def test_summary_counts_what_the_rows_hold(retail_run):
    summary = json.loads((retail_run.directory / "summary.json").read_text())
    results = retail_run.results()
    assert summary["series"] == len(results)
    assert summary["outcomes"] == results["status"].value_counts().to_dict()
    skill = results["skill"].dropna()
    assert summary["skill"]["median"] == pytest.approx(skill.median(), rel=1e-5)
    folds = retail_run.backtest().query("candidate == 'ensemble' and actual == actual")
    inside = folds["actual"].between(folds["q0.1"], folds["q0.9"]).mean()
    assert summary["coverage"]["realised"] == pytest.approx(inside, rel=1e-5)
    assert summary["bias"] == pytest.approx(folds["mean"].sum() / folds["actual"].sum() - 1, rel=1e-4)


def test_known_plan_in_the_input_is_used_for_the_forecast(retail_run):
    forecasts = retail_run.forecasts()
    trained = retail_run.results().query("status == 'TRAINED'")[KEYS]
    rows = forecasts.merge(trained, on=KEYS)
    assert not (rows["reason"] == "FUTURE_COVARIATES_MISSING").any()
    assert (rows.groupby(KEYS)["step"].apply(list).map(lambda s: s == [1, 2, 3, 4])).all()


def test_without_the_plan_the_stand_by_answers_and_says_so(retail_frame, tmp_path, retail_spec):
    history = retail_frame[retail_frame["sales"].notna() | retail_frame["stock_out"]]
    run = train(history, retail_spec(), run_dir=tmp_path / "run", limit=2)
    rows = run.forecasts()
    uses = run.leaderboard(**run.results().loc[0, KEYS].to_dict()).query("weight > 0")["candidate"]
    if uses.str.contains("known").any():
        first = rows.merge(run.results().loc[[0], KEYS], on=KEYS)
        assert (first["reason"] == "FUTURE_COVARIATES_MISSING").all()
        assert (first["status"] == "FALLBACK").all()
        assert "FUTURE_COVARIATES_MISSING" in set(run.findings()["code"])
    assert rows["mean"].notna().all()


def test_quantiles_never_cross_and_stay_within_the_bounds(retail_run):
    rows = retail_run.forecasts()
    assert (rows["q0.1"] <= rows["q0.5"]).all()
    assert (rows["q0.5"] <= rows["q0.9"]).all()
    assert (rows[["mean", "q0.1"]] >= 0).all().all()


def test_totals_are_sums_of_means(retail_run):
    means = retail_run.forecasts().groupby(KEYS)["mean"].apply(lambda m: m.cumsum().to_numpy())
    for row in retail_run.totals().itertuples():
        assert row.mean == pytest.approx(means[(row.store, row.item)][row.steps - 1])


def test_same_input_gives_the_same_forecasts_for_any_number_of_workers(
    retail_run, retail_frame, tmp_path, retail_spec
):
    shuffled = retail_frame.sample(frac=1, random_state=3)
    again = train(shuffled, retail_spec(**{"engine.workers": 1}), run_dir=tmp_path / "run")
    columns = ["mean", "q0.1", "q0.5", "q0.9"]
    np.testing.assert_array_equal(retail_run.forecasts()[columns], again.forecasts()[columns])
    pd.testing.assert_series_equal(retail_run.results()["content_id"], again.results()["content_id"])


def test_cutoff_replays_a_past_day(retail_frame, tmp_path, retail_spec):
    day = "2022-06-06"
    spec = retail_spec()
    replayed = train(retail_frame, spec, run_dir=tmp_path / "a", cutoff=day, limit=1)
    cut = train(retail_frame[retail_frame["date"] <= day], spec, run_dir=tmp_path / "b", limit=1)
    pd.testing.assert_frame_equal(
        replayed.forecasts().drop(columns="run_id"), cut.forecasts().drop(columns="run_id")
    )
    assert (replayed.results()["trained_until"] <= pd.Timestamp(day)).all()


def test_limit_takes_the_first_keys_in_key_order(retail_frame, tmp_path, retail_spec):
    run = train(retail_frame, retail_spec(), run_dir=tmp_path / "run", limit=2)
    keys = retail_frame[KEYS].drop_duplicates().sort_values(KEYS, ignore_index=True)
    pd.testing.assert_frame_equal(run.results()[KEYS], keys.head(2), check_dtype=False)


def test_a_spent_budget_accounts_for_the_rest(retail_frame, tmp_path, retail_spec):
    run = train(retail_frame, retail_spec(**{"budget.seconds_total": 1e-6}), run_dir=tmp_path / "run")
    assert run.summary["series"] == len(run.results())
    assert run.results()["status"].isin(["TRAINED", "FALLBACK", "SKIPPED", "CANCELLED"]).all()


def test_a_budget_is_divided_by_weight(retail_frame, retail_spec, tmp_path):
    keys = retail_frame[KEYS].drop_duplicates().sort_values(KEYS, ignore_index=True)
    frame = retail_frame.merge(keys.assign(worth=[9.0, 1.0, 0.0, np.nan, 1.0, 1.0]), on=KEYS)
    spec = retail_spec(**{"data.static": ["worth"], "validation.weights": "worth"})
    opened = open_source(LocalEngine(1), frame, spec, tmp_path, None, None)
    with closing(opened.panel):
        weight = usual_weight(opened, "worth")
        task = train_task(opened, spec, shipped_prior(), None)
    assert weight == pytest.approx(12.0 / 5.0)
    task = replace(task, share=2.0, usual_weight=weight)
    assert task.share_of(9.0) == pytest.approx(2.0 * 9.0 / 2.4)
    assert task.share_of(0.0) == pytest.approx(0.2)
    assert task.share_of(float("nan")) == 2.0
    assert replace(task, usual_weight=None).share_of(9.0) == 2.0


def test_stragglers_are_counted_and_the_slowest_named(retail_run):
    rows = pq.read_table(sorted((retail_run.directory / "results").glob("part-*[1-9].parquet"))[0])
    tally = Tally(KEYS, (0.1, 0.9))
    for factor in (1.0, 1.0, 100.0, 1.0):
        seconds = np.where(np.arange(len(rows)) == 1, 2.0 * factor, 2.0)
        place = rows.schema.get_field_index("seconds")
        tally.add({"results": [rows.set_column(place, "seconds", pa.array(seconds))]})
    found = tally.summary()["stragglers"]
    key = [str(rows[name][1].as_py()) for name in KEYS]
    assert found == {"count": 1, "median_seconds": 2.0, "slowest": [{"key": key, "seconds": 200.0}]}


def test_a_used_directory_is_refused(retail_frame, tmp_path, retail_spec):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(DataError, match="holds something"):
        train(retail_frame, retail_spec(), run_dir=tmp_path)
    assert (tmp_path / "note.txt").read_text() == "mine"


def test_an_unwritable_place_is_named(retail_frame, tmp_path, retail_spec):
    (tmp_path / "file").write_text("")
    with pytest.raises((StorageError, DataError), match="file"):
        train(retail_frame, retail_spec(), run_dir=tmp_path / "file" / "run")


def test_one_model_per_store_over_its_items(retail_frame, tmp_path, retail_spec):
    run = train(retail_frame, retail_spec(**{"data.group": ["store"]}), run_dir=tmp_path / "run")
    assert run.summary["groups"] == 2
    assert run.summary["series"] == len(run.results()) == 6


def test_open_run_reads_what_train_returned(retail_run):
    again = open_run(retail_run.directory)
    pd.testing.assert_frame_equal(again.results(), retail_run.results())
    assert again.spec.fingerprint == retail_run.spec.fingerprint


def test_leaderboard_of_all_series_names_the_ensemble(retail_run):
    board = retail_run.leaderboard()
    assert board.loc[board["candidate"] == "ensemble", "relative_score"].item() == pytest.approx(1.0)
    weights = retail_run._directory.read("leaderboard").to_pandas().groupby(KEYS)["weight"].sum()
    assert ((weights - 1).abs() < 1e-9).sum() + (weights == 0).sum() == len(weights)


def test_plot_and_report_of_a_run(retail_run, tmp_path):
    key = retail_run.results().loc[0, KEYS].to_dict()
    figure = retail_run.plot(**key)
    assert figure.axes
    page = retail_run.report(tmp_path / "report.html").read_text()
    assert "retail" in page
    assert "</html>" in page
