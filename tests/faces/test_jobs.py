"""The jobs of `spark_jobs/` as a cluster starts them: spark-submit in a process of its own."""

from pathlib import Path

import pandas as pd
import pytest

from many_models import open_models, open_run

pytestmark = [pytest.mark.spark, pytest.mark.timeout(600)]

JOBS = Path(__file__).parents[2] / "spark_jobs"
SUBMIT = [
    "spark-submit",
    *("--master", "local[2]"),
    *("--conf", "spark.ui.enabled=false", "--conf", "spark.sql.shuffle.partitions=2"),
    *("--conf", "spark.ui.showConsoleProgress=false"),
]


@pytest.fixture(scope="module")
def submit(needs_spark, finished, tmp_path_factory):
    """A function that submits a job and gives back how it ended."""
    folder = tmp_path_factory.mktemp("jobs")

    def run(job, *arguments):
        return finished([*SUBMIT, JOBS / job, *arguments], folder)

    return run


def test_a_submitted_training_leaves_the_run_of_the_local_engine(submit, registered, spec, tmp_path):
    (tmp_path / "retail.yaml").write_text(spec().to_yaml(), encoding="utf-8")
    registered.frame.to_parquet(tmp_path / "retail.parquet", index=False)
    arguments = ["--data", tmp_path / "retail.parquet", "--run-dir", tmp_path / "run"]
    done = submit("train.py", tmp_path / "retail.yaml", *arguments)
    assert done.returncode == 0, done.stderr[-5000:]
    assert done.stdout.splitlines()[-1] == str(tmp_path / "run")
    run, local = open_run(tmp_path / "run"), open_run(registered.run)
    assert run.summary["engine"]["name"] == "spark"
    columns = [name for name in local.forecasts().columns if name != "run_id"]
    pd.testing.assert_frame_equal(run.forecasts()[columns], local.forecasts()[columns])


def test_a_submitted_forecast_answers_every_row(submit, registered, tmp_path):
    registered.plan.to_parquet(tmp_path / "plan.parquet", index=False)
    out = tmp_path / "answer"
    done = submit("forecast.py", registered.run, "--future", tmp_path / "plan.parquet", "--out", out)
    assert done.returncode == 0, done.stderr[-5000:]
    assert done.stdout.splitlines()[-1] == str(out)
    keys = ["store", "item", "date"]
    got = pd.read_parquet(out).sort_values(keys, ignore_index=True)
    want = open_models(registered.run).forecast(future=registered.plan).sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(got, want, check_dtype=False)


def test_wrong_input_ends_a_job_with_code_2(submit, registered, tmp_path):
    done = submit("forecast.py", registered.run, "--future", tmp_path / "gone", "--out", tmp_path / "out")
    assert done.returncode == 2, done.stderr[-5000:]
    assert "gone" in done.stderr
    assert "Traceback" not in done.stderr
