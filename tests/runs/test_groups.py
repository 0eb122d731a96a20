"""Groups of several series: what they learn together stands beside what each learns alone."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import group_cases
from group_cases import AUTOMATIC, BAD, KEY, make_spec, newcomer, ordered, panel

from many_models import open_models, resume, train
from many_models.automl.group import fall_back_group, give_up_group, train_group
from many_models.automl.pooled import Pooled
from many_models.automl.pooling import Share, fall_back_pool, joined, pool_group, read_pool
from many_models.automl.prior import shipped_prior
from many_models.automl.rows import read_rows
from many_models.bundle.store import Bundle
from many_models.engines.base import GroupJob
from many_models.engines.local import LocalEngine
from many_models.errors import DamagedError, DataError, LookupFailed
from many_models.panel.fingerprint import MARK_BYTES
from many_models.runs import bundling, spark_scoring
from many_models.runs.backtest import backtest
from many_models.runs.directory import RunDirectory
from many_models.runs.models import models_of_bundle
from many_models.runs.pool_shares import pooled_by, pooling_jobs
from many_models.runs.pooling import Pools, members_of, pools_of
from many_models.runs.scoring import Scorer
from many_models.runs.tables import rows_of
from many_models.runs.train import open_source, train_task


@pytest.fixture(scope="module")
def frame():
    return panel()


@pytest.fixture(scope="module")
def grouped(frame, tmp_path_factory):
    """The finished run of three groups of four series."""
    return train(frame, make_spec(), run_dir=tmp_path_factory.mktemp("groups") / "run")


def rows(run, folder):
    return pd.read_parquet(run.directory / folder)


def test_every_series_weighs_what_its_group_learned_beside_its_own(grouped):
    board = rows(grouped, "leaderboard")
    pooled = board[board["candidate"].str.startswith("pooled_")]
    assert set(map(tuple, pooled[KEY].to_numpy())) == {
        (s, b) for s in range(3) for b in "abcd" if (s, b) not in BAD
    }
    assert pooled["score"].gt(0).all()
    assert pooled["weight"].sum() > 0
    assert board.loc[~board["candidate"].str.startswith("pooled_"), "weight"].sum() > 0
    folds = rows(grouped, "backtest").groupby("candidate")["mean"].apply(lambda m: m.notna().all())
    assert folds.all()
    assert grouped.summary["groups"] == 3
    assert grouped.summary["series"] == 12


def test_a_bad_series_costs_the_others_nothing(grouped):
    results = rows(grouped, "results").set_index(KEY)
    assert results.loc[(0, "b"), "status"] == "SKIPPED"
    assert results.loc[(1, "c"), "status"] == "FALLBACK"
    assert results.drop(list(BAD))["status"].eq("TRAINED").all()
    findings = rows(grouped, "findings")
    told = findings[findings["code"] == "NOT_POOLED"].set_index(KEY)["message"]
    assert told.to_dict() == {(0, "b"): f"not pooled: {BAD[0, 'b']}"}


def test_a_series_too_short_for_learners_of_its_own_gets_those_of_its_group(grouped):
    results = rows(grouped, "results").set_index(KEY)
    assert tuple(results.loc[(1, "c"), ["status", "reason"]]) == ("FALLBACK", "TOO_SHORT")
    assert results.loc[(1, "c"), "learner"] in ("ensemble", "elastic_net")
    findings = rows(grouped, "findings")
    told = findings[findings["code"] == "SHORT_POOLED"].set_index(KEY)["message"]
    assert list(told.index) == [(1, "c")]
    assert "pooled_" in told.iloc[0]
    forecast = grouped.forecasts().set_index(KEY).loc[(1, "c"), "mean"]
    # the wave of its siblings, which one value cannot tell
    assert forecast.nunique() > 1


def test_a_pooled_model_is_stored_once_and_forecasts_what_the_run_said(grouped, tmp_path):
    directory = RunDirectory.open(grouped.directory)
    stored = rows(grouped, "models")
    pooled = stored[stored["kind"] == "pooled_model"]
    assert len(pooled) == pooled["content_id"].nunique()
    bundle = bundling.bundle_of_run(directory, tmp_path / "bundle")
    assert 0 < bundle.shared_count <= len(pooled)
    assert bundle.model_count == 11
    bundle.verify()
    wanted = ordered(grouped.forecasts())
    for models in (
        open_models(grouped.directory),
        models_of_bundle(Bundle.open(tmp_path / "bundle"), {}),
    ):
        answer = ordered(models.forecast())
        answer = answer[answer["mean"].notna()].reset_index(drop=True)
        pd.testing.assert_frame_equal(answer, wanted, check_exact=True, check_dtype=False)


def test_a_series_with_pooled_members_moves_with_newer_history(grouped):
    models = open_models(grouped.directory)
    found = models.find(store=0, brand="a")
    last = found.forecast(horizon=1)["month"].iloc[0]
    newer = pd.DataFrame({"month": [last], "sold": [11.0]})
    assert found.forecast(history=newer)["month"].min() > last
    assert found.forecast(history=newer)["mean"].notna().all()


def test_a_reference_to_a_pooled_model_that_is_missing_or_another_is_damage(grouped, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(grouped.directory, run)
    for other in (None, b"another"):
        for part in sorted((grouped.directory / "models").glob("part-*.parquet")):
            table = pq.read_table(part)
            pooled = pc.equal(table["kind"], "pooled_model")
            if other is None:
                table = table.filter(pc.invert(pooled))
            else:
                states = pc.if_else(pooled, pa.scalar(other, pa.binary()), table["state"])
                table = table.set_column(3, table.schema.field(3), states)
            pq.write_table(table, run / "models" / part.name)
        with pytest.raises(DamagedError, match="pooled model"):
            open_models(run).find(store=0, brand="a").forecast()


def test_a_resumed_run_pools_no_finished_group_again_and_forecasts_the_same(grouped, frame, tmp_path):
    half = tmp_path / "half"
    shutil.copytree(grouped.directory, half)
    (half / "summary.json").unlink()
    parts = sorted((half / "results").glob("part-*.parquet"))
    trained = [part for part in parts if len(pd.read_parquet(part))]
    for part in trained:
        part.unlink()
    pooled = {p.name: p.stat().st_mtime_ns for p in (half / "journal").glob("pooled-*.arrow")}
    other = frame.assign(sold=frame["sold"] + frame["store"].eq(2))
    with pytest.raises(DataError, match="1 of 3 finished groups"):
        resume(half, data=other)
    again = resume(half, data=frame)
    assert {p.name: p.stat().st_mtime_ns for p in (half / "journal").glob("pooled-*.arrow")} == pooled
    pd.testing.assert_frame_equal(ordered(again.forecasts()), ordered(grouped.forecasts()), check_exact=True)


@pytest.fixture(scope="module")
def opened(frame, tmp_path_factory):
    engine = LocalEngine(1)
    spec = make_spec()
    found = open_source(engine, frame, spec, tmp_path_factory.mktemp("opened"), None, None)
    yield found, train_task(found, spec, shipped_prior(), None)
    engine.close()


def test_a_pool_that_dies_costs_the_pooled_candidates_alone(opened):
    found, task = opened
    job = GroupJob(group_cases.crash, fall_back_pool, fall_back_pool, task, 60.0)
    answers = {a.group: a.payload for batch in found.panel.map(job, [0, 1]) for a in batch}
    outcomes, models = read_pool(answers[0])
    assert (outcomes.num_rows, models.num_rows) == (4, 0)
    pooled = Pooled.from_bytes(outcomes["pooled"][0].as_py())
    assert [one.code for one in pooled.findings] == ["POOL_FAILED"]
    assert "CRASHED" in pooled.findings[0].message
    each = found.panel.regrouped((0, 1))
    said = {number: pooled.to_bytes() for number in each.groups.index}
    batches = each.map(GroupJob(train_group, fall_back_group, give_up_group, task), [0], said)
    (answer,) = (answer for batch in batches for answer in batch)
    tables = read_rows(answer.payload)
    assert tables["results"]["status"].to_pylist() == ["TRAINED"]
    assert "POOL_FAILED" in tables["findings"]["code"].to_pylist()


def test_a_pool_that_hangs_is_stopped_and_its_series_keep_their_own_learners(opened):
    found, task = opened
    job = GroupJob(group_cases.hang, fall_back_pool, fall_back_pool, task, 0.5)
    (answer,) = (answer for batch in found.panel.map(job, [0]) for answer in batch)
    outcomes, models = read_pool(answer.payload)
    assert (outcomes.num_rows, models.num_rows) == (4, 0)
    told = [Pooled.from_bytes(data) for data in outcomes["pooled"].to_pylist()]
    assert {(f.code, f.message.split(":")[0]) for one in told for f in one.findings} == {
        ("POOL_FAILED", "DEADLINE")
    }
    sample = found.panel.sample(1)
    part = sample[sample["k1"] == "a"]
    alone = replace(task, layout=replace(task.layout, group=(0, 1)))
    tables = read_rows(train_group(part, alone, told[0].to_bytes()))
    assert tables["results"]["status"].to_pylist() == ["TRAINED"]
    assert "POOL_FAILED" in tables["findings"]["code"].to_pylist()


@pytest.mark.parametrize("groups", [[0, 1], [2]])
def test_shares_of_the_candidates_say_together_what_one_task_says(opened, groups):
    found, task = opened
    alone, shared = (
        {a.group: a.payload for batch in pooled_by(found.panel, jobs, groups) for a in batch}
        for jobs in (pooling_jobs(task, 1, 1), pooling_jobs(task, 1, 3))
    )
    assert alone.keys() == shared.keys() == set(groups)
    for group in groups:
        (one, models), (other, same) = (read_pool(each[group][MARK_BYTES:]) for each in (alone, shared))
        assert sorted(models["content_id"].to_pylist()) == sorted(same["content_id"].to_pylist())
        assert alone[group][:MARK_BYTES] == shared[group][:MARK_BYTES]
        assert one["digest"].equals(other["digest"])
        for a, b in zip(one["pooled"].to_pylist(), other["pooled"].to_pylist(), strict=True):
            first, second = Pooled.from_bytes(a), Pooled.from_bytes(b)
            assert (first.findings, first.cutoffs) == (second.findings, second.cutoffs)
            assert [t.candidate for t in first.trials] == [t.candidate for t in second.trials]
            for x, y in zip(first.trials, second.trials, strict=True):
                np.testing.assert_array_equal(x.mean, y.mean)


def test_a_share_that_fails_costs_its_candidates_and_says_so(opened):
    found, task = opened
    sample = found.panel.sample(1)
    whole, failed = (
        pool_group(sample, task, Share(0, 2)),
        fall_back_pool(sample, task, group_cases._Hopeless()),
    )
    outcomes, models = read_pool(joined([whole, failed]))
    told = [Pooled.from_bytes(data) for data in outcomes["pooled"].to_pylist()]
    assert all("POOL_FAILED" in [f.code for f in one.findings] for one in told)
    assert models.equals(read_pool(whole)[1])
    assert {t.candidate.name for one in told for t in one.trials} == {"pooled_ridge"}


def test_one_large_group_is_shared_out_and_many_small_ones_are_not(opened):
    _, task = opened
    shares = [
        len(pooling_jobs(task, groups, workers)) for groups, workers in ((1, 2), (3, 2), (2, 9), (1, 99))
    ]
    assert shares == [2, 1, 4, 8]


def test_a_series_of_another_frequency_than_its_group_is_not_pooled(tmp_path):
    weeks = pd.date_range("2015-01-01", periods=60, freq="W-THU")
    months = panel()[lambda rows: rows["store"] == 2]
    odd = pd.DataFrame({"store": 2, "brand": "odd", "month": weeks, "sold": np.arange(60.0) % 7 + 3})
    engine = LocalEngine(1)
    try:
        found = open_source(engine, pd.concat([months, odd]), make_spec(), tmp_path, None, None)
        outcomes, _ = read_pool(
            pool_group(found.panel.sample(1), train_task(found, make_spec(), shipped_prior(), None))
        )
    finally:
        engine.close()
    told = [Pooled.from_bytes(data) for data in outcomes["pooled"].to_pylist()]
    (stranger,) = (one for one in told if not one.trials)
    (why,) = (f.message for f in stranger.findings if f.code == "NOT_POOLED")
    assert "its frequency is W-THU, that of most of its group MS" in why
    assert sum(bool(one.trials) for one in told) == 4


def test_what_the_group_says_does_not_depend_on_the_order_of_its_rows(opened):
    found, task = opened
    sample = found.panel.sample(1)
    once, models = read_pool(pool_group(sample, task))
    again, others = read_pool(pool_group(sample.iloc[::-1].sort_values("t", kind="stable"), task))
    assert models["content_id"].to_pylist() == others["content_id"].to_pylist()
    assert once["digest"].to_pylist() == again["digest"].to_pylist()
    for one, other in zip(once["pooled"].to_pylist(), again["pooled"].to_pylist(), strict=True):
        for a, b in zip(Pooled.from_bytes(one).trials, Pooled.from_bytes(other).trials, strict=True):
            np.testing.assert_array_equal(a.mean, b.mean)


def test_values_of_the_last_fold_decide_nothing_that_was_forecast_before(opened):
    found, task = opened
    sample = found.panel.sample(1)
    later = sample.copy()
    for _, part in sample.groupby(["k0", "k1"]):
        later.loc[part.index[-2:], "y"] = part["y"].iloc[-2:] * 1.5

    def folds(frame):
        outcomes, _ = read_pool(pool_group(frame, task))
        return [Pooled.from_bytes(data) for data in outcomes["pooled"].to_pylist()]

    for one, other in zip(folds(sample), folds(later), strict=True):
        for a, b in zip(one.trials, other.trials, strict=True):
            np.testing.assert_array_equal(a.mean, b.mean)


def test_a_large_group_is_fitted_on_a_sample_and_says_so(opened, monkeypatch):
    found, task = opened
    monkeypatch.setattr("many_models.automl.pooling.MOST_BYTES", 150_000)
    outcomes, _ = read_pool(pool_group(found.panel.sample(1), task))
    told = [Pooled.from_bytes(data) for data in outcomes["pooled"].to_pylist()]
    there = [one for one in told if one.trials]
    assert len(there) == 3
    assert all("GROUP_SAMPLED" in [f.code for f in one.findings] for one in there)
    assert all(one.final is not None for pooled in there for one in pooled.trials)


def test_whether_long_series_count_more_is_a_setting_of_the_fit_alone(opened):
    found, task = opened
    sample = found.panel.sample(1)
    weighed = replace(task, spec=task.spec.replace({"pooling.weights": "series"}))
    (told, models), (others, different) = (read_pool(pool_group(sample, each)) for each in (task, weighed))
    assert not set(models["content_id"].to_pylist()) & set(different["content_id"].to_pylist())
    assert told["digest"].equals(others["digest"])
    for one, other in zip(told["pooled"].to_pylist(), others["pooled"].to_pylist(), strict=True):
        assert Pooled.from_bytes(one).cutoffs == Pooled.from_bytes(other).cutoffs


def test_a_new_series_of_a_known_group_is_forecast_as_asked(grouped):
    models = open_models(grouped.directory)
    history = newcomer(0)

    def asked(policy, table=history):
        answer = models.forecast(history=table, missing_model=policy)
        return answer[answer["brand"] == "new"]

    empty = asked(None)
    assert (empty["mean"].isna().all(), set(empty["reason"])) == (True, {"UNKNOWN_KEY"})
    pooled, naive = asked("pooled"), asked("naive")
    for answer in (pooled, naive):
        assert len(answer) == 4
        assert set(answer["status"]) == {"FALLBACK"}
        assert set(answer["reason"]) == {"NEW_SERIES"}
        assert (answer["q0.1"] < answer["q0.9"]).all()
    assert set(naive["learner"]) == {"seasonal_naive"}
    assert set(pooled["learner"]) & {"ensemble", "elastic_net"}
    assert set(asked("pooled", newcomer(99))["learner"]) == {"seasonal_naive"}
    with pytest.raises(LookupFailed, match="missing_model"):
        asked("error")


def test_a_spark_task_forecasts_new_series_without_the_models_of_others(grouped):
    """A task has the models of its own keys; siblings of each group travel with the work."""
    models, history = open_models(grouped.directory), newcomer(0)
    asked = models.forecast(history=history, missing_model="pooled")
    want = asked[asked["brand"] == "new"].reset_index(drop=True)
    sent, siblings = spark_scoring._sent(models, {}), spark_scoring._siblings(models, "pooled")
    shared = models.shared_states(s.as_py() for s in siblings["state"])
    work = spark_scoring.ForecastKeys(
        models.layout, models.spec, models.lineage, None, shared, "pooled", siblings
    )
    canonical = Scorer(models)._canonical(rows_of(history), True)
    got = work({"history": canonical}, sent.slice(0, 0)).to_pandas()
    # series that have no step beside a new one make its column floats
    pd.testing.assert_frame_equal(got, want, check_exact=True, check_dtype=False)
    assert set(got["reason"]) == {"NEW_SERIES"}


def test_a_new_series_is_forecast_alike_alone_and_with_others(grouped):
    models = open_models(grouped.directory)
    alone = models.forecast(history=newcomer(1), missing_model="pooled")
    both = models.forecast(history=pd.concat([newcomer(2), newcomer(1)]), missing_model="pooled")
    one, other = (f[(f["brand"] == "new") & (f["store"] == 1)].reset_index(drop=True) for f in (alone, both))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_all_series_may_be_one_group(frame, tmp_path):
    some = frame[frame["brand"].isin(["a", "d"])]
    every = train(some, make_spec(**{"data.group": [], "validation.folds": 1}), run_dir=tmp_path / "all")
    assert (every.summary["groups"], every.summary["series"]) == (1, 6)
    assert rows(every, "models")["kind"].eq("pooled_model").any()


def test_the_series_of_some_groups_are_those_that_are_trained(opened):
    found, _ = opened
    each, series = members_of(found.panel, [0, 2])
    assert sorted(set(each.groups["k0"].iloc[series])) == [0, 2]
    assert len(series) == 8
    pools = pools_of(Pools(found.panel, [0, 1, 2], found.layout), each, [series[-1]])
    assert pools.groups == [2]


@pytest.fixture(scope="module")
def automatic(frame, tmp_path_factory):
    """The finished run of groups that were made of the series' features."""
    return train(frame, make_spec(**AUTOMATIC), run_dir=tmp_path_factory.mktemp("automatic") / "run")


def test_automatic_groups_are_bounded_and_say_who_is_where_and_why(automatic):
    findings = rows(automatic, "findings")
    told = findings[findings["code"] == "GROUPED"].set_index(KEY)
    assert len(told) == 11
    assert told["count"].value_counts().max() <= 6
    assert told["count"].nunique() == automatic.summary["groups"] > 1
    assert told["message"].str.contains(r"group \d of \d: .+ (?:<|>=) ").all()
    board = rows(automatic, "leaderboard")
    assert board["candidate"].str.startswith("pooled_").any()


def test_a_new_series_falls_into_the_automatic_group_of_its_like(automatic, frame, tmp_path):
    run = RunDirectory.open(automatic.directory)
    bundling.bundle_of_run(run, tmp_path / "bundle")
    new = frame[(frame["store"] == 2) & (frame["brand"] == "d")].assign(brand="new")
    answers = [
        models.forecast(history=new, missing_model="pooled").query("brand == 'new'")
        for models in (open_models(automatic.directory), open_models(tmp_path / "bundle"))
    ]
    assert set(answers[0]["learner"]) & {"ensemble", "elastic_net"}
    pd.testing.assert_frame_equal(*(a.drop(columns="run_id", errors="ignore") for a in answers))


def test_automatic_groups_are_those_of_the_base_and_of_the_run_that_is_continued(automatic, frame, tmp_path):
    new = frame[(frame["store"] == 2) & (frame["brand"] == "d")].assign(brand="new")
    more = pd.concat([frame, new])
    spec = make_spec(**AUTOMATIC)
    later = train(more, spec, run_dir=tmp_path / "later", only=["new"], base=automatic.directory)
    kept, grown = (RunDirectory.open(run.directory).layout() for run in (automatic, later))
    assert grown == kept
    assert later.summary["series"] == 13
    half = tmp_path / "half"
    shutil.copytree(automatic.directory, half)
    (half / "summary.json").unlink()
    for part in sorted((half / "results").glob("part-*.parquet")):
        if len(pd.read_parquet(part)):
            part.unlink()
    again = resume(half, data=frame)
    pd.testing.assert_frame_equal(
        ordered(again.forecasts()), ordered(automatic.forecasts()), check_exact=True
    )


def test_a_backtest_fits_pooled_models_anew_at_every_origin(frame, tmp_path):
    some = frame[frame["store"] == 0]
    spec = make_spec(**{"validation.folds": 2, "learners.allow": ["naive", "elastic_net"]})
    some = some[some["sold"].notna()]
    late = some["month"] > some["month"].max() - pd.DateOffset(months=4)
    changed = some.assign(sold=some["sold"].mask(late, 99.0))
    first, other = (
        backtest(table, spec, origins=1, run_dir=tmp_path / name)
        for name, table in (("first", some), ("other", changed))
    )
    results = first.results()
    assert set(results["status"]) <= {"TRAINED", "SKIPPED"}
    alone = backtest(some, spec.replace({"data.group": KEY}), origins=1, run_dir=tmp_path / "alone")
    both = [run.forecasts().sort_values([*KEY, "month"])["mean"].tolist() for run in (first, alone)]
    assert both[0] != both[1]  # pooled models have a part
    # what came after the origin has no part in any model of it
    names = [*KEY, "month", "mean", "q0.1", "q0.9"]
    one, two = (
        run.forecasts()[names].sort_values([*KEY, "month"], ignore_index=True) for run in (first, other)
    )
    pd.testing.assert_frame_equal(one, two, check_exact=True)
