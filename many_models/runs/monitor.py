"""Monitoring: what stored models forecast, beside what came, by step, by age, and by series.

The forecasts that a run or version left are joined with the values that came later; from where they
end, the models are moved along the newer values and forecast on, so that errors can be seen to grow
with a model's age. Nothing is fitted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from many_models.automl.model import SeriesModel
from many_models.automl.realised import Realised, standard_error
from many_models.automl.rows import REAL, TEXT, WHOLE, key_columns, quantile_column
from many_models.errors import DataError, OutsideError, Problem, StorageError
from many_models.panel.canonical import time_array, time_type
from many_models.panel.keys import SeriesKey
from many_models.panel.series import Bools, Floats
from many_models.runs.base_version import Base, open_base
from many_models.runs.contest import FoldRows
from many_models.runs.directory import default_directory, refuse_used
from many_models.runs.drift import drift_of
from many_models.runs.later import Later, keyed_rows, realised_later
from many_models.runs.progress import Progress, silent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS, SERIES, SUMMARY, PICTURE = "rows.parquet", "series.parquet", "summary.json", "errors.png"

ALERTS = {
    "DRIFT": "errs more than in its folds: `train --only drifted` trains it again",
    "BIAS": "its forecasts are too high or too low on average",
    "COVERAGE": "too few values lie within its outer interval",
}
"""What a series is named for."""


@dataclass(frozen=True)
class Monitor:
    """What was found, in the folder it was written to."""

    directory: Path

    @property
    def summary(self) -> dict[str, Any]:
        """Counts, and errors by step and by age, relative to those of the folds."""
        document: dict[str, Any] = json.loads((self.directory / SUMMARY).read_text(encoding="utf-8"))
        return document

    def rows(self) -> pd.DataFrame:
        """One row per series, origin and step: the model, its age there, what it forecast and what came."""
        frame: pd.DataFrame = pq.read_table(self.directory / ROWS).to_pandas()
        return frame

    def series(self) -> pd.DataFrame:
        """One row per series: errors beside those of the folds, bias, coverage, and alerts."""
        frame: pd.DataFrame = pq.read_table(self.directory / SERIES).to_pandas()
        return frame

    def records(self) -> list[dict[str, Any]]:
        """The same rows as plain values; what is missing is None."""
        rows: list[dict[str, Any]] = pq.read_table(self.directory / SERIES).to_pylist()
        return rows

    def plot(self) -> Figure:
        """Errors by step and by age."""
        from many_models.report.plots import plot_errors

        return plot_errors(self.summary["by_step"], self.summary["by_age"])


def monitor(
    model: str | Path,
    data: Any,
    *,
    cutoff: str | int | None = None,
    out: str | Path | None = None,
    tracking_uri: str | None = None,
    progress: Progress | None = None,
) -> Monitor:
    """The forecasts of a run or version beside what came later.

    Parameters
    ----------
    model
        A model URI or a run directory.
    data
        A data frame, or the path of a table, with values that came later.
    cutoff
        Nothing later of it is read.
    out
        Where it is written; default `runs/<name>-monitor-<UTC time>`.
    tracking_uri
        Default: MLFLOW_TRACKING_URI, else the local SQLite file.

    Raises
    ------
    InputError
        When there is no such model, or no later value of any of its series.
    """
    base = open_base(model, tracking_uri)
    target = Path(out) if out is not None else default_directory(f"{base.spec.name}-monitor")
    refuse_used(target)
    judged = _judged(base, Later.of(base, data, cutoff), progress or silent())
    if not judged:
        raise DataError(
            Problem(
                "--data",
                f"no value that came after any of the {base.index.num_rows} series was trained",
                "a table that goes on after the cutoffs",
                "look again when newer values are there",
            )
        )
    rows = pa.concat_tables([one.rows for one in judged])
    series = pa.Table.from_pylist([one.record for one in judged], schema=_series_schema(base))
    summary = {"model": base.uri, "series": base.index.num_rows, **_summary(judged, rows, series)}
    found = Monitor(target)
    try:
        target.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, target / ROWS, compression="zstd")
        pq.write_table(series, target / SERIES, compression="zstd")
        (target / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        found.plot().savefig(target / PICTURE, dpi=110)
    except OSError as trouble:
        raise StorageError(f"{target}: cannot be written: {trouble.strerror or trouble}") from trouble
    return found


@dataclass(frozen=True)
class _Series:
    """One series with newer values: its rows, its record, and its losses relative to those of its folds."""

    rows: pa.Table
    record: dict[str, Any]
    relative: Floats


def _judged(base: Base, later: Later, progress: Progress) -> list[_Series]:
    folds, kept = FoldRows.of(base), _kept(base)
    found = []
    with progress.bar("comparing", base.index.num_rows) as step:
        for number, (key, row) in enumerate(keyed_rows(base), start=1):
            one = None if row["content_id"] is None else _one(base, later, folds, kept, key, row)
            if one is not None:
                found.append(one)
            if number % 100 == 0:
                step(number)
    return sorted(found, key=lambda one: tuple(one.record[name] for name in base.key_names))


def _one(
    base: Base,
    later: Later,
    folds: FoldRows,
    kept: Mapping[bytes, dict[int, Floats]],
    key: SeriesKey,
    row: Mapping[str, Any],
) -> _Series | None:
    try:
        model = base.models.load(row["content_id"])
        prepared = later.prepared(key.digest, key, model)
        found = None if prepared is None else realised_later(model, prepared)
    except OutsideError:
        raise
    except Exception:
        # The edge of one series: newer rows that its model cannot forecast are not looked at.
        return None
    if prepared is None or found is None or not len(found):
        return None
    metric, before = later.metric(prepared), folds.stored(key.digest)
    fold_losses = before.losses(metric) if len(before) else np.array([])
    drift = drift_of(found.losses(metric), fold_losses)  # as `train --only drifted` sees it
    issued = _issued(found, model, kept.get(key.digest, {}))
    losses = found.losses(metric)
    scale = float(fold_losses.mean()) if fold_losses.size else 0.0
    error = found.mean - found.actual
    within = (found.actual >= found.quantiles[:, 0]) & (found.actual <= found.quantiles[:, -1])
    nominal = found.levels[-1] - found.levels[0]
    limit = base.spec.registry.drift
    alerts = [
        name
        for name, raised in (
            ("DRIFT", drift is not None and drift.errors > limit),
            ("BIAS", bool(abs(error.mean()) > limit * standard_error(error))),
            ("COVERAGE", within.mean() < nominal - limit * np.sqrt(nominal * (1 - nominal) / len(found))),
        )
        if raised
    ]
    total = float(found.actual.sum())
    record = {
        **key.as_dict(),
        "stamps": len(found),
        "error": float(losses.mean()),
        "fold_error": scale or None,
        "ratio": float(losses.mean() / scale) if scale else None,
        "errors": None if drift is None or not np.isfinite(drift.errors) else drift.errors,
        "bias": float(error.sum() / total) if total else None,
        "coverage": float(within.mean()),
        "alerts": ",".join(alerts),
        "run_id": row["run_id"],
        "content_id": row["content_id"],
    }
    relative = losses / scale if scale else np.full(len(found), np.nan)
    return _Series(_rows(base, key, row, model, found, issued), record, relative)


def _kept(base: Base) -> dict[bytes, dict[int, Floats]]:
    """Mean and quantiles of the forecasts that the version left, by series and step."""
    table = base.table("forecasts")
    names = ["mean", *(quantile_column(q) for q in base.spec.forecast.quantiles)]
    values = np.stack([table[name].to_numpy() for name in names], axis=1)
    steps = table["step"].to_numpy()
    columns = [table[name].to_pylist() for name in base.key_names]
    keys = zip(*columns, strict=True) if columns else [()] * table.num_rows
    found: dict[bytes, dict[int, Floats]] = {}
    for key, step, row in zip(keys, steps, values, strict=True):
        found.setdefault(SeriesKey(base.key_names, tuple(key)).digest, {})[int(step)] = row
    return found


def _issued(found: Realised, model: SeriesModel, kept: Mapping[int, Floats]) -> Bools:
    """Where the forecast is the one that was left with the model [N]; put in place of the one made now."""
    issued = np.zeros(len(found), dtype=bool)
    for place in np.flatnonzero(found.origin == model.history.end):
        values = kept.get(int(found.step[place]))
        if values is not None and np.isfinite(values).all():
            found.mean[place], found.quantiles[place], issued[place] = values[0], values[1:], True
    return issued


def _rows_schema(base: Base) -> pa.Schema:
    when = time_type(base.layout)
    quantiles = [(quantile_column(q), REAL) for q in base.spec.forecast.quantiles]
    head = [*key_columns(base.layout), ("cutoff", when), (base.layout.time.name, when)]
    tail = [("issued", pa.bool_()), ("run_id", TEXT), ("content_id", TEXT)]
    return pa.schema(
        [*head, ("step", WHOLE), ("age", WHOLE), ("actual", REAL), ("mean", REAL), *quantiles, *tail]
    )


def _series_schema(base: Base) -> pa.Schema:
    numbers = ("error", "fold_error", "ratio", "errors", "bias", "coverage")
    tail = [("alerts", TEXT), ("run_id", TEXT), ("content_id", TEXT)]
    return pa.schema(
        [*key_columns(base.layout), ("stamps", WHOLE), *((name, REAL) for name in numbers), *tail]
    )


def _rows(
    base: Base,
    key: SeriesKey,
    row: Mapping[str, Any],
    model: SeriesModel,
    found: Realised,
    issued: Bools,
) -> pa.Table:
    schema, count, grid = _rows_schema(base), len(found), model.history.grid
    columns: dict[str, Any] = {
        **{
            name: pa.repeat(pa.scalar(v, schema.field(name).type), count) for name, v in key.as_dict().items()
        },
        "cutoff": time_array(grid.stamps(found.origin), base.layout),
        base.layout.time.name: time_array(grid.stamps(found.ordinal), base.layout),
        "step": found.step,
        "age": found.origin - model.history.end,
        "actual": found.actual,
        "mean": found.mean,
        **{quantile_column(q): found.quantiles[:, j] for j, q in enumerate(found.levels)},
        "issued": issued,
        "run_id": pa.repeat(pa.scalar(row["run_id"], TEXT), count),
        "content_id": pa.repeat(pa.scalar(row["content_id"], TEXT), count),
    }
    return pa.table([pa.array(columns[f.name], f.type) for f in schema], schema=schema)


def _summary(judged: list[_Series], rows: pa.Table, series: pa.Table) -> dict[str, Any]:
    names = rows.column_names
    low, high = names[names.index("mean") + 1], names[names.index("issued") - 1]
    frame = pd.DataFrame(
        {
            "step": rows["step"].to_numpy(),
            "age": rows["age"].to_numpy(),
            "relative": np.concatenate([one.relative for one in judged]),
            "actual": rows["actual"].to_numpy(),
            "mean": rows["mean"].to_numpy(),
            "within": (rows["actual"].to_numpy() >= rows[low].to_numpy())
            & (rows["actual"].to_numpy() <= rows[high].to_numpy()),
        }
    )
    alerts = [name for text in series["alerts"].to_pylist() for name in text.split(",") if name]
    return {
        "judged_series": len(judged),
        "stamps": len(frame),
        "issued_stamps": int(rows["issued"].to_numpy().sum()),
        "alerts": {name: alerts.count(name) for name in ALERTS},
        "all": _told(frame),
        "by_step": _told_by(frame, "step"),
        "by_age": _told_by(frame, "age"),
    }


def _told_by(frame: pd.DataFrame, column: str) -> list[dict[str, Any]]:
    """The same for each value of a column."""
    values = np.unique(frame[column].to_numpy())
    return [{column: int(value), **_told(frame[frame[column] == value])} for value in values]


def _told(frame: pd.DataFrame) -> dict[str, Any]:
    """Stamps, error relative to the folds', bias and coverage of some rows."""
    total, relative = float(frame["actual"].sum()), frame["relative"].dropna()
    return {
        "stamps": len(frame),
        "relative_error": float(f"{relative.mean():.6g}") if len(relative) else None,
        "bias": float(f"{frame['mean'].sum() / total - 1:.6g}") if total else None,
        "coverage": float(f"{frame['within'].mean():.6g}"),
    }
