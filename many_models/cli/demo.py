"""The demo: a real panel from a table to a registry of forecasters, and back. Needs no download.

    python -m many_models.cli.demo

One forecaster per country on the fertility rates that ship with statsmodels.
"""

from __future__ import annotations

import shutil
import sys

import typer

from many_models.cli.main import guarded

COUNTRY = "Namibia"


def demo(
    preset: str = typer.Option("balanced", help="fast, balanced or best."),
    limit: int | None = typer.Option(None, help="Only the first N countries."),
) -> int:
    """Train, print the leaderboard, register, look one model up, forecast with it."""
    from many_models import ForecastSpec, open_models, train
    from many_models.cli import output
    from many_models.datasets import fertility
    from many_models.runs.progress import Progress
    from many_models.runs.registration import reach_registry

    _say_what_is_missing()
    frame = fertility()
    output.line(f"1. A table: {len(frame):,} rows of country, year, fertility.")
    output.line(frame[frame["country"] == COUNTRY].dropna().tail(3).to_string(index=False))
    spec = ForecastSpec.from_dict(
        {
            "name": "fertility",
            "data": {"time": "year", "target": "fertility", "series": ["country"], "frequency": "YS"},
            "forecast": {"horizon": 5},
            "learners": {"preset": preset},
            "registry": {"name": "fertility"},
        }
    )
    reach_registry(spec)
    output.line("\n2. One AutoML forecaster per country (local engine).")
    run = train(frame, spec, limit=limit, progress=Progress())
    output.print_summary(run.summary)
    output.line("\n3. The leaderboard over all countries (relative score: below 1 beats the ensemble).")
    board = run.leaderboard().head(8)
    output.print_table(list(board.columns), board.to_numpy().tolist())
    version = run.register("fertility")
    output.line(f"4. Registered: models:/{version.name}/{version.version}, alias {version.alias}.")
    models = open_models("models:/fertility@champion")
    country = COUNTRY if limit is None else str(models.keys()["country"].iloc[0])
    output.line(f"\n5. Found again: models.find(country={country!r})")
    found = models.find(country=country)
    output.print_record(found.record, as_json=False)
    output.line("\n6. Its forecast.")
    output.line(
        found.forecast(horizon=5)[["year", "mean", "q0.1", "q0.5", "q0.9"]].round(3).to_string(index=False)
    )
    output.line(f"\nThe run: {run.directory}\nIts report: {run.report()}")
    return 0


def _say_what_is_missing() -> None:
    from many_models.cli import output

    if shutil.which("java") is None:
        output.message("no Java here: the local engine needs none; Spark would")


def main() -> None:
    """Run the demo and exit with its code."""
    sys.exit(guarded(lambda: typer.main.get_command(_app)(standalone_mode=False)))


_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_app.command()(demo)

if __name__ == "__main__":
    main()
