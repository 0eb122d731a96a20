"""What linear models share: the scale of the target, ridge in closed form, sums that repeat bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from many_models.errors import LearnerError
from many_models.panel.series import Bools, Floats, Future, Series

LARGEST_EXPONENT = 200.0
"""Beyond it an exponential times the unit of a target might be infinite."""
MOST_LOG_VARIANCE = 1.0
"""A mean is at most exp(1/2) = 1.65 times its median, whatever the residuals say."""


@dataclass(frozen=True)
class TargetScale:
    """How a target becomes the number that a model learns, and back.

    `log`: log((y + offset) / unit); else (y - centre) / unit with `offset` = -centre.
    """

    log: bool
    offset: float
    unit: float
    floor: float
    """Lowest value of a forecast: 0 for logs, else minus infinity."""

    @classmethod
    def of(cls, y: Floats, log: bool) -> Self:
        """The scale for a training part; a target with zeros is moved up before its log is taken."""
        if log:
            mean = float(y.mean())
            if not mean > 0.0:
                return cls(True, 1.0, 1.0, 0.0)
            low = float(y.min())
            return cls(True, 0.0 if low > 0.02 * mean else 0.1 * mean, mean, 0.0)
        centre = float(y.mean())
        spread = float(np.abs(y - centre).mean())
        return cls(False, -centre, spread if spread > 0.0 else 1.0, -np.inf)

    def forward(self, y: Floats) -> Floats:
        """The numbers a model learns [n]."""
        moved = (y + self.offset) / self.unit
        return np.log(moved) if self.log else moved

    def backward(self, z: Floats) -> Floats:
        """Targets for numbers of the model [n]; the median of a symmetric error stays the median."""
        moved = np.exp(np.clip(z, -LARGEST_EXPONENT, LARGEST_EXPONENT)) if self.log else z
        return np.maximum(moved * self.unit - self.offset, self.floor)

    def mean(self, z: Floats, variance: Floats) -> Floats:
        """Expected targets for a normal error with `variance` [n] around `z` [n]."""
        if not self.log:
            return self.backward(z)
        return self.backward(z + np.minimum(variance, MOST_LOG_VARIANCE) / 2)

    def to_list(self) -> list[Any]:
        """This scale as JSON values."""
        return [self.log, self.offset, self.unit]

    @classmethod
    def from_list(cls, data: list[Any]) -> Self:
        """The scale that gave this `to_list()`."""
        log, offset, unit = data
        return cls(bool(log), float(offset), float(unit), 0.0 if log else -np.inf)


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


def standardise(x: Floats, z: Floats) -> tuple[Floats, Floats, Floats, float]:
    """Columns with mean 0 and variance 1 [n, c], their means [c] and scales [c], and the mean of `z`.

    A constant column becomes zero and gets no coefficient.
    """
    means = x.mean(axis=0)
    centred = x - means
    scales = np.sqrt((centred**2).mean(axis=0))
    # Targets and their lags are of size one, so that less than 1e-10 is rounding.
    constant = scales <= np.maximum(1e-9 * np.abs(means), 1e-10)
    centred[:, constant] = 0.0
    scales[constant] = 1.0
    return centred / scales, means, scales, float(z.mean())


def ridge(x: Floats, z: Floats, penalties: tuple[float, ...] = PENALTIES) -> LinearFit:
    """Ridge regression of `z` [n] on `x` [n, c] with the penalty that leave-one-out errors prefer.

    Closed form over all penalties from one eigendecomposition (Golub, Heath and Wahba 1979;
    Hastie, Tibshirani and Friedman, section 7.10): no fold is ever refitted.
    """
    count, columns = x.shape
    if columns == 0:
        centre = float(z.mean())
        loo = (z - centre) * (count / (count - 1))
        return LinearFit(centre, np.empty(0), 0.0, loo)
    standard, means, scales, centre = standardise(x, z)
    target = z - centre
    values, vectors = np.linalg.eigh(standard.T @ standard)
    values = np.maximum(values, 0.0)
    basis = standard @ vectors
    score = basis.T @ target
    shrink = 1.0 / (values[:, None] + count * np.array(penalties))
    fitted = basis @ (score[:, None] * shrink)
    leverage = 1.0 / count + (basis * basis) @ shrink
    errors = (target[:, None] - fitted) / np.maximum(1.0 - leverage, 0.02)
    best = int(np.argmin((errors * errors).mean(axis=0)))
    slope = vectors @ (score * shrink[:, best]) / scales
    return LinearFit(
        centre - float((slope * means).sum()), slope, penalties[best], np.ascontiguousarray(errors[:, best])
    )


def kept_rows(observed: Bools, fewest: int) -> Bools:
    """The rows to learn from [n]: the observed ones, or all where hardly any were observed."""
    return observed if int(observed.sum()) >= fewest else np.ones_like(observed)
