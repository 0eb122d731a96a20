"""The sections on forecast, learners, validation and engine; field order is that of the reference page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from many_models.errors import Problem
from many_models.spec.allowed import (
    Allowed,
    Refusal,
    choice,
    did_you_mean,
    either,
    integer,
    listing,
    location,
    null_or,
    number,
    shown,
    switch,
    text,
)
from many_models.spec.learner_names import LEARNER_NAMES
from many_models.spec.part import Part
from many_models.spec.values import (
    ANY_NUMBER,
    AUTO,
    COLUMN,
    LOCATION,
    POSITIVE,
    SHARE,
    Auto,
    Columns,
    Integers,
    Off,
    offered,
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
    missing_model: Annotated[
        Literal["empty", "error", "pooled", "naive"], choice("empty", "error", "pooled", "naive")
    ] = Field(
        default="empty",
        description="What stored models say of a series that was not trained, from the history handed "
        "over: an empty row; an error; a forecast by the pooled models of its group, else seasonal naive; "
        "seasonal naive.",
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
        str, either(choice("auto", *METRICS), offered("many_models.metrics", ("auto", *METRICS)))
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
        "are spread, and what share of a forecast the models of a group have; auto = 40 where there are 400 "
        "groups or more, and half of the series, 150 at most, where groups learn together; off = none.",
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


class PoolingSpec(Part):
    """How series that share a group learn together."""

    section: ClassVar[str] = "pooling"

    largest: Annotated[int, integer(2, 100_000)] = Field(
        default=500,
        description="So many series are at most in a group that `data.group: auto` makes; other groups are "
        "as large as their columns make them.",
    )
    weights: Annotated[Literal["rows", "series", "column"], choice("rows", "series", "column")] = Field(
        default="rows",
        description="What counts alike where series learn together: rows = every value, so that a long "
        "series counts more; series = every series as a whole; column = every series as "
        "`validation.weights` says.",
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
    granularity: Annotated[Literal["set", "series"], choice("set", "series")] = Field(
        default="set",
        description="What is registered: set = one model that holds all series; series = also a model of its "
        "own for each series, named after its key, which costs some hundredths of a second each.",
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
