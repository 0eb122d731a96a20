"""Errors of a run by any metric, its own among them, and their totals over series."""

from __future__ import annotations

import sys
import textwrap

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, train
from many_models.errors import InputError, LookupFailed, SpecError
from many_models.metrics import METRICS
from many_models.metrics.table import offered, own_metric

OWN = """
import numpy as np

def shortfall(actual, forecast):
    assert actual.shape == forecast.shape and np.isfinite(actual).all()
    return float(np.maximum(actual - forecast, 0).mean())
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that offers the metric `shortfall`, here and in the children."""
    site = tmp_path / "site"
    info = site / "shortfalls-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "shortfalls.py").write_text(textwrap.dedent(OWN))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shortfalls\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[many_models.metrics]\nshortfall = shortfalls:shortfall\n")
    monkeypatch.syspath_prepend(str(site))
    own_metric.cache_clear()
    yield
    sys.modules.pop("shortfalls", None)
    own_metric.cache_clear()


def frame():
    days = pd.date_range("2022-01-02", periods=70, freq="W")
    rng = np.random.default_rng(0)
    parts = []
    for shop, level, weight in (("a", 10, 1.0), ("b", 1000, 3.0), ("c", 100, np.nan)):
        sold = level * (1 + 0.1 * rng.normal(size=len(days)))
        parts.append(pd.DataFrame({"shop": shop, "week": days, "sold": sold, "size": weight}))
    return pd.concat(parts, ignore_index=True)


def spec_of(**more):
    spec = ForecastSpec.from_dict(
        {
            "data": {"time": "week", "target": "sold", "series": ["shop"], "static": ["size"]},
            "forecast": {"horizon": 4, "quantiles": [0.1, 0.5, 0.9]},
            "learners": {"allow": ["drift", "average"]},
            "validation": {"weights": "size"},
            "engine": {"workers": 1},
        }
    )
    return spec.replace(more) if more else spec


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(frame(), spec_of(), run_dir=tmp_path_factory.mktemp("metrics") / "run")


def ensemble(run):
    rows = run.backtest()
    return rows[(rows["candidate"] == "ensemble") & rows["actual"].notna()]


def test_every_series_tells_its_errors_of_point_and_interval(run):
    results = run.results().set_index("shop")
    for shop, rows in ensemble(run).groupby("shop"):
        y, low, high = (rows[c].to_numpy() for c in ("actual", "q0.1", "q0.9"))
        told = results.loc[shop]
        outside = np.maximum(low - y, 0) + np.maximum(y - high, 0)
        assert told["coverage"] == pytest.approx(((y >= low) & (y <= high)).mean())
        assert told["winkler"] == pytest.approx((high - low + 2 / 0.2 * outside).mean())
        losses = [np.maximum(q * (y - rows[f"q{q}"]), (q - 1) * (y - rows[f"q{q}"])) for q in (0.1, 0.5, 0.9)]
        assert told["pinball"] == pytest.approx(np.mean(losses))
        assert told["crps"] == pytest.approx(
            np.mean(2 * (0.3 * losses[0] + 0.4 * losses[1] + 0.3 * losses[2]))
        )
        assert told["mase"] == pytest.approx((np.abs(y - rows["q0.5"]) / rows["mase_scale"]).mean())
        assert told["scored"] == len(y)
        assert told["volume"] == pytest.approx(np.abs(y).sum())
    assert results["weight"].tolist()[:2] == [1.0, 3.0]
    assert np.isnan(results.loc["c", "weight"])


def test_the_summary_has_macro_micro_volume_and_weighted_totals_side_by_side(run):
    errors, results, rows = run.summary["errors"], run.results().set_index("shop"), ensemble(run)
    gap = np.abs(rows["actual"] - rows["q0.5"])
    assert errors["wape"]["macro"] == pytest.approx(results["wape"].mean(), rel=1e-4)
    assert errors["wape"]["micro"] == pytest.approx(gap.sum() / rows["actual"].sum(), rel=1e-4)
    assert errors["mase"]["micro"] == pytest.approx((gap / rows["mase_scale"]).mean(), rel=1e-4)
    weighted = (results.loc["a", "wape"] + 3 * results.loc["b", "wape"]) / 4
    assert errors["wape"]["weighted"] == pytest.approx(weighted, rel=1e-4)
    assert list(run.findings(shop="c").query("code == 'WEIGHT_MISSING'")["count"]) == [1]


@pytest.mark.parametrize("name", ["rmse", "mase", "rmsse", "smape", "r2", "pinball", "crps"])
def test_the_leaderboard_and_the_best_answer_for_any_metric(run, name):
    board, rows = run.leaderboard(metric=name, shop="a"), run.backtest(shop="a")
    metric = METRICS[name]
    expected = {}
    for candidate, part in rows.groupby("candidate"):
        y, f = part["actual"].to_numpy(), part["mean" if metric.judges == "mean" else "q0.5"].to_numpy()
        if metric.needs_scale:
            units = part[f"{metric.needs_scale}_scale"].to_numpy()
            y, f = y / units, f / units
        f = f[:, None] if metric.judges == "quantiles" else f
        expected[candidate] = float(metric(y, f, scale=1.0, levels=[0.5]))
    assert dict(zip(board["candidate"], board["score"], strict=True)) == pytest.approx(expected)
    alone = {k: v for k, v in expected.items() if k != "ensemble"}
    first = (max if metric.goal == "high" else min)(alone, key=alone.get)
    found = run.best(metric=name)
    assert found["shop"].tolist() == ["a", "b", "c"]
    assert found.loc[0, "candidate"] == first
    assert found.loc[0, "score_ensemble"] == pytest.approx(expected["ensemble"])
    overall = run.leaderboard(metric=name).set_index("candidate")
    assert overall.loc["ensemble", "relative_score"] == pytest.approx(1.0)


def test_a_metric_that_nobody_knows_or_that_cannot_rank_is_refused(run):
    with pytest.raises(LookupFailed, match="did you mean rmse"):
        run.best(metric="rmze")
    with pytest.raises(InputError, match="ranks forecasts"):
        run.leaderboard(metric="coverage")


def test_an_own_metric_is_the_primary_one(package, tmp_path):
    assert "shortfall" in offered()
    run = train(frame(), spec_of(**{"validation.metric": "shortfall"}), run_dir=tmp_path / "run")
    folds = ensemble(run).query("shop == 'a'")
    by_fold = [
        np.maximum(part["actual"] - part["q0.5"], 0).mean() for _, part in folds.groupby("fold", sort=True)
    ]
    floor = max(by_fold) * 1e-3
    expected = np.exp(np.log(np.maximum(by_fold, floor)).mean())
    assert run.results().set_index("shop").loc["a", "score"] == pytest.approx(expected)
    assert run.best(metric="shortfall")["score"].notna().all()
    with pytest.raises(SpecError, match="did you mean shortfall"):
        spec_of(**{"validation.metric": "shortfal"})


def test_weights_are_numbers_of_a_static_column(tmp_path):
    with pytest.raises(SpecError, match=r"validation\.weights.*data\.static"):
        spec_of(**{"validation.weights": "weight"})
    words = frame().assign(size="large")
    with pytest.raises(InputError, match="numbers, 0 or more"):
        train(words, spec_of(), run_dir=tmp_path / "run")
