from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.panel.imputation import Fill, fill_columns, fill_problem, fill_target
from many_models.panel.series import Covariate

NAN = np.nan
METHODS = ("auto", "linear", "forward", "seasonal", "median", "zero", "constant")


def by_hand(y, method, season, constant=9.0):
    """The target filled one value at a time, from the rule as it is documented."""
    seen = [i for i, value in enumerate(y) if not np.isnan(value)]
    result = list(y)
    for i, value in enumerate(y):
        if not np.isnan(value):
            continue
        before = [j for j in seen if j < i]
        after = [j for j in seen if j > i]
        if method in ("zero", "constant") or not seen:
            result[i] = constant if method == "constant" else 0.0
        elif method == "median":
            result[i] = float(np.median([y[j] for j in seen]))
        elif method == "seasonal" and i >= season > 1:
            result[i] = result[i - season]
        elif method == "forward" or not after or not before:
            result[i] = y[before[-1]] if before else y[after[0]]
        else:
            a, b = before[-1], after[0]
            result[i] = y[a] + (y[b] - y[a]) * (i - a) / (b - a)
    return result


@settings(max_examples=80, deadline=None)
@given(
    y=st.lists(st.one_of(st.just(NAN), st.integers(-9, 9).map(float)), min_size=1, max_size=20),
    method=st.sampled_from(METHODS),
    season=st.integers(1, 5),
)
def test_targets_are_filled_as_by_hand(y, method, season):
    values = np.array(y)
    fill = Fill(method, 9.0 if method == "constant" else None)
    filled = fill_target(values, np.isfinite(values), fill, season)
    np.testing.assert_allclose(filled, by_hand(y, method, season), atol=1e-12)


@settings(max_examples=80, deadline=None)
@given(
    cells=st.lists(st.sampled_from([NAN, 0.0, 1.0, 2.0]), min_size=1, max_size=20),
    method=st.sampled_from(METHODS),
    kind=st.sampled_from(["number", "boolean", "category"]),
)
def test_covariates_are_filled_as_pandas_does(cells, method, kind):
    values = np.array(cells)
    column = Covariate("c", kind, ("a", "b", "c") if kind == "category" else ())
    constant = {"number": 7.0, "boolean": 1.0, "category": "b"}[kind] if method == "constant" else None
    fill = Fill(method, constant)
    if fill_problem(fill, "c", kind) is not None:
        return
    filled = fill_columns(values[:, None], (fill,), (column,), 7)[:, 0]
    series = pd.Series(values)
    if method == "constant":
        expected = series.fillna(1.0 if kind != "number" else 7.0)
    elif method == "zero":
        expected = series.fillna(0.0)
    elif series.isna().all():
        expected = series
    elif method == "median":
        expected = series.fillna(series.median() if kind == "number" else series.mode()[0])
    elif method == "linear" or (method == "seasonal" and kind == "number"):
        expected = series.interpolate(limit_direction="both")
    else:
        expected = series.ffill().bfill()
    if method == "seasonal":
        for i in np.flatnonzero(np.isnan(values)):
            if i >= 7 and not series.isna().all():
                expected[i] = expected[i - 7]
    np.testing.assert_allclose(filled, expected, atol=1e-12)


def test_columns_without_a_rule_take_the_value_before_and_share_one_pass():
    values = np.array([[NAN, 1.0, NAN], [2.0, NAN, NAN], [NAN, 3.0, NAN]])
    columns = tuple(Covariate(name) for name in "abc")
    fills = (Fill(), Fill("zero"), Fill())
    np.testing.assert_array_equal(
        fill_columns(values, fills, columns), [[2.0, 1.0, NAN], [2.0, 0.0, NAN], [2.0, 3.0, NAN]]
    )
    assert np.isnan(values[0, 0])


@pytest.mark.parametrize(
    ("fill", "kind", "says"),
    [
        (Fill("linear"), "category", "linear for a column of text"),
        (Fill("zero"), "category", "zero for a column of text"),
        (Fill("constant", 3.0), "category", "constant 3.0 for a column of text"),
        (Fill("constant", "x"), "number", "constant x for a column of numbers"),
        (Fill("linear"), "boolean", "linear for a column of true and false"),
        (Fill("linear"), "number", None),
        (Fill("constant", "x"), "category", None),
        (Fill("median"), "category", None),
        (Fill("zero"), "boolean", None),
    ],
)
def test_rules_that_a_kind_of_column_cannot_have_are_named(fill, kind, says):
    problem = fill_problem(fill, "price", kind)
    assert (problem and problem.found) == says
    if problem:
        assert problem.where == "preparation.impute.price"
