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
        data = defaults | given
        columns = data["series"] if data["group"] is None else data["group"]
        return SimpleNamespace(**({"group_columns": columns} | data))

    return make
