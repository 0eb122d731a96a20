"""Rolling-origin evaluation: every candidate on the same folds, its out-of-fold forecasts kept."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np

from many_models.automl.intervals import recency_scale
from many_models.automl.shared import GivenModel
from many_models.errors import LearnerError
from many_models.learners.base import Candidate, FitContext, FittedModel
from many_models.learners.table import learner
from many_models.metrics import mase_scale, rmsse_scale
from many_models.panel.series import Bools, Floats, Forecast, Future, Series

Race: TypeAlias = Callable[[Floats, Floats], bool]
"""Whether a candidate goes on, from its forecasts mean and median [F, H], of which the first is its own."""

LEFT_OUT = "LEFT_OUT"
"""The code of a candidate that a race ended."""

ABSURD_SPREAD = 20.0
"""A forecast further from the median of the history than this many times its largest deviation is absurd."""

STEADY_LENGTH = 60
"""A history of so many values is long: from there on the parameters of a `steady` learner are kept."""


class Observations(Protocol):
    """What a prepared series gives the evaluation: parts before a cutoff, and what came after."""

    def train(self, n: int) -> Series:
        """The first `n` positions."""

    def future(self, n: int, horizon: int, gap: int) -> Future:
        """The stamps of the horizon after the first `n` positions."""

    def actual(self, n: int, horizon: int, gap: int) -> Floats:
        """The target of that horizon [H], NaN where not observed."""


@dataclass(frozen=True)
class Trial:
    """What one candidate did on all folds.

    Attributes
    ----------
    candidate
        With the parameters as resolved in its first fit, so that nothing is searched twice.
    mean, median : [F, H]
        Its forecasts; the fallback's on a fold where it failed.
    failed : [F]
        Folds where the fallback stands in.
    error_code
        Of its last failure, or None.
    pooled, given
        Whether the series' group fitted it, and the model that it gave the series; None where it failed.
    """

    candidate: Candidate
    mean: Floats
    median: Floats
    failed: Bools
    fit_seconds: float
    predict_seconds: float
    error_code: str | None
    pooled: bool = False
    given: GivenModel | None = None


@dataclass(frozen=True)
class Folds:
    """The folds of one series, made once and shared by all candidates.

    Attributes
    ----------
    cutoffs
        Lengths of the training parts.
    train, future
        Past and horizon of each fold.
    limits
        The believable range of forecasts after each training part.
    scale : [F]
        The recency-weighted scale known at each cutoff.
    actual : [F, H]
        NaN where not observed.
    fallback_mean, fallback_median : [F, H]
        Seasonal naive's forecast, else naive's.
    """

    cutoffs: tuple[int, ...]
    train: tuple[Series, ...]
    future: tuple[Future, ...]
    limits: tuple[tuple[float, float], ...]
    scale: Floats
    actual: Floats
    fallback_mean: Floats
    fallback_median: Floats

    @cached_property
    def rmsse_scale(self) -> Floats:
        """The scale of RMSSE in each training part [F]."""
        return np.array([rmsse_scale(_observed(past)) for past in self.train])

    def change(self, season: int) -> float:
        """The root mean square of the target's one-step or seasonal differences, the smaller; 0 without any.

        Of the longest training part: how much there is to be wrong about, however quiet the folds are.
        """
        if not self.train:
            return 0.0
        known = [self.rmsse_scale[-1]]
        y = _observed(self.train[-1])
        if season > 1 and len(y) > season and not np.isnan(y[season:] - y[:-season]).all():
            known.append(np.sqrt(np.nanmean((y[season:] - y[:-season]) ** 2)))
        return float(min((c for c in known if c > 0), default=0.0))

    @cached_property
    def _mase_scales(self) -> dict[int, Floats]:
        return {}

    def mase_scale(self, season: int) -> Floats:
        """The scale of MASE in each training part [F]."""
        if season not in self._mase_scales:
            self._mase_scales[season] = np.array([mase_scale(_observed(past), season) for past in self.train])
        return self._mase_scales[season]


def _observed(past: Series) -> Floats:
    """Its target [T], NaN where not observed."""
    return np.where(past.observed, past.y, np.nan)


def make_folds(observations: Observations, cutoffs: Sequence[int], context: FitContext) -> Folds:
    """The folds at these cutoffs, with the fallback's forecasts."""
    horizon, gap = context.horizon, context.gap
    train = tuple(observations.train(n) for n in cutoffs)
    future = tuple(observations.future(n, horizon, gap) for n in cutoffs)
    actual = np.array([observations.actual(n, horizon, gap) for n in cutoffs]).reshape(len(cutoffs), horizon)
    means, medians = np.empty_like(actual), np.empty_like(actual)
    for i, (past, ahead) in enumerate(zip(train, future, strict=True)):
        forecast = fit_fallback(past, context).predict(ahead)
        means[i], medians[i] = forecast.mean, forecast.median
    limits = tuple(believable(past.y) for past in train)
    scale = np.array([recency_scale(past.y, past.observed, context.season) for past in train])
    return Folds(tuple(cutoffs), train, future, limits, scale, actual, means, medians)


def fit_fallback(series: Series, context: FitContext) -> FittedModel:
    """Seasonal naive where the series is long enough for it, else naive; it cannot fail."""
    bare = series.without_known()
    if context.season > 1:
        seasonal = learner("seasonal_naive")
        for candidate in seasonal.candidates(bare, context):
            try:
                return seasonal.fit(bare, candidate.parameters, context)
            except LearnerError:
                break
    return learner("naive").fit(bare, {}, context)


def run_trial(candidate: Candidate, folds: Folds, context: FitContext, race: Race | None = None) -> Trial:
    """The candidate on every fold. A failure on a fold is recorded, and the fallback scores there.

    Each fold has a fit of its own, but for a learner that is `steady` on a long history. No fold is
    begun after the deadline of `context`, nor after a race that was lost on the first.
    """
    mean, median = folds.fallback_mean.copy(), folds.fallback_median.copy()
    failed = np.zeros(len(folds.cutoffs), dtype=bool)
    code: str | None = None
    fitting = predicting = 0.0
    tried, searched = candidate, False
    steady: FittedModel | None = None
    for i, (past, ahead, limits) in enumerate(zip(folds.train, folds.future, folds.limits, strict=True)):
        try:
            if context.deadline.passed:
                raise LearnerError("DEADLINE", "no time was left for this fold")
            started = time.perf_counter()
            if steady is None:
                fitted = fit_candidate(tried, past, context)
            else:
                fitted = update_candidate(tried, steady, past)
            middle = time.perf_counter()
            fitting += middle - started
            forecast = predict_candidate(candidate, fitted, ahead, limits)
            predicting += time.perf_counter() - middle
            mean[i], median[i] = forecast.mean, forecast.median
            if len(past) >= STEADY_LENGTH and learner(tried.learner).info.steady:
                steady = fitted
            if not searched:
                tried, searched = replace(candidate, parameters=fitted.parameters), True
            if i == 0 and race is not None and not race(mean, median):
                failed[:], code = True, LEFT_OUT
                break
        except LearnerError as trouble:
            failed[i], code = True, trouble.code
    return Trial(tried, mean, median, failed, fitting, predicting, code)


def fit_candidate(candidate: Candidate, series: Series, context: FitContext) -> FittedModel:
    """The candidate fitted on `series`; whatever a library raises comes as a LearnerError."""
    past = series if candidate.uses_known else series.without_known()
    with edge(candidate.learner):
        return learner(candidate.learner).fit(past, candidate.parameters, context)


def update_candidate(candidate: Candidate, fitted: FittedModel, series: Series) -> FittedModel:
    """The fitted candidate with its state at the end of the longer `series`, its parameters as they are."""
    past = series if candidate.uses_known else series.without_known()
    with edge(candidate.learner):
        return fitted.update(past)


def predict_candidate(
    candidate: Candidate, fitted: FittedModel, future: Future, limits: tuple[float, float]
) -> Forecast:
    """The forecast of a fitted candidate; one that is not finite or outside of `limits` is a LearnerError."""
    with edge(candidate.learner):
        forecast = fitted.predict(future if candidate.uses_known else future.without_known())
    check_forecast(forecast, limits)
    return forecast


def check_forecast(forecast: Forecast, limits: tuple[float, float]) -> None:
    """Raises LearnerError NOT_FINITE or ABSURD_FORECAST where no one would believe the forecast.

    `limits` are what `believable` says of the history.
    """
    if not (np.isfinite(forecast.mean).all() and np.isfinite(forecast.quantiles).all()):
        raise LearnerError("NOT_FINITE", "the forecast has values that are not finite")
    low, high = limits
    # The median is what is scored, the mean is what is summed: both must be believable.
    for values in (forecast.mean, forecast.median):
        if len(values) and (values.min() < low or values.max() > high):
            raise LearnerError("ABSURD_FORECAST", f"outside of {low:.6g} … {high:.6g}")


def believable(y: Floats) -> tuple[float, float]:
    """The range outside of which a forecast after the history `y` [T] is absurd."""
    middle = float(np.median(y))
    spread = float(np.abs(y - middle).max())
    # A constant history says nothing of its spread; its own size stands in.
    reach = ABSURD_SPREAD * max(spread, 0.1 * abs(middle), 1e-9)
    return middle - reach, middle + reach


@contextmanager
def edge(name: str) -> Iterator[None]:
    """Warnings of the libraries below stay here, and their exceptions become LearnerErrors."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    except (LearnerError, MemoryError):
        raise
    except Exception as trouble:
        # This is the edge where one candidate's trouble on one series ends (promise 2).
        raise LearnerError("EXCEPTION", f"{name}: {type(trouble).__name__}: {trouble}") from trouble
