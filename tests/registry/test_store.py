"""The registry, against a local database and against a real server over HTTP."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
import subprocess
import sys
import textwrap
import warnings
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import yaml

from many_models.bundle import Bundle, content_id, pack, write_bundle
from many_models.errors import InputError, LookupFailed, RegistryError
from many_models.registry import Column, Flavor, Record, Registry
from many_models.registry.records import MODEL_FOLDER

FLAVOR = Flavor(
    [Column("Store", "long"), Column("WeekStarting", "datetime"), Column("Price", "double", required=False)],
    [Column("mean", "double")],
    ["many-models==0.1.0"],
)
DIGEST = hashlib.blake2b(b"[2]", digest_size=16).digest()


def bundle_in(folder, value=1):
    state = pack({"value": value})
    index = pa.table(
        {"Store": [2], "digest": pa.array([DIGEST], pa.binary(16)), "content_id": [content_id(state)]}
    )
    write_bundle(folder, index, [(content_id(state), "naive", 1, state)], {"value": value})
    return folder


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    return bundle_in(tmp_path_factory.mktemp("bundles") / "bundle")


def client_of(registry):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient
    return MlflowClient(registry.tracking_uri)


def downloaded(registry, version, path, into):
    return client_of(registry).download_artifacts(version.run_id, path, str(into))


def test_a_registered_bundle_is_found_and_read_back(registry, bundle):
    version = registry.register("found", bundle, FLAVOR, alias="champion")
    assert (version.name, version.version, version.alias) == ("found", 1, "champion")
    for uri in (
        "models:/found@champion",
        "models:/found/1",
        "models:/found/latest",
        f"runs:/{version.run_id}/model",
    ):
        opened = Bundle.open(registry.files(uri))
        assert opened.manifest == {"value": 1}
        assert opened.find(DIGEST)["Store"] == 2
        assert opened.model(opened.find(DIGEST)["content_id"]) == pack({"value": 1})
    assert registry.version("models:/found@champion") == version == registry.version(version.uri)
    assert version.created is not None


def test_versions_count_up_and_aliases_move(registry, bundle, tmp_path):
    first = registry.register("moving", bundle, FLAVOR, alias="champion")
    second = registry.register("moving", bundle_in(tmp_path / "two", 2), FLAVOR)
    assert (first.version, second.version, second.alias) == (1, 2, None)
    assert [v.version for v in registry.versions("moving")] == [2, 1]
    before = registry.promote("moving", 2)
    assert (before.version, before.uri) == (1, "models:/moving/1")
    assert registry.promote("moving", 2, "beta") is None
    assert registry.version("models:/moving@champion").aliases == ("beta", "champion")
    assert [v.aliases for v in registry.versions("moving")] == [("beta", "champion"), ()]
    assert Bundle.open(registry.files("models:/moving@champion")).manifest == {"value": 2}
    assert Bundle.open(registry.files("models:/moving/1")).manifest == {"value": 1}


def test_rollback_goes_back_one_step_at_a_time_and_the_past_can_be_asked(registry, bundle, tmp_path):
    before = datetime.now(UTC)
    moments = []
    for _ in range(3):
        registry.register("history", bundle, FLAVOR, alias="champion")
        moments.append(datetime.now(UTC))
    registry.promote("history", 3)  # a promotion that moves nothing leaves no trace
    assert registry.rollback("history") == (3, 2)
    assert registry.version("models:/history@champion").version == 2
    assert registry.rollback("history") == (2, 1)
    with pytest.raises(LookupFailed, match="before which no version is recorded"):
        registry.rollback("history")
    registry.promote("history", 3)
    assert registry.rollback("history") == (3, 1)  # what was rolled back is not come back to
    assert [registry.as_of("history", moment).version for moment in moments] == [1, 2, 3]
    assert registry.as_of("history", datetime.now(UTC)).version == 1
    with pytest.raises(LookupFailed, match="no version as of"):
        registry.as_of("history", before)
    client_of(registry).set_registered_model_alias("history", "champion", "2")
    with pytest.raises(LookupFailed, match="set by other means"):
        registry.rollback("history")
    assert registry.version("models:/history@champion").tags == {}


class Overtaken(Registry):
    """A registry in which somebody else promotes between our move of an alias and our look at it."""

    other = None

    def _client_class(self):
        ours = self

        class Late(super()._client_class()):
            def set_registered_model_alias(self, name, alias, version):
                super().set_registered_model_alias(name, alias, version)
                ours.other.promote(name, 3)

        return Late


def test_of_two_promotions_at_once_the_loser_is_told(local_uri, bundle):
    registry, ours = Registry(local_uri), Overtaken(local_uri)
    for alias in ("champion", None, None):
        registry.register("raced", bundle, FLAVOR, alias=alias)
    ours.other = registry
    with pytest.raises(RegistryError, match="is version 3, not 2: another promotion") as told:
        ours.promote("raced", 2)
    assert told.value.exit_code == 4
    assert registry.version("models:/raced@champion").version == 3
    assert registry.rollback("raced") == (3, 1)  # the loser left no trace


def test_the_run_holds_parameters_metrics_tags_and_artifacts(registry, bundle, tmp_path):
    (tmp_path / "spec.yaml").write_text("name: x")
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "a.txt").write_text("picture")
    record = Record(
        "the run",
        {"p": 3, "long": "x" * 7000, **{f"q{i}": i for i in range(150)}},
        {"skill": 0.9, "undefined": float("nan"), **{f"m{i}": i for i in range(300)}},
        {"run/spec.yaml": tmp_path / "spec.yaml", "plots": tmp_path / "plots"},
        {"fingerprint": "abc"},
    )
    version = registry.register("recorded", bundle, FLAVOR, record, experiment="an experiment")
    client = client_of(registry)
    run = client.get_run(version.run_id)
    assert run.info.run_name == "the run"
    assert run.info.status == "FINISHED"
    assert run.data.params["p"] == "3"
    assert len(run.data.params) == 152
    assert len(run.data.params["long"]) == 6000
    assert run.data.metrics["skill"] == 0.9
    assert "undefined" not in run.data.metrics
    assert run.data.tags["fingerprint"] == version.tags["fingerprint"] == "abc"
    assert client.get_experiment(run.info.experiment_id).name == "an experiment"
    assert {f.path for f in client.list_artifacts(version.run_id)} == {"model", "run", "plots"}
    assert [f.path for f in client.list_artifacts(version.run_id, "run")] == ["run/spec.yaml"]


def test_nothing_executable_is_stored(registry, bundle, tmp_path):
    version = registry.register("inert", bundle, FLAVOR)
    files = registry.files(version.uri)
    client = client_of(registry)
    paths, folders = [], [MODEL_FOLDER]
    while folders:
        for entry in client.list_artifacts(version.run_id, folders.pop()):
            (folders if entry.is_dir else paths).append(entry.path)
    data = {"bundle.json", "checksums.bin", "index/00000.parquet", "models/00000.parquet"}
    environment = {"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt"}
    assert set(paths) == {f"model/data/bundle/{p}" for p in data} | {f"model/{p}" for p in environment}
    for path in data:
        assert Path(files(path)).read_bytes() == (bundle / path).read_bytes()
    document = yaml.safe_load(Path(downloaded(registry, version, "model/MLmodel", tmp_path)).read_text())
    flavor = document["flavors"]["python_function"]
    assert list(document["flavors"]) == ["python_function"]
    assert (flavor["loader_module"], flavor["data"], flavor["code"]) == (
        "many_models.serving",
        "data/bundle",
        None,
    )
    assert json.loads(document["signature"]["inputs"]) == [
        {"name": "Store", "type": "long", "required": True},
        {"name": "WeekStarting", "type": "datetime", "required": True},
        {"name": "Price", "type": "double", "required": False},
    ]


def test_mlflow_loads_a_version_through_its_loader_module(registry, bundle, tmp_path, monkeypatch):
    loader = """
        from many_models.bundle import Bundle

        class Counter:
            def __init__(self, bundle): self.bundle = bundle
            def predict(self, rows): return [self.bundle.series_count] * len(rows)

        def _load_pyfunc(data_path): return Counter(Bundle.open(data_path))
    """
    (tmp_path / "tiny_loader.py").write_text(textwrap.dedent(loader))
    monkeypatch.syspath_prepend(tmp_path)
    flavor = Flavor([Column("Store", "long")], [Column("n", "long")], ["pyarrow"], "tiny_loader")
    version = registry.register("loaded", bundle, flavor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import pyfunc

        model = pyfunc.load_model(str(Path(downloaded(registry, version, "model", tmp_path))))
    assert model.predict(pd.DataFrame({"Store": [2, 3]})) == [1, 1]


def test_a_wheel_stands_for_the_requirement_of_the_package(registry, bundle, tmp_path):
    wheel = tmp_path / "many_models-0.1.0-py3-none-any.whl"
    wheel.write_bytes(b"PK")
    flavor = Flavor(FLAVOR.columns, FLAVOR.outputs, ["many-models==0.1.0", "numpy>=1"], wheel=wheel)
    version = registry.register("wheeled", bundle, flavor)
    folder = downloaded(registry, version, "model", tmp_path)
    lines = (Path(folder) / "requirements.txt").read_text().splitlines()
    assert f"wheels/{wheel.name}" in lines
    assert "many-models==0.1.0" not in lines
    assert "numpy>=1" in lines
    assert (Path(folder) / "wheels" / wheel.name).read_bytes() == b"PK"
    with pytest.raises(InputError, match=r"registry\.wheel"):
        registry.register("wheeled", bundle, Flavor([], [], [], wheel=tmp_path / "none.whl"))


def test_unity_catalog_names_are_names(registry, bundle):
    version = registry.register("main.sales.orange", bundle, FLAVOR, alias="champion")
    assert registry.version("models:/main.sales.orange@champion").version == version.version
    assert registry.versions("main.sales.orange")[0].uri == "models:/main.sales.orange/1"


def test_a_name_with_quotes_and_spaces_is_just_a_name(registry, bundle):
    registry.register("it's ünique", bundle, FLAVOR, alias="champion")
    assert registry.version("models:/it's ünique@champion").version == 1
    assert len(registry.versions("it's ünique")) == 1


def test_what_does_not_exist_names_what_is_near(registry, bundle):
    registry.register("orange_juice", bundle, FLAVOR, alias="champion")
    with pytest.raises(LookupFailed, match="do you mean 'orange_juice'"):
        registry.version("models:/orange_juce@champion")
    with pytest.raises(LookupFailed, match="do you mean 'champion'"):
        registry.files("models:/orange_juice@champoin")
    with pytest.raises(LookupFailed, match="no version 99; allowed: 1"):
        registry.version("models:/orange_juice/99")
    with pytest.raises(LookupFailed, match="no version 99"):
        registry.promote("orange_juice", 99)
    with pytest.raises(LookupFailed, match="no model 'nothing_like_it'"):
        registry.versions("nothing_like_it")
    with pytest.raises(LookupFailed, match="no such run"):
        registry.files("runs:/0123456789abcdef0123456789abcdef/model")


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "models:",
        "models:/",
        "models:/x",
        "models:/x/Production",
        "models:/@a",
        "models:/x/1/2",
        "x",
        "/tmp/x",
    ],
)
def test_a_uri_of_another_form_is_refused_with_the_forms(local_uri, uri):
    with pytest.raises(LookupFailed, match=r"allowed: models:/NAME@ALIAS, models:/NAME/VERSION"):
        Registry(local_uri).version(uri)


def test_a_model_of_somebody_else_is_not_read(registry, bundle, tmp_path):
    version = registry.register("foreign", bundle, FLAVOR)
    client = client_of(registry)
    (tmp_path / "MLmodel").write_text("flavors: {sklearn: {pickled_model: model.pkl}}")
    client.log_artifact(version.run_id, str(tmp_path / "MLmodel"), "other")
    with pytest.raises(LookupFailed, match="many-models did not make"):
        registry.files(f"runs:/{version.run_id}/other")
    (tmp_path / "MLmodel").write_text("flavors: {python_function: {loader_module: m, data: ../../../etc}}")
    client.log_artifact(version.run_id, str(tmp_path / "MLmodel"), "evil")
    with pytest.raises(LookupFailed, match="many-models did not make"):
        registry.files(f"runs:/{version.run_id}/evil")


@pytest.mark.parametrize("alias", ["v1", "latest", "", "a b", "a/b"])
def test_an_alias_that_is_not_allowed_is_refused_before_anything_is_made(registry, bundle, alias):
    with pytest.raises(InputError, match=r"registry\.alias"):
        registry.register("never_made", bundle, FLAVOR, alias=alias)
    with pytest.raises(LookupFailed):
        registry.versions("never_made")


def test_a_run_that_could_not_be_registered_is_marked_failed(local_uri, tmp_path):
    registry = Registry(local_uri)
    with pytest.raises(RegistryError, match="registering half"):
        registry.register("half", tmp_path / "no bundle", FLAVOR)
    client = client_of(registry)
    experiment = client.get_experiment_by_name("half")
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FAILED"]
    with pytest.raises(LookupFailed):
        registry.versions("half")


def test_a_registry_that_is_gone_is_waited_for_once(local_uri, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    tries = []
    told = MlflowClient.set_terminated

    def gone(client, run_id, status=None):
        tries.append((status, os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]))
        told(client, run_id, status)

    def filled(*arguments):
        tries.append(("filled", os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]))
        raise OSError("the registry is gone")

    monkeypatch.setattr(MlflowClient, "set_terminated", gone)
    monkeypatch.setattr(Registry, "_fill", filled)
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    with pytest.raises(RegistryError, match="registering gone"):
        Registry(local_uri).register("gone", tmp_path, FLAVOR)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "9")
    with pytest.raises(RegistryError, match="registering gone"):
        Registry(local_uri).register("gone", tmp_path, FLAVOR)
    assert tries == [("filled", "5"), ("FAILED", "1"), ("filled", "9"), ("FAILED", "1")]
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "9"


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", ".."])
def test_a_name_that_is_not_allowed_is_refused(registry, bundle, name):
    with pytest.raises(InputError, match=r"registry\.name"):
        registry.register(name, bundle, FLAVOR)


def test_artifacts_stay_in_their_run(registry, bundle, tmp_path):
    for path in ("../x", "/x", "model/MLmodel", "model"):
        with pytest.raises(InputError, match="artifacts"):
            registry.register("bad", bundle, FLAVOR, Record(artifacts={path: bundle / "bundle.json"}))
    with pytest.raises(InputError, match="does not exist"):
        registry.register("bad", bundle, FLAVOR, Record(artifacts={"x": tmp_path / "nowhere"}))
    with pytest.raises(InputError, match="at most 1000"):
        registry.register("bad", bundle, FLAVOR, Record(metrics={f"m{i}": 1.0 for i in range(1001)}))


def test_only_the_files_that_are_needed_are_fetched(server_uri, bundle):
    registry = Registry(server_uri)
    version = registry.register("frugal", bundle, FLAVOR)
    files = registry.files(version.uri)
    opened = Bundle.open(files)
    assert files.folder is None
    fetched = [p.name for p in files("bundle.json").parents[1].rglob("*") if p.is_file()]
    assert sorted(fetched) == ["MLmodel", "bundle.json", "checksums.bin"] or sorted(fetched) == [
        "bundle.json",
        "checksums.bin",
    ]
    assert opened.find(DIGEST)["Store"] == 2


def test_a_local_registry_keeps_everything_beside_its_database(bundle, tmp_path, monkeypatch):
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    registry = Registry(f"sqlite:///{tmp_path}/runs here/mlflow.db")
    version = registry.register("m", bundle, FLAVOR, alias="champion")
    folder = registry.files(version.uri).folder
    assert folder is not None
    assert folder.is_relative_to(tmp_path / "runs here" / "mlartifacts")
    assert list((tmp_path / "cwd").iterdir()) == []


def test_the_settings_of_the_process_are_left_as_they_were(registry, bundle, capfd):
    import mlflow

    before = dict(os.environ), mlflow.get_tracking_uri(), logging.getLogger("mlflow").level
    registry.register("tidy", bundle, FLAVOR)
    registry.files("models:/tidy/1")
    assert (dict(os.environ), mlflow.get_tracking_uri(), logging.getLogger("mlflow").level) == before
    assert mlflow.active_run() is None
    assert capfd.readouterr() == ("", "")


def test_a_registry_that_is_down_says_so_without_its_password(bundle):
    registry = Registry("http://me:hunter2@127.0.0.1:9")
    for call in (
        registry.reach,
        lambda: registry.versions("x"),
        lambda: registry.register("x", bundle, FLAVOR),
    ):
        with pytest.raises(RegistryError, match=r"does not answer: .*refused") as caught:
            call()
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None
    assert "hunter2" not in repr(registry)


@pytest.mark.timeout(60)
def test_a_registry_that_never_answers_is_given_up():
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(5)
        with pytest.raises(RegistryError, match="timed out"):
            Registry(f"http://127.0.0.1:{deaf.getsockname()[1]}").reach()


def test_a_database_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RegistryError, match="cannot be opened"):
        Registry(f"sqlite:///{tmp_path}/file/mlflow.db").reach()
    (tmp_path / "text.db").write_text("this is no database " * 100)
    with pytest.raises(RegistryError, match="does not answer"):
        Registry(f"sqlite:///{tmp_path}/text.db").reach()


def test_two_processes_may_make_the_same_local_registry_at_once(tmp_path):
    program = "import sys; from many_models.registry import Registry; Registry(sys.argv[1]).reach()"
    command = [sys.executable, "-c", program, f"sqlite:///{tmp_path}/mlflow.db"]
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "MLFLOW_DISABLE_TELEMETRY": "true"}
    started = [subprocess.Popen(command, stderr=subprocess.PIPE, env=environment) for _ in range(2)]
    answers = [process.communicate(timeout=120)[1].decode() for process in started]
    assert [(process.returncode, answer) for process, answer in zip(started, answers, strict=True)] == [
        (0, "")
    ] * 2


def test_importing_the_registry_does_not_import_mlflow():
    program = "import sys, many_models.registry; print('mlflow' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == "False"
