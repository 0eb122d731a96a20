"""A finished run or a registered version with the rows of its series: what a later version draws on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from many_models.automl.rows import FOLDERS, schemas
from many_models.automl.shared import POOLED_KIND, POOLED_VERSION, shared_names
from many_models.bundle.container import unpack
from many_models.bundle.store import Bundle, StoredModel
from many_models.errors import DamagedError, InputError, Problem
from many_models.panel.layout import Layout
from many_models.panel.preparation import PrepareSettings
from many_models.registry.files import StoredFiles
from many_models.runs.bundling import manifest_of
from many_models.runs.directory import RunDirectory
from many_models.runs.models import ModelSet, models_of_bundle, open_models
from many_models.spec import ForecastSpec

ROWS_OF_VERSION = "series"
"""The folder among the artifacts of a version that holds its rows, a file per folder of a run."""

KEPT_FOLDERS = tuple(name for name in FOLDERS if name not in ("models", "lineage", "results"))
"""What a version keeps beside its index and models; of `backtest` the ensemble's rows alone."""

_ROWS_AT_ONCE = 65_536

REGISTERED = ("models:/", "runs:/")
"""Begin the URIs of what lies in a registry."""


class Base:
    """A finished run or a registered version. Made by `open_base`.

    Attributes
    ----------
    uri
        `models:/NAME/VERSION`, `runs:/ID`, or the run directory.
    models
        Its models.
    manifest
        What a bundle of it says of its run.
    """

    def __init__(
        self, uri: str, models: ModelSet, rows: RunDirectory | StoredFiles, manifest: dict[str, Any]
    ) -> None:
        self.uri = uri
        self.models = models
        self.manifest = manifest
        self._rows = rows

    @property
    def layout(self) -> Layout:
        """What the columns of its table were."""
        return self.models.layout

    @property
    def spec(self) -> ForecastSpec:
        """Its configuration."""
        return self.models.spec

    @property
    def key_names(self) -> tuple[str, ...]:
        """Names of the key columns."""
        return tuple(k.name for k in self.layout.keys)

    @cached_property
    def index(self) -> pa.Table:
        """One row per series: results, lineage, digest of the key."""
        return self.models.index()

    def table(self, folder: str) -> pa.Table:
        """The rows of one folder of a run, in its schema.

        Raises
        ------
        DamagedError
            When a file is not what was written.
        """
        schema = schemas(self.layout, self.spec.forecast.quantiles)[folder]
        if folder in ("results", "lineage"):
            return as_schema(self.index, schema)
        if isinstance(self._rows, RunDirectory):
            table = self._rows.read(folder)
        else:
            table = _stored_table(self._rows(f"{ROWS_OF_VERSION}/{folder}.parquet"))
        return _kept(folder, as_schema(table, schema))

    def rows(self, folder: str, keys: pa.Table) -> pa.Table:
        """The rows of these keys in one folder of a run, in its schema; no more of the folder is in memory.

        Raises
        ------
        DamagedError
            When a file is not what was written.
        """
        schema = schemas(self.layout, self.spec.forecast.quantiles)[folder]
        names = keys.select(list(self.key_names))
        parts = [
            rows_of_keys(_kept(folder, as_schema(part, schema)), names)
            for file in self._files(folder)
            for part in _stored_parts(file)
        ]
        return pa.concat_tables(parts) if parts else schema.empty_table()

    def _files(self, folder: str) -> list[Path]:
        if isinstance(self._rows, RunDirectory):
            return self._rows.files(folder)
        return [self._rows(f"{ROWS_OF_VERSION}/{folder}.parquet")]

    def stored(self, content_ids: Iterable[str], pooled: set[str] | None = None) -> Iterator[StoredModel]:
        """The stored models with these names, each once; adds to `pooled` what they refer to."""
        for name, state in self.models.stored_states(content_ids):
            document = unpack(state)
            if pooled is not None:
                pooled.update(shared_names(document))
            yield name, str(document.get("kind")), int(document.get("format_version", 1)), state

    def pooled(self, names: Iterable[str]) -> Iterator[StoredModel]:
        """The stored pooled models with these names."""
        for name in sorted(names):
            yield name, POOLED_KIND, POOLED_VERSION, self.models.shared_state(name)


def open_base(uri: str | Path, tracking_uri: str | None = None) -> Base:
    """The run or version behind a URI, with the rows of its series.

    Raises
    ------
    LookupFailed
        When there is none.
    RegistryError
        When the registry does not answer.
    """
    text = str(uri)
    if text.startswith(REGISTERED):
        from many_models.runs.registration import registry

        source = registry(tracking_uri)
        run_id: str | None
        if text.startswith("runs:/"):
            run_id = text.removeprefix("runs:/").partition("/")[0]
            lineage: dict[str, Any] = {"mlflow_run_id": run_id}
        else:
            version = source.version(text)
            text, run_id = version.uri, version.run_id
            lineage = {"name": version.name, "version": version.version}
        bundle = Bundle.open(source.files(text))
        models = models_of_bundle(bundle, lineage)
        return Base(text, models, source.artifacts(text, run_id), bundle.manifest)
    directory = RunDirectory.open(text)
    return Base(text, open_models(text), directory, manifest_of(directory))


def kept_rows(directory: RunDirectory, folder: Path) -> dict[str, Path]:
    """The files of a run's rows that a version keeps: name among its artifacts -> file in `folder`."""
    return write_rows({name: _kept(name, directory.read(name)) for name in KEPT_FOLDERS}, folder)


def write_rows(tables: dict[str, pa.Table], folder: Path) -> dict[str, Path]:
    """The files that hold these rows: name among the artifacts of a version -> file in `folder`."""
    files = {}
    for name, table in tables.items():
        path = folder / f"series-{name}.parquet"
        pq.write_table(table, path, compression="zstd")
        files[f"{ROWS_OF_VERSION}/{name}.parquet"] = path
    return files


def _kept(folder: str, table: pa.Table) -> pa.Table:
    return table.filter(pc.equal(table["candidate"], "ensemble")) if folder == "backtest" else table


def _stored_table(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, partitioning=None)
    except (pa.ArrowException, OSError) as trouble:
        raise DamagedError(f"{path} is not what was written: {trouble}") from trouble


def _stored_parts(path: Path) -> Iterator[pa.Table]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError) as trouble:
        raise DamagedError(f"{path} is not what was written: {trouble}") from trouble


def as_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of a schema; one that an older version of this package did not write is empty."""
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def inherited(rows: pa.Table, uri: str) -> pa.Table:
    """Rows of an index or of `lineage/` that say where they were taken from."""
    place = rows.column_names.index("inherited_from")
    return rows.set_column(place, "inherited_from", pa.repeat(pa.scalar(uri, pa.string()), rows.num_rows))


def rows_of_keys(table: pa.Table, keys: pa.Table) -> pa.Table:
    """The rows of a table whose key stands in `keys`, in their order."""
    names = keys.column_names
    if not names:
        return table if keys.num_rows else table.slice(0, 0)
    numbered = table.select(names).append_column("__row", pa.array(np.arange(table.num_rows)))
    found = numbered.join(keys.select(names), names, join_type="left semi")
    return table.take(pa.array(np.sort(found["__row"].to_numpy())))


def refuse_other_panel(one: Base, layout: Layout, spec: ForecastSpec, where: str) -> None:
    """Nothing, when series of both may stand in one version: same columns, horizon, quantiles, preparation.

    Raises
    ------
    InputError
        Naming what differs.
    """
    found = list(_differences(one, layout, spec))
    if found:
        raise InputError(
            Problem(
                where,
                f"{', '.join(found)} that {'is' if len(found) == 1 else 'are'} not those of {one.uri}",
                "the same columns, horizon, gap, quantiles and preparation",
                "train all series, or put the configuration back; learners, features, folds may differ",
            )
        )


def _differences(one: Base, layout: Layout, spec: ForecastSpec) -> Iterator[str]:
    def table(of: Layout) -> dict[str, Any]:
        document = of.to_dict()
        return {k: v for k, v in document.items() if k not in ("notes", "forgotten", "text_table")}

    mine, other = table(one.layout), table(layout)
    for name in sorted({*mine, *other}):
        if mine.get(name) != other.get(name):
            yield f"columns ({name})"
    for name in ("horizon", "gap", "quantiles", "totals", "origin"):
        if getattr(one.spec.forecast, name) != getattr(spec.forecast, name):
            yield f"forecast.{name}"
    if PrepareSettings.of(one.spec) != PrepareSettings.of(spec):
        yield "preparation"
