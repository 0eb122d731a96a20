"""The choice: how much each candidate counts, from its folds and from what is known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from many_models.automl.combination import (
    Combine,
    beliefs,
    combined,
    greedy_weights,
    relative_errors,
    relative_log_errors,
    relative_weights,
    without_negligible,
)
from many_models.automl.evaluation import Folds, Trial
from many_models.automl.prior import KindPrior
from many_models.automl.scores import RANKS_ALIKE, Scores, fold_errors, ranking_errors, score
from many_models.learners.base import FitContext
from many_models.learners.stacking import stacked_weights
from many_models.panel.series import Bools, Floats

GUARD_FOLDS = 3
"""Folds that seasonal naive must have won, every one, before a series is handed to it."""

GUARD_MARGIN = 1.25
"""And by how much on average the combination must have been worse."""

STANDBY_MEMBERS = 4
"""The covariate-free stand-by keeps at most this many members."""

FEWEST_TO_LEARN = 2
"""With fewer folds, weights that are learned from forecasts (greedy, stack) are those of the rule."""


@dataclass(frozen=True)
class Choice:
    """Weights over the usable trials, of the ensemble and the stand-by, and the ensemble's folds."""

    weights: Floats
    standby: Floats
    mean: Floats
    median: Floats
    standby_median: Floats
    reported: Floats
    naive_wins: bool


@dataclass(frozen=True)
class _Field:
    """Candidates that are weighed against each other.

    Attributes
    ----------
    places : [K]
        Which of the usable trials they are, k of K.
    shares : [K]
        What of the weight belongs to trials of the group beforehand, which then are not among them.
    errors : [k, F]
        What their weights are made of.
    squared
        Whether squares are averaged over folds.
    judged : [k, F, H]
        The forecasts that the metric judges.
    believed : [3, k]
        What the prior says of them, or None.
    """

    places: npt.NDArray[np.bool_]
    shares: Floats
    errors: Floats
    squared: bool
    judged: Floats
    believed: Floats | None
    folds: Folds
    context: FitContext
    metric: str
    combine: Combine
    most: int | None = None

    def weights(self, kept: Bools) -> Floats:
        """The weights [K] that the folds in `kept` [F] give."""
        weights = np.zeros(len(self.places))
        if self.places.any():
            weights[self.places] = self._among(kept)
        return np.asarray((1.0 - self.shares.sum()) * weights + self.shares)

    @cached_property
    def _relative(self) -> Floats:
        return relative_log_errors(self.errors)

    def _among(self, kept: Bools) -> Floats:
        # Logs are relative to their own fold alone, squares to all that are kept.
        relative = relative_errors(self.errors[:, kept], True) if self.squared else self._relative[:, kept]
        learned = None
        if int(kept.sum()) >= FEWEST_TO_LEARN and len(relative) > 1:
            if self.combine == "greedy":
                loss = partial(self._errors, kept=kept)
                learned = greedy_weights(self.judged, loss, relative.mean(axis=1))
            elif self.combine == "stack":
                learned = stacked_weights(
                    self.judged[:, kept], self.folds.actual[kept], self.folds.scale[kept]
                )
        if learned is None:
            values = int(np.isfinite(self.folds.actual).sum())
            learned = relative_weights(relative, self.believed, values, self.combine)
        # The mean and the median are of all candidates.
        return learned if self.combine in ("mean", "median") else without_negligible(learned, self.most)

    def _errors(self, forecasts: Floats, kept: Bools) -> Floats:
        errors = fold_errors(self.metric, self.folds, forecasts, forecasts, self.context)
        # A fold without an error has no say: the log of one is zero for all.
        return np.nan_to_num(np.asarray(errors[..., kept], dtype=np.float64), nan=1.0)


def choose(
    usable: Sequence[Trial],
    scores: Scores,
    folds: Folds,
    context: FitContext,
    combine: Combine,
    prior: KindPrior,
) -> Choice:
    """The weights, and the combination on every fold with weights from the other folds."""
    names = [t.candidate.name for t in usable]
    own = np.array([not t.pooled for t in usable])
    known = prior.shares if combine == "auto" and own.any() else None
    given = np.array([0.0 if known is None else known.get(name, 0.0) for name in names])
    means, medians = np.array([t.mean for t in usable]), np.array([t.median for t in usable])
    ranking = RANKS_ALIKE.get(scores.metric, scores.metric)
    judged = means if scores.judges == "mean" else medians

    def field(places: Bools, most: int | None = None) -> _Field:
        shares = np.where(places, given, 0.0)
        if known is not None and (places & own).any():
            places = places & own
        believed = beliefs([n for n, p in zip(names, places, strict=True) if p], prior.candidates)
        return _Field(
            places,
            shares,
            scores.ranking[places],
            scores.squared,
            judged[places],
            believed,
            folds,
            context,
            ranking,
            combine,
            most,
        )

    count = len(folds.cutoffs)
    every = np.ones(count, dtype=bool)
    everyone = field(np.ones(len(usable), dtype=bool))
    weights, standby = everyone.weights(every), np.zeros(len(usable))
    free = np.array([not t.candidate.uses_known for t in usable])
    spared = None
    if (weights * ~free).any() and free.any():
        spared = field(free, STANDBY_MEMBERS)
        standby = spared.weights(every)
    mean, median, other = (np.empty_like(folds.actual) for _ in range(3))
    for f in range(count):
        rest = np.arange(count) != f
        held_out = everyone.weights(rest)
        mean[f] = combined(means[:, f], held_out, combine)
        median[f] = combined(medians[:, f], held_out, combine)
        if spared is not None:
            other[f] = combined(medians[:, f], spared.weights(rest), combine)
    reported = fold_errors(scores.metric, folds, mean, median, context) if count else np.array([])
    wins = _naive_wins(scores.metric, folds, mean, median, context)
    return Choice(weights, standby, mean, median, other, reported, wins)


def _naive_wins(metric: str, folds: Folds, mean: Floats, median: Floats, context: FitContext) -> bool:
    """Whether seasonal naive was better than the combination in every fold, and by far."""
    if len(folds.cutoffs) < GUARD_FOLDS:
        return False
    ours = ranking_errors(metric, folds, mean, median, context)
    naive = ranking_errors(metric, folds, folds.fallback_mean, folds.fallback_median, context)
    # Where naive is exact to the last bit, a rounding error is no defeat.
    noise = 1e-9 * float(np.nanmean(np.abs(folds.actual)))
    lost = bool((ours > naive + noise).all())
    return lost and score(ours, metric) > GUARD_MARGIN * score(naive, metric)
