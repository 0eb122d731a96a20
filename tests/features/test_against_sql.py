"""Features against an oracle that shares no code with them: SQL in SQLite, from the rows as they came in.

Random panels have absent rows, missing values, columns with odd names, leap days, both changes of the
clock and years that begin inside an ISO week.
"""

from __future__ import annotations

import sqlite3

import holidays
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from many_models.engines.reading import canonical_table, read_table
from many_models.features.base import Wishes
from many_models.features.calendar import Calendar
from many_models.features.holidays import Holidays, Place
from many_models.features.plan import FeaturePlan
from many_models.features.rows import Rows
from many_models.features.settings import CovariateSettings, FeatureSettings, WindowSettings
from many_models.panel.context import context_layout, sibling_names, siblings_of, with_context
from many_models.panel.grid import Frequency, Grid
from many_models.panel.keys import SeriesKey
from many_models.panel.preparation import PrepareSettings, prepare
from many_models.panel.series import Series
from many_models.spec import ForecastSpec

PRICE, ADVERT, SOLD, SHOP, BRAND = 'price "net"; €/kg', "ad vert'", "sold [units]", "Shop #", "brand,name"
DAYS, BRANDS, HORIZON = 90, ("a", "b", "c"), 6
SPEC = ForecastSpec.from_dict(
    {
        "data": {
            "time": "day", "target": SOLD, "series": [SHOP, BRAND], "known": [PRICE, ADVERT],
            "context": {"by": [SHOP], "columns": [PRICE]}, "frequency": "D",
        },
        "forecast": {"horizon": HORIZON},
        "preparation": {"impute": {SOLD: "forward", PRICE: "forward", ADVERT: "forward"}},
    }
)  # fmt: skip
ASKED = FeatureSettings(
    lags=(1, 3, 7),
    windows=WindowSettings((4, 9), ("mean", "min", "max", "sum", "std", "nonzeros"), 2),
    covariates=CovariateSettings(
        lags=((None, (2,)),), leads=((None, (1,)),), differences=((PRICE, (3,)),), relative=((PRICE, (5,)),)
    ),
    context=("relative", "mean", "min", "above_min"),
)


def panel(seed):
    """Two shops of three brands over a leap day, with absent rows and missing values."""
    rng = np.random.default_rng(seed)
    days = pd.date_range("2024-01-15", periods=DAYS, freq="D")
    keys = pd.MultiIndex.from_product([[1, 2], BRANDS, days], names=[SHOP, BRAND, "day"])
    frame = keys.to_frame(index=False)
    n = len(frame)
    frame[PRICE] = rng.choice([0.9, 1.0, 1.25, 1.7], n)
    frame[ADVERT] = rng.integers(0, 2, n).astype(bool)
    frame[SOLD] = rng.poisson(2, n).astype(float)
    frame.loc[rng.uniform(size=n) < 0.05, SOLD] = np.nan
    frame.loc[rng.uniform(size=n) < 0.05, PRICE] = np.nan
    edge = frame["day"].isin(days[[0, -1]])
    frame = frame[(rng.uniform(size=n) > 0.08) | edge]
    # the ends stay, so that the history is that of all days
    frame.loc[frame["day"].isin(days[[0, -1]]), [SOLD, PRICE]] = [1.0, 1.0]
    return frame.sample(frac=1.0, random_state=seed)


def built(frame, steps):
    """The features of one series, each row seen from so many steps before."""
    rows, layout = canonical_table(read_table(frame, SPEC.data), SPEC.data, None)
    if layout.context is None:
        layout = context_layout(layout, SPEC.data, siblings_of(rows, sibling_names(layout, SPEC.data)))
        rows = with_context(rows, layout)
    own = rows[(rows["k0"] == 2) & (rows["k1"] == "b")]
    prepared = prepare(own, SeriesKey((SHOP, BRAND), (2, "b")), layout, PrepareSettings.of(SPEC, "D"))
    series = prepared.train(prepared.length)
    wishes = Wishes("tree", 7, HORIZON, ASKED)
    plan = FeaturePlan.decide(series, wishes, ("lags", "windows", "covariates", "context"))
    table = plan.build(Rows.training(series, series.y, steps, np.arange(DAYS), 0))
    return pd.DataFrame(table, columns=plan.columns)


LAST = "(select i.{0} from own i where i.n <= o.n and i.{0} is not null order by i.n desc limit 1)"
"""The last value that there is, for holes that are filled forward."""

ORACLE = f"""
with recursive days(n, day) as (
    select 0, date('2024-01-15') union all select n + 1, date(day, '+1 day') from days where n < {DAYS} - 1
), own as (
    select d.n, r.sold, r.price, r.advert, s.low, s.mean
    from days d
    left join rows r on r.day = d.day and r.shop = 2 and r.brand = 'b'
    left join (
        select r.day, min(o.price) as low, avg(o.price) as mean from rows r
        join rows o on o.day = r.day and o.shop = r.shop and o.brand <> r.brand
        where r.shop = 2 and r.brand = 'b' group by r.day
    ) s on s.day = r.day
), series as (
    select n,
        {LAST.format("sold")} as y,
        {LAST.format("price")} as price,
        {LAST.format("advert")} as advert,
        {LAST.format("low")} as low,
        {LAST.format("mean")} as mean
    from own o
), around as (
    select n,
        lag(price, 2) over w as price_2, lead(price, 1) over w as price_1,
        price - lag(price, 3) over w as change,
        lag(advert, 2) over w as advert_2, lead(advert, 1) over w as advert_1,
        price / avg(price) over (w rows between 5 preceding and 1 preceding) as to_mean,
        price / max(price) over (w rows between 5 preceding and 1 preceding) as to_max
    from series window w as (order by n)
), rolling as (
    select n,
        avg(y) over four as mean4, min(y) over four as min4, max(y) over four as max4,
        sum(y) over four as sum4,
        avg(y * y) over four - avg(y) over four * avg(y) over four as var4,
        sum(y <> 0) over four as nonzeros4,
        avg(y) over nine as mean9, min(y) over nine as min9, max(y) over nine as max9,
        sum(y) over nine as sum9,
        avg(y * y) over nine - avg(y) over nine * avg(y) over nine as var9,
        sum(y <> 0) over nine as nonzeros9
    from series
    window four as (order by n rows between 3 preceding and current row),
           nine as (order by n rows between 8 preceding and current row)
)
select t.n,
    (select y from series where n = t.n - 1 * ((t.step + 0) / 1)) as lag1,
    (select y from series where n = t.n - 3 * ((t.step + 2) / 3)) as lag3,
    (select y from series where n = t.n - 7 * ((t.step + 6) / 7)) as lag7,
    r.*,
    (select avg(y) from (select y from series
        where n <= t.n - t.step and (t.n - n) % 7 = 0 order by n desc limit 2)) as seasonal,
    s.price, s.advert, s.low, s.mean, a.*
from steps t join rolling r on r.n = t.n - t.step join series s on s.n = t.n join around a on a.n = t.n
order by t.n
"""


def asked(frame, steps):
    """What SQLite says of the same rows."""
    base = sqlite3.connect(":memory:")
    base.execute("create table rows (day text, shop int, brand text, price real, advert real, sold real)")
    rows = zip(
        frame["day"].dt.strftime("%Y-%m-%d"), frame[SHOP], frame[BRAND], frame[PRICE],
        frame[ADVERT].astype(float), frame[SOLD], strict=True,
    )  # fmt: skip
    base.executemany("insert into rows values (?, ?, ?, ?, ?, ?)", [tuple(row) for row in rows])
    base.execute("create table steps (n int, step int)")
    base.executemany("insert into steps values (?, ?)", list(enumerate(steps.tolist())))
    found = pd.DataFrame(base.execute(ORACLE).fetchall())
    base.close()
    names = ["n", "lag1", "lag3", "lag7", "at"]
    names += [
        f"{kind}{width}" for width in (4, 9) for kind in ("mean", "min", "max", "sum", "var", "nonzeros")
    ]
    names += ["seasonal_mean7", PRICE, ADVERT, "low", "mean", "at2"]
    names += [f"{PRICE}-2", f"{PRICE}+1", f"{PRICE}~3", f"{ADVERT}-2", f"{ADVERT}+1"]
    found.columns = [*names, f"{PRICE}/mean5", f"{PRICE}/max5"]
    found = found.set_index("n").astype(float)
    for width in (4, 9):
        found[f"std{width}"] = np.sqrt(found.pop(f"var{width}").clip(lower=0))
    found[f"{PRICE}_to_siblings_mean"] = found[PRICE] / found["mean"]
    found[f"{PRICE}_above_siblings_min"] = found[PRICE] - found["low"]
    found[f"context({PRICE}).mean"], found[f"context({PRICE}).min"] = found.pop("mean"), found.pop("low")
    return found.drop(columns=["at", "at2"])


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.integers(0, HORIZON - 1))
def test_lags_windows_covariates_and_context_are_what_sql_says(seed, shift):
    frame, steps = panel(seed), (np.arange(DAYS) + shift) % HORIZON + 1
    ours, told = built(frame, steps), asked(frame, steps)
    assert set(ours.columns) == set(told.columns)
    inside = told.index[(told.index >= 30) & (told.index < DAYS - 1)]
    assert len(inside) == DAYS - 31
    for column in ours:
        np.testing.assert_allclose(
            ours.loc[inside, column], told.loc[inside, column], rtol=1e-9, atol=1e-7, err_msg=column
        )


# -- the calendar ----------------------------------------------------------------------

FIELDS = {
    "year": "cast(strftime('%Y', d) as int)",
    "half": "(strftime('%m', d) - 1) / 6",
    "quarter": "(strftime('%m', d) - 1) / 3",
    "month": "strftime('%m', d) - 1",
    # the ISO week of a day is the week of the year of its Thursday
    "iso_week": "(strftime('%j', date(d, '-3 days', 'weekday 4')) - 1) / 7",
    "week_of_year": "(strftime('%j', d) - 1) / 7",
    "week_of_month": "(strftime('%d', d) - 1) / 7",
    "day_of_year": "strftime('%j', d) - 1",
    "day_of_month": "strftime('%d', d) - 1",
    "day_of_week": "(strftime('%w', d) + 6) % 7",
    "weekend": "strftime('%w', d) in ('0', '6')",
    "hour": "cast(strftime('%H', d) as int)",
    "afternoon": "strftime('%H', d) >= '12'",
    "days_in_month": "cast(strftime('%d', d, 'start of month', '+1 month', '-1 day') as int)",
    "month_start": "strftime('%m', d, '-1 day') <> strftime('%m', d)",
    "month_end": "strftime('%m', d, '+1 day') <> strftime('%m', d)",
    "time": "(julianday(d) - julianday('1970-01-01')) / 365.2425",
}
BERLIN = """
create table clock (utc text, hours int);
insert into clock values ('2023-01-01 00:00', 1), ('2023-03-26 01:00', 2), ('2023-10-29 01:00', 1),
    ('2024-03-31 01:00', 2), ('2024-10-27 01:00', 1), ('2025-03-30 01:00', 2), ('2025-10-26 01:00', 1);
"""


def series_at(alias, start, n, zone=None):
    """A series of a frequency from a moment in UTC on."""
    grid = Grid(Frequency.parse(alias), zone)
    first = int(grid.ordinals(np.array([np.datetime64(start, "us").astype(np.int64)]))[0])
    none = np.empty((n, 0))
    return Series(grid, first, np.arange(n, dtype=float), np.ones(n, bool), none, none, np.empty(0))


@settings(max_examples=15, deadline=None)
@given(
    alias=st.sampled_from(["D", "h"]),
    start=st.datetimes(pd.Timestamp("2023-01-01"), pd.Timestamp("2025-06-01")),
    n=st.integers(30, 400),
)
def test_the_calendar_is_what_sql_says_on_the_local_clock(alias, start, n):
    zone, unit = (None, "D") if alias == "D" else ("Europe/Berlin", "h")
    start = np.datetime64(start, unit)
    series = series_at(alias, start, n, zone)
    fields = tuple(name for name in FIELDS if alias == "h" or name not in ("hour", "afternoon"))
    table = Calendar(tuple((name, ()) for name in fields)).build(Rows.past(series))
    base = sqlite3.connect(":memory:")
    base.executescript(BERLIN)
    base.execute("create table stamps (n int, utc text)")
    stamps = [str(start + i).replace("T", " ") + (":00" if unit == "h" else "") for i in range(n)]
    base.executemany("insert into stamps values (?, ?)", list(enumerate(stamps)))
    shift = (
        "'+0 hours'"
        if zone is None
        else "'+' || (select hours from clock c where c.utc <= s.utc order by c.utc desc limit 1) || ' hours'"
    )
    told = base.execute(
        f"with local as (select n, datetime(utc, {shift}) as d from stamps s) "
        f"select {', '.join(FIELDS[name] for name in fields)} from local order by n"
    ).fetchall()
    base.close()
    for place, name in enumerate(fields):
        np.testing.assert_allclose(table[:, place], [row[place] for row in told], rtol=1e-9, err_msg=name)


# -- holidays ----------------------------------------------------------------------------

PERIODS = {
    "D": ("date(s.utc)", "date(s.utc, '+1 day')"),
    "W-MON": ("date(s.utc)", "date(s.utc, '+7 days')"),
    "MS": ("date(s.utc)", "date(s.utc, '+1 month')"),
    "h": ("date(s.utc)", "date(s.utc, '+1 day')"),  # the whole day of an hour
}


@pytest.mark.parametrize(
    ("alias", "start", "n"),
    [
        ("D", "2023-11-20", 200),
        ("W-MON", "2023-01-02", 120),
        ("MS", "2022-01-01", 30),
        ("h", "2024-06-28", 300),
    ],
)
def test_holidays_of_periods_are_what_sql_counts(alias, start, n):
    series = series_at(alias, start, n)
    around = 2 if alias in ("D", "h") else 0
    family = Holidays((Place("US"), Place("DE", "BY")), around, around)
    found = pd.DataFrame(family.build(Rows.past(series)), columns=family.columns)
    base = sqlite3.connect(":memory:")
    base.execute("create table holiday (place text, day text)")
    for label, calendar in (
        ("US", holidays.country_holidays("US", years=range(2021, 2027))),
        ("DE-BY", holidays.country_holidays("DE", subdiv="BY", years=range(2021, 2027))),
    ):
        base.executemany("insert into holiday values (?, ?)", [(label, str(day)) for day in calendar])
    base.execute("create table stamps (n int, utc text)")
    stamps = series.grid.stamps(series.ordinals).astype("datetime64[us]").astype("datetime64[m]")
    base.executemany(
        "insert into stamps values (?, ?)", [(i, str(s).replace("T", " ")) for i, s in enumerate(stamps)]
    )
    begin, end = PERIODS[alias]
    for column in found:
        kind, place = column.rsplit("_", 1)
        days = 0 if kind == "holiday" else int(kind[-1]) if kind[-1].isdigit() else 1
        days = -days if "after" in kind else days
        told = base.execute(
            f"select (select count(*) from holiday h where h.place = ? and h.day >= date({begin}, ?) "
            f"and h.day < date({end}, ?)) from stamps s order by n",
            (place, f"{days} days", f"{days} days"),
        ).fetchall()
        assert found[column].tolist() == [count for (count,) in told], column
    base.close()
