"""The run directory: the journal of a run, written by the driver alone.

Files are only added: written under a dot-name, renamed when complete, never appended to or
rewritten. `results/` is written last of all, and a series is finished when its row stands there.
So `pandas.read_parquet(folder)` is right at any moment, also during the run.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from many_models.automl.prior import Prior
from many_models.automl.rows import FOLDERS, schemas
from many_models.errors import Cancelled, DamagedError, DataError, LookupFailed, Problem, StorageError
from many_models.panel.layout import Layout
from many_models.runs.chronicle import EVENTS
from many_models.runs.journal import TRAIN, Beginning, Journal, Plan
from many_models.spec import ForecastSpec

RUNS = "runs"
"""The folder of runs in the current folder, and of the local registry beside them."""

SPEC, SUMMARY, LAYOUT, PRIOR = "spec.yaml", "summary.json", "layout.json", "prior.json"


def default_directory(name: str) -> Path:
    """`runs/<name>-<UTC time>` in the current folder; of runs that begin in one second the next is `…-2`."""
    first = Path(RUNS) / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    later = (first.with_name(f"{first.name}-{number}") for number in count(2))
    return next(path for path in chain([first], later) if not path.exists())


_IN_SUMMARY = {"run_id": str, "spec_fingerprint": str, "versions": dict}
"""What others rely on in `summary.json`."""


class RunDirectory:
    """One run's folder: its rows, its configuration, its summary."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def begin(cls, path: str | Path, spec: ForecastSpec, beginning: Beginning) -> RunDirectory:
        """A new run directory that holds its configuration and how it began.

        Raises
        ------
        StorageError
            When it cannot be written.
        """
        directory = cls(Path(path))
        try:
            directory.path.mkdir(parents=True, exist_ok=True)
            directory.journal.begin(beginning)
            directory._write_text(SPEC, f"# fingerprint: {spec.fingerprint}\n{spec.to_yaml()}")
        except OSError as trouble:
            raise _unwritable(path, trouble) from trouble
        return directory

    def lay_out(
        self, spec: ForecastSpec, layout: Layout, prior: Prior | None, plan: Plan, groups: pd.DataFrame
    ) -> None:
        """Empty tables of the right schema in every folder, and what the run goes by.

        Where the prior is not known yet, `note_prior` writes it later.

        Raises
        ------
        StorageError
            When they cannot be written.
        """
        try:
            for folder, schema in schemas(layout, spec.forecast.quantiles).items():
                (self.path / folder).mkdir()
                self._write_table(folder, schema.empty_table(), "part-000000")
            self._write_text(LAYOUT, json.dumps(layout.to_dict(), ensure_ascii=False, indent=1))
            if prior is not None:
                self._write_text(PRIOR, json.dumps(prior.to_dict()))
            self.journal.lay_out(plan, groups)
        except OSError as trouble:
            raise _unwritable(self.path, trouble) from trouble

    def note_prior(self, prior: Prior) -> None:
        """Writes down what the run knows across series.

        Raises
        ------
        StorageError
            When it cannot be written.
        """
        try:
            self._write_text(PRIOR, json.dumps(prior.to_dict()))
        except OSError as trouble:
            raise _unwritable(self.path, trouble) from trouble

    @property
    def has_prior(self) -> bool:
        """Whether it is known yet what the run knows across series."""
        return (self.path / PRIOR).is_file()

    @property
    def journal(self) -> Journal:
        """What is written down so that the run can be continued."""
        return Journal(self.path)

    def stop_if_cancelled(self) -> None:
        """Raises Cancelled when a person asked the run to stop."""
        if self.journal.is_cancelled:
            raise Cancelled(cancelled_message(self.path))

    def forget(self) -> None:
        """Removes a run that came to nothing before it was laid out."""
        self.journal.forget()
        (self.path / SPEC).unlink(missing_ok=True)
        (self.path / EVENTS).unlink(missing_ok=True)

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """An existing run directory.

        Raises
        ------
        LookupFailed
            When there is none, naming those nearby.
        """
        directory = cls(Path(path))
        if not (directory.path / SPEC).is_file():
            beside = directory.path.parent
            near = sorted(p.parent.name for p in beside.glob(f"*/{SPEC}")) if beside.is_dir() else []
            raise LookupFailed(
                Problem(
                    str(path),
                    "no run directory there" if directory.path.exists() else "nothing there",
                    f"a folder that holds {SPEC}" + (f"; here are {', '.join(near[-5:])}" if near else ""),
                    "give the folder that `many-models train` printed last",
                )
            )
        return directory

    def append(
        self,
        batch: int,
        tables: Mapping[str, Sequence[pa.Table]],
        marks: Mapping[int, bytes],
        seconds: float,
        stage: str = TRAIN,
    ) -> None:
        """Adds one batch: its groups with the fingerprints of their data, a file per folder, `results` last.

        Raises
        ------
        StorageError
            When the disk refuses; what was finished before stays.
        """
        self.journal.note(batch, marks, seconds, stage)
        for folder in FOLDERS:
            parts = tables.get(folder)
            if parts:
                self._write_table(folder, pa.concat_tables(parts), f"part-{batch:06d}")

    def _write_table(self, folder: str, table: pa.Table, name: str) -> None:
        target = self.path / folder / f"{name}.parquet"
        hidden = target.with_name(f".{name}-{uuid.uuid4().hex[:8]}.parquet")
        try:
            pq.write_table(table, hidden, compression="zstd", row_group_size=64_000)
            os.replace(hidden, target)
        except OSError as trouble:
            hidden.unlink(missing_ok=True)
            raise StorageError(
                f"{target}: cannot be written: {trouble.strerror or trouble}; finished series are kept",
                f"many-models resume {self.path}",
            ) from trouble

    def _write_text(self, name: str, text: str) -> None:
        hidden = self.path / f".{name}-{uuid.uuid4().hex[:8]}"
        hidden.write_text(text, encoding="utf-8")
        os.replace(hidden, self.path / name)

    def read(self, folder: str, columns: list[str] | None = None) -> pa.Table:
        """The rows of one folder, of the batches that are whole.

        Raises
        ------
        DamagedError
            When a file is not what was written.
        """
        files = self.files(folder)
        if not files:
            raise LookupFailed(
                Problem(
                    str(self.path / folder), "no files", "a folder of a run", "the run directory is not whole"
                )
            )
        tables = [_read_table(file, columns) for file in files]
        for file, table in zip(files, tables, strict=True):
            if table.schema != tables[0].schema:
                raise DamagedError(f"{file} is not what was written: its columns are others than before")
        return pa.concat_tables(tables)

    def batch(self, number: int, folders: Sequence[str]) -> dict[str, list[pa.Table]]:
        """The rows of one batch in these folders, those that it has."""
        files = {folder: self.path / folder / f"part-{number:06d}.parquet" for folder in folders}
        return {folder: [_read_table(file, None)] for folder, file in files.items() if file.is_file()}

    def files(self, folder: str) -> list[Path]:
        """The files of a folder; a batch whose results are not written is not there yet."""
        files = sorted((self.path / folder).glob("part-*.parquet"))
        whole = {file.name for file in (self.path / "results").glob("part-*.parquet")}
        return [file for file in files if file.name in whole]

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Puts `summary.json` in place; the only file that a later command may replace (to register)."""
        try:
            self._write_text(SUMMARY, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
        except OSError as trouble:
            raise StorageError(f"{self.path / SUMMARY}: cannot be written: {trouble}") from trouble

    def summary(self) -> dict[str, Any]:
        """The contents of `summary.json`.

        Raises
        ------
        LookupFailed
            When the run has not finished.
        DamagedError
            When it is not what was written.
        """
        file = self.path / SUMMARY
        if not file.is_file():
            raise LookupFailed(
                Problem(
                    str(self.path),
                    f"a run without {SUMMARY}",
                    "a finished run",
                    f"the run was interrupted: many-models resume {self.path}",
                )
            )
        document = self._read_json(SUMMARY)
        for name, kind in _IN_SUMMARY.items():
            if not isinstance(document, dict) or not isinstance(document.get(name), kind):
                raise DamagedError(f"{file} is not what was written: it does not say its {name}")
        return document

    def spec(self) -> ForecastSpec:
        """The resolved configuration of the run."""
        return ForecastSpec.from_yaml(self.path / SPEC)

    def layout(self) -> Layout:
        """What the columns of the run's input were."""
        return Layout.from_dict(self._read_json(LAYOUT))

    def prior(self) -> Prior:
        """What the run knew across series."""
        return Prior.from_dict(self._read_json(PRIOR))

    def _read_json(self, name: str) -> dict[str, Any]:
        file = self.path / name
        try:
            document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except OSError as trouble:
            raise StorageError(f"{file}: cannot be read: {trouble.strerror or trouble}") from trouble
        except ValueError as trouble:
            raise DamagedError(f"{file} is not what was written: {trouble}") from trouble
        return document


def staging_of(run_dir: Path, setting: str | None) -> Path:
    """Where a cluster keeps its copy of the table while a run lasts: in the run directory, or as it is set.

    There the folder is called after the run directory, so that what a killed run left behind is found.
    """
    if setting is None:
        return run_dir
    name = hashlib.sha256(str(run_dir.absolute()).encode()).hexdigest()[:16]
    return Path(setting) / f".many-models-{name}"


def cancelled_message(path: Path) -> str:
    """What is said where a run was stopped and can go on."""
    return f"cancelled; finished series are kept\nto continue: many-models resume {path}"


def _unwritable(path: str | Path, trouble: OSError) -> StorageError:
    return StorageError(f"{path}: cannot write the run directory: {trouble.strerror or trouble}")


def _read_table(file: Path, columns: list[str] | None) -> pa.Table:
    try:
        return pq.read_table(file, columns=columns, partitioning=None)
    except (pa.ArrowException, OSError) as trouble:
        raise DamagedError(f"{file} is not what was written: {trouble}") from trouble


def refuse_used(path: str | Path) -> None:
    """Raises DataError when the folder holds something, or is no folder."""
    target = Path(path)
    if target.exists() and not target.is_dir():
        raise DataError(Problem(str(path), "a file", "a new or empty folder", "choose another --run-dir"))
    try:
        # An engine stages its input under a dot-name before the directory is made.
        used = target.is_dir() and any(
            not entry.name.startswith(".many-models") for entry in target.iterdir()
        )
    except OSError as trouble:
        raise StorageError(f"{path}: cannot be read: {trouble.strerror or trouble}") from trouble
    if used:
        raise DataError(
            Problem(
                str(path),
                "a folder that holds something",
                "a new or empty folder",
                "choose another --run-dir",
            )
        )
