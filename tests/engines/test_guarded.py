"""Guarded children: a group may raise, crash, hang or outgrow its memory, and costs only itself."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import engine_jobs

from many_models.engines.guarded import Children

LIMIT = 4 * 2**30


def frame(name, rows=3):
    return pd.DataFrame({"k0": [name] * rows, "t": range(rows), "y": [1.0] * rows})


def answers(children, job, names):
    tasks = [(number, frame(name)) for number, name in enumerate(names)]
    found = [answer for batch in children.map(job, tasks, 0.2) for answer in batch]
    assert sorted(answer.group for answer in found) == list(range(len(names)))
    return {names[answer.group]: json.loads(answer.payload) for answer in found}


@pytest.fixture(scope="module")
def children():
    children = Children(2, LIMIT)
    yield children
    children.close()


def test_every_group_answers_once_whatever_the_others_do(children):
    names = [f"good {i}" for i in range(8)]
    names[1:1] = ["segfault", "hang"]
    names[5:5] = ["raise", "allocate", "exit", "text", "hopeless", "chatter"]
    deeds = {name: name for name in names} | {"hopeless": "raise", "hopeless!": "raise"}
    found = answers(children, engine_jobs.job(deeds, deadline_seconds=1.5), names)

    assert {name: found[name]["by"] for name in names} == dict.fromkeys(names, "run") | dict.fromkeys(
        ["segfault", "hang", "raise", "allocate", "exit", "text"], "fall_back"
    ) | {"hopeless": "give_up"}
    codes = {name: (found[name]["status"], found[name]["code"]) for name in names if found[name]["code"]}
    assert codes == {
        "segfault": ("FAILED", "CRASHED"),
        "hang": ("TIMED_OUT", "DEADLINE"),
        "raise": ("FAILED", "EXCEPTION"),
        "allocate": ("FAILED", "MEMORY"),
        "exit": ("FAILED", "EXCEPTION"),
        "text": ("FAILED", "EXCEPTION"),
        "hopeless": ("FAILED", "EXCEPTION"),
    }
    assert "SIGSEGV" in found["segfault"]["message"]
    assert "in string_at" in found["segfault"]["message"]
    assert "in summarise" in found["hang"]["message"]
    assert found["raise"]["message"].startswith("ValueError: no such thing (at engine_jobs.py:")
    assert "4.0 GiB" in found["allocate"]["message"]
    assert "its fall-back: RuntimeError: the fall-back as well" in found["hopeless"]["message"]


def test_a_child_has_one_thread_a_memory_limit_no_voice_and_no_ear_for_interrupts(children):
    before = dict(os.environ)
    seen = answers(children, engine_jobs.job(run=engine_jobs.environment), ["a"])["a"]
    assert dict(os.environ) == before
    assert set(seen["threads"]) <= {1}
    assert seen["omp"] == "1"
    assert seen["limit"] == LIMIT
    assert seen["sigint"]
    assert seen["stdout"] == os.devnull
    assert seen["parent"] == os.getpid()
    assert "pytest" not in seen["modules"]


def test_children_are_kept_from_one_map_to_the_next(children):
    job = engine_jobs.job(run=engine_jobs.environment)
    first, second = (
        {seen["pid"] for seen in answers(children, job, [f"{i}" for i in range(20)]).values()} for _ in "ab"
    )
    assert first & second
    assert len(first | second) <= 2


def test_closing_the_iterator_kills_what_is_under_way(children):
    job = engine_jobs.job({"slow": "sleep"})
    batches = children.map(job, [(0, frame("quick")), (1, frame("slow")), (2, frame("slow"))], 0.1)
    assert next(filter(None, batches))[0].group == 0
    batches.close()
    assert set(answers(children, engine_jobs.job(), ["a", "b", "c"])) == {"a", "b", "c"}


def test_a_failing_source_of_tasks_is_raised(children):
    def tasks():
        yield 0, frame("a")
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(children.map(engine_jobs.job(), tasks(), 0.1))


SCRIPT = """
import sys
sys.path.insert(0, {here!r})
import engine_jobs, pandas as pd
from many_models.engines.guarded import Children
print("started", flush=True)
children = Children(1, None)
frame = pd.DataFrame({{"k0": ["a"], "t": [0], "y": [1.0]}})
job = engine_jobs.job({deeds!r}, run=engine_jobs.{run})
for batch in children.map(job, [(0, frame)], 0.1):
    if batch:
        print(len(batch), "answer", flush=True)
"""


def script(deeds=None, run="summarise"):
    return textwrap.dedent(SCRIPT).format(here=str(Path(__file__).parent), deeds=deeds or {}, run=run)


@pytest.mark.parametrize("given", ["file", "stdin"])
def test_a_script_without_a_main_guard_is_not_run_again(tmp_path, given):
    path = tmp_path / "script.py"
    path.write_text(script())
    command = [sys.executable, str(path)] if given == "file" else [sys.executable, "-"]
    done = subprocess.run(command, input=script(), capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["started", "1 answer"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_killing_the_parent_leaves_no_orphan(tmp_path):
    marker = tmp_path / "hanging"
    command = [sys.executable, "-c", script({"a": "hang", "marker": str(marker)})]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout.readline() == "started\n"
        child = _wait_for(lambda: _children_of(parent.pid))[0]
        _wait_for(marker.exists)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        _wait_for(lambda: not Path(f"/proc/{child}").exists())
    finally:
        parent.kill()
        parent.stdout.close()


def _children_of(pid):
    tasks = list(Path(f"/proc/{pid}/task").iterdir())
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def _wait_for(condition, seconds=30):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come about")
