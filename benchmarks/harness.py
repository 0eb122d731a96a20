"""What the benchmark scripts share: the line that says where it ran, tables, targets, samples of series.

Importing this module keeps BLAS and OpenMP at one thread each, as the engines' children do, so it
is imported before NumPy.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import dataclasses
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

PACKAGES = ("many-models", "numpy", "pandas", "pyarrow", "statsforecast", "lightgbm", "mlflow", "pyspark")
CONFIGS = Path(__file__).parents[1] / "configs"


@dataclasses.dataclass(frozen=True)
class Target:
    """One line of the table of targets.

    Attributes
    ----------
    met
        None where the figure has no fixed target.
    """

    what: str
    target: str
    measured: str
    met: bool | None


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """The arguments that every script has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small sample, for a look in a minute or less")
    parser.add_argument("--json", type=Path, help="also write the targets here, one object per line")
    return parser


def calibration() -> float:
    """Seconds of the sum of a million squares here and now, the median of five: how fast this machine is."""
    taken = []
    for _ in range(5):
        started = time.perf_counter()
        sum(i * i for i in range(10**6))
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def headline(title: str) -> str:
    """Title, date, versions, machine and calibration, in markdown."""
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"## {title}\n\n"
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · Python {platform.python_version()}, "
        f"{', '.join(versions)}\n"
        f"{len(os.sched_getaffinity(0))} cores, load {load} · "
        f"calibration {calibration():.3f} s (sum of a million squares)\n"
    )


def markdown(frame: pd.DataFrame, digits: int = 3) -> str:
    """The frame as a GitHub table, numbers aligned right and rounded to so many significant digits."""
    numeric = [pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]
    lines = [
        "| " + " | ".join(str(name) for name in frame.columns) + " |",
        "|" + "|".join("---:" if number else "---" for number in numeric) + "|",
    ]
    lines += [
        "| " + " | ".join(_cell(value, digits) for value in row) + " |"
        for row in frame.itertuples(index=False)
    ]
    return "\n".join(lines) + "\n"


def _cell(value: Any, digits: int) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"
    return str(value)


def targets_table(targets: Sequence[Target]) -> str:
    """What | target | measured | met, in markdown."""
    said = {True: "yes", False: "**no**", None: "–"}
    rows = [(t.what, t.target, t.measured, said[t.met]) for t in targets]
    return markdown(pd.DataFrame(rows, columns=["what", "target", "measured", "met"], dtype=object))


def finish(targets: Sequence[Target], path: Path | None) -> None:
    """Prints the table of targets, and writes them where `--json` says."""
    if targets:
        print(targets_table(targets), flush=True)
    if path is not None:
        path.write_text("".join(json.dumps(dataclasses.asdict(t)) + "\n" for t in targets), encoding="utf-8")


@contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder."""
    with tempfile.TemporaryDirectory(prefix="many-models-bench-") as folder:
        yield Path(folder)


def some_series(frame: pd.DataFrame, keys: list[str], limit: int | None) -> pd.DataFrame:
    """The rows of `limit` series, evenly spaced in key order; None is all of them."""
    every = frame[keys].drop_duplicates().sort_values(keys, ignore_index=True)
    if limit is None or limit >= len(every):
        return frame
    chosen = every.iloc[[round(i * (len(every) - 1) / max(1, limit - 1)) for i in range(limit)]]
    return frame.merge(chosen.drop_duplicates(), on=keys)


def stopwatch(work: Callable[[], Any]) -> tuple[float, Any]:
    """Wall seconds of `work()`, and what it gave."""
    started = time.perf_counter()
    answer = work()
    return time.perf_counter() - started, answer
