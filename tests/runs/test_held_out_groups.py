"""A held-out test of groups: pooled candidates are chosen and tested without the hidden end of any series."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, open_models, train

H, HIDDEN = 4, 6
KEY = ["shop"]


def panel(*, young=True):
    """Shops with a season and a price in common; one of them is too young for a test."""
    rng = np.random.default_rng(5)
    weeks = pd.date_range("2022-01-03", periods=60, freq="W-MON")
    season = np.cumsum(rng.normal(0, 2, len(weeks)))
    parts = []
    for shop, rows in (("a", 60), ("b", 60), ("c", 57), *([("young", 14)] if young else [])):
        price = rng.choice([1.0, 2.0], len(weeks))
        sold = 60 - 10 * price + season + rng.normal(0, 1, len(weeks))
        parts.append(pd.DataFrame({"shop": shop, "week": weeks, "price": price, "sold": sold}).tail(rows))
    return pd.concat(parts, ignore_index=True)


def spec_of(**more):
    spec = ForecastSpec.from_dict(
        {
            "name": "hidden",
            "data": {"time": "week", "target": "sold", "series": KEY, "group": [], "known": ["price"]},
            "forecast": {"horizon": H},
            "learners": {"allow": ["elastic_net"]},
            "validation": {"test": HIDDEN, "folds": 2},
            "engine": {"workers": 1},
        }
    )
    return spec.replace(more) if more else spec


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    frame = panel()
    return frame, train(frame, spec_of(), run_dir=tmp_path_factory.mktemp("t") / "run")


def test_pooled_candidates_are_chosen_tested_and_serve(tested):
    frame, run = tested
    board = pd.read_parquet(run.directory / "leaderboard")
    pooled = board[board["candidate"].str.startswith("pooled_")]
    assert pooled.groupby("shop")["weight"].sum().gt(0).loc[["a", "b", "c"]].all()
    assert pooled.loc[pooled["shop"] == "young", "score"].notna().all()
    rows = run.test()
    assert rows.groupby("shop").size().to_dict() == {"a": HIDDEN, "b": HIDDEN, "c": HIDDEN}
    assert set(rows["status"]) == {"TRAINED"}
    truth = frame[frame["shop"] != "young"].groupby("shop").tail(HIDDEN)["sold"]
    np.testing.assert_array_equal(rows.sort_values(["shop", "week"])["actual"], truth)
    assert (run.results()["trained_until"] == frame["week"].max()).all()
    ahead = open_models(run.directory).forecast(future=next_weeks(frame))
    assert ahead["mean"].notna().all()


def next_weeks(frame):
    """The horizon after everything, with prices."""
    weeks = pd.date_range(frame["week"].max(), periods=H + 1, freq="W-MON")[1:]
    return frame[KEY].drop_duplicates().merge(pd.DataFrame({"week": weeks, "price": 1.5}), how="cross")


def test_nothing_hidden_of_any_series_has_a_say_in_a_choice_or_a_first_forecast(tested, tmp_path):
    """Nor has a series that is too young for a test: it may have been born in what is hidden."""
    frame, run = tested
    other = frame.copy()
    last = other["week"].isin(sorted(other["week"].unique())[-HIDDEN:])
    other.loc[last, "sold"] = other.loc[last, "sold"] * 3 + 50
    other.loc[other["shop"] == "young", "sold"] *= 7.0
    again = train(other, spec_of(), run_dir=tmp_path / "other")
    columns, board = ["mean", "q0.1", "q0.9", "learner"], ["candidate", "score", "weight"]
    for shop in "abc":
        one, two = (each.test(shop=shop).head(H) for each in (run, again))
        pd.testing.assert_frame_equal(one[columns], two[columns], check_exact=True)
        one, two = (each.leaderboard(shop=shop)[board] for each in (run, again))
        pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_the_pilot_of_a_test_sees_nothing_hidden(tmp_path):
    """The share of the group, and with it every choice, is what it was before the hidden steps."""
    rng = np.random.default_rng(2)
    weeks = pd.date_range("2022-01-03", periods=40, freq="W-MON")
    shops = [f"s{i:02d}" for i in range(24)]
    z = np.zeros((len(shops), len(weeks)))
    for t in range(1, len(weeks)):
        z[:, t] = 0.6 * z[:, t - 1] + rng.normal(0, 1, len(shops))
    frame = pd.DataFrame(
        {"shop": np.repeat(shops, 40), "week": np.tile(weeks, 24), "sold": 50 + 4 * z.ravel(), "price": 1.0}
    )
    young = pd.DataFrame({"shop": "young", "week": weeks[-12:], "sold": 30.0 + np.arange(12), "price": 1.0})
    other = frame.copy()
    last = other["week"].isin(weeks[-HIDDEN:])
    other.loc[last, "sold"] = 200 - 2 * other.loc[last, "sold"]
    spec = spec_of(**{"learners.allow": ["naive", "elastic_net"], "validation.pilot": 25})
    runs = [
        train(pd.concat([table, end]), spec, run_dir=tmp_path / name)
        for name, table, end in (("a", frame, young), ("b", other, young.assign(sold=9.0)))
    ]
    one, two = (json.loads((run.directory / "prior.json").read_text())["kinds"] for run in runs)
    assert one["week"]["shares"]
    assert one == two


def test_a_test_says_what_the_models_of_that_day_would_have_said(tmp_path):
    """First as they were trained, then with their state moved by the values that came."""
    frame = panel(young=False)
    run = train(frame, spec_of(), run_dir=tmp_path / "run")
    cut = sorted(frame["week"].unique())[-HIDDEN - 1]
    day, weeks = str(pd.Timestamp(cut).date()), sorted(frame["week"].unique())
    then = train(frame, spec_of(**{"validation.test": 0}), run_dir=tmp_path / "then", cutoff=day)
    assert then.leaderboard(shop="a")["candidate"].str.startswith("pooled_").any()
    models = then.models()
    ahead = models.forecast(future=frame.loc[frame["week"] > cut, [*KEY, "week", "price"]])
    moved = models.forecast(
        history=frame[frame["week"] <= weeks[-HIDDEN + H - 1]],
        future=frame.loc[frame["week"] > weeks[-HIDDEN + H - 1], [*KEY, "week", "price"]],
    )
    for shop in "abc":
        told = run.test(shop=shop)["mean"].to_numpy()
        first, second = (part[part["shop"] == shop]["mean"].to_numpy() for part in (ahead, moved))
        np.testing.assert_allclose(told[:H], first[:H], rtol=1e-12)
        np.testing.assert_allclose(told[H:], second[: HIDDEN - H], rtol=1e-12)
