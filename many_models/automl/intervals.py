"""Quantiles of a combination: the series' own scale times the pool's standardised residuals.

Quantiles per series and step from its own few folds cover far too little. What covers: the
ensemble's fold forecasts with weights from the *other* folds, residuals divided by the
recency-weighted scale known at that cutoff, a scale that is the geometric mean of the
series' own error and the pool's, and standardised residual quantiles per lead pooled over
many series (the prior).
"""

from __future__ import annotations

import numpy as np

from many_models.panel.series import Bools, Floats


def recency_scale(y: Floats, observed: Bools, season: int) -> float:
    """The recency-weighted mean absolute (seasonal) difference of the history `y` [T].

    Weights halve every max(12, 2m) values. Where no difference is observed, or all are zero,
    the unweighted mean absolute value stands in (0 for an all-zero history).
    """
    lag = season if len(y) > season else 1
    if len(y) > lag:
        difference = np.abs(y[lag:] - y[:-lag])
        both = observed[lag:] & observed[:-lag]
        age = np.arange(len(difference) - 1, -1, -1)
        weight = 0.5 ** (age / max(12, 2 * season)) * both
        total = weight.sum()
        if total > 0:
            scale = float((difference * weight).sum() / total)
            if scale > 0:
                return scale
    return 0.1 * float(np.abs(y[observed]).mean()) if observed.any() else 0.0


def error_factor(own_error: float | None, pool_error: float) -> float:
    """The size of residuals in units of the recency scale: geometric mean of own and pooled error."""
    if own_error is None or not np.isfinite(own_error):
        return pool_error
    # A series whose folds were all met exactly keeps a sliver of width, not none by luck.
    return float(np.sqrt(max(own_error, 0.05 * pool_error) * pool_error))


def step_quantiles(median: Floats, deviations: Floats, levels: tuple[float, ...]) -> Floats:
    """Quantiles [H, Q] around `median` [H] from deviations [H, Q], in units of the target.

    The 0.5 quantile is the median itself; the others never cross it or each other.
    """
    quantiles = median[:, None] + deviations
    middle = levels.index(0.5)
    quantiles[:, middle] = median
    lower = np.minimum.accumulate(quantiles[:, middle::-1], axis=1)[:, ::-1]
    upper = np.maximum.accumulate(quantiles[:, middle:], axis=1)
    return np.concatenate([lower, upper[:, 1:]], axis=1)


def bounded(values: Floats, low: float | None, high: float | None) -> Floats:
    """The values within the bounds of the configuration; None is no bound."""
    if low is None and high is None:
        return values
    return np.clip(values, low, high)
