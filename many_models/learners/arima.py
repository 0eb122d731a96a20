"""ARIMA of given orders, with known covariates as regressors.

The parameters are those of the greatest exact likelihood (`arima_estimation.py`). The state is that
of Harvey's form: forecasting steps it on without errors, new values move it by the gain that the
exact filter had at the cutoff.
Hyndman & Athanasopoulos, Forecasting: Principles and Practice (3rd ed.), chapters 9 and 10;
Durbin & Koopman, Time Series Analysis by State Space Methods, section 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from many_models.errors import LearnerError
from many_models.features.plan import FeaturePlan
from many_models.features.settings import FeatureSettings
from many_models.learners.arima_estimation import Lags, differenced, estimate, filtered_state
from many_models.learners.base import Candidate, FitContext, Parameters, State
from many_models.learners.covariates import (
    NO_DATES,
    Regressors,
    arima_dates,
    beside_dates,
    column_count,
    series_beside_dates,
    weighted,
)
from many_models.learners.guards import (
    believable,
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
LARGEST_SEASON = 12
LONGEST = 1500
"""A fit uses no more than this many last values."""
LARGEST_RADIUS = 1.001
"""Above it the filter would not forget where it started, and new values could not be taken in."""


@dataclass(frozen=True)
class Order:
    """(p, d, q)(P, D, Q)m, and whether there is a constant: a mean, or a drift where d + D = 1."""

    p: int
    d: int
    q: int
    P: int = 0
    D: int = 0
    Q: int = 0
    season: int = 1
    constant: bool = False

    @property
    def label(self) -> str:
        """A short name such as `011_011` or `101_c`."""
        seasonal = f"_{self.P}{self.D}{self.Q}" if self.P + self.D + self.Q else ""
        return f"{self.p}{self.d}{self.q}{seasonal}{'_c' if self.constant else ''}"

    @property
    def lost(self) -> int:
        """Values that differencing takes."""
        return self.d + self.D * self.season

    @property
    def lags(self) -> Lags:
        """The ARMA part."""
        return Lags(self.p, self.q, self.P, self.Q, self.season)

    @property
    def drifts(self) -> bool:
        """Whether the constant is a slope."""
        return self.constant and self.d + self.D == 1

    @property
    def size(self) -> int:
        """Number of coefficients, without regressors."""
        return self.p + self.q + self.P + self.Q + self.constant

    def least(self, regressors: int = 0) -> int:
        """Fewest values from which it can be estimated."""
        return self.lost + self.size + regressors + 5

    def advisable(self, regressors: int = 0) -> int:
        """Fewest values from which it is worth trying."""
        seasonal = self.season if self.P + self.D + self.Q else 0
        return self.lost + max(8, seasonal + 2 * self.size) + 3 * regressors

    def parameters(self) -> dict[str, Any]:
        """The order as JSON values."""
        return {
            "order": [self.p, self.d, self.q],
            "seasonal": [self.P, self.D, self.Q],
            "season": self.season,
            "constant": self.constant,
        }

    @classmethod
    def of(cls, parameters: Parameters) -> Order:
        """The order written by `parameters()`."""
        p, d, q = (int(v) for v in parameters["order"])
        P, D, Q = (int(v) for v in parameters.get("seasonal", (0, 0, 0)))
        season, constant = int(parameters.get("season", 1)), bool(parameters.get("constant", False))
        return cls(p, d, q, P, D, Q, season, constant)


@dataclass(frozen=True, eq=False)
class ArimaModel:
    """A regression with ARIMA errors.

    Attributes
    ----------
    kind
        The learner that made it.
    phi, theta : [p + P m], [q + Q m]
        Expanded autoregressive and moving-average coefficients.
    delta : [d + D m]
        Coefficients of the lags that differencing takes off.
    now, gain : [r + len(delta)]
        Filtered state at the cutoff, and how an error of one step moves it.
    shift, scale
        The errors are filtered in these units.
    mean, drift
        Constant, and slope per step counted from the ordinal `anchor`, in units of the target.
    regressors, weights : [k]
        Known covariates as columns, and their coefficients in units of the target.
    recent : [tail]
        The last errors, to see what a revision of the history changes.
    dates
        Columns of the calendar that the regressors read before the known covariates.
    """

    kind: str
    order: Order
    phi: Floats
    theta: Floats
    delta: Floats
    now: Floats
    gain: Floats
    shift: float
    scale: float
    mean: float
    drift: float
    anchor: int
    regressors: Regressors
    weights: Floats
    recent: Floats
    end: int
    dates: FeaturePlan = NO_DATES

    @property
    def parameters(self) -> Parameters:
        """The order: a fit with it searches no more."""
        return self.order.parameters()

    @property
    def tail(self) -> int:
        """The values behind `recent`."""
        return len(self.recent)

    def predict(self, future: Future) -> Forecast:
        """The regression plus the errors' forecast."""
        steps = steps_after(future, self.end)
        path = self._path(int(steps[-1]) if len(steps) else 0)
        known_x = beside_dates(self.dates, future.grid, future.ordinals, future.known_x)
        level = self._regression(future.ordinals, self.regressors.ahead(known_x))
        return finite(level + (path[steps - 1] * self.scale + self.shift))

    def update(self, series: Series) -> ArimaModel:
        """The same parameters with the state moved over revised and new values."""
        series = newest(series, self.end - self.tail + 1)
        errors = self._errors(series)
        # The filter is linear: what a revision changes is filtered by itself, and is exactly 0 without one.
        change = self._filter(np.zeros(len(self.now)), errors[: self.tail] - self.recent)
        now = self._filter(self.now + change, errors[self.tail :])
        if not np.isfinite(now).all():
            raise LearnerError("NOT_FINITE", "the filter diverges on the new values")
        return replace(self, now=now, recent=errors[-self.tail :].copy(), end=series.end)

    def _regression(self, ordinals: Any, columns: Floats) -> Floats:
        time = (np.asarray(ordinals) - self.anchor).astype(np.float64)
        level: Floats = self.mean + self.drift * time + weighted(columns, self.weights)
        return level

    def without_regression(self, series: Series) -> Floats:
        """The values of a series less what its regressors, mean and drift say of them [T]."""
        known_x = beside_dates(self.dates, series.grid, series.ordinals, series.known_x)
        rest: Floats = series.y - self._regression(series.ordinals, self.regressors.past(known_x))
        return rest

    def _errors(self, series: Series) -> Floats:
        errors: Floats = (self.without_regression(series) - self.shift) / self.scale
        return errors

    def _ahead(self, state: Floats) -> Floats:
        """The state one step on."""
        lags, arma = len(self.delta), len(state) - len(self.delta)
        on = np.zeros(len(state))
        on[: arma - 1] = state[1:arma]
        on[: len(self.phi)] += self.phi * state[0]
        if lags:
            on[arma] = self._value(state)
            on[arma + 1 :] = state[arma:-1]
        return on

    def _value(self, state: Floats) -> float:
        """The error that a state stands for."""
        lagged = state[len(state) - len(self.delta) :]
        return float(state[0]) + float((self.delta * lagged).sum())

    def _filter(self, state: Floats, values: Floats) -> Floats:
        for value in values.tolist():
            state = self._ahead(state)
            state = state + self.gain * (value - self._value(state))
        return state

    def _path(self, steps: int) -> Floats:
        """The next `steps` errors [steps]."""
        path, state = np.empty(steps), self.now
        for i in range(steps):
            state = self._ahead(state)
            path[i] = self._value(state)
        return path

    def state(self) -> State:
        """Coefficients, the filtered state and its gain, regressors."""
        return {
            "kind": self.kind,
            "version": STATE_VERSION,
            "order": self.order.parameters(),
            "phi": self.phi,
            "theta": self.theta,
            "delta": self.delta,
            "now": self.now,
            "gain": self.gain,
            "level": np.array([self.shift, self.scale, self.mean, self.drift]),
            "anchor": self.anchor,
            "regressors": self.regressors.state(),
            "weights": self.weights,
            "recent": self.recent,
            "end": self.end,
            **({"dates": self.dates.to_dict()} if self.dates.families else {}),
        }


def load_arima(state: State, kind: str) -> ArimaModel:
    """The model that gave this `state()`."""
    s = opened(state, kind, STATE_VERSION)
    shift, scale, mean, drift = (float(v) for v in s["level"])
    return ArimaModel(
        kind,
        Order.of(s["order"]),
        s["phi"],
        s["theta"],
        s["delta"],
        s["now"],
        s["gain"],
        shift,
        scale,
        mean,
        drift,
        int(s["anchor"]),
        Regressors.load(s["regressors"]),
        s["weights"],
        s["recent"],
        int(s["end"]),
        FeaturePlan.from_dict(s.get("dates", {})),
    )


@dataclass(frozen=True, eq=False)
class Problem:
    """What an estimation works on: the last values of a series, shifted and scaled, and its regressors.

    Attributes
    ----------
    values : [n]
        The target in units of `scale`, less `shift`.
    columns : [n, k]
        Dates and known covariates.
    dates
        Which columns of the calendar stand before the covariates.
    """

    series: Series
    values: Floats
    shift: float
    scale: float
    regressors: Regressors
    columns: Floats
    dates: FeaturePlan


def posed(
    series: Series, differenced: bool, longest: int = LONGEST, settings: FeatureSettings | None = None
) -> Problem:
    """The estimation problem of a series.

    With differencing a constant cancels, so the level is taken off: the diffuse start of the
    filter is then wide enough whatever the level. The scale is a power of two.
    """
    series = series.tail(longest)
    changes = np.diff(series.y)
    size = float(np.abs(changes).mean())
    if not np.isfinite(size):
        raise LearnerError("NOT_FINITE", "the history has values that are not finite")
    if size <= 1e-12 * float(np.abs(series.y).mean()):
        raise LearnerError("CONSTANT", "a constant history has no ARIMA structure")
    shift = float(series.y[0]) if differenced else 0.0
    scale = float(2.0 ** np.round(np.log2(size)))
    dates = arima_dates(series, settings or FeatureSettings())
    beside = series_beside_dates(dates, series)
    regressors = Regressors.of(beside)
    values = (series.y - shift) / scale
    return Problem(series, values, shift, scale, regressors, regressors.past(beside.known_x), dates)


def estimated(problem: Problem, order: Order, kind: str) -> ArimaModel:
    """The model of a given order.

    Raises
    ------
    LearnerError
        TOO_SHORT, CONSTANT, FIT_FAILED, NOT_CONVERGED, NOT_INVERTIBLE, NOT_FINITE.
    """
    n, k = problem.columns.shape
    require_length(problem.series, order.least(k))
    _require_variation(problem.values, order)
    # The constant is a regressor like the others: ones, or time where differencing makes a slope of it.
    drifting, centred = order.drifts, order.constant and order.d + order.D == 0
    time = (np.arange(n, dtype=np.float64) - (n - 1)) / n
    constant = [time] if drifting else [np.ones(n)] if centred else []
    columns = np.column_stack([*constant, problem.columns])
    with library(f"ARIMA {order.label} could not be fitted"):
        found = estimate(_differenced(problem.values, order), _differenced(columns, order), order.lags)
        phi, theta = order.lags.expanded(found.coefficients)
        delta = -_difference_polynomial(order)[1:]
        now, gain = filtered_state(problem.values - weighted(columns, found.weights), phi, theta, delta)
    linear = found.weights * problem.scale
    made = ArimaModel(
        kind,
        order,
        phi,
        theta,
        delta,
        now,
        gain,
        problem.shift,
        problem.scale,
        float(linear[0]) if centred else 0.0,
        float(linear[0]) / n if drifting else 0.0,
        problem.series.end,
        problem.regressors,
        linear[len(constant) :].copy(),
        np.empty(0),
        problem.series.end,
        problem.dates,
    )
    _require_stable(made)
    return replace(made, recent=made._errors(problem.series.tail(TAIL)))


def _differenced(values: Floats, order: Order) -> Floats:
    return differenced(values, order.d, order.D, order.season)


def _difference_polynomial(order: Order) -> Floats:
    """Coefficients [1 + d + D m] of (1 - B)^d (1 - B^m)^D."""
    polynomial = np.ones(1)
    for lag in [1] * order.d + [order.season] * order.D:
        polynomial = np.convolve(polynomial, np.concatenate([[1.0], np.zeros(lag - 1), [-1.0]]))
    return polynomial


def _require_variation(values: Floats, order: Order) -> None:
    left = _differenced(values, order)
    if float(np.ptp(left)) <= 1e-9 * max(1.0, float(np.abs(values).max())):
        raise LearnerError("CONSTANT", "nothing varies once the series is differenced")


def _require_stable(model: ArimaModel) -> None:
    """Raises where the filter with its last gain is unstable.

    A moving average with a root inside the unit circle is no harm by itself: the exact filter of
    its invertible twin is the same. It is where that filter has not settled by the cutoff.
    """
    if not (np.isfinite(model.now).all() and np.isfinite(model.gain).all()):
        raise LearnerError("NOT_FINITE", f"ARIMA {model.order.label} has a state that is not finite")
    moved = np.column_stack([model._filter(unit, np.zeros(1)) for unit in np.eye(len(model.now))])
    if float(np.abs(np.linalg.eigvals(moved)).max()) > LARGEST_RADIUS:
        raise LearnerError("NOT_INVERTIBLE", "the filter of the moving average has not settled")


def arima_season(season: int) -> int:
    """The season that ARIMA uses: above twelve its seasonal forms cost seconds."""
    return season if 1 < season <= LARGEST_SEASON else 1


def fit_order(series: Series, order: Order, context: FitContext, kind: str) -> ArimaModel:
    """The model of one order on `series`, its forecast over the horizon believable."""
    require_time(context.deadline)
    model = estimated(posed(series, order.d + order.D > 0, settings=context.features), order, kind)
    path = model._path(context.gap + context.horizon) * model.scale + model.shift + model.mean
    believable(path, model.without_regression(series))
    return model


SEASONAL = (
    (0, 1, 1, 0, 1, 1, False),
    (1, 1, 1, 1, 0, 0, False),
    (0, 2, 1, 1, 0, 0, False),
    (1, 0, 0, 0, 1, 1, True),
    (0, 1, 1, 1, 1, 0, False),
)
PLAIN = (
    (1, 1, 0, True),
    (0, 2, 2, False),
    (0, 1, 1, True),
    (1, 1, 1, False),
)
"""The orders that are tried: those whose mean was best on held-out ends of training parts (M4, hospital)."""
BESIDE_KNOWN = 2
"""Where there are known covariates, so many orders with them, and the same without."""
PLAIN_BESIDE_KNOWN = (
    (1, 0, 0, True),
    (0, 1, 1, False),
)
"""Of nine, on held-out ends of weekly sales: the best, and one of the best that difference."""


def orders_for(season: int, known: bool = False) -> list[Order]:
    """The orders of the list for a season; `known`: where there are known covariates."""
    if season > 1:
        orders = [Order(p, d, q, P, D, Q, season, c) for p, d, q, P, D, Q, c in SEASONAL]
        return orders[:BESIDE_KNOWN] if known else orders
    return [Order(p, d, q, constant=c) for p, d, q, c in (PLAIN_BESIDE_KNOWN if known else PLAIN)]


class Arima:
    """ARIMA of a few fixed orders, each its own candidate: their average beats choosing one of them."""

    info = learner_info("arima")

    def candidates(self, series: Series, context: FitContext) -> tuple[Candidate, ...]:
        """One per order that the length carries; with known covariates first, without them after."""
        length, count = len(series), column_count(series.known)
        dates = len(arima_dates(series, context.features).columns)
        if length < self.info.min_length:
            return ()
        season = arima_season(context.season)
        # A series too short for its season still carries the orders without one.
        season = season if length >= orders_for(season)[0].advisable() else 1
        known = [o for o in orders_for(season, known=True) if count and length >= o.advisable(count + dates)]
        bare = [o for o in orders_for(season, bool(known)) if length >= o.advisable(dates)]
        return tuple(
            [Candidate(f"arima_{o.label}_known", "arima", o.parameters(), True) for o in known]
            + [Candidate(f"arima_{o.label}", "arima", o.parameters()) for o in bare]
        )

    def fit(self, series: Series, parameters: Parameters, context: FitContext) -> ArimaModel:
        """The model of the order in `parameters`; the first of the list where there is none."""
        require_length(series, self.info.min_length)
        if "order" in parameters:
            order = Order.of(parameters)
        else:
            first = self.candidates(series, context)
            if not first:
                raise LearnerError("TOO_SHORT", f"{len(series)} values carry none of the orders")
            order = Order.of(first[0].parameters)
        return fit_order(series, order, context, "arima")

    def load(self, state: State) -> ArimaModel:
        """The stored model."""
        return load_arima(state, "arima")
