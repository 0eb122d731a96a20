"""Which engineered columns a fitted model has, and which of them have a say in its forecasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from many_models.features.listing import TARGET, Feature, listed
from many_models.learners.arx import ArxModel
from many_models.learners.base import FittedModel
from many_models.learners.covariates import Regressors
from many_models.learners.pooled import PooledMember
from many_models.learners.pooled_regression import PooledRegressionModel
from many_models.learners.regression import RegressionModel
from many_models.panel.series import Series


@dataclass(frozen=True)
class UsedFeature:
    """A column of a fitted model, and whether it was kept: has a coefficient, or is cut on."""

    feature: Feature
    kept: bool


def left_out_features(model: FittedModel) -> tuple[str, ...]:
    """The columns that a fitted model does without, because all of them would not have fitted in memory."""
    return model.frame.plan.dropped if isinstance(model, RegressionModel) else ()


def used_features(model: FittedModel, history: Series) -> tuple[UsedFeature, ...]:
    """The columns of a fitted model in order; none for methods that read the target alone.

    Parameters
    ----------
    history
        The history of the series, for the names of its covariates.
    """
    known = [c.name for c in history.known]
    past = [c.name for c in history.past]
    if isinstance(model, PooledMember) and isinstance(model.shared, PooledRegressionModel):
        frame, kept = model.shared.frame, set(model.shared.reads.tolist())
        columns = listed(
            frame.plan, [c.name for c in frame.known.covariates], [c.name for c in frame.past.covariates]
        )
        return tuple(UsedFeature(c, place in kept) for place, c in enumerate(columns))
    if isinstance(model, RegressionModel):
        columns = listed(model.frame.plan, known, past)
        kept = set(model.reads.tolist())
        return tuple(UsedFeature(c, place in kept) for place, c in enumerate(columns))
    if isinstance(model, ArxModel):
        lags = (Feature(f"lag{lag}", "lags", (TARGET,), {"lag": lag}) for lag in model.lags)
        columns = listed(model.plan, known, past)
        outside = zip(columns, model.slope != 0, strict=True)
        return (
            *(UsedFeature(c, bool(w)) for c, w in zip(lags, model.weights != 0, strict=True)),
            *(UsedFeature(c, bool(w)) for c, w in outside),
        )
    regressors: Any = getattr(model, "regressors", None)
    if not isinstance(regressors, Regressors):
        return ()
    found = []
    for source, level in zip(regressors.source.tolist(), regressors.level.tolist(), strict=True):
        covariate = history.known[source]
        name = covariate.name
        if not np.isnan(level):
            name += f"={covariate.categories[int(level)]}" if 0 <= level < len(covariate.categories) else "=?"
        found.append(UsedFeature(Feature(name, "covariates", (covariate.name,)), True))
    return tuple(found)
