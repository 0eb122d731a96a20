"""Models found by key and used: from a run directory and from the registry, alike."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from many_models import open_models
from many_models.errors import DamagedError, DataError, LookupFailed

KEYS = ["store", "item"]
NUMBERS = ["mean", "q0.1", "q0.5", "q0.9"]


@pytest.fixture(scope="module")
def models(retail_run):
    """The run's models, from its directory."""
    return open_models(retail_run.directory)


@pytest.fixture(scope="module")
def plan(retail_frame):
    """The rows of the next four weeks."""
    return retail_frame.loc[
        retail_frame["date"] > retail_frame.loc[retail_frame["sales"].notna(), "date"].max(),
        [*KEYS, "date", "price", "promotion"],
    ]


@pytest.fixture(scope="module")
def registered(retail_run, tmp_path_factory, empty_store):
    """A local store with the run registered as `retail`, and its URI."""
    uri = empty_store(tmp_path_factory.mktemp("store"))
    retail_run.register("retail", alias="champion", tracking_uri=uri)
    return uri


def test_future_rows_come_back_exactly_in_their_order(models, plan):
    shuffled = plan.sample(frac=1, random_state=1)
    answer = models.forecast(future=shuffled)
    pd.testing.assert_frame_equal(
        answer[[*KEYS, "date"]], shuffled[[*KEYS, "date"]].reset_index(drop=True), check_dtype=False
    )


def test_stored_models_give_the_forecasts_of_the_run(models, plan, retail_run):
    answer = models.forecast(future=plan).sort_values([*KEYS, "date"], ignore_index=True)
    trained = retail_run.forecasts().sort_values([*KEYS, "date"], ignore_index=True)
    both = trained.merge(answer, on=[*KEYS, "date"], suffixes=("", "_again"))
    assert len(both) == len(trained)
    for column in NUMBERS:
        np.testing.assert_array_equal(both[column], both[f"{column}_again"])


def test_registered_models_give_the_same(models, plan, registered):
    again = open_models("models:/retail@champion", tracking_uri=registered)
    pd.testing.assert_frame_equal(
        again.forecast(future=plan).drop(columns="run_id"),
        models.forecast(future=plan).drop(columns="run_id"),
    )


def test_pyfunc_answers_row_by_row(models, plan, registered, monkeypatch):
    import mlflow

    # The environment and not mlflow.set_…: what those set stays for every later test of the process.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registered)
    served = mlflow.pyfunc.load_model("models:/retail@champion")
    rows = plan.sample(frac=1, random_state=2)
    answer = served.predict(rows)
    np.testing.assert_array_equal(answer["mean"], models.forecast(future=rows)["mean"])


def test_rows_that_cannot_be_forecast_say_why(models, plan):
    first = plan.iloc[[0]]
    rows = pd.concat(
        [
            first,
            first,
            first.assign(item="no such item"),
            first.assign(date=pd.Timestamp("2022-01-03")),
            first.assign(date=first["date"] + pd.Timedelta(days=1)),
        ]
    )
    answer = models.forecast(future=rows)
    assert answer["reason"].tolist()[1:] == ["REPEATED", "UNKNOWN_KEY", "NOT_AFTER_HISTORY", "OFF_GRID"]
    assert answer["mean"].isna().tolist() == [False, True, True, True, True]


def test_missing_covariates_are_answered_by_the_stand_by(models, plan, retail_run):
    key = _key_with_covariates(models, retail_run)
    rows = plan.merge(pd.DataFrame([key]), on=KEYS)
    rows.loc[1, "price"] = np.nan
    answer = models.forecast(future=rows)
    assert answer["status"].tolist() == ["TRAINED", "FALLBACK", "TRAINED", "TRAINED"]
    assert answer.loc[1, "reason"] == "FUTURE_COVARIATES_MISSING"
    assert answer["mean"].notna().all()


def test_a_covariate_column_may_be_left_out(models, plan):
    answer = models.forecast(future=plan[[*KEYS, "date"]])
    assert len(answer) == len(plan)
    assert answer["mean"].notna().all()


def test_rows_beyond_the_horizon_are_wider_and_say_so(models, plan):
    last = plan[plan["date"] == plan["date"].max()]
    far = pd.concat([last.assign(date=last["date"] + pd.Timedelta(weeks=w)) for w in range(1, 9)])
    answer = models.forecast(future=pd.concat([plan, far]))
    beyond = answer[answer["step"] > 4]
    assert beyond["reason"].notna().all()
    assert (beyond["reason"] == "BEYOND_HORIZON").any()
    width = (answer["q0.9"] - answer["q0.1"]).groupby(answer["step"]).mean()
    assert width[12] > width[1]


def test_newer_history_moves_the_state(models, plan, retail_frame, caplog):
    key = models.keys().loc[0, KEYS].to_dict()
    tail = retail_frame.merge(pd.DataFrame([key]), on=KEYS)
    seen = tail[tail["sales"].notna()]
    newer = tail[tail["sales"].isna()].head(2).assign(sales=[40.0, 60.0], stock_out=False)
    answer = models.find(key).forecast(horizon=2, history=newer)
    assert answer["cutoff"].iloc[0] == newer["date"].max()
    assert answer["step"].tolist() == [1, 2]
    assert answer["date"].min() > newer["date"].max()
    same = models.find(key).forecast(horizon=4, history=seen)
    assert same["cutoff"].iloc[0] == seen["date"].max()


def test_the_training_history_again_changes_nothing(models, retail_frame):
    key = models.keys().loc[0, KEYS].to_dict()
    seen = retail_frame.merge(pd.DataFrame([key]), on=KEYS).dropna(subset=["sales"])
    plain = models.find(key).forecast(horizon=4)
    again = models.find(key).forecast(horizon=4, history=seen)
    np.testing.assert_allclose(again[NUMBERS], plain[NUMBERS], rtol=1e-9)


def test_revised_history_is_said(models, retail_frame, caplog):
    key = models.keys().loc[0, KEYS].to_dict()
    seen = retail_frame.merge(pd.DataFrame([key]), on=KEYS).dropna(subset=["sales"]).tail(3)
    models.find(key).forecast(horizon=1, history=seen.assign(sales=seen["sales"] * 3 + 10))
    assert "HISTORY_REVISED" in caplog.text


def test_filled_periods_of_newer_history_are_said(models, retail_frame, caplog):
    key = models.keys().loc[0, KEYS].to_dict()
    newer = retail_frame.merge(pd.DataFrame([key]), on=KEYS).query("sales.isna()").head(3)
    newer = newer.assign(sales=[40.0, None, 60.0], stock_out=False)
    models.find(key).forecast(horizon=1, history=newer)
    assert "GAPS_FILLED: 1 periods" in caplog.text


def test_find_by_keyword_or_mapping_gives_the_record(models, retail_run):
    row = retail_run.results().iloc[0]
    found = models.find(store=int(row["store"]), item=row["item"])
    assert found.record["learner"] == row["learner"]
    assert found.record["content_id"] == row["content_id"]
    assert models.find({"store": int(row["store"]), "item": row["item"]}).key == found.key


def test_find_tells_what_was_found_about_a_series(models, retail_run, registered):
    seen = retail_run.findings()
    seen = seen[seen["state"] != "passed"].groupby(["store", "item", "code"])["count"].sum()
    assert len(seen)
    whole = open_models("models:/retail@champion", tracking_uri=registered)
    for _, row in retail_run.results().iterrows():
        key = {"store": int(row["store"]), "item": row["item"]}
        wanted = {c: n for (s, i, c), n in seen.items() if (s, i) == (key["store"], key["item"])}
        told = ", ".join(f"{code} {count}" for code, count in sorted(wanted.items())) or None
        assert models.find(key).record["findings"] == told
        assert whole.find(key).record["findings"] == told


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ({"store": 1, "item": "mlik"}, r"nearest 'milk'; near it: \[1,\"milk\"\], \[1,"),
        ({"store": 90, "item": "milk"}, r"no store is 90, nearest \d+; near it: \[\d+,\"milk\"\]"),
        ({"store": "1", "item": "milk"}, "integer"),
        ({"shop": 1, "item": "milk"}, "store"),
        ({"store": 1}, "item"),
    ],
)
def test_an_unknown_key_names_what_is_near(models, key, says):
    with pytest.raises(LookupFailed, match=says):
        models.find(key)


def test_part_of_a_key_selects_its_series(models):
    store = int(models.keys()["store"].iloc[0])
    answer = models.forecast(where={"store": store})
    assert set(answer["store"]) == {store}


def test_the_models_of_an_mlflow_run_open_by_its_id(models, registered):
    version = open_models("models:/retail@champion", tracking_uri=registered)
    run_id = version.lineage["mlflow_run_id"]
    opened = open_models(f"runs:/{run_id}/model", tracking_uri=registered)
    assert opened.lineage == {k: v for k, v in version.lineage.items() if k not in ("name", "version")}
    assert opened.index().equals(version.index())


def test_nowhere_is_said_clearly(tmp_path, registered):
    with pytest.raises(LookupFailed, match="nothing there"):
        open_models(tmp_path / "gone")
    with pytest.raises(LookupFailed, match="retail"):
        open_models("models:/retial@champion", tracking_uri=registered)
    with pytest.raises(LookupFailed):
        open_models("models:/retail/99", tracking_uri=registered)
    with pytest.raises(LookupFailed, match="champion"):
        open_models("models:/retail@chamption", tracking_uri=registered)


def test_an_empty_table_is_refused(models, plan):
    with pytest.raises(DataError, match="no rows"):
        models.forecast(future=plan.head(0))


def test_a_flipped_byte_is_found(retail_run, tmp_path):
    from many_models.runs.bundling import bundle_of_run
    from many_models.runs.directory import RunDirectory

    bundle_of_run(RunDirectory(retail_run.directory), tmp_path / "bundle")
    shard = next((tmp_path / "bundle" / "models").glob("*.parquet"))
    damaged = bytearray(shard.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    shard.write_bytes(damaged)
    with pytest.raises(DamagedError):
        open_models(tmp_path / "bundle").forecast()


def _key_with_covariates(models, run):
    """A key whose ensemble uses the known covariates."""
    for row in run.results().query("status == 'TRAINED'").itertuples():
        if models.load(row.content_id).uses_known:
            return {"store": row.store, "item": row.item}
    pytest.fail("no series of the fixture uses its covariates")
