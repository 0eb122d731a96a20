"""Group functions for the engine tests: importable by name in a child and in a Spark worker."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
import uuid
from pathlib import Path

import numpy as np

from many_models.engines.base import GroupJob

ARGUMENT = {}


def _name(frame):
    return str(frame["k0"].iloc[0])


def summarise(frame, argument):
    """Key, rows and sums of the group as JSON; misbehaves as the group's key says."""
    name = _name(frame)
    deed = argument.get(name)
    if "marker" in argument:
        Path(argument["marker"]).touch()
    if "attempts" in argument:
        Path(argument["attempts"], f"{name}-{uuid.uuid4().hex}").touch()
    if deed == "segfault":
        ctypes.string_at(0)
    elif deed == "hang":  # native, holding the GIL
        ctypes.PyDLL(None).pause()
    elif deed == "sleep":
        time.sleep(600)
    elif deed == "raise":
        raise ValueError("no such thing")
    elif deed == "exit":
        raise SystemExit(3)
    elif deed == "allocate":
        np.ones(50 * 2**30, dtype=np.uint8)
    elif deed == "text":
        return "not bytes"
    elif deed == "chatter":
        os.system("echo chatter; echo chatter >&2")
        sys.stdout.write("chatter")
    return _payload(frame, "run")


def cheap(frame, argument, trouble):
    if argument.get(_name(frame) + "!") == "raise":
        raise RuntimeError("the fall-back as well")
    return _payload(frame, "fall_back", trouble)


def account(frame, argument, trouble):
    return _payload(frame, "give_up", trouble)


def _payload(frame, by, trouble=None):
    keys = [column for column in frame.columns if column.startswith("k")]
    return json.dumps(
        {
            "key": [value if isinstance(value, str) else int(value) for value in frame[keys].iloc[0]],
            "by": by,
            "rows": len(frame),
            "t": [int(frame["t"].iloc[0]), int(frame["t"].iloc[-1])],
            "y": float(np.nansum(frame["y"].to_numpy())).hex(),
            "status": trouble and trouble.status,
            "code": trouble and trouble.code,
            "message": trouble and trouble.message,
        }
    ).encode()


def environment(frame, argument):
    """What the child sees: its threads, limits and streams."""
    import resource
    import signal

    from threadpoolctl import threadpool_info

    return json.dumps(
        {
            "pid": os.getpid(),
            "parent": os.getppid(),
            "threads": [pool["num_threads"] for pool in threadpool_info()],
            "omp": os.environ.get("OMP_NUM_THREADS"),
            "limit": resource.getrlimit(resource.RLIMIT_AS)[0],
            "sigint": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
            "stdout": os.readlink("/proc/self/fd/1"),
            "main": getattr(sys.modules["__main__"], "__file__", None),
            "modules": sorted(name for name in sys.modules if "." not in name),
            "package": str(Path(sys.modules["many_models"].__file__).parent),
        }
    ).encode()


def job(deeds=None, deadline_seconds=None, run=summarise):
    return GroupJob(run, cheap, account, deeds or {}, deadline_seconds)


def with_attachment(frame, argument, attachment):
    """What `summarise` says, and what was attached."""
    said = json.loads(summarise(frame, argument))
    return json.dumps({**said, "attached": attachment.decode()}).encode()


def nap(frame, argument):
    """What `summarise` says, after the seconds that are said for the group."""
    time.sleep(argument[_name(frame)])
    return _payload(frame, "run")


def cheapest(frame, argument):
    """A payload of the size of a usual answer, for nothing."""
    return b"x" * 12_000
