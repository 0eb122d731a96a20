"""One registered model per series (`registry.granularity: series`), beside the version that holds them all.

The version of the set stays what is looked up by key. Each series gets a model of its own as well: a bundle
of one series, which whatever serves MLflow models opens by name. They lie among the artifacts of the set's
run, so that a series costs some requests and no run.

The set leads: where its alias moves, the same alias of each series moves to the version that holds the very
model by which the set serves the series now. A version that was composed of others registers nothing: the
models that it is made of have versions already.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from many_models.bundle.store import Bundle, write_bundle
from many_models.errors import OutsideError
from many_models.panel.keys import SeriesKey
from many_models.registry.records import Part, Version
from many_models.registry.store import Registry
from many_models.runs.bundling import stored_models

LOG = logging.getLogger("many_models.promotion")

GRANULARITY = "many_models.granularity"
"""The tag of a version of a set whose series have models of their own."""

_KEY, _CONTENT = "many_models.key", "many_models.content_id"
"""Tags of the versions of a series' own model: the whole key, and the name of the stored model."""

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
    names = _key_names(bundle)
    for row, content_id in enumerate(index["content_id"].to_pylist()):
        if content_id is None:
            continue
        one = index.slice(row, 1)
        key = SeriesKey(names, tuple(one[column][0].as_py() for column in names))
        place = folder / key.digest.hex()
        models, shared = stored_models(bundle, [content_id])
        write_bundle(place, one, models, bundle.manifest, shared)
        yield Part(series_model_name(name, key), place, {_KEY: key.canonical, _CONTENT: content_id})


def follow(source: Registry, version: Version, alias: str, *, back: bool = False) -> int:
    """How many series' own aliases were moved, so that each names the model by which a version serves it.

    0 where the version is of a run that registered its set alone. A series whose model has no version
    of its own (it was registered with its set alone) is left where it is, and counted in a warning.

    Raises
    ------
    OutsideError
        When the registry refuses or does not answer, with the command that moves the rest.
    """
    if version.tags.get(GRANULARITY) != "series":
        return 0
    try:
        bundle = Bundle.open(source.files(version.uri))
        names = _key_names(bundle)
        rows = bundle.index([*names, "content_id"]).to_pylist()
        moved, left = source.move_parts(
            (
                (series_model_name(version.name, SeriesKey(names, tuple(row[n] for n in names))), content_id)
                for row in rows
                if (content_id := row["content_id"]) is not None
            ),
            _CONTENT,
            alias,
            back=back,
        )
    except OutsideError as trouble:
        again = f"many-models promote {version.name} {version.version} --alias {alias}"
        raise type(trouble)(trouble.message, again) from trouble
    if left:
        LOG.warning(
            "%d series of %s have no model of their own that holds what serves them there: their alias %s "
            "was not moved",
            left,
            version.uri,
            alias,
        )
    return moved


def _key_names(bundle: Bundle) -> tuple[str, ...]:
    return tuple(entry["name"] for entry in bundle.manifest["layout"]["keys"])
