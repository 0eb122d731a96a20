"""Children that outlive their engine where somebody keeps them."""

import json
import os
import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))
import engine_jobs

from many_models.engines.kept import Kind, give_back, kept_children, take


def child_of(children):
    """The process that answers."""
    rows = pd.DataFrame({"k0": ["a"], "t": [0], "y": [1.0]})
    batches = children.map(engine_jobs.job(run=engine_jobs.environment), [(0, rows)], 0.2)
    (answer,) = (answer for batch in batches for answer in batch)
    return json.loads(answer.payload)["pid"]


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_kept_children_serve_the_next_engine_and_end_with_the_context(monkeypatch, tmp_path):
    kind = Kind.of(1, None)
    with kept_children():
        children = take(kind)
        first = child_of(children)
        give_back(children, kind)
        give_back(children, kind)
        again, other = take(kind), take(kind)
        assert child_of(again) == first
        assert other is not again  # two engines at once never share a child
        monkeypatch.syspath_prepend(str(tmp_path))
        give_back(again, kind)
        assert take(Kind.of(1, None)) is not again  # its child would import from elsewhere
        with kept_children():
            assert take(kind) is not again
        assert alive(first)
    assert not alive(first)


def test_children_that_nobody_keeps_end_with_their_engine(monkeypatch):
    monkeypatch.setattr("many_models.engines.kept._idle", None)  # as outside the tests
    kind = Kind.of(1, None)
    children = take(kind)
    process = child_of(children)
    give_back(children, kind)
    assert not alive(process)
