"""What covariates, the siblings' prices and holidays are worth on weekly sales of orange juice.

    python benchmarks/covariates.py [--preset NAME] [--stores N] [--origins N] [--quick]

The same series are forecast with nothing but the target, with their own prices and promotions, with the
other brands' prices in the store besides, with the public holidays of the USA besides, and with both. Past
days are replayed with `cutoff`; what is known ahead is handed in. Weeks begin on their stamp (Thursdays):
a holiday belongs to the stamp up to six days before it.

Scores are WAPE of q0.5. Differences are from the first row over the same series; their errors are a
paired bootstrap over series. A second table is of the weeks that hold a holiday alone.
`--stores` takes so many stores, evenly spaced, with all their brands: siblings stay together.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import holidays
import pandas as pd
import scores
from accuracy import Options, trained
from harness import Target

from many_models import ForecastSpec

KEYS, TIME, TARGET = ["Store", "Brand"], "WeekStarting", "Quantity"
CONTEXT = {"by": ["Store"], "columns": ["Price"]}
USA = {"country": "US"}
REFERENCE = "own prices and promotions"


@dataclass(frozen=True)
class Way:
    """One row of the table: settings at dotted paths, and whether known columns are handed in."""

    settings: dict[str, Any]
    known: bool = True


ALONE: dict[str, Any] = {"data.context": None, "features.holidays": None}
WAYS = {
    REFERENCE: Way(ALONE),
    "no covariates": Way(ALONE | {"data.known": []}, known=False),
    "and the siblings' prices": Way(ALONE | {"data.context": CONTEXT}),
    "and holidays": Way(ALONE | {"features.holidays": USA}),
    "and both": Way({"data.context": CONTEXT, "features.holidays": USA}),
}


def answers(frame: pd.DataFrame, options: Options, way: Way) -> pd.DataFrame:
    """The forecasts of every origin."""
    spec = ForecastSpec.from_yaml(harness.CONFIGS / "orange_juice.yaml").replace(way.settings)
    horizon, found = spec.forecast.horizon, []
    for cutoff in scores.cutoffs(frame[TIME], horizon, options.origins, step=8):
        run = trained(frame, spec, options, cutoff)
        ahead = frame[(frame[TIME] > cutoff) & (frame[TIME] <= cutoff + pd.Timedelta(weeks=horizon))]
        future = ahead[[*KEYS, TIME, *(spec.data.known if way.known else ())]]
        found.append(run.models().forecast(future=future).assign(cutoff=cutoff))
    return pd.concat(found, ignore_index=True)


def with_holiday(times: pd.Series) -> pd.Series:
    """Whether each week, which begins on its stamp, holds a public holiday of the USA."""
    years = range(times.min().year, times.max().year + 2)
    days = pd.to_datetime(sorted(holidays.country_holidays("US", years=years)))
    begun = times.drop_duplicates()
    held = [bool(((days >= week) & (days < week + pd.Timedelta(weeks=1))).any()) for week in begun]
    return times.isin(begun[held])


def table_of(found: dict[str, pd.DataFrame], frame: pd.DataFrame) -> pd.DataFrame:
    """WAPE of each way, and how much it differs from the first."""
    return scores.wape_table(found, frame, KEYS, TIME, TARGET).reset_index()


def some_stores(frame: pd.DataFrame, count: int | None) -> pd.DataFrame:
    """The rows of so many stores, evenly spaced, all their brands; None is all of them."""
    return harness.some_series(frame, ["Store"], count)


def main(argv: Sequence[str] | None = None) -> None:
    parser = harness.arguments(__doc__)
    parser.add_argument("--preset", default="fast", choices=["fast", "balanced", "best"])
    parser.add_argument("--stores", type=int, help="so many stores, evenly spaced; default is all")
    parser.add_argument("--origins", type=int, default=5)
    options = parser.parse_args(argv)
    stores, origins = (4, 2) if options.quick else (options.stores, options.origins)
    frame = some_stores(scores.orange_juice(), stores)
    title = f"What covariates are worth on orange juice, preset {options.preset}"
    print(harness.headline(title), flush=True)
    with harness.scratch() as folder:
        asked = Options(options.preset, None, origins, Path(folder))
        found = {name: answers(frame, asked, way) for name, way in WAYS.items()}
    every = table_of(found, frame)
    print(f"All weeks, {origins} origins:\n\n{harness.markdown(every)}", flush=True)
    held = {name: answer[with_holiday(answer[TIME])] for name, answer in found.items()}
    print(f"Weeks with a holiday:\n\n{harness.markdown(table_of(held, frame))}", flush=True)
    lines = [
        Target(
            f"WAPE, {name}",
            "–",
            f"{row['wape']:.3f}, {row['difference']:+.3f} ± {row['difference_se']:.3f}",
            None,
        )
        for name, (_, row) in zip(WAYS, every.iterrows(), strict=True)
    ]
    harness.finish(lines, options.json)


if __name__ == "__main__":
    main()
