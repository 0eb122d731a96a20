"""Whether a run ends when its budget does, with every series accounted for, and who gets the time.

    python benchmarks/budget.py [--series N] [--preset NAME]

The run without a budget comes first: how long it takes decides the budgets of the others, a half, a fifth and
a twentieth of it. In the last run a tenth of the series weighs ten times as much as the others
(`validation.weights`); the table tells how many candidates both kinds could try.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scores
from accuracy import plain_spec
from harness import Target

from many_models import ForecastSpec, train
from many_models.runs.run import Run

HEAVY = 10.0


def weighted_series(limit: int) -> pd.DataFrame:
    """Monthly patient counts with a weight: every tenth series has ten times that of the others."""
    frame = harness.some_series(scores.hospital(), ["unique_id"], limit)
    place = frame.groupby("unique_id").ngroup()
    return frame.assign(weight=np.where(place % 10 == 0, HEAVY, 1.0))


def timed(
    frame: pd.DataFrame, spec: ForecastSpec, folder: Path, settings: dict[str, Any]
) -> tuple[float, Run]:
    """Wall seconds of a training, and its run."""
    started = time.perf_counter()
    run = train(frame, spec.replace(settings), run_dir=folder / f"run-{len(list(folder.iterdir()))}")
    return time.perf_counter() - started, run


def row(label: str, seconds: float, budget: float | None, run: Run, weights: pd.Series) -> dict[str, Any]:
    """What became of the series of one run."""
    results = run.results()
    board = pd.read_parquet(run.directory / "leaderboard")
    tried = board[(board["candidate"] != "ensemble") & (board["error_code"] != "DEADLINE")]
    counts = tried.groupby("unique_id").size().reindex(weights.index, fill_value=0)
    heavy = weights > 1
    return {
        "run": label,
        "budget s": budget,
        "took s": seconds,
        "took / budget": None if budget is None else seconds / budget,
        "results": len(results),
        **{status.lower(): int((results["status"] == status).sum()) for status in ("TRAINED", "FALLBACK")},
        "cancelled": int((results["status"] == "CANCELLED").sum()),
        "candidates, heavy": float(counts[heavy].mean()),
        "candidates, others": float(counts[~heavy].mean()),
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--series", type=int, default=200)
    parser.add_argument("--preset", default="balanced", choices=("fast", "balanced", "best"))
    options = parser.parse_args(argv)
    series = 24 if options.quick else options.series
    print(harness.headline(f"Budgets, preset {options.preset}, {series} series"), flush=True)
    frame = weighted_series(series)
    weights = frame.groupby("unique_id")["weight"].first()
    spec = plain_spec(["unique_id"], "ds", "y", 12, "auto").replace(
        {"learners.preset": options.preset, "engine.workers": 2, "data.static": ["weight"]}
    )
    lines, rows = [], []
    with harness.scratch() as folder:
        timed(frame[frame["unique_id"].isin(weights.index[:4])], spec, folder, {})
        whole, run = timed(frame, spec, folder, {})
        rows.append(row("no budget", whole, None, run, weights))
        for share in (2, 5, 20):
            for named in (None, "weight") if share == 5 else (None,):
                budget = whole / share
                settings = {"budget.seconds_total": budget, "validation.weights": named}
                seconds, run = timed(frame, spec, folder, settings)
                label = f"1/{share} of it" + (", weighted" if named else "")
                rows.append(row(label, seconds, budget, run, weights))
                ratio = seconds / budget
                accounted = len(run.results()) == len(weights)
                lines.append(
                    Target(
                        f"budget {label}: time over budget, all {series} series accounted for",
                        "≤ 1.05",
                        f"{ratio:.3f}, {'all' if accounted else 'NOT all'}",
                        ratio <= 1.05 and accounted,
                    )
                )
    print(harness.markdown(pd.DataFrame(rows)))
    harness.finish(lines, options.json)


if __name__ == "__main__":
    main()
