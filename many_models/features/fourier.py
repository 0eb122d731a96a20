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


def auto_order(season: int, length: int) -> int:
    """How many waves a season gets when the user does not say: more where it was seen more often."""
    if season <= 24:
        return season // 2
    return 10 if length >= 3 * season else 3


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
        seasons = sorted({wishes.season, *series.grid.frequency.seasons} - {0, 1})
        waves: dict[float, tuple[float, int]] = {}
        for season in seasons:
            if len(series) < 2 * season:
                continue
            order = (
                auto_order(season, len(series))
                if wishes.settings.fourier is None
                else wishes.settings.fourier
            )
            period = EXACT_YEAR.get(season, float(season))
            for k in range(1, min(order, season // 2) + 1):
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
        speed = np.array([k / period for period, k in self.waves])
        # Whole turns are taken off first: sines of large numbers lose digits.
        turns = rows.ordinals[:, None] * speed
        angle = 2 * np.pi * (turns - np.floor(turns))
        both = np.empty((len(rows), 2 * len(speed)))
        both[:, 0::2] = np.sin(angle)
        both[:, 1::2] = np.cos(angle)
        kept = self._kept
        return both if all(kept) else both[:, np.array(kept)]

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return {"waves": [[period, k] for period, k in self.waves]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
        return cls(tuple((float(period), int(k)) for period, k in data["waves"]))
