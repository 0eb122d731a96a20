"""Spark rows brought together with the models of their keys: no download on executors, no collect.

::

    user's frames ─► wire ─► canonical rows with their key's digest ─┐
    models of the driver ─► a frame with the same columns ───────────┴► one shuffle by digest, sorted
          └─► chunks of whole keys ─► function(rows by frame, models) ─► rows of one Arrow schema
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from many_models.engines.session import Session
from many_models.engines.spark import NTZ_MICROSECONDS, cores_of, frame_of, microseconds, with_context
from many_models.engines.waves import TASKS_PER_CORE
from many_models.engines.worker import Batches, Wire, canonical_of, canonical_schema, whole_blocks
from many_models.errors import DataError, Problem
from many_models.panel.canonical import canonical_frame
from many_models.panel.keys import SeriesKey
from many_models.panel.layout import Layout

DIGEST, PART = "digest", "part"
MODELS = 0
"""The part that holds the models; those of the frames count from 1."""

_MODEL_BYTES = 32 * 2**20
_ANSWER_ROWS = 10_000
_SPARK_TYPES = {"int64": "bigint", "int32": "int", "bool": "boolean", "date32[day]": "date"}
_STAMPS = ("timestamp", "timestamp_ntz", "date")

Answer = Callable[[dict[str, pd.DataFrame], pa.Table], pa.Table]
"""`(canonical rows by frame name, model rows) -> rows`, for some whole keys; importable or picklable."""


@dataclass(frozen=True)
class Asked:
    """A user's Spark frame, and how it is read.

    Attributes
    ----------
    frame
        The Spark DataFrame, with the user's column names.
    with_target
        The target and all covariates have to be there (history); else only keys and time do.
    """

    frame: Any
    with_target: bool


def map_with_models(
    frames: Mapping[str, Asked],
    models: pa.Table,
    layout: Layout,
    where: Mapping[str, Any],
    function: Answer,
    schema: pa.Schema,
) -> Any:
    """The Spark DataFrame of `function`'s rows; every key's rows and model come to one call.

    Parameters
    ----------
    frames
        Spark frames by name; nothing of them passes through the driver.
    models
        One row per key: `digest`, the canonical key columns, and what else `function` needs.
    layout
        What the columns of the frames are.
    where
        Only rows with these typed key values.
    function
        Called once per chunk of whole keys.
    schema
        What `function` gives.

    Raises
    ------
    DataError
        When a frame lacks a column, naming it, or its time column is of another type.
    """
    first = next(iter(frames.values())).frame
    spark = first.sparkSession
    Session.of_frame(first)  # the package travels to the workers
    extra = [field for field in models.schema if field.name not in _columns(layout).names]
    shared = pa.schema([*_columns(layout), *extra])
    rows = _model_frame(spark, models, shared)
    for part, asked in enumerate(frames.values(), start=1):
        wire, selected = _wired(asked, layout)
        run = _canonical_rows(wire, asked.with_target, layout, part, shared)
        canonical = with_context(selected.mapInArrow(run, _ddl(shared)), layout, shared)
        rows = rows.unionByName(_chosen(canonical, layout, where))
    tasks = max(1, min(models.num_rows, cores_of(spark) * TASKS_PER_CORE))
    together = rows.repartition(tasks, DIGEST).sortWithinPartitions(DIGEST, PART)
    numbered = pa.schema([field.with_name(f"c{i}") for i, field in enumerate(schema)])
    answers = together.mapInArrow(_answers(tuple(frames), layout, function, numbered), _ddl(numbered))
    return answers.toDF(*schema.names)


def time_kind(frame: Any, layout: Layout) -> str:
    """Spark's name of the type of a frame's time column; empty where there is none."""
    kinds = [f.dataType.typeName() for f in frame.schema.fields if f.name == layout.time.name]
    return kinds[0] if len(kinds) == 1 else ""


# -- from frames to rows of one schema ----------------------------------------------


def _columns(layout: Layout) -> pa.Schema:
    return pa.schema([(DIGEST, pa.binary()), (PART, pa.int32()), *canonical_schema(layout)])


def _model_frame(spark: Any, models: pa.Table, shared: pa.Schema) -> Any:
    """The models as a Spark DataFrame of the shared columns, sent in messages of bounded size."""
    columns = [
        models.column(field.name).cast(field.type)
        if field.name in models.column_names
        else pa.nulls(models.num_rows, field.type)
        for field in shared
        if field.name != PART
    ]
    columns.insert(1, pa.array(np.full(models.num_rows, MODELS, dtype=np.int32)))
    table = pa.Table.from_arrays(columns, schema=shared)
    each = max(1, table.num_rows * _MODEL_BYTES // max(table.nbytes, 1))
    slices = [table.slice(start, each) for start in range(0, max(table.num_rows, 1), each)]
    frame = frame_of(spark, slices[0])
    for further in slices[1:]:
        frame = frame.unionByName(frame_of(spark, further))
    return frame


def _wired(asked: Asked, layout: Layout) -> tuple[Wire, Any]:
    """How the needed columns travel, and the frame that holds them by position."""
    from pyspark.sql import functions

    frame, columns = asked.frame, list(asked.frame.columns)
    # An empty table with these columns is refused for the same reasons as a full one.
    canonical_frame(pd.DataFrame(columns=columns), layout, with_target=asked.with_target)
    needed = {k.name for k in layout.keys} | {layout.time.name, layout.mask, layout.closed}
    needed |= {covariate.name for covariate in layout.covariates}
    needed |= {layout.target} if asked.with_target else set()
    positions = [i for i, name in enumerate(columns) if name in needed and columns.count(name) == 1]
    fields = frame.schema.fields
    tag, expressions = None, []
    for position in positions:
        expression, kind = f"c{position}", fields[position].dataType.typeName()
        if columns[position] == layout.time.name and kind in _STAMPS:
            expression, tag = _stamp(expression, kind, layout)
        elif kind == "decimal":
            expression = f"CAST({expression} AS DOUBLE)"
        expressions.append(functions.expr(expression).alias(f"c{position}"))
    by_position = frame.toDF(*[f"c{i}" for i in range(len(columns))])
    wire = Wire(tuple(columns[i] for i in positions), tuple(columns), False, tag)
    return wire, by_position.select(*expressions)


def _stamp(column: str, kind: str, layout: Layout) -> tuple[str, Any]:
    """SQL of a stamp as int64 microseconds, and what these are."""
    if layout.time.kind == "integer":
        raise DataError(
            Problem(
                layout.time.name,
                f"{kind} values",
                "integer values, as in the data it was trained on",
                "convert the column",
            )
        )
    if kind == "timestamp" and layout.time.zone is None:
        # The models know a clock without a zone: it is the one on which the user sees these instants.
        return NTZ_MICROSECONDS.format(f"CAST({column} AS TIMESTAMP_NTZ)"), "timestamp_ntz"
    return microseconds(column, kind), kind


def _chosen(rows: Any, layout: Layout, where: Mapping[str, Any]) -> Any:
    """The canonical rows with these typed key values."""
    from pyspark.sql import functions

    for name, key in zip(layout.key_names, layout.keys, strict=True):
        if key.name in where:
            rows = rows.filter(functions.col(name) == functions.lit(where[key.name]))
    return rows


def _canonical_rows(
    wire: Wire, with_target: bool, layout: Layout, part: int, shared: pa.Schema
) -> Callable[[Batches], Batches]:
    """A mapping of a user's rows to rows of the shared schema."""

    def run(batches: Batches) -> Batches:
        for batch in batches:
            if not batch.num_rows:
                continue
            table = wire.table(batch)
            frame = canonical_frame(table.frame, layout, time_tag=wire.time_tag, with_target=with_target)
            columns: dict[str, Any] = {
                DIGEST: digests(frame, layout),
                PART: np.full(len(frame), part, dtype=np.int32),
            }
            columns |= {name: frame[name] for name in frame.columns}
            arrays = [
                pa.array(columns[field.name], field.type, from_pandas=True)
                if field.name in columns
                else pa.nulls(len(frame), field.type)
                for field in shared
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=shared)

    return run


def digests(frame: pd.DataFrame, layout: Layout) -> np.ndarray[Any, Any]:
    """The digest [n] of each row's key; every distinct key is hashed once."""
    result = np.empty(len(frame), dtype=object)
    names = tuple(key.name for key in layout.keys)
    if not names:
        result[:] = SeriesKey((), ()).digest
        return result
    groups = frame.reset_index(drop=True).groupby(list(layout.key_names), sort=False, dropna=False).indices
    for values, places in groups.items():
        result[places] = SeriesKey(names, values if isinstance(values, tuple) else (values,)).digest
    return result


# -- inside a task --------------------------------------------------------------------


def _answers(
    names: tuple[str, ...], layout: Layout, function: Answer, schema: pa.Schema
) -> Callable[[Batches], Batches]:
    """A mapping of rows, sorted by digest and part, to the function's rows."""

    def run(batches: Batches) -> Batches:
        for chunk in whole_blocks(batches, [DIGEST]):
            part = chunk.column(PART)
            frames = {
                name: canonical_of(chunk.filter(pc.equal(part, number)), layout)
                for number, name in enumerate(names, start=1)
            }
            answer = function(frames, chunk.filter(pc.equal(part, MODELS)))
            yield from answer.rename_columns(schema.names).cast(schema).to_batches(_ANSWER_ROWS)

    return run


def _ddl(schema: pa.Schema) -> str:
    """An Arrow schema as Spark writes it."""
    return ", ".join(f"{field.name} {_spark_type(field.type)}" for field in schema)


def _spark_type(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "timestamp_ntz" if kind.tz is None else "timestamp"
    return _SPARK_TYPES.get(str(kind), str(kind))


def shown_like(layout: Layout, kind: str) -> Layout:
    """The layout that shows stamps as a Spark column of this type does: with a zone, without, as dates."""
    time = layout.time
    if time.kind == "integer" or kind not in _STAMPS or (kind == "timestamp" and time.zone is None):
        return layout
    zone = time.shown_in or time.zone
    shown = zone if kind == "timestamp" else None
    return replace(layout, time=replace(time, shown_in=shown, is_date=kind == "date"))


def as_instants(answer: Any, stamps: tuple[str, ...]) -> Any:
    """A Spark DataFrame whose clock times are the instants at which the session's clock shows them."""
    from pyspark.sql import functions

    names = answer.columns
    numbered = answer.toDF(*[f"c{i}" for i in range(len(names))])
    columns = [
        functions.col(f"c{i}").cast("timestamp") if name in stamps else functions.col(f"c{i}")
        for i, name in enumerate(names)
    ]
    return numbered.select(*columns).toDF(*names)


def with_columns(frame: Any, values: Mapping[str, Any]) -> Any:
    """A Spark DataFrame with these constant columns, where it has them not."""
    from pyspark.sql import functions

    for name, value in values.items():
        if name not in frame.columns:
            frame = frame.withColumn(name, functions.lit(value))
    return frame
