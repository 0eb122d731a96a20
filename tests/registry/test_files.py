"""Files of a version: in place or fetched once, and never outside their folder."""

from __future__ import annotations

import gc

import pytest

from many_models.errors import DamagedError
from many_models.registry import StoredFiles


def fetching(asked):
    def fetch(path, into):
        asked.append(path)
        into.mkdir()
        (into / "file").write_text(path)
        return into / "file"

    return fetch


def test_local_files_are_used_in_place(tmp_path):
    files = StoredFiles(tmp_path)
    assert files("index/00000.parquet") == tmp_path / "index/00000.parquet"
    assert files.below("data/b").folder == tmp_path / "data/b"


def test_a_remote_file_is_fetched_once_and_goes_with_its_owner():
    asked = []
    files = StoredFiles(None, fetching(asked))
    below = files.below("data")
    first = below("bundle.json")
    assert first == below("bundle.json")
    assert first.read_text() == "data/bundle.json"
    assert asked == ["data/bundle.json"]
    assert below.folder is None
    del files, below
    gc.collect()
    assert not first.exists()


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "", "a\\..\\x"])
def test_no_path_leaves_the_folder(tmp_path, path):
    with pytest.raises(DamagedError, match="leave its folder"):
        StoredFiles(tmp_path)(path)
