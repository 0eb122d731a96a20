"""Training: from a table and a configuration to a finished run directory."""

from __future__ import annotations

import logging
import platform
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import many_models
from many_models.automl.prior import Prior, shipped_prior
from many_models.automl.settings import weight_problems
from many_models.automl.task import TrainTask
from many_models.engines.base import Engine, Panel
from many_models.engines.table import engine_for
from many_models.errors import Cancelled, DataError, ManyModelsError, Problem
from many_models.panel.allowance import Allowance
from many_models.panel.clusters import Clusters
from many_models.panel.events import EventTable
from many_models.panel.findings import Finding, finding
from many_models.panel.frequency import panel_frequency
from many_models.panel.layout import Layout
from many_models.panel.leakage import Suspect, leakage_suspects, trimmed, without_columns
from many_models.panel.preparation import PrepareSettings
from many_models.runs.availability import unavailable
from many_models.runs.base_version import Base, open_base, refuse_other_panel
from many_models.runs.batches import batch_events, batches, together
from many_models.runs.chronicle import Chronicle
from many_models.runs.clustering import sorted_series
from many_models.runs.directory import RunDirectory, default_directory, refuse_used, staging_of
from many_models.runs.events import event_findings, events_of
from many_models.runs.fingerprints import cancelling_job, marking_job, training_job
from many_models.runs.inheritance import based_on, inherited_tables, select
from many_models.runs.journal import Beginning, Done, Plan, sole_writer
from many_models.runs.pilot import pilot_groups, pilot_size, run_pilot, shares_size, taught
from many_models.runs.pool_shares import pooling_jobs
from many_models.runs.pooling import Attached, Pools, members_of, pools_of, run_pools
from many_models.runs.progress import Progress, silent
from many_models.runs.run import Run
from many_models.runs.tally import Tally
from many_models.spec import ForecastSpec

LOG = logging.getLogger("many_models.train")

SAMPLE_GROUPS = 64
"""Groups that are looked at for the panel's usual frequency."""

EXPECTED_SECONDS = {"fast": 0.2, "balanced": 0.6, "best": 10.0}
"""Usual cost of a series of a hundred values by preset; the automatic deadline is 30 times that."""

LEAST_DEADLINE = 60.0


@dataclass(frozen=True)
class Opened:
    """A source opened on an engine, with what was learned of it before any model is touched.

    Attributes
    ----------
    panel, groups
        What is mapped over, and the numbers of those that take part: groups, and in a run of two
        stages the series.
    pools
        The groups whose series share models, in a run of two stages.
    """

    engine: Engine
    panel: Panel
    groups: list[int]
    frequency: str
    events: EventTable | None = None
    suspects: tuple[Suspect, ...] = ()
    keep: tuple[str, ...] = ()
    pools: Pools | None = None

    @property
    def layout(self) -> Layout:
        """The layout of the source, in which known covariates that tell the target have no role."""
        left_out = [suspect.column for suspect in self.suspects if suspect.column not in self.keep]
        layout = self.panel.layout if self.pools is None else self.pools.layout
        return without_columns(layout, left_out) if left_out else layout

    def in_stages(self) -> Opened:
        """The same by series, where a group holds several: they learn together first."""
        layout = self.panel.layout
        if len(layout.group) == len(layout.keys):
            return self
        panel, series = members_of(self.panel, self.groups)
        return replace(self, panel=panel, groups=series, pools=Pools(self.panel, self.groups, layout))

    def sorted_by(
        self,
        spec: ForecastSpec,
        cutoff: str | int | None,
        given: Clusters | None,
        progress: Progress,
        until: int | None = None,
    ) -> Opened:
        """The same by series, sorted into automatic groups by these cuts, or by those that are learned
        of what was known at a canonical time."""
        if not self.panel.layout.keys:
            return self
        task = train_task(self, spec, shipped_prior(), cutoff)
        largest = spec.pooling.largest
        layout, panel, numbers = sorted_series(self.panel, self.groups, task, largest, given, progress, until)
        return replace(self, pools=Pools(panel, sorted(set(numbers.values())), layout, numbers))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found in the panel, and is so for each of its series."""
        kept = [suspect for suspect in self.suspects if suspect.column in self.keep]
        lost = [suspect for suspect in self.suspects if suspect.column not in self.keep]
        sides = (("LEAKAGE_SUSPECT", lost, "left out"), ("LEAKAGE_KEPT", kept, "kept (data.keep)"))
        suspected = tuple(
            finding(code, len(some), message=f"{done}: {'; '.join(map(str, some))}")
            for code, some, done in sides
            if some
        )
        return (*suspected, *event_findings(self.events, self.panel.layout, self.panel.groups))

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
    only: Sequence[str] | None = None,
    base: str | Path | None = None,
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
    only
        Train only series that are `failed`, `stale`, `changed`, `drifted` or `new` (several words: any of
        them), and take over all others from `base`.
    base
        A run directory or a model URI.
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
    words, source = based_on(only, base, spec.registry.tracking_uri)
    if source is not None and prior is None:
        prior = Prior.from_dict(source.manifest["prior"])  # what was learned across series is used again
    engine = engine_for(spec.engine, data)
    try:
        resolved = _resolved(spec, engine, data)
        beginning = _beginning(data, resolved, limit, cutoff, prior)
        if source is not None:
            beginning = replace(beginning, only=list(words), base=source.uri)
        with sole_writer(target):
            refuse_used(target)
            directory = RunDirectory.begin(target, resolved, beginning)
            try:
                carry_on(engine, data, directory, beginning, progress or silent())
            except Cancelled:  # also before anything was trained: it can be resumed
                raise
            except ManyModelsError:
                if not directory.journal.is_laid_out:
                    directory.forget()
                raise
    finally:
        engine.close()
    return Run(directory)


def _resolved(spec: ForecastSpec, engine: Engine, data: Any) -> ForecastSpec:
    """The configuration with what the call says otherwise."""
    overrides: dict[str, Any] = {}
    if engine.name != "local" and spec.engine.kind == "local":
        overrides["engine.kind"] = engine.name
    if isinstance(data, str | Path):
        overrides["data.path"] = str(data)
    return spec.replace(overrides) if overrides else spec


def _beginning(
    data: Any, spec: ForecastSpec, limit: int | None, cutoff: str | int | None, prior: Prior | None
) -> Beginning:
    """How the run begins, as the journal keeps it."""
    is_path = isinstance(data, str | Path)
    path = str(data) if is_path else spec.data.path
    if path is not None and "://" not in path:
        path = str(Path(path).absolute())  # whoever continues may stand elsewhere
    source = (
        "path" if is_path or (data is None and path is not None) else "table" if data is None else "frame"
    )
    return Beginning(
        run_id=uuid.uuid4().hex,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        source=source,
        path=path if source == "path" else None,
        cutoff=cutoff if cutoff is None or isinstance(cutoff, int) else str(cutoff),
        limit=limit,
        spec=spec.to_dict(),
        spec_fingerprint=spec.fingerprint,
        prior=None if prior is None else prior.to_dict(),
    )


def carry_on(
    engine: Engine, data: Any, directory: RunDirectory, beginning: Beginning, progress: Progress
) -> None:
    """Trains what a run directory lacks, from its beginning or from where it stopped, and its summary.

    Raises
    ------
    DataError
        When the data of finished series are no longer what they were, or other series lie there.
    Cancelled
        When the file `cancel` was put into the run directory.
    """
    chronicle = Chronicle(directory.path)
    with chronicle.under_way():
        _carry_on(engine, data, directory, beginning, progress, chronicle)


def _carry_on(
    engine: Engine,
    data: Any,
    directory: RunDirectory,
    beginning: Beginning,
    progress: Progress,
    chronicle: Chronicle,
) -> None:
    """The same, without saying how it ended."""
    started = time.perf_counter()
    spec, journal = directory.spec(), directory.journal
    limit, cutoff = beginning.limit, beginning.cutoff
    opened = open_source(engine, data, spec, directory.path, limit, cutoff)
    chronicle.note("run opened", **_opening(opened, beginning))
    try:
        base = None if beginning.base is None else open_base(beginning.base, spec.registry.tracking_uri)
        if spec.data.group == "auto":
            before = directory.layout() if journal.is_laid_out else None if base is None else base.layout
            clusters = None if before is None else before.clusters
            opened = opened.sorted_by(spec, cutoff, clusters, progress)
        else:
            opened = opened.in_stages()
        if base is not None:
            refuse_other_panel(base, trimmed(opened.layout), spec, "--base")
        given = None if beginning.prior is None else Prior.from_dict(beginning.prior)
        task = train_task(opened, spec, given or shipped_prior(), cutoff)
        task = replace(task, run_id=beginning.run_id)
        if journal.is_laid_out:
            done = journal.done()
            refuse_changed(opened, directory, done)
            plan = journal.plan()
            task = replace(task, panel_frequency=plan.frequency, panel_end=plan.panel_end)
            if directory.has_prior:
                task = replace(task, prior=directory.prior())
        else:
            done = Done({})
            if given is None and opened.pools is None:
                task = _piloted(task, opened, opened.groups, directory, progress, chronicle)
            plan = Plan(opened.frequency, task.panel_end)
            groups = opened.panel.groups.iloc[opened.groups]
            # Where groups learn together, the pilot is shown what they learned: it comes after them.
            prior = None if opened.pools is not None else task.prior
            directory.lay_out(spec, trimmed(opened.layout), prior, plan, groups)
        goes_on = bool(journal.times_resumed() or done.batch)
        if base is not None and not done.batch:
            _inherit(opened, task, directory, beginning, base, data, progress, started)
            done = journal.done()
        tally = _tally_of(directory, spec)
        kept = tally.series
        if goes_on:
            journal.note_resumed(kept)
            chronicle.note("run resumed", kept=kept)
        began = started - done.seconds
        if opened.pools is not None:
            pools = pools_of(opened.pools, opened.panel, set(opened.groups) - done.marks.keys())
            chronicle.note("pooling started", groups=len(pools.groups), kept=len(done.pools))
            batch = run_pools(
                pools,
                pooling_jobs(task, len(pools.groups), int(engine.describe()["workers"])),
                directory,
                done,
                progress,
                lambda: time.perf_counter() - began,
                chronicle.tell,
            )
            done = replace(done, batch=batch)
            if not directory.has_prior:
                if given is None:
                    waiting = sorted(set(opened.groups) - done.marks.keys())
                    task = _piloted(task, opened, waiting, directory, progress, chronicle)
                directory.note_prior(task.prior)
        refitted = _run_groups(opened, task, directory, done, tally, progress, began, chronicle)
    finally:
        opened.panel.close()
    _balance(tally, opened.series)
    summary = _summary(tally, opened, task, engine, began, cutoff, limit)
    if base is not None:
        summary["only"] = journal.selection()
    if journal.times_resumed():
        summary["resumed"] = {"times": journal.times_resumed(), "kept": kept, "refitted": refitted}
    directory.write_summary(summary)
    chronicle.note("run done", series=tally.series, outcomes=summary["outcomes"], seconds=summary["seconds"])


def _piloted(
    task: TrainTask,
    opened: Opened,
    groups: list[int],
    directory: RunDirectory,
    progress: Progress,
    chronicle: Chronicle,
) -> TrainTask:
    """The task with the prior that a pilot of these groups taught; as it is where there is no pilot."""
    setting, seed = task.spec.validation.pilot, task.spec.seed
    usual = size = pilot_size(setting, len(groups))
    attached = None
    if opened.pools is not None:
        size = max(usual, shares_size(setting, len(groups)))
        attached = Attached(opened.panel, task.layout, directory.journal.pooled())
    if not size:
        return task
    sample = pilot_groups(opened.panel.groups, groups, size, seed)
    chronicle.note("pilot started", groups=size)
    look = directory.stop_if_cancelled
    studies = run_pilot(opened.panel, task, sample, progress, look, chronicle.tell, attached)
    prior = taught(task.prior, studies, shares_alone=not usual)
    shares = {name: dict(kind.shares) for name, kind in prior.kinds.items() if kind.shares is not None}
    if shares:
        chronicle.note("shares learned", **shares)
    return replace(task, prior=prior)


def _opening(opened: Opened, beginning: Beginning) -> dict[str, Any]:
    """What the first event of a run says of it."""
    engine = opened.engine.describe()
    return {
        "run_id": beginning.run_id,
        "spec_fingerprint": beginning.spec_fingerprint,
        "code_version": many_models.__version__,
        "engine": engine["name"],
        "workers": int(engine["workers"]),
        "series": opened.series,
        "groups": len(opened.groups),
        "rows": int(opened.panel.groups["rows"].iloc[opened.groups].sum()),
    }


def _inherit(
    opened: Opened,
    task: TrainTask,
    directory: RunDirectory,
    beginning: Beginning,
    base: Base,
    data: Any,
    progress: Progress,
    started: float,
) -> None:
    """Writes, as the first batch, the series that are not trained: the rows of the base."""
    words = beginning.only or []
    source = beginning.path if data is None else data
    chosen = select(
        opened.panel, opened.groups, opened.frequency, task, base, words, source, beginning.cutoff, progress
    )
    directory.journal.note_selection(chosen.summary(words, base.uri))
    if chosen.gone and beginning.limit is None:
        LOG.warning("%d series of %s are not in the table, and not in this run", chosen.gone, base.uri)
    tables = inherited_tables(chosen, base, task)
    if tables:
        marks = {group: chosen.marks[group] for group in (*chosen.inherited, *chosen.left_out)}
        directory.append(1, tables, marks, time.perf_counter() - started)


def _tally_of(directory: RunDirectory, spec: ForecastSpec) -> Tally:
    """What the finished batches of a run count up to."""
    keys = [k.name for k in directory.layout().keys]
    tally = Tally(keys, spec.forecast.quantiles, spec.validation.weights is not None)
    for batch in directory.journal.complete():
        tally.add(directory.batch(batch, ("results", "backtest", "test")))
    return tally


def refuse_changed(opened: Opened, directory: RunDirectory, done: Done) -> None:
    """Nothing, when the source is what the run began with.

    Raises
    ------
    DataError
        Naming the columns, keys or values that are not.
    """
    problems = list(_differences(opened, directory))
    if not problems:
        problems += _changed_data(opened.panel, done.marks)
    if not problems and opened.pools is not None:
        problems += _changed_data(opened.pools.panel, done.pools)
    if problems:
        raise DataError(problems)


_ANEW = "train again into another folder, or put the data back as they were"


def _differences(opened: Opened, directory: RunDirectory) -> Iterator[Problem]:
    """How columns and groups differ from the run's, without reading a row."""
    where = str(directory.path)
    if trimmed(opened.layout).to_dict() != directory.layout().to_dict():
        yield Problem(where, "columns that are not those the run began with", "the same columns", _ANEW)
        return
    before = directory.journal.groups()
    now = opened.panel.groups.iloc[opened.groups]
    keys = list(opened.panel.layout.group_names)
    was = dict(zip(_keys(before, keys), before["rows"], strict=True))
    there = dict(zip(_keys(now, keys), now["rows"], strict=True))
    for what, some in (
        ("groups that were not there", [key for key in there if key not in was]),
        ("groups gone that were there", [key for key in was if key not in there]),
        ("groups with more or fewer rows", [k for k, n in there.items() if was.get(k, n) != n]),
    ):
        if some:
            names = ", ".join("/".join(map(str, key)) for key in some[:3])
            yield Problem(where, f"{len(some)} {what}: {names}", f"the {len(was)} groups of the run", _ANEW)


def _keys(groups: pd.DataFrame, names: list[str]) -> list[tuple[Any, ...]]:
    columns = [groups[name].tolist() for name in names]
    return list(zip(*columns, strict=True)) if names else [()] * len(groups)


def _changed_data(panel: Panel, marks: Mapping[int, bytes]) -> list[Problem]:
    """The finished groups of a panel whose data are no longer what these fingerprints say."""
    if not marks:
        return []
    now: dict[int, bytes] = {}
    for batch in panel.map(marking_job(), sorted(marks)):
        now.update((answer.group, answer.payload) for answer in batch)
    changed = [group for group in sorted(marks) if now[group] != marks[group]]
    if not changed:
        return []
    keys = _keys(panel.groups.iloc[changed[:3]], list(panel.layout.group_names))
    names = ", ".join("/".join(map(str, key)) for key in keys)
    found = (
        f"{len(changed)} of {len(marks)} finished groups with other values than they were trained on: {names}"
    )
    return [Problem("data", found, "the data that the run began with", _ANEW)]


def open_source(
    engine: Engine, data: Any, spec: ForecastSpec, target: Path, limit: int | None, cutoff: str | int | None
) -> Opened:
    """The source as a canonical panel, with the keys to train and the panel's usual frequency.

    Raises
    ------
    SpecError
        Where no learner that is allowed is installed.
    DataError
        With every problem of the table at once.
    """
    unavailable(spec)
    panel = engine.open(data, spec.data, staging_of(target, spec.engine.staging), cutoff)
    try:
        count = len(panel.groups)
        if limit is not None and limit < 1:
            raise DataError(Problem("--limit", str(limit), "1 or more", "leave it out to train every key"))
        problems = [*PrepareSettings.of(spec).problems(panel.layout), *weight_problems(spec, panel.layout)]
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
        seconds=group_seconds(spec),
        events=opened.events,
        findings=(*opened.findings, *unavailable(spec)),
    )


def group_seconds(spec: ForecastSpec) -> float | Allowance | None:
    """Wall time that one group may take: the setting, or 60 s or 30 times what a group of its size costs."""
    setting = spec.budget.seconds_per_group
    if setting == "auto":
        return Allowance(LEAST_DEADLINE, 30.0 * EXPECTED_SECONDS[spec.learners.preset])
    return None if setting is None else float(setting)


def _run_groups(
    opened: Opened,
    task: TrainTask,
    directory: RunDirectory,
    done: Done,
    tally: Tally,
    progress: Progress,
    started: float,
    chronicle: Chronicle,
) -> int:
    """How many groups were trained again; all that are not done are trained and written.

    Where the run has a budget, each series has its share of it and serves what was best by then; those
    that are reached after its end are CANCELLED rows.
    """
    waiting = set(opened.groups) - done.marks.keys()
    total = task.spec.budget.seconds_total
    task = _budgeted(task, opened, waiting, started)
    number, refitted = done.batch, 0
    jobs = [training_job(task)]
    attached: Attached | None = None
    if opened.pools is not None and waiting:
        attached = Attached(opened.panel, task.layout, directory.journal.pooled())
    with progress.bar("training", opened.series) as step:
        step(tally.series)
        while waiting and jobs:
            for answers in batches(opened.panel, jobs.pop(), sorted(waiting), attached, chronicle):
                if answers:
                    number += 1
                    marks, tables = together(answers)
                    refitted += len(done.marks.keys() & marks.keys())
                    waiting -= marks.keys()
                    directory.append(number, tables, marks, time.perf_counter() - started)
                    tally.add(tables)
                    step(tally.series)
                    chronicle.notes(batch_events(number, answers, tally, opened.series))
                if waiting:
                    directory.stop_if_cancelled()
                if waiting and total is not None and time.perf_counter() - started > total * OVERRUN:
                    chronicle.note("budget spent", seconds=total, waiting=len(waiting))
                    jobs.append(cancelling_job(task, LEAST_DEADLINE))
                    attached = None
                    total = None
                    break
    return refitted


OVERRUN = 1.03
"""Groups end by themselves when the budget is spent; what still runs after so much of it is stopped."""

RESERVED = 0.03
"""Of the budget, what is left for the rows of series that are not reached, and for the summary."""

REFIT_SHARE = 0.3
"""Of a series' share of the budget, what is left for the fit on everything."""


def _budgeted(task: TrainTask, opened: Opened, waiting: set[int], started: float) -> TrainTask:
    """The task with the end of the run's budget, and what of it falls to each of the waiting series."""
    total = task.spec.budget.seconds_total
    if total is None or not waiting:
        return task
    left = max(0.0, total * (1.0 - RESERVED) - (time.perf_counter() - started))
    series = int(opened.panel.groups["series"].iloc[sorted(waiting)].sum())
    workers = int(opened.engine.describe().get("workers", "1"))
    share = (1.0 - REFIT_SHARE) * left * workers / max(1, series)
    weight = usual_weight(opened, task.spec.validation.weights)
    return replace(task, ends=time.time() + left, share=share, usual_weight=weight)


WEIGHED = 400
"""The mean weight of the series is that of so many groups, evenly spaced."""


def usual_weight(opened: Opened, column: str | None) -> float | None:
    """The mean weight of a run's series; None without weights, or where none is usable."""
    if column is None:
        return None
    sample, keys = opened.panel.sample(WEIGHED), list(opened.layout.key_names)
    names = {c.name: n for n, c in zip(opened.layout.covariate_names, opened.layout.covariates, strict=True)}
    values = sample[names[column]]
    first = values.groupby([sample[k] for k in keys], sort=False).first() if keys else values.iloc[:1]
    weights = first.to_numpy(np.float64)
    known = weights[weights >= 0]
    return float(known.mean()) if known.size and known.mean() > 0 else None


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
        "groups": len(opened.groups if opened.pools is None else opened.pools.groups),
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
