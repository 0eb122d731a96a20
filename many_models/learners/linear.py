"""What linear models share: checks, ridge in closed form, sums that repeat bit for bit, and a core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from many_models.errors import DamagedError, LearnerError
from many_models.features.rows import Positions
from many_models.learners.base import State
from many_models.panel.series import Bools, Floats, Future, Series


def check_target(series: Series, fewest: int) -> None:
    """Nothing, where a regression can be fitted on `series`.

    Raises
    ------
    LearnerError
        `TOO_SHORT` below `fewest` values; `NOT_FINITE` for NaN, infinity or numbers that overflow.
    """
    if len(series) < fewest or int(series.observed.sum()) < fewest:
        raise LearnerError("TOO_SHORT", f"{len(series)} values, {fewest} needed")
    largest = float(np.max(np.abs(series.y)))
    if not largest < 1e100:
        raise LearnerError("NOT_FINITE", f"a target of {largest:g}")


def check_future(future: Future, end: int, known: int) -> None:
    """Nothing, where all that a forecast needs is there.

    Raises
    ------
    LearnerError
        `FUTURE_COVARIATES_MISSING` where a known covariate is missing, `NOT_AFTER_HISTORY` for a
        stamp in the past.
    """
    if len(future) and int(future.ordinals[0]) <= end:
        raise LearnerError("NOT_AFTER_HISTORY", "a stamp that is not after the history")
    if known and (future.known_x.shape[1] != known or not np.isfinite(future.known_x).all()):
        raise LearnerError("FUTURE_COVARIATES_MISSING", "known covariates of the horizon are missing")


def weighted_rows(x: Floats, coefficients: Floats) -> Floats:
    """`x @ coefficients` [n], with each row summed by itself.

    BLAS may sum the same row differently when there are more rows; a forecast of 4 steps must
    be the first 4 of a forecast of 8, bit for bit.
    """
    if x.shape[1] == 0:
        return np.zeros(len(x))
    return np.asarray(np.ascontiguousarray(x * coefficients).sum(axis=1))


@dataclass(frozen=True)
class LinearFit:
    """A linear model on raw columns, and its leave-one-out errors.

    Attributes
    ----------
    intercept, coefficients : scalar, [c]
        In the units of the columns.
    penalty
        The chosen penalty per row on standardised columns.
    residuals : [n]
        Leave-one-out errors of the rows that were fitted.
    """

    intercept: float
    coefficients: Floats
    penalty: float
    residuals: Floats

    @property
    def variance(self) -> float:
        """Mean squared leave-one-out error."""
        return float(np.mean(self.residuals**2))


PENALTIES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


def _mean(values: Floats, weight: Floats | None) -> Floats:
    """The mean over rows [n, ...], which count `weight` [n]."""
    return np.asarray(
        values.mean(axis=0) if weight is None else (values.T * weight).sum(axis=-1) / weight.sum()
    )


def standardise(
    x: Floats, z: Floats, scaled: bool = True, weight: Floats | None = None
) -> tuple[Floats, Floats, Floats, float]:
    """Columns with mean 0 and variance 1 [n, c], their means [c] and scales [c], and the mean of `z`.

    A constant column becomes zero and gets no coefficient. Not `scaled`: columns keep their size. Means are
    those of rows that count `weight` [n].
    """
    means = _mean(x, weight)
    centred = x - means
    scales = np.sqrt(_mean(centred**2, weight))
    # Targets and their lags are of size one, so that less than 1e-10 is rounding.
    constant = scales <= np.maximum(1e-9 * np.abs(means), 1e-10)
    centred[:, constant] = 0.0
    scales[constant if scaled else slice(None)] = 1.0
    return centred / scales, means, scales, float(_mean(z, weight))


def ridge(
    x: Floats, z: Floats, penalties: tuple[float, ...] = PENALTIES, weight: Floats | None = None
) -> LinearFit:
    """Ridge regression of `z` [n] on `x` [n, c] with the penalty that leave-one-out errors prefer.

    Closed form over all penalties from one eigendecomposition (Golub, Heath and Wahba 1979;
    Hastie, Tibshirani and Friedman, section 7.10): no fold is ever refitted. Rows count `weight` [n], 1 on
    average, and so do their errors: each is multiplied by the root of its weight.
    """
    count, columns = x.shape
    if columns == 0:
        centre = float(_mean(z, weight))
        loo = (z - centre) * (count / (count - 1))
        return LinearFit(centre, np.empty(0), 0.0, loo)
    standard, means, scales, centre = standardise(x, z, weight=weight)
    target, share = z - centre, np.ones((1, 1))
    if weight is not None:
        root, share = np.sqrt(weight), weight[:, None]
        standard, target = standard * root[:, None], target * root
    values, vectors = np.linalg.eigh(standard.T @ standard)
    values = np.maximum(values, 0.0)
    basis = standard @ vectors
    score = basis.T @ target
    shrink = 1.0 / (values[:, None] + count * np.array(penalties))
    fitted = basis @ (score[:, None] * shrink)
    leverage = share / count + (basis * basis) @ shrink
    errors = (target[:, None] - fitted) / np.maximum(1.0 - leverage, 0.02)
    best = int(np.argmin((errors * errors).mean(axis=0)))
    slope = vectors @ (score * shrink[:, best]) / scales
    return LinearFit(
        centre - float((slope * means).sum()), slope, penalties[best], np.ascontiguousarray(errors[:, best])
    )


def kept_rows(observed: Bools, fewest: int) -> Bools:
    """The rows to learn from [n]: the observed ones, or all where hardly any were observed."""
    return observed if int(observed.sum()) >= fewest else np.ones_like(observed)


@dataclass(frozen=True)
class LinearCore:
    """Intercept and the coefficients of the columns that have one.

    Attributes
    ----------
    used : [u]
        Positions of the columns.
    slope : [u]
        Their coefficients.
    low, high
        Bounds of the answer: the trained range, widened by itself on both sides.
    """

    kind: ClassVar[str] = "regression_linear"

    intercept: float
    used: Positions
    slope: Floats
    low: float
    high: float

    @property
    def reads(self) -> Positions:
        """The positions of the columns that have a say."""
        return self.used

    def predict(self, x: Floats) -> Floats:
        """The linear answer for features [n, c] -> [n]."""
        answer = self.intercept + weighted_rows(x[:, self.used], self.slope)
        return np.clip(answer, self.low, self.high)

    def state(self) -> State:
        """The coefficients as plain data."""
        return {
            "numbers": np.array([self.intercept, self.low, self.high]),
            "used": self.used.astype(np.int32),
            "slope": self.slope,
        }

    @classmethod
    def load(cls, state: State) -> LinearCore:
        """The coefficients that gave this state."""
        intercept, low, high = (float(v) for v in state["numbers"])
        used = np.asarray(state["used"]).astype(np.int64)
        if int(used.min(initial=0)) < 0:
            raise DamagedError("a linear model reads columns that do not exist")
        return cls(intercept, used, np.asarray(state["slope"]), low, high)

    @staticmethod
    def stacked(cores: Sequence[LinearCore]) -> LinearStack:
        """The cores as one that answers a row of each."""
        widest = max(len(core.used) for core in cores)
        used = np.zeros((len(cores), widest), dtype=np.int64)
        slope = np.zeros((len(cores), widest))
        for row, core in enumerate(cores):
            used[row, : len(core.used)], slope[row, : len(core.used)] = core.used, core.slope
        intercept, low, high = np.array([[core.intercept, core.low, core.high] for core in cores]).T
        return LinearStack(intercept, used, slope, low, high)


@dataclass(frozen=True)
class LinearStack:
    """Many linear cores side by side: their numbers as arrays [S] and [S, u], filled up with zeros."""

    intercept: Floats
    used: Positions
    slope: Floats
    low: Floats
    high: Floats

    def predict(self, x: Floats) -> Floats:
        """The answer of core s to row s [S, c] -> [S]."""
        parts = np.take_along_axis(x, self.used, axis=1) * self.slope
        # One after another, so that zeros at the end change no bit.
        total = np.cumsum(parts, axis=1)[:, -1] if parts.shape[1] else 0.0
        return np.clip(self.intercept + total, self.low, self.high)


@dataclass(frozen=True)
class Centred:
    """A regression problem without an intercept, and the way back to raw columns.

    Attributes
    ----------
    x : [n, c]
        Columns with mean 0, and with variance 1 where they were brought to one size.
    z : [n]
        Targets with mean 0.
    """

    x: Floats
    z: Floats
    means: Floats
    scales: Floats
    centre: float
    low: float
    high: float

    @classmethod
    def of(cls, x: Floats, z: Floats, scaled: bool = True, weight: Floats | None = None) -> Self:
        """The problem of `z` [n] on `x` [n, c], whose rows count `weight` [n], 1 on average."""
        standard, means, scales, centre = standardise(x, z, scaled, weight)
        target = z - centre
        if weight is not None:
            root = np.sqrt(weight)
            standard, target = standard * root[:, None], target * root
        return cls(standard, target, means, scales, centre, float(z.min()), float(z.max()))

    @cached_property
    def products(self) -> Floats:
        """The product of each column with the target [c]."""
        return np.asarray(self.x.T @ self.z)

    @property
    def strongest(self) -> float:
        """The largest of them, per row and without its sign: the lasso's penalty without a column."""
        return float(np.abs(self.products).max(initial=0.0)) / len(self.z)

    def core(self, slope: Floats) -> LinearCore:
        """The model on raw columns with coefficients `slope` [c] of these columns."""
        margin = self.high - self.low
        used = np.flatnonzero(slope)
        kept = slope[used] / self.scales[used]
        intercept = self.centre - float((kept * self.means[used]).sum())
        return LinearCore(intercept, used, kept, self.low - margin, self.high + margin)

    def by_information(self, path: Floats, count: int) -> Floats:
        """The coefficients [c] of a `path` [c, p] with the lowest AICc, `count` observations behind the rows.

        Degrees of freedom are the columns with a coefficient (Zou, Hastie and Tibshirani 2007).
        """
        squares = ((self.z[:, None] - self.x @ path) ** 2).mean(axis=0)
        size = 2.0 + (path != 0.0).sum(axis=0)
        room = np.maximum(count - size - 1.0, 0.5)
        criterion = count * np.log(np.maximum(squares, 1e-12)) + 2.0 * size * count / room
        return np.asarray(path[:, int(np.argmin(criterion))])
