"""Curves over an axis: lines, transfer curves of quantizers, rooflines."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from quantlab.lab.plots.figure import BLACK, GREY, canvas, colour, short, show, styled
from quantlab.lab.plots.labels import label_ends, log_axis, mark_notes, name_corner, vertical_marks


@styled
def lines(
    x: Any,
    series: Mapping[str, Any],
    *,
    title: str,
    alt: str,
    xlabel: str,
    ylabel: str,
    logx: bool = False,
    logy: bool = False,
    marks: Mapping[str, float] | None = None,
    dots: bool | None = None,
    join: bool = True,
) -> None:
    """Draw curves over one x axis, each named at its right end.

    Parameters
    ----------
    x : array_like, shape (n,), or mapping of str to array_like
        Common positions, or positions by series name.
    series : mapping of str to array_like, shape (n,)
        Curves by name.
    marks : mapping of str to float, optional
        Named vertical lines.
    dots : bool, optional
        Draw the points; default where a curve has at most 20.
    join : bool
        Join the points; False gives a scatter plot.

    Example
    -------
    >>> lines([2, 4, 8], {"SQNR": [9.3, 20.2, 44.0]}, title="More bits, less noise", alt="A rising line.",
    ...       xlabel="bits", ylabel="dB")
    A rising line.
      SQNR: n 3, min 9.3, max 44, mean 24.5
    """
    fig, ax = canvas()
    ends, colours = {}, {}
    for i, (name, y) in enumerate(series.items()):
        at = np.asarray(x[name] if isinstance(x, Mapping) else x, dtype=np.float64)
        y = np.asarray(y, dtype=np.float64)
        if at.shape != y.shape:
            raise ValueError(f"series[{name!r}].shape={y.shape} is not x.shape={at.shape}; give one value a position")
        with_dots = at.size <= 20 if dots is None else dots
        size = 6 if at.size <= 20 else 2.5
        style = {"linestyle": "-" if join else "none", "marker": "o" if with_dots or not join else ""}
        ax.plot(at, y, markersize=size, color=colour(i), **style)
        last = np.flatnonzero(np.isfinite(y))[-1]
        ends[name], colours[name] = (float(at[last]), float(y[last])), colour(i)
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    if logx:
        log_axis(ax, "x")
    if logy:
        log_axis(ax, "y")
    vertical_marks(ax, marks)
    if len(series) > 1:
        label_ends(ax, ends, colours)
    show(fig, alt=alt, series=series, notes=mark_notes(marks))


@styled
def staircase(
    x: Any,
    series: Mapping[str, Any],
    *,
    title: str,
    alt: str,
    xlabel: str = "x",
    ylabel: str = "value after the round trip",
    error: bool = True,
    marks: Mapping[str, float] | None = None,
) -> None:
    """Draw transfer curves of quantizers beside the identity, and below them the error y - x.

    Parameters
    ----------
    x : array_like, shape (n,)
        Increasing and dense: steps look steep only between close points.
    series : mapping of str to array_like, shape (n,)
        What comes back for x, by name.
    error : bool
        Draw the lower panel.

    Example
    -------
    >>> x = np.linspace(-2, 2, 401)
    >>> staircase(x, {"round": np.rint(x)}, title="Rounding", alt="Five steps along the diagonal.")
    Five steps along the diagonal.
      round: n 401, min -2, max 2, mean 0
      error of round: n 401, min -0.5, max 0.5, mean 0
    """
    x = np.asarray(x, dtype=np.float64)
    values = {name: np.asarray(y, dtype=np.float64) for name, y in series.items()}
    ratios = {"height_ratios": [2.2, 1]}
    fig, axes = canvas(height=4.6, rows=2, sharex=True, gridspec_kw=ratios) if error else canvas()
    upper = axes[0] if error else axes
    upper.plot(x, x, color=GREY, linewidth=1.2, linestyle="--")
    for i, y in enumerate(values.values()):
        upper.plot(x, y, color=colour(i))
        if error:
            axes[1].plot(x, y - x, color=colour(i), linewidth=1.4)
    upper.set(title=title, ylabel=ylabel)
    (axes[1] if error else upper).set(xlabel=xlabel)
    if error:
        axes[1].set(ylabel="error")
    name_corner(upper, list(values))
    vertical_marks(upper, marks)
    errors = {f"error of {name}": y - x for name, y in values.items()} if error else {}
    show(fig, alt=alt, series={**values, **errors}, notes=mark_notes(marks))


@styled
def roofline(
    points: Mapping[str, tuple[float, float]],
    *,
    bandwidth: float,
    peaks: Mapping[str, float],
    title: str,
    alt: str,
    xlabel: str = "operations per byte moved",
    ylabel: str = "G operations / s",
) -> None:
    """Draw a roofline: what memory allows (the slope), what arithmetic allows (the roofs), and what was measured.

    Parameters
    ----------
    points : mapping of str to (float, float)
        Arithmetic intensity (operations per byte) and speed (1e9 operations a second) by name.
    bandwidth : float
        Memory bandwidth, 1e9 bytes a second.
    peaks : mapping of str to float
        Peak speeds by name, 1e9 operations a second.

    Example
    -------
    >>> roofline({"matrix-vector": (0.5, 8.0)}, bandwidth=20, peaks={"float32": 100}, title="Memory-bound",
    ...          alt="One point under the slope.")
    One point under the slope.
      measured: n 1, min 8, max 8, mean 8
      slope: 20 GB/s
      roof float32: 100 G/s
      matrix-vector: 0.5 operations per byte, 8 G/s
    """
    fig, ax = canvas(height=3.8)
    low = min([x for x, _ in points.values()] + [min(peaks.values()) / bandwidth]) / 10
    high = max([x for x, _ in points.values()] + [max(peaks.values()) / bandwidth]) * 8
    intensity = np.geomspace(low, high, 200)
    for i, (name, peak) in enumerate(peaks.items()):
        ax.plot(intensity, np.minimum(intensity * bandwidth, peak), color=colour(i))
        ax.annotate(name, (high, peak), xytext=(0, 4), textcoords="offset points", color=colour(i), ha="right")
    for name, (x, y) in points.items():
        ax.plot([x], [y], "o", color=BLACK, markersize=7)
        ax.annotate(name, (x, y), xytext=(8, -4), textcoords="offset points", va="top")
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    log_axis(ax, "x")
    log_axis(ax, "y")
    middle = np.sqrt(low * min(peaks.values()) / bandwidth)  # of the slope, on a logarithmic axis
    slope = {"xytext": (-6, 4), "textcoords": "offset points", "ha": "right", "va": "bottom"}
    ax.annotate(f"memory: {short(bandwidth)} GB/s", (middle, middle * bandwidth), **slope)
    notes = tuple(f"{name}: {short(x)} operations per byte, {short(y)} G/s" for name, (x, y) in points.items())
    roofs = tuple(f"roof {name}: {short(peak)} G/s" for name, peak in peaks.items())
    measured = [y for _, y in points.values()]
    show(fig, alt=alt, series={"measured": measured}, notes=(f"slope: {short(bandwidth)} GB/s", *roofs, *notes))
