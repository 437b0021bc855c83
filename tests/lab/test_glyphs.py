"""Distorted letters: shapes, seeds, fonts, and that they can be told apart, but not all."""

import numpy as np
import pytest
from scipy import ndimage

from quantlab.lab.glyphs import CLASSES, FONTS, _bilinear, _blur, _distort, _drawings, _source_points, glyphs


@pytest.fixture(scope="module")
def g():
    return glyphs(seed=0, n_train=3000, n_test=500)


def test_shapes_and_values(g):
    assert g.x_train.shape == (3000, 28, 28, 1)
    assert g.x_test.shape == (500, 28, 28, 1)
    assert g.x_train.dtype == np.float32
    assert g.x_train.min() == 0
    assert g.x_train.max() <= 1
    assert g.x_train.max() > 0.9
    assert set(g.y_train) == set(range(36))
    assert set(g.font_train) == set(range(20))
    assert CLASSES[10] == "A"


def test_the_seed_alone_decides_and_the_parts_are_independent(g):
    again, other = glyphs(seed=0, n_train=3000, n_test=10), glyphs(seed=1, n_train=100, n_test=10)
    assert np.array_equal(g.x_train, again.x_train)
    assert np.array_equal(g.y_train, again.y_train)
    assert not np.array_equal(g.x_train[:100], other.x_train)
    flat = np.concatenate([g.x_train, g.x_test]).reshape(3500, -1)
    assert len(np.unique(flat, axis=0)) == 3500


def test_the_test_part_has_a_stream_of_its_own():
    """Or else two parts of one size would hold the same images."""
    g = glyphs(seed=0, n_train=200, n_test=200)
    assert not np.array_equal(g.y_train, g.y_test)
    assert not set(map(bytes, g.x_train)) & set(map(bytes, g.x_test))


def test_between_pixels_as_scipy():
    drawings = _drawings()[:4, :5].reshape(20, 80, 80)
    rows, columns = _source_points(20, np.random.default_rng(1))
    ours = _bilinear(drawings, rows, columns)
    for k in range(20):
        where = np.clip([rows[k], columns[k]], 0, 79)
        theirs = ndimage.map_coordinates(drawings[k].astype(np.float64), where, order=1)
        # places up to 80 in float32 are off by 4e-6, the last thousandth of a pixel is left out at the dark edge, and
        # a pixel differs from its neighbour by at most 1
        assert np.abs(ours[k] - theirs).max() < 1e-4


def test_blur_is_a_small_convolution():
    rng = np.random.default_rng(2)
    images, side = rng.random((6, 28, 28), np.float32), rng.uniform(0, 0.25, 6).astype(np.float32)
    for image, s, ours in zip(images, side, _blur(images, side), strict=True):
        kernel = np.outer([s, 1 - 2 * s, s], [s, 1 - 2 * s, s])
        theirs = ndimage.correlate(image.astype(np.float64), kernel, mode="constant")
        assert np.abs(ours - theirs).max() < 1e-6  # nine products of float32 below 1


def test_letters_are_turned_slanted_stretched_and_moved():
    """The affine map of each image, found again from its points: drawn from the ranges of the source, and from all."""
    n = 2000
    rows, columns = (v.astype(np.float64) for v in _source_points(n, np.random.default_rng(3)))
    step = 0.5  # between two of the 56 points, in pixels of the image
    a, c = ((v[:, 1, 0] - v[:, 0, 0]) / step for v in (rows, columns))
    b, d = ((v[:, 0, 1] - v[:, 0, 0]) / step for v in (rows, columns))
    angle = np.arctan2(b, a)
    across = d * np.cos(angle) - c * np.sin(angle)
    found = {
        "angle": (angle, -0.2, 0.2),
        "slant": ((c * np.cos(angle) + d * np.sin(angle)) / across, -0.2, 0.2),
        "zoom down": (np.log(np.hypot(a, b) / (80 / 36)), -0.15, 0.2),
        "zoom across": (np.log(across / (80 / 36)), -0.15, 0.2),
        "moved down": ((rows.mean(axis=(1, 2)) - 39.5) / (80 / 36), -1.2, 1.2),
        "moved across": ((columns.mean(axis=(1, 2)) - 39.5) / (80 / 36), -1.2, 1.2),
    }
    for name, (values, low, high) in found.items():
        assert low - 1e-3 < values.min() < low + 0.02 * (high - low), name
        assert high - 0.02 * (high - low) < values.max() < high + 1e-3, name


def test_contrast_and_noise():
    """A grey drawing: the middle of an image has the mean 0.5 contrast, 0.6 to 1, and noise of 0.05 to 0.2."""
    images = _distort(np.full((400, 80, 80), 0.5, np.float32), np.random.default_rng(4))
    middle = images[:, 8:20, 8:20].reshape(400, -1)
    # of 144 pixels: a mean scatters by noise / 12, a standard deviation by 6 % of itself. Clipping begins at 1.5 of the
    # largest noise below 0.3, and makes both a little narrower.
    assert 0.26 < middle.mean(axis=1).min() < 0.33
    assert 0.47 < middle.mean(axis=1).max() < 0.55
    assert 0.04 < middle.std(axis=1).min() < 0.06
    assert 0.16 < middle.std(axis=1).max() < 0.25


def test_images_are_blurred():
    """Neighbours of a checkerboard of single pixels come near each other; unblurred, only noise would do that."""
    board = np.kron(np.indices((28, 28)).sum(axis=0) % 2, np.ones((3, 3)))[:80, :80].astype(np.float32)
    drawings = np.repeat(board[None], 300, axis=0)
    rng, again = np.random.default_rng(5), np.random.default_rng(5)
    images = _distort(drawings, rng)
    sharp = _bilinear(drawings, *_source_points(300, again)).reshape(300, 28, 2, 28, 2).mean(axis=(2, 4))
    side = again.uniform(0, 0.25, 300)
    energy = [(np.diff(v[:, 4:24, 4:24], axis=2) ** 2).mean(axis=(1, 2)) for v in (images, sharp)]
    least, most = side < 0.05, side > 0.2
    assert np.median(energy[0][most] / energy[1][most]) < 0.6 * np.median(energy[0][least] / energy[1][least])


def test_classes_and_fonts_are_drawn_evenly(g):
    # 3,000 draws from 36: 83 each, with a standard deviation of 9; from 20: 150, and 12. Five of them.
    assert np.abs(np.bincount(g.y_train) - 3000 / 36).max() < 45
    assert np.abs(np.bincount(g.font_train) - 150).max() < 60


def test_fonts_can_be_held_out():
    names = FONTS[-4:]
    g = glyphs(seed=0, n_train=300, n_test=200, test_fonts=names)
    assert {FONTS[i] for i in g.font_test} == set(names)
    assert not set(g.font_test) & set(g.font_train)


def test_no_drawing_is_empty_or_cut_off():
    drawings = _drawings()
    assert drawings.shape == (20, 36, 80, 80)
    assert (drawings.max(axis=(2, 3)) > 0.9).all()
    edges = np.concatenate(
        [drawings[:, :, [0, -1]].reshape(720, -1), drawings[:, :, :, [0, -1]].reshape(720, -1)], axis=1
    )
    assert (edges == 0).all()
    for drawn in (
        drawings.any(axis=3),
        drawings.any(axis=2),
    ):  # in the middle; FreeType may leave a row or column empty
        margins = drawn.argmax(axis=2) - drawn[:, :, ::-1].argmax(axis=2)
        assert np.abs(margins).max() <= 3
    flat = drawings.reshape(720, -1)
    assert len(np.unique(flat, axis=0)) > 700  # hardly any letter looks the same in two fonts


def test_nearest_mean_tells_some_apart_and_not_all(g):
    # A classifier with nothing to tune: the nearest mean image. Chance is 1 in 36.
    means = np.stack([g.x_train[g.y_train == k].mean(axis=0) for k in range(36)]).reshape(36, -1)
    distance = ((g.x_test.reshape(500, 1, -1) - means) ** 2).sum(axis=2)
    share = (distance.argmin(axis=1) == g.y_test).mean()
    assert 0.3 < share < 0.9


def test_errors_name_what_came():
    with pytest.raises(ValueError, match="n_train=0"):
        glyphs(seed=0, n_train=0)
    with pytest.raises(ValueError, match=r"unknown are \['Arial'\]"):
        glyphs(seed=0, test_fonts=["Arial"])
    with pytest.raises(ValueError, match="0 are left to train with"):
        glyphs(seed=0, test_fonts=FONTS)
