"""Drift: series whose model errs more on newer data than it did in its folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from many_models.automl.realised import LEAST_STAMPS, standard_error
from many_models.errors import DataError, OutsideError, Problem
from many_models.panel.series import Floats
from many_models.runs.base_version import Base
from many_models.runs.contest import FoldRows
from many_models.runs.later import Later, keyed_rows, parts_of, realised_later
from many_models.runs.progress import Progress


@dataclass(frozen=True)
class Drift:
    """Errors of one series on newer data beside those of its folds.

    Attributes
    ----------
    realised, folds
        Mean losses.
    errors
        By how many standard errors of their difference the newer ones are worse.
    """

    realised: float
    folds: float
    errors: float


def drift_of(newer: Floats, folds: Floats) -> Drift | None:
    """The drift of losses on newer data [N] against those in folds [M]; None of fewer than two."""
    if min(newer.size, folds.size) < LEAST_STAMPS:
        return None
    difference = float(newer.mean() - folds.mean())
    error = float(np.hypot(standard_error(newer), standard_error(folds)))
    if error == 0:
        return Drift(float(newer.mean()), float(folds.mean()), float(np.sign(difference) * np.inf))
    return Drift(float(newer.mean()), float(folds.mean()), difference / error)


def drifted(
    base: Base, data: Any, cutoff: str | int | None, limit: float, progress: Progress
) -> frozenset[bytes]:
    """The digests of the series that drifted by more than so many standard errors.

    Raises
    ------
    DataError
        When the table is not one that this process can read.
    """
    if data is None or type(data).__module__.startswith("pyspark."):
        raise DataError(
            Problem(
                "--only drifted",
                "a Spark table",
                "data.path or a pandas data frame: newer values are forecast in this process",
                "leave drifted out, or give --data PATH",
            )
        )
    later = Later.of(base, data, cutoff)
    found, done = set(), 0
    with progress.bar("looking for drift", base.index.num_rows) as step:
        for part in parts_of(base):
            folds = FoldRows.of(base, part)
            for key, row in keyed_rows(base, part):
                if row["content_id"] is not None:
                    drift = _drift(base, later, folds, key, row["content_id"])
                    if drift is not None and drift.errors > limit:
                        found.add(key.digest)
                done += 1
                if done % 100 == 0:
                    step(done)
    return frozenset(found)


def _drift(base: Base, later: Later, folds: FoldRows, key: Any, content_id: str) -> Drift | None:
    try:
        model = base.models.load(content_id)
        prepared = later.prepared(key.digest, key, model)
        if prepared is None:
            return None
        newer, before = realised_later(model, prepared), folds.stored(key.digest)
        if not len(newer) or not len(before):
            return None
        metric = later.metric(prepared)
        return drift_of(newer.losses(metric), before.losses(metric))
    except OutsideError:
        raise
    except Exception:
        # The edge of one series: newer rows that its model cannot forecast say nothing of its errors.
        return None
