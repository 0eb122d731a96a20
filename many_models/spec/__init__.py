"""The configuration: one frozen, closed tree that is checked as a whole and hashed to a fingerprint."""

from __future__ import annotations

from many_models.spec.data_sections import AggregateSpec, DataSpec, PreparationSpec
from many_models.spec.feature_sections import (
    CovariatesSpec,
    EventsSpec,
    FeaturesSpec,
    HolidaysSpec,
    ReductionSpec,
)
from many_models.spec.forecast_spec import ForecastSpec
from many_models.spec.learner_names import LEARNER_NAMES
from many_models.spec.sections import (
    METRICS,
    BudgetSpec,
    EngineSpec,
    EnsembleSpec,
    ForecastSettings,
    LearnersSpec,
    PoolingSpec,
    RegistrySpec,
    ValidationSpec,
)

__all__ = [
    "LEARNER_NAMES",
    "METRICS",
    "AggregateSpec",
    "BudgetSpec",
    "CovariatesSpec",
    "DataSpec",
    "EngineSpec",
    "EnsembleSpec",
    "EventsSpec",
    "FeaturesSpec",
    "ForecastSettings",
    "ForecastSpec",
    "HolidaysSpec",
    "LearnersSpec",
    "PoolingSpec",
    "PreparationSpec",
    "ReductionSpec",
    "RegistrySpec",
    "ValidationSpec",
]
