"""Peak memory of the driver: local against the size of the input, Spark flat.

    python benchmarks/memory.py [--quick] [--sizes N N ...] [--rows N] [--engines local spark]

Generated series (naive learners, so that the results are large beside the work) are written to a file, and
every training runs in a process of its own, which says its peak resident memory (VmHWM: that of its own
program alone, not of the children, nor of Spark's JVM). A training of ten series of the same kind says what
the imports cost; the rest is what grows.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import contextlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from harness import Target

from many_models import ForecastSpec, train

SPEC = {
    "name": "memory",
    "data": {"time": "day", "target": "y", "series": ["item"], "frequency": "D", "known": ["price"]},
    "forecast": {"horizon": 7},
    "learners": {"preset": "fast", "allow": ["naive", "seasonal_naive", "average"]},
    "engine": {"workers": 2},
}
FEW = 10
BATCH_MB = 25.0
"""What one batch of results may cost, with the buffers it is written through."""
FLAT_MB = 40.0


def panel(series: int, rows: int) -> pd.DataFrame:
    """Daily rows of made-up items with a price."""
    draw = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=rows, freq="D")
    return pd.DataFrame(
        {
            "item": np.repeat([f"item-{i:06d}" for i in range(series)], rows),
            "day": np.tile(days, series),
            "price": draw.uniform(1, 3, series * rows).round(2),
            "y": draw.poisson(20, series * rows).astype(np.float64),
        }
    )


def peak_megabytes() -> float:
    """The most memory this process has held, without that of its children."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise OSError("this system does not tell VmHWM")


def one(engine: str, path: Path, folder: Path) -> dict[str, Any]:
    """Trains one file in this process: seconds, peak memory and results."""
    from engines import session

    spec = ForecastSpec.from_dict(SPEC).replace({"engine.kind": engine})
    with session() if engine == "spark" else contextlib.nullcontext():
        seconds, run = harness.stopwatch(lambda: train(str(path), spec, run_dir=folder))
    peak = peak_megabytes()
    outcomes = run.summary["outcomes"]
    written = sum(f.stat().st_size for f in Path(run.directory).rglob("*.parquet")) / 2**20
    return {"seconds": seconds, "peak": peak, "outcomes": outcomes, "written": written}


def measured(engine: str, series: int, rows: int, folder: Path) -> dict[str, Any]:
    """One training in a process of its own, as a row of the table."""
    path = folder / f"{series}.parquet"
    frame = panel(series, rows)
    if not path.exists():
        frame.to_parquet(path, index=False)
    command = [sys.executable, __file__, "--one", engine, str(path), str(folder / f"{engine}-{series}")]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(answer.stdout.splitlines()[-1])
    return {
        "engine": engine,
        "series": series,
        "input frame MB": float(frame.memory_usage(deep=True).sum() / 2**20),
        "results MB (Parquet)": found["written"],
        "seconds": found["seconds"],
        "peak MB": found["peak"],
        "outcomes": ", ".join(f"{k} {v}" for k, v in found["outcomes"].items() if v),
    }


def targets(table: pd.DataFrame) -> list[Target]:
    """Local grows by the frame and a batch at most; the driver of Spark does not grow."""
    lines = []
    for engine, part in table.groupby("engine"):
        small, large = part.iloc[1], part.iloc[-1]
        grown = large["peak MB"] - small["peak MB"]
        frame = large["input frame MB"] - small["input frame MB"]
        span = f"{small['series']:,} → {large['series']:,} series"
        if engine == "local":
            allowed = frame + BATCH_MB
            what = f"local driver, growth of peak memory, {span}"
            lines.append(
                Target(
                    what,
                    f"≤ input frame + a batch = {allowed:.0f} MB",
                    f"{grown:.0f} MB",
                    bool(grown <= allowed),
                )
            )
        else:
            what = f"Spark driver, growth of peak memory, {span}"
            lines.append(
                Target(what, f"flat (≤ {FLAT_MB:.0f} MB)", f"{grown:.0f} MB", bool(grown <= FLAT_MB))
            )
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument(
        "--sizes", type=int, nargs="+", help="series; default 1000 5000, with --quick 200 1000"
    )
    parser.add_argument("--rows", type=int, default=90, help="rows per series")
    parser.add_argument("--engines", nargs="+", choices=("local", "spark"), default=["local", "spark"])
    parser.add_argument(
        "--one", nargs=3, metavar=("ENGINE", "PATH", "FOLDER"), help="used by the script itself"
    )
    options = parser.parse_args(argv)
    if options.one:
        engine, path, folder = options.one
        print(json.dumps(one(engine, Path(path), Path(folder))))
        return
    sizes = options.sizes or ([200, 1000] if options.quick else [1000, 5000])
    print(harness.headline("Peak memory of the driver"), flush=True)
    with harness.scratch() as scratch:
        rows = [
            measured(engine, series, options.rows, scratch)
            for engine in options.engines
            for series in (FEW, *sizes)
        ]
    table = pd.DataFrame(rows)
    print(harness.markdown(table))
    harness.finish(targets(table), options.json)


if __name__ == "__main__":
    main()
