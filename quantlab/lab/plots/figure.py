"""How every figure of the course is made and shown: one style, one way out, text beside the picture.

A figure leaves as PNG and text together. The text is the alternative text and, for each plotted series, its name,
n, min, max and mean at three significant digits. Notebook comparison skips images; it compares this text, so a
curve that changed is noticed.
"""

import contextlib
import functools
import io
import math
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart; yellow is left out (too pale on white).
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
AMBER, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#000000", "#6B6B6B"
PALETTE = (BLUE, ORANGE, GREEN, PINK, AMBER, SKY, BLACK)

DPI = 96
WIDTH = 7.2  # inches: 690 pixels, the width of a notebook page's text
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same glyphs everywhere
    "font.size": 11,
    "axes.titlesize": 12.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.labelsize": 11,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": BLACK,
    "ytick.labelcolor": BLACK,
    "lines.linewidth": 2.0,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.prop_cycle": matplotlib.cycler(color=PALETTE),
}


@dataclass(frozen=True)
class Picture:
    """A finished figure: PNG bytes, alternative text, and the text with the statistics of what is plotted."""

    png: bytes
    alt: str
    text: str

    def bundle(self) -> dict[str, Any]:
        """Return the representations by MIME type."""
        return {"image/png": self.png, "text/plain": self.text}

    def metadata(self) -> dict[str, Any]:
        """Return the metadata that carries the alternative text."""
        return {"image/png": {"alt": self.alt}}


_collector: ContextVar[list[Picture] | None] = ContextVar("collector", default=None)


@contextlib.contextmanager
def collect() -> Iterator[list[Picture]]:
    """Catch the figures shown within the block in a list, in place of displaying them.

    Example
    -------
    >>> from quantlab.lab import plots
    >>> with collect() as pictures:
    ...     plots.lines([1, 2], {"y": [3, 4]}, title="A line", alt="A line that rises.", xlabel="x", ylabel="y")
    >>> print(pictures[0].text)
    A line that rises.
      y: n 2, min 3, max 4, mean 3.5
    """
    pictures: list[Picture] = []
    token = _collector.set(pictures)
    try:
        yield pictures
    finally:
        _collector.reset(token)


def styled(function: Callable) -> Callable:
    """Run a plot function under the course's style, and leave matplotlib's settings as they were."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with matplotlib.rc_context(STYLE):
            return function(*args, **kwargs)

    return run


@styled
def canvas(*, height: float = 3.4, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """Return a new figure and its axes (one, or an array of them), in the course's style."""
    fig = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(fig)
    return fig, fig.subplots(rows, columns, **options)


@styled
def show(fig: Figure, *, alt: str, series: Mapping[str, Any], notes: tuple[str, ...] = (), exact: bool = False) -> None:
    """Show a figure made with `canvas` as PNG and text.

    Parameters
    ----------
    fig : Figure
    alt : str
        What the figure shows, for a reader who cannot see it: what is drawn and what it says.
    series : mapping of str to array_like
        Everything plotted, by name; its statistics go into the text.
    notes : tuple of str
        Further lines of the text.
    exact : bool
        Keep every colour. By default 256 are kept, which makes a third of the size; a scale of colours needs more.

    Raises
    ------
    ValueError
        If alt is empty.

    Example
    -------
    >>> fig, ax = canvas()
    >>> _ = ax.plot([0, 1], [0, 1])
    >>> with collect() as pictures:
    ...     show(fig, alt="The diagonal.", series={"y": [0, 1]})
    >>> pictures[0].png[:4]
    b'\\x89PNG'
    """
    if not alt.strip():
        raise ValueError("alt='' says nothing; describe the figure for a reader who cannot see it")
    lines = [alt.strip(), *(f"  {name}: {describe_series(y)}" for name, y in series.items())]
    lines += [f"  {note}" for note in notes]
    picture = Picture(_png(fig, exact), alt.strip(), "\n".join(lines))
    collected = _collector.get()
    if collected is not None:
        collected.append(picture)
    elif InteractiveShell.initialized():
        display(picture.bundle(), raw=True, metadata=picture.metadata())
    else:  # plain Python has no place for a picture
        print(picture.text)


def _png(fig: Figure, exact: bool) -> bytes:
    """Return the same bytes for the same figure: no date, no software name."""
    from PIL import Image

    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", bbox_inches="tight", pad_inches=0.08)
    image = Image.open(buffer).convert("RGB")
    if not exact:
        image = image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    small = io.BytesIO()
    image.save(small, format="png", optimize=True)
    return small.getvalue()


def describe_series(values: Any) -> str:
    """Return n, min, max and mean of the finite values at three significant digits.

    >>> describe_series([1.0, 2.0, float("nan")])
    'n 3, min 1, max 2, mean 1.5, not finite 1'
    """
    x = np.asarray(values, dtype=np.float64).ravel()
    finite = x[np.isfinite(x)]
    text = f"n {x.size}"
    if finite.size:
        low, high, mean = float(finite.min()), float(finite.max()), float(finite.mean())
        if abs(mean) < 1e-9 * max(abs(low), abs(high)):  # a sum that cancels leaves noise, and noise differs
            mean = 0.0
        text += f", min {short(low)}, max {short(high)}, mean {short(mean)}"
    return text + (f", not finite {x.size - finite.size}" if finite.size < x.size else "")


def short(value: float) -> str:
    """Return a number at three significant digits, without a trailing zero or a negative zero.

    >>> short(1234.5), short(-0.0), short(0.00012345), short(16_777_216), short(1e-6)
    ('1,230', '0', '0.000123', '16,800,000', '1e-6')
    """
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    if not 1e-4 <= abs(rounded) < 1e9:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    text = f"{rounded:,.{max(digits, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def colour(index: int) -> str:
    """Return the palette's colour for the n-th series; after the last it starts again."""
    return PALETTE[index % len(PALETTE)]
