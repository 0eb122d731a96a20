"""A real standalone cluster of Spark on loopback, and the processes in it that can be killed."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DEPLOY = "org.apache.spark.deploy"
START_SECONDS = 120
EXECUTOR, DAEMON = "CoarseGrainedExecutorBackend", "pyspark.daemon"


@dataclass
class Cluster:
    """A master and its workers, which live in processes of this one.

    Attributes
    ----------
    master
        Its address, `spark://127.0.0.1:PORT`.
    """

    master: str
    processes: list[subprocess.Popen[bytes]]

    def executors(self) -> list[int]:
        """The process ids of the executors that live now."""
        return [pid for pid in self._descendants() if EXECUTOR in _command(pid)]

    def python_workers(self) -> list[int]:
        """The process ids of the executors' Python workers: what Spark's daemon has forked."""
        daemons = [pid for pid in self._descendants() if DAEMON in _command(pid)]
        return [pid for pid in daemons if _parent(pid) in daemons]

    def _descendants(self) -> list[int]:
        found, waiting = [], [process.pid for process in self.processes]
        while waiting:
            children = _children(waiting.pop())
            found += children
            waiting += children
        return found


@contextlib.contextmanager
def cluster(folder: Path, workers: int = 2, **variables: str) -> Iterator[Cluster]:
    """A master with so many workers of one core each, with these variables set; all of it ends here."""
    import pyspark

    spark_class = str(Path(pyspark.__file__).parent / "bin" / "spark-class")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = Cluster(f"spark://127.0.0.1:{port}", [])
    environment = {
        **os.environ,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_WORKER_DIR": str(folder / "work"),
        **variables,
    }

    def start(*arguments: str) -> None:
        with (folder / f"{len(found.processes)}.log").open("wb") as log:
            command = [spark_class, *arguments]
            found.processes.append(
                subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
            )

    try:
        ports = ["--host", "127.0.0.1", "--webui-port", "0"]
        start(f"{DEPLOY}.master.Master", *ports, "--port", str(port))
        _wait_for(port)
        for _ in range(workers):
            start(f"{DEPLOY}.worker.Worker", *ports, "--cores", "1", "--memory", "1g", found.master)
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


def _children(pid: int) -> list[int]:
    """What all threads of a process have started, and still lives."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
