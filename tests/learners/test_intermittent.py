"""Rates of intermittent demand, against statsforecast."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from many_models.learners.base import FitContext
from many_models.learners.intermittent import RATES, WINDOW
from many_models.learners.table import learner


def sporadic(seed, length=80, chance=0.25):
    rng = np.random.default_rng(seed)
    return (rng.random(length) < chance) * rng.poisson(3, length).astype(np.float64)


@pytest.mark.parametrize("seed", range(6))
def test_croston_and_sba_are_those_of_statsforecast(seed):
    from statsforecast.models import CrostonClassic, CrostonSBA

    y = sporadic(seed)
    for name, model in (("croston", CrostonClassic()), ("sba", CrostonSBA())):
        assert RATES[name](y) == pytest.approx(float(model.forecast(y, 1)["mean"][0]), rel=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_tsb_is_that_of_statsforecast(seed):
    from statsforecast.models import TSB

    y = sporadic(seed)
    assert RATES["tsb"](y) == pytest.approx(float(TSB(0.1, 0.1).forecast(y, 1)["mean"][0]), rel=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_aggregated_rates_are_those_of_statsforecast(seed):
    """It searches the smoothing where we try twenty-one values."""
    from statsforecast.models import ADIDA, IMAPA

    y = sporadic(seed)
    for name, model in (("adida", ADIDA()), ("imapa", IMAPA())):
        assert RATES[name](y) == pytest.approx(float(model.forecast(y, 1)["mean"][0]), rel=0.03)


@settings(max_examples=60, deadline=None)
@given(some.lists(some.integers(0, 9), min_size=4, max_size=60), some.sampled_from(sorted(RATES)))
def test_a_rate_lies_between_nothing_and_the_largest_demand(values, name):
    y = np.array(values, dtype=np.float64)
    rate = RATES[name](y)
    assert 0 <= rate <= y.max() + 1e-9


@pytest.mark.parametrize("name", sorted(RATES))
def test_what_lies_far_back_does_not_matter(make_series, name):
    y = sporadic(1, WINDOW + 50)
    other = y.copy()
    other[:50] = 7.0
    models = [learner(name).fit(make_series(v), {}, FitContext(4)) for v in (y, other)]
    assert models[0].rate == models[1].rate


def test_tsb_fades_where_demand_stops_and_croston_does_not():
    y = np.concatenate([sporadic(3), np.zeros(40)])
    assert RATES["tsb"](y) < 0.1 * RATES["croston"](y)


def test_the_median_of_rare_demand_is_zero(make_series, make_future):
    y = sporadic(4)
    series = make_series(y)
    model = learner("imapa").fit(series, {}, FitContext(4))
    forecast = model.predict(make_future(series, 4))
    assert (forecast.mean > 0).all()
    assert (forecast.median == 0).all()
