"""The report of a run: one self-contained HTML page, and the plots in it.

`page` puts the page together from `digest` (what the frames say, in small tables) and `plots`.
Nothing here trains, reads models or knows how a forecast came about.
"""

from __future__ import annotations

from many_models.report.page import report
from many_models.report.plots import plot_series

__all__ = ["plot_series", "report"]
