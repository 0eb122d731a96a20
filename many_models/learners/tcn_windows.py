"""What a temporal convolutional network sees of a group: windows of values, covariates and waves.

Training and forecasting cut their windows here, with the same lines. Everything is relative to the
cutoff of the window: values to the level there, references to the last seasons before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from many_models.features.fourier import EXACT_YEAR, wave_table
from many_models.learners.base import State
from many_models.learners.pooled_frame import Aligned
from many_models.learners.target import TargetScale
from many_models.panel.series import MOST_CATEGORIES, Bools, Covariate, Floats, Series

Ints = npt.NDArray[np.int64]

REFERENCES = 3
"""Seasons whose values at the phase of a target are averaged."""
FARTHEST = 30.0
"""Inputs, in mean absolute changes from the level, are cut off here."""
WAVES = 2
"""Of each season; values one season ago tell the rest."""


@dataclass(frozen=True)
class Columns:
    """How covariates become numbers: a number is centred and scaled, a category becomes indicators.

    Attributes
    ----------
    source : [k]
        Position of the covariate behind each column.
    kind : [k]
        `number`, `boolean` or `category`.
    category : [k]
        The code of the category that an indicator stands for, else 0.
    center, spread : [k]
        Of numbers, over the group; a known number is centred at the mean of its own series instead.
    """

    source: tuple[int, ...] = ()
    kind: tuple[str, ...] = ()
    category: tuple[float, ...] = ()
    center: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()

    @classmethod
    def of(cls, covariates: tuple[Covariate, ...], tables: Sequence[Floats], own_center: bool) -> Self:
        """The columns for the covariates of a group and their values in each series [T, K]."""
        rows: list[tuple[int, str, float, float, float]] = []
        for source, covariate in enumerate(covariates):
            values = [table[:, source][np.isfinite(table[:, source])] for table in tables]
            values = [part for part in values if len(part)]
            if covariate.kind == "category":
                codes, counts = np.unique(np.concatenate([*values, np.empty(0)]), return_counts=True)
                frequent = codes[np.argsort(-counts, kind="stable")][:MOST_CATEGORIES]
                rows += [(source, "category", float(code), 0.0, 1.0) for code in np.sort(frequent)]
            elif covariate.kind == "boolean":
                rows.append((source, "boolean", 0.0, 0.0, 1.0))
            else:
                parts = [part - part.mean() if own_center else part for part in values]
                together = np.concatenate([*parts, np.zeros(0 if parts else 1)])
                spread, most = float(together.std()), float(np.abs(together).max())
                if spread > 1e-12 * max(1e-300, most):
                    rows.append((source, "number", 0.0, float(together.mean()), spread))
        return cls(*(tuple(part) for part in zip(*rows, strict=True))) if rows else cls()

    def __len__(self) -> int:
        return len(self.source)

    def read(self, table: Floats, centers: Sequence[float]) -> Floats:
        """The columns [T, k] of the values [T, K] of one series; what is missing is neutral."""
        found = np.zeros((len(table), len(self)))
        for place, (at, kind) in enumerate(zip(self.source, self.kind, strict=True)):
            values = table[:, at]
            if kind == "category":
                found[:, place] = values == self.category[place]
            elif kind == "boolean":
                found[:, place] = np.where(np.isfinite(values), values, 0.0)
            else:
                scaled = (values - centers[place]) / self.spread[place]
                found[:, place] = np.clip(np.where(np.isfinite(scaled), scaled, 0.0), -10.0, 10.0)
        return found

    def own_centers(self, table: Floats) -> list[float]:
        """The mean of each number in the values [T, K] of one series [k], or that of the group."""
        found = []
        for at, kind, center in zip(self.source, self.kind, self.center, strict=True):
            values = table[:, at][np.isfinite(table[:, at])] if kind == "number" else np.empty(0)
            found.append(float(values.mean()) if len(values) else center)
        return found

    def to_dict(self) -> dict[str, Any]:
        """These columns as JSON values."""
        return {name: list(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The columns that gave this `to_dict()`."""
        return cls(**{name: tuple(data[name]) for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Design:
    """How a group is cut into windows; what a stored network needs to be asked again.

    Attributes
    ----------
    reach
        Values in a window: the receptive field.
    ahead
        The last step, gap included, that was learned; later ones are told as if they were it.
    level
        Last values whose mean targets and inputs are relative to.
    seasons
        Season lengths whose last values are references, shortest first.
    periods
        Season lengths, in steps, that have waves.
    known, static
        How covariates become columns.
    known_names, static_names
        The covariates of the group, in whose order they are read.
    sizes
        Mean and spread over the group of the logs of unit and spread of its series [2, 2].
    transform
        Of the target, see `TargetScale`.
    """

    reach: int
    ahead: int
    level: int
    seasons: tuple[int, ...]
    periods: tuple[float, ...]
    known: Columns
    static: Columns
    sizes: tuple[tuple[float, float], tuple[float, float]]
    transform: str
    known_names: Aligned
    static_names: Aligned

    @property
    def memory(self) -> int:
        """How many last values of a series a forecast reads."""
        seasons = [REFERENCES * self.seasons[0], *self.seasons[1:]] if self.seasons else []
        return max(self.reach, self.level, *seasons, 1)

    @property
    def channels(self) -> int:
        """Columns of a window: value, whether it is there, whether it was observed, waves, covariates."""
        return 3 + 2 * WAVES * len(self.periods) + len(self.known)

    @property
    def step_columns(self) -> int:
        """Columns of a step: its place in the horizon, references, waves, covariates."""
        references = len(self.seasons) + (1 if self.seasons else 0)
        return 3 + 1 + references + 2 * WAVES * len(self.periods) + len(self.known)

    @property
    def series_columns(self) -> int:
        """Columns of a series: size, restlessness, static covariates."""
        return 2 + len(self.static)

    def own(self, series: Series, place: int, season: int) -> State:
        """What is the series' own: its place among the embeddings, its scale, its covariates' means."""
        scale = TargetScale.of(series.y, self.transform, season)
        z = scale.forward(series.y)
        low, high = float(z.min()), float(z.max())
        room = high - low
        floor = float(scale.forward(np.zeros(1))[0]) if scale.floor == 0.0 else -np.inf
        statics = self.static_names.read(series.static, series.static_x[None, :])
        statics = self.static.read(statics, self.static.center)
        return {
            "place": place,
            "scale": scale.to_list(),
            "spread": spread_of(z),
            "bounds": [max(low - room, floor), high + room],
            "centers": self.known.own_centers(self.known_names.read(series.known, series.known_x)),
            "static": [float(value) for value in statics[0]],
        }

    def features(self, own: State) -> Floats:
        """The columns of a series [series_columns], from its own state."""
        logs = np.log([TargetScale.from_list(own["scale"]).unit, own["spread"]])
        sizes = [(log - mean) / spread for log, (mean, spread) in zip(logs, self.sizes, strict=True)]
        return np.asarray(np.clip(np.array([*sizes, *own["static"]]), -5.0, 5.0))

    def to_dict(self) -> dict[str, Any]:
        """This design as JSON values."""
        return {
            **{name: getattr(self, name) for name in ("reach", "ahead", "level", "transform")},
            "seasons": list(self.seasons),
            "periods": list(self.periods),
            "known": self.known.to_dict(),
            "static": self.static.to_dict(),
            "sizes": [list(pair) for pair in self.sizes],
            "known_names": self.known_names.to_list(),
            "static_names": self.static_names.to_list(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The design that gave this `to_dict()`."""
        size, restless = ((float(mean), float(spread)) for mean, spread in data["sizes"])
        return cls(
            int(data["reach"]),
            int(data["ahead"]),
            int(data["level"]),
            tuple(int(season) for season in data["seasons"]),
            tuple(float(period) for period in data["periods"]),
            Columns.from_dict(data["known"]),
            Columns.from_dict(data["static"]),
            (size, restless),
            str(data["transform"]),
            Aligned.from_list(data["known_names"]),
            Aligned.from_list(data["static_names"]),
        )


def spread_of(z: Floats) -> float:
    """The mean absolute change from value to value; what an unmoved history has instead is 1."""
    changes = np.abs(np.diff(z))
    moved = float(changes.mean()) if len(changes) else 0.0
    return moved if moved > 1e-9 * max(1.0, float(np.abs(z).max(initial=0.0))) else 1.0


def periods_of(seasons: Sequence[int]) -> tuple[float, ...]:
    """The seasons in steps, a year as long as it really is."""
    return tuple(float(EXACT_YEAR.get(season, season)) for season in seasons)


@dataclass(frozen=True)
class Told:
    """One series as the network is told of it: its recent past and the covariates of its future.

    Attributes
    ----------
    start
        Ordinal of the first value.
    y : [T]
        Its values up to the cutoff.
    observed : [T]
        Whether they were observed.
    known_x : [T, K], future_x : [h, K]
        Known covariates of the group in the past, and at the steps that are asked for.
    """

    start: int
    y: Floats
    observed: Bools
    known_x: Floats
    future_x: Floats
    own: State


@dataclass(frozen=True)
class Windows:
    """Windows as arrays.

    Attributes
    ----------
    past : [n, reach, channels]
    ahead : [n, h, step columns]
    series : [n, series columns]
    place : [n]
        Of the series among the embeddings; 0 is that of series never seen.
    level : [n]
        What values are relative to, on the learned scale in units of the spread.
    """

    past: Floats
    ahead: Floats
    series: Floats
    place: Ints
    level: Floats


@dataclass(frozen=True)
class Panel:
    """The series of a group side by side, on the learned scale in units of their spread.

    Attributes
    ----------
    z : [n, W]
        Values; the last value of each series stands in column `last`, 0 before its first.
    there, observed : [n, W]
        Whether the series has a value, and whether it was observed.
    x : [n, W + h, k]
        Columns of known covariates, those of the future behind `last`.
    zero : [n]
        Ordinal of column 0.
    series : [n, s]
        Columns of the series.
    """

    design: Design
    z: Floats
    there: Bools
    observed: Bools
    x: Floats
    zero: Ints
    series: Floats
    place: Ints
    last: int

    @classmethod
    def of(cls, design: Design, told: Sequence[Told], least: int = 0) -> Self:
        """The panel of these series, their newest values and at least `least` columns."""
        width = max(least, max(len(one.y) for one in told), design.memory)
        steps = len(told[0].future_x)
        n, k = len(told), len(design.known)
        z, there, observed = np.zeros((n, width)), np.zeros((n, width), bool), np.zeros((n, width), bool)
        x = np.zeros((n, width + steps, k))
        for row, one in enumerate(told):
            cut = width - len(one.y)
            z[row, cut:] = TargetScale.from_list(one.own["scale"]).forward(one.y) / one.own["spread"]
            there[row, cut:] = True
            observed[row, cut:] = one.observed
            if k:
                centers = one.own["centers"]
                x[row, cut:width] = design.known.read(one.known_x, centers)
                x[row, width:] = design.known.read(one.future_x, centers)
        zero = np.array([one.start - (width - len(one.y)) for one in told], dtype=np.int64)
        series = np.array([design.features(one.own) for one in told])
        place = np.array([one.own["place"] for one in told], dtype=np.int64)
        return cls(design, z, there, observed, x, zero, series, place, width - 1)

    def windows(self, rows: Ints, cutoffs: Ints, steps: Ints, columns: Ints) -> Windows:
        """The windows of series `rows` [n] that end in columns `cutoffs` [n].

        Parameters
        ----------
        steps : [n, h]
            How many steps after the cutoff each target lies.
        columns : [n, h]
            The columns of `x` that hold the covariates of the targets.
        """
        design = self.design
        level = self._level(rows, cutoffs)
        at = cutoffs[:, None] - np.arange(design.reach - 1, -1, -1)
        here = np.maximum(at, 0)
        row = rows[:, None]
        there = self.there[row, here] & (at >= 0)
        past = np.concatenate(
            [
                (np.where(there, self._relative(row, here, level), 0.0))[:, :, None],
                there[:, :, None],
                (self.observed[row, here] & there)[:, :, None],
                self._waves(row, at),
                self.x[row, here] * there[:, :, None],
            ],
            axis=2,
        )
        part = np.minimum(steps, design.ahead) / design.ahead
        ahead = np.concatenate(
            [
                np.stack([part, np.sqrt(part), 1.0 / np.minimum(steps, design.ahead)], axis=2),
                self._references(rows, cutoffs, steps, level),
                self._waves(row, cutoffs[:, None] + steps),
                self.x[row, columns],
            ],
            axis=2,
        )
        return Windows(past, ahead, self.series[rows], self.place[rows], level)

    def _level(self, rows: Ints, cutoffs: Ints) -> Floats:
        """The mean of the last values before each cutoff [n]; fewer at the start of a history."""
        at = cutoffs[:, None] - np.arange(self.design.level)
        there = self.there[rows[:, None], np.maximum(at, 0)] & (at >= 0)
        values = np.where(there, self.z[rows[:, None], np.maximum(at, 0)], 0.0)
        return np.asarray(values.sum(axis=1) / np.maximum(there.sum(axis=1), 1))

    def _relative(self, row: Ints, at: Ints, level: Floats) -> Floats:
        return np.clip(self.z[row, at] - level[:, None], -FARTHEST, FARTHEST)

    def _references(self, rows: Ints, cutoffs: Ints, steps: Ints, level: Floats) -> Floats:
        """The last value, the last of the same phase for each season, and the mean of some [n, h, r]."""
        row = rows[:, None]
        found = [np.broadcast_to(self._relative(row, cutoffs[:, None], level), steps.shape)]
        for number, season in enumerate(self.design.seasons):
            back = cutoffs[:, None] + steps - season * (-(-steps // season))
            value, total, count = np.zeros(steps.shape), np.zeros(steps.shape), np.zeros(steps.shape)
            for turn in range(REFERENCES if number == 0 else 1):
                at = back - turn * season
                there = (at >= 0) & self.there[row, np.maximum(at, 0)]
                now = np.where(there, self._relative(row, np.maximum(at, 0), level), 0.0)
                value = now if turn == 0 else value
                total, count = total + now, count + there
            found += [value, total / np.maximum(count, 1)] if number == 0 else [value]
        return np.stack(found, axis=2)

    def _waves(self, row: Ints, at: Ints) -> Floats:
        """Sine and cosine of the waves of each period at the ordinals of columns `at` [n, m, w]."""
        periods = self.design.periods
        if not periods:
            return np.empty((*at.shape, 0))
        ordinals = (self.zero[row] + at).astype(np.float64).reshape(-1, 1)
        turns = np.array([wave / period for period in periods for wave in range(1, WAVES + 1)])
        return wave_table(ordinals * turns).reshape(*at.shape, -1)
