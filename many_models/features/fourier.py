"""Sine and cosine waves of the seasons of a frequency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from many_models.features.base import Wishes
from many_models.features.rows import Rows
from many_models.panel.series import Floats, Series

EXACT_YEAR = {52: 365.25 / 7, 365: 365.25, 366: 365.25, 8760: 8766.0}
"""Seasons that stand for a year, in the steps that a year really has."""


MOST_WAVES = 10
"""Of seasons longer than a day of hours."""

SMALLEST = 1e-20
"""Errors below this share of the values are rounding."""


def auto_order(season: int, length: int) -> int:
    """How many waves a season gets when the user does not say: more where it was seen more often."""
    if season <= 24:
        return season // 2
    return 10 if length >= 3 * season else 3


def wave_table(turns: Floats) -> Floats:
    """Sine and cosine of angles in whole turns, side by side [n, 2 w] for [n, w]."""
    # Whole turns are taken off first: sines of large numbers lose digits.
    angle = 2 * np.pi * (turns - np.floor(turns))
    both = np.empty((len(turns), 2 * turns.shape[1]))
    both[:, 0::2] = np.sin(angle)
    both[:, 1::2] = np.cos(angle)
    return both


def validated_orders(y: Floats, at: Floats, periods: tuple[float, ...]) -> tuple[int, ...]:
    """How many waves of each period [p], 0 or more, the values `y` [n] at positions `at` [n] tell.

    Each season's number of waves has the lowest corrected information criterion (AICc), shortest season
    first, beside a straight line and the seasons before it. Values that follow their neighbours
    count as fewer: n (1 - r) / (1 + r) with r the autocorrelation that all waves leave.
    """
    line = np.column_stack([np.ones(len(y)), (at - at.mean()) / max(1.0, float(np.ptp(at)))])
    most = [_most_waves(period, len(y)) for period in periods]
    blocks = [wave_table(at[:, None] * (np.arange(1, k + 1) / p)) for p, k in zip(periods, most, strict=True)]
    if len(y) < 8 or not np.ptp(y) > 0.0 or not any(most):
        return tuple(0 for _ in periods)
    count = _told_apart(y, np.hstack([line, *blocks]))
    base, orders = line, []
    for block in blocks:
        errors = _nested_errors(y, base, block)
        size = base.shape[1] + 2.0 * np.arange(len(errors)) + 1
        room = count - size - 1
        fit = count * np.log(np.maximum(errors, SMALLEST * float(y @ y)))
        criterion = fit + 2 * size * count / np.maximum(room, 1e-9)
        order = int(np.argmin(np.where(room > 0, criterion, np.inf)))
        orders.append(order)
        base = np.hstack([base, block[:, : 2 * order]])
    return tuple(orders)


def _most_waves(period: float, length: int) -> int:
    """No more than tell all of a season, a tenth of the values, and what is worth trying."""
    most = int(period // 2) if period <= 24 else MOST_WAVES
    return max(0, min(most, int(period // 2), length // 20)) if length >= 2 * period else 0


def _nested_errors(y: Floats, base: Floats, block: Floats) -> Floats:
    """The sum of squares that `base` and the first 0, 1, … pairs of `block` leave [pairs + 1]."""
    directions, triangle = np.linalg.qr(np.hstack([base, block]))
    parts = directions.T @ y
    # A wave that is there already (or the sine of two steps) explains nothing.
    parts[np.abs(np.diagonal(triangle)) < 1e-6 * np.sqrt(len(y))] = 0.0
    explained = np.cumsum(parts**2)[base.shape[1] - 1 :: 2]
    return np.maximum(float(y @ y) - explained, 0.0)


def _told_apart(y: Floats, table: Floats) -> float:
    """As how many independent values `y` counts, by what `table` leaves of it."""
    directions = np.linalg.qr(table)[0]
    left = y - directions @ (directions.T @ y)
    total = float(left @ left)
    near = float(left[1:] @ left[:-1]) / total if total > 1e-12 * float(y @ y) else 0.0
    r = min(max(near, 0.0), 0.95)
    return len(y) * (1 - r) / (1 + r)


@dataclass(frozen=True)
class Fourier:
    """Pairs of waves with periods `period / k`; the phase is counted in period numbers."""

    name: ClassVar[str] = "fourier"

    waves: tuple[tuple[float, int], ...]
    """(period, k): the k-th harmonic of a period."""

    @classmethod
    def decide(cls, series: Series, wishes: Wishes) -> Self | None:
        """Waves for every season that the training part holds at least twice."""
        asked = wishes.settings.fourier
        if wishes.style == "tree" and asked is None and series.grid.has_calendar:
            return None  # calendar fields say the same in numbers that a tree can cut
        waves: dict[float, tuple[float, int]] = {}
        for period, order in _orders(series, wishes):
            for k in range(1, min(order, int(period // 2)) + 1):
                # The 7th harmonic of a week of hours is the first of a day: once is enough.
                waves.setdefault(round(period / k, 9), (period, k))
        return cls(tuple(waves.values())) if waves else None

    @property
    def columns(self) -> tuple[str, ...]:
        """A sine and a cosine for each wave; the sine of a two-step wave is zero and left out."""
        names = [f"{kind}{k}_{period:g}" for period, k in self.waves for kind in ("sin", "cos")]
        return tuple(name for name, kept in zip(names, self._kept, strict=True) if kept)

    @property
    def _kept(self) -> tuple[bool, ...]:
        return tuple(flag for period, k in self.waves for flag in (abs(period / k - 2.0) > 1e-9, True))

    @property
    def memory(self) -> int:
        """None of the target is read."""
        return 0

    def build(self, rows: Rows) -> Floats:
        """The waves at the rows [n, c]."""
        both = wave_table(rows.ordinals[:, None] * np.array([k / period for period, k in self.waves]))
        kept = self._kept
        return both if all(kept) else both[:, np.array(kept)]

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return {"waves": [[period, k] for period, k in self.waves]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
        return cls(tuple((float(period), int(k)) for period, k in data["waves"]))


def _orders(series: Series, wishes: Wishes) -> list[tuple[float, int]]:
    """(period, waves) of every season that the training part holds at least twice."""
    asked, length = wishes.settings.fourier, len(series)
    if isinstance(asked, tuple):
        return [(period, order) for period, order in asked if length >= 2 * period]
    seasons = sorted({wishes.season, *series.grid.frequency.seasons} - {0, 1})
    seasons = [season for season in seasons if length >= 2 * season]
    periods = tuple(EXACT_YEAR.get(season, float(season)) for season in seasons)
    if asked == "validate":
        seen = series.observed
        orders = validated_orders(series.y[seen], series.ordinals[seen].astype(np.float64), periods)
        return list(zip(periods, orders, strict=True))
    limits = [auto_order(season, length) if asked is None else asked for season in seasons]
    return [
        (period, min(limit, season // 2))
        for period, limit, season in zip(periods, limits, seasons, strict=True)
    ]
