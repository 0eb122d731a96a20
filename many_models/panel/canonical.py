"""The edge: a user's table to the canonical frame and back, the same on every engine.

`column_facts` summarises a part of a table, `decide_layout` (see `layout`) decides from the
merged summaries what the columns are, `canonical_frame` gives the frame that group functions
read: columns named by position, int64 time, float64 numbers, text as text.
"""

from __future__ import annotations

import datetime
import decimal
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from many_models.errors import DataError, Problem
from many_models.panel.clock import formats_of, read_times
from many_models.panel.layout import ColumnFacts, CovariateColumn, Facts, Layout, data_columns
from many_models.panel.zones import DAY_US, from_wall, to_wall

Bools: TypeAlias = npt.NDArray[np.bool_]
Ints: TypeAlias = npt.NDArray[np.int64]
Objects: TypeAlias = npt.NDArray[np.object_]
TimeTag: TypeAlias = Literal["timestamp", "timestamp_ntz", "date"]
"""What int64 microseconds in the time column are: instants in UTC, wall-clock stamps, or dates."""

_MISSING_WORDS = frozenset({"", "na", "nan", "null", "none"})
_TRUE = frozenset({"true", "t", "yes", "y", "1", "1.0"})
_FALSE = frozenset({"false", "f", "no", "n", "0", "0.0"})
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf(?:inity)?)", re.IGNORECASE)
_INT64_MAX = 2**63 - 1
_EXACT = 2.0**53


# -- reading columns of any type ------------------------------------------------


@dataclass(frozen=True)
class _Column:
    """A column in plain terms: the family of its values, the values, and where they are null.

    `values` [n] is int64, float64, bool, int64 microseconds (timestamp, date) or objects (text, other
    and mixtures); entries at nulls mean nothing.
    """

    family: str
    values: npt.NDArray[Any]
    null: Bools
    zone: str = ""
    families: frozenset[str] = frozenset()


def _read(column: pd.Series[Any]) -> _Column:
    dtype: Any = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        codes = column.cat.codes.to_numpy()
        categories = _read(pd.Series(column.cat.categories))
        null = codes < 0
        if not len(categories.values):
            return _Column("text", np.full(len(codes), "", dtype=object), np.ones(len(codes), dtype=bool))
        return _Column(
            categories.family, categories.values[codes], null, categories.zone, categories.families
        )
    if isinstance(dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
        dtype = column.dtype
    null = column.isna().to_numpy(dtype=bool)
    kinds = pd.api.types
    if kinds.is_bool_dtype(dtype) and not kinds.is_object_dtype(dtype):
        return _Column(
            "boolean",
            column.fillna(False).to_numpy(dtype=bool) if null.any() else column.to_numpy(bool),
            null,
        )
    if kinds.is_integer_dtype(dtype):
        return _read_integers(column, null)
    if kinds.is_float_dtype(dtype):
        return _Column("float", column.to_numpy(dtype=np.float64, na_value=np.nan), null)
    if kinds.is_datetime64_any_dtype(dtype):
        return _read_stamps(column, null)
    return _read_objects(column.to_numpy(dtype=object), null)


def _read_integers(column: pd.Series[Any], null: Bools) -> _Column:
    if null.any():
        column = column.fillna(0)
    kind = getattr(column.dtype, "numpy_dtype", column.dtype)
    if kind == np.uint64 and len(column) and int(column.max()) > _INT64_MAX:
        # beyond 64 bits with a sign: as floats they count as numbers that are not exact
        return _Column("float", column.to_numpy(dtype=np.float64), null)
    return _Column("integer", column.to_numpy(dtype=np.int64), null)


def _read_stamps(column: pd.Series[Any], null: Bools) -> _Column:
    if isinstance(column.dtype, pd.ArrowDtype):
        column = column.astype(_numpy_stamp_dtype(column.dtype))
    zone = _zone_name(getattr(column.dtype, "tz", None))
    index = pd.DatetimeIndex(column).as_unit("us")
    return _Column("timestamp", index.asi8.copy(), null, zone)


def _numpy_stamp_dtype(dtype: pd.ArrowDtype) -> Any:
    arrow = dtype.pyarrow_dtype
    unit: Any = getattr(arrow, "unit", "us")
    return pd.DatetimeTZDtype(unit, arrow.tz) if getattr(arrow, "tz", None) else f"datetime64[{unit}]"


def _zone_name(zone: Any) -> str:
    """The IANA name of a tzinfo ("" for None); whole-hour offsets have one (`Etc/GMT-2` is UTC+2)."""
    if zone is None:
        return ""
    name = getattr(zone, "key", None) or getattr(zone, "zone", None) or str(zone)
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        offset = zone.utcoffset(None) if isinstance(zone, datetime.tzinfo) else None
        hours, rest = divmod(0 if offset is None else int(offset.total_seconds()), 3600)
        return "UTC" if rest or hours == 0 or not -14 <= -hours <= 12 else f"Etc/GMT{-hours:+d}"
    return str(name)


_FAMILY_OF: tuple[tuple[type, str], ...] = (
    (str, "text"),
    (bool, "boolean"),
    (np.bool_, "boolean"),
    (int, "integer"),
    (np.integer, "integer"),
    (float, "float"),
    (np.floating, "float"),
    (decimal.Decimal, "decimal"),
    (datetime.datetime, "timestamp"),
    (np.datetime64, "timestamp"),
    (datetime.date, "date"),
)


def _family_of(kind: type) -> str:
    return next((family for known, family in _FAMILY_OF if issubclass(kind, known)), "other")


def _read_objects(values: Objects, null: Bools) -> _Column:
    present = values[~null]
    families = frozenset(_family_of(kind) for kind in set(map(type, present)))
    if len(families) != 1:
        family = "other" if families else "null"
        if families and families <= {"integer", "float", "decimal"}:
            family = "float" if families != {"integer"} else "integer"
        elif families == {"timestamp", "date"}:
            return _stamps_of_objects(values, null, families)
        else:
            return _Column(family, values, null, "", families)
        return _numbers_of_objects(values, null, family, families)
    (family,) = families
    if family in ("integer", "float", "decimal"):
        return _numbers_of_objects(values, null, family, families)
    if family == "boolean":
        return _Column("boolean", np.where(null, False, values).astype(bool), null)
    if family in ("timestamp", "date"):
        return _stamps_of_objects(values, null, families)
    return _Column(family, values, null)


def _numbers_of_objects(values: Objects, null: Bools, family: str, families: frozenset[str]) -> _Column:
    filled = np.where(null, 0, values)
    if family == "integer":
        try:
            return _Column("integer", filled.astype(np.int64), null, "", families)
        except OverflowError:
            pass
    return _Column("float" if family != "decimal" else family, filled.astype(np.float64), null, "", families)


def _stamps_of_objects(values: Objects, null: Bools, families: frozenset[str]) -> _Column:
    us = np.zeros(len(values), dtype=np.int64)
    zones = set()
    epoch = datetime.datetime(1970, 1, 1)
    for row in np.flatnonzero(~null):
        value = values[row]
        if isinstance(value, np.datetime64):
            us[row] = value.astype("datetime64[us]").astype(np.int64)
            zones.add("")
            continue
        if not isinstance(value, datetime.datetime):
            us[row] = (value.toordinal() - 719_163) * DAY_US
            zones.add("")
            continue
        zones.add(_zone_name(value.tzinfo))
        moment = value.replace(tzinfo=None)
        if value.tzinfo is not None:
            moment -= value.utcoffset() or datetime.timedelta()
        step = (moment.to_pydatetime(warn=False) if isinstance(moment, pd.Timestamp) else moment) - epoch
        us[row] = (step.days * 86_400 + step.seconds) * 1_000_000 + step.microseconds
    family = "date" if families == {"date"} else "timestamp"
    # several zones cannot be one column's zone: "|" keeps them apart until the facts are merged
    return _Column(family, us, null, "|".join(sorted(zones)), families)


# -- facts ---------------------------------------------------------------------


def column_facts(
    frame: pd.DataFrame,
    data: Any,
    *,
    text_table: bool = False,
    time_tag: TimeTag | None = None,
    time_zone: str | None = None,
) -> Facts:
    """The facts of the configured columns on these rows; facts of parts are merged with `Facts.merge`.

    Parameters
    ----------
    frame
        Rows of the user's table, columns named as there.
    data
        The `DataSpec`.
    text_table
        Every column is text as a CSV file has it.
    time_tag
        The time column is int64 microseconds (nulls as NaN or NA), and this is what they are.
    time_zone
        With `time_tag="timestamp"`: the zone in which the user sees these instants; default UTC.
    """
    columns: dict[str, ColumnFacts] = {}
    for name in data_columns(data):
        if sum(column == name for column in frame.columns) != 1:
            continue
        read = _read(frame[name])
        if name == data.time and time_tag is not None:
            family = "date" if time_tag == "date" else "timestamp"
            zone = (time_zone or "UTC") if time_tag == "timestamp" else ""
            read = _Column(family, read.values.astype(np.int64), read.null, zone)
        columns[name] = _facts_of(name, read, is_time=name == data.time)
    return Facts(len(frame), columns, text_table)


def _facts_of(name: str, column: _Column, is_time: bool) -> ColumnFacts:
    rows, nulls = len(column.null), int(column.null.sum())
    if column.family == "null" or rows == nulls:
        # an all-null part of a float column may be whole numbers elsewhere: its type says nothing
        return ColumnFacts(name, rows=rows, nulls=nulls, zones=_zones(column))
    families = column.families or frozenset({column.family})
    present = column.values[~column.null]
    shown = {column.family: _shown(_telling(present), column.family)}
    if len(families) > 1 and present.dtype == np.dtype(object):
        shown = {_family_of(type(value)): _shown(value, "") for value in reversed(_one_of_each(present))}
    common: dict[str, Any] = {"families": families, "zones": _zones(column), "rows": rows, "nulls": nulls}
    examples = tuple(sorted(shown.items()))
    if column.family in ("integer", "float", "decimal"):
        return ColumnFacts(name, **common, examples=examples, **_number_facts(present, is_time))
    texts = (
        [value for value in present if isinstance(value, str)] if column.family in ("text", "other") else []
    )
    if texts:
        return ColumnFacts(name, **common, examples=examples, **_text_facts(texts, is_time))
    return ColumnFacts(name, **common, examples=examples)


def _zones(column: _Column) -> frozenset[str]:
    return frozenset(column.zone.split("|")) if column.family in ("timestamp", "date") else frozenset()


def _shown(value: Any, family: str) -> str:
    if family in ("timestamp", "date"):
        return str(np.datetime64(int(value), "us"))
    return repr(value.item() if isinstance(value, np.generic) else value)[:60]


def _telling(values: npt.NDArray[Any]) -> Any:
    """A number that is not whole where there is one: what a person has to look for; else the first value."""
    if values.dtype.kind == "f":
        odd = np.flatnonzero(~(np.floor(values) == values) | (np.abs(values) > _EXACT))
        return values[odd[0]] if len(odd) else values[0]
    return values[0]


def _one_of_each(values: npt.NDArray[Any]) -> list[Any]:
    seen: dict[type, Any] = {}
    for value in values:
        seen.setdefault(type(value), value)
    return list(seen.values())


def _number_facts(values: npt.NDArray[Any], is_time: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {"not_flags": int(((values != 0) & (values != 1)).sum())}
    whole = values
    if values.dtype.kind == "f":
        finite = np.isfinite(values)
        exact = finite & (np.floor(values) == values) & (np.abs(values) <= _EXACT)
        facts["infinite"] = int((~finite).sum())
        facts["fractions"] = int((finite & ~exact).sum())
        whole = values[exact]
    if is_time and len(whole) == len(values):
        facts["time_formats"] = _formats_of_numbers(whole)
    return facts


def _formats_of_numbers(values: npt.NDArray[Any]) -> frozenset[str]:
    if values.min() < 15_000_101 or values.max() > 24_991_231:
        return frozenset()
    texts = [str(int(value)) for value in np.unique(values)]
    return frozenset({"%Y%m%d"}) if read_times(texts, "%Y%m%d").ok.all() else frozenset()


def _text_facts(texts: Sequence[str], is_time: bool) -> dict[str, Any]:
    codes, unique = pd.factorize(np.array(texts, dtype=object))
    counts = np.bincount(codes, minlength=len(unique))
    words = [str(text) for text in unique]
    lower = [word.strip().lower() for word in words]
    blank = np.array([word in _MISSING_WORDS for word in lower])
    number = np.array([_NUMBER.fullmatch(word) is not None for word in lower])
    flag = np.array([word in _TRUE or word in _FALSE for word in lower])
    empty = np.array([word == "" for word in words])
    trouble = [words[i] for i in np.flatnonzero(~number & ~blank)]
    facts: dict[str, Any] = {
        "empty": int(counts[empty].sum()),
        "blanks": int(counts[blank].sum()),
        "not_numbers": int(counts[~number & ~blank].sum()),
        "number_trouble": tuple(sorted(word[:60] for word in trouble[:3])),
        "not_booleans": int(counts[~flag & ~blank].sum()),
        "integer_text": all(word == "" or _survives(word) for word in words),
    }
    if is_time:
        stamps = [word for word in words if word]
        facts["time_formats"], facts["time_trouble"] = formats_of(stamps)
        if {"%m/%d/%Y", "%d/%m/%Y"} <= facts["time_formats"]:
            parts = [word.split("/") for word in stamps]
            facts["first"] = frozenset(int(part[0]) for part in parts)
            facts["second"] = frozenset(int(part[1]) for part in parts)
    return facts


def _survives(text: str) -> bool:
    """Whether text -> int -> text gives the same text, within 64 bits."""
    if len(text) > 20 or not text.isascii() or not text.removeprefix("-").isdigit():
        return False
    return str(int(text)) == text and abs(int(text)) <= _INT64_MAX


# -- the canonical frame ---------------------------------------------------------


def canonical_frame(
    frame: pd.DataFrame, layout: Layout, *, time_tag: TimeTag | None = None, with_target: bool = True
) -> pd.DataFrame:
    """The canonical frame of these rows, in their order; `sort_canonical` sorts it.

    Parameters
    ----------
    frame
        Rows of the user's table, columns named as there.
    layout
        What the columns are.
    time_tag
        The time column is int64 microseconds, and this is what they are.
    with_target
        False for future rows: a column that is not there, and the target, become NaN.

    Raises
    ------
    DataError
        When a value does not fit the layout (rows that the layout was not decided from).
    """
    columns: dict[str, Any] = {}
    for key_name, key in zip(layout.key_names, layout.keys, strict=True):
        columns[key_name] = _key_values(_source(frame, key.name), key.name, key.kind, layout.text_table)
    columns["t"] = time_values(_source(frame, layout.time.name), layout, time_tag)
    columns["y"] = _maybe_numbers(frame, layout.target, required=with_target, present=with_target)
    for name, covariate in zip(layout.covariate_names, layout.covariates, strict=True):
        columns[name] = _covariate_values(frame, covariate, layout, columns["t"], with_target)
    for name, source in (("mask", layout.mask), ("closed", layout.closed)):
        if source is not None:
            columns[name] = _maybe_numbers(frame, source, required=with_target, flags=True)
    return pd.DataFrame(columns, columns=list(layout.columns), copy=False)


def sort_canonical(frame: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """The rows sorted by keys, then `t`, then all other columns: one order, whatever order they came in."""
    order = np.lexsort([_sortable(frame[name]) for name in reversed(layout.columns)])
    return frame.take(order).reset_index(drop=True)


def _sortable(column: pd.Series[Any]) -> npt.NDArray[Any]:
    if column.dtype == object or pd.api.types.is_string_dtype(column.dtype):
        values = column.to_numpy(dtype=object)
        codes, _ = pd.factorize(values, sort=True)
        return codes
    return column.to_numpy()


def _source(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    if sum(column == name for column in frame.columns) != 1:
        shown = ", ".join(map(repr, list(map(str, frame.columns))[:20]))
        raise DataError(Problem(name, "no such column, or several", f"one of {shown}", "add the column"))
    return frame[name]


def _key_values(column: pd.Series[Any], name: str, kind: str, text_table: bool) -> npt.NDArray[Any]:
    read = _read(column)
    null = read.null
    if text_table and read.family == "text":
        null = null | (read.values == "")
    if null.any():
        raise DataError(
            Problem(
                name,
                f"{int(null.sum())} empty values in a key column",
                "a value in every row",
                "fill or drop them",
            )
        )
    fits = {
        "integer": read.family in ("integer", "float", "decimal"),
        "text": read.family == "text",
        "boolean": read.family == "boolean",
    }[kind]
    if not len(column):
        return np.empty(0, dtype={"integer": np.int64, "boolean": bool}.get(kind, object))
    if kind == "integer" and read.family == "text" and all(map(_survives, pd.unique(read.values))):
        return read.values.astype(np.int64)
    if kind == "integer" and fits and read.values.dtype.kind == "f":
        whole = read.values.astype(np.int64)
        fits = bool((whole == read.values).all())
        if fits:
            return whole
    if not fits:
        raise DataError(
            Problem(
                name,
                f"{read.family} values such as {_shown(read.values[0], read.family)}",
                f"{kind} values, as in the data it was trained on",
                "convert the column",
            )
        )
    return read.values


def _maybe_numbers(
    frame: pd.DataFrame, name: str, *, required: bool, present: bool = True, flags: bool = False
) -> npt.NDArray[np.float64]:
    if not present or (not required and name not in frame.columns):
        return np.full(len(frame), np.nan)
    return _numbers(_source(frame, name), name, flags)


def _numbers(column: pd.Series[Any], name: str, flags: bool = False) -> npt.NDArray[np.float64]:
    """Values as float64 [n], missing as NaN; text is read by our rules."""
    read = _read(column)
    if read.family == "null":
        return np.full(len(column), np.nan)
    if read.family in ("text", "other"):
        values = np.array([_number_of(value, flags) for value in read.values], dtype=object)
        wrong = (values == None) & ~read.null  # noqa: E711  (elementwise)
        if wrong.any():
            shown = repr(read.values[np.flatnonzero(wrong)[0]])[:60]
            allowed = "true or false" if flags else "numbers"
            raise DataError(
                Problem(name, f"{int(wrong.sum())} values such as {shown}", allowed, "convert the column")
            )
        numbers = np.where(read.null, np.nan, values).astype(np.float64)
    elif read.family in ("integer", "float", "decimal", "boolean"):
        numbers = read.values.astype(np.float64)
        numbers[read.null] = np.nan
    else:
        raise DataError(Problem(name, f"{read.family} values", "numbers", "convert the column"))
    # -0.0 and 0.0 sort alike but are not the same bits: there is one zero
    return numbers + 0.0


def _number_of(value: Any, flags: bool) -> float | None:
    if not isinstance(value, str):
        return None if _family_of(type(value)) in ("other", "timestamp", "date") else float(value)
    word = value.strip().lower()
    if word in _MISSING_WORDS:
        return float("nan")
    if flags:
        return 1.0 if word in _TRUE else 0.0 if word in _FALSE else None
    return float(word) if _NUMBER.fullmatch(word) else None


def _covariate_values(
    frame: pd.DataFrame, covariate: CovariateColumn, layout: Layout, t: Ints, required: bool
) -> npt.NDArray[Any]:
    if covariate.derived or (not required and covariate.name not in frame.columns):
        return np.full(len(frame), None if covariate.kind == "category" else np.nan)
    column = _source(frame, covariate.name)
    if covariate.is_date:
        return _days_until(column, t, layout)
    if covariate.kind != "category":
        return _numbers(column, covariate.name, flags=covariate.kind == "boolean")
    read = _read(column)
    missing = read.null
    if read.family == "text" and layout.text_table:
        codes, unique = pd.factorize(read.values)
        blank = np.array(
            [isinstance(u, str) and u.strip().lower() in _MISSING_WORDS for u in unique] or [False]
        )
        missing = missing | blank[codes] if len(unique) else missing
    elif covariate.stated and read.family in ("integer", "float", "decimal", "boolean"):
        return _names_of(read)
    elif read.family not in ("text", "null"):
        raise DataError(
            Problem(
                covariate.name,
                f"{read.family} values",
                "text, as in the data it was trained on",
                "convert the column",
            )
        )
    values = read.values.astype(object)
    values[missing] = None
    return values


def _names_of(read: _Column) -> npt.NDArray[Any]:
    """Numbers and booleans as names of categories [n]; 3 and 3.0 are one: a hole makes integers floats."""
    unique, codes = np.unique(read.values, return_inverse=True)
    if unique.dtype.kind == "b":
        texts = ["true" if value else "false" for value in unique]
    else:
        texts = [str(int(v)) if float(v).is_integer() else repr(float(v)) for v in unique]
    names = np.array([*texts, None], dtype=object)
    return np.asarray(names[np.where(read.null, len(texts), codes)])


def _days_until(column: pd.Series[Any], t: Ints, layout: Layout) -> npt.NDArray[np.float64]:
    """Whole days on the wall clock from each row, at `t` [n], to the date in its column; below 0 = past."""
    read, zone = _read(column), layout.time.zone
    if read.family == "null":
        return np.full(len(column), np.nan)
    if read.family not in ("timestamp", "date"):
        raise DataError(
            Problem(str(column.name), f"{read.family} values", "dates, as in training", "convert the column")
        )
    moments = np.where(read.null, t, read.values)
    then = to_wall(moments, zone) if read.zone else moments
    days = (then // DAY_US - to_wall(t, zone) // DAY_US).astype(np.float64)
    days[read.null] = np.nan
    return days


# -- time -----------------------------------------------------------------------


def time_values(column: pd.Series[Any], layout: Layout, time_tag: TimeTag | None = None) -> Ints:
    """The canonical time [n] of a user's time column.

    Raises
    ------
    DataError
        When a time is empty or cannot be read as the layout says.
    """
    time = layout.time
    read = _read(column)
    if not len(column):
        return np.empty(0, dtype=np.int64)
    if read.null.any():
        raise DataError(
            Problem(
                time.name,
                f"{int(read.null.sum())} rows without a time",
                "a time in every row",
                "fill or drop them",
            )
        )
    if time.kind == "integer":
        values: Ints = _key_values(column, time.name, "integer", layout.text_table)
        return values
    if time_tag is not None:
        wall, zone = read.values.astype(np.int64), "UTC" if time_tag == "timestamp" else ""
    elif read.family in ("timestamp", "date"):
        wall, zone = read.values, read.zone
    else:
        wall, zone = _read_text_times(read, layout)
    # stamps with a zone are instants already
    return wall if zone else from_wall(wall, time.zone)


def _read_text_times(read: _Column, layout: Layout) -> tuple[Ints, str]:
    time = layout.time
    if read.family in ("integer", "float") and time.text_format == "%Y%m%d":
        numbers, inverse = np.unique(read.values, return_inverse=True)
        texts = [str(int(value)) for value in numbers]
    elif read.family == "text":
        inverse, unique = pd.factorize(read.values)
        texts = [str(text) for text in unique]
    else:
        raise DataError(
            Problem(
                time.name,
                f"{read.family} values",
                "times as in the data it was trained on",
                "convert the column",
            )
        )
    expected = time.text_format
    candidates = [expected] if expected else []
    # rows that come later may be written otherwise than the training data were
    candidates += [name for name in ("iso", "iso-offset") if name != expected]
    for name in candidates:
        times = read_times(texts, name)
        if times.ok.all():
            return times.us[inverse], "UTC" if name == "iso-offset" else ""
    bad = texts[int(np.flatnonzero(~read_times(texts, candidates[0]).ok)[0])]
    raise DataError(
        Problem(
            time.name,
            f"the time {bad!r}",
            f"times as {expected or 'iso'}",
            "write them as in 2024-01-31 13:00",
        )
    )


def stamp_of(text: str | int | datetime.date | np.datetime64, layout: Layout) -> int:
    """The canonical time of one stamp in the user's terms (`--cutoff`).

    Raises
    ------
    DataError
        When it cannot be read.
    """
    column: pd.Series[Any] = pd.Series([text], dtype=object)
    if layout.time.kind == "integer" and isinstance(text, str) and _survives(text):
        column = pd.Series([int(text)])
    return int(time_values(column, layout)[0])


def time_type(layout: Layout) -> pa.DataType:
    """The Arrow type in which the user's time column is stored: text time is a timestamp in microseconds."""
    if layout.time.kind == "integer":
        return pa.int64()
    if layout.time.is_date:
        return pa.date32()
    return pa.timestamp("us", tz=layout.time.shown_in)


def time_array(t: npt.ArrayLike, layout: Layout) -> pa.Array:
    """Canonical time [n] as an Arrow array of the user's type."""
    moments = np.asarray(t, dtype=np.int64)
    time = layout.time
    if time.kind == "integer":
        return pa.array(moments, type=pa.int64())
    if time.shown_in is None:
        moments = to_wall(moments, time.zone)
    if time.is_date:
        return pa.array((moments // DAY_US).astype(np.int32), type=pa.int32()).cast(pa.date32())
    return pa.array(moments, type=pa.int64()).cast(time_type(layout))


def canonical_times(stored: pa.Array | pa.ChunkedArray, layout: Layout) -> Ints:
    """The canonical time [n] of what `time_array` gave; there are no nulls."""
    whole = stored.cast(pa.int32()) if layout.time.is_date else stored
    moments: Ints = whole.cast(pa.int64()).to_numpy()
    if layout.time.kind == "integer":
        return moments
    if layout.time.is_date:
        moments = moments * DAY_US
    return from_wall(moments, layout.time.zone) if layout.time.shown_in is None else moments


def key_types(layout: Layout) -> list[pa.DataType]:
    """The Arrow type of each key column: int64, string or bool."""
    types = {"integer": pa.int64(), "text": pa.string(), "boolean": pa.bool_()}
    return [types[key.kind] for key in layout.keys]
