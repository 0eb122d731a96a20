"""Filling holes from one part of a series alone: what a fit may see, and nothing after it."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from many_models.panel.series import Bools, Floats

Impute: TypeAlias = Literal["auto", "linear", "forward", "seasonal", "median", "zero"]


def fill_target(y: Floats, observed: Bools, method: Impute, season: int) -> Floats:
    """The target [T] with its holes filled from the observed values of these T positions.

    `auto` and `linear`: a straight line between the neighbours; `forward`: the last value;
    `seasonal`: the value one season before where there is one, else a straight line; `median`, `zero`.
    After the last observed value that value is carried on (`median` and `zero` excepted).
    """
    if observed.all():
        return y
    seen = np.flatnonzero(observed)
    filled = y.copy()
    holes = np.flatnonzero(~observed)
    if not len(seen) or method == "zero":
        filled[holes] = 0.0
    elif method == "median":
        filled[holes] = np.median(y[seen])
    elif method == "forward":
        before = np.maximum(np.searchsorted(seen, holes) - 1, 0)
        filled[holes] = y[seen[before]]
    else:
        filled[holes] = np.interp(holes, seen, y[seen])
        if method == "seasonal" and season > 1:
            later = holes[holes >= season]
            for place in later:
                filled[place] = filled[place - season]
    return filled


def fill_columns(values: Floats) -> Floats:
    """Covariates [T, K] with holes filled by the last value before them, and before the first by the first.

    A column without any value stays NaN.
    """
    holes = np.isnan(values)
    if not holes.any():
        return values
    rows = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(holes, -1, rows), axis=0)
    first = np.argmax(~holes, axis=0)
    source = np.where(last < 0, first, last)
    result: Floats = np.take_along_axis(values, source, axis=0)
    return result
