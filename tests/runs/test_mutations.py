"""The mutation report over many series: the same rows from Python, from a run and from the command line."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec, mutations
from many_models.errors import DataError, LookupFailed


@pytest.fixture(scope="module")
def table():
    """Three monthly series: one clean, one with a hole, one with a spike."""
    rng = np.random.default_rng(0)
    when = pd.date_range("2020-01-01", periods=48, freq="MS")
    parts = []
    for shop, item in ((1, "a"), (1, "b"), (2, "a")):
        parts.append(
            pd.DataFrame({"shop": shop, "item": item, "when": when, "sold": 50 + rng.normal(size=48)})
        )
    parts[1].loc[20, "sold"] = np.nan
    parts[2].loc[30, "sold"] = 5000.0
    return pd.concat(parts, ignore_index=True)


def spec(**sections):
    return ForecastSpec.from_dict(
        {
            "name": "changes",
            "data": {
                "time": "when",
                "target": "sold",
                "series": ["shop", "item"],
                **sections.pop("data", {}),
            },
            "forecast": {"horizon": 4},
            "preparation": {"outliers": "cap"},
            "engine": {"workers": 2},
            **sections,
        }
    )


def test_the_report_names_each_changed_value_of_each_series(table):
    found = mutations(table, spec())
    assert found[["shop", "item", "change"]].values.tolist() == [[1, "b", "imputed"], [2, "a", "capped"]]
    assert found["when"].tolist() == [pd.Timestamp("2021-09-01"), pd.Timestamp("2022-07-01")]
    assert found["before"].tolist()[1] == 5000.0
    assert found["after"].iloc[1] < 100


@pytest.mark.parametrize("group", [None, ["shop"], []])
def test_a_key_chooses_series_whatever_the_group(table, group):
    grouped = spec(data={"group": group})
    assert mutations(table, grouped, shop=1)["item"].tolist() == ["b"]
    assert mutations(table, grouped, shop=1, item="a").empty
    with pytest.raises(LookupFailed, match="item=zzz"):
        mutations(table, grouped, shop=1, item="zzz")


def test_a_key_of_another_type_or_name_is_refused(table):
    with pytest.raises(LookupFailed, match="shop"):
        mutations(table, spec(), shop="1")
    with pytest.raises(LookupFailed, match="stor"):
        mutations(table, spec(), stor=1)


def test_a_rule_that_a_column_cannot_have_is_refused_before_anything_is_prepared(table):
    table = table.assign(town="x")
    wrong = spec(data={"known": ["town"]}, preparation={"impute": {"town": "linear"}})
    with pytest.raises(DataError, match=r"preparation\.impute\.town"):
        mutations(table, wrong)


def test_a_run_tells_what_was_changed_for_it(retail_run, retail_frame):
    found = retail_run.mutations(retail_frame, store=retail_run.results()["store"].iloc[0])
    masked = found[found["change"] == "masked"]
    stock_out = retail_frame[retail_frame["stock_out"] & (retail_frame["store"] == found["store"].iloc[0])]
    assert len(masked) == len(stock_out) > 0
    pd.testing.assert_series_equal(
        masked.sort_values(["item", "date"])["before"].reset_index(drop=True),
        stock_out.sort_values(["item", "date"])["sales"].astype(float).reset_index(drop=True),
        check_names=False,
    )
