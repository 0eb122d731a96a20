"""Values that came after models were trained: a newer table, series by series, beside stored models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd

from many_models.automl.model import SeriesModel
from many_models.automl.realised import Realised, loss_metric, origins_after, realised
from many_models.engines.reading import last_stamp
from many_models.panel.canonical import canonical_frame
from many_models.panel.context import with_context
from many_models.panel.keys import SeriesKey
from many_models.panel.preparation import Prepared, PrepareSettings, prepare
from many_models.runs.base_version import Base
from many_models.runs.tables import Rows, read_table, rows_of


@dataclass(frozen=True)
class Later:
    """A table that may hold values that models have not seen, by series.

    Made by `Later.of`.
    """

    base: Base
    frames: dict[bytes, pd.DataFrame]

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
            return cls(base, {SeriesKey(names, ()).digest: frame})
        groups = frame.groupby(columns, sort=False, observed=True)
        keyed = ((SeriesKey(names, cast("tuple[Any, ...]", key)), part) for key, part in groups)
        return cls(base, {key.digest: part for key, part in keyed})

    def prepared(self, digest: bytes, key: SeriesKey, model: SeriesModel) -> Prepared | None:
        """The series on the grid of its model; None where the table does not have it."""
        frame = self.frames.get(digest)
        if frame is None:
            return None
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


def keyed_rows(base: Base) -> Iterator[tuple[SeriesKey, dict[str, Any]]]:
    """The index of a version row by row, in the order in which its models lie."""
    names = base.key_names
    for batch in base.index.to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            yield SeriesKey(names, tuple(row[name] for name in names)), row
