"""The notebook, run as it stands in a fresh process, without what Databricks alone understands."""

import sys
from pathlib import Path

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_train_and_find.py"
CELL = "# COMMAND ----------"


def cells_of(source):
    """The Python cells of a notebook in Databricks' source format."""
    first, *rest = source.split(CELL)
    cells = [first.replace("# Databricks notebook source", "", 1), *rest]
    return [cell.strip() for cell in cells if not cell.strip().startswith("# MAGIC")]


def test_the_notebook_runs_from_top_to_bottom(finished, tmp_path):
    source = NOTEBOOK.read_text(encoding="utf-8")
    assert source.startswith("# Databricks notebook source\n")
    cells = cells_of(source)
    assert len(cells) > 8
    check = "\n\nassert len(forecasts) == len(plan)\nassert forecasts['mean'].notna().all()\n"
    script = tmp_path / "notebook.py"
    script.write_text("\n\n".join(cells) + check, encoding="utf-8")
    (tmp_path / "scratch").mkdir()
    done = finished([sys.executable, "-W", "error", script], tmp_path, TMPDIR=str(tmp_path / "scratch"))
    assert done.returncode == 0, done.stderr[-5000:]
    # what it makes lies in the temporary folder that it names, not beside the notebook
    assert {path.name for path in tmp_path.iterdir()} == {"notebook.py", "scratch"}
