"""What a model learns of a target: its scale, and the level that it is told relative to, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from many_models.errors import LearnerError
from many_models.features.lags import known_position
from many_models.features.rows import Rows
from many_models.learners.base import FitContext
from many_models.panel.series import Floats

TRANSFORMS = ("none", "log", "log1p", "box_cox")

LARGEST_EXPONENT = 200.0
"""Beyond it an exponential times the unit of a target might be infinite."""
LOWEST = 1e-3
"""Of the unit: what a later zero counts as in a log that was fitted on values above zero."""
MOST_LOG_VARIANCE = 1.0
"""A mean is at most exp(1/2) = 1.65 times its median, whatever the residuals say."""
LEAST_POWER = 0.01
"""Below it a Box-Cox power is the log."""

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
"""Where a standard normal is read for an expected value, and how much each place counts."""


def transform_for(context: FitContext) -> str:
    """The transform that the settings ask for, where the history allows one; auto = the log."""
    if not context.nonnegative:
        return "none"
    return "log" if context.features.transform == "auto" else context.features.transform


@dataclass(frozen=True)
class TargetScale:
    """How a target becomes the number that a model learns, and back.

    With m = (y + offset) / unit: `none` learns m, `log` log(m), `log1p` log(1 + y) and `box_cox`
    (m^power - 1) / power (Box and Cox 1964).
    """

    transform: str
    offset: float
    unit: float
    power: float = 1.0

    @classmethod
    def of(cls, y: Floats, transform: str, season: int = 1) -> Self:
        """The scale for a training part; a target with zeros is moved up before its log or power is taken.

        Raises
        ------
        LearnerError
            `NEGATIVE` for values below zero, unless `transform` is none.
        """
        if transform == "none":
            centre = float(y.mean())
            spread = float(np.abs(y - centre).mean())
            return cls(transform, -centre, spread if spread > 0.0 else 1.0)
        low, mean = float(y.min()), float(y.mean())
        if low < 0.0:
            raise LearnerError("NEGATIVE", f"{transform} of a target of {low:g}")
        if transform == "log1p":
            return cls(transform, 1.0, 1.0)
        if not mean > 0.0:
            return cls("log", 1.0, 1.0)
        offset = 0.0 if low > 0.02 * mean else 0.1 * mean
        if transform == "log":
            return cls(transform, offset, mean)
        power = best_power((y + offset) / mean, trend_and_season(len(y), season))
        return cls(transform, offset, mean, power) if power >= LEAST_POWER else cls("log", offset, mean)

    @property
    def floor(self) -> float:
        """The lowest value of a forecast: 0 for logs and powers, else minus infinity."""
        return -np.inf if self.transform == "none" else 0.0

    def forward(self, y: Floats) -> Floats:
        """The numbers a model learns [n]."""
        if self.transform == "none":
            return (y + self.offset) / self.unit
        if self.transform == "log1p":
            return np.log1p(np.maximum(y, 0.0))
        logs = np.log(np.maximum((y + self.offset) / self.unit, LOWEST))
        return logs if self.transform == "log" else np.expm1(self.power * logs) / self.power

    def backward(self, z: Floats) -> Floats:
        """Targets for numbers of the model [n], in the same order: quantiles stay quantiles."""
        return np.maximum(self._moved(z) * self.unit - self.offset, self.floor)

    def _moved(self, z: Floats) -> Floats:
        if self.transform == "none":
            return z
        if self.transform == "box_cox":
            z = np.log1p(np.maximum(self.power * z, -1.0 + 1e-12)) / self.power
        return np.exp(np.clip(z, -LARGEST_EXPONENT, LARGEST_EXPONENT))

    def mean(self, z: Floats, variance: Floats) -> Floats:
        """Expected targets for a normal error with `variance` [n] around `z` [n].

        The mean of a log-normal for logs; for powers the inverse averaged over the error.
        """
        if self.transform == "none":
            return self.backward(z)
        spread = np.minimum(variance, MOST_LOG_VARIANCE)
        if self.transform != "box_cox":
            return self.backward(z + spread / 2)
        around = z[:, None] + np.sqrt(spread)[:, None] * NODES
        return np.asarray((self.backward(around) * WEIGHTS).sum(axis=1))

    def to_list(self) -> list[Any]:
        """This scale as JSON values."""
        return [self.transform, self.offset, self.unit, self.power]

    @classmethod
    def from_list(cls, data: list[Any]) -> Self:
        """The scale that gave this `to_list()`."""
        transform, offset, unit, power = data
        return cls(str(transform), float(offset), float(unit), float(power))


def trend_and_season(count: int, season: int) -> Floats:
    """Orthonormal columns that span a constant, a line and two waves of the season [count, k]."""
    t = np.arange(count) / max(count - 1, 1)
    columns = [np.ones(count), t]
    if 1 < season <= count // 2:
        angle = 2.0 * np.pi * np.arange(count) / season
        waves = (1, 2) if season > 4 else (1,)
        columns += [part(wave * angle) for wave in waves for part in (np.sin, np.cos)]
    basis, _ = np.linalg.qr(np.column_stack(columns[: max(1, count // 4)]))
    return np.asarray(basis)


GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0


def best_power(values: Floats, basis: Floats) -> float:
    """The Box-Cox power between 0 and 1 with the highest profile likelihood.

    The likelihood is that of what orthonormal `basis` [n, k] leaves of `values` [n], all above 0.
    Below 0 an inverse has a pole, above 1 it only stretches: neither is searched.
    """
    logs = np.log(values)
    total, count = float(logs.sum()), len(values)

    def loss(power: float) -> float:
        z = np.expm1(power * logs) / power if power >= LEAST_POWER else logs
        rest = z - basis @ (basis.T @ z)
        variance = max(float(rest @ rest) / count, 1e-300)
        return 0.5 * count * float(np.log(variance)) - (power - 1.0) * total

    if float(np.ptp(logs)) < 1e-12:
        return 1.0
    low, high = 0.0, 1.0
    inner = [high - GOLDEN * (high - low), low + GOLDEN * (high - low)]
    found = [loss(power) for power in inner]
    while high - low > 1e-3:
        if found[0] <= found[1]:
            high = inner[1]
            inner = [high - GOLDEN * (high - low), inner[0]]
            found = [loss(inner[0]), found[0]]
        else:
            low = inner[0]
            inner = [inner[1], low + GOLDEN * (high - low)]
            found = [found[1], loss(inner[1])]
    return float(min((0.0, 0.5 * (low + high), 1.0), key=loss))


@dataclass(frozen=True)
class Level:
    """What targets and lags are told relative to; each row knows its own at its cutoff.

    Attributes
    ----------
    kind
        none; mean = the mean of the last `width` values (of one: first differences); seasonal = the
        last value of the same season; both = that, moved on by the last seasonal change per season.
    width
        Values of the mean, or the season.
    """

    kind: str
    width: int

    @property
    def memory(self) -> int:
        """How many last values are read."""
        return {"none": 0, "both": self.width + 1}.get(self.kind, self.width)

    @property
    def first(self) -> int:
        """How many values must lie before a row; a mean at the start of a history takes what there is."""
        return {"none": 0, "mean": 1}.get(self.kind, self.memory)

    def of(self, rows: Rows) -> Floats:
        """The level of each row [n]."""
        if self.kind == "none":
            return rows.level
        y, cutoff = rows.y, rows.cutoff
        if self.kind == "mean":
            block = y[np.maximum(cutoff[:, None] - np.arange(self.width), 0)]
            return np.asarray(block.mean(axis=1))
        newest = known_position(rows.target, cutoff, self.width)
        if self.kind == "seasonal":
            return y[newest]
        seasons = (rows.target - newest) // self.width
        return np.asarray(y[newest] + seasons * (y[cutoff] - y[cutoff - self.width]))

    def to_list(self) -> list[Any]:
        """The level as JSON values."""
        return [self.kind, self.width]

    @classmethod
    def from_list(cls, data: list[Any]) -> Self:
        """The level that gave this `to_list()`."""
        return cls(str(data[0]), int(data[1]))


def stated_level(difference: str, count: int, season: int, reach: int) -> Level:
    """The level that a stated `features.difference` asks for on `count` values.

    A seasonal one needs a season, and two of it beside the `reach` of the forecast: with less it is
    the first difference.
    """
    if difference == "off":
        return Level("none", 0)
    if difference == "first" or season <= 1 or count < 2 * season + reach:
        return Level("mean", 1)
    return Level(difference, season)
