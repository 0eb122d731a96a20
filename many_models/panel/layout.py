"""What the columns of a table are: decided once from facts, the same on every engine.

`ColumnFacts` is a summary of one column that can be made part by part and merged, so that a
cluster computes it where the rows are. `decide_layout` reads the merged facts and either gives
the `Layout` or refuses, naming every problem of the table at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from many_models.errors import DataError, InputError, Problem, nearest
from many_models.panel.clusters import Clusters
from many_models.panel.grid import Frequency
from many_models.panel.keys import KeyColumn, KeyKind
from many_models.panel.zones import zone_problem

__all__ = [
    "ColumnFacts",
    "ContextColumns",
    "CovariateColumn",
    "Facts",
    "KeyColumn",
    "Layout",
    "TimeColumn",
    "data_columns",
    "decide_layout",
    "is_reserved",
]

CovariateRole: TypeAlias = Literal["known", "past", "static", "unused"]
CovariateKind: TypeAlias = Literal["number", "boolean", "category"]

RESERVED: frozenset[str] = frozenset(
    {
        *("status", "reason", "learner", "score", "skill", "bias", "seconds", "trained_until", "n_obs"),
        *("spec_fingerprint", "content_id", "kind", "format_version", "state"),
        *("candidate", "parameters", "score_std", "weight", "fit_seconds", "predict_seconds", "error_code"),
        *("cutoff", "step", "steps", "mean", "run_id", "fold", "actual"),
        *("code", "severity", "count", "message", "action", "findings"),
        *("code_version", "data_from", "data_until", "folds", "data_fingerprint", "inherited_from"),
        *("digest", "__shard", "__row"),
    }
)
"""Names of our own columns in the run directory and the bundle."""

_QUANTILE = re.compile(r"^q(?:0?\.\d+|\d+e-\d+)$")
_EXAMPLES = 3


def is_reserved(name: str) -> bool:
    """Whether a key or time column may not have this name, because a column of ours has it."""
    lower = name.lower()
    return lower in RESERVED or _QUANTILE.match(lower) is not None


@dataclass(frozen=True)
class ColumnFacts:
    """What is known of one column after reading some of its rows; `merge` adds further rows.

    Attributes
    ----------
    name
        The column.
    families
        Type families seen: integer, float, boolean, text, timestamp, date, decimal, other.
    zones
        Zones of the time stamps seen; "" is none.
    rows, nulls, empty
        Rows, nulls (NaN included), empty texts.
    blanks
        Texts that mean missing where a number is expected: empty, NA, NaN, null, None.
    not_numbers, number_trouble
        Texts that are no number, and some of them.
    not_booleans
        Texts that are not true/false, yes/no, 1/0 nor blank.
    integer_text
        Every text that is not empty survives text -> int -> text.
    fractions
        Floats that are no whole number of at most 53 bits.
    infinite
        Infinite values.
    not_flags
        Numbers other than 0 and 1.
    time_formats
        Names of the formats that read every text; None where no text was seen.
    time_trouble
        Some texts that no format reads.
    first, second
        Numbers that stand first and second in texts such as 1/2/2011, up to 12.
    examples
        Family -> an example value, as text.
    """

    name: str
    families: frozenset[str] = frozenset()
    zones: frozenset[str] = frozenset()
    rows: int = 0
    nulls: int = 0
    empty: int = 0
    blanks: int = 0
    not_numbers: int = 0
    number_trouble: tuple[str, ...] = ()
    not_booleans: int = 0
    integer_text: bool = True
    fractions: int = 0
    infinite: int = 0
    not_flags: int = 0
    time_formats: frozenset[str] | None = None
    time_trouble: tuple[str, ...] = ()
    first: frozenset[int] = frozenset()
    second: frozenset[int] = frozenset()
    examples: tuple[tuple[str, str], ...] = ()

    def merge(self, other: ColumnFacts) -> ColumnFacts:
        """The facts of both parts together; the order of parts does not matter for what is decided."""
        formats = [f for f in (self.time_formats, other.time_formats) if f is not None]
        return ColumnFacts(
            self.name,
            self.families | other.families,
            self.zones | other.zones,
            self.rows + other.rows,
            self.nulls + other.nulls,
            self.empty + other.empty,
            self.blanks + other.blanks,
            self.not_numbers + other.not_numbers,
            _some(self.number_trouble, other.number_trouble),
            self.not_booleans + other.not_booleans,
            self.integer_text and other.integer_text,
            self.fractions + other.fractions,
            self.infinite + other.infinite,
            self.not_flags + other.not_flags,
            frozenset.intersection(*formats) if formats else None,
            _some(self.time_trouble, other.time_trouble),
            self.first | other.first,
            self.second | other.second,
            tuple(sorted({**dict(other.examples), **dict(self.examples)}.items())),
        )

    def to_dict(self) -> dict[str, Any]:
        """These facts as JSON values."""
        plain = asdict(self)
        for name in ("families", "zones", "time_formats", "first", "second"):
            plain[name] = None if plain[name] is None else sorted(plain[name])
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ColumnFacts:
        """The facts that `to_dict` wrote."""
        plain = dict(data)
        for name in ("families", "zones", "time_formats", "first", "second"):
            plain[name] = None if plain[name] is None else frozenset(plain[name])
        for name in ("number_trouble", "time_trouble"):
            plain[name] = tuple(plain[name])
        plain["examples"] = tuple((str(family), str(text)) for family, text in plain["examples"])
        return cls(**plain)


@dataclass(frozen=True)
class Facts:
    """The facts of all configured columns of a table, or of a part of it.

    Attributes
    ----------
    rows
        Rows read.
    columns
        Column -> its facts, for the configured columns that exist.
    text_table
        The table holds only text (CSV) and is typed by our rules.
    """

    rows: int
    columns: dict[str, ColumnFacts]
    text_table: bool = False

    def merge(self, other: Facts) -> Facts:
        """The facts of both parts together."""
        names = [*self.columns, *(name for name in other.columns if name not in self.columns)]
        merged = {
            name: self.columns[name].merge(other.columns[name])
            if name in self.columns and name in other.columns
            else self.columns.get(name) or other.columns[name]
            for name in names
        }
        return Facts(self.rows + other.rows, merged, self.text_table or other.text_table)

    def to_dict(self) -> dict[str, Any]:
        """These facts as JSON values."""
        columns = [facts.to_dict() for facts in self.columns.values()]
        return {"rows": self.rows, "columns": columns, "text_table": self.text_table}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Facts:
        """The facts that `to_dict` wrote."""
        columns = [ColumnFacts.from_dict(item) for item in data["columns"]]
        return cls(data["rows"], {facts.name: facts for facts in columns}, data["text_table"])


def _some(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*a, *b})[:_EXAMPLES])


@dataclass(frozen=True)
class TimeColumn:
    """The time column.

    Attributes
    ----------
    kind
        `timestamp`, or `integer` for an index without a calendar.
    zone
        IANA zone in which days and weeks are cut; None: the clock that the stamps show.
    shown_in
        Zone of the user's own column; None: its stamps are wall-clock times without a zone, of
        `zone` where that is set.
    text_format
        How text is read: `iso`, `iso-offset`, or a strptime format; None for typed columns.
    is_date
        The user's column holds dates without a time of day.
    """

    name: str
    kind: Literal["timestamp", "integer"]
    zone: str | None = None
    shown_in: str | None = None
    text_format: str | None = None
    is_date: bool = False


@dataclass(frozen=True)
class CovariateColumn:
    """Name, role and kind of one covariate column.

    Attributes
    ----------
    derived
        It is computed from the rows of the sibling series, and stands in no table of the user's.
    is_date
        The user's column holds dates, which are read as the days from each row to them.
    stated
        Its kind was stated (`data.kinds`), not told from its values.
    """

    name: str
    role: CovariateRole
    kind: CovariateKind
    derived: bool = False
    is_date: bool = False
    stated: bool = False


@dataclass(frozen=True)
class ContextColumns:
    """Which known columns of the sibling series stand beside a series' own (see `panel.context`).

    Attributes
    ----------
    by
        Positions in `keys` of the columns that siblings share.
    sources
        Positions in `covariates` of the columns that are looked at.
    siblings
        The values of the other key columns where they are few, sorted: each has a column.
    """

    by: tuple[int, ...]
    sources: tuple[int, ...]
    siblings: tuple[tuple[Any, ...], ...] = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ContextColumns:
        """The columns as `dataclasses.asdict` wrote them."""
        siblings = tuple(tuple(values) for values in data["siblings"])
        return cls(tuple(map(int, data["by"])), tuple(map(int, data["sources"])), siblings)


@dataclass(frozen=True)
class Layout:
    """What the columns of the canonical frame are, in order: keys, `t`, `y`, covariates, mask, closed.

    Attributes
    ----------
    keys
        The series key columns `k0` …
    group
        Positions in `keys` of the columns that identify one model.
    time, target
        The columns behind `t` and `y`.
    covariates
        The columns behind `x0` …
    mask, closed
        The columns behind `mask` and `closed`, where configured.
    text_table
        The source holds only text (CSV).
    notes
        What was decided that a person may want to know.
    context
        What the derived covariates, the last ones, are computed from; None where there are none.
    forgotten
        Columns of no role that would tell apart the rows which share a series and a time.
    clusters
        Of an automatic grouping how it tells groups apart; then no column does.
    """

    keys: tuple[KeyColumn, ...]
    group: tuple[int, ...]
    time: TimeColumn
    target: str
    covariates: tuple[CovariateColumn, ...] = ()
    mask: str | None = None
    closed: str | None = None
    text_table: bool = False
    notes: tuple[str, ...] = field(default=())
    context: ContextColumns | None = None
    forgotten: tuple[str, ...] = ()
    clusters: Clusters | None = None

    @property
    def key_names(self) -> tuple[str, ...]:
        """`k0` …, one per series key column."""
        return tuple(f"k{i}" for i in range(len(self.keys)))

    @property
    def group_names(self) -> tuple[str, ...]:
        """The canonical names of the columns that identify one model."""
        return tuple(f"k{i}" for i in self.group)

    @property
    def covariate_names(self) -> tuple[str, ...]:
        """`x0` …, one per covariate."""
        return tuple(f"x{i}" for i in range(len(self.covariates)))

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of the canonical frame, in order."""
        flags = [name for name in ("mask", "closed") if getattr(self, name) is not None]
        return (*self.key_names, "t", "y", *self.covariate_names, *flags)

    @property
    def sources(self) -> dict[str, str]:
        """Canonical column -> the user's column."""
        names = [key.name for key in self.keys] + [self.time.name, self.target]
        names += [covariate.name for covariate in self.covariates]
        names += [name for name in (self.mask, self.closed) if name is not None]
        return dict(zip(self.columns, names, strict=True))

    def role(self, role: CovariateRole) -> tuple[int, ...]:
        """Positions in `covariates` of the columns of a role."""
        return tuple(i for i, covariate in enumerate(self.covariates) if covariate.role == role)

    def to_dict(self) -> dict[str, Any]:
        """This layout as JSON values."""
        plain = asdict(self)
        for name in ("keys", "group", "covariates", "notes", "forgotten"):
            plain[name] = list(plain[name])
        if self.clusters is None:
            del plain["clusters"]
        else:
            plain["clusters"] = self.clusters.to_dict()
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Layout:
        """The layout that `to_dict` wrote.

        Raises
        ------
        DataError
            When it is not one.
        """
        try:
            layout = cls(
                tuple(KeyColumn(**key) for key in data["keys"]),
                tuple(int(i) for i in data["group"]),
                TimeColumn(**data["time"]),
                data["target"],
                tuple(CovariateColumn(**item) for item in data["covariates"]),
                data["mask"],
                data["closed"],
                bool(data["text_table"]),
                tuple(data["notes"]),
                None if data.get("context") is None else ContextColumns.from_dict(data["context"]),
                tuple(data.get("forgotten", ())),
                None if data.get("clusters") is None else Clusters.from_dict(data["clusters"]),
            )
            layout._check()
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                Problem("layout", repr(data)[:200], "what Layout.to_dict writes", str(error))
            ) from None
        return layout

    def _check(self) -> None:
        """Refuses what no table has; a stored layout may have been damaged."""
        words: list[tuple[str, tuple[str, ...]]] = []
        words += [(key.kind, ("integer", "text", "boolean")) for key in self.keys]
        words += [(self.time.kind, ("timestamp", "integer"))]
        words += [(column.role, ("known", "past", "static", "unused")) for column in self.covariates]
        words += [(column.kind, ("number", "boolean", "category")) for column in self.covariates]
        for found, allowed in words:
            if found not in allowed:
                raise ValueError(f"{found!r} is none of {', '.join(allowed)}")
        names: list[object] = [self.time.name, self.target]
        names += [key.name for key in self.keys] + [column.name for column in self.covariates]
        names += [name for name in (self.mask, self.closed) if name is not None]
        if not all(isinstance(name, str) for name in names):
            raise ValueError("the name of a column is no text")
        if not all(0 <= place < len(self.keys) for place in self.group):
            raise ValueError("group names a key column that is not there")
        if self.context is not None:
            places = (self.context.by, self.keys), (self.context.sources, self.covariates)
            if not all(0 <= place < len(there) for chosen, there in places for place in chosen):
                raise ValueError("the context names a column that is not there")
        for zone in (self.time.zone, self.time.shown_in):
            if zone is not None and zone_problem(zone) is not None:
                raise ValueError(f"{zone!r} is no time zone")


def data_columns(data: Any) -> tuple[str, ...]:
    """The columns that a `DataSpec` names, without repeats, in the order of the canonical frame."""
    names = [*data.series, *data.group_columns, data.time, data.target, *data.known, *data.past, *data.static]
    names += [name for name in (data.mask, data.closed) if name is not None]
    return tuple(dict.fromkeys(names))


def decide_layout(facts: Facts, columns: Sequence[Any], data: Any) -> Layout:
    """The layout of a table with these facts and column names under this `DataSpec`.

    Raises
    ------
    DataError
        With every problem of the table at once.
    """
    problems = list(_missing_columns(columns, data))
    if facts.rows == 0:
        problems.append(
            Problem(
                data.path or "data",
                "no rows",
                "at least one row",
                "check the path, the filter and the cutoff",
            )
        )
    problems += _reserved_names(data)
    if facts.rows == 0:
        raise DataError(problems)
    keys = [_key(facts, name, problems) for name in data.series]
    time, notes = _time(facts, data, problems)
    problems += _steps_without_index(facts, data, time)
    target = facts.columns.get(data.target)
    if target is not None:
        problems += _not_a_number(target, "the target", facts.text_table)
    covariates = [
        _stated(facts, name, role, data.kinds[name], problems)
        if name in data.kinds
        else _covariate(facts, name, role, time.kind == "timestamp", problems)
        for role, names in (("known", data.known), ("past", data.past), ("static", data.static))
        for name in names
    ]
    problems += _context_of_categories(covariates, data)
    for name in (data.mask, data.closed):
        if name is not None and name in facts.columns:
            problems += _not_a_flag(facts.columns[name], facts.text_table)
    if problems:
        raise DataError(problems)
    return Layout(
        tuple(keys),
        tuple(data.series.index(name) for name in data.group_columns),
        time,
        data.target,
        tuple(covariates),
        data.mask,
        data.closed,
        facts.text_table,
        tuple(notes),
    )


def _context_of_categories(covariates: Sequence[CovariateColumn], data: Any) -> Iterable[Problem]:
    """Context columns that hold neither numbers nor flags."""
    for column in covariates:
        if data.context is not None and column.name in data.context.columns and column.kind == "category":
            yield Problem(
                column.name,
                "text in a column of data.context",
                "columns of numbers or of true and false",
                "take it out of data.context.columns, or make it a number",
            )


def _steps_without_index(facts: Facts, data: Any, time: TimeColumn) -> Iterable[Problem]:
    if data.time in facts.columns and time.kind == "timestamp" and str(data.frequency).isdigit():
        yield Problem(
            "data.frequency",
            f"{data.frequency!r}, a number of integer steps, for {data.time!r}, which holds dates",
            "auto, or a pandas offset such as D, W-THU, MS, h",
            "write frequency: auto",
        )


def _missing_columns(columns: Sequence[Any], data: Any) -> Iterable[Problem]:
    names = [str(column) for column in columns]
    for name in data_columns(data):
        times = sum(column == name for column in columns)
        if times == 1:
            continue
        shown = ", ".join(map(repr, names[:20])) + (" …" if len(names) > 20 else "")
        if times > 1:
            yield Problem(name, f"{times} columns of this name", "one", "rename or drop the others")
            continue
        near = nearest(name, names)
        hint = f"did you mean {near!r}?" if near else "correct the name in the configuration"
        yield Problem(
            name, "no such column", f"one of {shown}" if names else "the table has no columns", hint
        )


def _reserved_names(data: Any) -> Iterable[Problem]:
    seen: dict[str, str] = {}
    for name in (*data.series, data.time):
        if is_reserved(name):
            yield Problem(
                name,
                "the name of a column that every run writes",
                "any other name for a key or time column",
                f"rename the column, for instance to {name}_key",
            )
        twin = seen.setdefault(name.lower(), name)
        if twin != name:
            yield Problem(
                name,
                f"a key or time column that differs from {twin!r} only in case",
                "names that differ in more than case",
                "rename one of them",
            )


def _both(facts: ColumnFacts) -> str:
    shown = dict(facts.examples)
    return " and ".join(f"{family} ({shown[family]})" for family in sorted(facts.families) if family in shown)


def _key(facts: Facts, name: str, problems: list[Problem]) -> KeyColumn:
    column = facts.columns.get(name)
    if column is None:
        return KeyColumn(name, "text")
    nulls = column.nulls + (column.empty if facts.text_table else 0)
    if nulls:
        problems.append(
            Problem(
                name,
                f"{nulls} empty values in a key column",
                "a value in every row",
                "fill them or drop the rows",
            )
        )
    kind, problem = _key_kind(column, facts.text_table)
    if problem is not None:
        problems.append(problem)
    return KeyColumn(name, kind)


def _key_kind(column: ColumnFacts, text_table: bool) -> tuple[KeyKind, Problem | None]:
    families = column.families
    if not families or families == {"text"}:
        whole = text_table and column.integer_text and column.rows > column.nulls + column.empty
        return "integer" if whole else "text", None
    if families == {"boolean"}:
        return "boolean", None
    if families <= {"integer", "float", "decimal"}:
        if not column.fractions and not column.infinite:
            return "integer", None
        return "integer", Problem(
            column.name,
            f"{column.fractions + column.infinite} numbers in a key column that are no whole 64-bit numbers"
            f" ({_both(column)})",
            "whole numbers, text or booleans",
            "convert the column to text or whole numbers",
        )
    if len(families) > 1:
        return "text", Problem(
            column.name,
            f"mixed types in a key column: {_both(column)}",
            "one type per key column",
            "convert the whole column to text or to whole numbers",
        )
    return "text", Problem(
        column.name,
        f"{next(iter(families))} values in a key column ({_both(column)})",
        "whole numbers, text or booleans",
        "convert the column to text",
    )


def _time(facts: Facts, data: Any, problems: list[Problem]) -> tuple[TimeColumn, list[str]]:
    column = facts.columns.get(data.time)
    zone = data.timezone
    problem = zone_problem(zone) if zone is not None else None
    if problem is not None:
        problems.append(problem)
        zone = None
    frequency = None
    if data.frequency != "auto":
        try:
            frequency = Frequency.parse(data.frequency)
        except InputError as error:
            problems += error.problems
    unknown = TimeColumn(data.time, "timestamp", zone)
    if column is None:
        return unknown, []
    nulls = column.nulls + column.empty
    if nulls:
        problems.append(
            Problem(
                data.time,
                "no time at all" if nulls == column.rows else f"{nulls} rows without a time",
                "a time in every row",
                "fill them or drop the rows",
            )
        )
    if nulls == column.rows:
        return unknown, []
    families = column.families
    if families == {"text"}:
        return _text_time(column, data.time, zone, frequency, problems)
    if families <= {"integer", "float"}:
        return _number_time(column, data.time, zone, frequency, problems), []
    if families <= {"timestamp", "date"}:
        return _stamped_time(column, data.time, zone, frequency, problems), []
    problems.append(
        Problem(
            data.time,
            f"{_both(column)} in the time column",
            "time stamps, dates, text that can be read as such, or whole numbers, all of one type",
            "convert the column",
        )
    )
    return unknown, []


def _text_time(
    column: ColumnFacts, name: str, zone: str | None, frequency: Frequency | None, problems: list[Problem]
) -> tuple[TimeColumn, list[str]]:
    formats = column.time_formats or frozenset()
    if column.integer_text and "%Y%m%d" not in formats:
        return TimeColumn(name, "integer"), []
    if not formats:
        shown = ", ".join(map(repr, column.time_trouble)) or "different formats in one column"
        problems.append(
            Problem(
                name,
                f"times that cannot be read: {shown}",
                "one format in all rows: 2024-01-31, 2024-01-31 13:00, with an offset or not, 1/31/2024, "
                "31/1/2024, 31.1.2024, 2024/01/31, 20240131",
                "write them as in 2024-01-31 13:00",
            )
        )
        return TimeColumn(name, "timestamp", zone), []
    notes = []
    if {"%m/%d/%Y", "%d/%m/%Y"} <= formats:
        # monthly stamps repeat their day: the number with fewer different values is the day
        chosen = "%d/%m/%Y" if len(column.first) < len(column.second) else "%m/%d/%Y"
        notes.append(f"{name}: month and day can be read either way round; read as {chosen}")
    else:
        chosen = min(formats)
    if chosen == "iso-offset":
        return TimeColumn(name, "timestamp", zone, zone or "UTC", chosen), notes
    return TimeColumn(name, "timestamp", zone, None, chosen), notes


def _number_time(
    column: ColumnFacts, name: str, zone: str | None, frequency: Frequency | None, problems: list[Problem]
) -> TimeColumn:
    if column.fractions or column.infinite:
        problems.append(
            Problem(
                name,
                f"{column.fractions + column.infinite} times that are no whole numbers ({_both(column)})",
                "time stamps, dates, or whole numbers",
                "convert the column",
            )
        )
    if column.time_formats and "%Y%m%d" in column.time_formats:
        return TimeColumn(name, "timestamp", zone, None, "%Y%m%d")
    return TimeColumn(name, "integer")


def _stamped_time(
    column: ColumnFacts, name: str, zone: str | None, frequency: Frequency | None, problems: list[Problem]
) -> TimeColumn:
    aware = column.zones - {""}
    if aware and "" in column.zones:
        problems.append(
            Problem(
                name, "stamps with and without a time zone", "one or the other", "convert them to one zone"
            )
        )
    shown = next(iter(aware)) if len(aware) == 1 else "UTC" if aware else None
    is_date = column.families == {"date"} and (frequency is None or not frequency.is_absolute)
    return TimeColumn(name, "timestamp", zone or shown, shown, None, is_date)


def _not_a_number(column: ColumnFacts, what: str, text_table: bool) -> Iterable[Problem]:
    strange = column.families - {"integer", "float", "decimal", "boolean", "text"}
    if strange:
        yield Problem(column.name, f"{_both(column)} in {what}", "numbers", "convert the column to numbers")
    elif column.not_numbers:
        shown = ", ".join(map(repr, column.number_trouble))
        yield Problem(
            column.name,
            f"{column.not_numbers} texts in {what} that are no number: {shown}",
            "numbers (decimal point, no thousands separator); empty, NA, NaN, null or None for missing",
            "correct or empty these values",
        )


def _covariate(facts: Facts, name: str, role: Any, dated: bool, problems: list[Problem]) -> CovariateColumn:
    """What a covariate column is; `dated`: the rows have dates, from which dates are days away."""
    column = facts.columns.get(name)
    if column is None:
        return CovariateColumn(name, role, "number")
    families = column.families
    if families == {"boolean"}:
        return CovariateColumn(name, role, "boolean")
    if "text" in families:
        if families != {"text"}:
            problems.append(
                Problem(
                    name,
                    f"mixed types in a covariate: {_both(column)}",
                    "one type",
                    "convert the whole column",
                )
            )
        filled = column.rows > column.nulls + column.blanks
        if facts.text_table and filled and not column.not_numbers:
            return CovariateColumn(name, role, "number")
        if facts.text_table and filled and not column.not_booleans:
            return CovariateColumn(name, role, "boolean")
        return CovariateColumn(name, role, "category")
    if families and families <= {"timestamp", "date"} and role != "static" and dated:
        return CovariateColumn(name, role, "number", is_date=True)
    if families - {"integer", "float", "decimal", "boolean"}:
        problems.append(
            Problem(
                name,
                f"{_both(column)} in a {role} covariate",
                "numbers, booleans, text, or (known or past, where data.time is a date) dates",
                "list a date under data.known: it is read as the days from each row to it"
                if families <= {"timestamp", "date"} and dated
                else "convert the column",
            )
        )
    return CovariateColumn(name, role, "number")


def _stated(facts: Facts, name: str, role: Any, kind: Any, problems: list[Problem]) -> CovariateColumn:
    """A covariate column whose kind the configuration states."""
    column = facts.columns.get(name)
    if column is not None and kind == "category":
        numbers = column.families <= {"integer", "float", "decimal"}
        if not numbers and (column.families - {"text", "boolean"} or len(column.families) > 1):
            problems.append(
                Problem(
                    name, f"{_both(column)} in a category", "text, numbers or booleans", "convert the column"
                )
            )
    elif column is not None and kind == "boolean":
        problems += _not_a_flag(column, facts.text_table)
    elif column is not None:
        problems += _not_a_number(column, f"a {role} covariate", facts.text_table)
    return CovariateColumn(name, role, kind, stated=True)


def _not_a_flag(column: ColumnFacts, text_table: bool) -> Iterable[Problem]:
    strange = column.families - {"integer", "float", "decimal", "boolean", "text"}
    if strange or column.not_booleans or column.not_flags:
        shown = ", ".join(text for _, text in column.examples)
        yield Problem(
            column.name,
            f"values that are neither true nor false ({shown})",
            "true or false, 1 or 0",
            "convert the column",
        )
