"""How long it takes to forecast with very many stored models at once: in this process, and as a Spark job.

    python benchmarks/scoring.py [--models N N ...] [--engine local spark]

A few series are trained with naive learners; their models are copied under as many keys as wanted, each with
values of its own, so that every key has a model of its own bytes. Future rows of all keys are read from
Parquet, and the answers are written to Parquet. "Peak" is the largest memory of the driver's Python process.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import contextlib
import multiprocessing
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
    began, stack = time.perf_counter(), contextlib.ExitStack()
    models = models_of_bundle(Bundle.open(folder / "bundle"), {})
    out = folder / f"answer-{engine}"
    if engine == "local":
        answer = models.forecast(future=pd.read_parquet(folder / "future.parquet"))
        answer.to_parquet(out)
        started = began
    else:
        from engines import session
        from pyspark.sql import SparkSession

        stack.enter_context(session())
        spark = SparkSession.builder.getOrCreate()
        started = time.perf_counter()  # the session itself is not what is measured
        models.forecast(future=spark.read.parquet(str(folder / "future.parquet"))).write.parquet(str(out))
    seconds = time.perf_counter() - started
    answered = pd.read_parquet(out)
    stack.close()
    found = {"seconds": seconds, "answered": int(answered["mean"].notna().sum())}
    told.put({**found, "peak MB": peak_megabytes()})


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
                each = {"ms per model": 1000 * found["seconds"] / count}
                rows.append({"models": count, "engine": engine, **found, **each})
    print(harness.markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
