"""Resuming: a killed run goes on where it stopped, with the same results, and nothing mixed."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from many_models import ForecastSpec, resume, train
from many_models.automl.pilot import neutral
from many_models.cli.main import app
from many_models.datasets import retail
from many_models.errors import Cancelled, DataError, InputError, LookupFailed, SpecError, StorageError
from many_models.runs.directory import RunDirectory, staging_of
from many_models.runs.journal import sole_writer

FOLDERS = ("results", "forecasts", "totals", "backtest", "leaderboard", "findings", "lineage", "models")
# what a clock says, and what names the run, differ between any two runs
CLOCKS = ["seconds", "fit_seconds", "predict_seconds", "run_id"]


QUICK = ["drift", "average", "theta"]


def rows_of(folder, name):
    """The rows of a folder without what a clock says, in a fixed order."""
    frame = pd.read_parquet(Path(folder) / name)
    frame = frame.drop(columns=[c for c in CLOCKS if c in frame.columns])
    if name == "models":
        return frame.drop_duplicates("content_id").sort_values("content_id", ignore_index=True)
    keys = [c for c in ("store", "item") if c in frame.columns]
    return frame.sort_values(keys, kind="stable", ignore_index=True)


def assert_same(run, other):
    for name in FOLDERS:
        pd.testing.assert_frame_equal(rows_of(run, name), rows_of(other, name), check_exact=True)


@pytest.fixture(scope="module")
def shop(tmp_path_factory, retail_spec):
    """A table of 12 series on disk, its configuration, and the undisturbed run."""
    folder = tmp_path_factory.mktemp("shop")
    frame = retail(stores=3, items=4, periods=40, frequency="W", future=4, seed=3)
    frame.to_parquet(folder / "sales.parquet")
    spec = retail_spec(
        **{"data.path": str(folder / "sales.parquet"), "engine.workers": 1, "learners.allow": QUICK}
    )
    spec = spec.replace({"features.holidays": None})
    (folder / "spec.yaml").write_text(spec.to_yaml())
    train(None, spec, run_dir=folder / "whole")
    return folder


def killed_run(shop, run_dir, after, seconds=60.0):
    """Whether a training process was killed, the hard way, once `after` batches were written."""
    code = (
        "import sys\n"
        "from many_models.engines import local\n"
        "local.BATCH_SECONDS = 0.02\n"  # small batches, so that a kill falls between many
        "from many_models import ForecastSpec, resume, train\n"
        "config, run, again = sys.argv[1:]\n"
        "resume(run) if again == 'resume' else train(None, ForecastSpec.from_yaml(config), run_dir=run)\n"
    )
    again = "resume" if (run_dir / "journal").is_dir() else "train"
    command = [sys.executable, "-c", code, str(shop / "spec.yaml"), str(run_dir), again]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        if len(list((run_dir / "results").glob("part-*.parquet"))) > after:
            os.killpg(process.pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    _, err = process.communicate(timeout=30)
    assert process.returncode in (0, -signal.SIGKILL), err.decode()
    return process.returncode != 0


def half_run(shop, run_dir, batches=1):
    """A run that was killed when it had so many batches, made without a process: cancelled after them."""
    from many_models.engines import local

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "BATCH_SECONDS", 0.0)
        bar = CancelAfter(run_dir, batches)
        with pytest.raises(Cancelled, match="many-models resume"):
            train(None, ForecastSpec.from_yaml(shop / "spec.yaml"), run_dir=run_dir, progress=bar)
    return run_dir


@pytest.fixture(scope="module")
def stopped(shop, tmp_path_factory):
    """A run that was cancelled after three batches; starting children costs seconds, so it is made once."""
    return half_run(shop, tmp_path_factory.mktemp("half") / "run", batches=3)


@pytest.fixture
def half(stopped, tmp_path):
    """A copy of the half run of its own."""
    return Path(shutil.copytree(stopped, tmp_path / "run"))


class CancelAfter:
    """Progress that puts the file `cancel` into the run after some batches."""

    def __init__(self, run_dir, batches):
        self.run_dir, self.left = run_dir, batches + 1  # the first step tells what is there already

    def bar(self, what, total):
        from contextlib import nullcontext

        return nullcontext(self.step)

    def step(self, done):
        self.left -= 1
        if self.left == 0:
            (self.run_dir / "cancel").touch()


def test_killed_runs_resume_to_the_same_results_and_refit_nothing(shop, tmp_path):
    draw = random.Random(5)
    run_dir, kills, finished = tmp_path / "run", 0, set()
    for after in (draw.randrange(0, 3), draw.randrange(4, 8)):
        kills += killed_run(shop, run_dir, after)
        rows = pd.read_parquet(run_dir / "results")
        stamps = dict(zip(zip(rows["store"], rows["item"], strict=True), rows["seconds"], strict=True))
        assert finished <= set(stamps.items())  # what was finished is not fitted again
        finished = set(stamps.items())
    assert kills == 2
    run = resume(run_dir)
    assert run.summary["resumed"] == {"times": 2, "kept": len(finished), "refitted": 0}
    assert run.summary["series"] == 12
    assert len(run.results()) == 12
    assert_same(run_dir, shop / "whole")
    whole = json.loads((shop / "whole" / "summary.json").read_text())
    assert run.summary["outcomes"] == whole["outcomes"]
    assert run.summary["bias"] == pytest.approx(whole["bias"])
    assert not [p for p in run_dir.rglob(".*") if p.is_file()]


def test_rows_of_a_batch_that_was_not_finished_are_written_once(shop, half):
    assert (half / "cancel").exists()
    assert 0 < len(pd.read_parquet(half / "results")) < 12
    last = max((half / "results").glob("part-*.parquet"))
    last.unlink()  # killed after the other folders, before results
    (half / "results" / ".part-000009-deadbeef.parquet").write_bytes(b"half")
    run = resume(half)
    assert run.summary["resumed"]["kept"] > 0
    assert not run.forecasts().duplicated(["store", "item", "step"]).any()
    assert_same(half, shop / "whole")
    assert not list(half.rglob(".part-*"))
    assert not (half / "cancel").exists()


def test_a_run_killed_before_its_first_batch_begins_anew(shop, half):
    (half / "journal" / "plan.json").unlink()
    for folder in FOLDERS:
        for part in (half / folder).glob("part-*[1-9].parquet"):
            part.unlink()
    assert_same(resume(half).directory, shop / "whole")


def test_a_run_cancelled_in_its_pilot_begins_anew(shop, tmp_path):
    spec = ForecastSpec.from_yaml(shop / "spec.yaml").replace({"validation.pilot": 10})
    run_dir = tmp_path / "run"
    with pytest.raises(Cancelled, match="many-models resume"):
        train(None, spec, run_dir=run_dir, progress=CancelAfter(run_dir, 0))
    assert not (run_dir / "results").exists()
    assert len(resume(run_dir).results()) == 12


def test_a_changed_configuration_is_refused_by_name(half):
    text = (half / "spec.yaml").read_text()
    (half / "spec.yaml").write_text(text.replace("horizon: 4", "horizon: 5"))
    before = sorted(half.rglob("*"))
    with pytest.raises(SpecError, match=r"forecast\.horizon"):
        resume(half)
    assert sorted(half.rglob("*")) == before


def test_changed_data_of_a_finished_series_are_refused_by_key(shop, half):
    first = pd.read_parquet(half / "results").iloc[0]
    frame = pd.read_parquet(shop / "sales.parquet")
    mine = (frame["store"] == first["store"]) & (frame["item"] == first["item"])
    other = frame.copy()
    other.loc[frame.index[mine][10], "sales"] += 1
    with pytest.raises(DataError, match=f"1 of .* finished groups.*{first['store']}/{first['item']}"):
        resume(half, data=other)
    with pytest.raises(DataError, match="1 groups with more or fewer rows"):
        resume(half, data=frame.drop(index=frame.index[mine][10]))
    with pytest.raises(DataError, match="1 groups gone"):
        resume(half, data=frame[~mine])


def test_the_fingerprint_tells_values_from_the_order_of_rows(shop, half):
    frame = pd.read_parquet(shop / "sales.parquet")
    shuffled = frame.sample(frac=1, random_state=1)
    assert_same(resume(half, data=shuffled).directory, shop / "whole")


def test_a_run_of_a_data_frame_wants_the_frame_again(half):
    begin = half / "journal" / "begin.json"
    begin.write_text(json.dumps({**json.loads(begin.read_text()), "source": "frame", "path": None}))
    told = CliRunner().invoke(app, ["resume", str(half)], standalone_mode=False)
    assert isinstance(told.exception, DataError)
    assert "data=frame" in str(told.exception)


def test_two_processes_do_not_write_one_run(half):
    lock = half / ".many-models.lock"
    lock.write_text(json.dumps({"pid": os.getpid(), "host": "elsewhere", "born": None}))
    with pytest.raises(InputError, match=r"process \d+ on elsewhere"):
        resume(half)
    lock.unlink()
    with sole_writer(half), pytest.raises(InputError, match=f"process {os.getpid()} on"):
        resume(half)
    assert not lock.exists()


def test_the_lock_of_a_process_that_is_gone_is_taken_over(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    lock = tmp_path / ".many-models.lock"
    lock.write_text(json.dumps({"pid": gone.pid, "host": socket.gethostname(), "born": "1"}))
    with sole_writer(tmp_path):
        assert json.loads(lock.read_text())["pid"] == os.getpid()
    assert not lock.exists()


def test_of_many_that_take_over_a_lock_at_once_one_has_it(tmp_path):
    dead = json.dumps({"pid": 2**22 + 1, "host": socket.gethostname(), "born": "1"})
    crowd = threading.Barrier(8)

    def enter(_):
        crowd.wait()
        try:
            with sole_writer(tmp_path):
                crowd.wait()
                return True
        except InputError:
            crowd.wait()
            return False

    for _ in range(20):
        (tmp_path / ".many-models.lock").write_text(dead)
        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(enter, range(8))) == 1


def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(shop, tmp_path):
    run_dir = tmp_path / "run"
    spec = ForecastSpec.from_yaml(shop / "spec.yaml")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # what a batch needs, nothing else does
    try:
        with pytest.raises(StorageError, match=r"File too large; finished series are kept"):
            train(None, spec, run_dir=run_dir, prior=neutral())  # it is small
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    results = resume(run_dir).results()
    assert len(results) == 12
    assert set(results["status"]) == {"TRAINED"}


@pytest.mark.parametrize("instead", ["nothing", "a file"])
def test_a_folder_that_vanishes_is_a_storage_error(half, instead):
    journal = RunDirectory(half).journal
    shutil.rmtree(journal.folder)
    if instead == "a file":
        journal.folder.write_text("")
    with pytest.raises(StorageError, match=r"part-000009.*cannot be written"):
        journal.note(9, {1: b"x" * 16}, 1.0)
    with pytest.raises(StorageError, match=r"selection.*cannot be written"):
        journal.note_selection({})


def test_what_a_killed_run_had_staged_elsewhere_is_removed(half, tmp_path):
    place = tmp_path / "staging"
    text = (half / "spec.yaml").read_text()
    (half / "spec.yaml").write_text(text.replace("staging: null", f"staging: {place}"))
    mine, other = staging_of(half, str(place)), staging_of(tmp_path / "other", str(place))
    for folder in (mine, other):
        (folder / "rows").mkdir(parents=True)
    assert len(resume(half).results()) == 12
    assert (mine.exists(), other.exists()) == (False, True)


def test_a_finished_run_has_nothing_to_do(shop):
    told = CliRunner().invoke(app, ["resume", str(shop / "whole")], standalone_mode=False)
    assert "nothing to do" in told.output
    before = sorted(p.stat().st_mtime_ns for p in (shop / "whole").rglob("*"))
    resume(shop / "whole")
    assert sorted(p.stat().st_mtime_ns for p in (shop / "whole").rglob("*")) == before


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(LookupFailed, match="nothing there"):
        resume(tmp_path / "none")


def test_refused_data_leave_no_folder(retail_frame, retail_spec, tmp_path):
    with pytest.raises(DataError):
        train(retail_frame.drop(columns="sales"), retail_spec(), run_dir=tmp_path / "a" / "run")
    assert list(tmp_path.iterdir()) == []


def test_journal_holds_every_group_once(retail_run):
    parts = sorted((retail_run.directory / "journal").glob("part-*.parquet"))
    groups = [g for part in parts for g in pq.read_table(part)["group"].to_pylist()]
    assert sorted(groups) == list(range(len(retail_run.results())))
