"""Exact maximum likelihood of a regression with ARMA errors, after differencing.

The exact likelihood is a sum of squares: of the one-step errors, each over the square root of its
variance factor, times the n-th root of the product of those factors. Regression coefficients are
concentrated out (the filter is linear, so it filters the regressors' columns as well), and what is
left, p + q + P + Q numbers, is found by Levenberg-Marquardt steps: some thirty filterings where a
quasi-Newton search over everything takes hundreds. The autoregressive part goes through partial
autocorrelations, so that it stays stationary (Jones 1980, Technometrics 22); Durbin & Koopman, Time
Series Analysis by State Space Methods, sections 2.10 and 6.2. The filter itself is statsforecast's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from many_models.errors import LearnerError
from many_models.panel.series import Floats

WIDEST = 5.0
"""Largest partial autocorrelation that is tried, before its tanh: 0.99991."""
STEP = 1e-5
"""Of the forward differences."""
SETTLED = 1e-6
"""The search ends when a step lowers the sum of squares by no more than this share."""
MOST_STEPS = 30
DIFFUSE = 1e6
"""Variance of the lagged levels at the start of the filter."""
FIRST_STEPS, RUNNERS = 3, 3
"""How far each of the best starts goes before one of them is chosen, and how many there are."""
STARTS_AR = ((0.0,), (1.0,), (-0.7,), (2.5,))
STARTS_MA = ((0.0, 0.0), (-0.5, 0.0), (0.5, 0.0), (-1.2, 0.4), (-0.3, -0.6))
STARTS_SEASONAL_AR = ((0.0,),)
STARTS_SEASONAL_MA = ((0.0,), (-0.5,))
"""Where the search may start: partial autocorrelations before their tanh, moving averages."""

Errors: TypeAlias = Callable[[Floats], "tuple[Floats, float] | None"]
"""The errors [n] at some coefficients, and their sum of squares; None where there are none."""


@dataclass(frozen=True)
class Lags:
    """The shape of a multiplicative ARMA model: its numbers of coefficients, and the season."""

    p: int
    q: int
    P: int
    Q: int
    season: int

    @property
    def count(self) -> int:
        """How many coefficients."""
        return self.p + self.q + self.P + self.Q

    @property
    def autoregressive(self) -> list[int]:
        """Positions of the autoregressive ones; the order is p, q, P, Q."""
        after = self.p + self.q
        return [*range(self.p), *range(after, after + self.P)]

    def expanded(self, coefficients: Floats, partial: bool = False) -> tuple[Floats, Floats]:
        """The lag polynomials: phi [p + P m] and theta [q + Q m].

        With `partial` the autoregressive coefficients are the inverse tanh of partial autocorrelations.
        """
        from statsforecast.arima import arima_transpar

        shape = np.array([self.p, self.q, self.P, self.Q, self.season, 0, 0], dtype=np.int32)
        phi, theta = arima_transpar(coefficients, shape, partial)  # type: ignore[no-untyped-call]
        return phi, theta


@dataclass(frozen=True, eq=False)
class Estimate:
    """What was estimated.

    Attributes
    ----------
    coefficients : [p + q + P + Q]
        In this order; autoregressive ones as they stand in the equation, moving averages invertible.
    weights : [k]
        Of the regressors.
    likelihood
        The logarithm of the exact likelihood of the differenced values.
    """

    coefficients: Floats
    weights: Floats
    likelihood: float


def differenced(values: Floats, d: int, D: int, season: int) -> Floats:
    """Differences along the first axis: d of one step and D of a season."""
    for _ in range(D):
        values = values[season:] - values[:-season]
    for _ in range(d):
        values = values[1:] - values[:-1]
    return values


def stationary_covariance(phi: Floats, theta: Floats) -> Floats:
    """Covariance [r, r] of the state of an ARMA process in units of its innovations' variance."""
    from statsforecast.arima import getQ0

    if max(len(phi), len(theta) + 1) == 1:
        return np.array([[1.0 / (1.0 - float((phi * phi).sum()))]])
    covariance: Floats = getQ0(phi, theta)  # type: ignore[no-untyped-call]
    return covariance


class ExactErrors:
    """One-step errors of the exact filter, with the weights of the regressors that suit them best."""

    def __init__(self, values: Floats, columns: Floats, lags: Lags) -> None:
        from statsforecast._lib import arima as kernels

        self._run: Any = kernels.arima_like
        self._lags = lags
        self._rows = np.ascontiguousarray(np.column_stack([values, columns]).T)
        self._out = np.empty_like(self._rows)
        size = max(lags.p + lags.P * lags.season, lags.q + lags.Q * lags.season + 1)
        self._state, self._spread = np.zeros(size), np.zeros(size * size)
        self._ahead, self._none = np.zeros(size * size), np.empty(0)

    def filtered(self, x: Floats) -> float | None:
        """Filters all rows; the mean log of the variance factors, or None where that fails."""
        phi, theta = self._lags.expanded(x, partial=True)
        start = stationary_covariance(phi, theta).ravel()
        if not np.isfinite(start).all():
            return None
        n = self._rows.shape[1]
        logs: float = 0.0
        for row, out in zip(self._rows, self._out, strict=True):
            # The kernel works in place.
            self._state[:] = 0.0
            self._ahead[:] = start
            _, logs, used = self._run(
                row, phi, theta, self._none, self._state, self._spread, self._ahead, 0, True, out
            )
            if used < n:
                # It leaves out values of too great a variance; likelihoods of unequal lengths do not compare.
                return None
        mean: float = logs / n
        return mean

    def __call__(self, x: Floats) -> tuple[Floats, float] | None:
        """The scaled errors, whose sum of squares the exact likelihood falls with."""
        mean_log = self.filtered(x)
        if mean_log is None:
            return None
        errors = self._out[0]
        if len(self._out) > 1:
            errors = errors - self.weights() @ self._out[1:]
        scaled: Floats = errors * np.exp(0.5 * mean_log)
        size = float(scaled @ scaled)
        return (scaled, size) if np.isfinite(size) else None

    def weights(self) -> Floats:
        """Weights [k] of the regressors, from what was filtered last."""
        rows = self._out[1:]
        found: Floats = np.linalg.solve(rows @ rows.T, rows @ self._out[0]) if len(rows) else np.empty(0)
        return found


def marquardt(errors: Errors, start: Floats, bounded: list[int], most: int) -> tuple[Floats, float]:
    """The coefficients of the least sum of squares, and that sum.

    Raises
    ------
    LearnerError
        NOT_CONVERGED where there are no errors at the start.
    """
    x = start.copy()
    here = errors(x)
    if here is None:
        raise LearnerError("NOT_CONVERGED", "the likelihood has no value where the search starts")
    now, size = here
    damping = 1e-3
    for _ in range(most if len(x) else 0):
        slopes = _slopes(errors, x, now)
        curvature, gradient = slopes @ slopes.T, slopes @ now
        scale = np.maximum(np.diag(curvature), 0.3 * size)
        gained = 0.0
        while damping < 1e6:
            step = np.linalg.solve(curvature + np.diag(damping * scale), -gradient)
            tried = x + np.clip(step, -1.5, 1.5)
            tried[bounded] = np.clip(tried[bounded], -WIDEST, WIDEST)
            there = errors(tried)
            if there is not None and there[1] < size:
                gained = (size - there[1]) / size
                x, (now, size) = tried, there
                damping = max(damping * 0.2, 1e-9)
                break
            damping *= 8.0
        if gained <= SETTLED:
            break
    return x, size


def _slopes(errors: Errors, x: Floats, now: Floats) -> Floats:
    """How the errors move with each coefficient [count, n], by forward differences."""
    slopes = np.empty((len(x), len(now)))
    for i in range(len(x)):
        moved = x.copy()
        moved[i] += STEP
        there = errors(moved)
        # At the edge of what has a likelihood a coefficient is held.
        slopes[i] = 0.0 if there is None else (there[0] - now) / STEP
    return slopes


def estimate(values: Floats, columns: Floats, lags: Lags) -> Estimate:
    """The maximum of the exact likelihood of differenced values [n] on differenced columns [n, k].

    Raises
    ------
    LearnerError
        NOT_CONVERGED, NOT_FINITE.
    """
    basis, turn = _independent(columns)
    exact = ExactErrors(values, basis, lags)
    x, size = _greatest(exact, lags)
    exact(x)
    weights = turn @ exact.weights()
    n = len(values)
    likelihood = -0.5 * n * (np.log(2 * np.pi * max(size, 1e-300) / n) + 1.0)
    coefficients = _plain(x, lags)
    if not (np.isfinite(coefficients).all() and np.isfinite(weights).all()):
        raise LearnerError("NOT_FINITE", "a coefficient is not finite")
    return Estimate(coefficients, weights, float(likelihood))


def _starts(lags: Lags) -> list[Floats]:
    """Combinations of coefficients to begin with."""
    sizes = (lags.p, lags.q, lags.P, lags.Q)
    parts = (STARTS_AR, STARTS_MA, STARTS_SEASONAL_AR, STARTS_SEASONAL_MA)
    # A coefficient that is not there leaves shorter, equal parts: each counts once.
    kept = [
        dict.fromkeys(some[:n] + (0.0,) * (n - len(some)) for some in part)
        for n, part in zip(sizes, parts, strict=True)
    ]
    return [np.array(sum(combination, ())) for combination in product(*kept)]


def _greatest(errors: Errors, lags: Lags) -> tuple[Floats, float]:
    """The search from several starts: likelihoods of mixed models have more than one maximum.

    The most likely few go some steps each; the best of them goes on to the end.
    """
    bounded = lags.autoregressive
    found = [(there[1], x) for x in _starts(lags) if (there := errors(x)) is not None]
    if not found:
        raise LearnerError("NOT_CONVERGED", "the likelihood has no value where the search starts")
    found.sort(key=lambda pair: pair[0])
    best = found[0][1]
    if lags.count > 1:
        tried = [marquardt(errors, x, bounded, FIRST_STEPS) for _, x in found[:RUNNERS]]
        best, _ = min(tried, key=lambda pair: pair[1])
    return marquardt(errors, best, bounded, MOST_STEPS)


def _independent(columns: Floats) -> tuple[Floats, Floats]:
    """Orthogonal columns [n, r] of the same space, and the matrix [k, r] that turns their weights."""
    if not columns.shape[1]:
        return columns, np.empty((0, 0))
    left, sizes, right = np.linalg.svd(columns, full_matrices=False)
    # Differencing can make columns depend on each other: then the smallest weights are taken.
    kept = sizes > 1e-9 * max(float(sizes[0]), 1e-300)
    return left[:, kept], (right[kept] / sizes[kept, None]).T


def _plain(x: Floats, lags: Lags) -> Floats:
    """Coefficients as they stand in the equation, of the moving averages the invertible twins."""
    plain = x.copy()
    after = lags.p + lags.q
    # Without other coefficients the expanded polynomial is the sought one.
    plain[: lags.p] = Lags(lags.p, 0, 0, 0, 1).expanded(x[: lags.p], partial=True)[0]
    plain[after : after + lags.P] = Lags(lags.P, 0, 0, 0, 1).expanded(
        x[after : after + lags.P], partial=True
    )[0]
    plain[lags.p : after] = invertible(x[lags.p : after])
    plain[after + lags.P :] = invertible(x[after + lags.P :])
    return plain


def invertible(theta: Floats) -> Floats:
    """The moving average of the same autocorrelations whose roots are not inside the unit circle."""
    if not theta.any():
        return theta
    # Of z^q + theta_1 z^(q-1) + ...: here the roots must not be outside.
    roots = np.roots(np.concatenate([[1.0], theta])).astype(complex)
    outside = np.abs(roots) > 1.0
    if not outside.any():
        return theta
    roots[outside] = 1.0 / np.conj(roots[outside])
    turned = np.zeros(len(theta))
    polynomial = np.real(np.poly(roots))[1:]
    turned[: len(polynomial)] = polynomial
    return turned


def filtered_state(values: Floats, phi: Floats, theta: Floats, delta: Floats) -> tuple[Floats, Floats]:
    """The state of Harvey's form after the last value [r + len(delta)], and the gain that it had there."""
    from statsforecast.arima import arima_like, make_arima

    form: dict[str, Any] = make_arima(phi, theta, delta, DIFFUSE)  # type: ignore[no-untyped-call]
    state = form["a"], form["P"], form["Pn"]
    arima_like(values, phi, theta, delta, *state, 0, False)  # type: ignore[no-untyped-call]
    predicted, observes = form["Pn"], form["Z"]
    uncertain = predicted @ observes
    return form["a"], uncertain / float(observes @ uncertain)
