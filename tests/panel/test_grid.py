from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.errors import InputError
from many_models.panel.grid import Frequency, Grid
from many_models.panel.zones import DAY_US, from_wall, to_wall, wall_trouble

ALIASES = (
    ["s", "5s", "min", "15min", "30min", "h", "6h", "24h", "D", "B", "MS", "ME"]
    + [f"W-{d}" for d in ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")]
    + [f"{b}-{m}" for b in ("QS", "QE") for m in ("JAN", "FEB", "OCT", "DEC")]
    + [f"{b}-{m}" for b in ("YS", "YE") for m in ("JAN", "FEB", "JUL", "DEC")]
)
ZONES = [
    None,
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "America/Havana",
    "America/St_Johns",
]


def micros(text):
    return np.array(text, dtype="datetime64[us]").astype(np.int64)


@pytest.mark.parametrize("alias", ALIASES)
@pytest.mark.parametrize(
    "start", ["1500-01-01", "1899-11-28 13:05", "1999-12-31", "2020-02-28", "2200-01-01"]
)
def test_stamps_follow_pandas_ranges(alias, start):
    first = pd.Timestamp(start).as_unit("us")
    if alias in ("D", "B") or alias.split("-")[0] in ("W", "MS", "ME", "QS", "QE", "YS", "YE"):
        first = first.normalize()
    if first.year < 1678 or first.year > 2190:
        stamps, when = [], first
        offset = pd.tseries.frequencies.to_offset(alias)
        when = offset.rollforward(when) if alias not in ("D",) and alias[-1:] not in "hsn" else when
        for _ in range(30):
            stamps.append(when.to_datetime64())
            when = when + offset
        expected = np.array(stamps, dtype="datetime64[us]").astype(np.int64)
    else:
        expected = pd.date_range(first, periods=60, freq=alias).as_unit("us").asi8
    grid = Grid.through(int(expected[0]), Frequency.parse(alias))
    ordinals = grid.ordinals(expected)
    assert np.array_equal(ordinals, np.arange(ordinals[0], ordinals[0] + len(expected)))
    assert np.array_equal(grid.stamps(ordinals), expected)
    assert grid.on_grid(expected).all()


@settings(max_examples=300, deadline=None)
@given(
    alias=st.sampled_from(ALIASES),
    zone=st.sampled_from(ZONES),
    t=st.integers(int(micros("1500-01-01")), int(micros("2200-01-01"))),
    label=st.sampled_from(["start", "end"]),
)
def test_ordinal_to_stamp_to_ordinal(alias, zone, t, label):
    grid = Grid.through(t, Frequency.parse(alias), zone, label)
    ordinals = int(grid.ordinals([t])[0]) + np.arange(-400, 400)
    stamps = grid.stamps(ordinals)
    assert np.array_equal(grid.ordinals(stamps), ordinals)
    assert (np.diff(stamps) > 0).all()
    start, end = grid.spans(ordinals)
    assert (end > start).all() or zone is not None
    if alias != "B" and not grid.frequency.is_absolute:
        assert (start[1:] == end[:-1]).all()
        middle = start.astype(np.int64) + (end - start).astype(np.int64) // 2
        assert np.array_equal(grid.containing(from_wall(middle, zone)), ordinals)
    assert Grid.from_dict(json.loads(json.dumps(grid.to_dict()))) == grid


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from([z for z in ZONES if z]),
    t=st.lists(st.integers(int(micros("1950-01-01")), int(micros("2037-01-01"))), min_size=1, max_size=30),
)
def test_wall_clock_is_that_of_pandas(zone, t):
    moments = np.array(t, dtype=np.int64)
    index = pd.DatetimeIndex(moments.astype("datetime64[us]")).tz_localize("UTC").tz_convert(zone)
    wall = to_wall(moments, zone)
    assert np.array_equal(wall, index.tz_localize(None).as_unit("us").asi8)
    back = from_wall(wall, zone)
    _, twice = wall_trouble(wall, zone)
    second = from_wall(wall, zone, np.ones(len(wall), dtype=bool))
    assert ((back == moments) | twice).all()
    assert ((back == moments) | (second == moments)).all()


def test_hour_that_does_not_exist_moves_forward_and_hour_that_comes_twice_is_its_first():
    gap = micros(["2021-03-28T02:30"])
    assert from_wall(gap, "Europe/Berlin")[0] == micros("2021-03-28T01:30")
    twice = micros(["2021-10-31T02:30"])
    assert from_wall(twice, "Europe/Berlin")[0] == micros("2021-10-31T00:30")
    assert from_wall(twice, "Europe/Berlin", np.array([True]))[0] == micros("2021-10-31T01:30")
    missing, double = wall_trouble(np.concatenate([gap, twice, gap + DAY_US]), "Europe/Berlin")
    assert missing.tolist() == [True, False, False]
    assert double.tolist() == [False, True, False]


def test_daylight_saving_rules_go_on_after_2037():
    summer = micros(["2099-07-01T12:00"])
    assert to_wall(summer, "Europe/Berlin")[0] == micros("2099-07-01T14:00")


def test_phase_keeps_days_at_six_and_months_on_the_fifteenth():
    at_six = micros(["2024-03-09T06:00", "2024-03-10T06:00", "2024-03-11T06:00"])
    grid = Grid.through(int(at_six[0]), Frequency.parse("D"))
    assert grid.on_grid(at_six).all()
    fifteenth = micros(["2024-01-15", "2024-02-15", "2024-03-15", "2023-12-15"])
    grid = Grid(Frequency.parse("MS"), None, 14 * DAY_US)
    assert grid.on_grid(fifteenth).all()
    assert np.diff(grid.ordinals(fifteenth)).tolist() == [1, 1, -3]


def test_local_days_are_cut_in_the_zone_over_daylight_saving():
    local = pd.date_range("2024-03-08", periods=5, freq="D", tz="America/New_York")
    t = local.as_unit("us").asi8
    grid = Grid.through(int(t[0]), Frequency.parse("D"), "America/New_York")
    assert grid.on_grid(t).all()
    assert np.diff(grid.ordinals(t)).tolist() == [1] * 4
    hourly = Grid.through(int(t[0]), Frequency.parse("h"), "America/New_York")
    assert np.diff(hourly.ordinals(t)).tolist() == [24, 24, 23, 24]


def test_label_end_of_a_week_counts_the_stamped_day_in():
    thursday = micros("2024-02-01")
    grid = Grid(Frequency.parse("W-THU"), label="end")
    start, end = grid.spans(grid.ordinals([thursday]))
    assert str(start[0])[:10] == "2024-01-26"
    assert str(end[0])[:10] == "2024-02-02"
    days = pd.date_range("2024-01-26", "2024-02-01").as_unit("us").asi8
    assert (grid.stamps(grid.containing(days)) == thursday).all()
    ours = pd.Series(1, pd.date_range("2024-01-01", "2024-03-01"))
    weekly = ours.resample("W-THU").sum()
    t = grid.stamps(grid.containing(ours.index.as_unit("us").asi8))
    assert ours.groupby(t).sum().tolist() == weekly.tolist()


def test_month_end_labels_its_own_month():
    grid = Grid(Frequency.parse("ME"))
    start, end = grid.spans(grid.ordinals(micros(["2024-02-29"])))
    assert (str(start[0])[:10], str(end[0])[:10]) == ("2024-02-01", "2024-03-01")


@pytest.mark.parametrize(
    ("alias", "season", "kind"),
    [
        ("YS", 1, "year"),
        ("YE-JUN", 1, "year"),
        ("QS-OCT", 4, "quarter"),
        ("QE", 4, "quarter"),
        ("MS", 12, "month"),
        ("ME", 12, "month"),
        ("W-THU", 1, "week"),
        ("D", 7, "day"),
        ("B", 1, "business"),
        ("h", 24, "hour"),
        ("60min", 24, "hour"),
        ("15min", 1, "minute"),
        ("s", 1, "second"),
        ("1", 1, "integer"),
        ("N", 1, "integer"),
        ("2QS-JAN", 1, "half"),
        ("7D", 1, "day"),
    ],
)
def test_season_of_mase(alias, season, kind):
    frequency = Frequency.parse(alias)
    assert (frequency.season, frequency.kind) == (season, kind)
    assert Frequency.parse(frequency.alias) == frequency


def test_candidate_seasons():
    seasons = {
        a: Frequency.parse(a).seasons for a in ("h", "15min", "D", "W-MON", "MS", "QE", "YS", "2h", "30min")
    }
    assert seasons == {
        "h": (24, 168),
        "15min": (96, 672),
        "D": (7, 365),
        "W-MON": (52,),
        "MS": (12,),
        "QE": (4,),
        "YS": (),
        "2h": (12, 84),
        "30min": (48, 336),
    }


@pytest.mark.parametrize(
    ("alias", "advice"),
    [
        ("H", "write h"),
        ("M", "write ME"),
        ("15T", "write 15min"),
        ("Q-OCT", "write QE-OCT"),
        ("A", "write YE"),
        ("W-THR", "W-THU"),
        ("weekly", "write W"),
        ("hourly", "write h"),
        ("xqzzz", "use one of"),
        ("", "write a number"),
        ("0h", "starts at 1"),
        ("D-MON", "write D"),
    ],
)
def test_unknown_alias_is_refused_with_advice(alias, advice):
    with pytest.raises(InputError) as caught:
        Frequency.parse(alias)
    assert advice in str(caught.value)
    assert "data.frequency" in str(caught.value)


def test_integer_index_with_a_calendar_alias_has_season_but_no_calendar():
    grid = Grid(Frequency.parse("QS"), integer=True)
    assert grid.frequency.season == 4
    assert not grid.has_calendar
    assert grid.stamps(grid.ordinals([1, 2, 5])).tolist() == [1, 2, 5]
    with pytest.raises(InputError, match="integer time index"):
        grid.wall([1])
    steps = Grid.through(7, Frequency.parse("5"))
    assert steps.on_grid([2, 7, 12, 13]).tolist() == [True, True, True, False]


def test_damaged_grid_is_refused():
    good = Grid(Frequency.parse("D")).to_dict()
    for bad in ({}, good | {"zone": "Mars/Olympus"}, good | {"label": "middle"}, good | {"step": 0}):
        with pytest.raises(InputError):
            Grid.from_dict(bad)


@pytest.mark.parametrize("alias", ["h", "D", "B", "W-THU", "ME", "QS-JAN"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_one_ordinal_is_as_good_as_many(alias, zone):
    grid = Grid(Frequency.parse(alias), zone)
    assert int(grid.stamps(500)) == grid.stamps([500])[0]
    assert int(grid.ordinals(int(grid.stamps(500)))) == 500
    assert grid.wall(500) == grid.wall([500])[0]
    assert grid.spans(500)[1] == grid.spans([500])[1][0]
    assert bool(grid.on_grid(int(grid.stamps(500))))
