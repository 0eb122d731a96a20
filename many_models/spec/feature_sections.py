"""The sections that say what models see besides the values: features and events, one frozen part each."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field

from many_models.errors import Problem, nearest
from many_models.spec.allowed import (
    Allowed,
    Refusal,
    by_column,
    choice,
    did_you_mean,
    either,
    integer,
    listing,
    location,
    null_or,
    number,
    record,
    refuse,
    shown,
    switch,
    text,
)
from many_models.spec.calendar_fields import CALENDAR_FIELDS, PAID
from many_models.spec.part import Part
from many_models.spec.values import (
    AUTO,
    COLUMN,
    COLUMNS,
    Auto,
    Columns,
    Integers,
    Off,
    offered,
)


@lru_cache(maxsize=1)
def _countries() -> dict[str, list[str]]:
    """Two-letter code -> subdivisions, of the countries whose holidays are known."""
    from holidays import list_supported_countries

    return dict(list_supported_countries(include_aliases=False))


def _nearest_country(value: str) -> str:
    """The code of the country whose code or name is nearest (USA, germany, us)."""
    from holidays.registry import COUNTRIES

    words: dict[str, str] = {}
    for module, (_, code, *aliases) in sorted(COUNTRIES.items()):
        words.update(dict.fromkeys((*(alias.lower() for alias in aliases), module.replace("_", " ")), code))
    words.update({code.lower(): code for code in sorted(_countries())})
    near = words.get(value.lower()) or words.get(nearest(value.lower(), list(words)) or "")
    return f"did you mean {near}?" if near else ""


def _place_exists(value: str) -> bool:
    country, dash, part = value.partition("-")
    known = _countries().get(country)
    return known is not None and (not dash or part in known)


def _nearest_place(value: str) -> str:
    country, dash, part = value.partition("-")
    if dash and country in _countries():
        near = nearest(part, known := _countries()[country])
        return f"did you mean {country}-{near}?" if near else f"{country} has {', '.join(known) or 'none'}"
    return _nearest_country(value)


@lru_cache(maxsize=1)
def _holiday_categories() -> tuple[str, ...]:
    """Every category of holidays that some country has, and days off on working days."""
    import holidays

    known = {name for code in _countries() for name in getattr(holidays, code).supported_categories}
    return tuple(sorted({*known, PAID}))


COUNTRY = text(
    "a two-letter country code (US), with a subdivision where wanted (DE-BY)", _place_exists, _nearest_place
)
CATEGORY = text(
    "public, paid, bank, school, government, half_day, optional … (paid: public holidays on what would be a "
    "working day; the others are categories of the holidays package)",
    lambda name: name in _holiday_categories(),
    lambda name: did_you_mean(name, _holiday_categories()),
)
DAYS_AROUND = either(AUTO, integer(0, 14))


class HolidaysSpec(Part):
    """Whose public holidays the models see, and how."""

    section: ClassVar[str] = "features.holidays"

    country: Annotated[
        Columns,
        listing(COUNTRY, "a two-letter country code (US, or DE-BY), or a list of them", single=True),
    ] = Field(
        default=(),
        description="The country, or countries, whose holidays the models see; DE-BY is a country and its "
        "state or region.",
    )
    subdivision: Annotated[str | None, null_or(text("a code of a state or region of that country (CA)"))] = (
        Field(
            default=None,
            description="The state or region whose own holidays are added; only with a single country.",
        )
    )
    column: Annotated[str | None, null_or(COLUMN)] = Field(
        default=None,
        description="The column that holds each series' own country (US, DE-BY); one of `data.static` or "
        "`data.series`. Added to `country`.",
    )
    categories: Annotated[Columns, listing(CATEGORY, "a list of categories", shortest=1, single=True)] = (
        Field(
            default=("public",),
            description="Which holidays, each category in columns of its own; a country that has no such "
            "category leaves it out.",
        )
    )
    names: Annotated[bool, switch()] = Field(
        default=False,
        description="Whether each holiday that the history holds in two years has a column of its own "
        "(Prophet always gives them one).",
    )
    before: Annotated[int | Auto, DAYS_AROUND] = Field(
        default="auto",
        description="How many days before a holiday have columns; for data coarser than days: periods. "
        "auto = 1 for daily data, else 0.",
    )
    after: Annotated[int | Auto, DAYS_AROUND] = Field(default="auto", description="The same after a holiday.")

    @property
    def calendars(self) -> tuple[tuple[str, str | None], ...]:
        """(country, subdivision) of each calendar; that of `column` comes with the series."""
        places = (place.partition("-") for place in self.country)
        return tuple((country, part or self.subdivision) for country, _, part in places)

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterable[Problem]:
        """No country; a subdivision that the country does not have, or beside several; unknown categories."""
        part, countries = values.get("subdivision"), values.get("country")
        if countries == () and values.get("column", "") is None:
            yield Problem(
                "country",
                "nothing",
                "a two-letter country code (US), or a list of them; or `column`",
                "name a country, or the column that holds each series' country",
            )
        if countries:
            yield from _categories_of_none(countries, values)
        if part is None or not countries:
            return
        if len(countries) > 1 or "-" in countries[0]:
            yield Problem(
                "subdivision",
                f"{shown(part)} with {', '.join(countries)}",
                "null",
                f"name one country, or write {countries[0][:2]}-{part} under country",
            )
        elif part not in (known := _countries()[countries[0]]):
            allowed = ", ".join(known) or f"null ({countries[0]} has none)"
            yield Problem("subdivision", shown(part), allowed, did_you_mean(part, known))


def _categories_of_none(countries: Columns, values: Mapping[str, Any]) -> Iterator[Problem]:
    """The categories that none of the countries has, where all countries are known."""
    import holidays

    if values.get("column", "") is not None:
        return
    known = {
        name
        for place in countries
        for name in getattr(holidays, place.partition("-")[0]).supported_categories
    } | {PAID}
    for category in values.get("categories", ()):
        if category not in known:
            allowed = ", ".join(sorted(known))
            yield Problem("categories", shown(category), allowed, did_you_mean(category, sorted(known)))


TRANSFORMS = ("auto", "none", "log", "log1p", "box_cox")
DIFFERENCES = ("auto", "off", "first", "seasonal", "both")
SCALINGS = ("auto", "none", "standard", "minmax", "maxabs", "robust", "normalizer")
SCALING = either(
    choice(*SCALINGS), listing(choice(*SCALINGS), f"a list of {', '.join(SCALINGS)}", shortest=1)
)
REDUCTIONS = ("none", "pca", "svd")
REDUCTION = either(
    choice("pca", "svd"), listing(choice(*REDUCTIONS), f"a list of {', '.join(REDUCTIONS)}", shortest=1)
)
COMPONENTS = either(
    integer(1, 1000, "a whole number, 1 or more"),
    number(
        "a share of the variance below 1",
        lambda share: 0 < share < 1,
        {"exclusiveMinimum": 0, "exclusiveMaximum": 1},
    ),
)


class ReductionSpec(Part):
    """How feature columns become fewer before a regression learns from them."""

    section: ClassVar[str] = "features.reduction"

    method: Annotated[str | Columns, REDUCTION] = Field(
        description="pca = principal components of centred columns; svd = truncated singular vectors of "
        "columns as they are; a list of these and of none = each of them is tried."
    )
    components: Annotated[int | float, COMPONENTS] = Field(
        default=0.95,
        description="How many components are kept, or the share of the variance that they must explain "
        "together.",
    )


def _steps_for_columns(smallest: int) -> Allowed:
    steps = listing(integer(smallest, 100_000), "a list of steps", ordered=True)
    return either(steps, by_column(steps, "a mapping from columns to lists of steps"))


SHIFTS = _steps_for_columns(1)
WIDTHS = _steps_for_columns(2)
ByColumn: TypeAlias = Integers | dict[str, Integers]
PAIRS = listing(listing(COLUMN, "a pair of columns", 2), "a list of pairs of columns")
PAST_LAGS = listing(integer(1, 100_000), "a list of whole numbers, 1 or more", 1, ordered=True)
PAST_WINDOWS = listing(integer(2, 100_000), "a list of whole numbers, 2 or more", 1, ordered=True)


class CovariatesSpec(Part):
    """What regressions derive from known and past-only covariates."""

    section: ClassVar[str] = "features.covariates"

    lags: Annotated[ByColumn, SHIFTS] = Field(
        default=(),
        description="Known covariates so many steps before the row; for all columns, or column by column.",
    )
    leads: Annotated[ByColumn, SHIFTS] = Field(
        default=(),
        description="Known covariates so many steps after the row; beyond the given rows nothing is assumed.",
    )
    differences: Annotated[ByColumn, SHIFTS] = Field(
        default=(), description="Known numbers and flags less their value so many steps before."
    )
    relative: Annotated[ByColumn, WIDTHS] = Field(
        default=(),
        description="Known positive numbers (prices) relative to the mean and to the highest of so many rows "
        "before.",
    )
    interactions: Annotated[Auto | Off | tuple[Columns, ...], either(choice("auto", "off"), PAIRS)] = Field(
        default="auto",
        description="Products of known covariates; auto = numbers with flags for linear models, none for "
        "trees; pairs are for both.",
    )
    log: Annotated[Auto | Off, choice("auto", "off")] = Field(
        default="auto",
        description="Whether linear models read the log of covariates that are always positive.",
    )
    past_lags: Annotated[Auto | Off | Integers, either(choice("auto", "off"), PAST_LAGS)] = Field(
        default="auto",
        description="Past-only covariates a whole number of so many steps back, the last published; auto = "
        "1 and the season.",
    )
    past_windows: Annotated[Auto | Off | Integers, either(choice("auto", "off"), PAST_WINDOWS)] = Field(
        default="auto",
        description="Means of the last published values of past-only covariates; auto = one season, or 12.",
    )

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterable[Problem]:
        """A product that is not of two columns."""
        pairs = values.get("interactions")
        for pair in () if isinstance(pairs, str) or pairs is None else pairs:
            if len(pair) != 2:
                yield Problem("interactions", shown(list(pair)), "two columns each", "name pairs of columns")


def _period(value: Any) -> float:
    """A season's length in steps; a key of a mapping may come as text."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise Refusal(shown(value), "write its length in steps, as in 7: 3") from None
    return PERIOD.check(value)  # type: ignore[no-any-return]


def _waves(value: Any) -> tuple[tuple[float, int], ...]:
    """(period, pairs) by period, from a mapping or its pairs."""
    pairs = list(value.items()) if isinstance(value, Mapping) else value
    if not isinstance(pairs, (list, tuple)) or not pairs:
        raise Refusal(shown(value))
    found: dict[float, int] = {}
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise Refusal(shown(value))
        period = _period(pair[0])
        if period in found:
            raise Refusal(f"{period:g} twice", "name it once")
        found[period] = WAVES_OF_ONE.check(pair[1])
    return tuple(sorted(found.items()))


Validate: TypeAlias = Literal["validate"]
Waves: TypeAlias = tuple[tuple[float, int], ...]

CALENDAR = either(
    choice("auto", "off"),
    listing(choice(*CALENDAR_FIELDS), f"a list of fields: {', '.join(CALENDAR_FIELDS)}", shortest=1),
)
PERIOD = number("a season's length in steps, 2 or more", lambda steps: steps >= 2, {"minimum": 2})
WAVES_OF_ONE = integer(1, 100)
FOURIER = either(
    choice("auto", "off", "validate"),
    WAVES_OF_ONE,
    Allowed(
        "a mapping of season lengths in steps to a number each ({24: 5, 168: 3})",
        _waves,
        {
            "anyOf": [
                {"type": "object", "additionalProperties": WAVES_OF_ONE.schema, "minProperties": 1},
                {"type": "array", "items": {"type": "array", "minItems": 2, "maxItems": 2}, "minItems": 1},
            ]
        },
    ),
)


CONTEXT_KINDS = ("relative", "mean", "min", "above_min", "siblings")
CONTEXT_LIST = listing(
    choice(*CONTEXT_KINDS), f"a list of {', '.join(CONTEXT_KINDS)}", shortest=1, single=True
)


LAGS = listing(integer(1), "a list of whole numbers, 1 or more", 1, ordered=True)
ONE_LAG = integer(1)
WINDOW_SIZES = listing(integer(2), "a list of whole numbers, 2 or more", 1, ordered=True)
WINDOW_STATISTICS = ("mean", "std", "min", "max", "sum", "median", "nonzeros", "since_nonzero")
HALF_LIFE = number("a number above 0", lambda steps: steps > 0, {"exclusiveMinimum": 0})
WINDOWS = record(
    {
        "sizes": either(AUTO, WINDOW_SIZES),
        "statistics": listing(
            choice(*WINDOW_STATISTICS), f"a list of {', '.join(WINDOW_STATISTICS)}", 1, single=True
        ),
        "seasonal": either(AUTO, integer(0, 100)),
        "ewm": listing(HALF_LIFE, "a list of half-lives in steps", ordered=True),
    },
    "a mapping with some of sizes, statistics, seasonal, ewm",
)
STRATEGIES = ("auto", "direct", "recursive", "per_step")


def _lags(value: Any) -> Any:
    """One lag is a list of one."""
    return LAGS.check([ONE_LAG.check(value)] if isinstance(value, numbers.Integral) else value)


FAMILY_NAMES = (
    "lags", "windows", "fourier", "stl", "calendar", "holidays", "events", "covariates", "context",
    "past", "recent", "group",
)  # fmt: skip
"""Held equal to the table of families by a test, since the configuration may not import features."""


ARIMA_READS = listing(choice("holidays", "events"), "a list of holidays, events")
OWN_FAMILIES = listing(
    offered("many_models.features"), "a list of feature families that installed packages offer"
)


class FeaturesSpec(Part):
    """What the regression learners and ARX see besides the covariates."""

    section: ClassVar[str] = "features"

    strategy: Annotated[str, choice(*STRATEGIES)] = Field(
        default="auto",
        description="How regressions answer the steps of a horizon: one model for all (direct), one for "
        "each, at most 12 (per_step), or one of the next step whose forecasts are fed back (recursive); "
        "auto = direct.",
    )
    lags: Annotated[
        Auto | Off | Literal["pacf"] | Integers,
        either(
            choice("auto", "off", "pacf"),
            Allowed(
                "a whole number or a list of them, 1 or more",
                _lags,
                {"anyOf": [ONE_LAG.schema, LAGS.schema]},
            ),
        ),
    ] = Field(
        default="auto",
        description="Earlier values of the target, so many steps back; auto = by frequency and length; "
        "pacf = those with a significant partial autocorrelation, and the seasons.",
    )
    windows: Annotated[
        Auto | Off | Integers | dict[str, Any], either(choice("auto", "off"), WINDOW_SIZES, WINDOWS)
    ] = Field(
        default="auto",
        description="Rolling statistics of the target: their sizes, or a mapping of sizes, statistics (mean "
        "and std unless said), seasonal = a mean of so many values of the same season, and ewm = half-lives "
        "of weighted means; auto = by frequency and length.",
    )
    calendar: Annotated[Auto | Off | Columns, CALENDAR] = Field(
        default="auto",
        description="Parts of the date: auto = those (month, weekday, hour) that the frequency and the "
        "length of the history give a meaning; or a list of fields.",
    )
    holidays: HolidaysSpec | None = Field(
        default=None,
        description="Public holidays; null = none. A mapping with `country` or `column` and, where wanted, "
        "what stands below.",
    )
    fourier: Annotated[Auto | Off | Validate | int | Waves, FOURIER] = Field(
        default="auto",
        description="Pairs of sine and cosine terms per season: auto = by season and length; validate = as "
        "many as the history tells (AICc); a number; or a mapping of periods, in steps, to numbers.",
    )
    stl: Annotated[Literal["off", "on"], choice("off", "on")] = Field(
        default="off",
        description="Whether the season and trend of a decomposition (STL), as known at each row's cutoff, "
        "are columns.",
    )
    transforms: Annotated[str, choice(*TRANSFORMS)] = Field(
        default="auto",
        description="The scale on which regressions and ARX work: none, the log, log1p = log(1 + y), box_cox "
        "with a power from each history, or auto = the log. A history below zero has none of them.",
    )
    difference: Annotated[str, choice(*DIFFERENCES)] = Field(
        default="auto",
        description="What regressions tell the target relative to: the last value (first), the last value of "
        "the same season (seasonal), that and the last change (both), nothing (off); auto = a mean of the "
        "last values where the history shows that it helps.",
    )
    covariates: CovariatesSpec | None = Field(
        default=CovariatesSpec(),
        description="What regressions derive from known and past-only covariates; null = they read none.",
    )
    context: Annotated[Auto | Columns, either(AUTO, CONTEXT_LIST)] = Field(
        default="auto",
        description="What regressions and ARX read of `data.context`: the own value relative to the "
        "siblings' mean (relative), the mean, the min, the own value minus the min (above_min), each of "
        "the siblings; auto = relative, and the mean of columns that are true or false.",
    )
    arima: Annotated[Columns, ARIMA_READS] = Field(
        default=(),
        description="What ARIMA reads as regressors beside known covariates, where the configuration has "
        "them: holidays, events.",
    )
    own: Annotated[Columns, OWN_FAMILIES] = Field(
        default=(),
        description="Feature families of your own, which an installed package offers as entry points of the "
        "group `many_models.features`.",
    )
    block: Annotated[Columns, listing(choice(*FAMILY_NAMES), "a list of feature families")] = Field(
        default=(), description="Feature families that no model reads, whatever else is set."
    )
    was_missing: Annotated[bool, switch()] = Field(
        default=False,
        description="Whether covariates with holes in the history get a 0/1 column that says where.",
    )
    scaling: Annotated[str | Columns, SCALING] = Field(
        default="auto",
        description="How feature columns are scaled; auto = standard for linear models, neighbours and "
        "before a reduction, none for trees; a list = regressions are tried with each of them, and with "
        "every reduction listed.",
    )
    reduction: ReductionSpec | None = Field(
        default=None,
        description="Fewer columns made of all; null = none. A mapping with `method` and `components`.",
    )


def _event_value(value: Any) -> Any:
    """A key, a name or a date; dates of Python or YAML as text."""
    if isinstance(value, date):
        return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real) and math.isfinite(value):
        return float(value)
    raise refuse(value)


EVENT_VALUE = Allowed(
    "a name, a date or a key", _event_value, {"type": ["string", "number", "boolean", "null"]}
)
EVENT_ROW = by_column(EVENT_VALUE, "a mapping from columns to values")
EVENT_ROWS = listing(EVENT_ROW, "a list of mappings, one for each event", shortest=1)


class EventsSpec(Part):
    """Named dates known ahead: promotions, openings, strikes."""

    section: ClassVar[str] = "events"

    path: Annotated[
        str | None,
        null_or(location("a parquet or csv file or folder, local or any address that fsspec opens")),
    ] = Field(
        default=None,
        description="The file with one row per event. In a YAML file, a relative path that exists beside "
        "that file is taken from there, any other from the current folder.",
    )
    rows: Annotated[tuple[dict[str, Any], ...] | None, null_or(EVENT_ROWS)] = Field(
        default=None,
        description="The events themselves in place of a file: a list of mappings from the columns below to "
        "their values.",
    )
    by: Annotated[Columns, COLUMNS] = Field(
        default=(),
        description="The columns of `data.series` that the table holds too, so that an event is one of these "
        "series; an empty list = every event is one of all series.",
    )
    name: Annotated[str, COLUMN] = Field(
        default="event", description="The column of names; events of one name have one effect."
    )
    time: Annotated[str, COLUMN] = Field(
        default="date",
        description="The column of dates; one with a time of day other than midnight is that moment, else "
        "the whole day.",
    )
    end: Annotated[str | None, null_or(COLUMN)] = Field(
        default=None,
        description="The column of the last day, or of the moment at which an event ends; null or an empty "
        "field = it lasts one day.",
    )
    before: Annotated[int, integer(0, 365)] = Field(
        default=0, description="How many periods before an event its coming is seen; 0 = not."
    )
    after: Annotated[int, integer(0, 365)] = Field(
        default=0, description="How many periods after an event it still counts; 0 = none."
    )

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterable[Problem]:
        """Events both in a file and written out, or in neither; a row without a name or a date."""
        if not {"path", "rows"} <= set(values):
            return
        path, rows = values["path"], values["rows"]
        if (path is None) == (rows is None):
            found = "neither path nor rows" if path is None else "both path and rows"
            yield Problem("path", found, "one of the two", "name a file, or write the events below rows")
        needed = [*values.get("by", ()), *(values[name] for name in ("name", "time") if name in values)]
        known = [*needed, *([values["end"]] if values.get("end") else [])]
        for place, row in enumerate(rows or ()):
            for column in row:
                if column not in known:
                    action = did_you_mean(column, known) or "remove it, or name it under events"
                    yield Problem(
                        f"rows[{place}].{column[:80]}", "an unknown column", ", ".join(known), action
                    )
            lacking = [column for column in needed if row.get(column) is None]
            if lacking:
                found = f"nothing for {', '.join(lacking)}"
                yield Problem(f"rows[{place}]", found, "a value for each", "write them")
