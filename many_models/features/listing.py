"""What a feature plan engineered: every column with its family, its source and its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from many_models.features.base import Family
from many_models.features.context import Context
from many_models.features.covariates import Covariates
from many_models.features.group import Group
from many_models.features.lags import Lags
from many_models.features.past import Past
from many_models.features.plan import FeaturePlan
from many_models.features.recent import Recent
from many_models.features.stl import Stl
from many_models.features.windows import Windows

TARGET, TIME, KEY = "target", "time", "series"
FROM_TARGET: tuple[type, ...] = (Lags, Windows, Stl, Recent)


@dataclass(frozen=True)
class Feature:
    """One engineered column.

    Attributes
    ----------
    name, family
        As the model knows it.
    sources
        The input columns that it is made of; `target`, `time`, and `series` for which series it is.
    parameters
        What tells it from the others of its family, as JSON values.
    """

    name: str
    family: str
    sources: tuple[str, ...]
    parameters: dict[str, Any] = field(default_factory=dict)


def listed(plan: FeaturePlan, known: Sequence[str], past: Sequence[str]) -> tuple[Feature, ...]:
    """Every column of a plan, in order.

    Parameters
    ----------
    known, past
        The names of the covariates that the plan was decided on.
    """
    return tuple(
        Feature(name, family.name, sources, parameters)
        for family in plan.families
        for name, (sources, parameters) in zip(family.columns, _made_of(family, known, past), strict=True)
    )


def _made_of(
    family: Family, known: Sequence[str], past: Sequence[str]
) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    """Sources and parameters of each column of a family."""
    if isinstance(family, Covariates):
        return _covariates(family, known)
    if isinstance(family, Context):
        return [
            (tuple(dict.fromkeys((known[c.own], known[c.other]))), {"relation": c.relation})
            for c in family.singles
        ]
    if isinstance(family, Past):
        return [
            (
                (past[family.sources[r.column].source],),
                {"lag": r.lag, "width": r.width, "published_after": r.delay},
            )
            for r in family.readings
        ]
    if isinstance(family, Group):
        return [((KEY if name in family.member else TARGET,), {}) for name in family.columns]
    if isinstance(family, Lags):
        return [((TARGET,), {"lag": lag}) for lag in family.lags]
    # A family of the user's may say what it reads; others read the calendar.
    default = TARGET if isinstance(family, FROM_TARGET) else TIME
    source = str(getattr(family, "reads", default))
    return [((source,), {}) for _ in family.columns]


def _covariates(family: Covariates, known: Sequence[str]) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    singles = [((known[c.source],), {"transform": c.transform}) for c in family.singles]
    products = [((*singles[a][0], *singles[b][0]), {"transform": "product"}) for a, b in family.products]
    derived = [(singles[d.base][0], {"relation": d.relation, "steps": d.steps}) for d in family.derived]
    return [*singles, *products, *derived]
