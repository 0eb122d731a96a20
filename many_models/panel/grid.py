"""Frequencies and grids: period numbers (ordinals) to time stamps and back, in int64 alone.

A `Frequency` says how long a step is, a `Grid` where the stamps of a series lie: its zone, the
offset of the stamps inside their periods, and whether a stamp labels the start or the end of
its period. Nothing here loops over stamps or builds a pandas offset.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from many_models.errors import InputError, Problem, nearest
from many_models.panel.zones import DAY_US, SECOND_US, from_wall, to_wall, zone_problem

Ints: TypeAlias = npt.NDArray[np.int64]
Moments: TypeAlias = npt.NDArray[np.datetime64]
Kind: TypeAlias = Literal[
    "year", "half", "quarter", "month", "week", "business", "day", "hour", "minute", "second", "integer"
]

WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

_FIXED_US = {"s": SECOND_US, "min": 60 * SECOND_US, "h": 3600 * SECOND_US}
_KIND_OF: dict[str, Kind] = {
    "s": "second",
    "min": "minute",
    "h": "hour",
    "D": "day",
    "B": "business",
    "W": "week",
}
_MODERN = {
    "H": "h", "T": "min", "S": "s", "M": "ME", "Q": "QE", "A": "YE", "Y": "YE", "BH": "h",
    "AS": "YS", "BM": "ME", "BMS": "MS", "BME": "ME", "BQ": "QE", "BA": "YE", "d": "D", "w": "W",
    "daily": "D", "weekly": "W", "monthly": "MS", "quarterly": "QS", "yearly": "YS", "annual": "YS",
    "hourly": "h", "MIN": "min", "m": "ME", "y": "YE", "q": "QE", "b": "B",
}  # fmt: skip
_BASES = ("YS", "YE", "QS", "QE", "MS", "ME", "W", "B", "D", "h", "min", "s")
_ALLOWED = (
    "YS, YE, QS, QE, MS, ME, W-MON … W-SUN, B, D, h, min, s, multiples such as 15min, or 1 (integer steps)"
)
_SHAPE = re.compile(r"^(\d*)\s*([A-Za-z]+)(?:-([A-Za-z]+))?$")
_YEAR_US = 365.2425 * DAY_US


def _refuse(found: object, action: str) -> InputError:
    return InputError(Problem("data.frequency", repr(found), _ALLOWED, action))


@dataclass(frozen=True)
class Frequency:
    """How long one step is; made by `parse`.

    Attributes
    ----------
    alias
        The pandas alias, written out (`W-SUN`, `QE-DEC`, `15min`), or a number of integer steps.
    kind
        The class of frequency.
    every
        How many base units one step is: 15 in `15min`; months in `month` and coarser.
    anchor
        Weekday 0 = Monday, or first month of the period 0 = January (modulo `every`).
    at_end
        Stamps lie on the last day of their period (`ME`, `QE-*`, `YE-*`).
    """

    alias: str
    kind: Kind
    every: int = 1
    anchor: int = 0
    at_end: bool = False

    @classmethod
    def parse(cls, alias: str | int) -> Frequency:
        """The frequency of a pandas alias, or of a number of integer steps.

        Raises
        ------
        InputError
            Names the modern or nearest alias, and what is allowed.
        """
        return _parse(str(alias).strip())

    @property
    def season(self) -> int:
        """The season m of MASE: yearly 1, quarterly 4, monthly 12, weekly 1, daily 7, hourly 24, else 1."""
        return {"QS": 4, "QE": 4, "MS": 12, "ME": 12, "D": 7, "h": 24}.get(self.alias.split("-")[0], 1)

    @property
    def seasons(self) -> tuple[int, ...]:
        """Season lengths that models may use, shortest first; empty where there is none."""
        if self.kind in ("hour", "minute", "second"):
            step = self.step_us
            spans = (DAY_US, 7 * DAY_US) if step >= 60 * SECOND_US else (3600 * SECOND_US, DAY_US)
            return tuple(span // step for span in spans if span % step == 0 and span // step > 1)
        if self.kind == "day":
            return {1: (7, 365)}.get(self.every, ())
        if self.kind == "week":
            return {1: (52,), 2: (26,), 4: (13,)}.get(self.every, ())
        return {"quarter": (4,), "month": (12,), "half": (2,), "business": (5,)}.get(self.kind, ())

    @property
    def step_us(self) -> int:
        """Microseconds of one step: an average for months, coarser, and business days; 0 for integers."""
        if self.kind in ("hour", "minute", "second"):
            return self.every * _FIXED_US[{"hour": "h", "minute": "min", "second": "s"}[self.kind]]
        if self.kind == "integer":
            return 0
        days = {"day": 1.0, "week": 7.0, "business": 7 / 5}.get(self.kind)
        return round(self.every * (_YEAR_US / 12 if days is None else days * DAY_US))

    @property
    def steps_per_year(self) -> float:
        """Steps in an average year; NaN for integer steps."""
        return float("nan") if self.kind == "integer" else _YEAR_US / self.step_us

    @property
    def is_absolute(self) -> bool:
        """Whether steps are equal lengths of real time (hours and finer), not cut in the wall clock."""
        return self.kind in ("hour", "minute", "second")

    @property
    def is_monthly(self) -> bool:
        """Whether periods are whole months: month, quarter, half-year, year."""
        return self.kind in ("month", "quarter", "half", "year")

    def __str__(self) -> str:
        return self.alias


def _month_frequency(alias: str, base: str, every: int, name: str | None) -> Frequency:
    at_end = base[1] == "E"
    if base[0] == "M":
        if every != 1 or name:
            raise _refuse(
                alias, f"write {base}, QS-…, 2QS-… (half-years) or YS-…; months have no multiples here"
            )
        return Frequency(base, "month", 1, 0, at_end)
    unit = 3 if base[0] == "Q" else 12
    limit = 2 if unit == 3 else 1
    if every > limit:
        raise _refuse(alias, "multiples of years, and of quarters beyond 2 (half-years), are not supported")
    default = "DEC" if at_end else "JAN"
    month = (name or default).upper()
    if month not in MONTHS:
        near = nearest(month, MONTHS)
        raise _refuse(
            alias,
            f"the month after the dash is one of {', '.join(MONTHS)}"
            + (f"; did you mean {near}?" if near else ""),
        )
    months = unit * every
    anchor = (MONTHS.index(month) + (1 if at_end else 0)) % months
    kind: Kind = "year" if months == 12 else "half" if months == 6 else "quarter"
    return Frequency(f"{every if every > 1 else ''}{base}-{month}", kind, months, anchor, at_end)


@lru_cache(maxsize=256)
def _parse(alias: str) -> Frequency:
    if alias.isdigit():
        if int(alias) < 1:
            raise _refuse(alias, "integer steps start at 1")
        return Frequency(str(int(alias)), "integer", int(alias))
    match = _SHAPE.match(alias)
    if match is None:
        raise _refuse(alias, "write a number and a unit, for instance D, 15min, W-THU")
    every, base, name = int(match[1] or 1), match[2], match[3]
    if every < 1:
        raise _refuse(alias, "the number before the unit starts at 1")
    if base == "N" and name is None:
        return Frequency(str(every), "integer", every)
    if base not in _BASES:
        modern = _MODERN.get(base) or nearest(base, _BASES)
        tail = f"-{name.upper()}" if name else ""
        number = str(every) if every > 1 else ""
        raise _refuse(alias, f"write {number}{modern}{tail}" if modern else f"use one of {', '.join(_BASES)}")
    if base in ("MS", "ME", "QS", "QE", "YS", "YE"):
        return _month_frequency(alias, base, every, name)
    if base == "W":
        day = (name or "SUN").upper()
        if day not in WEEKDAYS:
            near = nearest(day, WEEKDAYS)
            raise _refuse(
                alias, f"write W-{near}" if near else f"after W- comes one of {', '.join(WEEKDAYS)}"
            )
        return Frequency(f"{every if every > 1 else ''}W-{day}", "week", every, WEEKDAYS.index(day))
    if name:
        raise _refuse(alias, f"write {match[1]}{base}: only W, QS, QE, YS and YE take a name after the dash")
    if base == "B" and every > 1:
        raise _refuse(alias, "business days have no multiples here; write B or D")
    base, every = _whole_units(base, every)
    return Frequency(f"{every if every > 1 else ''}{base}", _KIND_OF[base], every)


def _whole_units(base: str, every: int) -> tuple[str, int]:
    """60min as 1h, 120s as 2min: one name per length. (24h stays: a day is cut in the wall clock.)"""
    if base == "s" and every % 60 == 0:
        base, every = "min", every // 60
    if base == "min" and every % 60 == 0:
        base, every = "h", every // 60
    return base, every


@dataclass(frozen=True)
class Grid:
    """Where the stamps of a series lie.

    Ordinals are period numbers; canonical time is int64 microseconds since the epoch in UTC, or
    the integer time index itself where `integer` is set.

    Attributes
    ----------
    frequency
        The step.
    zone
        IANA name of the wall clock in which days and coarser periods are cut; None is UTC.
    phase_us
        Offset of the stamps inside the period: 6 hours for daily stamps at 06:00, 14 days for
        months stamped on the 15th; for an integer index, the offset in its own units.
    label
        Whether a stamp is the start or the end of its period. `ME`, `QE-*`, `YE-*` always label the
        calendar period that they end. `end` for days and weeks: the stamped day is the period's
        last; for hours and finer and for `MS`, `QS-*`, `YS-*`: the period ends as the stamp begins.
    integer
        Time is an integer index; `frequency` then only says what one step is (its season).
    step
        Difference between neighbouring values of an integer index.
    """

    frequency: Frequency
    zone: str | None = None
    phase_us: int = 0
    label: Literal["start", "end"] = "start"
    integer: bool = field(default=False)
    step: int = field(default=1)

    def __post_init__(self) -> None:
        if self.frequency.kind == "integer" and not self.integer:
            object.__setattr__(self, "integer", True)
            object.__setattr__(self, "step", self.frequency.every)

    @classmethod
    def through(
        cls, t: int, frequency: Frequency, zone: str | None = None, label: Literal["start", "end"] = "start"
    ) -> Grid:
        """The grid of a frequency whose stamps have the time of day of `t`; of multiples, through `t`."""
        if frequency.kind == "integer":
            return cls(frequency, None, t % frequency.every, label, True, frequency.every)
        if frequency.is_absolute:
            return cls(frequency, zone, t % frequency.step_us, label)
        wall = int(to_wall(np.array([t], dtype=np.int64), zone)[0])
        if frequency.kind == "day":
            return cls(frequency, zone, wall % (frequency.every * DAY_US), label)
        phase = wall % DAY_US
        if frequency.kind == "week" and frequency.every > 1:
            base = cls(frequency, zone, phase, label)
            days = wall // DAY_US - base._week_origin()
            phase += days // 7 % frequency.every * 7 * DAY_US
        return cls(frequency, zone, phase, label)

    @property
    def has_calendar(self) -> bool:
        """Whether ordinals have dates (an integer index has none)."""
        return not self.integer

    def _week_origin(self) -> int:
        """Day number of a stamp of the weekly grid without phase (1970-01-01 was a Thursday)."""
        return self.frequency.anchor - 3

    # -- time to ordinals ---------------------------------------------------

    def ordinals(self, t: npt.ArrayLike) -> Ints:
        """The ordinal [n] of the last stamp at or before each moment [n] (for period ends: of its period)."""
        moments = np.asarray(t, dtype=np.int64)
        if self.integer:
            return (moments - self.phase_us) // self.step
        if self.frequency.is_absolute:
            return (moments - self.phase_us) // self.frequency.step_us
        return self._wall_ordinals(to_wall(moments, self.zone))

    def _wall_ordinals(self, wall: Ints) -> Ints:
        frequency = self.frequency
        shifted = wall - self.phase_us
        if frequency.is_monthly:
            months = shifted.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
            return (months - frequency.anchor) // frequency.every
        days = shifted // DAY_US
        if frequency.kind == "day":
            return days // frequency.every
        if frequency.kind == "week":
            return (days - self._week_origin()) // (7 * frequency.every)
        monday_based = days + 3
        return monday_based // 7 * 5 + np.minimum(monday_based % 7, 4)

    def containing(self, t: npt.ArrayLike) -> Ints:
        """The ordinal [n] of the period that holds each moment [n]; equals `ordinals` for label `start`."""
        moments = np.asarray(t, dtype=np.int64)
        if self.label == "start" or self.frequency.at_end:
            return self.ordinals(moments)
        if self.integer or self.frequency.is_absolute:
            return self.ordinals(moments) + 1
        return self._wall_ordinals(to_wall(moments, self.zone) - self._lead_us()) + 1

    def _lead_us(self) -> int:
        """How far a period with label `end` reaches beyond its stamp: a stamped day belongs to it."""
        whole_days = self.frequency.kind in ("day", "week", "business") and self.phase_us % DAY_US == 0
        return DAY_US if whole_days else 0

    # -- ordinals to time ---------------------------------------------------

    def stamps(self, ordinals: npt.ArrayLike) -> Ints:
        """The canonical time [n] of ordinals [n].

        A wall-clock stamp that comes twice is its first occurrence; one that does not exist moves
        forward by the change.
        """
        numbers = np.asarray(ordinals, dtype=np.int64)
        if self.integer:
            return numbers * self.step + self.phase_us
        if self.frequency.is_absolute:
            return numbers * self.frequency.step_us + self.phase_us
        return from_wall(self._wall_us(numbers), self.zone)

    def _wall_us(self, numbers: Ints) -> Ints:
        frequency = self.frequency
        if frequency.is_absolute:
            return to_wall(numbers * frequency.step_us + self.phase_us, self.zone)
        if frequency.is_monthly:
            months = numbers * frequency.every + frequency.anchor
            return self._month_us(months + frequency.every if frequency.at_end else months) + self.phase_us
        if frequency.kind == "day":
            days = numbers * frequency.every
        elif frequency.kind == "week":
            days = numbers * (7 * frequency.every) + self._week_origin()
        else:
            days = numbers // 5 * 7 + numbers % 5 - 3
        result: Ints = days * DAY_US + self.phase_us
        return result

    def _month_us(self, months: Ints) -> Ints:
        """Wall microseconds of the first day of month numbers; for period ends, of the day before it."""
        days = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        result: Ints = (days - 1 if self.frequency.at_end else days) * DAY_US
        return result

    def on_grid(self, t: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which moments [n] are stamps of this grid."""
        moments = np.asarray(t, dtype=np.int64)
        result: npt.NDArray[np.bool_] = self.stamps(self.ordinals(moments)) == moments
        return result

    def wall(self, ordinals: npt.ArrayLike) -> Moments:
        """The local wall clock datetime64[us] [n] of the stamps of ordinals [n], for calendar features.

        Raises
        ------
        InputError
            For an integer time index, which has no calendar (`has_calendar`).
        """
        self._need_calendar()
        return self._wall_us(np.asarray(ordinals, dtype=np.int64)).astype("datetime64[us]")

    def spans(self, ordinals: npt.ArrayLike) -> tuple[Moments, Moments]:
        """Start and end, datetime64[us] [n] each, of the wall-clock periods [start, end) of ordinals [n].

        Raises
        ------
        InputError
            For an integer time index, which has no calendar.
        """
        self._need_calendar()
        numbers = np.asarray(ordinals, dtype=np.int64)
        frequency = self.frequency
        if frequency.at_end:
            months = numbers * frequency.every + frequency.anchor
            first = months.astype("datetime64[M]").astype("datetime64[us]")
            return first, (months + frequency.every).astype("datetime64[M]").astype("datetime64[us]")
        lead = 0
        if self.label == "end":
            lead = self._lead_us()
            numbers = numbers - 1
        start = self._wall_us(numbers) + lead
        if frequency.kind == "business" and self.label == "start":
            return start.astype("datetime64[us]"), (start + DAY_US).astype("datetime64[us]")
        end = self._wall_us(numbers + 1) + lead
        return start.astype("datetime64[us]"), end.astype("datetime64[us]")

    def _need_calendar(self) -> None:
        if self.integer:
            raise InputError(
                Problem(
                    "data.time", "an integer time index", "a date or timestamp", "leave calendar features off"
                )
            )

    # -- plain data ---------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """This grid as JSON values."""
        return {
            "frequency": self.frequency.alias,
            "zone": self.zone,
            "phase_us": self.phase_us,
            "label": self.label,
            "integer": self.integer,
            "step": self.step,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Grid:
        """The grid that `to_dict` wrote.

        Raises
        ------
        InputError
            When an entry is missing or has a value that no grid has.
        """
        try:
            frequency = Frequency.parse(str(data["frequency"]))
            zone = None if data["zone"] is None else str(data["zone"])
            phase, step = int(data["phase_us"]), int(data["step"])
            label, integer = data["label"], bool(data["integer"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                Problem("grid", repr(data)[:200], "what Grid.to_dict writes", str(error))
            ) from None
        problem = zone_problem(zone, "grid.zone") if zone is not None else None
        if problem is not None:
            raise InputError(problem)
        if label not in ("start", "end") or step < 1:
            raise InputError(
                Problem("grid", repr(data)[:200], "label start or end, step from 1", "store it anew")
            )
        return cls(frequency, zone, phase, label, integer, step)
