"""Names in a figure: at the ends of curves, above vertical lines, in a corner."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from quantlab.lab.plots.figure import BLACK, DPI, colour, short


def label_ends(ax: Axes, ends: Mapping[str, tuple[float, float]], colours: Mapping[str, str]) -> None:
    """Write each series' name at the right end of its curve, moved apart where names would overlap."""
    fig = ax.figure
    fig.get_layout_engine().execute(fig)  # the positions are known only then
    gap = 15.0 * DPI / 72.0  # one line of text, in pixels
    box = ax.get_window_extent()
    wanted = {name: float(np.clip(ax.transData.transform(xy)[1], box.y0, box.y1)) for name, xy in ends.items()}
    names = sorted(wanted, key=lambda name: wanted[name])
    placed: list[float] = []
    for name in names:
        placed.append(max(wanted[name], placed[-1] + gap) if placed else wanted[name])
    excess = placed[-1] - box.y1
    if excess > 0:  # pushed over the top: move the stack down, as far as needed
        placed[-1] -= excess
        for i in range(len(placed) - 2, -1, -1):
            placed[i] = min(placed[i], placed[i + 1] - gap)
    for name, y in zip(names, placed, strict=True):
        at = (1.015, float(ax.transAxes.inverted().transform((0.0, y))[1]))
        ax.annotate(name, at, xycoords="axes fraction", color=colours[name], va="center", annotation_clip=False)


def vertical_marks(ax: Axes, marks: Mapping[str, float] | None) -> None:
    """Draw named vertical lines; the names stand above the axes, in a second row where the first is taken."""
    if not marks:
        return
    fig = ax.figure
    placed = []
    for name, at in sorted(marks.items(), key=lambda item: item[1]):
        ax.axvline(at, color=BLACK, linewidth=1.2, linestyle="--")
        text = ax.annotate(
            name, (at, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points", ha="center"
        )
        placed.append(text)
    ax.set_title(ax.get_title("left"), pad=10 + 16)
    fig.get_layout_engine().execute(fig)  # the positions are known only then
    rows = [-np.inf]
    for text in placed:
        box = text.get_window_extent()
        free = next((row for row, end in enumerate(rows) if box.x0 > end + 6), len(rows))
        rows += [-np.inf] * (free == len(rows))
        rows[free] = box.x1
        text.xyann = (0, 3 + 16 * free)
    ax.set_title(ax.get_title("left"), pad=10 + 16 * len(rows))


def mark_notes(marks: Mapping[str, float] | None) -> tuple[str, ...]:
    """Return the positions of marks as lines of text."""
    return tuple(f"mark {name}: {short(float(at))}" for name, at in (marks or {}).items())


def name_corner(ax: Axes, names: Sequence[str]) -> None:
    """Write the series' names in their colours into the upper left corner: a legend without keys to look up."""
    for i, name in enumerate(names):
        ax.annotate(
            name,
            (0.0, 1.0),
            xycoords="axes fraction",
            xytext=(8, -8 - 16 * i),
            textcoords="offset points",
            color=colour(i),
            va="top",
            weight="bold",
        )


def log_axis(ax: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic: plain numbers on a short one, powers of ten on a long one."""
    ax.set(**{f"{which}scale": "log"})
    axis = {"x": ax.xaxis, "y": ax.yaxis}[which]
    low, high = axis.get_view_interval()
    if high / low < 1e7:
        axis.set_major_formatter(FuncFormatter(lambda v, _: short(v)))
