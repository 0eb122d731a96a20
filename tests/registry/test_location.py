"""Where the registry is, and where artifacts go."""

from __future__ import annotations

import pytest

from many_models.registry import default_tracking_uri
from many_models.registry.location import artifact_location, database_file


@pytest.fixture
def bare(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    return monkeypatch


def test_the_configuration_comes_first_then_the_environment_then_a_file(bare, tmp_path):
    beside = f"sqlite:///{tmp_path}/mlflow.db"
    assert default_tracking_uri(None, tmp_path) == beside
    bare.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    assert default_tracking_uri(None, tmp_path) == "databricks"
    bare.setenv("MLFLOW_TRACKING_URI", "http://there")
    assert default_tracking_uri(None, tmp_path) == "http://there"
    assert default_tracking_uri("http://configured", tmp_path) == "http://configured"


def test_the_artifacts_of_a_database_lie_beside_it(tmp_path, monkeypatch):
    uri = f"sqlite:///{tmp_path}/a b/mlflow.db"
    assert artifact_location(uri, "my/exp ö..") == (tmp_path / "a b/mlartifacts/my_exp_ö").as_uri()
    monkeypatch.chdir(tmp_path)
    assert database_file("sqlite:///mlflow.db") == tmp_path / "mlflow.db"


@pytest.mark.parametrize("uri", ["http://host", "databricks", "postgresql://h/db", "sqlite:///:memory:"])
def test_a_server_decides_itself_where_artifacts_go(uri):
    assert database_file(uri) is None
    assert artifact_location(uri, "x") is None
