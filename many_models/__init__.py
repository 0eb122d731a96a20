"""Thousands of independent AutoML forecasters, trained, tracked, found again and used as easily as one.

>>> from many_models import ForecastSpec, open_models, open_run, train

Importing this package loads none of the heavy libraries; they are imported where they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from many_models.runs.check import check_source
    from many_models.runs.models import ModelSet, open_models
    from many_models.runs.monitor import monitor
    from many_models.runs.mutations import mutations
    from many_models.runs.promotion import promote
    from many_models.runs.resume import resume
    from many_models.runs.run import Run, open_run
    from many_models.runs.train import train
    from many_models.spec import ForecastSpec

__version__ = "0.1.0"

_HOMES = {
    "ForecastSpec": "many_models.spec",
    "ModelSet": "many_models.runs.models",
    "Run": "many_models.runs.run",
    "check_source": "many_models.runs.check",
    "monitor": "many_models.runs.monitor",
    "mutations": "many_models.runs.mutations",
    "open_models": "many_models.runs.models",
    "open_run": "many_models.runs.run",
    "promote": "many_models.runs.promotion",
    "resume": "many_models.runs.resume",
    "train": "many_models.runs.train",
}

__all__ = [
    "ForecastSpec",
    "ModelSet",
    "Run",
    "__version__",
    "check_source",
    "monitor",
    "mutations",
    "open_models",
    "open_run",
    "promote",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'many_models' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
