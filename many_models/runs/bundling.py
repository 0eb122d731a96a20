"""From a run directory to a bundle: the index of its series, and its models sorted by key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from many_models.bundle.store import Bundle, write_bundle
from many_models.panel.keys import SeriesKey
from many_models.runs.directory import RunDirectory


def index_of_run(directory: RunDirectory) -> pa.Table:
    """The index of a run: `results/` with the digest of each key."""
    results = directory.read("results")
    names = tuple(k.name for k in directory.layout().keys)
    columns = [results[name].to_pylist() for name in names]
    # without key columns there is one series, whose key is empty
    keys = zip(*columns, strict=True) if names else [()] * results.num_rows
    digests = [SeriesKey(names, values).digest for values in keys]
    return results.append_column("digest", pa.array(digests, pa.binary(16)))


def models_of_run(directory: RunDirectory) -> Iterator[tuple[str, str, int, bytes]]:
    """The distinct models of a run: content id, kind, format version, state."""
    for file in sorted((directory.path / "models").glob("part-*.parquet")):
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(batch_size=1000):
                yield from zip(*(batch.column(name).to_pylist() for name in _MODEL), strict=True)


_MODEL = ("content_id", "kind", "format_version", "state")


def bundle_of_run(directory: RunDirectory, folder: Path) -> Bundle:
    """The bundle of a run, written to `folder`."""
    return write_bundle(folder, index_of_run(directory), models_of_run(directory), manifest_of(directory))


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
