"""Forecast with a registered version on Spark: `spark-submit spark_jobs/forecast.py MODEL --out PATH …`.

Reads the future rows (and newer history) with Spark, brings the models to the keys as a frame, and
writes the answer with Spark, so that nothing passes through one machine.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from collections.abc import Iterator

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
    from many_models.engines.session import spark_errors
    from many_models.engines.spark import frame_of
    from many_models.runs.scoring import Scorer

    models = open_models(options.model)
    spark = SparkSession.builder.getOrCreate()
    with spark_errors("the forecast failed on Spark"), input_errors():
        future = None if options.future is None else spark.read.parquet(options.future)
        history = None if options.data is None else spark.read.parquet(options.data)
        if future is None and history is None:
            answer = frame_of(spark, Scorer(models).table(None, None, options.horizon, None))
        else:
            answer = models.forecast(history=history, future=future, horizon=options.horizon)
        answer.write.mode("errorifexists").parquet(options.out)
    print(options.out)
    return 0


@contextlib.contextmanager
def input_errors() -> Iterator[None]:
    """Tells what Spark says of wrong paths and wrong rows as the user's mistakes that they are."""
    from pyspark.errors import AnalysisException

    from many_models.errors import DataError, Problem

    try:
        yield
    except AnalysisException as error:
        said = str(error).splitlines()[0]
        raise DataError(Problem("paths", said, action="correct --future, --data or --out")) from error
    except Exception as error:
        # Rows are read in Spark's workers: what is wrong with them comes as text.
        found = re.search(r"many_models\.errors\.\w*Error: (.+)", str(error))
        if found is None:
            raise
        raise DataError(Problem("rows", found[1], action="correct the rows of --future or --data")) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
