"""How the series of a group become rows of one regression: aligned columns, scales of their own, one plan.

Targets are scaled by their own series; covariates are read by name, whatever series has them, and are
relative to the series' own mean, so that what a price cut does is learned and not who is dear.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from many_models.errors import LearnerError
from many_models.features.base import Style, Wishes
from many_models.features.covariates import Column, columns_of
from many_models.features.group import Group
from many_models.features.plan import FAMILIES, FeaturePlan
from many_models.features.rows import Positions, Rows
from many_models.learners.base import FitContext, Parameters, State
from many_models.learners.pooled import Asked, GroupSeries
from many_models.learners.target import Level, TargetScale
from many_models.panel.series import UNSEEN, Covariate, Floats, Future, Series

FEWEST_ROWS = 6
"""Fewest observed training rows of a group."""
ENOUGH_ROWS = 200
"""Shorter series are seen from several steps per value until there are about so many rows of each."""
FEWEST_EACH = 30
"""Rows that every series keeps where there are more than can be learned from."""
LARGEST = 1e100
"""Of a target; beyond, squares overflow."""
OUTSIDE = ("calendar", "holidays")
HISTORY = ("recent", "lags", "windows")
TOLD = ("covariates", "context")


@dataclass(frozen=True)
class Aligned:
    """The covariates of a group: those that any of its series has, in one order.

    Attributes
    ----------
    covariates
        With the categories of all series.
    neutral
        What stands for a covariate that a series does not have, or a value that is missing.
    """

    covariates: tuple[Covariate, ...] = ()
    neutral: tuple[float, ...] = ()

    @classmethod
    def of(cls, each: Sequence[tuple[Covariate, ...]], tables: Sequence[Floats]) -> Self:
        """The covariates of the series, with their tables of values [T, K] each."""
        found: dict[str, Covariate] = {}
        for covariates in each:
            for one in covariates:
                known = found.setdefault(one.name, one)
                if known.categories != one.categories:
                    together = tuple(sorted({*known.categories, *one.categories}))
                    found[one.name] = replace(known, categories=together)
        aligned = cls(tuple(found.values()), (np.nan,) * len(found))
        values = [aligned.read(c, t) for c, t in zip(each, tables, strict=True)]
        neutral = []
        for place, one in enumerate(aligned.covariates):
            seen = np.concatenate([table[:, place] for table in values])
            seen = seen[np.isfinite(seen)]
            if one.kind == "number":
                neutral.append(float(seen.mean()) if len(seen) else 0.0)
            else:
                neutral.append(0.0 if one.kind == "boolean" else UNSEEN)
        return cls(aligned.covariates, tuple(neutral))

    def read(self, covariates: tuple[Covariate, ...], table: Floats) -> Floats:
        """The values [T, K] of a series with these covariates, in the group's order [T, G]."""
        found = np.empty((len(table), len(self.covariates)))
        places = {one.name: place for place, one in enumerate(covariates)}
        for column, (one, neutral) in enumerate(zip(self.covariates, self.neutral, strict=True)):
            place = places.get(one.name)
            if place is None:
                found[:, column] = neutral
                continue
            values = table[:, place]
            own = covariates[place].categories
            if one.kind == "category" and own != one.categories:
                values = _recoded(values, own, one.categories)
            found[:, column] = np.where(np.isfinite(values), values, neutral)
        return found

    def to_list(self) -> list[list[Any]]:
        """These covariates as JSON values."""
        rows = zip(self.covariates, self.neutral, strict=True)
        return [[c.name, c.kind, list(c.categories), c.origin, neutral] for c, neutral in rows]

    @classmethod
    def from_list(cls, data: list[list[Any]]) -> Self:
        """The covariates that gave this `to_list()`."""
        covariates = (Covariate(str(n), kind, tuple(map(str, c)), origin) for n, kind, c, origin, _ in data)
        return cls(tuple(covariates), tuple(float(row[4]) for row in data))


def _recoded(values: Floats, own: tuple[str, ...], group: tuple[str, ...]) -> Floats:
    """Codes of a series' own categories as those of the group's; what neither knows is `UNSEEN`."""
    places = {name: float(place) for place, name in enumerate(group)}
    table = np.array([*(places.get(name, UNSEEN) for name in own), UNSEEN])
    there = np.isfinite(values) & (values >= 0) & (values < len(own))
    codes = np.where(there, values, len(own)).astype(np.int64)
    return np.where(np.isnan(values), np.nan, table[codes])


@dataclass(frozen=True)
class PooledFrame:
    """What a pooled regression knows besides its coefficients.

    Attributes
    ----------
    transform
        Of the target, see `TargetScale`; a series with values below zero has none.
    names
        Of the series in the fit: the place of one is its number.
    keys
        The values of each key column that several series share, in order; none for the others.
    size
        Mean and spread over the group of the logs of the series' units.
    static
        How static columns are read.
    within : positions
        Columns that are read relative to their mean over the series.
    """

    style: Style
    plan: FeaturePlan
    level: Level
    transform: str
    season: int
    known: Aligned
    past: Aligned
    statics: Aligned
    static: tuple[Column, ...]
    names: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...]
    size: tuple[float, float]
    spread: bool

    @property
    def memory(self) -> int:
        """How many last values of the target a forecast reads."""
        return max(self.plan.memory, self.level.memory)

    @property
    def tail(self) -> int:
        """How many last values of a series a forecast reads."""
        return max(self.memory, self.plan.known_memory, self.plan.past_memory, 1)

    @property
    def within(self) -> Positions:
        """Positions of the columns that are told relative to the series' own mean."""
        names = [family.name for family in self.plan.families for _ in family.columns]
        return np.array([at for at, name in enumerate(names) if name in TOLD], dtype=np.int64)

    def aligned(self, series: Series) -> Series:
        """The series with the covariates of the group."""
        return replace(
            series,
            known_x=self.known.read(series.known, series.known_x),
            past_x=self.past.read(series.past, series.past_x),
            known=self.known.covariates,
            past=self.past.covariates,
        )

    def own(self, name: str, series: Series) -> State:
        """What is the series' own: its scale, its means, its numbers as a member of the group.

        Raises
        ------
        LearnerError
            `TOO_SHORT` without a value, `NOT_FINITE` for values that are not numbers of a usable size.
        """
        if len(series) == 0:
            raise LearnerError("TOO_SHORT", "a series without a value")
        if not float(np.abs(series.y).max()) < LARGEST:
            raise LearnerError("NOT_FINITE", "a target that is infinite, NaN or beyond 1e100")
        scale = self.scale_of(series)
        z = scale.forward(series.y)
        spread = spread_of(z) if self.spread else 1.0
        low, high = float(z.min()), float(z.max())
        floor = float(scale.forward(np.zeros(1))[0]) if scale.floor == 0.0 else -np.inf
        centers: list[float] = []
        if len(self.within):
            table = self.plan.build(
                Rows.past(self.aligned(series)).of_member(np.zeros(len(self.member_names)))
            )
            centers = [float(value) for value in table[:, self.within].mean(axis=0)]
        return {
            "scale": scale.to_list(),
            "spread": spread,
            "centre": float(np.median(z)) / spread if self.level.kind == "none" else 0.0,
            "bounds": [max(2.0 * low - high, floor), 2.0 * high - low],
            "member": self._member(name, series, scale),
            "centers": centers,
        }

    def scale_of(self, series: Series) -> TargetScale:
        """The scale of a series of the group."""
        transform = self.transform if float(series.y.min()) >= 0.0 else "none"
        return TargetScale.of(series.y, transform, self.season)

    @property
    def member_names(self) -> tuple[str, ...]:
        """The names of the numbers that a series has as a member of the group."""
        statics = (column.name for column in self.static)
        if self.style != "tree":
            return ("size", *statics)
        shared = (f"key{place + 1}" for place, values in enumerate(self.keys) if values)
        return ("series", *shared, "size", *statics)

    def _member(self, name: str, series: Series, scale: TargetScale) -> list[float]:
        table = self.statics.read(series.static, series.static_x[None, :])
        found = [(np.log(scale.unit) - self.size[0]) / self.size[1]]
        found += [float(column.build(table[:, column.source])[0]) for column in self.static]
        if self.style == "tree":
            # A series, or a value of a key, that was not in the fit is before all of them.
            parts = zip(self.keys, key_of(name, len(self.keys)), strict=True)
            codes = [values.index(part) if part in values else -1 for values, part in parts if values]
            found = [self.names.index(name) if name in self.names else -1, *codes, *found]
        return [float(value) for value in found]

    def training_rows(self, series: Series, own: State, budget: int, gap: int, horizon: int) -> Rows | None:
        """The observed values of an aligned series as rows, seen from some of the steps; None without."""
        z = self._scaled(series.y, own)
        targets, steps = seen_from(len(z), horizon, budget) if self.reads_history else _once(len(z), budget)
        memory = self.memory
        early = min(memory, max(0, len(z) // 2 - gap - horizon))
        kept = series.observed[targets] & (targets - steps - gap >= early if self.reads_history else True)
        targets, steps = targets[kept], steps[kept]
        if not len(targets):
            return None
        return Rows(
            series.grid,
            series.start + targets,
            series.known_x[targets],
            _led(z, memory),
            targets + memory,
            targets - steps - gap + memory,
            np.zeros(len(targets)),
            series.ordinals,
            series.known_x,
            series.past_x,
            np.full(len(targets), self._zero(own)),
            np.array(own["member"]),
        )

    @property
    def reads_history(self) -> bool:
        """Whether rows read what was before their cutoff."""
        return self.memory > 0 or self.plan.past_memory > 0

    def future_rows(self, asked: Asked) -> Rows:
        """The rows of a forecast."""
        history, future = self.aligned(asked.history.tail(self.tail)), asked.future
        z = self._scaled(history.y, asked.own)
        z = z[len(z) - min(len(z), max(1, self.memory)) :]
        z = _led(z, self.memory - len(z))
        ahead = self.known.read(asked.history.known, future.known_x)
        known = min(len(history), self.plan.known_memory)
        past = min(len(history), self.plan.past_memory)
        rows = Rows.future(
            Future(future.grid, future.ordinals, ahead),
            z,
            history.end,
            history.known_x[len(history) - known :],
            history.past_x[len(history) - past :],
        )
        return rows.with_zero(self._zero(asked.own)).of_member(np.array(asked.own["member"]))

    def columns(self, rows: Rows, own: State) -> tuple[Floats, Floats]:
        """The features of rows of one series [n, c], and their level [n]."""
        level = self.level.of(rows) if self.level.kind != "none" else np.full(len(rows), float(own["centre"]))
        x = self.plan.build(rows.relative_to(level))
        if len(self.within):
            x[:, self.within] -= np.array(own["centers"])
        return x, level

    def _scaled(self, y: Floats, own: State) -> Floats:
        scale = TargetScale.from_list(own["scale"])
        return np.asarray(scale.forward(y) / float(own["spread"]))

    def _zero(self, own: State) -> float:
        return float(self._scaled(np.zeros(1), own)[0])

    def backward(self, z: Floats, own: State) -> Floats:
        """Targets of a series for learned numbers [n], within twice the range of its history."""
        low, high = own["bounds"]
        return TargetScale.from_list(own["scale"]).backward(np.clip(z * float(own["spread"]), low, high))

    def state(self) -> State:
        """The frame as plain data."""
        return {
            "style": self.style,
            "plan": self.plan.to_dict(),
            "level": self.level.to_list(),
            "transform": self.transform,
            "season": self.season,
            "known": self.known.to_list(),
            "past": self.past.to_list(),
            "statics": self.statics.to_list(),
            "static": [[c.name, c.source, c.transform, c.low, c.high] for c in self.static],
            "names": list(self.names),
            "keys": [list(values) for values in self.keys],
            "size": list(self.size),
            "spread": self.spread,
        }

    @classmethod
    def load(cls, state: State) -> PooledFrame:
        """The frame that gave this state."""
        mean, width = state["size"]
        return cls(
            state["style"],
            FeaturePlan.from_dict(state["plan"]),
            Level.from_list(state["level"]),
            str(state["transform"]),
            int(state["season"]),
            Aligned.from_list(state["known"]),
            Aligned.from_list(state["past"]),
            Aligned.from_list(state["statics"]),
            tuple(
                Column(str(n), int(s), t, float(low), float(high)) for n, s, t, low, high in state["static"]
            ),
            tuple(str(name) for name in state["names"]),
            tuple(tuple(map(str, values)) for values in state["keys"]),
            (float(mean), float(width)),
            bool(state["spread"]),
        )


def key_of(name: str, count: int) -> tuple[str, ...]:
    """The `count` parts of a key by its canonical text [count]; empty ones where it has other parts."""
    try:
        parts = json.loads(name)
    except ValueError:
        parts = []
    usable = isinstance(parts, list) and len(parts) == count
    return tuple(str(part) for part in parts) if usable else ("",) * count


def shared_keys(names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """For each key column its values in order, where there are several and series share them."""
    try:
        count = len(json.loads(names[0]))
    except (ValueError, TypeError):
        return ()
    columns = [sorted(set(values)) for values in zip(*(key_of(name, count) for name in names), strict=True)]
    return tuple(tuple(values) if 1 < len(values) < len(names) else () for values in columns)


def spread_of(z: Floats) -> float:
    """The mean absolute change from value to value; what an unmoved history has instead is 1."""
    moved = float(np.abs(np.diff(z)).mean()) if len(z) > 1 else 0.0
    return moved if moved > 1e-9 * max(1.0, float(np.abs(z).max(initial=0.0))) else 1.0


def _led(z: Floats, count: int) -> Floats:
    """Values with the first of them `count` times before."""
    return np.concatenate([np.full(count, z[0]), z]) if count > 0 else z


def seen_from(count: int, horizon: int, most: int) -> tuple[Positions, Positions]:
    """Positions of targets and their steps [n] each, at most `most` for `count` values, the newest.

    Every value is a target; the steps come in turn, so that all are equally often met.
    """
    targets = np.arange(1, count, dtype=np.int64)
    copies = max(1, min(horizon, -(-ENOUGH_ROWS // max(1, len(targets)))))
    spread = max(1, horizon // copies)
    steps = [(targets + copy * spread) % horizon + 1 for copy in range(copies)]
    places, found = np.tile(targets, copies), np.concatenate(steps)
    newest = np.sort(np.argsort(-places, kind="stable")[:most])
    return places[newest], found[newest]


def _once(count: int, most: int) -> tuple[Positions, Positions]:
    targets = np.arange(max(0, count - most), count, dtype=np.int64)
    return targets, np.ones_like(targets)


# -- decided from a group ----------------------------------------------------------------


def frame_of(group: Sequence[GroupSeries], parameters: Parameters, style: Style) -> PooledFrame:
    """The frame of a group, which is sorted by name."""
    context, history = group[0].context, bool(parameters["history"])
    told = bool(parameters["known"])
    known = (
        Aligned.of([g.series.known for g in group], [g.series.known_x for g in group]) if told else Aligned()
    )
    past = Aligned()
    if parameters.get("past"):
        past = Aligned.of([g.series.past for g in group], [g.series.past_x for g in group])
    statics = Aligned.of([g.series.static for g in group], [g.series.static_x[None, :] for g in group])
    tables = [statics.read(g.series.static, g.series.static_x[None, :]) for g in group]
    values = np.concatenate(tables)
    static = tuple(
        column
        for source, covariate in enumerate(statics.covariates)
        for column in columns_of(covariate, source, values[:, source], style, False)
    )
    frame = PooledFrame(
        style,
        FeaturePlan(()),
        Level("none", 0),
        str(parameters["transform"]),
        context.season,
        known,
        past,
        statics,
        static,
        tuple(g.name for g in group),
        shared_keys([g.name for g in group]) if style == "tree" else (),
        (0.0, 1.0),
        bool(parameters.get("spread")),
    )
    scales = [frame.scale_of(g.series) for g in group]
    logs = np.log([scale.unit for scale in scales])
    width = float(logs.std())
    frame = replace(frame, size=(float(logs.mean()), width if width > 1e-9 else 1.0))
    told_of = [frame.aligned(g.series) for g in group]
    z = [scale.forward(g.series.y) for scale, g in zip(scales, group, strict=True)]
    if frame.spread:
        z = [one / spread_of(one) for one in z]
    plan = _plan(
        told_of, z, frame, context, history, bool(parameters.get("past")), bool(parameters.get("group"))
    )
    return replace(frame, plan=plan, level=_level(z, history, context))


def _plan(
    group: Sequence[Series],
    z: Sequence[Floats],
    frame: PooledFrame,
    context: FitContext,
    history: bool,
    past: bool,
    means: bool,
) -> FeaturePlan:
    """Columns of time and history as the longest series carries them, of covariates as all together do."""
    wishes = Wishes(frame.style, context.season, context.gap + context.horizon, context.features)
    longest = max(group, key=len)
    names = (*OUTSIDE, *(HISTORY if history else ()), *sorted(context.features.own))
    families = [*FeaturePlan.decide(longest, wishes, names).families]
    stacked = replace(
        longest,
        y=np.concatenate([one.y for one in group]),
        observed=np.concatenate([one.observed for one in group]),
        known_x=np.concatenate([one.known_x for one in group]),
        past_x=np.concatenate([one.past_x for one in group]),
    )
    names = (*(TOLD if frame.known.covariates else ()), *(("past",) if past else ()))
    families += FeaturePlan.decide(stacked, wishes, names).families
    if "group" not in context.features.block:
        start, moves = _means(group, z) if means else (0, ())
        families.append(Group(frame.member_names, start, moves))
    order = {name: place for place, name in enumerate(FAMILIES)}
    return FeaturePlan(tuple(sorted(families, key=lambda family: order.get(family.name, len(order)))))


def _means(group: Sequence[Series], z: Sequence[Floats]) -> tuple[int, tuple[float, ...]]:
    """The first period number of the group, and the mean of its series in each period.

    A period that no series has is as the one before.
    """
    start, end = min(one.start for one in group), max(one.end for one in group)
    total, count = np.zeros(end - start + 1), np.zeros(end - start + 1)
    for one, values in zip(group, z, strict=True):
        total[one.start - start : one.end - start + 1] += values - values.mean()
        count[one.start - start : one.end - start + 1] += 1.0
    filled = np.maximum.accumulate(np.where(count > 0, np.arange(len(count)), 0))
    return start, tuple(float(v) for v in (total / np.maximum(count, 1.0))[filled])


def _level(z: Sequence[Floats], history: bool, context: FitContext) -> Level:
    """What targets are relative to: the last value, a mean of a few, or the series' own middle."""
    if not history:
        return Level("none", 0)
    widths = [1, 4, *([context.season] if context.season > 4 else [])]
    errors = np.zeros(len(widths) + 1)
    for one in z:
        targets, steps = seen_from(len(one), context.horizon, ENOUGH_ROWS)
        cutoffs = targets - steps - context.gap
        targets, cutoffs = targets[cutoffs >= 3], cutoffs[cutoffs >= 3]
        if len(targets) < 4:
            continue
        found = [one[np.maximum(cutoffs[:, None] - np.arange(width), 0)].mean(axis=1) for width in widths]
        found.append(np.cumsum(one)[cutoffs] / (cutoffs + 1))
        each = np.array([np.abs(one[targets] - told).mean() for told in found])
        errors += each / max(float(each.mean()), 1e-12)
    best = int(np.argmin(errors[:-1]))
    if errors[-1] < errors[best]:
        return Level("none", 0)
    return Level("mean", widths[best])
