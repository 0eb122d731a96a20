"""Train a configuration on Spark: `spark-submit spark_jobs/train.py CONFIG [options of many-models train]`.

The session that spark-submit started runs the groups; the options are those of `many-models train`.
"""

from __future__ import annotations

import sys

from many_models.cli.main import app, guarded


def main(arguments: list[str]) -> int:
    """The exit code of `many-models train --engine spark` with these arguments."""
    chosen = any(word.split("=")[0] == "--engine" for word in arguments)
    engine = [] if chosen else ["--engine", "spark"]
    return guarded(lambda: app(["train", *arguments, *engine], standalone_mode=False))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
