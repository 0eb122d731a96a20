"""Sums and means over the last axis that leave missing actuals out, and never warn."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]


def pair(actual: npt.ArrayLike, forecast: npt.ArrayLike) -> tuple[Floats, Floats, Bools]:
    """Actual and forecast at one shape [..., H] and where the actual is observed.

    Both hold 0 where the actual is missing, so that whatever was forecast there has no say.
    A NaN forecast of an observed actual stays NaN: a broken forecast must not look good.

    Raises
    ------
    ValueError
        When the shapes cannot be broadcast, or there is no axis of steps.
    """
    y, f = np.broadcast_arrays(np.asarray(actual, dtype=np.float64), np.asarray(forecast, dtype=np.float64))
    if y.ndim == 0:
        raise ValueError("a metric needs at least one axis of steps; found two single numbers")
    seen = ~np.isnan(y)
    return np.where(seen, y, 0.0), np.where(seen, f, 0.0), seen


def mean(values: Floats, seen: Bools) -> Floats:
    """The mean of the seen values over the last axis [...]; NaN where none is seen."""
    with np.errstate(all="ignore"):
        return ratio(np.where(seen, values, 0.0).sum(axis=-1), seen.sum(axis=-1))


def root_mean_square(values: Floats, seen: Bools) -> Floats:
    """The root of the mean square of the seen values over the last axis [...]; NaN where none is seen.

    The values are first scaled by a power of two, which changes no bit of them, so that squares of
    very large or very small errors neither overflow nor vanish.
    """
    kept = np.where(seen, values, 0.0)
    with np.errstate(all="ignore"):
        _, exponent = np.frexp(np.max(np.abs(kept), axis=-1, initial=0.0, keepdims=True))
        scaled = np.ldexp(kept, -exponent)
        return np.asarray(np.ldexp(np.sqrt(mean(scaled * scaled, seen)), exponent[..., 0]))


def ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> Floats:
    """Numerator over denominator; NaN where the denominator is 0 or missing."""
    below = np.asarray(denominator, dtype=np.float64)
    with np.errstate(all="ignore"):
        return np.asarray(np.asarray(numerator, dtype=np.float64) / np.where(below == 0.0, np.nan, below))


def average_ranks(values: Floats) -> Floats:
    """Ranks 1 … n along the last axis, ties sharing their average; NaN ranks after everything else."""
    if values.shape[-1] == 0:
        return np.zeros(values.shape)
    order = np.argsort(values, axis=-1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=-1)
    position = np.broadcast_to(np.arange(values.shape[-1]), values.shape)
    edge = np.ones((*values.shape[:-1], 1), dtype=bool)
    differs = ordered[..., 1:] != ordered[..., :-1]
    first = np.maximum.accumulate(np.where(np.concatenate([edge, differs], axis=-1), position, 0), axis=-1)
    ends = np.where(np.concatenate([differs, edge], axis=-1), position, values.shape[-1])
    last = np.minimum.accumulate(ends[..., ::-1], axis=-1)[..., ::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last) / 2.0 + 1.0, axis=-1)
    return ranks
