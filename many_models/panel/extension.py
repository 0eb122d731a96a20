"""The stored tail of a history with newer rows: what moves a model's state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from many_models.panel.series import Floats, Series


def extended(history: Series, start: int, y: Floats, known_x: Floats, past_x: Floats) -> tuple[Series, int]:
    """The history with newer values put in, and how many observed values they revised.

    Values replace older ones at the same ordinal; holes after the stored end are filled in
    straight lines; a history without newer rows comes back bit for bit.

    Parameters
    ----------
    history
        The stored tail.
    start
        Ordinal of `y[0]`; rows before the stored tail say nothing the model still needs.
    y : [N], known_x : [N, K], past_x : [N, P]
        Newer rows on the same grid, NaN where nothing is known.
    """
    skip = max(0, history.start - start)
    y, known_x, past_x = y[skip:], known_x[skip:], past_x[skip:]
    seen = np.flatnonzero(np.isfinite(y))
    if seen.size == 0:
        return history, 0
    offset = start + skip - history.start
    old = len(history)
    total = max(old, offset + int(seen[-1]) + 1)
    target = np.full(total, np.nan)
    target[:old] = history.y
    observed = np.zeros(total, dtype=bool)
    observed[:old] = history.observed
    at = offset + seen
    inside = at[at < old]
    revised = int(((target[inside] != y[seen[at < old]]) & observed[inside]).sum())
    target[at] = y[seen]
    observed[at] = True
    holes = np.isnan(target)
    if holes.any():
        places = np.arange(total)
        target[holes] = np.interp(places[holes], places[~holes], target[~holes])
    return (
        replace(
            history,
            y=target,
            observed=observed,
            known_x=_covariates(history.known_x, known_x, offset, total),
            past_x=_covariates(history.past_x, past_x, offset, total),
        ),
        revised,
    )


def _covariates(old: Floats, new: Floats, offset: int, total: int) -> Floats:
    """Covariates [total, K]: newer values over older ones, holes carried forward inside the history."""
    values = np.full((total, old.shape[1]), np.nan)
    values[: len(old)] = old
    count = max(0, min(len(new), total - offset))
    there = np.isfinite(new[:count])
    values[offset : offset + count][there] = new[:count][there]
    for column in values.T:
        holes = np.isnan(column)
        if holes.any() and not holes.all():
            last = np.maximum.accumulate(np.where(holes, -1, np.arange(total)))
            column[holes & (last >= 0)] = column[last[holes & (last >= 0)]]
    return values
