"""Which features a run's models have, series by series, over all, and per input column."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    rng = np.random.default_rng(2)
    length, shops = 120, ["a", "b", "c"]
    weeks = pd.date_range("2022-01-03", periods=length, freq="W-MON")
    frame = pd.DataFrame(
        {
            "shop": np.repeat(shops, length),
            "week": np.tile(weeks, 3),
            "price": rng.choice([1.0, 1.5, 2.0], 3 * length),
            "promo": rng.random(3 * length) < 0.2,
            "flat": 7.0,
            "region": np.repeat(["n", "s", "s"], length),
        }
    )
    frame["sold"] = 60 - 20 * frame["price"] + 15 * frame["promo"] + rng.normal(0, 1, 3 * length)
    spec = ForecastSpec.from_dict(
        {
            "name": "listing",
            "data": {
                "time": "week",
                "target": "sold",
                "series": ["shop"],
                "known": ["price", "promo", "flat"],
                "static": ["region"],
            },
            "forecast": {"horizon": 4},
            "learners": {"allow": ["average", "arx", "elastic_net"]},
            "engine": {"workers": 1},
        }
    )
    return train(frame, spec, run_dir=tmp_path_factory.mktemp("listing") / "run")


def test_features_of_one_series_name_their_family_source_and_whether_they_were_kept(run):
    rows = run.features(shop="b")
    assert set(rows.columns) == {"candidate", "feature", "family", "source", "parameters", "weight", "kept"}
    own = rows[rows["candidate"] == "elastic_net_known"].set_index("feature")
    promo = own[own["source"] == "promo"]
    assert promo["kept"].all()
    assert set(promo["family"]) == {"covariates"}
    price = own[own["source"] == "price"].iloc[0]
    assert json.loads(price["parameters"])["transform"] in ("number", "log")
    assert "price, promo" in set(own["source"])
    assert set(rows.loc[rows["family"] == "lags", "source"]) <= {"target"}


def test_features_over_all_series_count_models_and_the_share_that_kept_them(run):
    rows = run.features()
    assert rows["series"].between(1, 3).all()
    assert rows["kept"].between(0, 1).all()
    alone = pd.concat([run.features(shop=s) for s in "abc"])
    wanted = alone.groupby(["candidate", "feature"])["kept"].agg(["size", "mean"])
    got = rows.set_index(["candidate", "feature"])
    for name, row in wanted.iterrows():
        assert got.loc[name, "series"] == row["size"]
        assert got.loc[name, "kept"] == pytest.approx(row["mean"])


def test_every_input_column_says_what_was_derived_or_why_nothing_was(run):
    rows = run.columns().set_index("column")
    assert list(rows.index) == ["shop", "week", "sold", "price", "promo", "flat", "region"]
    assert rows.loc["price", "purpose"] == "known"
    assert "price" in rows.loc["price", "features"]
    assert rows.loc["price", "series"] == 1.0
    assert rows.loc["flat", "features"] == ""
    assert "never varied" in rows.loc["flat", "note"]
    assert "constant" in rows.loc["region", "note"]
    assert rows.loc["sold", "imputation"] == "auto"
