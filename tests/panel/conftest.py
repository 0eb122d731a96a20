"""A stand-in for the data section of the configuration: the attributes that the panel floor reads."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


@pytest.fixture
def data_spec():
    def make(**given):
        defaults = {
            "path": None,
            "time": "when",
            "target": "sales",
            "series": ("store",),
            "group": None,
            "timezone": None,
            "frequency": "auto",
            "label": "start",
            "absent": "unknown",
            "known": (),
            "past": (),
            "static": (),
            "kinds": {},
            "context": None,
            "mask": None,
            "closed": None,
        }
        return SimpleNamespace(**(defaults | given))

    return make
