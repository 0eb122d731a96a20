"""Newer rows after a stored tail: replaced, filled, counted; and nothing happens without them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from many_models.panel.extension import Fills, extended
from many_models.panel.grid import Frequency, Grid
from many_models.panel.imputation import Fill, fill_columns
from many_models.panel.series import Covariate, Series


@pytest.fixture
def tail():
    """Ordinals 50 to 54, one of them filled, one known and one past covariate."""
    return Series(
        Grid(Frequency.parse("1")),
        50,
        np.array([1.0, 2, 3, 4, 5]),
        np.array([True, True, False, True, True]),
        np.arange(5.0)[:, None],
        np.arange(5.0)[:, None] * 10,
        np.empty(0),
        (Covariate("price"),),
        (Covariate("visits"),),
    )


def column(*values):
    return np.array(values, dtype=np.float64)[:, None]


def test_newer_values_are_appended(tail):
    found, revised = extended(tail, 55, np.array([6.0, 7.0]), column(5, 6), column(50, 60))
    assert revised == 0
    assert (found.start, found.end) == (50, 56)
    np.testing.assert_array_equal(found.y, [1, 2, 3, 4, 5, 6, 7])
    np.testing.assert_array_equal(found.observed, [1, 1, 0, 1, 1, 1, 1])
    np.testing.assert_array_equal(found.known_x[:, 0], np.arange(7))
    np.testing.assert_array_equal(found.past_x[:, 0], np.arange(7) * 10)


@pytest.mark.parametrize("y", [[], [np.nan, np.nan]])
def test_without_newer_values_the_very_tail_comes_back(tail, y):
    n = len(y)
    found, revised = extended(tail, 55, np.array(y), np.full((n, 1), 9.0), np.full((n, 1), 9.0))
    assert found is tail
    assert revised == 0


def test_the_same_rows_again_change_no_bit(tail):
    found, revised = extended(
        tail, 50, tail.y * np.where(tail.observed, 1, np.nan), tail.known_x, tail.past_x
    )
    assert revised == 0
    for name in ("y", "observed", "known_x", "past_x"):
        assert getattr(found, name).tobytes() == getattr(tail, name).tobytes()


def test_values_at_the_same_stamp_replace_older_ones_and_are_counted(tail):
    found, revised = extended(tail, 53, np.array([40.0, 5.0, 6.0]), column(3, 4, 5), column(30, 40, 50))
    assert revised == 1
    np.testing.assert_array_equal(found.y, [1, 2, 3, 40, 5, 6])


def test_a_filled_value_that_arrives_is_no_revision(tail):
    found, revised = extended(tail, 52, np.array([30.0]), column(2), column(20))
    assert revised == 0
    assert found.y[2] == 30
    assert found.observed.all()
    assert len(found) == 5


def test_rows_before_the_tail_are_ignored(tail):
    found, revised = extended(tail, 40, np.arange(11.0), np.zeros((11, 1)), np.zeros((11, 1)))
    assert found.start == 50
    assert found.y[0] == 10.0
    assert revised == 1
    untouched, none = extended(tail, 30, np.arange(5.0), np.zeros((5, 1)), np.zeros((5, 1)))
    assert untouched is tail
    assert none == 0


def test_holes_after_the_stored_end_are_straight_lines_and_not_observed(tail):
    found, _ = extended(tail, 57, np.array([8.0]), column(7), column(70))
    np.testing.assert_array_equal(found.y, [1, 2, 3, 4, 5, 6, 7, 8])
    np.testing.assert_array_equal(found.observed, [1, 1, 0, 1, 1, 0, 0, 1])
    np.testing.assert_array_equal(found.known_x[:, 0], [0, 1, 2, 3, 4, 4, 4, 7])


@pytest.mark.parametrize(
    ("method", "expected"),
    [("linear", [6.0, 7.0]), ("forward", [5.0, 5.0]), ("zero", [0.0, 0.0]), ("median", [3.5, 3.5])],
)
def test_holes_after_the_stored_end_are_filled_as_the_run_fills_holes(tail, method, expected):
    rule = Fill(method)
    fills = Fills(rule, (rule,), (rule,))
    found, _ = extended(tail, 57, np.array([8.0]), column(8), column(80), fills)
    np.testing.assert_array_equal(found.y[:5], tail.y)
    np.testing.assert_array_equal(found.y[5:7], expected)
    assert not found.observed[5:7].any()
    like_training = fill_columns(column(0, 1, 2, 3, 4, np.nan, np.nan, 8), (rule,), tail.known)
    np.testing.assert_array_equal(found.known_x, like_training)
    np.testing.assert_allclose(found.past_x, 10 * like_training, rtol=1e-15)


def test_a_period_without_a_row_was_missing_for_the_flag_that_says_so(tail):
    flagged = replace(tail, known=(Covariate.was_missing("price"),), known_x=column(0, 0, 1, 0, 0))
    found, _ = extended(flagged, 57, np.array([8.0]), column(0), column(70))
    np.testing.assert_array_equal(found.known_x[:, 0], [0, 0, 1, 0, 0, 1, 1, 0])


def test_rows_without_a_target_after_the_last_value_are_future_and_left_out(tail):
    found, _ = extended(tail, 55, np.array([6.0, np.nan]), column(5, 6), column(50, np.nan))
    assert found.end == 55
    assert found.known_x.shape == (6, 1)


def test_missing_covariates_of_newer_rows_hold_the_last_ones(tail):
    found, _ = extended(tail, 55, np.array([6.0, 7.0]), column(np.nan, 6), column(np.nan, np.nan))
    np.testing.assert_array_equal(found.known_x[:, 0], [0, 1, 2, 3, 4, 4, 6])
    np.testing.assert_array_equal(found.past_x[:, 0], [0, 10, 20, 30, 40, 40, 40])


def test_the_inputs_are_left_alone(tail):
    before = tail.y.copy(), tail.known_x.copy()
    y = np.array([40.0, np.nan, 7.0])
    kept = y.copy()
    extended(tail, 53, y, column(1, 2, 3), column(1, 2, 3))
    np.testing.assert_array_equal(tail.y, before[0])
    np.testing.assert_array_equal(tail.known_x, before[1])
    np.testing.assert_array_equal(y, kept)
