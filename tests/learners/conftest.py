"""Small series for the tests of learners: quarterly stamps, read-only arrays."""

from __future__ import annotations

import numpy as np
import pytest

from many_models.panel.grid import Frequency, Grid
from many_models.panel.series import Future, Series

OCTOBER_2001_US = 1_001_894_400_000_000


def grid_of(alias, t=OCTOBER_2001_US):
    """The grid of a frequency through a moment, and the ordinal of that moment; no calendar for '1'."""
    frequency = Frequency.parse(alias)
    grid = Grid.through(t, frequency)
    return grid, int(grid.containing(np.array([t]))[0]) if grid.has_calendar else 1


def read_only(values):
    values = np.array(values, dtype=np.float64)
    values.flags.writeable = False
    return values


@pytest.fixture
def make_series():
    """A function: values (and known covariates) to a series whose arrays cannot be written."""

    def make(y, alias="QS-OCT", known_x=None, known=(), observed=None, start=None):
        y = read_only(y)
        grid, first = grid_of(alias)
        seen = np.ones(len(y), dtype=bool) if observed is None else np.asarray(observed, dtype=bool)
        seen.flags.writeable = False
        table = np.empty((len(y), 0)) if known_x is None else known_x
        return Series(
            grid,
            first if start is None else start,
            y,
            seen,
            read_only(table),
            read_only(np.empty((len(y), 0))),
            read_only([]),
            tuple(known),
        )

    return make


@pytest.fixture
def make_future():
    """A function: a series and steps (a count, or the steps themselves) to a future."""

    def make(series, steps, known_x=None, gap=0):
        ahead = np.arange(1, steps + 1) if np.isscalar(steps) else np.asarray(steps)
        table = np.empty((len(ahead), 0)) if known_x is None else known_x
        return Future(series.grid, series.end + gap + ahead.astype(np.int64), read_only(table))

    return make


@pytest.fixture
def quarterly():
    """A function: n values with a trend, a season of four, and noise."""

    def make(n=48, seed=3, level=200.0):
        t = np.arange(n)
        noise = np.random.default_rng(seed).normal(0, 4, n)
        return level + 0.9 * t + 12 * np.sin(np.pi / 2 * t) + noise

    return make
