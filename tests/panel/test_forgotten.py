from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from many_models.panel.forgotten import forgotten_columns

NAMED = ("store", "week", "sales")


def table(brands=3, sizes=1, stores=2, weeks=20, seed=0):
    """One row per store, brand, size and week, with measures and a row number."""
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product(
        [range(stores), [f"b{i}" for i in range(brands)], range(sizes), range(weeks)],
        names=["store", "brand", "size", "week"],
    )
    frame = index.to_frame(index=False)
    frame["sales"] = rng.poisson(20, len(frame))
    frame["price"] = rng.normal(size=len(frame))
    frame["promo"] = rng.random(len(frame)) < 0.3
    frame["clerk"] = rng.integers(0, 4, len(frame))
    frame["row"] = np.arange(len(frame))
    return frame


def look(frame, series=("store",), named=NAMED):
    return forgotten_columns(frame, series, "week", named)


def test_the_column_that_was_forgotten_is_named():
    assert look(table()) == ("brand",)
    assert look(table().sample(frac=1, random_state=1)) == ("brand",)


def test_two_columns_are_named_where_one_is_not_enough():
    assert look(table(brands=3, sizes=2)) == ("brand", "size")


def test_a_table_without_series_finds_them():
    frame = table(stores=4).drop(columns="row")
    assert set(forgotten_columns(frame, (), "week", ("week", "sales"))) == {"store", "brand"}


def test_nothing_is_named_where_stamps_are_unique():
    assert look(table(), series=("store", "brand"), named=(*NAMED, "brand")) == ()


def test_nothing_is_named_where_whole_rows_are_repeated_or_rarely_clash():
    frame = table(brands=1)
    assert look(pd.concat([frame, frame])) == ()
    assert look(pd.concat([frame, frame.head(3).assign(brand="other")])) == ()


@pytest.mark.parametrize("column", ["row", "price"])
def test_row_numbers_and_measures_are_no_keys(column):
    frame = table()[["store", "week", "sales", column]]
    assert look(frame) == ()


def test_of_several_answers_the_coarsest_is_named_and_odd_columns_are_passed_over():
    frame = table(brands=3).assign(sku=lambda f: f["brand"] + f["store"].astype(str), notes=[["x"]] * 120)
    assert look(frame) == ("brand",)
    assert forgotten_columns(frame.head(0), ("store",), "week", NAMED) == ()
