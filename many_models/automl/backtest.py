"""Backtests: past days replayed whole, on data that neither the search nor the refit has seen.

At every origin everything is done anew as a run would do it then: preparation, candidates, their
folds before that day, the combination, the refit. So selection and report never share a value.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa

from many_models.automl.evaluation import fit_fallback
from many_models.automl.group import TroubleLike, series_of, train_prepared
from many_models.automl.held_out import actual_at, known_then
from many_models.automl.measures import measures
from many_models.automl.model import SeriesModel
from many_models.automl.moving import moved
from many_models.automl.pooled import Pooled, PooledTrial
from many_models.automl.pooling import fall_back_pool, pool_group, read_pool
from many_models.automl.rows import REAL, TEXT, WHOLE, GroupRows, key_columns, quantile_column
from many_models.automl.settings import fit_context, weight_of
from many_models.automl.task import TrainTask
from many_models.learners.base import Deadline
from many_models.metrics import mase_scale, rmsse_scale
from many_models.panel.allowance import seconds_of
from many_models.panel.canonical import time_type
from many_models.panel.keys import SeriesKey
from many_models.panel.layout import Layout
from many_models.panel.preparation import Prepared, PrepareSettings, prepare
from many_models.panel.series import Forecast

ERRORS = (
    "mase", "rmsse", "mae", "rmse", "wape", "smape", "bias", "pinball", "winkler", "crps", "coverage",
)  # fmt: skip
"""What is told of every series at every origin."""


@dataclass(frozen=True)
class BacktestTask:
    """What every group of a backtest is replayed with.

    Attributes
    ----------
    train
        As a run would be trained.
    origins
        Canonical times of the cutoffs, oldest first.
    refit
        Whether models are trained anew at every origin; else those of the first have their state moved.
    """

    train: TrainTask
    origins: tuple[int, ...]
    refit: bool

    @cached_property
    def replayed(self) -> tuple[TrainTask, ...]:
        """What a run would be trained with at each origin; every origin is a test, none hides another."""
        train = replace(self.train, spec=self.train.spec.replace({"validation.test": 0}))
        if train.spec.forecast.origin != "panel":
            return (train,) * len(self.origins)
        return tuple(replace(train, panel_end=cutoff) for cutoff in self.origins)

    @cached_property
    def schemas(self) -> dict[str, pa.Schema]:
        """The Arrow schemas: `backtest`, a row per step, and `results`, a row per series and origin."""
        layout = self.train.layout
        return backtest_schemas(layout, self.train.spec.forecast.quantiles)


def backtest_schemas(layout: Layout, levels: Sequence[float]) -> dict[str, pa.Schema]:
    """The Arrow schemas of a backtest's two folders."""
    keys, when = key_columns(layout), time_type(layout)
    head = [*keys, ("origin", WHOLE), ("cutoff", when)]
    steps = [
        *head,
        (layout.time.name, when),
        ("step", WHOLE),
        ("actual", REAL),
        ("mean", REAL),
        *((quantile_column(q), REAL) for q in levels),
        ("seasonal_naive", REAL),
        ("learner", TEXT),
        ("status", TEXT),
        ("reason", TEXT),
    ]
    series = [
        *head,
        ("status", TEXT),
        ("reason", TEXT),
        ("learner", TEXT),
        ("champion", TEXT),
        ("n_obs", WHOLE),
        ("scored", WHOLE),
        *((name, REAL) for name in ERRORS),
        ("naive_mase", REAL),
        ("naive_rmsse", REAL),
        ("volume", REAL),
        ("weight", REAL),
        ("seconds", REAL),
    ]
    return {"backtest": pa.schema(steps), "results": pa.schema(series)}


def pool_backtest(frame: pd.DataFrame, task: BacktestTask) -> bytes:
    """What the series of a group learned together at every origin, for `read_pools`.

    At each origin the stage `pool` is done anew on the rows as they were known then.
    """
    told: dict[bytes, list[bytes]] = {}
    for cutoff, then in zip(task.origins, task.replayed, strict=True):
        outcomes, _ = read_pool(pool_group(known_then(frame, cutoff), then))
        for digest, pooled in zip(*(outcomes[n].to_pylist() for n in ("digest", "pooled")), strict=True):
            told.setdefault(digest, []).append(pooled)
    return _written(told)


def pool_failed(frame: pd.DataFrame, task: BacktestTask, trouble: TroubleLike) -> bytes:
    """The same of a group that did not answer: its series are replayed by their own learners."""
    outcomes, _ = read_pool(fall_back_pool(frame, task.train, trouble))
    digests, pooled = (outcomes[name].to_pylist() for name in ("digest", "pooled"))
    count = len(task.origins)
    return _written({digest: [one] * count for digest, one in zip(digests, pooled, strict=True)})


def _written(told: Mapping[bytes, list[bytes]]) -> bytes:
    """What is told of each series at every origin, as bytes."""
    columns = {"digest": list(told), "pooled": list(told.values())}
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, POOLS) as stream:
        stream.write_table(pa.Table.from_pydict(columns, schema=POOLS))
    written: bytes = sink.getvalue().to_pybytes()
    return written


POOLS = pa.schema([("digest", pa.binary()), ("pooled", pa.list_(pa.binary()))])


def read_pools(payload: bytes) -> dict[bytes, bytes]:
    """What is attached to each series in `backtest_group`, by the digest of its key."""
    with pa.ipc.open_stream(payload) as stream:
        table = stream.read_all()
    return {
        digest: _written({digest: pooled})
        for digest, pooled in zip(table["digest"].to_pylist(), table["pooled"].to_pylist(), strict=True)
    }


def backtest_group(frame: pd.DataFrame, task: BacktestTask, attachment: bytes | None = None) -> bytes:
    """The rows of a group at every origin; `attachment` is what its group told of the one series in it."""
    rows = GroupRows(task.train.layout, task.schemas)
    pooled: list[tuple[PooledTrial, ...]] = [()] * len(task.origins)
    if attachment is not None:
        with pa.ipc.open_stream(attachment) as stream:
            (told,) = stream.read_all()["pooled"].to_pylist()
        pooled = [Pooled.from_bytes(one).trials for one in told]
    for key, part in series_of(frame, task.train.layout):
        _replay(part, key, task, rows, pooled)
    return rows.to_bytes()


def backtest_failed(frame: pd.DataFrame, task: BacktestTask, trouble: TroubleLike) -> bytes:
    """The rows of a group that did not answer: an account for every series and origin."""
    rows = GroupRows(task.train.layout, task.schemas)
    for key, _ in series_of(frame, task.train.layout):
        for number, cutoff in enumerate(task.origins, start=1):
            _account(rows, key, number, cutoff, trouble.status, trouble.code, trouble.seconds)
    return rows.to_bytes()


def _replay(
    frame: pd.DataFrame,
    key: SeriesKey,
    task: BacktestTask,
    rows: GroupRows,
    pooled: Sequence[tuple[PooledTrial, ...]],
) -> None:
    """The rows of one series at every origin; an origin that fails is a row that says so."""
    whole = prepare(frame, key, task.train.layout, task.train.prepare_settings)
    model: SeriesModel | None = None
    for number, (cutoff, then) in enumerate(zip(task.origins, task.replayed, strict=True), start=1):
        started = time.perf_counter()
        try:
            known = known_then(frame, cutoff)
            before = prepare(known, key, then.layout, then.prepare_settings)
            if before.n_obs == 0:
                _account(rows, key, number, cutoff, "SKIPPED", "NO_OBSERVATIONS", 0.0)
                continue
            if model is None or task.refit:
                deadline = Deadline.after(seconds_of(then.seconds, frame))
                model = train_prepared(before, key, then, deadline, pooled[number - 1]).model
            else:
                grid = model.history.grid
                settings = PrepareSettings.of(then.spec, grid.frequency.alias, None, grid)
                model, _ = moved(model, prepare(known, key, then.layout, settings))
            _add(rows, key, then, number, cutoff, before, whole, model, started)
        except Exception as trouble:
            # The edge of one series at one origin: the others go on.
            code = f"{type(trouble).__name__}: {trouble}"
            _account(rows, key, number, cutoff, "FAILED", code, time.perf_counter() - started)


def _add(
    rows: GroupRows,
    key: SeriesKey,
    task: TrainTask,
    number: int,
    cutoff: int,
    before: Prepared,
    whole: Prepared,
    model: SeriesModel,
    started: float,
) -> None:
    """The rows of one series at one origin."""
    forecast = task.spec.forecast
    horizon, gap, grid = forecast.horizon, forecast.gap, before.grid
    answer = model.forecast(
        before.future(before.length, horizon, gap), before.closed_ahead(before.length, horizon, gap)
    )
    ordinals = before.end + gap + np.arange(1, horizon + 1, dtype=np.int64)
    actual = actual_at(whole, ordinals)
    context = fit_context(before, key, task)
    naive = fit_fallback(before.train(before.length), context).predict(
        before.future(before.length, horizon, gap).without_known()
    )
    levels = answer.forecast.levels
    rows.add(
        "backtest",
        key.values,
        horizon,
        {
            "origin": number,
            "cutoff": cutoff,
            task.layout.time.name: grid.stamps(ordinals),
            "step": model.steps(ordinals),
            "actual": actual,
            "mean": answer.forecast.mean,
            **{quantile_column(q): answer.forecast.quantiles[:, j] for j, q in enumerate(levels)},
            "seasonal_naive": naive.mean,
            "learner": list(answer.learner),
            "status": list(answer.status),
            "reason": list(answer.reason),
        },
    )
    history = np.where(before.observed, before.y, np.nan)
    scales = {
        "mase": np.atleast_1d(mase_scale(history, context.score_season)),
        "rmsse": np.atleast_1d(rmsse_scale(history)),
    }

    def told(names: Sequence[str], forecast: Forecast) -> dict[str, float]:
        mean, quantiles = forecast.mean[None], forecast.quantiles[None]
        return measures(names, actual[None], mean, quantiles, forecast.levels, scales)

    other = told(("mase", "rmsse"), naive)
    scored = int(np.isfinite(actual).sum())
    rows.add(
        "results",
        key.values,
        1,
        {
            "origin": number,
            "cutoff": cutoff,
            "status": model.status,
            "reason": model.reason if scored else "NO_ACTUALS",
            "learner": model.label,
            "champion": max(model.members, key=lambda m: m.weight).candidate.name,
            "n_obs": before.n_obs,
            "scored": scored,
            **told(ERRORS, answer.forecast),
            "naive_mase": other["mase"],
            "naive_rmsse": other["rmsse"],
            "volume": float(np.nansum(np.abs(actual))),
            "weight": weight_of(before, task.spec),
            "seconds": time.perf_counter() - started,
        },
    )


def _account(
    rows: GroupRows, key: SeriesKey, number: int, cutoff: int, status: str, reason: str, seconds: float
) -> None:
    """A row without a forecast."""
    nothing = dict.fromkeys(("learner", "champion", *ERRORS, "naive_mase", "naive_rmsse", "volume", "weight"))
    row = {"origin": number, "cutoff": cutoff, "status": status, "reason": reason, "n_obs": 0, "scored": 0}
    rows.add("results", key.values, 1, {**row, **nothing, "seconds": seconds})
