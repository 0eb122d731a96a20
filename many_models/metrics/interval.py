"""Scores of quantile and interval forecasts: pure functions of arrays over the last axis of steps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from many_models.metrics.arrays import Floats, mean, pair, ratio


def pinball(actual: npt.ArrayLike, quantiles: npt.ArrayLike, levels: npt.ArrayLike) -> Floats:
    """The mean quantile loss over observed steps and levels [...].

    Per step and level q the loss is q·(y − f) where y ≥ f, and (1 − q)·(f − y) below; at the median
    it is half the absolute error. A single level: `pinball(y, quantiles[..., [i]], levels[[i]])`.

    Parameters
    ----------
    actual : [..., H]
        NaN is missing and left out.
    quantiles : [..., H, Q]
        Quantile forecasts, one column per level.
    levels : [Q]
        Each inside (0, 1).

    References
    ----------
    Koenker, R. and Bassett, G. (1978), "Regression quantiles", Econometrica 46(1), 33-50.
    """
    forecast, level = _columns(quantiles, levels)
    y, f, seen = pair(np.asarray(actual, dtype=np.float64)[..., None], forecast)
    with np.errstate(all="ignore"):
        loss = np.maximum(level * (y - f), (level - 1.0) * (y - f))
    return mean(loss.mean(axis=-1), seen[..., 0])


def crps(actual: npt.ArrayLike, quantiles: npt.ArrayLike, levels: npt.ArrayLike) -> Floats:
    """The continuous ranked probability score [...], as far as the quantiles tell the distribution.

    It is twice the integral of the quantile loss over all levels; each level stands for those that
    are nearer to it than to another. Of the median alone it is the mean absolute error.

    Parameters
    ----------
    actual : [..., H]
        NaN is missing and left out.
    quantiles : [..., H, Q]
        Quantile forecasts, one column per level.
    levels : [Q]
        Each inside (0, 1), increasing.

    References
    ----------
    Gneiting, T. and Ranjan, R. (2011), "Comparing density forecasts using threshold- and
    quantile-weighted scoring rules", Journal of Business & Economic Statistics 29(3), 411-422.
    """
    forecast, level = _columns(quantiles, levels)
    edges = np.concatenate([[0.0], (level[1:] + level[:-1]) / 2.0, [1.0]])
    y, f, seen = pair(np.asarray(actual, dtype=np.float64)[..., None], forecast)
    with np.errstate(all="ignore"):
        loss = np.maximum(level * (y - f), (level - 1.0) * (y - f))
    return mean(2.0 * (loss * np.diff(edges)).sum(axis=-1), seen[..., 0])


def coverage(actual: npt.ArrayLike, lower: npt.ArrayLike, upper: npt.ArrayLike) -> Floats:
    """The share of observed actuals inside [lower, upper], ends included [...]."""
    y, low, seen = pair(actual, lower)
    _, high, _ = pair(actual, upper)
    inside = np.where(np.isnan(low + high), np.nan, (y >= low) & (y <= high))
    return mean(inside, seen)


def winkler(actual: npt.ArrayLike, lower: npt.ArrayLike, upper: npt.ArrayLike, level: float) -> Floats:
    """The interval score [...]: the width, plus 2/(1 − level) times the distance of actuals outside.

    Parameters
    ----------
    actual, lower, upper : [..., H]
        NaN actuals are left out.
    level
        Nominal coverage of the interval, for instance 0.8 for the quantiles 0.1 and 0.9.

    References
    ----------
    Winkler, R. L. (1972), "A decision-theoretic approach to interval estimation", Journal of the
    American Statistical Association 67(337), 187-191; Gneiting, T. and Raftery, A. E. (2007),
    "Strictly proper scoring rules, prediction, and estimation", JASA 102(477), 359-378, section 6.2.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: found {level}; allowed: a nominal coverage inside (0, 1)")
    y, low, seen = pair(actual, lower)
    _, high, _ = pair(actual, upper)
    with np.errstate(all="ignore"):
        outside = np.maximum(low - y, 0.0) + np.maximum(y - high, 0.0)
        score = (high - low) + ratio(2.0 * outside, 1.0 - level)
    return mean(score, seen)


def outer_coverage(actual: npt.ArrayLike, quantiles: npt.ArrayLike, levels: npt.ArrayLike) -> Floats:
    """`coverage` between the lowest and the highest level [...]; NaN where there is only one level."""
    low, high, share = _outer(quantiles, levels)
    inside = coverage(actual, low, high)
    return inside if share > 0.0 else np.full_like(inside, np.nan)


def outer_winkler(actual: npt.ArrayLike, quantiles: npt.ArrayLike, levels: npt.ArrayLike) -> Floats:
    """`winkler` of the interval between lowest and highest level [...]; NaN where these are not symmetric."""
    low, high, share = _outer(quantiles, levels)
    grid = np.asarray(levels, dtype=np.float64)
    symmetric = share > 0.0 and bool(np.isclose(grid.min() + grid.max(), 1.0))
    score = winkler(actual, low, high, share if symmetric else 0.5)
    return score if symmetric else np.full_like(score, np.nan)


def _columns(quantiles: npt.ArrayLike, levels: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Quantiles [..., H, Q] and levels [Q], checked against each other."""
    forecast, level = np.asarray(quantiles, dtype=np.float64), np.asarray(levels, dtype=np.float64)
    if level.ndim != 1 or not level.size or not np.all((level > 0.0) & (level < 1.0)):
        raise ValueError(f"levels: found {level.tolist()}; allowed: a list of numbers inside (0, 1)")
    if forecast.ndim < 2 or forecast.shape[-1] != level.size:
        raise ValueError(f"quantiles: found shape {forecast.shape}; allowed: [..., steps, {level.size}]")
    return forecast, level


def _outer(quantiles: npt.ArrayLike, levels: npt.ArrayLike) -> tuple[Floats, Floats, float]:
    """The columns of the lowest and the highest level [..., H], and the share between them."""
    forecast, level = _columns(quantiles, levels)
    low, high = int(np.argmin(level)), int(np.argmax(level))
    return forecast[..., low], forecast[..., high], float(level[high] - level[low])
