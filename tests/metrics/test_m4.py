"""The scorer against the official rules of the M4 competition, on samples of its data."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from many_models.metrics import mase, mase_scale, owa, smape

DATA = Path(os.environ.get("MANY_MODELS_DATA") or Path(__file__).parents[2] / ".." / "shared" / "data") / "m4"
SETS = {"yearly": (1, 6, 600), "quarterly": (4, 8, 400), "weekly": (1, 13, 120), "hourly": (24, 48, 90)}

pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the M4 samples are not here: set MANY_MODELS_DATA to the data folder"
)


def table(name: str, column: str, value: str) -> pd.DataFrame:
    frame = pd.read_parquet(DATA / f"{name}.parquet")
    return frame.pivot(index="unique_id", columns=column, values=value)


@pytest.mark.parametrize("frequency", SETS)
def test_official_naive2_has_owa_one_and_plausible_scores(frequency):
    m, horizon, series = SETS[frequency]
    train = table(f"{frequency}_train", "t", "y")
    actual = table(f"{frequency}_test", "t", "y").reindex(train.index).to_numpy()
    naive = table(f"{frequency}_naive2", "h", "yhat").reindex(train.index).to_numpy()
    assert actual.shape == naive.shape == (series, horizon)
    smapes, mases = smape(actual, naive), mase(actual, naive, mase_scale(train.to_numpy(), m))
    assert owa(smapes, mases, smapes, mases) == 1.0
    official = pd.read_csv(DATA / "published_scores.csv").set_index("method").loc["Naive2"]
    for name, scores in (("sMAPE", smapes), ("MASE", mases)):
        # A sample, not the full set: its average lies within a few standard errors of the official one.
        error = scores.std() / np.sqrt(series)
        assert abs(scores.mean() - official[f"{name}_{frequency.title()}"]) < 4 * error


@pytest.mark.parametrize("frequency", ["yearly", "weekly"])
def test_repeating_the_last_value_has_owa_one_where_the_competition_used_no_season(frequency):
    m, horizon, _ = SETS[frequency]
    train = table(f"{frequency}_train", "t", "y")
    actual = table(f"{frequency}_test", "t", "y").reindex(train.index).to_numpy()
    naive = table(f"{frequency}_naive2", "h", "yhat").reindex(train.index).to_numpy()
    last = np.repeat(train.ffill(axis=1).to_numpy()[:, -1:], horizon, axis=1)
    scale = mase_scale(train.to_numpy(), m)
    score = owa(
        smape(actual, last), mase(actual, last, scale), smape(actual, naive), mase(actual, naive, scale)
    )
    assert score == pytest.approx(1.0, abs=1e-4)
