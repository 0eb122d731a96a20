"""What stored models forecast for values that came later, and what they were worth.

A model's state is moved to an origin with what was known there, its parameters stay, and it
forecasts its horizon from there; so two models of one series are judged on the same stamps,
from the same origins, knowing the same. Nothing is fitted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from many_models.automl.candidates import SPARSE_CLASSES
from many_models.automl.model import SeriesModel
from many_models.automl.moving import moved, recoded
from many_models.automl.scores import SQUARED
from many_models.metrics import METRICS
from many_models.panel.demand import demand_class
from many_models.panel.preparation import Prepared
from many_models.panel.series import Bools, Floats, Future

Ints = npt.NDArray[np.int64]

MOST_ORIGINS = 20
"""From so many origins a series is forecast at most; where more would fit, they lie further apart."""

LEAST_STAMPS = 2
"""Fewer stamps have no standard error, and decide nothing."""


@dataclass(frozen=True)
class Realised:
    """Forecasts beside what came, one entry per origin and step with an actual.

    Attributes
    ----------
    origin, ordinal, step : [N]
        Ordinals of the last known value and of the forecast one; steps count after the gap.
    actual, mean : [N], quantiles : [N, Q]
    levels
        Of the quantiles.
    """

    origin: Ints
    ordinal: Ints
    step: Ints
    actual: Floats
    mean: Floats
    quantiles: Floats
    levels: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.actual)

    def losses(self, metric: str) -> Floats:
        """The loss [N] of every entry, in the terms in which a metric judges."""
        chosen = METRICS[metric]
        if chosen.judges == "quantiles":
            levels = np.asarray(self.levels)
            missed = self.actual[:, None] - self.quantiles
            return np.asarray(np.maximum(levels * missed, (levels - 1.0) * missed).mean(axis=1))
        if metric in SQUARED or chosen.judges == "mean":
            return np.asarray((self.actual - self.mean) ** 2)
        return np.asarray(np.abs(self.actual - self.quantiles[:, list(self.levels).index(0.5)]))

    def at(self, places: Ints) -> Realised:
        """The entries at these places."""
        return Realised(
            self.origin[places],
            self.ordinal[places],
            self.step[places],
            self.actual[places],
            self.mean[places],
            self.quantiles[places],
            self.levels,
        )


def loss_metric(metric: str, actual: Floats) -> str:
    """The metric that judges a series: `auto` is MASE, and RMSSE for sparse demand."""
    if metric != "auto":
        return metric
    known = actual[np.isfinite(actual)]
    return "rmsse" if known.size and demand_class(known) in SPARSE_CLASSES else "mase"


def origins_after(first: int, last: int, horizon: int, gap: int) -> Ints:
    """The origins from `first` on, a horizon apart, of which at least one step lies at or before `last`."""
    count = last - gap - first
    if count < 1:
        return np.array([], dtype=np.int64)
    apart = max(horizon, math.ceil(count / MOST_ORIGINS))
    return np.arange(first, last - gap, apart, dtype=np.int64)


def realised(model: SeriesModel, newer: Prepared, origins: Sequence[int] | Ints) -> Realised:
    """What a model forecasts from each origin, its state moved there, for the values that came after.

    Parameters
    ----------
    newer
        The series with what came later, on the model's own grid.
    origins
        Ordinals in order, none before the end of the model's own history: a state never moves back.
    """
    horizon, gap = model.horizon, model.gap
    parts: list[tuple[Ints, ...]] = []
    values: list[tuple[Floats, Floats, Floats]] = []
    for origin in map(int, origins):
        n = origin - newer.start + 1
        model = _moved_to(model, newer, n)
        ordinals = origin + gap + np.arange(1, horizon + 1, dtype=np.int64)
        actual = _observed(newer, ordinals)
        answer = model.forecast(_future(model, newer, n), _closed(newer, ordinals)).forecast
        known = np.flatnonzero(np.isfinite(actual) & np.isfinite(answer.mean))
        steps = ordinals - origin - gap
        parts.append((np.full(known.size, origin), ordinals[known], steps[known]))
        values.append((actual[known], answer.mean[known], answer.quantiles[known]))
    if not parts:
        nothing, none = np.array([], dtype=np.int64), np.array([])
        return Realised(nothing, nothing, nothing, none, none, np.empty((0, len(model.levels))), model.levels)
    whole = [np.concatenate([part[i] for part in parts]) for i in range(3)]
    found = [np.concatenate([value[i] for value in values]) for i in range(3)]
    return Realised(whole[0], whole[1], whole[2], found[0], found[1], found[2], model.levels)


def _moved_to(model: SeriesModel, newer: Prepared, n: int) -> SeriesModel:
    """The model with its state after the first `n` positions of newer rows."""
    n = min(n, newer.length)
    if n < 1:
        return model
    known = replace(newer, y=newer.y[:n], observed=newer.observed[:n], past_x=newer.past_x[:n])
    return moved(model, known)[0]


def _future(model: SeriesModel, newer: Prepared, n: int) -> Future:
    """The horizon after the first `n` positions, in the categories of the model."""
    future = newer.ahead(n, model.horizon, model.gap)
    return replace(future, known_x=recoded(future.known_x, newer.known, model.history.known))


def _observed(newer: Prepared, ordinals: Ints) -> Floats:
    """What was observed at these ordinals [H]; NaN where nothing was."""
    place = ordinals - newer.start
    there = (place >= 0) & (place < newer.length)
    actual = np.full(len(ordinals), np.nan)
    actual[there] = np.where(newer.observed, newer.y, np.nan)[place[there]]
    return actual


def _closed(newer: Prepared, ordinals: Ints) -> Bools:
    """Where the series is known to be closed at these ordinals [H]."""
    place = ordinals - newer.start
    there = (place >= 0) & (place < len(newer.closed))
    closed = np.zeros(len(ordinals), dtype=bool)
    closed[there] = newer.closed[place[there]]
    return closed


def paired(one: Realised, other: Realised) -> tuple[Realised, Realised]:
    """The entries of both at the origins and stamps that both have, in one order."""
    places = {at: i for i, at in enumerate(zip(one.origin.tolist(), one.ordinal.tolist(), strict=True))}
    pairs = [
        (places[at], j)
        for j, at in enumerate(zip(other.origin.tolist(), other.ordinal.tolist(), strict=True))
        if at in places
    ]
    left, right = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return one.at(left), other.at(right)


def standard_error(values: Floats) -> float:
    """The standard error of the mean of values [N]; NaN of fewer than two."""
    return float(values.std(ddof=1) / np.sqrt(values.size)) if values.size >= LEAST_STAMPS else float("nan")
