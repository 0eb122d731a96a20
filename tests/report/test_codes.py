"""The documents name every finding code, and say what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from many_models.errors import InputError
from many_models.panel.findings import CODES
from many_models.report.codes import codes_table, with_codes

PAGE = Path(__file__).parents[2] / "docs" / "outcomes-and-findings.md"


@pytest.mark.parametrize("name", ["outcomes-and-findings.md", "guardrails.md"])
def test_page_of_findings_is_current(name):
    page = (PAGE.parent / name).read_text(encoding="utf-8")
    assert with_codes(page) == page, "run: make docs-reference"


def test_table_has_one_row_per_code():
    rows = codes_table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == list(CODES)
    assert all(row.count(" | ") == 4 for row in rows)


def test_a_page_without_marks_is_refused():
    with pytest.raises(InputError, match="put the two marks"):
        with_codes("# nothing here\n")
