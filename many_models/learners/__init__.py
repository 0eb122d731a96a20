"""Learners: from one series to a fitted model that is plain data.

`table` lists them, `base` is their contract, one module holds each family.
"""

from many_models.learners.base import (
    Candidate,
    Deadline,
    FitContext,
    FittedModel,
    Learner,
    LearnerInfo,
)
from many_models.learners.table import LEARNERS, learner, learner_info, learner_names

__all__ = [
    "LEARNERS",
    "Candidate",
    "Deadline",
    "FitContext",
    "FittedModel",
    "Learner",
    "LearnerInfo",
    "learner",
    "learner_info",
    "learner_names",
]
