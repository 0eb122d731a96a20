"""CPU milliseconds that features and recursion take, in this process, on one core.

    python benchmarks/features.py [--quick]

"Features" is all between a prepared series and what a core learns from: the scale, the level, the
decision which columns there are, and the matrix of the training rows, at the default settings. Each
figure is the median of several runs. The recursion forecasts all series together, one call of all
models per step.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scores
from harness import Target
from threadpoolctl import threadpool_limits

from many_models import ForecastSpec
from many_models.automl.group import series_of
from many_models.automl.prior import shipped_prior
from many_models.automl.settings import fit_context
from many_models.automl.task import TrainTask
from many_models.engines.reading import canonical_table, read_table
from many_models.learners.base import Candidate, FitContext
from many_models.learners.recursion import recursed
from many_models.learners.regression import ElasticNet, LightGBM, RegressionModel, frame_of, lesson_of
from many_models.panel.grid import Frequency, Grid
from many_models.panel.preparation import prepare
from many_models.panel.series import Future, Series
from many_models.runs.train import usual_frequency

DAYS, SERIES, STEPS = 1900, 300, 28
ONE_SERIES_MS, ORANGE_JUICE_MS, RECURSION_MS, LINEAR = 5.0, 2.0, 1.0, 2.2
LEARNERS = (ElasticNet(), LightGBM())


def daily(days: int, seed: int = 0) -> Series:
    """Daily sales with a week, a year and a trend that wanders."""
    rng = np.random.default_rng(seed)
    t = np.arange(days)
    log = 4 + 0.3 * np.sin(2 * np.pi * t / 7) + 0.2 * np.sin(2 * np.pi * t / 365.25)
    y = np.exp(log + np.cumsum(rng.normal(0, 0.02, days)) + rng.normal(0, 0.1, days))
    none = np.empty((days, 0))
    grid = Grid(Frequency.parse("D"))
    return Series(grid, 15_000, y, np.ones(days, bool), none, none, np.empty(0))


def daily_context() -> FitContext:
    """28 days ahead, a week as the season."""
    return FitContext(horizon=STEPS, season=7, score_season=7, nonnegative=True, seed=1)


def milliseconds(work: Callable[[], Any], repeats: int) -> float:
    """CPU milliseconds of `work()`: the median of so many runs, after one that is not counted."""
    work()
    taken = []
    for _ in range(repeats):
        before = time.process_time()
        work()
        taken.append(1000 * (time.process_time() - before))
    return statistics.median(taken)


def features(series: Series, candidate: Candidate, context: FitContext, style: Any) -> None:
    """Everything between a series and what its core learns from."""
    seen = series if candidate.uses_known else series.without_known()
    frame = frame_of(seen, candidate.parameters, context, style)
    lesson_of(seen, frame, context.gap, (1, context.horizon))


def feature_rows(what: str, found: Sequence[tuple[Series, FitContext]], repeats: int) -> list[dict[str, Any]]:
    """A row of the table for each default candidate: milliseconds of the mean series."""
    rows = []
    for learner in LEARNERS:
        names = [candidate.name for candidate in learner.candidates(*found[0])]
        for name in names:
            taken, columns = [], 0
            for series, context in found:
                candidate = next(c for c in learner.candidates(series, context) if c.name == name)
                frame = frame_of(
                    series if candidate.uses_known else series.without_known(),
                    candidate.parameters,
                    context,
                    learner.style,
                )
                columns = max(columns, len(frame.plan.columns))
                taken.append(
                    milliseconds(
                        lambda s=series, c=candidate, x=context, st=learner.style: features(s, c, x, st),
                        repeats,
                    )
                )
            rows.append(
                {
                    "what": what,
                    "candidate": name,
                    "series": len(found),
                    "columns": columns,
                    "ms per series": statistics.fmean(taken),
                    "slowest": max(taken),
                }
            )
    return rows


def orange_juice(limit: int | None) -> Iterator[tuple[Series, FitContext]]:
    """The prepared series of orange juice, each with the context of its fits."""
    spec = ForecastSpec.from_yaml(harness.CONFIGS / "orange_juice.yaml")
    frame, layout = canonical_table(read_table(scores.orange_juice(), spec.data), spec.data, None)
    frequency = usual_frequency(frame, layout) if spec.data.frequency == "auto" else spec.data.frequency
    task = TrainTask(spec, layout, shipped_prior(), frequency, None, "benchmark", None)
    keys = list(layout.key_names)
    for _, part in harness.some_series(frame, keys, limit).groupby(keys):
        for key, rows in series_of(part.reset_index(drop=True), layout):
            prepared = prepare(rows, key, layout, task.prepare_settings)
            yield prepared.train(prepared.length), fit_context(prepared, key, task)


def walks(learner: Any) -> tuple[list[RegressionModel], list[Future]]:
    """Recursive models of 300 series, and the 28 days after each."""
    context = daily_context()
    parameters = {"history": True, "known": False, "transform": "log", "strategy": "recursive"}
    models, futures = [], []
    for seed in range(SERIES):
        series = daily(400, seed)
        models.append(learner.fit(series, parameters, context))
        ahead = series.end + 1 + np.arange(STEPS)
        futures.append(Future(series.grid, ahead, np.empty((STEPS, 0))))
    return models, futures


def main(argv: Sequence[str] | None = None) -> None:
    options = harness.arguments(__doc__).parse_args(argv)
    repeats = 5 if options.quick else 15
    print(harness.headline("Features and recursion, in one process"), flush=True)
    with threadpool_limits(limits=1):
        one = feature_rows(f"{DAYS:,} days", [(daily(DAYS), daily_context())], repeats)
        twice = feature_rows(f"{2 * DAYS:,} days", [(daily(2 * DAYS), daily_context())], repeats)
        juice = feature_rows("orange juice", list(orange_juice(25 if options.quick else None)), 3)
        print(harness.markdown(pd.DataFrame([*one, *twice, *juice])), flush=True)
        walked = {}
        for learner in LEARNERS:
            models, futures = walks(learner)
            together = milliseconds(lambda m=models, f=futures: recursed(m, f), repeats) / SERIES
            alone = milliseconds(lambda m=models, f=futures: m[0].predict(f[0]), repeats)
            walked[learner.info.name] = (together, alone)
    table = [{"learner": n, "ms per series, together": t, "alone": a} for n, (t, a) in walked.items()]
    print(harness.markdown(pd.DataFrame(table)), flush=True)
    daily_ms = max(row["ms per series"] for row in one)
    ratio = max(b["ms per series"] / a["ms per series"] for a, b in zip(one, twice, strict=True))
    juice_ms = max(row["ms per series"] for row in juice)
    together = max(found[0] for found in walked.values())
    harness.finish(
        [
            Target(f"features of {DAYS:,} days", "≤ 5 ms", f"{daily_ms:.1f} ms", daily_ms <= ONE_SERIES_MS),
            Target("features of twice as many days", "≤ 2.2 times", f"{ratio:.2f} times", ratio <= LINEAR),
            Target(
                "features of an orange juice series",
                "≤ 2 ms",
                f"{juice_ms:.2f} ms",
                juice_ms <= ORANGE_JUICE_MS,
            ),
            Target(
                f"recursion, {SERIES} series × {STEPS} steps, per series",
                "≤ 1 ms",
                f"{together:.2f} ms",
                together <= RECURSION_MS,
            ),
        ],
        options.json,
    )


if __name__ == "__main__":
    main()
