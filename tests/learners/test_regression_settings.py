"""Transforms, differences, scaling and reduction as they reach a regression: stored, unbiased, no leaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from many_models.bundle.container import pack, unpack
from many_models.errors import DamagedError, LearnerError
from many_models.features.settings import FeatureSettings
from many_models.learners.arx import Arx
from many_models.learners.base import FitContext
from many_models.learners.listing import left_out_features
from many_models.learners.neighbours import Knn
from many_models.learners.regression import ElasticNet, LightGBM, Piped
from many_models.learners.sparse import LassoLars, Sgd
from many_models.learners.target import TRANSFORMS, Level
from many_models.panel.series import Covariate, Future

PRICE = (Covariate("price"), Covariate("advert", "boolean"))
KNOWN = {"history": True, "known": True, "transform": "log"}
PLAIN = {"history": True, "known": False, "transform": "none"}


def context(horizon=8, season=1, **settings):
    return FitContext(
        horizon=horizon, season=season, nonnegative=True, seed=1, features=FeatureSettings(**settings)
    )


@pytest.fixture
def sales(make_series):
    def make(n=120, seed=0):
        rng = np.random.default_rng(seed)
        x = np.column_stack([rng.uniform(1, 3, n), rng.integers(0, 2, n)])
        log = 6 - 2 * np.log(x[:, 0]) + 0.5 * x[:, 1] + rng.normal(0, 0.2, n)
        return make_series(np.exp(log), "W-THU", x, PRICE)

    return make


SETTINGS = [
    *({"transform": transform} for transform in ("log1p", "box_cox", "none")),
    *({"difference": difference} for difference in ("off", "first", "seasonal", "both")),
    *({"scaling": scaling} for scaling in ("none", "standard", "minmax", "maxabs", "robust", "normalizer")),
    {"reduction": ("pca", 0.9)},
    {"reduction": ("svd", 4), "scaling": "none"},
    {"reduction": ("pca", 3), "difference": "seasonal", "transform": "box_cox", "strategy": "recursive"},
    {"scaling": "robust", "difference": "both", "strategy": "per_step"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("learner", [ElasticNet(), LightGBM()], ids=lambda learner: learner.info.name)
def test_every_setting_is_stored_and_read_back_to_the_bit(learner, settings, sales, make_future):
    series, asked = sales(), context(season=4, **settings)
    candidate = learner.candidates(series, asked)[0]
    parameters = {**candidate.parameters, "history": True}
    model = learner.fit(series, parameters, asked)
    eight = make_future(series, 8, sales(8, 1).known_x)
    whole = model.predict(eight)
    loaded = learner.load(unpack(pack(model.state())))
    moved = loaded.update(series.tail(max(loaded.tail, 1)))
    for other in (loaded, moved):
        assert np.array_equal(other.predict(eight).mean, whole.mean)
        assert np.array_equal(other.predict(eight).median, whole.median)
    four = Future(eight.grid, eight.ordinals[:4], eight.known_x[:4])
    assert np.array_equal(model.predict(four).mean, whole.mean[:4])
    assert (whole.median >= 0).all()


def test_columns_left_out_for_want_of_memory_are_named_by_the_model(sales):
    series, asked = sales(), context(season=4)
    parameters = {**ElasticNet().candidates(series, asked)[0].parameters, "history": True}
    model = ElasticNet().fit(series, parameters, asked)
    assert left_out_features(model) == ()
    plan = model.frame.plan
    smaller = replace(model, frame=replace(model.frame, plan=plan.within(1000, 1)))
    left_out = left_out_features(smaller)
    assert left_out
    assert {*left_out, *smaller.frame.plan.columns} == set(plan.columns)


@pytest.mark.parametrize("difference", ["first", "seasonal", "both"])
@pytest.mark.parametrize("gap", [0, 2])
def test_a_forecast_reads_its_stored_tail_and_nothing_before(
    difference, gap, sales, make_series, make_future
):
    series = sales()
    asked = FitContext(
        horizon=6, gap=gap, season=4, nonnegative=True, features=FeatureSettings(difference=difference)
    )
    model = ElasticNet().fit(series, KNOWN, asked)
    future = make_future(series, 6, sales(6, 2).known_x, gap)
    assert len(model.recent) == model.frame.memory >= {"first": 1, "seasonal": 4, "both": 5}[difference]
    y = np.r_[np.full(len(series) - model.tail, 1e30), series.y[len(series) - model.tail :]]
    moved = model.update(make_series(y, "W-THU", series.known_x, PRICE, start=series.start))
    assert np.array_equal(moved.predict(future).mean, model.predict(future).mean)


def test_a_first_difference_goes_on_from_the_last_value(make_series, make_future):
    rng = np.random.default_rng(0)
    y = 500 + np.cumsum(rng.normal(0, 5, 150))
    series = make_series(np.r_[y, y[-1] + 60.0])
    model = ElasticNet().fit(series, PLAIN, context(4, difference="first"))
    assert model.frame.level == Level("mean", 1)
    np.testing.assert_allclose(model.predict(make_future(series, 4)).median, series.y[-1], atol=25)
    held = ElasticNet().fit(series, PLAIN, context(4, difference="off"))
    assert held.frame.level == Level("none", 0)


@pytest.mark.parametrize(("difference", "trend"), [("seasonal", 0.0), ("both", 4.0)])
def test_a_seasonal_difference_repeats_the_season_and_both_its_change(
    difference, trend, make_series, make_future
):
    rng = np.random.default_rng(1)
    t = np.arange(64)
    wave = np.tile([0.0, 40.0, 10.0, -30.0], 16)
    series = make_series(200 + trend * t + wave + rng.normal(0, 0.5, 64))
    features = {"lags": (), "windows": (), "calendar": (), "fourier": 0, "difference": difference}
    model = ElasticNet().fit(series, PLAIN, context(8, 4, **features))
    expected = 200 + trend * (64 + np.arange(8)) + np.tile(wave[:4], 2)
    np.testing.assert_allclose(model.predict(make_future(series, 8)).median, expected, atol=8)


def test_a_stated_difference_serves_candidates_without_a_history_too(sales):
    model = ElasticNet().fit(sales(), {**KNOWN, "history": False}, context(difference="first"))
    assert model.frame.level == Level("mean", 1)
    assert model.tail >= 1


# -- unbiased means ---------------------------------------------------------------


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("learner", [ElasticNet(), LightGBM()], ids=lambda learner: learner.info.name)
def test_the_mean_of_a_regression_is_unbiased_within_noise(learner, transform, make_series, make_future):
    ratios = []
    for seed in range(8):
        y = np.exp(np.random.default_rng(seed).normal(4, 0.8, 200))
        series = make_series(y, "W-THU")
        model = learner.fit(series, {**PLAIN, "transform": transform}, context(8))
        ratios.append(model.predict(make_future(series, 8)).mean.mean() / y.mean())
    assert abs(np.mean(ratios) - 1) < 3 * np.std(ratios) / np.sqrt(len(ratios)) + 0.02


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_the_mean_of_arx_is_unbiased_within_noise(transform, make_series, make_future):
    ratios = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        y = (8 + 1.5 * rng.normal(size=200)) ** 2
        series = make_series(y, "W-THU")
        parameters = {"lags": "joint", "anchor": 0, "transform": transform, "known": False}
        ratios.append(Arx().fit(series, parameters, context(8)).predict(make_future(series, 8)).mean.mean())
    error = 24.2 / np.sqrt(200 * 12)
    assert abs(np.mean(ratios) - (64 + 2.25)) < 4 * error + 0.3


def test_the_mean_is_above_the_median_where_errors_are_skewed(sales, make_future):
    series = sales()
    for transform in ("log", "log1p", "box_cox"):
        for learner in (ElasticNet(), LightGBM()):
            model = learner.fit(series, {**KNOWN, "transform": transform}, context())
            forecast = model.predict(make_future(series, 8, sales(8, 1).known_x))
            assert forecast.mean.sum() >= forecast.median.sum()


# -- scaling and reduction --------------------------------------------------------


def test_nothing_is_piped_where_nothing_is_asked(sales):
    assert not isinstance(ElasticNet().fit(sales(), KNOWN, context()).cores[0], Piped)
    assert isinstance(Knn().fit(sales(), KNOWN, context()).cores[0], Piped)


def test_a_stated_standard_is_what_linear_models_do_by_themselves(sales, make_future):
    future = make_future(sales(), 8, sales(8, 1).known_x)
    usual = ElasticNet().fit(sales(), KNOWN, context()).predict(future)
    stated = ElasticNet().fit(sales(), KNOWN, context(scaling="standard")).predict(future)
    np.testing.assert_allclose(stated.median, usual.median, rtol=1e-6)


def test_parameters_of_a_candidate_come_before_the_settings(sales):
    model = LassoLars().fit(sales(), {**KNOWN, "scaling": "robust"}, context(scaling="minmax"))
    assert model.cores[0].pipeline.scaling.method == "robust"
    assert model.parameters["scaling"] == "robust"


def test_a_reduction_keeps_few_columns_and_says_which_it_needs(sales):
    model = Sgd().fit(sales(), KNOWN, context(reduction=("pca", 3)))
    core = model.cores[0]
    assert core.pipeline.columns(len(model.frame.plan.columns)) == 3
    assert len(core.core.reads) <= 3
    state = model.state()
    broken = {**state["cores"][0], "core": {**state["cores"][0]["core"], "used": np.array([7], np.int32)}}
    with pytest.raises(DamagedError):
        Sgd().load({**state, "cores": [broken]})


def test_a_transform_of_a_history_below_zero_is_no_silent_none(make_series, quarterly):
    series = make_series(quarterly() - 300)
    with pytest.raises(LearnerError) as caught:
        ElasticNet().fit(series, {**PLAIN, "transform": "box_cox"}, context(4, 4))
    assert caught.value.code == "NEGATIVE"


PIPELINES = (("robust", None), ("standard", ("pca", 0.9)))


def test_every_pipeline_asked_for_is_a_candidate_that_fits_as_if_it_were_the_setting(sales, make_future):
    series, asked = sales(), context(pipelines=PIPELINES)
    eight = make_future(series, 8, sales(8, 1).known_x)
    found = {c.name: c for c in ElasticNet().candidates(series, asked)}
    usual = [c.name for c in ElasticNet().candidates(series, context())]
    assert [name for name in found if not found[name].usual] == usual
    for scaling, reduction in PIPELINES:
        suffix = scaling if reduction is None else f"{scaling}_pca0.9"
        one = found[f"elastic_net_known_{suffix}"]
        assert one.usual == "elastic_net_known"
        assert one.uses_known
        model = ElasticNet().fit(series, unpack(pack(one.parameters)), asked)
        stated = context(scaling=scaling, reduction=reduction)
        expected = ElasticNet().fit(series, found["elastic_net_known"].parameters, stated)
        assert np.array_equal(model.predict(eight).mean, expected.predict(eight).mean)


def test_trees_try_no_scaling_of_columns_and_no_pipeline_is_tried_twice(sales):
    names = [c.name for c in LightGBM().candidates(sales(), context(pipelines=PIPELINES))]
    assert names == [
        "lightgbm_known",
        "lightgbm_known_standard_pca0.9",
        "lightgbm",
        "lightgbm_standard_pca0.9",
    ]
    # What auto means for neighbours is the standard scaling.
    assert all(not c.usual for c in Knn().candidates(sales(), context(pipelines=(("standard", None),))))
