"""Our recursions against statsforecast's, and against the equations written out."""

from __future__ import annotations

import numpy as np
import pytest

from many_models.errors import LearnerError
from many_models.learners.base import FitContext
from many_models.learners.smoothing import usable_season
from many_models.learners.table import learner

FORMS = (
    "ANNN", "AANN", "ANAN", "AAAN", "MNNN", "MANN", "MNAN", "MAAN", "MNMN", "MAMN",
    "AAND", "AAAD", "MAND", "MAAD", "MAMD",
)  # fmt: skip


def scale_of(y):
    return 2.0 ** np.round(np.log2(np.abs(y).mean()))


@pytest.mark.parametrize("season", [4, 12])
@pytest.mark.parametrize("form", FORMS)
def test_ets_forecasts_what_statsforecast_does(form, season, make_series, make_future, quarterly):
    from statsforecast.ets import ets_f, forecast_ets

    series = make_series(quarterly(64))
    model = learner("ets").fit(series, {"form": form}, FitContext(8, season=season))
    assert model.form == form
    scale = scale_of(series.y)
    theirs = ets_f(series.y / scale, season, form[:3], form[3] == "D")
    expected = forecast_ets(theirs, 15)["mean"] * scale
    ours = model.predict(make_future(series, 15)).mean
    if form[3] == "D":
        # statsforecast 2.1 adds phi twice (phi + phi + phi²…) from the second step on.
        np.testing.assert_allclose(ours[0], expected[0], rtol=1e-8)
    else:
        np.testing.assert_allclose(ours, expected, rtol=1e-8)


@pytest.mark.parametrize("form", FORMS)
def test_an_ets_forecast_is_what_the_recursion_gives_when_every_forecast_comes_true(
    form, make_series, make_future, quarterly
):
    series = make_series(quarterly(40))
    model = learner("ets").fit(series, {"form": form}, FitContext(8, season=4))
    expected = model.predict(make_future(series, 9)).mean
    history = series.y.tolist()
    for step in range(9):
        so_far = make_series(history)
        value = model.predict(make_future(so_far, 1)).mean[0]
        assert value == pytest.approx(expected[step], rel=1e-9)
        history.append(value)
        model = model.update(make_series(history).tail(model.tail + 1))


def test_ets_on_new_values_follows_statsforecast_run_over_all_of_them(make_series, make_future, quarterly):
    from statsforecast.ets import ets_f, forecast_ets

    y = quarterly(60)
    early, whole = make_series(y[:48]), make_series(y)
    scale = scale_of(early.y)
    theirs = ets_f(early.y / scale, 4, "MAM", False)
    moved = forecast_ets(ets_f(whole.y / scale, 4, model=theirs), 8)["mean"] * scale
    model = learner("ets").fit(early, {"form": "MAMN"}, FitContext(8, season=4))
    ours = model.update(whole.tail(model.tail + 12)).predict(make_future(whole, 8)).mean
    np.testing.assert_allclose(ours, moved, rtol=1e-8)


def test_the_search_ends_in_the_form_that_statsforecast_chooses(make_series, quarterly):
    from statsforecast.ets import ets_f

    series = make_series(quarterly(48))
    model = learner("ets").fit(series, {}, FitContext(8, season=4))
    theirs = ets_f(series.y / scale_of(series.y), 4)
    assert model.parameters == {"form": theirs["components"]}


def test_a_form_that_the_values_cannot_carry_is_searched_anew(make_series, quarterly):
    series = make_series(quarterly(40) - 230)
    model = learner("ets").fit(series, {"form": "MAMN"}, FitContext(8, season=4))
    assert "M" not in model.form


def test_ets_is_the_same_in_any_unit_that_is_a_power_of_two(make_series, make_future, quarterly):
    series, small = make_series(quarterly(40)), make_series(quarterly(40) * 2.0**-40)
    context = FitContext(8, season=4)
    for name in ("ets", "theta", "ces"):
        one = learner(name).fit(series, {}, context).predict(make_future(series, 8)).mean
        two = learner(name).fit(small, {}, context).predict(make_future(small, 8)).mean
        np.testing.assert_array_equal(one, two * 2.0**40)


@pytest.mark.parametrize("season", [1, 4, 12])
def test_theta_forecasts_what_statsforecast_does(season, make_series, make_future, quarterly):
    from statsforecast.theta import auto_theta, forecast_theta

    series = make_series(quarterly(64))
    scale = scale_of(series.y)
    expected = forecast_theta(auto_theta(series.y / scale, season, "DOTM"), 15)["mean"] * scale
    model = learner("theta").fit(series, {}, FitContext(8, season=season))
    np.testing.assert_allclose(model.predict(make_future(series, 15)).mean, expected, rtol=1e-10)


def test_theta_on_new_values_follows_statsforecast_run_over_all_of_them(make_series, make_future):
    from statsforecast.theta import forecast_theta, forward_theta, thetamodel

    y = 50 + np.cumsum(np.random.default_rng(2).normal(0.5, 2, 40))
    early, whole = make_series(y[:30]), make_series(y)
    scale = scale_of(early.y)
    nan = float("nan")
    theirs = thetamodel(early.y / scale, 1, "DOTM", nan, nan, nan, 3)
    expected = forecast_theta(forward_theta(theirs, whole.y / scale), 6)["mean"] * scale
    model = learner("theta").fit(early, {}, FitContext(6))
    ours = model.update(whole.tail(model.tail + 10)).predict(make_future(whole, 6)).mean
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


@pytest.mark.parametrize("form", ["N", "S", "P", "F"])
def test_ces_forecasts_what_statsforecast_does(form, make_series, make_future, quarterly):
    from statsforecast.ces import auto_ces, forecast_ces

    series = make_series(quarterly(64))
    scale = scale_of(series.y)
    expected = forecast_ces(auto_ces(series.y / scale, 4, form), 15)["mean"] * scale
    model = learner("ces").fit(series, {"form": form}, FitContext(8, season=4))
    assert model.form == form
    np.testing.assert_allclose(model.predict(make_future(series, 15)).mean, expected, rtol=1e-9)


@pytest.mark.parametrize("form", ["N", "S", "P", "F"])
def test_a_ces_forecast_that_comes_true_changes_nothing(form, make_series, make_future, quarterly):
    series = make_series(quarterly(40))
    model = learner("ces").fit(series, {"form": form}, FitContext(8, season=4))
    ahead = model.predict(make_future(series, 9)).mean
    longer = make_series(np.r_[series.y, ahead[:4]])
    moved = model.update(longer.tail(model.tail + 4))
    np.testing.assert_allclose(moved.predict(make_future(longer, 5)).mean, ahead[4:], rtol=1e-9)


@pytest.mark.parametrize(
    ("length", "season", "expected"),
    [(40, 4, 4), (13, 4, 4), (12, 4, 1), (60, 12, 12), (28, 12, 1), (200, 52, 1), (40, 1, 1), (10, 2, 1)],
)
def test_a_season_needs_two_rounds_and_room(length, season, expected):
    assert usable_season(length, season) == expected


def test_a_diverging_model_is_refused(make_series):
    from many_models.learners.guards import believable

    with pytest.raises(LearnerError, match="ABSURD"):
        believable(np.array([1.0, 1e9]), np.array([1.0, 2.0]))
    with pytest.raises(LearnerError, match="NOT_FINITE"):
        believable(np.array([1.0, np.inf]), np.array([1.0, 2.0]))
