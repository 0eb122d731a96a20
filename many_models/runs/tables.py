"""Tables that a person hands over or gets back: read as the panel types them, written as asked."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from many_models.engines.sources import Files
from many_models.errors import DataError, Problem, StorageError


@dataclass(frozen=True)
class Rows:
    """A table, and whether every field of it is still text (CSV)."""

    frame: pd.DataFrame
    text: bool = False


def read_table(path: str) -> Rows:
    """The table in a parquet or CSV file or folder.

    Raises
    ------
    DataError
        When there is none, or it is of no known format.
    """
    files = Files.find(path)
    if files.format == "csv":
        return Rows(files.read_csv(files.columns()), text=True)
    return Rows(files.read_parquet(files.columns()).to_pandas(integer_object_nulls=True))


def rows_of(table: Any) -> Rows:
    """A table as rows: what `read_table` gave, or a data frame."""
    if isinstance(table, Rows):
        return table
    if isinstance(table, pd.DataFrame):
        return Rows(table)
    raise DataError(
        Problem(
            "rows",
            type(table).__name__,
            "a pandas or Spark data frame",
            "hand over a data frame, one row per stamp",
        )
    )


def refuse_ending(path: Path) -> None:
    """Raises DataError for a file whose name ends neither in .parquet nor in .csv."""
    if path.suffix not in (".parquet", ".csv"):
        found = f"the ending {path.suffix!r}" if path.suffix else "a name without an ending"
        raise DataError(Problem(str(path), found, ".parquet or .csv", "name the file accordingly"))


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Writes a table as Parquet or CSV, by the ending of its name; whole or not at all.

    Raises
    ------
    DataError
        For another ending.
    StorageError
        When the disk refuses.
    """
    refuse_ending(path)
    hidden = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        if path.suffix == ".csv":
            frame.to_csv(hidden, index=False)
        else:
            frame.to_parquet(hidden, index=False)
        os.replace(hidden, path)
    except OSError as trouble:
        hidden.unlink(missing_ok=True)
        raise StorageError(f"{path}: cannot be written: {trouble.strerror or trouble}") from trouble
