"""Series keys: typed, exact, with one canonical text and one hash everywhere.

Two keys are equal when their columns hold the same values of the same types. The canonical
text is a JSON array, so that ("1", "2_3") and ("1_2", "3"), and 12 and "12", never meet.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from many_models.errors import DataError, LookupFailed, Problem, nearest

KeyValue: TypeAlias = int | str | bool
KeyKind: TypeAlias = Literal["integer", "text", "boolean"]

_INT64 = (-(2**63), 2**63 - 1)
_EXAMPLE = {"integer": "12", "text": "tropicana", "boolean": "true"}


@dataclass(frozen=True)
class KeyColumn:
    """Name and type of one key column."""

    name: str
    kind: KeyKind


@dataclass(frozen=True)
class SeriesKey:
    """The values of the key columns of one series (or of one model), in column order.

    Values are `int` (64 bit), `str` or `bool`; nothing else, and never null.
    """

    names: tuple[str, ...]
    values: tuple[KeyValue, ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.values):
            raise DataError(
                Problem(
                    "key", f"{len(self.values)} values", f"{len(self.names)} values", "give one per column"
                )
            )
        values = tuple(_plain(name, value) for name, value in zip(self.names, self.values, strict=True))
        object.__setattr__(self, "values", values)

    @classmethod
    def of(cls, values: Mapping[str, Any], columns: Sequence[KeyColumn]) -> SeriesKey:
        """The key with these values, checked against the columns and their types.

        Raises
        ------
        LookupFailed
            Naming every column that is unknown, missing, or has a value of another type.
        """
        names = [column.name for column in columns]
        problems = [_unknown(name, names) for name in values if name not in names]
        typed: list[KeyValue] = []
        for column in columns:
            if column.name not in values:
                problems.append(
                    Problem(
                        column.name,
                        "no value",
                        f"a value for each of {', '.join(map(repr, names))}",
                        f"add {column.name}={_EXAMPLE[column.kind]}",
                    )
                )
                continue
            value = _native(values[column.name])
            if _kind_of(value) != column.kind:
                problems.append(
                    Problem(
                        column.name,
                        f"{_described(value)}",
                        f"{column.kind} values only",
                        f"this column holds {column.kind} keys: {_EXAMPLE[column.kind]!s}, for instance",
                    )
                )
                continue
            typed.append(value)
        if problems:
            raise LookupFailed(problems)
        return cls(tuple(names), tuple(typed))

    @classmethod
    def part_of(cls, values: Mapping[str, Any], columns: Sequence[KeyColumn]) -> SeriesKey:
        """A part of a key: these values of some of the columns, in the order of the columns.

        Raises
        ------
        LookupFailed
            Naming every column that is unknown or has a value of another type.
        """
        known = [column for column in columns if column.name in values]
        if len(known) < len(values):
            names = [column.name for column in columns]
            raise LookupFailed([_unknown(name, names) for name in values if name not in names])
        return cls.of(values, known)

    @property
    def canonical(self) -> str:
        """The key as a compact JSON array, for instance `[2,"tropicana"]`."""
        return json.dumps(list(self.values), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_canonical(cls, names: Sequence[str], text: str) -> SeriesKey:
        """The key whose canonical text this is.

        Raises
        ------
        DataError
            When the text is not the canonical text of a key of these columns.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            values = None
        allowed = f"a JSON array of {len(names)} values"
        if not isinstance(values, list) or len(values) != len(names):
            raise DataError(
                Problem("key", repr(text)[:100], allowed, "use SeriesKey.canonical to write keys")
            )
        key = cls(tuple(names), tuple(values))
        if key.canonical != text:
            raise DataError(
                Problem("key", repr(text)[:100], allowed, "use SeriesKey.canonical to write keys")
            )
        return key

    @property
    def digest(self) -> bytes:
        """16 bytes (blake2b) of the canonical text: where the key is found again."""
        # surrogatepass: text that is no valid Unicode is still just a key
        return hashlib.blake2b(self.canonical.encode("utf-8", "surrogatepass"), digest_size=16).digest()

    def seed(self, base: int) -> int:
        """A seed in [0, 2**63) that depends on the key and on `base` alone."""
        text = f"{base}\x00{self.canonical}".encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1

    def as_dict(self) -> dict[str, KeyValue]:
        """Column name to value."""
        return dict(zip(self.names, self.values, strict=True))

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in zip(self.names, self.values, strict=True))


def _native(value: Any) -> Any:
    """NumPy scalars as Python's own."""
    return value.item() if isinstance(value, np.generic) else value


def _kind_of(value: Any) -> KeyKind | None:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer" if _INT64[0] <= value <= _INT64[1] else None
    return "text" if isinstance(value, str) else None


def _described(value: Any) -> str:
    if value is None or value != value:
        return "null"
    name = {"str": "text", "int": "integer", "bool": "boolean"}.get(
        type(value).__name__, type(value).__name__
    )
    return f"the {name} {value!r}"


def _plain(name: str, value: Any) -> KeyValue:
    native = _native(value)
    if _kind_of(native) is None:
        raise DataError(
            Problem(
                name,
                _described(native),
                "an integer of 64 bits, text or a boolean",
                "fill it or drop the row",
            )
        )
    if isinstance(native, str):
        return str(native)
    return native  # type: ignore[no-any-return]


def _unknown(name: str, names: Sequence[str]) -> Problem:
    near = nearest(name, names)
    return Problem(
        name,
        "a column that is no key",
        f"one of {', '.join(map(repr, names))}" if names else "no key columns: there is one model",
        f"did you mean {near!r}?" if near else "use a key column",
    )


def parse_key(items: Iterable[str], columns: Sequence[KeyColumn]) -> dict[str, KeyValue]:
    """Column name to typed value of `COL=VALUE` texts, typed by the kinds of the columns.

    Only the first `=` after the column's name separates; names and values may hold further ones.

    Raises
    ------
    LookupFailed
        Naming every text that is wrong, the allowed columns and the nearest one.
    """
    names = sorted((column.name for column in columns), key=len, reverse=True)
    kinds = {column.name: column.kind for column in columns}
    parsed: dict[str, KeyValue] = {}
    problems: list[Problem] = []
    for item in items:
        name = next((name for name in names if item.startswith(f"{name}=")), None)
        if name is None:
            problems.append(_not_a_pair(item, [column.name for column in columns]))
            continue
        text = item[len(name) + 1 :]
        value = _typed(text, kinds[name])
        if value is None:
            problems.append(
                Problem(
                    name,
                    repr(text),
                    f"{kinds[name]} values only",
                    f"for instance {name}={_EXAMPLE[kinds[name]]}",
                )
            )
        elif name in parsed:
            problems.append(Problem(name, "two values", "one value per column", f"give {name} once"))
        else:
            parsed[name] = value
    if problems:
        raise LookupFailed(problems)
    return parsed


def _not_a_pair(item: str, names: Sequence[str]) -> Problem:
    if "=" not in item and names:
        return Problem(
            "key", repr(item), f"COL=VALUE with COL one of {', '.join(map(repr, names))}", "add the column"
        )
    return _unknown(item.split("=", 1)[0], names)


def _typed(text: str, kind: KeyKind) -> KeyValue | None:
    if kind == "text":
        return text
    if kind == "boolean":
        return {"true": True, "false": False}.get(text.lower())
    try:
        value = int(text)
    except ValueError:
        return None
    # `1_000`, ` 12` and `+5` are integers to Python, but not the text of an integer key
    return value if str(value) == text and _INT64[0] <= value <= _INT64[1] else None
