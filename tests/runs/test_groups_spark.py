"""Groups on Spark: both stages and the shared models give what one machine gives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from group_cases import AUTOMATIC, KEY, history, ordered, shown

from many_models import open_models, open_run, train

HERE = Path(__file__).parent
pytestmark = [pytest.mark.spark, pytest.mark.timeout(600)]


@pytest.mark.parametrize("kind", ["classic", pytest.param("connect", marks=pytest.mark.slow)])
def test_spark_trains_and_forecasts_groups_as_one_machine_does(tmp_path, kind):
    pytest.importorskip("pyspark", reason="pyspark is not installed: pip install 'many-models[spark]'")
    if shutil.which("java") is None:
        pytest.skip("no Java on PATH: groups on Spark were not tested")
    frame, spec = shown(kind)
    local = train(frame, spec, run_dir=tmp_path / "local")
    host = subprocess.run(
        [sys.executable, str(HERE / "group_cases.py"), kind, str(tmp_path)],
        env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert host.returncode == 0, host.stderr[-5000:]
    assert (".connect." in (tmp_path / "session").read_text()) == (kind == "connect")
    spark = open_run(tmp_path / "spark")
    # Spark hands a clock time over as an instant: its stamps have a zone
    one, other = (ordered(run.forecasts()).drop(columns=["month", "cutoff"]) for run in (local, spark))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    for folder in ("models", "results"):
        names = [
            set(pd.read_parquet(run.directory / folder)["content_id"].dropna()) for run in (local, spark)
        ]
        assert names[0] == names[1]
    models = open_models(tmp_path / "local")
    wanted = ordered(models.forecast(history=history(frame), missing_model="pooled"))
    answer = ordered(pd.read_parquet(tmp_path / "forecast.parquet"))
    assert len(answer) == len(wanted)
    both = answer.merge(wanted, on=[*KEY, "step"], suffixes=("", "_local"))
    for name in ("mean", "q0.1", "q0.5", "q0.9"):
        there = both[name].notna()
        assert (both.loc[there, name] == both.loc[there, f"{name}_local"]).all()
        assert (both[f"{name}_local"].notna() == there).all()
    assert set(answer.loc[answer["brand"] == "new", "reason"]) == {"NEW_SERIES"}
    assert answer.loc[answer["brand"] == "new", "mean"].notna().all()
    if kind == "connect":
        return
    alone = train(frame, spec.replace(AUTOMATIC), run_dir=tmp_path / "alone")
    names = [
        sorted(pd.read_parquet(run.directory / "results")["content_id"].dropna())
        for run in (alone, open_run(tmp_path / "sorted"))
    ]
    assert names[0] == names[1]
