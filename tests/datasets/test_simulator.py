from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from many_models.datasets import retail, retail_truth
from many_models.errors import InputError

KEYS = ["store", "item"]


@pytest.fixture(scope="module")
def chain():
    return retail()


@pytest.fixture(scope="module")
def long_chain():
    """Ten years, so that planted effects stand out of the noise."""
    return retail(stores=2, items=3, periods=3650)


def open_days(frame):
    return frame[~frame["closed"] & ~frame["stock_out"]]


def test_columns_types_and_order_are_as_documented(chain):
    kinds = dict(zip(chain.columns, (dtype.kind for dtype in chain.dtypes), strict=True))
    assert list(kinds) == ["store", "item", "date", "sales", "price", "promotion", "stock_out", "closed"]
    assert [kinds[c] for c in ("store", "date", "sales", "price")] == ["i", "M", "f", "f"]
    assert [kinds[c] for c in ("promotion", "stock_out", "closed")] == ["b"] * 3
    assert chain["date"].dtype == "datetime64[us]"
    assert chain.equals(chain.sort_values([*KEYS, "date"], ignore_index=True))
    assert not chain.duplicated([*KEYS, "date"]).any()
    assert chain.groupby(KEYS).ngroups == 24
    assert chain.notna().all(axis=None)


def test_sales_are_counts_and_prices_are_positive_cents(chain):
    assert (chain["sales"] >= 0).all()
    assert (chain["sales"] % 1 == 0).all()
    assert (chain["price"] > 0).all()
    np.testing.assert_allclose(chain["price"] * 100, (chain["price"] * 100).round(), atol=1e-6)


def test_same_seed_is_the_same_frame_and_another_seed_is_not(chain):
    assert chain.equals(retail())
    assert not chain["sales"].equals(retail(seed=1)["sales"])


def test_more_stores_and_items_change_no_series_that_was_there(chain):
    small = retail(stores=2, items=3)
    kept = chain[chain["store"].le(2) & chain["item"].isin(small["item"].unique())].reset_index(drop=True)
    assert small.equals(kept)


@pytest.mark.parametrize(("frequency", "periods", "future"), [("D", 200, 30), ("W", 60, 8)])
def test_future_withholds_the_sales_and_nothing_else(frequency, periods, future):
    told = retail(2, 6, periods, frequency, future=future)
    truth = retail(2, 6, periods + future, frequency)
    ahead = told["sales"].isna()
    assert told.columns.equals(truth.columns)
    assert told.drop(columns=["sales", "stock_out"]).equals(truth.drop(columns=["sales", "stock_out"]))
    assert told[~ahead].equals(truth[~ahead])
    assert not told.loc[ahead, "stock_out"].any()
    step = pd.Timedelta(days=1 if frequency == "D" else 7)
    assert told.loc[ahead, "date"].min() == pd.Timestamp("2021-01-04") + periods * step
    assert told[ahead].groupby(KEYS).size().max() == future


def test_weeks_are_the_days_added_up():
    days, weeks = retail(2, 6, 70), retail(2, 6, 10, "W")
    days["date"] = days["date"] - pd.to_timedelta(days["date"].dt.weekday, unit="D")
    added = days.groupby([*KEYS, "date"], as_index=False).agg(
        sales=("sales", "sum"), price=("price", "first"), stock_out=("stock_out", "any")
    )
    for column in added.columns:
        np.testing.assert_array_equal(added[column], weeks[column])
    assert days.groupby([*KEYS, "date"])[["price", "promotion"]].nunique().max(axis=None) == 1


def test_weeks_begin_where_the_start_says():
    assert set(retail(1, 1, 5, "W", start="2021-01-07")["date"].dt.day_name()) == {"Thursday"}


def test_roles_of_items_show_in_their_rows(chain):
    truth = retail_truth()
    assert set(truth["kind"]) == {"regular", "new", "intermittent", "dead", "delisted"}
    last_day = chain["date"].max()
    for row in truth.itertuples():
        own = chain[chain["store"].eq(row.store) & chain["item"].eq(row.item)]
        zeros = own["sales"].eq(0).mean()
        assert own["date"].min() == row.first
        assert own["date"].max() == (row.last if row.kind == "delisted" else last_day)
        assert (own.loc[own["date"] > row.last, "sales"] == 0).all()
        if row.kind == "dead":
            assert row.last < last_day - pd.Timedelta(days=180)
        if row.kind == "new":
            assert row.first > chain["date"].min() + pd.Timedelta(days=365)
        if row.kind == "intermittent":
            assert zeros > 0.7
        if row.kind == "regular":
            assert zeros < 0.05


def test_promotion_multiplies_sales_by_uplift_and_price_cut(long_chain):
    truth = retail_truth(stores=2, items=3, periods=3650).set_index(KEYS)
    for key, own in open_days(long_chain).groupby(KEYS):
        plan = truth.loc[key]
        # Against the weeks just before and after, which share season, trend and price level.
        weekly = (
            own.set_index("date").resample("W").agg({"sales": "mean", "price": "mean", "promotion": "max"})
        )
        on = weekly["promotion"].astype(bool)
        around = weekly[~on].reindex(weekly.index).rolling(5, center=True, min_periods=2).mean()
        expected = plan["uplift"] * (weekly["price"] / around["price"]) ** plan["elasticity"]
        found = weekly["sales"][on].sum() / (around["sales"] * expected)[on].sum()
        assert found == pytest.approx(1.0, abs=0.1)
        assert weekly["sales"][on].mean() > 1.4 * weekly["sales"][~on].mean()


def test_promotions_cut_the_price_and_run_across_the_chain(chain):
    for _, own in chain.groupby(KEYS):
        assert own.loc[own["promotion"], "price"].mean() < 0.9 * own.loc[~own["promotion"], "price"].mean()
    milk = chain[chain["item"] == "milk"].pivot(index="date", columns="store", values="promotion")
    promoted = milk.any(axis=1)
    assert 0.05 < promoted.mean() < 0.25
    assert milk[promoted].mean(axis=None) > 0.7


def test_planted_elasticity_uplift_and_growth_are_found_by_regression(long_chain):
    from sklearn.linear_model import PoissonRegressor

    truth = retail_truth(stores=2, items=3, periods=3650).set_index(KEYS)
    off = []
    for key, own in open_days(long_chain).groupby(KEYS):
        angle = 2 * np.pi * own["date"].dt.dayofyear / 365.25
        years = (own["date"] - own["date"].min()).dt.days / 365.25
        columns = [np.log(own["price"]), own["promotion"].astype(float), years, np.sin(angle), np.cos(angle)]
        weekdays = pd.get_dummies(own["date"].dt.weekday).to_numpy(float)[:, 1:]
        design = np.column_stack([*columns, weekdays])
        found = PoissonRegressor(alpha=0, solver="newton-cholesky").fit(design, own["sales"]).coef_
        plan = truth.loc[key]
        off.append(found[:3] - [plan["elasticity"], np.log(plan["uplift"]), plan["growth"]])
    # The wandering level blurs each series; together they find what was planted.
    assert (np.abs(off) < [0.5, 0.2, 0.05]).all()
    assert (np.abs(np.mean(off, axis=0)) < [0.2, 0.08, 0.02]).all()


def test_ice_cream_sells_in_summer_and_everything_at_the_weekend(long_chain):
    sold = open_days(long_chain)
    cream = sold[sold["item"] == "ice cream"].groupby(sold["date"].dt.month)["sales"].mean()
    assert cream.idxmax() in (6, 7, 8)
    assert cream[7] > 2 * cream[1]
    week = sold.groupby(sold["date"].dt.weekday)["sales"].mean()
    assert week.idxmax() == 5
    assert week[5] > 1.4 * week[1]


def test_stores_are_closed_on_thanksgiving_and_christmas_and_full_before(long_chain):
    shut = long_chain.loc[long_chain["closed"], "date"].unique()
    assert {(d.month, d.day) for d in shut if d.month == 12} == {(12, 25)}
    assert {d.day_name() for d in shut if d.month == 11} == {"Thursday"}
    assert len(shut) == 20
    assert (long_chain.loc[long_chain["closed"], "sales"] == 0).all()
    sold = open_days(long_chain)
    eve = sold["date"].isin(shut - pd.Timedelta(days=1))
    near = sold["date"].isin(np.concatenate([shut + pd.Timedelta(days=d) for d in (-15, -8, 6, 13)]))
    assert sold.loc[eve, "sales"].mean() > 1.2 * sold.loc[near, "sales"].mean()


def test_weeks_are_never_closed_as_a_whole():
    assert not retail(1, 1, 104, "W")["closed"].any()


def test_stock_outs_censor_the_sales(long_chain):
    assert 0.005 < long_chain["stock_out"].mean() < 0.1
    for _, own in long_chain.groupby(KEYS):
        usual = own["sales"].where(~own["stock_out"]).rolling(29, center=True, min_periods=10).mean()
        empty = own["stock_out"]
        assert own.loc[empty, "sales"].mean() < 0.5 * usual[empty].mean()


def test_further_items_repeat_the_roles_under_numbered_names():
    truth = retail_truth(stores=1, items=12, periods=60)
    assert truth["item"].nunique() == 12
    assert set(truth["item"]) >= {"milk", "milk 2", "batteries 2"}
    assert truth.groupby("kind").size().to_dict() == {"dead": 2, "intermittent": 2, "new": 2, "regular": 6}


@pytest.mark.parametrize("periods", [1, 5, 8])
@pytest.mark.parametrize("frequency", ["D", "W"])
def test_short_panels_have_rows_for_every_series(frequency, periods):
    frame = retail(2, 6, periods, frequency)
    assert frame.groupby(KEYS).ngroups == 12
    assert frame.groupby(KEYS).size().max() == periods


def test_impossible_arguments_are_reported_together():
    with pytest.raises(InputError) as caught:
        retail(stores=0, items=1, periods=0, future=-1, start="soon")
    assert [problem.where for problem in caught.value.problems] == ["stores", "periods", "future", "start"]
    with pytest.raises(InputError, match="'D' or 'W'"):
        retail(frequency="M")
