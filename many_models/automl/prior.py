"""What a single series cannot know, as data: how candidates usually do, and how errors grow.

A `Prior` is shipped with the package (`prior.json`, made by `benchmarks/make_prior.py`) or
learned elsewhere and handed to the group function, which stays pure: `(frame, spec, prior) -> rows`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib import resources
from statistics import NormalDist
from typing import Any

import numpy as np

from many_models.learners.base import Candidate
from many_models.panel.series import Floats

SPARSE_KIND = "sparse"


@dataclass(frozen=True)
class CandidatePrior:
    """How one candidate usually does, in log fold error relative to the median candidate.

    Attributes
    ----------
    mean
        Average over series (μ).
    fold_variance
        Variance between the folds of one series (σ²).
    series_variance
        Variance between series, the noise of the folds taken off (τ²).
    """

    mean: float
    fold_variance: float
    series_variance: float


@dataclass(frozen=True)
class ErrorShape:
    """Quantiles of standardised residuals by lead, for single steps and for sums over the first steps.

    Attributes
    ----------
    pool_error
        Typical mean absolute residual of the combination, in units of the recency-weighted scale.
    levels : [L]
        Quantile levels of the tables, increasing.
    leads : [S]
        Leads (steps after the cutoff) of the rows, increasing; between them rows are interpolated.
    steps : [S, L]
        Quantiles of (actual - median) / scale at each lead.
    totals : [S, L]
        Quantiles of (sum of actuals - sum of means) / scale over the first leads.
    """

    pool_error: float
    levels: tuple[float, ...]
    leads: tuple[int, ...]
    steps: tuple[tuple[float, ...], ...]
    totals: tuple[tuple[float, ...], ...]

    def step_quantiles(self, leads: Floats, levels: tuple[float, ...]) -> Floats:
        """Standardised residual quantiles [len(leads), len(levels)], not crossing."""
        # Beyond the last lead errors are taken to grow as those of a random walk do.
        return self._read(self.steps, leads, levels, 0.5)

    def total_quantiles(self, leads: Floats, levels: tuple[float, ...]) -> Floats:
        """Standardised quantiles of the error of the sum over the first leads [len(leads), len(levels)]."""
        # Sums of errors grow with the root of their number where errors are independent, and with
        # its 1.5th power where they are a random walk: halfway between.
        return self._read(self.totals, leads, levels, 1.0)

    def _read(
        self, table: tuple[tuple[float, ...], ...], leads: Floats, levels: tuple[float, ...], power: float
    ) -> Floats:
        wanted = np.asarray(leads, dtype=np.float64)
        knots = np.asarray(self.leads, dtype=np.float64)
        by_level = _at_levels(table, self.levels, levels)
        inside = np.clip(wanted, knots[0], knots[-1])
        read = np.stack([np.interp(inside, knots, by_level[:, j]) for j in range(len(levels))], axis=1)
        growth = np.maximum(wanted / knots[-1], 1.0) ** power
        return np.maximum.accumulate(read * growth[:, None], axis=1)


@lru_cache(maxsize=64)
def _at_levels(
    table: tuple[tuple[float, ...], ...], have: tuple[float, ...], want: tuple[float, ...]
) -> Floats:
    """The table at other levels [len(table), len(want)]; the same for every series of a run."""
    # Between two levels it is read on the normal scale, where quantiles are nearly straight.
    probit = NormalDist().inv_cdf
    knots, wanted = (np.array([probit(q) for q in levels]) for levels in (have, want))
    read = np.stack([_line(wanted, knots, np.array(row)) for row in table])
    read.flags.writeable = False
    return read


def _line(x: Floats, knots: Floats, values: Floats) -> Floats:
    """Linear interpolation [len(x)] that goes straight on beyond both ends."""
    inside = np.interp(x, knots, values)
    low = values[0] + (x - knots[0]) * (values[1] - values[0]) / (knots[1] - knots[0])
    high = values[-1] + (x - knots[-1]) * (values[-1] - values[-2]) / (knots[-1] - knots[-2])
    return np.where(x < knots[0], low, np.where(x > knots[-1], high, inside))


@dataclass(frozen=True)
class KindPrior:
    """The prior of one class of frequency (yearly, monthly, …).

    Attributes
    ----------
    shape
        How errors grow with the lead.
    candidates
        What is known of them by name.
    pipelines
        Of regressions that differ in scaling and reduction alone, those that a pilot kept, by the name of
        the usual one.
    shares
        What of every forecast belongs to these pooled candidates, the others having none; None where
        nobody knows, and they are weighed as any candidate. See `automl.shares`.
    """

    shape: ErrorShape
    candidates: Mapping[str, CandidatePrior] = field(default_factory=dict)
    pipelines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shares: Mapping[str, float] | None = None

    def with_pipelines(self, candidates: Sequence[Candidate]) -> KindPrior:
        """The same, where an unknown pipeline of a known regression is believed to do as the usual one."""
        alike = {
            c.name: self.candidates[c.usual]
            for c in candidates
            if c.name not in self.candidates and c.usual in self.candidates
        }
        return replace(self, candidates={**self.candidates, **alike}) if alike else self


@dataclass(frozen=True)
class Prior:
    """Priors by class of frequency; `other` serves the classes that have none of their own.

    `sparse` serves intermittent and lumpy demand of every frequency: other candidates win there.
    """

    kinds: Mapping[str, KindPrior]
    origin: str

    def kind(self, name: str, sparse: bool = False) -> KindPrior:
        """The prior of a class of frequency, or of sparse demand."""
        own = self.kinds.get(SPARSE_KIND) if sparse else None
        return own or self.kinds.get(name) or self.kinds["other"]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data, read back by `from_dict`."""
        return {
            "origin": self.origin,
            "kinds": {
                name: {
                    "shape": {
                        "pool_error": kind.shape.pool_error,
                        "levels": list(kind.shape.levels),
                        "leads": list(kind.shape.leads),
                        "steps": [list(row) for row in kind.shape.steps],
                        "totals": [list(row) for row in kind.shape.totals],
                    },
                    "candidates": {
                        label: [c.mean, c.fold_variance, c.series_variance]
                        for label, c in sorted(kind.candidates.items())
                    },
                    "pipelines": {usual: list(kept) for usual, kept in sorted(kind.pipelines.items())},
                    "shares": None if kind.shares is None else dict(sorted(kind.shares.items())),
                }
                for name, kind in sorted(self.kinds.items())
            },
        }

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Prior:
        """The prior that gave this `to_dict()`."""
        kinds = {}
        for name, entry in tree["kinds"].items():
            shape = entry["shape"]
            kinds[name] = KindPrior(
                ErrorShape(
                    float(shape["pool_error"]),
                    tuple(shape["levels"]),
                    tuple(shape["leads"]),
                    tuple(tuple(row) for row in shape["steps"]),
                    tuple(tuple(row) for row in shape["totals"]),
                ),
                {label: CandidatePrior(*values) for label, values in entry["candidates"].items()},
                {usual: tuple(kept) for usual, kept in entry.get("pipelines", {}).items()},
                None if (shares := entry.get("shares")) is None else dict(shares),
            )
        return cls(kinds, str(tree["origin"]))


@cache
def shipped_prior() -> Prior:
    """The prior that comes with the package."""
    text = resources.files("many_models.automl").joinpath("prior.json").read_text(encoding="utf-8")
    return Prior.from_dict(json.loads(text))
