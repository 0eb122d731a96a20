"""The rows a group gives: one fixed Arrow schema per folder of the run directory, and their bytes.

The group function builds its rows here, inside the guarded child, so that no conversion can
fail outside of it. The bytes are Arrow IPC streams, one per folder, with their lengths first.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from many_models.errors import DamagedError
from many_models.metrics.totals import TOTALLED
from many_models.panel.canonical import key_types, time_array, time_type
from many_models.panel.layout import Layout

FOLDERS: tuple[str, ...] = (
    "models",
    "leaderboard",
    "forecasts",
    "totals",
    "backtest",
    "test",
    "findings",
    "lineage",
    "results",
)
"""The folders of a run directory in the order they are written: `results` last of all."""

TEXT, REAL, WHOLE, BYTES = pa.string(), pa.float64(), pa.int64(), pa.binary()


def quantile_column(level: float) -> str:
    """The column name of a quantile: `q0.1`."""
    return f"q{level:g}"


def key_columns(layout: Layout) -> list[tuple[str, pa.DataType]]:
    """Names and Arrow types of the key columns."""
    return list(zip([k.name for k in layout.keys], key_types(layout), strict=True))


def schemas(layout: Layout, levels: Sequence[float]) -> dict[str, pa.Schema]:
    """The Arrow schema of every folder; keys and time keep the user's names and types."""
    keys = key_columns(layout)
    when = time_type(layout)
    stamp = (layout.time.name, when)
    quantiles = [(quantile_column(q), REAL) for q in levels]
    columns: dict[str, list[tuple[str, pa.DataType]]] = {
        "models": [("content_id", TEXT), ("kind", TEXT), ("format_version", pa.int32()), ("state", BYTES)],
        "leaderboard": [
            *keys,
            ("candidate", TEXT),
            ("learner", TEXT),
            ("parameters", TEXT),
            ("score", REAL),
            ("score_std", REAL),
            ("weight", REAL),
            ("fit_seconds", REAL),
            ("predict_seconds", REAL),
            ("status", TEXT),
            ("error_code", TEXT),
        ],
        "forecasts": [
            *keys,
            ("cutoff", when),
            stamp,
            ("step", WHOLE),
            ("mean", REAL),
            *quantiles,
            ("learner", TEXT),
            ("status", TEXT),
            ("reason", TEXT),
            ("run_id", TEXT),
        ],
        "totals": [
            *keys,
            ("cutoff", when),
            ("steps", WHOLE),
            ("mean", REAL),
            *quantiles,
            ("learner", TEXT),
            ("status", TEXT),
            ("reason", TEXT),
            ("run_id", TEXT),
        ],
        "backtest": [
            *keys,
            ("fold", WHOLE),
            ("cutoff", when),
            stamp,
            ("step", WHOLE),
            ("candidate", TEXT),
            ("actual", REAL),
            ("mean", REAL),
            *quantiles,
            ("mase_scale", REAL),
            ("rmsse_scale", REAL),
        ],
        "test": [
            *keys,
            ("cutoff", when),
            stamp,
            ("step", WHOLE),
            ("actual", REAL),
            ("mean", REAL),
            *quantiles,
            ("seasonal_naive", REAL),
            ("mase_scale", REAL),
            ("rmsse_scale", REAL),
            ("learner", TEXT),
            ("status", TEXT),
            ("reason", TEXT),
        ],
        "findings": [
            *keys,
            ("code", TEXT),
            ("severity", TEXT),
            ("state", TEXT),
            ("count", WHOLE),
            ("message", TEXT),
            ("action", TEXT),
        ],
        "lineage": [
            *keys,
            ("run_id", TEXT),
            ("code_version", TEXT),
            ("data_from", when),
            ("data_until", when),
            ("folds", WHOLE),
            ("data_fingerprint", TEXT),
            ("inherited_from", TEXT),
        ],
        "results": [
            *keys,
            ("status", TEXT),
            ("reason", TEXT),
            ("learner", TEXT),
            ("score", REAL),
            ("skill", REAL),
            ("bias", REAL),
            ("seconds", REAL),
            ("trained_until", when),
            ("n_obs", WHOLE),
            ("spec_fingerprint", TEXT),
            ("content_id", TEXT),
            *((name, REAL) for name in TOTALLED),
            ("scored", WHOLE),
            ("volume", REAL),
            ("weight", REAL),
        ],
    }
    return {folder: pa.schema(columns[folder]) for folder in FOLDERS}


COMPRESSED_BYTES = 16_384
"""A folder of fewer bytes is sent as it is: compressing each of its columns costs more than it saves."""


@dataclass
class GroupRows:
    """Collects the rows of a group, folder by folder.

    `times` names the columns that are given as canonical time and stored in the user's type.
    """

    layout: Layout
    schemas: Mapping[str, pa.Schema]
    batches: dict[str, list[pa.RecordBatch]] = field(default_factory=dict)

    def add(self, folder: str, key: Sequence[Any], rows: int, columns: Mapping[str, Any]) -> None:
        """Adds `rows` rows of one series; a column is an array of that length or one value for all."""
        if rows == 0:
            return
        schema = self.schemas[folder]
        values: dict[str, Any] = dict(zip((k.name for k in self.layout.keys), key, strict=True))
        values.update(columns)
        times = {"cutoff", "trained_until", "data_from", "data_until", self.layout.time.name}
        arrays = [
            self._column(values[name], rows, schema.field(name).type, name in times) for name in schema.names
        ]
        self.batches.setdefault(folder, []).append(pa.RecordBatch.from_arrays(arrays, schema=schema))

    def _column(self, value: Any, rows: int, kind: pa.DataType, is_time: bool) -> pa.Array:
        if value is None:
            return pa.nulls(rows, kind)
        if is_time:
            return time_array(np.broadcast_to(np.asarray(value, dtype=np.int64), (rows,)), self.layout)
        if isinstance(value, np.ndarray):
            # NaN is how NumPy says missing; in a table missing is null.
            return pa.array(value, kind, from_pandas=True)
        if isinstance(value, list | tuple):
            return pa.array(value, kind)
        if isinstance(value, float) and np.isnan(value):
            return pa.nulls(rows, kind)
        return pa.repeat(pa.scalar(value, kind), rows)

    def drop(self, key: Sequence[Any]) -> None:
        """Removes what was added for this series, so that it can be accounted for anew."""
        names = [k.name for k in self.layout.keys]
        for folder, batches in self.batches.items():
            if folder != "models":
                batches[:] = [b for b in batches if [b.column(n)[0].as_py() for n in names] != list(key)]

    def to_bytes(self) -> bytes:
        """All rows as Arrow IPC streams, read back by `read_rows`."""
        parts: list[bytes] = []
        for folder in FOLDERS:
            batches = self.batches.get(folder)
            if not batches:
                parts.append(b"")
                continue
            sink = pa.BufferOutputStream()
            large = sum(batch.nbytes for batch in batches) >= COMPRESSED_BYTES
            options = pa.ipc.IpcWriteOptions(compression="lz4" if large else None)
            with pa.ipc.new_stream(sink, self.schemas[folder], options=options) as stream:
                for batch in batches:
                    stream.write_batch(batch)
            parts.append(sink.getvalue().to_pybytes())
        return struct.pack(f"<{len(FOLDERS)}q", *map(len, parts)) + b"".join(parts)


def read_rows(payload: bytes) -> dict[str, pa.Table]:
    """The tables of a group's bytes by folder; folders without rows are absent."""
    head = struct.calcsize(f"<{len(FOLDERS)}q")
    if len(payload) < head:
        raise DamagedError(f"a group's answer has {len(payload)} bytes, fewer than its header")
    lengths = struct.unpack_from(f"<{len(FOLDERS)}q", payload)
    tables, at = {}, head
    view = pa.py_buffer(payload)
    for folder, length in zip(FOLDERS, lengths, strict=True):
        if length:
            with pa.ipc.open_stream(view.slice(at, length)) as stream:
                tables[folder] = stream.read_all()
        at += length
    return tables
