"""A user's table on this machine, up to its canonical frame: what the local engine reads, and Spark's driver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from many_models.engines.sources import Files
from many_models.errors import DataError, Problem
from many_models.panel.canonical import canonical_frame, column_facts, sort_canonical, stamp_of, time_values
from many_models.panel.layout import ColumnFacts, Facts, Layout, data_columns, decide_layout
from many_models.panel.zones import DAY_US, from_wall, to_wall


@dataclass(frozen=True)
class Table:
    """The needed columns of a table.

    Attributes
    ----------
    frame
        Those of the configured columns that exist (once), under the user's names.
    columns
        The names of all columns, as they stand in the source.
    is_text
        Every value is text, as CSV has it.
    """

    frame: pd.DataFrame
    columns: tuple[Any, ...]
    is_text: bool

    def until(self, time: str, layout: Layout, last: int) -> Table:
        """The rows whose canonical time is at most `last`."""
        keep = time_values(self.frame[time], layout) <= last
        return self if keep.all() else replace(self, frame=self.frame.loc[keep].reset_index(drop=True))


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
    return Table(files.read(_once(columns, data)), tuple(columns), files.format == "csv")


def canonical_table(table: Table, data: Any, cutoff: int | str | None) -> tuple[pd.DataFrame, Layout]:
    """The sorted canonical frame of a table up to the cutoff, and its layout.

    Raises
    ------
    DataError
        With every problem of the table at once.
    """
    facts = column_facts(table.frame, data, text_table=table.is_text)
    if cutoff is not None:
        by_time = decide_layout(time_only(facts, data), table.columns, data)
        table = table.until(data.time, by_time, last_stamp(cutoff, by_time))
        facts = column_facts(table.frame, data, text_table=table.is_text)
        layout = replace(decide_layout(facts, table.columns, data), time=by_time.time, notes=by_time.notes)
    else:
        layout = decide_layout(facts, table.columns, data)
    return sort_canonical(canonical_frame(table.frame, layout), layout), layout


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
    stamp = stamp_of(cutoff, layout)
    if layout.time.kind == "integer" or ":" in str(cutoff):
        return stamp
    next_day = to_wall(np.array([stamp], dtype=np.int64), layout.time.zone) + DAY_US
    return int(from_wall(next_day, layout.time.zone)[0]) - 1


def _of_frame(frame: pd.DataFrame, data: Any) -> Table:
    columns = list(frame.columns)
    return Table(frame[_once(columns, data)].reset_index(drop=True), tuple(columns), False)


def _once(columns: Sequence[Any], data: Any) -> list[str]:
    """The configured columns that exist, and exist once: `decide_layout` tells of the others."""
    return [name for name in data_columns(data) if sum(column == name for column in columns) == 1]
