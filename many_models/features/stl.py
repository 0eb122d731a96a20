"""Season and trend of a decomposition (STL), as they were known at each row's cutoff.

STL smooths in both directions: its season and trend of a day know what came after it. So the
training part is decomposed at a few earlier cutoffs, each time up to there and no further; a row
reads the last of these that lies at or before its own cutoff, carried on: the last cycle of the
season repeats, the trend goes on with a slope that dies out. Rows before the first read zeros.
Cleveland et al. (1990), STL: a seasonal-trend decomposition procedure based on loess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from many_models.features.base import Wishes
from many_models.features.rows import Rows
from many_models.panel.series import Floats, Series

VINTAGES = 6
"""Cutoffs at which the training part is decomposed, its end among them."""
DAMPING = 0.9
"""What is left of the slope after a step."""
DIGITS = 6
"""Significant digits that are kept."""


@dataclass(frozen=True)
class Vintage:
    """What was known at one cutoff.

    Attributes
    ----------
    end
        Its ordinal.
    level, slope
        The trend there, less the mean of the values up to there, and its change per step.
    cycle : [m]
        The season of the m steps that follow.
    """

    end: int
    level: float
    slope: float
    cycle: tuple[float, ...]


@dataclass(frozen=True)
class Stl:
    """The season and the trend of a row, carried on from the last decomposition before its cutoff."""

    name: ClassVar[str] = "stl"

    vintages: tuple[Vintage, ...]
    """By increasing cutoff."""

    @classmethod
    def decide(cls, series: Series, wishes: Wishes) -> Self | None:
        """Decompositions of the training part, where asked for and its season came round twice."""
        if not wishes.settings.stl:
            return None
        seasons = (wishes.season, *series.grid.frequency.seasons)
        season = next((m for m in seasons if m > 1 and len(series) > 2 * m), None)
        if season is None:
            return None
        y, log = series.y, wishes.settings.transform != "none" and float(series.y.min()) >= 0.0
        ends = np.unique(np.linspace(2 * season + 1, len(y), VINTAGES).astype(int)).tolist()
        return cls(
            tuple(
                decomposed(_logs(y[:end]) if log else y[:end], season, series.start + end - 1) for end in ends
            )
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The season, then the trend."""
        return ("stl_season", "stl_trend")

    @property
    def memory(self) -> int:
        """None of the target is read once the decompositions are made."""
        return 0

    def build(self, rows: Rows) -> Floats:
        """Season and trend of each row as they were known at its cutoff [n, 2]."""
        ends = np.array([vintage.end for vintage in self.vintages])
        cutoffs = rows.ordinals - rows.target + rows.cutoff
        which = np.searchsorted(ends, cutoffs, side="right") - 1
        table = np.zeros((len(rows), 2))
        for number in np.unique(which[which >= 0]).tolist():
            vintage, chosen = self.vintages[number], which == number
            ahead = rows.ordinals[chosen] - vintage.end
            table[chosen, 0] = np.array(vintage.cycle)[(ahead - 1) % len(vintage.cycle)]
            gone = DAMPING * (1 - DAMPING ** ahead.astype(np.float64)) / (1 - DAMPING)
            table[chosen, 1] = vintage.level + vintage.slope * gone
        return table

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return {"vintages": [[v.end, v.level, v.slope, list(v.cycle)] for v in self.vintages]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
        return cls(
            tuple(
                Vintage(int(end), float(level), float(slope), tuple(float(v) for v in cycle))
                for end, level, slope, cycle in data["vintages"]
            )
        )


def decomposed(y: Floats, season: int, end: int) -> Vintage:
    """What the decomposition of `y` [n], whose last value has the ordinal `end`, says of its end."""
    from statsmodels.tsa.seasonal import STL

    parts = STL(y, period=season).fit()
    trend = np.asarray(parts.trend)
    slope = (trend[-1] - trend[-1 - season]) / season
    level = trend[-1] - float(y.mean())
    cycle = tuple(_short(v) for v in np.asarray(parts.seasonal)[-season:].tolist())
    return Vintage(end, _short(level), _short(slope), cycle)


def _logs(y: Floats) -> Floats:
    """log(1 + y), in units of the mean so far."""
    return np.log1p(y / max(float(y.mean()), 1e-12))


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
