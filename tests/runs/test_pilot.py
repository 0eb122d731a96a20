"""The pilot of a run and the estimate made from it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, train
from many_models.runs.estimate import estimate, predicted
from many_models.runs.pilot import MANY_GROUPS, PILOT_GROUPS, pilot_groups, pilot_size


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
