"""One large group: how busy its stages keep the cores, and what memory a worker needs.

    python benchmarks/groups.py [--quick] [--series N] [--rows N] [--workers N] [--preset NAME] [--pool]

Generated monthly series in one group (`data.group: []`) are trained by the local engine with the learners of
the preset, pooled ones among them. While a stage runs, the children are looked at ten times a second: the
share is that of children that run or wait for a core (state R), of as many as there are workers, so
that other work on the machine takes nothing from it; the memory is the most that one child has held (VmHWM).
`--pool` ends with the stage `pool`, of which alone the size of the group decides.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from harness import Target
from processes import descendants, is_running, peak_megabytes

from many_models import ForecastSpec, train
from many_models.automl.pooled import Pooled
from many_models.automl.pooling import read_pool
from many_models.automl.prior import shipped_prior
from many_models.engines.local import LocalEngine
from many_models.panel.fingerprint import MARK_BYTES
from many_models.runs.pool_shares import pooled_by, pooling_jobs
from many_models.runs.progress import Progress
from many_models.runs.train import open_source, train_task

BUSY, MEMORY_GB = 0.8, 3.0
LOOK_SECONDS = 0.1


def panel(series: int, rows: int) -> pd.DataFrame:
    """Monthly series with a season in common, levels and trends of their own."""
    draw = np.random.default_rng(0)
    t = np.arange(rows)
    level = np.exp(draw.normal(4, 1, series))[:, None]
    wave = 1 + draw.uniform(0, 0.4, series)[:, None] * np.sin(t * 2 * np.pi / 12)
    y = (
        level
        * wave
        * (1 + draw.normal(0, 0.004, series)[:, None] * t)
        * draw.lognormal(0, 0.1, (series, rows))
    )
    return pd.DataFrame(
        {
            "item": np.repeat([f"item-{i:05d}" for i in range(series)], rows),
            "month": np.tile(pd.date_range("2018-01-01", periods=rows, freq="MS"), series),
            "sold": y.ravel().round(2),
        }
    )


class Watch(Progress):
    """Looks at the children of this process while a stage runs."""

    def __init__(self, workers: int) -> None:
        super().__init__(visible=False)
        self.workers = workers
        self.busy: dict[str, list[float]] = defaultdict(list)
        self.seconds: dict[str, float] = defaultdict(float)
        self.peak: dict[str, float] = defaultdict(float)

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """Nothing is shown; the stage is watched until it ends."""
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(what, over), daemon=True)
        started = time.perf_counter()
        watcher.start()
        try:
            yield lambda done: None
        finally:
            over.set()
            watcher.join()
            self.seconds[what] += time.perf_counter() - started

    def _watch(self, stage: str, over: threading.Event) -> None:
        while not over.wait(LOOK_SECONDS):
            found = descendants(os.getpid())
            self.busy[stage].append(min(sum(map(is_running, found)), self.workers) / self.workers)
            self.peak[stage] = max(self.peak[stage], *(peak_megabytes(pid) / 1024 for pid in found), 0.0)

    def share(self, stages: tuple[str, ...]) -> float:
        """The mean share of the workers that were busy in these stages."""
        return float(np.mean([one for stage in stages for one in self.busy[stage]]))


def pool(frame: pd.DataFrame, spec: ForecastSpec, folder: Path, watch: Watch) -> str:
    """What became of the group in the stage `pool`, which alone is run."""
    engine = LocalEngine(watch.workers)
    try:
        opened = open_source(engine, frame, spec, folder, None, None)
        task = train_task(opened, spec, shipped_prior(), None)
        with (
            watch.bar("pooling", 1),
            closing(pooled_by(opened.panel, pooling_jobs(task, 1, watch.workers), [0])) as batches,
        ):
            (answer,) = (answer for batch in batches for answer in batch)
    finally:
        engine.close()
    outcomes, models = read_pool(answer.payload[MARK_BYTES:])
    told = [Pooled.from_bytes(one) for one in outcomes["pooled"].to_pylist()]
    codes = {found.code for one in told for found in one.findings}
    fitted = min(len(one.trials) for one in told)
    size = len(answer.payload) / 2**20
    return (
        f"{fitted} candidates for every series, {models.num_rows} models, {size:.1f} MiB "
        f"for {len(told)} series, findings {sorted(codes) or 'none'}"
    )


def main() -> None:
    """Trains the group, prints the stages and the targets."""
    parser = harness.arguments(__doc__)
    parser.add_argument("--series", type=int, default=5000)
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--pool", action="store_true", help="the stage pool alone")
    given = parser.parse_args()
    series = 60 if given.quick else given.series
    spec = ForecastSpec.from_dict(
        {
            "name": "groups",
            "data": {"time": "month", "target": "sold", "series": ["item"], "group": [], "frequency": "MS"},
            "forecast": {"horizon": 6},
            "learners": {"preset": given.preset},
            "engine": {"workers": given.workers},
        }
    )
    print(harness.headline("One large group"))
    watch = Watch(given.workers)
    with harness.scratch() as folder:
        frame = panel(series, given.rows)
        if given.pool:
            status = pool(frame, spec, folder, watch)
        else:
            run = train(frame, spec, run_dir=folder / "run", progress=watch)
            status = run.results()["status"].value_counts().to_dict()
    stages = tuple(watch.seconds)
    table = pd.DataFrame(
        [(s, watch.seconds[s], watch.share((s,)), watch.peak[s]) for s in stages],
        columns=["stage", "seconds", "busy", "peak GiB"],
    )
    print(f"{series} series x {given.rows} values in one group, preset {given.preset}: {status}")
    print(harness.markdown(table, 2))
    share, peak = watch.share(stages), max(watch.peak.values())
    targets = [
        Target("cores kept busy by the stages of one group", f">= {BUSY:.0%}", f"{share:.0%}", share >= BUSY),
        Target("peak memory of a worker", f"< {MEMORY_GB:g} GB", f"{peak:.2f} GiB", peak * 1.074 < MEMORY_GB),
    ]
    harness.finish(targets, given.json)


if __name__ == "__main__":
    main()
