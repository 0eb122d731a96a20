"""Known columns of the sibling series, beside a series' own: the other brands' prices in the store.

Siblings share some key columns (`by`) and differ in the others. What a row sees of them is a
function of the rows of the same stamp and the same `by` values, so that it can be computed on
any part of a table that holds such blocks whole, on every engine to the same bits. Targets are
never read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from many_models.panel.layout import ContextColumns, CovariateColumn, Layout
from many_models.panel.series import Floats

Ints: TypeAlias = npt.NDArray[np.int64]

MOST_SIBLINGS = 12
"""Up to so many values of the other key columns get a column each."""


def context_layout(layout: Layout, data: Any, siblings: Iterable[Sequence[Any]]) -> Layout:
    """The layout with the columns of a `DataSpec`'s context, and a note that names them.

    Parameters
    ----------
    siblings
        The different values of the key columns that siblings differ in (`sibling_names`), or more
        than `MOST_SIBLINGS` of them.
    """
    names = [key.name for key in layout.keys]
    known = [column.name if column.role == "known" else None for column in layout.covariates]
    found = sorted({tuple(_plain(value) for value in values) for values in siblings})
    context = ContextColumns(
        tuple(names.index(name) for name in data.context.by),
        tuple(known.index(name) for name in data.context.columns),
        tuple(found) if len(found) <= MOST_SIBLINGS else (),
    )
    columns = tuple(
        CovariateColumn(name, "known", "number", derived=True)
        for source in context.sources
        for name in _names(layout.covariates[source].name, context)
    )
    shared = ", ".join(data.context.by) or "the whole table"
    note = f"context by {shared}: {', '.join(column.name for column in columns)}"
    return replace(
        layout, covariates=layout.covariates + columns, context=context, notes=(*layout.notes, note)
    )


def sibling_names(layout: Layout, data: Any) -> tuple[str, ...]:
    """The canonical key columns that siblings differ in."""
    keys = zip(layout.key_names, layout.keys, strict=True)
    return tuple(name for name, key in keys if key.name not in data.context.by)


def block_names(layout: Layout) -> tuple[str, ...]:
    """The canonical columns whose values siblings share at one stamp: those of `by`, and `t`."""
    by = () if layout.context is None else layout.context.by
    return (*(layout.key_names[i] for i in by), "t")


def siblings_of(frame: pd.DataFrame, names: Sequence[str]) -> list[tuple[Any, ...]]:
    """The different values of these key columns in a canonical frame."""
    return [tuple(row) for row in frame[list(names)].drop_duplicates().itertuples(index=False, name=None)]


def with_context(frame: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """The canonical rows with their context columns, in the order of the layout; all without a context."""
    if layout.context is None:
        return frame
    return frame.assign(**context_columns(frame, layout))[list(layout.columns)]


def context_columns(frame: pd.DataFrame, layout: Layout) -> dict[str, Floats]:
    """Canonical name -> values [n] of the context columns of rows whose blocks are whole."""
    context = layout.context
    derived = [n for n, c in zip(layout.covariate_names, layout.covariates, strict=True) if c.derived]
    if context is None or not len(frame):
        return {name: np.empty(0) for name in derived}
    blocks = _Blocks.of(frame, layout, context)
    values: list[Floats] = []
    for source in context.sources:
        own = frame[layout.covariate_names[source]].to_numpy(dtype=np.float64)
        values += blocks.columns(np.where(np.isfinite(own), own, np.nan))
    return dict(zip(derived, values, strict=True))


def lowest_name(source: str) -> str:
    """The name of the column of the siblings' lowest value."""
    return f"context({source}).min"


def mean_name(source: str) -> str:
    """The name of the column of the siblings' mean."""
    return f"context({source}).mean"


def _names(source: str, context: ContextColumns) -> Iterator[str]:
    """The names of the context columns of one source, in the order of `_Blocks.columns`."""
    yield lowest_name(source)
    yield mean_name(source)
    for sibling in context.siblings:
        yield f"context({source})[{', '.join(str(value) for value in sibling)}]"


@dataclass(frozen=True)
class _Blocks:
    """Rows cut into cells (one series at one stamp) and blocks (the cells that see each other).

    Attributes
    ----------
    cell : [n]
        The cell of each row.
    block : [C]
        The block of each cell.
    sibling : [C]
        Which of the named siblings each cell is of; -1 for none of them.
    named
        How many are named.
    """

    cell: Ints
    block: Ints
    sibling: Ints
    named: int

    @classmethod
    def of(cls, frame: pd.DataFrame, layout: Layout, context: ContextColumns) -> _Blocks:
        """The cells and blocks of canonical rows."""
        cell = _numbers(frame, [*layout.key_names, "t"])
        first = np.unique(cell, return_index=True)[1]
        cells = frame.iloc[first]
        others = [name for i, name in enumerate(layout.key_names) if i not in context.by]
        places = {values: place for place, values in enumerate(context.siblings)}
        series = _numbers(cells, others)
        one = np.unique(series, return_index=True)[1]
        rows = cells[others].iloc[one].itertuples(index=False, name=None)
        place = np.array([places.get(tuple(_plain(v) for v in row), -1) for row in rows], dtype=np.int64)
        return cls(cell, _numbers(cells, list(block_names(layout))), place[series], len(context.siblings))

    def columns(self, own: Floats) -> list[Floats]:
        """What each row [n] sees of its siblings' values: the lowest, the mean, that of each one.

        A sibling with several rows at a stamp counts once, with its lowest value. One that has no
        value is left out; its column holds the mean of those that have. A series' own is 0.
        """
        value = self._lowest(own)
        low, mean = self._summary(value)
        found = [low[self.cell], mean[self.cell]]
        count = int(self.block.max()) + 1
        for place in range(self.named):
            its = self.sibling == place
            there = np.full(count, np.nan)
            there[self.block[its]] = value[its]
            seen = there[self.block]
            seen = np.where(its, 0.0, np.where(np.isnan(seen), mean, seen))
            found.append(seen[self.cell])
        return found

    def _lowest(self, own: Floats) -> Floats:
        """The lowest value of each cell [C]; NaN where it has none."""
        order = np.lexsort((own, self.cell))
        return np.asarray(own[order][_starts(self.cell[order])])

    def _summary(self, value: Floats) -> tuple[Floats, Floats]:
        """The lowest value and the mean of the other cells of each cell's block [C] each."""
        order = np.lexsort((value, self.block))
        start = _starts(self.block[order])
        ordered = value[order]
        there = np.isfinite(ordered)
        count = np.bincount(self.block[order][there], minlength=len(start))
        # Sums of what exceeds the lowest, in the order of values: the same for every cut of the table.
        least = ordered[start]
        excess = np.bincount(
            self.block[order][there],
            (ordered - least[self.block[order]])[there],
            minlength=len(start),
        )
        last = len(ordered) - 1
        second = ordered[np.minimum(start + 1, last)]
        most, next_most = ordered[np.maximum(start + count - 1, 0)], ordered[np.maximum(start + count - 2, 0)]
        b, has = self.block, np.isfinite(value)
        others = count[b] - has
        low = np.where(has & (value == least[b]), second[b], least[b])
        high = np.where(has & (value == most[b]), next_most[b], most[b])
        rest = excess[b] - np.where(has, value - least[b], 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.clip(least[b] + rest / others, low, high)
        alone = others == 0
        return np.where(alone, np.nan, low), np.where(alone, np.nan, mean)


def _numbers(frame: pd.DataFrame, names: list[str]) -> Ints:
    """The number [n] of each row's combination of values, counted from 0 by first appearance."""
    return np.asarray(frame.groupby(names, sort=False, observed=True).ngroup(), dtype=np.int64)


def _starts(ordered: Ints) -> Ints:
    """Where each new number begins in ordered numbers."""
    new: Any = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    return np.asarray(np.flatnonzero(new), dtype=np.int64)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
