"""Elastic net and LightGBM: what they find, what they may read, and how they do on real sales."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import ElasticNet as ReferenceNet

from many_models.bundle.container import pack, unpack
from many_models.errors import DamagedError, LearnerError
from many_models.features.settings import FeatureSettings
from many_models.learners.base import FitContext
from many_models.learners.recursion import Alone, recursed, stacked
from many_models.learners.regression import (
    MOST_CORES,
    ElasticNet,
    LightGBM,
    answered_steps,
    best_level,
    elastic_net,
    seen_from,
)
from many_models.panel.grid import Frequency, Grid
from many_models.panel.series import Covariate, Forecast, Future, Series

BOTH = pytest.mark.parametrize("learner", [ElasticNet(), LightGBM()])
PRICE = (Covariate("price"), Covariate("advert", "boolean"))
KNOWN = {"history": False, "known": True, "transform": "log"}
PLAIN = {"history": True, "known": False, "transform": "log"}


@pytest.fixture
def sales(make_series):
    def make(n=120, seed=0, wander=0.0):
        rng = np.random.default_rng(seed)
        x = np.column_stack([rng.uniform(1, 3, n), rng.integers(0, 2, n)])
        log = 6 - 2 * np.log(x[:, 0]) + 0.5 * x[:, 1] + rng.normal(0, 0.1, n)
        log += np.cumsum(rng.normal(0, wander, n)) - 5 * wander * np.sin(np.arange(n))
        return make_series(np.exp(log), "W-THU", x, PRICE)

    return make


@BOTH
def test_price_and_promotion_effects_are_found(learner, sales, make_future):
    series = sales(200)
    model = learner.fit(series, KNOWN, FitContext(horizon=4, nonnegative=True))
    x = np.array([[1.2, 0], [2.0, 0], [2.0, 1], [2.8, 0]])
    found = model.predict(make_future(series, 4, x)).median
    np.testing.assert_allclose(found, np.exp(6 - 2 * np.log(x[:, 0]) + 0.5 * x[:, 1]), rtol=0.3)


@BOTH
def test_a_trend_is_followed_beyond_what_was_seen(learner, make_series, make_future):
    series = make_series(100 * 1.03 ** np.arange(60), "MS")
    model = learner.fit(series, PLAIN, FitContext(horizon=6, season=12, nonnegative=True))
    assert model.frame.level.kind == "mean"
    assert model.predict(make_future(series, 6)).median.min() > 0.97 * series.y[-1]


@BOTH
def test_the_first_steps_of_a_forecast_are_the_same_bits(learner, sales, make_future):
    series = sales()
    model = learner.fit(series, {**KNOWN, "history": True}, FitContext(horizon=8, nonnegative=True))
    eight = make_future(series, 8, sales(8, 1).known_x)
    whole = model.predict(eight)
    for part in (slice(0, 4), slice(0, 1), slice(5, 6)):
        some = model.predict(Future(eight.grid, eight.ordinals[part], eight.known_x[part]))
        assert np.array_equal(some.mean, whole.mean[part])
        assert np.array_equal(some.median, whole.median[part])


@BOTH
def test_missing_known_covariates_are_named(learner, sales, make_future):
    series = sales()
    model = learner.fit(series, KNOWN, FitContext(horizon=2, nonnegative=True))
    with pytest.raises(LearnerError) as caught:
        model.predict(make_future(series, 2, np.array([[1.0, 0.0], [2.0, np.nan]])))
    assert caught.value.code == "FUTURE_COVARIATES_MISSING"
    with pytest.raises(LearnerError):
        model.predict(make_future(series, 2))


@BOTH
def test_a_mean_is_not_below_what_the_history_sold(learner, make_series, make_future):
    rng = np.random.default_rng(0)
    y = np.exp(rng.normal(4, 1.0, 150))
    series = make_series(y, "W-THU")
    forecast = learner.fit(series, PLAIN, FitContext(horizon=8, nonnegative=True)).predict(
        make_future(series, 8)
    )
    assert forecast.mean.sum() > 1.2 * forecast.median.sum()


@BOTH
def test_long_series_read_their_history_beside_covariates(learner, sales):
    context = FitContext(horizon=8, nonnegative=True)
    short, long = sales(120), sales(400)
    assert not learner.candidates(short, context)[0].parameters["history"]
    assert learner.candidates(long, context)[0].parameters["history"]


@BOTH
def test_a_model_whose_columns_do_not_exist_is_refused(learner, sales):
    state = learner.fit(sales(), KNOWN, FitContext(horizon=2, nonnegative=True)).state()
    (core,) = state["cores"]
    part = "used" if "used" in core else "feature"
    for cores in ([{**core, part: core[part] + 100}], [core, core], []):
        with pytest.raises(DamagedError):
            learner.load({**state, "cores": cores})


def test_orange_juice_sized_models_are_under_eight_kilobytes(sales):
    context = FitContext(horizon=8, nonnegative=True)
    for learner in (ElasticNet(), LightGBM()):
        for parameters in (KNOWN, {**KNOWN, "history": True}):
            assert len(pack(learner.fit(sales(), parameters, context).state())) < 8_000


def test_another_seed_is_another_forest_and_the_same_seed_the_same(sales):
    first, second = (FitContext(horizon=8, seed=s, nonnegative=True) for s in (1, 2))
    fit = LightGBM().fit
    assert pack(fit(sales(), KNOWN, first).state()) == pack(fit(sales(), KNOWN, first).state())
    assert pack(fit(sales(), KNOWN, first).state()) != pack(fit(sales(), KNOWN, second).state())


def test_settings_switch_features_off(sales):
    features = FeatureSettings(lags=(), windows=(), calendar=False, fourier=0, transform="none")
    context = FitContext(horizon=8, nonnegative=True, features=features)
    for learner in (ElasticNet(), LightGBM()):
        candidate = learner.candidates(sales(), context)[-1]
        assert candidate.parameters["transform"] == "none"
        model = learner.fit(sales().without_known(), candidate.parameters, context)
        assert model.frame.plan.columns == ()


def test_the_elastic_net_is_scikit_learns_at_its_penalty():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 6)) * [1, 2, 3, 4, 5, 6] + 10
    z = x[:, 0] - 0.5 * x[:, 2] + rng.normal(0, 0.5, 80)
    core = elastic_net(x, z, 80)
    assert {0, 2} <= set(core.used.tolist())
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    strongest = np.abs(standard.T @ (z - z.mean())).max() / 80 / 0.5
    gaps = []
    for alpha in strongest * np.geomspace(1.0, 0.003, 12):
        reference = ReferenceNet(alpha=alpha, l1_ratio=0.5, tol=1e-8, max_iter=10_000).fit(standard, z)
        gaps.append(np.abs(reference.predict(standard) - core.predict(x)).max())
    assert min(gaps) < 0.01


def test_every_value_is_a_target_and_every_step_comes_in_turn():
    targets, steps = seen_from(100, 10, 8)
    assert set(targets.tolist()) == set(range(10, 100))
    assert np.bincount(steps)[1:].min() > 0.9 * len(steps) / 8
    assert len(set(zip(targets.tolist(), steps.tolist(), strict=True))) == len(targets)


def test_the_level_follows_trends_and_not_noise():
    context = FitContext(horizon=6)
    rng = np.random.default_rng(0)
    assert best_level(np.arange(40.0), context) == 1
    assert best_level(rng.normal(size=200), context) == 0


STRATEGIES = pytest.mark.parametrize("strategy", ["direct", "recursive", "per_step"])


def same(one, two):
    return np.array_equal(one.mean, two.mean) and np.array_equal(one.median, two.median)


@BOTH
@STRATEGIES
@pytest.mark.parametrize("gap", [0, 2])
def test_every_strategy_keeps_the_contract(learner, strategy, gap, sales, make_future):
    series = sales(150, wander=0.3)
    features = FeatureSettings(strategy=strategy)
    context = FitContext(horizon=6, gap=gap, nonnegative=True, features=features)
    for known in (True, False):
        parameters = {"history": True, "known": known, "transform": "log", "strategy": strategy}
        if known and gap and strategy == "recursive":
            continue
        past = series if known else series.without_known()
        model = learner.fit(past, parameters, context)
        twelve = make_future(series, 12, sales(12, 1).known_x, gap)
        whole = model.predict(twelve)
        assert np.isfinite(whole.mean).all()
        stored = learner.load(unpack(pack(model.state())))
        assert same(stored.predict(twelve), whole)
        assert same(model.update(past.tail(model.tail)).predict(twelve), whole)
        first = Future(twelve.grid, twelve.ordinals[:5], twelve.known_x[:5])
        assert same(model.predict(first), Forecast(whole.mean[:5], whole.quantiles[:5]))
        if not known:
            some = Future(twelve.grid, twelve.ordinals[[1, 4, 9]], twelve.known_x[[1, 4, 9]])
            assert np.array_equal(model.predict(some).mean, whole.mean[[1, 4, 9]])
        newer = sales(151, wander=0.3).tail(model.tail + 1)
        moved = model.update(newer if known else newer.without_known())
        assert moved.end == model.end + 1
        later = make_future(newer, 4, twelve.known_x[1:5], gap)
        assert not np.array_equal(moved.predict(later).mean, whole.mean[1:5])


@BOTH
def test_a_recursion_is_one_step_at_a_time_with_its_own_forecasts_as_history(learner, sales, make_future):
    series = sales(150, wander=0.3).without_known()
    context = FitContext(horizon=6, nonnegative=True)
    model = learner.fit(series, {**PLAIN, "strategy": "recursive"}, context)
    whole = model.predict(make_future(series, 6))
    y = series.y
    for step in range(6):
        longer = replace(
            series,
            y=y,
            observed=np.ones(len(y), bool),
            known_x=np.empty((len(y), 0)),
            past_x=np.empty((len(y), 0)),
        )
        one = model.update(longer).predict(make_future(longer, 1))
        np.testing.assert_allclose(one.median, whole.median[[step]], rtol=1e-9)
        y = np.append(y, one.median)


@BOTH
def test_many_series_are_walked_together_with_the_bits_of_each_alone(learner, sales, make_future):
    models, futures = [], []
    for seed in range(5):
        series = sales(90 + 40 * seed, seed, 0.3)
        context = FitContext(horizon=6, season=52 if seed > 2 else 1, nonnegative=True, seed=seed)
        known = seed % 2 == 0
        parameters = {
            "history": True,
            "known": known,
            "transform": "log" if seed != 1 else "none",
            "strategy": "recursive",
        }
        models.append(learner.fit(series if known else series.without_known(), parameters, context))
        futures.append(make_future(series, 4 + seed, sales(4 + seed, 9).known_x))
    for model, future, together in zip(models, futures, recursed(models, futures), strict=True):
        assert np.array_equal(recursed([model], [future])[0], together)
        assert same(model.forecast(together), model.predict(future))


def test_stacked_cores_answer_as_each_does(sales):
    x = np.random.default_rng(0).normal(size=(3, 40))
    for learner in (ElasticNet(), LightGBM()):
        models = [
            learner.fit(
                sales(n, wander=0.3), {**KNOWN, "history": True}, FitContext(horizon=2, nonnegative=True)
            )
            for n in (60, 120, 300)
        ]
        cores = [model.cores[0] for model in models]
        widths = [len(model.frame.plan.columns) for model in models]
        oracle = Alone(tuple(cores), tuple(widths)).predict(x)
        np.testing.assert_allclose(stacked(cores, widths).predict(x), oracle, rtol=1e-12)
        assert isinstance(stacked([*cores, object()], [*widths, 0]), Alone)


@BOTH
def test_a_recursion_without_the_covariates_of_its_way_says_so(learner, sales, make_future):
    series = sales(150, wander=0.3)
    parameters = {**KNOWN, "history": True, "strategy": "recursive"}
    model = learner.fit(series, parameters, FitContext(horizon=4, nonnegative=True))
    future = make_future(series, [2, 3], sales(2).known_x)
    with pytest.raises(LearnerError) as caught:
        model.predict(future)
    assert caught.value.code == "FUTURE_COVARIATES_MISSING"


def test_each_step_is_answered_by_one_core():
    for horizon in (1, 5, 12, 13, 30, 168):
        for strategy in ("direct", "recursive", "per_step"):
            blocks = answered_steps(strategy, horizon)
            assert len(blocks) <= MOST_CORES
            if strategy != "recursive":
                steps = [step for first, last in blocks for step in range(first, last + 1)]
                assert steps == list(range(1, horizon + 1))
    assert len(answered_steps("per_step", 8)) == 8
    assert len(answered_steps("direct", 8)) == 1


def test_candidates_carry_the_strategy_that_was_asked_for(sales):
    for wish, found in (("auto", "direct"), ("recursive", "recursive"), ("per_step", "per_step")):
        context = FitContext(horizon=4, nonnegative=True, features=FeatureSettings(strategy=wish))
        for learner in (ElasticNet(), LightGBM()):
            assert {c.parameters["strategy"] for c in learner.candidates(sales(), context)} == {found}


def test_orange_juice_is_forecast_from_price_and_promotion(real_data):
    frame = pd.read_parquet(real_data / "oj" / "oj_weekly.parquet")
    grid = Grid(Frequency.parse("W-THU"))
    stamps = frame["WeekStarting"].to_numpy().astype("datetime64[us]").astype(np.int64)
    frame = frame.assign(o=grid.ordinals(stamps))
    last = int(frame["o"].max())
    names = ["Price", "Advert", "feat", "deal"]
    known = tuple(Covariate(n, "boolean" if n in ("Advert", "deal") else "number") for n in names)
    context = FitContext(horizon=8, nonnegative=True)
    wrong = {"elastic_net": 0.0, "lightgbm": 0.0, "median": 0.0}
    total = 0.0
    for _, part in list(frame.groupby(["Store", "Brand"]))[::12]:
        for cut in (last - 8, last - 24, last - 40):
            part = part.sort_values("o")
            past, ahead = part[part["o"] <= cut], part[(part["o"] > cut) & (part["o"] <= cut + 8)]
            whole = past.set_index("o").reindex(range(int(past["o"].min()), int(past["o"].max()) + 1))
            seen = whole["Quantity"].notna().to_numpy()
            filled = whole[["Quantity", *names]].astype(float).ffill()
            n = len(whole)
            series = Series(
                grid, int(whole.index[0]), filled["Quantity"].to_numpy(), seen,
                filled[names].to_numpy(), np.empty((n, 0)), np.empty(0), known,
            )  # fmt: skip
            future = Future(grid, ahead["o"].to_numpy(np.int64), ahead[names].to_numpy(np.float64))
            truth = ahead["Quantity"].to_numpy(np.float64)
            total += truth.sum()
            wrong["median"] += np.abs(truth - np.median(series.y[seen])).sum()
            for name, learner in (("elastic_net", ElasticNet()), ("lightgbm", LightGBM())):
                forecast = learner.fit(series, KNOWN, context).predict(future)
                wrong[name] += np.abs(truth - forecast.median).sum()
    assert wrong["elastic_net"] < 0.85 * wrong["median"]
    assert wrong["lightgbm"] < 0.85 * wrong["median"]
    assert total > 0
