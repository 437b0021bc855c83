"""How values spread: number lines, histograms, ranges of channels."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from quantlab.lab.plots.figure import BLACK, BLUE, ORANGE, canvas, colour, short, show, styled
from quantlab.lab.plots.labels import mark_notes, name_corner, vertical_marks


@styled
def number_line(
    grids: Mapping[str, Any],
    *,
    title: str,
    alt: str,
    xlabel: str = "value",
    scale: Literal["linear", "symlog"] = "linear",
    linthresh: float | None = None,
    marks: Mapping[str, float] | None = None,
) -> None:
    """Draw the values of number formats or grids as ticks on parallel lines.

    Parameters
    ----------
    grids : mapping of str to array_like
        Values by name, one line each; values that are not finite are left out, and counted in the text.
    scale : {"linear", "symlog"}
        "symlog" is linear within ``linthresh`` of zero (default: the smallest positive value) and logarithmic beyond.
    marks : mapping of str to float, optional
        Named positions to point at.

    Example
    -------
    >>> number_line({"int4": range(-8, 8)}, title="The 16 values of int4", alt="16 ticks from -8 to 7.")
    16 ticks from -8 to 7.
      int4: n 16, min -8, max 7, mean -0.5
    """
    fig, ax = canvas(height=0.9 + 0.62 * len(grids))
    values = {name: np.asarray(list(g), dtype=np.float64).ravel() for name, g in grids.items()}
    for row, x in enumerate(values.values()):
        x = np.unique(x[np.isfinite(x)])
        ax.axhline(row, color="#C8C8C8", linewidth=1, zorder=1)
        ax.vlines(x, row - 0.3, row + 0.3, color=colour(row), linewidth=1.6 if x.size <= 64 else 0.9, zorder=2)
    if scale == "symlog":
        sizes = np.abs(np.concatenate(list(values.values())))
        sizes = sizes[(sizes > 0) & np.isfinite(sizes)]
        inner = float(sizes.min()) if linthresh is None else linthresh
        decades = np.log10(sizes.max() / inner)  # zero gets its share of a long axis, so that its label fits
        ax.set_xscale("symlog", linthresh=inner, linscale=max(1.0, decades / 10))
        if all(x.min(initial=0) >= 0 for x in values.values()):
            ax.set_xlim(left=0)
        ax.xaxis.get_major_locator().set_params(numticks=9)
        if np.ptp(ax.get_xlim()) < 1e5:
            ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: short(v)))
    ax.set_yticks(range(len(values)), list(values))
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(values) - 0.45, -0.55)
    ax.grid(visible=False)
    ax.spines["left"].set_visible(False)
    ax.set(title=title, xlabel=xlabel)
    vertical_marks(ax, marks)
    show(fig, alt=alt, series=values, notes=mark_notes(marks))


@styled
def histogram(
    series: Mapping[str, Any],
    *,
    title: str,
    alt: str,
    xlabel: str = "value",
    bins: int = 80,
    logy: bool = False,
    vlines: Mapping[str, float] | None = None,
    limits: tuple[float, float] | None = None,
) -> None:
    """Draw histograms over common bins; the height is the share of the values in a bin.

    Parameters
    ----------
    series : mapping of str to array_like
        Values by name, any shape.
    vlines : mapping of str to float, optional
        Named vertical lines, such as clipping limits.
    limits : (float, float), optional
        What to show; values outside are counted in the shares, and not drawn.

    Example
    -------
    >>> histogram({"weights": [0.1, 0.2, 0.2]}, title="Weights", alt="Three values.", vlines={"clip": 0.15})
    Three values.
      weights: n 3, min 0.1, max 0.2, mean 0.167
      mark clip: 0.15
    """
    fig, ax = canvas()
    values = {name: np.asarray(v, dtype=np.float64).ravel() for name, v in series.items()}
    everything = np.concatenate(list(values.values()))
    low, high = limits or (everything.min(), everything.max())
    edges = np.linspace(low, high, bins + 1) if high > low else np.linspace(low - 0.5, high + 0.5, bins + 1)
    for i, x in enumerate(values.values()):
        share = np.histogram(x, edges)[0] / x.size
        ax.stairs(share, edges, color=colour(i), linewidth=1.6)
        ax.stairs(share, edges, color=colour(i), fill=True, alpha=0.6 if len(values) == 1 else 0.25)
    if logy:
        ax.set_yscale("log")
    ax.set(title=title, xlabel=xlabel, ylabel="share of values")
    vertical_marks(ax, vlines)
    if len(values) > 1:
        name_corner(ax, list(values))
    show(fig, alt=alt, series=values, notes=mark_notes(vlines))


@styled
def channel_ranges(
    x: Any,
    *,
    axis: int,
    title: str,
    alt: str,
    xlabel: str = "channel",
    ylabel: str = "value",
    highlight: int = 0,
    limits: Mapping[str, float] | None = None,
    symlog: float | None = None,
) -> None:
    """Draw the smallest to the largest value of every channel as a vertical bar: the picture that shows outliers.

    Parameters
    ----------
    x : array_like
        Weights or activations of any shape.
    axis : int
        The axis that counts the channels.
    highlight : int
        So many of the widest channels are drawn in the second colour, with their index.
    limits : mapping of str to float, optional
        Named horizontal lines, such as the ends of the range that one scale covers.
    symlog : float, optional
        Logarithmic beyond this size, linear within.

    Example
    -------
    >>> channel_ranges(np.eye(4) - 0.5, axis=0, title="Channels", alt="Four equal bars.")
    Four equal bars.
      smallest per channel: n 4, min -0.5, max -0.5, mean -0.5
      largest per channel: n 4, min 0.5, max 0.5, mean 0.5
      width: median 1, largest 1 at channel 0
    """
    x = np.asarray(x, dtype=np.float64)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis={axis} does not exist in x.shape={x.shape}; choose {-x.ndim}..{x.ndim - 1}")
    channels = np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)
    low, high = channels.min(axis=1), channels.max(axis=1)
    widest = np.argsort(low - high, kind="stable")[:highlight]
    fig, ax = canvas()
    width = float(np.clip(420 / len(low), 0.6, 9))
    ax.vlines(np.arange(len(low)), low, high, color=BLUE, linewidth=width)
    ax.vlines(widest, low[widest], high[widest], color=ORANGE, linewidth=max(width, 1.6))
    for channel in widest:
        top = high[channel] >= -low[channel]
        at = (channel, high[channel] if top else low[channel])
        place = {"xytext": (0, 4 if top else -4), "textcoords": "offset points", "va": "bottom" if top else "top"}
        ax.annotate(str(channel), at, color=ORANGE, ha="center", **place)
    for name, edge in (limits or {}).items():
        ax.axhline(edge, color=BLACK, linewidth=1.2, linestyle="--")
        ax.annotate(name, (1.015, edge), xycoords=("axes fraction", "data"), va="center", annotation_clip=False)
    if symlog is not None:
        ax.set_yscale("symlog", linthresh=symlog)
    ax.margins(y=0.1)
    ax.set_xlim(-0.02 * len(low) - 0.6, 1.02 * len(low) - 0.4)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    span = high - low
    widest_span = f"largest {short(float(span.max()))} at channel {span.argmax()}"
    notes = (f"width: median {short(float(np.median(span)))}, {widest_span}", *mark_notes(limits))
    show(fig, alt=alt, series={"smallest per channel": low, "largest per channel": high}, notes=notes)
