"""One series of half a million rows beside many of a hundred: whether it holds the stage, and is told.

    python benchmarks/skew.py [--quick] [--rows N] [--series N] [--engines local spark]

Generated hourly series are trained with the preset `fast` by two workers of the local engine, and on a
classic `local[2]` of Spark, each in a process of its own. While they train, the guarded children are looked
at ten times a second: in a second in which one of them alone has or wants a core, one series holds the stage
(other work on the machine takes nothing from that); the start of the children is counted too. The tail is the
time from the batch in which the last small series came back to that of the large one. Memory is the most that
a process has held (VmHWM).
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from harness import Target
from processes import CHILD, command, descendants, is_running, peak_megabytes

from many_models import ForecastSpec, train

SPEC = {
    "name": "skew",
    "data": {"time": "hour", "target": "y", "series": ["item"], "frequency": "h"},
    "forecast": {"horizon": 24},
    "learners": {"preset": "fast"},
    "engine": {"workers": 2},
}
LARGE, SMALL_ROWS = "large", 100
LOOK_SECONDS = 0.1
MOST_TAIL = 0.1
"""The share of a stage that the large series may go on after all others are done."""


def panel(series: int, rows: int) -> pd.DataFrame:
    """Hourly series with a daily wave: one with so many rows, and others with a hundred."""
    draw = np.random.default_rng(0)

    def wave(count: int) -> Any:
        t = np.arange(count)
        return (100 + 20 * np.sin(t * 2 * np.pi / 24) + draw.normal(0, 3, count)).round(2)

    hours = pd.date_range("2024-01-01", periods=SMALL_ROWS, freq="h")
    small = pd.DataFrame(
        {
            "item": np.repeat([f"item-{i:05d}" for i in range(series)], SMALL_ROWS),
            "hour": np.tile(hours, series),
            "y": wave(series * SMALL_ROWS),
        }
    )
    hours = pd.date_range(end=hours[-1], periods=rows, freq="h")
    return pd.concat([small, pd.DataFrame({"item": LARGE, "hour": hours, "y": wave(rows)})])


class Watch:
    """How many children were at work in each second, and the most memory that one has held."""

    def __init__(self) -> None:
        self.at_work: list[int] = []
        self.peak = 0.0
        self._over = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Looks at the children of this process meanwhile."""
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            self._over.set()
            watcher.join()

    def _watch(self) -> None:
        while not self._over.is_set():
            second, until = set[int](), time.monotonic() + 1.0
            while time.monotonic() < until and not self._over.wait(LOOK_SECONDS):
                found = [pid for pid in descendants(os.getpid()) if CHILD in command(pid)]
                second |= {pid for pid in found if is_running(pid)}
                self.peak = max(self.peak, *map(peak_megabytes, found), 0.0)
            self.at_work.append(len(second))

    @property
    def alone(self) -> float:
        """The share of the seconds with any child at work in which it was one alone."""
        busy = [count for count in self.at_work if count]
        return sum(count == 1 for count in busy) / max(1, len(busy))


def one(engine: str, path: Path, folder: Path) -> dict[str, Any]:
    """Trains the file in this process, and says what the large series did to it."""
    from engines import session

    spec, watch = ForecastSpec.from_dict(SPEC).replace({"engine.kind": engine}), Watch()
    with session() if engine == "spark" else contextlib.nullcontext(), watch.watching():
        seconds, run = harness.stopwatch(lambda: train(str(path), spec, run_dir=folder))
    results, events = run.results(), run.events()
    done = events[events["event"] == "group done"]
    large = int((pd.read_parquet(folder / "journal" / "groups.parquet")["rows"]).idxmax())
    at = pd.to_datetime(done["at"])
    tail = at[done["group"] == large].max() - at[done["group"] != large].max()
    return {
        "engine": engine,
        "series": len(results),
        "seconds": seconds,
        "large series s": float(results.loc[results["item"] == LARGE, "seconds"].iloc[0]),
        "others, all, s": float(results.loc[results["item"] != LARGE, "seconds"].sum()),
        "tail s": max(0.0, tail.total_seconds()),
        "one child alone": watch.alone,
        "driver MB": peak_megabytes(),
        "child MB": watch.peak,
        "outcomes": ", ".join(f"{name} {count}" for name, count in run.summary["outcomes"].items()),
        "stragglers": "; ".join(
            f"{'/'.join(slow['key'])} {slow['seconds']:.1f} s"
            for slow in run.summary["stragglers"]["slowest"]
        ),
    }


def measured(engine: str, path: Path, folder: Path) -> dict[str, Any]:
    """The same in a process of its own."""
    asked = [sys.executable, __file__, "--one", engine, str(path), str(folder / engine)]
    answer = subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def targets(row: dict[str, Any], series: int) -> list[Target]:
    """The large series is not what the others wait for, every series has its row, and it is told."""
    engine, tail = row["engine"], row["tail s"] / row["seconds"]
    told = row["stragglers"].startswith(LARGE)
    return [
        Target(
            f"{engine}: tail of the large series, of all time",
            f"≤ {MOST_TAIL}",
            f"{tail:.2f}",
            tail <= MOST_TAIL,
        ),
        Target(f"{engine}: result rows", str(series), str(row["series"]), row["series"] == series),
        Target(f"{engine}: the large series is told as straggler", "yes", row["stragglers"] or "no", told),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--rows", type=int, help="of the large series; default 500000, with --quick 100000")
    parser.add_argument("--series", type=int, help="beside it; default 5000, with --quick 300")
    parser.add_argument("--engines", nargs="+", choices=("local", "spark"), default=["local", "spark"])
    parser.add_argument(
        "--one", nargs=3, metavar=("ENGINE", "PATH", "FOLDER"), help="used by the script itself"
    )
    options = parser.parse_args(argv)
    if options.one:
        engine, path, folder = options.one
        print(json.dumps(one(engine, Path(path), Path(folder))))
        return
    rows = options.rows or (100_000 if options.quick else 500_000)
    series = options.series or (300 if options.quick else 5_000)
    print(harness.headline(f"One series of {rows:,} rows beside {series:,} of {SMALL_ROWS}"), flush=True)
    with harness.scratch() as scratch:
        path = scratch / "skew.parquet"
        panel(series, rows).to_parquet(path, index=False, coerce_timestamps="us")
        found = [measured(engine, path, scratch) for engine in options.engines]
    table = pd.DataFrame(found).drop(columns="stragglers").set_index("engine").T
    print(harness.markdown(table.reset_index(names="engine")))
    harness.finish([target for row in found for target in targets(row, series + 1)], options.json)


if __name__ == "__main__":
    main()
