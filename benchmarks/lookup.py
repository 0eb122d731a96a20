"""How long it takes to find one model of a registered version and to forecast with it.

    python benchmarks/lookup.py [--quick] [--sizes N N ...] [--generated N N]

Versions of several sizes are trained on generated series with naive learners, registered in a fresh SQLite
store, and opened by name and alias. "First" is the first key after opening, with nothing read yet; then 200
other keys follow, each asked for once, so that nothing is answered from memory. With `--generated` versions
are made of generated models of the usual size instead (1.5 kB each, no training), so that there may be a
hundred thousand of them. CPU is processor time of this process: what a busy machine takes away is not in it.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from harness import Target
from memory import SPEC, panel

from many_models import ForecastSpec, open_models, train
from many_models.bundle import Bundle, content_id, write_bundle
from many_models.bundle.store import StoredModel
from many_models.panel.keys import SeriesKey
from many_models.registry import Column, Flavor, Registry

KEYS = 200
FIRSTS = 25
"""So many keys are each the first one of a version that was just opened; the median is told."""
FLAT = 3.0
"""How many times the smaller version's look-up the larger one's may cost and be called flat."""


def measured(series: int, folder: Path) -> dict[str, Any]:
    """Seconds of training, registration, opening, look-ups and forecasts of one version."""
    spec = ForecastSpec.from_dict(SPEC).replace({"data.known": []})
    frame = panel(series, 60).drop(columns="price")
    train_seconds, run = harness.stopwatch(lambda: train(frame, spec, run_dir=folder / f"run-{series}"))
    uri = f"sqlite:///{folder}/{series}.db"
    name = f"panel_{series}"
    register_seconds, _ = harness.stopwatch(lambda: run.register(name, "champion", tracking_uri=uri))
    opened, models = harness.stopwatch(lambda: open_models(f"models:/{name}@champion", tracking_uri=uri))
    items = frame["item"].unique()
    some = list(np.random.default_rng(0).permutation(items)[: KEYS + 1])
    first_find, forecaster = harness.stopwatch(lambda: models.find(item=some[0]))
    first_forecast, _ = harness.stopwatch(forecaster.forecast)
    finds, forecasts = [], []
    for item in some[1:]:
        seconds, forecaster = harness.stopwatch(lambda item=item: models.find(item=item))
        finds.append(seconds)
        forecasts.append(harness.stopwatch(forecaster.forecast)[0])
    every, answer = harness.stopwatch(models.forecast)
    return {
        "models": series,
        "train s": train_seconds,
        "register s": register_seconds,
        "open s": opened,
        "first find ms": 1000 * first_find,
        "find ms": 1000 * statistics.median(finds),
        "slowest find ms": 1000 * max(finds),
        "first forecast ms": 1000 * first_forecast,
        "forecast ms": 1000 * statistics.median(forecasts),
        "forecast all s": every,
        "rows": len(answer),
    }


STATE_BYTES = 1_500
MANY_KEYS = 1_000


def generated(count: int, folder: Path) -> dict[str, Any]:
    """Seconds of writing, registering and looking up a version of so many generated models."""
    draw = np.random.default_rng(count)
    index, models = made_up(count, draw)
    uri, name = f"sqlite:///{folder}/generated-{count}.db", f"generated_{count}"
    registry = Registry(uri)
    registry.reach()

    def register() -> None:
        write_bundle(folder / f"bundle-{count}", index, models, {})
        registry.register(name, folder / f"bundle-{count}", FLAVOR, alias="champion")

    register_seconds, _ = harness.stopwatch(register)
    digests = index["digest"].to_pylist()
    some = [digests[i] for i in draw.permutation(count)[: KEYS + 1]]
    files = registry.files(f"models:/{name}@champion")

    def look_up(bundle: Bundle, digest: bytes) -> bytes:
        row = bundle.find(digest)
        assert row is not None
        return bundle.model(row["content_id"])

    first = [watched(lambda d=digest: look_up(Bundle.open(files), d)) for digest in some[:FIRSTS]]
    bundle = Bundle.open(files)
    each = [watched(lambda d=digest: look_up(bundle, d)) for digest in some[1:]]
    wanted = [digests[i] for i in draw.permutation(count)[:MANY_KEYS]]

    def look_up_many() -> int:
        opened = Bundle.open(files)
        rows = opened.rows(wanted)
        return sum(len(state) for _, state in opened.models(rows["content_id"].to_pylist()))

    many, _ = harness.stopwatch(look_up_many)
    return {
        "generated models": count,
        "register s": register_seconds,
        "first key ms": statistics.median(wall for wall, _ in first),
        "first key CPU ms": statistics.median(cpu for _, cpu in first),
        "key ms": statistics.median(wall for wall, _ in each),
        "key CPU ms": statistics.median(cpu for _, cpu in each),
        "slowest key ms": max(each)[0],
        f"{MANY_KEYS:,} keys s": many,
    }


def watched(work: Callable[[], Any]) -> tuple[float, float]:
    """Milliseconds of a clock and of this process that some work took."""
    began = time.process_time()
    seconds, _ = harness.stopwatch(work)
    return 1000 * seconds, 1000 * (time.process_time() - began)


def made_up(count: int, draw: np.random.Generator) -> tuple[pa.Table, Iterator[StoredModel]]:
    """An index of so many series, and their models one after the other."""
    names = [f"item-{i:06d}" for i in range(count)]
    digests = [SeriesKey(("item",), (name,)).digest for name in names]
    noise = draw.bytes(STATE_BYTES + count)
    states = [i.to_bytes(8, "big") + noise[i : i + STATE_BYTES] for i in range(count)]
    ids = [content_id(state) for state in states]
    index = pa.table(
        {
            "item": names,
            "status": ["TRAINED"] * count,
            "learner": ["ensemble"] * count,
            "score": draw.random(count),
            "content_id": ids,
            "digest": pa.array(digests, pa.binary(16)),
        }
    )
    return index, ((name, "generated", 1, state) for name, state in zip(ids, states, strict=True))


FLAVOR = Flavor([Column("item", "string")], [Column("mean", "double")], ["many-models"])
LIMITS = {"register s": 60.0, "first key ms": 50.0, "key ms": 2.0, f"{MANY_KEYS:,} keys s": 1.0}
RATIO = 1.3


def targets_of(table: pd.DataFrame) -> list[Target]:
    """The targets of the largest version, and its ratio to the smallest."""
    small, large = table.iloc[0], table.iloc[-1]
    lines = [
        Target(
            f"{what}, {large.iloc[0]:,.0f} models", f"≤ {limit:g}", f"{large[what]:.3g}", large[what] <= limit
        )
        for what, limit in LIMITS.items()
    ]
    # of the first key: a small version lies in memory whole after a few look-ups
    ratio = float(large["first key CPU ms"] / small["first key CPU ms"])
    what = f"first key, CPU: {large.iloc[0]:,.0f} models against {small.iloc[0]:,.0f}"
    return [*lines, Target(what, f"≤ {RATIO:g} times", f"{ratio:.2f} times", ratio <= RATIO)]


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument(
        "--generated", type=int, nargs="+", help="generated models per version, for instance 1000 100000"
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", help="models per version; default 250 2500, with --quick 100 1000"
    )
    options = parser.parse_args(argv)
    sizes = options.sizes or ([100, 1000] if options.quick else [250, 2500])
    print(harness.headline("Look-up in a registered version"), flush=True)
    if options.generated:
        with harness.scratch() as folder:
            table = pd.DataFrame([generated(count, folder) for count in options.generated])
        print(harness.markdown(table))
        harness.finish(targets_of(table), options.json)
        return
    with harness.scratch() as folder:
        table = pd.DataFrame([measured(series, folder) for series in sizes])
    print(harness.markdown(table))
    small, large = table.iloc[0], table.iloc[-1]
    lines = []
    for what in ("first find ms", "find ms", "first forecast ms", "forecast ms"):
        allowed = FLAT * max(float(small[what]), 1.0)
        value = float(large[what])
        lines.append(
            Target(
                f"{what.removesuffix(' ms')}: {small['models']:,.0f} → {large['models']:,.0f} models",
                f"flat (≤ {allowed:.1f} ms)",
                f"{small[what]:.2g} → {value:.2g} ms",
                value <= allowed,
            )
        )
    harness.finish(lines, options.json)


if __name__ == "__main__":
    main()
