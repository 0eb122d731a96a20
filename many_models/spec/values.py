"""The types and values that several sections of the configuration allow."""

from __future__ import annotations

from typing import Literal, TypeAlias

from many_models.spec.allowed import (
    Allowed,
    choice,
    did_you_mean,
    listing,
    location,
    number,
    text,
)

Auto: TypeAlias = Literal["auto"]
Off: TypeAlias = Literal["off"]
Columns: TypeAlias = tuple[str, ...]
Integers: TypeAlias = tuple[int, ...]

AUTO = choice("auto")
COLUMN = text("the name of a column")
COLUMNS = listing(COLUMN, "a list of columns", single=True)
ANY_NUMBER = number("a number", lambda value: True, {})
POSITIVE = number("a number above 0", lambda value: value > 0, {"exclusiveMinimum": 0})
SHARE = number("a number from 0 to 1", lambda value: 0 <= value <= 1, {"minimum": 0, "maximum": 1})
LOCATION = location("a path")


def offered(group: str, ours: tuple[str, ...] = ()) -> Allowed:
    """A name under which an installed package offers something to this group of entry points."""
    from importlib.metadata import entry_points

    def isoffered(name: str) -> bool:
        return bool(entry_points(group=group, name=name))

    def near(name: str) -> str:
        known = (*ours, *sorted({point.name for point in entry_points(group=group)}))
        return did_you_mean(name, known) or "install the package that offers it, on the workers too"

    return text(f"the name of an entry point of the group {group}", isoffered, near)
