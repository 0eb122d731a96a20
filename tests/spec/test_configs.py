"""The configurations that ship: each is right, and fits the table it is written for."""

from __future__ import annotations

from pathlib import Path

import pytest

from many_models.spec import ForecastSpec

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
TABLES = {
    "orange_juice": "oj/oj_weekly.parquet",
    "m4_yearly": "m4/yearly_train.parquet",
    "nyc_energy": "notebooks/nyc_energy.parquet",
}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_configuration_is_right(path: Path):
    spec = ForecastSpec.from_yaml(path)
    assert spec.registry.name == spec.name
    assert spec.data.path is not None
    assert "/" not in spec.data.path


def test_the_four_configurations_ship():
    assert {path.stem for path in CONFIGS} >= {"quickstart", "orange_juice", "m4_yearly", "nyc_energy"}


@pytest.mark.parametrize("name", TABLES)
def test_a_shipped_configuration_names_columns_that_its_table_has(name: str, real_data: Path):
    import pyarrow.parquet

    (path,) = [path for path in CONFIGS if path.stem == name]
    data = ForecastSpec.from_yaml(path).data
    columns = set(pyarrow.parquet.read_schema(real_data / TABLES[name]).names)
    assert {data.time, data.target, *data.series, *data.known} <= columns
    assert (real_data / TABLES[name]).name == data.path


def test_a_table_of_one_series_names_no_key_column():
    (path,) = [path for path in CONFIGS if path.stem == "nyc_energy"]
    data = ForecastSpec.from_yaml(path).data
    assert data.series == data.group_columns == ()
