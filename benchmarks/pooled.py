"""Pooled regressions by themselves: each candidate fitted on whole groups and scored, outside of a run.

    python benchmarks/pooled.py [SET ...] [--limit N] [--origins N] [--earlier] [--alike]
                                [--learners NAME ...]

Sets: yearly, quarterly, weekly, hourly (M4, one group: OWA on the official test values),
orange_juice (one group) and orange_juice_by_store (WAPE over origins eight weeks apart). The last row of
each table is the median of the candidates. `--earlier` scores the horizon before instead, of which no
test value is part: defaults were chosen there. `--alike` lets every series count alike, however long it is.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import argparse
import time
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import scores

from many_models import ForecastSpec
from many_models.automl.candidates import pooled_candidates
from many_models.automl.group import series_of
from many_models.automl.prior import shipped_prior
from many_models.automl.settings import fit_context
from many_models.automl.task import TrainTask
from many_models.engines.reading import canonical_table, read_table
from many_models.learners.base import Candidate, Deadline, FitContext
from many_models.learners.pooled import Asked, GroupSeries
from many_models.learners.table import pooled_learner
from many_models.metrics import mase_scale
from many_models.panel.preparation import Prepared, prepare

Floats = npt.NDArray[np.float64]
LEARNERS = ("elastic_net", "lightgbm")


@dataclass(frozen=True)
class Member:
    """One prepared series of a group."""

    name: str
    group: object
    prepared: Prepared
    context: FitContext


def members_of(frame: pd.DataFrame, spec: ForecastSpec, frequency: str, by: str | None) -> list[Member]:
    """The series of a table, prepared as a run prepares them."""
    table, layout = canonical_table(read_table(frame, spec.data), spec.data, None)
    task = TrainTask(spec, layout, shipped_prior(), frequency, None, "benchmark", None)
    found = []
    for key, part in series_of(table, layout):
        prepared = prepare(part, key, layout, task.prepare_settings)
        group = None if by is None else key.values[key.names.index(by)]
        found.append(Member(key.canonical, group, prepared, fit_context(prepared, key, task)))
    return found


@dataclass
class Told:
    """What the candidates said at one origin, by candidate and series, and the seconds that took."""

    forecasts: dict[str, dict[str, Floats]]
    seconds: dict[str, float]


def told(members: list[Member], ends: dict[str, int], names: tuple[str, ...], alike: bool) -> Told:
    """The forecasts of every candidate of every group, each series cut at its end."""
    groups: dict[object, list[Member]] = defaultdict(list)
    for member in members:
        groups[member.group].append(member)
    answer = Told(defaultdict(dict), defaultdict(float))
    for group in groups.values():
        weight = 1.0 if alike else None
        past = [GroupSeries(m.name, m.prepared.train(ends[m.name]), m.context, weight) for m in group]
        for candidate in pooled_candidates(past, names, True):
            started = time.perf_counter()
            for member, one in zip(group, asked(candidate, past, group, ends), strict=True):
                answer.forecasts[candidate.name][member.name] = one
            answer.seconds[candidate.name] += time.perf_counter() - started
    return answer


def asked(
    candidate: Candidate, past: list[GroupSeries], group: list[Member], ends: dict[str, int]
) -> list[Floats]:
    """The medians [H] that a candidate says of each series of a group."""
    learner, reads = pooled_learner(candidate.learner), candidate.uses_known
    shown = past if reads else [replace(g, series=g.series.without_known()) for g in past]
    model = learner.fit_pooled(shown, candidate.parameters, 0, Deadline())
    questions = []
    for one, member in zip(shown, group, strict=True):
        context = member.context
        future = member.prepared.future(ends[member.name], context.horizon, context.gap)
        if reads:
            there = np.isfinite(future.known_x).all(axis=1)
            future = type(future)(future.grid, future.ordinals, np.where(there[:, None], future.known_x, 0.0))
        else:
            future = future.without_known()
        questions.append(Asked(one.series, model.own(one.name, one.series), future))
    return [forecast.median for forecast in model.predict(questions)]


def with_median(answer: Told) -> dict[str, dict[str, Floats]]:
    """The candidates, and the median of all of them."""
    found = dict(answer.forecasts)
    names = set.intersection(*(set(one) for one in found.values()))
    each = answer.forecasts.values()
    found["median of all"] = {n: np.median([one[n] for one in each], axis=0) for n in names}
    return found


def m4(name: str, limit: int | None, learners: tuple[str, ...], earlier: bool, alike: bool) -> pd.DataFrame:
    """Scores on one M4 frequency."""
    about = scores.M4[name]
    train, _, _ = scores.m4(name)
    rows = harness.some_series(train, ["unique_id"], limit)
    tree = {"name": "pooled", "data": {"time": "t", "target": "y", "series": ["unique_id"], "group": [],
            "frequency": about.frequency}, "forecast": {"horizon": about.horizon}}  # fmt: skip
    members = members_of(rows, ForecastSpec.from_dict(tree), about.frequency, None)
    names = {m.name: str(m.prepared.key.values[0]) for m in members}
    ends = {m.name: m.prepared.length - (about.horizon if earlier else 0) for m in members}
    answer = told(members, ends, learners, alike)
    every = with_median(answer)
    if earlier:
        return _earlier(members, ends, every, about.season, answer)
    tables = {
        label: pd.DataFrame(
            [(names[n], step, v) for n, values in one.items() for step, v in enumerate(values, 1)],
            columns=["unique_id", "step", "q0.5"],
        )
        for label, one in every.items()
    }
    table = scores.owa_table(tables, name).reset_index()
    table["seconds"] = [answer.seconds.get(label, np.nan) for label in table["forecast"]]
    return table[["forecast", "smape", "mase", "owa", "owa_se", "series", "seconds"]]


def _earlier(
    members: list[Member],
    ends: dict[str, int],
    every: dict[str, dict[str, Floats]],
    season: int,
    answer: Told,
) -> pd.DataFrame:
    """sMAPE and MASE on the last values of the training parts."""
    rows = []
    for label, one in every.items():
        smapes, mases = [], []
        for member in members:
            y = member.prepared.y
            actual, middle = y[ends[member.name] :], one[member.name]
            scale = float(mase_scale(y[None, : ends[member.name]], season)[0])
            smapes.append(200 * np.mean(np.abs(actual - middle) / (np.abs(actual) + np.abs(middle) + 1e-12)))
            mases.append(np.abs(actual - middle).mean() / scale if scale > 0 else np.nan)
        rows.append((label, np.mean(smapes), np.nanmean(mases), answer.seconds.get(label, np.nan)))
    return pd.DataFrame(rows, columns=["forecast", "smape", "mase", "seconds"])


def orange_juice(
    by: str | None, limit: int | None, learners: tuple[str, ...], origins: int, earlier: bool, alike: bool
) -> pd.DataFrame:
    """WAPE over several origins."""
    keys, when = ["Store", "Brand"], "WeekStarting"
    frame = harness.some_series(scores.orange_juice(), keys, limit)
    spec = ForecastSpec.from_yaml(harness.CONFIGS / "orange_juice.yaml")
    spec = spec.replace({"data.group": [], "data.context": {"by": ["Store"], "columns": ["Price"]}})
    members = members_of(frame, spec, "W-THU", by)
    stamps = np.sort(frame[when].unique())
    horizon = spec.forecast.horizon
    error: dict[str, float] = defaultdict(float)
    seconds: dict[str, float] = defaultdict(float)
    total = 0.0
    for cutoff in scores.cutoffs(frame[when], horizon, origins, step=8):
        back = len(stamps) - int(np.searchsorted(stamps, cutoff, side="right"))
        back += origins * 8 if earlier else 0
        ends = {m.name: m.prepared.length - back + _late(m, members) for m in members}
        here = [m for m in members if ends[m.name] >= 20]
        answer = told(here, ends, learners, alike)
        every = with_median(answer)
        for member in here:
            end = ends[member.name]
            actual = member.prepared.y[end : end + horizon]
            seen = member.prepared.observed[end : end + horizon]
            total += float(actual[seen].sum())
            for label, one in every.items():
                error[label] += float(np.abs(one[member.name][: len(actual)] - actual)[seen].sum())
        for label, value in answer.seconds.items():
            seconds[label] += value
    rows = [(label, value / total, seconds.get(label, np.nan)) for label, value in error.items()]
    return pd.DataFrame(rows, columns=["forecast", "wape", "seconds"])


def _late(member: Member, members: list[Member]) -> int:
    """How many periods a series ends before the last of all."""
    last = max(m.prepared.train(m.prepared.length).end for m in members)
    return int(last - member.prepared.train(member.prepared.length).end)


def main() -> None:
    """Prints a table for every set."""
    parser: argparse.ArgumentParser = harness.arguments(__doc__)
    parser.add_argument("sets", nargs="*", default=["yearly", "orange_juice"])
    parser.add_argument("--limit", type=int, help="series per set, evenly spaced")
    parser.add_argument("--origins", type=int, default=5)
    parser.add_argument("--earlier", action="store_true", help="score the horizon before the test values")
    parser.add_argument("--alike", action="store_true", help="every series counts alike")
    parser.add_argument("--learners", nargs="+", default=list(LEARNERS))
    options = parser.parse_args()
    print(harness.headline("Pooled regressions"), flush=True)
    learners, limit = tuple(options.learners), 60 if options.quick else options.limit
    for name in options.sets:
        if name.startswith("orange_juice"):
            by = "Store" if name.endswith("by_store") else None
            origins = 1 if options.quick else options.origins
            table = orange_juice(by, limit, learners, origins, options.earlier, options.alike)
        else:
            table = m4(name, limit, learners, options.earlier, options.alike)
        print(f"### {name}\n\n{harness.markdown(table, 4)}", flush=True)


if __name__ == "__main__":
    main()
