"""Where a series is cut for its backtest: rolling origin, expanding."""

from __future__ import annotations

from typing import Literal

import numpy as np

from many_models.panel.series import Bools


def fold_step(horizon: int, step: int | Literal["auto"] = "auto") -> int:
    """Steps between cutoffs; auto = half the horizon up to 12 steps, the whole horizon above."""
    if step != "auto":
        return step
    return max(1, horizon // 2) if horizon <= 12 else horizon


def most_folds(horizon: int, folds: int | Literal["auto"] = "auto") -> int:
    """The greatest number of folds; auto = 6, and 4 for horizons above 12."""
    if folds != "auto":
        return folds
    return 4 if horizon > 12 else 6


def least_training(season: int) -> int:
    """The fewest observed values that a training part may have."""
    return max(7, 2 * season + 1)


def cutoffs(
    observed: Bools,
    horizon: int,
    gap: int = 0,
    season: int = 1,
    folds: int | Literal["auto"] = "auto",
    step: int | Literal["auto"] = "auto",
    trainable: Bools | None = None,
) -> tuple[int, ...]:
    """The lengths of the training parts, increasing; empty when the history carries no fold.

    Parameters
    ----------
    observed : [T]
        Where the history has an actual to train on and to score.
    horizon, gap
        A fold's horizon is the `horizon` positions after `gap` positions after the cutoff.
    season
        Season m of MASE: a training part has at least max(7, 2m + 1) observed values.
    folds, step
        How many and how far apart; auto as `most_folds` and `fold_step` say.
    trainable : [T]
        Where there is something to train on, when that is more than what was observed.

    Notes
    -----
    The last cutoff has its whole horizon inside the history where the history is long enough,
    and a fold is kept only with actuals for at least half of its horizon.
    """
    length = len(observed)
    count = most_folds(horizon, folds)
    apart = fold_step(horizon, step)
    seen = np.concatenate([[0], np.cumsum(observed)])
    fits = seen if trainable is None else np.concatenate([[0], np.cumsum(trainable)])
    least = least_training(season)
    half = -(-horizon // 2)
    # the last cutoff whose whole horizon is history; on a short history, half the horizon will do
    last = length - gap - horizon
    if last < 1 or fits[last] < least:
        last = length - gap - half
    found: list[int] = []
    at = last
    while at >= 1 and len(found) < count and fits[at] >= least and seen[at] > 0:
        begin, end = min(at + gap, length), min(at + gap + horizon, length)
        if seen[end] - seen[begin] >= half:
            found.append(int(at))
        at -= apart
    return tuple(reversed(found))
