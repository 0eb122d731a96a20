from __future__ import annotations

import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.panel.clock import FORMATS, formats_of, read_times

moments = st.datetimes(datetime.datetime(1501, 1, 1), datetime.datetime(2400, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0)
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(moments, min_size=1, max_size=8), st.sampled_from(sorted(set(FORMATS) - {"iso", "iso-offset"}))
)
def test_what_strftime_writes_is_read_back(stamps, text_format):
    texts = [f"{s.strftime(text_format)} {s:%H:%M:%S}" for s in stamps]
    times = read_times(texts, text_format)
    assert times.ok.all()
    assert np.array_equal(times.us, np.array(stamps, dtype="datetime64[us]").astype(np.int64))
    assert text_format in formats_of(texts)[0]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.datetimes(), min_size=1, max_size=8), st.integers(-14 * 60, 14 * 60))
def test_iso_text_is_read_back_with_and_without_offset(stamps, minutes):
    expected = np.array(stamps, dtype="datetime64[us]").astype(np.int64)
    assert np.array_equal(read_times([s.isoformat() for s in stamps], "iso").us, expected)
    zone = datetime.timezone(datetime.timedelta(minutes=minutes))
    times = read_times([s.replace(tzinfo=zone).isoformat() for s in stamps], "iso-offset")
    assert times.ok.all()
    assert np.array_equal(times.us, expected - minutes * 60_000_000)


@pytest.mark.parametrize(
    "text",
    [
        "2023-02-29",
        "2024-13-01",
        "2024-01-32",
        "2024-01-01 24:00",
        "2024-01-01 10:60",
        "01-02-2024",
        "tomorrow",
        "",
    ],
)
def test_times_that_do_not_exist_are_read_by_no_format(text):
    formats, trouble = formats_of([text])
    assert formats == frozenset()
    assert trouble == (text,)
