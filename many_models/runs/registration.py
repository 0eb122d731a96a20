"""Registering a run: one MLflow run, one version whose artifacts are the bundle and its index."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from many_models.errors import InputError, OutsideError, Problem
from many_models.panel.layout import Layout
from many_models.registry.location import default_tracking_uri
from many_models.registry.records import Column, ColumnType, Flavor, Record, Version
from many_models.registry.store import Registry
from many_models.runs.base_version import kept_rows
from many_models.runs.bundling import bundle_of_run
from many_models.runs.chronicle import Chronicle
from many_models.runs.directory import RUNS, RunDirectory
from many_models.runs.series_models import GRANULARITY, single_bundles
from many_models.spec import ForecastSpec

if TYPE_CHECKING:
    from many_models.runs.run import Run

LOADER = "many_models.serving"

CHALLENGER = "challenger"
"""The alias of a version that is yet to be compared."""


def registry(tracking_uri: str | None = None) -> Registry:
    """The registry: the given URI, else MLFLOW_TRACKING_URI, else `runs/mlflow.db`, beside the runs."""
    return Registry(default_tracking_uri(tracking_uri, Path.cwd() / RUNS))


def reach_registry(spec: ForecastSpec) -> None:
    """Raises RegistryError where the registry of the configuration does not answer."""
    registry(spec.registry.tracking_uri).reach()


def register_run(run: Run, name: str | None, alias: str | None, tracking_uri: str | None) -> Version:
    """The new version; its alias moves only when no more series failed than the configuration allows.

    With `registry.promote: if_better` it becomes the challenger, and the alias moves where it wins.
    """
    spec, summary = run.spec, run.summary
    chosen = name or spec.registry.name
    if chosen is None:
        raise InputError(
            Problem(
                "registry.name", "null", "the name of a registered model", "give a name, or set registry.name"
            )
        )
    wanted = None if summary["too_many_failed"] else (alias or spec.registry.alias)
    contested = wanted is not None and spec.registry.promote == "if_better"
    moved = CHALLENGER if contested else wanted
    uri = tracking_uri or spec.registry.tracking_uri
    source = registry(uri)
    with TemporaryDirectory(prefix="many-models-") as scratch:
        folder = Path(scratch)
        bundle = bundle_of_run(RunDirectory(run.directory), folder / "bundle")
        flavor = Flavor(
            input_columns(run.layout),
            output_columns(run.layout, spec),
            requirements(),
            LOADER,
            spec.registry.wheel,
        )
        try:
            version = source.register(
                chosen,
                folder / "bundle",
                flavor,
                Record(
                    run.directory.name,
                    _parameters(spec, summary),
                    _metrics(run),
                    _artifacts(run, folder),
                    _tags(spec, summary),
                ),
                experiment=spec.registry.experiment,
                alias=moved,
            )
            if spec.registry.granularity == "series":
                source.register_parts(
                    version, single_bundles(bundle, chosen, folder / "series"), flavor, moved
                )
        except OutsideError as trouble:
            Chronicle(run.directory).note("registration failed", error=type(trouble).__name__)
            again = trouble.continue_with or f"many-models register {run.directory} {chosen}"
            raise type(trouble)(trouble.message, again) from trouble
    promotion = {}
    if contested and wanted is not None:
        from many_models.runs.promotion import promote_run

        promotion = {"promotion": promote_run(run, version, wanted, uri)}
        version = source.version(version.uri)
    registered = {"name": version.name, "version": version.version, "alias": version.alias}
    RunDirectory(run.directory).write_summary({**summary, "registered": registered, **promotion})
    Chronicle(run.directory).note("run registered", **registered)
    return version


def version_as_of(uri: str, when: str, tracking_uri: str | None = None) -> Version:
    """The version that the alias of `models:/NAME@ALIAS` named at a moment; a date means its end in UTC.

    Raises
    ------
    InputError
        When the text is no date, or the URI names no alias.
    """
    name, at, alias = uri.removeprefix("models:/").rpartition("@")
    if not uri.startswith("models:/") or not at:
        raise InputError(
            Problem(
                "MODEL", repr(uri), "models:/NAME@ALIAS with --as-of", "a version or run is the same always"
            )
        )
    try:
        moment = datetime.fromisoformat(when)
    except ValueError:
        raise InputError(
            Problem("--as-of", repr(when), "a date or an ISO stamp", "for instance 2026-05-01")
        ) from None
    if len(when.strip()) <= len("2026-05-01"):
        moment = datetime.combine(moment.date(), time.max)
    return registry(tracking_uri).as_of(name, moment if moment.tzinfo else moment.replace(tzinfo=UTC), alias)


def requirements() -> list[str]:
    """What a process that serves the models has to install."""
    from many_models import __version__

    return [f"many-models=={__version__}"]


def _parameters(spec: ForecastSpec, summary: dict[str, Any]) -> dict[str, str]:
    """The resolved configuration as flat parameters, for MLflow's comparison of runs."""
    flat: dict[str, str] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(f"{prefix}.{name}" if prefix else name, inner)
        else:
            flat[prefix] = str(value)

    walk("", spec.to_dict())
    flat.pop("registry.tracking_uri", None)
    return {**flat, "series": str(summary["series"]), "frequency": str(summary["frequency"])}


def _metrics(run: Run) -> dict[str, float]:
    """Distributions over series, not one metric per series: servers limit how many there may be."""
    summary, results = run.summary, run.results()
    metrics: dict[str, float | None] = {
        "series": float(summary["series"]),
        "seconds": summary["seconds"],
        "bias": summary["bias"],
        "coverage": summary["coverage"]["realised"],
        "share_beating_naive": summary["skill"]["share_beating_naive"],
        "failed_fraction": summary["failed_fraction"],
    }
    for status, count in summary["outcomes"].items():
        metrics[f"outcome_{status.lower()}"] = float(count)
    for column in ("score", "skill", "bias", "seconds", "n_obs"):
        values = results[column].dropna().to_numpy(dtype=float)
        if len(values):
            for quantile in (0.05, 0.25, 0.5, 0.75, 0.95):
                metrics[f"{column}_q{quantile:g}"] = float(np.quantile(values, quantile))
            metrics[f"{column}_mean"] = float(values.mean())
    return {name: float(value) for name, value in metrics.items() if value is not None and np.isfinite(value)}


def _artifacts(run: Run, folder: Path) -> dict[str, Path]:
    """Tables, the configuration, and the report with its plots: MLflow path -> local file."""
    files = {
        "run/spec.yaml": run.directory / "spec.yaml",
        "run/summary.json": run.directory / "summary.json",
    }
    files.update(kept_rows(RunDirectory(run.directory), folder))
    for name, frame in (("results", run.results()), ("leaderboard", run.leaderboard())):
        path = folder / f"{name}.parquet"
        frame.to_parquet(path, index=False)
        files[f"run/{name}.parquet"] = path
    files["run/report.html"] = run.report(folder / "report.html")
    figure = _picture(run)
    if figure is not None:
        path = folder / "example.png"
        figure.savefig(path, dpi=110)
        files["run/example.png"] = path
    return files


def _picture(run: Run) -> Any:
    """A plot of the series with the median score, as an example; None where no series has a score."""
    scored = run.results().dropna(subset=["score"]).sort_values("score", ignore_index=True)
    if scored.empty:
        return None
    row = scored.iloc[len(scored) // 2]
    return run.plot(**{name: _plain(row[name]) for name in run.key_columns})


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _tags(spec: ForecastSpec, summary: dict[str, Any]) -> dict[str, str]:
    return {
        GRANULARITY: spec.registry.granularity,
        "many_models.run_id": summary["run_id"],
        "many_models.spec_fingerprint": summary["spec_fingerprint"],
        "many_models.version": summary["versions"].get("many-models", ""),
    }


MLFLOW_TYPES: dict[str, ColumnType] = {
    "integer": "long",
    "text": "string",
    "boolean": "boolean",
    "category": "string",
    "number": "double",
}


def input_columns(layout: Layout) -> list[Column]:
    """What `predict` takes: keys, time, known covariates."""
    columns: list[Column] = [Column(k.name, MLFLOW_TYPES[k.kind]) for k in layout.keys]
    columns.append(_input_time(layout))
    for position in layout.role("known"):
        covariate = layout.covariates[position]
        if covariate.derived:
            continue
        kind = "datetime" if covariate.is_date else MLFLOW_TYPES[covariate.kind]
        columns.append(Column(covariate.name, kind, False))
    if layout.closed is not None:
        columns.append(Column(layout.closed, "boolean", False))
    return columns


def output_columns(layout: Layout, spec: ForecastSpec) -> list[Column]:
    """What `predict` gives: the columns of `forecasts/`."""
    from many_models.automl.rows import quantile_column

    columns: list[Column] = [Column(k.name, MLFLOW_TYPES[k.kind]) for k in layout.keys]
    when = _time_type(layout)
    columns += [Column("cutoff", when, False), Column(layout.time.name, when), Column("step", "long", False)]
    numbers: Iterable[str] = ["mean", *(quantile_column(q) for q in spec.forecast.quantiles)]
    columns += [Column(name, "double", False) for name in numbers]
    columns += [Column(name, "string", False) for name in ("learner", "status", "reason", "run_id")]
    return columns


def _input_time(layout: Layout) -> Column:
    """The time column as `predict` takes it.

    MLflow refuses stamps with a zone, and reads text by pandas' guess (01/02 as January): both
    come to us as they are, and are read as in training.
    """
    time = layout.time
    if time.shown_in is not None or time.text_format not in (None, "iso"):
        return Column(time.name, "any", False)
    return Column(time.name, _time_type(layout))


def _time_type(layout: Layout) -> ColumnType:
    return "long" if layout.time.kind == "integer" else "datetime"
