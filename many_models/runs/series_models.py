"""One registered model per series (`registry.granularity: series`), beside the version that holds them all.

The version of the set stays what is looked up by key. Each series gets a model of its own as well: a bundle
of one series, which whatever serves MLflow models opens by name. They lie among the artifacts of the set's
run, so that a series costs two or three small requests and no run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from many_models.bundle.store import Bundle, write_bundle
from many_models.panel.keys import SeriesKey
from many_models.registry.store import Part
from many_models.runs.bundling import stored_models

_LONGEST = 80
"""Characters of the values of a key in a name; the digest behind them tells longer ones apart."""


def series_model_name(name: str, key: SeriesKey) -> str:
    """The registered name of one series' own model: `sales__2_tropicana__` and the digest of its key.

    The digest makes it unique; the whole key is the tag `many_models.key` of its versions.
    """
    shown = re.sub(r"[^0-9A-Za-z]+", "_", " ".join(map(str, key.values))).strip("_")[:_LONGEST]
    return "__".join(part for part in (name, shown, key.digest.hex()) if part)


def single_bundles(bundle: Bundle, name: str, folder: Path) -> Iterator[Part]:
    """Each series that has a model as a part of the version `name`: a bundle of its own below `folder`."""
    index = bundle.index()
    names = [entry["name"] for entry in bundle.manifest["layout"]["keys"]]
    for row, content_id in enumerate(index["content_id"].to_pylist()):
        if content_id is None:
            continue
        one = index.slice(row, 1)
        key = SeriesKey(tuple(names), tuple(one[column][0].as_py() for column in names))
        place = folder / key.digest.hex()
        models, shared = stored_models(bundle, [content_id])
        write_bundle(place, one, models, bundle.manifest, shared)
        yield Part(series_model_name(name, key), place, {"many_models.key": key.canonical})
