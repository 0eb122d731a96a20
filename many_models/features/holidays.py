"""Public holidays inside each period, and in the days or periods just before and after it.

A period counts every holiday that it overlaps on the wall clock, so that hours, days, weeks and
months are right whether their stamp is their start or their end. The calendars are those of the
`holidays` package; they are read once per year and kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from many_models.errors import LearnerError
from many_models.features.base import Wishes
from many_models.features.rows import Rows
from many_models.features.settings import FeatureSettings
from many_models.panel.grid import Grid
from many_models.panel.series import Floats, Series
from many_models.spec.calendar_fields import PAID

Days = npt.NDArray[np.int64]
DAY_US = 86_400_000_000

FEWEST_YEARS = 2
"""A holiday that the training part holds in fewer years has no column of its own."""

PASSING = re.compile(
    r" \((?:observed|estimated|observed, estimated|in lieu|substituted from [^)]*|substitute day)\)$"
)
"""What the package adds to a name in some years only."""


class Place(NamedTuple):
    """One calendar: a country, its state or region, and a category of holidays (None: public, or `PAID`)."""

    country: str
    subdivision: str | None = None
    category: str | None = None

    @classmethod
    def load(cls, parts: Any) -> Place:
        """The place in a list of JSON values."""
        country, part, category = parts
        return cls(
            str(country), None if part is None else str(part), None if category is None else str(category)
        )

    @property
    def label(self) -> str:
        """The place in names of columns: `US`, `DE-BY`, `US_government`."""
        where = self.country if self.subdivision is None else f"{self.country}-{self.subdivision}"
        return where if self.category is None else f"{where}_{self.category}"


def place_of(text: str) -> tuple[str, str | None] | None:
    """The country and subdivision of a text such as `US` or `DE-BY`; None where nobody knows it."""
    from holidays import list_supported_countries

    country, _, part = text.strip().partition("-")
    known = list_supported_countries(include_aliases=True).get(country)
    if known is None or (part and part not in known):
        return None
    return country, part or None


def places_of(settings: FeatureSettings) -> tuple[Place, ...]:
    """The calendars that are asked for; a country without a category leaves it out."""
    wanted = settings.holiday_categories or ("public",)
    return tuple(
        Place(country, part, None if category == "public" else category)
        for country, part in settings.holidays
        for category in wanted
        if category in ("public", PAID) or category in _categories(country)
    )


@lru_cache(maxsize=512)
def _categories(country: str) -> tuple[str, ...]:
    import holidays

    try:
        return tuple(holidays.country_holidays(country).supported_categories)
    except NotImplementedError as error:
        raise LearnerError("HOLIDAYS_UNKNOWN", str(error)) from error


def _calendar(place: Place, year: int) -> Any:
    """The package's calendar of one year, in English where it has English names.

    Raises
    ------
    LearnerError
        `HOLIDAYS_UNKNOWN` where the package has no such country or subdivision.
    """
    import holidays

    country, part, category = place
    try:
        # Without a language the package takes the machine's.
        return holidays.country_holidays(
            country,
            subdiv=part,
            years=year,
            language="en_US",
            categories="public" if category in (None, PAID) else category,
        )
    except (NotImplementedError, ValueError) as error:
        raise LearnerError("HOLIDAYS_UNKNOWN", str(error)) from error


def _day_number(day: Any) -> int:
    return int(day.toordinal()) - 719_163


@lru_cache(maxsize=4096)
def _named_in(place: Place, year: int) -> tuple[tuple[int, str], ...]:
    """The holidays of one year as (day since 1970, name), sorted."""
    found = _calendar(place, year)
    days = [day for day in found if place.category != PAID or not found.is_weekend(day)]
    return tuple(
        sorted({(_day_number(day), PASSING.sub("", name)) for day in days for name in found.get_list(day)})
    )


@lru_cache(maxsize=1024)
def holiday_days(place: Place, first_year: int, last_year: int) -> Days:
    """The holidays of these years as days since 1970, sorted [m]."""
    years = range(first_year, last_year + 1)
    return _kept(sorted({day for year in years for day, _ in _named_in(place, year)}))


@lru_cache(maxsize=1024)
def named_days(places: tuple[Place, ...], first_year: int, last_year: int) -> dict[str, Days]:
    """Each holiday's days in these years, sorted; a name in several places is one holiday."""
    found: dict[str, set[int]] = {}
    for place in places:
        for year in range(first_year, last_year + 1):
            for day, name in _named_in(place, year):
                found.setdefault(name, set()).add(day)
    return {name: _kept(sorted(found[name])) for name in sorted(found)}


@lru_cache(maxsize=1024)
def working_days(place: Place | None, first_year: int, last_year: int) -> Days:
    """The working days of these years as days since 1970, sorted [m]; without a place, Monday to Friday."""
    if place is None:
        edges = [f"{first_year:04d}-01-01", f"{last_year + 1:04d}-01-01"]
        first, end = np.array(edges, dtype="datetime64[D]").astype(np.int64)
        days = np.arange(first, end)
        return _kept(days[(days + 3) % 7 < 5])
    found: list[int] = []
    for year in range(first_year, last_year + 1):
        calendar = _calendar(place, year)
        day = np.datetime64(f"{year:04d}-01-01")
        every = np.arange(day, day + np.timedelta64(366, "D")).tolist()
        found += [_day_number(d) for d in every if d.year == year and calendar.is_working_day(d)]
    return _kept(found)


def _kept(days: Any) -> Days:
    """The days as an array that nobody can change, since it is kept for all."""
    array = np.array(days, dtype=np.int64)
    array.setflags(write=False)
    return array


def years_of(start: Days, end: Days) -> tuple[int, int]:
    """The first and the last year that moments in microseconds lie in, and a year more on both sides."""
    edges = np.array([start.min(), end.max()]).astype("datetime64[us]").astype("datetime64[Y]")
    first, last = (int(year) + 1970 for year in edges.astype(np.int64))
    return first - 1, last + 1


def period_edges(grid: Grid, ordinals: Days, shift: int = 0) -> tuple[Days, Days]:
    """Start and end, in microseconds of the wall clock [n] each, of the periods, moved by `shift`.

    Days and hours move by days, longer periods by themselves.
    """
    by_days = grid.frequency.is_absolute or grid.frequency.kind == "day"
    start, end = (edge.astype(np.int64) for edge in grid.spans(ordinals if by_days else ordinals + shift))
    if grid.frequency.is_absolute:
        # The hour before clocks skip midnight ends at midnight, not an hour into the next day.
        end = np.minimum(end, start + grid.frequency.step_us)
    return (start + shift * DAY_US, end + shift * DAY_US) if by_days and shift else (start, end)


def count_overlapping(days: Days, start: Days, end: Days) -> Days:
    """How many of the sorted whole `days` overlap each period [start, end) in microseconds [n]."""
    begun = np.searchsorted(days * DAY_US, end, side="left")
    over = np.searchsorted((days + 1) * DAY_US, start, side="right")
    return np.asarray(begun - over, dtype=np.int64)


@dataclass(frozen=True)
class Holidays:
    """Counts of holidays per period, and of those around it, for each calendar; indicators by name."""

    name: ClassVar[str] = "holidays"

    places: tuple[Place, ...]
    before: int
    """So many days (for periods longer than a day: periods) before a holiday have columns of their own."""
    after: int
    names: tuple[str, ...] = ()
    """Holidays that have a column of their own."""

    @classmethod
    def decide(cls, series: Series, wishes: Wishes) -> Self | None:
        """The calendars asked for whose counts vary over the training part."""
        grid, asked = series.grid, wishes.settings
        if not asked.holidays or not grid.has_calendar or grid.frequency.kind == "year":
            return None
        around = 1 if grid.frequency.kind == "day" else 0
        before = around if asked.holiday_before is None else asked.holiday_before
        after = around if asked.holiday_after is None else asked.holiday_after
        rows = Rows.past(series)
        places = places_of(asked)
        counts = cls(places, 0, 0).build(rows)
        varying = counts.min(axis=0) < counts.max(axis=0)
        places = tuple(place for place, kept in zip(places, varying, strict=True) if kept)
        if not places:
            return None
        return cls(places, before, after, _names(rows, places) if asked.holiday_names else ())

    @property
    def columns(self) -> tuple[str, ...]:
        """For each calendar the count, the days or periods before, those after; then the names."""
        kinds = ("holiday", *_distances("eve", self.before), *_distances("after", self.after))
        counts = tuple(f"{kind}_{place.label}" for place in self.places for kind in kinds)
        return counts + tuple(f"holiday={name}" for name in self.names)

    @property
    def memory(self) -> int:
        """None of the target is read."""
        return 0

    def build(self, rows: Rows) -> Floats:
        """Holidays in and around the period of each row [n, c]."""
        table = np.empty((len(rows), len(self.columns)))
        if not table.size:
            return table
        shifts = (0, *range(1, self.before + 1), *range(-1, -self.after - 1, -1))
        edges = {shift: period_edges(rows.grid, rows.ordinals, shift) for shift in shifts}
        years = years_of(*edges[0])
        if max(map(abs, shifts)) > 1:
            years = (
                min(years_of(*pair)[0] for pair in edges.values()),
                max(years_of(*pair)[1] for pair in edges.values()),
            )
        column = 0
        for place in self.places:
            days = holiday_days(place, *years)
            for shift in shifts:
                table[:, column] = count_overlapping(days, *edges[shift])
                column += 1
        if self.names:
            known = named_days(self.places, *years)
            for name in self.names:
                table[:, column] = count_overlapping(known.get(name, _NONE), *edges[0]) > 0
                column += 1
        return table

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return {
            "places": [list(place) for place in self.places],
            "before": self.before,
            "after": self.after,
            "names": list(self.names),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
        places = tuple(Place.load(place) for place in data["places"])
        names = tuple(str(name) for name in data["names"])
        return cls(places, int(data["before"]), int(data["after"]), names)


_NONE: Days = np.empty(0, dtype=np.int64)


def _distances(kind: str, most: int) -> tuple[str, ...]:
    """`holiday_eve`, `holiday_eve2`, … up to `most`."""
    return tuple(f"holiday_{kind}{'' if n == 1 else n}" for n in range(1, most + 1))


def _names(rows: Rows, places: tuple[Place, ...]) -> tuple[str, ...]:
    """The holidays that the rows hold in at least two years, but not in every row, sorted."""
    start, end = period_edges(rows.grid, rows.ordinals)
    found = []
    for name, days in named_days(places, *years_of(start, end)).items():
        inside = days[(days * DAY_US < end[-1]) & ((days + 1) * DAY_US > start[0])]
        years = np.unique(inside.astype("datetime64[D]").astype("datetime64[Y]"))
        if len(years) >= FEWEST_YEARS and count_overlapping(days, start, end).min() == 0:
            found.append(name)
    return tuple(found)
