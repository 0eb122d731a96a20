"""A real standalone cluster of Spark on loopback, and the processes in it that can be killed."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from processes import CHILD, children, command, descendants, is_running, parent

DEPLOY = "org.apache.spark.deploy"
START_SECONDS = 120
EXECUTOR, DAEMON = "CoarseGrainedExecutorBackend", "pyspark.daemon"
LOOKS = 3


@dataclass
class Cluster:
    """A master and its workers, which live in processes of this one.

    Attributes
    ----------
    master
        Its address, `spark://127.0.0.1:PORT`.
    processes
        The master's, and those of the workers.
    """

    master: str
    folder: Path
    environment: dict[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, what: str, *arguments: str) -> None:
        """Starts a `Master` or `Worker` on loopback."""
        import pyspark

        spark_class = str(Path(pyspark.__file__).parent / "bin" / "spark-class")
        command = [spark_class, f"{DEPLOY}.{what.lower()}.{what}", "--host", "127.0.0.1", "--webui-port", "0"]
        with (self.folder / f"{what}-{time.monotonic_ns()}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(
                    [*command, *arguments], env=self.environment, cwd=self.folder, stdout=log, stderr=log
                )
            )

    def start_worker(self) -> None:
        """Starts a worker of one core."""
        self.start("Worker", "--cores", "1", "--memory", "1g", self.master)

    def at_work(self) -> list[int]:
        """The process ids of the executors' Python workers in whose guarded child a group is fitted now."""
        return [pid for pid in self._python_workers() if any(map(_runs, children(pid)))]

    def executor_of(self, python_worker: int) -> int:
        """The executor of a Python worker."""
        pid = python_worker
        while EXECUTOR not in command(pid):
            pid = parent(pid)
        return pid

    def worker_of(self, python_worker: int) -> int:
        """The worker of the cluster that started the executor of a Python worker."""
        return parent(self.executor_of(python_worker))

    def replace(self, pid: int) -> None:
        """Starts a worker in place of one that was killed."""
        gone = next(process for process in self.processes if process.pid == pid)
        gone.wait()
        self.processes.remove(gone)
        self.start_worker()

    def _python_workers(self) -> list[int]:
        """What Spark's daemon has forked."""
        daemons = [pid for pid in self._descendants() if DAEMON in command(pid)]
        return [pid for pid in daemons if parent(pid) in daemons]

    def _descendants(self) -> list[int]:
        return [pid for process in self.processes for pid in descendants(process.pid)]


@contextlib.contextmanager
def cluster(folder: Path, workers: int = 2, **variables: str) -> Iterator[Cluster]:
    """A master with so many workers of one core each, with these variables set; all of it ends here."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_WORKER_DIR": str(folder / "work"),
        **variables,
    }
    found = Cluster(f"spark://127.0.0.1:{port}", folder, environment)
    try:
        found.start("Master", "--port", str(port))
        _wait_for(port)
        for _ in range(workers):
            found.start_worker()
        yield found
    finally:
        for process in reversed(found.processes):
            process.terminate()
        for process in found.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()


def _wait_for(port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError("the master of the cluster did not start")


def _runs(pid: int) -> bool:
    """Whether a process is a guarded child that computes: it has or wants a core at every look."""
    if CHILD not in command(pid):
        return False
    for look in range(LOOKS):
        if look:
            time.sleep(0.004)
        if not is_running(pid):
            return False
    return True
