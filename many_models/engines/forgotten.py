"""A key column that the configuration forgot: looked for in the first rows of a table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from many_models.engines.sources import Files
from many_models.errors import DataError, OutsideError
from many_models.panel.forgotten import forgotten_columns
from many_models.panel.layout import Layout, data_columns

SAMPLE_ROWS = 50_000


def with_forgotten(layout: Layout, source: Any, data: Any) -> Layout:
    """The layout with the columns that would tell rows of one stamp apart, and a note that names them.

    Parameters
    ----------
    source
        What was opened: a pandas DataFrame or a path. Of anything else nothing is read again.
    data
        The `DataSpec`.
    """
    sample = _first_rows(data.path if source is None else source)
    if sample is None:
        return layout
    columns = forgotten_columns(sample, data.series, data.time, data_columns(data))
    if not columns:
        return layout
    names = " and ".join(repr(name) for name in columns)
    note = (
        f"many rows share a series and a time; with {names} in data.series each row would have a time of its "
        "own: add it if these are series of their own"
    )
    return replace(layout, forgotten=columns, notes=(*layout.notes, note))


def _first_rows(source: Any) -> pd.DataFrame | None:
    """The first rows with all columns; None where they cannot be had without evaluating something twice."""
    if isinstance(source, pd.DataFrame):
        return source.head(SAMPLE_ROWS)
    if not isinstance(source, str) and not hasattr(source, "__fspath__"):
        return None
    try:
        return Files.find(str(source)).head(SAMPLE_ROWS)
    except (DataError, OutsideError):
        return None  # a path that the cluster alone can open
