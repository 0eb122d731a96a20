"""Waves: what they are, that none comes twice, and how many of them a history tells."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from many_models.features.base import Wishes
from many_models.features.fourier import Fourier, validated_orders
from many_models.features.rows import Rows
from many_models.features.settings import FeatureSettings
from many_models.panel.grid import Frequency, Grid
from many_models.panel.series import Series


def wishes(fourier, style="linear", season=1):
    return Wishes(style, season=season, settings=FeatureSettings(fourier=fourier))


def test_waves_are_sines_and_cosines_of_the_period_number(make_series):
    series = make_series("h", 500)
    family = Fourier.decide(series, wishes(((24.0, 2), (168.0, 1))))
    assert family.columns == ("sin1_24", "cos1_24", "sin2_24", "cos2_24", "sin1_168", "cos1_168")
    table = family.build(Rows.past(series))
    for row in (0, 17, 499):
        number = series.start + row
        angles = [2 * math.pi * number * k / period for period, k in ((24, 1), (24, 2), (168, 1))]
        expected = [value for angle in angles for value in (math.sin(angle), math.cos(angle))]
        np.testing.assert_allclose(table[row], expected, atol=1e-8)


def test_waves_repeat_after_their_period_and_are_not_doubled(make_series):
    series = make_series("h", 24 * 7 * 4)
    family = Fourier.decide(series, Wishes("linear", season=24))
    assert len(set(family.columns)) == len(family.columns)
    table = family.build(Rows.past(series))
    assert table.shape[1] == len(family.columns)
    np.testing.assert_allclose(table[168:], table[:-168], atol=1e-9)
    assert np.linalg.matrix_rank(table) == table.shape[1]


def test_fourier_zero_is_off_and_a_number_is_the_order(make_series):
    series = make_series("MS", 60)
    assert Fourier.decide(series, wishes(0, season=12)) is None
    assert len(Fourier.decide(series, wishes(2, season=12)).columns) == 4


def test_a_season_that_came_round_once_has_no_waves(make_series):
    assert Fourier.decide(make_series("W-SUN", 100), wishes(((52.18, 3),))) is None
    assert len(Fourier.decide(make_series("W-SUN", 110), wishes(((52.18, 3),))).waves) == 3
    assert len(Fourier.decide(make_series("D", 100), wishes(((7.0, 9),))).waves) == 3


def test_an_integer_index_has_waves():
    n, grid = 400, Grid(Frequency.parse("h"), integer=True)
    none = np.empty((n, 0))
    series = Series(grid, 1, np.ones(n), np.ones(n, bool), none, none, np.empty(0))
    assert Fourier.decide(series, Wishes("linear", season=24)) is not None


def criterion(y, at, chosen, count):
    """AICc of a least-squares fit by NumPy, for `count` independent values."""
    columns = [np.ones(len(y)), at / len(y)]
    for period, order in chosen:
        for k in range(1, order + 1):
            columns += [np.sin(2 * np.pi * at * k / period), np.cos(2 * np.pi * at * k / period)]
    table = np.column_stack(columns)
    left = y - table @ np.linalg.lstsq(table, y, rcond=None)[0]
    size = np.linalg.matrix_rank(table) + 1
    return count * np.log(left @ left) + 2 * size * count / (count - size - 1)


@pytest.mark.parametrize("seed", range(3))
def test_the_validated_number_of_waves_has_the_lowest_criterion(seed):
    """Among independent errors, where all values count: against least squares order by order."""
    rng = np.random.default_rng(seed)
    at = np.arange(365.0)
    y = (
        3 * np.sin(2 * np.pi * at / 7 + 1)
        + np.cos(4 * np.pi * at / 7)
        + 0.02 * at
        + rng.normal(0, 1, len(at))
    )
    (order,) = validated_orders(y, at, (7.0,))
    best = min(range(4), key=lambda k: criterion(y, at, [(7.0, k)] if k else [], len(at)))
    assert order in (best, 2)
    assert order >= 2


def test_two_seasons_get_the_waves_they_have():
    rng = np.random.default_rng(5)
    at = np.arange(24.0 * 70)
    day = np.sin(2 * np.pi * at / 24) + 0.5 * np.sin(4 * np.pi * at / 24) + 0.5 * np.cos(6 * np.pi * at / 24)
    week = 0.7 * np.cos(2 * np.pi * at / 168)
    orders = validated_orders(day + week + rng.normal(0, 0.3, len(at)), at, (24.0, 168.0))
    assert 3 <= orders[0] <= 5
    assert 1 <= orders[1] <= 4


@pytest.mark.parametrize("kind", ["noise", "wander", "constant", "line", "short"])
def test_what_has_no_season_gets_few_waves_or_none(kind):
    rng = np.random.default_rng(4)
    n = 6 if kind == "short" else 400
    y = {
        "noise": rng.normal(0, 1, n),
        "wander": np.cumsum(rng.normal(0, 1, n)),
        "constant": np.full(n, 5.0),
        "line": np.arange(n) * 2.0,
        "short": rng.normal(0, 1, n),
    }[kind]
    orders = validated_orders(y, np.arange(float(n)), (7.0, 52.18))
    assert orders[0] <= 1
    assert orders[1] <= 2


def test_holes_in_the_history_tell_nothing(make_series):
    at = np.arange(300)
    y = 10 + 3 * np.sin(2 * np.pi * at / 7) + np.random.default_rng(0).normal(0, 0.2, 300)
    whole = make_series("D", 300, y=y)
    seen = at % 5 != 0
    holed = Series(whole.grid, whole.start, np.where(seen, y, 1e6), seen, *(whole.known_x,) * 2, np.empty(0))
    assert 7 in {round(period) for period, _ in Fourier.decide(holed, wishes("validate")).waves}


def test_waves_survive_storing_and_a_row_is_itself_alone(make_series):
    family = Fourier.decide(make_series("h", 1000), wishes("validate"))
    family = family or Fourier.decide(make_series("h", 1000), wishes(3))
    again = Fourier.from_dict(json.loads(json.dumps(family.to_dict())))
    assert again == family
    series = make_series("h", 400)
    whole = again.build(Rows.past(series))
    assert np.array_equal(again.build(Rows.past(series.tail(1)))[0], whole[-1])
