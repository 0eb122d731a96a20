"""The whole configuration as one frozen, closed tree."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field

from many_models.errors import Problem, SpecError
from many_models.spec import yaml_text
from many_models.spec.allowed import Json, did_you_mean, integer, shown, text
from many_models.spec.data_sections import DataSpec, PreparationSpec
from many_models.spec.feature_sections import EventsSpec, FeaturesSpec
from many_models.spec.part import Part, examine
from many_models.spec.sections import (
    BudgetSpec,
    EngineSpec,
    EnsembleSpec,
    ForecastSettings,
    LearnersSpec,
    PoolingSpec,
    RegistrySpec,
    ValidationSpec,
)

DECIDES_NOTHING = ("name", "engine", "registry", "budget")
"""Sections that change where, when and under which name, but no forecast."""

LARGEST_SEED = 2**63 - 1


class ForecastSpec(Part):
    """Everything that decides a run: the data and its meaning, the forecast, the models, where it is done."""

    name: Annotated[
        str,
        text(
            "letters, digits, dot, _ and -, at most 100, starting with a letter or digit",
            lambda value: re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value) is not None,
        ),
    ] = Field(default="forecast", description="The name of the run; its directory is called after it.")
    data: DataSpec = Field(description="Where the table is, and what its columns mean.")
    forecast: ForecastSettings = Field(
        description="What is forecast: how far, and how the uncertainty is told."
    )
    preparation: PreparationSpec = Field(
        default=PreparationSpec(),
        description="What is done to a series before anything is fitted; each change is a finding.",
    )
    features: FeaturesSpec = Field(
        default=FeaturesSpec(),
        description="What the regression learners and ARX see besides the covariates.",
    )
    events: EventsSpec | None = Field(
        default=None,
        description="Named dates known ahead (promotions, openings, strikes); null = none. A mapping with "
        "`path`.",
    )
    pooling: PoolingSpec = Field(
        default=PoolingSpec(), description="How series that share a group learn together."
    )
    learners: LearnersSpec = Field(default=LearnersSpec(), description="Which learners compete.")
    validation: ValidationSpec = Field(
        default=ValidationSpec(),
        description="How candidates are judged: rolling origins on the series' own past.",
    )
    ensemble: EnsembleSpec = Field(default=EnsembleSpec(), description="How candidates become one forecast.")
    budget: BudgetSpec = Field(
        default=BudgetSpec(),
        description="What a run may cost before it gives up on a series, or on itself.",
    )
    engine: EngineSpec = Field(
        default=EngineSpec(), description="Where the work is done; it changes no forecast."
    )
    registry: RegistrySpec = Field(
        default=RegistrySpec(),
        description="Where the finished models are registered; it changes no forecast.",
    )
    seed: Annotated[int, integer(0, LARGEST_SEED, "a whole number, 0 to 2^63 - 1")] = Field(
        default=0,
        description="The start of everything random; each series derives its own from it and its key.",
    )

    @classmethod
    def conflicts(cls, values: Mapping[str, Any]) -> Iterable[Problem]:
        """Columns that features or preparation are asked of but that have not the role for it."""
        features, data = _settings(values.get("features")), _settings(values.get("data"))
        yield from _prepared_columns(_settings(values.get("preparation")), data)
        yield from _country_column(_settings(features.get("holidays")).get("column"), data)
        yield from _event_columns(_settings(values.get("events")).get("by", ()), data)
        yield from _derived_columns(_settings(features.get("covariates")), data)
        weights = _settings(values.get("validation")).get("weights")
        yield from _weight_column(weights, data)
        if weights is None and _settings(values.get("pooling")).get("weights") == "column":
            allowed = "rows or series where validation.weights names no column"
            yield Problem("pooling.weights", "column", allowed, "name the column in validation.weights")

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """The configuration in a YAML file.

        A relative `data.path` or `events.path` that exists beside the file is taken from there; any other
        is left as it is.

        Raises
        ------
        SpecError
            With every problem: an unreadable file, text that is no YAML, keys and values that are wrong.
        """
        tree = yaml_text.read(path)
        return cls.from_dict(_with_paths_beside(tree, Path(path)), where=str(path))

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any], where: str = "") -> Self:
        """The configuration in a tree of mappings; `where` names its source in front of each problem.

        Raises
        ------
        SpecError
            With every problem found.
        """
        values, problems = examine(cls, tree, "")
        if problems:
            raise SpecError([_in_source(problem, where) for problem in problems])
        return cls(**values)

    def to_yaml(self) -> str:
        """Every setting as YAML text; `from_yaml` of it gives an equal configuration."""
        return yaml_text.write(self.to_dict())

    @property
    def fingerprint(self) -> str:
        """16 hex characters that differ when anything that decides a forecast differs.

        Not counted: `name`, `data.path`, `data.table`, `events.path`, `engine`, `registry`, `budget`; nor a
        setting at its default, so that a release which adds a setting changes no fingerprint.
        """
        tree = {key: value for key, value in self.changed().items() if key not in DECIDES_NOTHING}
        data = {key: value for key, value in tree["data"].items() if key not in ("path", "table")}
        data["group"] = "auto" if self.data.group == "auto" else list(self.data.group_columns)
        if "events" in tree:
            tree["events"] = {key: value for key, value in tree["events"].items() if key != "path"}
        text = json.dumps({**tree, "data": data}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.blake2b(text.encode("utf-8"), digest_size=8).hexdigest()

    def replace(self, overrides: Mapping[str, Any]) -> Self:
        """The configuration with other values at dotted paths, such as ``{"engine.kind": "spark"}``.

        A new `data.path` takes the place of `data.table`, and the other way round.

        Raises
        ------
        SpecError
            With every problem found, a path that does not exist among them.
        """
        tree = self.to_dict()
        for here, other in (("data.path", "data.table"), ("data.table", "data.path")):
            if here in overrides and other not in overrides and overrides[here] is not None:
                _put(tree, other, None)
        problems = [problem for dotted, value in overrides.items() if (problem := _put(tree, dotted, value))]
        if problems:
            raise SpecError(problems)
        return self.from_dict(tree)


def _settings(part: Any) -> Mapping[str, Any]:
    """The settings of a part as `examine` hands it over: a part, its values, or nothing."""
    if isinstance(part, Part):
        return {name: getattr(part, name) for name in type(part).model_fields}
    return part if isinstance(part, Mapping) else {}


def _country_column(column: str | None, data: Mapping[str, Any]) -> Iterable[Problem]:
    """A column of countries that is read with no role, or with one that may change inside a series."""
    if column is None or "series" not in data:
        return
    columns = (*data["series"], *data.get("static", ()))
    if column not in columns:
        yield Problem(
            "features.holidays.column",
            shown(column),
            f"a column of data.static or data.series: {', '.join(columns) or 'they name none'}",
            did_you_mean(column, columns) or "list it under data.static",
        )


def _event_columns(by: Sequence[str], data: Mapping[str, Any]) -> Iterable[Problem]:
    """Columns that events are told for but that do not identify a series."""
    for column in by if "series" in data else ():
        if column not in data["series"]:
            allowed = f"columns of data.series: {', '.join(data['series']) or 'it names none'}"
            yield Problem("events.by", shown(column), allowed, did_you_mean(column, data["series"]))


def _prepared_columns(preparation: Mapping[str, Any], data: Mapping[str, Any]) -> Iterable[Problem]:
    """Columns that preparation has a rule for but that it never fills or rolls up."""
    if "target" not in data:
        return
    covariates = (*data.get("known", ()), *data.get("past", ()))
    rules = _settings(preparation.get("aggregate")).get("columns")
    for setting, asked, columns in (
        ("impute", preparation.get("impute"), (data["target"], *covariates)),
        ("aggregate.columns", rules, covariates),
    ):
        for column in asked if isinstance(asked, dict) else ():
            if column not in columns:
                what = (
                    "data.known or data.past"
                    if columns is covariates
                    else "the target, data.known or data.past"
                )
                allowed = f"a column of {what}: {', '.join(columns) or 'they name none'}"
                advice = did_you_mean(column, columns) or "list it under data.known or data.past"
                yield Problem(f"preparation.{setting}", shown(column), allowed, advice)


def _derived_columns(covariates: Mapping[str, Any], data: Mapping[str, Any]) -> Iterable[Problem]:
    """Columns from which something is to be derived but that are no known covariates."""
    if "known" not in data:
        return
    asked: list[tuple[str, str]] = []
    for name in ("lags", "leads", "differences", "relative"):
        steps = covariates.get(name)
        asked += [(name, column) for column in (steps if isinstance(steps, dict) else ())]
    pairs = covariates.get("interactions", ())
    if not isinstance(pairs, str):
        asked += [("interactions", column) for pair in pairs for column in pair]
    for name, column in asked:
        if column not in data["known"]:
            allowed = f"columns of data.known: {', '.join(data['known']) or 'it names none'}"
            advice = did_you_mean(column, data["known"]) or "list it under data.known"
            yield Problem(f"features.covariates.{name}", shown(column), allowed, advice)


def _weight_column(column: str | None, data: Mapping[str, Any]) -> Iterable[Problem]:
    """A column of weights that is read with no role, or with one that may change inside a series."""
    static = data.get("static", ())
    if column is not None and "series" in data and column not in static:
        allowed = f"a column of data.static: {', '.join(static) or 'it names none'}"
        advice = did_you_mean(column, static) or "list it under data.static"
        yield Problem("validation.weights", shown(column), allowed, advice)


def _put(tree: Json, dotted: str, value: Any) -> Problem | None:
    """Set the value at a dotted path in place; what else is wrong with it is found by `examine`."""
    *parents, last = dotted.split(".")
    branch = tree
    for position, parent in enumerate(parents):
        below = branch.get(parent)
        if below is None:
            below = branch[parent] = {}
        elif isinstance(below, Part):
            below = branch[parent] = below.to_dict()
        elif not isinstance(below, dict):
            here = ".".join(parents[: position + 1])
            return Problem(dotted, "a key below a value", f"{here} holds no further keys", f"set {here}")
        branch = below
    branch[last] = value
    return None


def _in_source(problem: Problem, where: str) -> Problem:
    if not where:
        return problem
    return Problem(f"{where}: {problem.where}", problem.found, problem.allowed, problem.action)


def _with_paths_beside(tree: Any, file: Path) -> Any:
    """The tree with relative paths of tables taken from the folder of their file, where they exist there."""
    for section in ("data", "events"):
        part = tree.get(section) if isinstance(tree, dict) else None
        relative = part.get("path") if isinstance(part, dict) else None
        if not isinstance(relative, str) or not relative or "://" in relative or "\0" in relative:
            continue
        beside = file.parent / relative
        try:
            exists = not Path(relative).is_absolute() and beside.exists()
        except OSError:  # a name too long for the file system
            exists = False
        if exists and isinstance(part, dict):
            tree = {**tree, section: {**part, "path": str(beside)}}
    return tree
