"""A small registered model of retail sales, made once for all tests of this folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from many_models import ForecastSpec, train
from many_models.datasets import retail


@dataclass(frozen=True)
class Registered:
    """A registered version: its store, its run directory, and the tables it was made from."""

    tracking_uri: str
    run: Path
    frame: pd.DataFrame

    uri = "models:/retail@champion"

    @property
    def plan(self):
        """Keys, times and known covariates of the four weeks to come."""
        sold = self.frame["sales"].notna()
        later = self.frame[self.frame["date"] > self.frame.loc[sold, "date"].max()]
        return later[["store", "item", "date", "price", "promotion"]].reset_index(drop=True)


def small_spec(**overrides):
    """Weekly sales per store and item, with few and quick learners."""
    spec = ForecastSpec.from_dict(
        {
            "name": "retail",
            "data": {
                "time": "date",
                "target": "sales",
                "series": ["store", "item"],
                "known": ["price", "promotion"],
                "frequency": "W-MON",
            },
            "forecast": {"horizon": 4},
            "learners": {"preset": "fast", "allow": ["naive", "seasonal_naive", "arx"]},
            "engine": {"workers": 1},
        }
    )
    return spec.replace(overrides) if overrides else spec


@pytest.fixture(scope="session")
def spec():
    """A function that makes the configuration, with overrides at dotted paths."""
    return small_spec


@pytest.fixture(scope="session")
def registered(tmp_path_factory, empty_store):
    """The registered version `models:/retail@champion`."""
    folder = tmp_path_factory.mktemp("registered")
    frame = retail(stores=2, items=2, periods=60, frequency="W", future=4, seed=7)
    run = train(frame, small_spec(), run_dir=folder / "run")
    tracking_uri = empty_store(folder)
    run.register("retail", tracking_uri=tracking_uri)
    return Registered(tracking_uri, folder / "run", frame)


@pytest.fixture(scope="session")
def environment():
    """The environment of a process that we start: our commands on PATH, nothing of the caller's Spark."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), plain.get("PATH", "")])
    return {**plain, "PATH": path, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}


@pytest.fixture(scope="session")
def needs_spark():
    """Skips where Spark cannot run, and says why."""
    pytest.importorskip("pyspark", reason="pyspark is not installed: pip install 'many-models[spark]'")
    if shutil.which("java") is None:
        pytest.skip("no Java on PATH: nothing of Spark was tested")


@pytest.fixture(scope="session")
def finished(environment):
    """A function that runs a command to its end and gives back what it said."""

    def run(command, folder, **more):
        return subprocess.run(
            [str(part) for part in command],
            cwd=folder,
            env={**environment, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )

    return run
