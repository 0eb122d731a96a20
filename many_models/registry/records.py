"""What goes into the registry and what comes out of it: versions, records of runs, parts and flavours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from many_models.errors import InputError, Problem

ColumnType = Literal["boolean", "integer", "long", "float", "double", "string", "binary", "datetime", "any"]
"""MLflow's names of column types; `any` is handed on as it comes."""

MODEL_FOLDER = "model"
"""Where a run keeps its model among its artifacts."""

SERIES_FOLDER = "series"
"""Where it keeps the models of single series, if any."""

MAX_METRICS = 1_000
"""So many numbers MLflow takes at once."""


@dataclass(frozen=True)
class Column:
    """One column of a version's signature."""

    name: str
    type: ColumnType
    required: bool = True


@dataclass(frozen=True)
class Version:
    """One registered version.

    Attributes
    ----------
    name, version
        What it is called.
    run_id
        The MLflow run that made it.
    aliases
        The aliases that point to it, sorted.
    created
        When it was registered.
    tags
        The tags of the version, without those that record moves of an alias.
    """

    name: str
    version: int
    run_id: str | None = None
    aliases: tuple[str, ...] = ()
    created: datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def alias(self) -> str | None:
        """The alias, the first of them where there are several, or None."""
        return self.aliases[0] if self.aliases else None

    @property
    def uri(self) -> str:
        """The URI of exactly this version."""
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True)
class Record:
    """What one training run leaves in the registry besides its models.

    Attributes
    ----------
    run_name
        Name of the MLflow run.
    parameters
        Logged as parameters, as text.
    metrics
        At most 1,000 numbers; those that are not finite are left out.
    artifacts
        Path among the run's artifacts -> local file or folder to copy there.
    tags
        Tags of the run and of the version.
    """

    run_name: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    artifacts: Mapping[str, str | Path] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A model made of a part of a version: its registered name, its bundle, and its tags."""

    name: str
    bundle: Path
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Flavor:
    """How MLflow serves a version.

    Attributes
    ----------
    columns
        What `predict` takes.
    outputs
        What it gives.
    requirements
        Lines of pip requirements.
    loader_module
        The module whose `_load_pyfunc(data_path)` opens the bundle.
    wheel
        A wheel of this package to keep with the version, for places that cannot install it.
    """

    columns: Sequence[Column]
    outputs: Sequence[Column]
    requirements: Sequence[str]
    loader_module: str = "many_models.serving"
    wheel: str | Path | None = None


def check_name(name: str) -> None:
    """Refuses what cannot be the name of a registered model."""
    if not name.strip() or any(c in name for c in "/:") or name in (".", ".."):
        raise InputError(
            Problem("registry.name", repr(name), "text without / and :", "NAME, or CATALOG.SCHEMA.NAME")
        )


def check_record(record: Record) -> None:
    """Refuses too many metrics, and artifacts that are not there or would lie outside their place."""
    problems = []
    if len(record.metrics) > MAX_METRICS:
        problems.append(Problem("metrics", str(len(record.metrics)), f"at most {MAX_METRICS}"))
    for path, source in record.artifacts.items():
        parts = PurePosixPath(path).parts
        if not parts or ".." in parts or path.startswith("/") or parts[0] == MODEL_FOLDER:
            allowed = f"a relative path that does not begin with {MODEL_FOLDER}/"
            problems.append(Problem("artifacts", repr(path), allowed))
        if not Path(source).exists():
            problems.append(Problem(f"artifacts.{path}", f"{source}, which does not exist"))
    if problems:
        raise InputError(problems)
