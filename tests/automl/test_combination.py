"""Weights against a slow, obvious second implementation of the rule, and its corner cases."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.automl.combination import (
    MOST_MEMBERS,
    candidate_weights,
    combined,
    greedy_weights,
    relative_log_errors,
    without_negligible,
)
from many_models.automl.prior import CandidatePrior


def slow_weights(errors, names, priors):
    """The rule, one number at a time: shrunken relative log errors, then exp(-4 x)."""
    folds = len(errors[0])
    shrunk = []
    for k, name in enumerate(names):
        relative = []
        for f in range(folds):
            logs = [math.log(row[f]) for row in errors]
            relative.append(logs[k] - statistics.median(logs))
        prior = priors[name]
        if folds:
            trust = prior.series_variance / (prior.series_variance + prior.fold_variance / folds)
            shrunk.append(prior.mean + trust * (statistics.fmean(relative) - prior.mean))
        else:
            shrunk.append(prior.mean)
    powers = [math.exp(-4 * x) for x in shrunk]
    return [p / sum(powers) for p in powers]


variances = st.floats(0.01, 2.0)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_weights_agree_with_the_rule_written_out_in_loops(data):
    count, folds = data.draw(st.integers(2, 7)), data.draw(st.integers(0, 6))
    # All within a factor of e² of each other: beyond it relative errors are cut.
    error = st.floats(1.0, 7.0)
    errors = data.draw(
        st.lists(st.lists(error, min_size=folds, max_size=folds), min_size=count, max_size=count)
    )
    names = [f"c{k}" for k in range(count)]
    priors = {
        name: CandidatePrior(data.draw(st.floats(-1, 1)), data.draw(variances), data.draw(variances))
        for name in names
    }
    found = candidate_weights(np.array(errors).reshape(count, folds), names, priors, 24)
    np.testing.assert_allclose(found, slow_weights(errors, names, priors), rtol=1e-9)
    assert found.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(("values", "power"), [(0, 0.0), (16, 1.0), (40, 2.5), (64, 4.0), (640, 4.0)])
def test_without_a_prior_weights_fall_with_the_error_as_fast_as_folds_allow(values, power):
    errors = np.array([[1.0, 4.0, 2.0], [2.0, 3.0, 5.0], [7.0, 1.0, 1.5]])
    mean = np.prod(errors, axis=1) ** (1 / 3)
    expected = mean**-power / (mean**-power).sum()
    np.testing.assert_allclose(candidate_weights(errors, ["a", "b", "c"], {}, values), expected)


def test_without_folds_and_prior_all_candidates_count_alike():
    np.testing.assert_allclose(candidate_weights(np.empty((4, 0)), list("abcd"), {}, 0), 0.25)


def test_a_candidate_that_the_prior_does_not_know_counts_as_middling():
    priors = {"a": CandidatePrior(-0.2, 0.1, 0.1), "b": CandidatePrior(0.4, 0.1, 0.1)}
    weights = candidate_weights(np.empty((3, 0)), ["a", "b", "new"], priors, 0)
    expected = np.exp(-4 * np.array([-0.2, 0.4, 0.0]))
    np.testing.assert_allclose(weights, expected / expected.sum())


def test_many_folds_overrule_the_prior_and_few_do_not():
    priors = {"liked": CandidatePrior(-0.3, 0.5, 0.05), "other": CandidatePrior(0.3, 0.5, 0.05)}
    for folds, winner in ((1, "liked"), (500, "other")):
        errors = np.tile([[2.0], [1.0]], (1, folds))
        weights = candidate_weights(errors, ["liked", "other"], priors, folds)
        assert ["liked", "other"][int(weights.argmax())] == winner


def test_one_lucky_fold_cannot_decide_everything():
    errors = np.array([[0.0, 3.0, 3.0], [1.0, 1.0, 1.0], [1.1, 1.1, 1.1]])
    relative = relative_log_errors(errors)
    assert np.isfinite(relative).all()
    assert relative[0, 0] == -3.0


@pytest.mark.parametrize("errors", [np.zeros((3, 2)), np.array([[0.0], [0.0], [5.0]])])
def test_errors_of_zero_give_finite_weights(errors):
    weights = candidate_weights(errors, ["a", "b", "c"], {}, 64)
    assert np.isfinite(weights).all()
    assert weights.sum() == pytest.approx(1.0)
    assert weights[0] == weights[1] >= weights[2]


def test_the_scale_of_a_fold_does_not_matter():
    errors = np.array([[1.0, 4.0], [2.0, 3.0], [7.0, 1.0]])
    first = candidate_weights(errors, list("abc"), {}, 64)
    np.testing.assert_allclose(first, candidate_weights(errors * [1e-9, 1e9], list("abc"), {}, 64))


def test_best_gives_everything_to_one_and_mean_the_same_to_all():
    errors = np.array([[3.0], [1.0], [2.0]])
    np.testing.assert_array_equal(candidate_weights(errors, list("abc"), {}, 8, "best"), [0, 1, 0])
    for combine in ("mean", "median"):
        np.testing.assert_allclose(candidate_weights(errors, list("abc"), {}, 8, combine), 1 / 3)


def test_negligible_members_are_dropped_and_the_rest_sums_to_one():
    weights = without_negligible(np.array([0.6, 0.385, 0.015]))
    assert weights[2] == 0
    np.testing.assert_allclose(weights[:2], np.array([0.6, 0.385]) / 0.985)


def test_an_ensemble_keeps_no_more_members_than_it_may_and_of_equals_the_earlier():
    count = MOST_MEMBERS + 5
    kept = without_negligible(np.full(count, 1 / count))
    np.testing.assert_array_equal(np.flatnonzero(kept), np.arange(MOST_MEMBERS))
    assert np.count_nonzero(without_negligible(np.full(60, 1 / 60), 3)) == 3


def test_weights_below_the_threshold_everywhere_still_leave_an_ensemble():
    kept = without_negligible(np.full(200, 1 / 200))
    assert kept.sum() == pytest.approx(1.0)


def test_the_median_combination_ignores_candidates_without_weight():
    forecasts = np.array([[1.0, 1.0], [2.0, 5.0], [3.0, 3.0], [1e9, 1e9]])
    weights = np.array([1, 1, 1, 0]) / 3
    np.testing.assert_array_equal(combined(forecasts, weights, "median"), [2.0, 3.0])
    np.testing.assert_allclose(combined(forecasts, weights), [2.0, 3.0])


def slow_greedy(forecasts, actual, rounds=20):
    """Caruana's selection written out: a bag, and the addition that helps its mean most."""

    def loss(bag):
        mean = [sum(forecasts[k][f] for k in bag) / len(bag) for f in range(len(actual))]
        return sum(math.log(float(np.abs(m - a).mean())) for m, a in zip(mean, actual, strict=True)) / len(
            actual
        )

    alone = [loss([k]) for k in range(len(forecasts))]
    order = sorted(range(len(alone)), key=lambda k: (alone[k], k))[:5]
    bag = [k for k in order if alone[k] <= alone[order[0]] + math.log(1.05)]
    for _ in range(rounds):
        tried = [loss([*bag, k]) for k in range(len(forecasts))]
        best = min(range(len(tried)), key=lambda k: (tried[k], k))
        if not tried[best] < loss(bag) - 1e-9:
            break
        bag.append(best)
    return np.bincount(bag, minlength=len(forecasts)) / len(bag)


@pytest.mark.parametrize("seed", range(8))
def test_greedy_selection_agrees_with_a_bag_of_names(seed):
    rng = np.random.default_rng(seed)
    actual = rng.normal(size=(4, 3))
    forecasts = actual + rng.normal(size=(6, 4, 3)) + rng.normal(size=(6, 1, 1))
    level = np.log(np.abs(forecasts - actual).mean(axis=2)).mean(axis=1)
    found = greedy_weights(forecasts, lambda f: np.abs(f - actual).mean(axis=-1), level)
    np.testing.assert_allclose(found, slow_greedy(forecasts, actual))


def test_a_vote_weighs_the_best_five_by_their_errors():
    errors = np.array([[k + 1.0] * 3 for k in range(8)])
    weights = candidate_weights(errors, list("abcdefgh"), {}, 24, "vote")
    expected = np.array([1 / (k + 1) for k in range(5)] + [0.0] * 3)
    np.testing.assert_allclose(weights, expected / expected.sum())


@pytest.mark.parametrize("count", [2, 5, 9, 20])
def test_fewer_steps_are_the_first_of_more_bit_for_bit(count):
    rng = np.random.default_rng(count)
    forecasts, weights = rng.normal(50, 9, (count, 13)), rng.dirichlet(np.ones(count))
    whole = combined(forecasts, weights)
    for steps in range(1, 13):
        np.testing.assert_array_equal(combined(forecasts[:, :steps].copy(), weights), whole[:steps])
