"""A part of the configuration: frozen, closed, and able to name everything that is wrong with it at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Any, ClassVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo

from many_models.errors import Problem, SpecError, nearest
from many_models.spec.allowed import Json, Refusal, allowed_in, shown


class Part(BaseModel):
    """One mapping of the configuration tree.

    Building a part with a mistake in it, in whatever way, raises `SpecError` with every problem found.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    section: ClassVar[str] = ""
    """Dotted path of this part in the tree; the root has none."""

    def __hash__(self) -> int:
        # A setting may be a mapping, which has no hash of its own.
        return hash(json.dumps(self.to_dict(), sort_keys=True))

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterable[Problem]:
        """What is wrong between fields that are right each by itself.

        `values` holds the canonical values of the fields that are right (defaults included); a field
        that is wrong is absent. `where` of a problem is the name of a field of this part.
        """
        return ()

    @model_validator(mode="before")
    @classmethod
    def _examined(cls, tree: Any) -> Any:
        values, problems = examine(cls, tree, cls.section)
        if problems:
            raise SpecError(problems)
        return values

    def to_dict(self) -> Json:
        """Every setting of this part as JSON values: lists, mappings, text, numbers, booleans, null."""
        return {name: _plain(getattr(self, name)) for name in type(self).model_fields}

    def changed(self) -> Json:
        """The settings that are not at their default, as JSON values."""
        tree: Json = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if field.is_required() or value != field.default:
                tree[name] = value.changed() if isinstance(value, Part) else _plain(value)
        return tree


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return value.to_dict()
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, tuple) else value


def part_type(field: FieldInfo) -> type[Part] | None:
    """The type of the part that a field holds; None where it holds a value."""
    annotation = field.annotation
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return next((kind for kind in options if isinstance(kind, type) and issubclass(kind, Part)), None)


def may_be_null(field: FieldInfo) -> bool:
    """Whether null may stand in place of the part that a field holds."""
    return type(None) in get_args(field.annotation)


def below(where: str, name: str) -> str:
    """The dotted path of a key below `where`."""
    return f"{where}.{name}" if where else name


def examine(part: type[Part], tree: Any, where: str) -> tuple[Json, list[Problem]]:
    """The canonical values that stand in `tree` for this part, and all problems found in it and below."""
    if isinstance(tree, part):
        return {name: getattr(tree, name) for name in part.model_fields}, []
    if not isinstance(tree, Mapping):
        return {}, [_not_a_mapping(part, tree, where)]
    values: Json = {}
    right: Json = {}
    problems = [_unknown(part, key, where) for key in tree if key not in part.model_fields]
    for name, field in part.model_fields.items():
        found = _examine_field(name, field, tree, where)
        if isinstance(found, list):
            problems.extend(found)
            continue
        values.update(found)
        right.update(found or {name: field.default})
    problems.extend(
        Problem(below(where, problem.where), problem.found, problem.allowed, problem.action)
        for problem in part.conflicts(right)
    )
    return values, problems


def _examine_field(name: str, field: FieldInfo, tree: Mapping[str, Any], where: str) -> Json | list[Problem]:
    """The field's value as a mapping of one entry (none where the default stands), or its problems."""
    here, kind = below(where, name), part_type(field)
    if name not in tree:
        if not field.is_required():
            return {}
        return examine(kind, {}, here)[1] if kind else [_missing(field, here)]
    value = tree[name]
    if kind is not None:
        if value is None and may_be_null(field):
            return {name: None}
        values, problems = examine(kind, value, here)
        return problems or {name: values}
    try:
        return {name: allowed_in(field.metadata).check(value)}
    except Refusal as refusal:
        return [_refused(name, field, refusal, here)]


def _missing(field: FieldInfo, here: str) -> Problem:
    return Problem(here, "nothing", allowed_in(field.metadata).text, f"set it: {field.description}")


def _refused(name: str, field: FieldInfo, refusal: Refusal, here: str) -> Problem:
    action = refusal.action or f"write an allowed value ({name}: {field.description})"
    return Problem(here + refusal.at, refusal.found, allowed_in(field.metadata).text, action)


def _not_a_mapping(part: type[Part], tree: Any, where: str) -> Problem:
    keys = ", ".join(part.model_fields)
    if tree is None:
        action = "write keys below it, or remove the line to take the defaults" if where else "write some"
    else:
        action = "write its keys below it, indented"
    return Problem(where or "the configuration", shown(tree), f"a mapping with the keys {keys}", action)


def _unknown(part: type[Part], key: Any, where: str) -> Problem:
    known = tuple(part.model_fields)
    homes = [home for home in _homes(key) if home != below(where, str(key))]
    near = nearest(key, known) if isinstance(key, str) else None
    if near and not homes:
        action = f"did you mean {below(where, near)}?"
    elif homes:
        action = f"move it to {' or '.join(homes)}"
    else:
        action = "remove it"
    return Problem(below(where, str(key)[:80]), "an unknown key", ", ".join(known), action)


def _homes(key: Any) -> list[str]:
    """The dotted paths of the known settings that have exactly this name, in any part."""
    found = {below(part.section, key) for part in _parts(Part) if key in part.model_fields}
    return sorted(found)


def _parts(root: type[Part]) -> Iterable[type[Part]]:
    for part in root.__subclasses__():
        yield part
        yield from _parts(part)
