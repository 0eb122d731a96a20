"""Lags by number, by frequency and by partial autocorrelation."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.tsa.stattools import pacf

from many_models.features.autocorrelation import partial_autocorrelation, significant_lags
from many_models.features.base import Wishes
from many_models.features.lags import Lags
from many_models.features.rows import Rows
from many_models.features.settings import FeatureSettings


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(20, 200), memory=st.floats(-0.9, 0.99))
def test_partial_autocorrelations_are_those_of_statsmodels(seed, n, memory):
    noise = np.random.default_rng(seed).normal(size=n)
    z = np.zeros(n)
    for t in range(n):
        z[t] = memory * z[t - 1] + noise[t] if t else noise[t]
    most = n // 3
    found = partial_autocorrelation(z, most)
    np.testing.assert_allclose(found, pacf(z, nlags=most, method="ldb"), rtol=1e-7, atol=1e-9)
    assert np.abs(found).max() <= 1.0


def test_a_constant_has_no_partial_autocorrelation():
    assert partial_autocorrelation(np.full(30, 4.0), 5).tolist() == [1, 0, 0, 0, 0, 0]
    assert significant_lags(np.full(30, 4.0)) == ()
    assert significant_lags(np.arange(30.0)) == ()
    assert significant_lags(np.array([1.0, 2.0])) == ()


def test_the_lags_of_a_process_are_found_through_a_trend():
    rng = np.random.default_rng(0)
    z = rng.normal(size=600)
    for t in range(11, 600):
        z[t] += 0.5 * z[t - 3] + 0.4 * z[t - 11]
    found = significant_lags(z + 0.2 * np.arange(600))
    assert {3, 11} <= set(found)
    assert len(found) <= 6
    assert set(significant_lags(np.exp(0.2 * z))) >= {3, 11}


def decided(series, lags, style="tree", recursive=False, season=7, reach=14):
    family = Lags.decide(series, Wishes(style, season, reach, FeatureSettings(lags=lags), recursive))
    return () if family is None else family.lags


def test_settings_say_which_lags_there_are(make_series):
    rng = np.random.default_rng(0)
    y = 20 + rng.normal(size=300)
    for t in range(5, 300):
        y[t] += 0.8 * (y[t - 5] - 20)
    series = make_series("D", 300, y=y)
    assert decided(series, ()) == ()
    assert decided(series, (9, 2)) == (2, 9)
    assert decided(series, (2, 149)) == (2,)
    assert decided(series, None) == (1, 2, 3, 7)
    assert decided(series, None, "linear") == (1, 7, 14)
    assert decided(series, None, recursive=True) == (1, 2, 3, 7, 8, 14)
    assert {1, 5, 7} <= set(decided(series, "pacf"))
    assert decided(series, (2, 149), recursive=True) == (2, 149)


def test_a_row_of_a_recursion_reads_the_value_right_before_it(make_series):
    series = make_series("D", 100)
    targets = np.arange(20, 100)
    rows = Rows.training(series, series.y, np.ones(80, np.int64), targets, 0)
    assert np.array_equal(Lags((1, 3)).build(rows), np.column_stack([series.y[19:99], series.y[17:97]]))
