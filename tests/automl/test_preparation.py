"""What preparation is asked for reaches the fit, the scores and the forecasts of a series."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from many_models.automl.group import train_group
from many_models.automl.model import load_series_model
from many_models.automl.moving import moved
from many_models.automl.prior import shipped_prior
from many_models.automl.rows import read_rows
from many_models.automl.task import TrainTask
from many_models.bundle.container import unpack
from many_models.engines.reading import canonical_table, read_table
from many_models.panel.keys import SeriesKey
from many_models.panel.preparation import PrepareSettings, prepare
from many_models.spec import ForecastSpec


def opened(frame, data=None, horizon=4, frequency="D", **sections):
    """The configuration, the canonical rows and the layout of one series, for a few cheap learners."""
    tree = {
        "data": {"time": "when", "target": "sold", "series": [], "frequency": frequency, **(data or {})},
        "forecast": {"horizon": horizon},
        "learners": {"allow": ["drift", "average", "seasonal_average"]},
        **sections,
    }
    spec = ForecastSpec.from_dict(tree)
    return spec, *canonical_table(read_table(frame, spec.data), spec.data, None)


def trained(frame, *given, **sections):
    """The tables of that series once it is trained."""
    spec, rows, layout = opened(frame, *given, **sections)
    task = TrainTask(spec, layout, shipped_prior(), spec.data.frequency, None, "run", None)
    return {name: table.to_pandas() for name, table in read_rows(train_group(rows, task)).items()}


def daily(y, **columns):
    when = pd.date_range("2024-01-01", periods=len(y), freq="D")
    return pd.DataFrame({"when": when, "sold": np.asarray(y, dtype=float), **columns})


def history(tables):
    return load_series_model(unpack(tables["models"].iloc[0]["state"])).history


def noisy(n, seed=0):
    return 50 + 5 * np.sin(np.arange(n) * 2 * np.pi / 7) + np.random.default_rng(seed).normal(size=n)


# -- short -----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [4, 9, 14])
def test_a_padded_history_is_judged_on_a_fold_and_no_padded_value_is_scored(n):
    plain = trained(daily(noisy(n)))
    assert "backtest" not in plain
    tables = trained(daily(noisy(n)), preparation={"short": "pad"})
    result = tables["results"].iloc[0]
    assert (result["status"], result["n_obs"]) == ("TRAINED", n)
    assert set(tables["findings"]["code"]) >= {"PADDED"}
    assert "SHORT" not in set(tables["findings"]["code"])
    scored = tables["backtest"].dropna(subset="actual")
    assert scored["when"].min() >= pd.Timestamp("2024-01-01")
    assert set(scored["actual"]) <= set(noisy(n))
    assert result["trained_until"] == pd.Timestamp("2024-01-01") + pd.Timedelta(days=n - 1)
    assert np.isfinite(tables["forecasts"]["mean"]).all()


def test_a_history_that_padding_cannot_help_falls_back_and_says_so():
    tables = trained(daily([3.0, 4.0]), preparation={"short": "pad"})
    assert tables["results"].iloc[0]["reason"] == "TOO_SHORT"
    assert "SHORT" in set(tables["findings"]["code"])
    assert "PADDED" not in set(tables["findings"]["code"])


def test_long_histories_are_the_same_bits_with_padding_on_request():
    one, two = trained(daily(noisy(60))), trained(daily(noisy(60)), preparation={"short": "pad"})
    pd.testing.assert_frame_equal(one["forecasts"], two["forecasts"])


# -- outliers ----------------------------------------------------------------------------


def test_capped_values_are_learned_from_and_observed_ones_scored():
    y = noisy(80)
    y[76] = 5000.0
    tables = trained(daily(y), preparation={"outliers": "cap"})
    assert tables["backtest"]["actual"].max() == 5000.0
    assert history(tables).y.max() < 200
    kept = trained(daily(y))
    assert history(kept).y.max() == 5000.0
    assert tables["forecasts"]["mean"].max() < kept["forecasts"]["mean"].max()


def test_newer_outliers_are_capped_too_before_they_move_a_state():
    y = noisy(90)
    y[85] = 5000.0
    tables = trained(daily(y[:80]), preparation={"outliers": "cap"})
    model = load_series_model(unpack(tables["models"].iloc[0]["state"]))
    spec, rows, layout = opened(daily(y), preparation={"outliers": "cap"})
    settings = PrepareSettings.of(spec, "D", None, model.history.grid)
    after, revised = moved(model, prepare(rows, SeriesKey((), ()), layout, settings))
    assert (after.history.end - model.history.end, revised) == (10, 0)
    assert after.history.y.max() < 200


# -- mask and closed ---------------------------------------------------------------------


@pytest.mark.parametrize("wild", [np.nan, 1e6, -1e6])
def test_masked_values_are_left_out_of_fit_scale_and_score(wild):
    y = noisy(80)
    stock_out = np.zeros(80, dtype=bool)
    stock_out[[20, 50, 70, 77]] = True
    lost = np.where(stock_out, wild, y)
    one = trained(daily(np.where(stock_out, 0.0, y), out=stock_out), {"mask": "out"})
    two = trained(daily(lost, out=stock_out), {"mask": "out"})
    for folder in ("forecasts", "backtest"):
        pd.testing.assert_frame_equal(one[folder], two[folder])
    assert one["results"].iloc[0]["score"] == two["results"].iloc[0]["score"]
    days = pd.date_range("2024-01-01", periods=80)[stock_out]
    assert one["backtest"][one["backtest"]["when"].isin(days)]["actual"].isna().all()


def test_closed_days_are_forecast_as_zero_and_not_scored():
    frame = daily(noisy(84))
    frame["shut"] = frame["when"].dt.dayofweek == 6
    frame.loc[frame["shut"], "sold"] = 0.0
    frame.loc[77:, "sold"] = np.nan
    tables = trained(frame, {"closed": "shut"}, horizon=7)
    forecasts = tables["forecasts"]
    sunday = forecasts["when"].dt.dayofweek == 6
    assert sunday.sum() == 1
    assert (forecasts.loc[sunday, ["mean", "q0.1", "q0.5", "q0.9"]] == 0).all(axis=None)
    assert (forecasts.loc[~sunday, "mean"] > 30).all()
    own = tables["backtest"][tables["backtest"]["candidate"] == "ensemble"]
    assert own[own["when"].dt.dayofweek == 6]["actual"].isna().all()
    other = frame.assign(sold=np.where(frame["shut"] & frame["sold"].notna(), 1e6, frame["sold"]))
    pd.testing.assert_frame_equal(trained(other, {"closed": "shut"}, horizon=7)["forecasts"], forecasts)


# -- absent rows -------------------------------------------------------------------------


def test_absent_rows_mean_nothing_or_zero_as_configured():
    keep = np.sort(np.random.default_rng(1).choice(90, 60, replace=False))
    frame = daily(noisy(90)).iloc[np.union1d(keep, [0, 89])]
    unknown, zero = (trained(frame, {"absent": word}) for word in ("unknown", "zero"))
    codes = [set(tables["findings"]["code"]) for tables in (unknown, zero)]
    assert "GAPS_FILLED" in codes[0]
    assert "ABSENT_ZERO" in codes[1]
    assert zero["results"].iloc[0]["n_obs"] == 90
    assert unknown["results"].iloc[0]["n_obs"] == len(frame)
    assert (history(zero).y == 0).any()
    assert (history(unknown).y > 30).all()
    asked = trained(frame, {"absent": "auto"})
    assert "ABSENT_MEANING_UNCLEAR" in set(asked["findings"]["code"])
    pd.testing.assert_frame_equal(asked["forecasts"], unknown["forecasts"])
