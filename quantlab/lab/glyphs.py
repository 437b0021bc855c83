"""Digits and capital letters from the fonts that come with matplotlib, distorted: a harder set than the 8 x 8 digits.

Every image is drawn anew from a seed, and no file is read but the fonts. A letter is drawn once, large, and then
turned, slanted, stretched, moved, blurred and covered with noise, a little differently in each image.
"""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

__all__ = ["CLASSES", "FONTS", "Glyphs", "glyphs"]

CLASSES = string.digits + string.ascii_uppercase
FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmtt10"),
)
LARGE, SMALL = 80, 28  # pixels: of the drawing that is distorted, and of an image
HEIGHT = 44  # of a capital letter in the drawing, about
CHUNK = 1000  # images at a time


@dataclass(frozen=True)
class Glyphs:
    """Images for training and for testing.

    Attributes
    ----------
    x_train, x_test : ndarray of float32, shape (n, 28, 28, 1)
        Bright on dark, in [0, 1].
    y_train, y_test : ndarray of int64, shape (n,)
        The place in `CLASSES`, 0 to 35.
    font_train, font_test : ndarray of int64, shape (n,)
        The place in `FONTS`.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    font_train: np.ndarray
    font_test: np.ndarray


def glyphs(*, seed: int, n_train: int = 6000, n_test: int = 2000, test_fonts: Sequence[str] = ()) -> Glyphs:
    """Return distorted digits and capital letters, 36 classes in 20 fonts.

    Classes and fonts are drawn evenly and independently. Without ``test_fonts`` both parts draw from all fonts: what is
    new in the test part is the distortion, not the shape. The fonts in ``test_fonts`` occur in the test part alone, and
    the others in the training part alone: a harder question.

    Parameters
    ----------
    seed : int
        Both parts come from it, with a stream of their own each: the training part does not depend on ``n_test``.
    n_train, n_test : int
        At least 1.
    test_fonts : sequence of str
        From `FONTS`.

    Raises
    ------
    ValueError
        If a number is below 1, a font is unknown, or none is left to train with.

    Notes
    -----
    Some classes look alike (0 and O, I and 1), in some fonts so much that a distortion hides the difference.
    The same seed gives the same images wherever the same matplotlib is installed from a wheel, which carries its own
    fonts and its own FreeType, but for differences of about 1e-6 where sines differ in the last bit. Another FreeType
    may draw edges a little differently.

    Example
    -------
    >>> g = glyphs(seed=0, n_train=100, n_test=50)
    >>> g.x_train.shape, g.x_train.dtype, CLASSES[g.y_train[0]], FONTS[g.font_train[0]]
    ((100, 28, 28, 1), dtype('float32'), 'S', 'STIXGeneral')
    """
    if min(n_train, n_test) < 1:
        raise ValueError(f"n_train={n_train}, n_test={n_test}; expected at least 1 of each")
    unknown = sorted(set(test_fonts) - set(FONTS))
    held_out = [i for i, name in enumerate(FONTS) if name in set(test_fonts)]
    others = [i for i in range(len(FONTS)) if i not in held_out]
    if unknown or not others:
        raise ValueError(
            f"test_fonts={list(test_fonts)}: unknown are {unknown}, and {len(others)} are left to train with; choose "
            f"some of {', '.join(FONTS)}"
        )
    streams = np.random.SeedSequence(seed).spawn(2)
    train = _sample(n_train, others, np.random.default_rng(streams[0]))
    test = _sample(n_test, held_out or others, np.random.default_rng(streams[1]))
    return Glyphs(*train[:2], *test[:2], train[2], test[2])


def _sample(n: int, fonts: list[int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return n images, their classes and their fonts."""
    labels, chosen = rng.integers(0, len(CLASSES), n), rng.choice(fonts, n)
    x = np.empty((n, SMALL, SMALL, 1), np.float32)
    for start in range(0, n, CHUNK):
        part = slice(start, start + CHUNK)
        x[part, :, :, 0] = _distort(_drawings()[chosen[part], labels[part]], rng)
    return x, labels, chosen


def _distort(drawings: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the drawings (n, LARGE, LARGE) as images (n, SMALL, SMALL), each distorted in its own way."""
    n = len(drawings)
    where = _source_points(n, rng)
    fine = _bilinear(drawings, *where).reshape(n, SMALL, 2, SMALL, 2)
    images = _blur(fine.mean(axis=(2, 4)), rng.uniform(0, 0.25, n).astype(np.float32))
    contrast = rng.uniform(0.6, 1.0, (n, 1, 1)).astype(np.float32)
    noise = rng.uniform(0.05, 0.2, (n, 1, 1)).astype(np.float32) * rng.standard_normal(images.shape, np.float32)
    return np.clip(images * contrast + noise, 0, 1)


def _source_points(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return for each of 2 x 2 points a pixel where in the drawing it looks: rows and columns, (n, 56, 56)."""
    angle = rng.uniform(-0.2, 0.2, n)  # radians: 11 degrees
    slant = rng.uniform(-0.2, 0.2, n)
    zoom = LARGE / 36 * np.exp(rng.uniform(-0.15, 0.2, (2, n)))  # drawing's pixels an image's pixel, down and across
    shift = rng.uniform(-1.2, 1.2, (2, n)) * LARGE / 36
    grid = ((np.arange(2 * SMALL) + 0.5) / 2 - SMALL / 2).astype(np.float32)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, sin], [slant * cos - sin, slant * sin + cos]]) * zoom[:, None]
    (a, b), (c, d) = matrix.astype(np.float32)[..., None, None]
    rows, columns = grid[:, None], grid[None, :]
    centre = (shift + (LARGE - 1) / 2).astype(np.float32)[..., None, None]
    return a * rows + b * columns + centre[0], c * rows + d * columns + centre[1]


def _bilinear(drawings: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the drawings' values between their pixels; dark beyond the edges."""
    n, height, width = drawings.shape
    rows, columns = (np.clip(v, 0, LARGE - 1.001) for v in (rows, columns))  # the edges of a drawing are dark
    top, left = rows.astype(np.int32), columns.astype(np.int32)
    down, right = rows - top, columns - left
    flat = drawings.reshape(-1)
    first = (np.arange(n, dtype=np.int32)[:, None, None] * height + top) * width + left
    upper = flat[first] * (1 - right) + flat[first + 1] * right
    lower = flat[first + width] * (1 - right) + flat[first + width + 1] * right
    return upper * (1 - down) + lower * down


def _blur(images: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Return every image convolved with (side, 1 - 2 side, side), down and across."""
    side = side[:, None, None]
    for axis in (1, 2):
        padded = np.pad(images, [(0, 0), (axis == 1,) * 2, (axis == 2,) * 2])
        before, after = (np.take(padded, range(k, k + SMALL), axis=axis) for k in (0, 2))
        images = (1 - 2 * side) * images + side * (before + after)
    return images


@cache
def _drawings() -> np.ndarray:
    """Return every class in every font, large and in the middle: (fonts, classes, LARGE, LARGE) float32 in [0, 1]."""
    import matplotlib
    from matplotlib.ft2font import FT2Font, LoadFlags

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    drawings = np.zeros((len(FONTS), len(CLASSES), LARGE, LARGE), np.float32)
    for i, name in enumerate(FONTS):
        font = FT2Font(str(folder / f"{name}.ttf"))
        font.set_size(HEIGHT / 0.7, 72)  # a capital letter has about 0.7 of the size of its font
        for k, letter in enumerate(CLASSES):
            font.set_text(letter, flags=LoadFlags.NO_HINTING)
            font.draw_glyphs_to_bitmap(antialiased=True)
            image = font.get_image()
            height, width = image.shape
            top, left = (LARGE - height) // 2, (LARGE - width) // 2
            drawings[i, k, top : top + height, left : left + width] = image / np.float32(255)
    return drawings
