"""ARX: ridge in closed form on lags, seasonal lags, waves, the calendar and known covariates.

Two forms, one recursion. `joint`: the target on its lags and everything else at once.
`errors`: the target on everything else, and the errors of that on their lags, so that steps
whose covariates nobody asked for (a gap, skipped rows) need none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from many_models.errors import LearnerError
from many_models.features.autocorrelation import significant_lags
from many_models.features.base import Wishes
from many_models.features.plan import FeaturePlan
from many_models.features.rows import Rows
from many_models.learners.base import Candidate, FitContext, LearnerInfo, Parameters, State
from many_models.learners.guards import opened
from many_models.learners.linear import (
    check_future,
    check_target,
    kept_rows,
    ridge,
    weighted_rows,
)
from many_models.learners.table import learner_info
from many_models.learners.target import TargetScale, transform_for
from many_models.panel.series import Bools, Floats, Forecast, Future, Series

FEWEST_ROWS = 4
"""Fewest observed rows of a fit; with fewer, filled values count too."""
KIND, VERSION = "arx", 1
"""Of stored states; an older version stays readable when the number goes up."""


def auto_lags(length: int, seasons: tuple[int, ...]) -> tuple[int, ...]:
    """The lags that `length` values can carry: the last ones and those around each season."""
    wanted = {1, 2, 3} if length >= 30 else {1}
    for season in seasons:
        if length >= 4 * season:
            wanted |= {season - 1, season, season + 1, 2 * season}
    return tuple(sorted(lag for lag in wanted if 0 < lag <= length // 3))


def lag_matrix(w: Floats, lags: tuple[int, ...]) -> Floats:
    """Lagged values for positions max(lags) … T-1 [T - max(lags), p]."""
    longest = max(lags)
    return np.column_stack([w[longest - lag : len(w) - lag] for lag in lags])


@dataclass(frozen=True)
class ArxModel:
    """A fitted ARX: coefficients, and the last values its lags reach.

    Attributes
    ----------
    plan, slope, intercept
        Everything but lags, and its coefficients [c].
    lags, weights
        Lags of the target or of the errors, and their coefficients [p].
    variance
        Mean squared leave-one-out error one step ahead, on the learned scale.
    bounds
        Lowest and highest value the recursion may take.
    end
        Ordinal of the last value seen.
    recent : [max(lags)]
        What the lags read, oldest first.
    recent_known : [k, K]
        The last known covariates that the plan reads.
    """

    settings: Parameters
    known: int
    scale: TargetScale
    plan: FeaturePlan
    intercept: float
    slope: Floats
    lags: tuple[int, ...]
    weights: Floats
    variance: float
    bounds: tuple[float, float]
    end: int
    recent: Floats
    recent_known: Floats

    @property
    def parameters(self) -> Parameters:
        """The parameters of the fit; nothing is searched but the penalty, in closed form."""
        return self.settings

    @property
    def tail(self) -> int:
        """How many last values `update` needs."""
        reach, known = max(self.lags, default=0), self.plan.known_memory
        # The errors that lags read are those of rows that read covariates before them.
        return reach + known if self.settings["lags"] == "errors" else max(reach, known)

    def predict(self, future: Future) -> Forecast:
        """The forecast for the stamps of `future`, recursive where there are lags."""
        check_future(future, self.end, self.known)
        if len(future) == 0:
            return Forecast.point(np.empty(0))
        step = future.ordinals - self.end
        path, variance = self._path(future, int(step[-1]))
        z = path[step - 1]
        if self.settings["lags"] != "joint":
            z = z + self._outside(Rows.future(future, self.recent[:0], self.end, self.recent_known))
        if self.settings["lags"] == "none":
            z = np.clip(z, *self.bounds)
        spread = variance[step - 1]
        return Forecast.point(self.scale.mean(z, spread), self.scale.backward(z))

    def _outside(self, rows: Rows) -> Floats:
        """What everything but lags contributes [n]."""
        return self.intercept + weighted_rows(self.plan.build(rows), self.slope)

    def _path(self, future: Future, steps: int) -> tuple[Floats, Floats]:
        """Values on the learned scale and their variances for steps 1 … `steps` [steps] each."""
        reach = max(self.lags, default=0)
        # Column 0 is the recursion, column 1 its answer to one unit of error at the first step.
        walk = np.zeros((reach + steps, 2))
        walk[:reach, 0] = self.recent
        if self.settings["lags"] == "joint":
            ordinals = np.arange(self.end + 1, self.end + steps + 1, dtype=np.int64)
            every = Future(future.grid, ordinals, np.empty((steps, 0)))
            walk[reach:, 0] = self._outside(Rows.future(every, self.recent[:0], self.end))
        walk[reach, 1] = 1.0
        low, high = self.bounds
        if self.lags:
            back = reach - np.array(self.lags)
            for t in range(steps):
                now = walk[reach + t] + self.weights @ walk[back + t]
                now[0] = min(max(now[0], low), high)
                walk[reach + t] = now
        return walk[reach:, 0], self.variance * np.cumsum(walk[reach:, 1] ** 2)

    def update(self, series: Series) -> ArxModel:
        """The same coefficients, moved to the end of `series`."""
        known = series.known_x[max(0, len(series) - self.plan.known_memory) :]
        return replace(self, end=series.end, recent=self._seen(series), recent_known=known)

    def _seen(self, series: Series) -> Floats:
        """What the lags read at the end of `series` [max(lags)]."""
        if not self.lags:
            return np.empty(0)
        reach = max(self.lags)
        if len(series) < reach:
            raise LearnerError("TOO_SHORT", f"update needs {reach} values")
        part = series.tail(self.tail)
        z = self.scale.forward(part.y)
        if self.settings["lags"] == "errors":
            z = z - self._outside(Rows.past(part))
        return z[len(z) - reach :].copy()

    def state(self) -> State:
        """The model as plain data."""
        return {
            "kind": KIND,
            "version": VERSION,
            "settings": dict(self.settings),
            "known": self.known,
            "scale": self.scale.to_list(),
            "plan": self.plan.to_dict(),
            "lags": list(self.lags),
            "numbers": np.array([self.intercept, self.variance, *self.bounds]),
            "slope": self.slope,
            "weights": self.weights,
            "end": self.end,
            "recent": self.recent,
            "recent_known": self.recent_known,
        }


@dataclass(frozen=True)
class Arx:
    """Closed-form ridge regression on lags, waves, calendar and known covariates."""

    info: ClassVar[LearnerInfo] = learner_info("arx")

    def candidates(self, series: Series, context: FitContext) -> tuple[Candidate, ...]:
        """Up to three without covariates (shrunk to the mean, the last value, the last season), two with."""
        if len(series) < self.info.min_length:
            return ()
        usual = transform_for(context)
        found: list[Candidate] = []

        def add(name: str, lags: str, anchor: int, transform: str = usual, known: bool = False) -> None:
            settings = {"lags": lags, "anchor": anchor, "transform": transform, "known": known}
            found.append(Candidate(f"arx_{name}", "arx", settings, known))

        if series.known and context.features.covariates is not None:
            add("known", "none", 0, known=True)
            add("known_errors", "errors", 0, known=True)
        add("joint", "joint", 0)
        add("last", "joint", 1)
        if context.season > 1 and len(series) >= 4 * context.season:
            add("season", "joint", context.season)
        elif usual != "none" and not series.grid.frequency.seasons:
            # Without any season trends decide, and those of logs run away upwards.
            add("last_linear", "joint", 1, "none")
        return tuple(found)

    def fit(self, series: Series, parameters: Parameters, context: FitContext) -> ArxModel:
        """The coefficients that leave-one-out errors prefer."""
        check_target(series, self.info.min_length)
        settings = dict(parameters)
        scale = TargetScale.of(series.y, str(settings["transform"]), context.season)
        z = scale.forward(series.y)
        known = len(series.known) if settings["known"] else 0
        plan = _plan(series, settings, context)
        x = plan.build(Rows.past(series))
        lags = _lags(series, settings, context)
        fitted = _FORMS[str(settings["lags"])](z, x, series.observed, lags, int(settings["anchor"]))
        margin = fitted.high - fitted.low
        model = ArxModel(
            settings, known, scale, plan, fitted.intercept, fitted.slope, lags, fitted.weights,
            fitted.variance, (fitted.low - margin, fitted.high + margin), series.end,
            np.empty(0), np.empty((0, 0)),
        )  # fmt: skip
        return model.update(series)

    def load(self, state: State) -> ArxModel:
        """The model that gave this state."""
        opened(state, KIND, VERSION)
        intercept, variance, low, high = (float(v) for v in state["numbers"])
        return ArxModel(
            dict(state["settings"]),
            int(state["known"]),
            TargetScale.from_list(state["scale"]),
            FeaturePlan.from_dict(state["plan"]),
            intercept,
            np.asarray(state["slope"]),
            tuple(int(lag) for lag in state["lags"]),
            np.asarray(state["weights"]),
            variance,
            (low, high),
            int(state["end"]),
            np.asarray(state["recent"]),
            np.asarray(state.get("recent_known", np.empty((0, 0)))),
        )


def _plan(series: Series, settings: dict[str, Any], context: FitContext) -> FeaturePlan:
    wishes = Wishes("linear", context.season, context.gap + context.horizon, context.features)
    names: tuple[str, ...] = ("fourier", "stl", "calendar", "holidays", "events")
    names += ("covariates", "context") if settings["known"] else ()
    return FeaturePlan.decide(series, wishes, names)


def _lags(series: Series, settings: dict[str, Any], context: FitContext) -> tuple[int, ...]:
    if settings["lags"] == "none":
        return ()
    length = len(series)
    wanted = context.features.lags
    seasons = tuple(sorted({*series.grid.frequency.seasons, context.season} - {0, 1}))
    if wanted is None:
        wanted = auto_lags(length, seasons)
    elif wanted == "pacf":
        wanted = (1, *seasons, *significant_lags(series.y, max(seasons, default=1)))
    anchor = int(settings["anchor"])
    return tuple(sorted({lag for lag in (*wanted, anchor) if 0 < lag <= length // 3}))


@dataclass(frozen=True)
class _Fitted:
    """Coefficients of one form, the variance left, and the range of what the lags read."""

    intercept: float
    slope: Floats
    weights: Floats
    variance: float
    low: float
    high: float


def _fit_outside(z: Floats, x: Floats, observed: Bools, lags: tuple[int, ...], anchor: int) -> _Fitted:
    """Everything but lags."""
    rows = kept_rows(observed, FEWEST_ROWS)
    fit = ridge(x[rows], z[rows])
    return _Fitted(fit.intercept, fit.coefficients, np.empty(0), fit.variance, float(z.min()), float(z.max()))


def _fit_joint(z: Floats, x: Floats, observed: Bools, lags: tuple[int, ...], anchor: int) -> _Fitted:
    """Lags and everything else at once."""
    if not lags:
        return _fit_outside(z, x, observed, lags, anchor)
    reach = max(lags)
    earlier = lag_matrix(z, lags)
    target = z[reach:]
    base = lags.index(anchor) if anchor in lags else None
    if base is not None:
        # Shrunk towards the anchor, not towards the mean: a ridge of changes against it.
        target = target - earlier[:, base]
        earlier = np.delete(earlier, base, axis=1) - earlier[:, [base]]
    rows = kept_rows(observed[reach:], FEWEST_ROWS)
    fit = ridge(np.concatenate([x[reach:], earlier], axis=1)[rows], target[rows])
    slope, weights = fit.coefficients[: x.shape[1]].copy(), fit.coefficients[x.shape[1] :].copy()
    if base is not None:
        weights = np.insert(weights, base, 1.0 - float(weights.sum()))
    return _Fitted(fit.intercept, slope, weights, fit.variance, float(z.min()), float(z.max()))


def _fit_errors(z: Floats, x: Floats, observed: Bools, lags: tuple[int, ...], anchor: int) -> _Fitted:
    """Everything but lags first, then the errors of that on their lags."""
    first = _fit_outside(z, x, observed, lags, anchor)
    if not lags:
        return first
    errors = z - first.intercept - weighted_rows(x, first.slope)
    reach = max(lags)
    fit = ridge(lag_matrix(errors, lags), errors[reach:])
    return _Fitted(
        first.intercept, first.slope, fit.coefficients, fit.variance, float(errors.min()), float(errors.max())
    )


_FORMS = {"none": _fit_outside, "joint": _fit_joint, "errors": _fit_errors}
