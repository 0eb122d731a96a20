from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from many_models.metrics import METRICS

Y = np.array([3.0, 5.0, 2.0, 8.0])
GOOD = Y + np.array([0.1, -0.1, 0.1, -0.2])
POOR = np.array([6.0, 1.0, 9.0, 5.0])


def test_names_are_the_keys_of_the_table():
    assert {name: metric.name for name, metric in METRICS.items()} == {name: name for name in METRICS}


def test_absolute_errors_judge_the_median_and_squares_and_totals_the_mean():
    judged = {name: metric.judges for name, metric in METRICS.items()}
    assert {judged[name] for name in ("mae", "mase", "wape", "smape", "mape")} == {"median"}
    assert {judged[name] for name in ("rmse", "rmsse", "bias", "total_error")} == {"mean"}
    assert {judged[name] for name in ("pinball", "coverage", "winkler")} == {"quantiles"}


@pytest.mark.parametrize(
    "metric", [m for m in METRICS.values() if m.judges != "quantiles"], ids=lambda m: m.name
)
def test_better_forecast_has_the_lower_loss(metric):
    assert metric.loss(metric(Y, GOOD, scale=2.0)) < metric.loss(metric(Y, POOR, scale=2.0))


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda m: m.name)
def test_metric_asks_for_what_it_needs(metric):
    if metric.judges == "quantiles":
        with pytest.raises(ValueError, match=f"{metric.name}: found no levels"):
            metric(Y, GOOD)
    elif metric.needs_scale:
        with pytest.raises(
            ValueError, match=f"{metric.name}: found no scale; give {metric.needs_scale}_scale"
        ):
            metric(Y, GOOD)
    else:
        assert np.isfinite(metric(Y, GOOD))


def test_coverage_cannot_rank_forecasts():
    with pytest.raises(ValueError, match="cannot rank"):
        METRICS["coverage"].loss(0.8)
    assert not METRICS["coverage"].lower_is_better


def test_metrics_load_no_heavy_library():
    heavy = ("pandas", "scipy", "sklearn", "statsmodels")
    code = f"import sys, many_models.metrics; sys.exit(any(name in sys.modules for name in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
