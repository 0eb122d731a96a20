"""What every test may use: the folder of real data or a skip that says so, and what is dear to start."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from many_models.engines.kept import kept_children

# A busy machine is no mistake: no test asserts a time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# The JVMs of these tests live for seconds, half of which a second compiler would take: the first is enough.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")

LONGEST = (
    "engines/test_engines.py",
    "runs/test_groups_spark.py",
    "faces/test_spark_scoring.py",
    "registry/test_promotion.py",
    "registry/test_store.py",
    "learners/test_contract.py",
    "cli/test_cli.py",
    "runs/test_groups.py",
    "faces/test_notebook.py",
    "faces/test_serving.py",
    "runs/test_resume.py",
    "runs/test_inheritance.py",
    "runs/test_bad_input.py",
)
"""Files that take longest go first, so that no worker of several sits alone with one at the end."""


def pytest_collection_modifyitems(items):
    """Puts the longest files first; the rest keeps its order."""
    place = {name: number for number, name in enumerate(LONGEST)}
    here = Path(__file__).parent
    items.sort(key=lambda item: place.get(item.path.relative_to(here).as_posix(), len(place)))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets (MANY_MODELS_DATA, else ../shared/data beside the repository)."""
    folder = Path(os.environ.get("MANY_MODELS_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set MANY_MODELS_DATA")
    return folder


@pytest.fixture(scope="session", autouse=True)
def children_of_all_runs():
    """The engines of this process hand their children on: to start them anew would be most of the time."""
    with kept_children():
        yield


@pytest.fixture
def fresh_children():
    """Children of its own for one test: where they have to hear of the environment."""
    with kept_children():
        yield


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A function: a folder to the URI of an empty registry in it, copied: MLflow makes one for seconds."""
    from many_models.registry import Registry

    first = tmp_path_factory.mktemp("empty_store") / "mlflow.db"

    def copy(folder):
        if not first.exists():
            Registry(f"sqlite:///{first}").reach()
        shutil.copy(first, Path(folder) / "mlflow.db")
        return f"sqlite:///{Path(folder) / 'mlflow.db'}"

    return copy
