"""Panels that need no download: a real one that ships inside a dependency, and a simulated one.

Importing this package loads no heavy library; each function imports what it reads.
"""

from __future__ import annotations

from many_models.datasets.countries import fertility
from many_models.datasets.simulator import retail, retail_truth

__all__ = ["fertility", "retail", "retail_truth"]
