"""Past-only covariates: their last published values and trailing means, as each row may see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from many_models.features.base import Wishes
from many_models.features.lags import known_position
from many_models.features.rows import Positions, Rows
from many_models.panel.series import Floats, Series

SEASONAL_CYCLES = 2
"""A season's lag needs so many seasons of training part."""
MOST_CATEGORIES = 10


@dataclass(frozen=True)
class Reading:
    """One feature from one past-only covariate.

    Attributes
    ----------
    source
        Position of the covariate.
    lag
        A whole number of so many steps before the row, the last published; 0 = a trailing mean.
    width
        How many last published values the mean takes; 1 for a lag.
    delay
        Steps after which a value is published.
    code
        The category that an indicator stands for; -1 for a number.
    """

    name: str
    source: int
    lag: int
    width: int
    delay: int
    low: float
    high: float
    code: int = -1

    @property
    def memory(self) -> int:
        """How many last rows are read."""
        return self.delay + max(self.lag, self.width)

    def build(self, rows: Rows) -> Floats:
        """The feature of the rows [n]."""
        published = rows.cutoff - self.delay
        if self.lag:
            return self._at(rows, known_position(rows.target, published, self.lag))
        block = self._at(rows, (published[:, None] - np.arange(self.width)).ravel())
        means: Floats = block.reshape(len(rows), self.width).mean(axis=1)
        return means

    def _at(self, rows: Rows, positions: Positions) -> Floats:
        """The covariate at positions of the target; before the first row stands the first."""
        offset = len(rows.past_x) - len(rows.y)
        value = rows.past_x[np.maximum(positions + offset, 0), self.source]
        if self.code >= 0:
            return np.asarray(value == self.code, dtype=np.float64)
        return np.clip(value, self.low, self.high)


@dataclass(frozen=True)
class Past:
    """Lags and trailing means of covariates that are known only up to the cutoff, less their delay."""

    name: ClassVar[str] = "past"

    readings: tuple[Reading, ...]

    @classmethod
    def decide(cls, series: Series, wishes: Wishes) -> Self | None:
        """The readings of the covariates that vary in the training part and that it can carry."""
        return None

    @property
    def columns(self) -> tuple[str, ...]:
        """Covariate by covariate: lags, then means."""
        return tuple(reading.name for reading in self.readings)

    @property
    def memory(self) -> int:
        """None of the target is read."""
        return 0

    @property
    def past_memory(self) -> int:
        """How many last rows of the past-only covariates the rows of a forecast read."""
        return max(reading.memory for reading in self.readings)

    def build(self, rows: Rows) -> Floats:
        """The readings of the rows [n, c]."""
        return np.column_stack([reading.build(rows) for reading in self.readings])

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return {
            "readings": [
                [r.name, r.source, r.lag, r.width, r.delay, r.low, r.high, r.code] for r in self.readings
            ]
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
        return cls(
            tuple(
                Reading(
                    str(name),
                    int(source),
                    int(lag),
                    int(width),
                    int(delay),
                    float(low),
                    float(high),
                    int(code),
                )
                for name, source, lag, width, delay, low, high, code in data["readings"]
            )
        )
