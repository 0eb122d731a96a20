"""Reading a bundle: rows of the index by digest, models by name, and no more of the files than that takes."""

from __future__ import annotations

import bisect
import itertools
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from many_models.bundle.blocks import Opener, VerifiedFile
from many_models.bundle.manifest import (
    CHECKSUMS,
    MANIFEST,
    Shard,
    damaged,
    opened_document,
    schema_of,
    shards_of,
    sums_by_path,
)
from many_models.bundle.shards import Group, ShardFile, StateCache
from many_models.errors import LookupFailed, Problem, StorageError

_GROUPS_AT_ONCE = 16
_OPEN_FILES = 64
_INDEX_GROUPS = 256
_PLACE = ("__shard", "__row")
"""Columns of the index that say where the model of a series lies."""

_PLACES = 65_536
_MAX_MANIFEST_BYTES = 64 * 2**20


class Bundle:
    """An open bundle: finds rows of the index by digest and models by name; safe across threads.

    Made by `Bundle.open` or `write_bundle`. Keeps a bounded number of shards and row groups in
    memory, so that neighbouring and repeated look-ups read nothing.
    """

    def __init__(self, opener: Opener, document: Mapping[str, Any], sums: bytes, cache_bytes: int) -> None:
        self._opener = opener
        self._document = document
        self._schema = schema_of(document)
        self._index_shards = shards_of(document, "index")
        self._model_shards = shards_of(document, "models")
        self._shared_shards = shards_of(document, "shared")
        self._sums = sums_by_path(self._shards(), sums)
        self._lock = threading.RLock()
        self._files: OrderedDict[str, ShardFile] = OrderedDict()
        self._index_groups: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()
        self._states: StateCache = StateCache(cache_bytes)
        self._places: dict[str, tuple[int, int]] | None = None
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()

    @classmethod
    def open(cls, source: str | Path | Opener, cache_bytes: int = 64 * 2**20) -> Bundle:
        """The bundle in a folder, or behind an opener that fetches one file at a time.

        Parameters
        ----------
        source
            A folder, or a function: path within the bundle -> local file.
        cache_bytes
            How many bytes of models are kept in memory at most.

        Raises
        ------
        LookupFailed
            When there is no bundle.
        DamagedError
            When manifest or checksums are not what was written, or are of a newer version.
        """
        opener = source if callable(source) else _folder_opener(Path(source))
        document = opened_document(_small_file(opener, MANIFEST, _MAX_MANIFEST_BYTES))
        stated = document["checksums"]
        sums = _small_file(opener, CHECKSUMS, _MAX_MANIFEST_BYTES)
        if len(sums) != stated["bytes"] or blake2b(sums, digest_size=16).hexdigest() != stated["blake2b"]:
            damaged(f"{CHECKSUMS} is not what was written")
        return cls(opener, document, sums, cache_bytes)

    @property
    def manifest(self) -> dict[str, Any]:
        """What the writer of the bundle added to its manifest."""
        return dict(self._document["content"])

    @property
    def series_count(self) -> int:
        """How many series the index has."""
        return int(self._document["counts"]["series"])

    @property
    def model_count(self) -> int:
        """How many distinct models there are."""
        return int(self._document["counts"]["models"])

    @property
    def shared_count(self) -> int:
        """How many models there are that others refer to."""
        return int(self._document["counts"].get("shared", 0))

    @property
    def schema(self) -> pa.Schema:
        """The columns of the index and their types."""
        return self._schema

    def index(self, columns: list[str] | None = None) -> pa.Table:
        """The whole index, one row per series, sorted by digest (or some of its columns)."""
        schema = self._schema if columns is None else pa.schema([self._schema.field(c) for c in columns])
        with self._lock:
            parts = [self._index_file(n).table(schema.names) for n in range(len(self._index_shards))]
        return pa.concat_tables(parts).cast(schema) if parts else schema.empty_table()

    def find(self, digest: bytes) -> dict[str, Any] | None:
        """The row of the index for a key digest, as Python values; None for an unknown key."""
        with self._lock:
            row = self._index_row(digest)
        if row is None:
            return None
        shard, position = row.pop("__shard"), row.pop("__row")
        if row["content_id"] is not None:
            with self._lock:
                self._remember([row["content_id"]], [shard], [position])
        return row

    def rows(self, digests: Iterable[bytes]) -> pa.Table:
        """The rows of the index for many key digests, those that exist, in the order of the index."""
        wanted = sorted(set(digests))
        parts = []
        with self._lock:
            for number, shard in enumerate(self._index_shards):
                start = bisect.bisect_left(wanted, shard.first)
                end = bisect.bisect_right(wanted, shard.last)
                if start == end:
                    continue
                file = self._index_file(number)
                groups = sorted({g for g in map(file.group_of, wanted[start:end]) if g is not None})
                if groups:
                    part = file.table([*self._schema.names, *_PLACE], groups)
                    keep = pa.array(wanted[start:end], pa.binary(16))
                    part = part.filter(pc.is_in(part.column("digest"), value_set=keep))
                    self._remember(*(part.column(name).to_pylist() for name in ("content_id", *_PLACE)))
                    parts.append(part.select(self._schema.names))
        return pa.concat_tables(parts).cast(self._schema) if parts else self._schema.empty_table()

    def model(self, content_id: str) -> bytes:
        """The packed state of one model; reads no more than its row group.

        Raises
        ------
        LookupFailed
            When the bundle has no such model.
        DamagedError
            When what is stored is not what was written.
        """
        with self._lock:
            return self._model_at(content_id, self._place(content_id))

    def models(self, content_ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The packed states of many models with their names, each once, in stored order.

        Reads many row groups at once, holds no more than a few MB, and leaves the cache alone.
        """
        with self._lock:
            places = sorted({(self._place(name), name) for name in content_ids})
        by_shard = itertools.groupby(places, key=lambda item: item[0][0])
        for number, items in by_shard:
            rows = {row: name for (_, row), name in items}
            with self._lock:
                groups = sorted({self._model_file(number, row).group(row)[0] for row in rows})
            for start in range(0, len(groups), _GROUPS_AT_ONCE):
                with self._lock:
                    part = self._model_rows(number, groups[start : start + _GROUPS_AT_ONCE], rows)
                yield from part

    def shared(self, content_id: str) -> bytes:
        """The packed state of a model that others refer to; reads no more than its row group.

        Raises
        ------
        DamagedError
            When the bundle has no such model, or what is stored is not what was written.
        """
        with self._lock:
            found = self._shared_at(content_id)
        if found is None:
            damaged(f"the shared model {str(content_id)[:100]}, which a model refers to, is missing")
        return found

    def shared_names(self) -> list[str]:
        """The names of all models that others refer to, sorted."""
        with self._lock:
            files = [self._file(shard, "content_id") for shard in self._shared_shards]
            return [name for file in files for name in file.table(["content_id"]).column(0).to_pylist()]

    def verify(self) -> None:
        """Nothing, once every byte of every file has been found to be what was written."""
        with self._lock:
            for shard in self._shards():
                with self._verified(shard) as file:
                    while file.read(2**22):
                        pass

    # -- inside; the lock is held --

    def _shards(self) -> tuple[Shard, ...]:
        return (*self._index_shards, *self._model_shards, *self._shared_shards)

    def _shared_at(self, content_id: str) -> bytes | None:
        try:
            digest = bytes.fromhex(content_id)
        except ValueError:
            return None
        number = bisect.bisect_left([shard.last for shard in self._shared_shards], digest)
        if number == len(self._shared_shards):
            return None
        file = self._file(self._shared_shards[number], "content_id")
        group = file.group_of(content_id)
        if group is None:
            return None
        at = (-1 - number, group)  # beside the models' own, which count from 0
        states = self._states.get(at)
        if states is None:
            states = Group.read(file, [group])
            self._states.put(at, states)
        return (
            states.state(states.names.index(content_id), content_id) if content_id in states.names else None
        )

    def _index_row(self, digest: bytes) -> dict[str, Any] | None:
        number = bisect.bisect_left([shard.last for shard in self._index_shards], digest)
        if number == len(self._index_shards) or digest < self._index_shards[number].first:
            return None
        file = self._index_file(number)
        group = file.group_of(digest)
        if group is None:
            return None
        table = self._index_groups.get((number, group))
        if table is None:
            table = file.table([*self._schema.names, *_PLACE], [group])
            self._index_groups[number, group] = table
            if len(self._index_groups) > _INDEX_GROUPS:
                self._index_groups.popitem(last=False)
        self._index_groups.move_to_end((number, group))
        offset = pc.index(table.column("digest"), pa.scalar(digest, pa.binary(16))).as_py()
        if offset < 0:
            return None
        row: dict[str, Any] = table.slice(offset, 1).to_pylist()[0]
        return row

    def _remember(self, names: list[str | None], shards: list[int], rows: list[int]) -> None:
        """Where these models lie, for who asks for them next; the first of very many are forgotten."""
        self._seen.update((n, (s, r)) for n, s, r in zip(names, shards, rows, strict=True) if n is not None)
        while len(self._seen) > _PLACES:
            self._seen.popitem(last=False)

    def _index_file(self, number: int) -> ShardFile:
        return self._file(self._index_shards[number], "digest")

    def _file(self, shard: Shard, column: str) -> ShardFile:
        file = self._files.get(shard.path)
        if file is None:
            file = ShardFile(shard, self._verified(shard), column)
            self._files[shard.path] = file
            if len(self._files) > _OPEN_FILES:
                self._files.popitem(last=False)[1].close()
        self._files.move_to_end(shard.path)
        return file

    def _verified(self, shard: Shard) -> VerifiedFile:
        return VerifiedFile(Path(self._opener(shard.path)), shard.path, shard.size, self._sums[shard.path])

    def _place(self, content_id: str) -> tuple[int, int]:
        place = self._seen.get(content_id) or (self._places or {}).get(content_id)
        if place is None and self._places is None:
            # Not found by key before: the index is read once for the places of all models.
            columns = ["content_id", *_PLACE]
            self._places = {}
            for number in range(len(self._index_shards)):
                table = self._index_file(number).table(columns)
                names, shards, rows = (table.column(name).to_pylist() for name in columns)
                for name, shard, row in zip(names, shards, rows, strict=True):
                    if name is not None:
                        self._places[name] = (shard, row)
            place = self._places.get(content_id)
        if place is None:
            raise LookupFailed(
                Problem("content_id", repr(content_id), f"one of the {self.model_count} models of the bundle")
            )
        return place

    def _model_at(self, content_id: str, place: tuple[int, int]) -> bytes:
        number, row = place
        file = self._model_file(number, row)
        group, offset = file.group(row)
        states = self._states.get((number, group))
        if states is None:
            states = Group.read(file, [group])
            self._states.put((number, group), states)
        return states.state(offset, content_id)

    def _model_file(self, number: int, row: int) -> ShardFile:
        if not 0 <= number < len(self._model_shards) or not 0 <= row < self._model_shards[number].rows:
            damaged(f"its index names row {row} of shard {number}, which does not exist")
        return self._file(self._model_shards[number], "content_id")

    def _model_rows(self, number: int, groups: list[int], rows: Mapping[int, str]) -> list[tuple[str, bytes]]:
        """The wanted models (row -> name) that lie in these row groups of a shard."""
        file = self._file(self._model_shards[number], "content_id")
        states = Group.read(file, groups)
        places = itertools.chain.from_iterable(map(file.rows_of, groups))
        return [
            (rows[row], states.state(offset, rows[row])) for offset, row in enumerate(places) if row in rows
        ]


def _folder_opener(folder: Path) -> Opener:
    if not (folder / MANIFEST).is_file():
        raise LookupFailed(
            Problem(
                str(folder), "no bundle", f"a folder with a {MANIFEST}", "check the path, or register the run"
            )
        )
    return lambda path: folder / path


def _small_file(opener: Opener, name: str, max_bytes: int) -> bytes:
    path = Path(opener(name))
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except FileNotFoundError:
        damaged(f"its file {name} is missing")
    except OSError as error:
        raise StorageError(f"the bundle file {path} cannot be read: {error.strerror or error}") from error
    if len(data) > max_bytes:
        damaged(f"{name} has more than {max_bytes} bytes")
    return data
