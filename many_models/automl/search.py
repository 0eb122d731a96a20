"""The search over the candidates of one series: which are tried, on which folds, and when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from many_models.automl.evaluation import Folds, Race, Trial, run_trial
from many_models.automl.scores import fold_errors, ranking_errors, score
from many_models.learners.base import Candidate, Deadline, FitContext
from many_models.panel.series import Floats

FAR_BEHIND = 2.0
"""In a race, a candidate goes no further whose error on the first fold is more than so many times the
least so far: of those, hardly any gets a weight in the end."""


@dataclass(frozen=True)
class Exit:
    """When the search of a series ends, or gives up on a candidate; None is never.

    Attributes
    ----------
    racing
        Whether candidates far behind after one fold are left out of the others.
    trials
        So many candidates are tried at most.
    patience
        So many in a row may be no better than the best before them.
    target_score
        A score that is good enough.
    seconds_per_trial
        After so long no further fold of a candidate is begun.
    """

    racing: bool = False
    trials: int | None = None
    patience: int | None = None
    target_score: float | None = None
    seconds_per_trial: float | None = None

    @property
    def reads_scores(self) -> bool:
        """Whether it asks how good the candidates were so far."""
        return self.racing or self.patience is not None or self.target_score is not None


def search(
    candidates: Sequence[Candidate], folds: Folds, context: FitContext, metric: str, exit_: Exit
) -> tuple[Trial, ...]:
    """The trials of the candidates, in their order, as far as the search goes."""
    trials: list[Trial] = []
    least = np.full(len(folds.cutoffs), np.inf)
    best, waited = np.inf, 0
    for candidate in candidates[: exit_.trials]:
        race = _race(folds, context, metric, exit_, least)
        trial = run_trial(candidate, folds, _timed(context, exit_), race)
        trials.append(trial)
        if not exit_.reads_scores or not folds.cutoffs or trial.failed.all():
            continue
        errors = _errors(metric, folds, trial, context)
        least = np.fmin(least, np.where(trial.failed, np.inf, errors))
        if exit_.target_score is not None:
            reported = fold_errors(metric, folds, trial.mean, trial.median, context)
            if score(reported, metric) <= exit_.target_score:
                break
        reached = score(errors, metric)
        waited = 0 if reached < best else waited + 1
        best = min(best, reached)
        if exit_.patience is not None and waited >= exit_.patience:
            break
    return tuple(trials)


def _timed(context: FitContext, exit_: Exit) -> FitContext:
    """The context with the earlier of its deadline and that of one trial."""
    own = Deadline.after(exit_.seconds_per_trial)
    if own.seconds_left >= context.deadline.seconds_left:
        return context
    return replace(context, deadline=own)


def _errors(metric: str, folds: Folds, trial: Trial, context: FitContext) -> Floats:
    """The fold errors [F] of a trial that candidates are ranked by."""
    return ranking_errors(metric, folds, trial.mean, trial.median, context)


def _race(folds: Folds, context: FitContext, metric: str, exit_: Exit, least: Floats) -> Race | None:
    """Whether a candidate with these forecasts goes on after its first fold; None is no race."""
    if not exit_.racing or len(folds.cutoffs) < 2 or not np.isfinite(least[0]):
        return None

    def goes_on(mean: Floats, median: Floats) -> bool:
        error = float(ranking_errors(metric, folds, mean, median, context)[0])
        return not error > FAR_BEHIND * float(least[0])

    return goes_on
