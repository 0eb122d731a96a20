"""Which candidates a series gets: by preset and lists, and what its history can carry."""

from __future__ import annotations

import numpy as np
import pytest

from many_models.automl.candidates import (
    GUARD,
    LONGEST,
    LONGEST_SEASON,
    PRESETS,
    SEARCHED_PIPELINES,
    learner_names,
    series_candidates,
    settled,
)
from many_models.automl.settings import pipelines_of
from many_models.learners.base import Candidate
from many_models.learners.table import LEARNERS
from many_models.spec import ForecastSpec


def test_presets_name_learners_that_exist_and_each_holds_the_one_before():
    for names in PRESETS.values():
        assert set(names) <= set(LEARNERS)
        assert len(set(names)) == len(names)
    assert set(PRESETS["fast"]) < set(PRESETS["balanced"]) < set(PRESETS["best"])
    assert {"auto_arima", "arima_pmdarima"}.isdisjoint(PRESETS["balanced"])
    assert set(LONGEST) | set(LONGEST_SEASON) <= set(LEARNERS)


@pytest.mark.parametrize(
    ("allow", "block"),
    [(None, None), (["ets"], None), (None, ["naive", "seasonal_naive"]), (["ets"], ["ets"])],
)
def test_naive_and_seasonal_naive_are_always_candidates(allow, block):
    assert set(GUARD) <= set(learner_names("fast", allow, block))


def test_lists_choose_and_the_block_list_wins():
    assert learner_names("fast", ["ets", "theta", "ets"], ["theta"]) == (*GUARD, "ets")
    assert "arx" not in learner_names("fast", None, ["arx"])


def candidate_learners(data, context, names, named=False):
    n = len(data.y)
    return [c.learner for c in series_candidates(data.train(n), context, names, named)]


def test_a_short_history_gets_only_what_it_can_carry(handmade, context):
    data = handmade(np.arange(4.0))
    found = candidate_learners(data, context(4, season=4), PRESETS["balanced"])
    assert {"naive", "seasonal_naive", "drift", "average"} <= set(found)
    assert {"ets", "arima", "lightgbm", "elastic_net"}.isdisjoint(found)


def test_a_long_season_gets_no_slow_learner_unless_it_is_named(handmade, context):
    data = handmade(np.arange(200.0))
    assert "ets" in candidate_learners(data, context(12, season=12), PRESETS["balanced"])
    assert "ets" not in candidate_learners(data, context(24, season=24), PRESETS["balanced"])
    assert "ets" in candidate_learners(data, context(24, season=24), ["ets"], named=True)


def test_a_long_history_gets_no_slow_learner_unless_it_is_named(handmade, context):
    data = handmade(np.arange(1600.0) % 7)
    names = ("naive", "arima")
    assert "arima" not in candidate_learners(data, context(7, season=7), names)
    assert "arima" in candidate_learners(data, context(7, season=7), names, named=True)


def test_candidates_depend_on_no_single_value(handmade, context):
    rng = np.random.default_rng(1)
    first, second = (handmade(rng.normal(50, 5, 80), alias="QS-JAN") for _ in range(2))
    given = context(4, season=4, nonnegative=True)
    found = [series_candidates(d.train(80), given, PRESETS["balanced"]) for d in (first, second)]
    assert found[0] == found[1]


def test_candidates_have_names_of_their_own_and_one_without_covariates(handmade, context):
    data = handmade(np.arange(80.0), np.random.default_rng(2).normal(size=(80, 1)), "QS-JAN")
    found = series_candidates(data.train(80), context(4, season=4), PRESETS["balanced"])
    names = [c.name for c in found]
    assert len(set(names)) == len(names)
    using = {c.learner for c in found if c.uses_known}
    assert {"arx", "arima", "elastic_net", "lightgbm"} <= using
    assert using <= {c.learner for c in found if not c.uses_known}


def test_of_pipelines_only_those_that_a_pilot_kept_are_tried():
    usual = Candidate("net", "elastic_net")
    robust, pca = (Candidate(f"net_{n}", "elastic_net", usual="net") for n in ("robust", "pca"))
    other = Candidate("ets", "ets")
    every = (other, usual, robust, pca)
    assert settled(every, {}) == every
    assert settled(every, {"net": ("net_robust", "net_pca")}) == (other, robust, pca)
    assert settled(every, {"net": ("net",)}) == (other, usual)
    # Kept under other settings: none of them is here.
    assert settled((other, usual, pca), {"net": ("net_robust",)}) == (other, usual, pca)


def spec_of(preset, **features):
    return ForecastSpec.from_dict(
        {
            "name": "pipelines",
            "data": {"path": "x.csv", "time": "t", "target": "y", "series": ["s"]},
            "forecast": {"horizon": 4},
            "learners": {"preset": preset},
            "features": features,
        }
    )


@pytest.mark.parametrize(
    ("preset", "features", "usual", "others"),
    [
        ("balanced", {}, ("auto", None), ()),
        ("best", {}, ("auto", None), SEARCHED_PIPELINES["best"]),
        ("best", {"scaling": "standard"}, ("standard", None), ()),
        ("fast", {"scaling": ["robust", "none"]}, ("robust", None), (("none", None),)),
        (
            "balanced",
            {"scaling": ["auto", "robust"], "reduction": {"method": ["none", "svd"], "components": 3}},
            ("auto", None),
            (("robust", None), ("auto", ("svd", 3)), ("robust", ("svd", 3))),
        ),
    ],
)
def test_pipelines_are_searched_where_several_are_listed_and_in_the_largest_preset(
    preset, features, usual, others
):
    found = pipelines_of(spec_of(preset, **features))
    assert (found["scaling"], found["reduction"]) == usual
    assert found["pipelines"] == others
