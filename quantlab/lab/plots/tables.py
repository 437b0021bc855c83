"""Few numbers and pictures: bars, heat maps, images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from quantlab.lab.plots.figure import BLACK, BLUE, ORANGE, canvas, short, show, styled


@styled
def bars(
    values: Mapping[str, float | tuple[float, float, float]],
    *,
    title: str,
    alt: str,
    xlabel: str,
    logx: bool = False,
    highlight: Sequence[str] = (),
) -> None:
    """Draw one horizontal bar a name, with its value written at the end.

    Parameters
    ----------
    values : mapping of str to float or (value, low, high)
        With three numbers, the interval is drawn too.
    highlight : sequence of str
        Names whose bars are drawn in the second colour.

    Example
    -------
    >>> bars({"float32": 18.6, "int8": 4.65}, title="Size", alt="Two bars: 18.6 and 4.65.", xlabel="MB")
    Two bars: 18.6 and 4.65.
      bars: n 2, min 4.65, max 18.6, mean 11.6
      float32: 18.6
      int8: 4.65
    """
    fig, ax = canvas(height=0.9 + 0.42 * len(values))
    rows = {name: v if isinstance(v, tuple) else (v, v, v) for name, v in values.items()}
    edge = 0.0
    for row, (name, (value, low, high)) in enumerate(rows.items()):
        ax.barh(row, value, height=0.66, color=ORANGE if name in highlight else BLUE)
        if high > low:
            ax.errorbar(value, row, xerr=[[value - low], [high - value]], color=BLACK, capsize=4, linewidth=1.4)
        ax.annotate(short(value), (max(high, value, 0.0), row), xytext=(6, 0), textcoords="offset points", va="center")
        edge = max(edge, high, value)
    if logx:
        ax.set_xscale("log")
    _, right = ax.get_xlim()
    ax.set_xlim(right=right * 3 if logx else max(right, edge * 1.12))
    ax.set_yticks(range(len(rows)), list(rows))
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set(title=title, xlabel=xlabel)
    notes = tuple(_bar_note(name, *row) for name, row in rows.items())
    show(fig, alt=alt, series={"bars": [value for value, _, _ in rows.values()]}, notes=notes)


def _bar_note(name: str, value: float, low: float, high: float) -> str:
    return f"{name}: {short(value)}" + (f" ({short(low)} to {short(high)})" if high > low else "")


@styled
def heatmap(
    matrix: Any,
    *,
    title: str,
    alt: str,
    xlabel: str,
    ylabel: str,
    xticks: Sequence[str] | None = None,
    yticks: Sequence[str] | None = None,
    annotate: bool = False,
    unit: str = "",
) -> None:
    """Draw a matrix as colours; blue to orange through white where it has both signs.

    Parameters
    ----------
    matrix : array_like, shape (rows, columns)
    xticks, yticks : sequence of str, optional
        Names of the columns and rows.
    annotate : bool
        Write each value into its cell.
    unit : str
        Label of the colour scale.

    Example
    -------
    >>> heatmap([[1, 2], [3, 4]], title="Products", alt="A 2 x 2 table.", xlabel="a", ylabel="b", annotate=True)
    A 2 x 2 table.
      matrix 2 x 2: n 4, min 1, max 4, mean 2.5
    """
    m = np.asarray(matrix, dtype=np.float64)
    if m.ndim != 2:
        raise ValueError(f"matrix has shape {m.shape}; give two dimensions, rows and columns")
    fig, ax = canvas(height=float(np.clip(1.2 + 0.34 * m.shape[0], 2.2, 4.6)))
    signed = bool(np.nanmin(m) < 0 < np.nanmax(m))
    bound = float(np.nanmax(np.abs(m)))
    span = {"cmap": "PuOr_r", "vmin": -bound, "vmax": bound} if signed else {"cmap": "cividis"}
    image = ax.imshow(m, aspect="auto", interpolation="nearest", **span)
    bar = fig.colorbar(image, ax=ax, label=unit, pad=0.02)
    bar.outline.set_visible(False)
    for axis, names in ((ax.xaxis, xticks), (ax.yaxis, yticks)):
        if names is None:
            axis.set_major_locator(MaxNLocator(integer=True))
        else:
            axis.set_ticks(range(len(names)), list(names))
    if annotate:
        for (row, column), value in np.ndenumerate(m):
            red, green, blue, _ = image.cmap(image.norm(value))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.55
            ax.text(column, row, short(value), ha="center", va="center", color="white" if dark else BLACK)
    ax.grid(visible=False)
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    show(fig, alt=alt, series={f"matrix {m.shape[0]} x {m.shape[1]}": m}, exact=True)


@styled
def images(pictures: Mapping[str, Any], *, title: str, alt: str, columns: int | None = None) -> None:
    """Show pictures side by side, each under its name.

    Parameters
    ----------
    pictures : mapping of str to array_like
        uint8 or float in [0, 1], shape (height, width, 3) or (height, width).
    columns : int, optional
        Pictures in a row; default at most 6.

    Example
    -------
    >>> images({"a digit": np.eye(8)}, title="A digit", alt="A diagonal stroke.")
    A diagonal stroke.
      a digit: n 64, min 0, max 1, mean 0.125
    """
    n = len(pictures)
    columns = columns or min(n, 6)
    rows = -(-n // columns)
    fig, grid = canvas(height=0.4 + rows * (7.2 / columns * 0.8 + 0.25), rows=rows, columns=columns, squeeze=False)
    for ax in grid.ravel():
        ax.axis("off")
    for ax, (name, picture) in zip(grid.ravel(), pictures.items(), strict=False):
        p = np.asarray(picture)
        grey = {"cmap": "gray", "vmin": 0, "vmax": 255 if p.dtype == np.uint8 else 1} if p.ndim == 2 else {}
        ax.imshow(p, interpolation="nearest" if max(p.shape[:2]) <= 64 else "antialiased", **grey)
        ax.set_title(name, fontsize=10.5, loc="center", pad=4)
    fig.suptitle(title, x=0.01, ha="left", fontsize=12.5)
    show(fig, alt=alt, series=pictures)
