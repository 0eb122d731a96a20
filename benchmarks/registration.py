"""What a registered model of its own for each series costs (`registry.granularity: series`).

    python benchmarks/registration.py [--series N] [--store local|server ...]

Two runs of generated series are registered one after the other, as sets and series by series: in a
fresh SQLite store, and on an `mlflow server` that is started on loopback. Then the alias is rolled back,
which moves that of each series. Bytes are those of the artifacts of one run.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from memory import SPEC, panel

from many_models import ForecastSpec, Run, train
from many_models.runs.promotion import rollback

START_SECONDS = 120


class Server:
    """An `mlflow server` of one worker on loopback, which can be killed and started again where it was.

    Attributes
    ----------
    uri
        Its address, the same after every start.
    artifacts, database
        Where it keeps what it was given.
    """

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.uri = f"http://127.0.0.1:{self._port}"
        self.artifacts, self.database = folder / "artifacts", folder / "server.db"

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.database}"]
        command += ["--artifacts-destination", str(self.artifacts)]
        # Its queue of jobs is four processes more, and nothing here asks for a job.
        settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        log = self._folder / "server.log"
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env={**os.environ, **settings}, stdout=sink, stderr=sink,
                start_new_session=True,
            )  # fmt: skip
        until = time.monotonic() + START_SECONDS
        while not _answers(self._port):
            if self._process.poll() is not None or time.monotonic() > until:
                raise SystemExit(log.read_text()[-2000:])
            time.sleep(0.2)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ends it and all that it started."""
        if self._process is not None:
            os.killpg(self._process.pid, how)
            self._process.wait()
        self._process = None


@contextmanager
def store(kind: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """The URI of a fresh registry, and where its artifacts lie."""
    if kind == "local":
        yield f"sqlite:///{folder}/local.db", folder
        return
    server = Server(folder)
    try:
        server.start()
        yield server.uri, server.artifacts
    finally:
        server.stop()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
            return True
    except OSError:
        return False


def measured(runs: dict[str, list[Run]], kind: str, folder: Path) -> list[dict[str, Any]]:
    """Seconds and bytes of registering twice and rolling back once, in one store, by granularity."""
    rows = []
    folder.mkdir()
    with store(kind, folder) as (uri, artifacts):
        for granularity, (one, other) in runs.items():
            name = f"panel_{granularity}"
            before = _bytes(artifacts)
            first, _ = harness.stopwatch(lambda run=one, name=name: run.register(name, tracking_uri=uri))
            size = _bytes(artifacts) - before
            again, _ = harness.stopwatch(lambda run=other, name=name: run.register(name, tracking_uri=uri))
            back, _ = harness.stopwatch(lambda name=name: rollback(name, tracking_uri=uri))
            rows.append(
                {
                    "store": kind,
                    "granularity": granularity,
                    "series": len(one.results()),
                    "register s": first,
                    "again s": again,
                    "rollback s": back,
                    "MB": size / 1e6,
                }
            )
    return rows


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--series", type=int, default=200, help="series of the run; default 200")
    parser.add_argument("--store", nargs="+", choices=("local", "server"), default=["local", "server"])
    options = parser.parse_args(argv)
    print(harness.headline("A registered model per series"), flush=True)
    frame = panel(options.series, 60).drop(columns="price")
    rows: list[dict[str, Any]] = []
    with harness.scratch() as folder:
        runs = {}
        for granularity in ("set", "series"):
            spec = ForecastSpec.from_dict(SPEC).replace(
                {"data.known": [], "registry.granularity": granularity}
            )
            runs[granularity] = [
                train(
                    frame,
                    spec.replace({"seed": seed, "learners.allow": [learner]}),
                    run_dir=folder / f"{granularity}-{seed}",
                )
                for seed, learner in enumerate(("average", "drift"))
            ]
        runs["set"][0].register("warm", tracking_uri=f"sqlite:///{folder}/warm.db")  # imports are paid here
        for kind in options.store:
            rows += measured(runs, kind, folder / kind)
    table = pd.DataFrame(rows)
    print(harness.markdown(table))
    for kind in options.store:
        one, other = (table[(table["store"] == kind) & (table["granularity"] == g)].iloc[0] for g in runs)
        told = [
            f"{what.removesuffix(' s')} {1000 * (other[what] - one[what]) / options.series:.0f} ms"
            for what in ("register s", "again s", "rollback s")
        ]
        size = 1000 * (other["MB"] - one["MB"]) / options.series
        print(f"a series on {kind} costs: {', '.join(told)}, {size:.0f} kB")


if __name__ == "__main__":
    main()
