"""What share of every forecast belongs to the models of a group, whatever a series' own folds say.

A handful of folds of one series cannot tell that forecasts which err differently are better together: the
pooled candidates get little more weight than any other, and get it where they were lucky. Over a sample of
the group's series it shows. The share is chosen once for all of them, step by step, as ensembles are selected
(Caruana et al. 2004), on forecasts whose actual values no fit and no weight has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from many_models.panel.series import Floats

STEP, MOST = 0.05, 0.5
"""Shares grow by so much at a time, up to so much together: the rest is each series' own choice."""

FEWEST = 20
"""From fewer series nothing is learned."""


@dataclass(frozen=True)
class Shown:
    """What one series shows: its combination out of fold, and the pooled candidates beside it.

    Attributes
    ----------
    combination : [F, H]
        Of the series' own candidates, with weights that know nothing of the fold.
    pooled
        The forecasts of each pooled candidate [F, H].
    actual : [F, H]
        NaN where not observed.
    scale
        What its errors are told in.
    squared
        Whether squared errors judge.
    """

    combination: Floats
    pooled: Mapping[str, Floats]
    actual: Floats
    scale: float
    squared: bool

    def error(self, shares: Mapping[str, float]) -> float:
        """Its error with these shares, in its scale; NaN where nothing was observed, or the scale is zero."""
        mixed = (1.0 - sum(shares.values())) * self.combination
        for name, share in shares.items():
            mixed = mixed + share * self.pooled[name]
        off = (mixed - self.actual)[np.isfinite(self.actual)]
        if not off.size or not self.scale > 0:
            return float("nan")
        return float(np.sqrt((off**2).mean()) if self.squared else np.abs(off).mean()) / self.scale


def pooled_shares(shown: Sequence[Shown]) -> dict[str, float]:
    """The share of each pooled candidate that these series are better off with; none without a gain.

    Candidates are those that every series has. What is found is shrunk by how sure the gain is: with t
    standard errors, to t² / (t² + 1) of it.
    """
    shown = [one for one in shown if np.isfinite(one.error({}))]
    names = sorted(set[str].intersection(*(set(one.pooled) for one in shown))) if shown else []
    if len(shown) < FEWEST or not names:
        return {}
    alone: Floats = np.array([one.error({}) for one in shown])

    def losses(shares: Mapping[str, float]) -> Floats:
        found: Floats = np.array([one.error(shares) for one in shown]) - alone
        return found

    shares = _climbed(names, lambda tried: float(losses(tried).mean()))
    if not shares:
        return {}
    found = losses(shares)
    noise = float(found.std(ddof=1)) ** 2 / len(found)
    trust = float(found.mean()) ** 2 / (float(found.mean()) ** 2 + noise)
    return {name: float(f"{share * trust:.4g}") for name, share in sorted(shares.items())}


def _climbed(names: Sequence[str], loss: Callable[[Mapping[str, float]], float]) -> dict[str, float]:
    """Shares that grow one step at a time, each where it helps most, until none does."""
    shares: dict[str, float] = {}
    reached = 0.0
    for _ in range(round(MOST / STEP)):
        tried = [{**shares, name: shares.get(name, 0.0) + STEP} for name in names]
        found = [loss(one) for one in tried]
        best = int(np.argmin(found))
        if not found[best] < reached - 1e-12:
            break
        shares, reached = tried[best], found[best]
    return shares
