"""What a row sees of its siblings, against plain loops; the same for every cut of the table."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.engines.reading import canonical_table, read_table
from many_models.engines.worker import canonical_schema, context_rows, whole_blocks
from many_models.errors import DataError, SpecError
from many_models.panel.canonical import canonical_frame
from many_models.panel.context import block_names, context_columns, with_context
from many_models.panel.layout import Layout
from many_models.spec import DataSpec

SPEC = DataSpec(
    time="when",
    target="sold",
    series=["store", "brand"],
    known=["price", "ad"],
    context={"by": ["store"], "columns": ["price", "ad"]},
)


def table(rows):
    names = ["store", "brand", "when", "sold", "price", "ad"]
    frame = pd.DataFrame(rows, columns=names)
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(frame["when"], unit="D")
    return frame.assign(when=days, price=frame["price"].astype(float), ad=frame["ad"].astype(float))


def opened(frame, spec=SPEC):
    return canonical_table(read_table(frame, spec), spec, None)


def named(frame, layout):
    """The canonical frame under the names of its columns."""
    return frame.rename(columns=layout.sources)


PLAIN = table(
    [
        (1, "a", 0, 10, 2.0, 0),
        (1, "b", 0, 20, 3.0, 1),
        (1, "c", 0, 30, 7.0, 1),
        (1, "a", 1, 11, 2.5, 0),
        (1, "b", 1, 21, np.nan, 0),
        (2, "a", 0, 40, 9.0, 1),
    ]
)


def test_minimum_and_mean_are_those_of_the_others_at_the_same_stamp():
    seen = named(*opened(PLAIN)).set_index(["store", "brand", "when"])
    first = seen.xs(seen.index.get_level_values("when").min(), level="when")
    assert first.loc[(1, "a"), "context(price).min"] == 3.0
    assert first.loc[(1, "a"), "context(price).mean"] == 5.0
    assert first.loc[(1, "c"), "context(price).min"] == 2.0
    assert first.loc[(1, "c"), "context(price).mean"] == 2.5
    assert first.loc[(1, "b"), "context(ad).mean"] == 0.5


def test_few_siblings_have_a_column_each_with_the_mean_where_one_is_absent():
    frame, layout = opened(PLAIN)
    seen = named(frame, layout).query("store == 1 and brand == 'a'")
    assert seen["context(price)[b]"].tolist()[:1] == [3.0]
    assert seen["context(price)[c]"].tolist()[:1] == [7.0]
    assert seen["context(price)[a]"].tolist() == [0.0, 0.0]
    assert np.isnan(seen["context(price)[b]"].tolist()[1])  # b's price is missing, and nobody else is there


def test_a_row_without_any_sibling_sees_nothing():
    frame, layout = opened(PLAIN)
    lone = named(frame, layout).query("store == 2")
    assert lone[["context(price).min", "context(price).mean"]].isna().all(axis=None)


def test_many_siblings_are_told_by_minimum_and_mean_alone():
    rows = [(1, f"b{i:02}", 0, 1, 1.0 + i, 0) for i in range(13)]
    _, layout = opened(table(rows))
    assert [c.name for c in layout.covariates if c.derived] == [
        "context(price).min",
        "context(price).mean",
        "context(ad).min",
        "context(ad).mean",
    ]


def test_targets_are_never_seen():
    frame, layout = opened(PLAIN)
    other, _ = opened(PLAIN.assign(sold=[1e30, np.nan, -5.0, 0.0, 7.0, np.nan]))
    derived = [name for name, c in zip(layout.covariate_names, layout.covariates, strict=True) if c.derived]
    pd.testing.assert_frame_equal(frame[[*derived, "t"]], other[[*derived, "t"]])


ROW = st.tuples(
    st.integers(1, 2),
    st.sampled_from("abcd"),
    st.integers(0, 3),
    st.integers(0, 5),
    st.one_of(st.none(), st.sampled_from([0.1, 0.3, 1e-9, 1e9, -2.0, 3.3, np.inf])),
    st.integers(0, 1),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=30))
def test_every_value_is_that_of_a_plain_loop(rows):
    frame, layout = opened(table(rows))
    seen = named(frame, layout)
    cells = {}
    for _, row in seen[np.isfinite(seen["price"])].iterrows():
        place = row["store"], row["when"], row["brand"]
        cells[place] = min(row["price"], cells.get(place, np.inf))
    for _, row in seen.iterrows():
        others = [
            value
            for (store, when, brand), value in cells.items()
            if (store, when) == (row["store"], row["when"]) and brand != row["brand"]
        ]
        low, mean = (min(others), sum(others) / len(others)) if others else (np.nan, np.nan)
        np.testing.assert_equal(row["context(price).min"], low)
        scale = max(map(abs, [*others, 1e-9, *cells.values()]))
        np.testing.assert_allclose(row["context(price).mean"], mean, rtol=1e-12, atol=1e-12 * scale)
        if others:
            assert min(others) <= row["context(price).mean"] <= max(others)


@settings(max_examples=20, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=40), st.integers(1, 7))
def test_parts_of_whole_blocks_give_the_same_bits(rows, size):
    frame, layout = opened(table(rows))
    schema = canonical_schema(layout)
    given_order = frame.sample(frac=1.0, random_state=1).sort_values(list(block_names(layout)), kind="stable")
    batches = pa.Table.from_pandas(given_order, schema=schema, preserve_index=False).to_batches(size)
    parts = list(context_rows(layout, schema)(iter(batches)))
    found = pa.Table.from_batches(parts).to_pandas()
    again = with_context(given_order, layout)
    for name in layout.covariate_names:
        assert found[name].to_numpy().tobytes() == again[name].to_numpy().tobytes()


def test_chunks_hold_whole_blocks_however_small_they_are():
    batches = pa.table({"k0": [1, 1, 1, 2, 2, 3], "t": [0, 0, 1, 1, 1, 1]}).to_batches(2)
    chunks = [chunk.to_pydict() for chunk in whole_blocks(iter(batches), ["k0", "t"], 1)]
    assert sum(len(chunk["t"]) for chunk in chunks) == 6
    blocks = [set(zip(chunk["k0"], chunk["t"], strict=True)) for chunk in chunks]
    assert sum(map(len, blocks)) == len(set().union(*blocks)) == 4


def test_future_rows_need_no_column_of_the_context():
    _, layout = opened(PLAIN)
    rows = PLAIN.drop(columns="sold").query("store == 1 and brand != 'b'")
    future = with_context(canonical_frame(rows, layout, with_target=False), layout)
    seen = named(future, layout)
    assert seen["context(price).mean"].tolist()[:2] == [7.0, 2.0]
    assert seen["context(price)[b]"].tolist()[:2] == [
        7.0,
        2.0,
    ]  # b was not asked for: the mean of those that are


def test_a_sibling_that_came_later_counts_for_minimum_and_mean():
    _, layout = opened(PLAIN)
    rows = pd.concat([PLAIN.iloc[:3]] * 2, ignore_index=True)
    rows.loc[3:, "brand"] = "new"
    seen = named(with_context(canonical_frame(rows, layout, with_target=False), layout), layout)
    assert seen.query("brand == 'a'")["context(price).min"].tolist() == [2.0]


def test_the_layout_survives_storing():
    _, layout = opened(PLAIN)
    assert Layout.from_dict(layout.to_dict()) == layout
    assert layout.notes[-1].startswith("context by store: context(price).min")


def test_text_in_a_context_column_is_refused_by_name():
    with pytest.raises(DataError, match=r"price.*text in a column of data\.context"):
        opened(PLAIN.assign(price="cheap"))


@pytest.mark.parametrize(
    ("context", "told"),
    [
        ({"by": ["stor"], "columns": ["price"]}, r"context\.by.*did you mean store"),
        ({"by": ["store"], "columns": ["prise"]}, r"context\.columns.*did you mean price"),
        ({"by": ["store", "brand"], "columns": ["price"]}, r"siblings differ"),
        ({"by": ["store"], "columns": []}, r"context\.columns"),
    ],
)
def test_a_context_that_cannot_be_is_refused_by_name(context, told):
    with pytest.raises(SpecError, match=told):
        DataSpec(time="when", target="sold", series=["store", "brand"], known=["price"], context=context)


def test_no_rows_have_no_context():
    _, layout = opened(PLAIN)
    assert all(len(values) == 0 for values in context_columns(PLAIN.iloc[:0], layout).values())
