"""A seeded simulator of a grocery chain: everything that makes retail panels hard, with known answers.

Demand is simulated day by day and in whole weeks of prices and promotions; weekly panels are the daily
ones added up. Every number is drawn from a generator of its own (seed, what it is for, store, item), so
that more stores or more items change nothing that was there before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from many_models.errors import InputError, Problem

if TYPE_CHECKING:
    import pandas as pd

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]
Days: TypeAlias = npt.NDArray[np.datetime64]
Number = TypeVar("Number", bound=np.generic)
Kind: TypeAlias = Literal["regular", "new", "intermittent", "dead", "delisted"]

_PURPOSES = (
    "item",
    "store",
    "series",
    "calendar",
    "promotion",
    "depth",
    "shop",
    "price",
    "level",
    "crowd",
    "chance",
    "stock",
)
_DEPTHS = np.array([0.15, 0.25, 0.33])
_CLOSED = ("Thanksgiving Day", "Christmas Day")
_WEEK = np.log([0.85, 0.80, 0.85, 0.95, 1.20, 1.40, 1.10])
"""Monday … Sunday: people shop towards the weekend."""


@dataclass(frozen=True)
class _Product:
    """What one place in the assortment sells: yearly amplitude, its peak as a share of the year, role."""

    name: str
    sales_per_day: float
    price: float
    amplitude: float
    peak: float
    role: Literal["regular", "new", "intermittent", "ending"] = "regular"


_PRODUCTS = (
    _Product("milk", 60.0, 1.49, 0.05, 0.00),
    _Product("orange juice", 25.0, 2.99, 0.15, 0.08),
    _Product("ice cream", 18.0, 4.49, 0.70, 0.54),
    _Product("oat drink", 12.0, 2.29, 0.10, 0.10, "new"),
    _Product("batteries", 0.06, 7.99, 0.20, 0.97, "intermittent"),
    _Product("film rolls", 4.0, 5.99, 0.30, 0.50, "ending"),
)


@dataclass(frozen=True)
class _Panel:
    """What was asked for, in days."""

    stores: int
    items: int
    days: int
    future_days: int
    first_day: np.datetime64
    seed: int

    @property
    def total_days(self) -> int:
        return self.days + self.future_days

    @property
    def dates(self) -> Days:
        return np.asarray(self.first_day + np.arange(self.total_days))

    def draw(self, purpose: str, store: int = 0, item: int = 0) -> np.random.Generator:
        """The generator for one purpose of one store, item or series."""
        return np.random.default_rng([self.seed, _PURPOSES.index(purpose), store, item])


@dataclass(frozen=True)
class _Plan:
    """What is planted in one series; `start` and `stop` are days counted from the first day."""

    store: int
    item: str
    kind: Kind
    sales_per_day: float
    growth: float
    elasticity: float
    uplift: float
    price: float
    amplitude: float
    peak: float
    start: int
    stop: int


@dataclass(frozen=True)
class _Calendar:
    """What all series share: closed days, holiday effects on log demand, weekday, share of the year."""

    closed: Bools
    holiday: Floats
    weekday: npt.NDArray[np.int64]
    year: Floats


def retail(
    stores: int = 4,
    items: int = 6,
    periods: int | None = None,
    frequency: str = "D",
    *,
    future: int = 0,
    start: str = "2021-01-04",
    seed: int = 0,
) -> pd.DataFrame:
    """A simulated chain: one row per store, item and day or week; the same seed gives the same frame.

    In the default assortment the first three items of every store are regular; `oat drink` is new and
    starts late; `batteries` are intermittent, mostly zeros; `film rolls` die: in the stores with odd
    numbers the rows go on with sales of 0 (`dead`), in the others the rows stop (`delisted`). Further
    items repeat these six roles under numbered names. `retail_truth` says what was planted.

    Demand has a weekly and a yearly season, a trend, a slowly wandering level, US holidays (shopping
    peaks before them, fewer sales on them), own-price elasticity, and an uplift in promotions that comes
    on top of their price cut; promotions run in whole weeks, across the chain, in most stores. The
    number sold is a Poisson draw around a gamma-distributed demand.

    Parameters
    ----------
    stores, items
        Size of the chain; every store carries every item.
    periods
        Days or weeks of history; None is three years.
    frequency
        `D`, or `W` for weeks that begin on the weekday of `start` and are stamped with their first day.
    future
        Further days or weeks whose price, promotion and closed days are known and whose sales are not.
        `retail(periods=P + H)` holds the sales that `retail(periods=P, future=H)` withholds.
    start
        First day, as YYYY-MM-DD.
    seed
        Seed of everything; the numbers are the same wherever NumPy's generators are the same.

    Returns
    -------
    pandas.DataFrame
        Sorted by store, item and date:

        - `store` (int64), `item` (text), `date` (timestamp);
        - `sales` (float64): units sold; NaN in the future;
        - `price` (float64): of one unit, known ahead;
        - `promotion` (bool): known ahead;
        - `stock_out` (bool): the shelf was empty for some of the time, so that sales are less than demand;
          False in the future;
        - `closed` (bool): the store is closed all of the time (Thanksgiving, Christmas), known ahead.

    Raises
    ------
    InputError
        When an argument is out of range; all of them are reported at once.
    """
    import pandas as pd

    step = _days_per_period(frequency)
    panel = _panel(stores, items, periods, step, future, start, seed)
    calendar = _calendar(panel)
    plans = [(_plan(panel, store, item), item) for store in range(1, stores + 1) for item in range(items)]
    parts = [_rows(panel, calendar, plan, item, step) for plan, item in plans]
    lengths = [len(part["date"]) for part in parts]
    keys = {
        "store": np.repeat(np.array([plan.store for plan, _ in plans], dtype=np.int64), lengths),
        "item": np.repeat(np.array([plan.item for plan, _ in plans], dtype=object), lengths),
    }
    frame = pd.DataFrame(keys | {name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    return frame.sort_values(["store", "item", "date"], ignore_index=True)


def retail_truth(
    stores: int = 4,
    items: int = 6,
    periods: int | None = None,
    frequency: str = "D",
    *,
    future: int = 0,
    start: str = "2021-01-04",
    seed: int = 0,
) -> pd.DataFrame:
    """What `retail` with the same arguments planted: one row per series.

    Returns
    -------
    pandas.DataFrame
        Sorted by store and item: `store`, `item`; `kind` (`regular`, `new`, `intermittent`, `dead`,
        `delisted`); `sales_per_day` at the first regular price, without season and events; `growth`, the
        change of log demand per year; `elasticity` of demand to price; `uplift`, the factor of a promotion
        beside its price cut; `first` and `last`, the first and the last day on which it was for sale.
    """
    import pandas as pd

    panel = _panel(stores, items, periods, _days_per_period(frequency), future, start, seed)
    plans = [_plan(panel, s, i) for s in range(1, stores + 1) for i in range(items)]
    table = pd.DataFrame(
        {
            "store": np.array([p.store for p in plans], dtype=np.int64),
            "item": [p.item for p in plans],
            "kind": [p.kind for p in plans],
            "sales_per_day": [p.sales_per_day for p in plans],
            "growth": [p.growth for p in plans],
            "elasticity": [p.elasticity for p in plans],
            "uplift": [p.uplift for p in plans],
            "first": _stamps(panel.first_day + np.array([p.start for p in plans])),
            "last": _stamps(panel.first_day + np.array([p.stop for p in plans]) - 1),
        }
    )
    return table.sort_values(["store", "item"], ignore_index=True)


def _days_per_period(frequency: str) -> int:
    """1 for days, 7 for weeks."""
    if frequency not in ("D", "W"):
        raise InputError(Problem("frequency", repr(frequency), "'D' or 'W'", "choose days or weeks"))
    return 1 if frequency == "D" else 7


def _panel(
    stores: int, items: int, periods: int | None, step: int, future: int, start: str, seed: int
) -> _Panel:
    """The checked request, in days."""
    length = (1095 if step == 1 else 156) if periods is None else periods
    least = {
        "stores": (stores, 1),
        "items": (items, 1),
        "periods": (length, 1),
        "future": (future, 0),
        "seed": (seed, 0),
    }
    problems = [
        Problem(name, str(found), f"{low} or more", "give a larger number")
        for name, (found, low) in least.items()
        if found < low
    ]
    try:
        first: np.datetime64 = np.datetime64(start, "D")
    except ValueError:
        first = np.datetime64("NaT")
    if np.isnat(first):
        problems.append(
            Problem("start", repr(start), "a day as YYYY-MM-DD", "write for instance '2021-01-04'")
        )
    if problems:
        raise InputError(problems)
    return _Panel(stores, items, length * step, future * step, first, seed)


def _calendar(panel: _Panel) -> _Calendar:
    """Closed days and holiday effects of the days asked for."""
    import holidays

    dates = panel.dates
    # Effects reach ahead of a holiday, so the year after the last day counts too.
    years = range(dates[0].astype(object).year, dates[-1].astype(object).year + 2)
    named = holidays.country_holidays("US", years=years, observed=False)
    closed, effect = np.zeros(len(dates), dtype=bool), np.zeros(len(dates))
    for day, names in named.items():
        position = int((np.datetime64(day, "D") - dates[0]).astype(int))
        shut = any(name in names for name in _CLOSED)
        peaks = {-4: 0.15, -3: 0.25, -2: 0.40, -1: 0.45} if shut else {-2: 0.10, -1: 0.20, 0: -0.20}
        for offset, size in peaks.items():
            if 0 <= position + offset < len(dates):
                effect[position + offset] += size
        if shut and 0 <= position < len(dates):
            closed[position] = True
    days = dates.astype("datetime64[D]").astype(np.int64)
    # 1970-01-01 was a Thursday, number 3 of a week that begins with Monday 0.
    return _Calendar(closed, effect, (days + 3) % 7, np.asarray((days % 365.25) / 365.25, dtype=np.float64))


def _plan(panel: _Panel, store: int, item: int) -> _Plan:
    """What is planted in the series of one store (from 1) and one item (from 0)."""
    product = _PRODUCTS[item % len(_PRODUCTS)]
    round_ = item // len(_PRODUCTS) + 1
    of_item, of_store, own = (
        panel.draw("item", item=item),
        panel.draw("store", store),
        panel.draw("series", store, item),
    )
    kind: Kind = product.role if product.role != "ending" else ("dead" if store % 2 else "delisted")
    launch, end = own.uniform(0.45, 0.60), own.uniform(0.65, 0.80)
    return _Plan(
        store=store,
        item=product.name if round_ == 1 else f"{product.name} {round_}",
        kind=kind,
        sales_per_day=product.sales_per_day
        * float(np.exp(of_store.normal(0.0, 0.3) + own.normal(0.0, 0.15))),
        growth=float(own.normal(0.03, 0.06)),
        elasticity=float(-of_item.uniform(1.0, 2.2)),
        uplift=float(of_item.uniform(1.25, 1.6)),
        price=round(product.price * float(of_item.uniform(0.9, 1.1) * of_store.uniform(0.96, 1.04)), 2),
        amplitude=product.amplitude,
        peak=product.peak,
        start=_whole_weeks(panel.total_days, launch) if kind == "new" else 0,
        stop=max(7, _whole_weeks(panel.total_days, end))
        if kind in ("dead", "delisted")
        else panel.total_days,
    )


def _whole_weeks(days: int, share: float) -> int:
    """That share of the days, in whole weeks."""
    return int(days * share) // 7 * 7


def _rows(
    panel: _Panel, calendar: _Calendar, plan: _Plan, item: int, step: int
) -> dict[str, npt.NDArray[np.generic]]:
    """The rows of one series: the columns beside its keys, in their order."""
    price, promotion = _prices(panel, plan, item)
    demand = _demand(panel, calendar, plan, item, price, promotion)
    stock_out, sales = _sold(panel, plan, item, demand, promotion & ~calendar.closed)
    past = np.arange(panel.total_days) < panel.days
    stop = plan.stop if plan.kind == "delisted" else panel.total_days

    def periods(values: npt.NDArray[Number]) -> npt.NDArray[Number]:
        """The days of each period on sale [periods, step]."""
        return values[plan.start : stop].reshape(-1, step)

    return {
        "date": periods(panel.dates)[:, 0].astype("datetime64[us]"),
        "sales": np.where(periods(past)[:, 0], periods(sales).sum(axis=1), np.nan),
        "price": periods(price)[:, 0],
        "promotion": periods(promotion)[:, 0],
        "stock_out": np.asarray(periods(stock_out & past).any(axis=1)),
        "closed": np.asarray(periods(calendar.closed).all(axis=1)),
    }


def _prices(panel: _Panel, plan: _Plan, item: int) -> tuple[Floats, Bools]:
    """Price and promotion of one series per day [days]; both change only where a week begins."""
    weeks = -(-panel.total_days // 7)
    promoted = panel.draw("promotion", item=item).random(weeks) < 0.13
    takes_part = panel.draw("shop", plan.store, item).random(weeks) < 0.85
    depth = _DEPTHS[panel.draw("depth", item=item).integers(0, len(_DEPTHS), weeks)]
    # The chain marks prices up by 3 % once or twice a year.
    marks = panel.draw("price", item=item).random(weeks) < 0.03
    regular = plan.price * 1.03 ** np.concatenate([[0], np.cumsum(marks[1:])])
    on = promoted & takes_part
    price: Floats = np.round(np.where(on, regular * (1.0 - depth), regular), 2).astype(np.float64)
    return np.repeat(price, 7)[: panel.total_days], np.repeat(on, 7)[: panel.total_days]


def _demand(
    panel: _Panel, calendar: _Calendar, plan: _Plan, item: int, price: Floats, promotion: Bools
) -> Floats:
    """Units that people would have bought per day [days]."""
    days = np.arange(panel.total_days)
    log_rate = (
        np.log(plan.sales_per_day)
        + plan.growth * days / 365.25
        + _WEEK[calendar.weekday]
        + plan.amplitude * np.cos(2.0 * np.pi * (calendar.year - plan.peak))
        + calendar.holiday
        + plan.elasticity * np.log(price / plan.price)
        + np.log(plan.uplift) * promotion
        + _wandering_level(panel.draw("level", plan.store, item).normal(0.0, 0.02, panel.total_days))
    )
    for_sale = (days >= plan.start) & (days < plan.stop) & ~calendar.closed
    crowd = panel.draw("crowd", plan.store, item).gamma(12.0, 1.0 / 12.0, panel.total_days)
    chance = panel.draw("chance", plan.store, item)
    return np.asarray(chance.poisson(np.exp(log_rate) * crowd * for_sale), dtype=np.float64)


def _wandering_level(shocks: Floats) -> Floats:
    """A level that remembers 98 % of yesterday [days]."""
    level = np.empty_like(shocks)
    last = 0.0
    for day, shock in enumerate(shocks):
        last = 0.98 * last + shock
        level[day] = last
    return level


def _sold(panel: _Panel, plan: _Plan, item: int, demand: Floats, promotion: Bools) -> tuple[Bools, Floats]:
    """Where the shelf ran empty, and what was sold [days]: then less than half of the demand."""
    chance = panel.draw("stock", plan.store, item).random((panel.total_days, 3))
    begins = chance[:, 0] < np.where(promotion, 0.03, 0.008)
    lasts = 1 + (chance[:, 1] * 4).astype(np.int64)
    ends = np.maximum.accumulate(np.where(begins, np.arange(panel.total_days) + lasts, 0))
    empty = (np.arange(panel.total_days) < ends) & (demand > 0.0)
    return empty, np.where(empty, np.floor(demand * chance[:, 2] * 0.5), demand)


def _stamps(days: Days) -> pd.DatetimeIndex:
    """Days as time stamps in microseconds."""
    import pandas as pd

    return pd.DatetimeIndex(days.astype("datetime64[us]"))
