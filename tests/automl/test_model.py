"""A kept series: stored and loaded bit for bit, moved by newer rows, and honest about every row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from many_models.automl.candidates import PRESETS
from many_models.automl.intervals import recency_scale
from many_models.automl.model import load_series_model
from many_models.automl.training import Bounds, train_fallback, train_series
from many_models.bundle.container import pack, unpack
from many_models.errors import DamagedError
from many_models.learners.base import Deadline
from many_models.panel.extension import extended
from many_models.panel.series import Future

FREE = Bounds(None, None)
ALL = PRESETS["balanced"]
CHEAP = ("naive", "seasonal_naive", "drift", "average", "seasonal_average", "theta", "arx", "elastic_net")


@pytest.fixture(scope="session")
def fit(handmade, settings, context, prior):
    def run(data, horizon=8, learners=CHEAP, bounds=FREE, gap=0, **plan):
        n = len(data.y)
        return train_series(
            data,
            n,
            (n - 24, n - 16, n - 8),
            context(horizon, gap=gap, season=4, score_season=4, seed=3),
            settings(learners=learners, **plan),
            prior(),
            bounds,
            Deadline(),
        ).model

    return run


@pytest.fixture(scope="session")
def promoted(handmade):
    """Sales that follow a promotion known for 12 steps ahead, and nothing else; one hole."""
    rng = np.random.default_rng(11)
    known = rng.normal(size=(72, 2))
    y = 100 + 20 * known[:60, 0] + 4 * np.sin(np.arange(60) * np.pi / 2) + rng.normal(size=60)
    y[20] = np.nan
    return handmade(y, known, "QS-JAN")


@pytest.fixture(scope="session")
def model(fit, promoted):
    """An ensemble of everything that `balanced` has, with covariates and a stand-by."""
    made = fit(promoted, learners=ALL, combine="mean")
    assert made.uses_known
    return made


def same(first, second):
    np.testing.assert_array_equal(first.forecast.mean, second.forecast.mean)
    np.testing.assert_array_equal(first.forecast.quantiles, second.forecast.quantiles)
    assert (first.learner, first.status, first.reason) == (second.learner, second.status, second.reason)


def without(future, *rows):
    """The same stamps, the covariates of some rows missing."""
    known = future.known_x.copy()
    known[list(rows), 0] = np.nan
    return Future(future.grid, future.ordinals, known)


# -- bytes -----------------------------------------------------------------------


def test_a_model_of_every_balanced_learner_forecasts_identically_after_a_trip_through_bytes(model, promoted):
    learners = {m.candidate.learner for m in model.members}
    assert learners >= {"theta", "ces", "arx", "ets", "arima", "elastic_net", "lightgbm", "naive"}
    data = pack(model.state())
    loaded = load_series_model(unpack(data))
    future = promoted.future(60, 12, 0)
    same(loaded.forecast(future), model.forecast(future))
    same(loaded.forecast(without(future, 2, 5)), model.forecast(without(future, 2, 5)))
    np.testing.assert_array_equal(
        loaded.total(np.ones(4), 4, standby=False), model.total(np.ones(4), 4, standby=False)
    )
    assert pack(loaded.state()) == data


def test_a_state_of_another_version_or_kind_or_form_is_refused(model):
    state = model.state()
    for change in (
        {"format_version": 99},
        {"kind": "poem"},
        {"members": 3},
        {"bands": {}},
        {"history": None},
    ):
        with pytest.raises(DamagedError):
            load_series_model({**state, **change})


def test_a_state_with_a_learner_that_does_not_exist_is_refused(model):
    state = model.state()
    state["members"] = [{**state["members"][0], "learner": "no such learner"}]
    with pytest.raises(DamagedError):
        load_series_model(state)


# -- rows ------------------------------------------------------------------------


def test_rows_with_missing_covariates_are_answered_by_the_stand_by_and_say_so(model, promoted):
    future = promoted.future(60, 8, 0)
    whole, holed = model.forecast(future), model.forecast(without(future, 2, 5))
    for i in range(8):
        if i in (2, 5):
            assert (holed.status[i], holed.reason[i]) == ("FALLBACK", "FUTURE_COVARIATES_MISSING")
        else:
            assert (holed.status[i], holed.reason[i]) == ("TRAINED", None)
            # The other rows do not notice.
            np.testing.assert_allclose(holed.forecast.mean[i], whole.forecast.mean[i], rtol=1e-9)
    members = [m for m in model.members if m.standby_weight > 0]
    expected = sum(m.standby_weight * m.model.predict(future.without_known()).mean for m in members)
    np.testing.assert_allclose(holed.forecast.mean[[2, 5]], expected[[2, 5]])


def test_rows_of_the_stand_by_have_intervals_of_the_stand_bys_size(model, promoted, shape):
    future = promoted.future(60, 8, 0)
    holed = model.forecast(without(future, 2)).forecast
    step = holed.quantiles[:, 2] - holed.median
    np.testing.assert_allclose(step[1], 2 * model.bands.scale)
    np.testing.assert_allclose(step[2], 3 * model.bands.standby_scale)
    assert model.bands.standby_scale > model.bands.scale


def test_without_any_covariates_all_rows_come_from_the_stand_by(model, promoted):
    answer = model.forecast(without(promoted.future(60, 8, 0), *range(8)))
    assert set(answer.reason) == {"FUTURE_COVARIATES_MISSING"}
    assert np.isfinite(answer.forecast.quantiles).all()


def test_where_no_stand_by_is_kept_seasonal_naive_answers(model, promoted):
    bare = replace(model, members=tuple(replace(m, standby_weight=0.0) for m in model.members))
    answer = bare.forecast(without(promoted.future(60, 8, 0), 0, 1))
    assert answer.learner[:2] == ("seasonal_naive", "seasonal_naive")
    assert answer.reason[0] == "FUTURE_COVARIATES_MISSING"
    np.testing.assert_array_equal(answer.forecast.mean[:2], promoted.y[56:58])


def test_rows_beyond_the_horizon_say_so_and_are_wider(model, promoted):
    answer = model.forecast(promoted.future(60, 12, 0))
    assert answer.reason == (None,) * 8 + ("BEYOND_HORIZON",) * 4
    width = np.diff(answer.forecast.quantiles[:, [0, 2]], axis=1).ravel()
    assert (np.diff(width) > 0).all()
    np.testing.assert_allclose(width[11], width[7] * np.sqrt(12 / 8))


def test_a_row_beyond_the_horizon_that_lacks_covariates_says_the_latter(model, promoted):
    answer = model.forecast(without(promoted.future(60, 12, 0), 10))
    assert answer.reason[10] == "FUTURE_COVARIATES_MISSING"


def test_skipped_rows_change_nothing_for_the_others(model, promoted):
    future = promoted.future(60, 8, 0)
    some = Future(future.grid, future.ordinals[[1, 4, 7]], future.known_x[[1, 4, 7]])
    whole, part = model.forecast(future), model.forecast(some)
    np.testing.assert_allclose(part.forecast.mean, whole.forecast.mean[[1, 4, 7]], rtol=1e-9)
    np.testing.assert_allclose(part.forecast.quantiles, whole.forecast.quantiles[[1, 4, 7]], rtol=1e-9)


def test_quantiles_never_cross_and_the_median_is_the_combination_of_medians(model, promoted):
    future = promoted.future(60, 12, 0)
    forecast = model.forecast(future).forecast
    assert forecast.levels == (0.1, 0.5, 0.9)
    assert (np.diff(forecast.quantiles, axis=1) >= 0).all()
    parts = [
        m.weight * m.model.predict(future if m.candidate.uses_known else future.without_known()).median
        for m in model.members
    ]
    np.testing.assert_allclose(forecast.median, np.sum(parts, axis=0))


def test_steps_count_from_after_the_gap(fit, promoted):
    model = fit(promoted, gap=2, horizon=4)
    future = promoted.future(60, 4, 2)
    np.testing.assert_array_equal(model.steps(future.ordinals), [1, 2, 3, 4])
    assert model.forecast(future).reason == (None,) * 4
    width = np.diff(model.forecast(future).forecast.quantiles[:, [1, 2]], axis=1).ravel()
    np.testing.assert_allclose(width, model.bands.scale * np.array([3, 4, 5, 6]))


def test_bounds_hold_for_every_number_and_closed_rows_are_zero(fit, promoted, handmade):
    data = replace(promoted, y=np.maximum(promoted.y - 100, 0))
    model = fit(data, bounds=Bounds(0.0, 25.0))
    closed = np.array([False, True, False, False])
    forecast = model.forecast(data.future(60, 4, 0), closed).forecast
    assert forecast.mean.min() >= 0
    assert forecast.quantiles.min() >= 0
    assert forecast.quantiles.max() <= 25
    assert forecast.mean[1] == 0
    np.testing.assert_array_equal(forecast.quantiles[1], 0)


def test_quantiles_of_counts_are_whole_and_the_mean_is_the_expected_value(model, promoted):
    future = promoted.future(60, 8, 0)
    usual, counts = model.forecast(future).forecast, replace(model, integer=True).forecast(future).forecast
    np.testing.assert_array_equal(counts.mean, usual.mean)
    np.testing.assert_array_equal(counts.quantiles, np.round(usual.quantiles))
    assert (np.diff(counts.quantiles, axis=1) >= 0).all()
    stored = load_series_model(unpack(pack(replace(model, integer=True, high=90.7).state())))
    assert stored.forecast(future).forecast.quantiles.max() == 90
    total = stored.total(usual.mean, 4, standby=False)
    np.testing.assert_array_equal(total, np.round(total))


def test_no_rows_asked_gives_no_rows(model, promoted):
    answer = model.forecast(promoted.future(60, 0, 0))
    assert answer.forecast.mean.shape == (0,)
    assert answer.forecast.quantiles.shape == (0, 3)


# -- totals ----------------------------------------------------------------------


def test_a_total_lies_around_the_sum_of_means_with_the_spread_of_sums(model, promoted):
    mean = model.forecast(promoted.future(60, 8, 0)).forecast.mean
    found = model.total(mean, 4, standby=False)
    np.testing.assert_allclose(found, mean[:4].sum() + model.bands.scale * 40 * np.array([-1.0, 0, 1]))
    wider = model.total(mean, 4, standby=True)
    assert wider[2] - wider[0] > found[2] - found[0]


def test_totals_respect_the_bounds_of_their_steps(model):
    bounded = replace(model, low=0.0, high=10.0)
    found = bounded.total(np.array([1.0, 1.0]), 2, standby=False)
    assert found.min() >= 0
    assert found.max() <= 20


# -- newer history ---------------------------------------------------------------


def test_the_stored_tail_alone_moves_nothing(model, promoted):
    moved = model.updated(model.history)
    future = promoted.future(60, 8, 0)
    same(moved.forecast(future), model.forecast(future))
    assert pack(moved.state()) == pack(model.state())
    loaded = load_series_model(unpack(pack(model.state())))
    same(loaded.updated(loaded.history).forecast(future), model.forecast(future))


def test_newer_rows_move_the_state_and_leave_the_parameters(model, promoted):
    rng = np.random.default_rng(2)
    fresh = 100 + 20 * promoted.known[60:64, 0] + rng.normal(size=4) + 40
    history, revised = extended(model.history, 160, fresh, promoted.known[60:64], np.empty((4, 0)))
    assert revised == 0
    moved = model.updated(history)
    assert moved.history.end == model.history.end + 4
    assert [m.candidate for m in moved.members] == [m.candidate for m in model.members]
    future = promoted.future(64, 8, 0)
    before, after = model.forecast(future).forecast.mean, moved.forecast(future).forecast.mean
    assert after.mean() > before.mean() + 5
    np.testing.assert_array_equal(moved.steps(future.ordinals), np.arange(1, 9))


def test_intervals_follow_the_recent_scale_of_the_newer_history(model, promoted):
    fresh = np.array([100.0, 300, 100, 300, 0, 400])
    history, _ = extended(model.history, 160, fresh, np.zeros((6, 2)), np.empty((6, 0)))
    moved = model.updated(history)
    past = promoted.train(60)
    old = recency_scale(past.y, past.observed, 4)
    new = recency_scale(np.r_[past.y, fresh], np.r_[past.observed, np.ones(6, dtype=bool)], 4)
    assert moved.bands.scale == pytest.approx(model.bands.scale * new / old)
    assert moved.bands.standby_scale == pytest.approx(model.bands.standby_scale * new / old)


def test_a_level_never_seen_before_is_believable_once_it_has_happened(handmade, settings, context, prior):
    """A series that jumps far after training is forecast at its new level, not as absurd."""
    y = handmade(np.r_[np.tile([10.0, 11, 12], 6)])
    model = train_series(
        y, 18, (8, 11, 14), context(4), settings(learners=("naive",)), prior(), Bounds(None, None), Deadline()
    ).model
    history, _ = extended(model.history, 118, np.full(4, 1e5), np.empty((4, 0)), np.empty((4, 0)))
    answer = model.updated(history).forecast(Future(y.grid, np.arange(122, 126), np.empty((4, 0))))
    np.testing.assert_array_equal(answer.forecast.mean, 1e5)
    assert set(answer.status) == {"TRAINED"}


@pytest.mark.parametrize("level", [0.0, 5.0])
def test_a_still_series_that_comes_alive_gets_intervals(handmade, settings, context, prior, level):
    data = handmade(np.full(20, level))
    model = train_series(
        data, 20, (10, 13, 16), context(4), settings(learners=("naive",)), prior(), FREE, Deadline()
    ).model
    blank = np.empty((3, 0))
    history, _ = extended(model.history, 120, np.array([9.0, 2, 12]), blank, blank)
    quantiles = model.updated(history).forecast(data.future(23, 4, 0)).forecast.quantiles
    assert (quantiles[:, 2] - quantiles[:, 0] > 1).all()


def test_a_fallback_model_is_stored_and_moved_too(handmade, settings, context, prior):
    data = handmade([3.0, 4, 5])
    model = train_fallback(
        data.train(3), context(2), settings(), prior(), Bounds(0.0, None), "FALLBACK", "TOO_SHORT"
    ).model
    loaded = load_series_model(unpack(pack(model.state())))
    same(loaded.forecast(data.future(3, 2, 0)), model.forecast(data.future(3, 2, 0)))
    history, _ = extended(model.history, 103, np.array([9.0]), np.empty((1, 0)), np.empty((1, 0)))
    moved = loaded.updated(history).forecast(data.future(4, 2, 0))
    np.testing.assert_array_equal(moved.forecast.mean, 9.0)
    assert set(moved.reason) == {"TOO_SHORT"}
