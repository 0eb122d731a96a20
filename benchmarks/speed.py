"""Core-seconds and bytes per series, in this process: the group function alone, on one core.

    python benchmarks/speed.py [--quick] [--series N] [--only NAME ...]

An evenly spaced sample of each set goes through the group function that both engines run. Imports, reading
the table and two series that warm up the libraries are not counted. Core-seconds are the process's CPU
time, so another process on the machine disturbs them little.

Where the time goes is sampled: a timer that counts CPU time interrupts the process, and what passed
since the last look goes to the stage found on the stack. "Raw" is the time inside of the learners' fit and
predict, for the folds, the refit and the final forecast; everything else is our own share.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import signal
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import scores
from harness import Target
from threadpoolctl import threadpool_limits

from many_models import ForecastSpec
from many_models.automl.group import train_group
from many_models.automl.prior import shipped_prior
from many_models.automl.rows import read_rows
from many_models.automl.task import TrainTask
from many_models.bundle.container import pack, unpack
from many_models.engines.reading import canonical_table, read_table
from many_models.runs.train import usual_frequency

OVERHEAD_SECONDS = 0.020
RAW_SHARE = 0.75
MEDIAN_BYTES = 10_000
SAMPLE_SECONDS = 0.002


@dataclass(frozen=True)
class Case:
    """A set, a preset, and the core-seconds per series that are allowed."""

    name: str
    preset: str
    allowed: float
    read: Callable[[], pd.DataFrame]

    def spec(self) -> ForecastSpec:
        """The configuration of the set with the preset."""
        spec = ForecastSpec.from_yaml(harness.CONFIGS / f"{self.name}.yaml")
        return spec.replace({"learners.preset": self.preset})


CASES = {
    "orange juice, fast": Case("orange_juice", "fast", 0.2, scores.orange_juice),
    "orange juice, balanced": Case("orange_juice", "balanced", 0.6, scores.orange_juice),
    "M4 yearly, balanced": Case("m4_yearly", "balanced", 0.3, lambda: scores.m4("yearly")[0]),
}

RAW = ("fit_candidate", "predict_candidate", "fit_fallback")
STAGES = {
    "prepare": "preparation",
    "series_candidates": "listing candidates",
    "make_folds": "folds",
    "run_trial": "folds, around the fits",
    "score_trials": "scores and weights",
    "choose": "scores and weights",
    "_guarded": "guardrails",
    "_with_quantiles": "intervals",
    "_refit": "refit, around the fits",
    "pack": "plain data to bytes",
    "state": "model to plain data",
    "_add_backtest": "rows",
    "_add_leaderboard": "rows",
    "_add_forecasts": "rows",
    "_add_findings": "rows",
    "to_bytes": "rows",
}


class Profile:
    """CPU seconds by stage, and of raw fits and predictions by learner."""

    def __init__(self) -> None:
        self.stages: Counter[str] = Counter()
        self.learners: Counter[tuple[str, str]] = Counter()
        self._last = 0.0

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """CPU time is attributed while this is open."""
        before = signal.signal(signal.SIGPROF, self._look)
        self._last = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, SAMPLE_SECONDS, SAMPLE_SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            # What passed since the last look was not seen; it is short, and like the rest on average.
            signal.signal(signal.SIGPROF, before)

    def _look(self, _: int, frame: FrameType | None) -> None:
        now = time.process_time()
        passed, self._last = now - self._last, now
        stage = "other"
        while frame is not None:
            name = frame.f_code.co_name
            if name in RAW:
                kind = "predict" if name == "predict_candidate" else "fit"
                candidate = frame.f_locals.get("candidate")
                learner = getattr(candidate, "learner", "the fallback's")
                self.stages["raw"] += passed
                self.learners[learner, kind] += passed
                return
            if stage == "other" and "many_models" in frame.f_code.co_filename:
                stage = STAGES.get(name, stage)
            frame = frame.f_back
        self.stages[stage] += passed


@dataclass(frozen=True)
class Measured:
    """What a case cost, series by series."""

    seconds: np.ndarray
    payloads: tuple[dict[str, pa.Table], ...]
    profile: Profile

    @property
    def raw_share(self) -> float:
        """The share of raw fits and predictions in all CPU time that was sampled."""
        return self.profile.stages["raw"] / sum(self.profile.stages.values())

    @property
    def overhead(self) -> float:
        """CPU seconds per series that are neither fit nor prediction."""
        return float(self.seconds.mean()) * (1.0 - self.raw_share)

    @property
    def states(self) -> list[bytes]:
        """The stored models."""
        return [s for tables in self.payloads for s in tables["models"]["state"].to_pylist()]


def measure(case: Case, series: int) -> Measured:
    """The case on so many of its series, after two others that are not counted."""
    spec = case.spec()
    frame, layout = canonical_table(read_table(case.read(), spec.data), spec.data, None)
    frequency = spec.data.frequency
    if frequency == "auto":
        frequency = usual_frequency(frame, layout)
    task = TrainTask(spec, layout, shipped_prior(), frequency, None, "benchmark", None)
    keys = list(layout.key_names)
    parts = [
        part.reset_index(drop=True) for _, part in harness.some_series(frame, keys, series).groupby(keys)
    ]
    for part in (parts[0], parts[len(parts) // 2]):
        train_group(part, task)
    seconds, payloads, profile = [], [], Profile()
    for part in parts:
        with profile.sampling():
            before = time.process_time()
            payload = train_group(part, task)
            seconds.append(time.process_time() - before)
        payloads.append(read_rows(payload))
    return Measured(np.array(seconds), tuple(payloads), profile)


def cost_row(name: str, case: Case, found: Measured) -> dict[str, Any]:
    """One row of the table of costs."""
    seconds = found.seconds
    error = seconds.std(ddof=1) / np.sqrt(len(seconds)) if len(seconds) > 1 else float("nan")
    return {
        "set": name,
        "series": len(seconds),
        "core-s per series": float(seconds.mean()),
        "± s.e.": float(error),
        "median": float(np.median(seconds)),
        "slowest": float(seconds.max()),
        "allowed": case.allowed,
        "raw share": found.raw_share,
        "other ms": 1000 * found.overhead,
    }


def stage_table(found: dict[str, Measured]) -> pd.DataFrame:
    """Milliseconds per series by stage, for every case."""
    stages = sorted({s for m in found.values() for s in m.profile.stages}, key=lambda s: (s != "raw", s))
    table: dict[str, list[Any]] = {"stage": ["fits and predictions" if s == "raw" else s for s in stages]}
    for name, measured in found.items():
        scale = 1000 * measured.seconds.sum() / sum(measured.profile.stages.values()) / len(measured.seconds)
        table[f"{name} ms"] = [scale * measured.profile.stages[s] for s in stages]
    return pd.DataFrame(table)


def learner_table(found: dict[str, Measured]) -> pd.DataFrame:
    """Milliseconds per series that fits and predictions of each learner take, for every case."""
    pairs = sorted({pair for m in found.values() for pair in m.profile.learners})
    table: dict[str, list[Any]] = {
        "learner": [learner for learner, _ in pairs],
        "what": [w for _, w in pairs],
    }
    for name, measured in found.items():
        scale = 1000 * measured.seconds.sum() / sum(measured.profile.stages.values()) / len(measured.seconds)
        table[f"{name} ms"] = [scale * measured.profile.learners[pair] for pair in pairs]
    return pd.DataFrame(table)


def size_rows(name: str, states: list[bytes]) -> list[dict[str, Any]]:
    """Bytes of the stored models of a case, and of each kind of member alone."""
    kinds: dict[str, list[int]] = {}
    for state in states:
        for member in unpack(state)["members"]:
            kinds.setdefault(member["learner"], []).append(len(pack(member["state"])))
    rows = [("whole model", [len(s) for s in states]), *sorted(kinds.items())]
    return [
        {
            "set": name,
            "kind": kind,
            "count": len(sizes),
            "median bytes": int(statistics.median(sizes)),
            "largest bytes": max(sizes),
        }
        for kind, sizes in rows
    ]


def failures(name: str, found: Measured) -> list[dict[str, Any]]:
    """Candidates that failed on some fold, with their code and on how many series."""
    boards = [t["leaderboard"].to_pandas() for t in found.payloads if "leaderboard" in t]
    if not boards:
        return []
    board = pd.concat(boards)
    bad = board.dropna(subset=["error_code"])
    counts = bad.groupby(["candidate", "error_code"]).size()
    of = board.groupby("candidate").size()
    return [
        {"set": name, "candidate": c, "code": code, "series": int(n), "of": int(of[c])}
        for (c, code), n in counts.items()
    ]


def targets(name: str, case: Case, found: Measured) -> list[Target]:
    """The promises about a case."""
    cost = float(found.seconds.mean())
    lines = [
        Target(f"{name}: core-seconds per series", f"≤ {case.allowed}", f"{cost:.3f}", cost <= case.allowed)
    ]
    if case.preset == "balanced":
        share, other = found.raw_share, found.overhead
        lines += [
            Target(
                f"{name}: share of fits and predictions", "≥ 75 %", f"{100 * share:.1f} %", share >= RAW_SHARE
            ),
            Target(
                f"{name}: all else per series",
                "≤ 20 ms",
                f"{1000 * other:.1f} ms",
                other <= OVERHEAD_SECONDS,
            ),
        ]
    if case.name == "orange_juice":
        size = statistics.median(len(s) for s in found.states)
        lines.append(
            Target(f"{name}: median bytes per model", "< 10,000", f"{size:,.0f}", size < MEDIAN_BYTES)
        )
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--series", type=int, help="series per set; default 60, with --quick 8")
    parser.add_argument("--only", action="append", choices=CASES, help="only this case; may be repeated")
    options = parser.parse_args(argv)
    series = options.series or (8 if options.quick else 60)
    print(harness.headline("Speed and size, in one process"), flush=True)
    with threadpool_limits(limits=1):
        found = {name: measure(CASES[name], series) for name in options.only or CASES}
    tables = [
        pd.DataFrame([cost_row(name, CASES[name], m) for name, m in found.items()]),
        stage_table(found),
        learner_table(found),
        pd.DataFrame([row for name, m in found.items() for row in size_rows(name, m.states)]),
        pd.DataFrame([row for name, m in found.items() for row in failures(name, m)]),
    ]
    for table in tables:
        if not table.empty:
            print(harness.markdown(table), flush=True)
    harness.finish([t for name, m in found.items() for t in targets(name, CASES[name], m)], options.json)


if __name__ == "__main__":
    main()
