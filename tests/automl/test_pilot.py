"""The pilot: what a sample of series teaches, blended with what is known beforehand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from many_models.automl.pilot import (
    FEWEST_SERIES,
    TRUST,
    Study,
    candidate_priors,
    error_shape,
    learned,
    learned_alone,
    neutral,
)
from many_models.automl.prior import Prior
from many_models.learners.base import Candidate

LEVELS = (0.1, 0.5, 0.9)


def studies_of(count, seed=0, size=3.0, kind="week", names=("good", "middling", "bad"), folds=6, horizon=4):
    """Series whose candidates err by known amounts, with normal errors of the combination."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        actual = 100 + rng.normal(size=(folds, horizon))
        spread = size * np.array([1.0, 2.0, 4.0])[: len(names), None, None]
        forecasts = actual + spread * rng.normal(size=(len(names), folds, horizon))
        errors = np.abs(forecasts - actual).mean(axis=2)
        found.append(Study(kind, tuple(names), errors, forecasts, forecasts, actual, np.full(folds, 2.0)))
    return found


def test_too_few_series_teach_nothing():
    before = neutral()
    assert learned(studies_of(FEWEST_SERIES - 1), before) is before


def test_what_candidates_usually_do_is_found():
    found = candidate_priors(studies_of(200))
    assert found["good"].mean == pytest.approx(-np.log(2), abs=0.1)
    assert found["middling"].mean == pytest.approx(0, abs=0.05)
    assert found["bad"].mean == pytest.approx(np.log(2), abs=0.1)
    # All series are alike here: what differs between them is the noise of their folds.
    assert found["good"].series_variance < 0.2 * found["good"].fold_variance


def test_the_shape_covers_what_it_should():
    """Quantiles learned on some series cover the others' residuals as often as they say."""
    kind = learned_alone(studies_of(300, seed=1))
    shape = kind.shape
    leads = np.arange(1.0, 5.0)
    low, middle, high = shape.step_quantiles(leads, LEVELS).T
    np.testing.assert_allclose(middle, 0, atol=0.1)
    np.testing.assert_allclose(high, -low, rtol=0.2)
    inside = []
    for s in studies_of(200, seed=2):
        weights = np.exp(-4 * np.array([kind.candidates[n].mean for n in s.names]))
        median = np.tensordot(weights / weights.sum(), s.median, axes=1)
        size = s.scales[0] * shape.pool_error
        residual = (s.actual - median) / size
        inside.append(((residual >= low) & (residual <= high)).mean())
    assert 0.7 < np.mean(inside) < 0.9


def test_more_series_count_for_more():
    before = neutral()
    before = learned(studies_of(400, seed=3), before)
    old = before.kind("week").candidates["good"].mean
    other = [
        Study(s.kind, ("bad", "middling", "good"), s.errors, s.mean, s.median, s.actual, s.scales)
        for s in studies_of(80, seed=4)
    ]
    new = candidate_priors(other)["good"].mean
    few = learned(other[:20], before).kind("week").candidates["good"].mean
    many = learned(other, before).kind("week").candidates["good"].mean
    assert old < few < many < new
    share = 80 / (80 + TRUST)
    assert many == pytest.approx((1 - share) * old + share * new, abs=0.05)


def test_a_kind_without_studies_keeps_its_prior():
    before = learned(studies_of(40, kind="month"), neutral())
    after = learned(studies_of(40, kind="week"), before)
    assert after.kind("month") == before.kind("month")
    assert "40 series (week)" in after.origin


def test_the_order_of_the_studies_does_not_matter_for_candidates():
    studies = studies_of(30)
    a, b = candidate_priors(studies), candidate_priors(studies[::-1])
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].mean == pytest.approx(b[name].mean, rel=1e-3)


def test_series_that_never_varied_leave_a_shape_of_nothing():
    flat = [
        Study(
            "week",
            ("a", "b"),
            np.ones((2, 3)),
            np.ones((2, 3, 4)),
            np.ones((2, 3, 4)),
            np.ones((3, 4)),
            np.zeros(3),
        )
        for _ in range(12)
    ]
    shape = error_shape(flat, {})
    assert np.isfinite(np.array(shape.steps)).all()


def test_a_pilot_leaves_out_the_pipelines_that_were_clearly_worse():
    usual = ("", "good", "good")
    some = [replace(s, usual=usual) for s in studies_of(60, names=("good", "good_pca", "good_robust"))]
    for s in some:  # one as good as the usual one, but for noise, and one twice as bad
        s.errors[2] = s.errors[0] * np.exp(np.random.default_rng(int(s.errors.sum() * 1e6)).normal(0, 0.1, 6))
    after = learned(some, neutral()).kind("week")
    assert set(after.pipelines["good"]) >= {"good"}
    assert "good_pca" not in after.pipelines["good"]
    assert "good_pca" not in after.candidates
    again = Prior.from_dict(json.loads(json.dumps(Prior({"week": after}, "x").to_dict())))
    assert again.kind("week").pipelines == after.pipelines
    # Another pilot is of a mind of its own, and too few series decide nothing.
    assert learned(some[:5], neutral()).kind("week").pipelines == {}


def test_an_unknown_pipeline_is_believed_to_do_as_the_usual_one():
    before = learned_alone(studies_of(40))
    pca = Candidate("good_pca", "elastic_net", usual="good")
    after = before.with_pipelines([Candidate("good", "elastic_net"), pca, Candidate("new", "ets")])
    assert after.candidates["good_pca"] == before.candidates["good"]
    assert "new" not in after.candidates
    assert before.with_pipelines([Candidate("good", "elastic_net")]) is before
