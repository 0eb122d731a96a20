"""Which candidates a series gets: the learners of the preset that its history can carry."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from many_models.errors import LearnerError
from many_models.learners.base import Candidate, FitContext
from many_models.learners.pooled import GroupSeries
from many_models.learners.table import learner, learner_info, pooled_learner
from many_models.panel.demand import demand_class
from many_models.panel.series import Series

SPARSE = ("croston", "sba", "tsb", "adida", "imapa")
"""For intermittent and lumpy demand alone, unless they are named."""

_FAST = ("naive", "seasonal_naive", "drift", "average", "seasonal_average", *SPARSE, "theta", "ces", "arx")
_BALANCED = (*_FAST, "ets", "arima", "elastic_net", "lightgbm")

PRESETS: Mapping[str, tuple[str, ...]] = {
    "fast": _FAST,
    "balanced": _BALANCED,
    "best": (*_BALANCED, "auto_arima", "prophet"),
}
"""Learners by preset, cheapest first: when time runs out, the cheap ones have been tried."""

SEARCHED_PIPELINES: Mapping[str, tuple[tuple[str, tuple[str, float] | None], ...]] = {
    "best": (("robust", None), ("standard", ("pca", 0.95))),
}
"""What a preset's regressions try beside their usual scaling, where the configuration states none."""

LONGEST: Mapping[str, int] = {"ets": 3000, "ces": 3000, "theta": 5000, "arima": 1500, "auto_arima": 1000}
"""Histories above this many values are too long for a learner within a preset's price; naming the
learner in `learners.allow` lifts it."""

LONGEST_SEASON: Mapping[str, int] = {"ets": 12}
"""Above it the search over forms is nearly half of what a preset costs, for a twentieth of the weight."""

SPARSE_CLASSES = ("intermittent", "lumpy")

GUARD = ("seasonal_naive", "naive")
"""Always candidates (promise 10), also when an allow or block list does not name them."""


def learner_names(preset: str, allow: Sequence[str] | None, block: Sequence[str] | None) -> tuple[str, ...]:
    """The learners to try, in the order they are tried: the allow list or the preset, less the block list."""
    chosen = tuple(allow) if allow is not None else PRESETS[preset]
    blocked = set(block or ())
    kept = [name for name in chosen if name not in blocked]
    return tuple(dict.fromkeys([*GUARD, *kept]))


def series_candidates(
    series: Series, context: FitContext, names: Sequence[str], named: bool = False
) -> tuple[Candidate, ...]:
    """The candidates of these learners that this history can carry.

    Parameters
    ----------
    series
        The whole history.
    context
        Season and horizon.
    names
        Learners, as `learner_names` gives them.
    named
        Whether the user named the learners, so that no limit of a preset applies.
    """
    found: list[Candidate] = []
    sparse = named or demand_class(series.y[series.observed]) in SPARSE_CLASSES
    for name in names:
        if name in SPARSE and not sparse:
            continue
        chosen = learner(name)
        if len(series) < chosen.info.min_length:
            continue
        if not named and (
            len(series) > LONGEST.get(name, len(series))
            or context.season > LONGEST_SEASON.get(name, context.season)
        ):
            continue
        try:
            found.extend(chosen.candidates(series, context))
        except LearnerError:
            continue
    return tuple(found)


def settled(
    candidates: Sequence[Candidate], pipelines: Mapping[str, Collection[str]]
) -> tuple[Candidate, ...]:
    """The candidates, of those that differ in their pipeline alone the kept ones; all where none is there.

    `pipelines` are the names to keep by the name of the usual candidate.
    """
    names = {candidate.name for candidate in candidates}
    kept = {usual: found for usual, found in pipelines.items() if not names.isdisjoint(found)}
    return tuple(c for c in candidates if c.name in kept.get(c.usual or c.name, (c.name,)))


def pooled_candidates(
    group: Sequence[GroupSeries], names: Sequence[str], named: bool = False
) -> tuple[Candidate, ...]:
    """The candidates of these learners that learn one model across the series of a group.

    Parameters
    ----------
    group
        The series that the models will be fitted on, each with its whole history.
    names
        Learners, as `learner_names` gives them; those that learn from single series alone add nothing.
    named
        Whether the user named the learners, so that no limit of a preset applies.
    """
    found: list[Candidate] = []
    for name in names:
        if not learner_info(name).pooled:
            continue
        try:
            found.extend(pooled_learner(name).pooled_candidates(group))
        except LearnerError:
            continue
    return tuple(found)
