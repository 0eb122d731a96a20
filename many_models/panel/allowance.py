"""The wall time that a group may take, by its own size."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

USUAL_VALUES = 100
"""A series of so many values, or fewer, costs what a usual one does; a longer one in proportion."""

_KEY = re.compile(r"k\d+")


@dataclass(frozen=True)
class Allowance:
    """Seconds for a group: each has its own, so that one long series gives no other more time.

    Attributes
    ----------
    least
        However small the group is.
    each
        For every series of a usual length.
    """

    least: float
    each: float

    def of(self, rows: int, series: int) -> float:
        """The seconds of a group with so many rows and series."""
        return max(self.least, self.each * max(series, rows / USUAL_VALUES))


def times(allowed: float | Allowance | None, count: int) -> float | Allowance | None:
    """What the same work may take when it is done so many times."""
    if isinstance(allowed, Allowance):
        return Allowance(allowed.least * count, allowed.each * count)
    return None if allowed is None else allowed * count


def seconds_of(allowed: float | Allowance | None, frame: pd.DataFrame) -> float | None:
    """The seconds that the group in this canonical frame may take; None is no limit."""
    if not isinstance(allowed, Allowance):
        return allowed
    begins = np.zeros(max(0, len(frame) - 1), dtype=bool)
    for name in frame.columns:
        if _KEY.fullmatch(str(name)):
            values = frame[name].to_numpy()
            begins |= values[1:] != values[:-1]
    return allowed.of(len(frame), 1 + int(begins.sum()))
