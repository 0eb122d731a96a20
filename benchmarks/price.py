"""What a series costs with `fast`, with `balanced`, and with four models of statsforecast, in one process.

    python benchmarks/price.py [SET ...] [--series N] [--limit SECONDS]

Sets: yearly, quarterly, weekly, hourly (M4), orange_juice. Core-seconds are the process's own CPU time, after
two series that warm up the libraries. A fit of the four (AutoARIMA, AutoETS, AutoCES, AutoTheta) that takes
longer than `--limit` is given up, and counts with what it took until then. Orange juice has no such figure:
the four read no prices.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scores
from accuracy import plain_spec
from anchors import FOUR, priced
from harness import Target
from speed import Case, measure
from threadpoolctl import threadpool_limits

from many_models import ForecastSpec

ALLOWED = {"yearly": 0.3, "quarterly": 1.0, "weekly": 1.5, "hourly": 1.5, "orange_juice": 1.5}
"""Core-seconds of `balanced` per series."""
FAST_SHARE = 0.2


@dataclass(frozen=True)
class PlainCase(Case):
    """One frequency of M4, with nothing but the names of its columns."""

    def spec(self) -> ForecastSpec:
        """The configuration of the frequency with the preset."""
        about = scores.M4[self.name]
        spec = plain_spec(["unique_id"], "t", "y", about.horizon, about.frequency)
        return spec.replace({"learners.preset": self.preset})


def case_of(name: str, preset: str) -> Case:
    """A set as a case of `speed.py`."""
    if name == "orange_juice":
        return Case(name, preset, ALLOWED[name], scores.orange_juice)
    return PlainCase(name, preset, ALLOWED[name], lambda: scores.m4(name)[0])


def four(name: str, series: int, limit: float) -> tuple[float, int]:
    """Core-seconds per series of the four models together, and how many fits were given up."""
    about = scores.M4[name]
    rows = harness.some_series(scores.m4(name)[0], ["unique_id"], series)
    histories = [part["y"].to_numpy(np.float64) for _, part in rows.groupby("unique_id")]
    return priced(histories, about.season, about.horizon, FOUR, limit)


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("sets", nargs="*", metavar="SET", help=f"of {', '.join(ALLOWED)}; default all")
    parser.add_argument("--series", type=int, default=24, help="per set, evenly spaced")
    parser.add_argument("--limit", type=float, default=20.0, help="seconds for one fit of the four models")
    options = parser.parse_args(argv)
    unknown = set(options.sets) - set(ALLOWED)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: no such set; there are {', '.join(ALLOWED)}")
    series = 4 if options.quick else options.series
    print(harness.headline("The price of a series, in core-seconds"), flush=True)
    rows: list[dict[str, Any]] = []
    lines: list[Target] = []
    with threadpool_limits(limits=1):
        for name in options.sets or ALLOWED:
            cost = {preset: measure(case_of(name, preset), series).seconds for preset in ("fast", "balanced")}
            fast, balanced = (float(cost[preset].mean()) for preset in ("fast", "balanced"))
            theirs, late = (np.nan, 0) if name == "orange_juice" else four(name, series, options.limit)
            rows.append(
                {
                    "set": name,
                    "series": len(cost["fast"]),
                    "fast": fast,
                    "balanced": balanced,
                    "± s.e.": float(cost["balanced"].std(ddof=1) / len(cost["balanced"]) ** 0.5),
                    "fast / balanced": fast / balanced,
                    "the four": theirs,
                    "balanced / the four": balanced / theirs,
                    "given up": late,
                }
            )
            lines += [
                Target(
                    f"{name}, balanced: core-seconds per series",
                    f"≤ {ALLOWED[name]}",
                    f"{balanced:.2f}",
                    balanced <= ALLOWED[name],
                ),
                Target(
                    f"{name}: fast over balanced",
                    f"≤ {FAST_SHARE}",
                    f"{fast / balanced:.2f}",
                    fast <= FAST_SHARE * balanced,
                ),
            ]
    print(harness.markdown(pd.DataFrame(rows)), flush=True)
    harness.finish(lines, options.json)


if __name__ == "__main__":
    main()
