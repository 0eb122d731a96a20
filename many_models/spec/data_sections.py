"""The sections that say what the data mean and how they are prepared, one frozen part each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from many_models.errors import Problem
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
    shown,
    text,
)
from many_models.spec.part import Part
from many_models.spec.values import (
    ANY_NUMBER,
    AUTO,
    COLUMN,
    COLUMNS,
    Auto,
    Columns,
)

SERIES = listing(COLUMN, "a list of columns; [] = the whole table is one series", single=True)
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


KINDS = by_column(choice("number", "boolean", "category"), "a mapping from covariates to kinds")
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
    group: Annotated[Columns | Auto | None, null_or(either(AUTO, COLUMNS))] = Field(
        default=None,
        description="The columns that identify one model, some of `series`; null = the same as `series`, "
        "an empty list = one model for all; auto = series that are alike by season, trend, level and zeros, "
        "at most `pooling.largest` of them.",
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
    kinds: Annotated[dict[str, str], KINDS] = Field(
        default={},
        description="What covariates hold whose values do not tell: number, boolean (true/false, 1/0) or "
        "category (size classes 1, 2, 3). The others are what they look like.",
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
        """The columns that identify one model: `group`, or `series` where that names none."""
        return self.series if self.group is None or self.group == "auto" else self.group

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterable[Problem]:
        """Two sources; a group that is no part of the series; a column with two roles."""
        if values.get("path") is not None and values.get("table") is not None:
            yield Problem(
                "table", f"{shown(values['table'])} beside a path", "path or table", "remove one of the two"
            )
        if values.get("group") not in (None, "auto") and "series" in values:
            for column in values["group"]:
                if column not in values["series"]:
                    allowed = f"columns of series: {', '.join(values['series']) or 'it names none'}"
                    yield Problem("group", shown(column), allowed, did_you_mean(column, values["series"]))
        for column in values.get("keep", ()) if "known" in values else ():
            if column not in values["known"]:
                allowed = f"columns of known: {', '.join(values['known']) or 'it names none'}"
                advice = did_you_mean(column, values["known"]) or "list it under data.known"
                yield Problem("keep", shown(column), allowed, advice)
        roles = ("known", "past", "static")
        listed = [column for role in roles for column in values.get(role, ())]
        for column in values.get("kinds", ()) if set(roles) <= values.keys() else ():
            if column not in listed:
                allowed = f"covariates: {', '.join(listed) or 'known, past and static name none'}"
                yield Problem(
                    "kinds", shown(column), allowed, did_you_mean(column, listed) or "list it first"
                )
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
