from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2] / "benchmarks"


def run(script, *arguments):
    # A process of its own, as `make bench` runs it: the scripts import each other by their bare names.
    return subprocess.run(
        [sys.executable, str(HERE / f"{script}.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
    ).stdout


def targets(path):
    return {line["what"]: line for line in map(json.loads, path.read_text().splitlines())}


@pytest.mark.usefixtures("real_data")
def test_speed_tells_raw_fits_from_the_rest_and_sizes_by_kind(tmp_path):
    out = tmp_path / "targets.jsonl"
    page = run("speed", "--series", 2, "--only", "orange juice, fast", "--json", out)
    assert "calibration" in page
    assert "| fits and predictions |" in page
    assert "| orange juice, fast | whole model | 2 |" in page
    assert set(targets(out)) == {
        "orange juice, fast: core-seconds per series",
        "orange juice, fast: median bytes per model",
    }


@pytest.mark.usefixtures("real_data")
def test_accuracy_stands_beside_its_anchors_with_coverage_and_paired_errors(tmp_path):
    out = tmp_path / "targets.jsonl"
    page = run("accuracy", "yearly", "--preset", "fast", "--limit", 6, "--candidates", "--json", out)
    header = next(line for line in page.splitlines() if line.startswith("| forecast |"))
    for column in ("owa", "difference_se", "in 80 % interval"):
        assert f" {column} |" in header
    assert "| Naive2 |" in page
    assert "not run" not in page
    found = targets(out)
    assert "M4 yearly, fast: OWA (6 series)" in found
    assert float(found["M4 yearly, fast: OWA (6 series)"]["measured"].split()[0]) > 0


@pytest.mark.slow
@pytest.mark.usefixtures("real_data")
@pytest.mark.parametrize(
    ("script", "arguments", "what"),
    [
        ("covariates", ("--stores", 1, "--origins", 1), "WAPE, own prices and promotions"),
        (
            "singles",
            ("yearly", "--limit", 4, "--preset", "fast"),
            "yearly, fast: OWA over that of the best alone",
        ),
        ("budget", ("--series", 6, "--preset", "fast"), "budget 1/2 of it: time over budget"),
    ],
)
def test_longer_benchmarks_print_their_targets(tmp_path, script, arguments, what):
    out = tmp_path / "targets.jsonl"
    page = run(script, *arguments, "--json", out)
    assert "calibration" in page
    assert any(line.startswith(what) for line in targets(out))


def test_start_is_measured_and_nothing_heavy_is_loaded(tmp_path):
    out = tmp_path / "targets.jsonl"
    run("startup", "--quick", "--json", out)
    assert targets(out)["heavy modules loaded by `import many_models`"]["met"] is True


def test_table_says_which_benchmarks_could_not_run_and_why(tmp_path, monkeypatch):
    monkeypatch.setenv("MANY_MODELS_DATA", str(tmp_path / "nowhere"))
    into = tmp_path / "figures.md"
    into.write_text("before\n<!-- figures: begin -->\nstale figures\n<!-- figures: end -->\nafter\n")
    page = run("table", "--only", "speed", "--into", into)
    assert "| speed | – | not run: no benchmark data in" in page
    written = into.read_text()
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    assert "not run: no benchmark data in" in written
    assert "stale figures" not in written


def test_unknown_set_is_refused_by_name():
    with pytest.raises(subprocess.CalledProcessError) as refused:
        run("accuracy", "yaerly")
    assert "yaerly: no such set; there are yearly, quarterly" in refused.value.stderr
