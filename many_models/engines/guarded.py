"""Guarded children: processes that run a group's function and may crash, hang or outgrow their memory.

A child is a fresh interpreter started with `python -c`: it neither forks (which hangs OpenMP
libraries) nor imports the user's script again (so a script without a main guard, a notebook and
standard input work), and it is told the parent's `sys.path`. Each child has a pipe of its own,
so a child that dies at any moment disturbs no other, and its death is seen at once.

::

    Children(workers) ── one thread per child ── Child.ask() ──pipe── child.serve()
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import IO, Any, Literal, TypeAlias

import pandas as pd

from many_models.engines.base import GroupAnswer, GroupJob, Trouble
from many_models.engines.child import MEMORY_EXIT, innermost
from many_models.errors import Cancelled, EngineError
from many_models.panel.allowance import Allowance, seconds_of

FALL_BACK_SECONDS = 60.0
"""Deadline of `fall_back`, its imports included: it is cheap, or it has to give up."""

START_SECONDS = 180.0
"""How long a child may take to start; generous, since a busy machine imports slowly."""

_START_ATTEMPTS = 3
_LOOK_SECONDS = 0.5
_RESULTS_IN_FLIGHT = 4096
_BOOTSTRAP = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from many_models.engines.child import serve; serve(*json.loads(sys.argv[2]))"
)
_FAULT_FRAME = re.compile(r'File "(.*)", line (\d+) in (\S+)')
_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)

Task: TypeAlias = tuple[int, pd.DataFrame] | tuple[int, pd.DataFrame, bytes]
"""A group's number and frame, and what is attached to it."""


class Unanswered(Exception):
    """A child did not answer; `trouble` says why."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble


class PackedJob:
    """A job as bytes, made once and sent to each child once.

    Parameters
    ----------
    packed
        The pickled job. It is read here only when `give_up` is needed, so that a process
        that does nothing but guard a child imports nothing of the job's.
    """

    def __init__(self, packed: bytes, deadline_seconds: float | Allowance | None) -> None:
        self.packed = packed
        self.deadline_seconds = deadline_seconds
        self.token = hashlib.blake2b(packed, digest_size=16).digest()

    @classmethod
    def of(cls, job: GroupJob) -> PackedJob:
        """The packed form of a job."""
        return cls(pickle.dumps(job, protocol=5), job.deadline_seconds)

    def give_up(self, frame: pd.DataFrame, trouble: Trouble) -> bytes:
        """What the job answers without a child."""
        job: GroupJob = pickle.loads(self.packed)  # noqa: S301 - made by this program, never stored
        return job.give_up(frame, job.argument, trouble)


class Child:
    """One guarded child process: started when first asked, and anew after it died.

    It dies with the thread that started it (Linux ties a child's life to a thread), so one
    thread owns it; only `kill` may be called from another.
    """

    def __init__(self, memory_bytes: int | None) -> None:
        self._memory_bytes = memory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._requests: Connection | None = None
        self._answers: Connection | None = None
        self._log: IO[bytes] | None = None
        self._token = b""

    def ask(
        self,
        packed: PackedJob,
        verb: Literal["run", "fall_back"],
        arguments: tuple[Any, ...],
        deadline_seconds: float | None,
    ) -> bytes:
        """The payload with which the job's function answers.

        Raises
        ------
        Unanswered
            When it raised, crashed, ran into its memory limit or past the deadline.
        EngineError
            When no child can be started at all.
        """
        self._ensure_started()
        began = time.monotonic()
        known = self._token == packed.token
        request = pickle.dumps((packed.token, None if known else packed.packed, verb, arguments), protocol=5)
        try:
            self._send(request)
            answer = self._receive(None if deadline_seconds is None else began + deadline_seconds)
        except TimeoutError:
            where = self._last_place(ask=True)
            self.close()
            trouble = Trouble(
                "TIMED_OUT",
                "DEADLINE",
                f"no answer within {deadline_seconds:g} s{where}",
                time.monotonic() - began,
            )
            raise Unanswered(trouble) from None
        except (EOFError, OSError):
            raise Unanswered(self._post_mortem(time.monotonic() - began)) from None
        # S301: from our own child, by a private pipe
        answered, payload, seconds, holds_job = pickle.loads(answer)  # noqa: S301
        self._token = packed.token if holds_job else b""
        if answered:
            return bytes(payload)
        raise Unanswered(Trouble("FAILED", "EXCEPTION", payload, seconds))

    def kill(self) -> None:
        """Ends the process and whatever it started, at once; safe from any thread."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    def close(self) -> None:
        """Ends the process and frees its pipe; asking again starts a new one."""
        self.kill()
        for end in (self._requests, self._answers, self._log):
            if end is not None:
                with contextlib.suppress(OSError):
                    end.close()
        if self._process is not None:
            self._process.wait()
        self._process = self._requests = self._answers = self._log = None
        self._token = b""

    def _ensure_started(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                return
            self.close()
        for attempt in range(1, _START_ATTEMPTS + 1):
            try:
                self._start()
                return
            except (EOFError, OSError, TimeoutError) as error:
                said = self._said()
                self.close()
                if attempt == _START_ATTEMPTS:
                    raise EngineError(
                        f"a worker process cannot be started with {sys.executable}: "
                        f"{said or error or type(error).__name__}"
                    ) from None
                time.sleep(attempt)

    def _start(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        settings = json.dumps([os.getpid(), self._memory_bytes])
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOTSTRAP, json.dumps(_search_path()), settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=_environment(),
            start_new_session=True,  # Ctrl-C does not reach it, and `killpg` reaches what it starts
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests = Connection(os.dup(self._process.stdin.fileno()), readable=False)
        self._answers = Connection(os.dup(self._process.stdout.fileno()), writable=False)
        self._process.stdin.close()
        self._process.stdout.close()
        self._receive(time.monotonic() + START_SECONDS)

    def _send(self, request: bytes) -> None:
        assert self._requests is not None
        self._requests.send_bytes(request)

    def _receive(self, until: float | None) -> bytes:
        """The next message; TimeoutError past `until`, EOFError when the child is dead."""
        assert self._answers is not None
        assert self._process is not None
        while True:
            left = _LOOK_SECONDS if until is None else min(_LOOK_SECONDS, until - time.monotonic())
            if self._answers.poll(max(0.0, left)):
                return self._answers.recv_bytes()
            # The pipe may be held open by something the child forked: look at the child itself too.
            if self._process.poll() is not None and not self._answers.poll(0):
                raise EOFError
            if until is not None and time.monotonic() >= until:
                raise TimeoutError

    def _post_mortem(self, seconds: float) -> Trouble:
        assert self._process is not None
        try:
            code = self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:  # it closed its pipe and lives on
            self.kill()
            code = self._process.wait()
        where = self._last_place(ask=False)
        self.close()
        if code == MEMORY_EXIT:
            return Trouble("FAILED", "MEMORY", f"out of memory{self._limit_text()}", seconds)
        name = f"exit status {code}" if code >= 0 else _signal_name(-code)
        hint = " (the system's out-of-memory killer does this)" if code == -signal.SIGKILL else ""
        return Trouble("FAILED", "CRASHED", f"the process died: {name}{hint}{where}", seconds)

    def _limit_text(self) -> str:
        return "" if self._memory_bytes is None else f" (limit {self._memory_bytes / 2**30:.1f} GiB)"

    def _said(self) -> str:
        """The end of what the child wrote before it had moved its standard error away."""
        if self._log is None:
            return ""
        with contextlib.suppress(OSError, ValueError):
            self._log.seek(0)
            return self._log.read()[-2000:].decode(errors="replace").strip()
        return ""

    def _last_place(self, ask: bool) -> str:
        """Where the child stood, from its faulthandler: ` (at file:line in function)` or nothing."""
        if ask and self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGUSR1)
            time.sleep(0.05)
        frames = [(file, int(line), name) for file, line, name in _FAULT_FRAME.findall(self._said())]
        return innermost(frames)


def guard(
    child: Child,
    packed: PackedJob,
    group: int,
    frame: pd.DataFrame,
    *attachment: bytes,
    stopped: Callable[[], bool] = bool,
) -> GroupAnswer:
    """The one answer of a group: from `run` (with what is attached), else `fall_back`, else `give_up`.

    A child that crashed, hung or outgrew its memory is replaced before `fall_back`; after a
    mere exception the same child goes on. Raises Cancelled when `stopped` says so in between.
    """
    deadline = seconds_of(packed.deadline_seconds, frame)
    try:
        return GroupAnswer(group, child.ask(packed, "run", (frame, *attachment), deadline))
    except Unanswered as unanswered:
        first = unanswered.trouble
    if stopped():
        raise Cancelled
    try:
        return GroupAnswer(group, child.ask(packed, "fall_back", (frame, first), FALL_BACK_SECONDS))
    except Unanswered as unanswered:
        second = unanswered.trouble
    if stopped():
        raise Cancelled
    both = replace(
        first,
        message=f"{first.message}; its fall-back: {second.message}",
        seconds=first.seconds + second.seconds,
    )
    return GroupAnswer(group, packed.give_up(frame, both))


class Children:
    """A fixed number of guarded children, each with a thread that lives as long as this object."""

    def __init__(self, workers: int, memory_bytes: int | None) -> None:
        self.workers = workers
        self._children = [Child(memory_bytes) for _ in range(workers)]
        self._duties: queue.SimpleQueue[_Map | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()

    def map(self, job: GroupJob, tasks: Iterable[Task], every_seconds: float) -> Generator[list[GroupAnswer]]:
        """The answers of all tasks, each once, in batches `every_seconds` (also where none came in that
        time); closing it cancels. Several maps may be under way, each read by a thread of its own."""
        self._start_threads()
        work = _Map(PackedJob.of(job), iter(tasks), self.workers)
        for _ in range(self.workers):
            self._duties.put(work)
        try:
            yield from work.batches(every_seconds)
        finally:
            work.cancel()

    def close(self) -> None:
        """Ends the children and their threads."""
        for _ in self._threads:
            self._duties.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []

    def _start_threads(self) -> None:
        with self._starting:
            if self._threads:
                return
            # Daemons: a user's script that ends in the middle of a map must not wait for it.
            self._threads = [
                threading.Thread(target=self._live, args=(child,), daemon=True, name="many-models-child")
                for child in self._children
            ]
            for thread in self._threads:
                thread.start()

    def _live(self, child: Child) -> None:
        try:
            while (work := self._duties.get()) is not None:
                work.take_part(child)
        finally:
            child.close()


class _Map:
    """One map under way: the threads pull tasks from it and leave answers in it."""

    def __init__(self, packed: PackedJob, tasks: Iterator[Task], parties: int) -> None:
        self._packed = packed
        self._tasks = tasks
        self._parties = parties
        self._turn = threading.Lock()
        self._stopped = threading.Event()
        self._busy: set[Child] = set()
        self._results: queue.Queue[GroupAnswer | Exception | None] = queue.Queue(_RESULTS_IN_FLIGHT)

    def take_part(self, child: Child) -> None:
        """Answers tasks with this child until none is left; says so with a None."""
        try:
            while (task := self._next(child)) is not None:
                self._results.put(guard(child, self._packed, *task, stopped=self._stopped.is_set))
        except Exception as error:  # the reader raises it
            if not self._stopped.is_set():
                self._results.put(error)
        finally:
            with self._turn:
                self._busy.discard(child)
            self._results.put(None)

    def _next(self, child: Child) -> Task | None:
        with self._turn:
            if self._stopped.is_set():
                return None
            self._busy.add(child)
            return next(self._tasks, None)

    def batches(self, every_seconds: float) -> Iterator[list[GroupAnswer]]:
        """Answers as they come, a batch at a time, until every party is done."""
        batch: list[GroupAnswer] = []
        due = time.monotonic() + every_seconds
        while self._parties:
            try:
                result = self._results.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                pass
            else:
                if result is None:
                    self._parties -= 1
                elif isinstance(result, Exception):
                    raise result
                else:
                    batch.append(result)
            if time.monotonic() >= due:
                due = time.monotonic() + every_seconds
                yield batch
                batch = []
        if batch:
            yield batch

    def cancel(self) -> None:
        """Stops what is under way and waits until every thread has let go."""
        self._stopped.set()
        while self._parties:
            with self._turn:
                busy = list(self._busy)
            for child in busy:  # again and again: one may have been starting
                child.kill()
            with contextlib.suppress(queue.Empty):
                if self._results.get(timeout=0.1) is None:
                    self._parties -= 1


def _environment() -> dict[str, str]:
    """The child's environment: ours, one thread per numeric library, and a fixed hash seed."""
    return {**os.environ, **dict.fromkeys(_ONE_THREAD, "1"), "PYTHONHASHSEED": "0"}


def _search_path() -> list[str]:
    """`sys.path` with the empty entry spelt out, so that the child finds what we find."""
    return [os.path.abspath(entry) if entry == "" else entry for entry in sys.path if isinstance(entry, str)]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
