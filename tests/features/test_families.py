"""Each family of features against a slow, obvious second way of computing it."""

from __future__ import annotations

import numpy as np
import pytest

from many_models.features.base import Wishes
from many_models.features.covariates import Covariates
from many_models.features.lags import Lags
from many_models.features.rows import Rows
from many_models.features.windows import Windows
from many_models.panel.grid import Frequency, Grid
from many_models.panel.series import Covariate, Future, Series


def series_of(alias, n, known_x=None, known=(), start="2020-01-01", label="start", zone=None):
    frequency = Frequency.parse(alias)
    stamp = int(np.datetime64(start, "us").astype(np.int64))
    grid = Grid(frequency, zone, 0, label)
    first = int(grid.ordinals(np.array([stamp]))[0])
    y = 10.0 + np.sin(np.arange(n))
    table = np.empty((n, 0)) if known_x is None else np.asarray(known_x, dtype=np.float64)
    return Series(grid, first, y, np.ones(n, bool), table, np.empty((n, 0)), np.empty(0), tuple(known))


def ahead(series, steps, known_x=None):
    table = np.empty((steps, 0)) if known_x is None else np.asarray(known_x, dtype=np.float64)
    return Future(series.grid, series.end + 1 + np.arange(steps), table)


def rows_seen_from(series, targets, steps, gap=0):
    return Rows.training(series, series.y, np.asarray(steps), np.asarray(targets), gap)


@pytest.mark.parametrize("gap", [0, 3])
def test_lags_are_the_nearest_known_value_of_the_same_phase(gap):
    series = series_of("D", 120)
    targets = np.arange(60, 120)
    steps = targets % 10 + 1
    family = Lags((1, 2, 7))
    found = family.build(rows_seen_from(series, targets, steps, gap))
    for row, (target, step) in enumerate(zip(targets, steps, strict=True)):
        for column, lag in enumerate(family.lags):
            position = target - lag
            while position > target - step - gap:
                position -= lag
            assert found[row, column] == series.y[position]


def test_lags_and_windows_of_the_future_need_no_more_than_their_memory():
    series = series_of("D", 200)
    wishes = Wishes("tree", season=7, reach=14)
    future = ahead(series, 14)
    for family in (Lags.decide(series, wishes), Windows.decide(series, wishes)):
        whole = family.build(Rows.future(future, series.y, series.end))
        tail = family.build(Rows.future(future, series.y[-family.memory :], series.end))
        assert np.array_equal(whole, tail)


def test_windows_are_plain_means_and_deviations_up_to_the_cutoff():
    series = series_of("D", 120)
    targets, steps = np.arange(70, 120), np.arange(70, 120) % 5 + 1
    found = Windows((4, 9), 7).build(rows_seen_from(series, targets, steps, gap=2))
    for row, (target, step) in enumerate(zip(targets, steps, strict=True)):
        seen = series.y[: target - step - 2 + 1]
        same_day = [seen[p] for p in range(len(seen)) if (target - p) % 7 == 0][-3:]
        oracle = [seen[-4:].mean(), seen[-4:].std(), seen[-9:].mean(), seen[-9:].std(), np.mean(same_day)]
        np.testing.assert_allclose(found[row], oracle, rtol=1e-12)


def test_nothing_after_the_cutoff_of_a_row_is_read():
    series = series_of("D", 120)
    targets, steps = np.arange(70, 119), np.arange(70, 119) % 5 + 1
    for family in (Lags((1, 7)), Windows((4, 9), 7)):
        before = family.build(rows_seen_from(series, targets, steps))
        for row in (0, 20, 48):
            changed = series.y.copy()
            changed[targets[row] - steps[row] + 1 :] = np.nan
            rows = rows_seen_from(series, targets, steps)
            late = Rows(rows.grid, rows.ordinals, rows.known_x, changed, rows.target, rows.cutoff, rows.level)
            assert np.array_equal(family.build(late)[row], before[row])


KNOWN = (
    Covariate("price"),
    Covariate("advert", "boolean"),
    Covariate("aisle", "category", ("a", "b", "c")),
    Covariate("still"),
)


def covariates(n, seed=0):
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [rng.uniform(1, 4, n), rng.integers(0, 2, n), rng.integers(0, 2, n), np.full(n, 5.0)]
    ).astype(np.float64)


def test_linear_models_get_logs_flags_indicators_and_products():
    series = series_of("D", 60, covariates(60), KNOWN)
    family = Covariates.decide(series, Wishes("linear"))
    assert family.columns == ("log_price", "advert", "aisle=a", "aisle=b", "log_price*advert")
    table = family.build(Rows.past(series))
    x = series.known_x
    np.testing.assert_allclose(table[:, 0], np.log(x[:, 0]))
    assert np.array_equal(table[:, 1], x[:, 1])
    assert np.array_equal(table[:, 2], x[:, 2] == 0)
    shifted = table[x[:, 1] == 1, 4] - table[x[:, 1] == 1, 0]
    np.testing.assert_allclose(shifted, shifted[0])
    assert not table[x[:, 1] == 0, 4].any()


def test_a_category_not_seen_in_training_is_no_category_at_all():
    series = series_of("D", 60, covariates(60), KNOWN)
    family = Covariates.decide(series, Wishes("tree"))
    future = covariates(3)
    future[:, 2] = 2.0
    built = family.build(Rows.future(ahead(series, 3, future), series.y, series.end))
    assert not built[:, [family.columns.index("aisle=a"), family.columns.index("aisle=b")]].any()


def test_numbers_far_outside_the_trained_range_are_held():
    series = series_of("D", 60, covariates(60), KNOWN)
    for style in ("linear", "tree"):
        family = Covariates.decide(series, Wishes(style))
        future = covariates(2)
        future[:, 0] = [1e300, -1e300]
        built = family.build(Rows.future(ahead(series, 2, future), series.y, series.end))
        assert np.abs(built).max() < 10
