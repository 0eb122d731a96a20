"""Ten thousand short series from a table to forecasts, on Spark: cost of a series, memory of the driver.

    python benchmarks/scale.py [--quick] [--sizes N N ...]

Generated yearly series like those of the M4 competition (13 to 80 values, a few with many more than the
middle one's 29) are trained with the preset `fast` on a classic `local[2]`, registered in a fresh SQLite
store, one of them is found, and all are forecast. Each size runs in a process of its own, after a warm-up of
twenty series; a smaller size is the first series of a larger one. CPU is the processor time of all processes,
the JVM's and the children's among them; memory is the most that the driver's Python has held (VmHWM) by then.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from engines import session
from harness import Target
from processes import cpu_seconds, peak_megabytes

from many_models import ForecastSpec, open_models, train

SPEC = {
    "name": "scale",
    "data": {"time": "year", "target": "y", "series": ["item"], "frequency": "YS"},
    "forecast": {"horizon": 6},
    "learners": {"preset": "fast"},
    "engine": {"kind": "spark", "workers": 2},
}
WARM_UP = 20
DEARER, FLAT_MB = 1.05, 100.0


def panel(series: int) -> pd.DataFrame:
    """Yearly series with levels, trends and noise of their own; the first ones are the same in any number."""
    parts = []
    for item in range(series):
        draw = np.random.default_rng(item)
        rows = int(np.clip(13 + draw.gamma(1.6, 12.0), 13, 80))
        steps = draw.normal(draw.normal(0.03, 0.03), draw.uniform(0.01, 0.12), rows)
        y = np.exp(draw.normal(8, 1) + np.cumsum(steps)).round(1)
        years = pd.date_range(f"{2020 - rows}-01-01", periods=rows, freq="YS")
        parts.append(pd.DataFrame({"item": f"Y{item:05d}", "year": years, "y": y}))
    return pd.concat(parts, ignore_index=True)


def one(series: int, folder: Path) -> dict[str, Any]:
    """The way of so many series in this process."""
    spec, uri = ForecastSpec.from_dict(SPEC), f"sqlite:///{folder}/mlflow.db"
    found: dict[str, Any] = {"series": series}

    def step(name: str, work: Any) -> Any:
        before = cpu_seconds(os.getpid())
        found[f"{name} s"], answer = harness.stopwatch(work)
        found[f"{name} CPU s"] = cpu_seconds(os.getpid()) - before
        found[f"driver MB, {name}"] = peak_megabytes()
        return answer

    path = folder / f"{series}.parquet"
    with session():
        train(panel(WARM_UP), spec, run_dir=folder / "warm")
        run = step("train", lambda: train(str(path), spec, run_dir=folder / "run"))
    version = step("register", lambda: run.register("scale", tracking_uri=uri))
    models = open_models(version.uri, tracking_uri=uri)
    step("find", lambda: models.find(item=f"Y{series // 2:05d}").record)
    forecasts = step("forecast", models.forecast)
    found["rows"] = len(run.results()), len(forecasts), int(forecasts["mean"].notna().sum())
    found["outcomes"] = run.summary["outcomes"]
    return found


def measured(series: int, folder: Path) -> dict[str, Any]:
    """The same in a process of its own, on a file of its own."""
    folder.mkdir()
    panel(series).to_parquet(folder / f"{series}.parquet", index=False)
    command = [sys.executable, __file__, "--one", str(series), str(folder)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def targets(small: dict[str, Any], large: dict[str, Any]) -> list[Target]:
    """A series costs the same among many, and the driver holds no more for them."""
    span = f"{small['series']:,} → {large['series']:,} series"
    each = [found["train CPU s"] / found["series"] for found in (small, large)]
    ratio = each[1] / each[0]
    grown = {
        step: large[f"driver MB, {step}"] - small[f"driver MB, {step}"]
        for step in ("train", "register", "forecast")
    }
    counted = all(
        found["rows"] == [found["series"], 6 * found["series"], 6 * found["series"]]
        for found in (small, large)
    )
    return [
        Target(
            f"CPU of a series, {span}",
            f"≤ {DEARER} times",
            f"{ratio:.3f} ({1000 * each[0]:.0f} → {1000 * each[1]:.0f} ms)",
            ratio <= DEARER,
        ),
        Target(
            f"driver, growth of peak memory while training, {span}",
            f"flat (≤ {FLAT_MB:.0f} MB)",
            f"{grown['train']:.0f} MB",
            grown["train"] <= FLAT_MB,
        ),
        Target(
            f"the same after registering and forecasting, {span}",
            "–",
            f"{grown['register']:.0f}, {grown['forecast']:.0f} MB",
            None,
        ),
        Target("a result and six forecasts for each series", "all", "all" if counted else "not all", counted),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--sizes", type=int, nargs=2, help="series; default 1000 10000, with --quick 100 400")
    parser.add_argument("--one", nargs=2, metavar=("SERIES", "FOLDER"), help="used by the script itself")
    options = parser.parse_args(argv)
    if options.one:
        print(json.dumps(one(int(options.one[0]), Path(options.one[1]))))
        return
    small, large = options.sizes or ([100, 400] if options.quick else [1000, 10000])
    print(harness.headline("Ten thousand short series on Spark"), flush=True)
    with harness.scratch() as scratch:
        rows = [measured(series, scratch / str(series)) for series in (small, large)]
    table = pd.DataFrame(rows).drop(columns=["rows", "outcomes"]).set_index("series").T
    print(harness.markdown(table.reset_index(names="series")))
    for row in rows:
        print(f"{row['series']:,} series: " + ", ".join(f"{k} {v}" for k, v in row["outcomes"].items()))
    harness.finish(targets(*rows), options.json)


if __name__ == "__main__":
    main()
