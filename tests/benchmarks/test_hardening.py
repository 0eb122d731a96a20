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
        timeout=900,
    )


def test_damaged_and_hostile_files_are_refused_and_run_nothing():
    told = run("fuzz", "--count", 1000, "--seed", 7)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "0 failures" in told.stdout
    assert "FAILED" not in told.stdout


def test_a_killed_driver_and_a_killed_worker_lose_no_series_and_fit_none_again():
    told = run("chaos", "--faults", 2, "--cluster", 0, "--registry", 0, "--stores", 1, "--seed", 3)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "faults injected  2 (1 x worker, 1 x driver)" in told.stdout
    assert "survived         2" in told.stdout
    assert "series lost      0" in told.stdout
    assert "series refitted  0" in told.stdout
    assert "undisturbed run: nothing" in told.stdout


@pytest.mark.slow
@pytest.mark.spark
def test_what_is_killed_in_a_cluster_while_it_fits_is_tried_again_and_loses_no_series():
    told = run("chaos", "--faults", 0, "--cluster", 3, "--registry", 0, "--stores", 10, "--seed", 1)
    assert told.returncode == 0, told.stdout + told.stderr
    if "no Java" in told.stdout:
        pytest.skip("no Java on PATH: nothing of Spark was killed")
    assert "faults injected  3 (1 x python worker, 1 x executor, 1 x cluster worker)" in told.stdout
    assert "survived         3" in told.stdout
    assert "series lost      0" in told.stdout
    assert "series refitted  0" in told.stdout
    assert "lost 0 tasks" not in told.stdout


@pytest.mark.slow
def test_a_registry_that_is_killed_and_comes_back_holds_whole_versions_only():
    told = run("chaos", "--faults", 0, "--cluster", 0, "--registry", 2, "--stores", 1, "--seed", 2)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "faults injected  2 (2 x registry)" in told.stdout
    assert "survived         2" in told.stdout
    assert "1 runs registered again" in told.stdout
    assert "undisturbed run: nothing" in told.stdout
