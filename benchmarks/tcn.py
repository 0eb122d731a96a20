"""The temporal convolutional network alone: accuracy beside seasonal naive, CPU seconds, predictions.

    python benchmarks/tcn.py [SET ...] [--quick]

Sets: yearly, quarterly, weekly, hourly (M4, every series of the sample in one group), orange_juice (all
249 series in one group, with price, advert, feat and deal known; one origin), nyc_energy (one
series, 168 hours ahead, four origins a week apart, the newest 8,760 hours before each). One thread.
The weekly history is not asked for seasonal naive: its m is 1 there, as in MASE.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import scores

from many_models.learners.base import Deadline, FitContext
from many_models.learners.pooled import Asked, GroupSeries
from many_models.learners.table import pooled_learner
from many_models.metrics import mase, mase_scale, smape
from many_models.panel.grid import Frequency, Grid
from many_models.panel.series import Covariate, Future, Series

Floats = npt.NDArray[np.float64]
KNOWN = ("Price", "Advert", "feat", "deal")
QUICK_PARAMETERS = {"epochs": 4}


@dataclass(frozen=True)
class Task:
    """A group, what each of its series is asked for, and what came."""

    group: list[GroupSeries]
    futures: list[Future]
    actual: list[Floats]


def forecasts(task: Task, parameters: dict[str, object]) -> tuple[list[Floats], str]:
    """The medians for each series of a task, and what they cost."""
    learner = pooled_learner("tcn")
    candidate = learner.pooled_candidates(task.group)[0]
    begun = time.process_time()
    model = learner.fit_pooled(task.group, {**candidate.parameters, **parameters}, 0, Deadline())
    fitted = time.process_time()
    asked = [
        Asked(one.series, model.own(one.name, one.series), future)
        for one, future in zip(task.group, task.futures, strict=True)
    ]
    found = model.predict(asked)
    done = time.process_time()
    cost = f"{fitted - begun:.1f} s CPU to train, {done - fitted:.2f} s to predict {len(found)} series"
    return [forecast.median for forecast in found], cost


def plain(y: Floats, alias: str, start: int = 0) -> Series:
    """A series without covariates."""
    grid = Grid.through(0, Frequency.parse(alias))
    none = np.empty((len(y), 0))
    return Series(grid, start, y, np.ones(len(y), dtype=bool), none, none, np.empty(0))


def m4_task(name: str) -> Task:
    """Every series of the sample of one frequency."""
    about = scores.M4[name]
    rows, test, _ = scores.m4(name)
    later = {key: part["y"].to_numpy(np.float64) for key, part in test.groupby("unique_id")}
    group, futures, actual = [], [], []
    for key, part in rows.groupby("unique_id"):
        y = part.sort_values("t")["y"].to_numpy(np.float64)
        context = FitContext(about.horizon, season=about.season, score_season=about.season, nonnegative=True)
        series = plain(y, about.frequency)
        group.append(GroupSeries(str(key), series, context))
        ahead = series.end + 1 + np.arange(about.horizon)
        futures.append(Future(series.grid, ahead, np.empty((about.horizon, 0))))
        actual.append(later[key])
    return Task(group, futures, actual)


def m4_text(name: str, quick: bool) -> str:
    """MASE and sMAPE on the official test values, beside seasonal naive."""
    season, task = scores.M4[name].season, m4_task(name)
    medians, cost = forecasts(task, QUICK_PARAMETERS if quick else {})
    ours, naive = [], []
    for one, median, y in zip(task.group, medians, task.actual, strict=True):
        past = one.series.y
        repeated = past[len(past) - season + np.arange(len(y)) % season]
        scale = mase_scale(past, season)
        ours.append((float(mase(y, median, scale)), float(smape(y, median))))
        naive.append((float(mase(y, repeated, scale)), float(smape(y, repeated))))
    (m, s), (nm, ns) = np.mean(ours, axis=0), np.mean(naive, axis=0)
    return f"MASE {m:.3f}, sMAPE {s:.2f}; seasonal naive {nm:.3f}, {ns:.2f}; {cost}"


def orange_juice_task(origin: int) -> Task:
    """All series, cut `origin` times eight weeks before the last eight."""
    rows = pd.read_parquet(scores.data_folder() / "oj" / "oj_weekly.parquet")
    grid = Grid.through(0, Frequency.parse("W-THU"))
    stamps = rows["WeekStarting"].astype("datetime64[us]").astype("int64").to_numpy()
    rows["at"] = grid.containing(stamps)
    cutoff = int(rows["at"].max()) - 8 - 8 * origin
    group, futures, actual = [], [], []
    for key, part in rows.groupby(["Store", "Brand"]):
        past, later = part[part["at"] <= cutoff], part[(part["at"] > cutoff) & (part["at"] <= cutoff + 8)]
        weeks = np.arange(int(past["at"].min()), cutoff + 1)
        table = past.set_index("at").reindex(weeks)
        observed = table["Quantity"].notna().to_numpy()
        table = table.ffill()
        none = np.empty((len(weeks), 0))
        series = Series(
            grid, int(weeks[0]), table["Quantity"].to_numpy(np.float64), observed,
            table[list(KNOWN)].to_numpy(np.float64), none, np.empty(0), tuple(map(Covariate, KNOWN)),
        )  # fmt: skip
        group.append(GroupSeries(str(key), series, FitContext(8, nonnegative=True)))
        known_x = later[list(KNOWN)].to_numpy(np.float64)
        futures.append(Future(grid, later["at"].to_numpy(np.int64), known_x))
        actual.append(later["Quantity"].to_numpy(np.float64))
    return Task(group, futures, actual)


def orange_juice_text(quick: bool) -> str:
    """WAPE at one origin, beside the median of each history; one without the odd last weeks."""
    task = orange_juice_task(1)
    medians, cost = forecasts(task, QUICK_PARAMETERS if quick else {})
    usual = [np.full(len(y), np.median(one.series.y)) for one, y in zip(task.group, task.actual, strict=True)]
    return f"WAPE {wape(medians, task):.3f}; median of the history {wape(usual, task):.3f}; {cost}"


def wape(told: Sequence[Floats], task: Task) -> float:
    """The sum of absolute errors over the sum of what came."""
    errors = sum(float(np.abs(y - f).sum()) for y, f in zip(task.actual, told, strict=True))
    return errors / sum(float(y.sum()) for y in task.actual)


def nyc_text(quick: bool) -> str:
    """Mean absolute error of one series over four weeks, beside seasonal naive of a day and of a week."""
    place = scores.data_folder() / "notebooks" / "nyc_energy.parquet"
    rows = pd.read_parquet(place)
    demand = rows.set_index(pd.to_datetime(rows["timeStamp"]))["demand"].astype(np.float64)
    demand = demand[~demand.index.duplicated()].asfreq("h").interpolate()
    y = demand.to_numpy()
    errors, costs = [], []
    for origin in range(1 if quick else 4):
        cut = len(y) - 168 * (origin + 1)
        series, later = plain(y[cut - 8760 : cut], "h", cut - 8760), y[cut : cut + 168]
        group = [GroupSeries("nyc", series, FitContext(168, season=24, score_season=24, nonnegative=True))]
        future = Future(series.grid, cut + np.arange(168), np.empty((168, 0)))
        medians, cost = forecasts(Task(group, [future], [later]), QUICK_PARAMETERS if quick else {})
        day, week = np.tile(y[cut - 24 : cut], 7), y[cut - 168 : cut]
        errors.append([np.abs(told - later).mean() for told in (medians[0], day, week)])
        costs.append(cost)
    ours, daily, weekly = np.mean(errors, axis=0)
    gain = 100 * (1 - ours / daily)
    naive = f"seasonal naive {daily:.0f} (a day), {weekly:.0f} (a week)"
    return f"MAE {ours:.0f}; {naive}: {gain:.0f} % better; one origin {costs[0]}"


def main() -> None:
    """Prints one line per set."""
    parser = harness.arguments(__doc__)
    sets = (*scores.M4, "orange_juice", "nyc_energy")
    parser.add_argument("sets", nargs="*", default=sets)
    options = parser.parse_args()
    for name in options.sets:
        if name in scores.M4:
            text = m4_text(name, options.quick)
        else:
            text = (orange_juice_text if name == "orange_juice" else nyc_text)(options.quick)
        print(f"{name:13} {text}", flush=True)


if __name__ == "__main__":
    main()
