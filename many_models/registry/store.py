"""The model registry: one MLflow run and one registered version per training run.

A version is MLflow's `python_function` flavour made of `loader_module` and `data_path`: an
importable module of this package, and a bundle. Nothing executable is stored. Looking up never
goes through MLflow's model loader: `Registry.files` answers where the bundle is.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

from many_models.errors import InputError, LookupFailed, Problem, RegistryError, nearest
from many_models.registry.files import StoredFiles
from many_models.registry.location import artifact_location
from many_models.registry.redaction import redact
from many_models.registry.session import (
    already_exists,
    is_missing,
    quiet,
    reason,
    sole_initialiser,
    translated,
)

ColumnType = Literal["boolean", "integer", "long", "float", "double", "string", "binary", "datetime", "any"]
"""MLflow's names of column types; `any` is handed on as it comes."""

MODEL_FOLDER = "model"
"""Where a run keeps its model among its artifacts."""

SERIES_FOLDER = "series"
"""Where it keeps the models of single series, if any."""

_MOVED = "many_models.moved."
"""Begins the version tags that record when an alias moved there; MLflow keeps no history of aliases."""

_PROMOTED, _ROLLED_BACK = "promoted", "rolled back"

_URI_FORMS = "models:/NAME@ALIAS, models:/NAME/VERSION, models:/NAME/latest or runs:/RUN_ID/model"
_ALIAS = re.compile(r"[\w\-]{1,256}", re.ASCII)
_NUMBERED = re.compile(r"[vV][0-9]+")
_MAX_METRICS = 1_000
_MAX_PARAMETERS_AT_ONCE = 100
_MAX_PARAMETER_CHARACTERS = 6_000
_MAX_MLMODEL_BYTES = 2**20


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


@dataclass(frozen=True)
class _Move:
    """One recorded move of an alias: when, to which version, and whether forwards or back."""

    at: datetime
    version: int
    how: str


def _stack(moves: Iterable[_Move]) -> list[int]:
    """The versions that an alias named one after the other, those that were rolled back left out."""
    stack: list[int] = []
    for move in moves:
        if move.how == _ROLLED_BACK:
            while stack and stack[-1] != move.version:
                stack.pop()
        if not stack or stack[-1] != move.version:
            stack.append(move.version)
    return stack


def _no_way_back(name: str, alias: str, current: int, stack: Sequence[int]) -> Problem:
    moved = bool(stack) and stack[-1] != current
    found = f"version {current}" + (f", which was set by other means than {stack[-1]}" if moved else "")
    return Problem(
        f"models:/{name}@{alias}",
        f"{found}, before which no version is recorded",
        "an alias that was moved by promote or register at least twice",
        f"many-models promote {name} VERSION --alias {alias}",
    )


class Registry:
    """A model registry, local or remote; nothing is contacted before the first call.

    Parameters
    ----------
    tracking_uri
        `sqlite:///FILE`, `http(s)://HOST`, `databricks` (see `default_tracking_uri`).
    registry_uri
        Where versions are registered, if not there.
    """

    def __init__(self, tracking_uri: str, registry_uri: str | None = None) -> None:
        self.tracking_uri = tracking_uri
        self._registry_uri = registry_uri
        self._connected: Any = None

    def __repr__(self) -> str:
        return f"Registry({redact(self.tracking_uri)!r})"

    # -- writing --

    def reach(self) -> None:
        """Nothing, when the registry answers; a local store is made where there is none.

        Raises
        ------
        RegistryError
            Within seconds when it does not answer.
        """
        with sole_initialiser(self.tracking_uri), quiet(self.tracking_uri, impatient=True):
            try:
                client = self._connected or self._client_class()(self.tracking_uri, self._registry_uri)
                client.search_experiments(max_results=1)
                client.search_registered_models(max_results=1)
            except Exception as error:
                raise RegistryError(
                    f"the registry {redact(self.tracking_uri)} does not answer: {reason(error)}; "
                    "check registry.tracking_uri or MLFLOW_TRACKING_URI, and that the server runs"
                ) from None
        self._connected = client

    def register(
        self,
        name: str,
        bundle_folder: str | Path,
        flavor: Flavor,
        record: Record | None = None,
        *,
        experiment: str | None = None,
        alias: str | None = None,
    ) -> Version:
        """The new version, made of a bundle; its run is finished, and the alias moved to it.

        Parameters
        ----------
        name
            Registered name, `catalog.schema.name` in Unity Catalog.
        bundle_folder
            The bundle; it is copied.
        flavor
            Signature and environment.
        record
            Parameters, metrics, artifacts and tags of the run.
        experiment
            Name of the MLflow experiment; the registered name without it.
        alias
            Alias to move to the new version; None moves none.

        Raises
        ------
        InputError
            When name, alias, metrics or paths are not allowed.
        RegistryError
            When the registry refuses or does not answer. What was half done is marked failed.
        """
        record = record or Record()
        _check_name(name)
        _check_alias(alias)
        _check_record(record)
        with self._calling(f"registering {name}") as client:
            experiment_id = self._experiment(client, experiment or self._default_experiment(name))
            run = client.create_run(experiment_id, run_name=record.run_name, tags=dict(record.tags))
            try:
                self._fill(client, run, Path(bundle_folder), flavor, record)
                self._create_name(client, name)
                made = client.create_model_version(
                    name,
                    _joined(run.info.artifact_uri, MODEL_FOLDER),
                    run_id=run.info.run_id,
                    tags=dict(record.tags),
                )
            except BaseException:
                _mark_failed(client, run.info.run_id)
                raise
            client.set_terminated(run.info.run_id, "FINISHED")
            if alias is not None:
                self._move(client, name, alias, int(made.version), _PROMOTED)
            return _version(made, () if alias is None else (alias,))

    def add(
        self, version: Version, metrics: Iterable[tuple[str, float, int]], artifacts: Mapping[str, Path]
    ) -> None:
        """Adds metrics with their steps, and files by their paths, to the run of a version.

        Raises
        ------
        InputError
            When a path or the number of metrics is not allowed.
        RegistryError
            When the registry refuses or does not answer.
        """
        from mlflow.entities import Metric

        now = int(datetime.now(UTC).timestamp() * 1000)
        numbers = [Metric(name, float(value), now, step) for name, value, step in metrics]
        _check_record(Record(artifacts=artifacts))
        with (
            self._calling(f"adding to the run of {version.uri}") as client,
            tempfile.TemporaryDirectory(prefix="many-models-") as folder,
        ):
            for path, source in artifacts.items():
                _copy(source, Path(folder) / path)
            client.log_artifacts(version.run_id, folder)
            for start in range(0, len(numbers), _MAX_METRICS):
                client.log_batch(version.run_id, metrics=numbers[start : start + _MAX_METRICS])

    def register_parts(
        self, version: Version, parts: Iterable[Part], flavor: Flavor, alias: str | None = None
    ) -> int:
        """How many models were registered, each of a part of a version and kept in the run of that version.

        Parameters
        ----------
        version
            A version that was registered before, with its run.
        parts
            Consumed one after the other; a bundle is removed once its model is stored.
        flavor
            Signature and environment, the same for all.
        alias
            Alias to move to each new version; None moves none.

        Raises
        ------
        RegistryError
            When the registry refuses or does not answer. The models registered until then stay.
        """
        count = 0
        with (
            self._calling(f"registering the series of {version.name}") as client,
            tempfile.TemporaryDirectory(prefix="many-models-") as scratch,
        ):
            run = client.get_run(version.run_id)
            model = Path(scratch) / MODEL_FOLDER
            bundle = None
            for part in parts:
                if bundle is None:
                    # All but the bundle is the same for every part.
                    _save_model(model, part.bundle, flavor, version.run_id or "")
                    bundle = model / _data_path(model / "MLmodel", version.uri)
                shutil.rmtree(bundle)
                shutil.move(part.bundle, bundle)
                path = f"{SERIES_FOLDER}/{part.name}"
                client.log_artifacts(version.run_id, str(model), path)
                self._create_name(client, part.name)
                source = _joined(run.info.artifact_uri, path)
                made = client.create_model_version(
                    part.name, source, run_id=version.run_id, tags={**version.tags, **part.tags}
                )
                if alias is not None:
                    self._move(client, part.name, alias, int(made.version), _PROMOTED)
                count += 1
        return count

    def move_parts(
        self, parts: Iterable[tuple[str, str]], tag: str, alias: str, *, back: bool = False
    ) -> tuple[int, int]:
        """How many models' alias was moved, and how many could not follow.

        Each goes to the newest version of that model whose tag has the given value; where the alias
        names such a version already, it stays.

        Parameters
        ----------
        parts
            Names of models, each with the value of the tag.
        back
            Whether the moves are recorded as rollbacks.

        Raises
        ------
        RegistryError
            When the registry refuses or does not answer. The aliases moved until then stay moved.
        """
        _check_alias(alias)
        moved = left = 0
        with self._calling(f"moving {alias} of single series") as client:
            for name, value in parts:
                fitting = [
                    int(entry.version)
                    for entry in self._entries(client, name)
                    if dict(entry.tags or {}).get(tag) == value
                ]
                if not fitting:
                    left += 1
                elif self._aliases(client, name).get(alias) not in fitting:
                    self._move(client, name, alias, max(fitting), _ROLLED_BACK if back else _PROMOTED)
                    moved += 1
        return moved, left

    def promote(
        self, name: str, version: int, alias: str = "champion", *, instead_of: int | None = None
    ) -> Version | None:
        """The version that the alias named until now (None if none); it names `version` now.

        Parameters
        ----------
        instead_of
            The version that the alias has to name still; None: whatever it names.

        Raises
        ------
        LookupFailed
            When there is no such model or version.
        InputError
            When the alias is not allowed.
        RegistryError
            When the alias names another version afterwards, because of a promotion at the same time.
        """
        _check_alias(alias)
        with self._calling(f"promoting {name}/{version}") as client:
            aliases = self._aliases(client, name)
            self._numbered(client, name, str(version), aliases)
            previous = aliases.get(alias)
            if instead_of is not None and previous != instead_of:
                raise RegistryError(
                    f"models:/{name}@{alias} is version {previous}, no longer {instead_of}: "
                    "another promotion came in between; version "
                    f"{version} stands, and no alias was moved",
                    f"many-models promote {name} {version} --only-better --alias {alias}",
                )
            if previous != version:
                self._move(client, name, alias, version, _PROMOTED)
            if previous is None:
                return None
            return self._numbered(client, name, str(previous), aliases)

    def rollback(self, name: str, alias: str = "champion") -> tuple[int, int]:
        """The version that the alias named until now, and the one before it, which it names again.

        A second rollback goes one further back: what was rolled back from is forgotten.

        Raises
        ------
        LookupFailed
            When there is no such model or alias, or nothing recorded before it.
        RegistryError
            When the alias names another version afterwards, because of a promotion at the same time.
        """
        _check_alias(alias)
        with self._calling(f"rolling back {name}@{alias}") as client:
            aliases = self._aliases(client, name)
            if alias not in aliases:
                raise _no_alias(name, alias, aliases)
            current = aliases[alias]
            stack = _stack(self._moves(client, name, alias))
            if len(stack) < 2 or stack[-1] != current:
                raise LookupFailed(_no_way_back(name, alias, current, stack))
            self._move(client, name, alias, stack[-2], _ROLLED_BACK)
            return current, stack[-2]

    def as_of(self, name: str, when: datetime, alias: str = "champion") -> Version:
        """The version that an alias named at a moment, by the recorded promotions and rollbacks.

        Raises
        ------
        LookupFailed
            When it named none, saying since when it does.
        """
        with self._calling(f"looking up {name}@{alias} as of {when.isoformat()}") as client:
            aliases = self._aliases(client, name)
            moves = self._moves(client, name, alias)
            stack = _stack(move for move in moves if move.at <= when.astimezone(UTC))
            if not stack:
                since = moves[0].at.isoformat(timespec="seconds") if moves else None
                raise LookupFailed(
                    Problem(
                        f"models:/{name}@{alias}",
                        f"no version as of {when.isoformat()}",
                        f"from {since} on" if since else "no promotion is recorded",
                        "name a later date, or a version",
                    )
                )
            return self._numbered(client, name, str(stack[-1]), aliases)

    def _move(self, client: Any, name: str, alias: str, version: int, how: str) -> None:
        """The alias moved and the move recorded; an error when somebody else moved it at the same time.

        MLflow has no compare-and-set: the last write wins, and whoever reads another version than the
        own right after has lost.
        """
        tag = f"{_MOVED}{alias}.{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
        client.set_model_version_tag(name, str(version), tag, how)
        try:
            client.set_registered_model_alias(name, alias, str(version))
            now = self._aliases(client, name).get(alias)
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

    def _moves(self, client: Any, name: str, alias: str) -> list[_Move]:
        """The recorded moves of an alias, the oldest first."""
        prefix = f"{_MOVED}{alias}."
        moves = []
        for entry in self._entries(client, name):
            for tag, how in dict(entry.tags or {}).items():
                if tag.startswith(prefix):
                    with suppress(ValueError):  # a tag that somebody else made up
                        at = datetime.strptime(tag.removeprefix(prefix), "%Y%m%dT%H%M%S.%fZ")
                        moves.append(_Move(at.replace(tzinfo=UTC), int(entry.version), str(how)))
        return sorted(moves, key=lambda move: (move.at, move.version))

    # -- reading --

    def versions(self, name: str) -> list[Version]:
        """All versions of a model, the newest first.

        Raises
        ------
        LookupFailed
            When there is no such model.
        """
        with self._calling(f"listing the versions of {name}") as client:
            aliases = self._aliases(client, name)
            found = [_version(entry, _of(aliases, entry.version)) for entry in self._entries(client, name)]
        return sorted(found, key=lambda version: -version.version)

    def version(self, uri: str) -> Version:
        """The version that a `models:/` URI names at this moment.

        Raises
        ------
        LookupFailed
            When it names none; the message says which names, versions or aliases are near.
        """
        name, which, kind = _parsed(uri)
        with self._calling(f"looking up {uri}") as client:
            aliases = self._aliases(client, name)
            if kind == "alias":
                if which not in aliases:
                    raise _no_alias(name, which, aliases)
                which = str(aliases[which])
            elif kind == "latest":
                numbers = [int(entry.version) for entry in self._entries(client, name)]
                if not numbers:
                    raise LookupFailed(
                        Problem(uri, "a model without versions", action="register a run first")
                    )
                which = str(max(numbers))
            return self._numbered(client, name, which, aliases)

    def files(self, uri: str) -> StoredFiles:
        """The files of the bundle behind a URI, for `Bundle.open`: local ones in place, others fetched
        one by one when they are needed.

        Raises
        ------
        LookupFailed
            When the URI names nothing, or something that is not ours.
        RegistryError
            When the files cannot be had.
        """
        if uri.startswith("runs:/"):
            model = self._run_files(uri)
        else:
            found = self.version(uri)
            with self._calling(f"finding the files of {uri}") as client:
                model = self._stored(self._source(client, found))
        return model.below(_data_path(model("MLmodel"), uri))

    def artifacts(self, version: Version) -> StoredFiles:
        """The artifacts of the run that made a version, fetched one by one when they are needed.

        Raises
        ------
        LookupFailed
            When the version has no run, or it is gone.
        RegistryError
            When the registry does not answer.
        """
        with self._calling(f"looking up the run of {version.uri}") as client:
            try:
                run = client.get_run(version.run_id or "")
            except Exception as error:
                if version.run_id and not is_missing(error):
                    raise
                raise LookupFailed(
                    Problem(version.uri, "a version without its run", "a version that many-models registered")
                ) from None
            return self._stored(str(run.info.artifact_uri))

    # -- inside --

    @staticmethod
    def _client_class() -> Any:
        from mlflow import MlflowClient

        return MlflowClient

    @contextmanager
    def _calling(self, doing: str) -> Iterator[Any]:
        """The client, reached before, quiet and with errors in our words."""
        if self._connected is None:
            self.reach()
        with translated(doing, self.tracking_uri), quiet(self.tracking_uri):
            yield self._connected

    def _resolved_registry(self) -> str:
        """Where versions are: MLflow resolves it from the tracking URI where nothing is given."""
        resolved = getattr(self._connected, "_registry_uri", None)
        return str(resolved or self._registry_uri or self.tracking_uri)

    def _default_experiment(self, name: str) -> str:
        # A Databricks workspace wants an absolute path.
        return f"/Shared/{name}" if self.tracking_uri.startswith("databricks") else name

    def _experiment(self, client: Any, name: str) -> str:
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                location = artifact_location(self.tracking_uri, name)
                return str(client.create_experiment(name, artifact_location=location))
            except Exception as error:
                if not already_exists(error):
                    raise
                found = client.get_experiment_by_name(name)
        if found.lifecycle_stage != "active":
            raise InputError(
                Problem(
                    "registry.experiment", f"{name!r}, which is deleted", action="restore it or name another"
                )
            )
        return str(found.experiment_id)

    def _fill(self, client: Any, run: Any, bundle: Path, flavor: Flavor, record: Record) -> None:
        run_id = run.info.run_id
        _log_numbers(client, run_id, record)
        with tempfile.TemporaryDirectory(prefix="many-models-") as folder:
            staged = Path(folder)
            _save_model(staged / MODEL_FOLDER, bundle, flavor, run_id)
            for path, source in record.artifacts.items():
                _copy(Path(source), staged / path)
            client.log_artifacts(run_id, str(staged))

    def _create_name(self, client: Any, name: str) -> None:
        try:
            client.create_registered_model(name)
        except Exception as error:
            if not already_exists(error):
                raise

    def _aliases(self, client: Any, name: str) -> dict[str, int]:
        """The aliases of a model and their versions."""
        try:
            model = client.get_registered_model(name)
        except Exception as error:
            if not is_missing(error):
                raise
            raise self._no_name(client, name) from None
        return {str(alias): int(version) for alias, version in dict(model.aliases).items()}

    def _no_name(self, client: Any, name: str) -> LookupFailed:
        try:
            names = [model.name for model in client.search_registered_models(max_results=1_000)]
        except Exception:  # A hint is not worth a second error.
            names = []
        near = nearest(name, names)
        hint = f"do you mean {near!r}?" if near else "register a run under this name first"
        allowed = ", ".join(sorted(names)[:10]) or "none is registered"
        return LookupFailed(
            Problem(f"registry {redact(self.tracking_uri)}", f"no model {name!r}", allowed, hint)
        )

    def _entries(self, client: Any, name: str) -> list[Any]:
        quote = '"' if "'" in name else "'"
        entries: list[Any] = []
        token = None
        while True:
            page = client.search_model_versions(
                f"name={quote}{name}{quote}", max_results=200, page_token=token
            )
            entries.extend(page)
            token = page.token
            if not token:
                return entries

    def _numbered(self, client: Any, name: str, number: str, aliases: Mapping[str, int]) -> Version:
        try:
            entry = client.get_model_version(name, number)
        except Exception as error:
            if not is_missing(error):
                raise
            numbers = sorted(int(entry.version) for entry in self._entries(client, name))
            allowed = ", ".join(map(str, numbers[-20:])) or "none is registered"
            problem = Problem(
                f"model {name}", f"no version {number}", allowed, "choose one of these versions"
            )
            raise LookupFailed(problem) from None
        return _version(entry, _of(aliases, entry.version))

    def _run_files(self, uri: str) -> StoredFiles:
        run_id, _, path = uri.removeprefix("runs:/").partition("/")
        with self._calling(f"looking up {uri}") as client:
            try:
                run = client.get_run(run_id)
            except Exception as error:
                if not is_missing(error):
                    raise
                raise LookupFailed(Problem(uri, "no such run", _URI_FORMS)) from None
            return self._stored(_joined(run.info.artifact_uri, path or MODEL_FOLDER))

    def _source(self, client: Any, version: Version) -> str:
        """Where the files of a version are."""
        if self._resolved_registry().startswith(("databricks", "uc")):
            # Only MLflow's own resolver gets the short-lived credentials of Unity Catalog.
            return version.uri
        source = str(client.get_model_version_download_uri(version.name, str(version.version)))
        if source.startswith("runs:/"):
            run_id, _, path = source.removeprefix("runs:/").partition("/")
            return _joined(client.get_run(run_id).info.artifact_uri, path)
        return source

    def _stored(self, artifact_uri: str) -> StoredFiles:
        local = _local_folder(artifact_uri)
        if local is None:
            return StoredFiles(None, lambda path, into: self._download(artifact_uri, path, into))
        if not local.is_dir():
            raise RegistryError(f"the registry names {local} as the folder of the model, and it is not there")
        return StoredFiles(local)

    def _download(self, artifact_uri: str, path: str, into: Path) -> Path:
        from mlflow.artifacts import download_artifacts

        into.mkdir(parents=True, exist_ok=True)
        with self._calling(f"fetching {path}"):
            found = download_artifacts(
                artifact_uri=_joined(artifact_uri, path),
                dst_path=str(into),
                tracking_uri=self.tracking_uri,
                registry_uri=self._resolved_registry(),
            )
        return Path(found)


def _check_name(name: str) -> None:
    if not name.strip() or any(c in name for c in "/:") or name in (".", ".."):
        raise InputError(
            Problem("registry.name", repr(name), "text without / and :", "NAME, or CATALOG.SCHEMA.NAME")
        )


def _check_alias(alias: str | None) -> None:
    # Checked before anything is uploaded; MLflow would refuse it after the version is made.
    if alias is None or (_ALIAS.fullmatch(alias) and alias != "latest" and not _NUMBERED.fullmatch(alias)):
        return
    allowed = "letters, digits, - and _; not latest, and not like v1"
    raise InputError(Problem("registry.alias", repr(alias), allowed, "for instance champion"))


def _check_record(record: Record) -> None:
    problems = []
    if len(record.metrics) > _MAX_METRICS:
        problems.append(Problem("metrics", str(len(record.metrics)), f"at most {_MAX_METRICS}"))
    for path, source in record.artifacts.items():
        parts = PurePosixPath(path).parts
        if not parts or ".." in parts or path.startswith("/") or parts[0] == MODEL_FOLDER:
            allowed = f"a relative path that does not begin with {MODEL_FOLDER}/"
            problems.append(Problem("artifacts", repr(path), allowed))
        if not Path(source).exists():
            problems.append(Problem(f"artifacts.{path}", f"{source}, which does not exist"))
    if problems:
        raise InputError(problems)


def _log_numbers(client: Any, run_id: str, record: Record) -> None:
    from mlflow.entities import Metric, Param

    now = int(datetime.now(UTC).timestamp() * 1000)
    metrics = [Metric(k, float(v), now, 0) for k, v in record.metrics.items() if math.isfinite(v)]
    parameters = [Param(k, _shortened(str(v))) for k, v in record.parameters.items()]
    if metrics:
        client.log_batch(run_id, metrics=metrics)
    for start in range(0, len(parameters), _MAX_PARAMETERS_AT_ONCE):
        client.log_batch(run_id, params=parameters[start : start + _MAX_PARAMETERS_AT_ONCE])


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_PARAMETER_CHARACTERS else f"{text[: _MAX_PARAMETER_CHARACTERS - 1]}…"


def _save_model(folder: Path, bundle: Path, flavor: Flavor, run_id: str) -> None:
    """Write the model as MLflow wants it: MLmodel, environment files and the bundle."""
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature

    requirements = list(flavor.requirements)
    if flavor.wheel is not None:
        wheel = Path(flavor.wheel)
        if not wheel.is_file():
            raise InputError(
                Problem("registry.wheel", f"{wheel}, which does not exist", "the path of a wheel")
            )
        # The wheel stands for the line that names its package. MLflow installs requirements from
        # within the model's folder.
        requirements = [line for line in requirements if _package(line) != _package(wheel.name)]
        requirements.append(f"wheels/{wheel.name}")
    pyfunc.save_model(
        str(folder),
        loader_module=flavor.loader_module,
        data_path=str(bundle),
        mlflow_model=Model(artifact_path=MODEL_FOLDER, run_id=run_id),
        signature=ModelSignature(_schema(flavor.columns), _schema(flavor.outputs)),
        pip_requirements=requirements,
    )
    if flavor.wheel is not None:
        _copy(Path(flavor.wheel), folder / "wheels" / Path(flavor.wheel).name)


def _package(line: str) -> str:
    """The normalised name of the package in a requirement line or a wheel's file name."""
    found = re.match(r"[A-Za-z0-9._]+(?:-(?![0-9])[A-Za-z0-9._]+)*", line)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else line


def _schema(columns: Iterable[Column]) -> Any:
    from mlflow.types import ColSpec, Schema, schema

    anything: Any = schema.AnyType
    return Schema(
        [
            ColSpec(type=anything() if c.type == "any" else c.type, name=c.name, required=c.required)
            for c in columns
        ]
    )


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)


def _mark_failed(client: Any, run_id: str) -> None:
    try:
        client.set_terminated(run_id, "FAILED")
    except Exception:  # The first error is the one to tell; the run may be out of reach.
        return


def _version(entry: Any, aliases: tuple[str, ...]) -> Version:
    created = entry.creation_timestamp
    return Version(
        str(entry.name),
        int(entry.version),
        entry.run_id or None,
        aliases,
        None if created is None else datetime.fromtimestamp(created / 1000, UTC),
        {tag: value for tag, value in dict(entry.tags or {}).items() if not tag.startswith(_MOVED)},
    )


def _of(aliases: Mapping[str, int], version: Any) -> tuple[str, ...]:
    return tuple(sorted(alias for alias, number in aliases.items() if number == int(version)))


def _no_alias(name: str, alias: str, aliases: Mapping[str, int]) -> LookupFailed:
    near = nearest(alias, list(aliases))
    hint = f"do you mean {near!r}?" if near else "many-models promote moves an alias"
    return LookupFailed(
        Problem(f"model {name}", f"no alias {alias!r}", ", ".join(sorted(aliases)) or "it has none", hint)
    )


def _parsed(uri: str) -> tuple[str, str, Literal["alias", "number", "latest"]]:
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
    raise LookupFailed(Problem("MODEL", repr(redact(uri)), _URI_FORMS))


def _joined(uri: str, path: str) -> str:
    """A path appended to an artifact URI, before its query if it has one."""
    base, mark, query = uri.partition("?")
    return f"{base.rstrip('/')}/{path}{mark}{query}"


def _local_folder(uri: str) -> Path | None:
    """The folder that an artifact URI names, or None where it is not on this machine."""
    parsed = urlparse(uri)
    if parsed.scheme == "file":
        return Path(url2pathname(parsed.path))
    if not parsed.scheme or (os.name == "nt" and len(parsed.scheme) == 1):
        return Path(uri)
    return None


def _data_path(mlmodel: Path, uri: str) -> str:
    """The path of the bundle within a model's folder, as its MLmodel says."""
    import yaml

    not_ours = LookupFailed(Problem(uri, "a model that many-models did not make", "a registered bundle"))
    try:
        if mlmodel.stat().st_size > _MAX_MLMODEL_BYTES:
            raise not_ours
        document = yaml.safe_load(mlmodel.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise not_ours from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RegistryError(f"the MLmodel of {uri} cannot be read: {error}") from None
    match document:
        case {"flavors": {"python_function": {"data": str(data), "loader_module": str()}}}:
            path = PurePosixPath(data)
            if path.parts and not path.is_absolute() and ".." not in path.parts:
                return str(path)
    raise not_ours
