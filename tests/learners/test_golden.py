"""Models that an earlier release stored are read, and forecast what they forecast then."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from many_models.bundle.container import unpack
from many_models.learners.table import learner, learner_names

GOLDEN = Path(__file__).parent / "golden"
FILES = sorted(GOLDEN.glob("*.json"))


def maker():
    """The script that wrote the files, for the future they were asked for."""
    place = importlib.util.spec_from_file_location("make_golden", Path(__file__).parent / "make_golden.py")
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_a_stored_model_forecasts_what_it_did(file):
    expected = json.loads(file.read_text())
    _, future = maker().golden_series()
    model = learner(expected["learner"]).load(unpack(file.with_suffix(".bin").read_bytes()))
    forecast = model.predict(future if expected["uses_known"] else future.without_known())
    # Exact on the machine that stored it; another processor's mathematics may differ in the last bits.
    np.testing.assert_allclose(forecast.mean, expected["mean"], rtol=1e-9)
    np.testing.assert_allclose(forecast.median, expected["median"], rtol=1e-9)


def test_every_learner_has_a_golden_model():
    assert {json.loads(f.read_text())["learner"] for f in FILES} == set(learner_names())
