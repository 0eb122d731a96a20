"""Errors of many series as one number, four ways."""

from __future__ import annotations

import numpy as np
import pytest

from many_models import metrics
from many_models.metrics.totals import TOTALLED, Totals


def added(batches=1):
    rng = np.random.default_rng(0)
    actual = [rng.uniform(1, 100, n) for n in (3, 8, 20, 1)]
    forecast = [a + rng.normal(0, 5, len(a)) for a in actual]
    scale = np.array([2.0, 3.0, 1.0, np.nan])
    weight = np.array([1.0, np.nan, 4.0, 0.0])
    told = {name: np.full(4, np.nan) for name in TOTALLED}
    told["wape"] = np.array([metrics.wape(a, f) for a, f in zip(actual, forecast, strict=True)])
    told["mase"] = np.array([metrics.mase(a, f, s) for a, f, s in zip(actual, forecast, scale, strict=True)])
    told["rmsse"] = np.array(
        [metrics.rmsse(a, f, s) for a, f, s in zip(actual, forecast, scale, strict=True)]
    )
    scored = np.array([float(len(a)) for a in actual])
    volume = np.array([np.abs(a).sum() for a in actual])
    totals = Totals()
    for part in np.array_split(np.arange(4), batches):
        totals.add({k: v[part] for k, v in told.items()}, scored[part], volume[part], weight[part])
    return totals.table(), actual, forecast, scale, told, weight


@pytest.mark.parametrize("batches", [1, 3])
def test_the_four_ways_to_sum_up_are_what_they_say(batches):
    table, actual, forecast, scale, told, _ = added(batches)
    every, all_told = np.concatenate(actual), np.concatenate(forecast)
    assert table["wape"]["macro"] == pytest.approx(told["wape"].mean(), rel=1e-5)
    assert table["wape"]["micro"] == pytest.approx(float(metrics.wape(every, all_told)), rel=1e-5)
    assert table["wape"]["micro"] == table["wape"]["volume"]
    scaled = [(a / s, f / s) for a, f, s in zip(actual[:3], forecast[:3], scale[:3], strict=True)]
    a, f = (np.concatenate([pair[i] for pair in scaled]) for i in (0, 1))
    assert table["mase"]["micro"] == pytest.approx(float(metrics.mae(a, f)), rel=1e-5)
    assert table["rmsse"]["micro"] == pytest.approx(float(metrics.rmse(a, f)), rel=1e-5)
    assert table["mase"]["macro"] == pytest.approx(np.nanmean(told["mase"]), rel=1e-5)
    assert table["wape"]["weighted"] == pytest.approx((told["wape"][0] + 4 * told["wape"][2]) / 5, rel=1e-5)
    assert table["crps"] == {"macro": None, "micro": None, "volume": None, "weighted": None}


def test_without_weights_there_are_no_weighted_totals():
    totals = Totals()
    one = np.ones(1)
    totals.add(dict.fromkeys(TOTALLED, one), one, one)
    assert set(totals.table()["mase"]) == {"macro", "micro", "volume"}


def test_crps_is_the_integral_of_the_quantile_loss():
    levels = (np.arange(999) + 1) / 1000
    normal = np.sort(np.random.default_rng(1).normal(size=200_000))
    quantiles = np.quantile(normal, levels)
    # of a standard normal at y: y (2 Phi(y) - 1) + 2 phi(y) - 1 / sqrt(pi)
    assert float(metrics.crps([0.0], quantiles[None], levels)) == pytest.approx(
        2 / np.sqrt(2 * np.pi) - 1 / np.sqrt(np.pi), abs=0.01
    )
    assert float(metrics.crps([1.0, np.nan], [[3.0], [4.0]], [0.5])) == 2.0
