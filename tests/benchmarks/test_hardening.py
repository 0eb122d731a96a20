"""Short forms of `make fuzz` and `make chaos`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2] / "benchmarks"


def run(script, *arguments):
    return subprocess.run(
        [sys.executable, str(HERE / f"{script}.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_damaged_and_hostile_files_are_refused_and_run_nothing():
    told = run("fuzz", "--count", 1000, "--seed", 7)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "0 failures" in told.stdout
    assert "FAILED" not in told.stdout


def test_a_killed_driver_and_a_killed_worker_lose_no_series_and_fit_none_again():
    told = run("chaos", "--faults", 2, "--cluster", 0, "--stores", 1, "--seed", 3)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "faults injected  2 (1 x worker, 1 x driver)" in told.stdout
    assert "survived         2" in told.stdout
    assert "series lost      0" in told.stdout
    assert "series refitted  0" in told.stdout
    assert "undisturbed run: nothing" in told.stdout


@pytest.mark.slow
@pytest.mark.spark
def test_killed_python_workers_and_executors_of_a_cluster_lose_no_series_and_fit_none_again():
    told = run("chaos", "--faults", 0, "--cluster", 2, "--stores", 4, "--seed", 1)
    assert told.returncode == 0, told.stdout + told.stderr
    if "no Java" in told.stdout:
        pytest.skip("no Java on PATH: nothing of Spark was killed")
    assert "faults injected  2 (1 x executor, 1 x python worker)" in told.stdout
    assert "survived         2" in told.stdout
    assert "series lost      0" in told.stdout
    assert "series refitted  0" in told.stdout
