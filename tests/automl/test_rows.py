"""Rows of a group as bytes: one fixed schema per folder, keys and time in the user's types."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from many_models.automl.rows import FOLDERS, GroupRows, quantile_column, read_rows, schemas
from many_models.errors import DamagedError
from many_models.panel.layout import KeyColumn, Layout, TimeColumn

DAY = 86_400_000_000


@pytest.fixture
def layout():
    return Layout(
        (KeyColumn("Store", "integer"), KeyColumn("brand name", "text"), KeyColumn("own?", "boolean")),
        (0, 1),
        TimeColumn("when", "timestamp", None),
        "sold",
        (),
        None,
        None,
    )


@pytest.fixture
def rows(layout):
    return GroupRows(layout, schemas(layout, (0.1, 0.5, 0.975)))


KEY = (3, "a/b \U0001f955", True)


def forecasts(n=2):
    return {
        "cutoff": 0,
        "when": np.arange(1, n + 1) * DAY,
        "step": np.arange(1, n + 1),
        "mean": np.arange(n, dtype=float),
        "q0.1": np.full(n, np.nan),
        "q0.5": np.arange(n, dtype=float),
        "q0.975": np.arange(n, dtype=float),
        "learner": ["naive"] * n,
        "status": ["TRAINED"] * n,
        "reason": [None] * n,
        "run_id": "r",
    }


def test_rows_come_back_as_they_went_in(rows):
    rows.add("forecasts", KEY, 2, forecasts())
    rows.add("findings", KEY, 0, {})
    back = read_rows(rows.to_bytes())
    assert set(back) == {"forecasts"}
    table = back["forecasts"]
    assert table.schema.field("Store").type == pa.int64()
    assert table.schema.field("own?").type == pa.bool_()
    first = table.to_pylist()[0]
    assert (first["Store"], first["brand name"], first["own?"]) == KEY
    assert str(first["when"])[:10] == "1970-01-02"
    assert str(first["cutoff"])[:10] == "1970-01-01"


def test_what_is_not_a_number_is_missing_in_a_table(rows):
    rows.add("forecasts", KEY, 2, forecasts())
    assert read_rows(rows.to_bytes())["forecasts"]["q0.1"].null_count == 2


def test_a_dropped_series_leaves_the_others(rows):
    rows.add("forecasts", KEY, 2, forecasts())
    other = (3, "b", True)
    rows.add("forecasts", other, 1, forecasts(1))
    rows.drop(KEY)
    assert read_rows(rows.to_bytes())["forecasts"]["brand name"].to_pylist() == ["b"]
    rows.drop(other)
    assert read_rows(rows.to_bytes()) == {}


def test_results_are_written_last():
    assert FOLDERS[-1] == "results"


def test_every_folder_has_the_keys_but_the_models(layout):
    made = schemas(layout, (0.5,))
    assert tuple(made) == FOLDERS
    for folder, schema in made.items():
        assert (schema.names[:3] == ["Store", "brand name", "own?"]) == (folder != "models")


@pytest.mark.parametrize(
    ("level", "name"), [(0.1, "q0.1"), (0.5, "q0.5"), (0.975, "q0.975"), (0.05, "q0.05")]
)
def test_quantiles_are_named_by_their_level(level, name):
    assert quantile_column(level) == name


def test_bytes_that_are_too_few_are_refused():
    with pytest.raises(DamagedError):
        read_rows(b"too few")


def test_a_column_that_is_forgotten_is_an_error_at_once(rows):
    columns = forecasts()
    del columns["mean"]
    with pytest.raises(KeyError):
        rows.add("forecasts", KEY, 2, columns)
