"""Known covariates as regressors of ARIMA and Prophet: standardised columns without redundancy.

ARIMA may be asked to read columns of the calendar too: they stand before the covariates, and are
regressors like them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from many_models.errors import LearnerError
from many_models.features.base import Wishes
from many_models.features.plan import FeaturePlan
from many_models.features.rows import Rows
from many_models.features.settings import FeatureSettings
from many_models.learners.base import State
from many_models.panel.grid import Grid
from many_models.panel.series import MOST_CATEGORIES, Covariate, Floats, Series

REDUNDANT = 1e-6
"""A column of which no more than this share is new (norm, after the ones before it) is left out."""


def column_count(known: tuple[Covariate, ...]) -> int:
    """The most columns that these covariates can become."""
    own = (covariate for covariate in known if covariate.origin == "own")
    return sum(
        min(max(1, len(c.categories) - 1), MOST_CATEGORIES) if c.kind == "category" else 1 for c in own
    )


@dataclass(frozen=True, eq=False)
class Regressors:
    """How known covariates become columns: a number is centred and scaled, a category becomes indicators.

    Attributes
    ----------
    source : [k]
        Position of the covariate behind each column.
    level : [k]
        The category that an indicator stands for; NaN for a number.
    center, spread : [k]
        Mean and standard deviation in the history that the columns were made from.
    """

    source: npt.NDArray[np.int64]
    level: Floats
    center: Floats
    spread: Floats

    @classmethod
    def of(cls, series: Series) -> Regressors:
        """The columns that vary in `series` and that the columns before them do not explain."""
        kept: list[tuple[int, float, float, float]] = []
        basis = [np.ones(len(series)) / np.sqrt(max(len(series), 1))]
        for source, covariate in enumerate(series.known):
            if covariate.origin != "own":
                continue  # of the siblings: too many columns for what they tell
            values = series.known_x[:, source]
            present = np.isfinite(values)
            if not present.any():
                continue
            for level in _levels(covariate, values[present]):
                column = values if np.isnan(level) else (values == level).astype(np.float64)
                center = float(column[present].mean())
                spread = float(column[present].std())
                if not np.isfinite(spread) or spread <= 1e-12 * max(1e-300, abs(center)):
                    continue
                column = np.where(present, (column - center) / spread, 0.0)
                rest = column.copy()
                for direction in basis:
                    rest = rest - (rest @ direction) * direction
                size = float(np.sqrt(rest @ rest))
                if size > REDUNDANT * float(np.sqrt(column @ column)):
                    basis.append(rest / size)
                    kept.append((source, level, center, spread))
        table = np.array(kept, dtype=np.float64).reshape(len(kept), 4)
        return cls(table[:, 0].astype(np.int64), table[:, 1].copy(), table[:, 2].copy(), table[:, 3].copy())

    def __len__(self) -> int:
        return len(self.source)

    def past(self, known_x: Floats) -> Floats:
        """The columns [n, k] of a history; what is missing there is neutral."""
        columns = self._columns(known_x)
        filled: Floats = np.where(np.isfinite(columns), columns, 0.0)
        return filled

    def ahead(self, known_x: Floats) -> Floats:
        """The columns [n, k] of a future.

        Raises
        ------
        LearnerError
            FUTURE_COVARIATES_MISSING where a value is missing: it is never carried forward.
        """
        columns = self._columns(known_x)
        if not np.isfinite(columns).all():
            raise LearnerError("FUTURE_COVARIATES_MISSING", "known covariates of the future are missing")
        return columns

    def _columns(self, known_x: Floats) -> Floats:
        if len(self) and known_x.shape[1] <= int(self.source.max()):
            raise LearnerError("FUTURE_COVARIATES_MISSING", "the known covariates are not there")
        values = known_x[:, self.source]
        indicator = np.where(np.isnan(values), np.nan, (values == self.level).astype(np.float64))
        columns: Floats = (np.where(np.isnan(self.level), values, indicator) - self.center) / self.spread
        return columns

    def state(self) -> State:
        """The columns as plain arrays."""
        return {"source": self.source, "level": self.level, "center": self.center, "spread": self.spread}

    @classmethod
    def load(cls, state: State) -> Regressors:
        """The columns that gave this `state()`."""
        return cls(state["source"], state["level"], state["center"], state["spread"])


def _levels(covariate: Covariate, present: Floats) -> list[float]:
    """The indicators of a category: all but its most frequent, of very many the next few; [NaN] for a number.

    What has no indicator is read as the most frequent: a category that was never seen, too.
    """
    if covariate.kind != "category":
        return [np.nan]
    found, counts = np.unique(present, return_counts=True)
    base = found[int(np.argmax(counts))]
    rest = found[found != base]
    often = np.argsort(-counts[found != base], kind="stable")[:MOST_CATEGORIES]
    return [float(v) for v in rest[np.sort(often)]]


def weighted(columns: Floats, weights: Floats) -> Floats:
    """`columns @ weights` [n], row by row: the answer for a row does not depend on its neighbours."""
    total: Floats = (columns * weights).sum(axis=1)
    return total


NO_DATES = FeaturePlan(())


def arima_dates(series: Series, settings: FeatureSettings) -> FeaturePlan:
    """The columns of holidays and events that ARIMA was asked to read, as they vary over a history."""
    if not settings.arima or not series.grid.has_calendar:
        return NO_DATES
    return FeaturePlan.decide(series, Wishes("linear", settings=settings), settings.arima)


def beside_dates(dates: FeaturePlan, grid: Grid, ordinals: npt.NDArray[np.int64], known_x: Floats) -> Floats:
    """The columns of the dates [n, d], then the known covariates [n, K]."""
    if not dates.families:
        return known_x
    return np.hstack([dates.build(Rows.dated(grid, ordinals)), known_x])


def series_beside_dates(dates: FeaturePlan, series: Series) -> Series:
    """The series with the columns of the dates before its known covariates."""
    if not dates.families:
        return series
    known = (*(Covariate(name) for name in dates.columns), *series.known)
    known_x = beside_dates(dates, series.grid, series.ordinals, series.known_x)
    return replace(series, known=known, known_x=known_x)
