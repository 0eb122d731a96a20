"""A bundle: the models of one training run and their index, as a folder of few files.

::

    bundle.json            the manifest: version, files, counts, and what the caller adds
    checksums.bin          a checksum per block of every Parquet file
    index/00000.parquet    one row per series, sorted by `digest`, the 16-byte hash of its key
    models/00000.parquet   one row per distinct model, in the order in which the index names them
    shared/00000.parquet   one row per model that others refer to, sorted by name; where there are some

Index and models are cut into shards of bounded size, and a shard is found by a binary search in
the manifest: opening a bundle and finding one key cost the same for 100 and for 100,000 models,
and from a remote store only the shards that are needed are fetched. Everything that is read is
verified first (see `blocks`), and a model's bytes have the hash that is their name.
"""

from __future__ import annotations

import bisect
import itertools
import json
import math
import re
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from many_models.bundle.blocks import BLOCK_BYTES, CHECKSUM_BYTES, Opener, VerifiedFile, checksums
from many_models.bundle.container import content_id as content_id_of
from many_models.errors import DamagedError, LookupFailed, ManyModelsError, Problem, StorageError

# How to change the format
# ------------------------
# 1. Raise VERSION by one and let `write_bundle` write the new form.
# 2. Keep reading every version in _READABLE: bundles registered years ago must still open.
# 3. Keep the bundle of the old version that lies in the tests, and add one of the new version.
# 4. Write a line in CHANGELOG.md: older installations refuse newer versions and say so.
VERSION = 1
_READABLE = (1,)

MANIFEST = "bundle.json"
CHECKSUMS = "checksums.bin"
RESERVED = ("digest", "content_id", "__shard", "__row")
"""Columns of the index that are ours; no key column may have one of these names."""

_FORMAT = "many-models bundle"
_INDEX_SHARD_ROWS = 4_096
_INDEX_GROUP_ROWS = 256
_MODEL_SHARD_ROWS = 4_096
_MODEL_SHARD_BYTES = 64 * 2**20
_MODEL_GROUP_ROWS = 100
_MODEL_GROUP_BYTES = 4 * 2**20
_GROUPS_AT_ONCE = 16
_OPEN_FILES = 64
_INDEX_GROUPS = 256
_PLACES = 65_536
_MAX_READ_BYTES = 2**31
_MAX_MANIFEST_BYTES = 64 * 2**20
_COUNTED = {"index": "series", "models": "models", "shared": "shared"}
"""Folder of shards -> its count in the manifest."""
_SHARD_PATH = re.compile(r"(index|models|shared)/[0-9]{5}\.parquet")
_MODEL_SCHEMA = pa.schema(
    [
        pa.field("content_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("format_version", pa.int32(), nullable=False),
        pa.field("state", pa.binary(), nullable=False),
    ]
)

StoredModel = tuple[str, str, int, bytes]
"""content_id, kind, format_version, packed state."""


@dataclass(frozen=True)
class _Shard:
    path: str
    size: int
    rows: int
    first: bytes
    last: bytes


# --- writing ---------------------------------------------------------------------------------


def write_bundle(
    folder: str | Path,
    index: pa.Table,
    models: Iterable[StoredModel],
    manifest: Mapping[str, Any],
    shared: Iterable[StoredModel] = (),
) -> Bundle:
    """The bundle that was written to `folder`, which must not exist yet or be empty.

    Parameters
    ----------
    folder
        Where the bundle goes. It appears complete or not at all.
    index
        One row per series: the key columns under the user's names, the columns `digest`
        (16 bytes, unique) and `content_id` (null where a series has no model), and whatever
        else `find` shall answer.
    models
        The models, in any order, consumed once; one that comes twice is stored once, one that
        the index does not name is left out.
    manifest
        JSON values to keep with the bundle (`Bundle.manifest`).
    shared
        Models that other models refer to by name (`Bundle.shared`), consumed once; one that comes
        twice is stored once.

    Raises
    ------
    ValueError
        When the index is not as described.
    DamagedError
        When a model does not have the hash that is its name, or one is missing.
    StorageError
        When the folder cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StorageError(f"a bundle cannot be written to {folder}: something is there already")
    _check_index(index)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            _write(partial, index, models, shared, manifest)
            if folder.exists():
                folder.rmdir()
            partial.chmod(0o755)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise StorageError(f"a bundle cannot be written to {folder}: {error.strerror or error}") from error
    return Bundle.open(folder)


def _check_index(index: pa.Table) -> None:
    names = index.column_names
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"the index has two columns named {repeated}")
    for name in ("digest", "content_id"):
        if name not in names:
            raise ValueError(f"the index has no column {name!r}")
    taken = sorted({"__shard", "__row"} & set(names))
    if taken:
        raise ValueError(f"the index has columns named {taken}; these names are reserved")
    if index.column("digest").null_count:
        raise ValueError("the index has a row without a digest")


def _write(
    folder: Path,
    index: pa.Table,
    models: Iterable[StoredModel],
    shared: Iterable[StoredModel],
    extra: Mapping[str, Any],
) -> None:
    (folder / "index").mkdir()
    (folder / "models").mkdir()
    index, digests = _sorted_by_digest(index)
    wanted = _first_use(index.column("content_id"))
    with (folder / ".spool").open("w+b") as spool:
        stored = _spooled(models, spool, wanted)
        _refuse_missing(wanted, stored)
        places, model_shards = _write_models(folder, "models", wanted, stored, spool)
    with (folder / ".spool").open("w+b") as spool:
        stored = _spooled(shared, spool)
        _, shared_shards = _write_models(folder, "shared", sorted(stored), stored, spool)
    (folder / ".spool").unlink()
    index_shards = _write_index(folder, _with_places(index, places), digests)
    shards = (*index_shards, *model_shards, *shared_shards)
    table = {shard.path: checksums(folder / shard.path) for shard in shards}
    sums = b"".join(table.values())
    (folder / CHECKSUMS).write_bytes(sums)
    document = {
        "format": _FORMAT,
        "version": VERSION,
        "counts": {"series": index.num_rows, "models": len(wanted)}
        | ({"shared": len(stored)} if stored else {}),
        "checksums": {"bytes": len(sums), "blake2b": blake2b(sums, digest_size=16).hexdigest()},
        "index": [_shard_entry(shard) for shard in index_shards],
        "models": [_shard_entry(shard) for shard in model_shards],
        **({"shared": [_shard_entry(shard) for shard in shared_shards]} if stored else {}),
        "schema": index.schema.serialize().to_pybytes().hex(),
        "content": dict(extra),
    }
    (folder / MANIFEST).write_bytes(_sealed(document))


def _sorted_by_digest(index: pa.Table) -> tuple[pa.Table, list[bytes]]:
    digests = index.column("digest").cast(pa.binary()).to_pylist()
    if any(len(digest) != 16 for digest in digests):
        raise ValueError("a digest in the index does not have 16 bytes")
    order = sorted(range(len(digests)), key=digests.__getitem__)
    ordered = [digests[i] for i in order]
    if any(a == b for a, b in itertools.pairwise(ordered)):
        raise ValueError("two rows of the index have the same digest")
    index = index.take(pa.array(order, pa.int64()))
    at = index.column_names.index("digest")
    index = index.set_column(at, "digest", pa.array(ordered, pa.binary(16)))
    at = index.column_names.index("content_id")
    return index.set_column(at, "content_id", index.column("content_id").cast(pa.string())), ordered


def _first_use(content_ids: pa.ChunkedArray) -> dict[str, int]:
    """The distinct models in the order in which the index names them, each with its position."""
    names = [name for name in content_ids.unique().to_pylist() if name is not None]
    return {name: position for position, name in enumerate(names)}


def _spooled(
    models: Iterable[StoredModel], spool: Any, wanted: Mapping[str, int] | None = None
) -> dict[str, tuple[int, int, str, int]]:
    """Where each wanted model (every one by default) lies in the spool file: start, bytes, kind, version.

    The models come in any order and may be more than memory holds; the spool lets them be
    written in the order of the index.
    """
    stored: dict[str, tuple[int, int, str, int]] = {}
    start = 0
    for name, kind, version, state in models:
        if content_id_of(state) != name:
            raise DamagedError(f"the model {name} does not have the hash that is its name")
        if (wanted is None or name in wanted) and name not in stored:
            spool.write(state)
            stored[name] = (start, len(state), kind, version)
            start += len(state)
    return stored


def _refuse_missing(wanted: Mapping[str, int], stored: Mapping[str, Any]) -> None:
    missing = [name for name in wanted if name not in stored]
    if missing:
        raise DamagedError(
            f"{len(missing)} of the {len(wanted)} models that the index names are missing, first {missing[0]}"
        )


def _write_models(
    folder: Path,
    kind: str,
    wanted: Iterable[str],
    stored: Mapping[str, tuple[int, int, str, int]],
    spool: Any,
) -> tuple[dict[str, tuple[int, int]], list[_Shard]]:
    """The place (shard, row) of each model, and the shards."""
    places: dict[str, tuple[int, int]] = {}
    shards: list[_Shard] = []
    for number, names in enumerate(_cut(wanted, stored, _MODEL_SHARD_ROWS, _MODEL_SHARD_BYTES)):
        path = f"{kind}/{number:05d}.parquet"
        (folder / kind).mkdir(exist_ok=True)
        with pq.ParquetWriter(
            folder / path, _MODEL_SCHEMA, compression="none", use_dictionary=False, write_statistics=False
        ) as writer:
            for group in _cut(names, stored, _MODEL_GROUP_ROWS, _MODEL_GROUP_BYTES):
                writer.write_batch(_model_batch(group, stored, spool))
        places.update((name, (number, row)) for row, name in enumerate(names))
        first, last = bytes.fromhex(names[0]), bytes.fromhex(names[-1])
        shards.append(_Shard(path, (folder / path).stat().st_size, len(names), first, last))
    return places, shards


def _cut(
    names: Iterable[str], stored: Mapping[str, tuple[int, int, str, int]], max_rows: int, max_bytes: int
) -> Iterator[list[str]]:
    """The names in order, cut where there would be too many rows or bytes."""
    part: list[str] = []
    size = 0
    for name in names:
        if part and (len(part) == max_rows or size + stored[name][1] > max_bytes):
            yield part
            part, size = [], 0
        part.append(name)
        size += stored[name][1]
    if part:
        yield part


def _model_batch(
    names: list[str], stored: Mapping[str, tuple[int, int, str, int]], spool: Any
) -> pa.RecordBatch:
    states = []
    for name in names:
        start, length, _, _ = stored[name]
        spool.seek(start)
        states.append(spool.read(length))
    kinds = [stored[name][2] for name in names]
    versions = [stored[name][3] for name in names]
    return pa.RecordBatch.from_arrays(
        [pa.array(names), pa.array(kinds), pa.array(versions, pa.int32()), pa.array(states, pa.binary())],
        schema=_MODEL_SCHEMA,
    )


def _with_places(index: pa.Table, places: Mapping[str, tuple[int, int]]) -> pa.Table:
    found = [places.get(name) for name in index.column("content_id").to_pylist()]
    shards = pa.array([None if place is None else place[0] for place in found], pa.int32())
    rows = pa.array([None if place is None else place[1] for place in found], pa.int32())
    return index.append_column("__shard", shards).append_column("__row", rows)


def _write_index(folder: Path, index: pa.Table, digests: list[bytes]) -> list[_Shard]:
    shards = []
    for number, start in enumerate(range(0, index.num_rows, _INDEX_SHARD_ROWS)):
        part = index.slice(start, _INDEX_SHARD_ROWS)
        path = f"index/{number:05d}.parquet"
        pq.write_table(
            part,
            folder / path,
            row_group_size=_INDEX_GROUP_ROWS,
            compression="zstd",
            use_dictionary=False,
            write_statistics=False,
        )
        size = (folder / path).stat().st_size
        shards.append(_Shard(path, size, part.num_rows, digests[start], digests[start + part.num_rows - 1]))
    return shards


def _shard_entry(shard: _Shard) -> dict[str, Any]:
    return {
        "path": shard.path,
        "bytes": shard.size,
        "rows": shard.rows,
        "first": shard.first.hex(),
        "last": shard.last.hex(),
    }


def _canonical(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _sealed(document: Mapping[str, Any]) -> bytes:
    """The canonical JSON of a document with the checksum of itself in it."""
    seal = blake2b(_canonical(document), digest_size=16).hexdigest()
    return _canonical({**document, "seal": seal})


# --- reading ---------------------------------------------------------------------------------


class Bundle:
    """An open bundle: finds rows of the index by digest and models by name; safe across threads.

    Made by `Bundle.open` or `write_bundle`. Keeps a bounded number of shards and row groups in
    memory, so that neighbouring and repeated look-ups read nothing.
    """

    def __init__(self, opener: Opener, document: Mapping[str, Any], sums: bytes, cache_bytes: int) -> None:
        self._opener = opener
        self._document = document
        self._schema = _schema(document)
        self._index_shards = _shards(document, "index")
        self._model_shards = _shards(document, "models")
        self._shared_shards = _shards(document, "shared")
        self._sums = _sums_by_path(self._shards, sums)
        self._lock = threading.RLock()
        self._files: OrderedDict[str, _ShardFile] = OrderedDict()
        self._index_groups: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()
        self._states: _StateCache = _StateCache(cache_bytes)
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
        document = _document(_small_file(opener, MANIFEST, _MAX_MANIFEST_BYTES))
        stated = document["checksums"]
        sums = _small_file(opener, CHECKSUMS, _MAX_MANIFEST_BYTES)
        if len(sums) != stated["bytes"] or blake2b(sums, digest_size=16).hexdigest() != stated["blake2b"]:
            _damaged(f"{CHECKSUMS} is not what was written")
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
                self._seen[row["content_id"]] = (shard, position)
                if len(self._seen) > _PLACES:
                    self._seen.popitem(last=False)
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
                at = [i for i in map(file.position, wanted[start:end]) if i is not None]
                groups = sorted({file.group(i)[0] for i in at})
                if groups:
                    part = file.table(self._schema.names, groups)
                    keep = pa.array(wanted[start:end], pa.binary(16))
                    parts.append(part.filter(pc.is_in(part.column("digest"), value_set=keep)))
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
            _damaged(f"the shared model {str(content_id)[:100]}, which a model refers to, is missing")
        return found

    def shared_names(self) -> list[str]:
        """The names of all models that others refer to, sorted."""
        with self._lock:
            files = [self._file(shard, "content_id") for shard in self._shared_shards]
            return [name for file in files for name in file.table(["content_id"]).column(0).to_pylist()]

    def verify(self) -> None:
        """Nothing, once every byte of every file has been found to be what was written."""
        with self._lock:
            for shard in self._shards:
                with self._verified(shard) as file:
                    while file.read(2**22):
                        pass

    # -- inside; the lock is held --

    @property
    def _shards(self) -> tuple[_Shard, ...]:
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
        row = file.position(content_id)
        if row is None:
            return None
        group, offset = file.group(row)
        at = (-1 - number, group)  # beside the models' own, which count from 0
        states = self._states.get(at)
        if states is None:
            states = _Group.read(file, [group])
            self._states.put(at, states)
        return states.state(offset, content_id)

    def _index_row(self, digest: bytes) -> dict[str, Any] | None:
        number = bisect.bisect_left([shard.last for shard in self._index_shards], digest)
        if number == len(self._index_shards) or digest < self._index_shards[number].first:
            return None
        file = self._index_file(number)
        position = file.position(digest)
        if position is None:
            return None
        group, offset = file.group(position)
        table = self._index_groups.get((number, group))
        if table is None:
            names = [*self._schema.names, "__shard", "__row"]
            table = file.table(names, [group])
            self._index_groups[number, group] = table
            if len(self._index_groups) > _INDEX_GROUPS:
                self._index_groups.popitem(last=False)
        self._index_groups.move_to_end((number, group))
        row: dict[str, Any] = table.slice(offset, 1).to_pylist()[0]
        return row

    def _index_file(self, number: int) -> _ShardFile:
        return self._file(self._index_shards[number], "digest")

    def _file(self, shard: _Shard, column: str) -> _ShardFile:
        file = self._files.get(shard.path)
        if file is None:
            file = _ShardFile(shard, self._verified(shard), column)
            self._files[shard.path] = file
            if len(self._files) > _OPEN_FILES:
                self._files.popitem(last=False)[1].close()
        self._files.move_to_end(shard.path)
        return file

    def _verified(self, shard: _Shard) -> VerifiedFile:
        return VerifiedFile(Path(self._opener(shard.path)), shard.path, shard.size, self._sums[shard.path])

    def _place(self, content_id: str) -> tuple[int, int]:
        place = self._seen.get(content_id) or (self._places or {}).get(content_id)
        if place is None and self._places is None:
            # Not found by key before: the index is read once for the places of all models.
            columns = ["content_id", "__shard", "__row"]
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
            states = _Group.read(file, [group])
            self._states.put((number, group), states)
        return states.state(offset, content_id)

    def _model_file(self, number: int, row: int) -> _ShardFile:
        if not 0 <= number < len(self._model_shards) or not 0 <= row < self._model_shards[number].rows:
            _damaged(f"its index names row {row} of shard {number}, which does not exist")
        return self._file(self._model_shards[number], "content_id")

    def _model_rows(self, number: int, groups: list[int], rows: Mapping[int, str]) -> list[tuple[str, bytes]]:
        """The wanted models (row -> name) that lie in these row groups of a shard."""
        file = self._file(self._model_shards[number], "content_id")
        states = _Group.read(file, groups)
        places = itertools.chain.from_iterable(map(file.rows_of, groups))
        return [
            (rows[row], states.state(offset, rows[row])) for offset, row in enumerate(places) if row in rows
        ]


@dataclass(frozen=True)
class _Group:
    """Some models as they lie in a shard, one after the other."""

    names: list[str]
    states: pa.ChunkedArray

    @classmethod
    def read(cls, file: _ShardFile, groups: list[int]) -> _Group:
        """The models of some row groups of a shard."""
        table = file.table(["content_id", "state"], groups)
        return cls(table.column("content_id").to_pylist(), table.column("state"))

    def state(self, offset: int, content_id: str) -> bytes:
        """The state at a place, found to be the one of that name."""
        if offset >= len(self.names) or self.names[offset] != content_id:
            _damaged(f"the model {content_id} is not where the index says")
        state: bytes = self.states[offset].as_py()
        if content_id_of(state) != content_id:
            _damaged(f"the model {content_id} does not have the hash that is its name")
        return state


class _StateCache:
    """Row groups of models by (shard, group), the least recently used dropped first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._groups: OrderedDict[tuple[int, int], _Group] = OrderedDict()

    def get(self, at: tuple[int, int]) -> _Group | None:
        group = self._groups.get(at)
        if group is not None:
            self._groups.move_to_end(at)
        return group

    def put(self, at: tuple[int, int], group: _Group) -> None:
        self._groups[at] = group
        self._bytes += group.states.nbytes
        while self._bytes > self._max_bytes and len(self._groups) > 1:
            self._bytes -= self._groups.popitem(last=False)[1].states.nbytes


class _ShardFile:
    """One open Parquet shard: where its row groups begin, and its digests once they are needed."""

    def __init__(self, shard: _Shard, file: VerifiedFile, column: str) -> None:
        self._shard = shard
        self._source = file
        self._column = column
        self._digests: list[Any] | None = None
        self._parquet = self._guarded(lambda: pq.ParquetFile(file))
        metadata = self._parquet.metadata
        rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self._ends = list(itertools.accumulate(rows))
        if metadata.num_rows != shard.rows or sum(rows) != shard.rows:
            _damaged(f"{shard.path} has {metadata.num_rows} rows instead of {shard.rows}")

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

    def position(self, digest: bytes | str) -> int | None:
        """The row of a digest (of a name, where that is the sorted column), or None."""
        if self._digests is None:
            self._digests = self.table([self._column]).column(0).to_pylist()
        row = bisect.bisect_left(self._digests, digest)
        return row if row < len(self._digests) and self._digests[row] == digest else None

    def table(self, columns: list[str], groups: list[int] | None = None) -> pa.Table:
        """Some columns of some row groups (all without them)."""
        wanted = list(range(len(self._ends))) if groups is None else groups
        metadata = self._parquet.metadata
        size = sum(metadata.row_group(group).total_byte_size for group in wanted)
        if size > _MAX_READ_BYTES:
            _damaged(f"{self._shard.path} expands to {size} bytes; at most {_MAX_READ_BYTES} are allowed")
        return self._guarded(
            lambda: self._parquet.read_row_groups(wanted, columns=columns, use_threads=False)
        )

    def _guarded(self, read: Any) -> Any:
        try:
            return read()
        except ManyModelsError:
            raise
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise DamagedError(f"a bundle is damaged: {self._shard.path} cannot be read ({error})") from error


def _damaged(what: str) -> NoReturn:
    raise DamagedError(f"a bundle is damaged: {what}")


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
        _damaged(f"its file {name} is missing")
    except OSError as error:
        raise StorageError(f"the bundle file {path} cannot be read: {error.strerror or error}") from error
    if len(data) > max_bytes:
        _damaged(f"{name} has more than {max_bytes} bytes")
    return data


def _document(data: bytes) -> dict[str, Any]:
    """The manifest, its seal broken and found right."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        _damaged(f"{MANIFEST} is not JSON")
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        _damaged(f"{MANIFEST} is not the manifest of a bundle")
    seal = document.pop("seal", None)
    canonical = _canonical(document) if _is_plain(document) else b""
    if seal != blake2b(canonical, digest_size=16).hexdigest() or _sealed(document) != data:
        _damaged(f"{MANIFEST} is not what was written")
    if document.get("version") not in _READABLE:
        _damaged(
            f"its format is version {document.get('version')!r}; this installation reads {list(_READABLE)}; "
            "install a newer many-models"
        )
    _check_document(document)
    return document


def _is_plain(document: dict[str, Any]) -> bool:
    """Whether the document can be written again (Python reads NaN, which JSON does not have)."""
    try:
        _canonical(document)
    except ValueError:
        return False
    return True


def _check_document(document: Mapping[str, Any]) -> None:
    match document:
        case {
            "counts": {"series": int(series), "models": int(models)},
            "checksums": {"bytes": int(), "blake2b": str()},
            "index": list(),
            "models": list(),
            "schema": str(),
            "content": dict(),
        } if min(series, models) >= 0:
            return
    _damaged(f"{MANIFEST} lacks a part")


def _shards(document: Mapping[str, Any], kind: str) -> tuple[_Shard, ...]:
    entries, count = document.get(kind, []), document["counts"].get(_COUNTED[kind], 0)
    if not isinstance(entries, list) or not isinstance(count, int):
        _damaged(f"{MANIFEST} lacks a part")
    shards = tuple(_shard(entry, kind) for entry in entries)
    if sum(shard.rows for shard in shards) != count:
        _damaged(f"{MANIFEST}: the {kind} shards do not add up to {count} rows")
    return shards


def _shard(entry: Any, kind: str) -> _Shard:
    match entry:
        case {
            "path": str(path),
            "bytes": int(size),
            "rows": int(rows),
            "first": str(first),
            "last": str(last),
        }:
            # The pattern is all that is allowed: no path can leave the folder.
            if _SHARD_PATH.fullmatch(path) and path.startswith(kind) and size > 0 and rows > 0:
                try:
                    return _Shard(path, size, rows, bytes.fromhex(first), bytes.fromhex(last))
                except ValueError:
                    pass
    _damaged(f"{MANIFEST} names a shard in an unknown way: {str(entry)[:200]}")


def _sums_by_path(shards: tuple[_Shard, ...], sums: bytes) -> dict[str, bytes]:
    by_path: dict[str, bytes] = {}
    start = 0
    for shard in shards:
        end = start + math.ceil(shard.size / BLOCK_BYTES) * CHECKSUM_BYTES
        by_path[shard.path] = sums[start:end]
        start = end
    if start != len(sums) or len(by_path) != len(shards):
        _damaged(f"{CHECKSUMS} does not have one checksum per block")
    return by_path


def _schema(document: Mapping[str, Any]) -> pa.Schema:
    try:
        return pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(document["schema"])))
    except (ValueError, pa.ArrowException, OSError) as error:
        raise DamagedError(
            f"a bundle is damaged: the schema of its index cannot be read ({error})"
        ) from error
