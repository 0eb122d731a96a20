"""Simulated futures of stored models: in Python and on the command line."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from many_models import open_models
from many_models.automl.model import SeriesModel
from many_models.errors import DataError

KEYS = ["store", "item"]
MANY = 4000


@pytest.fixture(scope="module")
def models(retail_run):
    return open_models(retail_run.directory)


def one(models):
    return models.keys().query("status == 'TRAINED'").iloc[0][KEYS].to_dict()


def test_paths_have_the_quantiles_of_the_forecast_and_the_spread_of_its_totals(models):
    forecaster = models.find(one(models))
    model: SeriesModel = models.load(forecaster.content_id)
    told, drawn = forecaster.forecast(), forecaster.simulate(MANY)
    assert len(drawn) == MANY * len(told)
    step = drawn.groupby("step")["value"]
    width = (told["q0.9"] - told["q0.1"]).to_numpy()
    for level in (0.1, 0.5, 0.9):
        gap = np.abs(step.quantile(level).to_numpy() - told[f"q{level}"].to_numpy())
        assert (gap < 0.08 * width + 0.5).all()
    sums = drawn.groupby("path")["value"].sum()
    quantiles = model.total(told["mean"].to_numpy(), len(told), told["reason"].notna().any())
    low, high = quantiles[0], quantiles[-1]
    if model.low is None or low > 0:
        assert sums.quantile(0.9) - sums.quantile(0.1) == pytest.approx(high - low, rel=0.25)


def test_the_same_seed_gives_the_same_paths_and_the_first_steps_stay(models):
    forecaster = models.find(one(models))
    first = forecaster.simulate(5)
    pd.testing.assert_frame_equal(first, forecaster.simulate(5))
    assert not np.array_equal(first["value"], forecaster.simulate(5, seed=7)["value"])
    short = forecaster.simulate(5, horizon=2)
    both = first.merge(short, on=["path", "step"])
    np.testing.assert_array_equal(both["value_x"], both["value_y"])


def test_rows_that_are_asked_for_have_paths_and_unknown_keys_say_so(models):
    rows = models.forecast().drop_duplicates(KEYS)[[*KEYS, "date"]].head(3)
    stranger = rows.head(1).assign(item="nobody" if rows["item"].dtype == object else 999_999)
    drawn = models.simulate(4, future=pd.concat([rows, stranger], ignore_index=True))
    assert len(drawn) == 4 * 4
    last = drawn[drawn["reason"] == "UNKNOWN_KEY"]
    assert len(last) == 4
    assert last["value"].isna().all()
    assert drawn["value"].notna().sum() == 4 * 3
    assert drawn["path"].value_counts().tolist() == [4] * 4


def test_no_path_is_refused(models):
    with pytest.raises(DataError, match="1 or more"):
        models.simulate(0)
