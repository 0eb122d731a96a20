"""Series on grids of any kind, for the tests of feature families."""

from __future__ import annotations

import numpy as np
import pytest

from many_models.panel.grid import Frequency, Grid
from many_models.panel.series import Series


@pytest.fixture(scope="session")
def make_series():
    """A series of a frequency, without covariates: `make_series("W-SUN", 100, label="end")`."""

    def make(alias, n, start="2020-01-01", label="start", zone=None, y=None):
        stamp = int(np.datetime64(start, "us").astype(np.int64))
        frequency = Frequency.parse(alias)
        grid = Grid(frequency, zone, 0, label)
        first = int(grid.ordinals(np.array([stamp]))[0])
        values = 10.0 + np.sin(np.arange(n)) if y is None else np.asarray(y, dtype=np.float64)
        none = np.empty((n, 0))
        return Series(grid, first, values, np.ones(n, bool), none, none, np.empty(0))

    return make
