"""What is registered: models, their versions and aliases, as MLflow tells them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from many_models.errors import LookupFailed, Problem, nearest
from many_models.registry.records import Version
from many_models.registry.redaction import redact
from many_models.registry.session import already_exists, is_missing

MOVED = "many_models.moved."
"""Begins the version tags that record when an alias moved there; MLflow keeps no history of aliases."""


def create_name(client: Any, name: str) -> None:
    """Registers the name of a model, where it is not registered yet."""
    try:
        client.create_registered_model(name)
    except Exception as error:
        if not already_exists(error):
            raise


def aliases_of(client: Any, name: str) -> dict[str, int]:
    """The aliases of a model and their versions."""
    try:
        model = client.get_registered_model(name)
    except Exception as error:
        if not is_missing(error):
            raise
        raise _no_name(client, name) from None
    return {str(alias): int(version) for alias, version in dict(model.aliases).items()}


def entries_of(client: Any, name: str) -> list[Any]:
    """All versions of a model as MLflow has them."""
    quote = '"' if "'" in name else "'"
    entries: list[Any] = []
    token = None
    while True:
        page = client.search_model_versions(f"name={quote}{name}{quote}", max_results=200, page_token=token)
        entries.extend(page)
        token = page.token
        if not token:
            return entries


def numbered(client: Any, name: str, number: str, aliases: Mapping[str, int]) -> Version:
    """The version of a number; an error that lists the numbers there are."""
    try:
        entry = client.get_model_version(name, number)
    except Exception as error:
        if not is_missing(error):
            raise
        numbers = sorted(int(entry.version) for entry in entries_of(client, name))
        allowed = ", ".join(map(str, numbers[-20:])) or "none is registered"
        problem = Problem(f"model {name}", f"no version {number}", allowed, "choose one of these versions")
        raise LookupFailed(problem) from None
    return version_of(entry, names_of(aliases, entry.version))


def version_of(entry: Any, aliases: tuple[str, ...]) -> Version:
    """What MLflow has of a version, as ours."""
    created = entry.creation_timestamp
    return Version(
        str(entry.name),
        int(entry.version),
        entry.run_id or None,
        aliases,
        None if created is None else datetime.fromtimestamp(created / 1000, UTC),
        {tag: value for tag, value in dict(entry.tags or {}).items() if not tag.startswith(MOVED)},
    )


def names_of(aliases: Mapping[str, int], version: Any) -> tuple[str, ...]:
    """The aliases that name a version, sorted."""
    return tuple(sorted(alias for alias, number in aliases.items() if number == int(version)))


def no_alias(name: str, alias: str, aliases: Mapping[str, int]) -> LookupFailed:
    """The error that a model has no such alias, with the nearest one."""
    near = nearest(alias, list(aliases))
    hint = f"do you mean {near!r}?" if near else "many-models promote moves an alias"
    return LookupFailed(
        Problem(f"model {name}", f"no alias {alias!r}", ", ".join(sorted(aliases)) or "it has none", hint)
    )


def _no_name(client: Any, name: str) -> LookupFailed:
    try:
        names = [model.name for model in client.search_registered_models(max_results=1_000)]
    except Exception:  # A hint is not worth a second error.
        names = []
    near = nearest(name, names)
    hint = f"do you mean {near!r}?" if near else "register a run under this name first"
    allowed = ", ".join(sorted(names)[:10]) or "none is registered"
    return LookupFailed(
        Problem(f"registry {redact(client.tracking_uri)}", f"no model {name!r}", allowed, hint)
    )
