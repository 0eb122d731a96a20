"""The models of a run or a registered version: found by key, used one by one or all at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, reduce
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from many_models.automl.model import SeriesModel, load_series_model, no_pooled
from many_models.automl.shared import PooledModels, load_pooled, shared_names
from many_models.bundle.container import content_id as content_id_of
from many_models.bundle.container import unpack
from many_models.bundle.store import Bundle
from many_models.errors import DamagedError, InputError, LookupFailed, Problem, nearest
from many_models.learners.pooled import PooledModel
from many_models.panel.keys import KeyColumn, SeriesKey, parse_key
from many_models.panel.layout import Layout
from many_models.runs.bundling import index_of_run
from many_models.runs.directory import SPEC, RunDirectory
from many_models.runs.newcomers import MissingModel
from many_models.runs.scoring import Scorer
from many_models.runs.series_models import series_model_name
from many_models.spec import ForecastSpec

INTERNAL = ("digest", "__shard", "__row")

NEAR_KEYS = 3
"""So many keys are named that are near one that does not exist."""

POOLED_MODELS = 64
"""So many pooled models are kept in memory once they were used."""


class ModelStore(Protocol):
    """Where models lie: a bundle, or a run directory."""

    def find(self, digest: bytes) -> dict[str, Any] | None:
        """The index row of a key digest."""

    def rows(self, digests: Iterable[bytes]) -> pa.Table:
        """The index rows of many key digests, those that exist."""

    def index(self, columns: list[str] | None = None) -> pa.Table:
        """The whole index, one row per series."""

    def model(self, content_id: str) -> bytes:
        """The stored state of a model."""

    def models(self, content_ids: Iterable[str]) -> Iterable[tuple[str, bytes]]:
        """The stored states of many models with their names, each once."""

    def shared(self, content_id: str) -> bytes:
        """The stored state of a pooled model that others refer to."""


class RunStore:
    """The models of a run directory, as a store."""

    def __init__(self, directory: RunDirectory) -> None:
        self._index = index_of_run(directory)
        self._rows = {digest: row for row, digest in enumerate(self._index["digest"].to_pylist())}
        models = directory.read("models")
        self._states = dict(zip(models["content_id"].to_pylist(), models["state"], strict=True))

    def find(self, digest: bytes) -> dict[str, Any] | None:
        """The index row of a key digest."""
        row = self._rows.get(digest)
        return None if row is None else self._index.slice(row, 1).to_pylist()[0]

    def rows(self, digests: Iterable[bytes]) -> pa.Table:
        """The index rows of many key digests, those that exist."""
        return self._index.take(pa.array([self._rows[d] for d in digests if d in self._rows], pa.int64()))

    def index(self, columns: list[str] | None = None) -> pa.Table:
        """The whole index, one row per series."""
        return self._index if columns is None else self._index.select(columns)

    def model(self, content_id: str) -> bytes:
        """The stored state of a model."""
        state: bytes = self._states[content_id].as_py()
        return state

    def models(self, content_ids: Iterable[str]) -> Iterable[tuple[str, bytes]]:
        """The stored states of many models with their names, each once."""
        for content_id in dict.fromkeys(content_ids):
            yield content_id, self.model(content_id)

    def shared(self, content_id: str) -> bytes:
        """The stored state of a pooled model that others refer to."""
        if content_id not in self._states:
            no_pooled(content_id)
        state = self.model(content_id)
        if content_id_of(state) != content_id:
            raise DamagedError(f"the pooled model {content_id} does not have the hash that is its name")
        return state


class SeriesForecaster:
    """The forecaster of one key: its record, and its forecast."""

    def __init__(self, models: ModelSet, key: SeriesKey, row: Mapping[str, Any]) -> None:
        self._models = models
        self.key = key
        self._row = row

    @property
    def record(self) -> dict[str, Any]:
        """Which learner serves the key, its scores, its version and lineage, its members."""
        row = {name: value for name, value in self._row.items() if name not in INTERNAL}
        # of what is known of the set, a series' own run comes first: its model may be of another one
        record = {**row, **{k: v for k, v in self._models.lineage.items() if row.get(k) is None}}
        if row.get("content_id"):
            if self._models.spec.registry.granularity == "series" and "name" in self._models.lineage:
                record["series_model"] = series_model_name(self._models.lineage["name"], self.key)
            model = self._models.load(row["content_id"])
            members = [m for m in model.members if m.weight > 0]
            record["members"] = {m.candidate.name: round(m.weight, 4) for m in members}
            record["horizon"] = model.horizon
        return record

    @property
    def content_id(self) -> str | None:
        """The name of the model that serves the key; None where none does."""
        found = self._row.get("content_id")
        return None if found is None else str(found)

    def forecast(self, horizon: int | None = None, future: Any = None, history: Any = None) -> pd.DataFrame:
        """The forecast of this key; see `ModelSet.forecast`. Key columns may be left out of the tables."""
        values = self.key.as_dict()
        answer: pd.DataFrame = self._models.forecast(
            history=_with_key(history, values),
            future=_with_key(future, values),
            horizon=horizon,
            where=values,
        )
        return answer

    def simulate(
        self,
        paths: int = 100,
        horizon: int | None = None,
        future: Any = None,
        history: Any = None,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Simulated futures of this key; see `ModelSet.simulate`. Key columns may be left out."""
        values = self.key.as_dict()
        return self._models.simulate(
            paths,
            history=_with_key(history, values),
            future=_with_key(future, values),
            horizon=horizon,
            where=values,
            seed=seed,
        )

    def __repr__(self) -> str:
        return f"SeriesForecaster({self.key.canonical}, {self._row.get('learner')})"


def _with_key(table: Any, values: Mapping[str, Any]) -> Any:
    if _is_spark(table):
        from many_models.engines.together import with_columns

        return with_columns(table, values)
    if not isinstance(table, pd.DataFrame):
        return table
    missing = {name: value for name, value in values.items() if name not in table.columns}
    return table.assign(**missing) if missing else table


class ModelSet:
    """Thousands of forecasters, used as one. Made by `open_models`."""

    def __init__(
        self, store: ModelStore, layout: Layout, spec: ForecastSpec, lineage: Mapping[str, Any]
    ) -> None:
        self._store = store
        self.layout = layout
        self.spec = spec
        self.lineage = dict(lineage)
        self._loaded = lru_cache(maxsize=1024)(self._load)
        self.pooled: PooledModels = lru_cache(maxsize=POOLED_MODELS)(self._load_pooled)

    @property
    def key_columns(self) -> tuple[KeyColumn, ...]:
        """Names and types of the key columns."""
        return self.layout.keys

    def __len__(self) -> int:
        return int(self._store.index(["digest"]).num_rows)

    def keys(self, where: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """The keys of all series, or of those with these key values, in key order, with status and learner.

        Parameters
        ----------
        where
            Values of some of the key columns: `keys({"Store": 2})` are all brands of store 2.

        Raises
        ------
        LookupFailed
            For a column that is no key, a value of the wrong type, or values that no key has, naming
            what is near.
        """
        names = [k.name for k in self.layout.keys]
        table = self._store.index([*names, "status", "learner"])
        if where:
            typed = SeriesKey.part_of(where, self.layout.keys)
            chosen = table.filter(_same(table, typed.as_dict()))
            if not chosen.num_rows:
                raise LookupFailed(self._unknown(typed))
            table = chosen
        frame: pd.DataFrame = table.to_pandas()
        return frame.sort_values(names, ignore_index=True) if names else frame

    def find(self, key: Mapping[str, Any] | None = None, /, **columns: Any) -> SeriesForecaster:
        """The forecaster of one key: `find(Store=2, Brand="tropicana")`, or a mapping for odd names.

        Raises
        ------
        LookupFailed
            For a column that is no key, a value of the wrong type, or a key that has no row,
            naming what is near.
        """
        typed = SeriesKey.of({**(key or {}), **columns}, self.layout.keys)
        row = self._store.find(typed.digest)
        if row is None:
            raise LookupFailed(self._unknown(typed))
        return SeriesForecaster(self, typed, row)

    def parse_key(self, items: Sequence[str]) -> dict[str, Any]:
        """The typed values of `COL=VALUE` texts."""
        return parse_key(items, self.layout.keys)

    def forecast(
        self,
        history: Any = None,
        future: Any = None,
        horizon: int | None = None,
        where: Mapping[str, Any] | None = None,
        missing_model: MissingModel | None = None,
    ) -> Any:
        """The forecasts of many keys at once; pandas in, pandas out; Spark in, Spark out.

        Parameters
        ----------
        history
            Newer rows: the state moves, the parameters stay; rows replace older ones at the same stamp.
        future
            Keys, times and known covariates. The answer has exactly these rows, in their order.
        horizon
            Without `future`: so many steps after each series' last observation; default the trained horizon.
        where
            Only series with these key values; may name some of the key columns.
        missing_model
            What becomes of a series that was not trained, where `history` holds it: `empty` (a row that
            says so), `error`, `pooled` (the models of its group, else seasonal naive) or `naive`; default
            as in the configuration of the run. Such rows are `FALLBACK` with the reason `NEW_SERIES`.

        Returns
        -------
        DataFrame
            The columns of a run's `forecasts/`. A row that cannot be forecast has an empty `mean`
            and its `reason`.
        """
        if _is_spark(history) or _is_spark(future):
            from many_models.runs.spark_scoring import forecast_on_spark

            return forecast_on_spark(self, history, future, horizon, where, missing_model)
        return Scorer(self, missing_model=missing_model).forecast(history, future, horizon, where)

    def simulate(
        self,
        paths: int = 100,
        history: Any = None,
        future: Any = None,
        horizon: int | None = None,
        where: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Simulated futures of many keys: one row per series, step and path.

        Each step is spread as its quantiles say, and sums over the first steps as lead-time totals are:
        so what is counted along a path (a total, a maximum, the first day below zero) is spread rightly too.

        Parameters
        ----------
        paths
            How many futures of each series.
        history, future, horizon, where
            As for `forecast`; pandas tables, paths or None.
        seed
            Default: the configuration's. The same seed gives the same paths.
        """
        return Scorer(self, paths, seed).paths(history, future, horizon, where)

    def index(self, columns: list[str] | None = None) -> pa.Table:
        """The index, one row per series."""
        return self._store.index(columns)

    def rows(self, digests: Iterable[bytes]) -> pa.Table:
        """The index rows of these key digests, those that exist."""
        return self._store.rows(digests)

    def load(self, content_id: str) -> SeriesModel:
        """The model with this content id."""
        return self._loaded(content_id)

    def states(self, content_ids: Iterable[str]) -> dict[str, bytes]:
        """The stored bytes of the models with these content ids."""
        return dict(self._store.models(content_ids))

    def stored_states(self, content_ids: Iterable[str]) -> Iterable[tuple[str, bytes]]:
        """The stored bytes of models with their names, each once, one after the other."""
        return self._store.models(content_ids)

    def shared_state(self, content_id: str) -> bytes:
        """The stored bytes of a pooled model."""
        return self._store.shared(content_id)

    def _load(self, content_id: str) -> SeriesModel:
        return load_series_model(unpack(self._store.model(content_id)), self.pooled)

    def _load_pooled(self, content_id: str) -> PooledModel:
        return load_pooled(self._store.shared(content_id))

    def shared_states(self, states: Iterable[bytes]) -> dict[str, bytes]:
        """The stored bytes of the pooled models that these models refer to, by name."""
        if len(self.layout.group) == len(self.layout.keys):
            return {}
        names = {name for state in states for name in shared_names(unpack(state))}
        return {name: self._store.shared(name) for name in sorted(names)}

    def _unknown(self, key: SeriesKey) -> Problem:
        names = list(key.as_dict())
        table = self._store.index(names)
        hints, like = [], {}
        for name, value in zip(names, key.values, strict=True):
            values = pc.unique(table[name]).to_pylist()
            if value not in values:
                found = _like(value, values)
                hints.append(f"no {name} is {value!r}" + ("" if found is None else f", nearest {found!r}"))
                if found is not None:
                    like[name] = found
        near = _near(table, key, like)
        return Problem(
            "key",
            key.canonical,
            f"one of {table.num_rows} keys",
            "; ".join([*hints, *([f"near it: {', '.join(near)}"] if near else [])])
            or "list them with keys()",
        )


def _like(value: Any, values: list[Any]) -> Any:
    """Which of the values is most like one that is not among them: the closest number, or text; else None."""
    if isinstance(value, str):
        return nearest(value, values)
    return min(values, key=lambda other: (abs(other - value), other), default=None)


def _near(table: pa.Table, key: SeriesKey, like: Mapping[str, Any]) -> list[str]:
    """The keys that have most of these values, or the value that is like one of them; of several columns."""
    names = list(key.names)
    if len(names) < 2 or not table.num_rows:
        return []
    table = table.select(names).sort_by([(name, "ascending") for name in names])
    score = np.zeros(table.num_rows)
    for name, value in key.as_dict().items():
        score += np.asarray(pc.equal(table[name], pa.scalar(value)), dtype=float)
        if name in like:
            score += 0.5 * np.asarray(pc.equal(table[name], pa.scalar(like[name])), dtype=float)
    best = [row for row in np.argsort(-score, kind="stable")[:NEAR_KEYS] if score[row] > 0]
    return [
        SeriesKey(key.names, tuple(row[name] for name in names)).canonical
        for row in table.take(pa.array(best, pa.int64())).to_pylist()
    ]


def _same(table: pa.Table, values: Mapping[str, Any]) -> pa.ChunkedArray:
    """Which rows of the table have these values."""
    masks = [pc.equal(table[name], pa.scalar(value)) for name, value in values.items()]
    return reduce(pc.and_, masks)


def _is_spark(table: Any) -> bool:
    return table is not None and type(table).__module__.startswith("pyspark.")


def open_models(uri: str | Path, *, tracking_uri: str | None = None) -> ModelSet:
    """The models behind a URI (`models:/name@alias`, `models:/name/3`) or in a run directory.

    Needs no Spark and no JVM, and reads only the parts of a bundle that are asked for.

    Parameters
    ----------
    uri
        A model URI (`runs:/ID/model` for a run's own), or the path of a run directory or bundle.
    tracking_uri
        Default: MLFLOW_TRACKING_URI, else the local SQLite file.

    Raises
    ------
    LookupFailed
        When there is no such model, version, alias or run.
    RegistryError
        When the registry does not answer.
    """
    text = str(uri)
    if text.startswith(("models:/", "runs:/")):
        from many_models.runs.registration import registry

        source = registry(tracking_uri)
        if text.startswith("runs:/"):
            lineage: dict[str, Any] = {"mlflow_run_id": text.removeprefix("runs:/").partition("/")[0]}
        else:
            version = source.version(text)
            lineage = {"name": version.name, "version": version.version, "mlflow_run_id": version.run_id}
        return models_of_bundle(Bundle.open(source.files(text)), lineage)
    if (Path(text) / SPEC).is_file() or not (Path(text) / "bundle.json").is_file():
        directory = RunDirectory.open(text)
        lineage = {"run_dir": text, "run_id": directory.summary()["run_id"]}
        return ModelSet(RunStore(directory), directory.layout(), directory.spec(), lineage)
    return models_of_bundle(Bundle.open(text), {"bundle": text})


def models_of_bundle(bundle: Bundle, lineage: Mapping[str, Any]) -> ModelSet:
    """The models of an open bundle.

    Raises
    ------
    DamagedError
        When its manifest does not say what they are, or says other than its index.
    """
    manifest = bundle.manifest
    try:
        layout = Layout.from_dict(manifest["layout"])
        spec = ForecastSpec.from_dict(json.loads(manifest["spec"]))
        run_id = manifest["run_id"]
    except (KeyError, TypeError, ValueError, RecursionError, InputError) as trouble:
        raise DamagedError(f"a bundle is damaged: its manifest is not one of a run ({trouble})") from None
    needed = [*(k.name for k in layout.keys), "status", "reason", "content_id", "run_id"]
    missing = [name for name in needed if name not in bundle.schema.names]
    if missing:
        raise DamagedError(f"a bundle is damaged: its index has no column {missing[0]!r}")
    return ModelSet(bundle, layout, spec, {**lineage, "run_id": run_id})
