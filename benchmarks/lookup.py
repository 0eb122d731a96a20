"""How long it takes to find one model of a registered version and to forecast with it.

    python benchmarks/lookup.py [--quick] [--sizes N N ...]

Versions of several sizes are trained on generated series with naive learners, registered in a fresh SQLite
store, and opened by name and alias. "First" is the first key after opening, with nothing read yet; then 200
other keys follow, each asked for once, so that nothing is answered from memory.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from harness import Target
from memory import SPEC, panel

from many_models import ForecastSpec, open_models, train

KEYS = 200
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


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument(
        "--sizes", type=int, nargs="+", help="models per version; default 250 2500, with --quick 100 1000"
    )
    options = parser.parse_args(argv)
    sizes = options.sizes or ([100, 1000] if options.quick else [250, 2500])
    print(harness.headline("Look-up in a registered version"), flush=True)
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
