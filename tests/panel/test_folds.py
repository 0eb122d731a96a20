from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.panel.folds import cutoffs


def all_observed(n):
    return np.ones(n, dtype=bool)


@pytest.mark.parametrize(
    ("length", "horizon", "season", "expected"),
    [
        (60, 6, 1, (39, 42, 45, 48, 51, 54)),
        (80, 8, 4, (52, 56, 60, 64, 68, 72)),
        (200, 13, 1, (148, 161, 174, 187)),
        (700, 48, 24, (508, 556, 604, 652)),
        (30, 1, 1, (24, 25, 26, 27, 28, 29)),
        (20, 6, 1, (8, 11, 14)),
        (13, 6, 1, (7,)),
        (10, 6, 1, (7,)),
        (9, 6, 1, ()),
        (0, 6, 1, ()),
    ],
)
def test_auto_folds_follow_the_rule(length, horizon, season, expected):
    assert cutoffs(all_observed(length), horizon, 0, season) == expected


def test_given_folds_step_and_gap():
    assert cutoffs(all_observed(60), 6, 2, 1, folds=2, step=10) == (42, 52)
    assert cutoffs(all_observed(60), 6, folds=0) == ()


def test_fold_without_half_its_actuals_is_left_out():
    observed = all_observed(60)
    observed[54:58] = False
    assert cutoffs(observed, 6) == (36, 39, 42, 45, 48, 51)
    observed[:] = True
    observed[:50] = False
    assert cutoffs(observed, 6) == (57,)


@settings(max_examples=200, deadline=None)
@given(
    observed=st.lists(st.booleans(), max_size=80),
    horizon=st.integers(1, 20),
    gap=st.integers(0, 4),
    season=st.sampled_from([1, 4, 7, 12]),
    folds=st.one_of(st.just("auto"), st.integers(0, 9)),
    step=st.one_of(st.just("auto"), st.integers(1, 9)),
)
def test_every_fold_can_be_trained_and_scored(observed, horizon, gap, season, folds, step):
    seen = np.array(observed, dtype=bool)
    found = cutoffs(seen, horizon, gap, season, folds, step)
    assert list(found) == sorted(set(found))
    assert len(found) <= ((6 if horizon <= 12 else 4) if folds == "auto" else folds)
    apart = (max(1, horizon // 2) if horizon <= 12 else horizon) if step == "auto" else step
    assert all(gap_between % apart == 0 for gap_between in np.diff(found))
    for n in found:
        assert seen[:n].sum() >= max(7, 2 * season + 1)
        assert seen[n + gap : n + gap + horizon].sum() >= horizon / 2
