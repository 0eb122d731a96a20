"""From a run directory to a bundle: the index of its series, and its models sorted by key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from many_models.automl.shared import POOLED_KIND, POOLED_VERSION, shared_names
from many_models.bundle.container import unpack
from many_models.bundle.store import Bundle, StoredModel, write_bundle
from many_models.errors import DamagedError
from many_models.panel.keys import SeriesKey
from many_models.runs.directory import RunDirectory


def index_of_run(directory: RunDirectory) -> pa.Table:
    """The index of a run: `results/` with lineage, findings and the digest of the key of each series."""
    names = tuple(k.name for k in directory.layout().keys)
    results = directory.read("results")
    told = findings_of(directory, names)
    columns = [results[name].to_pylist() for name in names]
    keys = zip(*columns, strict=True) if names else [()] * results.num_rows
    results = results.append_column("findings", pa.array([told.get(key) for key in keys], pa.string()))
    return indexed(results, directory.read("lineage"), names)


def findings_of(directory: RunDirectory, names: tuple[str, ...]) -> dict[tuple[Any, ...], str]:
    """What was done or alerted about each series, by the values of its key: `GAPS_FILLED 3, NEAR_ZERO 1`."""
    table = directory.read("findings", [*names, "code", "state", "count"])
    table = table.filter(pc.not_equal(table["state"], "passed"))
    columns = (table[name].to_pylist() for name in (*names, "code", "count"))
    told: dict[tuple[Any, ...], dict[str, int]] = {}
    for *key, code, count in zip(*columns, strict=True):
        codes = told.setdefault(tuple(key), {})
        codes[code] = codes.get(code, 0) + count
    return {key: ", ".join(f"{c} {n}" for c, n in sorted(codes.items())) for key, codes in told.items()}


def indexed(results: pa.Table, lineage: pa.Table, names: tuple[str, ...]) -> pa.Table:
    """The index of series: their results, their lineage, and the digests of their keys."""
    digests = digests_of(results, names)
    places = {digest: row for row, digest in enumerate(digests_of(lineage, names))}
    try:
        rows = lineage.take(pa.array([places[digest] for digest in digests], pa.int64()))
    except KeyError:
        raise DamagedError("a run is damaged: a series in results/ has no row in lineage/") from None
    for name in rows.column_names:
        if name not in names:
            results = results.append_column(name, rows[name])
    return results.append_column("digest", pa.array(digests, pa.binary(16)))


def digests_of(table: pa.Table, names: tuple[str, ...]) -> list[bytes]:
    """The digest of the key of each row."""
    columns = [table[name].to_pylist() for name in names]
    # without key columns there is one series, whose key is empty
    keys = zip(*columns, strict=True) if names else [()] * table.num_rows
    return [SeriesKey(names, values).digest for values in keys]


def models_of_run(directory: RunDirectory) -> Iterator[StoredModel]:
    """The distinct models of a run: content id, kind, format version, state."""
    for file in sorted((directory.path / "models").glob("part-*.parquet")):
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(batch_size=1000):
                yield from zip(*(batch.column(name).to_pylist() for name in _MODEL), strict=True)


def pooled_of_run(directory: RunDirectory) -> Iterator[StoredModel]:
    """The pooled models of a run that its series refer to; others served no series."""
    kinds = directory.read("models", ["kind"])["kind"]
    if POOLED_KIND not in pc.unique(kinds).to_pylist():
        return
    wanted: set[str] = set()
    for _, kind, _, state in models_of_run(directory):
        if kind != POOLED_KIND:
            wanted.update(shared_names(unpack(state)))
    for stored in models_of_run(directory):
        if stored[1] == POOLED_KIND and stored[0] in wanted:
            yield stored


_MODEL = ("content_id", "kind", "format_version", "state")


def bundle_of_run(directory: RunDirectory, folder: Path) -> Bundle:
    """The bundle of a run, written to `folder`."""
    return write_bundle(
        folder,
        index_of_run(directory),
        models_of_run(directory),
        manifest_of(directory),
        pooled_of_run(directory),
    )


def stored_models(bundle: Bundle, content_ids: list[str]) -> tuple[list[StoredModel], list[StoredModel]]:
    """The stored models with these names, and the pooled models that they refer to."""
    models: list[StoredModel] = []
    referred: set[str] = set()
    for name, state in bundle.models(content_ids):
        document = unpack(state)
        referred.update(shared_names(document))
        models.append((name, str(document.get("kind")), int(document.get("format_version", 1)), state))
    pooled = [(name, POOLED_KIND, POOLED_VERSION, bundle.shared(name)) for name in sorted(referred)]
    return models, pooled


def manifest_of(directory: RunDirectory) -> dict[str, Any]:
    """What a bundle says of its run: layout, configuration, prior, lineage."""
    summary = directory.summary()
    return {
        "layout": directory.layout().to_dict(),
        "spec": json.dumps(directory.spec().to_dict(), ensure_ascii=False),
        "prior": directory.prior().to_dict(),
        "run_id": summary["run_id"],
        "spec_fingerprint": summary["spec_fingerprint"],
        "frequency": summary["frequency"],
        "versions": summary["versions"],
    }
