"""The contract of pooled learners: one model learned across the series of a group.

A pooled learner sees every series of a group at once and gives one `PooledModel`, which is stored
once and answers for all of them. What it keeps of a single series (its scale, its place in the group)
is that series' `own` state, a few numbers that are stored with the series' model. Together they are a
`PooledMember`: a `FittedModel` like any other, so that ensembles, stores and look-ups need not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from many_models.learners.base import Candidate, Deadline, FitContext, LearnerInfo, Parameters, State
from many_models.panel.series import Floats, Forecast, Future, Series

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class GroupSeries:
    """One series of a group, as a pooled learner sees it.

    Attributes
    ----------
    name
        Canonical text of its key: what tells it from the others, also when the model is used.
    series
        Its past up to its own cutoff.
    context
        What a fit of this series alone would get: horizon, gap, season, feature settings.
    weight
        How much the series counts as a whole; NaN is as much as the mean of the others. None: as much as it
        has values.
    """

    name: str
    series: Series
    context: FitContext
    weight: float | None = None


def value_weights(group: Sequence[GroupSeries], owner: Ints) -> Floats | None:
    """How much each row counts [n], 1 on average; `owner` [n] is the place of its series. None: alike."""
    if all(one.weight is None for one in group):
        return None
    counts = np.bincount(owner, minlength=len(group))
    whole = np.array([np.nan if one.weight is None else one.weight for one in group])
    known = np.isfinite(whole) & (counts > 0)
    whole[~np.isfinite(whole)] = whole[known].mean() if known.any() else 1.0
    weights = (whole / np.maximum(counts, 1))[owner]
    return np.asarray(weights / weights.mean()) if weights.any() else None


@dataclass(frozen=True)
class Asked:
    """One series that a pooled model is asked about.

    Attributes
    ----------
    history
        The last values of the series, at least the model's `tail`.
    own
        What `PooledModel.own` said of it when the model was fitted (or when it was first met).
    future
        The stamps to forecast.
    """

    history: Series
    own: State
    future: Future


class PooledModel(Protocol):
    """A model fitted on a group: frozen, made of plain data, the same for all its series."""

    @property
    def parameters(self) -> Parameters:
        """The parameters as resolved in the fit."""

    @property
    def tail(self) -> int:
        """How many last values of a series a forecast reads."""

    def own(self, name: str, series: Series) -> State:
        """What a forecast of this series needs besides the model and its tail: plain data, small.

        A name that was not in the fit is a new series of the group: it gets what can be said of it
        from its values alone.
        """

    def predict(self, asked: Sequence[Asked]) -> list[Forecast]:
        """The forecasts of all series that are asked about, in their order, computed together.

        The forecast of a series does not depend on who else is asked about, bit for bit.
        """

    def state(self) -> State:
        """Everything `PooledLearner.load_pooled` needs, as plain data."""


class PooledLearner(Protocol):
    """A way to make one forecasting model from the series of a group."""

    @property
    def info(self) -> LearnerInfo:
        """What it is."""

    def pooled_candidates(self, group: Sequence[GroupSeries]) -> tuple[Candidate, ...]:
        """The candidates that this group can carry, best known first; their names begin with `pooled_`.

        A learner that can use known covariates gives, where there are some, candidates with
        them and at least one without.
        """

    def fit_pooled(
        self, group: Sequence[GroupSeries], parameters: Parameters, seed: int, deadline: Deadline
    ) -> PooledModel:
        """The model fitted on all series of `group` (each up to its own cutoff); leaves its input alone.

        Where a candidate's `uses_known` is False the caller passes series without known covariates.
        Series may differ in length, start and end; one that is too short to learn from is still
        forecast. The result does not depend on the order of `group`.

        Raises
        ------
        LearnerError
            With a stable code, when this group cannot be fitted.
        """

    def load_pooled(self, state: State) -> PooledModel:
        """The model that gave this `state()`; it predicts identically, bit for bit."""


@dataclass(frozen=True)
class PooledMember:
    """A pooled model as it serves one series: a `FittedModel`."""

    shared: PooledModel
    own: State
    history: Series

    @property
    def parameters(self) -> Parameters:
        """The parameters of the pooled model."""
        return self.shared.parameters

    @property
    def tail(self) -> int:
        """How many last values of the series a forecast reads."""
        return self.shared.tail

    def predict(self, future: Future) -> Forecast:
        """The forecast for the stamps of `future`."""
        return self.shared.predict([Asked(self.history, self.own, future)])[0]

    def update(self, series: Series) -> PooledMember:
        """The same model at the end of `series`."""
        return replace(self, history=series)

    def state(self) -> State:
        """What is the series' own; the shared part is stored once, beside."""
        return {"own": self.own}
