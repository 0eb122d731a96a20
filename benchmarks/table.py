"""What `make bench` runs: every benchmark, each in a process of its own, and one table of their targets.

    python benchmarks/table.py [--full] [--only SCRIPT ...] [--into FILE]

Without `--full` the others run with `--quick`: small samples, a look in some ten minutes. What they print
goes to stderr as it comes; the table goes to stdout at the end. With `--into docs/benchmarks.md` the table
and everything that was printed also replace what stands between the two marks in that file. A benchmark
whose data or whose Java is missing is a line of its own that says so.
"""

from __future__ import annotations

import harness  # isort: skip  (one thread for BLAS, before NumPy is loaded)

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import scores
from harness import Target

SCRIPTS = ("startup", "speed", "features", "lookup", "memory", "engines", "accuracy")
NEED_DATA = ("speed", "features", "engines", "accuracy")
HERE = Path(__file__).parent
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def absent(script: str) -> str | None:
    """Why a benchmark cannot run here; None where it can."""
    if script in NEED_DATA:
        try:
            scores.data_folder()
        except FileNotFoundError as trouble:
            return str(trouble)
    if script == "engines" and shutil.which("java") is None:
        return "no Java: on Debian apt-get install openjdk-17-jre-headless"
    return None


def extra(script: str) -> list[str]:
    """Arguments that depend on the machine."""
    return ["--engines", "local"] if script == "memory" and shutil.which("java") is None else []


def ran(script: str, full: bool, folder: Path) -> tuple[list[Target], str]:
    """The targets of a benchmark, and all that it printed."""
    why = absent(script)
    if why is not None:
        return [Target(script, "–", f"not run: {why}", None)], ""
    answer = folder / f"{script}.jsonl"
    command = [sys.executable, str(HERE / f"{script}.py"), "--json", str(answer), *extra(script)]
    if not full:
        command.append("--quick")
    printed: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            printed.append(line)
            print(line, end="", file=sys.stderr, flush=True)
    lines = answer.read_text(encoding="utf-8").splitlines() if answer.exists() else []
    targets = [Target(**json.loads(line)) for line in lines]
    if process.returncode:
        targets.append(Target(script, "–", f"failed with exit status {process.returncode}", False))
    return targets, "".join(printed)


def marked(path: Path) -> tuple[str, str]:
    """What stands before and after the two marks in a file."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{path}: no lines {BEGIN} and {END} to write between")
    return before, after


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="the whole sets; about an hour on 2 cores")
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, help="only these")
    parser.add_argument("--into", type=Path, help="also write all of it between the marks in this file")
    options = parser.parse_args(argv)
    if options.into is not None:
        marked(options.into)  # an hour of work must not end at a missing mark
    head = harness.headline("Targets" if options.full else "Targets, small samples")
    targets, pages = [], []
    with harness.scratch() as folder:
        for script in options.only or SCRIPTS:
            found, printed = ran(script, options.full, folder)
            targets += found
            pages.append(printed)
    table = harness.targets_table(targets)
    print(f"{head}\n{table}", flush=True)
    if options.into is not None:
        before, after = marked(options.into)
        text = "\n".join([head, table, *pages]).strip()
        options.into.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
    broken = [t for t in targets if t.measured.startswith("failed with exit status")]
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
