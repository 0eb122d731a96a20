"""Where runs are written."""

from __future__ import annotations

from many_models.runs.directory import default_directory


def test_runs_that_begin_in_one_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = []
    for _ in range(4):
        path = default_directory("sales")
        path.mkdir(parents=True)
        found.append(path.name)
    assert len(set(found)) == 4
    assert all(name.startswith("sales-2") for name in found)
