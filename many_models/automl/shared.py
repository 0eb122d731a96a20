"""Pooled models as they are stored: once, under the name that is their hash, for all series they serve.

A series' model refers to a pooled model by its content id and keeps what is the series' own. The
pooled model is a row of its own beside the models of series, of the kind `pooled_model`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from many_models.bundle.container import content_id, pack, unpack
from many_models.errors import DamagedError, LearnerError, LookupFailed
from many_models.learners.base import Parameters, State
from many_models.learners.pooled import PooledModel
from many_models.learners.table import pooled_learner
from many_models.panel.series import Floats, Forecast, Future, Series

Ints = npt.NDArray[np.int64]

POOLED_KIND = "pooled_model"
POOLED_VERSION = 1

PooledModels: TypeAlias = Callable[[str], PooledModel]
"""Content id -> pooled model; raises DamagedError where there is none."""

_NAME = re.compile(r"[0-9a-f]{32}")


def pack_pooled(learner: str, model: PooledModel) -> tuple[str, bytes]:
    """The name and the bytes of a pooled model.

    Raises
    ------
    ValueError
        When it is larger than readers accept.
    """
    document = {"kind": POOLED_KIND, "format_version": POOLED_VERSION, "learner": learner}
    packed = pack({**document, "state": model.state()})
    return content_id(packed), packed


def load_pooled(packed: bytes) -> PooledModel:
    """The pooled model that was packed.

    Raises
    ------
    DamagedError
        Where it is of another kind or version, or not of the form that is written.
    """
    document = unpack(packed)
    found = [str(document.get(name)) for name in ("kind", "format_version")]
    if found != [POOLED_KIND, str(POOLED_VERSION)]:
        raise DamagedError(
            f"a stored model of kind {document.get('kind')!r} and version "
            f"{document.get('format_version')!r} where one of kind {POOLED_KIND!r} should be"
        )
    try:
        return pooled_learner(document["learner"]).load_pooled(document["state"])
    except LookupFailed as trouble:
        raise DamagedError(
            f"a pooled model of a learner that this release does not have: {trouble}"
        ) from trouble
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as trouble:
        raise DamagedError(f"a pooled model lacks its form: {type(trouble).__name__}: {trouble}") from trouble


def shared_names(state: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the pooled models that a series' model refers to.

    Raises
    ------
    DamagedError
        Where a reference is no name.
    """
    members: list[State] = state.get("members") or []
    names = [member["shared"] for member in members if "shared" in member]
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise DamagedError(f"a stored model refers to a pooled model by {str(name)[:100]!r}")
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class GivenModel:
    """A pooled model as it serves one series, known by what it said of the next horizon.

    Where a series is trained the pooled model itself is not at hand, and need not be: all that is
    asked there is the forecast of the horizon after everything, which was computed in stage `pool`.

    Attributes
    ----------
    shared
        Name of the pooled model.
    own
        What is the series' own in it.
    ordinals : [H], mean, median : [H]
        The forecast; NaN where known covariates were missing.
    moving
        Whether these are forecasts of a test: horizon after horizon, each from its own cutoff.
    """

    shared: str
    parameters: Parameters
    tail: int
    own: State
    ordinals: Ints
    mean: Floats
    median: Floats
    moving: bool = False

    def predict(self, future: Future) -> Forecast:
        """The forecast for these stamps, as far as it was computed.

        Raises
        ------
        LearnerError
            For others.
        """
        places = np.searchsorted(self.ordinals, future.ordinals)
        inside = places < len(self.ordinals)
        if not inside.all() or (self.ordinals[places] != future.ordinals).any():
            raise LearnerError("NOT_GIVEN", "a pooled forecast of other stamps than the next horizon")
        if not np.isfinite(self.mean[places]).all():
            raise LearnerError("NOT_GIVEN", "no pooled forecast of some of these stamps")
        return Forecast.point(self.mean[places], self.median[places])

    def update(self, series: Series) -> GivenModel:
        """The same, at the same cutoff; in a test at a later one."""
        if series.end >= self.ordinals[0] and not self.moving:
            raise LearnerError("NOT_GIVEN", "a pooled forecast after another cutoff")
        return self

    def state(self) -> State:
        """What is the series' own."""
        return {"own": self.own}
