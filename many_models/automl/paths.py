"""Simulated paths: whole futures, each step as spread as its quantiles say, each sum as its totals say.

Quantiles tell each step by itself. How steps hang together is told by the quantiles of sums: where
errors last, sums are spread more than those of independent steps. So each step's error is drawn with
the correlation to the sum of the errors before it that makes the next sum as spread as it should be.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from many_models.learners.base import generator
from many_models.panel.series import Floats

STRONGEST = 0.99
"""No step is tied closer to the sum before it."""


def normals(step: Floats, total: Floats, paths: int, seed: int) -> Floats:
    """Normal scores [H, N] of paths: each step's are standard normal, sums have the spread of `total`.

    The same seed gives the same first steps, however many follow.

    Parameters
    ----------
    step, total : [H]
        Spread of each step, and of the sum over the steps up to it, in one unit.
    """
    drawn = generator(seed).standard_normal((len(step), paths))
    scores = np.empty_like(drawn)
    summed, spread = np.zeros(paths), 0.0
    for h in range(len(step)):
        tied = 0.0
        if h and spread > 0 and step[h] > 0:
            tied = (total[h] ** 2 - spread**2 - step[h] ** 2) / (2.0 * step[h] * spread)
            tied = float(np.clip(tied, -STRONGEST, STRONGEST))
        before = summed / spread if spread > 0 else summed
        scores[h] = tied * before + np.sqrt(1.0 - tied**2) * drawn[h]
        summed = summed + step[h] * scores[h]
        spread = float(np.sqrt(spread**2 + step[h] ** 2 + 2.0 * tied * step[h] * spread))
    return scores


def at_scores(scores: Floats, quantiles: Floats, levels: tuple[float, ...]) -> Floats:
    """The values [H, N] that normal scores [H, N] have in a distribution with these quantiles [H, Q].

    Between two levels, and beyond the outermost, values lie on straight lines over the normal scores.
    """
    knots = np.array([NormalDist().inv_cdf(level) for level in levels])
    values = np.empty_like(scores)
    for h, q in enumerate(quantiles):
        z = np.ascontiguousarray(scores[h])
        inside = np.interp(z, knots, q)
        low = q[0] + (z - knots[0]) * (q[1] - q[0]) / (knots[1] - knots[0])
        high = q[-1] + (z - knots[-1]) * (q[-1] - q[-2]) / (knots[-1] - knots[-2])
        values[h] = np.where(z < knots[0], low, np.where(z > knots[-1], high, inside))
    return values
