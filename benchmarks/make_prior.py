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
from typing import Any

import pandas as pd
import scores

from many_models.automl.pilot import Study, learned_alone, neutral, read_study, study_group
from many_models.automl.prior import Prior
from many_models.automl.task import TrainTask
from many_models.engines.reading import canonical_table, read_table
from many_models.runs.train import usual_frequency
from many_models.spec import ForecastSpec

TARGET = Path(__file__).parents[1] / "many_models" / "automl" / "prior.json"


@dataclass(frozen=True)
class Sample:
    """One set of series, cut before what the benchmarks score."""

    kind: str
    frame: pd.DataFrame
    spec: ForecastSpec


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
    yield Sample("month", *_dated(parts, 6, most))
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


def study(sample: Sample) -> list[tuple[tuple[Any, ...], Study]]:
    """The key and the study of every series of a sample, trained with a neutral prior."""
    frame, layout = canonical_table(read_table(sample.frame, sample.spec.data), sample.spec.data, None)
    frequency = sample.spec.data.frequency
    if frequency == "auto":
        frequency = usual_frequency(frame, layout)
    task = TrainTask(sample.spec, layout, neutral(), frequency, None, "prior", None)
    keys = list(layout.key_names)
    parts = [(key, part.reset_index(drop=True)) for key, part in frame.groupby(keys, sort=True)]
    with ProcessPoolExecutor(2) as pool:
        found = pool.map(_study_one, [(part, task) for _, part in parts], chunksize=4)
        # A series that is too short for folds taught nothing.
        return [(key, one) for (key, _), studies in zip(parts, found, strict=True) for one in studies]


def _study_one(work: tuple[pd.DataFrame, TrainTask]) -> list[Study]:
    return list(read_study(study_group(*work)).studies)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=600, help="most series per set")
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    by_kind: dict[str, list[Study]] = {}
    for sample in samples(options.series):
        studies = study(sample)
        for _, one in studies:
            by_kind.setdefault(one.kind, []).append(one)
        print(f"{sample.kind}: {len(studies)} series", flush=True)
    kinds = {}
    everything = [s for studies in by_kind.values() for s in studies]
    for kind, studies in [*by_kind.items(), ("other", everything)]:
        kinds[kind] = learned_alone(studies)
        order = sorted(kinds[kind].candidates.items(), key=lambda item: item[1].mean)
        print(kind, {name: candidate.mean for name, candidate in order})
    prior = Prior(kinds, "training parts of M4 samples, orange juice, hospital, carparts, hts-sample")
    options.out.write_text(json.dumps(prior.to_dict(), separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{options.out}: {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
