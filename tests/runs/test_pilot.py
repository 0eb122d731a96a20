"""The pilot of a run and the estimate made from it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, resume, train
from many_models.runs.estimate import estimate, predicted
from many_models.runs.pilot import MANY_GROUPS, PILOT_GROUPS, pilot_groups, pilot_size, shares_size


def panel(series=14, length=40):
    rng = np.random.default_rng(5)
    weeks = pd.date_range("2022-01-03", periods=length, freq="W-MON")
    return pd.DataFrame(
        {
            "shop": np.repeat([f"s{i:02d}" for i in range(series)], length),
            "week": np.tile(weeks, series),
            "sold": rng.gamma(4, 5, series * length),
        }
    )


def spec_of(**more):
    tree = {
        "name": "pilot",
        "data": {"time": "week", "target": "sold", "series": ["shop"]},
        "forecast": {"horizon": 4},
        "learners": {"preset": "fast", "allow": ["naive", "average", "drift"]},
        "engine": {"workers": 2},
    }
    return ForecastSpec.from_dict(tree).replace(more) if more else ForecastSpec.from_dict(tree)


@pytest.mark.parametrize(
    ("setting", "groups", "size"),
    [
        ("off", 10_000, 0),
        ("auto", MANY_GROUPS - 1, 0),
        ("auto", MANY_GROUPS, PILOT_GROUPS),
        (25, 10_000, 25),
        (25, 10, 10),
    ],
)
def test_few_series_have_no_pilot_unless_it_is_asked_for(setting, groups, size):
    assert pilot_size(setting, groups) == size


def test_the_same_groups_are_drawn_whatever_else_is_in_the_table():
    table = pd.DataFrame({"k0": [f"s{i}" for i in range(50)], "rows": 5, "series": 1})
    first = pilot_groups(table, list(range(50)), 10, 0)
    assert first == sorted(first)
    assert len(set(first)) == 10
    fewer = [g for g in range(50) if g in first or g % 2]
    assert pilot_groups(table, fewer, 10, 0) == first
    assert pilot_groups(table, list(range(50)), 10, 1) != first


def test_what_the_pilot_taught_is_stored_with_the_run_and_repeats(tmp_path):
    frame, spec = panel(), spec_of(**{"validation.pilot": 12})
    runs = [train(frame, spec, run_dir=tmp_path / name) for name in "ab"]
    priors = [json.loads((run.directory / "prior.json").read_text()) for run in runs]
    assert priors[0] == priors[1]
    assert "a pilot of 12 series (week)" in priors[0]["origin"]
    columns = ["shop", "week", "mean", "q0.1", "q0.5", "q0.9"]
    pd.testing.assert_frame_equal(runs[0].forecasts()[columns], runs[1].forecasts()[columns])
    without = train(frame, spec_of(**{"validation.pilot": "off"}), run_dir=tmp_path / "c")
    assert "pilot" not in json.loads((without.directory / "prior.json").read_text())["origin"]
    assert not without.forecasts()["q0.9"].equals(runs[0].forecasts()["q0.9"])


@pytest.mark.parametrize(
    ("setting", "series", "size"),
    [
        ("off", 10_000, 0),
        ("auto", 39, 0),
        ("auto", 40, 20),
        ("auto", 90, 45),
        ("auto", 5_000, 150),
        (30, 25, 25),
    ],
)
def test_enough_series_teach_what_share_is_their_groups(setting, series, size):
    assert shares_size(setting, series) == size


def alike(series=24, length=36):
    """Shops that swing back to levels of their own, all in the same way: what one shows too rarely."""
    rng = np.random.default_rng(8)
    z = np.zeros((series, length))
    for t in range(1, length):
        z[:, t] = 0.6 * z[:, t - 1] + rng.normal(0, 1, series)
    weeks = pd.date_range("2022-01-03", periods=length, freq="W-MON")
    return pd.DataFrame(
        {
            "shop": np.repeat([f"s{i:02d}" for i in range(series)], length),
            "week": np.tile(weeks, series),
            "sold": (50 + np.arange(series)[:, None] + 4 * z).ravel(),
        }
    )


def together(**more):
    learners = {"learners.allow": ["naive", "average", "drift", "elastic_net"], "validation.pilot": 24}
    return spec_of(**{"data.group": [], **learners, **more})


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A run whose one group learns together, and whose pilot says what share that has."""
    return train(alike(), together(), run_dir=tmp_path_factory.mktemp("shared") / "run")


def shares_of(run):
    return json.loads((run.directory / "prior.json").read_text())["kinds"]["week"]["shares"]


def test_every_series_gives_its_group_the_share_that_the_pilot_found(shared, tmp_path):
    shares = shares_of(shared)
    assert shares
    board = pd.read_parquet(shared.directory / "leaderboard")
    for name, share in shares.items():
        weights = board.loc[board["candidate"] == name, "weight"]
        assert len(weights) == 24
        np.testing.assert_allclose(weights, share)
    pooled = board["candidate"].str.startswith("pooled_")
    assert not board.loc[pooled & ~board["candidate"].isin(shares), "weight"].any()
    sums = board[board["candidate"] != "ensemble"].groupby("shop")["weight"].sum()
    np.testing.assert_allclose(sums, 1.0)
    without = train(alike(), together(**{"validation.pilot": "off"}), run_dir=tmp_path / "off")
    assert shares_of(without) is None
    assert not without.forecasts()["mean"].equals(shared.forecasts()["mean"])


def test_a_run_stopped_before_its_shares_were_known_learns_the_same(shared, tmp_path):
    half = tmp_path / "half"
    shutil.copytree(shared.directory, half)
    for name in ("summary.json", "prior.json"):
        (half / name).unlink()
    for part in (half / "results").glob("part-*.parquet"):
        if len(pd.read_parquet(part)):
            part.unlink()
    again = resume(half, data=alike())
    assert shares_of(again) == shares_of(shared)
    one, two = (run.forecasts().sort_values(["shop", "week"], ignore_index=True) for run in (again, shared))
    columns = ["shop", "week", "mean", "q0.1", "q0.5", "q0.9"]
    pd.testing.assert_frame_equal(one[columns], two[columns], check_exact=True)


def test_costs_are_predicted_from_rows():
    rng = np.random.default_rng(0)
    rows = rng.integers(50, 500, 40).astype(float)
    seconds = 0.1 + 0.002 * rows + rng.normal(0, 0.005, 40)
    seconds[:2] += 2.0  # the imports of two workers
    wanted = rng.integers(50, 500, 1000).astype(float)
    total, error = predicted(rows, seconds, wanted)
    truth = (0.1 + 0.002 * wanted).sum()
    assert total == pytest.approx(truth, rel=0.03)
    assert 0 < error < 0.1 * truth


def test_groups_alike_are_predicted_by_their_mean():
    total, error = predicted(np.full(5, 100.0), np.array([1.0, 1.1, 0.9, 1.0, 1.0]), np.full(50, 100.0))
    assert total == pytest.approx(50.0)
    assert error < 10


def test_an_estimate_trains_nothing_but_its_pilot(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = estimate(panel(), spec_of())
    assert (found.series, found.groups, found.pilot_groups) == (14, 14, 14)
    assert found.core_seconds > 0
    assert found.wall_seconds(2) < found.wall_seconds(1)
    assert list(tmp_path.iterdir()) == []
