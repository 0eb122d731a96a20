"""Forecast with a registered version on Spark: `spark-submit spark_jobs/forecast.py MODEL --out PATH …`.

Reads the future rows (and newer history) with Spark, brings the models to the keys as a frame, and
writes the answer with Spark, so that nothing passes through one machine.
"""

from __future__ import annotations

import argparse
import sys

from many_models.cli.main import guarded


def main(arguments: list[str]) -> int:
    """The exit code; 2 where the input is wrong, 4 where something outside failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="models:/name@alias, models:/name/3, or a run directory")
    parser.add_argument("--future", help="keys, times and known covariates (parquet)")
    parser.add_argument("--data", help="newer history (parquet)")
    parser.add_argument("--horizon", type=int, help="steps, without --future")
    parser.add_argument("--out", required=True, help="folder of the answer (parquet)")
    options = parser.parse_args(arguments)
    return guarded(lambda: forecast(options))


def forecast(options: argparse.Namespace) -> int:
    """Writes the forecasts; 0 when done."""
    from pyspark.sql import SparkSession

    from many_models import open_models

    spark = SparkSession.builder.getOrCreate()
    future = None if options.future is None else spark.read.parquet(options.future)
    history = None if options.data is None else spark.read.parquet(options.data)
    models = open_models(options.model)
    answer = models.forecast(history=history, future=future, horizon=options.horizon)
    if future is None and history is None:
        answer = spark.createDataFrame(answer)
    answer.write.mode("errorifexists").parquet(options.out)
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
