"""The Spark engine's wall time against the local engine's, on orange juice, and whether the forecasts agree.

    python benchmarks/engines.py [--quick] [--limit N] [--rounds N] [--preset NAME]

Classic `local[2]` against two local workers, both reading the same file, in alternation after one warm-up
job each; the ratio of every round is printed, because a busy machine disturbs seconds more than ratios.
The order turns around from round to round.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import scores
from harness import Target

from many_models import ForecastSpec, train
from many_models.runs.run import Run

WORKERS = 2
RATIO = 1.15
WARM_UP = 4


@contextmanager
def session() -> Iterator[None]:
    """A classic Spark session on two cores; the engine takes the active one."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(f"local[{WORKERS}]").appName("benchmark")
    builder = builder.config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
    builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    if type(spark).__module__ != "pyspark.sql.session":
        raise TypeError(f"a classic session was wanted, this is {type(spark).__module__}")
    try:
        yield
    finally:
        spark.stop()


def timed(kind: str, spec: ForecastSpec, data: Path, folder: Path, limit: int | None) -> tuple[float, Run]:
    """Wall seconds of a training on an engine, and its run."""
    chosen = spec.replace({"engine.kind": kind, "engine.workers": WORKERS})
    return harness.stopwatch(lambda: train(str(data), chosen, run_dir=folder, limit=limit))


def difference(one: Run, other: Run) -> str:
    """What differs between the forecasts of two runs, the run's id excepted; empty where nothing does."""
    a, b = (run.forecasts().drop(columns="run_id") for run in (one, other))
    try:
        pd.testing.assert_frame_equal(a, b, check_exact=True)
    except AssertionError as found:
        return str(found).splitlines()[0]
    return ""


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--limit", type=int, help="series; default all, with --quick 16")
    parser.add_argument("--rounds", type=int, help="default 3, with --quick 2")
    parser.add_argument("--preset", default="balanced", choices=("fast", "balanced", "best"))
    options = parser.parse_args(argv)
    limit = options.limit or (16 if options.quick else None)
    rounds = options.rounds or (2 if options.quick else 3)
    print(harness.headline(f"Spark local[{WORKERS}] against {WORKERS} local workers"), flush=True)
    spec = ForecastSpec.from_yaml(harness.CONFIGS / "orange_juice.yaml")
    spec = spec.replace({"learners.preset": options.preset})
    data = scores.data_folder() / "oj" / "oj_weekly.parquet"
    rows, differences = [], []
    with harness.scratch() as folder, session():
        for kind in ("local", "spark"):
            timed(kind, spec, data, folder / f"warm-{kind}", WARM_UP)
        for number in range(1, rounds + 1):
            order = ("local", "spark") if number % 2 else ("spark", "local")
            found = {kind: timed(kind, spec, data, folder / f"{kind}-{number}", limit) for kind in order}
            local, spark = found["local"], found["spark"]
            differences.append(difference(local[1], spark[1]))
            series = local[1].summary["series"]
            rows.append((number, series, local[0], spark[0], spark[0] / local[0], differences[-1] or "none"))
    columns = ["round", "series", "local s", "Spark s", "Spark / local", "difference of forecasts"]
    print(harness.markdown(pd.DataFrame(rows, columns=columns)))
    ratio = statistics.median(row[4] for row in rows)
    spread = f"{min(row[4] for row in rows):.3f} … {max(row[4] for row in rows):.3f}"
    what = f"Spark / local, orange juice {options.preset}, {rows[0][1]} series"
    harness.finish(
        [
            Target(f"{what}: wall time", f"≤ {RATIO}", f"{ratio:.3f} ({spread})", ratio <= RATIO),
            Target(
                f"{what}: forecasts", "identical", "; ".join(filter(None, differences)) or "identical",
                not any(differences),
            ),
        ],
        options.json,
    )  # fmt: skip


if __name__ == "__main__":
    main()
