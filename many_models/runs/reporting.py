"""The HTML report of a run, written where the user asks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from many_models.errors import StorageError

if TYPE_CHECKING:
    from many_models.runs.run import Run


def write_report(run: Run, out: str | Path | None = None) -> Path:
    """The path of the page that was written; default `report.html` in the run directory."""
    from many_models.report import report

    target = Path(out) if out is not None else run.directory / "report.html"
    page = report(run)
    try:
        target.write_text(page, encoding="utf-8")
    except OSError as trouble:
        raise StorageError(f"{target}: cannot be written: {trouble.strerror or trouble}") from trouble
    return target
