"""Guardrails: what is looked at in every series, and the row that says so also where nothing was found.

`GUARDRAILS` is the one table. A guardrail that found something is a finding with one of its
codes; one that looked and found nothing is a finding with its own name as code, the state
`passed` and the number of things it looked at as count. One that does not apply (no mask, no
covariates, an index without clock) gives no row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from many_models.panel.demand import demand_class
from many_models.panel.findings import Finding, finding
from many_models.panel.forecastability import forecastability
from many_models.panel.layout import Layout
from many_models.panel.preparation import Prepared
from many_models.panel.series import Bools, Floats
from many_models.panel.shifts import DRIFT_SCALE, drifted, level_shift, rescaled

FEW_FOLDS = 3
"""Fewer folds than these are little to choose by."""

MUCH_MEMORY_MB = 2048
MIXED_FACTOR = 1000.0

_LAST_PART = 12
_OWN_COLUMNS, _COLUMNS_EACH = 40, 4


@dataclass(frozen=True)
class Guardrail:
    """One thing that is looked at in every series to which it applies.

    Attributes
    ----------
    name
        The code of its row where it found nothing.
    looks_at
        What it looks at, for a person.
    codes
        The findings it can give.
    counts
        What `count` counts in a row that passed.
    """

    name: str
    looks_at: str
    codes: tuple[str, ...]
    counts: str


GUARDRAILS: tuple[Guardrail, ...] = (
    Guardrail(
        "REPEATED_ROWS",
        "rows of the same stamp; a key column that was forgotten",
        ("DUPLICATES_DROPPED", "DUPLICATES_CONFLICTING"),
        "rows",
    ),
    Guardrail(
        "CLOCK_CHANGES",
        "the hour that comes twice, and the one that clocks skip",
        ("DST_DUPLICATE", "DST_SKIPPED_HOUR"),
        "rows",
    ),
    Guardrail(
        "FREQUENCY",
        "the step between two stamps, and rows that do not fit it",
        ("FREQUENCY_DIFFERS", "FREQUENCY_FROM_PANEL", "OFF_GRID_ROWS"),
        "periods",
    ),
    Guardrail(
        "PERIODS",
        "roll-up to a coarser frequency; periods that are not whole",
        ("AGGREGATED", "INCOMPLETE_PERIOD_DROPPED", "PARTIAL_PERIODS"),
        "periods",
    ),
    Guardrail(
        "MISSING_VALUES",
        "gaps and values of the target that are missing or not finite; what an absent row means",
        (
            "GAPS_FILLED",
            "ABSENT_ZERO",
            "ABSENT_MEANING_UNCLEAR",
            "LEADING_MISSING_TRIMMED",
            "TRAILING_MISSING",
            "NOT_FINITE_TARGET",
            "NO_OBSERVATIONS",
        ),
        "periods",
    ),
    Guardrail(
        "MASKED_ROWS", "rows where no demand was observed (data.mask)", ("MASKED", "MASK_DOUBTFUL"), "rows"
    ),
    Guardrail(
        "CLOSED_ROWS",
        "rows on which the series is closed (data.closed)",
        ("CLOSED", "CLOSED_WITH_SALES"),
        "rows",
    ),
    Guardrail("VARIATION", "whether the values differ at all", ("CONSTANT", "ALL_ZERO"), "values"),
    Guardrail(
        "DEMAND_PATTERN", "zeros among the values, and their sizes", ("INTERMITTENT", "LUMPY"), "values"
    ),
    Guardrail(
        "LIFE", "series that have just begun, and series that have ended", ("NEWBORN", "DEAD"), "values"
    ),
    Guardrail(
        "OUTLYING_VALUES",
        "values far outside what neighbours and season suggest",
        ("OUTLIERS", "OUTLIERS_CAPPED"),
        "values",
    ),
    Guardrail("LEVEL_SHIFTS", "levels that change at once and for good", ("LEVEL_SHIFT",), "values"),
    Guardrail("FORECASTABILITY", "trend, season and memory, or only noise", ("UNPREDICTABLE",), "values"),
    Guardrail(
        "DRIFT",
        "the last part of target and covariates against the part before",
        ("TARGET_DRIFT", "COVARIATE_DRIFT"),
        "columns",
    ),
    Guardrail(
        "COVARIATE_VALUES",
        "covariate values that are missing or not finite; static ones that vary",
        ("COVARIATE_FILLED", "COVARIATE_EMPTY", "COVARIATE_NOT_FINITE", "STATIC_VARIES"),
        "columns",
    ),
    Guardrail(
        "CATEGORIES",
        "categories never seen before, and columns with too many of them",
        ("CATEGORY_UNSEEN", "HIGH_CARDINALITY"),
        "columns",
    ),
    Guardrail(
        "COVARIATES_AHEAD",
        "known covariates in the horizon",
        ("COVARIATE_ABSENT_AHEAD", "COVARIATE_PARTLY_AHEAD", "FUTURE_COVARIATES_MISSING", "CONTEXT_MISSING"),
        "columns",
    ),
    Guardrail(
        "LEAKAGE",
        "known covariates that tell the target of their own row",
        ("LEAKAGE_SUSPECT", "LEAKAGE_KEPT"),
        "columns",
    ),
    Guardrail("HOLIDAY_CALENDAR", "the country in the series' own column", ("HOLIDAYS_UNKNOWN",), "columns"),
    Guardrail("VALIDATION", "how many folds the history carries", ("SHORT", "PADDED", "FEW_FOLDS"), "folds"),
    Guardrail("SCALE", "levels of the series that share a model", ("MIXED_SCALE",), "series"),
    Guardrail("MEMORY", "the size of the features that are made", ("MEMORY_LARGE", "FEATURES_THINNED"), "MB"),
)
"""All guardrails, in the order in which data pass them."""

GUARDRAIL_OF: dict[str, Guardrail] = {
    code: guardrail for guardrail in GUARDRAILS for code in (guardrail.name, *guardrail.codes)
}
"""Code of a finding -> its guardrail; codes of the forecasting floors have none."""


@dataclass(frozen=True)
class Surroundings:
    """What guardrails know beside a series itself.

    Attributes
    ----------
    horizon, gap
        As in `forecast`.
    folds
        The lengths of the training parts.
    folds_set
        Their number was configured, so that few of them are no surprise.
    shared
        Findings on the whole panel or group, which are those of each of its series.
    looked
        How many things the guardrails looked at that stand outside of the series, by name.
    """

    horizon: int
    gap: int
    folds: tuple[int, ...]
    folds_set: bool = False
    shared: tuple[Finding, ...] = ()
    looked: Mapping[str, int] | None = None


def guarded(
    prepared: Prepared, found: Iterable[Finding], frame: pd.DataFrame, layout: Layout, around: Surroundings
) -> list[Finding]:
    """The findings of a series with those of the detectors and a `passed` row for each quiet guardrail."""
    findings = [*found, *around.shared, *_flags(frame, layout)]
    if prepared.n_obs:
        findings += detected(prepared, around)
    return findings + _passed(prepared, findings, len(frame), layout, around)


def detected(prepared: Prepared, around: Surroundings) -> list[Finding]:
    """What the detectors find in a series with observations."""
    values = prepared.y[prepared.observed]
    season = prepared.grid.frequency.season
    found = _life(values, season)
    if (values != values[0]).any():
        found += _shape(prepared, values, season)
        found += _drift_of_target(values, season, around)
    found += _known_ahead(prepared, around)
    if around.folds and len(around.folds) < FEW_FOLDS and not around.folds_set:
        found.append(finding("FEW_FOLDS", len(around.folds)))
    size = _megabytes(prepared)
    if size >= MUCH_MEMORY_MB:
        found.append(finding("MEMORY_LARGE", size))
    return found


def _life(values: Floats, season: int) -> list[Finding]:
    return [finding("NEWBORN", len(values))] if season > 1 and len(values) < 2 * season else []


def _shape(prepared: Prepared, values: Floats, season: int) -> list[Finding]:
    if demand_class(values) in ("intermittent", "lumpy"):
        # Medians of mostly zeros say nothing, and neither does a memory of zeros.
        return []
    found = []
    shift = level_shift(values, season)
    if shift is not None:
        place, jump = shift
        ago = prepared.length - int(np.flatnonzero(prepared.observed)[place])
        text = f"the level changes by {jump:+.4g} within a few periods, {ago} periods before the end"
        found.append(finding("LEVEL_SHIFT", ago, message=text))
    told = forecastability(values, season)
    if told is not None and told.noise:
        text = (
            f"{len(values)} values that by themselves are nothing but noise: strength of trend "
            f"{told.trend:.2f}, of season {told.season:.2f}, spectral entropy {told.entropy:.2f}"
        )
        found.append(finding("UNPREDICTABLE", len(values), message=text))
    return found


def _last_part(season: int, horizon: int) -> int:
    """Values in the last part that drift is looked for in: the horizon, a whole season, twelve."""
    return max(horizon, season, _LAST_PART)


def _drift_of_target(values: Floats, season: int, around: Surroundings) -> list[Finding]:
    last = _last_part(season, around.horizon)
    if len(values) < 4 * last:
        return []
    before, after = values[:-last], values[-last:]
    share = last / len(values)
    if drifted(before, after):
        text = f"the last {last} values ({share:.0%}) hardly share the range of those before"
        return [finding("TARGET_DRIFT", last, message=text)]
    factor = rescaled(before, after)
    if factor >= DRIFT_SCALE or factor <= 1 / DRIFT_SCALE:
        text = f"the last {last} values ({share:.0%}) spread {factor:.3g} times as much as those before"
        return [finding("TARGET_DRIFT", last, message=text)]
    return []


def _known_ahead(prepared: Prepared, around: Surroundings) -> list[Finding]:
    """Known covariates that are not there in the horizon, or are where the history never was."""
    if not prepared.known:
        return []
    history, ahead = prepared.known_x[: prepared.length], prepared.known_x[prepared.length :]
    seen: Bools = np.asarray(np.isfinite(ahead).any(axis=0))
    own = [
        j for j, column in enumerate(prepared.known) if column.origin not in ("siblings", "alone", "missing")
    ]
    absent = [prepared.known[j].name for j in own if not seen[j]]
    found = []
    if absent:
        text = f"no value after the last target, so that a model without them answers: {', '.join(absent)}"
        some = len(absent) < len(own)
        found.append(
            finding(
                "COVARIATE_ABSENT_AHEAD", len(absent), message=text, severity="warning" if some else "info"
            )
        )
    found += _partly_ahead(prepared, around)
    last = _last_part(prepared.grid.frequency.season, around.horizon)
    away = []
    for j in own:
        column = history[:, j]
        column = column[np.isfinite(column)]
        if prepared.known[j].kind != "number" or len(column) < 4 * last:
            continue
        later = np.concatenate([column[-last:], ahead[:, j][np.isfinite(ahead[:, j])]])
        earlier = column[:-last]
        # the distance can only be so great where few later values lie between the earlier ones
        low, high = earlier.min(), earlier.max()
        if ((later < low) | (later > high)).mean() > 0.5 and drifted(earlier, later):
            away.append(prepared.known[j].name)
    if away:
        text = f"in the last part these are where the history never was: {', '.join(away)}"
        found.append(finding("COVARIATE_DRIFT", len(away), message=text))
    return found


def _partly_ahead(prepared: Prepared, around: Surroundings) -> list[Finding]:
    """The steps of the horizon that lack a known covariate which other steps have."""
    ahead = prepared.ahead(prepared.length, around.horizon, around.gap).known_x
    there = np.isfinite(ahead)
    told = [j for j, column in enumerate(prepared.known) if column.origin in ("own", "siblings")]
    some = [j for j in told if there[:, j].any() and not there[:, j].all()]
    steps = int((~there[:, some]).any(axis=1).sum())
    if not steps:
        return []
    names = ", ".join(f"{prepared.known[j].name} ({int((~there[:, j]).sum())})" for j in some)
    text = (
        f"{steps} of {around.horizon} steps of the horizon lack {names}: a model without them answers those"
    )
    return [finding("COVARIATE_PARTLY_AHEAD", steps, message=text)]


def _flags(frame: pd.DataFrame, layout: Layout) -> list[Finding]:
    """What is doubtful about masked and closed rows."""
    found: list[Finding] = []
    if layout.mask is None and layout.closed is None:
        return found
    y = frame["y"].to_numpy(dtype=np.float64)
    there: Bools = np.isfinite(y)
    if layout.mask is not None:
        with np.errstate(invalid="ignore"):
            masked: Bools = np.asarray(frame["mask"], dtype=np.float64) > 0.5
        hidden, open_ = y[masked & there], y[~masked & there]
        share = float(masked.mean()) if len(masked) else 0.0
        usual = float(np.median(open_)) if len(open_) else 0.0
        high = len(hidden) >= 5 and usual > 0 and float(np.median(hidden)) >= usual
        if share > 0.5:
            text = f"{masked.sum()} rows ({share:.0%}) are masked: little is left to learn from"
            found.append(finding("MASK_DOUBTFUL", int(masked.sum()), message=text))
        elif high:
            text = f"{len(hidden)} masked rows hold targets as high as on other days"
            found.append(finding("MASK_DOUBTFUL", len(hidden), message=text))
    if layout.closed is not None:
        with np.errstate(invalid="ignore"):
            sold = (frame["closed"].to_numpy(dtype=np.float64) > 0.5) & there & (y != 0)
        if sold.any():
            found.append(finding("CLOSED_WITH_SALES", int(sold.sum())))
    return found


def mixed_scale(frame: pd.DataFrame, layout: Layout) -> tuple[Finding, ...]:
    """The finding that the levels of a group's series lie far apart."""
    names = list(layout.key_names)
    levels = frame["y"].abs().groupby([frame[name] for name in names], observed=True).mean().to_numpy()
    levels = levels[np.isfinite(levels) & (levels > 0)]
    if len(levels) < 2 or levels.max() <= MIXED_FACTOR * levels.min():
        return ()
    reach = f"{levels.min():.3g} to {levels.max():.3g}"
    text = f"{len(levels)} series share a model, and their levels reach from {reach}"
    return (finding("MIXED_SCALE", len(levels), message=text),)


def _megabytes(prepared: Prepared) -> int:
    columns = _OWN_COLUMNS + _COLUMNS_EACH * (len(prepared.known) + len(prepared.past))
    return -(-prepared.length * columns * 8 // 1_000_000)


def _passed(
    prepared: Prepared, found: Iterable[Finding], rows: int, layout: Layout, around: Surroundings
) -> list[Finding]:
    """A row for each guardrail that looked and found nothing."""
    loud = {GUARDRAIL_OF[one.code].name for one in found if one.code in GUARDRAIL_OF}
    looked = _looked_at(prepared, rows, layout, around)
    said = {
        "FREQUENCY": f"{prepared.grid.frequency.alias}, season {prepared.grid.frequency.season}",
        "VALIDATION": _folds_said(prepared, around),
    }
    return [
        Finding(guardrail.name, "info", "passed", looked[guardrail.name], said.get(guardrail.name, ""), "")
        for guardrail in GUARDRAILS
        if guardrail.name in looked and guardrail.name not in loud
    ]


def _folds_said(prepared: Prepared, around: Surroundings) -> str:
    if not around.folds:
        return "no folds were asked for" if around.folds_set else ""
    count = len(around.folds)
    return (
        f"{count} fold{'s' * (count > 1)} of {around.horizon} steps; training parts of "
        f"{around.folds[0]} to {around.folds[-1]} of {prepared.length} periods"
    )


def _looked_at(prepared: Prepared, rows: int, layout: Layout, around: Surroundings) -> dict[str, int]:
    """How many things each guardrail looked at; those that do not apply are not there."""
    looked = {"REPEATED_ROWS": rows, **(around.looked or {})}
    if layout.time.kind == "timestamp" and (layout.time.zone or layout.time.shown_in):
        looked["CLOCK_CHANGES"] = rows
    if layout.mask is not None:
        looked["MASKED_ROWS"] = rows
    if layout.closed is not None:
        looked["CLOSED_ROWS"] = rows
    if not prepared.n_obs:
        return looked
    looked |= dict.fromkeys(("FREQUENCY", "PERIODS", "MISSING_VALUES"), prepared.length)
    values = ("VARIATION", "DEMAND_PATTERN", "LIFE", "OUTLYING_VALUES", "LEVEL_SHIFTS", "FORECASTABILITY")
    looked |= dict.fromkeys(values, prepared.n_obs)
    known, past, static = len(prepared.known), len(prepared.past), len(prepared.static)
    looked["DRIFT"] = 1 + known
    if known + past + static:
        looked["COVARIATE_VALUES"] = known + past + static
    categories = sum(column.kind == "category" for column in (*prepared.known, *prepared.past))
    if categories:
        looked["CATEGORIES"] = categories
    if known:
        looked["COVARIATES_AHEAD"] = looked["LEAKAGE"] = known
    if around.folds or around.folds_set:
        looked["VALIDATION"] = len(around.folds)
    looked["MEMORY"] = _megabytes(prepared)
    return looked
