"""The rows that features are computed for, past or future, and what each of them may see."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from many_models.panel.grid import Grid
from many_models.panel.series import Floats, Future, Series

Positions = npt.NDArray[np.int64]


def _no_ordinals() -> Positions:
    return np.empty(0, dtype=np.int64)


def _no_columns() -> Floats:
    return np.empty((0, 0))


def _no_zeros() -> Floats:
    return np.empty(0)


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
    known_ordinals : [L], known_table : [L, K]
        Every row of the known covariates that there is, before, among and after the rows, by
        increasing period number.
    past_x : [M, P]
        Past-only covariates; the last row belongs to the last value of `y`. A row reads them no
        later than its `cutoff`.
    zero : [n]
        What a target of zero is on the scale of `y`; nothing = 0.
    member : [m]
        What a model of a group knows of the series that all these rows belong to.
    """

    grid: Grid
    ordinals: Positions
    known_x: Floats
    y: Floats
    target: Positions
    cutoff: Positions
    level: Floats
    known_ordinals: Positions = field(default_factory=_no_ordinals)
    known_table: Floats = field(default_factory=_no_columns)
    past_x: Floats = field(default_factory=_no_columns)
    zero: Floats = field(default_factory=_no_zeros)
    member: Floats = field(default_factory=_no_zeros)

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
            series.ordinals,
            series.known_x,
            series.past_x,
        )

    @classmethod
    def dated(cls, grid: Grid, ordinals: Positions) -> Rows:
        """Rows for families that read nothing but the dates of these period numbers [n]."""
        none = np.empty((len(ordinals), 0))
        return cls(grid, ordinals, none, np.empty(0), ordinals, ordinals - 1, np.zeros(len(ordinals)))

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
            series.ordinals,
            series.known_x,
            series.past_x,
        )

    @classmethod
    def future(
        cls, future: Future, y: Floats, end: int, known: Floats | None = None, past: Floats | None = None
    ) -> Rows:
        """Rows for the stamps of `future`, seen from the last value of `y`, whose ordinal is `end`.

        `known` [k, K] and `past` [p, P] are the last covariates of the history.
        """
        last = len(y) - 1
        ordinals, table = future.ordinals, future.known_x
        if known is not None and len(known) and known.shape[1] == table.shape[1]:
            before = np.arange(end - len(known) + 1, end + 1, dtype=np.int64)
            ordinals, table = np.concatenate([before, ordinals]), np.concatenate([known, table])
        return cls(
            future.grid,
            future.ordinals,
            future.known_x,
            y,
            future.ordinals - end + last,
            np.full(len(future), last, dtype=np.int64),
            np.zeros(len(future)),
            ordinals,
            table,
            _no_columns() if past is None else past,
        )

    def relative_to(self, level: Floats) -> Rows:
        """The same rows with `level` [n] to be taken off lags and rolling means."""
        return replace(self, level=level)

    def with_zero(self, zero: float) -> Rows:
        """The same rows on a scale on which a target of zero is `zero`."""
        return replace(self, zero=np.full(len(self), zero))

    def of_member(self, member: Floats) -> Rows:
        """The same rows with what a model of a group knows of their series [m]."""
        return replace(self, member=member)
