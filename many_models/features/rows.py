"""The rows that features are computed for, past or future, and what each of them may see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from many_models.panel.grid import Grid
from many_models.panel.series import Floats, Future, Series

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """n rows to compute features for; past and future rows are built by the same code.

    Attributes
    ----------
    grid
        The grid of the series.
    ordinals : [n]
        Period numbers of the rows.
    known_x : [n, K]
        Known covariates of the rows.
    y : [T]
        Target values that lags and windows read, on the scale the learner works on.
    target : [n]
        Position of each row relative to `y[0]`; T or more for rows of the future.
    cutoff : [n]
        Position of the last value of `y` that each row may see; always before `target`.
    level : [n]
        Subtracted from every lag and rolling mean, so that a model sees relative values.
    """

    grid: Grid
    ordinals: Positions
    known_x: Floats
    y: Floats
    target: Positions
    cutoff: Positions
    level: Floats

    def __len__(self) -> int:
        return len(self.ordinals)

    @classmethod
    def past(cls, series: Series) -> Rows:
        """One row for each value of `series`, for families that do not read the target."""
        positions = np.arange(len(series), dtype=np.int64)
        return cls(
            series.grid,
            series.ordinals,
            series.known_x,
            series.y,
            positions,
            positions - 1,
            np.zeros(len(series)),
        )

    @classmethod
    def training(cls, series: Series, y: Floats, steps: Positions, targets: Positions, gap: int) -> Rows:
        """Rows for the values at `targets` [n], each seen from `steps` [n] steps (after the gap) before."""
        return cls(
            series.grid,
            series.start + targets,
            series.known_x[targets],
            y,
            targets,
            targets - steps - gap,
            np.zeros(len(targets)),
        )

    @classmethod
    def future(cls, future: Future, y: Floats, end: int) -> Rows:
        """Rows for the stamps of `future`, seen from the last value of `y`, whose ordinal is `end`."""
        last = len(y) - 1
        return cls(
            future.grid,
            future.ordinals,
            future.known_x,
            y,
            future.ordinals - end + last,
            np.full(len(future), last, dtype=np.int64),
            np.zeros(len(future)),
        )

    def relative_to(self, level: Floats) -> Rows:
        """The same rows with `level` [n] to be taken off lags and rolling means."""
        return Rows(self.grid, self.ordinals, self.known_x, self.y, self.target, self.cutoff, level)
