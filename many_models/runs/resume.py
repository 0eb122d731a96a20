"""Resuming: an interrupted run is finished, and nothing that is done is fitted again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from many_models.engines.table import engine_for
from many_models.errors import DataError, Problem, SpecError
from many_models.runs.directory import SPEC, SUMMARY, RunDirectory, staging_of
from many_models.runs.journal import JOURNAL, Beginning, changed_paths, sole_writer
from many_models.runs.progress import Progress, silent
from many_models.runs.run import Run
from many_models.runs.train import carry_on
from many_models.spec import ForecastSpec


def resume(run_dir: str | Path, data: Any = None, *, progress: Progress | None = None) -> Run:
    """The finished run: what an interrupted one lacks is trained, with the same configuration and prior.

    Parameters
    ----------
    run_dir
        The run directory. A finished one is left as it is.
    data
        The table, where the run was given a data frame; else it is read again from where it was.
    progress
        Told of every batch; default says nothing.

    Raises
    ------
    InputError
        When configuration or data are not what the run began with, naming what changed; when another
        process writes the run; when there is no run.
    Cancelled
        When the file `cancel` was put into the run directory.
    """
    path = Path(run_dir)
    if not (path / JOURNAL / "begin.json").is_file():
        directory = RunDirectory.open(path)
        if is_finished(path):
            return Run(directory)
        directory.journal.beginning()  # says that there is none
    with sole_writer(path):
        directory = RunDirectory(path)
        beginning = directory.journal.beginning()
        if not (path / SPEC).is_file():  # killed between its first two files
            directory = RunDirectory.begin(path, ForecastSpec.from_dict(beginning.spec), beginning)
        if is_finished(path):
            return Run(directory)
        spec = directory.spec()
        _refuse_changed_spec(spec, beginning, path)
        source = _source(beginning, data, path)
        directory.journal.sweep()
        if spec.engine.staging is not None:
            shutil.rmtree(staging_of(path, spec.engine.staging), ignore_errors=True)
        engine = engine_for(spec.engine, source)
        try:
            carry_on(engine, source, directory, beginning, progress or silent())
        finally:
            engine.close()
    return Run(directory)


def is_finished(run_dir: str | Path) -> bool:
    """Whether every series of a run has its row, and the run its summary."""
    return (Path(run_dir) / SUMMARY).is_file()


def _refuse_changed_spec(spec: ForecastSpec, beginning: Beginning, path: Path) -> None:
    """Raises SpecError when another configuration lies there than the run began with.

    What changes no forecast (engine, registry, budget) may be another.
    """
    if spec.fingerprint == beginning.spec_fingerprint:
        return
    changed = ", ".join(changed_paths(beginning.spec, spec.to_dict()))
    raise SpecError(
        Problem(
            str(path / SPEC),
            f"another configuration than the run began with: {changed}",
            "the configuration of the run (engine, registry and budget may change)",
            "put it back, or train again into another folder",
        )
    )


def _source(beginning: Beginning, data: Any, path: Path) -> Any:
    """What is read: the table that was handed over, or where the run read its own."""
    if data is not None:
        return data
    if beginning.source == "frame":
        raise DataError(
            Problem(
                "data",
                "a run that was given a data frame",
                "the same data frame",
                f"in Python: many_models.resume({str(path)!r}, data=frame)",
            )
        )
    return beginning.path
