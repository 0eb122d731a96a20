"""One suite for every engine: local, Spark classic, Spark Connect and a real standalone cluster.

Each engine answers the cases of `engine_cases` in a process of its own (`engine_host`), since
classic Spark and Connect cannot live in one; here the answers are compared, and those of the
local engine are checked against what a person would say.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import engine_cases

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from cluster import cluster

HERE = Path(__file__).parent
pytestmark = pytest.mark.timeout(900)
KINDS = [
    "local",
    *(pytest.param(kind, marks=pytest.mark.spark) for kind in ("classic", "connect", "standalone")),
]
_told = {}


def ask(kind, folder, master="", **environment):
    """What a host process of this kind answers."""
    command = [sys.executable, str(HERE / "engine_host.py"), kind, str(folder), *([master] if master else [])]
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    host = subprocess.run(
        command,
        env={**plain, "SPARK_LOCAL_IP": "127.0.0.1", **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert host.returncode == 0, host.stderr[-5000:]
    return json.loads((folder / "answers.json").read_text())


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Kind of engine -> its answers, asked for once."""

    def of(kind):
        if kind not in _told:
            if kind != "local":
                pytest.importorskip(
                    "pyspark", reason="pyspark is not installed: pip install 'many-models[spark]'"
                )
                if shutil.which("java") is None:
                    pytest.skip("no Java on PATH: the Spark engine was not tested")
            folder = tmp_path_factory.mktemp(kind)
            if kind == "standalone":
                python = bare_python(tmp_path_factory.mktemp("bare") / "venv")
                with cluster(tmp_path_factory.mktemp("cluster")) as found:
                    _told[kind] = ask(kind, folder, found.master, PYSPARK_PYTHON=python)
            else:
                _told[kind] = ask(kind, folder)
        return _told[kind]

    return of


def bare_python(folder):
    """A Python that finds our dependencies but not this package, however it is installed here."""
    import numpy

    venv.create(folder, with_pip=False, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    # a .pth that another .pth brings in is not read: an editable install stays unseen
    (site / "dependencies.pth").write_text(str(Path(numpy.__file__).parent.parent) + "\n")
    python = folder / "bin" / "python"
    found = subprocess.run([python, "-c", "import many_models"], cwd=folder, capture_output=True, check=False)
    if found.returncode == 0:
        pytest.skip("this package is installed beside its dependencies: shipping it cannot be tested")
    return str(python)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", engine_cases.CASES)
def test_every_engine_answers_alike(told, kind, case):
    answer = told(kind)[case]
    assert "crashed" not in answer, answer["crashed"]
    assert answer == told("local")[case]


@pytest.mark.parametrize(
    ("kind", "name", "session", "master"),
    [
        ("local", "local", None, None),
        pytest.param("classic", "spark", "classic", "local[2]", marks=pytest.mark.spark),
        pytest.param("connect", "spark", "connect", "local[2]", marks=pytest.mark.spark),
        pytest.param("standalone", "spark", "classic", "spark://", marks=pytest.mark.spark),
    ],
)
def test_the_engine_was_the_one_it_is_called(told, kind, name, session, master):
    described = told(kind)["describe"]
    assert (described["name"], described.get("session"), described["workers"]) == (name, session, "2")
    assert (described.get("master") or "").startswith(master or "")


@pytest.mark.parametrize("kind", KINDS)
def test_children_are_quiet_and_single_threaded(told, kind):
    package = told(kind)["package"]
    assert (package["omp"], package["stdout"], package["sigint"]) == ("1", "/dev/null", True)


@pytest.mark.spark
@pytest.mark.parametrize("kind", ["connect", "standalone"])
def test_workers_that_lack_the_package_are_sent_it(told, kind):
    assert ".zip" in told(kind)["package"]["package"]


def test_rows_and_groups_are_what_a_person_would_say(told):
    answer = told("local")["odd_names_and_keys"]
    assert answer["groups"]["columns"] == ["k1", "rows", "series"]
    assert answer["groups"]["rows"] == [
        ["../x", 5, 1],
        ["007", 10, 2],
        ["NA", 5, 1],
        ["a b/c", 5, 1],
        ["Ōsaka 🍊", 5, 1],
    ]
    rows = answer["canonical"]["rows"]
    assert len(rows) == answer["rows"] == 30
    assert rows == sorted(rows, key=lambda row: (row[1], row[0], row[2]))
    assert rows[0][:2] == [2**62 + 1, "../x"]
    assert answer["two"]["rows"] == [row for row in rows if row[1] in ("../x", "NA")]
    assert answer["left"] == []


def test_text_stays_text(told):
    answer = told("local")["text_files"]
    assert [row[0] for row in answer["groups"]["rows"]] == ["007", "08", "NA"]
    assert ["NA", 1704067200000000, (2.0).hex(), None, "two\nlines"] in answer["canonical"]["rows"]


def test_one_bad_group_costs_only_itself(told):
    answer = {row[0][0]: row[1:] for row in told("local")["one_bad_group_costs_only_itself"]}
    # the last figure: tried once, on every engine, whatever became of it
    assert [answer[f"good {i}"] for i in range(6)] == [["run", 3, None, None, 1]] * 6
    assert answer["segfault"] == ["fall_back", 3, "FAILED", "CRASHED", 1]
    assert answer["hang"] == ["fall_back", 3, "TIMED_OUT", "DEADLINE", 1]
    assert answer["raise"] == answer["exit"] == ["fall_back", 3, "FAILED", "EXCEPTION", 1]
    assert answer["allocate"] == ["fall_back", 3, "FAILED", "MEMORY", 1]
    assert answer["hopeless"] == ["give_up", 3, "FAILED", "EXCEPTION", 1]


def test_a_long_series_has_more_time_and_gives_none_to_a_short_one(told):
    answer = told("local")["each_group_has_the_time_of_its_own_size"]
    assert answer == [[["long"], "run", None], [["short"], "fall_back", "DEADLINE"]]


def test_groups_are_cut_again_and_carry_what_is_attached(told):
    answer = told("local")["groups_are_cut_again_and_carry_what_is_attached"]
    assert [row[0] for row in answer["groups"]["rows"]] == [f"i{i}" for i in range(5)]
    keys = [[f"s{s}", f"i{i}"] for s in range(3) for i in range(5)]
    assert [row[:2] for row in answer["series"]["rows"]] == keys
    assert {row[3] for row in answer["series"]["rows"]} == {1}
    for number, said in enumerate(answer["by series"]):
        assert said["key"] == keys[number]
        if said["key"][0] == "s1":
            assert (said["by"], said.get("attached")) == ("fall_back", None)
        else:
            assert said["attached"] == f"{number} says {'x' * number}"


def test_a_cutoff_date_keeps_its_whole_day(told):
    whole, until = told("local")["a_day_is_cut_off_whole"]
    assert (whole["rows"], until["rows"]) == (2 * 2, 2 * 4)


def test_rows_after_the_cutoff_decide_nothing(told):
    early, whole, bad_cutoff = told("local")["later_rows_are_not_read"]
    assert early["layout"]["keys"] == [{"name": "shop", "kind": "integer"}]
    assert "wrong" in whole["problems"][0]
    assert "2023" in bad_cutoff["problems"][0]


def test_siblings_have_columns_where_they_are_few(told):
    shops, items, *_ = told("local")["columns_of_the_siblings"]
    names = [[c["name"] for c in case["layout"]["covariates"] if c["derived"]] for case in (shops, items)]
    assert names[0] == ["context(price).min", "context(price).mean", "context(ad).min", "context(ad).mean"]
    assert names[1][2:4] == ["context(price)[a]", "context(price)[b]"]


def test_a_missing_file_is_named_with_its_neighbour(told):
    (problem,) = told("local")["a_path_that_is_not_there"]
    assert problem.startswith("FOLDER/slaes.parquet: found no such file in FOLDER")
    assert "did you mean 'sales.parquet'?" in problem
