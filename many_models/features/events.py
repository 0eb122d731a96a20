"""Named dates known ahead: how many of each name a period overlaps, and whether one is near.

The dates are those of one series and are kept with its model, the future ones too: a model that is
looked up needs no table. A future beyond the last event of the table has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from many_models.features.base import Wishes
from many_models.features.rows import Rows
from many_models.panel.events import EventDates
from many_models.panel.grid import Grid
from many_models.panel.series import Floats, Series

Ints: TypeAlias = npt.NDArray[np.int64]
Part: TypeAlias = Literal["event", "before", "after"]


@dataclass(frozen=True)
class Events:
    """Counts of events per period: those that overlap it, those that begin soon, those that ended lately.

    Attributes
    ----------
    dates
        The names that have a column, with all their spans.
    parts
        (position in `dates`, what is counted) of each column.
    before, after
        How many periods ahead an event is seen coming, and how many it is remembered.
    """

    name: ClassVar[str] = "events"

    dates: EventDates
    parts: tuple[tuple[int, Part], ...]
    before: int
    after: int

    @classmethod
    def decide(cls, series: Series, wishes: Wishes) -> Self | None:
        """The counts that vary over the training part."""
        settings = wishes.settings
        if not settings.events or not series.grid.has_calendar:
            return None
        kinds: list[Part] = ["event"]
        kinds += ["before"] if settings.event_before else []
        kinds += ["after"] if settings.event_after else []
        parts = tuple((place, kind) for place in range(len(settings.events)) for kind in kinds)
        every = cls(settings.events, parts, settings.event_before, settings.event_after)
        counts = every.build(Rows.past(series))
        kept = [part for part, column in zip(parts, counts.T, strict=True) if column.min() < column.max()]
        if not kept:
            return None
        places = sorted({place for place, _ in kept})
        dates = tuple(settings.events[place] for place in places)
        return cls(dates, tuple((places.index(p), kind) for p, kind in kept), every.before, every.after)

    @property
    def columns(self) -> tuple[str, ...]:
        """One for each name, and where asked one for before and after it."""
        return tuple(f"{kind}_{self.dates[place][0]}" for place, kind in self.parts)

    @property
    def memory(self) -> int:
        """None of the target is read."""
        return 0

    def build(self, rows: Rows) -> Floats:
        """The counts for `rows` [n, c]."""
        found = np.empty((len(rows), len(self.parts)))
        if not len(rows):
            return found
        begun, ended = _spans(rows.grid, rows.ordinals)
        for column, (place, kind) in enumerate(self.parts):
            spans = np.array(self.dates[place][1], dtype=np.int64).reshape(-1, 2)
            starts, ends = np.sort(spans[:, 0]), np.sort(spans[:, 1])
            if kind == "event":
                # All that began before the period's end, less those that were over by its start.
                found[:, column] = _below(starts, ended) - np.searchsorted(ends, begun, side="right")
            elif kind == "before":
                later = _spans(rows.grid, rows.ordinals + self.before)[1]
                found[:, column] = _below(starts, later) - _below(starts, ended)
            else:
                earlier = _spans(rows.grid, rows.ordinals - self.after)[0]
                gone = np.searchsorted(ends, begun, side="right")
                found[:, column] = gone - np.searchsorted(ends, earlier, side="right")
        return found

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON values."""
        return {
            "dates": [[name, [list(span) for span in spans]] for name, spans in self.dates],
            "parts": [list(part) for part in self.parts],
            "before": self.before,
            "after": self.after,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The family that gave this `to_dict()`."""
        return cls(
            tuple((str(name), tuple((int(s), int(e)) for s, e in spans)) for name, spans in data["dates"]),
            tuple((int(place), kind) for place, kind in data["parts"]),
            int(data["before"]),
            int(data["after"]),
        )


def _spans(grid: Grid, ordinals: Ints) -> tuple[Ints, Ints]:
    """Start and end of the periods of these ordinals, in wall-clock microseconds [n] each."""
    start, end = grid.spans(ordinals)
    return start.astype(np.int64), end.astype(np.int64)


def _below(ordered: Ints, bounds: Ints) -> Ints:
    return np.searchsorted(ordered, bounds, side="left").astype(np.int64)
