"""The search of one series: races, and when it ends."""

from __future__ import annotations

import numpy as np
import pytest

from many_models.automl.evaluation import LEFT_OUT, make_folds
from many_models.automl.search import FAR_BEHIND, Exit, search
from many_models.learners.base import Candidate, Deadline

CUTS = (40, 44, 48)


@pytest.fixture
def searched(handmade, context):
    y = 100 + np.arange(60.0) + np.random.default_rng(0).normal(0, 1, 60)
    folds = make_folds(handmade(y), CUTS, context(4))
    candidates = [
        Candidate("naive", "naive", {}),
        Candidate("drift", "drift", {}),
        Candidate("average", "average", {"window": 0}),
        Candidate("again", "drift", {}),
        Candidate("once more", "drift", {}),
    ]

    def run(metric="mae", **given):
        return search(candidates, folds, context(4), metric, Exit(**given))

    return run


def names(trials):
    return [t.candidate.name for t in trials]


def test_without_exits_every_candidate_is_tried_on_every_fold(searched):
    trials = searched()
    assert names(trials) == ["naive", "drift", "average", "again", "once more"]
    assert not any(t.failed.any() for t in trials)


def test_a_candidate_far_behind_after_one_fold_is_left_out_of_the_others(searched):
    every, raced = searched(), searched(racing=True)
    behind = raced[2]
    assert behind.error_code == LEFT_OUT
    assert behind.failed.all()
    np.testing.assert_array_equal(behind.median[0], every[2].median[0])
    assert np.abs(behind.median[1] - every[2].median[1]).min() > 0
    for t, other in zip(raced, every, strict=True):
        if t is not behind:
            np.testing.assert_array_equal(t.median, other.median)
    assert FAR_BEHIND > 1


def test_a_number_of_trials_patience_and_a_target_end_it(searched):
    assert names(searched(trials=2)) == ["naive", "drift"]
    assert names(searched(patience=2)) == ["naive", "drift", "average", "again"]
    assert names(searched(target_score=1000.0)) == ["naive"]
    assert names(searched(target_score=1e-9)) == ["naive", "drift", "average", "again", "once more"]


def test_after_the_seconds_of_a_trial_no_fold_is_begun(searched):
    trials = searched(seconds_per_trial=1e-9)
    assert all(t.error_code == "DEADLINE" and t.failed.all() for t in trials)
    assert Deadline.after(1e-9).seconds_left < 1
