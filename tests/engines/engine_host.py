"""Runs the engine cases on one kind of engine, in a process of its own.

`engine_host.py KIND FOLDER [MASTER]`: classic Spark and Connect cannot live in one process.
Answers are written to FOLDER/answers.json.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path


def main(kind: str, folder: Path, master: str = "") -> None:
    import engine_cases
    import engine_jobs

    engine, spark = start(kind, master)
    if spark is not None:
        spark.conf.set("spark.sql.session.timeZone", engine_cases.ZONE)
        spark.conf.set(
            "spark.sql.shuffle.partitions", "4"
        )  # small tables: the default of 200 only costs time
        spark.addArtifacts(engine_jobs.__file__, pyfile=True)
    answers: dict[str, object] = {"describe": engine.describe()}
    seconds = {}
    for name, case in engine_cases.CASES.items():
        began = time.monotonic()
        place = folder / name
        place.mkdir()
        try:
            answers[name] = case(engine_cases.Bench(engine, place, spark))
        except Exception:
            answers[name] = {"crashed": traceback.format_exc()}
        seconds[name] = round(time.monotonic() - began, 2)
    answers["package"] = package_of_children(engine_cases, engine_jobs, engine, folder)
    answers["seconds"] = seconds
    engine.close()
    (folder / "answers.json").write_text(json.dumps(answers))


def start(kind, master):
    from many_models.engines.local import LocalEngine
    from many_models.engines.spark import SparkEngine

    if kind == "local":
        return LocalEngine(2), None
    from pyspark.sql import SparkSession

    if kind == "connect":
        os.environ["PYSPARK_PYTHON"] = sys.executable
        # pyspark's way to a free port: another session may hold the usual one
        os.environ["SPARK_TESTING"] = "1"
        SparkSession.builder.remote("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    engine = SparkEngine({"standalone": master}.get(kind, "spark"), 2 if kind == "classic" else None)
    engine.describe()
    return engine, SparkSession.getActiveSession()


def package_of_children(cases, jobs, engine, folder):
    """Where the children found the package: on a cluster it has to be the shipped one."""
    import pyarrow as pa

    bench = cases.Bench(engine, folder)
    table = pa.table({"shop": ["a"], "when": [1], "sold": [1.0]})
    panel = bench.open(table.to_pandas())
    seen = bench.answers(panel, jobs.job(run=jobs.environment))[0]
    panel.close()
    return {name: seen[name] for name in ("package", "omp", "stdout", "sigint")}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
