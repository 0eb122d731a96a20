"""What the stage `pool` says of one series: bytes that travel with it to the stage `train`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np

from many_models.automl.evaluation import Folds, Trial
from many_models.automl.shared import GivenModel
from many_models.bundle.container import pack, unpack
from many_models.errors import DamagedError
from many_models.learners.base import Candidate, State
from many_models.panel.findings import Finding
from many_models.panel.series import Bools, Floats


@dataclass(frozen=True)
class PooledTrial:
    """What one pooled candidate did for one series.

    Attributes
    ----------
    candidate
        With the parameters as resolved in its first fit.
    mean, median : [F, H]
        Its out-of-fold forecasts; NaN on a fold where it failed.
    failed : [F]
        Where it failed.
    fit_seconds, predict_seconds
        The series' share of what the fits and forecasts of the group took.
    error_code
        Of its last failure, or None.
    final
        The model that was fitted on everything, as it serves this series; None where that failed.
    test
        The model that was fitted without the hidden end of each series, as it is tested on this one;
        None where nothing is hidden, or that failed.
    """

    candidate: Candidate
    mean: Floats
    median: Floats
    failed: Bools
    fit_seconds: float
    predict_seconds: float
    error_code: str | None
    final: GivenModel | None
    test: GivenModel | None = None

    def as_tested(self) -> PooledTrial:
        """The same as it was before the test, whose model serves there."""
        return replace(self, final=self.test, test=None)

    def trial(self, folds: Folds) -> Trial:
        """The same as a trial of the series' own search: the fallback stands in where it failed."""
        out = self.failed[:, None]
        return Trial(
            self.candidate,
            np.where(out, folds.fallback_mean, self.mean),
            np.where(out, folds.fallback_median, self.median),
            self.failed,
            self.fit_seconds,
            self.predict_seconds,
            self.error_code,
            pooled=True,
            given=self.final,
        )


@dataclass(frozen=True)
class Pooled:
    """What stage `pool` says of one series: its trials, and findings."""

    trials: tuple[PooledTrial, ...] = ()
    findings: tuple[Finding, ...] = ()
    cutoffs: tuple[int, ...] = ()

    def to_bytes(self) -> bytes:
        """These bytes travel to the stage `train`."""
        return pack(
            {
                "findings": [asdict(one) for one in self.findings],
                "cutoffs": list(self.cutoffs),
                "trials": [_trial_state(one) for one in self.trials],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Pooled:
        """What these bytes say.

        Raises
        ------
        DamagedError
            When they are not what `to_bytes` gave.
        """
        state = unpack(data)
        try:
            return cls(
                tuple(_trial(one) for one in state["trials"]),
                tuple(Finding(**one) for one in state["findings"]),
                tuple(state["cutoffs"]),
            )
        except (KeyError, TypeError, ValueError) as trouble:
            raise DamagedError(f"the outcome of a pooled stage lacks its form: {trouble}") from trouble


def _trial_state(trial: PooledTrial) -> State:
    candidate = trial.candidate
    return {
        "name": candidate.name,
        "learner": candidate.learner,
        "parameters": dict(candidate.parameters),
        "uses_known": candidate.uses_known,
        "mean": trial.mean,
        # a learner that knows no other median gives the mean: it is sent once
        "median": None if np.array_equal(trial.mean, trial.median, equal_nan=True) else trial.median,
        "failed": trial.failed,
        "seconds": [trial.fit_seconds, trial.predict_seconds],
        "error_code": trial.error_code,
        "final": _given_state(trial.final),
        "test": _given_state(trial.test),
    }


def _given_state(given: GivenModel | None) -> State | None:
    if given is None:
        return None
    return {
        "shared": given.shared,
        "parameters": dict(given.parameters),
        "tail": given.tail,
        "own": given.own,
        "ordinals": given.ordinals,
        "mean": given.mean,
        "median": given.median,
        "moving": given.moving,
    }


def _trial(state: State) -> PooledTrial:
    final, test = (None if (one := state[name]) is None else GivenModel(**one) for name in ("final", "test"))
    fitting, predicting = state["seconds"]
    return PooledTrial(
        Candidate(state["name"], state["learner"], state["parameters"], bool(state["uses_known"])),
        state["mean"],
        state["mean"] if state["median"] is None else state["median"],
        state["failed"],
        float(fitting),
        float(predicting),
        state["error_code"],
        final,
        test,
    )
