"""Past-only covariates: their last published values and trailing means, as each row may see them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from many_models.features.base import Wishes
from many_models.features.covariates import Column, columns_of
from many_models.features.lags import known_position
from many_models.features.rows import Positions, Rows
from many_models.features.settings import CovariateSettings
from many_models.panel.series import Floats, Series


@dataclass(frozen=True)
class Reading:
    """One feature from the published past of one covariate.

    Attributes
    ----------
    name
        Name of the feature.
    column
        Position in `columns` of the family.
    lag
        The last published value a whole number of so many steps before the row; 0 = a mean.
    width
        How many of the last published values the mean takes; 0 for a lag.
    delay
        Steps after which a value is published.
    neutral
        The mean of the feature in training, for rows before which nothing was published.
    """

    name: str
    column: int
    lag: int
    width: int
    delay: int
    neutral: float

    @property
    def memory(self) -> int:
        """How many last rows a forecast reads."""
        return self.delay + max(self.lag, self.width)

    def build(self, column: Column, rows: Rows) -> Floats:
        """The feature of the rows [n]."""
        value = self.read(column, rows)
        return np.where(np.isfinite(value), value, self.neutral)

    def read(self, column: Column, rows: Rows) -> Floats:
        """The feature of the rows [n]; NaN where nothing was published."""
        published = rows.cutoff - self.delay
        if self.lag:
            return _value_at(column, rows, known_position(rows.target, published, self.lag))
        block = _value_at(column, rows, published[:, None] - np.arange(self.width))
        there = np.isfinite(block)
        count = there.sum(axis=1)
        total = np.where(there, block, 0.0).sum(axis=1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _value_at(column: Column, rows: Rows, positions: Positions) -> Floats:
    """A column at positions of the target; NaN before the first row."""
    places = positions + (len(rows.past_x) - len(rows.y))
    value = column.build(rows.past_x[np.maximum(places, 0), column.source])
    return np.where(places < 0, np.nan, value)


@dataclass(frozen=True)
class Past:
    """Lags and trailing means of covariates that are known only up to the cutoff, less their delay."""

    name: ClassVar[str] = "past"

    sources: tuple[Column, ...]
    readings: tuple[Reading, ...]

    @classmethod
    def decide(cls, series: Series, wishes: Wishes) -> Self | None:
        """The readings of the covariates that vary in the training part, where it can carry them."""
        settings = wishes.settings.covariates
        if settings is None or not series.past:
            return None
        lags, widths = settings.past_lags, settings.past_windows
        if lags is None:
            lags = tuple(sorted({1, wishes.season}))
        if widths is None:
            widths = (wishes.season if wishes.season > 4 else 12,)
        sources: list[Column] = []
        readings: list[Reading] = []
        for source, covariate in enumerate(series.past):
            delay = dict(settings.delays).get(covariate.source, 0)
            # What is not published yet must not even tell the range of the values.
            value = series.past_x[: max(0, len(series) - delay), source]
            room = len(series) // 2 - wishes.reach - delay
            if not len(value) or room < 1:
                continue
            for column in columns_of(covariate, source, value, wishes.style, settings.log is not False):
                place, name = len(sources), column.name
                sources.append(column)
                readings += [Reading(f"{name}-{n}", place, n, 0, delay, 0.0) for n in lags if n <= room]
                readings += [Reading(f"{name}/{n}", place, 0, n, delay, 0.0) for n in widths if n <= room]
        rows = Rows.past(series)
        kept = (_fitted(reading, sources[reading.column], rows) for reading in readings)
        found = tuple(reading for reading in kept if reading is not None)
        return cls(tuple(sources), found) if found else None

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
        return np.column_stack([each.build(self.sources[each.column], rows) for each in self.readings])

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return {
            "sources": [[c.name, c.source, c.transform, c.low, c.high] for c in self.sources],
            "readings": [[r.name, r.column, r.lag, r.width, r.delay, r.neutral] for r in self.readings],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
        sources = tuple(
            Column(str(name), int(source), transform, float(low), float(high))
            for name, source, transform, low, high in data["sources"]
        )
        readings = tuple(
            Reading(str(name), int(column), int(lag), int(width), int(delay), float(neutral))
            for name, column, lag, width, delay, neutral in data["readings"]
        )
        return cls(sources, readings)


def reads_past(series: Series, settings: CovariateSettings | None) -> bool:
    """Whether there is a past-only covariate that varies, and something of it is asked for."""
    if settings is None or not len(series.past_x) or (settings.past_lags, settings.past_windows) == ((), ()):
        return False
    return bool((series.past_x != series.past_x[0]).any())


def _fitted(reading: Reading, column: Column, rows: Rows) -> Reading | None:
    """The reading with its neutral value, or None where it does not vary in the training part."""
    value = reading.read(column, rows)
    value = value[np.isfinite(value)]
    if len(value) < 2 or not float(value.min()) < float(value.max()):
        return None
    return replace(reading, neutral=float(value.mean()))
