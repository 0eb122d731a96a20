"""Backtests of a whole run: past days replayed, series by series, on either engine."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from many_models.automl.backtest import (
    BacktestTask,
    backtest_failed,
    backtest_group,
    pool_backtest,
    pool_failed,
    read_pools,
)
from many_models.automl.prior import shipped_prior
from many_models.automl.rows import read_rows
from many_models.engines.base import GroupJob
from many_models.engines.table import engine_for
from many_models.errors import DataError, LookupFailed, Problem, StorageError
from many_models.metrics.totals import TOTALLED, Totals
from many_models.panel.allowance import times
from many_models.panel.grid import Frequency, Grid
from many_models.panel.keys import SeriesKey
from many_models.runs.directory import default_directory, refuse_used
from many_models.runs.pooling import Pools
from many_models.runs.progress import Progress, silent
from many_models.runs.train import Opened, open_source, train_task
from many_models.spec import ForecastSpec

ORIGINS = 4
FOLDERS = ("backtest", "results")
SUMMARY = "summary.json"


@dataclass(frozen=True)
class Backtest:
    """A finished backtest, open for reading."""

    directory: Path

    def forecasts(self) -> pd.DataFrame:
        """One row per series, origin and step: what was forecast, and what came."""
        return self._read("backtest")

    def results(self) -> pd.DataFrame:
        """One row per series and origin: who served, and every error."""
        return self._read("results")

    @property
    def summary(self) -> dict[str, Any]:
        """Errors over all series and origins, beside those of seasonal naive."""
        document: dict[str, Any] = json.loads((self.directory / SUMMARY).read_text(encoding="utf-8"))
        return document

    def _read(self, folder: str) -> pd.DataFrame:
        frame: pd.DataFrame = _tables(self.directory, folder).to_pandas()
        return frame


def open_backtest(path: str | Path) -> Backtest:
    """The backtest in a folder.

    Raises
    ------
    LookupFailed
        When there is none.
    """
    if not (Path(path) / SUMMARY).is_file():
        found = Problem(str(path), "no backtest there", "a folder that `many-models backtest` printed", "")
        raise LookupFailed(found)
    return Backtest(Path(path))


def backtest(
    data: Any,
    spec: ForecastSpec,
    *,
    origins: int = ORIGINS,
    step: int | None = None,
    refit: bool = True,
    run_dir: str | Path | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Backtest:
    """Past days replayed: everything that a run does, on what was known then, scored on what came.

    Parameters
    ----------
    data
        A pandas DataFrame, a Spark DataFrame, a path, or None to read what `spec.data` names.
    origins
        How many cutoffs are replayed; the last leaves one whole horizon to score.
    step
        Periods between two cutoffs; default the horizon, so that no value is scored twice.
    refit
        Train anew at every origin; else train at the first, and move the state to the others.
    run_dir
        Where the rows are written; default `runs/<name>-backtest-<UTC time>`.

    Raises
    ------
    InputError
        When the configuration or the table is wrong.

    Notes
    -----
    What is known across series is the prior of the package: a pilot would have to be replayed too. Models
    that a group shares are fitted anew at every origin too; without `refit` they take no part.
    """
    if origins < 1:
        raise DataError(Problem("origins", str(origins), "1 or more", f"leave it out for {ORIGINS}"))
    target = default_directory(f"{spec.name}-backtest") if run_dir is None else Path(run_dir)
    refuse_used(target)
    bar = progress or silent()
    engine = engine_for(spec.engine, data)
    try:
        opened = open_source(engine, data, spec, target, limit, None)
        try:
            cutoffs = origins_of(opened, spec, origins, step or spec.forecast.horizon)
            if refit and spec.data.group == "auto" and cutoffs:
                opened = opened.sorted_by(spec, None, None, bar, cutoffs[0])
            elif refit:
                opened = opened.in_stages()
            task = train_task(opened, spec, shipped_prior(), None)
            job = GroupJob(
                backtest_group,
                backtest_failed,
                backtest_failed,
                BacktestTask(task, cutoffs, refit),
                times(task.seconds, origins),
            )
            attached = None if opened.pools is None else _pooled(opened, opened.pools, job, bar)
            _write(opened, job, target, bar, attached)
        finally:
            opened.panel.close()
    finally:
        engine.close()
    results = _tables(target, "results").to_pandas()
    weighted = spec.validation.weights is not None
    summary = summarised(results, _tables(target, "backtest"), opened.series, weighted)
    when = {"origins": origins, "refit": refit, "spec_fingerprint": spec.fingerprint}
    _write_text(target / SUMMARY, json.dumps({"name": spec.name, **when, **summary}, indent=2) + "\n")
    return Backtest(target)


def origins_of(opened: Opened, spec: ForecastSpec, count: int, step: int) -> tuple[int, ...]:
    """The canonical times of the cutoffs, oldest first: the last leaves one whole horizon."""
    last = opened.panel.last_observed()
    if last is None:
        return ()
    frequency = Frequency.parse(opened.frequency)
    grid = Grid.through(last, frequency, opened.panel.layout.time.zone, spec.data.label)
    newest = int(grid.containing([last])[0]) - spec.forecast.gap - spec.forecast.horizon
    return tuple(int(t) for t in grid.stamps(newest - step * np.arange(count)[::-1]))


def _pooled(opened: Opened, pools: Pools, job: GroupJob, progress: Progress) -> dict[int, bytes]:
    """What each series learned with its group at every origin, by the number of the series."""
    task: BacktestTask = job.argument
    limit = times(task.train.seconds, len(task.origins))
    pooling = GroupJob(pool_backtest, pool_failed, pool_failed, task, limit)
    told: dict[bytes, bytes] = {}
    done = 0
    with progress.bar("pooling", len(pools.groups)) as step:
        for batch in pools.panel.map(pooling, pools.groups):
            for answer in batch:
                told.update(read_pools(answer.payload))
            done += len(batch)
            step(done)
    names = tuple(key.name for key in task.train.layout.keys)
    columns = [opened.panel.groups[name].to_numpy() for name in opened.panel.layout.group_names]
    keys = {number: tuple(column[number] for column in columns) for number in opened.groups}
    return {number: told[SeriesKey(names, values).digest] for number, values in keys.items()}


def _write(
    opened: Opened, job: GroupJob, target: Path, progress: Progress, attached: Mapping[int, bytes] | None
) -> None:
    """Every group replayed; its rows written batch by batch."""
    schemas = job.argument.schemas
    try:
        for folder in FOLDERS:
            (target / folder).mkdir(parents=True)
            _put(schemas[folder].empty_table(), target / folder / "part-000000.parquet")
        seen = 0
        with progress.bar("replaying", opened.series) as step:
            for number, batch in enumerate(opened.panel.map(job, opened.groups, attached), start=1):
                answers = [read_rows(a.payload) for a in sorted(batch, key=lambda a: a.group)]
                for folder in FOLDERS:
                    parts = [tables[folder] for tables in answers if folder in tables]
                    if parts:
                        _put(pa.concat_tables(parts), target / folder / f"part-{number:06d}.parquet")
                seen += sum(tables["results"].num_rows for tables in answers if "results" in tables)
                step(seen // max(1, len(job.argument.origins)))
    except OSError as trouble:
        raise StorageError(f"{target}: cannot write the backtest: {trouble.strerror or trouble}") from trouble


def _put(table: pa.Table, target: Path) -> None:
    hidden = target.with_name(f".{target.name}")
    pq.write_table(table, hidden, compression="zstd")
    os.replace(hidden, target)


def _write_text(target: Path, text: str) -> None:
    hidden = target.with_name(f".{target.name}")
    hidden.write_text(text, encoding="utf-8")
    os.replace(hidden, target)


def _tables(directory: Path, folder: str) -> pa.Table:
    files = sorted((directory / folder).glob("part-*.parquet"))
    return pa.concat_tables([pq.read_table(file, partitioning=None) for file in files])


def summarised(results: pd.DataFrame, rows: pa.Table, series: int, weighted: bool = False) -> dict[str, Any]:
    """Errors over series and origins, skill against seasonal naive, and how steady the choice is.

    Parameters
    ----------
    results
        One row per series and origin.
    rows
        One row per step.
    weighted
        Whether the configuration names weights.
    """
    scored = results[results["scored"] > 0]
    keys = list(results.columns[: results.columns.get_loc("origin")])
    per_series = scored.groupby(keys or (lambda _: 0), dropna=False)
    errors = per_series[["mase", "rmsse", "naive_mase", "naive_rmsse"]].mean()
    skill = (1.0 - errors["mase"] / errors["naive_mase"].where(errors["naive_mase"] > 0)).dropna()
    difference = (errors["mase"] - errors["naive_mase"]).dropna()
    actual, mean, median = (rows[name].to_numpy(zero_copy_only=False) for name in ("actual", "mean", "q0.5"))
    seen = np.isfinite(actual) & np.isfinite(mean)
    total = float(np.abs(actual[seen]).sum())
    return {
        "series": series,
        "scored_series": len(errors),
        "status": {k: int(v) for k, v in results["status"].value_counts().sort_index().items()},
        "mase": _number(errors["mase"].mean()),
        "rmsse": _number(errors["rmsse"].mean()),
        "wape": _number(np.abs(actual - median)[seen].sum() / total) if total else None,
        "bias": _number(mean[seen].sum() / actual[seen].sum() - 1) if actual[seen].sum() else None,
        "errors": _totals(scored, per_series, weighted),
        "seasonal_naive": {
            "mase": _number(errors["naive_mase"].mean()),
            "rmsse": _number(errors["naive_rmsse"].mean()),
        },
        "skill": {
            "median": _number(skill.median()),
            "share_beating_naive": _number((difference < 0).mean()) if len(difference) else None,
            "mase_difference": _number(difference.mean()),
            "mase_difference_se": _number(difference.std(ddof=1) / np.sqrt(len(difference)))
            if len(difference) > 1
            else None,
        },
        "coverage": _number(scored["coverage"].mean()),
        "same_champion": _steadiness(per_series),
    }


def _totals(scored: pd.DataFrame, per_series: Any, weighted: bool) -> dict[str, Any]:
    """Errors over series, over values, and weighted; a series counts once in macro, at all its origins."""
    share = 1.0 / per_series["scored"].transform("size").to_numpy(dtype=np.float64)
    told = {name: scored[name].to_numpy(dtype=np.float64) for name in (*TOTALLED, "weight")}
    totals = Totals()
    totals.add(
        told,
        scored["scored"].to_numpy(dtype=np.float64),
        scored["volume"].to_numpy(dtype=np.float64),
        told["weight"] if weighted else None,
        share,
    )
    return totals.table()


def _steadiness(per_series: Any) -> float | None:
    """The share of pairs of neighbouring origins at which a series' heaviest member is the same."""
    same = pairs = 0
    for _, part in per_series:
        names = part.sort_values("origin")["champion"].dropna().tolist()
        pairs += max(0, len(names) - 1)
        same += sum(a == b for a, b in pairwise(names))
    return None if not pairs else _number(same / pairs)


def _number(value: Any) -> float | None:
    found = float(value)
    return float(f"{found:.6g}") if np.isfinite(found) else None
