"""Forecasts one step after another, each fed back to the next, for one series or for many at once.

A step makes the features of all series that share their lags and windows in one go, and asks all
models in one go. Each series is summed by itself: it gets the same bits alone as among others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from many_models.errors import LearnerError
from many_models.features.plan import FeaturePlan
from many_models.features.rows import Positions, Rows
from many_models.panel.grid import Grid
from many_models.panel.series import Floats, Future

if TYPE_CHECKING:
    from many_models.learners.regression import Frame, RegressionModel

HISTORY = ("lags", "windows")
"""The families that read the target, and so what was forecast before."""
DATED = ("calendar", "fourier", "holidays", "events")
"""The families that read nothing but the dates of the rows."""


class Stack(Protocol):
    """Many fitted cores that answer together."""

    def predict(self, x: Floats) -> Floats:
        """The answer of core s to row s [S, c] -> [S]; columns beyond its own are not read."""


@dataclass(frozen=True)
class Alone:
    """Cores of any kind, asked one after another.

    Attributes
    ----------
    widths
        How many columns each core reads.
    """

    cores: tuple[Any, ...]
    widths: tuple[int, ...]

    def predict(self, x: Floats) -> Floats:
        """The answer of core s to row s [S, c] -> [S]."""
        rows = zip(x, self.cores, self.widths, strict=True)
        return np.array([core.predict(row[None, :width])[0] for row, core, width in rows])


def stacked(cores: Sequence[Any], widths: Sequence[int]) -> Stack:
    """The cores as one, where they are of one kind that has a `stacked`."""
    if len({type(core) for core in cores}) == 1 and hasattr(cores[0], "stacked"):
        stack: Stack = cores[0].stacked(cores)
        return stack
    return Alone(tuple(cores), tuple(widths))


@dataclass(frozen=True)
class _Alike:
    """Series whose lags, windows and level are the same.

    Attributes
    ----------
    members : [S]
        Their places among all series.
    frame
        Lags, windows and level; of the rest of its plan nothing is left.
    columns : [h]
        Where the columns of lags and windows stand.
    memory
        How many last values are read.
    paths : [S, memory + steps]
        The last values, and what is forecast.
    zero : [S]
        What a target of zero is on the learned scale.
    grid
        Any of their grids; lags and windows ask it nothing.
    """

    members: Positions
    frame: Frame
    columns: Positions
    memory: int
    paths: Floats
    zero: Floats
    grid: Grid

    def seen(self, step: int) -> tuple[Floats, Floats]:
        """Lags and windows [S, h] and levels [S], `step` steps after the first forecast."""
        count, width = self.paths.shape
        # The paths lie one behind the other; no row reads further back than its own memory.
        target = np.arange(count, dtype=np.int64) * width + self.memory + step
        flat, none = self.paths.reshape(-1), np.empty((count, 0))
        rows = Rows(self.grid, target, none, flat, target, target - 1, np.zeros(count), zero=self.zero)
        return self.frame.rows(rows)


def recursed(models: Sequence[RegressionModel], futures: Sequence[Future]) -> list[Floats]:
    """Forecasts of each model for the stamps of its future, on its learned scale.

    Raises
    ------
    LearnerError
        `FUTURE_COVARIATES_MISSING` where a model that reads known covariates is not given those of
        every step up to its last stamp.
    """
    steps = [int(future.ordinals[-1]) - model.end for model, future in zip(models, futures, strict=True)]
    x = _outside(models, futures, steps)
    groups = _alike(models, futures, max(steps))
    stack = stacked([model.cores[0] for model in models], [len(m.frame.plan.columns) for m in models])
    low, high = np.array([model.bounds for model in models]).T
    level = np.zeros(len(models))
    for step in range(max(steps)):
        for group in groups:
            found, level[group.members] = group.seen(step)
            x[step][np.ix_(group.members, group.columns)] = found
        z = np.clip(stack.predict(x[step]) + level, low, high)
        for group in groups:
            group.paths[:, group.memory + step] = z[group.members]
    answers: list[Floats] = [np.empty(0)] * len(models)
    for group in groups:
        for path, member in zip(group.paths, group.members, strict=True):
            asked = futures[member].ordinals - models[member].end
            answers[member] = path[group.memory + asked - 1]
    return answers


def _outside(models: Sequence[RegressionModel], futures: Sequence[Future], steps: list[int]) -> Floats:
    """All columns that do not read the target, for every step and series [K, S, c]; the others are 0."""
    widest = max(len(model.frame.plan.columns) for model in models)
    x = np.zeros((max(steps), len(models), widest))
    dated: dict[Any, Floats] = {}
    for place, (model, future, count) in enumerate(zip(models, futures, steps, strict=True)):
        outside = tuple(f for f in model.frame.plan.families if f.name not in HISTORY)
        if not outside:
            continue
        columns, every = _places(model.frame.plan, own=False), _every_step(model, future, count)
        if all(family.name in DATED for family in outside):
            # Series that end on one day and read the same of its calendar have the same columns.
            key = outside, every.grid, every.ordinals.tobytes()
            if key not in dated:
                dated[key] = FeaturePlan(outside).build(model.future_rows(every))
            x[:count, place, columns] = dated[key]
        else:
            x[:count, place, columns] = FeaturePlan(outside).build(model.future_rows(every))
    return x


def _every_step(model: RegressionModel, future: Future, count: int) -> Future:
    """The stamps from the end of the history on, without a gap [count]."""
    if len(future) == count:
        return future
    if model.frame.known:
        raise LearnerError(
            "FUTURE_COVARIATES_MISSING", "a recursion needs the known covariates of every step on its way"
        )
    ordinals = np.arange(model.end + 1, model.end + count + 1, dtype=np.int64)
    return Future(future.grid, ordinals, np.empty((count, 0)))


def _places(plan: FeaturePlan, own: bool) -> Positions:
    """Where the columns of lags and windows stand (`own`), or all the others."""
    flags = [f.name in HISTORY for f in plan.families for _ in f.columns]
    return np.flatnonzero(np.array(flags, dtype=bool) == own)


def _alike(models: Sequence[RegressionModel], futures: Sequence[Future], steps: int) -> list[_Alike]:
    """The series by their lags, windows and level, with room for `steps` forecasts."""
    members: dict[Any, list[int]] = {}
    frames: dict[Any, Frame] = {}
    for place, model in enumerate(models):
        own = tuple(f for f in model.frame.plan.families if f.name in HISTORY)
        columns = _places(model.frame.plan, own=True)
        key = (own, model.frame.level, tuple(columns.tolist()))
        members.setdefault(key, []).append(place)
        frames.setdefault(key, replace(model.frame, plan=FeaturePlan(own)))
    groups = []
    for key, places in members.items():
        memory = frames[key].memory
        paths = np.zeros((len(places), memory + steps))
        for path, place in zip(paths, places, strict=True):
            recent = models[place].recent
            path[:memory] = recent[len(recent) - memory :]
        zero = np.array([models[place].frame.zero for place in places])
        columns = np.array(key[2], dtype=np.int64)
        groups.append(
            _Alike(np.array(places), frames[key], columns, memory, paths, zero, futures[places[0]].grid)
        )
    return groups
