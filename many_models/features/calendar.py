"""Where a period lies in the day, the week, the month and the year."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from many_models.features.base import Wishes
from many_models.features.rows import Rows
from many_models.panel.series import Floats, Series

FIELDS_BY_KIND: dict[str, tuple[str, ...]] = {
    "half": ("half",),
    "quarter": ("quarter",),
    "month": ("month",),
    "week": ("month", "week_of_year", "week_of_month"),
    "business": ("month", "day_of_week", "day_of_month"),
    "day": ("month", "day_of_week", "day_of_month", "weekend"),
    "hour": ("month", "day_of_week", "hour", "weekend"),
    "minute": ("day_of_week", "hour", "minute", "weekend"),
    "second": ("day_of_week", "hour", "minute", "second"),
}
"""What can vary at each frequency, coarse first; other kinds have no calendar columns."""

CYCLES = {
    "half": 2,
    "quarter": 4,
    "month": 12,
    "week_of_year": 53,
    "week_of_month": 5,
    "day_of_week": 7,
    "day_of_month": 31,
    "hour": 24,
    "minute": 60,
    "second": 60,
    "weekend": 2,
}
"""How many values a field has."""

MONTHS_OF = {"month": 1, "quarter": 3, "half": 6}
"""Fields that are cut from the month of the year."""

NOISY_FOR_TREES = ("week_of_month",)
"""Fields that trees get only where the user switches the calendar on: few values, many chances to cut."""

PER_YEAR = {
    "half": 1,
    "quarter": 1,
    "month": 1,
    "week_of_year": 1,
    "week_of_month": 12,
    "day_of_month": 12,
    "day_of_week": 52,
    "weekend": 52,
    "hour": 365,
    "minute": 8766,
    "second": 525960,
}
"""How often a field comes round in a year."""

FEWEST_ROUNDS = 3
"""A field that came round less often says what happened once, not what happens."""

SECONDS_OF = {"hour": 3600, "minute": 60, "second": 1}
"""Fields that are cut from the time of day."""

COVERED_BY_WAVES = ("half", "quarter", "month", "day_of_week", "weekend")
"""Fields that the waves of the seasons describe already."""

INDICATED = ("half", "quarter", "month", "week_of_month", "day_of_week", "weekend")
"""Fields that a linear model gets as indicators; waves carry the finer ones."""


def first_moments(rows: Rows) -> npt.NDArray[np.datetime64]:
    """The wall-clock moment at which the period of each row starts [n]; a stamp may be its end."""
    grid = rows.grid
    if grid.label == "start" and not grid.frequency.at_end:
        return grid.wall(rows.ordinals)
    return grid.spans(rows.ordinals)[0]


def field_values(name: str, wall: npt.NDArray[np.datetime64]) -> npt.NDArray[np.int64]:
    """The field of wall-clock stamps, counted from 0 [n]."""
    days = wall.astype("datetime64[D]")
    day = days.astype(np.int64)
    seconds = (wall - days).astype("timedelta64[s]").astype(np.int64)
    if name in MONTHS_OF:
        found = days.astype("datetime64[M]").astype(np.int64) % 12 // MONTHS_OF[name]
    elif name == "day_of_week":
        found = (day + 3) % 7
    elif name == "weekend":
        found = ((day + 3) % 7 >= 5).astype(np.int64)
    elif name == "day_of_month":
        found = (days - days.astype("datetime64[M]")).astype(np.int64)
    elif name == "week_of_month":
        found = (days - days.astype("datetime64[M]")).astype(np.int64) // 7
    elif name == "week_of_year":
        found = (days - days.astype("datetime64[Y]")).astype(np.int64) // 7
    else:
        found = seconds // SECONDS_OF[name] % CYCLES[name]
    return np.asarray(found, dtype=np.int64)


@dataclass(frozen=True)
class Calendar:
    """Calendar fields: plain numbers for a tree, indicators for a linear model."""

    name: ClassVar[str] = "calendar"

    fields: tuple[tuple[str, tuple[int, ...]], ...]
    """(field, values that have an indicator); no values = the plain number."""

    @classmethod
    def decide(cls, series: Series, wishes: Wishes) -> Self | None:
        """The fields of this frequency that vary in the training part and came round often enough."""
        if wishes.settings.calendar is False or not series.grid.has_calendar:
            return None
        years = len(series) / series.grid.frequency.steps_per_year
        names = FIELDS_BY_KIND.get(series.grid.frequency.kind, ())
        names = tuple(name for name in names if years * PER_YEAR[name] >= FEWEST_ROUNDS)
        if wishes.style == "tree" and wishes.settings.calendar is None:
            names = tuple(name for name in names if name not in NOISY_FOR_TREES)
        if wishes.style == "linear":
            covered = () if wishes.settings.fourier == 0 else COVERED_BY_WAVES
            names = tuple(name for name in names if name in INDICATED and name not in covered)
        if not names:
            return None
        wall = first_moments(Rows.past(series))
        fields: list[tuple[str, tuple[int, ...]]] = []
        for name in names:
            counts = np.bincount(field_values(name, wall), minlength=CYCLES[name])
            seen = np.flatnonzero(counts)
            if len(seen) < 2:
                continue
            if wishes.style == "tree":
                fields.append((name, ()))
                continue
            # The first value is the base of the others; a value seen once explains itself only.
            shown = tuple(int(value) for value in seen[1:] if counts[value] > 1)
            if shown and not (name == "weekend" and any(f == "day_of_week" for f, _ in fields)):
                fields.append((name, shown))
        return cls(tuple(fields)) if fields else None

    @property
    def columns(self) -> tuple[str, ...]:
        """One name for a number, one for each indicator."""
        return tuple(
            column
            for name, values in self.fields
            for column in ([f"{name}={value}" for value in values] or [name])
        )

    @property
    def memory(self) -> int:
        """None of the target is read."""
        return 0

    def build(self, rows: Rows) -> Floats:
        """The fields of the rows [n, c]."""
        wall = first_moments(rows)
        parts = []
        for name, values in self.fields:
            found = field_values(name, wall)[:, None]
            parts.append(found == np.array(values) if values else found)
        return np.concatenate(parts, axis=1).astype(np.float64)

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return {"fields": [[name, list(values)] for name, values in self.fields]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
        return cls(tuple((str(name), tuple(int(v) for v in values)) for name, values in data["fields"]))
