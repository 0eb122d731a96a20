"""What is told of the forecasts of one series: its errors over several horizons as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from many_models.metrics import METRICS
from many_models.panel.series import Floats


def measures(
    names: Sequence[str],
    actual: Floats,
    mean: Floats,
    quantiles: Floats,
    levels: Sequence[float],
    scales: dict[str, Floats],
) -> dict[str, float]:
    """Errors by name over all scored values of [F, H]; NaN where there is none, or a scale of zero.

    Parameters
    ----------
    names
        Metrics of the table.
    actual, mean : [F, H], quantiles : [F, H, Q]
        What came and what was forecast from each of F cutoffs; a missing actual is left out.
    levels
        Of the quantiles; 0.5 is one of them.
    scales : name -> [F]
        The in-sample scale known at each cutoff, `mase` and `rmsse`.
    """
    if not np.isfinite(actual).any():
        return dict.fromkeys(names, float("nan"))
    grid = np.asarray(levels)
    parts = {"mean": mean, "median": quantiles[..., list(levels).index(0.5)], "quantiles": quantiles}
    found = {}
    for name in names:
        metric = METRICS[name]
        came, told = actual, parts[metric.judges]
        if metric.needs_scale is not None:
            # Each horizon in units of what was known at its cutoff; one without a scale has no say.
            scale = np.where(scales[metric.needs_scale] > 0, scales[metric.needs_scale], np.nan)
            came, told = came / scale[:, None], told / scale[:, None]
        told = told.reshape(-1, *told.shape[2:])
        with np.errstate(all="ignore"):
            found[name] = float(metric(came.ravel(), told, scale=1.0, levels=grid))
    return found
