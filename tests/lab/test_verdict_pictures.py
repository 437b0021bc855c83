"""Pictures of verdicts as they are drawn: both sides, the difference in words, narrow enough for a phone."""

import dataclasses
import io

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from quantlab.lab import plots
from quantlab.lab.checks.picture import Curves, Cuts, Maps, Rulers, Selection
from quantlab.lab.plots import figure
from quantlab.lab.plots.verdicts import verdict

X = np.arange(5.0)
WORDS = {"title": "A title", "xlabel": "x", "ylabel": "y"}
CURVES = Curves(x=X, yours=X + [0, 0, 1, 0, 0], expected=X, **WORDS)
MAPS = Maps(yours=np.ones((3, 4)), expected=np.eye(3, 4), unit="u", **WORDS)
PICTURES = {
    "line": CURVES,
    "dots": dataclasses.replace(CURVES, style="dots"),
    "steps": dataclasses.replace(CURVES, style="steps"),
    "band": dataclasses.replace(CURVES, band=(-1, 1), names=("this", "that")),
    "two lines": Curves(x=X, yours=[X, X + 1], expected=[X, X], **WORDS),
    "long words": dataclasses.replace(CURVES, title="A title that is " + "very " * 12 + "long", xlabel="word " * 6),
    "wide maps": MAPS,
    "tall maps": dataclasses.replace(MAPS, yours=-np.ones((9, 3)), expected=np.eye(9, 3)),
    "line and cuts": Cuts(x=X, y=X**2, yours=(1, 3), expected=(1, 4), **WORDS),
    "steps and cuts": Cuts(x=X, y=X**2, yours=1, expected=4, style="steps", **WORDS),
    "selection": Selection(x=X, y=X, yours=X > 1, expected=X > 2, **WORDS),
    "rulers": Rulers(title="A title", xlabel="x", yours=X + [0, 0, 0, 1, 1], expected=X, marks={"0": 0.0}),
    "dense rulers": Rulers(title="A", xlabel="x", yours=np.arange(99) + 9, expected=np.arange(99), marks={}),
}
every_picture = pytest.mark.parametrize("name", PICTURES)


def draw(name):
    with plots.collect() as shown:
        assert verdict(PICTURES[name]) is None
    (found,) = shown
    return found


@pytest.fixture
def figures(monkeypatch):
    seen = []
    monkeypatch.setattr(figure, "_png", lambda fig, exact: seen.append(fig) or b"")
    return seen


@every_picture
def test_narrow_small_and_the_same_each_time(name):
    found = draw(name)
    with Image.open(io.BytesIO(found.png)) as image:
        assert 400 <= image.width <= 520, "360 pixels of a phone are 0.7 of it"
        assert 200 <= image.height <= 520
    assert len(found.png) < 30_000
    assert draw(name) == found


@every_picture
def test_the_text_names_both_sides_and_the_difference(name):
    picture, found = PICTURES[name], draw(name)
    assert found.alt.startswith(f"{picture.title}. ")
    assert found.text.startswith(found.alt + "\n")
    assert found.metadata()["image/png"]["alt"] == found.alt
    mine, theirs = getattr(picture, "names", ("yours", "expected"))
    assert mine in found.alt
    assert theirs in found.alt
    n = np.count_nonzero(picture.yours != picture.expected)
    assert found.text.splitlines()[-1] == f"  different: {n} of {picture.expected.size}"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("line", "Marked is x = 2: yours 3, expected 2."),
        ("band", "Marked is x = 2: this 3, that 2."),
        ("two lines", "Marked is x = 0: yours 1, expected 0."),
        ("wide maps", "Marked is y 0, x 1: yours 1, expected 0."),
        ("line and cuts", "with vertical lines: yours 1 to 3, expected 1 to 4."),
        ("steps and cuts", "with vertical lines: yours 1, expected 4."),
        ("selection", "Marked is x 2, y 2: yours keeps this point, the expected does not."),
        ("rulers", "Marked is mark 4 of 5: yours 4, expected 3."),
    ],
)
def test_the_difference_in_words(name, said):
    assert draw(name).alt.endswith(said)


def test_statistics_as_in_every_picture():
    assert "  yours: n 5, min 0, max 4, mean 2.2\n  expected: n 5, min 0, max 4, mean 2\n" in draw("line").text
    assert "  allowed: -1 to 1\n" in draw("band").text
    assert "  kept: yours 3, expected 2 of 5\n" in draw("selection").text
    assert "  0: 0\n" in draw("rulers").text


@every_picture
def test_all_text_is_large_enough_and_inside(name, figures):
    draw(name)
    texts = [t for t in figures[0].findobj(Text) if t.get_text().strip() and t.get_visible()]
    assert min(t.get_fontsize() for t in texts) >= 10
    longest = max(t.get_window_extent().width for t in texts)
    assert longest <= 1.05 * figures[0].bbox.width


@pytest.mark.parametrize("name", ["line", "dots", "steps", "band", "two lines"])
def test_both_sides_are_drawn_in_looks_that_need_no_colours(name, figures):
    draw(name)
    (ax,) = figures[0].axes
    drawn = [artist for artist in (*ax.lines, *ax.patches) if artist.get_zorder() in (2, 3)]
    sides = {zorder: [a for a in drawn if a.get_zorder() == zorder] for zorder in (3, 2)}
    for artists, wanted in zip(sides.values(), (PICTURES[name].yours, PICTURES[name].expected), strict=True):
        heights = [a.get_data().values if name == "steps" else a.get_ydata() for a in artists]
        assert np.array_equal(heights, wanted)
    looks = [{(a.get_linewidth(), getattr(a, "get_marker", str)()) for a in artists} for artists in sides.values()]
    assert looks[0].isdisjoint(looks[1])
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert [word for word in legend if word != "allowed"] == list(PICTURES[name].names)


def test_maps_share_their_colours(figures):
    draw("wide maps")
    yours, expected = (ax.images[0] for ax in figures[0].axes[:2])
    assert yours.get_clim() == expected.get_clim() == (0, 1)
    assert np.array_equal(yours.get_array(), MAPS.yours)
    assert np.array_equal(expected.get_array(), MAPS.expected)


def test_settings_of_matplotlib_stay():
    before = dict(matplotlib.rcParams)
    draw("line")
    assert dict(matplotlib.rcParams) == before
