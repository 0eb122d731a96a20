"""What the frames of a run say, as small tables: the numbers behind the page.

Everything is bounded: a run of a hundred thousand series gives tables of the same length
as a run of twenty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from many_models.report.plots import ENSEMBLE, interval_columns

STATUSES = ("TRAINED", "FALLBACK", "TIMED_OUT", "FAILED", "SKIPPED", "CANCELLED")
COUNTS_AS_FAILED = ("TIMED_OUT", "FAILED")
SEVERITIES = ("error", "warning", "info")

KEY_CHARACTERS = 90
"""A key is shown up to this length; the rest is an ellipsis."""


class Asked(Protocol):
    """The part of a configuration that says what is forecast."""

    @property
    def quantiles(self) -> tuple[float, ...]:
        """The quantile levels."""


class Resolved(Protocol):
    """A resolved configuration."""

    @property
    def forecast(self) -> Asked:
        """What is forecast."""

    def to_yaml(self) -> str:
        """The resolved configuration as YAML."""


class FinishedRun(Protocol):
    """What the report asks of a run; everything else it reads from the folders of the run directory."""

    @property
    def summary(self) -> Mapping[str, Any]:
        """The run's `summary.json`."""

    @property
    def spec(self) -> Resolved:
        """The resolved configuration."""

    @property
    def key_columns(self) -> list[str]:
        """Names of the columns that identify a series."""

    @property
    def time_column(self) -> str:
        """Name of the time column."""

    @property
    def directory(self) -> Path:
        """The run directory, with its folders of Parquet files."""


def read_folder(directory: Path, folder: str, columns: Sequence[str], candidate: str = "") -> pd.DataFrame:
    """These columns of one folder of a run directory; of one candidate alone where it is named.

    Only what is asked for leaves the disk, so that a large backtest stays there. A folder
    without a file gives no rows.
    """
    import pyarrow.dataset as ds

    path = directory / folder
    if not any(path.glob("*.parquet")):
        return pd.DataFrame({name: pd.Series(dtype=object) for name in columns})
    data = ds.dataset(path, format="parquet")
    chosen = ds.field("candidate") == candidate if candidate else None
    rows: pd.DataFrame = data.to_table(columns=list(columns), filter=chosen).to_pandas()
    return rows


@dataclass(frozen=True)
class Row:
    """One series in a table of the page."""

    key: str
    number: int
    status: str
    reason: str
    learner: str
    score: float
    skill: float
    bias: float
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """How many series ended with one status, and why."""

    status: str
    count: int
    share: float
    reasons: list[tuple[str, int]]
    failed: bool


@dataclass(frozen=True)
class LearnerShare:
    """What one learner carries: its part of all weights, and what it cost."""

    learner: str
    share: float
    series: int
    candidates: int
    score: float
    seconds: float
    errors: list[tuple[str, int]]


@dataclass(frozen=True)
class Coverage:
    """How often the actual value lay inside a central interval in the backtest."""

    nominal: float
    observed: float
    count: int


@dataclass(frozen=True)
class FindingGroup:
    """All findings with one code."""

    code: str
    severity: str
    series: int
    count: int
    example: str
    action: str


def key_text(keys: Sequence[str], values: Sequence[Any]) -> str:
    """The key as a person reads it: `Store=2, Brand=tropicana`, cut when it is very long."""
    text = ", ".join(f"{name}={value}" for name, value in zip(keys, values, strict=True)) or "the one series"
    return text if len(text) <= KEY_CHARACTERS else text[: KEY_CHARACTERS - 1] + "…"


def series_numbers(frame: pd.DataFrame, results: pd.DataFrame, keys: list[str]) -> npt.NDArray[np.int64]:
    """For each row of `frame` the position of its series in `results` [N]; -1 where it is not there."""
    if not keys:
        return np.zeros(len(frame), dtype=np.int64)
    if len(keys) == 1:
        place = pd.Index(results[keys[0]]).get_indexer(pd.Index(frame[keys[0]]))
    else:
        place = pd.MultiIndex.from_frame(results[keys]).get_indexer(pd.MultiIndex.from_frame(frame[keys]))
    return np.asarray(place, dtype=np.int64)


def series_rows(results: pd.DataFrame, keys: list[str], positions: npt.NDArray[np.intp]) -> list[Row]:
    """The series at these positions of `results`, ready for a table."""
    rows = []
    for position in positions.tolist():
        row = results.iloc[position]
        rows.append(
            Row(
                key=key_text(keys, [row[k] for k in keys]),
                number=position,
                status=_text(row["status"]),
                reason=_text(row["reason"]),
                learner=_text(row["learner"]),
                score=float(row["score"]),
                skill=float(row["skill"]),
                bias=float(row["bias"]),
                seconds=float(row["seconds"]),
            )
        )
    return rows


def outcomes(results: pd.DataFrame) -> list[Outcome]:
    """Counts by status, in the order of the documents, with the reasons of each."""
    found = []
    status = results["status"].astype(str)
    for name in STATUSES:
        chosen = results.loc[status == name, "reason"]
        if not len(chosen):
            continue
        reasons = chosen.dropna().astype(str)
        counted = [(str(code), int(n)) for code, n in reasons[reasons != ""].value_counts().items()]
        share = len(chosen) / max(len(results), 1)
        found.append(Outcome(name, len(chosen), share, counted[:6], name in COUNTS_AS_FAILED))
    return found


def learner_shares(leaderboard: pd.DataFrame, keys: list[str]) -> list[LearnerShare]:
    """The learners by the weight that they carry over all series, heaviest first."""
    leaderboard = leaderboard[leaderboard["learner"].astype(str) != ENSEMBLE]
    weights = leaderboard["weight"].fillna(0.0)
    total = float(weights.sum())
    shares = []
    for learner, rows in leaderboard.groupby("learner", sort=True):
        weight = weights.loc[rows.index]
        errors = rows["error_code"].dropna().astype(str)
        seconds = np.nansum(rows[["fit_seconds", "predict_seconds"]].to_numpy(dtype=np.float64))
        shares.append(
            LearnerShare(
                learner=str(learner),
                share=float(weight.sum()) / total if total > 0 else 0.0,
                series=_distinct(rows[weight > 0], keys),
                candidates=len(rows),
                score=_median(rows["score"]),
                seconds=float(seconds),
                errors=[(str(c), int(n)) for c, n in errors[errors != ""].value_counts().items()][:4],
            )
        )
    return sorted(shares, key=lambda s: (-s.share, s.learner))


def coverage(backtest: pd.DataFrame) -> list[Coverage]:
    """Nominal and observed coverage of each central interval over these rows of the backtest."""
    found = []
    actual = backtest["actual"].to_numpy(dtype=np.float64)
    for low, high, level in interval_columns(backtest.columns):
        bottom, top = (backtest[name].to_numpy(dtype=np.float64) for name in (low, high))
        usable = np.isfinite(actual) & np.isfinite(bottom) & np.isfinite(top)
        if usable.any():
            inside = (actual >= bottom) & (actual <= top)
            found.append(Coverage(level, float(inside[usable].mean()), int(usable.sum())))
    return found


def finding_groups(findings: pd.DataFrame, keys: list[str]) -> list[FindingGroup]:
    """The findings by code, the gravest and most frequent first; what was looked at in vain is left out."""
    findings = findings[findings["state"] != "passed"]
    groups = []
    for (code, severity), rows in findings.groupby(["code", "severity"], sort=True):
        first = rows.iloc[0]
        groups.append(
            FindingGroup(
                code=str(code),
                severity=str(severity),
                series=_distinct(rows, keys),
                count=int(rows["count"].fillna(0).sum()),
                example=f"{key_text(keys, [first[k] for k in keys])}: {_text(first['message'])}",
                action=_text(first["action"]),
            )
        )
    return sorted(groups, key=lambda g: (_gravity(g.severity), -g.series, g.code))


def ranked(results: pd.DataFrame, column: str) -> npt.NDArray[np.intp]:
    """Positions of the series that have this number, smallest first (ties stay in key order)."""
    values = results[column].to_numpy(dtype=np.float64)
    order = np.argsort(values, kind="stable")
    finite: npt.NDArray[np.intp] = order[np.isfinite(values[order])]
    return finite


def _distinct(rows: pd.DataFrame, keys: list[str]) -> int:
    """How many series these rows belong to."""
    return len(rows.drop_duplicates(keys)) if keys else min(len(rows), 1)


def _median(column: pd.Series) -> float:
    values = column.to_numpy(dtype=np.float64)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else float("nan")


def _gravity(severity: str) -> int:
    lowered = severity.lower()
    return SEVERITIES.index(lowered) if lowered in SEVERITIES else len(SEVERITIES)


def _text(value: Any) -> str:
    return "" if value is None or pd.isna(value) else str(value)
