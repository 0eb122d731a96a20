"""Makes `many_models/automl/prior.json`: how candidates usually do and how errors grow, by kind of frequency.

    OMP_NUM_THREADS=1 python benchmarks/make_prior.py [--series N] [--out FILE]

Uses the training parts of the sample sets alone (M4 without its test values; the others without
the horizon that the benchmarks score), so that no figure in the documents saw its own test data.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import scores

from many_models.automl.combination import (
    candidate_weights,
    combined,
    relative_log_errors,
    without_negligible,
)
from many_models.automl.group import TrainTask, train_for_study
from many_models.automl.intervals import error_factor, recency_scale
from many_models.automl.prior import CandidatePrior, ErrorShape, KindPrior, Prior
from many_models.engines.reading import canonical_table, read_table
from many_models.runs.train import usual_frequency
from many_models.spec import ForecastSpec

LEVELS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5,
    0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99, 0.995,
)  # fmt: skip
LEADS = (1, 2, 3, 4, 5, 6, 8, 10, 13, 18, 24, 36, 48)
TARGET = Path(__file__).parents[1] / "many_models" / "automl" / "prior.json"


@dataclass(frozen=True)
class Sample:
    """One set of series, cut before what the benchmarks score."""

    kind: str
    frame: pd.DataFrame
    spec: ForecastSpec


@dataclass(frozen=True)
class Study:
    """What one series' folds taught: forecasts of its candidates, and the scales known at its cutoffs."""

    names: tuple[str, ...]
    errors: np.ndarray
    mean: np.ndarray
    median: np.ndarray
    actual: np.ndarray
    scales: np.ndarray


def neutral_prior() -> Prior:
    """A prior that knows nothing of candidates, and errors that grow like a random walk's."""
    probit = np.array([NormalDist().inv_cdf(q) for q in LEVELS])
    leads = np.array(LEADS, dtype=float)
    steps = 1.25 * np.sqrt(leads)[:, None] * probit / np.sqrt(leads.mean())
    totals = steps * np.sqrt(leads)[:, None]
    shape = ErrorShape(1.0, LEVELS, LEADS, _rows(steps), _rows(totals))
    return Prior({"other": KindPrior(shape)}, "neutral")


def _rows(table: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(f"{v:.4g}") for v in row) for row in table)


def samples(most: int) -> Iterator[Sample]:
    """The sets, each with at most so many series."""
    for name, horizon, frequency, kind in (
        ("yearly", 6, "YS", "year"),
        ("quarterly", 8, "QS", "quarter"),
        ("weekly", 13, "W", "week"),
        ("hourly", 48, "h", "hour"),
    ):
        train, _, _ = scores.m4(name)
        yield Sample(
            kind, _some(train, ["unique_id"], most), _spec("t", "y", ["unique_id"], horizon, frequency)
        )
    oj = scores.orange_juice()
    last = oj["WeekStarting"].max() - pd.Timedelta(weeks=40)
    known = {"known": [c for c in ("Price", "Advert", "feat", "deal") if c in oj]}
    spec = _spec("WeekStarting", "Quantity", ["Store", "Brand"], 8, "auto", **known)
    yield Sample("week", _some(oj[oj["WeekStarting"] <= last], ["Store", "Brand"], most), spec)
    hospital = scores.hospital()
    yield Sample("month", *_dated(hospital, 12, most))
    parts = scores.carparts()
    yield Sample("month", *_dated(parts, 6, most // 3))
    hts = pd.read_parquet(scores.data_folder() / "notebooks" / "hts-sample-train.parquet")
    yield Sample("day", *_daily(hts, most))


def _spec(
    time: str, target: str, series: list[str], horizon: int, frequency: str, **data: Any
) -> ForecastSpec:
    return ForecastSpec.from_dict(
        {
            "name": "prior",
            "data": {"time": time, "target": target, "series": series, "frequency": frequency, **data},
            "forecast": {"horizon": horizon},
        }
    )


def _some(frame: pd.DataFrame, keys: list[str], most: int) -> pd.DataFrame:
    """At most so many series, evenly spaced in key order."""
    all_keys = frame[keys].drop_duplicates().sort_values(keys, ignore_index=True)
    step = max(1, -(-len(all_keys) // most))
    return frame.merge(all_keys.iloc[::step], on=keys)


def _dated(frame: pd.DataFrame, horizon: int, most: int) -> tuple[pd.DataFrame, ForecastSpec]:
    keys, time, target = _roles(frame)
    last = sorted(frame[time].unique())[-horizon - 1]
    part = _some(frame[frame[time] <= last], keys, most)
    return part, _spec(time, target, keys, horizon, "auto")


def _roles(frame: pd.DataFrame) -> tuple[list[str], str, str]:
    time = next(c for c in frame if pd.api.types.is_datetime64_any_dtype(frame[c]))
    target = next(c for c in reversed(frame.columns) if pd.api.types.is_numeric_dtype(frame[c]))
    return [c for c in frame if c not in (time, target)], time, target


def _daily(frame: pd.DataFrame, most: int) -> tuple[pd.DataFrame, ForecastSpec]:
    # `state` is the name of one of our own columns, which a key may not have.
    frame = frame.rename(columns=lambda name: f"{name}_key" if name.lower() == "state" else name)
    time = next(c for c in frame if "date" in c.lower())
    keys = [c for c in frame if c not in (time, "quantity", "price")]
    rows = frame.assign(**{time: pd.to_datetime(frame[time])})
    last = rows[time].max() - pd.Timedelta(days=28)
    rows = rows[rows[time] <= last]
    return _some(rows, keys, most), _spec(time, "quantity", keys, 28, "D", known=["price"])


def study(sample: Sample) -> list[Study]:
    """Every series of a sample, trained with a neutral prior."""
    frame, layout = canonical_table(read_table(sample.frame, sample.spec.data), sample.spec.data, None)
    frequency = sample.spec.data.frequency
    if frequency == "auto":
        frequency = usual_frequency(frame, layout)
    task = TrainTask(sample.spec, layout, neutral_prior(), frequency, None, "prior", None)
    keys = list(layout.key_names)
    parts = [part.reset_index(drop=True) for _, part in frame.groupby(keys, sort=True)]
    with ProcessPoolExecutor(2) as pool:
        found = pool.map(_study_one, [(part, task) for part in parts], chunksize=4)
        return [s for s in found if s is not None]


def _study_one(work: tuple[pd.DataFrame, TrainTask]) -> Study | None:
    frame, task = work
    trained, context = train_for_study(frame, task)
    if trained is None or trained.folds is None or trained.scores is None or not trained.folds.cutoffs:
        return None
    kept = [i for i, t in enumerate(trained.trials) if not t.failed.all()]
    trials = [trained.trials[i] for i in kept]
    return Study(
        tuple(t.candidate.name for t in trials),
        trained.scores.ranking[kept],
        np.array([t.mean for t in trials]),
        np.array([t.median for t in trials]),
        trained.folds.actual,
        np.array([recency_scale(s.y, s.observed, context.season) for s in trained.folds.train]),
    )


def candidate_priors(studies: list[Study]) -> dict[str, CandidatePrior]:
    """μ, σ² and τ² of each candidate, over the series that have it on at least three folds."""
    means: dict[str, list[float]] = {}
    within: dict[str, list[float]] = {}
    counts: dict[str, list[int]] = {}
    for s in studies:
        relative = relative_log_errors(s.errors)
        if relative.shape[1] < 3:
            continue
        for name, row in zip(s.names, relative, strict=True):
            means.setdefault(name, []).append(float(row.mean()))
            within.setdefault(name, []).append(float(row.var(ddof=1)))
            counts.setdefault(name, []).append(len(row))
    found = {}
    for name, values in means.items():
        if len(values) < 10:
            continue
        noise = float(np.mean(within[name]))
        between = float(np.var(values, ddof=1)) - noise / float(np.mean(counts[name]))
        mean = float(np.mean(values))
        found[name] = CandidatePrior(*(float(f"{v:.4g}") for v in (mean, noise, max(between, 1e-4))))
    return found


def error_shape(studies: list[Study], priors: dict[str, CandidatePrior]) -> ErrorShape:
    """Standardised residual quantiles by lead of the combination with weights from the other folds."""
    medians, means = [], []
    for s in studies:
        folds = s.actual.shape[0]
        median, mean = np.empty_like(s.actual), np.empty_like(s.actual)
        for f in range(folds):
            rest = np.delete(s.errors, f, axis=1)
            values = int(np.isfinite(np.delete(s.actual, f, axis=0)).sum())
            weights = without_negligible(candidate_weights(rest, s.names, priors, values))
            median[f] = combined(s.median[:, f], weights)
            mean[f] = combined(s.mean[:, f], weights)
        medians.append(median)
        means.append(mean)
    own = []
    for s, median in zip(studies, medians, strict=True):
        with np.errstate(all="ignore"):
            own.append(
                np.nanmean(np.abs(s.actual - median), axis=1) / np.where(s.scales > 0, s.scales, np.nan)
            )
    pool = float(np.exp(np.nanmean([np.log(max(np.nanmean(o), 1e-3)) for o in own if np.isfinite(o).any()])))
    steps: list[list[float]] = [[] for _ in range(max(s.actual.shape[1] for s in studies))]
    totals: list[list[float]] = [[] for _ in steps]
    for s, median, mean, errors in zip(studies, medians, means, own, strict=True):
        for f in range(s.actual.shape[0]):
            rest = np.delete(errors, f)
            factor = error_factor(float(np.nanmean(rest)) if np.isfinite(rest).any() else None, pool)
            size = s.scales[f] * factor
            if not size > 0:
                continue
            residual = (s.actual[f] - median[f]) / size
            total = (np.cumsum(s.actual[f]) - np.cumsum(mean[f])) / size
            for h in range(len(residual)):
                if np.isfinite(residual[h]):
                    steps[h].append(residual[h])
                if np.isfinite(total[h]):
                    totals[h].append(total[h])
    leads = tuple(h for h in LEADS if h <= len(steps))
    return ErrorShape(float(f"{pool:.4g}"), LEVELS, leads, _table(steps, leads), _table(totals, leads))


def _table(values: list[list[float]], leads: tuple[int, ...]) -> tuple[tuple[float, ...], ...]:
    """Quantiles at the leads, each from its neighbours too, so that tails do not hang on a few series."""
    rows = []
    for lead in leads:
        near = [v for h in range(max(0, lead - 2), min(len(values), lead + 1)) for v in values[h]]
        rows.append(np.quantile(np.array(near), LEVELS))
    return _rows(np.array(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=600, help="most series per set")
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    by_kind: dict[str, list[Study]] = {}
    for sample in samples(options.series):
        studies = study(sample)
        by_kind.setdefault(sample.kind, []).extend(studies)
        print(f"{sample.kind}: {len(studies)} series", flush=True)
    kinds = {}
    everything = [s for studies in by_kind.values() for s in studies]
    for kind, studies in [*by_kind.items(), ("other", everything)]:
        priors = candidate_priors(studies)
        kinds[kind] = KindPrior(error_shape(studies, priors), priors)
        print(kind, {k: v.mean for k, v in sorted(priors.items(), key=lambda item: item[1].mean)})
    prior = Prior(kinds, "training parts of M4 samples, orange juice, hospital, carparts, hts-sample")
    options.out.write_text(json.dumps(prior.to_dict(), separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{options.out}: {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
