"""Backtests: past days replayed on what was known then."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, train
from many_models.errors import InputError
from many_models.runs.backtest import backtest, open_backtest

H = 4


def panel(series=3, length=60, seed=1):
    rng = np.random.default_rng(seed)
    weeks = pd.date_range("2022-01-03", periods=length, freq="W-MON")
    price = rng.choice([1.0, 2.0], series * length)
    return pd.DataFrame(
        {
            "shop": np.repeat([f"s{i}" for i in range(series)], length),
            "week": np.tile(weeks, series),
            "price": price,
            "sold": 40 - 10 * price + rng.normal(0, 1, series * length),
        }
    )


def spec_of(**more):
    spec = ForecastSpec.from_dict(
        {
            "name": "replay",
            "data": {"time": "week", "target": "sold", "series": ["shop"], "known": ["price"]},
            "forecast": {"horizon": H},
            "learners": {"preset": "fast", "allow": ["naive", "average", "arx"]},
            "engine": {"workers": 1},
        }
    )
    return spec.replace(more) if more else spec


@pytest.fixture(scope="module")
def replayed(tmp_path_factory):
    frame = panel()
    return frame, backtest(frame, spec_of(), origins=3, run_dir=tmp_path_factory.mktemp("b") / "run")


def test_every_series_has_a_row_at_every_origin_and_a_row_for_every_step(replayed):
    frame, found = replayed
    results, rows = found.results(), found.forecasts()
    assert len(results) == 3 * 3
    assert len(rows) == 3 * 3 * H
    assert set(results["status"]) == {"TRAINED"}
    weeks = sorted(frame["week"].unique())
    assert sorted(results["cutoff"].unique()) == [weeks[-1 - H * k] for k in (3, 2, 1)]


def test_an_origin_is_the_run_of_that_day(replayed, tmp_path):
    """The same numbers as a training with that cutoff whose models are given the prices to come."""
    frame, found = replayed
    rows = found.forecasts().query("origin == 2")
    cutoff = rows["cutoff"].iloc[0]
    run = train(frame, spec_of(), run_dir=tmp_path / "run", cutoff=str(cutoff.date()))
    ahead = frame[(frame["week"] > cutoff) & (frame["week"] <= cutoff + pd.Timedelta(weeks=H))]
    want = run.models().forecast(future=ahead[["shop", "week", "price"]])
    got = rows.merge(want, on=["shop", "week"], suffixes=("", "_want"))
    assert len(got) == 3 * H
    for name in ("mean", "q0.1", "q0.5", "q0.9"):
        np.testing.assert_array_equal(got[name], got[f"{name}_want"])
    np.testing.assert_array_equal(got["actual"], got.merge(frame, on=["shop", "week"])["sold"])


@pytest.mark.parametrize("refit", [True, False])
def test_a_gap_moves_the_scored_steps_and_not_what_is_known(tmp_path, refit):
    frame = panel()
    found = backtest(frame, spec_of(**{"forecast.gap": 2}), origins=2, refit=refit, run_dir=tmp_path / "run")
    rows = found.forecasts()
    weeks = np.sort(frame["week"].unique())
    last = rows[rows["origin"] == rows["origin"].max()]
    assert (last["cutoff"] == weeks[-1 - H - 2]).all()
    assert sorted(last["week"].unique()) == list(weeks[-H:])
    # What the gap holds is not known at the origin: nothing that is forecast hangs on it.
    changed = frame.assign(sold=frame["sold"].where(frame["week"] <= weeks[-1 - H - 2], 1e6))
    again = backtest(
        changed, spec_of(**{"forecast.gap": 2}), origins=2, refit=refit, run_dir=tmp_path / "again"
    )
    late = again.forecasts().query("origin == origin.max()")
    np.testing.assert_array_equal(late["mean"], last["mean"])


def test_what_comes_after_an_origin_changes_nothing_before_it(replayed, tmp_path):
    frame, found = replayed
    first = found.results()["cutoff"].min()
    wild = frame.assign(sold=frame["sold"].where(frame["week"] <= first, 1e9))
    other = backtest(wild, spec_of(), origins=3, run_dir=tmp_path / "run").forecasts()
    columns = ["mean", "q0.1", "q0.5", "q0.9", "learner"]
    pd.testing.assert_frame_equal(
        other.query("origin == 1")[columns], found.forecasts().query("origin == 1")[columns]
    )


def test_errors_are_those_of_the_rows(replayed):
    frame, found = replayed
    rows = found.forecasts()
    for result in found.results().to_dict("records"):
        own = rows[(rows["shop"] == result["shop"]) & (rows["origin"] == result["origin"])]
        error = (own["actual"] - own["q0.5"]).abs().mean()
        assert result["mae"] == pytest.approx(error)
        past = frame[(frame["shop"] == result["shop"]) & (frame["week"] <= result["cutoff"])]
        assert result["mase"] == pytest.approx(error / past["sold"].diff().abs().mean())
        inside = (own["actual"] >= own["q0.1"]) & (own["actual"] <= own["q0.9"])
        assert result["coverage"] == pytest.approx(inside.mean())


def test_the_summary_tells_skill_with_its_error(replayed):
    _, found = replayed
    summary = open_backtest(found.directory).summary
    assert summary["scored_series"] == 3
    assert summary["skill"]["share_beating_naive"] == 1.0
    assert summary["skill"]["mase_difference"] < -2 * summary["skill"]["mase_difference_se"]
    results = found.results()
    assert summary["mase"] == pytest.approx(results.groupby("shop")["mase"].mean().mean(), rel=1e-5)


def test_without_refits_the_parameters_stay_and_the_state_moves(replayed, tmp_path):
    frame, found = replayed
    moved = backtest(frame, spec_of(), origins=3, refit=False, run_dir=tmp_path / "run").forecasts()
    again = found.forecasts()
    columns = ["mean", "q0.5"]
    pd.testing.assert_frame_equal(moved.query("origin == 1")[columns], again.query("origin == 1")[columns])
    later = moved.query("origin == 3")
    assert np.isfinite(later["mean"]).all()
    assert not np.array_equal(later["mean"], again.query("origin == 3")["mean"])
    assert (later["step"].to_numpy().reshape(-1, H) == np.arange(1, H + 1)).all()


def test_series_that_were_not_there_yet_are_accounted_for(tmp_path):
    frame = panel()
    young = frame[(frame["shop"] != "s2") | (frame["week"] > frame["week"].max() - pd.Timedelta(weeks=2))]
    found = backtest(young, spec_of(), origins=2, run_dir=tmp_path / "run")
    rows = found.results().query("shop == 's2'")
    assert rows["status"].tolist() == ["SKIPPED"] * 2
    assert rows["reason"].tolist() == ["NO_OBSERVATIONS"] * 2
    assert found.summary["scored_series"] == 2


def test_no_origin_is_no_backtest(tmp_path):
    with pytest.raises(InputError, match="origins"):
        backtest(panel(), spec_of(), origins=0, run_dir=tmp_path / "run")
