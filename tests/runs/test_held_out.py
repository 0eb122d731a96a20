"""A held-out test: the end of each series, hidden from whatever chooses, scored with what was chosen."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, metrics, train

H, HIDDEN = 4, 10


def panel(length=80):
    rng = np.random.default_rng(3)
    weeks = pd.date_range("2022-01-03", periods=length, freq="W-MON")
    parts = []
    for shop, rows in (("a", length), ("b", length), ("young", 16)):
        price = rng.choice([1.0, 2.0], length)
        sold = 40 - 10 * price + np.cumsum(rng.normal(0, 0.3, length))
        parts.append(pd.DataFrame({"shop": shop, "week": weeks, "price": price, "sold": sold}).tail(rows))
    return pd.concat(parts, ignore_index=True)


def spec_of(**more):
    spec = ForecastSpec.from_dict(
        {
            "name": "hidden",
            "data": {"time": "week", "target": "sold", "series": ["shop"], "known": ["price"]},
            "forecast": {"horizon": H},
            "learners": {"allow": ["naive", "average", "arx"]},
            "validation": {"test": HIDDEN},
            "engine": {"workers": 1},
        }
    )
    return spec.replace(more) if more else spec


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    frame = panel()
    return frame, train(frame, spec_of(), run_dir=tmp_path_factory.mktemp("t") / "run")


def test_every_hidden_step_is_forecast_once_a_horizon_at_a_time(tested):
    frame, run = tested
    rows, truth = run.test(shop="a"), frame.query("shop == 'a'").tail(HIDDEN)
    assert rows["week"].tolist() == truth["week"].tolist()
    np.testing.assert_array_equal(rows["actual"], truth["sold"])
    assert rows["step"].tolist() == [1, 2, 3, 4, 1, 2, 3, 4, 1, 2]
    assert rows["cutoff"].nunique() == 3
    assert rows[["q0.1", "q0.5", "q0.9"]].notna().all().all()


def test_nothing_hidden_has_a_say_in_the_choice_or_its_forecast(tested, tmp_path):
    """With other values at the end, the first forecast and the whole choice are the same, bit for bit."""
    frame, run = tested
    other = frame.copy()
    last = other["week"].isin(sorted(other["week"].unique())[-HIDDEN:])
    other.loc[last, "sold"] = 500.0
    again = train(other, spec_of(), run_dir=tmp_path / "other")
    columns = ["mean", "q0.1", "q0.9", "learner"]
    for shop in ("a", "b"):
        one, two = run.test(shop=shop), again.test(shop=shop)
        pd.testing.assert_frame_equal(one[columns].head(H), two[columns].head(H))
        board = ["candidate", "score", "weight"]
        pd.testing.assert_frame_equal(run.leaderboard(shop=shop)[board], again.leaderboard(shop=shop)[board])
        # and what serves was fitted on everything
        assert not np.array_equal(run.forecasts(shop=shop)["mean"], again.forecasts(shop=shop)["mean"])


def test_the_first_forecast_is_that_of_a_run_of_that_day(tested, tmp_path):
    frame, run = tested
    weeks = sorted(frame["week"].unique())
    day = str(pd.Timestamp(weeks[-HIDDEN - 1]).date())
    then = train(frame, spec_of(**{"validation.test": 0}), run_dir=tmp_path / "then", cutoff=day)
    future = frame.query("shop == 'a'")[["shop", "week", "price"]].tail(HIDDEN).head(H)
    ahead = then.models().forecast(future=future)
    np.testing.assert_allclose(run.test(shop="a")["mean"].head(H), ahead["mean"], rtol=1e-12)


def test_the_summary_scores_it_beside_seasonal_naive(tested):
    _, run = tested
    told, rows = run.summary["test"], run.test()
    assert told["series"] == 2
    wape = [metrics.wape(part["actual"], part["q0.5"]) for _, part in rows.groupby("shop")]
    assert told["errors"]["wape"]["macro"] == pytest.approx(np.mean(wape), rel=1e-4)
    naive = np.abs(rows["actual"] - rows["seasonal_naive"]).sum() / rows["actual"].abs().sum()
    assert told["seasonal_naive"]["wape"]["micro"] == pytest.approx(naive, rel=1e-4)


def test_a_series_too_short_for_it_is_trained_without_and_says_so(tested):
    _, run = tested
    assert "TEST_LEFT_OUT" in set(run.findings(shop="young")["code"])
    assert run.test(shop="young").empty
    assert run.results().set_index("shop").loc["young", "status"] == "TRAINED"


def test_the_model_is_fitted_on_everything(tested):
    frame, run = tested
    last = frame["week"].max()
    assert (run.results()["trained_until"] == last).all()
    assert run.forecasts(shop="a")["week"].min() > last
    assert train_weights(run) == pytest.approx(1.0)


def train_weights(run):
    return run.leaderboard(shop="a")["weight"].sum()


def test_without_one_there_are_no_rows(tmp_path):
    run = train(panel().query("shop == 'a'"), spec_of(**{"validation.test": 0}), run_dir=tmp_path / "run")
    assert run.test().empty
    assert run.summary["test"] is None
