"""A small panel of three stores for the tests of groups: some of its series are bad, some end early.

`group_cases.py KIND FOLDER`: trains it on Spark, classic or Connect, into FOLDER/spark, and forecasts on
Spark with those models, new series too. Classic trains automatic groups as well; Connect one store alone.
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


def shown(kind):
    """The panel of a kind of Spark, and how it is trained there."""
    frame = panel()
    if kind == "classic":
        return frame, make_spec()
    return frame[frame["store"] == 1], make_spec(**{"validation.folds": 1})


def history(frame):
    """Of the panel, a new brand of a known store, and one of a store that nobody knows."""
    return pd.concat([frame[frame["sold"].notna()], newcomer(1), newcomer(99)], ignore_index=True)


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


def session(kind):
    """A Spark session with two cores."""
    from pyspark.sql import SparkSession

    if kind == "connect":
        os.environ["PYSPARK_PYTHON"] = sys.executable
        # pyspark's way to a free port: another session may hold the usual one
        os.environ["SPARK_TESTING"] = "1"
        spark = SparkSession.builder.remote("local[2]").getOrCreate()
    else:
        spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    spark.conf.set("spark.sql.shuffle.partitions", "2")
    return spark


def main(kind: str, folder: Path) -> None:
    spark = session(kind)
    frame, spec = shown(kind)
    train(frame, spec.replace({"engine.kind": "spark"}), run_dir=folder / "spark")
    if kind == "classic":
        train(frame, spec.replace({"engine.kind": "spark", **AUTOMATIC}), run_dir=folder / "sorted")
    models = open_models(folder / "spark")
    answer = models.forecast(history=spark.createDataFrame(history(frame)), missing_model="pooled")
    answered = answer.toPandas()
    answered.attrs = {}  # Connect notes there how long it took, which parquet cannot hold
    answered.to_parquet(folder / "forecast.parquet")
    (folder / "session").write_text(type(spark).__module__)
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
