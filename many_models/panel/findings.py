"""Findings: what was seen or done about a series, with a count, and the table of their codes.

Nothing is repaired in silence: every change to the data is a finding. `CODES` is the one home
of all codes, those of the forecasting floors included; the reference page is made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["info", "warning", "error"]
State: TypeAlias = Literal["passed", "done", "alerted"]


@dataclass(frozen=True)
class Code:
    """One kind of finding.

    Attributes
    ----------
    severity
        How much it matters when nothing else is said.
    state
        `done`: the data were changed; `alerted`: they were left, but look at them; `passed`: all well.
    meaning
        What it means, `{count}` standing for how many.
    action
        What a person may do about it.
    """

    severity: Severity
    state: State
    meaning: str
    action: str


@dataclass(frozen=True)
class Finding:
    """Something seen or done about one series; made by `finding`."""

    code: str
    severity: Severity
    state: State
    count: int
    message: str
    action: str


CODES: dict[str, Code] = {
    # -- rows ---------------------------------------------------------------
    "DUPLICATES_DROPPED": Code(
        "info",
        "done",
        "{count} rows that repeat another row of the same stamp were dropped",
        "remove repeated rows",
    ),
    "DUPLICATES_CONFLICTING": Code(
        "warning",
        "done",
        "{count} rows say something else than another row of their stamp; the last in sorted order was kept",
        "correct them, or add a key column that tells them apart",
    ),
    "DST_DUPLICATE": Code(
        "info",
        "done",
        "{count} rows in the hour that comes twice when clocks go back were given to its second pass",
        "store time stamps with a zone or in UTC, so that the order of the two hours is known",
    ),
    "DST_SKIPPED_HOUR": Code(
        "warning",
        "done",
        "{count} rows in or after the hour that clocks skip share a stamp with another; one of each was kept",
        "check data.timezone: the stamps seem to be of a clock that does not change",
    ),
    "OFF_GRID_ROWS": Code(
        "warning",
        "done",
        "{count} rows whose stamps do not fit the frequency were left out",
        "correct the stamps, or set data.frequency to a coarser one to aggregate",
    ),
    "GAPS_FILLED": Code(
        "info",
        "done",
        "{count} periods inside the history have no row or value; filled for the fit, never scored",
        "set data.absent: zero if a missing row means that nothing was sold",
    ),
    "ABSENT_ZERO": Code(
        "info",
        "done",
        "{count} missing rows were read as zero (data.absent: zero)",
        "set data.absent: unknown if not",
    ),
    "ABSENT_MEANING_UNCLEAR": Code(
        "warning",
        "alerted",
        "{count} rows are missing and the target is never 0: a missing row may mean zero or unknown",
        "set data.absent to zero or unknown",
    ),
    "LEADING_MISSING_TRIMMED": Code(
        "info",
        "done",
        "{count} rows before the first value were left out",
        "nothing, if the series starts there",
    ),
    "TRAILING_MISSING": Code(
        "info",
        "alerted",
        "{count} rows after the last value have no target: they are the future that is asked for",
        "nothing, if these rows carry known covariates",
    ),
    "NOT_FINITE_TARGET": Code(
        "warning",
        "done",
        "{count} targets are infinite or beyond 1e150 and were read as missing",
        "correct these values",
    ),
    "MASKED": Code(
        "info",
        "done",
        "{count} rows are masked: no demand was observed; left out of fit, scale and score",
        "",
    ),
    "CLOSED": Code("info", "done", "{count} periods are closed: forecast 0, not fitted, not scored", ""),
    "MASK_DOUBTFUL": Code(
        "warning",
        "alerted",
        "{count} rows are masked, most of them or with sales as high as on other days",
        "check data.mask: it marks rows where no demand could be observed",
    ),
    "CLOSED_WITH_SALES": Code(
        "warning",
        "alerted",
        "{count} rows are closed and their target is not 0",
        "check data.closed: forecasts are 0 there",
    ),
    "NO_OBSERVATIONS": Code(
        "error",
        "alerted",
        "no usable observation among {count} rows",
        "remove the series, or correct its target",
    ),
    # -- frequency and periods ---------------------------------------------
    "FREQUENCY_DIFFERS": Code(
        "warning",
        "alerted",
        "the frequency of this series differs from the panel's; its own is used ({count} stamps)",
        "set data.frequency, or train such series apart",
    ),
    "FREQUENCY_FROM_PANEL": Code(
        "info",
        "done",
        "{count} stamps are too few to tell a frequency; the panel's is used",
        "set data.frequency",
    ),
    "AGGREGATED": Code(
        "info",
        "done",
        "{count} rows were rolled up to the coarser frequency that is configured",
        "set data.frequency: auto to keep the rows as they are",
    ),
    "INCOMPLETE_PERIOD_DROPPED": Code(
        "warning",
        "done",
        "{count} periods at the start or end are not whole and were left out",
        "give the data of the whole period",
    ),
    "PARTIAL_PERIODS": Code(
        "warning",
        "alerted",
        "{count} periods inside the history were summed from fewer rows than they should have",
        "set data.absent: zero if a missing row means that nothing was sold, or mask such periods",
    ),
    "HISTORY_REVISED": Code(
        "info", "done", "{count} rows of the new history replace older ones at the same stamp", ""
    ),
    # -- shape --------------------------------------------------------------
    "CONSTANT": Code(
        "info", "alerted", "all {count} observed values are equal", "check that the series is alive"
    ),
    "ALL_ZERO": Code(
        "info", "alerted", "all {count} observed values are 0", "check that the series is alive"
    ),
    "INTERMITTENT": Code(
        "info",
        "alerted",
        "{count} observed values are 0 among sales: the squared scaled error judges this series",
        "consider forecasting a coarser period, or totals",
    ),
    "LUMPY": Code(
        "info",
        "alerted",
        "{count} observed values are 0 among sales of very different size: the squared scaled error judges "
        "this series",
        "consider forecasting a coarser period, or totals",
    ),
    "NEWBORN": Code(
        "info",
        "alerted",
        "only {count} observed values, fewer than two seasons: no season is learned from them",
        "one model for several series (data.group) can lend it one",
    ),
    "SHORT": Code(
        "info",
        "alerted",
        "only {count} observed values: too few to compare candidates",
        "give more history, or one model for several series (data.group)",
    ),
    "DEAD": Code(
        "warning",
        "alerted",
        "the last {count} observed values are all 0 after earlier ones that are not",
        "check that the series is still sold",
    ),
    "OUTLIERS": Code(
        "info",
        "alerted",
        "{count} values lie far outside what their neighbours and season suggest; they were left as they are",
        "check these values, or mask them (data.mask)",
    ),
    "LEVEL_SHIFT": Code(
        "info",
        "alerted",
        "the level changes for good, {count} periods before the end; nothing was changed",
        "start the history after it, or give the reason as a known covariate",
    ),
    "UNPREDICTABLE": Code(
        "info",
        "alerted",
        "{count} values without trend, season or memory: by themselves nothing but noise",
        "known covariates may explain them; else expect no more than the level",
    ),
    "TARGET_DRIFT": Code(
        "info",
        "alerted",
        "the last {count} values hardly share the range or the spread of those before",
        "look at what changed; older history may mislead",
    ),
    "OUTLIERS_CAPPED": Code(
        "info",
        "done",
        "{count} values beyond what their neighbours and season suggest are capped for the fit; "
        "scores see them as they are",
        "preparation.outliers: report leaves them",
    ),
    "PADDED": Code(
        "info",
        "done",
        "{count} periods with the median were put in front of a history too short for any fold; never scored",
        "give more history",
    ),
    # -- covariates ---------------------------------------------------------
    "COVARIATE_FILLED": Code(
        "info",
        "done",
        "{count} missing covariate values in the history were filled",
        "choose how with preparation.impute",
    ),
    "COVARIATE_EMPTY": Code(
        "warning",
        "alerted",
        "{count} covariates have no value in the whole history: nothing could be learned from them",
        "check whether the column was joined on this series' key; else take it out, or say with "
        "preparation.impute what stands for nothing",
    ),
    "COVARIATE_NOT_FINITE": Code(
        "warning", "done", "{count} infinite covariate values were read as missing", "correct these values"
    ),
    "CATEGORY_UNSEEN": Code(
        "warning",
        "alerted",
        "{count} future covariate values are categories that the history never had; they are read as none "
        "of those that it had",
        "check their spelling",
    ),
    "HIGH_CARDINALITY": Code(
        "warning",
        "alerted",
        "{count} category columns have more than 20 values, or more than 5 that come fewer than 3 times on "
        "average: the 20 most frequent that came twice have a column each, the others share one meaning",
        "group the values, or leave the column out if it is an identifier",
    ),
    "COVARIATE_DRIFT": Code(
        "info",
        "alerted",
        "{count} known covariates are, in the last part or in the horizon, where the history never was",
        "models extrapolate there: check these columns",
    ),
    "COVARIATE_ABSENT_AHEAD": Code(
        "info",
        "alerted",
        "{count} known covariates have no value after the last target: a model without them answers",
        "give them with the rows to forecast, or list them under data.past",
    ),
    "COVARIATE_PARTLY_AHEAD": Code(
        "warning",
        "alerted",
        "{count} steps of the horizon lack known covariates that other steps have: a model without them "
        "answers those",
        "give every known covariate for every step of the horizon",
    ),
    "LEAKAGE_SUSPECT": Code(
        "warning",
        "done",
        "{count} known covariates seem to tell the target of their own row and were left out",
        "list under data.keep what is truly known ahead; else take them out of data.known",
    ),
    "LEAKAGE_KEPT": Code(
        "warning",
        "alerted",
        "{count} known covariates seem to tell the target of their own row and are used (data.keep)",
        "be sure that they are known ahead: every score is worthless otherwise",
    ),
    "LEARNER_UNAVAILABLE": Code(
        "warning",
        "alerted",
        "{count} learners of the configuration are not installed here",
        "install what they need, or take them out of learners.allow",
    ),
    "STATIC_VARIES": Code(
        "warning",
        "done",
        "{count} static covariates have more than one value in this series; the first was kept",
        "list such columns under data.known or data.past",
    ),
    "HOLIDAYS_UNKNOWN": Code(
        "warning",
        "alerted",
        "{count} values of the column of countries have no holidays that are known; the series goes without",
        "write a two-letter country code, with a subdivision where wanted: US, DE-BY",
    ),
    "EVENTS_UNKNOWN_KEY": Code(
        "warning",
        "alerted",
        "{count} keys in the table of events are not in the data",
        "correct the keys in the table, or events.by",
    ),
    "WEIGHT_MISSING": Code(
        "warning",
        "alerted",
        "{count} series have no weight of 0 or more: the weighted totals leave them out",
        "fill the column of validation.weights",
    ),
    # -- validation and scale -----------------------------------------------
    "FEW_FOLDS": Code(
        "info",
        "alerted",
        "the history carries only {count} folds: the choice between candidates rests on little",
        "give more history, or a shorter horizon",
    ),
    "TEST_LEFT_OUT": Code(
        "warning",
        "alerted",
        "without its last {count} steps the history is too short to choose on: it has no held-out test",
        "lower validation.test",
    ),
    "MIXED_SCALE": Code(
        "info",
        "alerted",
        "{count} series share a model, and their levels lie more than a factor of 1,000 apart",
        "group series of like size (data.group)",
    ),
    "MEMORY_LARGE": Code(
        "warning",
        "alerted",
        "the features of a group take about {count} MB",
        "fewer lags, windows and covariates, or smaller groups (data.group)",
    ),
    "FEATURES_THINNED": Code(
        "warning",
        "done",
        "{count} lags and windows were left out: the features of a training would have taken too much memory",
        "fewer or shorter lags and windows (features.lags, features.windows)",
    ),
    # -- forecasting --------------------------------------------------------
    "NAIVE_WINS": Code(
        "info",
        "done",
        "seasonal naive was better in each of {count} folds and by more than a quarter: it serves",
        "more history or better covariates may help",
    ),
    "PERFECT_FORESIGHT": Code(
        "info",
        "alerted",
        "the backtest used the realised values of {count} known covariates; the real horizon may know less",
        "compare with the best covariate-free score printed beside",
    ),
    "CONTEXT_MISSING": Code(
        "warning",
        "done",
        "{count} steps lack the siblings' rows: the values that siblings last had stand in",
        "give the rows of the siblings with the rows to forecast, in one call",
    ),
    "FUTURE_COVARIATES_MISSING": Code(
        "warning",
        "done",
        "{count} steps lack known covariates: the covariate-free stand-by answers them",
        "give the known covariates of the horizon (--future, or rows with an empty target)",
    ),
    "CANDIDATE_FAILED": Code(
        "info",
        "done",
        "{count} candidates failed on a fold or in the end; they score as their fallback there",
        "",
    ),
    "CANDIDATES_NOT_RUN": Code(
        "info",
        "alerted",
        "{count} candidates were left out for lack of time",
        "raise budget.seconds_per_group",
    ),
    "ALL_CANDIDATES_FAILED": Code(
        "error",
        "done",
        "none of {count} candidates gave a valid forecast; the fallback serves",
        "look at the data",
    ),
    "ABSURD_FORECAST": Code(
        "warning",
        "done",
        "{count} forecasts were absurd or not finite and count as failed",
        "look for outliers",
    ),
    "SCALE_ZERO": Code(
        "info",
        "alerted",
        "the scale of the error is 0 in {count} folds: they are left out of averages",
        "the history is constant or repeats exactly",
    ),
    "TRANSFORM_LEFT_OUT": Code(
        "warning",
        "done",
        "{count} values are below 0: regressions and ARX learn the target without the transform asked for",
        "set features.transforms: none for such series, or forecast them in a run of their own",
    ),
    "DIFFERENCE_SHORTENED": Code(
        "info",
        "done",
        "{count} values carry no seasonal difference: the regressions take the first difference",
        "a seasonal difference needs a season, and two of it beside gap and horizon",
    ),
    "GROUPED": Code(
        "info",
        "done",
        "the number of the group that the series was put into (data.group: auto)",
        "nothing; see the message for the cuts that led there",
    ),
    "NOT_POOLED": Code(
        "info",
        "alerted",
        "the series has no part in the models that its group shares",
        "its own learners serve it; give it a group of its own, or more history",
    ),
    "SHORT_POOLED": Code(
        "info",
        "done",
        "the series is too short for learners of its own: the models that its group shares forecast it",
        "nothing; preparation.short: naive asks for the naive forecast in their place",
    ),
    "POOL_FAILED": Code(
        "warning",
        "alerted",
        "the learners that the group shares could not be fitted; the series' own learners serve",
        "see the message; smaller groups need less time and memory",
    ),
    "GROUP_SAMPLED": Code(
        "info",
        "done",
        "the models that the group shares are fitted on {count} of its series; they forecast all",
        "smaller groups are fitted on all of their series",
    ),
    "BEYOND_HORIZON": Code(
        "info", "alerted", "{count} steps lie beyond the trained horizon: their intervals are wider", ""
    ),
    "TIMED_OUT": Code(
        "error", "done", "the deadline passed; the fallback serves", "raise budget.seconds_per_group"
    ),
    "FAILED": Code("error", "done", "the group's function failed; the fallback serves", "see the message"),
}
"""Code -> what it means. Order is the order of the reference page."""


def finding(
    code: str,
    count: int = 1,
    *,
    message: str | None = None,
    severity: Severity | None = None,
    state: State | None = None,
    action: str | None = None,
) -> Finding:
    """The finding of a code in the table; `message` and `action` replace the table's own sentences.

    Raises
    ------
    KeyError
        For a code that is not in `CODES`.
    """
    known = CODES[code]
    text = known.meaning.format(count=count) if message is None else message
    advice = known.action if action is None else action
    return Finding(code, severity or known.severity, state or known.state, int(count), text, advice)
