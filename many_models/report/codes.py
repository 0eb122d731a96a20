"""The tables of codes and guardrails for the documents: `python -m many_models.report.codes PAGE ...`."""

from __future__ import annotations

import sys
from pathlib import Path

from many_models.errors import InputError, Problem
from many_models.panel.findings import CODES
from many_models.panel.guardrails import GUARDRAILS

BEGIN, END = "<!-- codes: begin -->", "<!-- codes: end -->"
RAILS_BEGIN, RAILS_END = "<!-- guardrails: begin -->", "<!-- guardrails: end -->"


def guardrails_table() -> str:
    """The guardrails as a Markdown table, in the order in which data pass them."""
    lines = ["| guardrail | looks at | findings it can give | `count` where passed |", "|---|---|---|---|"]
    for rail in GUARDRAILS:
        codes = ", ".join(f"`{code}` ({CODES[code].state})" for code in rail.codes)
        lines.append(f"| `{rail.name}` | {rail.looks_at} | {codes} | {rail.counts} |")
    return "\n".join(lines)


def codes_table() -> str:
    """The finding codes as a Markdown table, in the order of the code."""
    lines = ["| code | severity | state | meaning | what to do |", "|---|---|---|---|---|"]
    for name, code in CODES.items():
        meaning = code.meaning.format(count="*n*").replace("|", "\\|")
        action = (code.action or "–").replace("|", "\\|")
        lines.append(f"| `{name}` | {code.severity} | {code.state} | {meaning} | {action} |")
    return "\n".join(lines)


def with_codes(page: str) -> str:
    """The page with the tables between their marks; everything else as it was.

    Raises
    ------
    InputError
        Where it has the marks of neither table.
    """
    tables = ((BEGIN, END, codes_table), (RAILS_BEGIN, RAILS_END, guardrails_table))
    found = False
    for begin, end, table in tables:
        before, has_begin, rest = page.partition(begin)
        _, has_end, after = rest.partition(end)
        if has_begin and has_end:
            page, found = f"{before}{begin}\n{table()}\n{end}{after}", True
    if not found:
        raise InputError(
            Problem("page", "no marks", f"{BEGIN} … {END}", "put the two marks where the table belongs")
        )
    return page


if __name__ == "__main__":
    for name in sys.argv[1:]:
        target = Path(name)
        target.write_text(with_codes(target.read_text(encoding="utf-8")), encoding="utf-8")
