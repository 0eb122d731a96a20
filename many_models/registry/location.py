"""Where the registry is, and where the artifacts of a new experiment go."""

from __future__ import annotations

import os
import re
from pathlib import Path

_SQLITE = re.compile(r"sqlite(?:\+\w+)?:///(?P<path>[^?]+)(?:\?.*)?")


def default_tracking_uri(configured: str | None, beside: Path) -> str:
    """The tracking URI: the configured one, else the environment's, else a database in `beside`.

    The environment's is MLFLOW_TRACKING_URI, or the workspace's own server on Databricks.
    """
    if configured:
        return configured
    from_environment = os.environ.get("MLFLOW_TRACKING_URI")
    if from_environment:
        return from_environment
    if os.environ.get("DATABRICKS_RUNTIME_VERSION"):
        return "databricks"
    return f"sqlite:///{(beside / 'mlflow.db').absolute().as_posix()}"


def database_file(tracking_uri: str) -> Path | None:
    """The file of a SQLite store, or None where the store is something else."""
    match = _SQLITE.fullmatch(tracking_uri)
    if match is None or match["path"] == ":memory:":
        return None
    return Path(match["path"]).absolute()


def artifact_root(tracking_uri: str) -> Path | None:
    """The folder for the artifacts of a SQLite store: beside the database, wherever we run.

    None where a server decides.
    """
    database = database_file(tracking_uri)
    return None if database is None else database.parent / "mlartifacts"


def artifact_location(tracking_uri: str, experiment: str) -> str | None:
    """The artifact location of a new experiment, or None where a server decides."""
    root = artifact_root(tracking_uri)
    if root is None:
        return None
    return (root / (re.sub(r"[^\w.\-]+", "_", experiment).strip(".") or "experiment")).as_uri()
