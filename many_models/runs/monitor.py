"""Monitoring: what stored models forecast, beside what came, by step, by age, and by series.

The forecasts that a run or version left are joined with the values that came later; from where they
end, the models are moved along the newer values and forecast on, so that errors can be seen to grow
with a model's age. Nothing is fitted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
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
from many_models.runs.contest import FoldRows, rows_by_series
from many_models.runs.directory import default_directory, refuse_used
from many_models.runs.drift import drift_of
from many_models.runs.later import Later, keyed_rows, parts_of, realised_later
from many_models.runs.progress import Progress, silent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS, SERIES, SUMMARY, PICTURE = "rows.parquet", "series.parquet", "summary.json", "errors.png"

_SERIES_PER_WRITE = 1_000

Ints = npt.NDArray[np.int64]

ALERTS = {
    "DECAY": "errs more the older its model is: train it more often",
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
    log: bool = True,
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
    log
        Whether numbers, tables and the plot go to the MLflow run of the version, where one is monitored.

    Raises
    ------
    InputError
        When there is no such model, or no later value of any of its series.
    RegistryError
        When the registry does not answer. What was found lies in its folder then.
    """
    base = open_base(model, tracking_uri)
    target = Path(out) if out is not None else default_directory(f"{base.spec.name}-monitor")
    refuse_used(target)
    told = _Told()
    try:
        for one in _judged(base, Later.of(base, data, cutoff), progress or silent()):
            if told.rows is None:
                target.mkdir(parents=True, exist_ok=True)
                told.rows = pq.ParquetWriter(target / ROWS, one.rows.schema, compression="zstd")
            told.add(one)
        if told.rows is None:
            raise DataError(
                Problem(
                    "--data",
                    f"no value that came after any of the {base.index.num_rows} series was trained",
                    "a table that goes on after the cutoffs",
                    "look again when newer values are there",
                )
            )
        told.close()
        records = sorted(told.records, key=lambda record: tuple(record[name] for name in base.key_names))
        pq.write_table(
            pa.Table.from_pylist(records, schema=_series_schema(base)), target / SERIES, compression="zstd"
        )
        summary = {"model": base.uri, "series": base.index.num_rows, **told.summary()}
        (target / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
        found = Monitor(target)
        found.plot().savefig(target / PICTURE, dpi=110)
    except OSError as trouble:
        raise StorageError(f"{target}: cannot be written: {trouble.strerror or trouble}") from trouble
    finally:
        told.close()
    if log and base.uri.startswith("models:/"):
        _logged(found, base.uri, tracking_uri)
    return found


def _logged(found: Monitor, uri: str, tracking_uri: str | None) -> None:
    """Puts what was found into the MLflow run of the version: numbers by step and age, tables, the plot."""
    from many_models.runs.registration import registry

    summary, source = found.summary, registry(tracking_uri)
    oldest = max(record["age"] for record in summary["by_age"])
    numbers = [(f"monitor_{name}", value, oldest) for name, value in summary["all"].items()]
    numbers += [(f"monitor_alerts_{name.lower()}", n, oldest) for name, n in summary["alerts"].items()]
    for place in ("step", "age"):
        for record in summary[f"by_{place}"]:
            at = record[place]
            numbers += [(f"monitor_{k}_by_{place}", v, at) for k, v in record.items() if k != place]
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    files = {f"monitor/{stamp}/{name}": found.directory / name for name in (ROWS, SERIES, SUMMARY, PICTURE)}
    source.add(source.version(uri), [number for number in numbers if number[1] is not None], files)


@dataclass(frozen=True)
class _Series:
    """One series with newer values: its rows, its record, and its losses relative to those of its folds."""

    rows: pa.Table
    record: dict[str, Any]
    relative: Floats


def _judged(base: Base, later: Later, progress: Progress) -> Iterator[_Series]:
    """The series with newer values, one after the other."""
    done = 0
    with progress.bar("comparing", base.index.num_rows) as step:
        for part in parts_of(base):
            folds, kept = FoldRows.of(base, part), _Kept.of(base, part)
            for key, row in keyed_rows(base, part):
                one = None if row["content_id"] is None else _one(base, later, folds, kept, key, row)
                if one is not None:
                    yield one
                done += 1
                if done % 100 == 0:
                    step(done)


def _one(
    base: Base,
    later: Later,
    folds: FoldRows,
    kept: _Kept,
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
    issued = _issued(found, model, kept.forecasts(key.digest))
    losses = found.losses(metric)
    scale = float(fold_losses.mean()) if fold_losses.size else 0.0
    error = found.mean - found.actual
    within = (found.actual >= found.quantiles[:, 0]) & (found.actual <= found.quantiles[:, -1])
    nominal = found.levels[-1] - found.levels[0]
    limit = base.spec.registry.drift
    alerts = [
        name
        for name, raised in (
            ("DECAY", _decays(found, losses, limit)),
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


def _decays(found: Realised, losses: Floats, limit: float) -> bool:
    """Whether the losses from the later half of the origins are worse than those from the earlier half."""
    late = found.origin > np.median(np.unique(found.origin))
    decay = drift_of(losses[late], losses[~late])
    return decay is not None and decay.errors > limit


@dataclass(frozen=True)
class _Kept:
    """Mean and quantiles [N, 1 + Q] of the forecasts that a version left of some series, with their steps."""

    steps: Ints
    values: Floats
    places: Mapping[bytes, Ints]

    @classmethod
    def of(cls, base: Base, keys: pa.Table) -> _Kept:
        """Those of the series with these keys."""
        table = base.rows("forecasts", keys)
        names = ["mean", *(quantile_column(q) for q in base.spec.forecast.quantiles)]
        values = np.stack([table[name].to_numpy() for name in names], axis=1)
        places = dict(rows_by_series(table, base.key_names))
        return cls(table["step"].to_numpy(), values, places)

    def forecasts(self, digest: bytes) -> dict[int, Floats]:
        """Those of one series, by step."""
        return {int(self.steps[row]): self.values[row] for row in self.places.get(digest, ())}


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


@dataclass
class _Counts:
    """Sums over stamps, of which a share, a bias or a mean is made at the end."""

    stamps: int = 0
    relative: float = 0.0
    compared: int = 0
    actual: float = 0.0
    mean: float = 0.0
    within: int = 0

    def add(self, relative: Floats, actual: Floats, mean: Floats, within: Bools) -> None:
        """Counts some stamps in; `relative` is NaN where the folds have no error."""
        known = relative[np.isfinite(relative)]
        self.stamps += len(actual)
        self.relative += float(known.sum())
        self.compared += known.size
        self.actual += float(actual.sum())
        self.mean += float(mean.sum())
        self.within += int(within.sum())

    def told(self) -> dict[str, Any]:
        """Stamps, error relative to the folds', bias and coverage."""
        return {
            "stamps": self.stamps,
            "relative_error": float(f"{self.relative / self.compared:.6g}") if self.compared else None,
            "bias": float(f"{self.mean / self.actual - 1:.6g}") if self.actual else None,
            "coverage": float(f"{self.within / self.stamps:.6g}"),
        }


@dataclass
class _Told:
    """What is known of the series so far: their rows are written as they come, the rest is counted."""

    rows: pq.ParquetWriter | None = None
    records: list[dict[str, Any]] = field(default_factory=list)
    waiting: list[pa.Table] = field(default_factory=list)
    counts: dict[tuple[str, int], _Counts] = field(default_factory=dict)
    issued: int = 0

    def add(self, one: _Series) -> None:
        """Takes in one series."""
        self.records.append(one.record)
        self.waiting.append(one.rows)
        self.issued += int(one.rows["issued"].to_numpy().sum())
        names = one.rows.column_names
        actual, mean = one.rows["actual"].to_numpy(), one.rows["mean"].to_numpy()
        low = one.rows[names[names.index("mean") + 1]].to_numpy()
        high = one.rows[names[names.index("issued") - 1]].to_numpy()
        within = (actual >= low) & (actual <= high)
        for column in ("step", "age"):
            at = one.rows[column].to_numpy()
            for value in np.unique(at):
                chosen = at == value
                counts = self.counts.setdefault((column, int(value)), _Counts())
                counts.add(one.relative[chosen], actual[chosen], mean[chosen], within[chosen])
        self.counts.setdefault(("all", 0), _Counts()).add(one.relative, actual, mean, within)
        if len(self.waiting) >= _SERIES_PER_WRITE:
            self._write()

    def close(self) -> None:
        """Writes what is left, and closes the file."""
        if self.rows is not None and self.rows.is_open:
            self._write()
            self.rows.close()

    def _write(self) -> None:
        if self.rows is not None and self.waiting:
            self.rows.write_table(pa.concat_tables(self.waiting))
            self.waiting.clear()

    def summary(self) -> dict[str, Any]:
        """Counts of alerts, and errors by step and by age."""
        alerts = [name for record in self.records for name in record["alerts"].split(",") if name]
        whole = self.counts["all", 0].told()
        return {
            "judged_series": len(self.records),
            "stamps": whole["stamps"],
            "issued_stamps": self.issued,
            "alerts": {name: alerts.count(name) for name in ALERTS},
            "all": whole,
            "by_step": self._by("step"),
            "by_age": self._by("age"),
        }

    def _by(self, column: str) -> list[dict[str, Any]]:
        values = sorted(value for name, value in self.counts if name == column)
        return [{column: value, **self.counts[column, value].told()} for value in values]
