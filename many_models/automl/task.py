"""What a run hands to every group: plain data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from many_models.automl.prior import Prior
from many_models.automl.rows import schemas
from many_models.panel.allowance import Allowance
from many_models.panel.events import EventTable
from many_models.panel.findings import Finding
from many_models.panel.layout import Layout
from many_models.panel.preparation import PrepareSettings
from many_models.spec import ForecastSpec

LEAST_SHARE = 0.1
"""However little a series weighs, it has so much of the time of a usual one, for its cheap candidates."""


@dataclass(frozen=True)
class TrainTask:
    """What every group of a run is trained with: plain data, the same for all.

    Attributes
    ----------
    panel_frequency
        Alias of the panel's usual frequency, for series that are too short to tell.
    panel_end
        Canonical time of the panel's last observation, where the horizon starts there for all.
    seconds
        Wall time for one group, or for each by its size; None is none.
    ends
        Moment (seconds of the system clock) at which the run's budget is spent; None is never.
    share
        Seconds of the run's budget that fall to a usual series; None is no limit.
    usual_weight
        The mean weight of the series, where the configuration names weights: see `share_of`.
    events
        Named dates known ahead; None is none.
    findings
        What was found in the panel, and is so for each of its series.
    """

    spec: ForecastSpec
    layout: Layout
    prior: Prior
    panel_frequency: str | None
    panel_end: int | None
    run_id: str
    seconds: float | Allowance | None
    events: EventTable | None = None
    ends: float | None = None
    share: float | None = None
    usual_weight: float | None = None
    findings: tuple[Finding, ...] = ()

    @cached_property
    def schemas(self) -> dict[str, pa.Schema]:
        """The Arrow schema of every folder."""
        return schemas(self.layout, self.spec.forecast.quantiles)

    @cached_property
    def prepare_settings(self) -> PrepareSettings:
        """What preparation reads of the configuration."""
        return PrepareSettings.of(self.spec, self.panel_frequency, self.panel_end)

    def share_of(self, weight: float) -> float | None:
        """Seconds of the run's budget that fall to a series of this weight (NaN: of a usual one)."""
        if self.share is None or not self.usual_weight or not weight >= 0:
            return self.share
        return self.share * max(LEAST_SHARE, weight / self.usual_weight)

    @property
    def horizon(self) -> int:
        """Steps to forecast."""
        return self.spec.forecast.horizon
