"""What a run writes down so that it can be continued: how it began, what it planned, what is done.

::

    journal/begin.json           written first: run id, source, cutoff, limit, configuration, given prior
    journal/groups.parquet       the groups of the run in key order, with their rows and series
    journal/selection.json       with a base: what is trained, and what is taken over from it
    journal/plan.json            written when all is laid out: frequency and end of the panel
    journal/part-000001.parquet  per batch: its groups and the fingerprints of their data
    journal/pooled-000001.arrow  per batch of the stage `pool`: what it said of each series
    journal/resumed-001.json     per continuation: when, and how many series were finished by then
    cancel                       put there by a person: the run stops after the batch under way

A batch is complete when its file in `results/` exists, which is written last. Everything else of
a batch that was killed is removed before the run goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from many_models.automl.rows import FOLDERS
from many_models.errors import DamagedError, InputError, LookupFailed, Problem, StorageError

JOURNAL, CANCEL, LOCK = "journal", "cancel", ".many-models.lock"

TRAIN, POOL = "train", "pool"
"""The stages of a run: series are trained; before, groups of several series learn together."""

_PARTS = pa.schema(
    [
        ("group", pa.int32()),
        ("fingerprint", pa.binary()),
        ("seconds", pa.float64()),
        ("stage", pa.string()),
    ]
)


@dataclass(frozen=True)
class Beginning:
    """How a run began.

    Attributes
    ----------
    source
        `frame`, `path` or `table`.
    path
        Absolute where the source is a local path.
    spec
        The resolved configuration as plain data.
    prior
        The prior that was handed over, as plain data; None is the package's, and the run's own pilot.
    only, base
        The words that say which series are trained, and the run or version that gives the others.
    """

    run_id: str
    started: str
    source: str
    path: str | None
    cutoff: str | int | None
    limit: int | None
    spec: dict[str, Any]
    spec_fingerprint: str
    prior: dict[str, Any] | None = None
    only: list[str] | None = None
    base: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a run learned of its panel before it trained anything."""

    frequency: str
    panel_end: int | None


@dataclass(frozen=True)
class Done:
    """What is finished: the fingerprint by group, the seconds it took, and the last batch's number.

    `pools` are the fingerprints of the groups that finished the stage `pool`.
    """

    marks: Mapping[int, bytes]
    seconds: float = 0.0
    batch: int = 0
    pools: Mapping[int, bytes] = field(default_factory=dict)


class Journal:
    """The journal of the run directory `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path / JOURNAL

    # -- the beginning and the plan --

    def begin(self, beginning: Beginning) -> None:
        """Writes how the run began: from here on it can be continued."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write("begin.json", asdict(beginning))

    def beginning(self) -> Beginning:
        """How the run began.

        Raises
        ------
        LookupFailed
            When the folder has no journal.
        """
        if not (self.folder / "begin.json").is_file():
            raise LookupFailed(
                Problem(
                    str(self.path),
                    "a run directory without a journal",
                    "a run that was interrupted",
                    "train again into another folder",
                )
            )
        try:
            return Beginning(**self._read("begin.json"))
        except TypeError as trouble:
            raise DamagedError(f"{self.folder / 'begin.json'} is not what was written: {trouble}") from None

    def lay_out(self, plan: Plan, groups: pd.DataFrame) -> None:
        """Writes the groups and, last, the plan: the run's folders are whole."""
        self._write_table("groups.parquet", pa.Table.from_pandas(groups, preserve_index=False))
        self._write("plan.json", asdict(plan))

    @property
    def is_laid_out(self) -> bool:
        """Whether the run came so far that it trained series."""
        return (self.folder / "plan.json").is_file()

    def plan(self) -> Plan:
        """What the run learned of its panel."""
        return Plan(**self._read("plan.json"))

    def groups(self) -> pd.DataFrame:
        """The groups of the run, in key order."""
        frame: pd.DataFrame = _table(self.folder / "groups.parquet").to_pandas()
        return frame

    # -- batches --

    def note(self, batch: int, marks: Mapping[int, bytes], seconds: float, stage: str = TRAIN) -> None:
        """Writes the groups of a batch, before its rows are written."""
        numbers = list(marks)
        count = len(numbers)
        columns = [numbers, [marks[n] for n in numbers], [seconds] * count, [stage] * count]
        arrays = [pa.array(c, field.type) for c, field in zip(columns, _PARTS, strict=True)]
        self._write_table(_part(batch), pa.Table.from_arrays(arrays, schema=_PARTS))

    def note_pools(self, batch: int, outcomes: pa.Table) -> None:
        """Writes what a batch of the stage `pool` said of its series, before its rows: `digest`, `pooled`."""
        with (
            self._put(_pooled(batch)) as hidden,
            pa.OSFile(str(hidden), "wb") as sink,
            pa.ipc.new_file(sink, outcomes.schema) as file,
        ):
            file.write_table(outcomes)

    def pooled(self) -> dict[bytes, pa.Scalar]:
        """What the stage `pool` said of each series, by the digest of its key; stays on the disk."""
        found: dict[bytes, pa.Scalar] = {}
        for number in self.complete():
            file = self.folder / _pooled(number)
            if not file.is_file():
                continue
            try:
                table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
            except (pa.ArrowException, OSError) as trouble:
                raise DamagedError(f"{file} is not what was written: {trouble}") from trouble
            found.update(zip(table["digest"].to_pylist(), table["pooled"], strict=True))
        return found

    def done(self) -> Done:
        """What the complete batches finished."""
        marks: dict[str, dict[int, bytes]] = {TRAIN: {}, POOL: {}}
        seconds, batch = 0.0, 0
        for number in self.complete():
            table = _table(self.folder / _part(number))
            for row in table.to_pylist():
                marks[row["stage"]][row["group"]] = row["fingerprint"]
            seconds = max([seconds, *table["seconds"].to_pylist()])
            batch = number
        return Done(marks[TRAIN], seconds, batch, marks[POOL])

    def complete(self) -> list[int]:
        """The numbers of the batches whose rows are all written."""
        found = sorted(
            int(f.stem.removeprefix("part-")) for f in (self.path / "results").glob("part-*.parquet")
        )
        return [number for number in found if number]

    def sweep(self) -> None:
        """Removes what a kill left behind: hidden files, staged tables, files of batches that are not whole.

        Where nothing was trained yet, all but the beginning goes.

        Raises
        ------
        StorageError
            When it cannot be removed.
        """
        try:
            self._sweep()
        except OSError as trouble:
            raise StorageError(
                f"{self.path}: what was left behind cannot be removed: {trouble.strerror or trouble}",
                "make the folder writable and resume again",
            ) from trouble

    def _sweep(self) -> None:
        complete = self.complete()
        whole = {_part(number) for number in (0, *complete)}
        pooled = {_pooled(number) for number in complete}
        for file in self.folder.glob("pooled-*.arrow"):
            if file.name not in pooled:
                file.unlink()
        for folder in (*FOLDERS, JOURNAL):
            for file in (self.path / folder).glob("*.parquet"):
                if file.name.startswith("part-") and file.name not in whole:
                    file.unlink()
        for hidden in (*self.path.glob(".*"), *self.path.glob("*/.*")):
            if hidden.is_dir():
                shutil.rmtree(hidden, ignore_errors=True)
            elif hidden.name != LOCK:
                hidden.unlink(missing_ok=True)
        if not self.is_laid_out:
            for folder in FOLDERS:
                shutil.rmtree(self.path / folder, ignore_errors=True)
        (self.path / CANCEL).unlink(missing_ok=True)

    # -- what is taken over from another run --

    def note_selection(self, summary: Mapping[str, Any]) -> None:
        """Writes which series are trained and which are taken over."""
        self._write("selection.json", summary)

    def selection(self) -> dict[str, Any]:
        """Which series are trained and which are taken over."""
        return self._read("selection.json")

    # -- continuations and cancelling --

    def note_resumed(self, kept: int) -> None:
        """Writes that the run goes on, with so many series finished."""
        document = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "kept": kept}
        self._write(f"resumed-{self.times_resumed() + 1:03d}.json", document)

    def times_resumed(self) -> int:
        """How often the run was continued."""
        return len(list(self.folder.glob("resumed-*.json")))

    @property
    def is_cancelled(self) -> bool:
        """Whether a person asked the run to stop."""
        return (self.path / CANCEL).exists()

    def forget(self) -> None:
        """Removes a beginning from which nothing came, as if the run had not been asked for."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- files --

    def _write(self, name: str, document: Mapping[str, Any]) -> None:
        with self._put(name) as hidden:
            hidden.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")

    def _write_table(self, name: str, table: pa.Table) -> None:
        with self._put(name) as hidden:
            pq.write_table(table, hidden, compression="zstd")

    @contextmanager
    def _put(self, name: str) -> Iterator[Path]:
        """A hidden file to write, which then takes its name: it is there whole or not at all."""
        hidden = self.folder / f".{name}-{uuid.uuid4().hex[:8]}"
        try:
            yield hidden
            os.replace(hidden, self.folder / name)
        except OSError as trouble:
            with suppress(OSError):
                hidden.unlink(missing_ok=True)
            raise self._unwritten(self.folder / name, trouble) from trouble

    def _unwritten(self, file: Path, trouble: OSError) -> StorageError:
        said = f"{file}: cannot be written: {trouble.strerror or trouble}"
        if not self.is_laid_out:  # nothing came of it yet that could be continued
            return StorageError(said)
        return StorageError(f"{said}; finished series are kept", f"many-models resume {self.path}")

    def _read(self, name: str) -> dict[str, Any]:
        file = self.folder / name
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except OSError as trouble:
            raise StorageError(f"{file}: cannot be read: {trouble.strerror or trouble}") from trouble
        except ValueError as trouble:
            raise DamagedError(f"{file} is not what was written: {trouble}") from trouble
        if not isinstance(document, dict):
            raise DamagedError(f"{file} is not what was written")
        return document


def _part(batch: int) -> str:
    return f"part-{batch:06d}.parquet"


def _pooled(batch: int) -> str:
    return f"pooled-{batch:06d}.arrow"


def _table(file: Path) -> pa.Table:
    try:
        return pq.read_table(file, partitioning=None)
    except (pa.ArrowException, OSError) as trouble:
        raise DamagedError(f"{file} is not what was written: {trouble}") from trouble


# -- one run at a time -------------------------------------------------------------


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """The only process that writes this run directory; a lock whose process is gone is taken over.

    Raises
    ------
    InputError
        When another run writes there.
    """
    lock, mine = path / LOCK, {"pid": os.getpid(), "host": socket.gethostname(), "born": _born(os.getpid())}
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as trouble:
        raise StorageError(
            f"{path}: cannot write the run directory: {trouble.strerror or trouble}"
        ) from trouble
    with _one_at_a_time(path):
        _take(path, lock, mine)
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink(missing_ok=True)
            for folder in made:  # those that nothing was put into
                folder.rmdir()


def _take(path: Path, lock: Path, mine: Mapping[str, Any]) -> None:
    """Puts our lock there, in place of one whose process is gone."""
    for attempt in range(2):
        try:
            with lock.open("x", encoding="utf-8") as file:
                json.dump(mine, file)
            return
        except FileExistsError:
            holder = _holder(lock)
            if attempt or _lives(holder):
                raise InputError(_held(path, lock, holder)) from None
            lock.unlink(missing_ok=True)
        except OSError as trouble:
            raise StorageError(
                f"{path}: cannot write the run directory: {trouble.strerror or trouble}"
            ) from trouble


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Holds back others that look at the lock of this folder, as far as its file system can.

    Between two that find the lock of a dead process, one would remove the lock that the other has just
    put in its place; and a lock that is not yet filled would look like that of a dead one.
    """
    try:
        import fcntl

        folder = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):  # no such call on this system: the lock itself still holds off most
        yield
        return
    try:
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _held(path: Path, lock: Path, holder: Mapping[str, Any]) -> Problem:
    return Problem(
        str(path),
        f"a run that process {holder.get('pid')} on {holder.get('host')} writes",
        "one process per run directory",
        f"wait for it, cancel it (touch {path / CANCEL}), or remove {lock} if that process is gone",
    )


def _holder(lock: Path) -> dict[str, Any]:
    """What stands in a lock; nothing where its process was killed before it wrote."""
    try:
        document = json.loads(lock.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _lives(holder: Mapping[str, Any]) -> bool:
    """Whether the process of a lock may still be there: one on another host always may."""
    pid = holder.get("pid")
    if not isinstance(pid, int):
        return False
    if holder.get("host") != socket.gethostname():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _born(pid) == holder.get("born")


def _born(pid: int) -> str | None:
    """When a process began, as the system counts, so that a number used again is told; None elsewhere."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *rest = stat.rpartition(")")[2].split()
    return None if state == "Z" else rest[18]


def changed_paths(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterable[str]:
    """The dotted paths at which two configurations differ."""
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from changed_paths(old, new, f"{prefix}{name}.")
        elif old != new:
            yield f"{prefix}{name}"
