"""Calendar fields against plain loops over dates, for every frequency, label and clock."""

from __future__ import annotations

import calendar
import datetime as dt
import json
import math

import holidays as holiday_package
import numpy as np
import pandas as pd
import pytest

from many_models.features.base import Wishes
from many_models.features.calendar import CYCLES, Calendar, Dates
from many_models.features.rows import Rows
from many_models.features.settings import FeatureSettings
from many_models.panel.grid import Frequency, Grid
from many_models.panel.series import Future, Series
from many_models.spec.calendar_fields import CALENDAR_FIELDS

DAY = dt.timedelta(days=1)


def wishes(*fields, style="tree", **settings):
    return Wishes(style, settings=FeatureSettings(calendar=fields, **settings))


def period(stamp, alias, label):
    """First moment of the period of a stamp, and the moment after its last, on the wall clock."""
    if alias == "ME":
        first = stamp.replace(day=1)
        return first, first + pd.DateOffset(months=1)
    if alias == "MS":
        return (
            (stamp, stamp + pd.DateOffset(months=1))
            if label == "start"
            else (stamp - pd.DateOffset(months=1), stamp)
        )
    length = {"D": DAY, "h": dt.timedelta(hours=1), "15min": dt.timedelta(minutes=15)}.get(alias, 7 * DAY)
    if label == "start":
        return stamp, stamp + length
    # A stamped day is the last one of its period; a stamped hour ends there.
    end = stamp + DAY if length >= DAY else stamp
    return end - length, end


def working(day, country=None):
    return day.weekday() < 5 and (country is None or day not in country)


def oracle(first, end, absolute, country=None):
    days = [first.date()]
    while not absolute and dt.datetime.combine(days[-1] + DAY, dt.time()) < end:
        days.append(days[-1] + DAY)
    noons = [d for d in days if first <= dt.datetime.combine(d, dt.time(12)) < end]
    in_month = calendar.monthrange(first.year, first.month)[1]
    year_start = dt.date(first.year, 1, 1)
    since_1970 = (first - dt.datetime(1970, 1, 1)).total_seconds() / 86_400
    found = {
        "year": first.year,
        "half": (first.month - 1) // 6,
        "quarter": (first.month - 1) // 3,
        "month": first.month - 1,
        "iso_week": first.isocalendar()[1] - 1,
        "week_of_year": (first.date() - year_start).days // 7,
        "week_of_month": (first.day - 1) // 7,
        "day_of_year": first.timetuple().tm_yday - 1,
        "day_of_month": first.day - 1,
        "day_of_week": first.weekday(),
        "weekend": first.weekday() >= 5,
        "hour": first.hour,
        "afternoon": first.hour >= 12,
        "minute": first.minute,
        "second": first.second,
        "month_start": any(d.day == 1 for d in days),
        "month_end": any((d + DAY).day == 1 for d in days),
        "days_in_month": in_month,
        "working_days": sum(working(d, country) for d in (days if absolute else noons)),
        "time": since_1970 / 365.2425,
    }
    cycles = {
        "quarter": 4, "month": 12, "week_of_year": 53, "day_of_month": in_month, "day_of_week": 7,
        "day_of_year": 366 if calendar.isleap(first.year) else 365, "hour": 24, "minute": 60, "second": 60,
    }  # fmt: skip
    for name, cycle in cycles.items():
        angle = 2 * math.pi * found[name] / cycle
        found[f"sin_{name}"], found[f"cos_{name}"] = math.sin(angle), math.cos(angle)
    return found


@pytest.mark.parametrize("label", ["start", "end"])
@pytest.mark.parametrize(
    ("alias", "n", "start"),
    [
        ("D", 800, "2019-11-20"),
        ("W-SUN", 260, "2018-12-02"),
        ("W-MON", 260, "2014-12-01"),
        ("W-THU", 120, "2019-12-05"),
        ("MS", 100, "2015-01-01"),
        ("ME", 100, "2015-01-31"),
        ("h", 24 * 70, "2020-02-20"),
        ("15min", 96 * 40, "2023-12-15"),
    ],
)
def test_every_field_is_that_of_a_loop_over_dates(make_series, alias, n, start, label):
    series = make_series(alias, n, start, label)
    stamps = pd.date_range(start, periods=n, freq=alias)
    assert series.grid.stamps(series.ordinals).tolist() == stamps.as_unit("us").asi8.tolist()
    family = Calendar.decide(series, wishes(*CALENDAR_FIELDS))
    found = dict(zip(family.columns, family.build(Rows.past(series)).T, strict=True))
    rows = [
        oracle(*(moment.to_pydatetime() for moment in period(stamp, alias, label)), alias in ("h", "15min"))
        for stamp in stamps
    ]
    for name in rows[0]:
        expected = np.array([float(row[name]) for row in rows])
        if name in found:
            np.testing.assert_allclose(found[name], expected, atol=1e-12, err_msg=name)
        elif name not in ("sin_second", "cos_second"):
            assert np.ptp(expected) < 1e-12, name


@pytest.mark.parametrize(("country", "part"), [("US", None), ("DE", "BY"), ("SA", None)])
@pytest.mark.parametrize(
    ("alias", "label"), [("MS", "start"), ("W-MON", "start"), ("W-SUN", "end"), ("D", "end")]
)
def test_working_days_are_weekdays_less_public_holidays(make_series, country, part, alias, label):
    n = {"D": 500}.get(alias, 90)
    series = make_series(alias, n, "2021-03-01", label)
    family = Calendar.decide(series, wishes("working_days", holidays=((country, part),)))
    place = country if part is None else f"{country}-{part}"
    assert family.columns == (f"working_days_{place}",)
    found = family.build(Rows.past(series))[:, 0]
    closed = holiday_package.country_holidays(country, subdiv=part, years=range(2020, 2031))
    weekend = {4, 5} if country == "SA" else {5, 6}
    for row, (start, end) in enumerate(
        zip(*(e.tolist() for e in series.grid.spans(series.ordinals)), strict=True)
    ):
        days = [start.date() + k * DAY for k in range((end - start).days)]
        assert found[row] == sum(d.weekday() not in weekend and d not in closed for d in days)


def test_working_days_of_several_countries_have_a_column_each_and_categories_change_nothing(make_series):
    series = make_series("MS", 60)
    asked = wishes(
        "working_days", holidays=(("US", None), ("DE", None)), holiday_categories=("public", "unofficial")
    )
    assert Calendar.decide(series, asked).columns == ("working_days_US", "working_days_DE")


def test_hours_are_those_of_the_wall_clock_when_clocks_change(make_series):
    series = make_series("h", 24 * 400, "2023-01-01", zone="Europe/Berlin")
    family = Calendar.decide(series, wishes("hour", "day_of_week", "day_of_year", "afternoon"))
    found = dict(zip(family.columns, family.build(Rows.past(series)).T, strict=True))
    clock = pd.to_datetime(series.grid.stamps(series.ordinals), unit="us", utc=True).tz_convert(
        "Europe/Berlin"
    )
    assert found["hour"].tolist() == clock.hour.tolist()
    assert found["day_of_week"].tolist() == clock.dayofweek.tolist()
    assert found["day_of_year"].tolist() == (clock.dayofyear - 1).tolist()


def test_linear_models_get_indicators_of_what_has_few_values_and_numbers_of_the_rest(make_series):
    series = make_series("D", 900)
    family = Calendar.decide(
        series, wishes("month", "day_of_month", "year", "cyclic_day_of_year", style="linear")
    )
    assert family.columns[:11] == tuple(f"month={m}" for m in range(1, 12))
    assert family.columns[11:41] == tuple(f"day_of_month={d}" for d in range(1, 31))
    assert family.columns[41:] == ("year", "sin_day_of_year", "cos_day_of_year")
    tree = Calendar.decide(series, wishes("month", "day_of_month"))
    assert tree.columns == ("month", "day_of_month")


def test_fields_that_cannot_vary_at_a_frequency_have_no_column(make_series):
    assert Calendar.decide(make_series("MS", 60), wishes("hour", "minute")) is None
    assert Calendar.decide(make_series("D", 60), wishes("hour", "day_of_week")).columns == ("day_of_week",)
    assert Calendar.decide(make_series("D", 60), wishes()) is None


def test_every_field_that_a_configuration_may_name_is_built(make_series):
    dates = Dates(Rows.past(make_series("15min", 10)))
    for name in CALENDAR_FIELDS:
        plain = name.removeprefix("cyclic_")
        if plain not in ("time", "working_days"):
            assert dates.field(plain).shape == (10,)
        if name != plain:
            assert dates.waves(plain).shape == (10, 2)
    assert set(CYCLES) <= set(CALENDAR_FIELDS)


def test_a_row_has_the_same_fields_as_past_and_as_future_and_after_storing(make_series):
    series = make_series("W-SUN", 150, "2019-01-06", label="end")
    family = Calendar.decide(series, wishes(*CALENDAR_FIELDS, holidays=(("US", "CA"),)))
    again = Calendar.from_dict(json.loads(json.dumps(family.to_dict())))
    assert again == family
    whole = family.build(Rows.past(series))
    early = Future(series.grid, series.ordinals[100:], np.empty((50, 0)))
    assert np.array_equal(again.build(Rows.future(early, series.y[:100], series.start + 99)), whole[100:])
    alone = Future(series.grid, series.ordinals[120:121], np.empty((1, 0)))
    assert np.array_equal(again.build(Rows.future(alone, series.y[:100], series.start + 99)), whole[120:121])


def test_a_stored_calendar_with_a_field_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="no field"):
        Calendar.from_dict({"fields": [["moon", []]]})


def test_fields_that_came_round_too_rarely_are_left_out(make_series):
    assert "month" not in Calendar.decide(make_series("D", 400), Wishes("tree")).columns
    assert "month" in Calendar.decide(make_series("D", 1200), Wishes("tree")).columns
    assert Calendar.decide(make_series("YS", 30), Wishes("tree")) is None


def test_an_integer_index_has_no_calendar():
    n, grid = 400, Grid(Frequency.parse("h"), integer=True)
    none = np.empty((n, 0))
    series = Series(grid, 1, np.ones(n), np.ones(n, bool), none, none, np.empty(0))
    assert Calendar.decide(series, Wishes("linear", season=24)) is None
    assert Calendar.decide(series, wishes("hour")) is None


def test_indicators_leave_one_value_as_the_base(make_series):
    series = make_series("D", 100)
    family = Calendar.decide(series, Wishes("linear", settings=FeatureSettings(fourier=0)))
    assert family.columns == tuple(f"day_of_week={d}" for d in range(1, 7))
    table = family.build(Rows.past(series))
    days = series.grid.wall(series.ordinals).astype("datetime64[D]").tolist()
    weekday = np.array([d.weekday() for d in days])
    assert np.array_equal(table, weekday[:, None] == np.arange(1, 7))
