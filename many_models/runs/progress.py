"""Progress bars on stderr with the time that is left; silent where nobody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Progress:
    """Shows long work; `visible` False shows nothing."""

    def __init__(self, visible: bool = True) -> None:
        self.visible = visible

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar for `total` things; the function it gives takes how many are done."""
        if not self.visible:
            yield lambda done: None
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        console = Console(stderr=True)
        watched = console.is_terminal or console.is_jupyter
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Bars(*columns, console=console, disable=not watched) as bars:
            task = bars.add_task(what, total=total)
            yield lambda done: bars.update(task, completed=done)


def silent() -> Progress:
    """Progress that says nothing."""
    return Progress(visible=False)
