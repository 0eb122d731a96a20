"""The table of events: read once by the driver, checked, and carried to the groups as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from many_models.errors import DataError, Problem, nearest
from many_models.panel.canonical import canonical_frame, time_values
from many_models.panel.clock import formats_of
from many_models.panel.events import EventTable
from many_models.panel.findings import Finding, finding
from many_models.panel.layout import Layout, TimeColumn
from many_models.panel.zones import DAY_US, to_wall
from many_models.runs.tables import Rows, read_table
from many_models.spec import EventsSpec, ForecastSpec

Ints: TypeAlias = npt.NDArray[np.int64]

AMBIGUOUS = {"%m/%d/%Y", "%d/%m/%Y"}


def events_of(spec: ForecastSpec, layout: Layout, groups: pd.DataFrame) -> EventTable | None:
    """The events of a configuration; None where it names none.

    Where the panel has none of the keys that events are told for, they are refused.

    Parameters
    ----------
    groups
        The panel's groups (`Panel.groups`).

    Raises
    ------
    DataError
        When the table is not there, lacks a column, or holds what cannot be read.
    """
    if spec.events is None:
        return None
    table = read_events(event_rows(spec.events), spec, layout)
    strangers = unknown_keys(table, layout, groups)
    if strangers and len(strangers) == len(table.keys):
        where, text = f"events: {', '.join(table.by)}", strangers_text(table, strangers)
        raise DataError(Problem(where, text, "keys of the data", "correct the keys, or events.by"))
    return table


def event_rows(events: EventsSpec) -> Rows:
    """The table of events: of its file, or as the configuration writes it out."""
    if events.path is not None:
        return read_table(events.path)
    return Rows(pd.DataFrame(list(events.rows or ())))


def strangers_text(table: EventTable, strangers: Sequence[tuple[Any, ...]]) -> str:
    """How many keys of events the data do not have, and the first of them."""
    shown = ", ".join(map(str, strangers[:5])) + (", …" if len(strangers) > 5 else "")
    return f"{len(strangers)} of {len(table.keys)} keys in events are not in the data: {shown}"


def event_findings(table: EventTable | None, layout: Layout, groups: pd.DataFrame) -> tuple[Finding, ...]:
    """The finding that events are told for keys that the data do not have."""
    strangers = [] if table is None else unknown_keys(table, layout, groups)
    if table is None or not strangers:
        return ()
    return (finding("EVENTS_UNKNOWN_KEY", len(strangers), message=strangers_text(table, strangers)),)


def unknown_keys(table: EventTable, layout: Layout, groups: pd.DataFrame) -> list[tuple[Any, ...]]:
    """The keys of events that no group of the panel has; none where groups do not tell."""
    names = {key.name: canonical for key, canonical in zip(layout.keys, layout.key_names, strict=True)}
    columns = [names[name] for name in table.by]
    if not columns or not set(columns) <= set(groups.columns):
        return []
    there = set(groups[columns].itertuples(index=False, name=None))
    return sorted(key for key in table.keys if key not in there)


def read_events(rows: Rows, spec: ForecastSpec, layout: Layout) -> EventTable:
    """The events in the rows of a table.

    Raises
    ------
    DataError
        With every column that is missing, or with the first value that cannot be read.
    """
    events = spec.events
    assert events is not None
    if layout.time.kind == "integer":
        raise DataError(
            Problem(
                "events", "dates, beside a time column of whole numbers", "dates in both", "remove events"
            )
        )
    frame, path = rows.frame, events.path or "events.rows"
    wanted = [*events.by, events.name, events.time, *([events.end] if events.end else [])]
    problems = list(_lacking(frame, wanted, path))
    if problems:
        raise DataError(problems)
    if not len(frame):
        raise DataError(Problem(path, "no rows", "one row per event", "remove events, or add some"))
    places = [[key.name for key in layout.keys].index(name) for name in events.by]
    start_layout = _time_layout(frame[events.time], events.time, layout, path)
    keyed = replace(start_layout, keys=tuple(layout.keys[place] for place in places), text_table=rows.text)
    found = canonical_frame(frame, keyed, with_target=False)
    start = to_wall(found["t"].to_numpy(), layout.time.zone)
    end = _ends(frame, events.end, start, layout, path)
    names = _names(frame[events.name], events.name, path)
    values = zip(*(found[f"k{i}"].tolist() for i in range(len(places))), strict=True)
    keys: Iterable[tuple[Any, ...]] = values if places else [()] * len(frame)
    every = zip(keys, names, start.tolist(), end.tolist(), strict=True)
    return EventTable(tuple(events.by), tuple(sorted(set(every))))


def _ends(frame: pd.DataFrame, column: str | None, start: Ints, layout: Layout, path: str) -> Ints:
    """The end of each event [n]: of its last day, or the moment itself where a time of day is told."""
    last = start.copy()
    if column is not None:
        given = ~(frame[column].isna() | (frame[column].astype(str).str.strip() == "")).to_numpy(dtype=bool)
        if given.any():
            told = frame.loc[given, column]
            read = time_values(told, _time_layout(told, column, layout, path))
            last[given] = to_wall(read, layout.time.zone)
    wrong = np.flatnonzero(last < start)
    if len(wrong):
        row = frame.iloc[int(wrong[0])].to_dict()
        raise DataError(
            Problem(
                f"{path}: {column}",
                f"{len(wrong)} events that end before they begin, the first {row}",
                "an end on or after the start",
                "correct these rows",
            )
        )
    has_end = last > start
    end: Ints = np.where(last % DAY_US == 0, last + DAY_US, np.where(has_end, last, last + 1))
    return end


def _time_layout(column: pd.Series[Any], name: str, layout: Layout, path: str) -> Layout:
    """A layout without keys that reads this column of times."""
    text_format = None
    texts = [text for text in dict.fromkeys(column.dropna()) if isinstance(text, str) and text.strip()]
    if texts:
        formats, trouble = formats_of(texts)
        if not formats or formats >= AMBIGUOUS:
            found = f"times that cannot be read: {', '.join(map(repr, trouble))}" if trouble else ""
            found = found or ("dates whose day and month can be swapped" if formats else "different formats")
            raise DataError(
                Problem(f"{path}: {name}", found, "dates as 2024-01-31", "write them as in 2024-01-31")
            )
        text_format = min(formats)
    return Layout((), (), TimeColumn(name, "timestamp", layout.time.zone, None, text_format), "")


def _names(column: pd.Series[Any], name: str, path: str) -> list[str]:
    """The names of events [n], as text."""
    texts = [("" if pd.isna(value) else str(value)).strip() for value in column]
    empty = sum(text == "" for text in texts)
    if empty:
        raise DataError(
            Problem(f"{path}: {name}", f"{empty} events without a name", "a name in every row", "fill them")
        )
    return texts


def _lacking(frame: pd.DataFrame, wanted: list[str], path: str) -> Iterable[Problem]:
    columns = [str(column) for column in frame.columns]
    for name in wanted:
        if columns.count(name) == 1:
            continue
        near = nearest(name, columns)
        yield Problem(
            f"{path}: {name}",
            "no such column" if name not in columns else "several columns of this name",
            f"one of {', '.join(map(repr, columns[:20]))}",
            f"did you mean {near!r}?" if near and near != name else "correct the names under events",
        )
