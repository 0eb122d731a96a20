"""The stored tail of a history with newer rows: what moves a model's state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from many_models.panel.imputation import AUTO, Fill, fill_columns, fill_target
from many_models.panel.series import Covariate, Floats, Series


@dataclass(frozen=True)
class Fills:
    """How holes of newer history are filled: as those of the training were.

    Attributes
    ----------
    target
        Of the target.
    known, past
        Of each covariate column; none for all is `auto`.
    """

    target: Fill = AUTO
    known: tuple[Fill, ...] = ()
    past: tuple[Fill, ...] = ()


def extended(
    history: Series, start: int, y: Floats, known_x: Floats, past_x: Floats, fills: Fills | None = None
) -> tuple[Series, int]:
    """The history with newer values put in, and how many observed values they revised.

    Values replace older ones at the same ordinal; holes after the stored end are filled as `fills`
    say (straight lines, and the covariate's value before), from what the tail holds; a history
    without newer rows comes back bit for bit.

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
    fills, season = fills or Fills(), history.grid.frequency.season
    known = _laid_over(history.known_x, known_x, offset, total)
    past = _laid_over(history.past_x, past_x, offset, total)
    return (
        replace(
            history,
            y=fill_target(target, np.isfinite(target), fills.target, season),
            observed=observed,
            known_x=fill_columns(known, _rules(fills.known, history.known), history.known, season),
            past_x=fill_columns(past, _rules(fills.past, history.past), history.past, season),
        ),
        revised,
    )


def _rules(fills: Sequence[Fill], columns: Sequence[Covariate]) -> list[Fill]:
    """The rule of each column; where there was no row at all, a column was missing."""
    given = fills or [AUTO] * len(columns)
    return [
        Fill("constant", 1.0) if column.origin == "missing" else fill
        for fill, column in zip(given, columns, strict=True)
    ]


def _laid_over(old: Floats, new: Floats, offset: int, total: int) -> Floats:
    """Covariates [total, K]: newer values over older ones, NaN where there are neither."""
    values = np.full((total, old.shape[1]), np.nan)
    values[: len(old)] = old
    count = max(0, min(len(new), total - offset))
    there = np.isfinite(new[:count])
    values[offset : offset + count][there] = new[:count][there]
    return values
