"""Earlier values of the target that are known at every step of the horizon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from many_models.features.autocorrelation import significant_lags
from many_models.features.base import Wishes
from many_models.features.rows import Positions, Rows
from many_models.panel.series import Floats, Series


def known_position(target: Positions, cutoff: Positions, lag: int) -> Positions:
    """The last known position a whole number of `lag` steps before each target [n].

    Lag 1 is the last known value at every step, lag 7 of a daily series the last known value
    of the same weekday: one column that is right for all steps of a horizon.
    """
    hops = -((cutoff - target) // lag)
    return target - lag * hops


def auto_lags(seasons: set[int], wishes: Wishes) -> tuple[int, ...]:
    """The last value and the last seasons, and the few values before them that serve."""
    twice = {2 * season for season in seasons}
    if wishes.recursive:
        return (1, 2, 3, *seasons, *(season + 1 for season in seasons), *twice)
    # One linear coefficient for all steps: only the last value and the last seasons serve it.
    return (1, *seasons, *((2, 3) if wishes.style == "tree" else twice))


@dataclass(frozen=True)
class Lags:
    """The nearest known values a whole number of lags before the row."""

    name: ClassVar[str] = "lags"

    lags: tuple[int, ...]

    @classmethod
    def decide(cls, series: Series, wishes: Wishes) -> Self | None:
        """The lags asked for that leave at least half of the training part as rows."""
        wanted = wishes.settings.lags
        seasons = {*series.grid.frequency.seasons, wishes.season} - {1}
        if wanted is None:
            wanted = auto_lags(seasons, wishes)
        elif wanted == "pacf":
            wanted = (1, *seasons, *significant_lags(series.y, max(seasons, default=1)))
        kept = tuple(sorted({lag for lag in wanted if lag > 0 and lag + wishes.lead <= len(series) // 2}))
        return cls(kept) if kept else None

    @property
    def columns(self) -> tuple[str, ...]:
        """One column for each lag."""
        return tuple(f"lag{lag}" for lag in self.lags)

    def thinned(self) -> Lags:
        """Every second lag."""
        return Lags(self.lags[::2])

    @property
    def memory(self) -> int:
        """The longest lag: hops land within one lag of the cutoff."""
        return max(self.lags)

    def build(self, rows: Rows) -> Floats:
        """Values at the lags, relative to the level of the row [n, c]."""
        found = np.empty((len(rows), len(self.lags)))
        for column, lag in enumerate(self.lags):
            found[:, column] = rows.y[known_position(rows.target, rows.cutoff, lag)]
        return found - rows.level[:, None]

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return {"lags": list(self.lags)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
        return cls(tuple(int(lag) for lag in data["lags"]))
