"""Children kept from one engine to the next, so that short runs in one process start them once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from many_models.engines.guarded import Children


@dataclass(frozen=True)
class Kind:
    """What children must agree in to stand for one another."""

    workers: int
    memory_bytes: int | None
    path: tuple[str, ...]

    @classmethod
    def of(cls, workers: int, memory_bytes: int | None) -> Kind:
        """The kind that would be started now: new places to import from want new children."""
        return cls(workers, memory_bytes, tuple(sys.path))


_turn = threading.Lock()
_idle: dict[Kind, list[Children]] | None = None


@contextmanager
def kept_children() -> Iterator[None]:
    """A context in which local engines hand their children on when they close; they end with it.

    A new child imports its libraries for seconds, which is most of what training a handful of
    series takes. A kept child keeps the environment variables that it was started with, and its
    memory between the runs. Within another such context none of that one's children are used.
    """
    global _idle
    with _turn:
        before, _idle = _idle, {}
    try:
        yield
    finally:
        with _turn:
            left, _idle = _idle, before
        for children in (one for same in left.values() for one in same):
            children.close()


def take(kind: Kind) -> Children:
    """Idle children of this kind where some are kept, else new ones."""
    with _turn:
        same = (_idle or {}).get(kind)
        return same.pop() if same else Children(kind.workers, kind.memory_bytes)


def give_back(children: Children, kind: Kind) -> None:
    """Keeps children whose engine closes where a context keeps them, and ends them elsewhere."""
    with _turn:
        if _idle is not None:
            same = _idle.setdefault(kind, [])
            if children not in same:  # an engine may be closed twice
                same.append(children)
            return
    children.close()
