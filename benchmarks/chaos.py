"""Faults at random moments of runs: killed drivers, workers, executors, registries, and what became of it.

    python benchmarks/chaos.py [--faults N] [--cluster N] [--registry N] [--stores N] [--seed S]

A small panel is trained undisturbed. Then it is trained again, in processes that are struck with SIGKILL at
random moments: the driver of the local engine or one of its workers; on a standalone cluster of Spark on
loopback a Python worker, an executor or a worker of the cluster, each while a group is fitted in it. A run
that ended before its time is resumed; a series whose own process was killed is a row FAILED, which
`train --only failed` tries again. In the end every series has its row, nothing that was finished was fitted
again, and all rows are those of the undisturbed run, bit for bit.

An `mlflow server` is killed while `many-models train --register` writes to it, and started again where it
was. Where the command gave up, it has to end with exit code 4 and the command that registers the run later,
which is given. Then every version that the registry lists serves each series with the model of its run, and
the alias names the last of them, whose forecasts are those of the undisturbed run.

A kill that nothing felt is no fault and is tried again: Spark's own log has to tell of tasks that were lost,
and whoever registers has to fail, or to wait until the server is back.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from cluster import Cluster, cluster
from processes import children
from registration import Server

from many_models import ForecastSpec, open_models, open_run, train
from many_models.datasets import retail
from many_models.runs.registration import registry

KEYS = ["store", "item"]
FOLDERS = ("results", "leaderboard", "forecasts", "totals", "findings")
CLOCKS = ("seconds", "fit_seconds", "predict_seconds", "run_id")
"""What a clock says, and what names the run."""

LOCAL = ("driver", "worker")
SPARK = ("python worker", "executor", "cluster worker")
REGISTRY = "registry"
NAME = "chaos"

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

COMMAND = "import sys; from many_models.cli.main import main; sys.argv[0] = 'many-models'; main()"

MOST_TRIES = 8
"""A run that was struck is resumed so often at most, and a kill that nothing felt tried again."""

MOST_UNFELT = 30


@dataclass
class Account:
    """What was done to the runs, and what became of them."""

    injected: Counter[str] = field(default_factory=Counter)
    survived: int = 0
    lost: int = 0
    refitted: int = 0
    retried: int = 0
    resumed: int = 0
    unfelt: int = 0
    tasks: int = 0
    waves: int = 0
    again: int = 0
    waited: int = 0
    versions: int = 0
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
    said = spark_log(run_dir)
    said.mkdir(exist_ok=True)
    settings = [
        "spark.sql.shuffle.partitions=4",
        "spark.eventLog.enabled=true",
        "spark.eventLog.compress=false",
        f"spark.eventLog.dir={said.as_uri()}",
    ]
    submit = " ".join(f"--conf {setting}" for setting in settings) + " pyspark-shell"
    spark = {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable, "PYSPARK_SUBMIT_ARGS": submit}
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
    """The same on a cluster: some time after a wave of this process came back, so that imports are over."""
    before, lost = events(run_dir)["wave done"], lost_tasks(run_dir)
    struck, moment = False, 0.0
    with training(config, run_dir) as process:
        while process.poll() is None:
            if not moment and events(run_dir)["wave done"] > before:
                moment = time.monotonic() + draw.uniform(0, 2)
            if moment and not struck and time.monotonic() > moment:
                struck = _kill_one_at_work(found, fault, draw)
            time.sleep(0.02)
    return struck and lost_tasks(run_dir) > lost


def _kill_one_at_work(found: Cluster, fault: str, draw: random.Random) -> bool:
    """Whether a group was under way somewhere, whose process was killed."""
    at_work = found.at_work()
    if not at_work:
        return False
    pid = draw.choice(at_work)
    if fault == "executor":
        pid = found.executor_of(pid)
    elif fault == "cluster worker":
        pid = found.worker_of(pid)
    os.kill(pid, signal.SIGKILL)
    if fault == "cluster worker":
        found.replace(pid)
    return True


def spark_log(run_dir: Path) -> Path:
    """The folder in which Spark tells what became of the tasks of a run."""
    return run_dir.with_name(f"{run_dir.name}-spark")


def lost_tasks(run_dir: Path) -> int:
    """The tasks that ended otherwise than by success, as Spark tells it itself."""
    lost = 0
    for path in spark_log(run_dir).rglob("*"):
        for line in path.read_text().splitlines() if path.is_file() and path.suffix != ".crc" else ():
            if line.startswith('{"Event":"SparkListenerTaskEnd"'):
                lost += json.loads(line)["Task End Reason"]["Reason"] not in ("Success", "TaskKilled")
    return lost


def events(run_dir: Path) -> Counter[str]:
    """How often each event stands in the run's `events.jsonl`."""
    return Counter(open_run(run_dir).events()["event"]) if (run_dir / "spec.yaml").is_file() else Counter()


def _kill_a_worker(driver: int, draw: random.Random) -> bool:
    workers = children(driver)
    if not workers:
        return False
    try:
        os.kill(draw.choice(workers), signal.SIGKILL)
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
        elif faults:
            account.unfelt += 1
            if account.unfelt > MOST_UNFELT:
                account.different.append(f"nothing felt that a {faults.pop()} was killed")
        now = finished(run_dir)
        account.refitted += sum(now.get(key) != seconds for key, seconds in before.items())
        before = now
    account.resumed += tries - 1
    account.tasks += lost_tasks(run_dir)
    account.waves += events(run_dir)["tasks tried again"]
    run = open_run(run_dir)
    failed = int((run.results()["status"] == "FAILED").sum())
    if failed:
        account.retried += failed
        local = run.spec.replace({"engine.kind": "local"})
        run = train(None, local, run_dir=folder / f"again-{number}", only=["failed"], base=run_dir)
    _compare(run.directory, folder / "whole", account)
    if account.harm == harm:  # the run is whole, and as if nothing had happened
        account.survived += account.injected.total() - injected


def suffered_registry(folder: Path, count: int, draw: random.Random, account: Account) -> None:
    """Runs that are trained and registered while the server of their registry is killed so often."""
    place = folder / "registry"
    place.mkdir()
    server = Server(place)
    try:
        server.start()
        usual = _registration(folder, "registered-0", server, account, 0.0, True)
        for number in range(1, count + 1):
            harm, felt = account.harm, False
            while not felt and account.unfelt <= MOST_UNFELT:
                # Every second time the server is back before whoever registers has given up.
                moment, patient = draw.uniform(0.0, usual), bool(number % 2)
                name = f"registered-{number}-{account.unfelt}"
                felt = bool(_registration(folder, name, server, account, moment, patient))
                account.unfelt += not felt
            account.injected[REGISTRY] += felt
            if account.harm == harm:
                account.survived += felt
    finally:
        server.stop()


def _registration(
    folder: Path, name: str, server: Server, account: Account, moment: float, patient: bool
) -> float:
    """One run trained and registered by the command line: the seconds that registering took, from the first
    word that the registry has of it; the server is killed after `moment` of them. 0 where nothing felt it."""
    run_dir, strike = folder / name, moment > 0.0
    known = _runs_of(server)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": server.uri}
    if not patient:  # it gives up after one more try
        environment |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0"}
    with (folder / f"{name}.log").open("wb") as log:
        command = [sys.executable, "-c", COMMAND, "train", str(folder / "spec.yaml")]
        command += ["--run-dir", str(run_dir), "--register", NAME]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        while process.poll() is None and _runs_of(server) == known:
            time.sleep(0.01)
        began = time.monotonic()
        felt = False
        if strike:
            time.sleep(moment)
            felt = process.poll() is None
            server.stop(signal.SIGKILL)
            if patient:
                time.sleep(2.0)
            else:
                process.wait()
            felt = felt and (process.poll() is None or process.returncode != 0)
            server.start()
        code = process.wait()
        seconds = time.monotonic() - began
    finally:
        process.kill()
        process.wait()
    if code:
        told = (folder / f"{name}.log").read_text()
        account.again += 1
        if code != 4 or f"many-models register {run_dir} {NAME}" not in told:
            account.different.append(f"{name} ended with {code}: {told[-500:]}")
        command = [sys.executable, "-c", COMMAND, "register", str(run_dir), NAME]
        if subprocess.run(command, env=environment, check=False).returncode:
            account.different.append(f"{name} cannot be registered")
    elif felt:
        account.waited += 1
    _compare(run_dir, folder / "whole", account)
    _compare_versions(run_dir, folder / "whole", server, account)
    return seconds if felt or not strike else 0.0


def _runs_of(server: Server) -> int:
    """How many MLflow runs the registry knows."""
    if not server.database.exists():
        return 0
    with (
        suppress(sqlite3.OperationalError),  # its tables are being made
        closing(sqlite3.connect(f"{server.database.as_uri()}?mode=ro", uri=True)) as database,
    ):
        return int(database.execute("SELECT count(*) FROM runs").fetchone()[0])
    return 0


def _compare_versions(run_dir: Path, whole: Path, server: Server, account: Account) -> None:
    """Every version that is listed is whole, and the alias names the last, made of this run."""
    source = registry(server.uri)
    results = pd.read_parquet(whole / "results")
    keys = results[KEYS].to_dict("records")
    run_id = open_run(run_dir).summary["run_id"]
    listed = source.versions(NAME)
    account.versions = len(listed)
    for version in listed:
        models = open_models(version.uri, tracking_uri=server.uri)
        served = [models.find(key).content_id for key in keys]
        if served != results["content_id"].tolist():
            account.different.append(f"version {version.version}")
    champion = source.version(f"models:/{NAME}@champion")
    if champion.version != listed[0].version or champion.tags.get("many_models.run_id") != run_id:
        account.different.append(f"the alias names version {champion.version} of {listed[0].version}")
    future = pd.read_parquet(whole.parent / "sales.parquet")
    future = future[
        future["sales"].isna() & (future["date"] > future.loc[future["sales"].notna(), "date"].max())
    ]
    one, other = (
        _forecasts(open_models(uri, tracking_uri=server.uri).forecast(future=future.drop(columns="sales")))
        for uri in (champion.uri, str(whole))
    )
    if not one.equals(other):
        account.different.append(f"forecasts of version {champion.version}")


def _forecasts(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="run_id").sort_values([*KEYS, "date"], ignore_index=True)


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
    parser.add_argument(
        "--cluster", type=int, default=6, help="Python workers, executors and workers of a cluster killed"
    )
    parser.add_argument("--registry", type=int, default=4, help="how often the registry is killed")
    parser.add_argument("--stores", type=int, default=10, help="stores of four items each")
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
        faults = [SPARK[i % 3] for i in reversed(range(options.cluster))]
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
        if options.registry:
            suffered_registry(folder, options.registry, draw, account)
        series = whole.summary["series"]
    kinds = ", ".join(f"{count} x {kind}" for kind, count in account.injected.items())
    print(f"{series} series, {runs} runs")
    print(f"faults injected  {account.injected.total()} ({kinds})")
    print(f"survived         {account.survived}")
    print(f"series lost      {account.lost}")
    print(f"series refitted  {account.refitted}")
    print(f"series retried   {account.retried} (FAILED with their process, trained again by --only failed)")
    print(f"runs resumed     {account.resumed} times")
    print(f"Spark            lost {account.tasks} tasks and tried them again, told in {account.waves} waves")
    print(
        f"registry         {account.versions} versions; {account.again} runs registered again "
        f"after they had failed, {account.waited} waited until the server was back"
    )
    print(f"kills unfelt     {account.unfelt} (not counted, tried again)")
    print(f"what differs from the undisturbed run: {', '.join(account.different) or 'nothing'}")
    return 1 if account.harm else 0


if __name__ == "__main__":
    sys.exit(main())
