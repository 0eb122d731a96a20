"""Short forms of `make fuzz` and `make chaos`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
    told = run("chaos", "--faults", 2, "--stores", 1, "--seed", 3)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "faults injected  2 (1 drivers killed, 1 workers killed)" in told.stdout
    assert "survived         2" in told.stdout
    assert "series lost      0" in told.stdout
    assert "series refitted  0" in told.stdout
    assert "undisturbed run: none" in told.stdout
