"""Values that came after models were trained: a newer table, series by series, beside stored models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from many_models.automl.model import SeriesModel
from many_models.automl.realised import Realised, loss_metric, origins_after, realised
from many_models.engines.reading import last_stamp
from many_models.panel.canonical import canonical_frame
from many_models.panel.context import with_context
from many_models.panel.keys import SeriesKey
from many_models.panel.preparation import Prepared, PrepareSettings, prepare
from many_models.runs.base_version import Base
from many_models.runs.tables import Rows, read_table, rows_of

SERIES_AT_ONCE = 8_192
"""Of so many series the rows that a version keeps are in memory at once; each part reads its files again."""


@dataclass(frozen=True)
class Later:
    """A table that may hold values that models have not seen, and where the rows of each series lie in it.

    Made by `Later.of`.
    """

    base: Base
    frame: pd.DataFrame
    places: dict[bytes, npt.NDArray[np.int64]]

    @classmethod
    def of(cls, base: Base, data: Any, cutoff: str | int | None = None) -> Later:
        """The table (a data frame, or the path of one) as the columns of a version say.

        Raises
        ------
        DataError
            When it is not a table of these columns.
        """
        rows = read_table(str(data)) if not isinstance(data, Rows | pd.DataFrame) else rows_of(data)
        layout = replace(base.layout, text_table=rows.text)
        frame = with_context(canonical_frame(rows.frame, layout, with_target=True), layout)
        if cutoff is not None:
            frame = frame[frame["t"].to_numpy() <= last_stamp(cutoff, layout)]
        names, columns = base.key_names, list(layout.key_names)
        if not columns:
            return cls(base, frame, {SeriesKey(names, ()).digest: np.arange(len(frame))})
        groups = frame.reset_index(drop=True).groupby(columns, sort=False, observed=True).indices
        keyed = (
            (SeriesKey(names, values if isinstance(values, tuple) else (values,)), rows)
            for values, rows in groups.items()
        )
        return cls(base, frame, {key.digest: np.asarray(rows, dtype=np.int64) for key, rows in keyed})

    def prepared(self, digest: bytes, key: SeriesKey, model: SeriesModel) -> Prepared | None:
        """The series on the grid of its model; None where the table does not have it."""
        rows = self.places.get(digest)
        if rows is None:
            return None
        frame = self.frame.take(rows)
        grid = model.history.grid
        settings = PrepareSettings.of(self.base.spec, grid.frequency.alias, None, grid)
        found = prepare(frame, key, self.base.layout, settings)
        return found if found.n_obs else None

    def metric(self, prepared: Prepared) -> str:
        """The metric in whose terms the series is judged."""
        return loss_metric(self.base.spec.validation.metric, np.where(prepared.observed, prepared.y, np.nan))


def realised_later(model: SeriesModel, prepared: Prepared, first: int | None = None) -> Realised:
    """What a model forecasts for all that came after its own history (or after ordinal `first`)."""
    start = model.history.end if first is None else first
    return realised(model, prepared, origins_after(start, last_observed(prepared), model.horizon, model.gap))


def last_observed(prepared: Prepared) -> int:
    """The ordinal of the last observed value."""
    return prepared.start + int(np.flatnonzero(prepared.observed)[-1])


def keyed_rows(base: Base, index: pa.Table | None = None) -> Iterator[tuple[SeriesKey, dict[str, Any]]]:
    """The index of a version (or a part of it) row by row, in the order in which its models lie."""
    names = base.key_names
    for batch in (base.index if index is None else index).to_batches(max_chunksize=1024):
        for row in batch.to_pylist():
            yield SeriesKey(names, tuple(row[name] for name in names)), row


def parts_of(base: Base) -> Iterator[pa.Table]:
    """The index of a version in parts, of which only one is to have its rows in memory."""
    for start in range(0, base.index.num_rows, SERIES_AT_ONCE):
        yield base.index.slice(start, SERIES_AT_ONCE)
