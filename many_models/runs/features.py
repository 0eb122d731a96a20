"""Which features a run's models have: per model, over all series, and per input column."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from many_models.automl.model import SeriesModel, load_series_model
from many_models.bundle.container import unpack
from many_models.learners.listing import used_features

if TYPE_CHECKING:
    from many_models.runs.models import ModelSet

NAMED = ["candidate", "feature", "family", "source", "parameters"]


def features_of(models: ModelSet, key: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """One row per engineered feature: candidate, family, source columns, parameters, and whether it was kept.

    With a key: those of that series' members, with `weight` (of the member) and `kept`. Without: over all
    series, `series` is how many models have the feature and `kept` the share of them in which it has a say.
    """
    if key:
        forecaster = models.find(key)
        content_id = forecaster.content_id
        rows = [] if content_id is None else list(_rows(models.load(content_id)))
        return pd.DataFrame(rows, columns=[*NAMED, "weight", "kept"])
    have: Counter[tuple[str, ...]] = Counter()
    kept: Counter[tuple[str, ...]] = Counter()
    for row, times in _all_rows(models):
        name = tuple(str(row[column]) for column in NAMED)
        have[name] += times
        kept[name] += times * bool(row["kept"])
    table = [(*name, count, kept[name] / count) for name, count in have.items()]
    frame = pd.DataFrame(table, columns=[*NAMED, "series", "kept"])
    return frame.sort_values(["series", *NAMED], ascending=[False, *[True] * len(NAMED)], ignore_index=True)


def _all_rows(models: ModelSet) -> Iterator[tuple[dict[str, Any], int]]:
    """The rows of every distinct model, and how many series it serves."""
    serves = Counter(c for c in models.index(["content_id"])["content_id"].to_pylist() if c is not None)
    for content_id, state in models.states(serves).items():
        for row in _rows(load_series_model(unpack(state), models.pooled)):
            yield row, serves[content_id]


def _rows(model: SeriesModel) -> Iterator[dict[str, Any]]:
    for member in model.members:
        for used in used_features(member.model, model.history):
            yield {
                "candidate": member.candidate.name,
                "feature": used.feature.name,
                "family": used.feature.family,
                "source": ", ".join(used.feature.sources),
                "parameters": json.dumps(used.feature.parameters, sort_keys=True),
                "weight": member.weight,
                "kept": used.kept,
            }


def columns_of(models: ModelSet, features: pd.DataFrame) -> pd.DataFrame:
    """One row per input column: its purpose and kind, how its holes are filled, and what was derived of it.

    `features` are those of all series (`features_of`). A covariate that nothing was derived of says why.
    """
    spec, layout = models.spec, models.layout
    derived = _derived(features)
    total = len(models)
    rows = [_row(k.name, "series", k.kind, "", {}, "identifies the series") for k in layout.keys]
    rows.append(_row(layout.time.name, "time", layout.time.kind, "", derived.get("time", {}), ""))
    rows.append(
        _row(layout.target, "target", "number", _rule(spec, layout.target), derived.get("target", {}), "")
    )
    for column in layout.covariates:
        found = derived.get(column.name, {})
        rows.append(
            _row(
                column.name,
                column.role,
                column.kind,
                "" if column.role == "static" else _rule(spec, column.name),
                found,
                "" if found else _why_not(column.role, spec),
            )
        )
    for flag, name in (("mask", layout.mask), ("closed", layout.closed)):
        if name is not None:
            rows.append(_row(name, flag, "boolean", "", {}, "tells which rows count"))
    frame = pd.DataFrame(rows)
    frame["series"] = [max(counts, default=0) / total if total else 0.0 for counts in frame.pop("counts")]
    return frame


def _derived(features: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Source column -> feature -> how many series have it."""
    found: dict[str, dict[str, int]] = {}
    for feature, sources, series in zip(
        features["feature"], features["source"], features["series"], strict=True
    ):
        for source in str(sources).split(", "):
            names = found.setdefault(source, {})
            names[feature] = max(names.get(feature, 0), int(series))
    return found


def _row(
    column: str, purpose: str, kind: str, imputation: str, derived: Mapping[str, int], note: str
) -> dict[str, Any]:
    return {
        "column": column,
        "purpose": purpose,
        "kind": kind,
        "imputation": imputation,
        "features": ", ".join(derived),
        "note": note,
        "counts": list(derived.values()),
    }


def _rule(spec: Any, column: str) -> str:
    """How holes of a column are filled, as configured."""
    rule = spec.preparation.impute
    if isinstance(rule, Mapping):
        rule = rule.get(column, "auto")
    return json.dumps(rule) if isinstance(rule, Mapping) else str(rule)


def _why_not(role: str, spec: Any) -> str:
    if role == "static":
        return "constant: not used by a model of one series"
    if role == "past" and spec.features.lags == "off":
        return "features.lags is off"
    return "no model of the run kept weight on a candidate that reads it, or it never varied"
