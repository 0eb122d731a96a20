"""Every value that preparation changed, with before and after.

A `Journal` is handed through `prepare`, which writes down what it does where it does it; without one
nothing is written and nothing is computed. What is filled, capped and padded is read off the very
`Series` that a model is fitted on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from many_models.errors import DataError, Problem
from many_models.panel.canonical import key_types, time_array, time_type
from many_models.panel.keys import SeriesKey
from many_models.panel.layout import Layout
from many_models.panel.series import Floats

Ints: TypeAlias = npt.NDArray[np.int64]
Change: TypeAlias = Literal[
    "imputed", "capped", "aggregated", "dropped", "padded", "closed", "masked", "missing", "moved"
]
COLUMNS = ("column", "change", "before", "after", "before_text", "after_text", "rule")
"""The columns of the report besides the keys and the time."""


@dataclass
class Journal:
    """What was changed in one series, part by part.

    Attributes
    ----------
    layout
        What the columns are.
    """

    layout: Layout
    parts: list[dict[str, Any]] = field(default_factory=list)
    unfitted: list[tuple[Change, Ints, Floats]] = field(default_factory=list)

    def add(
        self,
        change: Change,
        rule: str | list[str],
        column: str,
        t: Ints,
        before: Floats | float = np.nan,
        after: Floats | float = np.nan,
        texts: tuple[str, ...] = (),
    ) -> None:
        """Writes down one change of one column at some times [n]; with `texts`, values are places in it."""
        rows = len(t)
        if not rows:
            return
        values = [np.broadcast_to(np.asarray(value, dtype=np.float64), rows) for value in (before, after)]
        shown = [_named(value, texts) for value in values] if texts else [[None] * rows] * 2
        numbers = [np.full(rows, np.nan)] * 2 if texts else values
        self.parts.append(
            {
                "t": np.asarray(t, dtype=np.int64),
                "column": [column] * rows,
                "change": [change] * rows,
                "before": numbers[0],
                "after": numbers[1],
                "before_text": shown[0],
                "after_text": shown[1],
                "rule": [rule] * rows if isinstance(rule, str) else rule,
            }
        )

    def drop(self, rule: str, t: Ints, y: Floats, x: Floats, categories: dict[int, tuple[str, ...]]) -> None:
        """Writes down rows [n] that were left out: what they said of the target and of each covariate."""
        for j in range(-1, x.shape[1]):
            values = y if j < 0 else x[:, j]
            seen = np.flatnonzero(np.isfinite(values))
            self.add("dropped", rule, self._column(j), t[seen], values[seen], texts=categories.get(j, ()))

    def roll_up(
        self,
        rules: tuple[str, ...],
        into: list[str],
        rows: tuple[Ints, Floats, Floats],
        rolled: tuple[Floats, Floats],
        categories: dict[int, tuple[str, ...]],
    ) -> None:
        """Writes down what each row became; `rolled` holds the value of each row's period."""
        t, y, x = rows
        for j, rule in enumerate(rules):
            before, after = (y, rolled[0]) if j == 0 else (x[:, j - 1], rolled[1][:, j - 1])
            seen = np.flatnonzero(np.isfinite(before))
            words = [f"{rule} into {into[i]}" for i in seen]
            texts = categories.get(j - 1, ())
            self.add("aggregated", words, self._column(j - 1), t[seen], before[seen], after[seen], texts)

    def hide(self, change: Change, t: Ints, y: Floats) -> None:
        """Keeps the values [n] that were masked or closed, until it is known what stands in for them."""
        self.unfitted.append((change, t, y))

    def _column(self, place: int) -> str:
        return self.layout.target if place < 0 else self.layout.covariates[place].name

    def table(self, key: SeriesKey) -> pa.Table:
        """All changes of the series, by time, in the schema of the report."""
        schema = report_schema(self.layout)
        if not self.parts:
            return schema.empty_table()
        t = np.concatenate([part["t"] for part in self.parts])
        columns = [
            pa.repeat(pa.scalar(value, kind), len(t))
            for value, kind in zip(key.values, key_types(self.layout), strict=True)
        ]
        columns.append(time_array(t, self.layout))
        for name in COLUMNS:
            values = [value for part in self.parts for value in part[name]]
            columns.append(pa.array(values, schema.field(len(columns)).type, from_pandas=True))
        return pa.Table.from_arrays(columns, schema=schema).take(pa.array(np.argsort(t, kind="stable")))


def _named(values: Floats, texts: tuple[str, ...]) -> list[str | None]:
    return [texts[int(value)] if np.isfinite(value) else None for value in values]


def report_schema(layout: Layout) -> pa.Schema:
    """The Arrow schema of the report: keys and time as the user has them, then `COLUMNS`.

    Raises
    ------
    DataError
        When a key or the time has a name that the report needs.
    """
    own = [*zip([key.name for key in layout.keys], key_types(layout), strict=True)]
    own.append((layout.time.name, time_type(layout)))
    problems = [
        Problem(name, "the name of a column of the report", "any other name", "rename it before asking")
        for name, _ in own
        if name in COLUMNS
    ]
    if problems:
        raise DataError(problems)
    kinds = {"before": pa.float64(), "after": pa.float64()}
    return pa.schema([*own, *((name, kinds.get(name, pa.string())) for name in COLUMNS)])


def compared(
    journal: Journal,
    column: str,
    t: Ints,
    before: Floats,
    after: Floats,
    rules: tuple[str, str],
    padded: int,
    texts: tuple[str, ...] = (),
) -> None:
    """Writes down where a fitted column [T] differs from what was given, and by which rule.

    Parameters
    ----------
    rules
        Of holes that were filled, and of rows put in front.
    padded
        Rows that were put in front.
    texts
        What the codes stand for.
    """
    front = np.arange(len(before)) < padded
    holes = np.isnan(before) & np.isfinite(after)
    filled, put = np.flatnonzero(holes & ~front), np.flatnonzero(holes & front)
    journal.add("imputed", rules[0], column, t[filled], np.nan, after[filled], texts)
    journal.add("padded", rules[1], column, t[put], np.nan, after[put], texts)
    capped = np.flatnonzero(np.isfinite(before) & (before != after))
    journal.add("capped", "outliers: cap", column, t[capped], before[capped], after[capped], texts)
