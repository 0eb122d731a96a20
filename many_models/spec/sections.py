"""The sections of the configuration, one frozen part each; field order is the order of the reference page."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import combinations, pairwise
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
    shown,
    switch,
    text,
)
from many_models.spec.calendar_fields import CALENDAR_FIELDS
from many_models.spec.learner_names import LEARNER_NAMES
from many_models.spec.part import Part

Auto: TypeAlias = Literal["auto"]
Off: TypeAlias = Literal["off"]
Columns: TypeAlias = tuple[str, ...]
Integers: TypeAlias = tuple[int, ...]

AUTO = choice("auto")
COLUMN = text("the name of a column")
COLUMNS = listing(COLUMN, "a list of columns", single=True)
SERIES = listing(COLUMN, "a list of columns; [] = the whole table is one series", single=True)
ANY_NUMBER = number("a number", lambda value: True, {})
POSITIVE = number("a number above 0", lambda value: value > 0, {"exclusiveMinimum": 0})
SHARE = number("a number from 0 to 1", lambda value: 0 <= value <= 1, {"minimum": 0, "maximum": 1})
LOCATION = location("a path")
STEPS_LATE = integer(0, 100_000)


def _zone_exists(name: str) -> bool:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return False
    return True


def _nearest_zone(name: str) -> str:
    from zoneinfo import available_timezones

    return did_you_mean(name, sorted(available_timezones()))


ZONE = text("an IANA time zone (Europe/Berlin)", _zone_exists, _nearest_zone)


PUBLICATION_LAG = by_column(STEPS_LATE, "a mapping from columns of past to steps, 0 or more")


class ContextSpec(Part):
    """What a series sees of its siblings: the same known columns in their rows of the same stamp."""

    section: ClassVar[str] = "data.context"

    by: Annotated[
        Columns, listing(COLUMN, "a list of columns; [] = all series are siblings", single=True)
    ] = Field(description="The columns of `series` that siblings share; they differ in the others.")
    columns: Annotated[Columns, listing(COLUMN, "a list of columns", shortest=1, single=True)] = Field(
        description="The columns of `known`, numbers or true and false, that are looked at in the siblings' "
        "rows: their minimum and mean, and the value of each sibling where they are few. Future rows hold "
        "the siblings' rows, and no further column."
    )


class DataSpec(Part):
    """Where the table is, and what its columns mean."""

    section: ClassVar[str] = "data"

    path: Annotated[
        str | None,
        null_or(location("a parquet or csv file or folder, local or any address that fsspec or Spark opens")),
    ] = Field(
        default=None,
        description="The file or folder that holds the table. In a YAML file, a relative path that "
        "exists beside "
        "that file is taken from there, any other from the current folder.",
    )
    table: Annotated[str | None, null_or(text("a table name (catalog.schema.table)"))] = Field(
        default=None,
        description="The catalog table to read in place of `path`. With neither, a frame is handed over "
        "in Python.",
    )
    time: Annotated[str, COLUMN] = Field(
        description="The column that holds the time stamp, or an integer time index."
    )
    target: Annotated[str, COLUMN] = Field(description="The column to forecast.")
    series: Annotated[Columns, SERIES] = Field(
        description="The columns that together identify one series; an empty list = the whole table is "
        "one series."
    )
    group: Annotated[Columns | None, null_or(COLUMNS)] = Field(
        default=None,
        description="The columns that identify one model, some of `series`; null = the same as `series`, "
        "an empty list = one model for all.",
    )
    timezone: Annotated[str | None, null_or(ZONE)] = Field(
        default=None,
        description="The time zone in which days and weeks are cut; null = the clock that the stamps show.",
    )
    frequency: Annotated[str, either(AUTO, text("a pandas offset (W-THU, D, MS, h, 15min)"))] = Field(
        default="auto",
        description="The step between two stamps; auto = read off the data; one coarser than the data "
        "aggregates it.",
    )
    label: Annotated[Literal["start", "end"], choice("start", "end")] = Field(
        default="start",
        description="Whether the stamp is the start or the end of its period (it matters for holidays "
        "and aggregation).",
    )
    absent: Annotated[Literal["auto", "unknown", "zero"], choice("auto", "unknown", "zero")] = Field(
        default="auto",
        description="What a missing row means: a value nobody knows, or zero. auto = unknown, and "
        "`check` asks when "
        "the target is never 0 and more than 20 % of the rows are absent.",
    )
    known: Annotated[Columns, COLUMNS] = Field(
        default=(), description="Covariates that are known for the whole horizon (price, promotion)."
    )
    keep: Annotated[Columns, COLUMNS] = Field(
        default=(),
        description="Columns of `known` that are used although they tell the target of their own row. "
        "Others that do (a profit, a part of the target) are left out, with a finding.",
    )
    past: Annotated[Columns, COLUMNS] = Field(
        default=(), description="Covariates that are known only up to the cutoff."
    )
    static: Annotated[Columns, COLUMNS] = Field(
        default=(), description="Covariates with one value per series."
    )
    publication_lag: Annotated[dict[str, int], PUBLICATION_LAG] = Field(
        default={},
        description="Past covariates that come late: the value of a time stamp is known only so many steps "
        "after it. The others are known at once.",
    )
    context: ContextSpec | None = Field(
        default=None,
        description="Known columns of the sibling series (the other brands' prices in the store); "
        "null = none. A mapping with `by` and `columns`.",
    )
    mask: Annotated[str | None, null_or(COLUMN)] = Field(
        default=None,
        description="The column that is true where no demand could be observed (stock-out): such rows "
        "are left out "
        "of fit, scale and score.",
    )
    closed: Annotated[str | None, null_or(COLUMN)] = Field(
        default=None,
        description="The column, known ahead, that is true where the series is closed: forecast 0, not "
        "scored.",
    )

    @property
    def group_columns(self) -> Columns:
        """The columns that identify one model: `group`, or `series` where that is null."""
        return self.series if self.group is None else self.group

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterable[Problem]:
        """Two sources; a group that is no part of the series; a column with two roles."""
        if values.get("path") is not None and values.get("table") is not None:
            yield Problem(
                "table", f"{shown(values['table'])} beside a path", "path or table", "remove one of the two"
            )
        if values.get("group") and "series" in values:
            for column in values["group"]:
                if column not in values["series"]:
                    allowed = f"columns of series: {', '.join(values['series']) or 'it names none'}"
                    yield Problem("group", shown(column), allowed, did_you_mean(column, values["series"]))
        for column in values.get("keep", ()) if "known" in values else ():
            if column not in values["known"]:
                allowed = f"columns of known: {', '.join(values['known']) or 'it names none'}"
                advice = did_you_mean(column, values["known"]) or "list it under data.known"
                yield Problem("keep", shown(column), allowed, advice)
        for column in values.get("publication_lag", ()) if "past" in values else ():
            if column not in values["past"]:
                allowed = f"columns of past: {', '.join(values['past']) or 'it names none'}"
                advice = did_you_mean(column, values["past"]) or "list it under data.past"
                yield Problem("publication_lag", shown(column), allowed, advice)
        if isinstance(values.get("context"), Mapping):
            yield from _context_columns(values["context"], values)
        yield from _columns_with_two_roles(values)


def _context_columns(context: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Problem]:
    """Context columns without the role for it, and a context in which nobody has a sibling."""
    for name, role in (("by", "series"), ("columns", "known")):
        for column in context.get(name, ()) if role in values else ():
            if column not in values[role]:
                allowed = f"columns of {role}: {', '.join(values[role]) or 'it names none'}"
                advice = did_you_mean(column, values[role]) or f"list it under data.{role}"
                yield Problem(f"context.{name}", shown(column), allowed, advice)
    if "by" in context and set(context["by"]) >= set(values.get("series", ("",))):
        yield Problem(
            "context.by",
            f"{', '.join(context['by']) or '[]'}, all columns of series",
            "fewer columns than series names: siblings differ in the others",
            "take the column out in which siblings differ",
        )


def _columns_with_two_roles(values: Mapping[str, Any]) -> Iterator[Problem]:
    roles: dict[str, Columns] = {}
    for role in ("time", "target", "series", "known", "past", "static", "mask", "closed"):
        value = values.get(role)
        roles[role] = () if value is None else (value,) if isinstance(value, str) else value
    for first, second in combinations(roles, 2):
        for column in roles[second]:
            if column in roles[first]:
                yield Problem(
                    second,
                    f"{shown(column)}, which is {first} already",
                    "one role per column",
                    f"take it out of {first} or {second}",
                )


def _level(value: Any) -> float:
    """A quantile level, rounded to the six digits that a column name can carry (`q0.1`)."""
    level = float(f"{QUANTILE.check(value):.6g}")
    if not 0 < level < 1:
        raise Refusal(shown(value))
    return level


def _levels(value: Any) -> tuple[float, ...]:
    levels: tuple[float, ...] = QUANTILE_LIST.check(value)
    for position, (before, after) in enumerate(pairwise(levels), start=1):
        if after <= before:
            raise Refusal(f"{after:g} after {before:g}", "write them in increasing order", f"[{position}]")
    return tuple(sorted({*levels, 0.5}))


QUANTILE = number(
    "a number between 0 and 1", lambda q: 0 < q < 1, {"exclusiveMinimum": 0, "exclusiveMaximum": 1}
)
QUANTILE_LIST = listing(
    Allowed(QUANTILE.text, _level, QUANTILE.schema), "a list of increasing numbers between 0 and 1"
)
QUANTILES = Allowed(QUANTILE_LIST.text, _levels, QUANTILE_LIST.schema)

LONGEST_HORIZON = 100_000
STEPS = integer(1, LONGEST_HORIZON)
STEPS_LEFT_OUT = integer(0, LONGEST_HORIZON)
TOTALS = listing(STEPS, "a list of whole numbers, 1 to horizon", ordered=True)


class ForecastSettings(Part):
    """What is forecast: how far, and how the uncertainty is told."""

    section: ClassVar[str] = "forecast"

    horizon: Annotated[int, STEPS] = Field(description="How many steps are forecast.")
    quantiles: Annotated[tuple[float, ...], QUANTILES] = Field(
        default=(0.1, 0.5, 0.9),
        description="The quantiles to forecast; 0.5, the median, is added where it is missing.",
    )
    gap: Annotated[int, STEPS_LEFT_OUT] = Field(
        default=0,
        description="Steps left out between the cutoff and the first forecast; step counts start after them.",
    )
    origin: Annotated[Literal["series", "panel"], choice("series", "panel")] = Field(
        default="series",
        description="Where the horizon starts: after the series' own last row, or for all after the "
        "panel's last stamp.",
    )
    min: Annotated[float | Auto | None, null_or(either(AUTO, ANY_NUMBER))] = Field(
        default="auto",
        description="No forecast is below it; auto = 0 where the whole history is 0 or more; null = no "
        "bound.",
    )
    max: Annotated[float | Auto | None, null_or(either(AUTO, ANY_NUMBER))] = Field(
        default="auto", description="No forecast is above it; auto and null = no bound."
    )
    integer: Annotated[bool, switch()] = Field(
        default=False,
        description="The target is a count: quantiles and totals are rounded to whole numbers; `mean` stays "
        "the expected value, and scores are taken before rounding.",
    )
    totals: Annotated[Integers, TOTALS] = Field(
        default=(),
        description="Also forecast the distribution of the sum over the first so many steps (lead-time "
        "demand).",
    )

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterable[Problem]:
        """A total beyond the horizon; bounds that leave no room."""
        horizon = values.get("horizon")
        for steps in values.get("totals", ()) if horizon is not None else ():
            if steps > horizon:
                yield Problem(
                    "totals", str(steps), f"1 to horizon ({horizon})", "lower it, or raise forecast.horizon"
                )
        low, high = values.get("min"), values.get("max")
        if isinstance(low, float) and isinstance(high, float) and low >= high:
            yield Problem(
                "max", f"{high:g} with min {low:g}", "a number above min", "swap or widen the bounds"
            )
        elif (
            values.get("integer")
            and isinstance(low, float)
            and isinstance(high, float)
            and math.floor(high) < math.ceil(low)
        ):
            yield Problem(
                "integer",
                f"true with min {low:g} and max {high:g}",
                "bounds with a whole number between them",
                "widen the bounds, or write false",
            )


COLUMN_RULES = ("sum", "mean", "min", "max", "first", "last", "mode")
RULES_BY_COLUMN = by_column(choice(*COLUMN_RULES), "a mapping from columns to rules")


class AggregateSpec(Part):
    """How rows are rolled up when `data.frequency` is coarser than the data."""

    section: ClassVar[str] = "preparation.aggregate"

    target: Annotated[
        Literal["sum", "mean", "min", "max", "last"], choice("sum", "mean", "min", "max", "last")
    ] = Field(
        default="sum",
        description="How the target's rows become one row when `data.frequency` is coarser than the data.",
    )
    columns: Annotated[Auto | dict[str, str], either(AUTO, RULES_BY_COLUMN)] = Field(
        default="auto",
        description="How a known or past covariate's rows become one: sum, mean (of true/false: the share), "
        "min, max (any), first, last, mode; auto, and columns not named: mean of numbers, max of "
        "true/false, mode of text.",
    )


FILL_METHODS = ("auto", "linear", "forward", "seasonal", "median", "zero")


def _constant(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or set(value) != {"constant"}:
        raise Refusal(shown(value), did_you_mean(value, FILL_METHODS))
    constant = value["constant"]
    if isinstance(constant, bool):
        return {"constant": float(constant)}
    return {"constant": (COLUMN if isinstance(constant, str) else ANY_NUMBER).check(constant)}


CONSTANT = Allowed(
    "{constant: a value}",
    _constant,
    {
        "type": "object",
        "required": ["constant"],
        "properties": {"constant": {}},
        "additionalProperties": False,
    },
)
FILLS_BY_COLUMN = by_column(
    either(choice(*FILL_METHODS), CONSTANT), "a mapping from columns to a method or {constant: a value}"
)


class PreparationSpec(Part):
    """What is done to a series before anything is fitted; each change is a finding."""

    section: ClassVar[str] = "preparation"

    impute: Annotated[str | dict[str, Any], either(choice(*FILL_METHODS), FILLS_BY_COLUMN)] = Field(
        default="auto",
        description="How holes in the history are filled for the fit; filled values are never scored. One "
        "method is the target's; a mapping has one for each column, or `{constant: 3}`; auto = lines for the "
        "target, the value before for covariates.",
    )
    aggregate: AggregateSpec = Field(
        default=AggregateSpec(),
        description="How rows are rolled up when `data.frequency` is coarser than the data.",
    )
    short: Annotated[Literal["auto", "pad", "naive", "drop"], choice("auto", "pad", "naive", "drop")] = Field(
        default="auto",
        description="What a series too short for any fold gets: what its length can carry (auto), rows of "
        "its median in front until one fold exists (pad), the naive forecast, or none (drop: `SKIPPED`).",
    )
    outliers: Annotated[Literal["report", "off", "cap"], choice("report", "off", "cap")] = Field(
        default="report",
        description="Whether outliers are reported as findings, or also capped in what models are fitted on "
        "(scores see the observed values).",
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
    """Every category of holidays that some country has."""
    import holidays

    return tuple(
        sorted({name for code in _countries() for name in getattr(holidays, code).supported_categories})
    )


COUNTRY = text(
    "a two-letter country code (US), with a subdivision where wanted (DE-BY)", _place_exists, _nearest_place
)
CATEGORY = text(
    "public, bank, school, government, half_day, optional … (a category of the holidays package)",
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
    }
    for category in values.get("categories", ()):
        if category not in known:
            allowed = ", ".join(sorted(known))
            yield Problem("categories", shown(category), allowed, did_you_mean(category, sorted(known)))


TRANSFORMS = ("auto", "none", "log", "log1p", "box_cox")
DIFFERENCES = ("auto", "off", "first", "seasonal", "both")
SCALINGS = ("auto", "none", "standard", "minmax", "maxabs", "robust", "normalizer")
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

    method: Annotated[Literal["pca", "svd"], choice("pca", "svd")] = Field(
        description="pca = principal components of centred columns; svd = truncated singular vectors of "
        "columns as they are."
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
    "lags", "windows", "trend", "fourier", "stl", "calendar", "holidays", "events", "covariates", "context",
    "past",
)  # fmt: skip
"""Held equal to the table of families by a test, since the configuration may not import features."""


def _offered(group: str, ours: tuple[str, ...] = ()) -> Allowed:
    """A name under which an installed package offers something to this group of entry points."""
    from importlib.metadata import entry_points

    def is_offered(name: str) -> bool:
        return bool(entry_points(group=group, name=name))

    def near(name: str) -> str:
        known = (*ours, *sorted({point.name for point in entry_points(group=group)}))
        return did_you_mean(name, known) or "install the package that offers it, on the workers too"

    return text(f"the name of an entry point of the group {group}", is_offered, near)


OWN_FAMILIES = listing(
    _offered("many_models.features"), "a list of feature families that installed packages offer"
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
    scaling: Annotated[str, choice(*SCALINGS)] = Field(
        default="auto",
        description="How feature columns are scaled; auto = standard for linear models, neighbours and "
        "before a reduction, none for trees.",
    )
    reduction: ReductionSpec | None = Field(
        default=None,
        description="Fewer columns made of all; null = none. A mapping with `method` and `components`.",
    )


class EventsSpec(Part):
    """Named dates known ahead: promotions, openings, strikes."""

    section: ClassVar[str] = "events"

    path: Annotated[
        str, location("a parquet or csv file or folder, local or any address that fsspec opens")
    ] = Field(
        description="The file with one row per event. In a YAML file, a relative path that exists beside "
        "that file is taken from there, any other from the current folder."
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


NAMED_LEARNER = choice(*LEARNER_NAMES)


def _in_table_order(value: Any) -> tuple[str, ...]:
    return tuple(sorted(LEARNER_LIST.check(value), key=LEARNER_NAMES.index))


LEARNER_LIST = listing(
    NAMED_LEARNER, f"a list of learners: {', '.join(LEARNER_NAMES)}", shortest=1, single=True
)
LEARNERS = Allowed(LEARNER_LIST.text, _in_table_order, LEARNER_LIST.schema)


class LearnersSpec(Part):
    """Which learners compete."""

    section: ClassVar[str] = "learners"

    preset: Annotated[Literal["fast", "balanced", "best"], choice("fast", "balanced", "best")] = Field(
        default="balanced",
        description="The set of learners that compete: the quick ones, the sensible ones, or all that help.",
    )
    allow: Annotated[Columns | None, null_or(LEARNERS)] = Field(
        default=None,
        description="The learners that compete, in place of the preset's; seasonal naive always competes.",
    )
    block: Annotated[Columns | None, null_or(LEARNERS)] = Field(
        default=None, description="Learners taken out of the set; seasonal naive stays for comparison."
    )
    racing: Annotated[bool, switch()] = Field(
        default=False,
        description="Whether a candidate that is far behind the best after its first fold is not fitted on "
        "the others.",
    )
    trials: Annotated[int | None, null_or(integer(1, 10_000))] = Field(
        default=None,
        description="How many candidates a series tries at most, cheapest learners first; null = all.",
    )
    patience: Annotated[int | None, null_or(integer(1, 10_000))] = Field(
        default=None,
        description="After how many candidates in a row that are no better than the best before them a "
        "series tries no more; null = all are tried.",
    )
    target_score: Annotated[float | None, null_or(POSITIVE)] = Field(
        default=None,
        description="The score, by `validation.metric`, at which a series tries no further candidate; "
        "null = none.",
    )

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterable[Problem]:
        """A learner that is both allowed and blocked."""
        for name in values.get("allow") or ():
            if name in (values.get("block") or ()):
                yield Problem(
                    "block", f"{name}, which allow names too", "allow or block", "take it out of one of them"
                )


METRICS = ("mase", "rmsse", "mae", "rmse", "mape", "smape", "wape", "nrmse", "nmae", "pinball", "crps")


class ValidationSpec(Part):
    """How candidates are judged: rolling origins on the series' own past."""

    section: ClassVar[str] = "validation"

    folds: Annotated[Auto | int, either(AUTO, integer(0, 20))] = Field(
        default="auto",
        description="How many past cutoffs are replayed; auto = up to 6 (4 where the horizon is above "
        "12); 0 = none.",
    )
    step: Annotated[Auto | int, either(AUTO, integer(1, LONGEST_HORIZON))] = Field(
        default="auto",
        description="Steps between two cutoffs; auto = half the horizon up to 12 steps, the horizon above.",
    )
    metric: Annotated[
        str, either(choice("auto", *METRICS), _offered("many_models.metrics", ("auto", *METRICS)))
    ] = Field(
        default="auto",
        description="The error that candidates are judged by; auto = MASE, and RMSSE for intermittent "
        "series; or the name of an error of your own, which an installed package offers as an entry point "
        "of the group `many_models.metrics`.",
    )
    test: Annotated[int, integer(0, LONGEST_HORIZON)] = Field(
        default=0,
        description="How many steps at the end of each series are hidden from the search and scored with "
        "what it chose; the model is then fitted on everything. 0 = none.",
    )
    pilot: Annotated[Auto | Off | int, either(choice("auto", "off"), integer(10, 10_000))] = Field(
        default="auto",
        description="How many groups go first, to teach how far fold errors can be trusted and how errors "
        "are spread; auto = 40 where there are 400 groups or more; off = none.",
    )
    weights: Annotated[str | None, null_or(COLUMN)] = Field(
        default=None,
        description="The column of `data.static` that says how much a series counts in the weighted totals "
        "of errors; null = none.",
    )


class EnsembleSpec(Part):
    """How candidates become one forecast."""

    section: ClassVar[str] = "ensemble"

    combine: Annotated[
        Literal["auto", "best", "mean", "median", "vote", "greedy"],
        choice("auto", "best", "mean", "median", "vote", "greedy"),
    ] = Field(
        default="auto",
        description="auto = weighted by shrunken fold errors; best = the best alone; mean, median = of "
        "all; vote = the "
        "best five by 1 / error; greedy = selected one by one, with replacement (Caruana).",
    )
    stack: Annotated[bool, switch()] = Field(
        default=False,
        description="Whether the weights are learned by an elastic net on the candidates' out-of-fold "
        "forecasts, in place of `combine`.",
    )

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterable[Problem]:
        """A stack beside another way to combine."""
        if values.get("stack") and values.get("combine", "auto") != "auto":
            yield Problem(
                "stack", f"true with combine {values['combine']}", "one of the two", "leave combine: auto"
            )


class BudgetSpec(Part):
    """What a run may cost before it gives up on a series, or on itself."""

    section: ClassVar[str] = "budget"

    seconds_per_group: Annotated[float | Auto | None, null_or(either(AUTO, POSITIVE))] = Field(
        default="auto",
        description="Seconds that one group may take; auto = 60 or 30 times the preset's expected cost, "
        "whichever is "
        "more; null = no limit.",
    )
    seconds_per_trial: Annotated[float | None, null_or(POSITIVE)] = Field(
        default=None,
        description="Seconds after which no further fold of a candidate is begun; null = no limit.",
    )
    seconds_total: Annotated[float | None, null_or(POSITIVE)] = Field(
        default=None,
        description="Seconds that the run may take; series not reached are `CANCELLED`; null = no limit.",
    )
    max_failed_fraction: Annotated[float, SHARE] = Field(
        default=0.05,
        description="The share of failed series above which the command ends with code 3 and no alias moves.",
    )


ENGINE_ADDRESS = re.compile(
    r"local|spark|spark://[^\s/:]+:\d{1,5}(,[^\s/:]+:\d{1,5})*|sc://[^\s/:;]+(:\d{1,5})?(/;?\S*)?"
)


def _engine_fits(value: str) -> bool:
    return ENGINE_ADDRESS.fullmatch(value) is not None and "token=" not in value


def _engine_advice(value: str) -> str:
    if value.startswith("local["):
        return (
            "local is this machine without Spark; for a local Spark session write spark, set engine.workers"
        )
    if "token=" in value:
        return "the configuration is stored with every run: open the session with its token and write spark"
    return did_you_mean(value, ("local", "spark", "spark://HOST:PORT", "sc://HOST"))


class EngineSpec(Part):
    """Where the work is done; it changes no forecast."""

    section: ClassVar[str] = "engine"

    kind: Annotated[
        str,
        text(
            "local | spark | spark://HOST:PORT | sc://HOST",
            _engine_fits,
            _engine_advice,
        ),
    ] = Field(
        default="local",
        description="local = this machine, no JVM; spark = the active or a local session; or the "
        "address of a cluster "
        "(spark://) or of a Spark Connect server (sc://).",
    )
    workers: Annotated[Auto | int, either(AUTO, integer(1, LONGEST_HORIZON))] = Field(
        default="auto", description="How many groups are worked on at once; auto = one per core."
    )
    staging: Annotated[str | None, null_or(LOCATION)] = Field(
        default=None,
        description="The folder for the prepared input of a lazy frame; null = the run directory.",
    )


def _alias_fits(value: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_-]{1,255}", value) is not None and not re.fullmatch(
        r"(?i)latest|v\d+", value
    )


def _no_password(address: str) -> bool:
    return re.match(r"[^:/]+://[^/@\s]*:[^/@\s]*@", address) is None


def _password_advice(address: str) -> str:
    return "the configuration is stored with every run: set MLFLOW_TRACKING_URI in the environment instead"


class RegistrySpec(Part):
    """Where the finished models are registered; it changes no forecast."""

    section: ClassVar[str] = "registry"

    name: Annotated[
        str | None,
        null_or(
            text(
                "a model name without / and : (catalog.schema.name too)",
                lambda value: not set(value) & set("/:"),
            )
        ),
    ] = Field(default=None, description="The registered model to add a version to; null = do not register.")
    alias: Annotated[
        str,
        text("letters, digits, _ and -; not latest, not v1", _alias_fits),
    ] = Field(default="champion", description="The alias that moves to the new version.")
    promote: Annotated[Literal["always", "if_better"], choice("always", "if_better")] = Field(
        default="always",
        description="Whether the alias moves to every new version, or the new version becomes `challenger`, "
        "and each series "
        "is served by it only where it was better than the alias's version on the same later data.",
    )
    stale_after: Annotated[
        Literal["auto"] | int, either(AUTO, integer(1, what="a number of periods, 1 or more"))
    ] = Field(
        default="auto",
        description="For `train --only stale`: by so many periods of new data a model is out of date. "
        "auto = the horizon.",
    )
    drift: Annotated[float, number("a number above 0", lambda value: value > 0, {"exclusiveMinimum": 0})] = (
        Field(
            default=2.0,
            description="For `train --only drifted` and `monitor`: by so many standard errors the error on "
            "newer data is worse than in the folds.",
        )
    )
    experiment: Annotated[str | None, null_or(text("the name of an MLflow experiment"))] = Field(
        default=None,
        description="The MLflow experiment of the run; null = one with the registered model's name.",
    )
    tracking_uri: Annotated[
        str | None,
        null_or(text("an address that MLflow opens, without a password", _no_password, _password_advice)),
    ] = Field(
        default=None,
        description="The MLflow server or store; null = MLFLOW_TRACKING_URI, else mlflow.db beside the runs.",
    )
    wheel: Annotated[str | None, null_or(location("the path of a wheel of this package"))] = Field(
        default=None,
        description="The wheel that a serving environment installs; null = the released version's "
        "requirement.",
    )
