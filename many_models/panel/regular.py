"""The grid of one series: its own, the panel's or the configured one, and rolling rows up to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from many_models.panel.findings import Finding, finding
from many_models.panel.frequency import TOLERANCE, Inferred, fit_grid, infer_frequency, same_frequency
from many_models.panel.grid import Frequency, Grid
from many_models.panel.layout import Layout
from many_models.panel.series import Floats
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


def roll_up(rows: Rows, resolved: Resolved, rule: Rule, kinds: list[str]) -> tuple[Rows, list[Finding]]:
    """One row per period of the coarser grid, and what was done.

    The target by its rule; of covariates numbers their mean, booleans their maximum, categories the
    last; masked when any row is, closed when all are. A first or last period that the rows do not
    cover whole loses its target.

    Parameters
    ----------
    rows
        Sorted by time; several rows of one stamp all count.
    kinds : [C]
        number, boolean or category, per covariate column.
    """
    grid, source = resolved.grid, resolved.source
    period = grid.containing(_moments(rows.t, grid, source))
    begins = np.flatnonzero(np.concatenate([[True], period[1:] != period[:-1]]))
    y, findings = _targets(rows, period, begins, resolved, rule)
    x = (
        np.column_stack([_covariate(rows.x[:, j], begins, kind) for j, kind in enumerate(kinds)])
        if kinds
        else rows.x[begins]
    )
    mask = None if rows.mask is None else np.maximum.reduceat(np.nan_to_num(rows.mask), begins)
    closed = None if rows.closed is None else np.minimum.reduceat(np.nan_to_num(rows.closed), begins)
    name = "" if source is None else f" of frequency {source.frequency}"
    done = finding(
        "AGGREGATED", len(rows), message=f"{len(rows)} rows{name} were rolled up to {grid.frequency}"
    )
    return Rows(grid.stamps(period[begins]), y, x, mask, closed), [done, *findings]


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
    elif rule == "last":
        place = np.maximum.reduceat(np.where(seen, np.arange(len(values)), -1), begins)
        result = values[place]
    else:
        result = np.add.reduceat(np.where(seen, values, 0.0), begins)
        if rule == "mean":
            result = result / np.maximum(count, 1.0)
    return np.where(count > 0, result, np.nan)


def _covariate(values: Floats, begins: Ints, kind: str) -> Floats:
    return _reduced(values, begins, {"number": "mean", "boolean": "max"}.get(kind, "last"))


def _targets(
    rows: Rows, period: Ints, begins: Ints, resolved: Resolved, rule: Rule
) -> tuple[Floats, list[Finding]]:
    y = _reduced(rows.y, begins, rule)
    source, grid = resolved.source, resolved.grid
    seen = np.flatnonzero(np.isfinite(rows.y))
    if source is None or source.share < _FIT or not len(seen):
        return y, []
    counts = np.add.reduceat(np.isfinite(rows.y).astype(np.int64), begins)
    observed = np.flatnonzero(counts)
    inner = observed[1:-1]
    # rows, not values: whether an early period counts as whole must not hang on later targets
    each = np.diff(np.append(begins, len(rows)))
    usual = float(np.median(each[1:-1])) if len(each) > 2 else float(each.max()) + 1.0
    findings = []
    incomplete = set()
    first, last = rows.t[seen[[0, -1]]]
    for stamp, aside, place in ((first, -1, observed[0]), (last, 1, observed[-1])):
        beyond = source.grid.stamps(source.grid.ordinals([stamp]) + aside)
        same = grid.containing(_moments(beyond, grid, source))[0] == period[begins[place]]
        # shops that close on Sundays have no row there: a week with as many rows as usual is whole
        if same and counts[place] < usual:
            incomplete.add(int(place))
    if incomplete:
        y[list(incomplete)] = np.nan
        findings.append(finding("INCOMPLETE_PERIOD_DROPPED", len(incomplete)))
    partial = int(
        ((counts[inner] < usual) & (counts[inner] < _expected(period[begins[inner]], grid, source))).sum()
    )
    if partial and rule == "sum":
        findings.append(finding("PARTIAL_PERIODS", partial))
    return y, findings


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
