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


def recency_scale(
    y: Floats, observed: Bools, season: int, earlier: tuple[float, float] = (0.0, 0.0)
) -> float:
    """The recency-weighted mean absolute (seasonal) difference of the history `y` [T].

    Weights halve every max(12, 2m) values. Where no difference is observed, or all are zero,
    a tenth of the unweighted mean absolute value stands in (0 for an all-zero history).

    Parameters
    ----------
    y, observed : [T]
        The history, or its tail.
    season
        m.
    earlier
        What `earlier_sums` says of the history before a tail, so that the tail gives the scale of it all.
    """
    lag = season if len(y) > season else 1
    top, bottom = _recency_sums(y, observed, lag, season)
    faded = float(0.5 ** (max(0, len(y) - lag) / _half_life(season)))
    top, bottom = top + earlier[0] * faded, bottom + earlier[1] * faded
    if top > 0:
        return top / bottom
    return 0.1 * float(np.abs(y[observed]).mean()) if observed.any() else 0.0


def earlier_sums(y: Floats, observed: Bools, season: int, tail: int) -> tuple[float, float]:
    """Weighted sum and weight of the differences of `y` [T] that its last `tail` values do not show."""
    cut = len(y) - tail
    if cut <= 0 or len(y) <= season:
        return 0.0, 0.0
    return _recency_sums(y[: cut + season], observed[: cut + season], season, season)


def _recency_sums(y: Floats, observed: Bools, lag: int, season: int) -> tuple[float, float]:
    if len(y) <= lag:
        return 0.0, 0.0
    difference = np.abs(y[lag:] - y[:-lag])
    both = observed[lag:] & observed[:-lag]
    age = np.arange(len(difference) - 1, -1, -1)
    weight = 0.5 ** (age / _half_life(season)) * both
    return float((difference * weight).sum()), float(weight.sum())


def _half_life(season: int) -> int:
    """After how many values a difference counts half."""
    return max(12, 2 * season)


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


def whole(quantiles: Floats, low: float | None, high: float | None) -> Floats:
    """Quantiles of a count from continuous ones, within the bounds: whole numbers, in the same order.

    Each is the smallest whole number whose probability reaches the level, where n stands for
    everything from n - 1/2 to n + 1/2: the nearest one, and of two as near the lower.
    """
    nearest: Floats = np.ceil(quantiles - 0.5) + 0.0
    return bounded(nearest, None if low is None else np.ceil(low), None if high is None else np.floor(high))
