"""The picture of a verdict: yours beside the expected, a difference marked. Narrow, to suit a phone."""

import textwrap
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from quantlab.lab.checks.picture import Curves, Cuts, Maps, Picture, Rulers, Selection
from quantlab.lab.plots.figure import BLACK, BLUE, GREY, ORANGE, canvas, short, show, styled

WIDTH = 4.8  # inches, 460 pixels: at the width of a phone the text keeps three quarters of its size
CAPTION, TITLE = 58, 46  # characters that fit into a line
YOURS, EXPECTED = ORANGE, BLUE  # they differ in width or shape, too, for readers who see no colours


@styled
def verdict(picture: Picture) -> None:
    """Show one picture of `quantlab.lab.checks.picture`, with the marked difference in words.

    Example
    -------
    >>> x = np.arange(4.0)
    >>> verdict(Curves(title="Squares", xlabel="n", ylabel="n * n", x=x, yours=2 * x, expected=x**2))
    Squares. Two curves over n, yours and expected. Marked is n = 1: yours 2, expected 1.
      yours: n 4, min 0, max 6, mean 3
      expected: n 4, min 0, max 9, mean 3.5
      different: 2 of 4
    """
    match picture:
        case Curves():
            _curves(picture)
        case Maps():
            _maps(picture)
        case Cuts():
            _cuts(picture)
        case Selection():
            _selection(picture)
        case Rulers():
            _rulers(picture)


def _curves(p: Curves) -> None:
    fig, ax = _one(3.4, whole=bool(np.all(p.x == np.rint(p.x))))
    mine, theirs = p.names
    if p.band:
        ax.axhspan(*p.band, color="#DCDCDC", zorder=0, label="allowed")
    for row, (y, want) in enumerate(zip(p.yours, p.expected, strict=True)):
        names = (mine, theirs) if row == 0 else (None, None)
        if p.style == "dots":
            ax.plot(p.x, y, "D", color=YOURS, markersize=4.5, zorder=3, label=names[0])
            ring = {"markersize": 9.5, "markerfacecolor": "none", "markeredgewidth": 1.8}
            ax.plot(p.x, want, "o", color=EXPECTED, zorder=2, label=names[1], **ring)
            continue
        draw = partial(_steps, ax) if p.style == "steps" else ax.plot
        draw(p.x, y, color=YOURS, linewidth=1.7, zorder=3, label=names[0])
        draw(p.x, want, color=EXPECTED, linewidth=4.5, alpha=0.55, zorder=2, label=names[1])
    row, i = p.place
    got, want = p.yours[row, i], p.expected[row, i]
    ring = {"marker": "o", "markersize": 7, "markerfacecolor": "white", "markeredgewidth": 1.6}
    ax.plot([p.x[i]] * 2, [got, want], color=BLACK, linewidth=1.4, zorder=5, **ring)
    ax.set(xlabel=p.xlabel, ylabel=p.ylabel)
    _legend(ax, p.title)
    said = f"{p.xlabel} = {_number(p.x[i])}: {mine} {_number(got)}, {theirs} {_number(want)}"
    alt = f"{p.title}. Two curves over {p.xlabel}, {mine} and {theirs}. Marked is {said}."
    series = {mine: p.yours, theirs: p.expected}
    notes = (f"allowed: {_number(p.band[0])} to {_number(p.band[1])}",) if p.band else ()
    _finish(fig, p, f"marked: {said}", alt, series, notes)


def _maps(p: Maps) -> None:
    rows, columns = p.expected.shape
    wide = columns > rows
    height = float(np.clip(0.3 * rows, 0.7, 1.5)) * 2 + 1.9 if wide else 3.6
    fig, axes = canvas(height=height, rows=2 if wide else 1, columns=1 if wide else 2, sharex=True, sharey=True)
    fig.set_size_inches(WIDTH, height)
    both = np.stack([p.yours, p.expected])
    low, high = float(both.min()), float(both.max())
    bound = max(-low, high)
    span = {"cmap": "PuOr_r", "vmin": -bound, "vmax": bound} if low < 0 else {"vmin": low, "vmax": high}
    for ax, name, m, colour in zip(axes, ("yours", "expected"), both, (YOURS, EXPECTED), strict=True):
        image = ax.imshow(m, aspect="auto", interpolation="nearest", **{"cmap": "cividis", **span})
        ax.set_title(name, color=colour, fontsize=12, pad=7)
        ax.grid(visible=False)
        row, column = p.place
        for edge, width in (("white", 4.0), (BLACK, 2.0)):
            ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=edge, linewidth=width))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        ax.set_ylabel(p.ylabel if wide or name == "yours" else "")
        ax.set_xlabel(p.xlabel if not wide or name == "expected" else "")
    fig.colorbar(image, ax=list(axes), label=p.unit, pad=0.02).outline.set_visible(False)
    fig.suptitle("\n".join(textwrap.wrap(p.title, TITLE)), x=0.01, ha="left", fontsize=12.5)
    got, want = p.yours[p.place], p.expected[p.place]
    said = f"{p.ylabel} {row}, {p.xlabel} {column}: yours {_number(got)}, expected {_number(want)}"
    alt = f"{p.title}. Two maps of {rows} x {columns} values, yours and expected. Marked is {said}."
    _finish(fig, p, f"marked: {said}", alt, {"yours": p.yours, "expected": p.expected}, exact=True)


def _cuts(p: Cuts) -> None:
    fig, ax = _one(3.4)
    if p.style == "steps":
        _steps(ax, p.x, p.y, fill=True, color="#C4C4C4", zorder=1)
    else:
        ax.plot(p.x, p.y, color=GREY, linewidth=1.6, zorder=1)
    looks = {
        "yours": (p.yours, {"color": YOURS, "linewidth": 1.8, "linestyle": "--", "zorder": 3}),
        "expected": (p.expected, {"color": EXPECTED, "linewidth": 4.5, "alpha": 0.55, "zorder": 2}),
    }
    for name, (places, look) in looks.items():
        for k, at in enumerate(places):
            ax.axvline(at, label=name if k == 0 else None, **look)
    got, want = p.yours[p.place], p.expected[p.place]
    if p.style == "line":
        ring = {"markersize": 7, "markerfacecolor": "white", "markeredgewidth": 1.6}
        ax.plot([got, want], np.interp([got, want], p.x, p.y), "o", color=BLACK, zorder=5, **ring)
    ax.set(xlabel=p.xlabel, ylabel=p.ylabel)
    ax.set_ylim(bottom=min(0.0, float(p.y.min())))
    _legend(ax, p.title)
    said = f"yours {_list(p.yours)}, expected {_list(p.expected)}"
    alt = f"{p.title}. {p.ylabel} over {p.xlabel}, with vertical lines: {said}."
    _finish(fig, p, said, alt, {p.ylabel: p.y, "yours": p.yours, "expected": p.expected})


def _selection(p: Selection) -> None:
    fig, ax = _one(3.6)
    ours, theirs = p.yours > 0, p.expected > 0
    ax.plot(p.x, p.y, "o", color="#ABABAB", markersize=4, zorder=1, label="all")
    ax.plot(p.x[ours], p.y[ours], "D", color=YOURS, markersize=5, zorder=3, label="yours")
    ring = {"markerfacecolor": "none", "markeredgewidth": 1.8}
    ax.plot(p.x[theirs], p.y[theirs], "o", color=EXPECTED, markersize=10.5, zorder=2, label="expected", **ring)
    x, y = p.x[p.place], p.y[p.place]
    ax.plot([x], [y], "s", color=BLACK, markersize=17, zorder=4, **ring)
    ax.set(xlabel=p.xlabel, ylabel=p.ylabel)
    _legend(ax, p.title)
    does = ("keeps", "does not") if ours[p.place] else ("leaves out", "does not")
    said = f"{p.xlabel} {_number(x)}, {p.ylabel} {_number(y)}: yours {does[0]} this point, the expected {does[1]}"
    alt = f"{p.title}. {p.x.size} points, those kept by yours and by the expected. Marked is {said}."
    kept = (f"kept: yours {ours.sum()}, expected {theirs.sum()} of {p.x.size}",)
    _finish(fig, p, f"marked: {said}", alt, {p.xlabel: p.x, p.ylabel: p.y}, kept)


def _rulers(p: Rulers) -> None:
    fig, ax = _one(2.7)
    dense = p.expected.size > 40  # more marks than can be told apart: a bar, and its ends
    for row, (ticks, colour) in enumerate([(p.yours, YOURS), (p.expected, EXPECTED)]):
        ends = [ticks.min(), ticks.max()]
        ax.hlines(row, *ends, color=colour, linewidth=16 if dense else 1.5, alpha=0.45 if dense else 1)
        ax.vlines(ends if dense else ticks, row - 0.26, row + 0.26, color=colour, linewidth=2.4)
    for name, at in p.marks.items():
        ax.axvline(at, color=GREY, linewidth=1.2, linestyle=":", zorder=0)
        ax.annotate(name, (at, 1), (0, 2), xycoords=("data", "axes fraction"), textcoords="offset points", ha="center")
    got, want = p.yours[p.place], p.expected[p.place]
    ax.annotate("", (want, 0.72), (got, 0.28), arrowprops={"arrowstyle": "->", "color": BLACK, "linewidth": 1.6})
    ax.set_yticks([0, 1], ["yours", "expected"], weight="bold")
    for label, colour in zip(ax.get_yticklabels(), (YOURS, EXPECTED), strict=True):
        label.set_color(colour)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(1.5, -0.5)
    ax.grid(visible=False)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel(p.xlabel)
    ax.set_title("\n".join(textwrap.wrap(p.title, TITLE)), pad=24)
    said = f"mark {p.place + 1} of {p.expected.size}: yours {_number(got)}, expected {_number(want)}"
    alt = f"{p.title}. Two rulers, yours and expected. Marked is {said}."
    places = tuple(f"{name}: {_number(at)}" for name, at in p.marks.items())
    _finish(fig, p, f"arrow: {said}", alt, {"yours": p.yours, "expected": p.expected}, places)


def _one(height: float, *, whole: bool = False) -> tuple[Figure, Axes]:
    fig, ax = canvas(height=height)
    fig.set_size_inches(WIDTH, height)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10], integer=whole))
    return fig, ax


def _steps(ax: Axes, x: np.ndarray, y: np.ndarray, **look: Any) -> None:
    """Draw a level for each x, from halfway before it to halfway behind."""
    middle = (x[1:] + x[:-1]) / 2
    ax.stairs(
        y, [2 * x[0] - middle[0], *middle, 2 * x[-1] - middle[-1]], baseline=0 if "fill" in look else None, **look
    )


def _legend(ax: Axes, title: str) -> None:
    """Put the legend between title and axes: there it hides no data."""
    ax.set_title("\n".join(textwrap.wrap(title, TITLE)), pad=30)
    place = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0), "borderaxespad": 0.2, "handlelength": 1.6}
    ax.legend(ncols=3, frameon=False, columnspacing=1.4, fontsize=11, **place)


def _finish(fig: Figure, p: Picture, caption: str, alt: str, series: dict, notes: tuple = (), exact=False) -> None:
    fig.supxlabel("\n".join(textwrap.wrap(caption, CAPTION)), x=0.01, ha="left", fontsize=10.5)
    different = f"different: {np.count_nonzero(p.yours != p.expected)} of {p.expected.size}"
    show(fig, alt=alt, series=series, notes=(*notes, different), exact=exact)


def _number(value: float) -> str:
    """Return whole numbers in full, others at three digits."""
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e6 else short(float(value))


def _list(values: np.ndarray) -> str:
    return " to ".join(_number(v) for v in values)
