from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SOURCE = Path(__file__).parents[2] / "benchmarks" / "scores.py"


def load():
    spec = importlib.util.spec_from_file_location("benchmark_scores", SOURCE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


scores = load()


@pytest.fixture
def data():
    try:
        return scores.data_folder()
    except FileNotFoundError as absent:
        pytest.skip(str(absent))


def naive(train, horizon):
    last = train.sort_values("t").groupby("unique_id")["y"].last()
    return pd.DataFrame(
        {
            "unique_id": np.repeat(last.index, horizon),
            "step": np.tile(np.arange(1, horizon + 1), len(last)),
            "q0.5": np.repeat(last.to_numpy(), horizon),
        }
    )


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("name", scores.M4)
def test_naive2_scores_one_and_does_not_differ_from_itself(name):
    train, _, naive2 = scores.m4(name)
    table = scores.owa_table(
        {"naive2": naive2, "again": naive2, "naive": naive(train, scores.M4[name].horizon)}, name
    )
    assert table.loc["naive2", "owa"] == 1.0
    assert table.loc["naive2", "owa_se"] == 0.0
    assert table.loc["again", "difference_se"] == 0.0
    assert (table["not_forecast"] == 0).all()
    assert set(table["series"]) == {train["unique_id"].nunique()}


@pytest.mark.usefixtures("data")
def test_series_that_was_not_forecast_is_counted_and_left_out_of_all():
    train, _, naive2 = scores.m4("quarterly")
    gone = naive2[naive2["unique_id"] != naive2["unique_id"].iloc[0]]
    table = scores.owa_table({"all": naive(train, 8), "gap": gone.iloc[:-1]}, "quarterly")
    assert table["not_forecast"].tolist() == [0, 2]
    assert table["series"].tolist() == [398, 398]
    assert table.loc["all", "owa_se"] > 0
    # Paired: the difference is surer than either alone would say.
    assert table.loc["gap", "difference_se"] == pytest.approx(table.loc["all", "owa_se"])


@pytest.mark.usefixtures("data")
def test_every_set_can_be_read():
    assert scores.orange_juice().groupby(["Store", "Brand"]).ngroups == 249
    assert scores.carparts()["unique_id"].nunique() == 2509
    assert scores.hospital()["unique_id"].nunique() == 767
    assert scores.nyc_energy()["timeStamp"].is_unique


def test_absent_data_say_what_to_set(monkeypatch, tmp_path):
    monkeypatch.setenv("MANY_MODELS_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="set MANY_MODELS_DATA"):
        scores.data_folder()


def test_cutoffs_leave_the_horizon_and_lie_apart():
    weeks = pd.Series(pd.date_range("2024-01-04", periods=60, freq="W-THU"))
    found = scores.cutoffs(pd.concat([weeks, weeks]), horizon=8, origins=3, step=4)
    assert found == [weeks.iloc[60 - 1 - 8 - back] for back in (8, 4, 0)]


def test_wape_is_over_the_shared_rows_and_pairs_its_errors():
    draw = np.random.default_rng(0)
    actual = pd.DataFrame({"k": np.repeat(np.arange(40), 5), "t": np.tile(np.arange(5), 40)})
    actual["y"] = draw.gamma(4, 5, len(actual))
    actual.loc[7, "y"] = np.nan
    one = actual[["k", "t"]].assign(cutoff=-1)
    one["q0.5"] = draw.gamma(4, 5, len(actual))
    two = one.assign(**{"q0.5": one["q0.5"] + 1}).iloc[1:]
    table = scores.wape_table({"one": one, "two": two}, actual, ["k"], "t", "y")
    seen = np.arange(len(actual))[1:][np.arange(len(actual))[1:] != 7]
    y = actual["y"].to_numpy()[seen]
    for label, shift in (("one", 0.0), ("two", 1.0)):
        error = np.abs(one["q0.5"].to_numpy()[seen] + shift - y).sum() / y.sum()
        assert table.loc[label, "wape"] == pytest.approx(error)
    assert set(table["rows"]) == {198}
    assert set(table["series"]) == {40}
    assert 0 < table.loc["two", "difference_se"] < table.loc["two", "wape_se"]
