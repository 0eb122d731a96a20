"""Scores of forecasts: pure NumPy functions over the last axis, and the table that names them."""

from __future__ import annotations

from many_models.metrics.interval import coverage, crps, pinball, winkler
from many_models.metrics.point import (
    bias,
    mae,
    mape,
    mase,
    nmae,
    nrmse,
    owa,
    r2,
    rmse,
    rmsse,
    smape,
    spearman,
    total_error,
    wape,
)
from many_models.metrics.scales import mase_scale, rmsse_scale
from many_models.metrics.table import METRICS, Metric

__all__ = [
    "METRICS",
    "Metric",
    "bias",
    "coverage",
    "crps",
    "mae",
    "mape",
    "mase",
    "mase_scale",
    "nmae",
    "nrmse",
    "owa",
    "pinball",
    "r2",
    "rmse",
    "rmsse",
    "rmsse_scale",
    "smape",
    "spearman",
    "total_error",
    "wape",
    "winkler",
]
