from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.panel.frequency import (
    fit_grid,
    infer_frequency,
    panel_frequency,
    same_frequency,
)
from many_models.panel.grid import Frequency
from many_models.panel.zones import DAY_US

RANGES = [
    ("s", "s"),
    ("5s", "5s"),
    ("min", "min"),
    ("15min", "15min"),
    ("h", "h"),
    ("6h", "6h"),
    ("D", "D"),
    ("3D", "3D"),
    ("B", "B"),
    ("W-MON", "W-MON"),
    ("W-THU", "W-THU"),
    ("W-SUN", "W-SUN"),
    ("2W-WED", "2W-WED"),
    ("MS", "MS"),
    ("ME", "ME"),
    ("QS-JAN", "QS-JAN"),
    ("QS-OCT", "QS-JAN"),
    ("QS-FEB", "QS-FEB"),
    ("QE-DEC", "QE-DEC"),
    ("QE-JAN", "QE-OCT"),
    ("2QS-JAN", "2QS-JAN"),
    ("YS-JAN", "YS-JAN"),
    ("YS-JUL", "YS-JUL"),
    ("YE-DEC", "YE-DEC"),
    ("YE-JUN", "YE-JUN"),
    ("YE-FEB", "YE-FEB"),
]


def micros(index):
    return pd.DatetimeIndex(index).as_unit("us").asi8


@pytest.mark.parametrize(("alias", "expected"), RANGES)
@pytest.mark.parametrize("hour", [0, 6])
def test_regular_stamps_give_their_frequency_and_phase(alias, expected, hour):
    days = pd.date_range("1990-01-01", periods=40, freq=alias) + pd.Timedelta(hours=hour)
    found = infer_frequency(micros(days))
    assert found.share == 1.0
    assert same_frequency(found.frequency, Frequency.parse(expected))
    assert np.array_equal(np.diff(found.grid.ordinals(micros(days))), np.ones(39))


@settings(max_examples=80, deadline=None)
@given(
    alias=st.sampled_from(
        ["min", "15min", "h", "D", "W-THU", "MS", "ME", "QS-JAN", "QE-DEC", "YS-JAN", "YE-DEC"]
    ),
    seed=st.integers(0, 10_000),
)
def test_gaps_do_not_change_the_frequency(alias, seed):
    rng = np.random.default_rng(seed)
    full = micros(pd.date_range("1950-01-01", periods=60, freq=alias))
    kept = np.sort(rng.choice(full, 45, replace=False))
    found = infer_frequency(kept)
    assert same_frequency(found.frequency, Frequency.parse(alias))
    assert found.share == 1.0


def test_three_stamps_are_enough_and_two_are_not():
    weeks = micros(["2024-01-04", "2024-01-11", "2024-01-18"])
    assert infer_frequency(weeks).frequency.alias == "W-THU"
    assert infer_frequency(weeks[:2]) is None
    months = micros(["2024-01-01", "2024-02-01", "2024-03-01"])
    assert infer_frequency(months).frequency.alias == "MS"


def test_months_stamped_on_the_fifteenth_and_years_in_may():
    found = infer_frequency(micros([f"2024-{m:02}-15" for m in range(1, 9)]))
    assert (found.frequency.alias, found.grid.phase_us) == ("MS", 14 * DAY_US)
    found = infer_frequency(micros([f"{y}-05-20" for y in range(1990, 2000)]))
    assert (found.frequency.alias, found.share) == ("YS-MAY", 1.0)


def test_one_odd_stamp_in_twenty_is_off_the_grid():
    weeks = list(micros(pd.date_range("2020-01-02", periods=40, freq="W-THU")))
    weeks[20] += DAY_US
    found = infer_frequency(np.array(weeks))
    assert found.frequency.alias == "W-THU"
    assert found.share == pytest.approx(39 / 40)


def test_business_days_need_three_weeks_without_a_weekend():
    days = pd.bdate_range("2024-01-01", periods=30)
    assert infer_frequency(micros(days)).frequency.alias == "B"
    assert infer_frequency(micros(days[:9])).frequency.alias == "D"
    with_saturday = days.append(pd.DatetimeIndex(["2024-01-06", "2024-01-13"])).sort_values()
    assert infer_frequency(micros(with_saturday)).frequency.alias == "D"


def test_local_days_over_daylight_saving_are_days():
    local = pd.date_range("2024-01-01", periods=300, freq="D", tz="America/New_York")
    found = infer_frequency(local.as_unit("us").asi8, "America/New_York")
    assert (found.frequency.alias, found.share) == ("D", 1.0)
    hours = pd.date_range("2024-01-01", periods=6000, freq="h", tz="America/New_York")
    assert infer_frequency(hours.as_unit("us").asi8, "America/New_York").frequency.alias == "h"


def test_integer_steps():
    assert infer_frequency(np.arange(1, 20), integer=True).frequency.alias == "1"
    assert infer_frequency(np.array([1990, 1995, 2000, 2010]), integer=True).frequency.alias == "5"
    assert infer_frequency(np.array([1, 3, 4, 9]), integer=True).frequency.alias == "1"


def test_irregular_stamps_say_so_by_their_share():
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 400 * DAY_US, 200))
    assert infer_frequency(t).share < 0.5


def test_panel_frequency_is_that_of_most_series():
    week = micros(pd.date_range("2020-01-02", periods=30, freq="W-THU"))
    month = micros(pd.date_range("2020-01-01", periods=30, freq="MS"))
    assert panel_frequency([week, month, week[:20]]).alias == "W-THU"
    assert panel_frequency([week[:2], week[2:4]]).alias == "W-THU"
    assert panel_frequency([]).alias == "D"
    assert panel_frequency([[1, 2], [3]], integer=True).alias == "1"
    assert panel_frequency([week[::-1]]).alias == "W-THU"


def test_fit_keeps_weeks_on_the_named_day():
    friday = micros(pd.date_range("2020-01-03", periods=30, freq="W-FRI"))
    assert fit_grid(friday, Frequency.parse("W-THU")).share == 0.0
    assert fit_grid(friday, Frequency.parse("W-FRI")).share == 1.0
    fortnight = micros(pd.date_range("2020-01-03", periods=30, freq="2W-FRI"))
    assert fit_grid(fortnight, Frequency.parse("2W-FRI")).share == 1.0


def test_real_series_have_the_frequency_their_owners_say(real_data):
    oj = pd.read_parquet(real_data / "oj" / "oj_weekly.parquet")
    groups = [micros(g["WeekStarting"]) for _, g in oj.groupby(["Store", "Brand"])]
    assert panel_frequency(groups).alias == "W-THU"
    tourism = pd.read_parquet(real_data / "tourism_au" / "tourism_au_quarterly.parquet")
    assert panel_frequency([micros(tourism["Quarter"])]).kind == "quarter"
    nyc = pd.read_parquet(real_data / "notebooks" / "nyc_energy.parquet")
    found = infer_frequency(micros(pd.to_datetime(nyc["timeStamp"])))
    assert (found.frequency.alias, found.share) == ("h", 1.0)
