"""The table of finding codes for the documents: `python -m many_models.report.codes PAGE`."""

from __future__ import annotations

import sys
from pathlib import Path

from many_models.errors import InputError, Problem
from many_models.panel.findings import CODES

BEGIN, END = "<!-- codes: begin -->", "<!-- codes: end -->"


def codes_table() -> str:
    """The finding codes as a Markdown table, in the order of the code."""
    lines = ["| code | severity | state | meaning | what to do |", "|---|---|---|---|---|"]
    for name, code in CODES.items():
        meaning = code.meaning.format(count="*n*").replace("|", "\\|")
        action = (code.action or "–").replace("|", "\\|")
        lines.append(f"| `{name}` | {code.severity} | {code.state} | {meaning} | {action} |")
    return "\n".join(lines)


def with_codes(page: str) -> str:
    """The page with the table between its two marks; everything else as it was.

    Raises
    ------
    InputError
        Where the marks are missing.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise InputError(
            Problem("page", "no marks", f"{BEGIN} … {END}", "put the two marks where the table belongs")
        )
    return f"{before}{BEGIN}\n{codes_table()}\n{END}{after}"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(with_codes(target.read_text(encoding="utf-8")), encoding="utf-8")
