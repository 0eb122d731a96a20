"""What share of every forecast belongs to a group's models: learned from many series, never from few."""

import numpy as np
import pytest

from many_models.automl.shares import FEWEST, MOST, Shown, pooled_shares


def shown_of(count, errs, own=1.0, seed=0, folds=4, horizon=6, scale=2.0, squared=False):
    """Series whose combination and pooled candidates err independently, by so much."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        actual = 50 + 5 * rng.normal(size=(folds, horizon))
        pooled = {name: actual + size * rng.normal(size=actual.shape) for name, size in errs.items()}
        found.append(Shown(actual + own * rng.normal(size=actual.shape), pooled, actual, scale, squared))
    return found


@pytest.mark.parametrize("squared", [False, True])
def test_what_errs_differently_has_a_share_though_it_is_no_better(squared):
    shares = pooled_shares(shown_of(60, {"a": 1.0}, squared=squared))
    # Of two that err independently and alike the mean is best; shrinking takes off next to nothing.
    assert shares == {"a": pytest.approx(0.5, abs=0.06)}


def test_what_is_worse_has_less_and_what_is_hopeless_has_none():
    shares = pooled_shares(shown_of(60, {"a": 1.5, "hopeless": 9.0}))
    assert 0.15 < shares["a"] < 0.45
    assert "hopeless" not in shares


def test_candidates_that_err_alike_share_and_together_they_have_at_most_half():
    shares = pooled_shares(shown_of(60, {"a": 0.7, "b": 0.7}))
    assert set(shares) == {"a", "b"}
    assert 0.45 < sum(shares.values()) <= MOST + 1e-9


def test_a_copy_of_the_combination_has_no_share():
    shown = shown_of(40, {})
    copies = [Shown(s.combination, {"a": s.combination}, s.actual, s.scale, False) for s in shown]
    assert pooled_shares(copies) == {}


def test_few_series_teach_nothing_and_an_unsure_gain_is_shrunk():
    many = shown_of(200, {"a": 1.0}, seed=3)
    assert pooled_shares(many[: FEWEST - 1]) == {}
    # One series in a hundred gains, by much: the mean gains no more than its noise.
    rare = [
        Shown(s.actual + 1.0, {"a": s.actual + (1.0 if i else -1.0)}, s.actual, s.scale, False)
        for i, s in enumerate(many[:100])
    ]
    shares = pooled_shares(rare)
    assert 0.0 < shares["a"] <= 0.26


def test_series_that_show_nothing_are_left_out():
    shown = shown_of(30, {"a": 1.0})
    blind = [
        Shown(s.combination, s.pooled, np.full_like(s.actual, np.nan), s.scale, False) for s in shown[:5]
    ]
    flat = [Shown(s.combination, s.pooled, s.actual, 0.0, False) for s in shown[:5]]
    other = shown_of(5, {"b": 1.0})
    assert pooled_shares([*shown, *blind, *flat]) == pooled_shares(shown)
    assert pooled_shares([*shown, *other]) == {}  # "a" is not there for all


def test_the_order_of_series_changes_nothing_but_the_last_bits():
    shown = shown_of(50, {"a": 1.2, "b": 1.4}, seed=5)
    one, other = pooled_shares(shown), pooled_shares(shown[::-1])
    assert one == pytest.approx(other, rel=1e-3)
