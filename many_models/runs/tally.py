"""Counts a run as its batches pass by, so that the summary needs no second look at the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from many_models.automl.measures import measures
from many_models.automl.rows import quantile_column
from many_models.metrics.totals import TOTALLED, Totals

STATUSES = ("TRAINED", "FALLBACK", "TIMED_OUT", "FAILED", "SKIPPED", "CANCELLED")
FAILED_STATUSES = ("TIMED_OUT", "FAILED")

STRAGGLES = 10.0
"""A straggler takes so many times as long as the middle series, and so many seconds at least."""

MOST_STRAGGLERS = 5
"""So many of them are named, the slowest first."""


class Tally:
    """Outcomes, skill, bias and coverage of a run so far."""

    def __init__(self, keys: Sequence[str], levels: Sequence[float], weighted: bool = False) -> None:
        self.outcomes: Counter[str] = Counter()
        self.skills: list[float] = []
        self.replaced = 0
        self._outer = (quantile_column(min(levels)), quantile_column(max(levels)))
        self._nominal = max(levels) - min(levels)
        self._covered = self._judged = 0
        self._forecast = self._actual = 0.0
        self._totals = Totals()
        self._weighted = weighted
        self._test = TestTally(keys, levels)
        self._keys = list(keys)
        self._seconds: list[float] = []
        self._slowest: list[tuple[float, list[str]]] = []

    @property
    def series(self) -> int:
        """Series with a result row."""
        return sum(self.outcomes.values())

    @property
    def failed(self) -> int:
        """Series that count as failed."""
        return sum(self.outcomes[s] for s in FAILED_STATUSES)

    def add(self, tables: Mapping[str, Sequence[pa.Table]]) -> None:
        """Counts one batch."""
        for table in tables.get("results", ()):
            self.outcomes.update(table["status"].to_pylist())
            self.replaced += sum(r == "NAIVE_WINS" for r in table["reason"].to_pylist())
            self.skills.extend(s for s in table["skill"].to_pylist() if s is not None)
            told = {name: table[name].to_numpy() for name in (*TOTALLED, "scored", "volume", "weight")}
            self._totals.add(told, told["scored"], told["volume"], told["weight"] if self._weighted else None)
            self._add_seconds(table)
        for table in tables.get("backtest", ()):
            self._add_backtest(table)
        for table in tables.get("test", ()):
            if table.num_rows:
                self._test.add(table)

    def _add_seconds(self, table: pa.Table) -> None:
        seconds = np.nan_to_num(table["seconds"].to_numpy(), nan=0.0)
        self._seconds.extend(seconds.tolist())
        for place in np.argsort(-seconds, kind="stable")[:MOST_STRAGGLERS].tolist():
            key = [str(table[name][place].as_py()) for name in self._keys]
            self._slowest.append((float(seconds[place]), key))
        self._slowest = sorted(self._slowest, key=lambda one: -one[0])[:MOST_STRAGGLERS]

    @property
    def middle_seconds(self) -> float:
        """What the middle series of those so far took."""
        return float(np.median(self._seconds)) if self._seconds else 0.0

    @property
    def straggling_seconds(self) -> float:
        """What a series has to take to be a straggler among those so far."""
        return max(STRAGGLES, STRAGGLES * self.middle_seconds)

    def stragglers(self) -> dict[str, Any]:
        """Series that took far longer than the middle one: how many, its seconds, and the slowest by key."""
        seconds, middle = np.array(self._seconds), self.middle_seconds
        limit = self.straggling_seconds
        named = [{"key": key, "seconds": _rounded(spent)} for spent, key in self._slowest if spent > limit]
        return {
            "count": int((seconds > limit).sum()),
            "median_seconds": _rounded(middle),
            "slowest": named,
        }

    def _add_backtest(self, table: pa.Table) -> None:
        rows = table.filter(pc.and_(pc.equal(table["candidate"], "ensemble"), pc.is_valid(table["actual"])))
        actual = rows["actual"].to_numpy()
        self._actual += float(actual.sum())
        self._forecast += float(rows["mean"].to_numpy().sum())
        low, high = (rows[name].to_numpy() for name in self._outer)
        self._covered += int(((actual >= low) & (actual <= high)).sum())
        self._judged += len(actual)

    def summary(self) -> dict[str, Any]:
        """`outcomes`, `skill`, `errors`, `bias`, `coverage`, `test` and `stragglers` of the run's summary."""
        skill = np.array(self.skills)
        return {
            "outcomes": {status: self.outcomes[status] for status in STATUSES if self.outcomes[status]},
            "skill": {
                "median": _rounded(float(np.median(skill))) if skill.size else None,
                "share_beating_naive": _rounded(float((skill > 0).mean())) if skill.size else None,
                "share_replaced": _rounded(self.replaced / self.series) if self.series else None,
            },
            "errors": self._totals.table(),
            "bias": _rounded(self._forecast / self._actual - 1) if self._actual else None,
            "coverage": {
                "nominal": _rounded(self._nominal),
                "realised": _rounded(self._covered / self._judged) if self._judged else None,
            },
            "test": self._test.summary(),
            "stragglers": self.stragglers(),
        }


class TestTally:
    """What the held-out test of a run came to so far: its errors beside those of seasonal naive."""

    __test__ = False

    def __init__(self, keys: Sequence[str], levels: Sequence[float]) -> None:
        self._keys, self._levels = list(keys), tuple(levels)
        self._own, self._naive = Totals(), Totals()
        self._series = 0

    def add(self, table: pa.Table) -> None:
        """Counts the rows of some series."""
        frame = table.to_pandas()
        parts = frame.groupby(self._keys, dropna=False) if self._keys else [((), frame)]
        quantiles = [quantile_column(q) for q in self._levels]
        for _, part in parts:
            actual = part["actual"].to_numpy(dtype=np.float64)
            seen = np.isfinite(actual)
            if not seen.any():
                continue
            scales = {name: part[f"{name}_scale"].to_numpy(np.float64)[:1] for name in ("mase", "rmsse")}
            told = part[quantiles].to_numpy(dtype=np.float64)
            mean = part["mean"].to_numpy(dtype=np.float64)
            naive = part["seasonal_naive"].to_numpy(dtype=np.float64)
            size = np.array([float(seen.sum())]), np.array([float(np.abs(actual[seen]).sum())])
            for totals, forecast, answer, levels in (
                (self._own, mean, told, self._levels),
                (self._naive, naive, naive[:, None], (0.5,)),
            ):
                errors = measures(TOTALLED, actual[None], forecast[None], answer[None], levels, scales)
                totals.add({k: np.array([v]) for k, v in errors.items()}, *size)
            self._series += 1

    def summary(self) -> dict[str, Any] | None:
        """Series, errors by macro, micro and volume, seasonal naive's; None without a held-out test."""
        if not self._series:
            return None
        naive = {k: v for k, v in self._naive.table().items() if k in ("mase", "rmsse", "wape")}
        return {"series": self._series, "errors": self._own.table(), "seasonal_naive": naive}


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
