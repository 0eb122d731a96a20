"""The model registry: one MLflow run and one registered version per training run.

A version is MLflow's `python_function` flavour made of `loader_module` and `data_path`: an
importable module of this package, and a bundle. Nothing executable is stored. Looking up never
goes through MLflow's model loader: `Registry.files` answers where the bundle is.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from many_models.errors import InputError, LookupFailed, Problem, RegistryError
from many_models.registry.aliases import (
    PROMOTED,
    ROLLED_BACK,
    check_alias,
    move_alias,
    moves_of,
    no_way_back,
    stack_of,
)
from many_models.registry.entries import (
    aliases_of,
    create_name,
    entries_of,
    names_of,
    no_alias,
    numbered,
    version_of,
)
from many_models.registry.files import StoredFiles
from many_models.registry.location import artifact_location
from many_models.registry.mlmodel import copy, data_path, save_model
from many_models.registry.records import (
    MAX_METRICS,
    MODEL_FOLDER,
    SERIES_FOLDER,
    Flavor,
    Part,
    Record,
    Version,
    check_name,
    check_record,
)
from many_models.registry.redaction import redact
from many_models.registry.session import (
    already_exists,
    is_missing,
    quiet,
    reason,
    sole_initialiser,
    translated,
)
from many_models.registry.uris import URI_FORMS, joined, local_folder, parsed

_MAX_PARAMETERS_AT_ONCE = 100
_MAX_PARAMETER_CHARACTERS = 6_000


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
        check_name(name)
        check_alias(alias)
        check_record(record)
        with self._calling(f"registering {name}") as client:
            experiment_id = self._experiment(client, experiment or self._default_experiment(name))
            run = client.create_run(experiment_id, run_name=record.run_name, tags=dict(record.tags))
            try:
                self._fill(client, run, Path(bundle_folder), flavor, record)
                create_name(client, name)
                made = client.create_model_version(
                    name,
                    joined(run.info.artifact_uri, MODEL_FOLDER),
                    run_id=run.info.run_id,
                    tags=dict(record.tags),
                )
            except BaseException:
                _mark_failed(client, run.info.run_id)
                raise
            client.set_terminated(run.info.run_id, "FINISHED")
            if alias is not None:
                move_alias(client, name, alias, int(made.version), PROMOTED)
            return version_of(made, () if alias is None else (alias,))

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
        check_record(Record(artifacts=artifacts))
        with (
            self._calling(f"adding to the run of {version.uri}") as client,
            tempfile.TemporaryDirectory(prefix="many-models-") as folder,
        ):
            for path, source in artifacts.items():
                copy(source, Path(folder) / path)
            client.log_artifacts(version.run_id, folder)
            for start in range(0, len(numbers), MAX_METRICS):
                client.log_batch(version.run_id, metrics=numbers[start : start + MAX_METRICS])

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
                    save_model(model, part.bundle, flavor, version.run_id or "")
                    bundle = model / data_path(model / "MLmodel", version.uri)
                shutil.rmtree(bundle)
                shutil.move(part.bundle, bundle)
                path = f"{SERIES_FOLDER}/{part.name}"
                client.log_artifacts(version.run_id, str(model), path)
                create_name(client, part.name)
                source = joined(run.info.artifact_uri, path)
                made = client.create_model_version(
                    part.name, source, run_id=version.run_id, tags={**version.tags, **part.tags}
                )
                if alias is not None:
                    move_alias(client, part.name, alias, int(made.version), PROMOTED)
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
        check_alias(alias)
        moved = left = 0
        with self._calling(f"moving {alias} of single series") as client:
            for name, value in parts:
                fitting = [
                    int(entry.version)
                    for entry in entries_of(client, name)
                    if dict(entry.tags or {}).get(tag) == value
                ]
                if not fitting:
                    left += 1
                elif aliases_of(client, name).get(alias) not in fitting:
                    move_alias(client, name, alias, max(fitting), ROLLED_BACK if back else PROMOTED)
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
        check_alias(alias)
        with self._calling(f"promoting {name}/{version}") as client:
            aliases = aliases_of(client, name)
            numbered(client, name, str(version), aliases)
            previous = aliases.get(alias)
            if instead_of is not None and previous != instead_of:
                raise RegistryError(
                    f"models:/{name}@{alias} is version {previous}, no longer {instead_of}: "
                    "another promotion came in between; version "
                    f"{version} stands, and no alias was moved",
                    f"many-models promote {name} {version} --only-better --alias {alias}",
                )
            if previous != version:
                move_alias(client, name, alias, version, PROMOTED)
            if previous is None:
                return None
            return numbered(client, name, str(previous), aliases)

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
        check_alias(alias)
        with self._calling(f"rolling back {name}@{alias}") as client:
            aliases = aliases_of(client, name)
            if alias not in aliases:
                raise no_alias(name, alias, aliases)
            current = aliases[alias]
            stack = stack_of(moves_of(client, name, alias))
            if len(stack) < 2 or stack[-1] != current:
                raise LookupFailed(no_way_back(name, alias, current, stack))
            move_alias(client, name, alias, stack[-2], ROLLED_BACK)
            return current, stack[-2]

    def as_of(self, name: str, when: datetime, alias: str = "champion") -> Version:
        """The version that an alias named at a moment, by the recorded promotions and rollbacks.

        Raises
        ------
        LookupFailed
            When it named none, saying since when it does.
        """
        with self._calling(f"looking up {name}@{alias} as of {when.isoformat()}") as client:
            aliases = aliases_of(client, name)
            moves = moves_of(client, name, alias)
            stack = stack_of(move for move in moves if move.at <= when.astimezone(UTC))
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
            return numbered(client, name, str(stack[-1]), aliases)

    # -- reading --

    def versions(self, name: str) -> list[Version]:
        """All versions of a model, the newest first.

        Raises
        ------
        LookupFailed
            When there is no such model.
        """
        with self._calling(f"listing the versions of {name}") as client:
            aliases = aliases_of(client, name)
            found = [
                version_of(entry, names_of(aliases, entry.version)) for entry in entries_of(client, name)
            ]
        return sorted(found, key=lambda version: -version.version)

    def version(self, uri: str) -> Version:
        """The version that a `models:/` URI names at this moment.

        Raises
        ------
        LookupFailed
            When it names none; the message says which names, versions or aliases are near.
        """
        name, which, kind = parsed(uri)
        with self._calling(f"looking up {uri}") as client:
            aliases = aliases_of(client, name)
            if kind == "alias":
                if which not in aliases:
                    raise no_alias(name, which, aliases)
                which = str(aliases[which])
            elif kind == "latest":
                numbers = [int(entry.version) for entry in entries_of(client, name)]
                if not numbers:
                    raise LookupFailed(
                        Problem(uri, "a model without versions", action="register a run first")
                    )
                which = str(max(numbers))
            return numbered(client, name, which, aliases)

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
        return model.below(data_path(model("MLmodel"), uri))

    def artifacts(self, uri: str, run_id: str | None) -> StoredFiles:
        """The artifacts of the run that made what a URI names, fetched one by one when they are needed.

        Raises
        ------
        LookupFailed
            When it has no run, or that is gone.
        RegistryError
            When the registry does not answer.
        """
        with self._calling(f"looking up the run of {uri}") as client:
            try:
                run = client.get_run(run_id or "")
            except Exception as error:
                if run_id and not is_missing(error):
                    raise
                raise LookupFailed(
                    Problem(uri, "a version without its run", "a version that many-models registered")
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
            save_model(staged / MODEL_FOLDER, bundle, flavor, run_id)
            for path, source in record.artifacts.items():
                copy(Path(source), staged / path)
            client.log_artifacts(run_id, str(staged))

    def _run_files(self, uri: str) -> StoredFiles:
        run_id, _, path = uri.removeprefix("runs:/").partition("/")
        with self._calling(f"looking up {uri}") as client:
            try:
                run = client.get_run(run_id)
            except Exception as error:
                if not is_missing(error):
                    raise
                raise LookupFailed(Problem(uri, "no such run", URI_FORMS)) from None
            return self._stored(joined(run.info.artifact_uri, path or MODEL_FOLDER))

    def _source(self, client: Any, version: Version) -> str:
        """Where the files of a version are."""
        if self._resolved_registry().startswith(("databricks", "uc")):
            # Only MLflow's own resolver gets the short-lived credentials of Unity Catalog.
            return version.uri
        source = str(client.get_model_version_download_uri(version.name, str(version.version)))
        if source.startswith("runs:/"):
            run_id, _, path = source.removeprefix("runs:/").partition("/")
            return joined(client.get_run(run_id).info.artifact_uri, path)
        return source

    def _stored(self, artifact_uri: str) -> StoredFiles:
        local = local_folder(artifact_uri)
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
                artifact_uri=joined(artifact_uri, path),
                dst_path=str(into),
                tracking_uri=self.tracking_uri,
                registry_uri=self._resolved_registry(),
            )
        return Path(found)


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


def _mark_failed(client: Any, run_id: str) -> None:
    try:
        with quiet(client.tracking_uri, impatient=True):  # it waited for the registry before
            client.set_terminated(run_id, "FAILED")
    except Exception:  # The first error is the one to tell; the run may be out of reach.
        return
