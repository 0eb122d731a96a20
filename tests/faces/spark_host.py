"""Forecasts on Spark in a process of its own: classic Spark and Connect cannot live in one.

`spark_host.py KIND FOLDER`: reads FOLDER/cases.json, writes FOLDER/KIND/NAME.parquet per case and
FOLDER/KIND/told.json with the Spark types of the answers and what else was seen.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

CASES_OF_CONNECT = ("future", "both", "odd")
"""What a session can do to an answer shows in these; times of every kind are asked on classic alone."""


def main(kind: str, folder: Path) -> None:
    import pyarrow.parquet as pq

    from many_models import open_models
    from many_models.engines.spark import arrow_of

    spark = start(kind)
    out = folder / kind
    out.mkdir()
    told = {"session": type(spark).__module__}
    for name, case in json.loads((folder / "cases.json").read_text()).items():
        if kind == "connect" and name not in CASES_OF_CONNECT:
            continue
        models = open_models(case["run"])
        tables = {part: read(spark, case[part], case["cast"]) for part in ("history", "future") if case[part]}
        answer = models.forecast(**tables, where=case["where"], horizon=case["horizon"])
        pq.write_table(arrow_of(answer), out / f"{name}.parquet")
        told[name] = {field.name: field.dataType.typeName() for field in answer.schema.fields}
    told["refused"] = refused(spark, folder)
    told["lazy"] = lazy(spark, folder)
    told["one"] = one_key(spark, folder)
    if kind == "classic":
        import spark_udf_case

        told["udf"] = spark_udf_case.seen(spark, folder)
    (out / "told.json").write_text(json.dumps(told))
    spark.stop()


def start(kind: str):
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.config("spark.sql.session.timeZone", "America/New_York")
    if kind == "connect":
        os.environ["SPARK_TESTING"] = (
            "1"  # pyspark's way to a free port: another session may hold the usual one
        )
        return builder.remote("local[2]").getOrCreate()
    builder = builder.master("local[2]").config("spark.ui.enabled", "false")
    return builder.config("spark.sql.shuffle.partitions", "2").getOrCreate()


def read(spark, path, cast):
    """A parquet table as Spark reads it, with columns cast where the case says so."""
    frame = spark.read.parquet(path)
    for name, kind in cast.items():
        frame = frame.withColumn(name, frame[f"`{name}`"].cast(kind))
    return frame


def first_case(folder: Path):
    return json.loads((folder / "cases.json").read_text())["future"]


def refused(spark, folder: Path) -> dict[str, str]:
    """What is said at once, before Spark reads a row."""
    import pandas as pd

    from many_models import open_models
    from many_models.errors import InputError

    case = first_case(folder)
    models = open_models(case["run"])
    future = spark.read.parquet(case["future"])
    calls = {
        "no time": lambda: models.forecast(future=future.drop("date")),
        "no target": lambda: models.forecast(history=future),
        "horizon": lambda: models.forecast(history=future, horizon=0),
        "where": lambda: models.forecast(future=future, where={"shop": 1}),
        "mixed": lambda: models.forecast(future=future, history=pd.read_parquet(case["future"])),
    }
    said = {}
    for name, call in calls.items():
        try:
            call()
        except InputError as wrong:
            said[name] = str(wrong)
    return said


def lazy(spark, folder: Path) -> dict[str, bool]:
    """Whether a frame is read while the forecast is put together, and when the answer is."""
    from pyspark.sql import functions

    from many_models import open_models

    case = first_case(folder)
    future = spark.read.parquet(case["future"])
    trap = future.withColumn("price", functions.expr("CAST(raise_error('it was read') AS DOUBLE)"))
    answer = open_models(case["run"]).forecast(future=trap)
    try:
        answer.collect()
    except Exception as error:
        return {"read": "it was read" in str(error)}
    return {"read": False}


def one_key(spark, folder: Path) -> int:
    """How many rows one key's forecaster gives for a Spark table without key columns."""
    from many_models import open_models

    case = first_case(folder)
    models = open_models(case["run"])
    keys = models.keys()[["store", "item"]].iloc[0].to_dict()
    future = spark.read.parquet(case["future"])
    own = future.where((future["store"] == int(keys["store"])) & (future["item"] == keys["item"]))
    answer = models.find(keys).forecast(future=own.drop("store", "item"))
    return answer.where("mean IS NOT NULL").count()


if __name__ == "__main__":
    os.environ["PYSPARK_PYTHON"] = sys.executable
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(Path(__file__).parent))
    main(sys.argv[1], Path(sys.argv[2]))
