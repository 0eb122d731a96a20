"""What preparation reads of the configuration, and of the panel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from many_models.errors import Problem
from many_models.panel.grid import Grid
from many_models.panel.imputation import AUTO, Fill, fill_problem
from many_models.panel.layout import Layout
from many_models.panel.regular import (
    Rule,
    rule_problem,
)


@dataclass(frozen=True)
class PrepareSettings:
    """What preparation reads of the configuration, and of the panel.

    Attributes
    ----------
    frequency, label, absent
        As in `data`.
    impute
        As in `preparation`.
    aggregate, aggregate_columns
        The rule of the target, and those of covariates by column.
    outliers
        Whether they are reported.
    cap
        Whether they are capped in training parts.
    pad
        Horizon and gap of the fold that a short history is padded for; None: it is left as it is.
    was_missing
        Whether covariates get a flag that says where they were missing.
    panel_frequency
        Alias of the panel's usual frequency; None is not known.
    panel_end
        Canonical time of the panel's last observation, where the horizon starts there for all.
    grid
        The grid to put the rows on, whatever they look like (that of a fitted model).
    """

    frequency: str = "auto"
    label: Literal["start", "end"] = "start"
    absent: Literal["auto", "unknown", "zero"] = "auto"
    impute: str | Mapping[str, Any] = "auto"
    aggregate: Rule = "sum"
    outliers: bool = True
    panel_frequency: str | None = None
    panel_end: int | None = None
    grid: Grid | None = None
    aggregate_columns: Mapping[str, str] = field(default_factory=dict)
    cap: bool = False
    pad: tuple[int, int] | None = None
    was_missing: bool = False

    @classmethod
    def of(
        cls,
        spec: Any,
        panel_frequency: str | None = None,
        panel_end: int | None = None,
        grid: Grid | None = None,
    ) -> PrepareSettings:
        """The settings of a `ForecastSpec`; `panel_end` counts only where the origin is the panel's.

        Rows for the grid of a fitted model are never padded: its history stands before them.
        """
        data, preparation, forecast = spec.data, spec.preparation, spec.forecast
        rules = preparation.aggregate.columns
        pads = preparation.short == "pad" and spec.validation.folds != 0 and grid is None
        return cls(
            data.frequency,
            data.label,
            data.absent,
            preparation.impute,
            preparation.aggregate.target,
            preparation.outliers != "off",
            panel_frequency,
            panel_end if forecast.origin == "panel" else None,
            grid,
            {} if rules == "auto" else rules,
            preparation.outliers == "cap",
            (forecast.horizon, forecast.gap) if pads else None,
            spec.features.was_missing,
        )

    def fill(self, column: str, target: bool = False) -> Fill:
        """How holes of a column are filled; a single method is the target's."""
        if isinstance(self.impute, str):
            return Fill.of(self.impute) if target else AUTO
        return Fill.of(self.impute.get(column, "auto"))

    def problems(self, layout: Layout) -> list[Problem]:
        """What these settings ask of columns that are not of the kind for it."""
        target = fill_problem(self.fill(layout.target, target=True), layout.target, "number")
        found = [target]
        for column in layout.covariates:
            found.append(fill_problem(self.fill(column.name), column.name, column.kind))
            if column.name in self.aggregate_columns:
                found.append(rule_problem(column, self.aggregate_columns[column.name]))
        return [problem for problem in found if problem is not None]
