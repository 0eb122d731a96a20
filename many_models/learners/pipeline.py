"""What happens to the columns between the feature plan and a regression: scaling, then reduction.

Fitted on the training rows with NumPy; the definitions are scikit-learn's (StandardScaler,
MinMaxScaler, MaxAbsScaler, RobustScaler, Normalizer, PCA, TruncatedSVD), which tests hold it to.
Every row is transformed by itself, so that a forecast of 4 steps is the start of one of 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from many_models.errors import DamagedError
from many_models.features.settings import FeatureSettings
from many_models.learners.base import Candidate, Parameters, State
from many_models.learners.linear import weighted_rows
from many_models.panel.series import Floats

SCALINGS = ("none", "standard", "minmax", "maxabs", "robust", "normalizer")

SEARCHED = ("scaling", "reduction", "difference")
"""Settings that a candidate's parameters may state in place of the configuration."""

NO_DIRECTION = 1e-10
"""A component whose singular value is this share of the largest is rounding."""


def stated_pipeline(settings: FeatureSettings, by_distance: bool) -> tuple[str, tuple[str, float] | None]:
    """Scaling and reduction as the settings state them; `by_distance` for a learner that measures rows.

    `auto` is none: trees need no scale, and linear models bring columns to one size by themselves.
    Where distances count or columns are reduced it is standard, or the largest column would be all.
    """
    scaling, reduction = settings.scaling, settings.reduction
    if scaling == "auto":
        scaling = "standard" if reduction or by_distance else "none"
    return scaling, reduction


def other_pipelines(
    settings: FeatureSettings, by_distance: bool, trees: bool
) -> tuple[tuple[str, Parameters], ...]:
    """Suffix of the name and parameters of each further pipeline that the settings ask to be tried.

    `trees`: a column is cut at the same rows whatever its scale, so that only what mixes columns is tried.
    """
    found: list[tuple[str, Parameters]] = []
    tried = {stated_pipeline(settings, by_distance)}
    for scaling, reduction in settings.pipelines:
        way = stated_pipeline(replace(settings, scaling=scaling, reduction=reduction), by_distance)
        if way in tried or (trees and reduction is None and scaling != "normalizer"):
            continue
        tried.add(way)
        words = [scaling] if scaling != "auto" else []
        words += [f"{reduction[0]}{reduction[1]:g}"] if reduction else []
        stated = {"scaling": scaling, "reduction": None if reduction is None else list(reduction)}
        found.append(("_".join(words) or "auto", stated))
    return tuple(found)


def with_pipelines(
    candidates: Sequence[Candidate], settings: FeatureSettings, by_distance: bool, trees: bool
) -> tuple[Candidate, ...]:
    """The candidates, each followed by itself with every further pipeline."""
    others = other_pipelines(settings, by_distance, trees)
    found: list[Candidate] = []
    for usual in candidates:
        found.append(usual)
        for suffix, stated in others:
            name, parameters = f"{usual.name}_{suffix}", {**usual.parameters, **stated}
            found.append(replace(usual, name=name, parameters=parameters, usual=usual.name))
    return tuple(found)


def with_stated(settings: FeatureSettings, parameters: Parameters) -> FeatureSettings:
    """The settings, with what a candidate's parameters state in their place."""
    return replace(settings, **{name: parameters[name] for name in SEARCHED if name in parameters})


@dataclass(frozen=True)
class Scaling:
    """Columns, or rows, brought to one size.

    Attributes
    ----------
    method
        One of `SCALINGS`; none leaves columns alone, normalizer gives each row length 1.
    centre, size : [c]
        Taken off each column, and what it is divided by then; empty where nothing is.
    """

    method: str
    centre: Floats
    size: Floats

    @classmethod
    def fit(cls, x: Floats, method: str) -> Self:
        """The scaling of training rows [n, c]; a constant column keeps its size."""
        if method in ("none", "normalizer"):
            return cls(method, np.empty(0), np.empty(0))
        centre = np.zeros(x.shape[1])
        if method == "standard":
            centre = x.mean(axis=0)
            size = np.sqrt(((x - centre) ** 2).mean(axis=0))
            # Rounding leaves a constant column a little spread.
            size[size <= 1e-10 * np.abs(centre)] = 0.0
        elif method == "minmax":
            centre = x.min(axis=0)
            size = x.max(axis=0) - centre
        elif method == "maxabs":
            size = np.abs(x).max(axis=0)
        else:
            low, centre, high = np.percentile(x, [25.0, 50.0, 75.0], axis=0)
            size = high - low
        return cls(method, centre, np.where(size < 10 * np.finfo(np.float64).eps, 1.0, size))

    def transform(self, x: Floats) -> Floats:
        """Scaled rows [n, c]."""
        if self.method == "none":
            return x
        if self.method == "normalizer":
            length = np.sqrt(np.ascontiguousarray(x * x).sum(axis=1))
            return np.asarray(x / np.where(length > 0.0, length, 1.0)[:, None])
        return (x - self.centre) / self.size


@dataclass(frozen=True)
class Reduction:
    """Columns replaced by a few sums of them.

    Attributes
    ----------
    centre : [c]
        Taken off each column first: its mean for pca, 0 for svd.
    components : [k, c]
        Weights of the columns; no rows of weights where columns stay as they are.
    """

    centre: Floats
    components: Floats

    @classmethod
    def fit(cls, x: Floats, method: str, components: float) -> Self:
        """The first components of training rows [n, c], or as many as explain a share of their squares."""
        centre = x.mean(axis=0) if method == "pca" else np.zeros(x.shape[1])
        _, values, directions = np.linalg.svd(x - centre, full_matrices=False)
        rank = max(1, int((values > NO_DIRECTION * values[0]).sum()))
        if components < 1:
            explained = np.cumsum(values**2) / max(float((values**2).sum()), 1e-300)
            components = int(np.searchsorted(explained, components, side="right")) + 1
        kept = directions[: min(int(components), rank)]
        largest = np.abs(kept).argmax(axis=1)
        return cls(centre, kept * np.sign(kept[np.arange(len(kept)), largest])[:, None])

    def transform(self, x: Floats) -> Floats:
        """The components of rows [n, c] -> [n, k]."""
        centred = x - self.centre
        return np.stack([weighted_rows(centred, weights) for weights in self.components], axis=1)


@dataclass(frozen=True)
class Pipeline:
    """Scaling, then a reduction where there is one."""

    scaling: Scaling
    reduction: Reduction | None

    @classmethod
    def fit(cls, x: Floats, scaling: str, reduction: tuple[str, float] | None) -> Self:
        """The pipeline for training rows [n, c]; without columns there is nothing to reduce."""
        fitted = Scaling.fit(x, scaling)
        if reduction is None or x.shape[1] == 0:
            return cls(fitted, None)
        return cls(fitted, Reduction.fit(fitted.transform(x), *reduction))

    def transform(self, x: Floats) -> Floats:
        """What a regression reads of rows [n, c] -> [n, k]."""
        scaled = self.scaling.transform(x)
        return scaled if self.reduction is None else self.reduction.transform(scaled)

    def columns(self, count: int) -> int:
        """How many columns come out where `count` go in."""
        return count if self.reduction is None else len(self.reduction.components)

    def state(self) -> State:
        """The pipeline as plain data."""
        state: dict[str, Any] = {
            "scaling": self.scaling.method,
            "centre": self.scaling.centre,
            "size": self.scaling.size,
        }
        if self.reduction is not None:
            state["reduction"] = {"centre": self.reduction.centre, "components": self.reduction.components}
        return state

    @classmethod
    def load(cls, state: State, count: int) -> Self:
        """The pipeline that gave this state, for `count` columns.

        Raises
        ------
        DamagedError
            Where its arrays are of another size.
        """
        scaling = Scaling(str(state["scaling"]), np.asarray(state["centre"]), np.asarray(state["size"]))
        reduction = None
        if "reduction" in state:
            stored = state["reduction"]
            reduction = Reduction(np.asarray(stored["centre"]), np.asarray(stored["components"]))
        wide = 0 if scaling.method in ("none", "normalizer") else count
        fits = scaling.method in SCALINGS and scaling.centre.shape == scaling.size.shape == (wide,)
        if reduction is not None:
            fits = fits and reduction.centre.shape == (count,)
            fits = fits and reduction.components.ndim == 2 and reduction.components.shape[1] == count
        if not fits:
            raise DamagedError("the scaling of a regression model does not fit its columns")
        return cls(scaling, reduction)
