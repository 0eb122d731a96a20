"""What a setting may hold: one object that checks a value, words the message and gives the JSON Schema.

Every field of the configuration carries one `Allowed`. The refusal a user reads, the reference page
and the schema an editor uses are all made from it, so that they cannot disagree.
"""

from __future__ import annotations

import math
import numbers
import os
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from many_models.errors import nearest

Json: TypeAlias = dict[str, Any]
Check: TypeAlias = Callable[[Any], Any]

LONGEST_TEXT = 4096
"""Characters; no name, path or address that makes sense is longer."""

LONGEST_LIST = 1000
"""Entries; a list of columns, lags or levels that makes sense is shorter."""


class Refusal(ValueError):
    """A value is not allowed; `at` points into it, `action` says what to do if that is known."""

    def __init__(self, found: str, action: str = "", at: str = "") -> None:
        self.found = found
        self.action = action
        self.at = at
        super().__init__(found)


@dataclass(frozen=True, eq=False)
class Allowed:
    """The values that a setting may hold.

    Attributes
    ----------
    text
        The allowed values, in words.
    check
        Value -> value in its one canonical form; raises `Refusal`.
    schema
        The same as JSON Schema.
    """

    text: str
    check: Check
    schema: Json

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Json:
        return dict(self.schema)


def shown(value: Any) -> str:
    """The value as a message shows it: short, whatever it is."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = 80
    short.maxlevel = 3
    return short.repr(value)


def refuse(value: Any, action: str = "", at: str = "") -> Refusal:
    """The refusal of a value, which shows it."""
    return Refusal(shown(value), action, at)


def did_you_mean(value: Any, known: Sequence[str]) -> str:
    """The advice that names the nearest known word, or nothing where none is near."""
    near = nearest(value, known) if isinstance(value, str) else None
    return f"did you mean {near}?" if near else ""


def switch() -> Allowed:
    """True or false."""

    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise refuse(value, did_you_mean(value, ("true", "false")))
        return value

    return Allowed("true | false", check, {"type": "boolean"})


def choice(*words: str) -> Allowed:
    """One of a few words. The word `off` may also be false, which YAML 1.1 makes of it."""

    def check(value: Any) -> str:
        if value is False and "off" in words:
            return "off"
        if not isinstance(value, str) or value not in words:
            raise refuse(value, did_you_mean(value, words))
        return str(value)

    return Allowed(" | ".join(words), check, {"enum": list(words)})


def _is_integer(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def integer(low: int, high: int | None = None, what: str = "") -> Allowed:
    """A whole number from `low` to `high`."""

    def check(value: Any) -> int:
        if not _is_integer(value) or value < low or (high is not None and value > high):
            raise refuse(value)
        return int(value)

    span = f"{low} or more" if high is None else f"{low} to {high:,}"
    schema: Json = {"type": "integer", "minimum": low}
    if high is not None:
        schema["maximum"] = high
    return Allowed(what or f"a whole number, {span}", check, schema)


def number(text: str, fits: Callable[[float], bool], schema: Json) -> Allowed:
    """A finite number that `fits`."""

    def check(value: Any) -> float:
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            raise refuse(value)
        try:
            result = float(value)
        except OverflowError:
            raise refuse(value) from None
        if not math.isfinite(result) or not fits(result):
            raise refuse(value)
        return result + 0.0  # -0.0 and 0.0 are one setting

    return Allowed(text, check, {"type": "number", **schema})


def text(
    what: str, fits: Callable[[str], bool] = bool, advice: Callable[[str], str] | None = None
) -> Allowed:
    """A text that `fits`; `advice` turns a refused text into what to do."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            plain = isinstance(value, numbers.Number)
            raise refuse(value, "put it in quotes if it is meant as text" if plain else "")
        if not value or len(value) > LONGEST_TEXT or "\0" in value or not _encodable(value):
            raise refuse(value)
        if not fits(value):
            raise refuse(value, advice(value) if advice else "")
        return str(value)

    return Allowed(what, check, {"type": "string", "minLength": 1})


def _encodable(value: str) -> bool:
    """Whether the text can be written to a file (a lone surrogate cannot)."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def location(what: str) -> Allowed:
    """A path as text; a `pathlib.Path` is taken too."""
    inner = text(what)

    def check(value: Any) -> str:
        return str(inner.check(os.fspath(value) if isinstance(value, os.PathLike) else value))

    return Allowed(what, check, inner.schema)


def listing(
    item: Allowed, what: str, shortest: int = 0, single: bool = False, ordered: bool = False
) -> Allowed:
    """A list of distinct items, as a tuple.

    Parameters
    ----------
    shortest
        Fewest items.
    single
        A single item stands for a list of one.
    ordered
        The order carries no meaning: the canonical form is sorted.
    """

    def check(value: Any) -> tuple[Any, ...]:
        values = _items(value, single)
        if not shortest <= len(values) <= LONGEST_LIST:
            raise refuse(value)
        result: list[Any] = []
        for position, entry in enumerate(values):
            try:
                checked = item.check(entry)
            except Refusal as refusal:
                raise Refusal(refusal.found, refusal.action, f"[{position}]{refusal.at}") from None
            if checked in result:
                raise Refusal(f"{shown(checked)} twice", "name it once", f"[{position}]")
            result.append(checked)
        return tuple(sorted(result)) if ordered else tuple(result)

    many: Json = {"type": "array", "items": item.schema, "uniqueItems": True, "minItems": shortest}
    return Allowed(what, check, {"anyOf": [item.schema, many]} if single else many)


def _items(value: Any, single: bool) -> Sequence[Any]:
    if isinstance(value, (list, tuple)):
        return value
    if single and isinstance(value, str):
        return (value,)
    raise refuse(value)


def by_column(item: Allowed, what: str) -> Allowed:
    """A mapping from column names to items, in the order of the names."""
    column = text("the name of a column")

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping) or len(value) > LONGEST_LIST:
            raise refuse(value)
        result: dict[str, Any] = {}
        for name, entry in value.items():
            try:
                result[column.check(name)] = item.check(entry)
            except Refusal as refusal:
                where = f".{str(name)[:80]}{refusal.at}"
                raise Refusal(refusal.found, refusal.action, where) from None
        return dict(sorted(result.items()))

    return Allowed(what, check, {"type": "object", "additionalProperties": item.schema})


def record(fields: Mapping[str, Allowed], what: str) -> Allowed:
    """A mapping with some of the named entries, in the order of the names; at least one of them."""

    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping) or not value:
            raise refuse(value)
        for name in value:
            if name not in fields:
                known = list(fields)
                action = did_you_mean(name, known) or f"write {', '.join(known)}"
                raise Refusal("an unknown key", action, f".{str(name)[:80]}")
        result: dict[str, Any] = {}
        for name, kind in fields.items():
            if name in value:
                try:
                    result[name] = kind.check(value[name])
                except Refusal as refusal:
                    action = refusal.action or f"write {kind.text}"
                    raise Refusal(refusal.found, action, f".{name}{refusal.at}") from None
        return result

    properties = {name: kind.schema for name, kind in fields.items()}
    closed: Json = {"additionalProperties": False, "minProperties": 1}
    return Allowed(what, check, {"type": "object", "properties": properties, **closed})


def either(*kinds: Allowed) -> Allowed:
    """What any one of the kinds allows; the kind that says most about a refused value words the refusal."""

    def check(value: Any) -> Any:
        refusals: list[Refusal] = []
        for kind in kinds:
            try:
                return kind.check(value)
            except Refusal as refusal:
                refusals.append(refusal)
        raise max(refusals, key=lambda refusal: (bool(refusal.at), bool(refusal.action)))

    return Allowed(" | ".join(kind.text for kind in kinds), check, {"anyOf": [kind.schema for kind in kinds]})


def null_or(kind: Allowed) -> Allowed:
    """Null, or what the kind allows."""

    def check(value: Any) -> Any:
        return None if value is None else kind.check(value)

    return Allowed(f"null | {kind.text}", check, {"anyOf": [{"type": "null"}, kind.schema]})


def allowed_in(metadata: Sequence[Any]) -> Allowed:
    """The `Allowed` among the annotations of a field."""
    return next(entry for entry in metadata if isinstance(entry, Allowed))
