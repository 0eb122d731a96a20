"""The inside of a guarded child process: it reads requests, calls the job's function, writes answers.

The parent (`many_models.engines.guarded`) starts it with `python -c`, its standard input and
output being the pipe between the two. The child moves both away first, so that chatty native
code writes to nowhere, and keeps standard error as the log into which `faulthandler` writes
where it stood when it crashes, or when the parent asks (SIGUSR1) before it kills it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

MEMORY_EXIT = 86
"""Exit status of a child that ran into its memory limit: its heap is not to be trusted any more."""

_PR_SET_PDEATHSIG = 1


def serve(parent: int, memory_bytes: int | None) -> None:
    """Answers requests until the parent closes the pipe; `parent` is its process id."""
    requests, answers, log = _take_pipes()
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    faulthandler.enable(file=log, all_threads=False)
    faulthandler.register(signal.SIGUSR1, file=log, all_threads=False)
    if memory_bytes is not None:
        _limit_memory(memory_bytes)
    _limit_threads()
    answers.send_bytes(b"ready")
    jobs: dict[bytes, Any] = {}
    while True:
        try:
            request = requests.recv_bytes()
        except EOFError:
            return
        try:
            answer = _answer(request, jobs)
        except MemoryError:
            os._exit(MEMORY_EXIT)
        try:
            answers.send_bytes(answer)
        except BrokenPipeError:
            return


def _answer(request: bytes, jobs: dict[bytes, Any]) -> bytes:
    """The pickled answer to one request: whether it succeeded, payload or message, seconds, job held."""
    token = b""
    began = time.monotonic()
    try:
        token, packed, verb, rest = pickle.loads(request)  # noqa: S301 - from our own parent, by a private pipe
        if packed is not None:
            jobs.clear()  # one job at a time: an argument can be large
            jobs[token] = pickle.loads(packed)  # noqa: S301 - the same
        job = jobs[token]
        payload = getattr(job, verb)(rest[0], job.argument, *rest[1:])
        if not isinstance(payload, bytes):
            raise TypeError(f"{verb} answered with {type(payload).__name__}, not bytes")
    except MemoryError:
        raise
    except BaseException as error:  # also SystemExit: one group never ends the child
        return pickle.dumps((False, _describe(error), time.monotonic() - began, token in jobs))
    return pickle.dumps((True, payload, time.monotonic() - began, True))


def _describe(error: BaseException) -> str:
    """Type, text and the last frame of ours of an exception, for a person."""
    try:
        text = "".join(traceback.format_exception_only(error)).strip()
    except Exception:
        text = type(error).__name__
    stack = traceback.extract_tb(error.__traceback__)
    return text + innermost([(f.filename, f.lineno or 0, f.name) for f in reversed(stack)])


def innermost(frames: list[tuple[str, int, str]]) -> str:
    """` (at file:line in function)` of the first of these frames that is ours, else of the first.

    Paths are cut to what is the same on every machine.
    """
    frames = [f for f in frames if not f[0].endswith("many_models/engines/child.py")]
    own = [f for f in frames if "many_models/" in f[0]]
    for file, line, name in (own or frames)[:1]:
        _, package, inside = file.rpartition("many_models/")
        return f" (at {package + inside if package else os.path.basename(file)}:{line} in {name})"
    return ""


def _take_pipes() -> tuple[Connection, Connection, int]:
    """The two ends of the pipe and the log, moved away from the standard streams, which go nowhere."""
    requests, answers, log = os.dup(0), os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
    return Connection(requests, writable=False), Connection(answers, readable=False), log


def _die_with(parent: int) -> None:
    """Makes the death of the parent this process's death, also while native code runs (Linux)."""
    if sys.platform.startswith("linux"):
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
    if not sys.platform.startswith("linux"):
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)


def _limit_memory(memory_bytes: int) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def _limit_threads() -> None:
    """One thread for every BLAS and OpenMP that is already loaded; the environment does the later ones."""
    import numpy  # noqa: F401 - loads its BLAS
    import pandas  # noqa: F401 - every request holds a frame
    from threadpoolctl import threadpool_limits

    threadpool_limits(limits=1)
