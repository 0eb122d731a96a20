"""Faults at random moments of runs: killed drivers, workers and executors, and what became of it.

    python benchmarks/chaos.py [--faults N] [--cluster N] [--stores N] [--seed S]

A small panel is trained undisturbed. Then it is trained again, in processes that are struck with SIGKILL at
random moments: the driver of the local engine or one of its workers; a Python worker or an executor of a
standalone cluster of Spark on loopback. A run that ended before its time is resumed; a series whose own
process was killed is a row FAILED, which `train --only failed` tries again. In the end every series has its
row, nothing that was finished was fitted again, and all rows are those of the undisturbed run, bit for bit.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from cluster import Cluster, cluster

from many_models import ForecastSpec, open_run, train
from many_models.datasets import retail

KEYS = ["store", "item"]
FOLDERS = ("results", "leaderboard", "forecasts", "totals", "findings")
CLOCKS = ("seconds", "fit_seconds", "predict_seconds", "run_id")
"""What a clock says, and what names the run."""

LOCAL = ("driver", "worker")
SPARK = ("python worker", "executor")

TRAIN = """
import sys
from many_models.engines import local
local.BATCH_SECONDS = 0.02
from many_models import ForecastSpec, resume, train
config, run = sys.argv[1:]
from pathlib import Path
if (Path(run) / "journal").is_dir():
    resume(run)
else:
    train(None, ForecastSpec.from_yaml(config), run_dir=run)
"""

MOST_TRIES = 8
"""A run that was struck is resumed so often at most."""


@dataclass
class Account:
    """What was done to the runs, and what became of them."""

    injected: Counter[str] = field(default_factory=Counter)
    survived: int = 0
    lost: int = 0
    refitted: int = 0
    retried: int = 0
    resumed: int = 0
    tasks: int = 0
    different: list[str] = field(default_factory=list)

    @property
    def harm(self) -> int:
        """What the faults did: series lost, series fitted again, folders that differ."""
        return self.lost + self.refitted + len(self.different)


def spec(folder: Path) -> ForecastSpec:
    """The configuration of the panel in `folder`."""
    return ForecastSpec.from_dict(
        {
            "name": "chaos",
            "data": {
                "path": str(folder / "sales.parquet"),
                "time": "date",
                "target": "sales",
                "series": KEYS,
                "known": ["price", "promotion"],
                "mask": "stock_out",
                "frequency": "W-MON",
            },
            "forecast": {"horizon": 4, "totals": [2, 4]},
            "learners": {"allow": ["drift", "average", "theta", "arx"]},
            "features": {"holidays": None},
            "engine": {"workers": 2},
        }
    )


def rows_of(run_dir: Path, name: str) -> pd.DataFrame:
    """The rows of a folder without what a clock says, in key order."""
    frame = pd.read_parquet(run_dir / name)
    frame = frame.drop(columns=[column for column in CLOCKS if column in frame.columns])
    return frame.sort_values(KEYS, kind="stable", ignore_index=True)


def finished(run_dir: Path) -> dict[tuple[object, ...], float]:
    """The seconds that each finished series took: they tell whether it was fitted again."""
    if not (run_dir / "results").is_dir():
        return {}
    frame = pd.read_parquet(run_dir / "results")
    return dict(zip(zip(*(frame[k] for k in KEYS), strict=True), frame["seconds"], strict=True))


@contextmanager
def training(config: Path, run_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that trains, or goes on where one was ended; it has ended afterwards."""
    # For some dozens of series, Spark's 200 partitions of a shuffle would be most of the time.
    small = "--conf spark.sql.shuffle.partitions=4 pyspark-shell"
    spark = {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable, "PYSPARK_SUBMIT_ARGS": small}
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN, str(config), str(run_dir)],
        env={**os.environ, **spark},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
        process.wait()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def disturbed(config: Path, run_dir: Path, fault: str, draw: random.Random) -> bool:
    """Whether the fault struck a training under way, which then ended or was ended."""
    before = len(list((run_dir / "results").glob("part-*.parquet")))
    struck, wanted = False, before + draw.randint(0, 3)
    with training(config, run_dir) as process:
        while process.poll() is None:
            if not struck and len(list((run_dir / "results").glob("part-*.parquet"))) > wanted:
                time.sleep(draw.uniform(0, 0.05))
                if fault == "driver":
                    os.killpg(process.pid, signal.SIGKILL)
                    struck = True
                else:
                    struck = _kill_a_worker(process.pid, draw)
            time.sleep(0.002)
    return struck


def disturbed_cluster(config: Path, run_dir: Path, fault: str, found: Cluster, draw: random.Random) -> bool:
    """The same on a cluster: so many seconds after a wave of this process began."""
    before = events(run_dir)["wave started"]
    struck, moment = False, 0.0
    with training(config, run_dir) as process:
        while process.poll() is None:
            now = events(run_dir)
            if not moment and now["wave started"] > before:
                moment = time.monotonic() + draw.uniform(0, 4)
            if moment and not struck and time.monotonic() > moment and not now["run done"]:
                alive = found.executors() if fault == "executor" else found.python_workers()
                struck = _killed(alive, draw)
            time.sleep(0.1)
    return struck


def events(run_dir: Path) -> Counter[str]:
    """How often each event stands in the run's `events.jsonl`."""
    return Counter(open_run(run_dir).events()["event"]) if (run_dir / "spec.yaml").is_file() else Counter()


def _killed(alive: Sequence[int], draw: random.Random) -> bool:
    if not alive:
        return False
    try:
        os.kill(draw.choice(alive), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _kill_a_worker(driver: int, draw: random.Random) -> bool:
    workers = Path(f"/proc/{driver}/task/{driver}/children").read_text().split()
    for thread in Path(f"/proc/{driver}/task").iterdir():
        workers += (thread / "children").read_text().split()
    if not workers:
        return False
    try:
        os.kill(int(draw.choice(workers)), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def suffered(
    folder: Path, number: str, faults: list[str], found: Cluster | None, draw: random.Random, account: Account
) -> None:
    """One run under faults, up to its end; the faults that struck are taken off the list."""
    config = folder / ("spec.yaml" if found is None else "spark.yaml")
    run_dir, before = folder / f"run-{number}", dict[tuple[object, ...], float]()
    injected, harm, tries = account.injected.total(), account.harm, 0
    while not (run_dir / "summary.json").is_file():
        tries += 1
        if tries > MOST_TRIES + len(faults):
            account.different.append(f"{run_dir.name} does not end")
            return
        if not faults:
            with training(config, run_dir):
                pass
        elif found is None:
            struck = disturbed(config, run_dir, faults[-1], draw)
        else:
            struck = disturbed_cluster(config, run_dir, faults[-1], found, draw)
        if faults and struck:
            account.injected[faults.pop()] += 1
        now = finished(run_dir)
        account.refitted += sum(now.get(key) != seconds for key, seconds in before.items())
        before = now
    account.resumed += tries - 1
    account.tasks += events(run_dir)["tasks tried again"]
    run = open_run(run_dir)
    failed = int((run.results()["status"] == "FAILED").sum())
    if failed:
        account.retried += failed
        local = run.spec.replace({"engine.kind": "local"})
        run = train(None, local, run_dir=folder / f"again-{number}", only=["failed"], base=run_dir)
    _compare(run.directory, folder / "whole", account)
    if account.harm == harm:  # the run is whole, and as if nothing had happened
        account.survived += account.injected.total() - injected


def _compare(run_dir: Path, whole: Path, account: Account) -> None:
    mine, all_of_them = (rows_of(path, "results") for path in (run_dir, whole))
    account.lost += len(all_of_them) - len(mine.drop_duplicates(KEYS))
    for name in FOLDERS:
        one, other = rows_of(run_dir, name), rows_of(whole, name)
        if name == "findings":  # a crash is told of in a finding of the run in which it happened
            one, other = (frame.drop_duplicates() for frame in (one, other))
        if not one.equals(other):
            account.different.append(f"{run_dir.name}/{name}")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--faults", type=int, default=20, help="drivers and workers of the local engine killed"
    )
    parser.add_argument("--cluster", type=int, default=6, help="Python workers and executors of Spark killed")
    parser.add_argument("--stores", type=int, default=6, help="stores of four items each")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends what was started, too
    draw, account = random.Random(options.seed), Account()
    runs = 0
    with harness.scratch() as folder:
        frame = retail(stores=options.stores, items=4, periods=60, frequency="W", future=4, seed=3)
        frame.to_parquet(folder / "sales.parquet")
        (folder / "spec.yaml").write_text(spec(folder).to_yaml())
        whole = train(None, spec(folder), run_dir=folder / "whole")
        faults = [LOCAL[i % 2] for i in range(options.faults)]
        while faults:
            runs += 1
            suffered(folder, str(runs), faults, None, draw, account)
        faults = [SPARK[i % 2] for i in range(options.cluster)]
        if faults and shutil.which("java") is None:
            print("no Java: nothing of Spark was killed")
            faults = []
        if faults:
            (folder / "cluster").mkdir()
            with cluster(folder / "cluster", PYSPARK_PYTHON=sys.executable) as found:
                spark = spec(folder).replace({"engine.kind": found.master})
                (folder / "spark.yaml").write_text(spark.to_yaml())
                while faults:
                    runs += 1
                    suffered(folder, str(runs), faults, found, draw, account)
        series = whole.summary["series"]
    kinds = ", ".join(f"{count} x {kind}" for kind, count in account.injected.items())
    print(f"{series} series, {runs} runs")
    print(f"faults injected  {account.injected.total()} ({kinds})")
    print(f"survived         {account.survived}")
    print(f"series lost      {account.lost}")
    print(f"series refitted  {account.refitted}")
    print(f"series retried   {account.retried} (FAILED with their process, trained again by --only failed)")
    print(f"runs resumed     {account.resumed} times; Spark tried tasks again in {account.tasks} waves")
    print(f"what differs from the undisturbed run: {', '.join(account.different) or 'nothing'}")
    return 1 if account.harm else 0


if __name__ == "__main__":
    sys.exit(main())
