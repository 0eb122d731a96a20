"""Folds: the same for all candidates, blind to what comes later, and never stopped by one candidate."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.automl.evaluation import (
    ABSURD_SPREAD,
    STEADY_LENGTH,
    believable,
    check_forecast,
    fit_candidate,
    fit_fallback,
    make_folds,
    predict_candidate,
    run_trial,
)
from many_models.errors import LearnerError
from many_models.learners.base import Candidate, Deadline
from many_models.learners.table import LEARNERS, learner
from many_models.panel.series import Forecast

CHEAP = (
    "naive",
    "seasonal_naive",
    "drift",
    "average",
    "seasonal_average",
    "arx",
    "elastic_net",
    "theta",
    "ces",
)


@dataclass(frozen=True)
class Stub:
    """A fitted model that says what it was told to say."""

    mean: float
    median: float
    noisy: bool = False

    def predict(self, future):
        if self.noisy:
            warnings.warn("a library talks", stacklevel=1)
            raise ZeroDivisionError("a library stumbles")
        return Forecast.point(np.full(len(future), self.mean), np.full(len(future), self.median))


def test_folds_hold_what_was_known_and_what_came(handmade, context):
    folds = make_folds(handmade(np.arange(20.0)), (8, 12), context(4, gap=1))
    assert [len(s) for s in folds.train] == [8, 12]
    np.testing.assert_array_equal(folds.actual, [[9, 10, 11, 12], [13, 14, 15, 16]])
    np.testing.assert_array_equal(folds.future[0].ordinals, [109, 110, 111, 112])
    np.testing.assert_array_equal(folds.fallback_median, [[7] * 4, [11] * 4])


def test_actuals_beyond_the_end_and_holes_are_missing(handmade, context):
    y = np.arange(14.0)
    y[9] = np.nan
    folds = make_folds(handmade(y), (8, 12), context(4))
    np.testing.assert_array_equal(folds.actual, [[8, np.nan, 10, 11], [12, 13, np.nan, np.nan]])


def test_no_folds_are_no_trouble(handmade, context):
    folds = make_folds(handmade(np.arange(9.0)), (), context(4))
    trial = run_trial(Candidate("naive", "naive"), folds, context(4))
    assert folds.actual.shape == trial.mean.shape == (0, 4)
    assert trial.error_code is None


def test_the_fallback_is_seasonal_where_a_season_is_there_and_naive_where_not(handmade, context):
    y = handmade(np.arange(10.0))
    seasonal = fit_fallback(y.train(10), context(4, season=4)).predict(y.future(10, 4, 0))
    short = fit_fallback(y.train(3), context(4, season=4)).predict(y.future(3, 4, 0))
    np.testing.assert_array_equal(seasonal.mean, [6, 7, 8, 9])
    np.testing.assert_array_equal(short.mean, [2, 2, 2, 2])


def test_a_candidate_that_fails_on_one_fold_scores_as_the_fallback_there(handmade, context):
    folds = make_folds(handmade(np.arange(30.0)), (10, 16, 22), context(4))
    trial = run_trial(Candidate("average_12", "average", {"window": 12}), folds, context(4))
    np.testing.assert_array_equal(trial.failed, [True, False, False])
    assert trial.error_code == "TOO_SHORT"
    np.testing.assert_array_equal(trial.median[0], folds.fallback_median[0])
    np.testing.assert_array_equal(trial.median[1], [np.arange(4, 16).mean()] * 4)


def test_an_absurd_forecast_scores_as_the_fallback(handmade, context):
    """One jump at the end of a short part, continued as a line over a long horizon, leaves all proportion."""
    y = np.r_[0, 0, 0, 0, 0, 0, 100.0, np.zeros(150)]
    folds = make_folds(handmade(y), (7, 40), context(120))
    trial = run_trial(Candidate("drift", "drift"), folds, context(120))
    np.testing.assert_array_equal(trial.failed, [True, False])
    assert trial.error_code == "ABSURD_FORECAST"
    np.testing.assert_array_equal(trial.mean[0], folds.fallback_mean[0])


@pytest.mark.parametrize("name", [name for name, entry in LEARNERS.items() if entry.info.steady])
def test_a_steady_learner_is_fitted_once_on_a_long_history_and_moved_on(handmade, context, name):
    rng = np.random.default_rng(3)
    data = handmade(50 + np.cumsum(rng.normal(size=120)) + 5 * np.sin(np.arange(120) * np.pi / 6))
    asked, candidate = context(6, season=12), Candidate(name, name)
    for cutoffs in ((STEADY_LENGTH, 90, 110), (STEADY_LENGTH - 1, 90, 110), (30, 40, 50)):
        trial = run_trial(candidate, make_folds(data, cutoffs, asked), asked)
        fits = [fit_candidate(candidate, data.train(n), asked) for n in cutoffs]
        place = next((i for i, n in enumerate(cutoffs) if n >= STEADY_LENGTH), len(cutoffs))
        moved = [
            fit if i <= place else fits[place].update(data.train(cutoffs[i])) for i, fit in enumerate(fits)
        ]
        told = [model.predict(data.future(n, 6, 0)).mean for model, n in zip(moved, cutoffs, strict=True)]
        np.testing.assert_array_equal(trial.mean, told)
        assert not trial.failed.any()


def test_a_candidate_that_raises_anything_fails_with_a_code(handmade, context):
    folds = make_folds(handmade(np.arange(30.0)), (10, 16), context(4))
    trial = run_trial(Candidate("ghost", "no such learner"), folds, context(4))
    assert trial.failed.all()
    assert trial.error_code == "EXCEPTION"
    np.testing.assert_array_equal(trial.mean, folds.fallback_mean)


def test_warnings_and_exceptions_of_libraries_stay_inside(handmade):
    future = handmade(np.arange(9.0)).future(9, 3, 0)
    with pytest.raises(LearnerError, match="ZeroDivisionError") as caught:
        predict_candidate(Candidate("stub", "stub"), Stub(0, 0, noisy=True), future, (-1.0, 1.0))
    assert caught.value.code == "EXCEPTION"


@pytest.mark.parametrize(
    ("mean", "median", "code"),
    [
        (np.nan, 1.0, "NOT_FINITE"),
        (1.0, np.inf, "NOT_FINITE"),
        (1e6, 1.0, "ABSURD_FORECAST"),
        (1.0, -1e6, "ABSURD_FORECAST"),
        (1.0, 1.0, None),
    ],
)
def test_forecasts_nobody_would_believe_are_refused(handmade, mean, median, code):
    data = handmade(np.arange(9.0))
    limits = believable(data.train(9).y)
    if code is None:
        predict_candidate(Candidate("stub", "stub"), Stub(mean, median), data.future(9, 3, 0), limits)
        return
    with pytest.raises(LearnerError) as caught:
        predict_candidate(Candidate("stub", "stub"), Stub(mean, median), data.future(9, 3, 0), limits)
    assert caught.value.code == code


def test_what_is_believable_follows_the_spread_of_the_history():
    low, high = believable(np.array([10.0, 12, 11, 9, 8]))
    assert (low, high) == (10 - ABSURD_SPREAD * 2, 10 + ABSURD_SPREAD * 2)


def test_a_constant_history_allows_forecasts_of_its_own_size():
    low, high = believable(np.full(8, -50.0))
    assert low < -100 < -50 < 0 < high
    check_forecast(Forecast.point(np.full(3, -60.0)), (low, high))


def test_no_fold_is_begun_after_the_deadline(handmade, context):
    folds = make_folds(handmade(np.arange(30.0)), (10, 16), context(4))
    trial = run_trial(Candidate("naive", "naive"), folds, context(4, deadline=Deadline.after(0.0)))
    assert trial.failed.all()
    assert trial.error_code == "DEADLINE"
    assert trial.fit_seconds == 0


def test_a_candidate_without_covariates_never_sees_them(handmade, context):
    known = np.random.default_rng(3).normal(size=(40, 2))
    y = 5 * known[:32, 0] + 20
    data = handmade(y, known)
    candidates = learner("arx").candidates(data.train(32), context(4))
    free = next(c for c in candidates if not c.uses_known)
    with_known = next(c for c in candidates if c.uses_known)
    blank = handmade(y, np.zeros((40, 0)))
    limits = believable(data.train(32).y)
    first, second = (
        predict_candidate(free, fit_candidate(free, d.train(32), context(4)), d.future(32, 4, 0), limits)
        for d in (data, blank)
    )
    np.testing.assert_array_equal(first.mean, second.mean)
    fitted = fit_candidate(with_known, data.train(32), context(4))
    answer = predict_candidate(with_known, fitted, data.future(32, 4, 0), limits)
    np.testing.assert_allclose(answer.mean, 5 * known[32:36, 0] + 20, rtol=0.2, atol=1.0)


def test_an_order_is_searched_once_and_kept_on_the_other_folds(handmade, context):
    rng = np.random.default_rng(5)
    data = handmade(np.cumsum(rng.normal(size=60)) + 50)
    folds = make_folds(data, (40, 48), context(4))
    candidate = learner("auto_arima").candidates(data.train(60), context(4))[0]
    trial = run_trial(candidate, folds, context(4))
    assert trial.error_code is None
    fitted = fit_candidate(candidate, folds.train[0], context(4))
    assert trial.candidate.parameters == fitted.parameters


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6), value=st.sampled_from([np.nan, 1e30, -7.0]))
@pytest.mark.parametrize("name", CHEAP)
def test_nothing_after_a_cutoff_changes_the_forecast_of_that_fold(handmade, context, name, seed, value):
    """Replacing every later target leaves the forecasts of the fold as they were, bit for bit."""
    rng = np.random.default_rng(seed)
    known = rng.normal(size=(70, 1))
    y = 30 + 5 * np.sin(np.arange(60) * np.pi / 2) + 3 * known[:60, 0] + rng.normal(size=60)
    y[rng.integers(3, 20, 2)] = np.nan
    data, settings_ = handmade(y, known, "QS-JAN"), context(6, season=4, score_season=4, seed=1)
    cutoffs = (30, 37, 44)
    folds = make_folds(data, cutoffs, settings_)
    candidates = learner(name).candidates(data.train(60), settings_)
    assert candidates
    for f, cutoff in enumerate(cutoffs):
        other = make_folds(data.after(cutoff, value), cutoffs[: f + 1], settings_)
        np.testing.assert_array_equal(other.fallback_median[f], folds.fallback_median[f])
        for candidate in candidates:
            before, after = run_trial(candidate, folds, settings_), run_trial(candidate, other, settings_)
            np.testing.assert_array_equal(after.mean[f], before.mean[f])
            np.testing.assert_array_equal(after.median[f], before.median[f])
            assert not before.failed.any()
