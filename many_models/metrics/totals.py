"""Errors of many series as one number: by series, by value, by volume, by the user's weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from many_models.metrics.arrays import Floats

TOTALLED = ("mase", "rmsse", "wape", "pinball", "winkler", "crps", "coverage")
"""The errors of a series that are summed up over series."""

_SQUARED = ("rmsse",)
"""Of these, values are summed up by their squares."""

_KINDS = ("macro", "micro", "volume", "weighted")


@dataclass
class Totals:
    """Sums that grow as series pass by, so that no error of a series is kept.

    `macro` is the mean over series, `micro` the error of all values as if they were of one series,
    `volume` the mean with the sum of the absolute actuals as weights, `weighted` that with the
    weights of the configuration.
    """

    above: dict[tuple[str, str], float] = field(default_factory=dict)
    below: dict[tuple[str, str], float] = field(default_factory=dict)

    def add(
        self,
        errors: Mapping[str, Floats],
        scored: Floats,
        volume: Floats,
        weight: Floats | None = None,
        share: Floats | None = None,
    ) -> None:
        """Adds some rows [N] of series.

        Parameters
        ----------
        errors : name -> [N]
            Those of `TOTALLED`; NaN is left out.
        scored, volume : [N]
            How many values were scored, and the sum of their absolute values.
        weight : [N]
            Of the configuration; NaN is left out.
        share : [N]
            How much a row counts in `macro`, where a series has several; default 1.
        """
        weights = {
            "macro": np.ones(len(scored)) if share is None else share,
            "micro": np.asarray(scored, dtype=np.float64),
            "volume": np.asarray(volume, dtype=np.float64),
        }
        if weight is not None:
            weights["weighted"] = weight if share is None else weight * share
        for name in TOTALLED:
            values = np.asarray(errors[name], dtype=np.float64)
            for kind, by in weights.items():
                # The sum of absolute errors over the sum of absolute actuals is one of all values already.
                by = weights["volume"] if (name, kind) == ("wape", "micro") else by
                told = values**2 if name in _SQUARED and kind == "micro" else values
                good = np.isfinite(told) & np.isfinite(by)
                place = (name, kind)
                self.above[place] = self.above.get(place, 0.0) + float(told[good] @ by[good])
                self.below[place] = self.below.get(place, 0.0) + float(by[good].sum())

    def table(self) -> dict[str, dict[str, float | None]]:
        """Each error by each way to sum it up; None where nothing could be scored."""
        found: dict[str, dict[str, float | None]] = {}
        for name in TOTALLED:
            row: dict[str, float | None] = {}
            for kind in _KINDS:
                if (name, kind) not in self.below:
                    continue
                below = self.below[name, kind]
                value = self.above[name, kind] / below if below > 0 else None
                if value is not None and name in _SQUARED and kind == "micro":
                    value = float(np.sqrt(value))
                row[kind] = None if value is None else float(f"{value:.6g}")
            found[name] = row
        return found
