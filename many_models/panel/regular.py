"""The grid of one series: its own, the panel's or the configured one, and rolling rows up to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from many_models.errors import Problem
from many_models.panel.findings import Finding, finding
from many_models.panel.frequency import TOLERANCE, Inferred, fit_grid, infer_frequency, same_frequency
from many_models.panel.grid import Frequency, Grid
from many_models.panel.layout import CovariateColumn, Layout
from many_models.panel.mutations import Journal
from many_models.panel.series import Bools, Floats
from many_models.panel.zones import DAY_US, to_wall

Ints: TypeAlias = npt.NDArray[np.int64]
Rule: TypeAlias = Literal["sum", "mean", "min", "max", "last"]

_FIT = 1 - TOLERANCE


@dataclass(frozen=True)
class Rows:
    """The rows of one series: t [n], y [n], covariates [n, C] (categories as codes), flags [n] or None."""

    t: Ints
    y: Floats
    x: Floats
    mask: Floats | None
    closed: Floats | None

    def __len__(self) -> int:
        return len(self.t)

    def take(self, index: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Rows:
        """The rows at these places."""
        return Rows(
            self.t[index],
            self.y[index],
            self.x[index],
            None if self.mask is None else self.mask[index],
            None if self.closed is None else self.closed[index],
        )


@dataclass(frozen=True)
class Resolved:
    """The grid of a series; `source` is the finer grid of its rows when they are to be rolled up."""

    grid: Grid
    aggregate: bool
    source: Inferred | None
    findings: tuple[Finding, ...]


def resolve_grid(
    stamps: Ints, layout: Layout, frequency: str, panel: str | None, label: Literal["start", "end"]
) -> Resolved:
    """The grid for the stamps [n] of one series, sorted and unique.

    Parameters
    ----------
    frequency
        `data.frequency`: auto, or an alias.
    panel
        Alias of the panel's usual frequency, for series too short to tell; None: days.
    """
    integer = layout.time.kind == "integer"
    zone = layout.time.zone
    own = infer_frequency(stamps, zone, integer=integer, label=label)
    if frequency == "auto":
        return _automatic(stamps, own, zone, integer, panel, label)
    wanted = Frequency.parse(frequency)
    if integer and wanted.kind != "integer":
        step = 1 if own is None else own.grid.step
        phase = 0 if own is None else own.grid.phase_us
        return Resolved(Grid(wanted, None, phase, label, True, step), False, None, ())
    if own is not None and same_frequency(own.frequency, wanted) and own.share >= _FIT:
        return Resolved(replace(own.grid, frequency=wanted), False, None, ())
    fitted = fit_grid(stamps, wanted, None if integer else zone, label)
    if fitted.share >= _FIT:
        return Resolved(fitted.grid, False, None, ())
    return Resolved(Grid(wanted, None if integer else zone, 0, label), True, own, ())


def resolve_onto(stamps: Ints, layout: Layout, grid: Grid, frequency: str) -> Resolved:
    """That grid, whatever the stamps [n] look like; finer rows are rolled up where that is configured."""
    if frequency == "auto" or not len(stamps) or grid.on_grid(stamps).mean() >= _FIT:
        return Resolved(grid, False, None, ())
    integer = layout.time.kind == "integer"
    source = infer_frequency(stamps, layout.time.zone, integer=integer, label=grid.label)
    return Resolved(grid, True, source, ())


def _automatic(
    stamps: Ints,
    own: Inferred | None,
    zone: str | None,
    integer: bool,
    panel: str | None,
    label: Literal["start", "end"],
) -> Resolved:
    if panel is None and own is not None:
        return Resolved(own.grid, False, None, ())
    usual = Frequency.parse(panel or ("1" if integer else "D"))
    if integer and usual.kind != "integer":
        usual = Frequency.parse("1")
    if own is not None and same_frequency(own.frequency, usual):
        return Resolved(own.grid, False, None, ())
    fitted = fit_grid(stamps, usual, None if integer else zone, label)
    if own is None:
        note = finding(
            "FREQUENCY_FROM_PANEL",
            len(stamps),
            message=f"{len(stamps)} stamps are too few to tell a frequency; the panel's, {usual}, is used",
        )
        return Resolved(fitted.grid, False, None, (note,) if len(stamps) else ())
    if fitted.share >= _FIT and not _fills_better(own, fitted, stamps):
        return Resolved(fitted.grid, False, None, ())
    note = finding(
        "FREQUENCY_DIFFERS",
        len(stamps),
        message=f"the frequency of this series is {own.frequency}, the panel's {usual}; its own is used",
    )
    return Resolved(own.grid, False, None, (note,))


def _fills_better(own: Inferred, panel: Inferred, stamps: Ints) -> bool:
    """Whether a series is regular on its own grid and mostly holes on the panel's."""
    return len(stamps) >= 6 and _coverage(own, stamps) >= 0.7 and _coverage(panel, stamps) <= 0.5


def _coverage(found: Inferred, stamps: Ints) -> float:
    first, last = found.grid.ordinals(stamps[[0, -1]])
    return len(stamps) / float(last - first + 1)


# -- rolling up ------------------------------------------------------------------


RULES: Mapping[str, tuple[str, ...]] = {
    "number": ("mean", "sum", "min", "max", "first", "last"),
    "boolean": ("max", "min", "mean", "sum", "first", "last"),
    "category": ("mode", "first", "last"),
}
"""Kind of a covariate -> the rules that it can be rolled up by; the first is the automatic one."""


def column_rules(layout: Layout, rules: Mapping[str, str]) -> tuple[str, ...]:
    """The rule of each covariate: the one in `rules`, else the automatic one of its kind."""
    return tuple(rules.get(column.name, RULES[column.kind][0]) for column in layout.covariates)


def rule_problem(column: CovariateColumn, rule: str) -> Problem | None:
    """Why a covariate cannot be rolled up by this rule; None where it can."""
    if rule in RULES[column.kind]:
        return None
    kind = {"number": "numbers", "boolean": "true and false", "category": "text"}[column.kind]
    return Problem(
        f"preparation.aggregate.columns.{column.name}",
        f"{rule} for a column of {kind}",
        ", ".join(RULES[column.kind]),
        "write one of them",
    )


def shares_as_numbers(layout: Layout, rules: Sequence[str]) -> Layout:
    """The layout of rolled-up rows: the share or the count of a flag is a number."""
    columns = [
        replace(column, kind="number") if column.kind == "boolean" and rule in ("mean", "sum") else column
        for column, rule in zip(layout.covariates, rules, strict=True)
    ]
    return replace(layout, covariates=tuple(columns))


def roll_up(
    rows: Rows,
    resolved: Resolved,
    rule: Rule,
    rules: Sequence[str],
    absent_zero: bool = False,
    journal: Journal | None = None,
    categories: Mapping[int, tuple[str, ...]] | None = None,
) -> tuple[Rows, list[Finding]]:
    """One row per period of the coarser grid, and what was done.

    Masked when any row is, closed when all are. A first or last period that the rows do not cover
    whole loses its target.

    Parameters
    ----------
    rows
        Sorted by time; several rows of one stamp all count.
    rule
        Of the target.
    rules : [C]
        Of each covariate column, as `column_rules` gives them.
    absent_zero
        Whether a row that is missing inside a period has a target of 0.
    """
    grid, source = resolved.grid, resolved.source
    period = grid.containing(_moments(rows.t, grid, source))
    begins = np.flatnonzero(np.concatenate([[True], period[1:] != period[:-1]]))
    y, whole, findings = _targets(rows, period, begins, resolved, rule, absent_zero)
    x = (
        np.column_stack([_reduced(rows.x[:, j], begins, each) for j, each in enumerate(rules)])
        if len(rules)
        else rows.x[begins]
    )
    mask = None if rows.mask is None else np.maximum.reduceat(np.nan_to_num(rows.mask), begins)
    closed = None if rows.closed is None else np.minimum.reduceat(np.nan_to_num(rows.closed), begins)
    name = "" if source is None else f" of frequency {source.frequency}"
    done = finding(
        "AGGREGATED", len(rows), message=f"{len(rows)} rows{name} were rolled up to {grid.frequency}"
    )
    rolled = Rows(grid.stamps(period[begins]), np.where(whole, y, np.nan), x, mask, closed)
    if journal is not None:
        _write_down(journal, rows, rolled, y, begins, (rule, *rules), grid, categories or {})
    return rolled, [done, *findings]


def _write_down(
    journal: Journal,
    rows: Rows,
    rolled: Rows,
    y: Floats,
    begins: Ints,
    rules: tuple[str, ...],
    grid: Grid,
    categories: Mapping[int, tuple[str, ...]],
) -> None:
    place = np.repeat(np.arange(len(begins)), np.diff(np.append(begins, len(rows))))
    stamps = (
        rolled.t.astype(str)
        if grid.integer
        else np.datetime_as_string(to_wall(rolled.t, grid.zone).astype("datetime64[us]"), unit="m")
    )
    into = [str(stamps[i]) for i in place]
    given = (rows.t, rows.y, rows.x)
    journal.roll_up(rules, into, given, (y[place], rolled.x[place]), dict(categories))
    lost = np.flatnonzero(np.isfinite(y) & np.isnan(rolled.y))
    nothing = np.empty((len(lost), 0))
    journal.drop("INCOMPLETE_PERIOD_DROPPED", rolled.t[lost], y[lost], nothing, {})


def _moments(t: Ints, grid: Grid, source: Inferred | None) -> Ints:
    """A moment inside the period of each row: with label `end`, an hour's stamp is just past its hour."""
    if grid.label == "start":
        return t
    fine = (
        source.frequency.is_absolute if source is not None else bool((to_wall(t, grid.zone) % DAY_US).any())
    )
    return t - 1 if fine and not grid.integer else t


def _reduced(values: Floats, begins: Ints, rule: str) -> Floats:
    """One value per period, missing values left out; NaN where there is none."""
    seen = np.isfinite(values)
    count = np.add.reduceat(seen.astype(np.float64), begins)
    if rule == "max":
        result = np.maximum.reduceat(np.where(seen, values, -np.inf), begins)
    elif rule == "min":
        result = np.minimum.reduceat(np.where(seen, values, np.inf), begins)
    elif rule == "mode":
        result = _modes(values, seen, begins)
    elif rule == "last":
        place = np.maximum.reduceat(np.where(seen, np.arange(len(values)), -1), begins)
        result = values[place]
    elif rule == "first":
        place = np.minimum.reduceat(np.where(seen, np.arange(len(values)), len(values) - 1), begins)
        result = values[place]
    else:
        result = np.add.reduceat(np.where(seen, values, 0.0), begins)
        if rule == "mean":
            result = result / np.maximum(count, 1.0)
    return np.where(count > 0, result, np.nan)


def _modes(values: Floats, seen: Bools, begins: Ints) -> Floats:
    """The value that stands most often in each period; of several the one seen last."""
    result = np.full(len(begins), np.nan)
    place = np.repeat(np.arange(len(begins)), np.diff(np.append(begins, len(values))))
    rows = np.flatnonzero(seen)
    if not len(rows):
        return result
    order = rows[np.lexsort([rows, values[rows], place[rows]])]
    same = (place[order[1:]] == place[order[:-1]]) & (values[order[1:]] == values[order[:-1]])
    ends = np.flatnonzero(np.append(~same, True))
    times = np.diff(np.append(-1, ends))
    latest = order[ends]
    # by period, then how often, then how late: the last one of each period stays in place
    best = np.lexsort([latest, times, place[latest]])
    result[place[latest[best]]] = values[latest[best]]
    return result


def _targets(
    rows: Rows, period: Ints, begins: Ints, resolved: Resolved, rule: Rule, absent_zero: bool
) -> tuple[Floats, Bools, list[Finding]]:
    """The target of each period, which periods are whole as far as can be told, and what was found."""
    y = _reduced(rows.y, begins, rule)
    whole = np.ones(len(y), dtype=bool)
    source, grid = resolved.source, resolved.grid
    finite = np.flatnonzero(np.isfinite(rows.y))
    if source is None or source.share < _FIT or not len(finite):
        return y, whole, []
    # a closed day is known without a target
    known = np.isfinite(rows.y) if rows.closed is None else np.isfinite(rows.y) | (rows.closed > 0.5)
    counts = np.add.reduceat(known.astype(np.int64), begins)
    observed = np.flatnonzero(np.isfinite(y))
    # rows, not values: whether an early period counts as whole must not hang on later targets
    each = np.diff(np.append(begins, len(rows)))
    usual = float(np.median(each[1:-1])) if len(each) > 2 else float(each.max()) + 1.0
    first, last = _reach(known, finite, -1), _reach(known, finite, 1)
    for row, aside, place in ((first, -1, observed[0]), (last, 1, observed[-1])):
        beyond = source.grid.stamps(source.grid.ordinals([rows.t[row]]) + aside)
        same = grid.containing(_moments(beyond, grid, source))[0] == period[begins[place]]
        # shops that close on Sundays have no row there: a week with as many rows as usual is whole
        if same and counts[place] < usual:
            whole[place] = False
    findings = []
    if not whole.all():
        findings.append(finding("INCOMPLETE_PERIOD_DROPPED", int((~whole).sum())))
    if absent_zero:
        kept = observed[whole[observed]]
        lacking = np.zeros(len(y), dtype=np.int64)
        lacking[kept] = np.maximum(_expected(period[begins[kept]], grid, source) - counts[kept], 0)
        if lacking.any():
            y = _with_zeros(y, np.add.reduceat(np.isfinite(rows.y).astype(np.int64), begins), lacking, rule)
            findings.append(finding("ABSENT_ZERO", int(lacking.sum())))
        return y, whole, findings
    inner = observed[1:-1]
    expected = _expected(period[begins[inner]], grid, source)
    partial = int(((counts[inner] < usual) & (counts[inner] < expected)).sum())
    if partial and rule == "sum":
        findings.append(finding("PARTIAL_PERIODS", partial))
    return y, whole, findings


def _reach(known: Bools, finite: Ints, step: int) -> int:
    """The row of the first (step -1) or last (1) target, or of the closed rows that go on from there."""
    row = int(finite[-1 if step > 0 else 0])
    while 0 <= row + step < len(known) and known[row + step]:
        row += step
    return row


def _with_zeros(y: Floats, counts: Ints, lacking: Ints, rule: Rule) -> Floats:
    """Targets of periods with so many values, in which so many rows are lacking that each say 0."""
    if rule == "mean":
        means: Floats = y * counts / np.maximum(counts + lacking, 1)
        return means
    if rule in ("min", "max"):
        bound = np.minimum(y, 0.0) if rule == "min" else np.maximum(y, 0.0)
        return np.where(lacking > 0, bound, y)
    return y


def _expected(periods: Ints, grid: Grid, source: Inferred) -> Ints:
    """How many rows of the source each period should have."""
    if not len(periods):
        return periods
    edges = source.grid.ordinals(grid.stamps(np.array([periods[0] - 1, periods[-1] + 2])))
    stamps = source.grid.stamps(np.arange(edges[0], edges[1] + 1))
    holds = grid.containing(_moments(stamps, grid, source))
    low = np.searchsorted(holds, periods, side="left")
    result: Ints = np.searchsorted(holds, periods, side="right") - low
    return result
