"""What a run will cost: its pilot alone, and the rest predicted from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from many_models.automl.prior import shipped_prior
from many_models.engines.table import engine_for
from many_models.errors import DataError, Problem
from many_models.panel.series import Floats
from many_models.runs.pilot import PILOT_GROUPS, pilot_groups, run_pilot
from many_models.runs.progress import Progress, silent
from many_models.runs.train import open_source, train_task
from many_models.spec import ForecastSpec

START_SECONDS = 3.0
"""What a worker needs once for its imports, in core-seconds."""


@dataclass(frozen=True)
class Estimate:
    """The predicted cost of a run.

    Attributes
    ----------
    series, groups
        What would be trained.
    pilot_groups
        How many of them the prediction was learned from.
    core_seconds, core_seconds_error
        All work of the workers, and the standard error of its prediction.
    """

    series: int
    groups: int
    pilot_groups: int
    core_seconds: float
    core_seconds_error: float

    def wall_seconds(self, workers: int) -> float:
        """Seconds that the run takes with so many workers."""
        return START_SECONDS + self.core_seconds / workers


def estimate(
    data: Any,
    spec: ForecastSpec,
    *,
    limit: int | None = None,
    cutoff: str | int | None = None,
    progress: Progress | None = None,
) -> Estimate:
    """The cost of training this table, predicted from the pilot of the run, which is all that is trained.

    Raises
    ------
    InputError
        When the configuration or the table is wrong.
    """
    engine = engine_for(spec.engine, data)
    try:
        with TemporaryDirectory(prefix="many-models-") as folder:
            opened = open_source(engine, data, spec, Path(folder), limit, cutoff)
            try:
                groups = opened.panel.groups
                sample = pilot_groups(groups, opened.groups, PILOT_GROUPS, spec.seed)
                task = train_task(opened, spec, shipped_prior(), cutoff)
                studies = run_pilot(opened.panel, task, sample, progress or silent())
            finally:
                opened.panel.close()
    finally:
        engine.close()
    rows = groups["rows"].to_numpy(dtype=np.float64)
    seconds = np.array([studies[group].seconds for group in sample])
    answered = np.isfinite(seconds)
    if not answered.any():
        raise DataError(
            Problem(
                "pilot", f"none of {len(sample)} groups could be trained", "some", "run check on the data"
            )
        )
    total, error = predicted(rows[sample][answered], seconds[answered], rows[opened.groups])
    return Estimate(opened.series, len(opened.groups), len(sample), total, error)


def predicted(rows: Floats, seconds: Floats, wanted: Floats) -> tuple[float, float]:
    """The sum of the seconds that groups of `wanted` rows take, and its standard error.

    A line through the pilot's costs [n] by their rows [n]. The tenth that lies furthest above it is
    left out of the second pass: a worker's first group pays for its imports.
    """
    kept = np.ones(len(rows), dtype=bool)
    for _ in range(2):
        line, off = _line(rows, seconds, kept)
        if len(rows) < 10:
            break
        kept = off <= np.quantile(off, 0.9)
    guess = np.maximum(line[0] + line[1] * wanted, 0.0)
    spread = float(off[kept].std())
    error = spread * len(wanted) * np.sqrt(1.0 / kept.sum() + 1.0 / len(wanted))
    return float(guess.sum()), float(error)


def _line(rows: Floats, seconds: Floats, kept: Any) -> tuple[tuple[float, float], Floats]:
    """Intercept and slope, neither negative, and what every group lies above the line."""
    x, y = rows[kept], seconds[kept]
    centred = x - x.mean()
    size = float(centred @ centred)
    slope = max(0.0, float(centred @ y) / size) if size > 0 else 0.0
    if slope * x.mean() > y.mean():  # through the origin
        slope = float(y.mean() / x.mean())
    intercept = float(y.mean() - slope * x.mean())
    return (intercept, slope), seconds - intercept - slope * rows
