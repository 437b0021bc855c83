"""The plots of the lessons. Each call shows exactly one figure, as a picture and as text.

``title=`` and ``alt=`` are always needed: the title says what to see, ``alt`` describes the figure for a reader who
cannot see it. Values that differ from machine to machine do not belong into a compared cell: round them first.
"""

from quantlab.lab.plots.curves import lines, roofline, staircase
from quantlab.lab.plots.distributions import channel_ranges, histogram, number_line
from quantlab.lab.plots.figure import canvas, collect, show
from quantlab.lab.plots.tables import bars, heatmap, images

__all__ = [
    "bars",
    "canvas",
    "channel_ranges",
    "collect",
    "heatmap",
    "histogram",
    "images",
    "lines",
    "number_line",
    "roofline",
    "show",
    "staircase",
]
