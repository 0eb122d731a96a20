"""YAML text to a plain tree and back, by the rules of YAML 1.2: `off`, `no` and `007` are text.

Reading is bounded: no tags, no aliases, no key twice, nothing deep or huge.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from many_models.errors import Problem, SpecError

LARGEST_BYTES = 1_000_000
DEEPEST = 20

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)$")
_FLOAT = re.compile(
    r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?$|[-+]?\.[0-9]+(?:[eE][-+]?[0-9]+)?$"
    r"|[-+]?\.(?:inf|Inf|INF)$|\.(?:nan|NaN|NAN)$"
)
_PLAIN: tuple[tuple[str, re.Pattern[str], str], ...] = (
    ("null", re.compile(r"(?:~|null|Null|NULL|)$"), "~nN"),
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    ("int", _INTEGER, "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
)
"""What a plain word is besides text: type, pattern, first characters. The first that fits counts."""


class _Reader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2's plain words, bounded, and strict about keys."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012  (PyYAML's own name and place)
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise self._mistake("an alias (*name); write the value out")
        if getattr(self._next(), "tag", None) is not None:
            raise self._mistake("a tag (!name); write the plain value")
        self.depth += 1
        if self.depth > DEEPEST:
            raise self._mistake(f"more than {DEEPEST} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _mistake(self, problem: str) -> yaml.MarkedYAMLError:
        return yaml.MarkedYAMLError(problem=problem, problem_mark=self._next().start_mark)

    def _next(self) -> Any:
        return self.peek_event()  # type: ignore[no-untyped-call]

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None:
                raise yaml.MarkedYAMLError(problem="a key that is not a word", problem_mark=key.start_mark)
            if name in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {name!r} a second time", problem_mark=key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


ODD_BREAKS = "\r\x85\u2028\u2029"


class _Writer(yaml.SafeDumper):
    """PyYAML's safe dumper; quotes what either version of YAML would not read as text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> Any:
        # A line break that is not \n is read back as one, unless it stands escaped.
        style = '"' if any(c in data for c in ODD_BREAKS) else None
        return self.represent_scalar(f"{_TAG}str", data, style=style)


_Writer.add_representer(str, _Writer.represent_str)


for _kind, _pattern, _first in _PLAIN:
    _Reader.add_implicit_resolver(_TAG + _kind, _pattern, [*_first, ""] if _kind == "null" else list(_first))
    _Writer.add_implicit_resolver(_TAG + _kind, _pattern, list(_first))


def read(path: str | Path) -> Any:
    """The tree that a YAML file holds; `SpecError` where the file is missing, huge or not YAML."""
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(Problem(str(path), reason, "a readable YAML file", "check the path")) from None
    if len(content) > LARGEST_BYTES:
        raise SpecError(
            Problem(str(path), "a file above 1 MB", "a YAML file of at most 1 MB", "check the path")
        )
    return parse(content, str(path))


def parse(content: str | bytes, where: str) -> Any:
    """The tree that YAML text holds; `SpecError` naming line and column where it is not YAML."""
    try:
        return yaml.load(content, _Reader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{where}, line {mark.line + 1}, column {mark.column + 1}" if mark else where
        found = error.problem or "no YAML"
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        place, found = where, " ".join(str(error).split())[:200] or "no YAML"
    raise SpecError(Problem(place, found, "YAML", "correct this line (indentation, quotes, colons)"))


def write(tree: Any) -> str:
    """The tree as YAML text, in its own order."""
    return yaml.dump(
        tree, Dumper=_Writer, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110
    )
