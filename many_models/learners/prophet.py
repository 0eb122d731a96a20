"""Prophet: a broken line, seasons as Fourier terms, holidays by name, known covariates.

prophet (Stan) estimates; forecasting is the few lines of NumPy here. Taylor & Letham (2018),
Forecasting at scale, The American Statistician 72(1).
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from many_models.errors import LearnerError
from many_models.features.base import Wishes
from many_models.features.events import Events
from many_models.features.holidays import (
    DAY_US,
    Place,
    count_overlapping,
    named_days,
    period_edges,
    places_of,
    years_of,
)
from many_models.features.rows import Rows
from many_models.features.settings import FeatureSettings
from many_models.learners.base import Candidate, Deadline, FitContext, Parameters, State
from many_models.learners.covariates import Regressors, column_count, weighted
from many_models.learners.guards import (
    believable,
    finite,
    library,
    opened,
    require_length,
    require_time,
    steps_after,
)
from many_models.learners.table import learner_info
from many_models.panel.grid import Grid
from many_models.panel.series import Floats, Forecast, Future, Series

Ints = npt.NDArray[np.int64]

STATE_VERSION = 1
YEAR_DAYS = 365.25
LONGEST = 5000
"""A fit uses no more than this many last values."""
CHANGEPOINTS = 25
ITERATIONS = 10_000
LOGGERS = ("cmdstanpy", "prophet", "prophet.plot", "prophet.models", "prophet.forecaster")

Season = tuple[str, float, int]
"""Name, period in days, Fourier order."""


def starts(grid: Grid, ordinals: npt.ArrayLike) -> Ints:
    """When the periods begin, in microseconds of the wall clock [n]."""
    begun, _ = grid.spans(ordinals)
    return np.asarray(begun).astype("datetime64[us]").astype(np.int64)


def seasons_for(grid: Grid, length: int) -> tuple[Season, ...]:
    """The seasons that a series of that length on that grid can show.

    A season needs two rounds of history, and no more waves than half its steps or, for the
    year, a tenth of the values.
    """
    step = grid.frequency.step_us
    found: list[Season] = []
    for name, days, most in (("year", YEAR_DAYS, 10), ("week", 7.0, 3), ("day", 1.0, 4)):
        steps = days * DAY_US / step
        # Business days know no weekend, so that their week has five steps.
        steps = 5.0 if grid.frequency.kind == "business" and name == "week" else steps
        order = min(most, int(round(steps, 6) / 2), max(1, length // 10) if name == "year" else most)
        if name == "week" and step > DAY_US * 1.5:
            continue
        if order >= 1 and length >= 2 * steps:
            found.append((name, days, order))
    return tuple(found)


def waves(at: Ints, season: Season) -> Floats:
    """The Fourier terms of a season at the moments `at` [n, 2 * order]."""
    _, period, order = season
    turns = np.pi * 2 * (at / DAY_US)
    columns = np.empty((len(at), 2 * order))
    for i in range(order):
        angle = (i + 1) / period * turns
        columns[:, 2 * i], columns[:, 2 * i + 1] = np.sin(angle), np.cos(angle)
    return columns


@dataclass(frozen=True)
class HolidayPlan:
    """Which holidays and events have an effect of their own.

    Attributes
    ----------
    places
        The calendars; the same name in two of them is one holiday.
    names
        The holidays that the history holds, sorted.
    shifts
        How many days (of longer periods: periods) each holiday's effects lie after it, below 0
        for days before a holiday: 0 is the holiday itself.
    events
        Counts of the named events of the series; None = none.
    """

    places: tuple[Place, ...] = ()
    names: tuple[str, ...] = ()
    shifts: tuple[int, ...] = (0,)
    events: Events | None = None

    @classmethod
    def of_series(cls, series: Series, asked: FeatureSettings) -> HolidayPlan:
        """The holidays inside the periods of a history, and the events whose counts vary there."""
        events = Events.decide(series, Wishes("linear", settings=asked))
        return replace(cls.of(series.grid, series.ordinals, asked), events=events)

    @classmethod
    def of(cls, grid: Grid, ordinals: Ints, asked: FeatureSettings) -> HolidayPlan:
        """The holidays inside the periods of a history; none for periods longer than a week,
        whose holidays the season of the year holds."""
        places = places_of(asked)
        if not places or not len(ordinals) or grid.frequency.step_us > 8 * DAY_US:
            return cls()
        start, end = period_edges(grid, ordinals)
        found = named_days(places, *years_of(start, end))
        names = (name for name, days in found.items() if count_overlapping(days, start, end).any())
        shifts = range(-(asked.holiday_before or 0), (asked.holiday_after or 0) + 1)
        return cls(places, tuple(names), tuple(shifts))

    @property
    def size(self) -> int:
        """Number of columns."""
        return len(self.names) * len(self.shifts) + (0 if self.events is None else len(self.events.columns))

    def columns(self, grid: Grid, ordinals: Ints) -> Floats:
        """The flags of holidays, then the counts of events [n, size]."""
        flags = self._flags(grid, ordinals)
        if self.events is None:
            return flags
        return np.hstack([flags, self.events.build(Rows.dated(grid, ordinals))])

    def _flags(self, grid: Grid, ordinals: Ints) -> Floats:
        """1 where a period overlaps the holiday, or lies so many days after it [n, names x shifts]."""
        flags = np.zeros((len(ordinals), len(self.names) * len(self.shifts)))
        if not flags.size:
            return flags
        edges = [period_edges(grid, ordinals, -shift) for shift in self.shifts]
        reach = [years_of(*pair) for pair in edges]
        known = named_days(self.places, min(first for first, _ in reach), max(last for _, last in reach))
        column = 0
        for name in self.names:
            for start, end in edges:
                if name in known:
                    flags[:, column] = count_overlapping(known[name], start, end) > 0
                column += 1
        return flags


@dataclass(frozen=True, eq=False)
class ProphetModel:
    """A fitted Prophet: a broken line plus seasons, holidays and regressors.

    Attributes
    ----------
    origin, span
        Moment that time is counted from and the unit it is counted in, in microseconds.
    slope, offset
        Of the line before its first break.
    breaks, bends : [S]
        When the slope changes, in units of `span`, and by how much.
    seasons, season_weights
        Fourier terms and their coefficients, one after the other.
    holidays, holiday_weights
        Named holidays and their effects.
    regressors, weights
        Known covariates and their effects.
    scale
        All effects are in units of it.
    """

    origin: int
    span: int
    slope: float
    offset: float
    breaks: Floats
    bends: Floats
    seasons: tuple[Season, ...]
    season_weights: Floats
    holidays: HolidayPlan
    holiday_weights: Floats
    regressors: Regressors
    weights: Floats
    scale: float
    end: int

    kind: ClassVar[str] = "prophet"

    @property
    def parameters(self) -> Parameters:
        """None: nothing is searched."""
        return {}

    @property
    def tail(self) -> int:
        """Nothing: the forecast is a function of the calendar and the covariates alone."""
        return 0

    def predict(self, future: Future) -> Forecast:
        """Trend, seasons, holidays and regressors added up."""
        steps_after(future, self.end)
        return finite(self._values(future.grid, future.ordinals, self.regressors.ahead(future.known_x)))

    def _values(self, grid: Grid, ordinals: Ints, columns: Floats) -> Floats:
        at = starts(grid, ordinals)
        time = (at - self.origin) / self.span
        passed = (self.breaks[None, :] <= time[:, None]) * self.bends
        trend = (passed.sum(axis=1) + self.slope) * time
        trend = trend + ((passed * -self.breaks).sum(axis=1) + self.offset)
        terms = [waves(at, season) for season in self.seasons]
        effects = weighted(np.hstack([np.empty((len(at), 0)), *terms]), self.season_weights)
        effects = effects + weighted(self.holidays.columns(grid, ordinals), self.holiday_weights)
        effects = effects + weighted(columns, self.weights)
        values: Floats = (trend + effects) * self.scale
        return values

    def update(self, series: Series) -> ProphetModel:
        """The same model, to be asked about what comes after `series`: nothing in it moves."""
        return replace(self, end=max(self.end, series.end))

    def state(self) -> State:
        """Line, seasons, holidays, regressors."""
        return {
            "kind": self.kind,
            "version": STATE_VERSION,
            "origin": self.origin,
            "span": self.span,
            "line": np.array([self.slope, self.offset, self.scale]),
            "breaks": self.breaks,
            "bends": self.bends,
            "seasons": [[name, period, order] for name, period, order in self.seasons],
            "season_weights": self.season_weights,
            "places": [list(place) for place in self.holidays.places],
            "holidays": list(self.holidays.names),
            "shifts": list(self.holidays.shifts),
            "holiday_weights": self.holiday_weights,
            **({} if self.holidays.events is None else {"events": self.holidays.events.to_dict()}),
            "regressors": self.regressors.state(),
            "weights": self.weights,
            "end": self.end,
        }


class Prophet:
    """Prophet with additive seasons, its own holidays, and events and known covariates as regressors."""

    info = learner_info("prophet")

    def candidates(self, series: Series, context: FitContext) -> tuple[Candidate, ...]:
        """The one without known covariates, before it the one with them; none without a calendar."""
        if not series.grid.has_calendar or len(series) < self.info.min_length:
            return ()
        bare, count = Candidate("prophet", "prophet"), column_count(series.known)
        if count and len(series) >= self.info.min_length + 3 * count:
            return Candidate("prophet_known", "prophet", uses_known=True), bare
        return (bare,)

    def fit(self, series: Series, parameters: Parameters, context: FitContext) -> ProphetModel:
        """Prophet's posterior mode on the last values of `series`."""
        require_length(series, self.info.min_length)
        if not series.grid.has_calendar:
            raise LearnerError("NO_CALENDAR", "an integer time index has no calendar, which Prophet needs")
        require_time(context.deadline)
        series = series.tail(LONGEST)
        if not np.isfinite(series.y).all():
            raise LearnerError("NOT_FINITE", "the history has values that are not finite")
        seasons = seasons_for(series.grid, len(series))
        holidays = HolidayPlan.of_series(series, context.features)
        regressors = Regressors.of(series)
        with library("Prophet could not be fitted"):
            model = _fitted(series, seasons, holidays, regressors, context.deadline)
        values = model._values(series.grid, series.ordinals, regressors.past(series.known_x))
        believable(values, series.y)
        return model

    def load(self, state: State) -> ProphetModel:
        """The stored model."""
        s = opened(state, "prophet", STATE_VERSION)
        slope, offset, scale = (float(v) for v in s["line"])
        places = tuple(Place.load(place) for place in s["places"])
        names = tuple(str(name) for name in s["holidays"])
        shifts = tuple(int(shift) for shift in s.get("shifts", (0,)))
        events = Events.from_dict(s["events"]) if "events" in s else None
        return ProphetModel(
            int(s["origin"]),
            int(s["span"]),
            slope,
            offset,
            s["breaks"],
            s["bends"],
            tuple((str(name), float(period), int(order)) for name, period, order in s["seasons"]),
            s["season_weights"],
            HolidayPlan(places, names, shifts, events),
            s["holiday_weights"],
            Regressors.load(s["regressors"]),
            s["weights"],
            scale,
            int(s["end"]),
        )


@contextmanager
def _silenced() -> Iterator[None]:
    """A block in which Prophet and CmdStanPy do not log, and after which their loggers are as before."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


@contextmanager
def _workspace() -> Iterator[str]:
    """A folder for one fit; it is gone afterwards, and so is the one that CmdStanPy keeps for its inputs."""
    import cmdstanpy

    inputs = getattr(cmdstanpy, "_TMPDIR", None)
    if inputs:
        os.makedirs(inputs, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="many-models-") as folder:
            yield folder
    finally:
        if inputs:
            shutil.rmtree(inputs, ignore_errors=True)


def specified(
    series: Series, seasons: tuple[Season, ...], holidays: HolidayPlan, regressors: Regressors
) -> tuple[Any, Any]:
    """A prophet.Prophet that is set up but not fitted, and the table [n] to fit it on."""
    import pandas as pd
    import prophet

    at = starts(series.grid, series.ordinals)
    table = pd.DataFrame({"ds": at.astype("datetime64[us]"), "y": series.y.copy()})
    model = prophet.Prophet(
        growth="linear",
        n_changepoints=min(CHANGEPOINTS, max(0, int(0.8 * len(series)) - 1)),
        yearly_seasonality=False,
        weekly_seasonality=False,
        daily_seasonality=False,
        uncertainty_samples=0,
    )
    for name, period, order in seasons:
        model.add_seasonality(f"season_{name}", period, order)
    # Holidays enter as regressors: Prophet's own table matches dates only, not weeks that hold the day.
    flags = holidays.columns(series.grid, series.ordinals)
    columns = regressors.past(series.known_x)
    for prefix, block in (("holiday", flags), ("covariate", columns)):
        for i in range(block.shape[1]):
            table[f"{prefix}_{i}"] = block[:, i]
            model.add_regressor(f"{prefix}_{i}", standardize=False)
    return model, table


def _fitted(
    series: Series,
    seasons: tuple[Season, ...],
    holidays: HolidayPlan,
    regressors: Regressors,
    deadline: Deadline,
) -> ProphetModel:
    left = deadline.seconds_left
    with _silenced(), _workspace() as folder:
        model, table = specified(series, seasons, holidays, regressors)
        limit = None if np.isinf(left) else max(left, 0.1)
        try:
            model.fit(table, seed=1, iter=ITERATIONS, output_dir=folder, timeout=limit)
        except TimeoutError as trouble:
            raise LearnerError("DEADLINE", "the time for this fit is over") from trouble
    return extracted(model, series, seasons, holidays, regressors)


def extracted(
    model: Any, series: Series, seasons: tuple[Season, ...], holidays: HolidayPlan, regressors: Regressors
) -> ProphetModel:
    """Our model from a fitted prophet.Prophet."""
    features = model.make_all_seasonality_features(model.history)[0].columns
    beta = dict(zip(features, np.ravel(model.params["beta"]), strict=False))
    season_weights = [beta[f"season_{n}_delim_{i + 1}"] for n, _, order in seasons for i in range(2 * order)]
    at = starts(series.grid, series.ordinals)
    made = ProphetModel(
        int(at[0]),
        int(at[-1] - at[0]),
        float(np.ravel(model.params["k"])[0]),
        float(np.ravel(model.params["m"])[0]),
        np.array(model.changepoints_t, dtype=np.float64),
        np.ravel(np.array(model.params["delta"], dtype=np.float64)),
        seasons,
        np.array(season_weights, dtype=np.float64),
        holidays,
        np.array([beta[f"holiday_{i}"] for i in range(holidays.size)], dtype=np.float64),
        regressors,
        np.array([beta[f"covariate_{i}"] for i in range(len(regressors))], dtype=np.float64),
        float(model.y_scale),
        series.end,
    )
    return made
