"""Monitoring: what was forecast beside what came, and which series to train again."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, monitor, train
from many_models.errors import DataError

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
