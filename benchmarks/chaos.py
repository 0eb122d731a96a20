"""Faults at random moments of a training: killed drivers and killed workers, and what became of the run.

    python benchmarks/chaos.py [--faults N] [--stores N] [--seed S]

A small panel is trained undisturbed. Then it is trained again, in processes that are killed with SIGKILL at
random moments: the driver, or one of its workers. A run whose driver was killed is resumed; a series whose
worker was killed is a row FAILED, which `train --only failed` tries again. In the end every series has its
row, nothing that was finished was fitted again, and all rows are those of the undisturbed run, bit for bit.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from many_models import ForecastSpec, resume, train
from many_models.datasets import retail

KEYS = ["store", "item"]
FOLDERS = ("results", "leaderboard", "forecasts", "totals", "findings")
CLOCKS = ("seconds", "fit_seconds", "predict_seconds", "run_id")
"""What a clock says, and what names the run."""

FAULTS = ("driver", "worker")

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


@dataclass
class Account:
    """What was done to the runs, and what became of them."""

    injected: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FAULTS, 0))
    survived: int = 0
    lost: int = 0
    refitted: int = 0
    retried: int = 0
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


def disturbed(folder: Path, run_dir: Path, fault: str, draw: random.Random) -> bool:
    """Whether the fault struck a training under way, which then ended or was ended."""
    before = len(list((run_dir / "results").glob("part-*.parquet")))
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN, str(folder / "spec.yaml"), str(run_dir)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    struck, wanted = False, before + draw.randint(0, 3)
    while process.poll() is None:
        if not struck and len(list((run_dir / "results").glob("part-*.parquet"))) > wanted:
            time.sleep(draw.uniform(0, 0.05))
            if fault == "driver":
                os.killpg(process.pid, signal.SIGKILL)
                struck = True
            else:
                struck = _kill_a_worker(process.pid, draw)
        time.sleep(0.002)
    process.wait()
    return struck


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


def suffered(folder: Path, number: int, faults: list[str], draw: random.Random, account: Account) -> None:
    """One run under faults, up to its end; the faults that struck are taken off the list."""
    run_dir, before = folder / f"run-{number}", dict[tuple[object, ...], float]()
    injected, harm = sum(account.injected.values()), account.harm
    while faults and not (run_dir / "summary.json").is_file():
        struck = disturbed(folder, run_dir, faults[-1], draw)
        if struck:
            account.injected[faults.pop()] += 1
        now = finished(run_dir)
        account.refitted += sum(now.get(key) != seconds for key, seconds in before.items())
        before = now
    run = resume(run_dir)
    now = finished(run_dir)
    account.refitted += sum(now.get(key) != seconds for key, seconds in before.items())
    results = run.results()
    if (results["status"] == "FAILED").any():
        account.retried += int((results["status"] == "FAILED").sum())
        run = train(None, run.spec, run_dir=folder / f"again-{number}", only=["failed"], base=run_dir)
    _compare(run.directory, folder / "whole", account)
    if account.harm == harm:  # the run is whole, and as if nothing had happened
        account.survived += sum(account.injected.values()) - injected


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
    parser.add_argument("--faults", type=int, default=20, help="how many faults are injected")
    parser.add_argument("--stores", type=int, default=6, help="stores of four items each")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    draw, account = random.Random(options.seed), Account()
    faults = [FAULTS[i % 2] for i in range(options.faults)]
    with harness.scratch() as folder:
        frame = retail(stores=options.stores, items=4, periods=60, frequency="W", future=4, seed=3)
        frame.to_parquet(folder / "sales.parquet")
        (folder / "spec.yaml").write_text(spec(folder).to_yaml())
        whole = train(None, spec(folder), run_dir=folder / "whole")
        number, series = 0, whole.summary["series"]
        while faults:
            number += 1
            suffered(folder, number, faults, draw, account)
    injected = ", ".join(f"{count} {kind}s killed" for kind, count in account.injected.items())
    print(f"{series} series, {number} runs")
    print(f"faults injected  {sum(account.injected.values())} ({injected})")
    print(f"survived         {account.survived}")
    print(f"series lost      {account.lost}")
    print(f"series refitted  {account.refitted}")
    print(f"series retried   {account.retried} (FAILED with their worker, trained again by --only failed)")
    print(f"rows that differ from the undisturbed run: {', '.join(account.different) or 'none'}")
    return 1 if account.harm else 0


if __name__ == "__main__":
    sys.exit(main())
