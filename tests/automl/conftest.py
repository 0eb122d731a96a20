"""A prepared series made by hand, a prior made by hand, and the settings of a run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from many_models.automl.prior import CandidatePrior, ErrorShape, KindPrior
from many_models.automl.search import Exit
from many_models.learners.base import FitContext
from many_models.panel.grid import Frequency, Grid
from many_models.panel.series import Covariate, Future, Series

LEVELS = (0.05, 0.1, 0.5, 0.9, 0.95)
TRIANGLE = (-2.0, -1.0, 0.0, 1.0, 2.0)


@dataclass(frozen=True)
class HandMade:
    """Observations of one series: `y` [T] with NaN where nothing was observed, `known` [T + more, K]."""

    y: np.ndarray
    known: np.ndarray
    grid: Grid
    start: int = 100

    def train(self, n):
        y, observed = self.y[:n].copy(), np.isfinite(self.y[:n])
        places = np.arange(n)
        y[~observed] = np.interp(places[~observed], places[observed], y[observed])
        names = tuple(Covariate(f"x{i}") for i in range(self.known.shape[1]))
        return Series(
            self.grid, self.start, y, observed, self.known[:n], np.empty((n, 0)), np.empty(0), names
        )

    def future(self, n, horizon, gap):
        first = n + gap
        known = np.full((horizon, self.known.shape[1]), np.nan)
        rows = self.known[first : first + horizon]
        known[: len(rows)] = rows
        return Future(self.grid, self.start + np.arange(first, first + horizon), known)

    def actual(self, n, horizon, gap):
        values = np.full(horizon, np.nan)
        rows = self.y[n + gap : n + gap + horizon]
        values[: len(rows)] = rows
        return values

    def after(self, cutoff, value):
        """The same series with every value after the cutoff replaced."""
        y = self.y.copy()
        y[cutoff:] = value
        return replace(self, y=y)


@dataclass(frozen=True)
class Settings:
    """What a run decides for one series."""

    levels: tuple[float, ...] = (0.1, 0.5, 0.9)
    learners: tuple[str, ...] = ("naive", "drift", "average")
    learners_named: bool = False
    metric: str = "mae"
    combine: str = "auto"
    exit: Exit = field(default_factory=Exit)


@pytest.fixture(scope="session")
def handmade():
    def make(y, known=None, alias="1", start=100):
        y = np.asarray(y, dtype=np.float64)
        x = np.empty((len(y), 0)) if known is None else np.asarray(known, dtype=np.float64)
        return HandMade(y, x, Grid(Frequency.parse(alias)), start)

    return make


@pytest.fixture(scope="session")
def settings():
    return Settings


@pytest.fixture(scope="session")
def context():
    def make(horizon=4, **given):
        return FitContext(horizon=horizon, **given)

    return make


@pytest.fixture(scope="session")
def shape():
    """Quantiles that grow by one a lead: at lead h and level 0.9 the deviation is h."""
    leads = (1, 2, 4, 8)
    rows = tuple(tuple(h * v for v in TRIANGLE) for h in leads)
    totals = tuple(tuple(10.0 * h * v for v in TRIANGLE) for h in leads)
    return ErrorShape(2.0, LEVELS, leads, rows, totals)


@pytest.fixture(scope="session")
def prior(shape):
    def make(**candidates):
        return KindPrior(shape, {name: CandidatePrior(*values) for name, values in candidates.items()})

    return make
