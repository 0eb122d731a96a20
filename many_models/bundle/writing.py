"""Writing a bundle: the models of one training run and their index, as a folder of few files."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from many_models.bundle.blocks import checksums
from many_models.bundle.container import content_id as content_id_of
from many_models.bundle.manifest import CHECKSUMS, FORMAT, MANIFEST, VERSION, Shard, sealed, shard_entry
from many_models.bundle.reading import Bundle
from many_models.errors import DamagedError, StorageError

RESERVED = ("digest", "content_id", "__shard", "__row")
"""Columns of the index that are ours; no key column may have one of these names."""

StoredModel = tuple[str, str, int, bytes]
"""content_id, kind, format_version, packed state."""

_INDEX_SHARD_ROWS = 4_096
_INDEX_GROUP_ROWS = 256
_MODEL_SHARD_ROWS = 4_096
_MODEL_SHARD_BYTES = 64 * 2**20
_MODEL_GROUP_ROWS = 50
_MODEL_GROUP_BYTES = 4 * 2**20
_MODEL_SCHEMA = pa.schema(
    [
        pa.field("content_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("format_version", pa.int32(), nullable=False),
        pa.field("state", pa.binary(), nullable=False),
    ]
)


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
        "format": FORMAT,
        "version": VERSION,
        "counts": {"series": index.num_rows, "models": len(wanted)}
        | ({"shared": len(stored)} if stored else {}),
        "checksums": {"bytes": len(sums), "blake2b": blake2b(sums, digest_size=16).hexdigest()},
        "index": [shard_entry(shard) for shard in index_shards],
        "models": [shard_entry(shard) for shard in model_shards],
        **({"shared": [shard_entry(shard) for shard in shared_shards]} if stored else {}),
        "schema": index.schema.serialize().to_pybytes().hex(),
        "content": dict(extra),
    }
    (folder / MANIFEST).write_bytes(sealed(document))


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
) -> tuple[dict[str, tuple[int, int]], list[Shard]]:
    """The place (shard, row) of each model, and the shards."""
    places: dict[str, tuple[int, int]] = {}
    shards: list[Shard] = []
    for number, names in enumerate(_cut(wanted, stored, _MODEL_SHARD_ROWS, _MODEL_SHARD_BYTES)):
        path = f"{kind}/{number:05d}.parquet"
        (folder / kind).mkdir(exist_ok=True)
        with pq.ParquetWriter(
            folder / path,
            _MODEL_SCHEMA,
            compression="none",
            use_dictionary=False,
            write_statistics=["content_id"] if kind == "shared" else False,
        ) as writer:
            for group in _cut(names, stored, _MODEL_GROUP_ROWS, _MODEL_GROUP_BYTES):
                writer.write_batch(_model_batch(group, stored, spool))
        places.update((name, (number, row)) for row, name in enumerate(names))
        first, last = bytes.fromhex(names[0]), bytes.fromhex(names[-1])
        shards.append(Shard(path, (folder / path).stat().st_size, len(names), first, last))
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


def _write_index(folder: Path, index: pa.Table, digests: list[bytes]) -> list[Shard]:
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
            write_statistics=["digest"],
        )
        size = (folder / path).stat().st_size
        shards.append(Shard(path, size, part.num_rows, digests[start], digests[start + part.num_rows - 1]))
    return shards
