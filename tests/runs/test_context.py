"""Known columns of the siblings from training to forecasting, with a model per series."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, train
from many_models.panel.layout import Layout

SPEC = ForecastSpec.from_dict(
    {
        "name": "juice",
        "data": {
            "time": "week",
            "target": "sold",
            "series": ["store", "brand"],
            "known": ["price"],
            "context": {"by": ["store"], "columns": ["price"]},
        },
        "forecast": {"horizon": 4},
        "learners": {"allow": ["arx"]},
        "ensemble": {"combine": "best"},
        "engine": {"workers": 2},
    }
)
COLUMNS = ["store", "brand", "week", "price"]


def juice(weeks=84):
    """Sales that follow the price relative to the other brands' in the store; c is alone in store 2."""
    rng = np.random.default_rng(1)
    stamps = pd.date_range("2022-01-03", periods=weeks, freq="W-MON")
    parts = []
    for store, brands in ((1, "abc"), (2, "c")):
        price = {brand: rng.choice([1.0, 1.3, 1.7, 2.2], weeks) for brand in brands}
        for brand in brands:
            others = [price[other] for other in brands if other != brand] or [np.ones(weeks)]
            sold = 100 * (price[brand] / np.mean(others, axis=0)) ** -2.0 * rng.lognormal(0, 0.05, weeks)
            parts.append(
                pd.DataFrame(
                    {"store": store, "brand": brand, "week": stamps, "price": price[brand], "sold": sold}
                )
            )
    return pd.concat(parts, ignore_index=True)


FRAME = juice()
LAST = FRAME["week"].max() - pd.Timedelta(weeks=4)
HISTORY, AHEAD = FRAME[FRAME["week"] <= LAST], FRAME[FRAME["week"] > LAST]
FUTURE = AHEAD[COLUMNS]


def error(forecasts):
    both = AHEAD.merge(forecasts, on=["store", "brand", "week"]).query("store == 1")
    return float(abs(both["sold"] - both["q0.5"]).sum() / both["sold"].sum())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(HISTORY, SPEC, run_dir=tmp_path_factory.mktemp("context") / "run")


@pytest.fixture(scope="module")
def models(run):
    return run.models()


def test_siblings_prices_tell_what_own_prices_cannot(models, tmp_path):
    bare = train(HISTORY, SPEC.replace({"data.context": None}), run_dir=tmp_path / "bare")
    assert error(models.forecast(future=FUTURE)) < 0.1 < error(bare.models().forecast(future=FUTURE))


def test_the_plan_in_the_table_is_read_as_the_plan_that_is_handed_over(models, tmp_path):
    with_plan = pd.concat([HISTORY, FUTURE.assign(sold=np.nan)])
    told = train(with_plan, SPEC, run_dir=tmp_path / "plan").forecasts()
    asked = models.forecast(future=FUTURE)
    both = told.merge(asked, on=["store", "brand", "week"])
    assert len(both) == len(FUTURE)
    assert (both["mean_x"] == both["mean_y"]).all()


def test_one_key_reads_its_siblings_rows_and_answers_its_own(models):
    every = models.forecast(future=FUTURE).query("store == 1 and brand == 'a'").reset_index(drop=True)
    one = models.find(store=1, brand="a").forecast(future=FUTURE)
    pd.testing.assert_frame_equal(one, every)
    assert set(one["status"]) == {"TRAINED"}


def test_without_any_sibling_the_own_price_counts_beside_what_siblings_last_had(models):
    rows = FUTURE.query("store == 1 and brand == 'a'")
    alone = models.forecast(future=rows)
    assert set(alone["status"]) == {"FALLBACK"}
    assert set(alone["reason"]) == {"CONTEXT_MISSING"}
    # as if every sibling kept the price of its last week
    last = HISTORY[HISTORY["week"] == HISTORY["week"].max()].set_index(["store", "brand"])["price"]
    kept = FUTURE.assign(
        price=[p if b == "a" else last[s, b] for s, b, p in FUTURE[["store", "brand", "price"]].to_numpy()]
    )
    told = models.forecast(future=kept).query("store == 1 and brand == 'a'")
    np.testing.assert_array_equal(alone["mean"], told["mean"])
    bare = models.forecast(future=rows.drop(columns="price"))
    assert set(bare["reason"]) == {"FUTURE_COVARIATES_MISSING"}
    assert not np.allclose(alone["mean"], bare["mean"])


def test_one_absent_sibling_leaves_those_that_are_there(models):
    two = models.forecast(future=FUTURE.query("store == 1 and brand != 'b'"))
    assert set(two["status"]) == {"TRAINED"}
    every = models.forecast(future=FUTURE).query("store == 1 and brand != 'b'")
    assert not np.allclose(two["mean"].to_numpy(), every["mean"].to_numpy())


def test_a_sibling_absent_at_one_stamp_changes_that_stamp_alone(models):
    late = FUTURE["week"] == FUTURE["week"].max()
    rows = FUTURE[~(late & (FUTURE["brand"] == "b"))]
    changed, every = (models.forecast(future=f).query("brand == 'a'") for f in (rows, FUTURE))
    same = changed["mean"].to_numpy() == every["mean"].to_numpy()
    assert same.tolist() == [True, True, True, False]


def test_a_series_that_never_had_a_sibling_keeps_its_own_price(models):
    lone = models.forecast(future=FUTURE.query("store == 2"))
    assert set(lone["status"]) == {"TRAINED"}
    assert len(set(lone["mean"].round(6))) > 1


def test_newer_rows_of_one_series_alone_move_its_state(models):
    newer = AHEAD.query("store == 1 and brand == 'a'").iloc[:2]
    moved = models.forecast(history=newer, future=FUTURE[FUTURE["week"] > newer["week"].max()])
    assert set(moved.query("store == 1")["status"]) == {"TRAINED"}
    own = moved.query("store == 1 and brand == 'a'")
    assert own["step"].tolist() == [1, 2]


def test_targets_of_siblings_change_nothing(models, tmp_path):
    other = HISTORY.assign(sold=HISTORY["sold"].where(HISTORY["brand"] == "a", 7.0 * HISTORY["sold"] + 1e6))
    again = train(other, SPEC, run_dir=tmp_path / "other").models()
    own, twin = (
        m.forecast(future=FUTURE).query("brand == 'a'")[["mean", "q0.1", "q0.9"]].to_numpy()
        for m in (models, again)
    )
    assert own.tobytes() == twin.tobytes()


def test_the_run_knows_its_context(run, models):
    assert [c.name for c in models.layout.covariates if c.derived] == [
        "context(price).min",
        "context(price).mean",
        "context(price)[a]",
        "context(price)[b]",
        "context(price)[c]",
    ]
    assert Layout.from_dict(models.layout.to_dict()) == models.layout
