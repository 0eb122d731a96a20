"""Where a period lies in the day, the week, the month and the year.

Fields are those of the first moment of the period, on the wall clock, and count from 0 (January,
Monday and the first of the month are 0), but for `year`, `time`, `days_in_month` and `working_days`.
A week or month is at the start (end) of a month where it holds a month's first (last) day.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from many_models.features.base import Wishes
from many_models.features.holidays import DAY_US, Place, count_overlapping, places_of, working_days, years_of
from many_models.features.rows import Rows
from many_models.panel.series import Floats, Series
from many_models.spec.calendar_fields import CALENDAR_FIELDS

Ints = npt.NDArray[np.int64]

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
    "iso_week": 53,
    "day_of_year": 366,
    "afternoon": 2,
    "month_start": 2,
    "month_end": 2,
}
"""How many values a field has; other fields are no cycles."""

MONTHS_OF = {"month": 1, "quarter": 3, "half": 6}
"""Fields that are cut from the month of the year."""

NOISY_FOR_TREES = ("week_of_month",)
"""Fields that trees get only where they are asked for: few values, many chances to cut."""

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

INDICATED_ON_REQUEST = (*INDICATED, "day_of_month", "hour")
"""Fields that a linear model gets as indicators where they are asked for by name."""

CYCLIC = "cyclic_"
"""A field of this prefix is the sine and cosine of its place in its cycle."""

YEAR_DAYS = 365.2425


class Dates:
    """The calendar of periods by the wall-clock moments at which they start; each part is computed once."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.wall = first_moments(rows)
        self.date = self.wall.astype("datetime64[D]")

    @cached_property
    def last(self) -> npt.NDArray[np.datetime64]:
        """The last day of each period [n]."""
        if self.rows.grid.frequency.is_absolute:
            return self.date
        return (self.rows.grid.spans(self.rows.ordinals)[1] - 1).astype("datetime64[D]")

    @cached_property
    def day(self) -> Ints:
        """Days since 1970 [n]."""
        return _ints(self.date)

    @cached_property
    def second(self) -> Ints:
        """Seconds since midnight [n]."""
        return _ints((self.wall - self.date).astype("timedelta64[s]"))

    @cached_property
    def month(self) -> npt.NDArray[np.datetime64]:
        """The month of each moment [n]."""
        return self.date.astype("datetime64[M]")

    @cached_property
    def day_of_month(self) -> Ints:
        """From 0 [n]."""
        return _ints(self.date - self.month.astype("datetime64[D]"))

    @cached_property
    def days_in_month(self) -> Ints:
        """28 to 31 [n]."""
        ends = (self.month + 1).astype("datetime64[D]")
        return _ints(ends - self.month.astype("datetime64[D]"))

    @cached_property
    def year(self) -> Ints:
        """The year [n]."""
        return _ints(self.date.astype("datetime64[Y]")) + 1970

    @cached_property
    def day_of_year(self) -> Ints:
        """From 0 [n]."""
        return _ints(self.date - self.date.astype("datetime64[Y]"))

    @cached_property
    def day_of_week(self) -> Ints:
        """Monday is 0 [n]."""
        return (self.day + 3) % 7

    def iso_week(self) -> Ints:
        """The ISO week, from 0: the week that holds the first Thursday is the first [n]."""
        thursday = self.date + (3 - self.day_of_week)
        return _ints(thursday - thursday.astype("datetime64[Y]")) // 7

    def field(self, name: str) -> Ints:
        """A field by name [n]."""
        found: npt.NDArray[Any]
        if name in MONTHS_OF:
            found = self.month.astype(np.int64) % 12 // MONTHS_OF[name]
        elif name in SECONDS_OF:
            found = self.second // SECONDS_OF[name] % CYCLES[name]
        elif name in ("year", "day_of_year", "day_of_month", "days_in_month", "day_of_week"):
            found = getattr(self, name)
        elif name == "iso_week":
            found = self.iso_week()
        elif name == "week_of_year":
            found = self.day_of_year // 7
        elif name == "week_of_month":
            found = self.day_of_month // 7
        elif name == "weekend":
            found = self.day_of_week >= 5
        elif name == "afternoon":
            found = self.second >= 43_200
        elif name == "month_start":
            found = (self.day_of_month == 0) | (self.last.astype("datetime64[M]") > self.month)
        elif name == "month_end":
            found = (self.last + 1).astype("datetime64[M]") > self.month
        else:
            raise ValueError(f"no field {name!r}")
        return np.asarray(found, dtype=np.int64)

    def cycle(self, name: str) -> Ints | int:
        """How many values a field has, this month or year [n]."""
        if name == "day_of_month":
            return self.days_in_month
        if name in ("day_of_year", "week_of_year"):
            leap = (self.year % 4 == 0) & ((self.year % 100 != 0) | (self.year % 400 == 0))
            return (365 + leap) if name == "day_of_year" else 53
        return CYCLES[name]

    def waves(self, name: str) -> Floats:
        """Sine and cosine of the place of a field in its cycle [n, 2]."""
        angle = 2 * np.pi * (self.field(name) / self.cycle(name))
        return np.column_stack([np.sin(angle), np.cos(angle)])

    def time(self) -> Floats:
        """Years since 1970, in equal steps for equal times [n]."""
        return (self.day + self.second / 86_400) / YEAR_DAYS


def first_moments(rows: Rows) -> npt.NDArray[np.datetime64]:
    """The wall-clock moment at which the period of each row starts [n]; a stamp may be its end."""
    grid = rows.grid
    if grid.label == "start" and not grid.frequency.at_end:
        return grid.wall(rows.ordinals)
    return grid.spans(rows.ordinals)[0]


def working_day_counts(rows: Rows, place: Place | None) -> Ints:
    """How many working days have their noon in each period [n]; of hours, whether their day is one."""
    if not len(rows):
        return np.empty(0, dtype=np.int64)
    start, end = (edge.astype(np.int64) for edge in rows.grid.spans(rows.ordinals))
    days = working_days(place, *years_of(start, end))
    if rows.grid.frequency.is_absolute:
        return count_overlapping(days, start, start + 1)
    noons = days * DAY_US + DAY_US // 2
    return np.asarray(np.searchsorted(noons, end) - np.searchsorted(noons, start), dtype=np.int64)


def _ints(values: npt.NDArray[Any]) -> Ints:
    return values.astype(np.int64)


@dataclass(frozen=True)
class Calendar:
    """Calendar fields: plain numbers for a tree, indicators for a linear model."""

    name: ClassVar[str] = "calendar"

    fields: tuple[tuple[str, tuple[int, ...]], ...]
    """(field, values that have an indicator); no values = the plain number."""
    places: tuple[Place, ...] = ()
    """Whose holidays are no working days; none = Monday to Friday."""

    @classmethod
    def decide(cls, series: Series, wishes: Wishes) -> Self | None:
        """The fields asked for, or those of this frequency that came round often enough; they vary."""
        asked = wishes.settings.calendar
        if (asked is not None and not asked) or not series.grid.has_calendar:
            return None
        rows = Rows.past(series)
        dates = Dates(rows)
        if asked is None:
            fields = _varying(dates, _chosen(series, wishes), wishes, INDICATED)
            return cls(fields) if fields else None
        plain = [name for name in asked if name in CYCLES]
        shown = dict(_varying(dates, tuple(plain), wishes, INDICATED_ON_REQUEST))
        places = _own(places_of(wishes.settings)) if "working_days" in asked else ()
        wanted = tuple((name, shown.get(name, ())) for name in asked if name not in plain or name in shown)
        table = cls(wanted, places)._blocks(dates)
        fields = tuple(
            field for field, block in zip(wanted, table, strict=True) if bool((block != block[0]).any())
        )
        return cls(fields, places) if fields else None

    @property
    def columns(self) -> tuple[str, ...]:
        """One name for a number, one for each indicator."""
        return tuple(column for name, values in self.fields for column in self._named(name, values))

    def _named(self, name: str, values: tuple[int, ...]) -> list[str]:
        if name.startswith(CYCLIC):
            return [f"sin_{name.removeprefix(CYCLIC)}", f"cos_{name.removeprefix(CYCLIC)}"]
        if name == "working_days" and self.places:
            return [f"{name}_{place.label}" for place in self.places]
        return [f"{name}={value}" for value in values] or [name]

    @property
    def memory(self) -> int:
        """None of the target is read."""
        return 0

    def build(self, rows: Rows) -> Floats:
        """The fields of the rows [n, c]."""
        blocks = self._blocks(Dates(rows))
        return np.concatenate(blocks, axis=1).astype(np.float64)

    def _blocks(self, dates: Dates) -> list[npt.NDArray[Any]]:
        """The columns of each field [n, c]."""
        blocks: list[npt.NDArray[Any]] = []
        for name, values in self.fields:
            if name.startswith(CYCLIC):
                blocks.append(dates.waves(name.removeprefix(CYCLIC)))
            elif name == "working_days":
                places = self.places or (None,)
                blocks.append(np.column_stack([working_day_counts(dates.rows, place) for place in places]))
            elif name == "time":
                blocks.append(dates.time()[:, None])
            else:
                found = dates.field(name)[:, None]
                blocks.append(found == np.array(values) if values else found)
        return blocks

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        fields: dict[str, Any] = {"fields": [[name, list(values)] for name, values in self.fields]}
        return {**fields, "places": [list(place) for place in self.places]} if self.places else fields

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
        fields = tuple((str(name), tuple(int(v) for v in values)) for name, values in data["fields"])
        unknown = [name for name, _ in fields if name not in CALENDAR_FIELDS]
        if unknown:
            raise ValueError(f"no field {unknown[0]!r}")
        return cls(fields, tuple(Place.load(place) for place in data.get("places", ())))


def _chosen(series: Series, wishes: Wishes) -> tuple[str, ...]:
    """The fields of this frequency that came round often enough and that nothing else describes."""
    years = len(series) / series.grid.frequency.steps_per_year
    names = FIELDS_BY_KIND.get(series.grid.frequency.kind, ())
    names = tuple(name for name in names if years * PER_YEAR[name] >= FEWEST_ROUNDS)
    if wishes.style == "tree":
        return tuple(name for name in names if name not in NOISY_FOR_TREES)
    covered = () if wishes.settings.fourier == 0 else COVERED_BY_WAVES
    return tuple(name for name in names if name in INDICATED and name not in covered)


def _varying(
    dates: Dates, names: tuple[str, ...], wishes: Wishes, indicated: tuple[str, ...]
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The fields that vary, as numbers for trees, else those `indicated` with their indicators."""
    fields: list[tuple[str, tuple[int, ...]]] = []
    for name in names:
        counts = np.bincount(dates.field(name), minlength=CYCLES[name])
        seen = np.flatnonzero(counts)
        if len(seen) < 2:
            continue
        if wishes.style == "tree" or name not in indicated:
            fields.append((name, ()))
            continue
        # The first value is the base of the others; a value seen once explains itself only.
        shown = tuple(int(value) for value in seen[1:] if counts[value] > 1)
        if shown and not (name == "weekend" and any(f == "day_of_week" for f, _ in fields)):
            fields.append((name, shown))
    return tuple(fields)


def _own(places: tuple[Place, ...]) -> tuple[Place, ...]:
    """The places without their categories, each once: working days are those of public holidays."""
    return tuple(dict.fromkeys(place._replace(category=None) for place in places))
