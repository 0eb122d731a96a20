"""How long the command line takes to answer, and what importing the package loads.

    python benchmarks/startup.py [--quick]

Every figure is a fresh process. The bare interpreter's start is printed beside, since it is in all of them.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import harness
import pandas as pd
from harness import Target

HEAVY = ("pyspark", "mlflow", "torch", "prophet", "statsforecast", "statsmodels", "sklearn", "lightgbm")
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import many_models": [sys.executable, "-c", "import many_models"],
    "import train, open_models": [sys.executable, "-c", "from many_models import train, open_models"],
    "many-models --help": [str(Path(sys.executable).parent / "many-models"), "--help"],
    "many-models train --help": [str(Path(sys.executable).parent / "many-models"), "train", "--help"],
}
HELP_SECONDS = 1.0


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a statement loads in a fresh interpreter."""
    code = f"import sys; {statement}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(answer.stdout.split())


def times(command: list[str], repeats: int) -> list[float]:
    """Wall seconds of a command, run so often after one run that warms the disk."""

    def once() -> None:
        subprocess.run(command, capture_output=True, check=True)

    once()
    return [harness.stopwatch(once)[0] for _ in range(repeats)]


def main(argv: Sequence[str] | None = None) -> None:
    options = harness.arguments(__doc__).parse_args(argv)
    print(harness.headline("Start"), flush=True)
    repeats = 1 if options.quick else 9
    taken = {name: times(command, repeats) for name, command in COMMANDS.items()}
    rows = [(name, statistics.median(t), max(t), repeats) for name, t in taken.items()]
    print(harness.markdown(pd.DataFrame(rows, columns=["command", "median s", "slowest s", "runs"])))
    heavy = sorted(loaded_by("import many_models") & set(HEAVY))
    seconds = statistics.median(taken["many-models --help"])
    harness.finish(
        [
            Target("`many-models --help`", "< 1 s", f"{seconds:.2f} s", seconds < HELP_SECONDS),
            Target(
                "heavy modules loaded by `import many_models`", "none", ", ".join(heavy) or "none", not heavy
            ),
        ],
        options.json,
    )


if __name__ == "__main__":
    main()
