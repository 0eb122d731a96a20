from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from many_models.metrics import mase, mase_scale, rmsse, rmsse_scale

relaxed = settings(deadline=None, max_examples=60)
histories = hnp.arrays(
    np.float64,
    st.integers(0, 20),
    elements=st.one_of(st.just(0.0), st.just(math.nan), st.floats(-1e4, 1e4, width=32)),
)


@relaxed
@given(histories, st.integers(1, 7))
def test_mase_scale_agrees_with_a_plain_loop(y, m):
    gaps = [
        abs(y[t] - y[t - m]) for t in range(m, len(y)) if not math.isnan(y[t]) and not math.isnan(y[t - m])
    ]
    expected = math.fsum(gaps) / len(gaps) if gaps else math.nan
    assert mase_scale(y, m) == pytest.approx(expected, nan_ok=True)


@relaxed
@given(histories)
def test_rmsse_scale_agrees_with_a_plain_loop(y):
    sold = [i for i, v in enumerate(y) if not math.isnan(v) and v != 0]
    start = sold[0] if sold else 0
    squares = [(y[t] - y[t - 1]) ** 2 for t in range(start + 1, len(y)) if not math.isnan(y[t] - y[t - 1])]
    expected = math.sqrt(math.fsum(squares) / len(squares)) if squares else math.nan
    assert rmsse_scale(y) == pytest.approx(expected, nan_ok=True)


@relaxed
@given(histories, st.integers(-20, 20), st.floats(-50, 50))
def test_scaled_errors_depend_on_neither_unit_nor_level(y, power, level):
    unit = 2.0**power
    actual, forecast = np.array([1.0, 5.0, 2.0]), np.array([2.0, 2.0, 2.0])
    plain = mase(actual, forecast, mase_scale(y, 2))
    scale = mase_scale(y, 2)
    if not scale > 1e-3:
        return
    np.testing.assert_array_equal(mase(unit * actual, unit * forecast, mase_scale(unit * y, 2)), plain)
    shifted = mase(actual + level, forecast + level, mase_scale(y + level, 2))
    np.testing.assert_allclose(shifted, plain, rtol=1e-6)
    if rmsse_scale(y) > 1e-3:
        one = rmsse(actual, forecast, rmsse_scale(y))
        np.testing.assert_allclose(
            rmsse(unit * actual, unit * forecast, rmsse_scale(unit * y)), one, rtol=1e-12
        )


def test_many_histories_have_their_scales_at_once():
    y = np.array([[0.0, 0.0, 3.0, 5.0, np.nan], [1.0, 2.0, 1.0, 2.0, 1.0], [0.0] * 5, [np.nan] * 5])
    for scale in (mase_scale, rmsse_scale):
        np.testing.assert_array_equal(scale(y), [scale(row) for row in y])


def test_zeros_before_the_first_sale_do_not_shrink_the_scale():
    assert rmsse_scale([0.0, 0.0, 0.0, 4.0, 1.0, 4.0]) == 3.0
    assert rmsse_scale([4.0, 1.0, 4.0]) == 3.0


def test_history_that_never_changes_has_scale_zero():
    assert mase_scale([2.0, 2.0, 2.0]) == 0.0
    assert rmsse_scale([0.0, 0.0, 0.0]) == 0.0
    assert mase_scale([1.0, 2.0, 1.0, 2.0], 2) == 0.0


def test_history_without_a_pair_has_no_scale():
    assert np.isnan(mase_scale([1.0, 2.0], 4))
    assert np.isnan(rmsse_scale([0.0, 0.0, 7.0]))
    assert np.isnan(mase_scale(np.empty(0)))
    assert np.isnan(rmsse_scale(np.empty(0)))


def test_season_below_one_is_refused():
    with pytest.raises(ValueError, match="found 0"):
        mase_scale([1.0, 2.0], 0)
