"""`mlflow.pyfunc.spark_udf` over the registered version, as docs/serving.md shows it."""

from __future__ import annotations

import json
from pathlib import Path

RESULT = "mean double, `q0.5` double, status string"


def seen(spark, folder: Path) -> list[list[object]]:
    """Rows (store, item, date, mean, q0.5, status) of the plan."""
    import mlflow
    from pyspark.sql import functions

    given = json.loads((folder / "udf.json").read_text())
    mlflow.set_tracking_uri(given["tracking_uri"])
    predict = mlflow.pyfunc.spark_udf(spark, given["uri"], result_type=RESULT, env_manager="local")
    # whole series to one task: the rows of a series must come in one call
    plan = spark.read.parquet(given["plan"]).repartition(2, "store", "item")
    answered = plan.withColumn("forecast", predict(functions.struct(*plan.columns)))
    rows = answered.select("store", "item", functions.col("date").cast("string"), "forecast.*").collect()
    return [list(row) for row in rows]
