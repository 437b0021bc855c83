"""Distorted letters: shapes, seeds, fonts, and that they can be told apart, but not all."""

import numpy as np
import pytest

from quantlab.lab.glyphs import CLASSES, FONTS, _drawings, glyphs


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
