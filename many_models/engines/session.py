"""The Spark session: the user's active one, or our own; and this package, shipped to its workers."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import many_models
from many_models.engines.machine import usable_cores, usable_memory_bytes
from many_models.errors import EngineError, ManyModelsError

_QUIET_LOG = """
rootLogger.level = error
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n
"""
_NO_PYSPARK = (
    "pyspark is not installed: install it with `pip install 'many-models[spark]'` "
    "(not on Databricks, which brings its own), or use --engine local"
)
_NO_JAVA = (
    "no Java was found: Spark needs Java 17 (Debian: apt-get install openjdk-17-jre-headless), on PATH or "
    "in JAVA_HOME; or use --engine local"
)


class Session:
    """A Spark session that has this package on its workers' path.

    Attributes
    ----------
    spark
        The `SparkSession`, classic or Connect.
    """

    def __init__(self, spark: Any, own: bool) -> None:
        self.spark = spark
        self._own = own
        self._ship()

    @classmethod
    def get(cls, master: str, workers: int | None) -> Session:
        """The session for `spark` (the active one, else a local one), `spark://…` or `sc://…`.

        Raises
        ------
        EngineError
            When pyspark or Java is missing, the cluster does not answer, or another session is active.
        """
        try:
            from pyspark.sql import SparkSession
        except ImportError:
            raise EngineError(_NO_PYSPARK) from None
        with spark_errors("Spark cannot be started"):
            active = SparkSession.getActiveSession()
            if active is not None and (master == "spark" or _master_of(active) == master):
                return cls(active, own=False)
            if active is not None:
                raise EngineError(
                    f"a Spark session on {_master_of(active)} is active in this process, and {master} "
                    "was asked for: stop that session first, or use --engine spark to run on it"
                )
            if master.startswith("sc://"):
                return cls(SparkSession.builder.remote(master).getOrCreate(), own=True)
            return cls(_create(master, workers), own=True)

    @classmethod
    def of_frame(cls, frame: Any) -> Session:
        """The session that a Spark DataFrame belongs to."""
        return cls(frame.sparkSession, own=False)

    @property
    def time_zone(self) -> str:
        """The session's time zone: in it the user sees the instants of TIMESTAMP columns."""
        return str(self.spark.conf.get("spark.sql.session.timeZone"))

    @property
    def master(self) -> str:
        """The master's address, as far as the session tells."""
        return _master_of(self.spark)

    def close(self) -> None:
        """Ends the session when it is our own."""
        if self._own:
            with contextlib.suppress(Exception):  # a cluster that is gone needs no goodbye
                self.spark.stop()

    def _ship(self) -> None:
        """Puts this package on the workers' path: they import what the driver runs, not what they have."""
        package = Path(many_models.__file__).parent
        if not package.is_dir():  # imported from an archive that was shipped already
            return
        archive = _archive_of(package)
        try:
            self.spark.addArtifacts(str(archive), pyfile=True)
        except Exception as error:
            # Spark 3.5 classic has no way to ship: there the package is installed on the workers
            if "ALREADY_EXISTS" not in str(error) and not _cannot_ship(error):
                raise


def _cannot_ship(error: Exception) -> bool:
    return isinstance(error, AttributeError | NotImplementedError) or "ONLY_SUPPORTED_WITH" in str(error)


@contextlib.contextmanager
def spark_errors(what: str) -> Iterator[None]:
    """Turns what Spark raises into an EngineError that begins with `what`."""
    try:
        yield
    except ManyModelsError:
        raise
    except Exception as error:
        module = type(error).__module__
        if not module.startswith(("pyspark", "py4j", "grpc", "builtins", "socket")):
            raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = "; ".join(lines[:4])[:1000] or type(error).__name__
        raise EngineError(f"{what}: {said}") from error


def _master_of(spark: Any) -> str:
    try:
        return str(spark.conf.get("spark.master", "unknown"))
    except Exception:  # a managed cluster may hide it
        return "unknown"


def _create(master: str, workers: int | None) -> Any:
    from pyspark.sql import SparkSession

    if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        raise EngineError(_NO_JAVA)
    # workers run the driver's Python, unless the user says otherwise
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("many-models")
    builder = builder.config("spark.ui.enabled", "false")
    builder = builder.config("spark.ui.showConsoleProgress", "false")
    with tempfile.TemporaryDirectory(prefix="many-models-log-") as folder:
        log = Path(folder) / "log4j2.properties"
        log.write_text(_QUIET_LOG)
        quiet = f"-Dlog4j2.configurationFile={log.as_uri()}"
        builder = builder.config("spark.driver.extraJavaOptions", quiet)
        if master == "spark":
            builder = builder.master(f"local[{workers or usable_cores()}]")
            builder = builder.config("spark.driver.host", "127.0.0.1")
            builder = builder.config("spark.driver.bindAddress", "127.0.0.1")
            gigabytes = min(8, max(1, usable_memory_bytes() // 2**32))
            builder = builder.config("spark.driver.memory", f"{gigabytes}g")
        else:
            builder = builder.master(master)
        return builder.getOrCreate()


@functools.cache
def _archive_of(package: Path) -> Path:
    """A zip of the package that lies still until this process ends.

    A classic session hands it to executors from where it lies, whenever one of them is new.
    """
    folder = Path(tempfile.mkdtemp(prefix="many-models-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return _archive(package, folder)


def _archive(package: Path, folder: Path) -> Path:
    """A zip of the package, named by its content: the same content always gives the same bytes."""
    files = sorted(
        path for path in package.rglob("*") if path.is_file() and path.suffix not in (".pyc", ".pyo")
    )
    draft = folder / "draft.zip"
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            entry = zipfile.ZipInfo(f"{package.name}/{path.relative_to(package).as_posix()}")
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    digest = hashlib.blake2b(draft.read_bytes(), digest_size=8).hexdigest()
    return draft.rename(folder / f"many_models_{digest}.zip")
