"""How long it takes to forecast with very many stored models at once: in this process, and as a Spark job.

    python benchmarks/scoring.py [--models N N ...] [--engine local spark]

A few series are trained with naive learners; their models are copied under as many keys as wanted, each with
values of its own, so that every key has a model of its own bytes. Future rows of all keys are read from
Parquet, and the answers are written to Parquet. "CPU" is the processor time of this process and all below it
(Spark's JVM and its Python workers), which a busy machine disturbs less. On Spark the second of two
jobs is told: the first starts workers and loads what they need. "Peak" is the largest memory of the driver's
Python process.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import contextlib
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from memory import SPEC, panel, peak_megabytes

from many_models import ForecastSpec, train
from many_models.bundle import Bundle, StoredModel, content_id, pack, unpack, write_bundle
from many_models.panel.keys import SeriesKey
from many_models.runs.bundling import bundle_of_run
from many_models.runs.directory import RunDirectory
from many_models.runs.models import models_of_bundle

TRAINED = 20
HORIZON = 4


def copied(run: Path, count: int, folder: Path) -> None:
    """The bundle of so many keys, made of the models of a run, and `future.parquet` with their rows."""
    source = bundle_of_run(RunDirectory(run), folder / "source")
    rows = [row for row in source.index().to_pylist() if row["content_id"] is not None]
    documents = [unpack(source.model(row["content_id"])) for row in rows]
    models: list[StoredModel] = []
    index = []
    for number in range(count):
        row, document = rows[number % len(rows)], documents[number % len(rows)]
        history = document["history"]
        moved = {**document, "history": {**history, "y": np.asarray(history["y"]) + number / count}}
        state = pack(moved)
        key = SeriesKey(("item",), (f"copy-{number:06d}",))
        models.append((content_id(state), str(document["kind"]), int(document["format_version"]), state))
        index.append({**row, "item": key.values[0], "digest": key.digest, "content_id": models[-1][0]})
    table = pa.Table.from_pylist(index, schema=source.schema)
    write_bundle(folder / "bundle", table, models, source.manifest)
    last = pd.Timestamp(rows[0]["trained_until"])
    stamps = pd.date_range(last, periods=HORIZON + 1, freq="D")[1:]
    items = table["item"].to_numpy(zero_copy_only=False)
    future = pd.DataFrame({"item": np.repeat(items, HORIZON), "day": np.tile(stamps, count)})
    # Spark reads no stamps in nanoseconds
    future.to_parquet(folder / "future.parquet", index=False, coerce_timestamps="us")


def scored(engine: str, folder: Path, told: Any) -> None:
    """Puts seconds, rows and peak memory of forecasting all keys with an engine, in a process of its own."""
    future, out = folder / "future.parquet", folder / f"answer-{engine}"
    with contextlib.ExitStack() as stack:
        if engine == "local":
            spend = time.perf_counter(), processor_seconds(os.getpid())
            models_of_bundle(Bundle.open(folder / "bundle"), {}).forecast(
                future=pd.read_parquet(future)
            ).to_parquet(out)
        else:
            from engines import session
            from pyspark.sql import SparkSession

            stack.enter_context(session())
            spark = SparkSession.builder.getOrCreate()
            for _ in range(2):
                spend = time.perf_counter(), processor_seconds(os.getpid())
                models = models_of_bundle(Bundle.open(folder / "bundle"), {})
                models.forecast(future=spark.read.parquet(str(future))).write.parquet(
                    str(out), mode="overwrite"
                )
        seconds, cpu = time.perf_counter() - spend[0], processor_seconds(os.getpid()) - spend[1]
    found = {"seconds": seconds, "CPU s": cpu, "answered": int(pd.read_parquet(out)["mean"].notna().sum())}
    told.put({**found, "peak MB": peak_megabytes()})


def processor_seconds(root: int) -> float:
    """Processor time of a process and all below it, those included that have ended there."""
    parents, ticks = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            fields = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(fields[1])
            ticks[int(path.parent.name)] = sum(map(int, fields[11:15]))

    def below(process: int | None) -> bool:
        while process is not None and process != root:
            process = parents.get(process)
        return process == root

    return sum(spent for process, spent in ticks.items() if below(process)) / os.sysconf("SC_CLK_TCK")


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--models", type=int, nargs="+", help="keys; default 1000 10000, with --quick 300")
    parser.add_argument("--engine", nargs="+", choices=("local", "spark"), default=["local", "spark"])
    options = parser.parse_args(argv)
    counts = options.models or ([300] if options.quick else [1_000, 10_000])
    print(harness.headline("Forecasting with many stored models at once"), flush=True)
    rows = []
    with harness.scratch() as folder:
        spec = ForecastSpec.from_dict(SPEC).replace({"data.known": [], "forecast.horizon": HORIZON})
        train(panel(TRAINED, 60).drop(columns="price"), spec, run_dir=folder / "run")
        for count in counts:
            copied(folder / "run", count, folder / str(count))
            for engine in options.engine:
                context = multiprocessing.get_context("spawn")
                told = context.Queue()
                child = context.Process(target=scored, args=(engine, folder / str(count), told))
                child.start()
                child.join()
                if child.exitcode:
                    sys.exit(f"forecasting {count} models with {engine} failed")
                found = told.get(timeout=5)
                each = {"CPU ms per model": 1000 * found["CPU s"] / count}
                rows.append({"models": count, "engine": engine, **found, **each})
    print(harness.markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
