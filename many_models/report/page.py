"""The page of a run: what a reader wants to know first, and everything in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from many_models.report.digest import (
    COUNTS_AS_FAILED,
    FinishedRun,
    Row,
    coverage,
    finding_groups,
    learner_shares,
    outcomes,
    ranked,
    read_folder,
    series_numbers,
    series_rows,
)
from many_models.report.plots import ENSEMBLE, image_uri, plot_distribution, thumbnail

EXTREMES = 10
"""Series shown at either end of a ranking."""

FAILURES = 50
"""Failed series listed by name."""

RESULT_COLUMNS = ("status", "reason", "learner", "score", "skill", "bias", "seconds")
LEADERBOARD_COLUMNS = (
    "candidate",
    "learner",
    "score",
    "weight",
    "fit_seconds",
    "predict_seconds",
    "error_code",
)
FINDING_COLUMNS = ("code", "severity", "state", "count", "message", "action")


@dataclass(frozen=True)
class Picture:
    """A series with its plot."""

    row: Row
    image: str


@dataclass(frozen=True)
class Frames:
    """The rows of a run that the page is made of."""

    keys: list[str]
    time: str
    results: pd.DataFrame
    leaderboard: pd.DataFrame
    forecasts: pd.DataFrame
    findings: pd.DataFrame
    served: pd.DataFrame
    """The backtest of what each series is served by."""


def report(run: FinishedRun) -> str:
    """The report of a run as one self-contained HTML page (no scripts, nothing loaded from elsewhere).

    The page stays small for any number of series: tables and plots show the ends of rankings.

    Parameters
    ----------
    run
        A finished run, as `many_models.open_run` gives it.
    """
    frames = _read(run)
    results = frames.results
    failed = results.index[results["status"].astype(str).isin(COUNTS_AS_FAILED)].to_numpy()
    by_skill = ranked(results, "skill")
    best_at = by_skill[::-1][:EXTREMES]
    # A run of few series shows each of them once.
    worst_at = np.array([i for i in by_skill[:EXTREMES] if i not in set(best_at.tolist())], dtype=np.intp)
    page = {
        "summary": run.summary,
        "name": run.directory.name,
        "spec": run.spec.to_yaml(),
        "outcomes": outcomes(results),
        "learners": learner_shares(frames.leaderboard, frames.keys),
        "coverage": coverage(frames.served),
        "findings": finding_groups(frames.findings, frames.keys),
        "folds": int(frames.served["fold"].nunique()),
        "plots": _distributions(results),
        "skill": _skill(run.summary, results),
        "slowest": series_rows(results, frames.keys, ranked(results, "seconds")[::-1][:EXTREMES]),
        "best": _pictures(frames, best_at),
        "worst": _pictures(frames, worst_at),
        "failed": series_rows(results, frames.keys, failed[:FAILURES]),
        "failed_count": len(failed),
        "versions": _pairs(run.summary.get("versions")),
        "engine": _pairs(run.summary.get("engine")),
    }
    return str(_environment().get_template("template.html").render(page))


def _read(run: FinishedRun) -> Frames:
    keys, time, folder = list(run.key_columns), run.time_column, run.directory
    results = read_folder(folder, "results", [*keys, *RESULT_COLUMNS])
    findings = read_folder(folder, "findings", [*keys, *FINDING_COLUMNS])
    if keys:
        # Batches come in any order; the page does not depend on it.
        results = results.sort_values(keys, kind="stable", ignore_index=True)
        findings = findings.sort_values(keys, kind="stable", ignore_index=True)
    quantiles = [f"q{level:g}" for level in run.spec.forecast.quantiles]
    steps = [*keys, time, "step", "mean", *quantiles]
    return Frames(
        keys,
        time,
        results,
        leaderboard=read_folder(folder, "leaderboard", [*keys, *LEADERBOARD_COLUMNS]),
        forecasts=read_folder(folder, "forecasts", steps),
        findings=findings,
        served=read_folder(folder, "backtest", [*steps, "fold", "candidate", "actual"], candidate=ENSEMBLE),
    )


def _pictures(frames: Frames, positions: npt.NDArray[np.intp]) -> list[Picture]:
    """The series at these positions of the results, each with a plot of backtest and forecast."""
    backtests = _rows_of(frames.served, frames, positions)
    forecasts = _rows_of(frames.forecasts, frames, positions)
    pictures = []
    for row in series_rows(frames.results, frames.keys, positions):
        figure = thumbnail(backtests[row.number], forecasts[row.number], time=frames.time)
        pictures.append(Picture(row, image_uri(figure)))
    return pictures


def _rows_of(frame: pd.DataFrame, frames: Frames, positions: npt.NDArray[np.intp]) -> dict[int, pd.DataFrame]:
    """The rows of `frame` of each of these series."""
    number = series_numbers(frame, frames.results, frames.keys)
    return {int(position): frame[number == position] for position in positions}


def _distributions(results: pd.DataFrame) -> dict[str, str]:
    """The distribution plots by name; those without a finite value are left out."""
    plots = {}
    for name, mark, label, percent in (
        ("skill", 0.0, "seasonal naive", True),
        ("score", None, "", False),
        ("bias", 0.0, "unbiased", True),
        ("seconds", None, "", False),
    ):
        values = results[name].to_numpy(dtype=np.float64)
        if np.isfinite(values).any():
            plots[name] = image_uri(plot_distribution(values, mark=mark, mark_label=label, percent=percent))
    return plots


def _skill(summary: Mapping[str, Any], results: pd.DataFrame) -> dict[str, float]:
    """Median skill and the share that beats seasonal naive: the summary's, with the number of series."""
    values = results["skill"].to_numpy(dtype=np.float64)
    found = {"series": float(np.isfinite(values).sum()), "median": np.nan, "share_beating_naive": np.nan}
    for name, value in dict(summary.get("skill") or {}).items():
        found[str(name)] = np.nan if value is None else float(value)
    return found


def _pairs(value: Any) -> list[tuple[str, str]]:
    """Names and values of a mapping; a plain value stands alone."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [(str(k), str(v)) for k, v in sorted(value.items())]
    return [("", str(value))]


def _environment() -> Any:
    from jinja2 import DictLoader, Environment, StrictUndefined

    source = files("many_models.report").joinpath("template.html").read_text(encoding="utf-8")
    environment = Environment(
        loader=DictLoader({"template.html": source}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, percent=percent, duration=duration, whole=whole)
    return environment


def number(value: Any) -> str:
    """Three significant digits: `0.834`, `1,230`; a dash where there is none."""
    if not _finite(value):
        return "–"
    value = float(value)
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2e}"
    digits = 0 if value == 0 else max(0, 2 - int(np.floor(np.log10(abs(value)))))
    return f"{value:,.{digits}f}"


def percent(value: Any, signed: bool = False) -> str:
    """A share as percent: `83 %`, `2.4 %`; a dash where there is none."""
    if not _finite(value):
        return "–"
    hundred = 100.0 * float(value)
    digits = 1 if 0.05 <= abs(hundred) < 9.95 else 0
    return f"{hundred:{'+' if signed else ''}.{digits}f} %".replace("-", "−")


def duration(value: Any) -> str:
    """Seconds as a person says them: `0.42 s`, `3 min 20 s`, `2 h 5 min`."""
    if not _finite(value):
        return "–"
    seconds = float(value)
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def whole(value: Any) -> str:
    """A count with thousands separated: `12,400`."""
    return f"{int(value):,}" if _finite(value) else "–"


def _finite(value: Any) -> bool:
    return value is not None and not isinstance(value, str | Sequence) and bool(np.isfinite(float(value)))
