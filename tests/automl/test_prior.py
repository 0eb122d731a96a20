"""Priors are data: they survive JSON, are read between and beyond their leads and levels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from many_models.automl.prior import Prior, shipped_prior


def test_a_prior_survives_json(prior):
    before = Prior({"other": prior(naive=(0.1, 0.2, 0.3)), "week": prior()}, "by hand")
    after = Prior.from_dict(json.loads(json.dumps(before.to_dict())))
    assert after == before
    assert after.to_dict() == before.to_dict()


def test_a_class_of_frequency_without_a_prior_uses_the_common_one(prior):
    both = Prior({"other": prior(), "week": prior(naive=(0.1, 0.2, 0.3))}, "by hand")
    assert both.kind("week").candidates
    assert not both.kind("second").candidates


def test_quantiles_are_read_between_leads_in_straight_lines(shape):
    found = shape.step_quantiles(np.array([1.0, 3.0, 6.0]), (0.1, 0.5, 0.9))
    np.testing.assert_allclose(found, [[-1, 0, 1], [-3, 0, 3], [-6, 0, 6]], atol=1e-12)


def test_beyond_the_last_lead_quantiles_grow_like_those_of_a_random_walk(shape):
    found = shape.step_quantiles(np.array([8.0, 32.0]), (0.1, 0.5, 0.9))
    np.testing.assert_allclose(found[1], 2 * found[0], atol=1e-12)


def test_beyond_the_last_lead_totals_grow_faster_than_steps_do(shape):
    found = shape.total_quantiles(np.array([8.0, 32.0]), (0.1, 0.5, 0.9))
    np.testing.assert_allclose(found[1], 4 * found[0], atol=1e-12)


def test_levels_between_and_beyond_those_of_the_table_are_in_order(shape):
    levels = (0.001, 0.05, 0.07, 0.1, 0.3, 0.5, 0.8, 0.95, 0.999)
    for table in (shape.step_quantiles, shape.total_quantiles):
        found = table(np.arange(1.0, 40.0), levels)
        assert found.shape == (39, 9)
        assert (np.diff(found, axis=1) > 0).all()
        np.testing.assert_allclose(found[:, levels.index(0.5)], 0.0, atol=1e-12)


def test_the_shipped_prior_is_one_and_in_order():
    prior = shipped_prior()
    assert Prior.from_dict(prior.to_dict()) == prior
    for kind in prior.kinds.values():
        shape = kind.shape
        assert shape.pool_error > 0
        assert 0.5 in shape.levels
        assert list(shape.levels) == sorted(shape.levels)
        assert list(shape.leads) == sorted(shape.leads)
        for table in (shape.steps, shape.totals):
            rows = np.array(table)
            assert rows.shape == (len(shape.leads), len(shape.levels))
            assert (np.diff(rows, axis=1) >= 0).all()
        for candidate in kind.candidates.values():
            assert candidate.fold_variance >= 0
            assert candidate.series_variance >= 0


@pytest.mark.parametrize("name", ["year", "quarter", "month", "week", "day", "hour", "minute", "integer"])
def test_every_class_of_frequency_has_intervals_that_widen(name):
    shape = shipped_prior().kind(name).shape
    width = np.diff(
        shape.step_quantiles(np.array([1.0, 12.0, 48.0]), (0.1, 0.5, 0.9))[:, [0, 2]], axis=1
    ).ravel()
    assert (width > 0).all()
    assert width[2] >= width[0]
