"""Covariates whose kind is stated, because their values do not tell it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, train
from many_models.engines.reading import canonical_table, read_table
from many_models.errors import DataError, InputError
from many_models.panel.layout import Layout


def spec_of(kinds, known=("size",)):
    data = {"time": "day", "target": "sold", "series": ["shop"], "known": list(known), "kinds": kinds}
    return ForecastSpec.from_dict({"data": data, "forecast": {"horizon": 2}})


def table(**columns):
    days = pd.date_range("2024-01-01", periods=4, freq="D")
    return pd.DataFrame({"shop": "a", "day": days, "sold": [1.0, 2.0, 3.0, 4.0], **columns})


def canonical(source, spec):
    frame, layout = canonical_table(read_table(source, spec.data), spec.data, None)
    return frame, layout.covariates[0]


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([1, 2, 3, 1], ["1", "2", "3", "1"]),
        ([1.0, np.nan, 3.0, 2.5], ["1", None, "3", "2.5"]),
        (pd.array([1, None, 3, 1], dtype="Int64"), ["1", None, "3", "1"]),
        ([True, False, True, True], ["true", "false", "true", "true"]),
        (["x", "y", None, "x"], ["x", "y", None, "x"]),
    ],
)
def test_anything_can_be_a_category(values, names):
    frame, column = canonical(table(size=values), spec_of({"size": "category"}))
    assert column.kind == "category"
    assert [None if pd.isna(v) else v for v in frame["x0"]] == names


def test_a_csv_file_gives_the_same_categories(tmp_path):
    path = tmp_path / "sales.csv"
    table(size=[1, 2, 3, 1]).to_csv(path, index=False)
    frame, column = canonical(str(path), spec_of({"size": "category"}))
    assert (column.kind, frame["x0"].tolist()) == ("category", ["1", "2", "3", "1"])


def test_text_can_be_numbers_and_numbers_flags():
    frame, column = canonical(table(size=["1.5", "2", None, "3"]), spec_of({"size": "number"}))
    assert column.kind == "number"
    np.testing.assert_array_equal(frame["x0"], [1.5, 2.0, np.nan, 3.0])
    frame, column = canonical(table(size=[0, 1, 1, 0]), spec_of({"size": "boolean"}))
    assert column.kind == "boolean"
    assert frame["x0"].tolist() == [0.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("values", "kind", "told"),
    [
        (["1", "many", "2", "3"], "number", "many"),
        ([0, 1, 2, 0], "boolean", "neither true nor false"),
        (pd.date_range("2024-01-01", periods=4), "category", "in a category"),
    ],
)
def test_values_that_are_not_of_the_stated_kind_are_refused(values, kind, told):
    with pytest.raises(DataError, match=told):
        canonical(table(size=values), spec_of({"size": kind}))


def test_a_stated_column_that_is_no_covariate_is_refused_with_its_neighbour():
    with pytest.raises(InputError, match="size"):
        spec_of({"sise": "category"})
    with pytest.raises(InputError, match="kinds"):
        spec_of({"size": "text"})


def test_a_layout_keeps_what_was_stated():
    spec = spec_of({"size": "category"})
    _, layout = canonical_table(read_table(table(size=[1, 2, 3, 1]), spec.data), spec.data, None)
    assert Layout.from_dict(layout.to_dict()) == layout


def test_size_classes_are_indicators_and_not_an_amount(tmp_path):
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=90, freq="D")
    size = rng.integers(1, 4, 90)
    sold = np.select([size == 1, size == 2], [50.0, 10.0], 40.0) + rng.normal(0, 1, 90)
    sales = pd.DataFrame({"shop": "a", "day": days, "sold": sold, "size": size})
    spec = spec_of({"size": "category"}).replace({"learners.allow": ["elastic_net"]})
    run = train(sales, spec, run_dir=tmp_path / "run")
    names = set(run.features(shop="a")["feature"])
    assert {"size=1", "size=2"} <= names
    future = pd.DataFrame({"shop": "a", "day": days[-1:] + pd.Timedelta(days=1), "size": [2]})
    from many_models import open_models

    answer = open_models(tmp_path / "run").forecast(future=future)
    assert abs(float(answer["mean"].iloc[0]) - 10.0) < 8.0
