"""Columns that tell the target of their own row are found; columns that only help are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from many_models import ForecastSpec
from many_models.engines.reading import canonical_table, read_table
from many_models.panel.keys import KeyColumn
from many_models.panel.layout import ContextColumns, CovariateColumn, Layout, TimeColumn
from many_models.panel.leakage import leakage_suspects, trimmed, without_columns


def layout(*names):
    return Layout(
        (KeyColumn("store", "text"),),
        (0,),
        TimeColumn("when", "timestamp"),
        "sales",
        tuple(CovariateColumn(name, "known", "number") for name in names),
    )


def suspects(make, names, series=6, n=80):
    rng = np.random.default_rng(5)
    parts = []
    for k in range(series):
        price = rng.uniform(1, 4, n)
        sales = rng.poisson(200 * price**-2.0 + 5).astype(float)
        columns = {f"x{j}": values for j, values in enumerate(make(sales, price, rng))}
        parts.append(pd.DataFrame({"k0": f"s{k}", "t": np.arange(n), "y": sales} | columns))
    return {s.column: s for s in leakage_suspects(pd.concat(parts), layout(*names))}


def test_a_price_that_explains_most_of_the_sales_is_no_suspect():
    assert not suspects(lambda y, price, rng: [price, (price < 2) * 1.0], ["price", "advert"])


def test_a_copy_in_other_units_is_found_alone():
    found = suspects(lambda y, price, rng: [price, np.sqrt(y) * 12], ["price", "pallets"])
    assert set(found) == {"pallets"}
    assert found["pallets"].reason == "reproduces the target"
    assert (found["pallets"].series, found["pallets"].of) == (6, 6)


def test_of_price_and_revenue_the_revenue_is_found():
    found = suspects(lambda y, price, rng: [price, price**3 * y], ["cubed", "value"])
    assert not found
    found = suspects(lambda y, price, rng: [price, price * (y + 1e-9) ** 1.0], ["price", "value"])
    assert set(found) == {"value"}
    assert "price" in found["value"].reason


def test_both_parts_of_a_sum_are_found():
    def parts(y, price, rng):
        first = np.floor(y * rng.uniform(0.2, 0.8, len(y)))
        return [first, y - first]

    assert set(suspects(parts, ["online", "store"])) == {"online", "store"}


@pytest.mark.parametrize("name", ["profit", "GrossMargin", "unit_sales", "net-revenue"])
def test_the_name_of_an_outcome_counts_only_where_it_moves_with_the_target(name):
    assert set(suspects(lambda y, price, rng: [price + rng.normal(0, 0.5, len(y))], [name])) == {name}
    assert not suspects(lambda y, price, rng: [rng.normal(size=len(y))], [name])
    assert not suspects(lambda y, price, rng: [price + rng.normal(0, 0.5, len(y))], ["weather"])


def test_a_clock_beside_a_growing_target_is_no_suspect():
    def rows(k):
        n = np.arange(90.0)
        return pd.DataFrame({"k0": f"s{k}", "t": n.astype(int), "y": 5 * n + k, "x0": n})

    assert leakage_suspects(pd.concat([rows(k) for k in range(3)]), layout("week_number")) == ()


def test_left_out_columns_keep_their_place_until_they_are_trimmed():
    made = CovariateColumn("context(value).min", "known", "number", derived=True)
    other = CovariateColumn("context(price).min", "known", "number", derived=True)
    base = layout("value", "price")
    full = Layout(
        base.keys,
        base.group,
        base.time,
        base.target,
        (*base.covariates, made, other),
        context=ContextColumns((), (0, 1)),
    )
    cut = without_columns(full, ["value"])
    assert cut.columns == full.columns
    assert [cut.covariates[i].name for i in cut.role("known")] == ["price", "context(price).min"]
    small = trimmed(cut)
    assert [c.name for c in small.covariates] == ["price", "context(price).min"]
    assert small.context.sources == (0,)
    assert trimmed(full) is full
    assert Layout.from_dict(cut.to_dict()) == cut


@pytest.mark.parametrize(
    ("file", "names", "expected"),
    [
        ("oj/oj_weekly_11_brands.parquet", ("week_start", "units", ["store", "brand"]), {"profit"}),
        ("oj/oj_weekly.parquet", ("WeekStarting", "Quantity", ["Store", "Brand"]), set()),
    ],
)
def test_profit_is_caught_in_orange_juice_and_nothing_else(real_data, file, names, expected):
    time, target, series = names
    known = {"units": ["price", "deal", "feat", "profit"], "Quantity": ["Price", "Advert", "deal", "feat"]}
    data = {"time": time, "target": target, "series": series, "known": known[target]}
    spec = ForecastSpec.from_dict({"data": data, "forecast": {"horizon": 8}})
    rows = pd.read_parquet(real_data / file)
    rows = rows[rows[series[0]].isin([2, 5, 32, 68])]
    table = read_table(rows, spec.data)
    found, where = canonical_table(table, spec.data, None)
    assert {s.column for s in leakage_suspects(found, where)} == expected
