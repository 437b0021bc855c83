"""Every figure: one picture, text that matches the data, the same bytes each time, readable."""

import functools
import io
import itertools
import re

import matplotlib
import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.text import Annotation, Text
from PIL import Image

from quantlab.lab import plots
from quantlab.lab.plots import figure

RNG = np.random.default_rng(0)
X = np.linspace(-2, 2, 201)
WEIGHTS = RNG.standard_t(4, (64, 32))
WORDS = {"title": "A title", "alt": "What the figure says."}
AXES = {"xlabel": "bits", "ylabel": "dB"}

# name -> (function, data, options). Each plot function stands here at least once.
CALLS = {
    "number_line": (plots.number_line, {"int4": np.arange(-8, 8), "fp4": [0, 0.5, 1, np.nan]}, {"marks": {"one": 1}}),
    "symlog": (plots.number_line, {"fp16": 2.0 ** np.arange(-14, 16)}, {"scale": "symlog"}),
    "lines": (plots.lines, X, {"series": {"a": X, "b": X**2}, **AXES, "marks": {"m": 1, "n": 1.01}}),
    "log lines": (
        plots.lines,
        2.0 ** np.arange(9),
        {"series": {"a": np.arange(1, 10)}, **AXES, "logx": True, "logy": True},
    ),
    "scatter": (plots.lines, {"a": X, "b": X[:9]}, {"series": {"a": X, "b": X[:9]}, **AXES, "join": False}),
    "bars": (plots.bars, {"float32": 18.6, "int8": (4.7, 4.2, 5.1)}, {"xlabel": "MB", "highlight": ["int8"]}),
    "log bars": (plots.bars, {"add": 0.03, "read": 640.0}, {"xlabel": "pJ", "logx": True}),
    "histogram": (plots.histogram, {"w": WEIGHTS}, {"logy": True, "vlines": {"clip": 2.0}}),
    "histograms": (plots.histogram, {"w": WEIGHTS, "x": WEIGHTS + 1}, {"limits": (-3, 3)}),
    "heatmap": (plots.heatmap, WEIGHTS, {**AXES, "unit": "weight"}),
    "table": (plots.heatmap, [[1, 2], [3, 4]], {**AXES, "annotate": True, "xticks": ["a", "b"], "yticks": ["c", "d"]}),
    "images": (plots.images, {"grey": np.eye(8), "rgb": np.zeros((9, 9, 3), np.uint8)}, {}),
    "channel_ranges": (plots.channel_ranges, WEIGHTS, {"axis": 0, "highlight": 2, "limits": {"one scale": 5.0}}),
    "channels, symlog": (plots.channel_ranges, WEIGHTS, {"axis": -1, "symlog": 0.1}),
    "staircase": (plots.staircase, X, {"series": {"round": np.rint(X)}, "marks": {"end": 1.5}}),
    "no error": (plots.staircase, X, {"series": {"a": np.rint(X), "b": X}, "error": False}),
    "roofline": (plots.roofline, {"matvec": (0.5, 8.0)}, {"bandwidth": 20, "peaks": {"float32": 100, "int8": 400}}),
}
every_call = pytest.mark.parametrize("name", CALLS)


def call(name):
    function, data, options = CALLS[name]
    return function(data, **options, **WORDS)


@functools.cache
def picture(name):
    return draw(name)


def draw(name):
    with plots.collect() as pictures:
        assert call(name) is None, "a returned figure would be shown a second time"
    (found,) = pictures
    return found


def test_every_plot_function_is_tried():
    drawn = {function.__name__ for function, _, _ in CALLS.values()}
    assert drawn == set(plots.__all__) - {"canvas", "collect", "show"}


@every_call
def test_two_calls_give_the_same_bytes(name):
    assert draw(name) == picture(name)


@every_call
def test_the_png_is_small_and_fits_a_page(name):
    png = picture(name).png
    with Image.open(io.BytesIO(png)) as image:
        assert 500 <= image.width <= 760
        assert 90 <= image.height <= 520
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
        assert not image.info, "no date, no software"
    assert len(png) < 40_000
    assert figure.DPI <= 100


@every_call
def test_all_text_is_large_enough(name, monkeypatch):
    seen = []
    monkeypatch.setattr(figure, "_png", lambda fig, exact: seen.append(fig) or b"")
    draw(name)
    sizes = {t.get_fontsize() for fig in seen for t in fig.findobj(Text) if t.get_text() and t.get_visible()}
    assert sizes
    assert min(sizes) >= 10


@every_call
def test_settings_of_matplotlib_stay(name):
    before = dict(matplotlib.rcParams)
    draw(name)
    assert dict(matplotlib.rcParams) == before


@every_call
def test_alternative_text_comes_first(name):
    found = picture(name)
    assert found.text.startswith("What the figure says.\n  ")
    assert found.metadata() == {"image/png": {"alt": "What the figure says."}}


def expected(values):
    """The statistics at three digits, through numpy's own formatting and not through the code under test."""
    x = np.asarray(values, dtype=np.float64).ravel()
    return [x.size] + [float(np.format_float_positional(v, 3, fractional=False)) for v in (x.min(), x.max(), x.mean())]


def stated(text, name):
    pattern = rf"^  {re.escape(name)}: n (\S+), min (\S+), max (\S+), mean (\S+)$"
    return [float(number.replace(",", "")) for number in re.search(pattern, text, re.MULTILINE).groups()]


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("lines", {"a": X + 0, "b": X**2}),
        ("symlog", {"fp16": 2.0 ** np.arange(-14, 16)}),
        ("histogram", {"w": WEIGHTS}),
        ("heatmap", {"matrix 64 x 32": WEIGHTS}),
        ("images", {"grey": np.eye(8)}),
        ("channel_ranges", {"smallest per channel": WEIGHTS.min(axis=1), "largest per channel": WEIGHTS.max(axis=1)}),
        ("channels, symlog", {"smallest per channel": WEIGHTS.min(axis=0)}),
        ("staircase", {"round": np.rint(X), "error of round": np.rint(X) - X}),
    ],
)
def test_the_text_matches_the_data(name, series):
    text = picture(name).text
    for series_name, values in series.items():
        mean_is_noise = bool(abs(np.mean(values)) < 1e-9)
        want = expected(values)[: 3 if mean_is_noise else 4] + [0.0] * mean_is_noise
        assert stated(text, series_name) == want


def test_the_rest_of_the_text():
    assert picture("bars").text.splitlines()[1:] == [
        "  bars: n 2, min 4.7, max 18.6, mean 11.7",
        "  float32: 18.6",
        "  int8: 4.7 (4.2 to 5.1)",
    ]
    assert "  fp4: n 4, min 0, max 1, mean 0.5, not finite 1" in picture("number_line").text
    assert "  mark clip: 2" in picture("histogram").text
    widths = WEIGHTS.max(axis=1) - WEIGHTS.min(axis=1)
    line = f"  width: median {np.median(widths):.3g}, largest {widths.max():.3g} at channel {widths.argmax()}"
    assert line in picture("channel_ranges").text
    assert picture("roofline").text.splitlines()[1:] == [
        "  measured: n 1, min 8, max 8, mean 8",
        "  slope: 20 GB/s",
        "  roof float32: 100 G/s",
        "  roof int8: 400 G/s",
        "  matvec: 0.5 operations per byte, 8 G/s",
    ]


def test_a_changed_curve_changes_the_text():
    texts = set()
    for y in (X, X + 0.01, np.concatenate([X[:-1], [5]]), X[1:]):
        with plots.collect() as pictures:
            plots.lines(X[: len(y)], {"a": y}, **AXES, **WORDS)
        texts.add(pictures[0].text)
    assert len(texts) == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (9.996, "10"),
        (0.9996, "1"),
        (-1234.5, "-1,230"),
        (999_999_999.0, "1e9"),
        (0.0001, "0.0001"),
        (-2.5e-7, "-2.5e-7"),
        (3.4e38, "3.4e38"),
        (np.inf, "inf"),
        (np.float32(0.1), "0.1"),
    ],
)
def test_short_numbers(value, text):
    assert figure.short(value) == text


def test_names_at_the_ends_do_not_overlap(monkeypatch):
    seen = []
    monkeypatch.setattr(figure, "_png", lambda fig, exact: fig.canvas.draw() or seen.append(fig) or b"")
    with plots.collect():
        plots.lines(X, {f"curve {k}": 0.001 * k + X for k in range(7)}, **AXES, **WORDS)
    boxes = [t.get_window_extent() for t in seen[0].findobj(Annotation)]
    assert len(boxes) == 7
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_names_of_marks_do_not_overlap(monkeypatch):
    seen = []
    monkeypatch.setattr(figure, "_png", lambda fig, exact: fig.canvas.draw() or seen.append(fig) or b"")
    with plots.collect():
        plots.lines(X, {"a": X}, **AXES, **WORDS, marks={f"a long name {k}": 0.02 * k for k in range(3)})
    boxes = [t.get_window_extent() for t in seen[0].findobj(Annotation)]
    title = next(t for t in seen[0].findobj(Text) if t.get_text() == "A title").get_window_extent()
    assert len(boxes) == 3
    assert not any(a.overlaps(b) for a, b in itertools.combinations([*boxes, title], 2))


def test_in_a_notebook_one_output_leaves(monkeypatch):
    shown = []
    monkeypatch.setattr(figure, "display", lambda *args, **kwargs: shown.append((args, kwargs)))
    monkeypatch.setattr(InteractiveShell, "initialized", lambda: True)
    call("lines")
    (((bundle,), options),) = shown
    assert set(bundle) == {"image/png", "text/plain"}
    assert options == {"raw": True, "metadata": {"image/png": {"alt": "What the figure says."}}}


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"series\['a'\]\.shape=\(2,\) is not x\.shape=\(3,\)"):
        plots.lines([1, 2, 3], {"a": [1, 2]}, **AXES, **WORDS)
    with pytest.raises(ValueError, match=r"axis=2 does not exist in x\.shape=\(64, 32\)"):
        plots.channel_ranges(WEIGHTS, axis=2, **WORDS)
    with pytest.raises(ValueError, match="two dimensions"):
        plots.heatmap([1, 2], **AXES, **WORDS)
    with pytest.raises(ValueError, match="alt=''"):
        plots.bars({"a": 1}, title="t", alt=" ", xlabel="x")
    for function, data, options in CALLS.values():
        with pytest.raises(TypeError, match="alt"):
            function(data, **options, title="t")
