"""What runs inside Spark's Python workers: facts, canonical rows, and groups by a guarded child.

The worker itself imports pandas and Arrow, nothing heavier; it keeps one guarded child for its
life, and that child holds the learners. Everything here takes and gives Arrow batches or frames.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from many_models.engines.base import GroupAnswer
from many_models.engines.guarded import Child, PackedJob, guard
from many_models.engines.machine import child_memory_bytes, usable_cores
from many_models.engines.reading import Table
from many_models.panel.allowance import Allowance
from many_models.panel.canonical import TimeTag, key_types, sort_canonical
from many_models.panel.context import block_names, context_columns
from many_models.panel.layout import Facts, Layout

Batches: TypeAlias = Iterator[pa.RecordBatch]
Mapping: TypeAlias = Callable[[Batches], Batches]

ANSWERS = pa.schema([("group", pa.int32()), ("payload", pa.binary()), ("attempt", pa.int32())])
ATTACHED = pa.schema([("group", pa.int32()), ("task", pa.int32()), ("attachment", pa.binary())])
FACTS = pa.schema([("facts", pa.string())])

_CHUNK_BYTES = 16 * 2**20

_child: Child | None = None


@dataclass(frozen=True)
class Wire:
    """How a user's table travels through Spark: columns by position, time as int64 where it is a stamp.

    Attributes
    ----------
    names
        The user's names of the columns `c0` … that travel.
    columns
        The names of all columns of the source.
    is_text, time_tag, time_zone
        As in `Table`.
    """

    names: tuple[str, ...]
    columns: tuple[Any, ...]
    is_text: bool = False
    time_tag: TimeTag | None = None
    time_zone: str | None = None

    def table(self, batch: pa.RecordBatch) -> Table:
        """The part of the user's table in this batch."""
        frame = batch.to_pandas()
        frame.columns = pd.Index(self.names, dtype=object)
        return Table(frame, self.columns, self.is_text, self.time_tag, self.time_zone)


def facts_of(wire: Wire, data: Any, by_time: Layout | None, last: int | None) -> Mapping:
    """A mapping of rows to one row per part: the part's facts as JSON, rows after `last` left out."""

    def run(batches: Batches) -> Batches:
        facts: Facts | None = None
        for batch in batches:
            table = wire.table(batch)
            part = (table if by_time is None else table.until(by_time, last)).facts(data)
            facts = part if facts is None else facts.merge(part)
        if facts is not None:
            yield pa.RecordBatch.from_pydict({"facts": [json.dumps(facts.to_dict())]}, schema=FACTS)

    return run


def canonical_rows(wire: Wire, layout: Layout, last: int | None) -> Mapping:
    """A mapping of rows to canonical rows, rows after `last` left out."""
    schema = canonical_schema(layout)

    def run(batches: Batches) -> Batches:
        for batch in batches:
            frame = wire.table(batch).until(layout, last).canonical(layout)
            yield pa.RecordBatch.from_pandas(frame, schema=schema, preserve_index=False)

    return run


def context_rows(layout: Layout, schema: pa.Schema) -> Mapping:
    """A mapping of canonical rows, sorted by the columns that siblings share, to rows with their context."""
    inputs = canonical_schema(layout)

    def run(batches: Batches) -> Batches:
        for chunk in whole_blocks(batches, block_names(layout)):
            there = [field for field in inputs if field.name in chunk.column_names]
            rows = pd.DataFrame({f.name: _values(chunk.column(f.name), f.type) for f in there}, copy=False)
            context = context_columns(rows, layout)
            columns = [
                pa.chunked_array([pa.array(context[name], pa.float64(), from_pandas=True)])
                if name in context
                else chunk.column(name)
                for name in schema.names
            ]
            yield from pa.Table.from_arrays(columns, schema=schema).to_batches()

    return run


def whole_blocks(
    batches: Batches, names: Sequence[str], chunk_bytes: int = _CHUNK_BYTES
) -> Iterator[pa.Table]:
    """The rows in chunks of whole blocks of equal `names`, by which they are sorted.

    So a task holds some blocks, not its whole partition.
    """
    held: list[pa.RecordBatch] = []
    size, limit = 0, chunk_bytes
    for batch in batches:
        if not batch.num_rows:
            continue
        held.append(batch)
        size += batch.nbytes
        if size <= limit:
            continue
        table = pa.Table.from_batches(held)
        begins = _last_block(table, names)
        if not begins:  # one block larger than a chunk: look again when twice as much has come
            limit = 2 * size
            continue
        yield table.slice(0, begins)
        rest = table.slice(begins).combine_chunks()
        held, size, limit = rest.to_batches(), rest.nbytes, chunk_bytes
    if held:
        yield pa.Table.from_batches(held)


def _last_block(table: pa.Table, names: Sequence[str]) -> int:
    """The row at which the last block of a sorted table begins."""
    alike = [pc.equal(table.column(name), table.column(name)[-1]) for name in names]
    return int(pc.index(functools.reduce(pc.and_, alike), True).as_py())


def canonical_schema(layout: Layout) -> pa.Schema:
    """The Arrow schema of the canonical frame of a layout."""
    types: dict[str, pa.DataType] = dict(zip(layout.key_names, key_types(layout), strict=True))
    types["t"] = pa.int64()
    for name, covariate in zip(layout.covariate_names, layout.covariates, strict=True):
        types[name] = pa.string() if covariate.kind == "category" else pa.float64()
    return pa.schema([(name, types.get(name, pa.float64())) for name in layout.columns])


def canonical_of(table: pa.Table, layout: Layout) -> pd.DataFrame:
    """The canonical frame of Arrow rows that hold its columns, with its types, sorted."""
    return _sorted(
        {field.name: _values(table.column(field.name), field.type) for field in canonical_schema(layout)},
        layout,
    )


def _sorted(columns: dict[str, Any], layout: Layout) -> pd.DataFrame:
    """The canonical frame of these columns, sorted."""
    t = columns["t"]
    order = np.argsort(t, kind="stable")
    # the rows of one series with one row per stamp, nearly always: time alone sorts them
    one_series = all((columns[name] == columns[name][:1]).all() for name in layout.key_names)
    if one_series and (np.diff(t[order]) > 0).all():
        return pd.DataFrame({name: values[order] for name, values in columns.items()}, copy=False)
    return sort_canonical(pd.DataFrame(columns, copy=False), layout)


def _values(column: pa.ChunkedArray, kind: pa.DataType) -> Any:
    """A column as NumPy has it in canonical frames: int64, bool, float64 with NaN, text with None."""
    if pa.types.is_floating(kind):
        return column.to_numpy().astype(np.float64, copy=False)
    if not pa.types.is_string(kind):
        return column.to_numpy()
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_pylist()
    return values


def answers_of(
    packed: bytes, deadline_seconds: float | Allowance | None, layout: Layout
) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """A function for `applyInPandas`: the canonical rows of one task to one row per group, its payload."""

    def run(frame: pd.DataFrame) -> pd.DataFrame:
        job = PackedJob(packed, deadline_seconds)
        return _answered(
            guard(_own_child(), job, group, _sorted(columns, layout))
            for group, columns in _groups(frame, layout)
        )

    return run


def attached_answers_of(
    packed: bytes, deadline_seconds: float | Allowance | None, layout: Layout
) -> Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]:
    """The same for a cogrouped `applyInPandas`, whose second frame holds what is attached to the groups."""

    def run(frame: pd.DataFrame, attached: pd.DataFrame) -> pd.DataFrame:
        job = PackedJob(packed, deadline_seconds)
        attachments = dict(zip(attached["group"].tolist(), attached["attachment"].tolist(), strict=True))
        return _answered(
            guard(_own_child(), job, group, _sorted(columns, layout), bytes(attachments[group]))
            for group, columns in _groups(frame, layout)
        )

    return run


def _answered(answers: Iterable[GroupAnswer]) -> pd.DataFrame:
    """One row per answer, of the schema `ANSWERS`."""
    from pyspark import TaskContext

    every = list(answers)
    context = TaskContext.get()
    attempt = 0 if context is None else context.attemptNumber()
    return pd.DataFrame(
        {
            "group": np.array([answer.group for answer in every], dtype=np.int32),
            "payload": [answer.payload for answer in every],
            "attempt": np.full(len(every), attempt, dtype=np.int32),
        }
    )


def _groups(frame: pd.DataFrame, layout: Layout) -> Iterator[tuple[int, dict[str, Any]]]:
    """The canonical columns of each group of a task, in the order of their numbers."""
    number = frame["group"].to_numpy()
    order = np.argsort(number, kind="stable")
    columns = {name: frame[name].to_numpy()[order] for name in layout.columns}
    number = number[order]
    bounds = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(number)]
    for start, stop in itertools.pairwise(bounds):
        yield int(number[start]), {name: values[start:stop] for name, values in columns.items()}


def _own_child() -> Child:
    """This worker's guarded child; the worker's main thread owns it for the worker's life."""
    global _child
    if _child is None:
        _child = Child(child_memory_bytes(usable_cores()))
    return _child
