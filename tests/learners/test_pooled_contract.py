"""What every pooled learner keeps, by standing in the table with a class for groups."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest

from many_models.automl.candidates import pooled_candidates
from many_models.bundle.container import pack, unpack
from many_models.errors import LearnerError, LookupFailed
from many_models.learners.base import Deadline, FitContext
from many_models.learners.pooled import Asked, GroupSeries, PooledMember
from many_models.learners.table import learner_info, pooled_learner, pooled_names
from many_models.panel.grid import Frequency, Grid
from many_models.panel.series import Covariate, Future, Series

GRID = Grid.through(1_001_894_400_000_000, Frequency.parse("QS-OCT"))
FIRST = 127

HORIZON = 4
CONTEXT = FitContext(horizon=HORIZON, season=4, seed=7, nonnegative=True)
KNOWN = (
    Covariate("price"),
    Covariate("advert", "boolean"),
    Covariate("aisle", "category", ("a", "b", "c")),
)
STATIC = (Covariate("area"), Covariate("region", "category", ("north", "south")))
NAMES = [name for name in pooled_names() if all(map(find_spec, learner_info(name).requires))]


def read_only(values):
    values = np.array(values, dtype=np.float64)
    values.flags.writeable = False
    return values


def known_of(n, seed):
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [rng.normal(3, 1, n), rng.integers(0, 2, n).astype(float), rng.integers(0, 3, n).astype(float)]
    )


def member(name, y, start=0, seed=0, context=CONTEXT, known_x=None):
    """One series of a group, its arrays read-only."""
    y = np.asarray(y, dtype=np.float64)
    x = known_of(len(y), seed) if known_x is None else known_x
    seen = np.ones(len(y), dtype=bool)
    seen.flags.writeable = False
    series = Series(
        GRID,
        FIRST + start,
        read_only(y),
        seen,
        read_only(x),
        read_only(np.empty((len(y), 0))),
        read_only([50.0 + seed, seed % 2]),
        KNOWN,
        (),
        STATIC,
    )
    return GroupSeries(name, series, context)


def usual(name, n=40, start=0, seed=0):
    rng, t = np.random.default_rng(seed), np.arange(n)
    x = known_of(n, seed)
    y = 50.0 * (1 + seed) * (1 + 0.005 * t + 0.1 * np.sin(np.pi / 2 * t)) - 3 * x[:, 0] + rng.normal(0, 2, n)
    return member(name, np.abs(y), start, seed)


@cache
def ragged():
    """Series of unlike lengths and ends, good ones among poor ones."""
    return (
        usual("long", 60, 0, 1),
        usual("late", 20, 40, 2),
        usual("early", 40, 0, 3),
        usual("short", 3, 57, 4),
        member("one value", [12.0], 59, 5),
        member("constant", np.full(40, 7.0), 20, 6),
        member("zero", np.zeros(40), 20, 7),
        usual("usual", 40, 20, 8),
    )


def bare(group):
    return [replace(one, series=one.series.without_known()) for one in group]


def shown(candidate, group):
    return list(group) if candidate.uses_known else bare(group)


def candidates(name, group):
    """The first candidate of a learner, and its first that is unlike it in reading covariates."""
    found = pooled_learner(name).pooled_candidates(group)
    others = [one for one in found if one.uses_known != found[0].uses_known]
    return [found[0], *others[:1]]


def fit(candidate, group, seed=3):
    parameters = dict(candidate.parameters)
    if candidate.learner == "tcn":
        parameters = {**parameters, "epochs": 2, "batches": 4}  # trained as briefly as it goes
    return pooled_learner(candidate.learner).fit_pooled(shown(candidate, group), parameters, seed, Deadline())


def question(model, candidate, one, steps=HORIZON):
    """The question about one series, its history no longer than the model says it reads."""
    series = one.series if candidate.uses_known else one.series.without_known()
    ahead = known_of(8, 99)[:steps] if candidate.uses_known else np.empty((steps, 0))
    future = Future(series.grid, series.end + 1 + np.arange(steps), read_only(ahead))
    return Asked(series.tail(model.tail), model.own(one.name, series), future)


def answers(model, candidate, group, steps=HORIZON):
    return model.predict([question(model, candidate, one, steps) for one in group])


def same(a, b):
    return np.array_equal(a.mean, b.mean) and np.array_equal(a.median, b.median)


def all_same(a, b):
    return len(a) == len(b) and all(map(same, a, b))


@cache
def fitted(name):
    """(candidate, model) of the ragged group."""
    return tuple((candidate, fit(candidate, ragged())) for candidate in candidates(name, ragged()))


def test_a_learner_of_single_series_is_refused_by_name():
    with pytest.raises(LookupFailed, match="lightgbm"):
        pooled_learner("ets")


@pytest.mark.parametrize("name", NAMES)
def test_candidates_are_named_after_the_pool_and_one_needs_no_covariates(name):
    found = pooled_learner(name).pooled_candidates(ragged())
    assert all(one.name.startswith("pooled_") and one.learner == name for one in found)
    assert len({one.name for one in found}) == len(found)
    assert {one.uses_known for one in found} == {True, False}
    plain = pooled_learner(name).pooled_candidates(bare(ragged()))
    assert {one.uses_known for one in plain} == {False}
    assert pooled_candidates(ragged(), [name, "ets"], True) == tuple(found)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 2, 50])
def test_groups_of_any_size_are_learned(name, size):
    group = [usual(f"s{i:02d}", 24 + i % 9, i % 5, i) for i in range(size)]
    for candidate in candidates(name, group)[:1]:
        found = answers(fit(candidate, group), candidate, group)
        assert len(found) == size
        for one, forecast in zip(group, found, strict=True):
            assert np.isfinite([forecast.mean, forecast.median]).all()
            assert 0.2 < forecast.median.mean() / one.series.y.mean() < 5.0


@pytest.mark.parametrize("name", NAMES)
def test_every_series_of_a_ragged_group_is_forecast(name):
    for candidate, model in fitted(name):
        by_name = dict(zip([g.name for g in ragged()], answers(model, candidate, ragged()), strict=True))
        assert all(np.isfinite(f.mean).all() and (f.mean >= 0).all() for f in by_name.values())
        assert np.abs(by_name["zero"].median).max() < 1.0
        assert np.abs(by_name["constant"].median - 7.0).max() < 3.5


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_model_forecasts_identically(name):
    for candidate, model in fitted(name):
        stored = pack(model.state())
        loaded = pooled_learner(name).load_pooled(unpack(stored))
        assert all_same(answers(model, candidate, ragged()), answers(loaded, candidate, ragged()))
        assert pack(loaded.state()) == stored
        assert loaded.tail == model.tail
        assert dict(loaded.parameters) == dict(model.parameters)


@pytest.mark.parametrize("name", NAMES)
def test_a_forecast_does_not_depend_on_who_else_is_asked(name):
    for candidate, model in fitted(name):
        together = answers(model, candidate, ragged())
        alone = [answers(model, candidate, [one])[0] for one in ragged()]
        assert all_same(together, alone)
        backwards = answers(model, candidate, ragged()[::-1])
        assert all_same(together, backwards[::-1])


@pytest.mark.parametrize("name", NAMES)
def test_four_steps_are_the_first_of_eight_and_the_tail_suffices(name):
    for candidate, model in fitted(name):
        whole = [question(model, candidate, one, 8) for one in ragged()]
        for one, asked, long in zip(ragged(), whole, model.predict(whole), strict=True):
            short = answers(model, candidate, [one])[0]
            assert np.array_equal(short.mean, long.mean[:HORIZON])
            assert np.array_equal(short.median, long.median[:HORIZON])
            series = one.series if candidate.uses_known else one.series.without_known()
            assert same(long, model.predict([replace(asked, history=series)])[0])
            serving = PooledMember(model, asked.own, asked.history).update(asked.history)
            assert same(long, serving.predict(asked.future))


@pytest.mark.parametrize("name", NAMES)
def test_neither_the_order_of_the_group_nor_another_fit_changes_the_model(name):
    for candidate, model in fitted(name)[:1]:
        assert pack(fit(candidate, ragged()[::-1]).state()) == pack(model.state())


@pytest.mark.parametrize("name", NAMES)
def test_what_comes_after_the_cutoffs_changes_nothing(name):
    def cut(later):
        group = []
        for number in range(3):
            one = usual(f"s{number}", 44, number, number)
            y = one.series.y.copy()
            y[40:] = later
            known_x = one.series.known_x.copy()
            known_x[40:, 0] = later
            past = replace(one.series, y=y[:40], observed=one.series.observed[:40], known_x=known_x[:40])
            group.append(replace(one, series=past))
        return group

    candidate = candidates(name, cut(1.0))[0]
    one, other = (fit(candidate, cut(later)) for later in (1.0, 1e6))
    assert pack(one.state()) == pack(other.state())
    assert all_same(answers(one, candidate, cut(1.0)), answers(other, candidate, cut(1e6)))


@pytest.mark.parametrize("name", NAMES)
def test_a_series_that_was_not_in_the_fit_is_forecast(name):
    new = usual("brand new", 30, 20, 11)
    for candidate, model in fitted(name):
        forecast = answers(model, candidate, [new])[0]
        assert np.isfinite(forecast.mean).all()
        assert 0.2 < forecast.median.mean() / new.series.y.mean() < 5.0


@pytest.mark.parametrize("name", NAMES)
def test_input_is_left_alone_and_nothing_is_said(name, capfd):
    group = ragged()  # its arrays are read-only
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        candidate = candidates(name, group)[0]
        answers(fit(candidate, group[:3]), candidate, group)
    told = capfd.readouterr()
    assert (told.out, told.err) == ("", "")


@pytest.mark.parametrize("name", NAMES)
def test_missing_covariates_of_the_past_spoil_nothing_and_of_the_future_are_refused(name):
    holes = known_of(40, 1)
    holes[5:9, 0], holes[:, 1], holes[3, 2] = np.nan, np.nan, np.nan
    group = [usual("a"), usual("b", seed=1), member("c", usual("c", seed=2).series.y, 0, 2, known_x=holes)]
    candidate = next(one for one in candidates(name, group) if one.uses_known)
    model = fit(candidate, group)
    assert all(np.isfinite(forecast.mean).all() for forecast in answers(model, candidate, group))
    asked = question(model, candidate, group[0])
    gone = replace(asked, future=replace(asked.future, known_x=np.full((HORIZON, 3), np.nan)))
    with pytest.raises(LearnerError) as trouble:
        model.predict([gone])
    assert trouble.value.code == "FUTURE_COVARIATES_MISSING"


@pytest.mark.parametrize("name", NAMES)
def test_a_passed_deadline_stops_the_fit(name):
    candidate = candidates(name, ragged())[0]
    with pytest.raises(LearnerError) as trouble:
        pooled_learner(name).fit_pooled(
            shown(candidate, ragged()), candidate.parameters, 0, Deadline.after(-1.0)
        )
    assert trouble.value.code == "DEADLINE"
