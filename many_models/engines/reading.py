"""A user's table on this machine, up to its canonical frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from many_models.engines.sources import Files
from many_models.errors import DataError, Problem
from many_models.panel.canonical import (
    TimeTag,
    canonical_frame,
    column_facts,
    sort_canonical,
    stamp_of,
    time_values,
)
from many_models.panel.context import context_layout, sibling_names, siblings_of, with_context
from many_models.panel.layout import ColumnFacts, Facts, Layout, data_columns, decide_layout
from many_models.panel.zones import DAY_US, from_wall, to_wall


@dataclass(frozen=True)
class Table:
    """The needed columns of a table, or of a part of one.

    Attributes
    ----------
    frame
        Those of the configured columns that exist (once), under the user's names.
    columns
        The names of all columns, as they stand in the source.
    is_text
        Every value is text, as CSV has it.
    time_tag
        The time column is int64 microseconds, and this is what they are.
    time_zone
        With `time_tag="timestamp"`: the zone in which the user sees these instants.
    """

    frame: pd.DataFrame
    columns: tuple[Any, ...]
    is_text: bool = False
    time_tag: TimeTag | None = None
    time_zone: str | None = None

    def facts(self, data: Any) -> Facts:
        """The facts of these rows."""
        return column_facts(
            self.frame, data, text_table=self.is_text, time_tag=self.time_tag, time_zone=self.time_zone
        )

    def until(self, layout: Layout, last: int | None) -> Table:
        """The rows whose canonical time is at most `last`; all for None."""
        if last is None:
            return self
        keep = time_values(self.frame[layout.time.name], layout, self.time_tag) <= last
        return self if keep.all() else replace(self, frame=self.frame.loc[keep].reset_index(drop=True))

    def canonical(self, layout: Layout) -> pd.DataFrame:
        """The canonical frame of these rows, in their order."""
        return canonical_frame(self.frame, layout, time_tag=self.time_tag)


def read_table(source: Any, data: Any) -> Table:
    """The needed columns of a pandas DataFrame, or of the parquet or CSV files at a path.

    Raises
    ------
    DataError
        When there is no source, or it is none of these, or cannot be read.
    StorageError
        When the file system does not answer.
    """
    if isinstance(source, pd.DataFrame):
        return _of_frame(source, data)
    if source is None or (not isinstance(source, str) and not hasattr(source, "__fspath__")):
        found = "no table" if source is None else f"a {type(source).__module__}.{type(source).__qualname__}"
        raise DataError(
            Problem("data", found, "a pandas DataFrame, or the path of parquet or csv files", "set data.path")
        )
    return read_files(Files.find(str(source)), data)


def read_files(files: Files, data: Any) -> Table:
    """The needed columns of these files."""
    columns = files.columns()
    wanted = once(columns, data)
    if files.format == "csv":
        return Table(files.read_csv(wanted), tuple(columns), is_text=True)
    return _of_arrow(files.read_parquet(wanted), tuple(columns), data)


def canonical_table(table: Table, data: Any, cutoff: int | str | None) -> tuple[pd.DataFrame, Layout]:
    """The sorted canonical frame of a table up to the cutoff, and its layout.

    Raises
    ------
    DataError
        With every problem of the table at once.
    """
    last, by_time = None, None
    if cutoff is not None:
        by_time = decide_layout(time_only(table.facts(data), data), table.columns, data)
        last = last_stamp(cutoff, by_time)
        table = table.until(by_time, last)
    layout = layout_of(table.facts(data), table.columns, data, by_time)
    frame = table.canonical(layout)
    if data.context is not None:
        layout = context_layout(layout, data, siblings_of(frame, sibling_names(layout, data)))
        frame = with_context(frame, layout)
    return sort_canonical(frame, layout), layout


def layout_of(facts: Facts, columns: Sequence[Any], data: Any, by_time: Layout | None) -> Layout:
    """The layout of rows up to a cutoff; its time is as `by_time`, with which the cutoff was found."""
    layout = decide_layout(facts, columns, data)
    return layout if by_time is None else replace(layout, time=by_time.time, notes=by_time.notes)


def time_only(facts: Facts, data: Any) -> Facts:
    """Facts that know the time column alone: what stands in later rows is nobody's business yet."""
    columns = {
        name: column if name == data.time else ColumnFacts(name) for name, column in facts.columns.items()
    }
    return replace(facts, columns=columns)


def last_stamp(cutoff: int | str, layout: Layout) -> int:
    """The last canonical time that belongs to a cutoff: a date without a time of day is its whole day.

    Raises
    ------
    DataError
        When the cutoff cannot be read as a time of this layout.
    """
    try:
        stamp = stamp_of(cutoff, layout)
    except DataError:
        whole = layout.time.kind == "integer"
        allowed = "a whole number" if whole else "a date or time such as 2024-01-31 or 2024-01-31 13:00"
        raise DataError(
            Problem(
                "cutoff",
                repr(cutoff),
                f"{allowed}, as the column {layout.time.name!r} is read",
                "correct the cutoff",
            )
        ) from None
    if layout.time.kind == "integer" or ":" in str(cutoff):
        return stamp
    next_day = to_wall(np.array([stamp], dtype=np.int64), layout.time.zone) + DAY_US
    return int(from_wall(next_day, layout.time.zone)[0]) - 1


def _of_frame(frame: pd.DataFrame, data: Any) -> Table:
    columns = list(frame.columns)
    inside = [name for name in data_columns(data) if name in frame.index.names and name not in columns]
    if inside:
        raise DataError(
            [Problem(name, "in the index", "a column", "hand over frame.reset_index()") for name in inside]
        )
    return Table(frame[once(columns, data)].reset_index(drop=True), tuple(columns))


def _of_arrow(table: Any, columns: tuple[Any, ...], data: Any) -> Table:
    """An Arrow table; dates of the time column go by number, much faster than by object."""
    from pyarrow import types

    tag: TimeTag | None = None
    if data.time in table.column_names and types.is_date(table.schema.field(data.time).type):
        position = table.schema.get_field_index(data.time)
        table = table.set_column(position, data.time, microseconds_of_dates(table.column(position)))
        tag = "date"
    return Table(table.to_pandas(), columns, time_tag=tag)


def microseconds_of_dates(dates: Any) -> Any:
    """An Arrow array of dates as int64 microseconds since the epoch."""
    import pyarrow as pa

    return dates.cast(pa.date32()).cast(pa.timestamp("us")).cast(pa.int64())


def once(columns: Sequence[Any], data: Any) -> list[str]:
    """The configured columns that exist, and exist once: `decide_layout` tells of the others."""
    return [name for name in data_columns(data) if sum(column == name for column in columns) == 1]
