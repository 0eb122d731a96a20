"""The contract of engines: they move frames to functions and bytes back, and know nothing of forecasting.

An engine opens a source as a canonical `Panel`, lists its groups, and maps a `GroupJob` over
them. Every group runs in a guarded child process: a child that raises, crashes, hangs or
outgrows its memory costs one group. What comes back is bytes; the driver is the only writer.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import pandas as pd

if TYPE_CHECKING:
    from many_models.panel.allowance import Allowance
    from many_models.panel.layout import Layout


@dataclass(frozen=True)
class Trouble:
    """Why a group's function did not answer.

    Attributes
    ----------
    status
        TIMED_OUT (its deadline passed) or FAILED (it raised, crashed or outgrew its memory).
    code
        Stable reason code: DEADLINE, EXCEPTION, CRASHED, MEMORY.
    message
        For a person: the exception's type and text, or the signal.
    seconds
        How long it ran.
    """

    status: Literal["TIMED_OUT", "FAILED"]
    code: str
    message: str
    seconds: float


@dataclass(frozen=True)
class GroupJob:
    """What is done with each group; all functions are importable by name and the argument is data.

    Attributes
    ----------
    run
        `(frame, argument) -> bytes`: the group function, or, where the map has attachments,
        `(frame, argument, attachment) -> bytes`. Runs in a guarded child.
    fall_back
        `(frame, argument, trouble) -> bytes`: the cheap answer, in a fresh child, when `run` did not answer.
    give_up
        `(frame, argument, trouble) -> bytes`: accounts for the group without a child, when that failed too.
    argument
        Handed to all three.
    deadline_seconds
        Wall time for `run`, after which the child is killed: of every group, or of each by its size; None
        is none.
    """

    run: Callable[..., bytes]
    fall_back: Callable[[pd.DataFrame, Any, Trouble], bytes]
    give_up: Callable[[pd.DataFrame, Any, Trouble], bytes]
    argument: Any
    deadline_seconds: float | Allowance | None = None


@dataclass(frozen=True)
class GroupAnswer:
    """The bytes one group gave, whichever of the job's three functions gave them."""

    group: int
    payload: bytes


Tell: TypeAlias = Callable[[str, Mapping[str, Any]], None]
"""Takes the name of an event and what there is to say of it."""


def nobody(event: str, facts: Mapping[str, Any]) -> None:
    """Hears of events and says nothing."""


class Panel(Protocol):
    """A canonical panel on an engine, grouped by model key.

    Attributes
    ----------
    layout
        What its columns are.
    groups
        One row per group in key order: the group's canonical key columns (`k0` …), `rows`,
        `series` (how many series it holds). The index is the group's number, from 0.
    rows
        Rows of the input.
    """

    layout: Layout
    groups: pd.DataFrame
    rows: int

    def sample(self, groups: int) -> pd.DataFrame:
        """The canonical rows of some groups, evenly spaced in key order: the same on every engine."""

    def last_observed(self) -> int | None:
        """The greatest canonical time `t` at which any target is observed; None when there is none."""

    def map(
        self,
        job: GroupJob,
        groups: list[int],
        attachments: Mapping[int, bytes] | None = None,
        tell: Tell = nobody,
    ) -> Generator[list[GroupAnswer]]:
        """The answers for these groups, in batches as they come: each group exactly once.

        Local: a batch every few seconds. Spark: a few for each wave. Where nothing came for some seconds
        a batch is empty, so that whoever reads can look whether to go on. Closing the iterator cancels.
        `tell` hears what becomes of the engine's own work (on Spark: of waves, and of tasks that were tried
        again). With `attachments` every group's bytes travel beside its rows to `job.run`; they are looked
        up when the group's turn comes.
        """

    def regrouped(self, group: tuple[int, ...]) -> Panel:
        """The same rows, grouped by the key columns at these positions; the source is not read again.

        Of use until the panel it was made from is closed; closing it by itself is not needed.
        """

    def clustered(self, numbers: Sequence[int]) -> Panel:
        """The same rows in one group for each of these numbers (from 0), one number per group of this panel.

        Its layout names no column that identifies a group.
        """

    def close(self) -> None:
        """Removes what was staged and frees the children."""


class Engine(Protocol):
    """Reads sources and opens them as panels."""

    name: str
    """`local` or `spark`."""

    def open(self, source: Any, data: Any, staging: Path, cutoff: int | str | None = None) -> Panel:
        """The canonical panel of a source.

        Parameters
        ----------
        source
            A pandas DataFrame, a Spark DataFrame (Spark only), a path, or None to read
            `data.path` / `data.table`.
        data
            The `DataSpec`: which columns are what.
        staging
            Folder for what has to be written once; removed by `Panel.close`.
        cutoff
            A stamp in the user's terms: later rows are not read.

        Raises
        ------
        DataError
            With every problem of the table at once.
        EngineError, StorageError
            When the cluster or a disk fails.
        """

    def describe(self) -> dict[str, str]:
        """Name, workers and versions, for the run's summary."""

    def close(self) -> None:
        """Ends what the engine started itself."""
