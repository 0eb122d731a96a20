"""Monitoring: what was forecast beside what came, and which series to train again."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, monitor, train
from many_models.errors import DataError
from many_models.registry import Registry
from many_models.runs import base_version, later

KEYS = ["shop", "item"]


def shops(periods=72):
    rng, parts = np.random.default_rng(21), []
    weeks = pd.date_range("2024-01-01", periods=periods, freq="W-MON")
    for key in ((1, "a"), (1, "b"), (2, "a")):
        sold = np.round(rng.normal(100, 10, periods), 2)
        parts.append(pd.DataFrame({"shop": key[0], "item": key[1], "week": weeks, "sold": sold}))
    return pd.concat(parts, ignore_index=True)


SPEC = ForecastSpec.from_dict(
    {
        "name": "shops",
        "data": {"time": "week", "target": "sold", "series": KEYS},
        "forecast": {"horizon": 4},
        "learners": {"allow": ["average", "drift"]},
        "features": {"holidays": None},
        "engine": {"workers": 1},
    }
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on the first 60 weeks."""
    frame = shops()
    return train(
        frame[frame["week"] <= frame["week"].unique()[59]], SPEC, run_dir=tmp_path_factory.mktemp("m") / "r"
    )


@pytest.fixture(scope="module")
def newer():
    """Ten weeks more; the demand for (2, "a") has doubled."""
    frame = shops(70)
    late = (frame["shop"] == 2) & (frame["week"] > frame["week"].unique()[59])
    frame.loc[late, "sold"] *= 2
    return frame


@pytest.fixture(scope="module")
def found(run, newer, tmp_path_factory):
    return monitor(run.directory, newer, out=tmp_path_factory.mktemp("out") / "monitor")


def test_forecasts_that_were_left_stand_beside_what_came(found, run, newer):
    rows = found.rows()
    first = rows[rows["age"] == 0]
    assert first["issued"].all()
    assert not rows[rows["age"] > 0]["issued"].any()
    left = run.forecasts()[[*KEYS, "week", "mean", "q0.1", "q0.5", "q0.9"]]
    joined = first.merge(left, on=[*KEYS, "week"], suffixes=("", "_left"))
    assert len(joined) == len(first) == 12
    for name in ("mean", "q0.1", "q0.9"):
        assert (joined[name] == joined[f"{name}_left"]).all()
    truth = rows.merge(newer, on=[*KEYS, "week"])
    assert (truth["sold"] == truth["actual"]).all()
    assert sorted(rows["age"].unique()) == [0, 4, 8]
    assert set(rows["run_id"]) == {run.summary["run_id"]}


def test_series_that_drifted_are_named_as_only_drifted_trains_them(found, run, newer, tmp_path):
    series = found.series()
    drifted = series[series["alerts"].str.contains("DRIFT")]
    assert [tuple(key) for key in drifted[KEYS].to_numpy()] == [(2, "a")]
    again = train(newer, SPEC, run_dir=tmp_path / "again", only=["drifted"], base=run.directory)
    lineage = again.lineage()
    assert [tuple(k) for k in lineage[lineage["inherited_from"].isna()][KEYS].to_numpy()] == [(2, "a")]
    assert drifted["ratio"].item() > 3


def test_what_was_found_is_in_the_run_of_the_version(run, newer, found, tmp_path, empty_store):
    uri = empty_store(tmp_path)
    run.register("shops", tracking_uri=uri)
    again = monitor("models:/shops@champion", newer, out=tmp_path / "monitor", tracking_uri=uri)
    for name, value in found.summary["all"].items():
        assert again.summary["all"][name] == value
    pd.testing.assert_frame_equal(again.series(), found.series())
    source = Registry(uri)
    version = source.version("models:/shops@champion")
    logged = client_of(uri).get_run(version.run_id).data.metrics
    assert logged["monitor_relative_error"] == again.summary["all"]["relative_error"]
    assert logged["monitor_alerts_drift"] == 1
    history = client_of(uri).get_metric_history(version.run_id, "monitor_coverage_by_age")
    assert {m.step: m.value for m in history} == {r["age"]: r["coverage"] for r in again.summary["by_age"]}
    (folder,) = client_of(uri).list_artifacts(version.run_id, "monitor")
    names = {Path(item.path).name for item in client_of(uri).list_artifacts(version.run_id, folder.path)}
    assert names == {"rows.parquet", "series.parquet", "summary.json", "errors.png"}
    monitor("models:/shops@champion", newer, out=tmp_path / "silent", tracking_uri=uri, log=False)
    assert len(client_of(uri).list_artifacts(version.run_id, "monitor")) == 1


def test_the_models_of_an_mlflow_run_are_monitored_and_taken_over_by_its_id(
    run, newer, found, tmp_path, empty_store
):
    uri = empty_store(tmp_path)
    name = f"runs:/{run.register('shops', tracking_uri=uri).run_id}/model"
    again = monitor(name, newer, out=tmp_path / "monitor", tracking_uri=uri)
    assert again.summary["model"] == name
    pd.testing.assert_frame_equal(again.series(), found.series())
    spec = SPEC.replace({"registry.tracking_uri": uri})
    other = train(newer, spec, run_dir=tmp_path / "run", only=["drifted"], base=name)
    assert other.summary["only"]["base"] == name
    assert set(other.lineage()["inherited_from"].dropna()) == {name}
    assert other.lineage()["inherited_from"].isna().sum() == 1


def client_of(uri):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient
    return MlflowClient(uri)


def test_what_is_read_in_parts_is_what_is_read_at_once(found, run, newer, tmp_path, monkeypatch):
    monkeypatch.setattr(later, "SERIES_AT_ONCE", 1)
    monkeypatch.setattr(base_version, "_ROWS_AT_ONCE", 5)
    parts = monitor(run.directory, newer, out=tmp_path / "parts")
    assert parts.summary == found.summary
    pd.testing.assert_frame_equal(parts.series(), found.series())
    pd.testing.assert_frame_equal(parts.rows(), found.rows())


def test_models_that_err_more_with_age_are_named(tmp_path):
    frame = shops(100)
    at = frame["week"].unique()
    trained = train(frame[frame["week"] <= at[59]], SPEC, run_dir=tmp_path / "run")
    late = (frame["shop"] == 1) & (frame["item"] == "b") & (frame["week"] > at[79])
    frame.loc[late, "sold"] += np.where(frame.loc[late, "week"].dt.isocalendar().week % 2, 60.0, -60.0)
    series = monitor(trained.directory, frame, out=tmp_path / "m").series().set_index(KEYS)
    assert [key for key, row in series.iterrows() if "DECAY" in row["alerts"]] == [(1, "b")]


def test_the_summary_counts_what_the_rows_hold(found):
    rows, summary = found.rows(), found.summary
    assert summary["stamps"] == len(rows) == 30
    assert summary["judged_series"] == 3
    for record in summary["by_step"]:
        part = rows[rows["step"] == record["step"]]
        inside = (part["actual"] >= part["q0.1"]) & (part["actual"] <= part["q0.9"])
        assert record["stamps"] == len(part)
        assert record["coverage"] == pytest.approx(inside.mean(), rel=1e-5)
        assert record["bias"] == pytest.approx(part["mean"].sum() / part["actual"].sum() - 1, rel=1e-5)
    assert [record["age"] for record in summary["by_age"]] == [0, 4, 8]
    assert (found.directory / "errors.png").stat().st_size > 5_000


def test_a_table_without_newer_values_is_refused(run, tmp_path):
    with pytest.raises(DataError, match="no value that came after"):
        monitor(run.directory, shops(60), out=tmp_path / "m")
    assert not (tmp_path / "m").exists()
