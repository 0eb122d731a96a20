"""URIs of versions and of their files, taken apart and put together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

from many_models.errors import LookupFailed, Problem
from many_models.registry.redaction import redact

URI_FORMS = "models:/NAME@ALIAS, models:/NAME/VERSION, models:/NAME/latest or runs:/RUN_ID/model"


def parsed(uri: str) -> tuple[str, str, Literal["alias", "number", "latest"]]:
    """Name, alias or version, and which of them, of a `models:/` URI."""
    rest = uri.removeprefix("models:/")
    if rest != uri and rest and not rest.startswith("/"):
        name, at, alias = rest.rpartition("@")
        if at and name and alias and "/" not in alias and "/" not in name:
            return unquote(name), unquote(alias), "alias"
        name, slash, number = rest.partition("/")
        if slash and name and number.isascii() and number.isdigit():
            return unquote(name), str(int(number)), "number"
        if slash and name and number == "latest":
            return unquote(name), number, "latest"
    raise LookupFailed(Problem("MODEL", repr(redact(uri)), URI_FORMS))


def joined(uri: str, path: str) -> str:
    """A path appended to an artifact URI, before its query if it has one."""
    base, mark, query = uri.partition("?")
    return f"{base.rstrip('/')}/{path}{mark}{query}"


def local_folder(uri: str) -> Path | None:
    """The folder that an artifact URI names, or None where it is not on this machine."""
    parts = urlparse(uri)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    if not parts.scheme or (os.name == "nt" and len(parts.scheme) == 1):
        return Path(uri)
    return None
