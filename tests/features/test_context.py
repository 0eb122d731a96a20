"""What regressions read of the siblings: relative prices, shares, and what is asked for."""

import json

import numpy as np
import pytest

from many_models.features.base import Wishes
from many_models.features.context import Context
from many_models.features.covariates import Covariates
from many_models.features.rows import Rows
from many_models.features.settings import FeatureSettings
from many_models.learners.covariates import Regressors
from many_models.panel.grid import Frequency, Grid
from many_models.panel.series import Covariate, Future, Series

KNOWN = (
    Covariate("price"),
    Covariate("ad", "boolean"),
    Covariate("context(price).min", origin="siblings"),
    Covariate("context(price).mean", origin="siblings"),
    Covariate("context(price)[b]", origin="siblings"),
    Covariate("context(ad).min", origin="siblings"),
    Covariate("context(ad).mean", origin="siblings"),
)
RNG = np.random.default_rng(3)
PRICE, LOW, HIGH = (RNG.uniform(*ends, 50) for ends in ((1, 2), (1, 1.5), (1.5, 3)))
FLAG = (RNG.random(50) < 0.4).astype(float)
SHARE = RNG.integers(0, 4, 50) / 3
X = np.column_stack([PRICE, FLAG, LOW, HIGH, HIGH, SHARE * 0, SHARE])


def series_with(x=X, known=KNOWN):
    grid = Grid(Frequency.parse("D"), None, 0, "start")
    n = len(x)
    return Series(grid, 0, np.arange(n) + 1.0, np.ones(n, bool), x, np.empty((n, 0)), np.empty(0), known)


def columns_of(style="linear", kinds=("relative",), series=None):
    series = series or series_with()
    family = Context.decide(series, Wishes(style, settings=FeatureSettings(context=kinds)))
    return dict(zip(family.columns, family.build(Rows.past(series)).T, strict=True))


def test_a_price_is_told_relative_to_the_siblings_mean_and_a_flag_as_their_share():
    found = columns_of()
    assert list(found) == ["log_price_to_siblings_mean", "context(ad).mean"]
    np.testing.assert_allclose(found["log_price_to_siblings_mean"], np.log(PRICE / HIGH), rtol=1e-12)
    np.testing.assert_allclose(found["context(ad).mean"], SHARE)
    np.testing.assert_allclose(columns_of("tree")["price_to_siblings_mean"], PRICE / HIGH)


def test_what_is_asked_for_is_read():
    found = columns_of("tree", ("mean", "min", "above_min", "siblings"))
    np.testing.assert_array_equal(found["context(price).mean"], HIGH)
    np.testing.assert_array_equal(found["context(price).min"], LOW)
    np.testing.assert_array_equal(found["price_above_siblings_min"], PRICE - LOW)
    np.testing.assert_array_equal(found["context(price)[b]"], HIGH)


def test_numbers_that_are_not_positive_are_told_as_differences():
    x = X.copy()
    x[7, 0] = -1.0
    found = columns_of("linear", series=series_with(x))
    np.testing.assert_array_equal(found["price_to_siblings_mean"], x[:, 0] - HIGH)


def test_values_are_held_near_the_trained_range_and_the_state_is_plain():
    series = series_with()
    family = Context.decide(series, Wishes("linear"))
    again = Context.from_dict(json.loads(json.dumps(family.to_dict())))
    assert again == family
    wild = np.tile(X[:1], (3, 1))
    wild[:, 3] = [1e-9, 1e9, -1.0]
    rows = Rows.future(Future(series.grid, np.arange(50, 53), wild), series.y[:0], series.end)
    ratio = np.log(PRICE / HIGH)
    reach = 0.5 * (ratio.max() - ratio.min())
    found = again.build(rows)[:, 0]
    np.testing.assert_allclose(found, [ratio.max() + reach, ratio.min() - reach, ratio.max() + reach])


def test_other_readers_of_covariates_leave_the_siblings_alone():
    own = Covariates.decide(series_with(), Wishes("tree"))
    assert own.columns == ("price", "ad")
    assert Regressors.of(series_with()).source.tolist() == [0, 1]


@pytest.mark.parametrize("origin", ["alone", "own"])
def test_a_series_without_siblings_has_no_such_columns(origin):
    known = tuple(Covariate(c.name, c.kind, origin=origin) for c in KNOWN)
    assert Context.decide(series_with(known=known), Wishes("linear")) is None
