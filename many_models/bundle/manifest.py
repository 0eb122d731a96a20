"""The manifest of a bundle: what its files are and hold, sealed with a checksum of itself."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple, NoReturn

import pyarrow as pa

from many_models.bundle.blocks import BLOCK_BYTES, CHECKSUM_BYTES
from many_models.errors import DamagedError

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
FORMAT = "many-models bundle"

_COUNTED = {"index": "series", "models": "models", "shared": "shared"}
"""Folder of shards -> its count in the manifest."""
_ENTRY = ("path", "bytes", "rows", "first", "last")
_SHARD_PATH = re.compile(r"(index|models|shared)/[0-9]{5}\.parquet")


class Shard(NamedTuple):
    """One file of a bundle as the manifest tells of it: its size, its rows, its first and last digest."""

    path: str
    size: int
    rows: int
    first: bytes
    last: bytes


def damaged(what: str) -> NoReturn:
    """Raises DamagedError, saying what."""
    raise DamagedError(f"a bundle is damaged: {what}")


def shard_entry(shard: Shard) -> dict[str, Any]:
    """The shard as the manifest holds it, plain JSON values."""
    return {
        "path": shard.path,
        "bytes": shard.size,
        "rows": shard.rows,
        "first": shard.first.hex(),
        "last": shard.last.hex(),
    }


def canonical(document: Mapping[str, Any]) -> bytes:
    """The bytes of a document that its checksum is of: sorted keys, no spaces, ASCII."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def sealed(document: Mapping[str, Any]) -> bytes:
    """The canonical JSON of a document with the checksum of itself in it."""
    return canonical({**document, "seal": _seal(canonical(document))})


def _seal(text: bytes) -> str:
    return blake2b(text, digest_size=16).hexdigest()


def opened_document(data: bytes) -> dict[str, Any]:
    """The manifest, its seal broken and found right."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        damaged(f"{MANIFEST} is not JSON")
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        damaged(f"{MANIFEST} is not the manifest of a bundle")
    seal = document.pop("seal", None)
    try:
        written = canonical({**document, "seal": seal}) == data
        # what the seal is of: the same bytes without it, so that they need not be made once more
        unsealed = data.replace(f',"seal":"{seal}"'.encode("ascii"), b"", 1)
    except ValueError:  # Python reads NaN, which JSON does not have
        written = False
    if not written or _seal(unsealed) != seal:
        damaged(f"{MANIFEST} is not what was written")
    if document.get("version") not in _READABLE:
        damaged(
            f"its format is version {document.get('version')!r}; this installation reads {list(_READABLE)}; "
            "install a newer many-models"
        )
    _check_document(document)
    return document


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
    damaged(f"{MANIFEST} lacks a part")


def shards_of(document: Mapping[str, Any], kind: str) -> tuple[Shard, ...]:
    """The shards of a kind (`index`, `models`, `shared`), whose rows add up to what the manifest counts.

    Raises
    ------
    DamagedError
        Where they do not, or an entry is not one that was written.
    """
    entries, count = document.get(kind, []), document["counts"].get(_COUNTED[kind], 0)
    if not isinstance(entries, list) or not isinstance(count, int):
        damaged(f"{MANIFEST} lacks a part")
    shards = tuple(_shard(entry, kind) for entry in entries)
    if sum(shard.rows for shard in shards) != count:
        damaged(f"{MANIFEST}: the {kind} shards do not add up to {count} rows")
    return shards


def _shard(entry: Any, kind: str) -> Shard:
    try:
        path, size, rows, first, last = map(entry.__getitem__, _ENTRY)
        # The pattern is all that is allowed: no path can leave the folder.
        allowed = _SHARD_PATH.fullmatch(path) and path.startswith(kind)
        if allowed and type(size) is type(rows) is int and size > 0 and rows > 0:
            return Shard(path, size, rows, bytes.fromhex(first), bytes.fromhex(last))
    except (AttributeError, KeyError, TypeError, ValueError):  # anything but what `shard_entry` made
        pass
    damaged(f"{MANIFEST} names a shard in an unknown way: {str(entry)[:200]}")


def sums_by_path(shards: tuple[Shard, ...], sums: bytes) -> dict[str, bytes]:
    """The checksums of each shard's blocks, by its path; DamagedError where their number is another."""
    by_path: dict[str, bytes] = {}
    start = 0
    for shard in shards:
        end = start + math.ceil(shard.size / BLOCK_BYTES) * CHECKSUM_BYTES
        by_path[shard.path] = sums[start:end]
        start = end
    if start != len(sums) or len(by_path) != len(shards):
        damaged(f"{CHECKSUMS} does not have one checksum per block")
    return by_path


def schema_of(document: Mapping[str, Any]) -> pa.Schema:
    """The schema of the index; DamagedError where it cannot be read."""
    try:
        return pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(document["schema"])))
    except (ValueError, pa.ArrowException, OSError) as error:
        raise DamagedError(
            f"a bundle is damaged: the schema of its index cannot be read ({error})"
        ) from error
