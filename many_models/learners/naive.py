"""Learners without a fit to speak of: the last value, the last season, a line, an average.

Hyndman & Athanasopoulos, Forecasting: Principles and Practice (3rd ed.), section 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from many_models.learners.base import Candidate, FitContext, Parameters, State
from many_models.learners.guards import finite, newest, opened, require_length, steps_after
from many_models.learners.table import learner_info
from many_models.panel.series import Floats, Forecast, Future, Series

STATE_VERSION = 1
WINDOW = 12
SEASONS = 3
TAIL = 8
"""Last values that a whole-history average keeps open to revision."""


@dataclass(frozen=True, eq=False)
class Level:
    """A line from the last value on: `naive` (slope 0) and `drift`."""

    kind: str
    last: float
    end: int
    slope: float
    parameters: Parameters

    @property
    def tail(self) -> int:
        """One value: the last."""
        return 1

    def predict(self, future: Future) -> Forecast:
        """The last value plus the slope times the steps since."""
        steps = steps_after(future, self.end)
        return finite(self.last + self.slope * steps.astype(np.float64))

    def update(self, series: Series) -> Level:
        """The same slope from the last value of `series`."""
        series = newest(series, self.end)
        return Level(self.kind, float(series.y[-1]), series.end, self.slope, self.parameters)

    def state(self) -> State:
        """Last value, slope, cutoff."""
        return {
            "kind": self.kind,
            "version": STATE_VERSION,
            "last": self.last,
            "end": self.end,
            "slope": self.slope,
        }


@dataclass(frozen=True, eq=False)
class Cycle:
    """One season repeated: `seasonal_naive` (its last one) and `seasonal_average` (the mean of a few).

    Attributes
    ----------
    values : [m]
        The forecast of the stamps `end + 1 … end + m`.
    seasons, asked
        How many last seasons the values are the mean of, and of how many they should be.
    """

    kind: str
    values: Floats
    end: int
    seasons: int
    asked: int

    @classmethod
    def of(cls, kind: str, series: Series, season: int, asked: int) -> Cycle:
        """The mean per position of the last seasons of `series`: as many as asked, or as there are."""
        seasons = min(asked, len(series) // season)
        values = series.y[len(series) - season * seasons :].reshape(seasons, season).mean(axis=0)
        return cls(kind, values, series.end, seasons, asked)

    @property
    def parameters(self) -> Parameters:
        """How many seasons are averaged; nothing for the last one."""
        return {} if self.kind == "seasonal_naive" else {"seasons": self.asked}

    @property
    def tail(self) -> int:
        """The seasons that are averaged."""
        return len(self.values) * self.seasons

    def predict(self, future: Future) -> Forecast:
        """The value at the same position of the season."""
        return finite(self.values[(steps_after(future, self.end) - 1) % len(self.values)])

    def update(self, series: Series) -> Cycle:
        """The last seasons of `series` in their place."""
        series = newest(series, self.end - self.tail + 1)
        return Cycle.of(self.kind, series, len(self.values), self.asked)

    def state(self) -> State:
        """The season, its cutoff, how many were averaged."""
        return {
            "kind": self.kind,
            "version": STATE_VERSION,
            "values": self.values,
            "end": self.end,
            "seasons": self.seasons,
            "asked": self.asked,
        }


@dataclass(frozen=True, eq=False)
class Mean:
    """The mean of the whole history (`window` 0) or of its last `window` values.

    Attributes
    ----------
    earlier, count
        Sum and number of the values before the tail (0 with a window).
    mean, skew
        The forecast's mean, and how far the median of the history lies from it: on sales with
        promotions the mean of the past is no median of what comes.
    end, tail
        The cutoff, and the values before it that are not in `earlier`.
    """

    window: int
    earlier: float
    count: int
    mean: float
    skew: float
    end: int
    tail: int

    kind: ClassVar[str] = "average"

    @classmethod
    def of(
        cls, window: int, earlier: float, count: int, y: Floats, end: int, skew: float | None = None
    ) -> Mean:
        """The average after `count` values that sum to `earlier` and then `y` [n].

        `skew` is that of the fit where `y` is not all of what is averaged.
        """
        tail = window or min(TAIL, len(y))
        passed = 0 if window else len(y) - tail
        earlier, count = earlier + float(y[:passed].sum()), count + passed
        mean = (earlier + float(y[len(y) - tail :].sum())) / (count + tail)
        if skew is None:
            skew = float(np.median(y[-window:] if window else y)) - mean
        return cls(window, earlier, count, mean, skew, end, tail)

    @property
    def parameters(self) -> Parameters:
        """The window; nothing where the whole history is averaged."""
        return {"window": self.window} if self.window else {}

    def predict(self, future: Future) -> Forecast:
        """The mean and the median at every stamp."""
        stamps = len(steps_after(future, self.end))
        return finite(np.full(stamps, self.mean), np.full(stamps, self.mean + self.skew))

    def update(self, series: Series) -> Mean:
        """The mean with the new values in it."""
        series = newest(series, self.end - self.tail + 1)
        skew = None if self.window else self.skew
        return Mean.of(self.window, self.earlier, self.count, series.y, series.end, skew)

    def state(self) -> State:
        """Sums and counts."""
        return {
            "kind": self.kind,
            "version": STATE_VERSION,
            "window": self.window,
            "earlier": self.earlier,
            "count": self.count,
            "mean": self.mean,
            "skew": self.skew,
            "end": self.end,
            "tail": self.tail,
        }


def _load_level(state: State, kind: str) -> Level:
    s = opened(state, kind, STATE_VERSION)
    return Level(kind, float(s["last"]), int(s["end"]), float(s["slope"]), {})


def _load_cycle(state: State, kind: str) -> Cycle:
    s = opened(state, kind, STATE_VERSION)
    return Cycle(kind, s["values"], int(s["end"]), int(s["seasons"]), int(s["asked"]))


class Naive:
    """The last value."""

    info = learner_info("naive")

    def candidates(self, series: Series, context: FitContext) -> tuple[Candidate, ...]:
        """Always the one."""
        return (Candidate("naive", "naive"),) if len(series) else ()

    def fit(self, series: Series, parameters: Parameters, context: FitContext) -> Level:
        """The last value of `series`."""
        require_length(series, self.info.min_length)
        return Level("naive", float(series.y[-1]), series.end, 0.0, {})

    def load(self, state: State) -> Level:
        """The stored model."""
        return _load_level(state, "naive")


class Drift:
    """The last value, continued at the mean change of the history."""

    info = learner_info("drift")

    def candidates(self, series: Series, context: FitContext) -> tuple[Candidate, ...]:
        """The one, from three values on: a line through two points is no evidence."""
        return (Candidate("drift", "drift"),) if len(series) >= self.info.min_length else ()

    def fit(self, series: Series, parameters: Parameters, context: FitContext) -> Level:
        """The line from the first to the last value of `series`."""
        require_length(series, self.info.min_length)
        slope = (float(series.y[-1]) - float(series.y[0])) / (len(series) - 1)
        return Level("drift", float(series.y[-1]), series.end, slope, {})

    def load(self, state: State) -> Level:
        """The stored model."""
        return _load_level(state, "drift")


class SeasonalNaive:
    """The value one season ago."""

    info = learner_info("seasonal_naive")

    def candidates(self, series: Series, context: FitContext) -> tuple[Candidate, ...]:
        """The one, where there is a season and the series holds one; else it would be `naive`."""
        fits = 1 < context.season <= len(series)
        return (Candidate("seasonal_naive", "seasonal_naive"),) if fits else ()

    def fit(self, series: Series, parameters: Parameters, context: FitContext) -> Cycle:
        """The last season of `series`."""
        require_length(series, max(1, context.season))
        return Cycle.of("seasonal_naive", series, max(1, context.season), 1)

    def load(self, state: State) -> Cycle:
        """The stored model."""
        return _load_cycle(state, "seasonal_naive")


class SeasonalAverage:
    """The mean of the last few seasons, position by position."""

    info = learner_info("seasonal_average")

    def candidates(self, series: Series, context: FitContext) -> tuple[Candidate, ...]:
        """The mean of the last three seasons, or of two where there are no more."""
        seasons = min(SEASONS, len(series) // context.season) if context.season > 1 else 0
        if seasons < 2:
            return ()
        return (Candidate("seasonal_average", "seasonal_average", {"seasons": SEASONS}),)

    def fit(self, series: Series, parameters: Parameters, context: FitContext) -> Cycle:
        """The mean of at most `seasons` last seasons of `series`, at least of one."""
        season = max(1, context.season)
        require_length(series, season)
        return Cycle.of("seasonal_average", series, season, int(parameters.get("seasons", SEASONS)))

    def load(self, state: State) -> Cycle:
        """The stored model."""
        return _load_cycle(state, "seasonal_average")


class Average:
    """The mean of the last twelve values, or of the whole history."""

    info = learner_info("average")

    def candidates(self, series: Series, context: FitContext) -> tuple[Candidate, ...]:
        """The last twelve first (it leads on spare parts), then the whole history."""
        whole = Candidate("average", "average") if len(series) else None
        recent = Candidate("average_12", "average", {"window": WINDOW}) if len(series) > WINDOW else None
        return tuple(c for c in (recent, whole) if c is not None)

    def fit(self, series: Series, parameters: Parameters, context: FitContext) -> Mean:
        """The mean of the last `window` values; without a window, of all."""
        window = int(parameters.get("window", 0))
        require_length(series, max(window, self.info.min_length))
        return Mean.of(window, 0.0, 0, series.y, series.end)

    def load(self, state: State) -> Mean:
        """The stored model."""
        s = opened(state, "average", STATE_VERSION)
        sums = float(s["earlier"]), int(s["count"]), float(s["mean"]), float(s["skew"])
        return Mean(int(s["window"]), *sums, int(s["end"]), int(s["tail"]))
