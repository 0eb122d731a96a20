from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from many_models.errors import DataError, LookupFailed
from many_models.panel.keys import KeyColumn, SeriesKey, parse_key

values = st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(max_size=30), st.booleans())
COLUMNS = (KeyColumn("Store", "integer"), KeyColumn("Brand", "text"), KeyColumn("open", "boolean"))


def same(a, b):
    return [(type(x), x) for x in a] == [(type(x), x) for x in b]


@given(st.lists(values, max_size=4), st.lists(values, max_size=4))
def test_canonical_text_is_equal_only_for_equal_typed_values(a, b):
    one = SeriesKey(tuple("abcd"[: len(a)]), tuple(a))
    other = SeriesKey(tuple("abcd"[: len(b)]), tuple(b))
    assert (one.canonical == other.canonical) == same(a, b)
    assert (one.digest == other.digest) == same(a, b)
    assert json.loads(one.canonical) == a
    assert same(SeriesKey.from_canonical(one.names, one.canonical).values, one.values)
    assert 0 <= one.seed(3) < 2**63


def test_canonical_text_is_compact_and_readable():
    assert SeriesKey(("Store", "Brand"), (2, "tropicana")).canonical == '[2,"tropicana"]'
    assert SeriesKey(("a",), ("Zürich 🍊/../\"x'",)).canonical == '["Zürich 🍊/../\\"x\'"]'
    assert SeriesKey((), ()).canonical == "[]"


def test_values_joined_with_underscore_stay_apart():
    keys = [("1", "2_3"), ("1_2", "3"), (1, "2_3"), ("007", "x"), ("7", "x"), (True, "x"), (1, "x")]
    assert len({SeriesKey(("a", "b"), key).digest for key in keys}) == len(keys)


def test_digest_and_seed_are_pinned():
    key = SeriesKey(("Store", "Brand"), (2, "tropicana"))
    assert key.digest.hex() == "957db4ad380ec32e8892820580ed6d67"
    assert key.seed(0) == 4678820169511157446
    assert key.seed(0) != key.seed(1)


def test_numpy_scalars_become_plain_values():
    key = SeriesKey(("a", "b"), (np.int32(4), np.str_("x")))
    assert same(key.values, (4, "x"))


@pytest.mark.parametrize("value", [None, float("nan"), 1.5, 2**63, b"x"])
def test_null_and_other_types_are_refused_by_name(value):
    with pytest.raises(DataError, match="Store"):
        SeriesKey(("Store",), (value,))


def test_a_thousand_characters_and_lone_surrogates_are_just_characters():
    long = SeriesKey(("a",), ("x" * 1000,))
    assert len(long.digest) == 16
    assert SeriesKey(("a",), ("\ud800",)).digest != SeriesKey(("a",), ("?",)).digest


def test_parse_key_types_by_column():
    assert parse_key(["Store=2", "Brand=a=b c", "open=True"], COLUMNS) == {
        "Store": 2,
        "Brand": "a=b c",
        "open": True,
    }
    assert parse_key(["Brand=007"], COLUMNS) == {"Brand": "007"}
    assert parse_key(["a=b=1"], [KeyColumn("a=b", "integer"), KeyColumn("a", "text")]) == {"a=b": 1}
    assert parse_key([], COLUMNS) == {}


def test_parse_key_names_every_problem_at_once():
    with pytest.raises(LookupFailed) as caught:
        parse_key(["Stor=2", "Store=007", "tropicana", "open=yes", "Brand=x", "Brand=y"], COLUMNS)
    text = str(caught.value)
    assert len(caught.value.problems) == 5
    assert "did you mean 'Store'?" in text
    assert "'007'" in text
    assert "'Store', 'Brand', 'open'" in text


def test_integer_12_is_not_text_12():
    columns = [KeyColumn("Store", "integer")]
    assert SeriesKey.of({"Store": 12}, columns).canonical == "[12]"
    with pytest.raises(LookupFailed, match="the text '12'"):
        SeriesKey.of({"Store": "12"}, columns)
    with pytest.raises(LookupFailed, match="the boolean True"):
        SeriesKey.of({"Store": True}, columns)


def test_key_of_names_missing_and_unknown_columns():
    with pytest.raises(LookupFailed) as caught:
        SeriesKey.of({"Store": 1, "brand": "x"}, COLUMNS[:2])
    assert {p.where for p in caught.value.problems} == {"brand", "Brand"}


@pytest.mark.parametrize("text", ["{}", "[1, 2]", "[1]", "nope", "[1,null]", "[1,2.0]", "[" * 100_000])
def test_foreign_canonical_text_is_refused(text):
    with pytest.raises(DataError):
        SeriesKey.from_canonical(("a", "b"), text)
