"""Training: from a table and a configuration to a finished run directory."""

from __future__ import annotations

import platform
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from many_models.automl.group import (
    TrainTask,
    cancel_group,
    fall_back_group,
    give_up_group,
    train_group,
)
from many_models.automl.prior import Prior, shipped_prior
from many_models.automl.rows import FOLDERS, read_rows
from many_models.engines.base import Engine, GroupJob, Panel
from many_models.engines.table import engine_for
from many_models.errors import DataError, ManyModelsError, Problem
from many_models.panel.events import EventTable
from many_models.panel.frequency import panel_frequency
from many_models.panel.findings import Finding, finding
from many_models.panel.layout import Layout
from many_models.panel.leakage import Suspect, leakage_suspects, trimmed, without_columns
from many_models.panel.preparation import PrepareSettings
from many_models.runs.directory import RunDirectory, default_directory, refuse_used
from many_models.runs.events import events_of
from many_models.runs.pilot import pilot_groups, pilot_size, run_pilot
from many_models.runs.progress import Progress, silent
from many_models.runs.run import Run
from many_models.runs.tally import Tally
from many_models.spec import ForecastSpec

SAMPLE_GROUPS = 64
"""Groups that are looked at for the panel's usual frequency."""

EXPECTED_SECONDS = {"fast": 0.2, "balanced": 0.6, "best": 10.0}
"""Usual cost of a series of a hundred values by preset; the automatic deadline is 30 times that."""

LEAST_DEADLINE = 60.0


@dataclass(frozen=True)
class Opened:
    """A source opened on an engine, with what was learned of it before any model is touched."""

    engine: Engine
    panel: Panel
    groups: list[int]
    frequency: str
    events: EventTable | None = None
    suspects: tuple[Suspect, ...] = ()
    keep: tuple[str, ...] = ()

    @property
    def layout(self) -> Layout:
        """The layout of the panel, in which known covariates that tell the target have no role."""
        left_out = [suspect.column for suspect in self.suspects if suspect.column not in self.keep]
        return without_columns(self.panel.layout, left_out) if left_out else self.panel.layout

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found in the panel, and is so for each of its series."""
        kept = [suspect for suspect in self.suspects if suspect.column in self.keep]
        lost = [suspect for suspect in self.suspects if suspect.column not in self.keep]
        sides = (("LEAKAGE_SUSPECT", lost, "left out"), ("LEAKAGE_KEPT", kept, "kept (data.keep)"))
        return tuple(
            finding(code, len(some), message=f"{done}: {'; '.join(map(str, some))}")
            for code, some, done in sides
            if some
        )

    @property
    def series(self) -> int:
        """Series in the chosen groups."""
        return int(self.panel.groups["series"].iloc[self.groups].sum())


def train(
    data: Any = None,
    spec: ForecastSpec | None = None,
    *,
    run_dir: str | Path | None = None,
    limit: int | None = None,
    cutoff: str | int | None = None,
    prior: Prior | None = None,
    progress: Progress | None = None,
) -> Run:
    """The finished run: one forecaster per key, trained and written to a run directory.

    Parameters
    ----------
    data
        A pandas DataFrame, a Spark DataFrame (then Spark runs it), a path, or None to read what
        `spec.data` names.
    spec
        The configuration.
    run_dir
        Where the run is written; default `runs/<name>-<UTC time>`. A folder that holds something
        is refused.
    limit
        Only the first so many keys in key order.
    cutoff
        Nothing later is read, so that a past day can be replayed.
    prior
        What is known across series; default is the prior that comes with the package, and what the
        run's pilot adds to it.
    progress
        Told of every batch; default says nothing.

    Raises
    ------
    InputError
        When the configuration or the table is wrong, before anything is trained.
    OutsideError
        When the cluster or the disk fails; what is finished is kept.
    """
    if spec is None:
        raise TypeError("train(data, spec): spec is missing; make one with ForecastSpec.from_yaml(...)")
    target = default_directory(spec.name) if run_dir is None else Path(run_dir)
    refuse_used(target)
    started = time.perf_counter()
    engine = engine_for(spec.engine, data)
    try:
        opened = open_source(engine, data, spec, target, limit, cutoff)
        try:
            overrides: dict[str, Any] = {}
            if engine.name != "local" and spec.engine.kind == "local":
                overrides["engine.kind"] = engine.name
            if isinstance(data, str | Path):
                overrides["data.path"] = str(data)
            resolved = spec.replace(overrides) if overrides else spec
            bar = progress or silent()
            task = train_task(opened, resolved, prior or shipped_prior(), cutoff)
            size = 0 if prior is not None else pilot_size(resolved.validation.pilot, len(opened.groups))
            if size:
                sample = pilot_groups(opened.panel.groups, opened.groups, size, resolved.seed)
                task = replace(task, prior=run_pilot(opened.panel, task, sample, bar)[0])
            directory = RunDirectory.create(target, resolved, trimmed(opened.layout), task.prior)
            tally = _run_groups(opened, task, directory, bar, started)
        finally:
            opened.panel.close()
        _balance(tally, opened.series)
        directory.write_summary(_summary(tally, opened, task, engine, started, cutoff, limit))
    finally:
        engine.close()
    return Run(directory)


def open_source(
    engine: Engine, data: Any, spec: ForecastSpec, target: Path, limit: int | None, cutoff: str | int | None
) -> Opened:
    """The source as a canonical panel, with the keys to train and the panel's usual frequency.

    Raises
    ------
    DataError
        With every problem of the table at once.
    """
    staging = Path(spec.engine.staging) if spec.engine.staging else target
    panel = engine.open(data, spec.data, staging, cutoff)
    try:
        count = len(panel.groups)
        if limit is not None and limit < 1:
            raise DataError(Problem("--limit", str(limit), "1 or more", "leave it out to train every key"))
        problems = PrepareSettings.of(spec).problems(panel.layout)
        if problems:
            raise DataError(problems)
        groups = list(range(count if limit is None else min(limit, count)))
        events = events_of(spec, panel.layout, panel.groups)
        frequency = spec.data.frequency
        if frequency == "auto":
            frequency = usual_frequency(panel.sample(SAMPLE_GROUPS), panel.layout)
        # on the whole panel, so that the same columns are left out whatever part of it is trained
        suspects = leakage_suspects(panel.sample(SAMPLE_GROUPS), panel.layout) if spec.data.known else ()
        return Opened(engine, panel, groups, frequency, events, suspects, spec.data.keep)
    except BaseException:
        panel.close()
        raise


def usual_frequency(sample: pd.DataFrame, layout: Layout) -> str:
    """The alias of the frequency that most series of a canonical sample have."""
    keys = list(layout.key_names)
    parts = [part for _, part in sample.groupby(keys, sort=True)] if keys else [sample]
    stamps = [np.unique(part["t"].to_numpy()) for part in parts]
    return panel_frequency(stamps, layout.time.zone, integer=layout.time.kind == "integer").alias


def train_task(opened: Opened, spec: ForecastSpec, prior: Prior, cutoff: str | int | None) -> TrainTask:
    """What every group of a run is trained with."""
    end = opened.panel.last_observed() if spec.forecast.origin == "panel" else None
    return TrainTask(
        spec=spec,
        layout=opened.layout,
        prior=prior,
        panel_frequency=opened.frequency,
        panel_end=end,
        run_id=uuid.uuid4().hex,
        seconds=group_seconds(spec, opened),
        events=opened.events,
        findings=opened.findings,
    )


def group_seconds(spec: ForecastSpec, opened: Opened) -> float | None:
    """Wall time that one group may take: the setting, or 60 s or 30 times the expected cost."""
    setting = spec.budget.seconds_per_group
    if setting is None:
        return None
    if setting != "auto":
        return float(setting)
    groups = opened.panel.groups.iloc[opened.groups]
    # A long series costs in proportion to its length, a group in proportion to its series.
    work = (groups["series"] * (groups["rows"] / groups["series"] / 100.0).clip(lower=1.0)).max()
    return max(LEAST_DEADLINE, 30.0 * EXPECTED_SECONDS[spec.learners.preset] * float(work))


def _run_groups(
    opened: Opened, task: TrainTask, directory: RunDirectory, progress: Progress, started: float
) -> Tally:
    """Every group trained and written; groups for which the run's budget is spent are CANCELLED rows."""
    tally = Tally(task.spec.forecast.quantiles)
    job = GroupJob(train_group, fall_back_group, give_up_group, task, task.seconds)
    waiting = set(opened.groups)
    total = task.spec.budget.seconds_total
    with progress.bar("training", opened.series) as step:
        number = 0
        for number, tables in enumerate(_batches(opened.panel, job, opened.groups, waiting), start=1):
            directory.append(number, tables)
            tally.add(tables)
            step(tally.series)
            if total is not None and waiting and time.perf_counter() - started > total:
                break
        if waiting:
            cancel = GroupJob(cancel_group, fall_back_group, give_up_group, task, LEAST_DEADLINE)
            left = sorted(waiting)
            for extra, tables in enumerate(_batches(opened.panel, cancel, left, waiting), start=number + 1):
                directory.append(extra, tables)
                tally.add(tables)
                step(tally.series)
    return tally


def _batches(
    panel: Panel, job: GroupJob, groups: list[int], waiting: set[int]
) -> Iterator[dict[str, list[pa.Table]]]:
    """The tables of each batch by folder; groups that have answered leave `waiting`."""
    answers = panel.map(job, groups)
    try:
        for batch in answers:
            tables: dict[str, list[pa.Table]] = {folder: [] for folder in FOLDERS}
            for answer in sorted(batch, key=lambda a: a.group):
                for folder, table in read_rows(answer.payload).items():
                    tables[folder].append(table)
                waiting.discard(answer.group)
            yield tables
    finally:
        close = getattr(answers, "close", None)
        if close is not None:
            close()


def _balance(tally: Tally, series: int) -> None:
    """Closed accounting: exactly one result row per input series, or the run is wrong."""
    if tally.series != series:
        raise ManyModelsError(
            f"accounting does not balance: {series} series went in, {tally.series} result rows came out; "
            "this is a bug of many-models, please report it"
        )


def _summary(
    tally: Tally,
    opened: Opened,
    task: TrainTask,
    engine: Engine,
    started: float,
    cutoff: str | int | None,
    limit: int | None,
) -> dict[str, Any]:
    groups = opened.panel.groups.iloc[opened.groups]
    failed = tally.failed / max(1, tally.series)
    return {
        "name": task.spec.name,
        "run_id": task.run_id,
        "series": opened.series,
        "groups": len(opened.groups),
        "rows": int(groups["rows"].sum()),
        "cutoff": None if cutoff is None else str(cutoff),
        "limit": limit,
        "frequency": opened.frequency,
        **tally.summary(),
        "failed_fraction": failed,
        "too_many_failed": failed > task.spec.budget.max_failed_fraction,
        "seconds": round(time.perf_counter() - started, 3),
        "spec_fingerprint": task.spec.fingerprint,
        "engine": engine.describe(),
        "versions": versions(),
        "registered": None,
    }


PACKAGES = (
    "many-models", "numpy", "pandas", "pyarrow", "scikit-learn", "lightgbm", "statsforecast", "pmdarima",
    "prophet", "holidays", "mlflow", "pyspark",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of Python and the packages that decide results, of those installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
