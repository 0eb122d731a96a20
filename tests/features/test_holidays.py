"""Holidays against plain loops over days and the package's own calendars."""

from __future__ import annotations

import datetime as dt
import json

import holidays as holiday_package
import numpy as np
import pandas as pd
import pytest

from many_models.errors import LearnerError
from many_models.features.base import Wishes
from many_models.features.holidays import (
    Holidays,
    Place,
    _named_in,
    named_days,
    period_edges,
    place_of,
    places_of,
)
from many_models.features.rows import Rows
from many_models.features.settings import FeatureSettings
from many_models.panel.series import Future

DAY = dt.timedelta(days=1)
US = (("US", None),)


def decided(series, *pairs, **settings):
    return Holidays.decide(series, Wishes("tree", settings=FeatureSettings(holidays=pairs, **settings)))


def table_of(series, family):
    return dict(zip(family.columns, family.build(Rows.past(series)).T, strict=True))


def counted(start, end, calendar):
    """Days of the calendar that overlap the wall-clock period [start, end)."""
    found, day = 0, start.date() - DAY
    while day <= end.date():
        begin = dt.datetime.combine(day, dt.time())
        found += begin < end and begin + DAY > start and day in calendar
        day += DAY
    return found


@pytest.mark.parametrize("label", ["start", "end"])
@pytest.mark.parametrize(
    ("alias", "n"),
    [("D", 400), ("W-SUN", 120), ("W-THU", 120), ("MS", 60), ("ME", 60), ("h", 960), ("15min", 2000)],
)
def test_holidays_are_counted_inside_the_period(make_series, alias, n, label):
    series = make_series(alias, n, "2020-12-17", label)
    found = table_of(series, decided(series, *US, ("DE", "BY")))
    calendar = holiday_package.country_holidays("US", years=range(2018, 2032))
    starts, ends = series.grid.spans(series.ordinals)
    expected = [counted(*pair, calendar) for pair in zip(starts.tolist(), ends.tolist(), strict=True)]
    assert found["holiday_US"].tolist() == expected


def test_a_week_that_starts_on_its_stamp_holds_the_holidays_of_the_days_after_it(make_series):
    """Thanksgiving 2021 was Thursday, November 25th: the week that starts on that stamp holds it."""
    begins = make_series("W-THU", 120, "2020-01-02", label="start")
    ends = make_series("W-THU", 120, "2020-01-02", label="end")
    stamps = pd.to_datetime(begins.grid.stamps(begins.ordinals), unit="us")
    row = int(np.flatnonzero(stamps == pd.Timestamp("2021-11-25"))[0])
    names = {"holiday_names": True}
    at_start = table_of(begins, decided(begins, *US, **names))["holiday=Christmas Day"]
    at_end = table_of(ends, decided(ends, *US, **names))["holiday=Christmas Day"]
    christmas = [
        int(np.flatnonzero(stamps == stamp)[0]) for stamp in map(pd.Timestamp, ["2020-12-24", "2021-12-23"])
    ]
    assert np.flatnonzero(at_start).tolist() == christmas
    assert np.flatnonzero(at_end).tolist() == [christmas[0] + 1, christmas[1] + 1]
    assert table_of(begins, decided(begins, *US))["holiday_US"][row] == 1


def test_the_days_around_a_holiday_have_columns_on_daily_series(make_series):
    series = make_series("D", 366)
    family = decided(series, *US)
    assert family.columns == ("holiday_US", "holiday_eve_US", "holiday_after_US")
    day, eve, after = family.build(Rows.past(series)).T
    assert np.array_equal(eve[:-1], day[1:])
    assert np.array_equal(after[1:], day[:-1])
    assert decided(series, *US, holiday_before=0, holiday_after=0).columns == ("holiday_US",)


@pytest.mark.parametrize(
    ("alias", "rows_per_shift"), [("D", 1), ("h", 24), ("W-MON", 1), ("MS", 1), ("B", 1)]
)
@pytest.mark.parametrize("label", ["start", "end"])
def test_windows_reach_days_for_hours_and_periods_for_weeks_and_months(
    make_series, alias, rows_per_shift, label
):
    series = make_series(alias, {"h": 2400}.get(alias, 200), "2019-11-04", label)
    found = table_of(series, decided(series, *US, holiday_before=3, holiday_after=2))
    day = found["holiday_US"]
    assert list(found)[1:] == [
        "holiday_eve_US", "holiday_eve2_US", "holiday_eve3_US", "holiday_after_US", "holiday_after2_US"
    ]  # fmt: skip
    for distance, kind in ((1, "eve"), (2, "eve2"), (3, "eve3")):
        shift = distance * rows_per_shift
        assert np.array_equal(found[f"holiday_{kind}_US"][:-shift], day[shift:])
    for distance, kind in ((1, "after"), (2, "after2")):
        shift = distance * rows_per_shift
        assert np.array_equal(found[f"holiday_{kind}_US"][shift:], day[:-shift])


@pytest.mark.parametrize(
    "zone", ["Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Tokyo", "Asia/Beirut"]
)
def test_hours_of_a_holiday_are_those_of_its_day_on_the_wall_clock(make_series, zone):
    """Among them the days of a clock change, and clocks that skip midnight."""
    series = make_series("h", 24 * 400, "2017-09-20", zone=zone)
    found = table_of(series, decided(series, ("BR", None), ("LB", None), ("US", None)))
    clock = pd.to_datetime(series.grid.stamps(series.ordinals), unit="us", utc=True).tz_convert(zone)
    for country in ("BR", "LB", "US"):
        calendar = holiday_package.country_holidays(country, years=range(2017, 2020))
        assert found[f"holiday_{country}"].tolist() == [moment.date() in calendar for moment in clock]


def test_an_hour_before_a_skipped_midnight_is_no_hour_of_the_next_day(make_series):
    """Midnight of 2017-03-26 was skipped in Beirut; the hour before is none of that day."""
    series = make_series("h", 6, "2017-03-25T20:00", zone="Asia/Beirut")
    start, end = period_edges(series.grid, series.ordinals)
    wall = [str(np.datetime64(int(moment), "us"))[:16] for moment in end]
    assert "2017-03-26T00:00" in wall
    assert "2017-03-26T02:00" in wall
    assert (end > start).all()


def test_each_holiday_of_two_years_has_a_column_of_its_own(make_series):
    series = make_series("D", 1100, "2021-01-01")
    found = table_of(series, decided(series, ("US", None), ("DE", None), holiday_names=True))
    names = {name for name in found if name.startswith("holiday=")}
    calendars = [
        holiday_package.country_holidays(code, years=range(2021, 2024), language="en_US")
        for code in ("US", "DE")
    ]
    days = series.grid.wall(series.ordinals).astype("datetime64[D]").tolist()
    for name in names:
        plain = name.removeprefix("holiday=")
        oracle = [
            any(plain in (n.removesuffix(" (observed)") for n in c.get_list(day)) for c in calendars)
            for day in days
        ]
        assert found[name].tolist() == oracle, name
    assert {"holiday=Christmas Day", "holiday=German Unity Day", "holiday=Thanksgiving Day"} <= names


def test_names_are_stable_and_in_english_where_there_are_english_ones(make_series):
    series = make_series("D", 1500, "2020-01-01")
    family = decided(series, ("TH", None), ("TR", None), ("CN", None), holiday_names=True)
    assert not [
        name for name in family.names if "observed" in name or "estimated" in name or "substituted" in name
    ]
    assert "Eid al-Fitr" in family.names


@pytest.mark.parametrize("language", ["C", "th", "de"])
def test_the_language_of_the_machine_changes_no_name(monkeypatch, language):
    places = tuple(Place(code) for code in ("TH", "DE", "GU", "NZ", "MH"))
    before = list(named_days(places, 2023, 2024))
    monkeypatch.setenv("LANGUAGE", language)
    _named_in.cache_clear()
    named_days.cache_clear()
    assert list(named_days(places, 2023, 2024)) == before


def test_a_holiday_of_one_year_has_no_column_of_its_own(make_series):
    short = make_series("D", 300, "2021-02-01")
    assert decided(short, *US, holiday_names=True).names == ()
    monthly = decided(make_series("MS", 60, "2012-01-01"), *US, holiday_names=True).names
    assert {"Christmas Day", "Labor Day"} <= set(monthly)


def test_categories_have_columns_of_their_own_where_the_country_has_them(make_series):
    series = make_series("D", 700, "2021-01-01")
    settings = FeatureSettings(
        holidays=(("US", None), ("DE", None)), holiday_categories=("public", "government")
    )
    assert places_of(settings) == (Place("US"), Place("US", None, "government"), Place("DE"))
    family = Holidays.decide(series, Wishes("tree", settings=settings))
    found = table_of(series, family)
    calendar = holiday_package.country_holidays("US", years=range(2020, 2024), categories="government")
    days = series.grid.wall(series.ordinals).astype("datetime64[D]").tolist()
    assert found["holiday_US_government"].tolist() == [day in calendar for day in days]


@pytest.mark.parametrize("country", ["US", "AE"])
def test_paid_days_off_are_public_holidays_on_working_days(make_series, country):
    series = make_series("D", 1500, "2020-01-01")
    settings = FeatureSettings(holidays=((country, None),), holiday_categories=("public", "paid"))
    found = table_of(series, Holidays.decide(series, Wishes("tree", settings=settings)))
    calendar = holiday_package.country_holidays(country, years=range(2019, 2026))
    days = series.grid.wall(series.ordinals).astype("datetime64[D]").tolist()
    # The weekend of the Emirates is told by the package: Friday and Saturday until the end of 2021.
    rest = [{5, 6} if country == "US" or day.year > 2021 else {4, 5} for day in days]
    paid = [day in calendar and day.weekday() not in off for day, off in zip(days, rest, strict=True)]
    assert found[f"holiday_{country}_paid"].tolist() == paid
    assert 0 < sum(paid) < found[f"holiday_{country}"].sum()


def test_a_country_without_holidays_has_a_stable_code(make_series):
    with pytest.raises(LearnerError) as caught:
        decided(make_series("D", 50), ("XX", None))
    assert caught.value.code == "HOLIDAYS_UNKNOWN"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("US", ("US", None)),
        (" DE-BY ", ("DE", "BY")),
        ("US-XX", None),
        ("us", None),
        ("", None),
        ("Germany", None),
    ],
)
def test_texts_of_a_column_of_countries_are_places(text, place):
    assert place_of(text) == place


def test_years_read_one_by_one_hold_what_the_package_holds_for_all():
    for code in ("US", "GB", "JP", "SA", "BR"):
        together = holiday_package.country_holidays(code, years=range(2015, 2027))
        found = np.concatenate(list(named_days((Place(code),), 2015, 2026).values()))
        days = {dt.date(1970, 1, 1) + int(day) * DAY for day in found}
        assert days == {day for day in together if 2015 <= day.year <= 2026}


def test_a_row_has_the_same_holidays_as_past_and_as_future_and_after_storing(make_series):
    series = make_series("D", 900, "2020-06-01")
    family = decided(series, ("US", "CA"), ("DE", None), holiday_names=True, holiday_before=3)
    again = Holidays.from_dict(json.loads(json.dumps(family.to_dict())))
    assert again == family
    whole = family.build(Rows.past(series))
    later = Future(series.grid, series.ordinals[880:], np.empty((20, 0)))
    assert np.array_equal(again.build(Rows.future(later, series.y[:880], series.start + 879)), whole[880:])
    for row in (881, 899):
        one = Future(series.grid, series.ordinals[row : row + 1], np.empty((1, 0)))
        assert np.array_equal(
            again.build(Rows.future(one, series.y[:880], series.start + 879))[0], whole[row]
        )
    assert family.build(Rows.past(series.tail(0))).shape == (0, len(family.columns))


def test_yearly_data_and_an_integer_index_have_no_holidays(make_series):
    assert decided(make_series("YS", 30), *US) is None
    assert decided(make_series("3", 30, "1970-01-01"), *US) is None
