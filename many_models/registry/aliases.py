"""Aliases that move, and the record of their moves: MLflow keeps no history of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from many_models.errors import InputError, Problem, RegistryError
from many_models.registry.entries import MOVED, aliases_of, entries_of

PROMOTED, ROLLED_BACK = "promoted", "rolled back"

_ALIAS = re.compile(r"[\w\-]{1,256}", re.ASCII)
_NUMBERED = re.compile(r"[vV][0-9]+")


@dataclass(frozen=True)
class Move:
    """One recorded move of an alias: when, to which version, and whether forwards or back."""

    at: datetime
    version: int
    how: str


def move_alias(client: Any, name: str, alias: str, version: int, how: str) -> None:
    """The alias moved and the move recorded; an error when somebody else moved it at the same time.

    MLflow has no compare-and-set: the last write wins, and whoever reads another version than the
    own right after has lost.
    """
    tag = f"{MOVED}{alias}.{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    client.set_model_version_tag(name, str(version), tag, how)
    try:
        client.set_registered_model_alias(name, alias, str(version))
        now = aliases_of(client, name).get(alias)
    except BaseException:
        with suppress(Exception):  # the first error is the one to tell
            client.delete_model_version_tag(name, str(version), tag)
        raise
    if now != version:
        client.delete_model_version_tag(name, str(version), tag)
        raise RegistryError(
            f"models:/{name}@{alias} is version {now}, not {version}: another promotion came in between",
            f"many-models promote {name} {version} --alias {alias}",
        )


def moves_of(client: Any, name: str, alias: str) -> list[Move]:
    """The recorded moves of an alias, the oldest first."""
    prefix = f"{MOVED}{alias}."
    moves = []
    for entry in entries_of(client, name):
        for tag, how in dict(entry.tags or {}).items():
            if tag.startswith(prefix):
                with suppress(ValueError):  # a tag that somebody else made up
                    at = datetime.strptime(tag.removeprefix(prefix), "%Y%m%dT%H%M%S.%fZ")
                    moves.append(Move(at.replace(tzinfo=UTC), int(entry.version), str(how)))
    return sorted(moves, key=lambda move: (move.at, move.version))


def stack_of(moves: Iterable[Move]) -> list[int]:
    """The versions that an alias named one after the other, those that were rolled back left out."""
    stack: list[int] = []
    for move in moves:
        if move.how == ROLLED_BACK:
            while stack and stack[-1] != move.version:
                stack.pop()
        if not stack or stack[-1] != move.version:
            stack.append(move.version)
    return stack


def check_alias(alias: str | None) -> None:
    """Refuses what is no alias, before anything is uploaded: MLflow would after the version is made."""
    if alias is None or (_ALIAS.fullmatch(alias) and alias != "latest" and not _NUMBERED.fullmatch(alias)):
        return
    allowed = "letters, digits, - and _; not latest, and not like v1"
    raise InputError(Problem("registry.alias", repr(alias), allowed, "for instance champion"))


def no_way_back(name: str, alias: str, current: int, stack: Sequence[int]) -> Problem:
    """What to say where no version is recorded before the current one."""
    moved = bool(stack) and stack[-1] != current
    found = f"version {current}" + (f", which was set by other means than {stack[-1]}" if moved else "")
    return Problem(
        f"models:/{name}@{alias}",
        f"{found}, before which no version is recorded",
        "an alias that was moved by promote or register at least twice",
        f"many-models promote {name} VERSION --alias {alias}",
    )
