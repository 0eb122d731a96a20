"""Several seasons at once: MSTL and MFLES.

statsforecast takes a series apart; the parts are put together, and moved on, here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from many_models.errors import DamagedError, LearnerError
from many_models.learners.base import Candidate, FitContext, Parameters, State
from many_models.learners.guards import (
    believable,
    binary_scale,
    finite,
    library,
    opened,
    require_length,
    require_time,
    steps_after,
)
from many_models.learners.smoothing import Ets, EtsModel
from many_models.learners.table import learner_info
from many_models.panel.series import Floats, Forecast, Future, Series

STATE_VERSION = 1
FULL_PERIODS = 2
"""A season is taken off where the history has so many of it."""
MOST_SEASONS = 2


def periods_of(series: Series, context: FitContext) -> tuple[int, ...]:
    """The seasons that the frequency has and the history can carry, shortest first; at most two."""
    wanted = {context.season, *series.grid.frequency.seasons}
    carried = sorted(m for m in wanted if m > 1 and len(series) > FULL_PERIODS * m)
    return tuple(carried[:MOST_SEASONS])


@dataclass(frozen=True, eq=False)
class MstlModel:
    """Seasons that repeat, on an exponential smoothing of what is left.

    Attributes
    ----------
    seasons
        Each the last period of one season: of the stamps `anchor + 1 …`, again and again.
    rest
        The model of the seasonally adjusted values.
    """

    seasons: tuple[Floats, ...]
    anchor: int
    rest: EtsModel

    kind: ClassVar[str] = "mstl"

    @property
    def parameters(self) -> Parameters:
        """The form of the rest: a fit with it searches no more."""
        return self.rest.parameters

    @property
    def tail(self) -> int:
        """The values behind the state of the rest."""
        return self.rest.tail

    def predict(self, future: Future) -> Forecast:
        """The rest and the seasons, put together."""
        return finite(self.rest.predict(future).mean + self._season(future.ordinals))

    def update(self, series: Series) -> MstlModel:
        """The same seasons; the rest moves on."""
        return replace(self, rest=self.rest.update(adjusted(series, self._season(series.ordinals))))

    def _season(self, ordinals: np.ndarray) -> Floats:
        total = np.zeros(len(ordinals))
        for season in self.seasons:
            total = total + season[(ordinals - self.anchor - 1) % len(season)]
        return total

    def state(self) -> State:
        """The seasons, and the state of the rest."""
        return {
            "kind": self.kind,
            "version": STATE_VERSION,
            "seasons": [season.astype(np.float64) for season in self.seasons],
            "anchor": self.anchor,
            "rest": self.rest.state(),
        }


def adjusted(series: Series, season: Floats) -> Series:
    """The series with a season [T] taken off."""
    return replace(series, y=series.y - season)


class Mstl:
    """Seasons by repeated loess, several where the frequency has several."""

    info = learner_info("mstl")

    def candidates(self, series: Series, context: FitContext) -> tuple[Candidate, ...]:
        """The one, where the history carries a season."""
        if len(series) < self.info.min_length or not periods_of(series, context):
            return ()
        return (Candidate("mstl", "mstl"),)

    def fit(self, series: Series, parameters: Parameters, context: FitContext) -> MstlModel:
        """The seasons of the history, and the smoothing of what they leave."""
        from statsforecast.mstl import mstl

        require_length(series, self.info.min_length)
        require_time(context.deadline)
        periods = periods_of(series, context)
        if not periods:
            raise LearnerError("NO_SEASON", f"{len(series)} values carry no season twice")
        scale = binary_scale(series.y)
        with library("the seasons could not be told apart"):
            table = mstl(series.y / scale, list(periods))
        names = ["seasonal"] if len(periods) == 1 else [f"seasonal{m}" for m in periods]
        parts = [table[name].to_numpy(np.float64) * scale for name in names]
        plain = replace(context, season=1)
        rest = Ets().fit(adjusted(series, np.sum(parts, axis=0)), parameters, plain)
        # The stamps after the last one begin again where the last period begins.
        last = tuple(part[-m:].copy() for part, m in zip(parts, periods, strict=True))
        # The state goes by the seasons that are kept, which the last values were not taken apart with.
        return MstlModel(last, series.end, rest).update(series)

    def load(self, state: State) -> MstlModel:
        """The stored model."""
        s = opened(state, "mstl", STATE_VERSION)
        seasons = tuple(np.asarray(season, dtype=np.float64) for season in s["seasons"])
        if not all(season.ndim == 1 and len(season) for season in seasons):
            raise DamagedError("a stored season has no values")
        return MstlModel(seasons, int(s["anchor"]), Ets().load(s["rest"]))


LEVEL_RATE = 0.5
"""How far the level follows an error of one step on newer values: about the mean of the library's own."""


@dataclass(frozen=True, eq=False)
class MflesModel:
    """A line with a season on it, on the scale of the history or on that of its logs.

    Attributes
    ----------
    level, slope
        Of the line, at the stamp `end`, and for each step after it.
    season : [m]
        Of the stamps `anchor + 1 …`, again and again; empty without one.
    middle, size
        What the scale is told from: `middle + size * value`; a log has neither.
    """

    logs: bool
    level: float
    slope: float
    season: Floats
    anchor: int
    middle: float
    size: float
    end: int

    kind: ClassVar[str] = "mfles"

    @property
    def parameters(self) -> Parameters:
        """None: nothing is searched."""
        return {}

    @property
    def tail(self) -> int:
        """None is needed: newer values alone move the level."""
        return 0

    def predict(self, future: Future) -> Forecast:
        """The line and its season."""
        steps = steps_after(future, self.end)
        told = self.level + self.slope * steps + self._season(future.ordinals)
        with np.errstate(over="ignore"):
            return finite(np.exp(told) * self.size if self.logs else self.middle + told * self.size)

    def update(self, series: Series) -> MflesModel:
        """The same slope and season; the level follows the values after the cutoff."""
        level, newer = self.level, series.tail(max(0, series.end - self.end))
        season = self._season(newer.ordinals)
        for value, repeated in zip(newer.y.tolist(), season.tolist(), strict=True):
            level += self.slope
            if self.logs and value <= 0:
                continue  # A value that has no log says nothing of the level of logs.
            told = np.log(value / self.size) if self.logs else (value - self.middle) / self.size
            level += LEVEL_RATE * (float(told) - level - repeated)
        return replace(self, level=level, end=max(self.end, series.end))

    def _season(self, ordinals: np.ndarray) -> Floats:
        if not len(self.season):
            return np.zeros(len(ordinals))
        repeated: Floats = self.season[(ordinals - self.anchor - 1) % len(self.season)]
        return repeated

    def state(self) -> State:
        """Line, season and scale."""
        return {
            "kind": self.kind,
            "version": STATE_VERSION,
            "logs": self.logs,
            "numbers": np.array([self.level, self.slope, self.middle, self.size]),
            "season": self.season.astype(np.float64),
            "anchor": self.anchor,
            "end": self.end,
        }


class Mfles:
    """Boosted medians, waves, lines and smoothing."""

    info = learner_info("mfles")

    def candidates(self, series: Series, context: FitContext) -> tuple[Candidate, ...]:
        """The one."""
        return (Candidate("mfles", "mfles"),) if len(series) >= self.info.min_length else ()

    def fit(self, series: Series, parameters: Parameters, context: FitContext) -> MflesModel:
        """What the rounds of boosting come to: a line and a season after the last value."""
        from statsforecast.mfles import MFLES

        require_length(series, self.info.min_length)
        require_time(context.deadline)
        scale = binary_scale(series.y)
        periods = list(periods_of(series, context)) or None
        model = MFLES(verbose=0)  # type: ignore[no-untyped-call]
        if np.all(series.y == series.y[0]):
            return MflesModel(False, 0.0, 0.0, np.empty(0), series.end, float(series.y[0]), 1.0, series.end)
        with library("the boosting could not be fitted"):
            model.fit(series.y / scale, seasonal_period=periods)  # type: ignore[no-untyped-call]
        before, last = np.asarray(model.trend, dtype=np.float64).tolist()
        slope = (last - before) * max(0.0, 1.0 if model.penalty is None else float(model.penalty))
        season = np.empty(0) if model.seasonality is None else np.array(model.seasonality, dtype=np.float64)
        logs = model.const is not None
        middle, size = (0.0, scale) if logs else (float(model.mean) * scale, float(model.std) * scale)
        fitted = MflesModel(logs, last, slope, season, series.end, middle, size, series.end)
        ahead = np.arange(series.end + 1, series.end + 1 + context.gap + context.horizon)
        believable(fitted.predict(Future(series.grid, ahead, np.empty((len(ahead), 0)))).mean, series.y)
        return fitted

    def load(self, state: State) -> MflesModel:
        """The stored model."""
        s = opened(state, "mfles", STATE_VERSION)
        level, slope, middle, size = (float(v) for v in s["numbers"])
        season = np.asarray(s["season"], dtype=np.float64)
        return MflesModel(
            bool(s["logs"]), level, slope, season, int(s["anchor"]), middle, size, int(s["end"])
        )
