"""Public holidays inside each period, and for days those just before and after."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from many_models.errors import LearnerError
from many_models.features.base import Wishes
from many_models.features.rows import Rows
from many_models.panel.series import Floats, Series

Days = npt.NDArray[np.int64]
DAY_US = 86_400_000_000


@lru_cache(maxsize=4096)
def holiday_days(country: str, subdivision: str | None, year: int) -> tuple[int, ...]:
    """The holidays of one year as days since 1970, sorted.

    Raises
    ------
    LearnerError
        `HOLIDAYS_UNKNOWN` where the package has no such country or subdivision.
    """
    import holidays

    try:
        found = holidays.country_holidays(country, subdiv=subdivision, years=year)
    except NotImplementedError as error:
        raise LearnerError("HOLIDAYS_UNKNOWN", str(error)) from error
    epoch = np.datetime64("1970-01-01", "D")
    return tuple(sorted(int((np.datetime64(day, "D") - epoch).astype(int)) for day in found))


def days_between(pair: tuple[str, str | None], first_day: int, last_day: int) -> Days:
    """The holidays from `first_day` to `last_day` (days since 1970), sorted [m]."""
    years = np.array([first_day, last_day]).astype("datetime64[D]").astype("datetime64[Y]").astype(int) + 1970
    days = [day for year in range(years[0], years[1] + 1) for day in holiday_days(*pair, year)]
    return np.array([day for day in days if first_day <= day <= last_day], dtype=np.int64)


def count_overlapping(days: Days, start: Days, end: Days) -> Days:
    """How many of the sorted whole `days` overlap each period [start, end) in microseconds [n]."""
    begun = np.searchsorted(days * DAY_US, end, side="left")
    over = np.searchsorted((days + 1) * DAY_US, start, side="right")
    return np.asarray(begun - over, dtype=np.int64)


@dataclass(frozen=True)
class Holidays:
    """Counts of holidays per period, one column for each country and subdivision."""

    name: ClassVar[str] = "holidays"

    pairs: tuple[tuple[str, str | None], ...]
    around: bool
    """Also the day before and the day after (daily series)."""

    @classmethod
    def decide(cls, series: Series, wishes: Wishes) -> Self | None:
        """The calendars asked for whose counts vary over the training part."""
        grid = series.grid
        if not wishes.settings.holidays or not grid.has_calendar or grid.frequency.kind == "year":
            return None
        family = cls(wishes.settings.holidays, grid.frequency.kind == "day")
        counts = family.build(Rows.past(series))
        width = 3 if family.around else 1
        varying = counts.min(axis=0) < counts.max(axis=0)
        pairs = tuple(pair for i, pair in enumerate(wishes.settings.holidays) if varying[i * width])
        return cls(pairs, family.around) if pairs else None

    @property
    def columns(self) -> tuple[str, ...]:
        """The count, then for days the day before and the day after."""
        kinds = ("holiday", "holiday_eve", "holiday_after") if self.around else ("holiday",)
        places = [country if part is None else f"{country}-{part}" for country, part in self.pairs]
        return tuple(f"{kind}_{place}" for place in places for kind in kinds)

    @property
    def memory(self) -> int:
        """None of the target is read."""
        return 0

    def build(self, rows: Rows) -> Floats:
        """Holidays in the period of each row [n, c]."""
        if len(rows) == 0:
            return np.empty((0, len(self.columns)))
        start, end = (edge.astype(np.int64) for edge in rows.grid.spans(rows.ordinals))
        parts = []
        for pair in self.pairs:
            days = days_between(pair, int(start.min()) // DAY_US - 1, int(end.max()) // DAY_US + 1)
            parts.append(count_overlapping(days, start, end))
            if self.around:
                parts.append(count_overlapping(days, start + DAY_US, end + DAY_US))
                parts.append(count_overlapping(days, start - DAY_US, end - DAY_US))
        return np.column_stack(parts).astype(np.float64)

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return {"pairs": [list(pair) for pair in self.pairs], "around": self.around}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
        pairs = tuple((str(c), None if part is None else str(part)) for c, part in data["pairs"])
        return cls(pairs, bool(data["around"]))
