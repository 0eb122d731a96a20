"""The group function: canonical rows in, rows of the run directory out; every series accounted for."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.automl.group import (
    cancel_group,
    check_group,
    fall_back_group,
    give_up_group,
    train_group,
)
from many_models.automl.model import load_series_model
from many_models.automl.pilot import read_study, study_group
from many_models.automl.prior import shipped_prior
from many_models.automl.rows import FOLDERS, read_rows
from many_models.automl.task import TrainTask
from many_models.bundle.container import unpack
from many_models.engines.reading import canonical_table, read_table
from many_models.learners.base import LearnerInfo
from many_models.learners.table import LEARNERS, Entry
from many_models.panel.series import Future
from many_models.spec import ForecastSpec

CHEAP = ["drift", "average", "seasonal_average", "arx"]
SECONDS = {"seconds", "fit_seconds", "predict_seconds"}


@dataclass(frozen=True)
class Trouble:
    """Why a child did not answer."""

    status: str = "TIMED_OUT"
    code: str = "HARD_LIMIT"
    message: str = "no answer after 60 s"
    seconds: float = 60.0


class Exploding:
    """A learner outside of its contract: it breaks where only the edge of a series can catch it."""

    info = LearnerInfo("exploding", "breaks the contract", "none", 1, "trivial")
    victim: ClassVar[float] = np.nan

    def candidates(self, series, context):
        if series.y[0] == self.victim:
            raise RuntimeError("a bug in a learner")
        return ()


@pytest.fixture
def exploding():
    LEARNERS["exploding"] = Entry(__name__, "Exploding", Exploding.info)
    yield "exploding"
    del LEARNERS["exploding"]


def monthly(values, start="2015-01-01"):
    y = np.asarray(values, dtype=float)
    return pd.DataFrame({"when": pd.date_range(start, periods=len(y), freq="MS"), "sold": y})


def panel(**series):
    """A table of several series by name, `shop/item`."""
    parts = []
    for name, rows in series.items():
        shop, item = name.split("_")
        parts.append(rows.assign(shop=int(shop[1:]), item=item))
    return pd.concat(parts, ignore_index=True)


def make_task(table, data=None, seconds=None, **sections):
    tree = {
        "name": "test",
        "data": {
            "time": "when",
            "target": "sold",
            "series": ["shop", "item"],
            "frequency": "MS",
            **(data or {}),
        },
        "forecast": {"horizon": 4, **sections.pop("forecast", {})},
        "learners": {"allow": CHEAP, **sections.pop("learners", {})},
        **sections,
    }
    spec = ForecastSpec.from_dict(tree)
    frame, layout = canonical_table(read_table(table, spec.data), spec.data, None)
    return frame, TrainTask(spec, layout, shipped_prior(), "MS", None, "run-1", seconds)


def trained(table, **given):
    frame, task = make_task(table, **given)
    return {name: rows.to_pandas() for name, rows in read_rows(train_group(frame, task)).items()}


def wave(n=60, seed=0, level=50.0):
    rng = np.random.default_rng(seed)
    return monthly(level + 10 * np.sin(np.arange(n) * np.pi / 6) + rng.normal(size=n))


# -- one series ------------------------------------------------------------------


def test_a_series_leaves_rows_in_every_folder_and_they_agree():
    rows = trained(panel(s1_a=wave()), forecast={"totals": [2, 4]})
    assert set(rows) <= set(FOLDERS)
    result = rows["results"].iloc[0]
    assert (result["shop"], result["item"], result["status"]) == (1, "a", "TRAINED")
    assert result["n_obs"] == 60
    assert result["trained_until"] == pd.Timestamp("2019-12-01")
    assert result["content_id"] == rows["models"].iloc[0]["content_id"]
    forecasts = rows["forecasts"]
    assert list(forecasts["when"]) == list(pd.date_range("2020-01-01", periods=4, freq="MS"))
    assert list(forecasts["step"]) == [1, 2, 3, 4]
    assert (forecasts["q0.1"] <= forecasts["q0.5"]).all()
    assert (forecasts["q0.5"] <= forecasts["q0.9"]).all()
    assert set(forecasts["run_id"]) == {"run-1"}
    totals = rows["totals"]
    np.testing.assert_allclose(totals["mean"], [forecasts["mean"][:2].sum(), forecasts["mean"].sum()])
    board = rows["leaderboard"]
    assert board.iloc[-1]["candidate"] == "ensemble"
    assert board["weight"].sum() == pytest.approx(1.0)
    assert {"naive", "seasonal_naive"} <= set(board["candidate"])


def test_the_stored_model_gives_the_forecasts_that_were_written():
    rows = trained(panel(s1_a=wave()))
    model = load_series_model(unpack(rows["models"].iloc[0]["state"]))
    forecasts = rows["forecasts"]
    ordinals = np.arange(model.history.end + 1, model.history.end + 5)
    answer = model.forecast(Future(model.history.grid, ordinals, np.empty((4, 0)))).forecast
    np.testing.assert_array_equal(answer.mean, forecasts["mean"])
    np.testing.assert_array_equal(answer.quantiles, forecasts[["q0.1", "q0.5", "q0.9"]])


def test_scores_skill_and_bias_are_those_of_the_backtest_rows():
    rows = trained(panel(s1_a=wave()), validation={"metric": "mae"})
    own = rows["backtest"][rows["backtest"]["candidate"] == "ensemble"]
    naive = rows["backtest"][rows["backtest"]["candidate"] == "seasonal_naive"]

    def score(part):
        errors = (part["actual"] - part["q0.5"]).abs().groupby(part["fold"]).mean()
        return np.exp(np.log(errors).mean())

    result = rows["results"].iloc[0]
    assert result["score"] == pytest.approx(score(own))
    assert result["skill"] == pytest.approx(1 - score(own) / score(naive))
    seen = own[own["actual"].notna()]
    assert result["bias"] == pytest.approx(seen["mean"].sum() / seen["actual"].sum() - 1)
    board = rows["leaderboard"].set_index("candidate")["score"]
    assert board["ensemble"] == pytest.approx(score(own))
    assert board["seasonal_naive"] == pytest.approx(score(naive))


def test_the_same_frame_gives_the_same_rows_but_for_seconds():
    table = panel(s1_a=wave(), s1_b=wave(40, 3))
    frame, task = make_task(table, data={"group": ["shop"]}, learners={"allow": None, "preset": "fast"})
    kept = frame.copy()
    first, second = (read_rows(train_group(frame, task)) for _ in range(2))
    pd.testing.assert_frame_equal(frame, kept)
    assert first.keys() == second.keys()
    for folder in first:
        columns = [c for c in first[folder].column_names if c not in SECONDS]
        assert first[folder].select(columns).equals(second[folder].select(columns)), folder


def test_the_order_of_rows_does_not_matter():
    frame, task = make_task(panel(s1_a=wave()))
    first = read_rows(train_group(frame, task))["models"]
    mixed = frame.sample(frac=1.0, random_state=5).reset_index(drop=True)
    assert read_rows(train_group(mixed, task))["models"].equals(first)


@settings(max_examples=4, deadline=None)
@given(value=st.sampled_from([1e30, 0.0, 77.0]), seed=st.integers(0, 1000), fold=st.integers(1, 6))
def test_nothing_after_a_cutoff_changes_a_candidates_forecast_of_that_fold(value, seed, fold):
    """Through the whole function: values after the cutoff of a fold do not reach its forecasts."""
    table = panel(s1_a=wave(60, seed))
    before = trained(table, validation={"metric": "mae"})["backtest"]
    cutoff = before.loc[before["fold"] == fold, "cutoff"].iloc[0]
    table.loc[table["when"] > cutoff, "sold"] = value
    after = trained(table, validation={"metric": "mae"})["backtest"]
    columns = ["when", "step", "candidate", "mean", "q0.5"]

    def forecasts(rows):
        part = rows[(rows["fold"] <= fold) & (rows["candidate"] != "ensemble")]
        return part[["fold", *columns]].reset_index(drop=True)

    pd.testing.assert_frame_equal(forecasts(after), forecasts(before), check_exact=True)


# -- outcomes --------------------------------------------------------------------


def hollow(n):
    return monthly(np.full(n, np.nan))


OUTCOMES = {
    "one value": (monthly([5.0]), "FALLBACK", "TOO_SHORT"),
    "two values": (monthly([5.0, 6.0]), "FALLBACK", "TOO_SHORT"),
    "six values": (monthly(range(6)), "FALLBACK", "TOO_SHORT"),
    "no value": (hollow(20), "SKIPPED", "NO_OBSERVATIONS"),
    "infinite": (monthly(np.full(20, np.inf)), "SKIPPED", "NO_OBSERVATIONS"),
    "too large": (monthly(np.full(20, 1e300)), "SKIPPED", "NO_OBSERVATIONS"),
    "no folds": (monthly(range(20)), "TRAINED", None),
    "constant": (monthly(np.full(60, 3.0)), "TRAINED", None),
    "zeros": (monthly(np.zeros(60)), "TRAINED", None),
    "intermittent": (monthly(np.where(np.arange(60) * 7 % 11 < 3, 2.0, 0)), "TRAINED", None),
    "holes": (monthly(np.where(np.arange(60) % 7 == 0, np.nan, 5 + np.arange(60))), "TRAINED", None),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_odd_series_end_as_the_table_of_outcomes_says(name):
    series, status, reason = OUTCOMES[name]
    rows = trained(panel(s1_a=series))
    result = rows["results"].iloc[0]
    assert (result["status"], result["reason"]) == (status, reason)
    if status == "SKIPPED":
        assert "forecasts" not in rows
        assert result["content_id"] is None
        assert len(rows["findings"])
        return
    forecasts = rows["forecasts"]
    assert len(forecasts) == 4
    assert np.isfinite(forecasts[["mean", "q0.1", "q0.5", "q0.9"]]).all(axis=None)
    assert set(forecasts["status"]) == {status}
    if status == "FALLBACK":
        np.testing.assert_array_equal(forecasts["mean"], series["sold"].iloc[-1])
    if name in ("constant", "zeros"):
        np.testing.assert_allclose(forecasts["mean"], series["sold"].iloc[-1], atol=1e-12)
        assert result["score"] is None or np.isnan(result["score"])
        assert "SCALE_ZERO" in set(rows["findings"]["code"])


def test_spare_parts_are_judged_by_the_squared_scaled_error_and_not_forecast_as_zero():
    rng = np.random.default_rng(0)
    sold = np.where(rng.random(72) < 0.3, rng.integers(1, 5, 72), 0)
    rows = trained(panel(s1_a=monthly(sold)))
    assert rows["forecasts"]["mean"].min() > 0.1
    assert "INTERMITTENT" in set(rows["findings"]["code"])


def test_short_series_are_dropped_where_the_configuration_says_so():
    rows = trained(panel(s1_a=monthly(range(5))), preparation={"short": "drop"})
    result = rows["results"].iloc[0]
    assert (result["status"], result["reason"], result["n_obs"]) == ("SKIPPED", "TOO_SHORT", 5)
    assert "forecasts" not in rows


@pytest.mark.parametrize("short", ["auto", "naive", "drop"])
def test_a_long_series_without_folds_on_request_is_not_short(short):
    rows = trained(panel(s1_a=wave()), validation={"folds": 0}, preparation={"short": short})
    result = rows["results"].iloc[0]
    assert (result["status"], result["reason"]) == ("TRAINED", None)
    assert set(rows["findings"]["state"]) == {"passed"}
    assert "backtest" not in rows


def test_negative_forecasts_are_cut_only_where_the_history_never_is():
    falling = np.r_[np.linspace(50, 1, 58), 1, 0.5]
    assert trained(panel(s1_a=monthly(falling)))["forecasts"]["q0.1"].min() >= 0
    assert trained(panel(s1_a=monthly(falling - 30)))["forecasts"]["q0.1"].min() < -29
    free = trained(panel(s1_a=monthly(falling)), forecast={"min": None})["forecasts"]
    assert free["q0.1"].min() < 0


# -- covariates ------------------------------------------------------------------


def priced(n=64, observed=60):
    price = np.random.default_rng(4).normal(size=n)
    rows = monthly(100 + 20 * price)
    return rows.assign(price=price, sold=rows["sold"].where(np.arange(n) < observed))


def test_a_known_future_in_the_input_is_used():
    rows = trained(panel(s1_a=priced()), data={"known": ["price"]})
    assert set(rows["forecasts"]["status"]) == {"TRAINED"}
    truth = 100 + 20 * priced()["price"].iloc[60:]
    np.testing.assert_allclose(rows["forecasts"]["mean"], truth, atol=8)


@pytest.mark.parametrize("missing", [range(60, 64), (62,)])
def test_where_the_known_future_is_missing_the_stand_by_answers_and_says_so(missing):
    table = priced()
    table.loc[list(missing), "price"] = np.nan
    rows = trained(panel(s1_a=table), data={"known": ["price"]}, forecast={"totals": [4]})
    forecasts = rows["forecasts"]
    expected = ["FUTURE_COVARIATES_MISSING" if 60 + i in missing else None for i in range(4)]
    assert forecasts["reason"].tolist() == expected
    assert rows["totals"]["status"].tolist() == ["FALLBACK"]
    told = rows["findings"].set_index("code").loc["FUTURE_COVARIATES_MISSING"]
    assert told["count"] == len(missing)
    assert rows["results"].iloc[0]["status"] == "TRAINED"


# -- groups ----------------------------------------------------------------------


def test_every_series_of_a_group_is_accounted_for_once_whatever_becomes_of_it(exploding, monkeypatch):
    monkeypatch.setattr(Exploding, "victim", 99.0)
    unlucky = wave()
    unlucky.loc[0, "sold"] = 99.0
    table = panel(s1_a=wave(), s1_b=unlucky, s1_c=hollow(9), s1_d=monthly([1.0, 2.0]), s1_e=wave(40, 8))
    frame, task = make_task(table, data={"group": ["shop"]})
    rows = _with_learner(frame, task, exploding)
    results = rows["results"].set_index("item")
    assert results["status"].to_dict() == {
        "a": "TRAINED",
        "b": "FAILED",
        "c": "SKIPPED",
        "d": "FALLBACK",
        "e": "TRAINED",
    }
    assert results.loc["b", "reason"] == "EXCEPTION"
    assert len(rows["forecasts"]) == 4 * 4
    served = rows["forecasts"].set_index("item").loc["b"]
    assert set(served["learner"]) == {"seasonal_naive"}
    assert set(served["status"]) == {"FAILED"}
    told = rows["findings"].set_index(["item", "code"]).loc[("b", "FAILED")]
    assert "a bug in a learner" in told["message"]
    assert set(rows["models"]["content_id"]) == set(results["content_id"].dropna())


def _with_learner(frame, task, name):
    """Trains with a learner that no configuration can name."""
    spec = task.spec
    learners = spec.learners.model_copy(update={"allow": (*CHEAP, name)})
    task = TrainTask(
        spec.model_copy(update={"learners": learners}), task.layout, task.prior, "MS", None, "run-1", None
    )
    return {folder: rows.to_pandas() for folder, rows in read_rows(train_group(frame, task)).items()}


def test_a_series_is_trained_alike_alone_and_in_a_group():
    together = panel(s1_a=wave(), s1_b=wave(48, 2))
    rows = trained(together, data={"group": ["shop"]})
    alone = trained(together[together["item"] == "b"])
    part = rows["forecasts"][rows["forecasts"]["item"] == "b"].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, alone["forecasts"])


def test_odd_keys_are_just_characters():
    names = ["a b", "../x", 'q"uote', "🥕", "k" * 1000, "NA", "007"]
    table = pd.concat([wave(30, i).assign(shop=1, item=name) for i, name in enumerate(names)])
    rows = trained(table, data={"group": []}, learners={"allow": ["drift"]})
    assert sorted(rows["results"]["item"]) == sorted(names)
    assert (rows["forecasts"].groupby("item").size() == 4).all()


def test_after_a_crash_the_fallback_serves_with_the_status_of_the_trouble():
    frame, task = make_task(panel(s1_a=wave(), s1_b=hollow(5)), data={"group": ["shop"]})
    rows = {k: v.to_pandas() for k, v in read_rows(fall_back_group(frame, task, Trouble())).items()}
    results = rows["results"].set_index("item")
    assert set(results["status"]) == {"TIMED_OUT"}
    assert set(results["reason"]) == {"HARD_LIMIT"}
    assert results.loc["a", "learner"] == "seasonal_naive"
    assert results.loc["a", "seconds"] >= 60
    assert set(rows["forecasts"]["status"]) == {"TIMED_OUT"}
    assert "no answer after 60 s" in set(rows["findings"]["message"])


def test_giving_up_and_cancelling_leave_an_account_and_nothing_else():
    frame, task = make_task(panel(s1_a=wave(), s1_b=wave(20, 1)), data={"group": ["shop"]})
    given_up = {k: v.to_pandas() for k, v in read_rows(give_up_group(frame, task, Trouble("FAILED"))).items()}
    assert given_up["results"]["status"].tolist() == ["FAILED", "FAILED"]
    assert set(given_up) == {"results", "findings", "lineage"}
    cancelled = {k: v.to_pandas() for k, v in read_rows(cancel_group(frame, task)).items()}
    assert cancelled["results"]["status"].tolist() == ["CANCELLED", "CANCELLED"]
    assert set(cancelled) == {"results", "lineage"}


def test_a_group_whose_time_is_over_falls_back_and_counts_what_was_not_run():
    rows = trained(panel(s1_a=wave()), seconds=0.0)
    assert rows["results"].iloc[0]["status"] == "FALLBACK"
    assert {"CANDIDATES_NOT_RUN", "ALL_CANDIDATES_FAILED"} <= set(rows["findings"]["code"])
    assert len(rows["leaderboard"]) > 1


def test_a_transform_and_a_difference_that_a_history_cannot_carry_are_told():
    table = panel(s1_up=wave(), s1_below=wave(level=0.0), s1_short=wave(24))
    features = {"transforms": "box_cox", "difference": "seasonal"}
    rows = trained(
        table, data={"group": ["shop"]}, features=features, learners={"allow": ["naive", "elastic_net"]}
    )
    told = rows["findings"].set_index("item")["code"]
    assert told[told == "TRANSFORM_LEFT_OUT"].index.tolist() == ["below"]
    assert told[told == "DIFFERENCE_SHORTENED"].index.tolist() == ["short"]
    assert set(rows["results"]["status"]) == {"TRAINED"}
    used = {json.loads(p)["transform"] for p in rows["leaderboard"]["parameters"] if "transform" in p}
    assert used == {"box_cox", "none"}


def test_counts_are_forecast_in_whole_numbers_and_scored_before_rounding():
    table = panel(s1_a=wave())
    plain, counts = trained(table), trained(table, forecast={"integer": True, "totals": [3]})
    quantiles = counts["forecasts"][["q0.1", "q0.5", "q0.9"]].to_numpy()
    np.testing.assert_array_equal(quantiles, np.round(plain["forecasts"][["q0.1", "q0.5", "q0.9"]]))
    np.testing.assert_array_equal(counts["forecasts"]["mean"], plain["forecasts"]["mean"])
    assert (counts["totals"]["q0.9"] % 1 == 0).all()
    assert counts["results"]["score"].tolist() == plain["results"]["score"].tolist()


def test_checking_trains_nothing_and_tells_findings():
    frame, task = make_task(
        panel(s1_a=wave(), s1_b=hollow(5), s1_c=monthly(range(9))), data={"group": ["shop"]}
    )
    rows = {k: v.to_pandas() for k, v in read_rows(check_group(frame, task)).items()}
    assert set(rows) == {"findings"}
    told = rows["findings"][rows["findings"]["state"] != "passed"]
    assert set(told.set_index("item").loc[["c"], "code"]) == {"SHORT", "NEWBORN"}
    assert "b" in set(rows["findings"]["item"])


# -- real data -------------------------------------------------------------------


def test_orange_juice_is_trained_and_its_model_is_small(real_data):
    table = pd.read_parquet(real_data / "oj" / "oj_weekly.parquet")
    table = table[(table["Store"] == 2) & (table["Brand"] == "tropicana")]
    spec = ForecastSpec.from_dict(
        {
            "name": "oj",
            "data": {
                "time": "WeekStarting",
                "target": "Quantity",
                "series": ["Store", "Brand"],
                "known": ["Price", "Advert", "feat", "deal"],
            },
            "forecast": {"horizon": 8},
            "learners": {"preset": "fast"},
        }
    )
    frame, layout = canonical_table(read_table(table, spec.data), spec.data, None)
    rows = read_rows(train_group(frame, TrainTask(spec, layout, shipped_prior(), "W-THU", None, "r", None)))
    result = rows["results"].to_pandas().iloc[0]
    assert result["status"] == "TRAINED"
    assert result["skill"] > 0
    assert len(rows["models"]["state"][0].as_py()) < 10_000


def test_a_group_that_begins_after_the_end_of_the_budget_is_cancelled():
    frame, task = make_task(panel(s1_a=wave()))
    rows = read_rows(train_group(frame, replace(task, ends=time.time() - 1)))
    assert rows["results"]["status"].to_pylist() == ["CANCELLED"]
    assert rows["results"]["reason"].to_pylist() == ["BUDGET_SPENT"]


def test_a_series_whose_share_of_the_budget_is_spent_serves_what_it_has():
    frame, task = make_task(panel(s1_a=wave(), s2_a=wave(seed=1)))
    rows = read_rows(train_group(frame, replace(task, ends=time.time() + 60, share=1e-9)))
    assert set(rows["results"]["status"].to_pylist()) == {"FALLBACK"}
    assert rows["forecasts"].num_rows == 4
    ample = read_rows(train_group(frame, replace(task, ends=time.time() + 600, share=600.0)))
    plain = read_rows(train_group(frame, task))
    assert ample["forecasts"].equals(plain["forecasts"])


def test_a_study_tells_which_pipelines_belong_together_and_a_prior_leaves_out_the_others():
    rng = np.random.default_rng(3)
    features = {"scaling": ["auto", "robust", "normalizer"]}
    frame, task = make_task(
        panel(s1_a=monthly(rng.uniform(10, 20, 48))), features=features, learners={"allow": ["elastic_net"]}
    )
    study = read_study(study_group(frame, task)).studies[0]
    told = dict(zip(study.names, study.usual, strict=True))
    assert told["elastic_net"] == ""
    assert told["elastic_net_robust"] == told["elastic_net_normalizer"] == "elastic_net"
    kept = {"elastic_net": ("elastic_net", "elastic_net_robust")}
    kinds = {
        name: replace(kind, pipelines=kept) if name == study.kind else kind
        for name, kind in task.prior.kinds.items()
    }
    settled = replace(task, prior=replace(task.prior, kinds=kinds))
    tried = read_rows(train_group(frame, settled))["leaderboard"].to_pandas()["candidate"]
    assert set(told) - set(tried) == {"elastic_net_normalizer"}
