"""Calls of MLflow that leave nothing of themselves behind, and its errors in our words."""

from __future__ import annotations

import importlib
import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from many_models.errors import InputError, ManyModelsError, Problem, RegistryError
from many_models.registry.location import artifact_root, database_file
from many_models.registry.redaction import redact

_QUIET = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # MLflow copies uv.lock and pyproject.toml of the current folder into a model otherwise.
    "MLFLOW_UV_AUTO_DETECT": "false",
}
_IMPATIENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "4",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0",
}
# MLflow would try for four minutes; a server that is started again is back within one.
_PATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5"}
# What the HTTP library says below three layers of its own class names.
_CAUSE = re.compile(r"Caused by \w+\([\"'][^\"]*?\): (.*?)[\"']\)")
_MAX_REASON = 500
_LOGGERS = ("mlflow", "alembic")
_GUARD = threading.RLock()


@contextmanager
def quiet(tracking_uri: str, impatient: bool = False) -> Iterator[None]:
    """MLflow without progress bars, log lines and warnings; all settings are put back after.

    One thread at a time, because environment, log levels and warning filters belong to the
    process.

    Parameters
    ----------
    tracking_uri
        A SQLite store that is made meanwhile keeps its artifacts beside its database.
    impatient
        Whether HTTP requests give up after seconds; else after a minute, or as the environment says.
    """
    patience = {name: value for name, value in _PATIENT.items() if name not in os.environ}
    settings = {**_QUIET, **(_IMPATIENT if impatient else patience)}
    root = artifact_root(tracking_uri)
    if root is not None:
        # Read by MLflow 3 for its own "Default" experiment, which would name the current folder.
        settings["_MLFLOW_SERVER_ARTIFACT_ROOT"] = str(root)
    with _GUARD:
        _import_mlflow()
        loggers = [logging.getLogger(name) for name in _LOGGERS]
        levels = [logger.level for logger in loggers]
        before = {name: os.environ.get(name) for name in settings}
        os.environ.update(settings)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for logger in loggers:
                    logger.setLevel(logging.CRITICAL)
                yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _import_mlflow() -> None:
    """Import MLflow, which warns and sets up its loggers meanwhile; the log levels it sets stay."""
    if "mlflow" not in sys.modules:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("mlflow")


@contextmanager
def translated(doing: str, tracking_uri: str) -> Iterator[None]:
    """Our errors instead of MLflow's, its HTTP library's and its database's, without credentials.

    Raises
    ------
    InputError
        When MLflow says that a name or an alias is not allowed.
    RegistryError
        When anything else fails out there.
    """
    try:
        yield
    except (ManyModelsError, TypeError, AttributeError, NameError, AssertionError):
        raise
    except Exception as error:
        # Broad on purpose: an artifact store raises whatever its own library raises. The cause is
        # cut off, because its text may hold credentials.
        text = reason(error)
        where = redact(tracking_uri)
        if getattr(error, "error_code", None) == "INVALID_PARAMETER_VALUE":
            problem = Problem(f"registry {where}", text, action="choose another name, alias or value")
            raise InputError(problem) from None
        raise RegistryError(f"{doing} failed at the registry {where}: {text}") from None


def is_missing(error: Exception) -> bool:
    """Whether an MLflow error says that something does not exist."""
    return getattr(error, "error_code", None) in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")


def already_exists(error: Exception) -> bool:
    """Whether an MLflow error says that something is there already."""
    return getattr(error, "error_code", None) in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS")


@contextmanager
def sole_initialiser(tracking_uri: str) -> Iterator[None]:
    """A file lock beside a SQLite store: two processes that make its tables at once both fail.

    Raises
    ------
    RegistryError
        When the folder of the database cannot be written.
    """
    database = database_file(tracking_uri)
    if database is None:
        yield
        return
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        # MLflow tries for minutes to open a database that it may not open.
        if not os.access(database if database.exists() else database.parent, os.R_OK | os.W_OK):
            raise PermissionError(13, "no permission to write")
        lock = (database.parent / f".{database.name}.lock").open("ab")
    except OSError as error:
        raise RegistryError(
            f"the registry database {database} cannot be opened: {error.strerror or error}; "
            "set registry.tracking_uri or MLFLOW_TRACKING_URI to one that can be written"
        ) from None
    with lock:
        _lock(lock.fileno())
        yield


def _lock(descriptor: int) -> None:
    """Wait for the exclusive lock on an open file; it ends with the file."""
    try:
        import fcntl
    except ImportError:  # Windows has no flock; there two first starts at once stay a risk.
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def reason(error: Exception) -> str:
    """What an error of MLflow says, in short and without credentials."""
    text = str(error).strip() or type(error).__name__
    cause = _CAUSE.search(text)
    text = redact(cause[1] if cause else text)
    return text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]}…"
