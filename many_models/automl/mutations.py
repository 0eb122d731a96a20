"""What preparation changes in one group: the canonical rows in, the report of changes out as bytes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa

from many_models.automl.group import series_of
from many_models.panel.layout import Layout
from many_models.panel.mutations import Journal, report_schema
from many_models.panel.preparation import PrepareSettings, prepare

SERIES, TROUBLE = b"series", b"trouble"
"""Entries of the metadata: how many series were looked at, and why a group has no report."""


@dataclass(frozen=True)
class MutationTask:
    """What every group is prepared with; `where` names the key values of the series that are asked for."""

    layout: Layout
    settings: PrepareSettings
    where: Mapping[str, Any]


class TroubleLike(Protocol):
    """Why the group function did not answer."""

    @property
    def message(self) -> str:
        """For a person."""


def mutate_group(frame: pd.DataFrame, task: MutationTask) -> bytes:
    """Every change that preparation makes in the series of a group, as an Arrow stream."""
    tables = []
    for key, part in series_of(frame, task.layout):
        values = key.as_dict()
        if all(values[name] == value for name, value in task.where.items()):
            journal = Journal(task.layout)
            prepare(part, key, task.layout, task.settings, journal)
            tables.append(journal.table(key))
    table = pa.concat_tables([report_schema(task.layout).empty_table(), *tables])
    return _bytes(table.replace_schema_metadata({SERIES: str(len(tables)).encode()}))


def no_mutations(frame: pd.DataFrame, task: MutationTask, trouble: TroubleLike) -> bytes:
    """An empty report that says why there is none."""
    empty = report_schema(task.layout).empty_table()
    return _bytes(empty.replace_schema_metadata({TROUBLE: trouble.message.encode()}))


def _bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def read_mutations(payload: bytes) -> tuple[pa.Table, int, str | None]:
    """The report of a group, how many series were looked at, and why there is no report."""
    with pa.ipc.open_stream(pa.py_buffer(payload)) as stream:
        table = stream.read_all()
    said = table.schema.metadata or {}
    trouble = said.get(TROUBLE)
    plain = table.replace_schema_metadata(None)
    return plain, int(said.get(SERIES, 0)), None if trouble is None else trouble.decode()
