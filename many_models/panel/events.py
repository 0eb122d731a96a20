"""Named dates known ahead, as plain data: which events each series has, and when."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from many_models.panel.keys import SeriesKey

Span: TypeAlias = tuple[int, int]
"""Start and end of an event: wall-clock microseconds since 1970, the end not included."""

EventDates: TypeAlias = tuple[tuple[str, tuple[Span, ...]], ...]
"""(name, its spans in order) for every name, sorted."""


@dataclass(frozen=True)
class EventTable:
    """The events of all series.

    Attributes
    ----------
    by
        The key columns that an event is told for; none: every event is one of every series.
    rows
        (values of `by`, name, start, end) of each event, sorted, each once.
    """

    by: tuple[str, ...]
    rows: tuple[tuple[tuple[Any, ...], str, int, int], ...]

    @cached_property
    def keys(self) -> frozenset[tuple[Any, ...]]:
        """The values of `by` that have events."""
        return frozenset(self._dates)

    def of(self, key: SeriesKey) -> EventDates:
        """The events of one series."""
        values = key.as_dict()
        return self._dates.get(tuple(values[name] for name in self.by), ())

    @cached_property
    def _dates(self) -> dict[tuple[Any, ...], EventDates]:
        found: dict[tuple[Any, ...], dict[str, list[Span]]] = {}
        for values, name, start, end in self.rows:
            found.setdefault(values, {}).setdefault(name, []).append((start, end))
        return {
            values: tuple((name, tuple(sorted(names[name]))) for name in sorted(names))
            for values, names in found.items()
        }
