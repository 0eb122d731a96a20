"""Level shifts and drift: where a history is no longer what it was."""

from __future__ import annotations

import numpy as np

from many_models.panel.demand import median
from many_models.panel.series import Floats

SHIFT_Z = 8.0
"""A shift is this many robust standard deviations of the values around their local level."""

DRIFT_DISTANCE = 0.98
"""Kolmogorov and Smirnov's distance of two parts that hardly share a value."""

DRIFT_SCALE = 16.0
"""Factor between the spreads of two parts that are of different scale."""

_POSITIONS = 400
_LEAST_WINDOW = 10


def level_shift(values: Floats, season: int) -> tuple[int, float] | None:
    """Where the level of the observed values [n] changes most, and by how much; None where it does not.

    The medians of the two whole seasons (at least ten values) on both sides are compared. A trend
    never counts: over a window it moves the level by less than three of the spreads it causes itself.
    """
    window = max(_LEAST_WINDOW, 2 * season)
    if len(values) < 4 * window:
        return None
    # on long histories not every position is looked at, but a shift is as wide as its windows
    step = max(1, min(window // 4, (len(values) - 2 * window) // _POSITIONS))
    ordered = np.sort(np.lib.stride_tricks.sliding_window_view(values, window)[::step], axis=1)
    levels = (ordered[:, (window - 1) // 2] + ordered[:, window // 2]) / 2
    apart = max(1, window // step)
    jumps = levels[apart:] - levels[:-apart]
    if not len(jumps):
        return None
    place = int(np.abs(jumps).argmax())
    near = levels[_nearest(len(values), window, step, len(levels))]
    noise = 1.4826 * median(np.abs(values - near))
    jump = float(jumps[place])
    least = max(SHIFT_Z * noise, 0.05 * float(np.abs(levels).max()))
    return ((place + apart) * step, jump) if abs(jump) > least else None


def _nearest(n: int, window: int, step: int, levels: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The window [n] whose middle is nearest to each position."""
    places = (np.arange(n) - window // 2) // step
    return np.clip(places, 0, levels - 1).astype(np.int64)


def distance(before: Floats, after: Floats) -> float:
    """Kolmogorov and Smirnov's distance of two samples, 0 … 1: the greatest gap of their distributions."""
    if not (len(before) and len(after)):
        return 0.0
    before, after = np.sort(before), np.sort(after)
    at = np.concatenate([before, after])
    gaps = np.searchsorted(before, at, "right") / len(before) - np.searchsorted(after, at, "right") / len(
        after
    )
    return float(np.abs(gaps).max())


def drifted(before: Floats, after: Floats) -> bool:
    """Whether the later values hardly share the range of the earlier ones."""
    below = float((before < median(after)).mean())
    # so far apart, hardly any earlier value lies on the other side of the later middle
    return not 0.1 < below < 0.9 and distance(before, after) >= DRIFT_DISTANCE


def rescaled(before: Floats, after: Floats) -> float:
    """The factor between the spreads of two parts; 1 where one of them does not spread."""
    spreads = [median(np.abs(part - median(part))) for part in (before, after)]
    return spreads[1] / spreads[0] if min(spreads) > 0 else 1.0
