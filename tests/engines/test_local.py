"""What the local engine refuses, and how it says so; and what Spark says where it cannot start."""

import shutil
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import engine_jobs

from many_models.engines.local import LocalEngine
from many_models.engines.spark import SparkEngine
from many_models.errors import DataError, EngineError
from many_models.spec import DataSpec


@pytest.fixture(scope="module")
def engine():
    engine = LocalEngine(1)
    yield engine
    engine.close()


def spec(**data):
    return DataSpec(**({"time": "when", "target": "sold", "series": ["shop"]} | data))


def sales(shops=("a", "b"), days=3):
    rows = [(shop, day, 1.0) for shop in shops for day in range(days)]
    return pd.DataFrame(rows, columns=["shop", "when", "sold"])


def refusal(engine, source, folder, **data):
    with pytest.raises(DataError) as refused:
        engine.open(source, spec(**data), folder)
    return str(refused.value)


def test_a_table_is_refused_with_advice(engine, tmp_path):
    said = refusal(engine, None, tmp_path, table="main.sales.daily")
    assert "main.sales.daily" in said
    assert "--engine spark" in said


def test_no_source_is_refused(engine, tmp_path):
    assert "set data.path" in refusal(engine, None, tmp_path)


def test_an_unknown_kind_of_file_is_refused(engine, tmp_path):
    (tmp_path / "sales.xlsx").touch()
    said = refusal(engine, str(tmp_path / "sales.xlsx"), tmp_path)
    assert "files of an unknown kind (sales.xlsx)" in said
    assert ".parquet" in said


def test_parquet_that_is_none_is_refused(engine, tmp_path):
    (tmp_path / "sales.parquet").write_bytes(b"not parquet")
    assert "cannot be read as parquet" in refusal(engine, str(tmp_path / "sales.parquet"), tmp_path)


def test_text_that_is_not_utf8_is_refused(engine, tmp_path):
    (tmp_path / "sales.csv").write_bytes("shop,when,sold\nOsé,1,1\n".encode("latin-1"))
    assert "save it as UTF-8" in refusal(engine, str(tmp_path / "sales.csv"), tmp_path)


def test_two_columns_of_one_name_are_refused(engine, tmp_path):
    (tmp_path / "sales.csv").write_text("shop,when,sold,sold\na,1,1,2\n")
    assert "2 columns of this name" in refusal(engine, str(tmp_path / "sales.csv"), tmp_path)


def test_a_folder_of_parquet_is_one_table_whatever_lies_hidden_in_it(engine, tmp_path):
    folder = tmp_path / "sales"
    (folder / "_delta_log").mkdir(parents=True)
    (folder / "_delta_log" / "0.json").touch()
    (folder / "_SUCCESS").touch()
    for name, shops in (("1.parquet", ["a"]), ("2.parquet", ["b", "c"])):
        sales(shops).to_parquet(folder / name)
    panel = engine.open(str(folder), spec(), tmp_path)
    assert panel.groups["k0"].tolist() == ["a", "b", "c"]
    assert panel.rows == 9


def test_only_needed_columns_are_read(engine, tmp_path):
    frame = sales().assign(unused="x" * 100)
    frame.to_parquet(tmp_path / "sales.parquet")
    assert "unused" in pq.read_schema(tmp_path / "sales.parquet").names
    panel = engine.open(tmp_path / "sales.parquet", spec(), tmp_path)
    assert list(panel.sample(2).columns) == ["k0", "t", "y"]


def test_an_address_of_fsspec_is_read(engine, tmp_path):
    import fsspec

    with fsspec.open("memory://sales/part.csv", "w") as file:
        sales().to_csv(file, index=False)
    panel = engine.open("memory://sales/part.csv", spec(), tmp_path)
    assert panel.rows == 6


def test_the_users_frame_is_left_as_it_is(engine, tmp_path):
    frame = sales(("b", "a")).set_index(pd.Index(range(10, 16)))
    before = frame.copy(deep=True)
    panel = engine.open(frame, spec(), tmp_path)
    list(panel.map(engine_jobs.job(), [0, 1]))
    pd.testing.assert_frame_equal(frame, before)


def test_asking_for_some_groups_answers_those(engine, tmp_path):
    panel = engine.open(sales(("a", "b", "c")), spec(), tmp_path)
    answers = [answer.group for batch in panel.map(engine_jobs.job(), [2, 0]) for answer in batch]
    assert sorted(answers) == [0, 2]
    assert list(panel.map(engine_jobs.job(), [])) == []


def test_a_panel_without_any_target_has_no_last_observation(engine, tmp_path):
    frame = sales().assign(sold=float("nan"))
    assert engine.open(frame, spec(), tmp_path).last_observed() is None


@pytest.mark.spark
def test_spark_without_java_says_what_to_install(tmp_path, monkeypatch):
    pytest.importorskip("pyspark", reason="pyspark is not installed: pip install 'many-models[spark]'")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert shutil.which("java") is None
    with pytest.raises(EngineError, match="openjdk-17"):
        SparkEngine().open(sales(), spec(), tmp_path)
