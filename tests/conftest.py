"""What every test may use: the folder of real data, or a skip that says so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no mistake: no test asserts a time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets (MANY_MODELS_DATA, else ../shared/data beside the repository)."""
    folder = Path(os.environ.get("MANY_MODELS_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set MANY_MODELS_DATA")
    return folder
