"""The group function: the canonical rows of one model key in, rows of the run directory out. Pure.

`train_group` is what both engines run in a guarded child. `fall_back_group` is the cheap answer
when it did not come back, and `give_up_group` accounts for the group when nothing can be computed.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from many_models.automl.candidates import SPARSE_CLASSES, learner_names
from many_models.automl.combination import Combine
from many_models.automl.model import FORMAT_VERSION, KIND, SeriesModel
from many_models.automl.prior import SPARSE_KIND, KindPrior, Prior
from many_models.automl.rows import GroupRows, quantile_column, schemas
from many_models.automl.scores import scores_of
from many_models.automl.training import (
    SHORTEST,
    Bounds,
    Trained,
    train_fallback,
    train_series,
)
from many_models.bundle.container import pack
from many_models.features.holidays import place_of
from many_models.features.settings import CovariateSettings, FeatureSettings, StepsByColumn, WindowSettings
from many_models.learners.base import Deadline, FitContext
from many_models.learners.target import stated_level
from many_models.panel.events import EventTable
from many_models.panel.findings import Finding, finding
from many_models.panel.folds import cutoffs, least_training
from many_models.panel.guardrails import Surroundings, guarded, mixed_scale
from many_models.panel.keys import SeriesKey
from many_models.panel.layout import Layout
from many_models.panel.preparation import Prepared, PrepareSettings, demand_class, prepare
from many_models.spec import CovariatesSpec, ForecastSpec, HolidaysSpec, ReductionSpec

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


@dataclass(frozen=True)
class TrainTask:
    """What every group of a run is trained with: plain data, the same for all.

    Attributes
    ----------
    panel_frequency
        Alias of the panel's usual frequency, for series that are too short to tell.
    panel_end
        Canonical time of the panel's last observation, where the horizon starts there for all.
    seconds
        Wall time for one group; None is none.
    events
        Named dates known ahead; None is none.
    findings
        What was found in the panel, and is so for each of its series.
    """

    spec: ForecastSpec
    layout: Layout
    prior: Prior
    panel_frequency: str | None
    panel_end: int | None
    run_id: str
    seconds: float | None
    events: EventTable | None = None
    findings: tuple[Finding, ...] = ()

    @cached_property
    def schemas(self) -> dict[str, pa.Schema]:
        """The Arrow schema of every folder."""
        return schemas(self.layout, self.spec.forecast.quantiles)

    @cached_property
    def prepare_settings(self) -> PrepareSettings:
        """What preparation reads of the configuration."""
        return PrepareSettings.of(self.spec, self.panel_frequency, self.panel_end)

    @property
    def horizon(self) -> int:
        """Steps to forecast."""
        return self.spec.forecast.horizon


@dataclass(frozen=True)
class SeriesPlan:
    """The settings of the run for one series: see `training.Plan`."""

    horizon: int
    gap: int
    levels: tuple[float, ...]
    learners: tuple[str, ...]
    learners_named: bool
    metric: str
    combine: Combine


def train_group(frame: pd.DataFrame, task: TrainTask) -> bytes:
    """The rows of one group as bytes: every series trained, every trouble of one series a row."""
    deadline = Deadline.after(None if task.seconds is None else task.seconds * SOFT_SHARE)
    rows = GroupRows(task.layout, task.schemas)
    shared = _shared(frame, task)
    for key, part in series_of(frame, task.layout):
        started = time.perf_counter()
        try:
            _train_one(part, key, task, deadline, rows, shared, started)
        except Exception as trouble:
            # The edge of one series: whatever went wrong is this series' row, and the others go on.
            rows.drop(key.values)
            _fall_back_one(
                part, key, task, rows, "FAILED", "EXCEPTION", f"{type(trouble).__name__}: {trouble}", started
            )
    return rows.to_bytes()


def fall_back_group(frame: pd.DataFrame, task: TrainTask, trouble: TroubleLike) -> bytes:
    """The rows of a group whose training timed out or crashed: the naive fallback, and why."""
    rows = GroupRows(task.layout, task.schemas)
    for key, part in series_of(frame, task.layout):
        started = time.perf_counter() - trouble.seconds
        _fall_back_one(part, key, task, rows, trouble.status, trouble.code, trouble.message, started)
    return rows.to_bytes()


def give_up_group(frame: pd.DataFrame, task: TrainTask, trouble: TroubleLike) -> bytes:
    """The rows of a group for which not even the fallback could be computed: an account, no model."""
    rows = GroupRows(task.layout, task.schemas)
    for key, _ in series_of(frame, task.layout):
        _account(rows, key, task, trouble.status, trouble.code, trouble.message, trouble.seconds)
    return rows.to_bytes()


def cancel_group(frame: pd.DataFrame, task: TrainTask) -> bytes:
    """The rows of a group that was not run because the budget of the run was spent."""
    rows = GroupRows(task.layout, task.schemas)
    for key, _ in series_of(frame, task.layout):
        _account(rows, key, task, "CANCELLED", "BUDGET_SPENT", "", 0.0)
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
    findings = [*prepared.findings, *_unknown_country(prepared, key, spec)]
    at = _cutoffs(prepared, spec) if prepared.n_obs else ()
    if prepared.n_obs and _is_short(prepared, at, spec):
        findings.append(_short(prepared, spec))
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
) -> None:
    prepared = prepare(frame, key, task.layout, task.prepare_settings)
    findings = _guarded(prepared, key, frame, task, shared)
    if prepared.n_obs == 0:
        _add_findings(rows, key, findings)
        _account(rows, key, task, "SKIPPED", "NO_OBSERVATIONS", "", time.perf_counter() - started)
        return
    at = _cutoffs(prepared, task.spec)
    if _is_short(prepared, at, task.spec) and task.spec.preparation.short == "drop":
        _add_findings(rows, key, findings)
        _account(rows, key, task, "SKIPPED", "TOO_SHORT", "", time.perf_counter() - started, prepared)
        return
    trained, context = _trained(prepared, key, task, at, deadline)
    _add_findings(rows, key, [*findings, *_not_carried(prepared, context), *trained.findings])
    _add_trained(rows, key, task, prepared, trained, started)


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
    prepared: Prepared, key: SeriesKey, task: TrainTask, at: tuple[int, ...], deadline: Deadline
) -> tuple[Trained, FitContext]:
    """The model of a prepared series with at least one observation, folds at the cutoffs `at`."""
    spec = task.spec
    context, bounds = fit_context(prepared, key, task), _bounds(prepared, spec)
    plan, prior = _plan(prepared, spec), _prior(prepared, task)
    too_short = spec.preparation.short == "naive" and _is_short(prepared, at, spec)
    if (prepared.n_obs < SHORTEST and not prepared.padded) or too_short:
        series = prepared.train(prepared.length)
        return train_fallback(series, context, plan, prior, bounds, "FALLBACK", "TOO_SHORT"), context
    trained = train_series(prepared, prepared.length, at, context, plan, prior, bounds, deadline)
    return trained, context


def train_prepared(prepared: Prepared, key: SeriesKey, task: TrainTask, deadline: Deadline) -> Trained:
    """The model of a prepared series with at least one observation, with all that it was chosen from."""
    return _trained(prepared, key, task, _cutoffs(prepared, task.spec), deadline)[0]


def study_series(frame: pd.DataFrame, task: TrainTask) -> Iterator[tuple[str, Trained]]:
    """Kind of prior and training of each series of a group that can be trained at all.

    With everything that the choice was made from, for the pilot.
    """
    for key, part in series_of(frame, task.layout):
        prepared = prepare(part, key, task.layout, task.prepare_settings)
        if prepared.n_obs == 0:
            continue
        deadline = Deadline.after(None if task.seconds is None else task.seconds * SOFT_SHARE)
        trained = train_prepared(prepared, key, task, deadline)
        kind = SPARSE_KIND if _is_sparse(prepared) else prepared.grid.frequency.kind
        yield kind, trained


def _cutoffs(prepared: Prepared, spec: ForecastSpec) -> tuple[int, ...]:
    return cutoffs(
        prepared.observed,
        spec.forecast.horizon,
        spec.forecast.gap,
        prepared.grid.frequency.season,
        spec.validation.folds,
        spec.validation.step,
        prepared.trainable,
    )


def _is_short(prepared: Prepared, at: tuple[int, ...], spec: ForecastSpec) -> bool:
    """Whether the history carries no fold, or no candidates; none asked for is not short."""
    if prepared.padded:
        return not at
    return prepared.n_obs < SHORTEST or (not at and spec.validation.folds != 0)


def _short(prepared: Prepared, spec: ForecastSpec) -> Finding:
    season, half = prepared.grid.frequency.season, -(-spec.forecast.horizon // 2)
    needed = least_training(season) + spec.forecast.gap + half
    text = (
        f"{prepared.n_obs} values; one fold needs {needed} "
        f"(max(7, 2 x season {season} + 1) + gap {spec.forecast.gap} + half the horizon {half})"
    )
    return finding("SHORT", prepared.n_obs, message=text)


def fit_context(prepared: Prepared, key: SeriesKey, task: TrainTask) -> FitContext:
    """Season, seed and feature settings of one series."""
    spec = task.spec
    frequency = prepared.grid.frequency
    season = frequency.season
    if (
        frequency.kind == "week"
        and 52 in frequency.seasons
        and prepared.length >= 104 + spec.forecast.horizon
    ):
        season = 52
    features = spec.features
    return FitContext(
        horizon=spec.forecast.horizon,
        gap=spec.forecast.gap,
        season=season,
        score_season=frequency.season,
        seed=key.seed(spec.seed),
        nonnegative=bool((prepared.y[prepared.observed] >= 0).all()),
        features=FeatureSettings(
            own=features.own,
            block=features.block,
            strategy=features.strategy,
            lags=_auto_or_off(features.lags, ()),
            windows=_windows(features.windows),
            calendar=_auto_or_off(features.calendar, ()),
            fourier=_auto_or_off(features.fourier, 0),
            stl=features.stl == "on",
            **_holidays(features.holidays, prepared, key),
            transform=features.transforms,
            difference=features.difference,
            scaling=features.scaling,
            reduction=_reduction(features.reduction),
            covariates=_covariates(features.covariates, spec.data.publication_lag),
            **_events(task, key),
            context=("relative",) if features.context == "auto" else cast("Any", features.context),
        ),
    )


def _covariates(wish: CovariatesSpec | None, delays: Mapping[str, int]) -> CovariateSettings | None:
    if wish is None:
        return None
    return CovariateSettings(
        lags=_by_column(wish.lags),
        leads=_by_column(wish.leads),
        differences=_by_column(wish.differences),
        relative=_by_column(wish.relative),
        interactions=_auto_or_off(wish.interactions, ()),
        log=_auto_or_off(wish.log, False),
        past_lags=_auto_or_off(wish.past_lags, ()),
        past_windows=_auto_or_off(wish.past_windows, ()),
        delays=tuple(delays.items()),
    )


def _windows(asked: Any) -> tuple[int, ...] | WindowSettings | None:
    if not isinstance(asked, Mapping):
        return cast("tuple[int, ...] | None", _auto_or_off(asked, ()))
    found: dict[str, Any] = {name: None if value == "auto" else value for name, value in asked.items()}
    return WindowSettings(**found)


def _events(task: TrainTask, key: SeriesKey) -> dict[str, Any]:
    """The events of a series, and how far around them is looked."""
    wish = task.spec.events
    if wish is None or task.events is None:
        return {}
    return {
        "events": task.events.of(key),
        "event_before": wish.before,
        "event_after": wish.after,
    }


def _by_column(steps: Any) -> StepsByColumn:
    """The steps of every column, or of all of them."""
    if isinstance(steps, Mapping):
        return tuple(steps.items())
    return ((None, steps),) if steps else ()


def _holidays(asked: HolidaysSpec | None, prepared: Prepared, key: SeriesKey) -> dict[str, Any]:
    """Whose holidays the series has, and how they become columns, as feature settings."""
    if asked is None:
        return {}
    own = _own_country(asked, prepared, key)
    return {
        "holidays": tuple(dict.fromkeys((*asked.calendars, *([] if own is None else [own])))),
        "holiday_categories": asked.categories,
        "holiday_names": asked.names,
        "holiday_before": _auto_or_off(asked.before, 0),
        "holiday_after": _auto_or_off(asked.after, 0),
    }


def _own_country(asked: HolidaysSpec, prepared: Prepared, key: SeriesKey) -> tuple[str, str | None] | None:
    """Country and subdivision in the series' own column; None where there is none that anybody knows."""
    text = _country_text(asked.column, prepared, key)
    return None if text is None else place_of(text)


def _country_text(column: str | None, prepared: Prepared, key: SeriesKey) -> str | None:
    """What the series' own column of countries holds; None where nothing."""
    if column in key.names:
        return str(key.values[key.names.index(column)])
    for covariate, value in zip(prepared.static, prepared.static_x, strict=True):
        if covariate.name == column and np.isfinite(value):
            return covariate.categories[int(value)] if covariate.categories else f"{value:g}"
    return None


def _unknown_country(prepared: Prepared, key: SeriesKey, spec: ForecastSpec) -> list[Finding]:
    """The finding that the series' own country is not known, where that is so."""
    asked = spec.features.holidays
    if asked is None or asked.column is None or _own_country(asked, prepared, key) is not None:
        return []
    text = _country_text(asked.column, prepared, key)
    found = "no value" if text is None else repr(text)
    message = f"{asked.column} holds {found}: no country or subdivision whose holidays are known"
    return [finding("HOLIDAYS_UNKNOWN", 1, message=message)]


def _reduction(wish: ReductionSpec | None) -> tuple[str, float] | None:
    return None if wish is None else (wish.method, wish.components)


def _auto_or_off(value: Any, off: Any) -> Any:
    if value == "auto":
        return None
    return off if value == "off" else value


def _bounds(prepared: Prepared, spec: ForecastSpec) -> Bounds:
    low, high = spec.forecast.min, spec.forecast.max
    if low == "auto":
        low = 0.0 if bool((prepared.y[prepared.observed] >= 0).all()) else None
    return Bounds(low, None if high == "auto" else high, spec.forecast.integer)


def _is_sparse(prepared: Prepared) -> bool:
    return demand_class(prepared.y[prepared.observed]) in SPARSE_CLASSES


def _prior(prepared: Prepared, task: TrainTask) -> KindPrior:
    return task.prior.kind(prepared.grid.frequency.kind, _is_sparse(prepared))


def _plan(prepared: Prepared, spec: ForecastSpec) -> SeriesPlan:
    metric = spec.validation.metric
    if metric == "auto":
        # An all-zero forecast wins absolute errors on spare parts; squared ones ask for the mean.
        metric = "rmsse" if _is_sparse(prepared) else "mase"
    chosen = spec.learners
    return SeriesPlan(
        spec.forecast.horizon,
        spec.forecast.gap,
        tuple(spec.forecast.quantiles),
        learner_names(chosen.preset, chosen.allow, chosen.block),
        chosen.allow is not None,
        metric,
        "stack" if spec.ensemble.stack else spec.ensemble.combine,
    )


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
        prior = _prior(prepared, task)
        series = prepared.train(prepared.length)
        trained = train_fallback(
            series, context, _plan(prepared, task.spec), prior, _bounds(prepared, task.spec), status, code
        )
        _add_findings(rows, key, [*prepared.findings, finding(status, 1, message=message)])
        _add_trained(rows, key, task, prepared, trained, started)
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


_FINDING_COLUMNS = ("code", "severity", "state", "count", "message", "action")


def _add_trained(
    rows: GroupRows,
    key: SeriesKey,
    task: TrainTask,
    prepared: Prepared,
    trained: Trained,
    started: float,
) -> None:
    """All rows of a series that has a model."""
    model = trained.model
    state = pack(model.state())
    content_id = hashlib.blake2b(state, digest_size=16).hexdigest()
    cutoff = int(prepared.grid.stamps(model.history.end))
    _add_leaderboard(rows, key, trained)
    _add_backtest(rows, key, task, prepared, trained)
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
            "status": [*("OK" if ok else "FAILED" for ok in usable), "OK"],
            "error_code": [*(t.error_code for t in trials), None],
        },
    )


def _nullable(values: list[Any]) -> list[Any]:
    return [None if v is None or not np.isfinite(v) else float(v) for v in values]


def _add_backtest(
    rows: GroupRows, key: SeriesKey, task: TrainTask, prepared: Prepared, trained: Trained
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
    }
    empty = np.full(count * horizon, np.nan)
    for j, level in enumerate(levels):
        own = [t.median.ravel() if level == 0.5 else empty for t in trained.trials]
        columns[quantile_column(level)] = np.concatenate([*own, backtest.quantiles[:, :, j].ravel()])
    rows.add("backtest", key.values, each * count * horizon, columns)


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
    missing = sum(r == "FUTURE_COVARIATES_MISSING" for r in answer.reason)
    if missing:
        text = f"{missing} of {len(future)} rows are forecast by the stand-by"
        _add_findings(rows, key, [finding("FUTURE_COVARIATES_MISSING", missing, message=text)])
    for steps in spec.forecast.totals:
        # A total is as good as its worst row: if any row came from the stand-by, so did the total.
        worst = next((i for i in range(steps) if answer.status[i] != model.status), 0)
        quantiles = model.total(forecast.mean, steps, answer.reason[worst] == "FUTURE_COVARIATES_MISSING")
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
