"""Exponential smoothing: ETS, theta and complex exponential smoothing.

statsforecast estimates the parameters; forecasting and moving the state on are the few lines
of this module. A model keeps its state at two places: before the stored tail, from where
`update` runs forward, and at the cutoff, from where it forecasts. Values are divided by a
power of two near their size (exact), so that the libraries' absolute tolerances suit them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from many_models.errors import LearnerError
from many_models.learners.base import Candidate, FitContext, Parameters, State
from many_models.learners.guards import (
    believable,
    binary_scale,
    finite,
    library,
    newest,
    opened,
    require_length,
    require_time,
    steps_after,
)
from many_models.learners.table import learner_info
from many_models.panel.series import Floats, Forecast, Future, Series

STATE_VERSION = 1
TAIL = 8
"""Last values that stay open to revision."""
LARGEST_SEASON = 24
"""Above it statsforecast's ETS has no room for the seasonal states."""
ONE_STEP = 1
"""The library tells mean errors of longer steps beside a fit: they cost, and change no parameter."""
TINY = 1e-10
HUGE = 1e10


def usable_season(length: int, season: int, largest: int = LARGEST_SEASON) -> int:
    """The season that a series of that length can carry: `season`, or 1."""
    # Below three full periods the libraries start from a Fourier pair, which a period of two or three lacks.
    needed = 2 * season + 5 if season >= 4 else 3 * season + 5
    return season if 1 < season <= largest and length >= needed else 1


def _horizon(context: FitContext) -> int:
    return context.gap + context.horizon


@dataclass(frozen=True, eq=False)
class EtsModel:
    """An ETS model: error, trend and season none, additive or multiplicative, the trend damped or not.

    Attributes
    ----------
    form
        Four letters as in `AAdN` without the brackets: error, trend, season, `D` damped or `N` not.
    alpha, beta, gamma, phi
        Smoothing parameters; 0 (phi: 1) where the form has no such part.
    scale
        States are in units of it.
    before, after : [1 + trend + m]
        Level, growth, seasonal states (newest first) before the tail, and at the cutoff.
    start, end
        Ordinals of the first value of the tail, and of the cutoff.
    """

    form: str
    alpha: float
    beta: float
    gamma: float
    phi: float
    scale: float
    before: Floats
    after: Floats
    start: int
    end: int

    kind: ClassVar[str] = "ets"

    @property
    def parameters(self) -> Parameters:
        """The form: a fit with it searches no more."""
        return {"form": self.form}

    @property
    def tail(self) -> int:
        """The values behind `before`."""
        return self.end - self.start + 1

    @property
    def season(self) -> int:
        """The number of seasonal states, 1 without a season."""
        return max(1, len(self.after) - 1 - (self.form[1] != "N")) if self.form[2] != "N" else 1

    def predict(self, future: Future) -> Forecast:
        """The forecast without further errors: level, damped growth and season put together."""
        steps = steps_after(future, self.end)
        level, rest = self.after[0], self.after[1:]
        h = steps.astype(np.float64)
        mean = np.full(len(steps), level)
        if self.form[1] != "N":
            growth, rest = rest[0], rest[1:]
            damped = h if self.phi == 1.0 else self.phi * (1.0 - self.phi**h) / (1.0 - self.phi)
            mean = mean + damped * growth if self.form[1] == "A" else mean * growth**damped
        if self.form[2] != "N":
            seasonal = rest[(-steps) % len(rest)]
            mean = mean + seasonal if self.form[2] == "A" else mean * seasonal
        return finite(mean * self.scale)

    def update(self, series: Series) -> EtsModel:
        """The same parameters, run over the tail and the values after it."""
        series = newest(series, self.start)
        y = series.y / self.scale
        tail = min(max(TAIL, 1), len(y))
        before = self._run(self.before, y[: len(y) - tail])
        after = self._run(before, y[len(y) - tail :])
        if not np.isfinite(after).all():
            raise LearnerError("NOT_FINITE", "the smoothing recursion diverges on the new values")
        return replace(self, before=before, after=after, start=series.end - tail + 1, end=series.end)

    def _run(self, states: Floats, y: Floats) -> Floats:
        """The states after the values `y` [n] (Hyndman et al. 2008, table 2.2)."""
        trend, season = self.form[1], self.form[2]
        level = float(states[0])
        growth = float(states[1]) if trend != "N" else 0.0
        seasonal = [float(s) for s in states[1 + (trend != "N") :]]
        for value in y.tolist():
            damped = _power(growth, self.phi) if trend == "M" else self.phi * growth
            base = level * damped if trend == "M" else level + damped
            oldest = seasonal[-1] if seasonal else 0.0
            adjusted = value
            if season == "A":
                adjusted = value - oldest
            elif season == "M":
                adjusted = HUGE if abs(oldest) < TINY else value / oldest
            before, level = level, base + self.alpha * (adjusted - base)
            if trend == "A":
                growth = damped + self.beta / self.alpha * (level - before - damped)
            elif trend == "M":
                ratio = HUGE if abs(before) < TINY else level / before
                growth = damped + self.beta / self.alpha * (ratio - damped)
            if seasonal:
                fresh = value - base if season == "A" else (HUGE if abs(base) < TINY else value / base)
                seasonal = [oldest + self.gamma * (fresh - oldest), *seasonal[:-1]]
        return np.array([level, *([growth] if trend != "N" else []), *seasonal])

    def state(self) -> State:
        """Form, parameters, the two states."""
        return {
            "kind": self.kind,
            "version": STATE_VERSION,
            "form": self.form,
            "smoothing": np.array([self.alpha, self.beta, self.gamma, self.phi, self.scale]),
            "before": self.before,
            "after": self.after,
            "start": self.start,
            "end": self.end,
        }


def _power(growth: float, phi: float) -> float:
    return growth if phi == 1.0 else growth**phi


class Ets:
    """Exponential smoothing, its form chosen by AICc at the first fit."""

    info = learner_info("ets")

    def candidates(self, series: Series, context: FitContext) -> tuple[Candidate, ...]:
        """The one; seasonal forms are among those it chooses from where the history carries them."""
        return (Candidate("ets", "ets"),) if len(series) >= self.info.min_length else ()

    def fit(self, series: Series, parameters: Parameters, context: FitContext) -> EtsModel:
        """The model of the given form, else of the form with the least AICc."""
        require_length(series, self.info.min_length)
        scale = binary_scale(series.y)
        y = series.y / scale
        season = usable_season(len(y), context.season)
        best: dict[str, Any] | None = None
        for form in self._forms(y, season, parameters.get("form")):
            require_time(context.deadline)
            found = _fit_form(y, season, form)
            if found is not None and (best is None or found["aicc"] < best["aicc"]):
                best = found
        if best is None:
            raise LearnerError("FIT_FAILED", "no form of exponential smoothing could be fitted")
        model = _ets_model(best, series, scale)
        ahead = np.arange(series.end + 1, series.end + 1 + _horizon(context))
        believable(model.predict(Future(series.grid, ahead, np.empty((len(ahead), 0)))).mean, series.y)
        return model

    def load(self, state: State) -> EtsModel:
        """The stored model."""
        s = opened(state, "ets", STATE_VERSION)
        alpha, beta, gamma, phi, scale = (float(v) for v in s["smoothing"])
        states = s["before"], s["after"], int(s["start"]), int(s["end"])
        return EtsModel(s["form"], alpha, beta, gamma, phi, scale, *states)

    def _forms(self, y: Floats, season: int, known: str | None) -> Iterator[str]:
        """The form known from an earlier fit where `y` can carry it, else every form it can carry."""
        if np.all(y == y[0]):
            yield "ANNN"
            return
        positive = bool(y.min() > 0)
        forms = [
            error + trend + seasonal + damped
            for error in "AM"
            for trend, damped in (("N", "N"), ("A", "D"), ("A", "N"))
            for seasonal in ("NAM" if season > 1 else "N")
            if (positive or "M" not in error + seasonal) and not (error == "A" and seasonal == "M")
        ]
        yield from [known] if known in forms else forms


def _fit_form(y: Floats, season: int, form: str) -> dict[str, Any] | None:
    """statsforecast's fit of one form, or None where it has none with a finite AICc."""
    from statsforecast.ets import ets_f

    with library():
        try:
            fitted: dict[str, Any] = ets_f(y, season, form[:3], form[3] == "D", nmse=ONE_STEP)  # type: ignore[no-untyped-call]
        except Exception:  # The library raises bare exceptions for forms that a series does not carry.
            return None
        usable = "states" in fitted and "components" in fitted and np.isfinite(fitted["states"]).all()
        # Three values more than parameters are needed for a finite AICc; a constant has no likelihood at all.
        if not usable or not (np.isfinite(fitted["aicc"]) or np.all(y == y[0])):
            return None
    return fitted


def _ets_model(fitted: dict[str, Any], series: Series, scale: float) -> EtsModel:
    """Our model from statsforecast's; the states at the cutoff are run up by ourselves."""
    alpha, beta, gamma, phi = (float(v) for v in fitted["par"][:4])
    form = str(fitted["components"])
    tail = min(TAIL, len(series))
    before = np.array(fitted["states"][len(series) - tail], dtype=np.float64)
    model = EtsModel(
        form,
        alpha,
        beta if form[1] != "N" else 0.0,
        gamma if form[2] != "N" else 0.0,
        phi if form[3] == "D" else 1.0,
        scale,
        before,
        before,
        series.end - tail + 1,
        series.end,
    )
    return model.update(series)


@dataclass(frozen=True, eq=False)
class ThetaModel:
    """A dynamic theta model on seasonally adjusted values.

    Attributes
    ----------
    alpha, theta
        Smoothing of the level, and weight of the second theta line.
    dynamic
        Whether the line of the trend is fitted anew with every value.
    seasonal : [m]
        Seasonal index of the stamps `anchor + 1 …`; empty without a season.
    multiplicative
        Whether the index multiplies.
    before, after : [4]
        Level, mean, intercept and slope of the trend line before the tail, and at the cutoff.
    count
        Number of values before the cutoff, itself included.
    """

    alpha: float
    theta: float
    dynamic: bool
    seasonal: Floats
    multiplicative: bool
    anchor: int
    scale: float
    before: Floats
    after: Floats
    count: int
    start: int
    end: int

    kind: ClassVar[str] = "theta"

    @property
    def parameters(self) -> Parameters:
        """None: the search is cheap and always the same."""
        return {}

    @property
    def tail(self) -> int:
        """The values behind `before`."""
        return self.end - self.start + 1

    def predict(self, future: Future) -> Forecast:
        """The recursion run on its own forecasts, with the season put back."""
        steps = steps_after(future, self.end)
        last = int(steps[-1]) if len(steps) else 0
        path = self._path(last)
        mean = path[steps - 1]
        if len(self.seasonal):
            season = self.seasonal[(future.ordinals - self.anchor - 1) % len(self.seasonal)]
            mean = mean * season if self.multiplicative else mean + season
        return finite(mean * self.scale)

    def update(self, series: Series) -> ThetaModel:
        """The same parameters, run over the tail and the values after it."""
        series = newest(series, self.start)
        y = self._adjusted(series)
        tail = min(TAIL, len(y))
        passed = len(y) - tail
        count = self.count - self.tail
        before = self._run(self.before, y[:passed], count)
        after = self._run(before, y[passed:], count + passed)
        if not np.isfinite(after).all():
            raise LearnerError("NOT_FINITE", "the theta recursion diverges on the new values")
        return replace(
            self,
            before=before,
            after=after,
            count=count + len(y),
            start=series.end - tail + 1,
            end=series.end,
        )

    def _adjusted(self, series: Series) -> Floats:
        y = series.y / self.scale
        if not len(self.seasonal):
            return y
        season = self.seasonal[(series.ordinals - self.anchor - 1) % len(self.seasonal)]
        adjusted: Floats = y / season if self.multiplicative else y - season
        return adjusted

    def _expected(self, level: float, intercept: float, slope: float, n: int) -> float:
        """The one-step forecast after `n` values (Fiorucci et al. 2016, equation 15)."""
        rest = (1.0 - self.alpha) ** n
        line = intercept * rest + slope * (1.0 - rest * (1.0 - self.alpha)) / self.alpha
        return level + (1.0 - 1.0 / self.theta) * line

    def _step(self, states: tuple[float, ...], value: float, n: int) -> tuple[float, ...]:
        """The states after a value that comes after `n` others."""
        level, mean, intercept, slope = states
        level = self.alpha * value + (1.0 - self.alpha) * level
        fresh = (n * mean + value) / (n + 1)
        if self.dynamic:
            slope = ((n - 1) * slope + 6.0 * (value - mean) / (n + 1)) / (n + 2)
            intercept = fresh - slope * (n + 2) / 2.0
        return level, fresh, intercept, slope

    def _run(self, states: Floats, y: Floats, count: int) -> Floats:
        running = tuple(float(s) for s in states)
        for n, value in enumerate(y.tolist(), start=count):
            running = self._step(running, value, n)
        return np.array(running)

    def _path(self, steps: int) -> Floats:
        """The next `steps` forecasts [steps], each taken for true by the next."""
        running = tuple(float(s) for s in self.after)
        path = np.empty(steps)
        for i in range(steps):
            n = self.count + i
            path[i] = self._expected(running[0], running[2], running[3], n)
            running = self._step(running, float(path[i]), n)
        return path

    def state(self) -> State:
        """Parameters, seasonal index, the two states."""
        return {
            "kind": self.kind,
            "version": STATE_VERSION,
            "smoothing": np.array([self.alpha, self.theta, self.scale]),
            "dynamic": self.dynamic,
            "seasonal": self.seasonal,
            "multiplicative": self.multiplicative,
            "anchor": self.anchor,
            "before": self.before,
            "after": self.after,
            "count": self.count,
            "start": self.start,
            "end": self.end,
        }


class Theta:
    """The theta method with an optimised second line."""

    info = learner_info("theta")
    form = "DOTM"

    def candidates(self, series: Series, context: FitContext) -> tuple[Candidate, ...]:
        """The one."""
        return (Candidate("theta", "theta"),) if len(series) >= self.info.min_length else ()

    def fit(self, series: Series, parameters: Parameters, context: FitContext) -> ThetaModel:
        """The model with least squared one-step errors."""
        from statsforecast.theta import auto_theta

        require_length(series, self.info.min_length)
        require_time(context.deadline)
        scale = binary_scale(series.y)
        season = usable_season(len(series), context.season, largest=len(series))
        with library("the theta method could not be fitted"):
            fitted = auto_theta(series.y / scale, season, self.form, nmse=ONE_STEP)  # type: ignore[no-untyped-call]
        model = _theta_model(fitted, series, scale)
        believable(model._path(_horizon(context)) * scale, series.y)
        return model

    def load(self, state: State) -> ThetaModel:
        """The stored model."""
        s = opened(state, "theta", STATE_VERSION)
        alpha, theta, scale = (float(v) for v in s["smoothing"])
        return ThetaModel(
            alpha,
            theta,
            bool(s["dynamic"]),
            s["seasonal"],
            bool(s["multiplicative"]),
            int(s["anchor"]),
            scale,
            s["before"],
            s["after"],
            int(s["count"]),
            int(s["start"]),
            int(s["end"]),
        )


def _theta_model(fitted: dict[str, Any], series: Series, scale: float) -> ThetaModel:
    tail = min(TAIL, len(series) - 1)
    before = np.array(fitted["states"][len(series) - tail - 1][:4], dtype=np.float64)
    seasonal = np.array(fitted["seas_forecast"]["mean"]) if fitted.get("decompose") else np.empty(0)
    if not (np.isfinite(before).all() and np.isfinite(seasonal).all()):
        raise LearnerError("NOT_FINITE", "the fitted theta model is not finite")
    return ThetaModel(
        alpha=float(fitted["par"]["alpha"]),
        theta=float(fitted["par"]["theta"]),
        dynamic=fitted["modeltype"] in ("DSTM", "DOTM"),
        seasonal=seasonal,
        multiplicative=fitted.get("decomposition_type") == "multiplicative",
        anchor=series.end,
        scale=scale,
        before=before,
        after=before,
        count=len(series),
        start=series.end - tail + 1,
        end=series.end,
    ).update(series)


@dataclass(frozen=True, eq=False)
class CesModel:
    """Complex exponential smoothing.

    Attributes
    ----------
    form
        Season: `N` none, `S` simple, `P` partial, `F` full.
    weights : [4]
        Real and imaginary part of the smoothing of the level and of the season.
    before, after : [m, C]
        The last m states before the tail, and at the cutoff: level, its potential, season, its potential.
    """

    form: str
    weights: Floats
    scale: float
    before: Floats
    after: Floats
    start: int
    end: int

    kind: ClassVar[str] = "ces"

    @property
    def parameters(self) -> Parameters:
        """The form: a fit with it searches no more."""
        return {"form": self.form}

    @property
    def tail(self) -> int:
        """The values behind `before`."""
        return self.end - self.start + 1

    def predict(self, future: Future) -> Forecast:
        """The recursion without errors."""
        steps = steps_after(future, self.end)
        path = self._path(int(steps[-1]) if len(steps) else 0)
        return finite(path[steps - 1] * self.scale)

    def update(self, series: Series) -> CesModel:
        """The same parameters, run over the tail and the values after it."""
        series = newest(series, self.start)
        y = (series.y / self.scale).tolist()
        tail = min(TAIL, len(y))
        before = self._run(self.before, y[: len(y) - tail])
        after = self._run(before, y[len(y) - tail :])
        if not np.isfinite(after).all():
            raise LearnerError("NOT_FINITE", "the smoothing recursion diverges on the new values")
        return replace(self, before=before, after=after, start=series.end - tail + 1, end=series.end)

    def _expected(self, rows: list[list[float]]) -> float:
        """The one-step forecast from the last m states, oldest first."""
        level = rows[0][0] if self.form == "S" else rows[-1][0]
        return level + rows[0][2] if self.form in "PF" else level

    def _next(self, rows: list[list[float]], error: float) -> list[float]:
        """The state after an error of the one-step forecast."""
        a0, a1, b0, b1 = (float(w) for w in self.weights)
        level, potential = (rows[0] if self.form == "S" else rows[-1])[:2]
        fresh = [
            level - (1.0 - a1) * potential + (a0 - a1) * error,
            level + (1.0 - a0) * potential + (a0 + a1) * error,
        ]
        if self.form == "P":
            fresh.append(rows[0][2] + b0 * error)
        elif self.form == "F":
            season, shadow = rows[0][2:]
            fresh.append(season - (1.0 - b1) * shadow + (b0 - b1) * error)
            fresh.append(season + (1.0 - b0) * shadow + (b0 + b1) * error)
        return fresh

    def _run(self, states: Floats, y: list[float]) -> Floats:
        rows = states.tolist()
        for value in y:
            rows = [*rows[1:], self._next(rows, value - self._expected(rows))]
        return np.array(rows)

    def _path(self, steps: int) -> Floats:
        """The next `steps` forecasts [steps]."""
        rows = self.after.tolist()
        path = np.empty(steps)
        for i in range(steps):
            path[i] = self._expected(rows)
            rows = [*rows[1:], self._next(rows, 0.0)]
        return path

    def state(self) -> State:
        """Form, weights, the two states."""
        return {
            "kind": self.kind,
            "version": STATE_VERSION,
            "form": self.form,
            "weights": self.weights,
            "scale": self.scale,
            "before": self.before,
            "after": self.after,
            "start": self.start,
            "end": self.end,
        }


class Ces:
    """Complex exponential smoothing, its season chosen by AICc at the first fit."""

    info = learner_info("ces")

    def candidates(self, series: Series, context: FitContext) -> tuple[Candidate, ...]:
        """The one."""
        return (Candidate("ces", "ces"),) if len(series) >= self.info.min_length else ()

    def fit(self, series: Series, parameters: Parameters, context: FitContext) -> CesModel:
        """The model of the given form, else of the form with the least AICc."""
        from statsforecast.ces import auto_ces

        require_length(series, self.info.min_length)
        scale = binary_scale(series.y)
        season = usable_season(len(series), context.season)
        form = str(parameters.get("form", "Z")) if season > 1 else "N"
        require_time(context.deadline)
        with library("complex exponential smoothing could not be fitted"):
            fitted = auto_ces(series.y / scale, season, form, nmse=ONE_STEP)  # type: ignore[no-untyped-call]
        model = _ces_model(fitted, series, scale)
        believable(model._path(_horizon(context)) * scale, series.y)
        return model

    def load(self, state: State) -> CesModel:
        """The stored model."""
        s = opened(state, "ces", STATE_VERSION)
        states = s["before"], s["after"], int(s["start"]), int(s["end"])
        return CesModel(s["form"], s["weights"], float(s["scale"]), *states)


def _ces_model(fitted: dict[str, Any], series: Series, scale: float) -> CesModel:
    tail = min(TAIL, len(series) - 1)
    first = len(series) - tail
    before = np.array(fitted["states"][first : first + fitted["m"]], dtype=np.float64)
    names = ("alpha_0", "alpha_1", "beta_0", "beta_1")
    weights = np.array([float(fitted["par"][name]) for name in names])
    weights[np.isnan(weights)] = 0.0
    form = str(fitted["seasontype"])
    if not np.isfinite(before).all():
        raise LearnerError("NOT_FINITE", "the fitted model is not finite")
    return CesModel(form, weights, scale, before, before, series.end - tail + 1, series.end).update(series)
