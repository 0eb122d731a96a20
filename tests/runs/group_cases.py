"""A small panel of three stores for the tests of groups: some of its series are bad, some end early.

`group_cases.py FOLDER`: trains it on Spark into FOLDER/spark, and forecasts on Spark with those models.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from many_models import ForecastSpec, open_models, train
from many_models.automl.pooling import fall_back_pool

BAD = {(0, "b"): "it has no value", (1, "c"): "it is too short"}
KEY = ["store", "brand"]
AUTOMATIC = {"data.group": "auto", "pooling.largest": 6, "validation.folds": 1}


def panel():
    """Three stores of four brands by month; one series without a value, one of five."""
    rng = np.random.default_rng(1)
    parts = []
    for store in range(3):
        for brand in "abcd":
            n = int(rng.integers(40, 60))
            wave = 3 * np.sin(np.arange(n) * 2 * np.pi / 12)
            y = 10.0 * (store + 1) + wave + rng.normal(0, 1, n)
            if (store, brand) == (0, "b"):
                y[:] = np.nan
            if (store, brand) == (1, "c"):
                y = y[:5]
            month = pd.date_range("2015-01-01", periods=len(y), freq="MS")
            parts.append(pd.DataFrame({"store": store, "brand": brand, "month": month, "sold": y}))
    return pd.concat(parts, ignore_index=True)


def make_spec(**overrides):
    spec = ForecastSpec.from_dict(
        {
            "name": "groups",
            "data": {"time": "month", "target": "sold", "series": KEY, "group": ["store"]},
            "forecast": {"horizon": 4},
            "learners": {"allow": ["elastic_net"]},
            "validation": {"folds": 3},
            "engine": {"workers": 2},
        }
    )
    return spec.replace(overrides) if overrides else spec


def newcomer(store):
    """A brand that no store had."""
    months = pd.date_range("2018-01-01", periods=24, freq="MS")
    y = 10 + 3 * np.sin(np.arange(24) * 2 * np.pi / 12) + np.random.default_rng(3).normal(0, 1, 24)
    return pd.DataFrame({"store": store, "brand": "new", "month": months, "sold": y})


def ordered(frame):
    """Forecast rows in key order, without the run's name."""
    return frame.drop(columns="run_id").sort_values([*KEY, "month"], ignore_index=True)


def crash(frame, task):
    """A group function that does not survive the first store."""
    if frame["k0"].iloc[0] == 0:
        os.kill(os.getpid(), signal.SIGSEGV)
    return fall_back_pool(frame, task, _Hopeless())


def hang(frame, task):
    """A group function that never answers."""
    time.sleep(600)
    return b""


class _Hopeless:
    code, message = "EXCEPTION", "it was not tried"


def main(folder: Path) -> None:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    spark = builder.config("spark.sql.shuffle.partitions", "2").getOrCreate()
    frame = panel()
    train(frame, make_spec(**{"engine.kind": "spark"}), run_dir=folder / "spark")
    train(frame, make_spec(**{"engine.kind": "spark", **AUTOMATIC}), run_dir=folder / "sorted")
    models = open_models(folder / "spark")
    history = spark.createDataFrame(frame[frame["sold"].notna()])
    models.forecast(history=history).toPandas().to_parquet(folder / "forecast.parquet")
    spark.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
