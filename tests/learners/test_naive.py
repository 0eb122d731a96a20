"""The simple learners against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from many_models.errors import DamagedError, LearnerError
from many_models.learners.base import FitContext
from many_models.learners.table import learner
from many_models.panel.series import Future

CONTEXT = FitContext(horizon=4, season=4)
Y = np.array([3.0, 8, 4, 6, 5, 9, 5, 7, 4, 10])


def forecast(name, series, future, parameters=None, context=CONTEXT):
    return learner(name).fit(series, parameters or {}, context).predict(future).mean


def test_naive_repeats_the_last_value(make_series, make_future):
    series = make_series(Y)
    assert forecast("naive", series, make_future(series, 3)).tolist() == [10, 10, 10]


def test_seasonal_naive_repeats_the_last_season_also_after_a_gap(make_series, make_future):
    series = make_series(Y)
    assert forecast("seasonal_naive", series, make_future(series, 6)).tolist() == [5, 7, 4, 10, 5, 7]
    assert forecast("seasonal_naive", series, make_future(series, 2, gap=3)).tolist() == [10, 5]


def test_seasonal_naive_without_a_season_would_be_naive_and_is_no_candidate(make_series):
    series = make_series(Y)
    assert learner("seasonal_naive").candidates(series, FitContext(4, season=1)) == ()
    assert learner("seasonal_naive").candidates(series, FitContext(4, season=12)) == ()
    with pytest.raises(LearnerError, match="TOO_SHORT"):
        learner("seasonal_naive").fit(series, {}, FitContext(4, season=12))


def test_drift_continues_the_mean_change(make_series, make_future):
    series = make_series([2.0, 9, 5, 8])
    np.testing.assert_allclose(forecast("drift", series, make_future(series, [1, 5])), [10, 18])


def test_drift_keeps_its_slope_when_new_values_come(make_series, make_future):
    longer = make_series([2.0, 9, 5, 8, 100])
    model = learner("drift").fit(make_series([2.0, 9, 5, 8]), {}, CONTEXT).update(longer.tail(2))
    np.testing.assert_allclose(model.predict(make_future(longer, 2)).mean, [102, 104])


def test_seasonal_average_is_the_mean_per_position(make_series, make_future):
    series = make_series(Y)
    expected = [(4 + 5) / 2, (6 + 7) / 2, (5 + 4) / 2, (9 + 10) / 2]
    np.testing.assert_allclose(
        forecast("seasonal_average", series, make_future(series, 4), {"seasons": 3}), expected
    )


def test_the_average_of_twelve_leads_where_there_are_more_than_twelve(make_series, make_future):
    short, long = make_series(Y), make_series(np.arange(30.0))
    assert [c.name for c in learner("average").candidates(short, CONTEXT)] == ["average"]
    first, second = learner("average").candidates(long, CONTEXT)
    assert (first.parameters, second.parameters) == ({"window": 12}, {})
    assert forecast("average", long, make_future(long, 1), first.parameters)[0] == 23.5
    assert forecast("average", long, make_future(long, 1), second.parameters)[0] == 14.5


def test_a_whole_average_counts_every_new_value_once(make_series, make_future):
    whole = make_series(np.arange(30.0) ** 1.5)
    start = make_series(whole.y[:20])
    model = learner("average").fit(start, {}, CONTEXT)
    for end in (23, 30):
        so_far = make_series(whole.y[:end])
        model = model.update(so_far.tail(model.tail + end - model.end + start.end - 20))
    np.testing.assert_allclose(model.predict(make_future(whole, 1)).mean, whole.y.mean())


def test_a_revised_value_in_the_tail_counts_in_place_of_the_old(make_series, make_future):
    revised = np.r_[Y[:-1], 30.0]
    for name in ("naive", "seasonal_naive", "seasonal_average", "average", "drift"):
        model = learner(name).fit(make_series(Y), {}, CONTEXT)
        series = make_series(revised)
        moved = model.update(series.tail(model.tail)).predict(make_future(series, 4)).mean
        assert not np.array_equal(moved, model.predict(make_future(series, 4)).mean)


def test_a_stamp_in_the_past_is_refused(make_series):
    series = make_series(Y)
    past = Future(series.grid, np.array([series.end]), np.empty((1, 0)))
    with pytest.raises(LearnerError, match="NOT_AFTER_HISTORY"):
        learner("naive").fit(series, {}, CONTEXT).predict(past)


def test_an_update_without_the_stored_tail_is_refused(make_series):
    series = make_series(Y)
    later = make_series([1.0], start=series.end + 5)
    with pytest.raises(LearnerError, match="TAIL_MISSING"):
        learner("seasonal_naive").fit(series, {}, CONTEXT).update(later)


def test_a_state_of_another_kind_is_damaged(make_series):
    state = learner("naive").fit(make_series(Y), {}, CONTEXT).state()
    with pytest.raises(DamagedError, match="drift"):
        learner("drift").load(state)
    with pytest.raises(DamagedError, match="version"):
        learner("naive").load({**state, "version": 99})
