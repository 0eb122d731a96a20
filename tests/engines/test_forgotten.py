"""A key column that the configuration forgot is named when the table is opened."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, check_source, mutations
from many_models.engines.local import LocalEngine
from many_models.panel.layout import Layout


@pytest.fixture(scope="module")
def table():
    weeks = pd.date_range("2021-01-07", periods=30, freq="W-THU")
    parts = [
        pd.DataFrame({"store": store, "brand": brand, "week": weeks, "sold": np.arange(30.0) + ord(brand)})
        for store in (1, 2)
        for brand in ("a", "z")
    ]
    return pd.concat(parts, ignore_index=True)


def spec(series):
    return ForecastSpec.from_dict(
        {
            "data": {"time": "week", "target": "sold", "series": series},
            "forecast": {"horizon": 2},
            "engine": {"workers": 1},
        }
    )


def opened(source, series):
    engine = LocalEngine(1)
    try:
        return engine.open(source, spec(series).data, None).layout
    finally:
        engine.close()


@pytest.mark.parametrize("ending", ["frame", "parquet", "csv"])
def test_the_forgotten_column_stands_in_a_note(table, tmp_path, ending):
    source = table
    if ending == "parquet":
        source = tmp_path / "t.parquet"
        table.to_parquet(source)
    elif ending == "csv":
        source = tmp_path / "t.csv"
        table.to_csv(source, index=False)
    layout = opened(source, ["store"])
    assert layout.forgotten == ("brand",)
    assert "'brand' in data.series" in layout.notes[-1]
    assert Layout.from_dict(layout.to_dict()) == layout
    assert opened(source, ["store", "brand"]).forgotten == ()


def test_check_tells_it_and_the_finding_says_what_to_do(table):
    report = check_source(table, spec(["store"]))
    assert any("'brand'" in note for note in report.notes)
    row = next(row for row in report.rows if row["code"] == "DUPLICATES_CONFLICTING")
    assert row["action"] == "add 'brand' to data.series"
    assert (row["series"], row["count"]) == (2, 60)
    assert not check_source(table, spec(["store", "brand"])).notes
    lost = mutations(table, spec(["store"]), store=1)
    assert lost["rule"].tolist() == ["DUPLICATES_CONFLICTING"] * 30
