"""`mlflow models serve` as a real process, and pyfunc in this one: one answer per row, in order."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from many_models import open_models
from many_models.bundle.store import Bundle, write_bundle
from many_models.errors import DataError
from many_models.registry import Flavor, Registry
from many_models.runs.bundling import bundle_of_run, digests_of, stored_models
from many_models.runs.directory import RunDirectory
from many_models.runs.models import models_of_bundle
from many_models.runs.registration import input_columns, output_columns, requirements
from many_models.serving import Served

COPIES = 2_500


@pytest.fixture(scope="module")
def crowd(registered, tmp_path_factory):
    """The URI of a version with the same models, and again under so many more stores: 10,000 keys."""
    folder = tmp_path_factory.mktemp("crowd")
    directory = RunDirectory.open(registered.run)
    source = bundle_of_run(directory, folder / "source")
    rows, layout = source.index(), directory.layout()
    at, kind = rows.column_names.index("store"), rows.schema.field("store").type
    index = pa.concat_tables(
        rows.set_column(at, "store", pc.add(rows["store"], pa.scalar(10 * number, kind)))
        for number in range(COPIES)
    ).combine_chunks()
    digests = pa.array(digests_of(index, ("store", "item")), pa.binary(16))
    index = index.set_column(index.column_names.index("digest"), "digest", digests)
    models, _ = stored_models(source, rows["content_id"].to_pylist())
    write_bundle(folder / "bundle", index, models, source.manifest)
    flavor = Flavor(input_columns(layout), output_columns(layout, directory.spec()), requirements())
    registry = Registry(registered.tracking_uri)
    return registry.register("crowd", folder / "bundle", flavor, alias="champion").uri


@pytest.fixture(scope="module")
def server(crowd, registered, environment, tmp_path_factory):
    """The address of a server of that version, on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("server")
    command = ["mlflow", "models", "serve", "-m", crowd, "-h", "127.0.0.1", "-p", str(port)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--env-manager", "local"],
            cwd=folder,
            env={
                **environment,
                "MLFLOW_TRACKING_URI": registered.tracking_uri,
                "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT": "600",  # ten thousand keys on a busy machine
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 120
        while not alive(address):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):  # the server is a child of the command
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def alive(address):
    try:
        with urllib.request.urlopen(f"{address}/ping", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def post(address, body):
    """(status, parsed answer) of a POST; NaN and other things that are no JSON are refused."""
    text = body if isinstance(body, str) else json.dumps(body)
    request = urllib.request.Request(
        f"{address}/invocations", text.encode(), {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=280) as answer:
            return answer.status, json.loads(answer.read(), parse_constant=no_json)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.loads(refused.read())


def no_json(word):
    raise AssertionError(f"{word} is no JSON")


def rows_of(plan):
    """The rows as a person writes them: dates as text."""
    return plan.assign(date=plan["date"].dt.strftime("%Y-%m-%d"))


def test_every_row_posted_is_answered_in_order(server, registered):
    plan = registered.plan.sample(frac=1.0, random_state=3).reset_index(drop=True)
    want = open_models(registered.uri, tracking_uri=registered.tracking_uri).forecast(future=plan)
    rows = rows_of(plan)
    split = {"columns": list(rows.columns), "data": json.loads(rows.to_json(orient="values"))}
    for body in (
        {"dataframe_split": split},
        {"dataframe_records": json.loads(rows.to_json(orient="records"))},
    ):
        status, answer = post(server, body)
        assert status == 200, answer
        got = answer["predictions"]
        assert [(r["store"], r["item"], r["date"][:10]) for r in got] == list(
            rows[["store", "item", "date"]].itertuples(index=False, name=None)
        )
        assert [r["mean"] for r in got] == want["mean"].tolist()
        assert [r["q0.9"] for r in got] == want["q0.9"].tolist()


def test_rows_that_cannot_be_forecast_say_why_and_the_others_are_answered(server, registered):
    rows = rows_of(registered.plan.head(2))
    stranger = rows.head(1).assign(store=999)
    past = rows.head(1).assign(date="2021-01-04")
    asked = pd.concat([stranger, rows, past, rows.head(1)])
    status, answer = post(server, {"dataframe_records": json.loads(asked.to_json(orient="records"))})
    assert status == 200, answer
    got = answer["predictions"]
    assert [r["reason"] for r in got] == ["UNKNOWN_KEY", None, None, "NOT_AFTER_HISTORY", "REPEATED"]
    assert [r["mean"] is None for r in got] == [True, False, False, True, True]
    assert got[0]["cutoff"] is None
    assert got[0]["step"] is None


def test_a_row_without_its_covariates_is_answered_by_the_stand_by(server, registered):
    rows = rows_of(registered.plan.head(1)).drop(columns=["price", "promotion"])
    _, answer = post(server, {"dataframe_records": json.loads(rows.to_json(orient="records"))})
    (got,) = answer["predictions"]
    assert (got["status"], got["reason"]) == ("FALLBACK", "FUTURE_COVARIATES_MISSING")
    assert got["mean"] is not None


@pytest.mark.parametrize("keys", [1, 100, pytest.param(4 * COPIES, marks=pytest.mark.slow)])
def test_a_request_may_name_one_key_or_ten_thousand(server, registered, keys):
    first = registered.plan.drop_duplicates(["store", "item"])
    want = open_models(registered.uri, tracking_uri=registered.tracking_uri).forecast(future=first)
    every = [first.assign(store=first["store"] + 10 * number) for number in range(-(-keys // 4))]
    asked = rows_of(pd.concat(every)).iloc[:keys]
    stranger = asked.head(1).assign(item="nothing")
    body = json.loads(pd.concat([asked, stranger]).to_json(orient="split", index=False))
    status, answer = post(server, {"dataframe_split": {k: body[k] for k in ("columns", "data")}})
    assert status == 200, answer
    *got, unknown = answer["predictions"]
    assert [(r["store"], r["item"]) for r in got] == list(
        asked[["store", "item"]].itertuples(index=False, name=None)
    )
    means = want["mean"].tolist()
    assert [r["mean"] for r in got] == (means * len(every))[:keys]
    assert (unknown["reason"], unknown["mean"]) == ("UNKNOWN_KEY", None)


@pytest.mark.parametrize(
    "body",
    [
        '{"dataframe_split": {"columns": ["store"',
        {"dataframe_records": [{"item": "milk", "date": "2022-01-03"}]},
        {"dataframe_records": [{"store": 1, "item": "milk", "date": "soon"}]},
        {"dataframe_records": [{"store": "one", "item": "milk", "date": "2022-01-03"}]},
        {"dataframe_records": [{"store": 1, "item": None, "date": "2022-01-03"}]},
        {"rows": []},
    ],
)
def test_bad_requests_are_refused_and_the_server_lives_on(server, body):
    status, answer = post(server, body)
    assert status == 400, answer
    assert answer["message"]
    assert alive(server)


def test_the_loader_needs_nothing_but_the_bundle(registered, tmp_path):
    bundle_of_run(RunDirectory.open(registered.run), tmp_path / "bundle")
    served = Served(models_of_bundle(Bundle.open(tmp_path / "bundle"), {}))
    answer = served.predict(registered.plan)
    want = open_models(registered.run).forecast(future=registered.plan)
    pd.testing.assert_frame_equal(answer, want)


def test_missing_values_are_nulls_of_their_type(registered):
    rows = pd.concat([registered.plan.head(1), registered.plan.head(1).assign(store=999)])
    answer = Served(open_models(registered.run)).predict(rows)
    assert answer["step"].dtype == "Int64"
    assert answer["mean"].dtype == "Float64"
    assert answer.iloc[1]["cutoff"] is None
    assert answer["mean"].isna().tolist() == [False, True]


def test_what_is_no_table_is_refused(registered):
    with pytest.raises(DataError, match="a pandas data frame"):
        Served(open_models(registered.run)).predict([1, 2])
