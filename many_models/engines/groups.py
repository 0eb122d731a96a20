"""Groups of a canonical frame: which rows belong to which model, in key order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from many_models.panel.layout import Layout

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Grouped:
    """A canonical frame whose groups are contiguous.

    Attributes
    ----------
    frame
        Rows sorted by group, and inside a group in canonical order.
    bounds : [G + 1]
        Group g holds the rows `bounds[g]` to `bounds[g + 1]`.
    table
        One row per group: its key columns, `rows`, `series`.
    """

    frame: pd.DataFrame
    bounds: Ints
    table: pd.DataFrame

    @classmethod
    def of(cls, frame: pd.DataFrame, layout: Layout) -> Grouped:
        """The groups of a frame in canonical order."""
        if layout.group != tuple(range(len(layout.group))):
            # stable: inside a group the canonical order stays
            frame = frame.sort_values(list(layout.group_names), kind="stable", ignore_index=True)
        series = starts(frame, layout.key_names)
        group = starts(frame, layout.group_names)
        bounds = np.append(group, len(frame))
        table = frame[list(layout.group_names)].iloc[group].reset_index(drop=True)
        table["rows"] = np.diff(bounds)
        table["series"] = np.diff(np.append(np.searchsorted(series, group), len(series)))
        return cls(frame, bounds, table)

    def by(self, layout: Layout) -> Grouped:
        """The same rows by the groups of another layout with the same columns."""
        # stable, by all keys: canonical order again, whatever the order of the groups was
        frame = self.frame.sort_values(list(layout.key_names), kind="stable", ignore_index=True)
        return Grouped.of(frame, layout)

    def clustered(self, numbers: Sequence[int]) -> Grouped:
        """The same rows in one group for each of these numbers (from 0), one number per group."""
        label = np.asarray(numbers, dtype=np.int64)
        rows = np.repeat(label, np.diff(self.bounds))
        # stable: inside a group the canonical order stays
        frame = self.frame.iloc[np.argsort(rows, kind="stable")].reset_index(drop=True)
        count = int(label.max(initial=-1)) + 1
        sizes = np.bincount(rows, minlength=count)
        series = np.bincount(label, self.table["series"], minlength=count).astype(np.int64)
        table = pd.DataFrame({"rows": sizes.astype(np.int64), "series": series})
        return Grouped(frame, np.append(0, np.cumsum(sizes)), table)

    def rows_of(self, group: int) -> pd.DataFrame:
        """The canonical rows of one group."""
        return self.frame.iloc[self.bounds[group] : self.bounds[group + 1]].reset_index(drop=True)


def starts(frame: pd.DataFrame, columns: tuple[str, ...]) -> Ints:
    """Positions at which a new value of these columns begins, in a frame sorted by them; [0] for none."""
    if not len(frame):
        return np.empty(0, dtype=np.int64)
    change = np.zeros(len(frame), dtype=bool)
    change[0] = True
    for column in columns:
        values = frame[column].to_numpy()
        change[1:] |= values[1:] != values[:-1]
    return np.flatnonzero(change)


def evenly(total: int, wanted: int) -> list[int]:
    """`wanted` of the numbers below `total` (all when there are fewer), evenly spaced."""
    wanted = min(total, max(0, wanted))
    return [i * total // wanted for i in range(wanted)]


def costliest_first(table: pd.DataFrame, groups: list[int]) -> list[int]:
    """These groups by falling number of rows, so that the longest one does not come last."""
    rows = table["rows"].to_numpy()
    return sorted(groups, key=lambda group: (-int(rows[group]), group))


def last_observed(frame: pd.DataFrame) -> int | None:
    """The greatest `t` with a finite `y` in a canonical frame."""
    observed = frame["t"].to_numpy()[np.isfinite(frame["y"].to_numpy())]
    return int(observed.max()) if len(observed) else None
