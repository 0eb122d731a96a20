"""Model state to bytes and back: JSON and plain arrays, checksummed, versioned, bounded on read.

A container is::

    magic  b"MMC\\x1a"          4 bytes
    version                     1 byte
    order of the arrays' bytes  1 byte: 0 as they are, 1 shuffled
    bytes of the header         4 bytes, little-endian
    bytes of the arrays         4 bytes, little-endian
    checksum                    16 bytes, blake2b of everything before and after it
    header and arrays           raw deflate

The header is canonical JSON (sorted keys, no spaces). What JSON has no word for stands in it as
an object with one key that begins with ``$``: ``{"$a": [code, n]}`` or ``{"$a": [code, [n, k]]}``
is an array, ``{"$f": "nan"}`` a float that is not finite, and a ``$`` that begins a key of the
state itself is written twice. The arrays follow the header grouped by kind, in the order of
`_KINDS`, and within a kind in the order in which the header names them. Where that deflates
better, the bytes of all numbers of a kind are shuffled: all first bytes, then all second bytes,
and so on. (109 floats: counts 205 bytes plain, 151 shuffled; prices that repeat 366 and 615.)

Reading runs nothing and trusts nothing: sizes, depth and counts are checked before memory is
taken, and whatever is odd is a `DamagedError`.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from many_models.errors import DamagedError

State: TypeAlias = dict[str, Any]
"""JSON values, nested mappings and lists of them, and NumPy arrays of the kinds in `_KINDS`."""

# How to change the format
# ------------------------
# 1. Raise VERSION by one and let `pack` write the new form.
# 2. Keep every function in `_READERS` as it is and add one for the new version: models that were
#    registered years ago must still open.
# 3. Add golden bytes of the new version to tests/bundle; never change golden bytes that are there.
# 4. Write a line in CHANGELOG.md: older installations refuse newer versions and say so.
VERSION = 1

_MAGIC = b"MMC\x1a"
_PREFIX = struct.Struct("<4sBBII")
_CHECKSUM_BYTES = 16
_OVERHEAD = _PREFIX.size + _CHECKSUM_BYTES
_LEVEL = 6

# Code in the header and dtype; the order is the order of the sections and part of the format.
_KINDS: dict[str, np.dtype[Any]] = {
    "d": np.dtype("<f8"),
    "f": np.dtype("<f4"),
    "q": np.dtype("<i8"),
    "i": np.dtype("<i4"),
    "h": np.dtype("<i2"),
    "B": np.dtype("u1"),
    "?": np.dtype("?"),
}
_CODES = {dtype: code for code, dtype in _KINDS.items()}
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_WORTH_SHUFFLING = 65_536
"""Bytes of arrays from which on both orders are tried; smaller states deflate better as they are."""
_MAX_AXES = 8
_INTEGERS = range(-(2**63), 2**64)
_NESTED = (dict, list)


@dataclass(frozen=True)
class Limits:
    """What a container may hold at most; one that holds more is refused before it is expanded.

    Attributes
    ----------
    max_bytes
        Header and arrays, expanded.
    max_header_bytes
        The JSON header alone, expanded.
    max_depth
        Levels of mappings and lists.
    max_elements
        Values in the header.
    """

    max_bytes: int = 64 * 2**20
    max_header_bytes: int = 16 * 2**20
    max_depth: int = 32
    max_elements: int = 1_000_000


DEFAULT_LIMITS = Limits()


def pack(state: State) -> bytes:
    """The bytes of a container that holds `state`; equal states give equal bytes.

    Tuples become lists, NumPy scalars become Python numbers; everything else comes back as it
    was, floats and arrays bit for bit.

    Raises
    ------
    TypeError
        When the state holds anything that is not a JSON value or an array of a known kind.
    ValueError
        When the state is larger or deeper than readers accept.
    """
    if not isinstance(state, dict):
        raise TypeError(f"a model state is a dict, not {type(state).__name__}")
    sections: dict[str, list[npt.NDArray[Any]]] = {code: [] for code in _KINDS}
    tree = _to_json(state, sections, "state", 0)
    header = json.dumps(tree, separators=(",", ":"), allow_nan=False).encode("ascii")
    flats = [np.concatenate(parts) for parts in sections.values() if parts]
    size = sum(flat.nbytes for flat in flats)
    _check_sizes(len(header), size, header.count(b","), DEFAULT_LIMITS, _too_large)
    order, payload = 0, _deflated(header + b"".join(flat.tobytes() for flat in flats))
    if size >= _WORTH_SHUFFLING:
        shuffled = _deflated(header + b"".join(map(_shuffled, flats)))
        order, payload = min((order, payload), (1, shuffled), key=lambda form: len(form[1]))
    prefix = _PREFIX.pack(_MAGIC, VERSION, order, len(header), size)
    return prefix + _checksum(prefix, payload) + payload


def unpack(data: bytes, limits: Limits = DEFAULT_LIMITS) -> State:
    """The state that `pack` was given; its arrays are read-only.

    Raises
    ------
    DamagedError
        When the bytes are not exactly what `pack` wrote, are of a newer version, or hold more
        than `limits` allows.
    """
    data = bytes(data)
    if len(data) < _OVERHEAD:
        _damaged(f"{len(data)} bytes; the smallest has {_OVERHEAD}")
    magic, version, order, header_bytes, array_bytes = _PREFIX.unpack_from(data)
    if magic != _MAGIC:
        _damaged(f"it begins with {magic!r}, not {_MAGIC!r}")
    reader = _READERS.get(version)
    if reader is None:
        _damaged(
            f"version {version}; this installation reads {sorted(_READERS)}; "
            "a newer many-models may read it, if the bytes are sound"
        )
    prefix, payload = data[: _PREFIX.size], data[_OVERHEAD:]
    if _checksum(prefix, payload) != data[_PREFIX.size : _OVERHEAD]:
        _damaged("its checksum does not fit its content")
    return reader(payload, order, header_bytes, array_bytes, limits)


def content_id(data: bytes) -> str:
    """The name of a packed state: 32 hexadecimal digits, the blake2b-128 of its bytes."""
    return blake2b(data, digest_size=16).hexdigest()


def _read_1(payload: bytes, order: int, header_bytes: int, array_bytes: int, limits: Limits) -> State:
    if order not in (0, 1):
        _damaged(f"its arrays are in the unknown order {order}")
    _check_sizes(header_bytes, array_bytes, 0, limits, _damaged)
    content = _inflated(payload, header_bytes + array_bytes)
    header, arrays = content[:header_bytes], content[header_bytes:]
    _check_sizes(header_bytes, array_bytes, header.count(b","), limits, _damaged)
    shapes: dict[str, list[tuple[int, ...]]] = {code: [] for code in _KINDS}
    tree = _parsed(header)
    if not isinstance(tree, dict):
        _damaged("its header is not a mapping")
    # First the shapes alone are read, so that no array is made before all of them fit.
    _read_shapes(tree, shapes, limits.max_depth)
    slices = _slices(arrays, shapes, shuffled=order == 1)
    state = _from_json(tree, slices)
    if not isinstance(state, dict):
        _damaged("its header is not a mapping")
    return state


_READERS: dict[int, Callable[[bytes, int, int, int, Limits], State]] = {1: _read_1}


def _damaged(what: str) -> NoReturn:
    raise DamagedError(f"a model container is damaged: {what}")


def _too_large(what: str) -> NoReturn:
    raise ValueError(f"a model state is too large to store: {what}")


def _checksum(prefix: bytes, payload: bytes) -> bytes:
    digest = blake2b(prefix, digest_size=_CHECKSUM_BYTES)
    digest.update(payload)
    return digest.digest()


def _check_sizes(
    header: int, arrays: int, commas: int, limits: Limits, refuse: Callable[[str], NoReturn]
) -> None:
    if header + arrays > limits.max_bytes:
        refuse(f"{header + arrays} bytes expanded; at most {limits.max_bytes} are allowed")
    if header > limits.max_header_bytes:
        refuse(f"a header of {header} bytes; at most {limits.max_header_bytes} are allowed")
    # Every value but the first of a list or mapping follows a comma: an upper bound that is
    # known before anything is parsed.
    if commas >= limits.max_elements:
        refuse(f"a header of {commas + 1} values; at most {limits.max_elements} are allowed")


def _deflated(content: bytes) -> bytes:
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS, 9)
    return deflate.compress(content) + deflate.flush()


def _inflated(payload: bytes, size: int) -> bytes:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = inflate.decompress(payload, size + 1)
    except zlib.error as error:
        _damaged(f"it does not inflate ({error})")
    if len(content) != size or not inflate.eof:
        _damaged(f"it does not inflate to the {size} bytes that it names")
    if inflate.unused_data or inflate.unconsumed_tail:
        _damaged("bytes follow its content")
    return content


# --- state to header -------------------------------------------------------------------------


_PLAIN = frozenset({type(None), bool, str})


def _to_json(value: Any, sections: dict[str, list[npt.NDArray[Any]]], where: _Path, depth: int) -> Any:
    """What stands in the header for `value`; its arrays are appended to `sections`."""
    kind = type(value)
    if kind in _PLAIN or (kind is float and math.isfinite(value)) or (kind is int and value in _INTEGERS):
        return value
    if isinstance(value, (dict, list, tuple)):
        if depth >= DEFAULT_LIMITS.max_depth:
            raise ValueError(f"{_shown(where)}: deeper than {DEFAULT_LIMITS.max_depth} levels")
        if isinstance(value, dict):
            return {
                _escaped(key): _to_json(value[key], sections, (where, key), depth + 1)
                for key in _sorted_keys(value, where)
            }
        return [_to_json(item, sections, (where, i), depth + 1) for i, item in enumerate(value)]
    if isinstance(value, np.ndarray):
        return _array_reference(value, sections, where)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        if int(value) not in _INTEGERS:
            raise TypeError(f"{_shown(where)}: the integer {value} has more than 64 bits")
        return int(value)
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return number if math.isfinite(number) else {"$f": repr(number)}
    raise TypeError(f"{_shown(where)}: {kind.__name__} is neither a JSON value nor an array")


_Path: TypeAlias = "tuple[Any, str | int] | str"
"""Where a value stands: what it stands in, and its key or place there. Written out only in messages."""


def _shown(where: _Path) -> str:
    if isinstance(where, str):
        return where
    above, last = where
    return f"{_shown(above)}[{last}]" if isinstance(last, int) else f"{_shown(above)}.{last}"


def _sorted_keys(mapping: dict[Any, Any], where: _Path) -> list[str]:
    for key in mapping:
        if not isinstance(key, str):
            raise TypeError(f"{_shown(where)}: the key {key!r} is not text")
    return sorted(mapping)


def _escaped(key: str) -> str:
    return f"${key}" if key.startswith("$") else str(key)


def _array_reference(
    array: npt.NDArray[Any], sections: dict[str, list[npt.NDArray[Any]]], where: _Path
) -> dict[str, Any]:
    little = array.dtype.newbyteorder("<")
    code = _CODES.get(little)
    if code is None:
        raise TypeError(f"{_shown(where)}: an array of {array.dtype}; allowed: {[str(k) for k in _CODES]}")
    if array.ndim > _MAX_AXES:
        raise TypeError(f"{_shown(where)}: an array of {array.ndim} axes; at most {_MAX_AXES} are allowed")
    sections[code].append(np.asarray(array, dtype=little).reshape(-1))
    shape = array.shape[0] if array.ndim == 1 else list(array.shape)
    return {"$a": [code, shape]}


def _shuffled(flat: npt.NDArray[Any]) -> bytes:
    """The bytes of `flat` [n], all first bytes first."""
    return np.ascontiguousarray(flat).view(np.uint8).reshape(len(flat), flat.dtype.itemsize).T.tobytes()


# --- header to state -------------------------------------------------------------------------


def _parsed(header: bytes) -> Any:
    try:
        return json.loads(
            header.decode("ascii"),
            object_pairs_hook=_without_repeats,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_no_constant,
        )
    except RecursionError:
        _damaged("its header is nested too deeply")
    except ValueError as error:
        _damaged(f"its header is not canonical JSON ({error})")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key stands twice in one mapping")
    return mapping


def _integer(text: str) -> int:
    if len(text) > 20 or int(text) not in _INTEGERS:
        raise ValueError("an integer of more than 64 bits")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number beyond the range of floats")
    return number


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"the word {text}")


def _read_shapes(
    value: dict[str, Any] | list[Any], shapes: dict[str, list[tuple[int, ...]]], levels: int
) -> None:
    if isinstance(value, dict) and "$a" in value:
        code, shape = _shape(value)
        shapes[code].append(shape)
        return
    if isinstance(value, dict) and "$f" in value:
        return
    if levels <= 0:
        _damaged("its header is nested too deeply")
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, _NESTED):
            _read_shapes(item, shapes, levels - 1)


def _shape(reference: dict[str, Any]) -> tuple[str, tuple[int, ...]]:
    match reference:
        case {"$a": [str(code), int(length)]} if len(reference) == 1 and code in _KINDS:
            shape: tuple[Any, ...] = (length,)
        case {"$a": [str(code), list(axes)]} if len(reference) == 1 and code in _KINDS:
            shape = tuple(axes)
        case _:
            _damaged("an array reference of an unknown form")
    if len(shape) > _MAX_AXES or any(type(n) is not int or not 0 <= n < 2**31 for n in shape):
        _damaged("an array of an impossible shape")
    # NumPy refuses an empty array whose other axes multiply beyond 64 bits.
    if math.prod(n or 1 for n in shape) > 2**40:
        _damaged("an array of an impossible shape")
    return code, shape


def _slices(
    arrays: bytes, shapes: dict[str, list[tuple[int, ...]]], shuffled: bool
) -> dict[str, Iterator[npt.NDArray[Any]]]:
    """For each kind its arrays, in the order of the header, cut from their section."""
    counts = {code: sum(map(math.prod, found)) for code, found in shapes.items()}
    needed = sum(counts[code] * _KINDS[code].itemsize for code in _KINDS)
    if needed != len(arrays):
        _damaged(f"its arrays need {needed} bytes, and {len(arrays)} are there")
    cut: dict[str, Iterator[npt.NDArray[Any]]] = {}
    start = 0
    for code, dtype in _KINDS.items():
        end = start + counts[code] * dtype.itemsize
        section = _section(arrays[start:end], dtype, shuffled)
        start = end
        cut[code] = iter(_split(section, shapes[code]))
    return cut


def _section(data: bytes, dtype: np.dtype[Any], shuffled: bool) -> npt.NDArray[Any]:
    """The numbers of one kind [n], in the byte order of this machine."""
    raw = np.frombuffer(data, np.uint8)
    if dtype.kind == "b" and raw.size and raw.max() > 1:
        _damaged("a boolean that is neither 0 nor 1")
    if shuffled:
        raw = np.ascontiguousarray(raw.reshape(dtype.itemsize, -1).T).reshape(-1)
    return raw.view(dtype).astype(dtype.newbyteorder("="), copy=False)


def _split(section: npt.NDArray[Any], shapes: list[tuple[int, ...]]) -> list[npt.NDArray[Any]]:
    arrays, start = [], 0
    for shape in shapes:
        end = start + math.prod(shape)
        # A copy of its own: a small array must not keep the whole model alive, or share memory.
        array = section[start:end].reshape(shape).copy()
        array.flags.writeable = False
        arrays.append(array)
        start = end
    return arrays


def _from_json(value: dict[str, Any] | list[Any], arrays: dict[str, Iterator[npt.NDArray[Any]]]) -> Any:
    if isinstance(value, list):
        return [_from_json(item, arrays) if isinstance(item, _NESTED) else item for item in value]
    if "$a" in value:
        return next(arrays[value["$a"][0]])
    if "$f" in value:
        return _not_finite(value)
    return {
        _unescaped(key): _from_json(item, arrays) if isinstance(item, _NESTED) else item
        for key, item in value.items()
    }


def _not_finite(reference: dict[str, Any]) -> float:
    match reference:
        case {"$f": str(word)} if len(reference) == 1 and word in _NOT_FINITE:
            return _NOT_FINITE[word]
    _damaged("a float of an unknown form")


def _unescaped(key: str) -> str:
    if not key.startswith("$"):
        return key
    if not key.startswith("$$"):
        _damaged(f"the word {key[:40]!r} is unknown")
    return key[1:]
