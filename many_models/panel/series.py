"""One regular series, cut at a cutoff: what a learner may see, and what it is asked for.

`Series` (the past) and `Future` (the horizon) are different types on purpose: a learner
receives a `Series` to fit and a `Future` to predict, and a `Future` has no target.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from many_models.panel.grid import Grid

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]


UNSEEN = -1.0
"""The code of a category that the training part never had: it is there, but none of those that are known."""
MOST_CATEGORIES = 20
"""Categories that have a column of their own, the most frequent ones."""


@dataclass(frozen=True)
class Covariate:
    """Name and kind of one covariate column.

    Values stand in float64 arrays: numbers as they are, booleans as 0/1, categories as
    the position in `categories` (sorted), `UNSEEN` for one that is not among them; NaN is missing.

    Attributes
    ----------
    origin
        `own`: a column of the series' own rows. `siblings`: computed from the rows of its siblings
        (`data.context`). `alone`: such a column of a series that never had a sibling, always 0.
        `missing`: 1 where another column was missing (`features.was_missing`).
    """

    name: str
    kind: Literal["number", "boolean", "category"] = "number"
    categories: tuple[str, ...] = ()
    origin: Literal["own", "siblings", "alone", "missing"] = "own"

    @classmethod
    def was_missing(cls, column: str) -> Covariate:
        """The flag of a column: 1 where it was missing."""
        return cls(f"was_missing({column})", "boolean", origin="missing")

    @property
    def source(self) -> str:
        """The column of the table that this one was made from."""
        return self.name.removeprefix("was_missing(")[:-1] if self.origin == "missing" else self.name


@dataclass(frozen=True)
class Series:
    """The past of one series on its regular grid, up to and including the cutoff.

    Attributes
    ----------
    grid
        Turns ordinals (period numbers) into time stamps and back.
    start
        Ordinal of `y[0]`; `y[i]` belongs to ordinal `start + i`.
    y : [T]
        Target, finite everywhere: holes are filled from this part of the data only.
    observed : [T]
        False where `y` was filled (never scored, weight 0 where a learner can weigh).
    known_x : [T, K], past_x : [T, P], static_x : [S]
        Covariates. Holes in the past are filled from the past.
    known, past, static
        What the columns of these arrays are.
    """

    grid: Grid
    start: int
    y: Floats
    observed: Bools
    known_x: Floats
    past_x: Floats
    static_x: Floats
    known: tuple[Covariate, ...] = ()
    past: tuple[Covariate, ...] = ()
    static: tuple[Covariate, ...] = ()

    def __len__(self) -> int:
        return len(self.y)

    @property
    def end(self) -> int:
        """The ordinal of the cutoff: the last value of `y`."""
        return self.start + len(self.y) - 1

    @property
    def ordinals(self) -> npt.NDArray[np.int64]:
        """The ordinals of `y` [T]."""
        return np.arange(self.start, self.start + len(self.y), dtype=np.int64)

    def tail(self, length: int) -> Series:
        """The last `length` values of this series (all of it when it is shorter)."""
        cut = max(0, len(self.y) - length)
        return Series(
            self.grid,
            self.start + cut,
            self.y[cut:],
            self.observed[cut:],
            self.known_x[cut:],
            self.past_x[cut:],
            self.static_x,
            self.known,
            self.past,
            self.static,
        )

    def without_known(self) -> Series:
        """The same series for a learner that must do without known covariates."""
        return Series(
            self.grid,
            self.start,
            self.y,
            self.observed,
            np.empty((len(self.y), 0)),
            self.past_x,
            self.static_x,
            (),
            self.past,
            self.static,
        )


@dataclass(frozen=True)
class Future:
    """The stamps a forecast is asked for, and the covariates known ahead. No target.

    Attributes
    ----------
    grid
        The same grid as the series'.
    ordinals : [H]
        Increasing period numbers, all after the cutoff of the series; a gap is a jump.
    known_x : [H, K]
        Known covariates; NaN where a value is missing.
    """

    grid: Grid
    ordinals: npt.NDArray[np.int64]
    known_x: Floats

    def __len__(self) -> int:
        return len(self.ordinals)

    def without_known(self) -> Future:
        """The same stamps for a learner that must do without known covariates."""
        return Future(self.grid, self.ordinals, np.empty((len(self.ordinals), 0)))


@dataclass(frozen=True)
class Forecast:
    """A forecast: the expected value and quantiles for each stamp of a `Future`.

    Attributes
    ----------
    mean : [H]
        The expected value (back-transforms corrected); this is what may be summed.
    quantiles : [H, Q]
        One column per level, not crossing. Learners give the median alone, `levels == (0.5,)`.
    levels
        The Q quantile levels, increasing; 0.5 is always there.
    """

    mean: Floats
    quantiles: Floats
    levels: tuple[float, ...] = field(default=(0.5,))

    @classmethod
    def point(cls, mean: Floats, median: Floats | None = None) -> Forecast:
        """A learner's forecast; the median equals the mean unless it is given."""
        mean = np.asarray(mean, dtype=np.float64)
        middle = mean if median is None else np.asarray(median, dtype=np.float64)
        return cls(mean, middle[:, None].copy())

    @property
    def median(self) -> Floats:
        """The 0.5 quantile [H]."""
        return self.quantiles[:, self.levels.index(0.5)]
