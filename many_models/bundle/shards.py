"""The Parquet files of a bundle: what is found and read of them, and what of it is kept in memory."""

from __future__ import annotations

import bisect
import itertools
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from many_models.bundle.blocks import VerifiedFile
from many_models.bundle.container import content_id as content_id_of
from many_models.bundle.manifest import Shard, damaged
from many_models.errors import DamagedError, ManyModelsError

_MAX_READ_BYTES = 2**31


@dataclass(frozen=True)
class Group:
    """Some models as they lie in a shard, one after the other."""

    names: list[str]
    states: pa.ChunkedArray

    @classmethod
    def read(cls, file: ShardFile, groups: list[int]) -> Group:
        """The models of some row groups of a shard."""
        table = file.table(["content_id", "state"], groups)
        return cls(table.column("content_id").to_pylist(), table.column("state"))

    def state(self, offset: int, content_id: str) -> bytes:
        """The state at a place, found to be the one of that name."""
        if offset >= len(self.names) or self.names[offset] != content_id:
            damaged(f"the model {content_id} is not where the index says")
        state: bytes = self.states[offset].as_py()
        if content_id_of(state) != content_id:
            damaged(f"the model {content_id} does not have the hash that is its name")
        return state


class StateCache:
    """Row groups of models by (shard, group), the least recently used dropped first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._groups: OrderedDict[tuple[int, int], Group] = OrderedDict()

    def get(self, at: tuple[int, int]) -> Group | None:
        """The row group, which is now the newest; None where it is not kept."""
        group = self._groups.get(at)
        if group is not None:
            self._groups.move_to_end(at)
        return group

    def put(self, at: tuple[int, int], group: Group) -> None:
        """Keeps a row group, and drops the oldest that no longer fit."""
        self._groups[at] = group
        self._bytes += group.states.nbytes
        while self._bytes > self._max_bytes and len(self._groups) > 1:
            self._bytes -= self._groups.popitem(last=False)[1].states.nbytes


class ShardFile:
    """One open Parquet shard: where its row groups begin, and with what those end that were looked at.

    Parameters
    ----------
    column
        The column by which the rows are sorted, if they are; it has statistics.
    """

    def __init__(self, shard: Shard, file: VerifiedFile, column: str) -> None:
        self._shard = shard
        self._source = file
        self._column = column
        self._lasts: dict[int, Any] = {}
        self._parquet = self._guarded(lambda: pq.ParquetFile(file))
        metadata = self._parquet.metadata
        rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self._ends = list(itertools.accumulate(rows))
        if metadata.num_rows != shard.rows or sum(rows) != shard.rows:
            damaged(f"{shard.path} has {metadata.num_rows} rows instead of {shard.rows}")

    def close(self) -> None:
        """Close the file."""
        self._parquet.close()
        self._source.close()

    def group(self, row: int) -> tuple[int, int]:
        """The row group that holds a row, and the row's place in it."""
        group = bisect.bisect_right(self._ends, row)
        return group, row - self.rows_of(group).start

    def rows_of(self, group: int) -> range:
        """The rows of a row group."""
        return range(self._ends[group - 1] if group else 0, self._ends[group])

    def group_of(self, value: bytes | str) -> int | None:
        """The one row group that may hold a value of the sorted column; None where it is beyond them all."""
        low, high = 0, len(self._ends)
        while low < high:
            middle = (low + high) // 2
            if self._last(middle, value) < value:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self._ends) else None

    def _last(self, group: int, like: bytes | str) -> Any:
        """The last value of the sorted column in a row group, which is of the type of another."""
        if group not in self._lasts:
            metadata = self._parquet.metadata

            def read() -> Any:
                column = metadata.schema.names.index(self._column)
                return metadata.row_group(group).column(column).statistics

            statistics = self._guarded(read)
            last = statistics.max if statistics is not None and statistics.has_min_max else None
            if not isinstance(last, type(like)):
                damaged(f"{self._shard.path} does not say where its row groups end")
            self._lasts[group] = last
        return self._lasts[group]

    def table(self, columns: list[str], groups: list[int] | None = None) -> pa.Table:
        """Some columns of some row groups (all without them)."""
        wanted = list(range(len(self._ends))) if groups is None else groups
        metadata = self._parquet.metadata
        size = sum(metadata.row_group(group).total_byte_size for group in wanted)
        if size > _MAX_READ_BYTES:
            damaged(f"{self._shard.path} expands to {size} bytes; at most {_MAX_READ_BYTES} are allowed")
        table: pa.Table = self._guarded(
            lambda: self._parquet.read_row_groups(wanted, columns=columns, use_threads=False)
        )
        if sorted(table.column_names) != sorted(columns):  # Parquet's reader passes over what is missing
            damaged(f"{self._shard.path} has not the columns {', '.join(columns)}"[:300])
        return table

    def _guarded(self, read: Any) -> Any:
        try:
            return read()
        except ManyModelsError:
            raise
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise DamagedError(f"a bundle is damaged: {self._shard.path} cannot be read ({error})") from error
