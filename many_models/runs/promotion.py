"""Promoting a version only where it is better: a version in which each series keeps the better model."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from many_models.bundle.store import StoredModel, write_bundle
from many_models.errors import InputError, LookupFailed, Problem
from many_models.registry.records import Flavor, Record, Version
from many_models.registry.store import Registry
from many_models.runs.base_version import (
    KEPT_FOLDERS,
    Base,
    as_schema,
    inherited,
    open_base,
    refuse_other_panel,
    rows_of_keys,
    write_rows,
)
from many_models.runs.contest import CHALLENGER, CHAMPION, Contest, contest
from many_models.runs.directory import RunDirectory
from many_models.runs.progress import Progress
from many_models.runs.registration import LOADER, input_columns, output_columns, registry, requirements
from many_models.runs.series_models import GRANULARITY, follow

if TYPE_CHECKING:
    from many_models.runs.run import Run

LOG = logging.getLogger("many_models.promotion")


@dataclass(frozen=True)
class Promotion:
    """What came of promoting a version where it is better.

    Attributes
    ----------
    name, alias
        What was promoted.
    version
        The version that the alias names now.
    before
        The version that it named; None if none.
    composed
        Whether `version` was made of both.
    contest
        The verdicts; None where the alias named nothing before.
    """

    name: str
    alias: str
    version: int
    before: int | None
    composed: bool
    contest: Contest | None = None

    @property
    def summary(self) -> dict[str, Any]:
        """Counts by winner and reason, and errors relative to the champion's."""
        return {} if self.contest is None else self.contest.summary()

    @property
    def verdicts(self) -> pd.DataFrame:
        """One row per series: which version serves it, and why."""
        frame: pd.DataFrame = pd.DataFrame() if self.contest is None else self.contest.table().to_pandas()
        return frame


def promote(
    name: str,
    version: int,
    *,
    alias: str = "champion",
    only_better: bool = False,
    data: Any = None,
    cutoff: str | int | None = None,
    tracking_uri: str | None = None,
    progress: Progress | None = None,
) -> Promotion:
    """The alias moved to a version, or to one in which each series keeps whichever model was better.

    Parameters
    ----------
    name, version
        The registered model, and the version that is to serve.
    alias
        The alias that moves; the version that it names now is the champion.
    only_better
        Compare series by series, and keep the champion's model wherever the version's is not better
        by more than a standard error.
    data
        A data frame, or the path of a table, with values that came later; without it the fold
        forecasts that both versions left are compared, where they begin at the same cutoffs.
    cutoff
        Nothing later of the data is read.
    tracking_uri
        Default: MLFLOW_TRACKING_URI, else the local SQLite file.

    Raises
    ------
    InputError
        When there is no such version, when the two hold different panels, or when nothing can be compared.
    RegistryError
        When the registry does not answer, or somebody else moved the alias meanwhile.
    """
    source = registry(tracking_uri)
    if not only_better:
        previous = _moved(source, name, version, alias)
        return Promotion(name, alias, version, None if previous is None else previous.version, False)
    challenger = source.version(f"models:/{name}/{version}")
    try:
        champion = source.version(f"models:/{name}@{alias}")
    except LookupFailed:
        _moved(source, name, version, alias)  # there is nothing to be better than
        return Promotion(name, alias, version, None, False)
    if champion.version == version:
        raise InputError(
            Problem(
                f"models:/{name}@{alias}",
                f"version {version} already",
                "another version than the alias names",
                f"many-models versions {name} lists them",
            )
        )
    one, other = open_base(champion.uri, tracking_uri), open_base(challenger.uri, tracking_uri)
    refuse_other_panel(one, other.layout, other.spec, other.uri)
    found = contest(one, other, data, cutoff, progress)
    return _settled(source, name, alias, (champion, challenger), found)


def rollback(name: str, alias: str = "champion", *, tracking_uri: str | None = None) -> tuple[int, int]:
    """The version that an alias named until now, and the one before it, which it names again.

    A second rollback goes one further back: what was rolled back from is forgotten.

    Raises
    ------
    LookupFailed
        When there is no such model or alias, or nothing recorded before it.
    RegistryError
        When the registry does not answer, or somebody else moved the alias meanwhile.
    """
    source = registry(tracking_uri)
    was, now = source.rollback(name, alias)
    follow(source, source.version(f"models:/{name}/{now}"), alias, back=True)
    return was, now


def _moved(
    source: Registry, name: str, version: int, alias: str, instead_of: int | None = None
) -> Version | None:
    """The version that the alias named until now; it names `version` now, and series follow."""
    previous = source.promote(name, version, alias, instead_of=instead_of)
    follow(source, source.version(f"models:/{name}/{version}"), alias)
    return previous


def promote_run(run: Run, version: Version, alias: str, tracking_uri: str | None) -> dict[str, Any]:
    """What came of a run's new version where `registry.promote` is `if_better`: for the run's summary.

    The run's own table is what both versions are judged on, where it can be read again. A version
    that cannot be compared stays the challenger, and says so.
    """
    try:
        beginning = RunDirectory(run.directory).journal.beginning()
        found = promote(
            version.name,
            version.version,
            alias=alias,
            only_better=True,
            data=beginning.path if beginning.source == "path" else None,
            cutoff=beginning.cutoff,
            tracking_uri=tracking_uri,
        )
    except InputError as trouble:
        LOG.warning("version %d of %s was not promoted: %s", version.version, version.name, trouble)
        return {"alias": alias, "version": None, "reason": str(trouble)}
    told = {"alias": alias, "version": found.version, "before": found.before, "composed": found.composed}
    return {**told, "contest": found.summary or None}


def _settled(
    source: Registry, name: str, alias: str, versions: tuple[Version, Version], found: Contest
) -> Promotion:
    """The alias where the verdicts put it: left, moved to the challenger, or to a version made of both."""
    champion, challenger = versions
    kept, won = found.winners(CHAMPION), found.winners(CHALLENGER)
    same = {d for d, (_, verdict) in found.verdicts.items() if verdict.reason == "SAME_MODEL"}
    if won <= same:
        return Promotion(name, alias, champion.version, champion.version, False, found)
    if not kept:
        _moved(source, name, challenger.version, alias, champion.version)
        return Promotion(name, alias, challenger.version, champion.version, False, found)
    with TemporaryDirectory(prefix="many-models-") as scratch:
        made = _registered(source, name, versions, found, Path(scratch))
    _moved(source, name, made.version, alias, champion.version)
    return Promotion(name, alias, made.version, champion.version, True, found)


def _registered(
    source: Registry, name: str, versions: tuple[Version, Version], found: Contest, folder: Path
) -> Version:
    """The version made of both sides of a contest; no alias names it yet."""
    champion, challenger = versions
    layout, spec = found.challenger.layout, found.challenger.spec
    summary = found.summary()
    run_id = uuid.uuid4().hex
    parts = {challenger.version: found.winners(CHALLENGER), champion.version: found.winners(CHAMPION)}
    composed_of = {str(number): len(digests) for number, digests in parts.items()}
    compose(found, folder / "bundle", run_id, composed_of)
    pq.write_table(found.table(), folder / "verdicts.parquet", compression="zstd")
    document = {"series": summary["series"], "composed_of": composed_of, "contest": summary, "run_id": run_id}
    (folder / "summary.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (folder / "spec.yaml").write_text(spec.to_yaml(), encoding="utf-8")
    rows = write_rows(
        {
            folder_name: pa.concat_tables([part.table(folder_name) for part in _parts(found)])
            for folder_name in KEPT_FOLDERS
        },
        folder,
    )
    artifacts = {f"run/{file}": folder / file for file in ("verdicts.parquet", "summary.json", "spec.yaml")}
    numbers = (
        "series",
        "compared_series",
        "compared_stamps",
        "challenger_to_champion",
        "composed_to_champion",
    )
    return source.register(
        name,
        folder / "bundle",
        Flavor(
            input_columns(layout), output_columns(layout, spec), requirements(), LOADER, spec.registry.wheel
        ),
        Record(
            f"{name}-{challenger.version}-only-better",
            {"composed_of": json.dumps(composed_of)},
            {key: float(summary[key]) for key in numbers if summary[key] is not None},
            {**rows, **artifacts},
            {
                "many_models.run_id": run_id,
                "many_models.spec_fingerprint": spec.fingerprint,
                "many_models.composed_of": json.dumps(composed_of),
                GRANULARITY: spec.registry.granularity,
            },
        ),
        experiment=spec.registry.experiment,
    )


@dataclass(frozen=True)
class Part:
    """The series that one version gives to another.

    Attributes
    ----------
    referred
        The pooled models that the models given so far refer to.
    """

    base: Base
    digests: frozenset[bytes]
    referred: set[str] = field(default_factory=set)

    @cached_property
    def index(self) -> pa.Table:
        """Their rows of the index, which say where they come from."""
        index = self.base.index
        mask = pa.array([digest in self.digests for digest in index["digest"].to_pylist()], pa.bool_())
        return inherited(index.filter(mask), self.base.uri)

    def table(self, folder: str) -> pa.Table:
        """Their rows of one folder of a run."""
        return rows_of_keys(self.base.table(folder), self.index.select(list(self.base.key_names)))

    def models(self) -> Iterator[StoredModel]:
        """Their models."""
        names = (name for name in self.index["content_id"].to_pylist() if name is not None)
        return self.base.stored(names, self.referred)

    def pooled(self) -> Iterator[StoredModel]:
        """The pooled models that those refer to, once they were all given."""
        return self.base.pooled(self.referred)


def _parts(found: Contest) -> tuple[Part, Part]:
    return (
        Part(found.challenger, frozenset(found.winners(CHALLENGER))),
        Part(found.champion, frozenset(found.winners(CHAMPION))),
    )


def compose(found: Contest, folder: Path, run_id: str, composed_of: dict[str, int]) -> None:
    """Writes the bundle in which each series is served by the winner; a model of both is stored once."""
    parts = _parts(found)
    schema = found.challenger.index.schema
    index = pa.concat_tables([as_schema(part.index, schema) for part in parts])
    manifest = {**found.challenger.manifest, "run_id": run_id, "composed_of": composed_of}
    models = (model for part in parts for model in part.models())
    pooled = (model for part in parts for model in part.pooled())
    write_bundle(folder, index, models, manifest, pooled)
