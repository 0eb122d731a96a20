"""Writes the golden models: one stored state per kind and version, with the forecast it must give for ever.

    python tests/learners/make_golden.py [LEARNER ...]

Run it only when a format version is raised; the older files stay, and stay readable.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from many_models.bundle.container import pack
from many_models.learners.base import FitContext
from many_models.learners.table import learner, learner_names
from many_models.panel.grid import Frequency, Grid
from many_models.panel.series import Covariate, Future, Series

GOLDEN = Path(__file__).parent / "golden"
STEPS = 6
SMALL = {"tcn": {"width": 4, "depth": 2, "epochs": 3, "batches": 10, "batch": 16}}
"""Of networks: what a file must show is that it is read as it was."""


def golden_series() -> tuple[Series, Future]:
    """Sixty months with trend, season, a price and a promotion, and the next six."""
    frequency = Frequency.parse("MS")
    grid = Grid.through(0, frequency)
    rng = np.random.default_rng(42)
    t = np.arange(60 + STEPS)
    price = np.round(2 + 0.3 * rng.standard_normal(len(t)), 2)
    promotion = (rng.random(len(t)) < 0.2).astype(float)
    known_x = np.column_stack([price, promotion])
    y = (
        100
        + 0.5 * t
        + 10 * np.sin(t * np.pi / 6)
        - 8 * (price - 2)
        + 15 * promotion
        + rng.normal(0, 3, len(t))
    )
    known = (Covariate("price"), Covariate("promotion", "boolean"))
    start = int(grid.ordinals(np.array([0]))[0])
    empty = np.empty((60, 0))
    series = Series(grid, start, y[:60], np.ones(60, dtype=bool), known_x[:60], empty, np.empty(0), known)
    return series, Future(grid, start + t[60:], known_x[60:])


def main(names: Sequence[str]) -> None:
    """Writes the models of these learners, or of all."""
    series, future = golden_series()
    context = FitContext(horizon=STEPS, season=12, score_season=12, seed=1, nonnegative=True)
    for name in names or learner_names():
        chosen = learner(name)
        for candidate in chosen.candidates(series, context):
            past = series if candidate.uses_known else series.without_known()
            ahead = future if candidate.uses_known else future.without_known()
            parameters = {**candidate.parameters, **SMALL.get(name, {})}
            model = chosen.fit(past, parameters, context)
            state = model.state()
            forecast = model.predict(ahead)
            stem = f"{candidate.name}.{state.get('version', state.get('format_version', 1))}"
            (GOLDEN / f"{stem}.bin").write_bytes(pack(state))
            expected = {
                "learner": name,
                "uses_known": candidate.uses_known,
                "mean": forecast.mean.tolist(),
                "median": forecast.median.tolist(),
            }
            (GOLDEN / f"{stem}.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
