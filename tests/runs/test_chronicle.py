"""The events of a run: what is told when, that nothing of the data is, and that a torn line harms nobody."""

from __future__ import annotations

import json
import logging

import pandas as pd
import pytest

from many_models import ForecastSpec, open_run, resume, train
from many_models.datasets import retail
from many_models.errors import Cancelled, DataError
from many_models.runs.chronicle import EVENTS, Chronicle, read_events
from many_models.runs.progress import Progress


@pytest.fixture(scope="module")
def frame():
    return retail(stores=2, items=3, periods=30, frequency="W", future=0, seed=5)


@pytest.fixture(scope="module")
def spec():
    return ForecastSpec.from_dict(
        {
            "name": "told",
            "data": {"time": "date", "target": "sales", "series": ["store", "item"]},
            "forecast": {"horizon": 2},
            "learners": {"allow": ["naive"]},
            "engine": {"workers": 1},
        }
    )


class CancelsAtOnce(Progress):
    """Asks the run to stop as soon as its training begins."""

    def __init__(self, run_dir):
        super().__init__(visible=False)
        self.run_dir = run_dir

    def bar(self, what, total):
        if what == "training":
            (self.run_dir / "cancel").touch()
        return super().bar(what, total)


def test_a_run_tells_its_steps_and_each_group_once(frame, spec, tmp_path, caplog):
    with caplog.at_level(logging.DEBUG, "many_models"):
        run = train(frame, spec, run_dir=tmp_path / "run")
    text = (tmp_path / "run" / EVENTS).read_text()
    told = [json.loads(line) for line in text.splitlines()]
    kinds = [event["event"] for event in told]
    assert kinds[0] == "run opened"
    assert kinds[-1] == "run done"
    assert told[0]["run_id"] == run.summary["run_id"]
    groups = [event for event in told if event["event"] == "group done"]
    assert sorted(event["group"] for event in groups) == list(range(6))
    assert told[-1]["outcomes"] == run.summary["outcomes"]
    # the same went to the logger, groups at DEBUG; and no item of the data was named in either
    logged = [record for record in caplog.records if record.name == "many_models.run"]
    assert len(logged) == len(told)
    assert {r.levelname for r in logged if r.getMessage().startswith("group")} == {"DEBUG"}
    for item in frame["item"].unique():
        assert item not in text
        assert item not in caplog.text
    events = open_run(tmp_path / "run").events()
    assert events["event"].tolist() == kinds
    assert str(events["at"].dt.tz) == "UTC"


def test_a_cancelled_run_says_so_and_goes_on_behind_a_torn_line(frame, spec, tmp_path, monkeypatch):
    monkeypatch.setattr("many_models.engines.local.BATCH_SECONDS", 0.001)
    run_dir = tmp_path / "run"
    with pytest.raises(Cancelled):
        train(frame, spec, run_dir=run_dir, progress=CancelsAtOnce(run_dir))
    before = [event["event"] for event in read_events(run_dir)]
    assert before[-1] == "run cancelled"
    with (run_dir / EVENTS).open("ab") as file:
        file.write(b'{"at": "2026-01-0')
    resume(run_dir, frame)
    after = [event["event"] for event in read_events(run_dir)]
    assert after[: len(before)] == before
    assert after[-1] == "run done"
    done = [event["group"] for event in read_events(run_dir) if event["event"] == "group done"]
    assert sorted(done) == list(range(6))


def test_a_run_that_came_to_nothing_leaves_no_events(frame, spec, tmp_path):
    with pytest.raises(DataError):
        train(frame, spec, run_dir=tmp_path / "run", limit=-1)
    assert not (tmp_path / "run" / EVENTS).exists()


def test_events_are_not_written_through_a_link_and_the_run_goes_on(frame, spec, tmp_path, caplog):
    outside = tmp_path / "outside"
    outside.write_text("mine\n")
    (tmp_path / EVENTS).symlink_to(outside)
    chronicle = Chronicle(tmp_path)
    chronicle.note("run opened")
    chronicle.note("run done")
    assert outside.read_text() == "mine\n"
    assert list(read_events(tmp_path)) == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # said once


def test_without_a_file_there_are_no_events(tmp_path):
    assert list(read_events(tmp_path)) == []


def test_stragglers_and_failed_groups_matter_more(tmp_path):
    chronicle = Chronicle(tmp_path)
    chronicle.notes(
        [("group failed", {"group": 1}), ("straggler", {"group": 2}), ("wave done", {"groups": 3})]
    )
    levels = pd.DataFrame(read_events(tmp_path)).set_index("event")["level"]
    assert levels.to_dict() == {"group failed": "warning", "straggler": "warning", "wave done": "info"}
