"""Reading YAML: what is not a plain, bounded configuration file is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from many_models.errors import SpecError
from many_models.spec import ForecastSpec, yaml_text

GOOD = "data: {time: when, target: sold, series: [shop]}\nforecast: {horizon: 8}\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("data: {time: when", "line 1"),
        ("data:\n\ttime: when\n", "line 2"),
        (GOOD + "forecast: {horizon: 9}\n", r"line 3, column 1: found the key 'forecast' a second time"),
        ("data: {time: a, time: b}\n", "a second time"),
        ("data: &d {time: a}\nforecast: *d\n", "an alias"),
        ("data: &d [*d]\n", "an alias"),
        ("data: !!python/object/apply:os.system ['true']\n", "a tag"),
        ("data: !!timestamp 2020-01-01\n", "a tag"),
        ("? [a, b]\n: 1\n", "a key that is not a word"),
        ("data: " + "[" * 10_000, "more than 20 levels"),
        ("data: " + "{a: " * 30 + "1" + "}" * 30, "more than 20 levels"),
        ("a: 1\n---\nb: 2\n", "line 2"),
        ("forecast: {horizon: " + "9" * 10_000 + "}\n", "found"),
        ("data: \x00\n", "found"),
        ("", "found null; allowed: a mapping"),
        ("# nothing but a comment\n", "found null"),
        ("just words\n", "found 'just words'; allowed: a mapping"),
        ("- a\n- b\n", "allowed: a mapping"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, content: str, message: str):
    path = tmp_path / "c.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SpecError, match=message) as caught:
        ForecastSpec.from_yaml(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path):
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00\xd8data")
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"# comment\n" * 110_000)
    for path, message in (
        (tmp_path / "absent.yaml", "No such file"),
        (tmp_path, "directory"),
        (binary, "binary.yaml: found"),
        (huge, "above 1 MB"),
        ("a\0b", "null byte"),
    ):
        with pytest.raises(SpecError, match=message):
            ForecastSpec.from_yaml(path)


def test_words_that_yaml_1_1_turns_into_something_else_stay_text():
    tree = yaml_text.parse("[off, on, yes, no, NO, y, 007, 2020-01-01, 12:30, 1_000, 0x10, <<]", "here")
    assert tree == ["off", "on", "yes", "no", "NO", "y", "007", "2020-01-01", "12:30", "1_000", "0x10", "<<"]


def test_plain_words_of_yaml_1_2_have_their_types():
    tree = yaml_text.parse("[true, False, null, ~, 12, -3, 0, 0.5, .5, 1e3, 2.5E-2, .inf]", "here")
    assert tree == [True, False, None, None, 12, -3, 0, 0.5, 0.5, 1000.0, 0.025, float("inf")]
    assert yaml_text.parse("a:\nb: 1", "here") == {"a": None, "b": 1}


def test_off_may_be_written_bare_or_come_as_false_from_another_reader():
    bare = yaml_text.parse(
        GOOD + "features: {lags: off, calendar: off}\npreparation: {outliers: off}\n", "here"
    )
    foreign = {**bare, "features": {"lags": False, "calendar": False}, "preparation": {"outliers": False}}
    assert ForecastSpec.from_dict(bare) == ForecastSpec.from_dict(foreign)
    assert ForecastSpec.from_dict(bare).features.lags == "off"


def test_norway_is_a_country():
    tree = yaml_text.parse(GOOD + "features: {holidays: {country: NO}}\n", "here")
    assert ForecastSpec.from_dict(tree).features.holidays.calendars == (("NO", None),)


TRICKY = ["off", "1e3", "007", "~", "null", ".5", "1.", "2020-01-01", "<<", "=", "yes", "12:30", "-", "0x1"]
WORDS = st.text(max_size=12) | st.sampled_from(TRICKY)
VALUES = st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False) | WORDS
PLAIN = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_what_is_written_is_read_back(tree):
    assert yaml_text.parse(yaml_text.write(tree), "here") == tree
