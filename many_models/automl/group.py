"""The group function: the canonical rows of one model key in, rows of the run directory out. Pure.

`train_group` is what both engines run in a guarded child. `fall_back_group` is the cheap answer
when it did not come back, and `give_up_group` accounts for the group when nothing can be computed.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd

from many_models import __version__
from many_models.automl.evaluation import LEFT_OUT, Trial
from many_models.automl.held_out import Tested, before_test, tested
from many_models.automl.model import FORMAT_VERSION, KIND, SeriesModel
from many_models.automl.pooled import Pooled, PooledTrial
from many_models.automl.prior import SPARSE_KIND
from many_models.automl.rows import GroupRows, quantile_column
from many_models.automl.scores import scores_of
from many_models.automl.settings import (
    bounds_of,
    fit_context,
    fold_cutoffs,
    is_short,
    is_sparse,
    plan_of,
    prior_of,
    short_finding,
    unknown_country,
    weight_missing,
    weight_of,
)
from many_models.automl.task import TrainTask
from many_models.automl.training import (
    SHORTEST,
    Trained,
    refitted,
    train_fallback,
    train_series,
    train_short,
)
from many_models.bundle.container import pack
from many_models.learners.base import Deadline, FitContext
from many_models.learners.listing import left_out_features
from many_models.learners.target import stated_level
from many_models.metrics import mase_scale, rmsse_scale
from many_models.metrics.totals import TOTALLED
from many_models.panel.allowance import seconds_of
from many_models.panel.findings import Finding, finding
from many_models.panel.fingerprint import observed_span, series_fingerprint
from many_models.panel.guardrails import Surroundings, guarded, mixed_scale
from many_models.panel.keys import SeriesKey
from many_models.panel.layout import Layout
from many_models.panel.preparation import Prepared, prepare

SOFT_SHARE = 0.8
"""Share of a group's time after which no further candidate is begun; the rest is for the refit."""


class TroubleLike(Protocol):
    """Why the group function did not answer (the engines' `Trouble`)."""

    @property
    def status(self) -> str:
        """TIMED_OUT or FAILED."""

    @property
    def code(self) -> str:
        """A stable reason code."""

    @property
    def message(self) -> str:
        """For a person."""

    @property
    def seconds(self) -> float:
        """How long it ran."""


def train_group(frame: pd.DataFrame, task: TrainTask, attachment: bytes | None = None) -> bytes:
    """The rows of one group as bytes: every series trained, every trouble of one series a row.

    `attachment` is what the stage `pool` says of the one series in `frame`.
    """
    left = None if task.ends is None else task.ends - time.time()
    if left is not None and left <= 0:
        return cancel_group(frame, task)
    soft = soft_seconds(frame, task)
    deadline = Deadline.after(_shorter(soft, left))
    rows = GroupRows(task.layout, task.schemas)
    pooled = None if attachment is None else Pooled.from_bytes(attachment)
    shared = _shared(frame, task) if pooled is None else (*task.findings, *pooled.findings)
    trials = () if pooled is None else pooled.trials
    for key, part in series_of(frame, task.layout):
        started, folds = time.perf_counter(), 0
        try:
            folds = _train_one(part, key, task, deadline, rows, shared, started, trials)
        except Exception as trouble:
            # The edge of one series: whatever went wrong is this series' row, and the others go on.
            rows.drop(key.values)
            _fall_back_one(
                part, key, task, rows, "FAILED", "EXCEPTION", f"{type(trouble).__name__}: {trouble}", started
            )
        _add_lineage(rows, key, part, task, folds)
    return rows.to_bytes()


def soft_seconds(frame: pd.DataFrame, task: TrainTask) -> float | None:
    """Seconds after which a group ends by itself, before it is ended; None is no limit."""
    seconds = seconds_of(task.seconds, frame)
    return None if seconds is None else seconds * SOFT_SHARE


def _shorter(one: float | None, other: float | None) -> float | None:
    """The shorter of two times; None is no limit."""
    found = min((t for t in (one, other) if t is not None), default=None)
    return None if found is None or found == float("inf") else found


def fall_back_group(frame: pd.DataFrame, task: TrainTask, trouble: TroubleLike) -> bytes:
    """The rows of a group whose training timed out or crashed: the naive fallback, and why."""
    rows = GroupRows(task.layout, task.schemas)
    for key, part in series_of(frame, task.layout):
        started = time.perf_counter() - trouble.seconds
        _fall_back_one(part, key, task, rows, trouble.status, trouble.code, trouble.message, started)
        _add_lineage(rows, key, part, task)
    return rows.to_bytes()


def give_up_group(frame: pd.DataFrame, task: TrainTask, trouble: TroubleLike) -> bytes:
    """The rows of a group for which not even the fallback could be computed: an account, no model."""
    rows = GroupRows(task.layout, task.schemas)
    for key, part in series_of(frame, task.layout):
        _account(rows, key, task, trouble.status, trouble.code, trouble.message, trouble.seconds)
        _add_lineage(rows, key, part, task)
    return rows.to_bytes()


def cancel_group(frame: pd.DataFrame, task: TrainTask) -> bytes:
    """The rows of a group that was not run because the budget of the run was spent."""
    rows = GroupRows(task.layout, task.schemas)
    for key, part in series_of(frame, task.layout):
        _account(rows, key, task, "CANCELLED", "BUDGET_SPENT", "", 0.0)
        _add_lineage(rows, key, part, task)
    return rows.to_bytes()


def check_group(frame: pd.DataFrame, task: TrainTask) -> bytes:
    """The findings of a group's preparation; no model is touched."""
    rows = GroupRows(task.layout, task.schemas)
    shared = _shared(frame, task)
    for key, part in series_of(frame, task.layout):
        prepared = prepare(part, key, task.layout, task.prepare_settings)
        _add_findings(rows, key, _guarded(prepared, key, part, task, shared))
    return rows.to_bytes()


def series_of(frame: pd.DataFrame, layout: Layout) -> Iterator[tuple[SeriesKey, pd.DataFrame]]:
    """The series of a group's canonical frame, in key order."""
    names = tuple(k.name for k in layout.keys)
    columns = [f"k{i}" for i in range(len(names))]
    if len(layout.group) == len(names):
        yield SeriesKey(names, tuple(frame[c].iloc[0] for c in columns)), frame
        return
    for values, part in frame.groupby(columns, sort=True, observed=True):
        yield SeriesKey(names, tuple(cast("tuple[Any, ...]", values))), part


def _shared(frame: pd.DataFrame, task: TrainTask) -> tuple[Finding, ...]:
    """What was found in the panel, and in the group where several series share its model."""
    alone = len(task.layout.group) == len(task.layout.keys)
    return task.findings if alone else (*task.findings, *mixed_scale(frame, task.layout))


def _guarded(
    prepared: Prepared, key: SeriesKey, frame: pd.DataFrame, task: TrainTask, shared: tuple[Finding, ...]
) -> list[Finding]:
    """Everything that is found in a series before a model is touched, and what was looked at in vain."""
    spec = task.spec
    findings = [*prepared.findings, *unknown_country(prepared, key, spec), *weight_missing(prepared, spec)]
    at = fold_cutoffs(prepared, spec) if prepared.n_obs else ()
    if prepared.n_obs and is_short(prepared, at, spec):
        findings.append(short_finding(prepared, spec))
    looked = {}
    if spec.features.holidays is not None and spec.features.holidays.column is not None:
        looked["HOLIDAY_CALENDAR"] = 1
    if len(task.layout.group) < len(task.layout.keys):
        looked["SCALE"] = 1
    fixed = spec.validation.folds != "auto"
    around = Surroundings(spec.forecast.horizon, spec.forecast.gap, at, fixed, shared, looked)
    return guarded(prepared, findings, frame, task.layout, around)


def _train_one(
    frame: pd.DataFrame,
    key: SeriesKey,
    task: TrainTask,
    deadline: Deadline,
    rows: GroupRows,
    shared: tuple[Finding, ...],
    started: float,
    pooled: tuple[PooledTrial, ...],
) -> int:
    """How many folds the choice was made on; all rows of a series are added."""
    prepared = prepare(frame, key, task.layout, task.prepare_settings)
    findings = _guarded(prepared, key, frame, task, shared)
    if prepared.n_obs == 0:
        _add_findings(rows, key, findings)
        _account(rows, key, task, "SKIPPED", "NO_OBSERVATIONS", "", time.perf_counter() - started)
        return 0
    deadline = Deadline.after(_shorter(task.share_of(weight_of(prepared, task.spec)), deadline.seconds_left))
    at = fold_cutoffs(prepared, task.spec)
    if is_short(prepared, at, task.spec) and task.spec.preparation.short == "drop":
        _add_findings(rows, key, findings)
        _account(rows, key, task, "SKIPPED", "TOO_SHORT", "", time.perf_counter() - started, prepared)
        return 0
    trained, context = _held_out(frame, prepared, key, task, at, deadline, rows, findings, pooled)
    thinned = _thinned(trained.model)
    if thinned:  # the size that was predicted beforehand is that of the usual features
        findings = [found for found in findings if found.code != "MEMORY"]
    _add_findings(rows, key, [*findings, *thinned, *_not_carried(prepared, context), *trained.findings])
    _add_trained(rows, key, task, prepared, trained, context, started)
    return 0 if trained.folds is None else len(trained.folds.cutoffs)


def _held_out(
    frame: pd.DataFrame,
    prepared: Prepared,
    key: SeriesKey,
    task: TrainTask,
    at: tuple[int, ...],
    deadline: Deadline,
    rows: GroupRows,
    findings: list[Finding],
    pooled: tuple[PooledTrial, ...],
) -> tuple[Trained, FitContext]:
    """The model of a prepared series; with a held-out test, what was chosen without its end.

    The rows of the test are added, and the model is fitted on everything.
    """
    hidden = task.spec.validation.test
    before = before_test(frame, key, task, prepared) if hidden else None
    earlier = fold_cutoffs(before, task.spec) if before is not None else ()
    if before is None or is_short(before, earlier, task.spec):
        if hidden:
            findings.append(finding("TEST_LEFT_OUT", hidden))
        return _trained(prepared, key, task, at, deadline, pooled)
    then = tuple(one.as_tested() for one in pooled)
    trained, context = _trained(before, key, task, earlier, deadline, then)
    for part in tested(frame, key, task, prepared, before, trained.model, context):
        _add_test(rows, key, task, prepared, before, context, part)
    context, bounds = fit_context(prepared, key, task), bounds_of(prepared, task.spec)
    plan, prior = plan_of(prepared, task.spec), prior_of(prepared, task)
    return refitted(trained, prepared, prepared.length, context, plan, prior, bounds, pooled), context


def _thinned(model: SeriesModel) -> list[Finding]:
    """What features the members of a model had to do without, so that they fit in memory."""
    columns = {column for member in model.members for column in left_out_features(member.model)}
    return [finding("FEATURES_THINNED", len(columns))] if columns else []


def _not_carried(prepared: Prepared, context: FitContext) -> list[Finding]:
    """What the settings ask of the target and this history cannot carry."""
    found = []
    asked = context.features
    if asked.transform not in ("auto", "none") and not context.nonnegative:
        below = int((prepared.y[prepared.observed] < 0).sum())
        found.append(finding("TRANSFORM_LEFT_OUT", below))
    reach = context.gap + context.horizon
    if (
        asked.difference in ("seasonal", "both")
        and stated_level(asked.difference, prepared.length, context.season, reach).kind == "mean"
    ):
        found.append(finding("DIFFERENCE_SHORTENED", prepared.n_obs))
    return found


def _trained(
    prepared: Prepared,
    key: SeriesKey,
    task: TrainTask,
    at: tuple[int, ...],
    deadline: Deadline,
    pooled: tuple[PooledTrial, ...] = (),
) -> tuple[Trained, FitContext]:
    """The model of a prepared series with at least one observation, folds at the cutoffs `at`."""
    spec = task.spec
    context, bounds = fit_context(prepared, key, task), bounds_of(prepared, spec)
    plan, prior = plan_of(prepared, spec), prior_of(prepared, task)
    too_short = spec.preparation.short == "naive" and is_short(prepared, at, spec)
    if (prepared.n_obs < SHORTEST and not prepared.padded) or too_short:
        series = prepared.train(prepared.length)
        future = prepared.future(prepared.length, context.horizon, context.gap)
        shared = train_short(series, future, context, plan, prior, bounds, pooled)
        if shared is not None:
            return shared, context
        return train_fallback(series, context, plan, prior, bounds, "FALLBACK", "TOO_SHORT"), context
    trained = train_series(prepared, prepared.length, at, context, plan, prior, bounds, deadline, pooled)
    return trained, context


def train_prepared(
    prepared: Prepared,
    key: SeriesKey,
    task: TrainTask,
    deadline: Deadline,
    pooled: tuple[PooledTrial, ...] = (),
) -> Trained:
    """The model of a prepared series with at least one observation, with all that it was chosen from."""
    return _trained(prepared, key, task, fold_cutoffs(prepared, task.spec), deadline, pooled)[0]


def study_series(
    frame: pd.DataFrame, task: TrainTask, pooled: tuple[PooledTrial, ...] = ()
) -> Iterator[tuple[str, Trained]]:
    """Kind of prior and training of each series of a group that can be trained at all.

    With everything that the choice was made from, for the pilot; what a test hides, it does not see.
    """
    for key, part in series_of(frame, task.layout):
        prepared = prepare(part, key, task.layout, task.prepare_settings)
        if prepared.n_obs == 0:
            continue
        if task.spec.validation.test:
            before = before_test(part, key, task, prepared)
            if before is None or is_short(before, fold_cutoffs(before, task.spec), task.spec):
                continue  # all that it has may be hidden of others
            prepared, pooled = before, tuple(one.as_tested() for one in pooled)
        deadline = Deadline.after(soft_seconds(frame, task))
        trained = train_prepared(prepared, key, task, deadline, pooled)
        kind = SPARSE_KIND if is_sparse(prepared) else prepared.grid.frequency.kind
        yield kind, trained


def _fall_back_one(
    frame: pd.DataFrame,
    key: SeriesKey,
    task: TrainTask,
    rows: GroupRows,
    status: str,
    code: str,
    message: str,
    started: float,
) -> None:
    """The seasonal naive for a series whose training failed; an account without a model if that fails too."""
    try:
        prepared = prepare(frame, key, task.layout, task.prepare_settings)
        if prepared.n_obs == 0:
            _account(rows, key, task, status, code, message, time.perf_counter() - started)
            return
        context = fit_context(prepared, key, task)
        prior = prior_of(prepared, task)
        series = prepared.train(prepared.length)
        trained = train_fallback(
            series, context, plan_of(prepared, task.spec), prior, bounds_of(prepared, task.spec), status, code
        )
        _add_findings(rows, key, [*prepared.findings, finding(status, 1, message=message)])
        _add_trained(rows, key, task, prepared, trained, context, started)
    except Exception as second:
        # Still the edge of one series: it is accounted for with both reasons.
        rows.drop(key.values)
        text = f"{message}; the fallback failed too: {type(second).__name__}: {second}"
        _account(rows, key, task, status, code, text, time.perf_counter() - started)


def _account(
    rows: GroupRows,
    key: SeriesKey,
    task: TrainTask,
    status: str,
    reason: str,
    message: str,
    seconds: float,
    prepared: Prepared | None = None,
) -> None:
    """A result row without a model."""
    if message:
        _add_findings(rows, key, [finding(status, 1, message=message)])
    end = None if prepared is None else int(prepared.grid.stamps(prepared.start + prepared.length - 1))
    rows.add(
        "results",
        key.values,
        1,
        {
            "status": status,
            "reason": reason,
            "learner": None,
            "score": None,
            "skill": None,
            "bias": None,
            **dict.fromkeys((*TOTALLED, "volume", "weight")),
            "scored": 0,
            "seconds": float(seconds),
            "trained_until": end,
            "n_obs": 0 if prepared is None else prepared.n_obs,
            "spec_fingerprint": task.spec.fingerprint,
            "content_id": None,
        },
    )


def _add_findings(rows: GroupRows, key: SeriesKey, findings: list[Finding]) -> None:
    rows.add(
        "findings",
        key.values,
        len(findings),
        {name: [getattr(f, name) for f in findings] for name in _FINDING_COLUMNS},
    )


def _add_lineage(
    rows: GroupRows, key: SeriesKey, frame: pd.DataFrame, task: TrainTask, folds: int = 0
) -> None:
    """What a series' model came of: run, code, data and folds."""
    span = observed_span(frame)
    rows.add(
        "lineage",
        key.values,
        1,
        {
            "run_id": task.run_id,
            "code_version": __version__,
            "data_from": None if span is None else span[0],
            "data_until": None if span is None else span[1],
            "folds": folds,
            "data_fingerprint": None if span is None else series_fingerprint(frame, span[1]),
            "inherited_from": None,
        },
    )


INCOMPLETE = ("FUTURE_COVARIATES_MISSING", "CONTEXT_MISSING")
"""Reasons of rows that were forecast without all that the ensemble reads."""

_FINDING_COLUMNS = ("code", "severity", "state", "count", "message", "action")


def _add_trained(
    rows: GroupRows,
    key: SeriesKey,
    task: TrainTask,
    prepared: Prepared,
    trained: Trained,
    context: FitContext,
    started: float,
) -> None:
    """All rows of a series that has a model."""
    model = trained.model
    state = pack(model.state())
    content_id = hashlib.blake2b(state, digest_size=16).hexdigest()
    cutoff = int(prepared.grid.stamps(model.history.end))
    _add_leaderboard(rows, key, trained)
    _add_backtest(rows, key, task, prepared, trained, context)
    _add_forecasts(rows, key, task, prepared, model, cutoff)
    # After all that could fail, so that no model is left over without a series.
    rows.add(
        "models",
        key.values,
        1,
        {"content_id": content_id, "kind": KIND, "format_version": FORMAT_VERSION, "state": state},
    )
    rows.add(
        "results",
        key.values,
        1,
        {
            "status": model.status,
            "reason": model.reason,
            "learner": model.label,
            "score": trained.score,
            "skill": trained.skill,
            "bias": trained.bias,
            **trained.measures(context),
            "weight": weight_of(prepared, task.spec),
            "seconds": time.perf_counter() - started,
            "trained_until": cutoff,
            "n_obs": prepared.n_obs,
            "spec_fingerprint": task.spec.fingerprint,
            "content_id": content_id,
        },
    )


def _add_leaderboard(rows: GroupRows, key: SeriesKey, trained: Trained) -> None:
    if not trained.trials or trained.scores is None:
        return
    scores = trained.scores.reported
    trials = trained.trials
    logs = np.log(np.where(scores > 0, scores, np.nan))
    finite = [row[np.isfinite(row)] for row in logs]
    spread = [float(row.std()) if row.size > 1 else None for row in finite]
    usable = np.array([not t.failed.all() or t.failed.size == 0 for t in trials])
    alone = scores_of(scores, trained.scores.metric)
    rows.add(
        "leaderboard",
        key.values,
        len(trials) + 1,
        {
            "candidate": [*(t.candidate.name for t in trials), "ensemble"],
            "learner": [*(t.candidate.learner for t in trials), "ensemble"],
            "parameters": [
                *(json.dumps(dict(t.candidate.parameters), sort_keys=True) for t in trials),
                json.dumps({"members": int(np.count_nonzero(trained.weights))}),
            ],
            "score": _nullable([*np.where(usable, alone, np.nan).tolist(), trained.score]),
            "score_std": [*spread, None],
            "weight": [*(float(w) for w in trained.weights), None],
            "fit_seconds": [*(t.fit_seconds for t in trials), sum(t.fit_seconds for t in trials)],
            "predict_seconds": [*(t.predict_seconds for t in trials), sum(t.predict_seconds for t in trials)],
            "status": [*map(_status, trials), "OK"],
            "error_code": [*(t.error_code for t in trials), None],
        },
    )


def _status(trial: Trial) -> str:
    """OK, FAILED, or LEFT_OUT where a race ended it."""
    if trial.failed.size and trial.failed.all():
        return LEFT_OUT if trial.error_code == LEFT_OUT else "FAILED"
    return "OK"


def _nullable(values: list[Any]) -> list[Any]:
    return [None if v is None or not np.isfinite(v) else float(v) for v in values]


def _add_backtest(
    rows: GroupRows,
    key: SeriesKey,
    task: TrainTask,
    prepared: Prepared,
    trained: Trained,
    context: FitContext,
) -> None:
    """Out-of-fold forecasts: of every candidate (mean and median), and of the ensemble (all quantiles)."""
    folds, backtest = trained.folds, trained.backtest
    if folds is None or backtest is None:
        return
    levels = tuple(task.spec.forecast.quantiles)
    count, horizon = folds.actual.shape
    each = len(trained.trials) + 1
    ordinals = np.concatenate([f.ordinals for f in folds.future])
    cutoff = np.repeat([int(s.end) for s in folds.train], horizon)
    columns: dict[str, Any] = {
        "fold": np.tile(np.repeat(np.arange(1, count + 1), horizon), each),
        "cutoff": np.tile(prepared.grid.stamps(cutoff), each),
        task.layout.time.name: np.tile(prepared.grid.stamps(ordinals), each),
        "step": np.tile(np.tile(np.arange(1, horizon + 1), count), each),
        "candidate": np.repeat(
            np.array([*(t.candidate.name for t in trained.trials), "ensemble"], dtype=object), count * horizon
        ),
        "actual": np.tile(folds.actual.ravel(), each),
        "mean": np.concatenate([*(t.mean.ravel() for t in trained.trials), backtest.mean.ravel()]),
        "mase_scale": np.tile(np.repeat(folds.mase_scale(context.score_season), horizon), each),
        "rmsse_scale": np.tile(np.repeat(folds.rmsse_scale, horizon), each),
    }
    empty = np.full(count * horizon, np.nan)
    for j, level in enumerate(levels):
        own = [t.median.ravel() if level == 0.5 else empty for t in trained.trials]
        columns[quantile_column(level)] = np.concatenate([*own, backtest.quantiles[:, :, j].ravel()])
    rows.add("backtest", key.values, each * count * horizon, columns)


def _add_test(
    rows: GroupRows,
    key: SeriesKey,
    task: TrainTask,
    prepared: Prepared,
    before: Prepared,
    context: FitContext,
    part: Tested,
) -> None:
    """One horizon of the held-out test: what was forecast, and what came."""
    forecast, grid = part.answer.forecast, prepared.grid
    history = np.where(before.observed, before.y, np.nan)
    rows.add(
        "test",
        key.values,
        len(part.ordinals),
        {
            "cutoff": int(grid.stamps(part.cutoff)),
            task.layout.time.name: grid.stamps(part.ordinals),
            "step": part.ordinals - part.cutoff - task.spec.forecast.gap,
            "actual": part.actual,
            "mean": forecast.mean,
            **{quantile_column(q): forecast.quantiles[:, j] for j, q in enumerate(forecast.levels)},
            "seasonal_naive": part.naive,
            "mase_scale": float(mase_scale(history, context.score_season)),
            "rmsse_scale": float(rmsse_scale(history)),
            "learner": list(part.answer.learner),
            "status": list(part.answer.status),
            "reason": list(part.answer.reason),
        },
    )


def _add_forecasts(
    rows: GroupRows, key: SeriesKey, task: TrainTask, prepared: Prepared, model: SeriesModel, cutoff: int
) -> None:
    """The forecast of the next horizon, and of its totals."""
    spec = task.spec
    future = prepared.future(prepared.length, spec.forecast.horizon, spec.forecast.gap)
    closed = prepared.closed_ahead(prepared.length, spec.forecast.horizon, spec.forecast.gap)
    answer = model.forecast(future, closed)
    forecast = answer.forecast
    rows.add(
        "forecasts",
        key.values,
        len(future),
        {
            "cutoff": cutoff,
            task.layout.time.name: prepared.grid.stamps(future.ordinals),
            "step": model.steps(future.ordinals),
            "mean": forecast.mean,
            **{quantile_column(q): forecast.quantiles[:, j] for j, q in enumerate(forecast.levels)},
            "learner": list(answer.learner),
            "status": list(answer.status),
            "reason": list(answer.reason),
            "run_id": task.run_id,
        },
    )
    alone = sum(r == "CONTEXT_MISSING" for r in answer.reason)
    if alone:
        _add_findings(rows, key, [finding("CONTEXT_MISSING", alone)])
    missing = sum(r == "FUTURE_COVARIATES_MISSING" for r in answer.reason)
    if missing:
        text = f"{missing} of {len(future)} rows are forecast by the stand-by"
        _add_findings(rows, key, [finding("FUTURE_COVARIATES_MISSING", missing, message=text)])
    for steps in spec.forecast.totals:
        # A total is as good as its worst row: if any row came from the stand-by, so did the total.
        worst = next((i for i in range(steps) if answer.status[i] != model.status), 0)
        quantiles = model.total(forecast.mean, steps, answer.reason[worst] in INCOMPLETE)
        rows.add(
            "totals",
            key.values,
            1,
            {
                "cutoff": cutoff,
                "steps": steps,
                "mean": float(forecast.mean[:steps].sum()),
                **{quantile_column(q): float(quantiles[j]) for j, q in enumerate(forecast.levels)},
                "learner": answer.learner[worst],
                "status": answer.status[worst],
                "reason": answer.reason[worst],
                "run_id": task.run_id,
            },
        )
