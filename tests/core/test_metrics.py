"""Metrics against scipy and the definitions."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import cosine
from scipy.stats import entropy

from quantlab import bits_per_weight, cosine_similarity, kl_divergence, mse, sqnr_db


def test_against_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 30, 40))
    p, q = rng.uniform(1, 5, (2, 50))
    # float64 sums of 1,200 terms: relative error far below 1e-12
    assert cosine_similarity(x, y) == pytest.approx(1 - cosine(x.ravel(), y.ravel()), rel=1e-12)
    assert kl_divergence(p, q) == pytest.approx(entropy(p, q), rel=1e-12)
    assert mse(x, y) == pytest.approx(np.square(x - y).mean(), rel=1e-12)


def test_edges():
    assert sqnr_db([1.0], [1.0]) == math.inf
    assert sqnr_db([10.0, 0.0], [9.0, 0.0]) == 20  # a tenth of the amplitude: a factor of 100 in power
    assert mse(np.uint8([0]), np.uint8([255])) == 255**2  # not in uint8, where the difference wraps
    for metric in (mse, sqnr_db, cosine_similarity):
        for bad in (np.nan, np.inf):
            assert not math.isfinite(metric([bad, 1.0], [1.0, 1.0]))
        assert math.isnan(metric([np.inf, 1.0], [np.inf, 1.0]))
    assert kl_divergence([1, 0], [1, 1]) == pytest.approx(math.log(2), rel=1e-15)
    assert kl_divergence([1, 1], [1, 0]) == math.inf
    assert bits_per_weight((10, 64), n_bits=8) == 8 + 32 / 640
    assert bits_per_weight((10, 64), n_bits=4, axis=0, scale_bits=32, zero_point_bits=4) == 4 + 36 / 64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mse([1.0], [1.0, 2.0]), "one shape"),
        (lambda: mse([], []), "empty"),
        (lambda: kl_divergence([1], [1, 2]), r"p has shape \(1,\), q \(2,\)"),
        (lambda: kl_divergence([1e308, 1e308], [1, 1]), "sum inf"),
        (lambda: kl_divergence([np.nan, 1], [1, 1]), "p is no distribution"),
        (lambda: bits_per_weight((-4, -4), n_bits=8), "no weights"),
        (lambda: bits_per_weight((4, 4), n_bits=-8), "n_bits=-8"),
        (lambda: bits_per_weight((4, 4), n_bits=8, scale_bits=-1), "scale_bits=-1"),
        (lambda: bits_per_weight((4, 4), n_bits=8, zero_point_bits=math.inf), "zero_point_bits=inf"),
        (lambda: sqnr_db([0.0], [1.0]), "all zeros"),
        (lambda: cosine_similarity([0.0], [1.0]), "no direction"),
        (lambda: kl_divergence([-1, 2], [1, 1]), "lowest value -1"),
        (lambda: kl_divergence([0, 0], [1, 1]), "no distribution"),
        (lambda: bits_per_weight((0, 3), n_bits=8), "no weights"),
    ],
)
def test_what_is_undefined_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mse(["a"], ["b"]), "x has dtype <U1"),
        (lambda: mse([1.0], [1j]), "x_hat has dtype complex128"),
        (lambda: kl_divergence([1], [None]), "q has dtype object"),
        (lambda: sqnr_db(np.ma.ones(2), [1.0, 1.0]), "masked"),
        (lambda: bits_per_weight(16, n_bits=8), "shape=16 is a int; pass a tuple"),
        (lambda: bits_per_weight((4.0, 4), n_bits=8), "size in shape=4.0 is a float"),
        (lambda: bits_per_weight((4, 4), n_bits="8"), "n_bits='8' is a str"),
        (lambda: bits_per_weight((4, 4), n_bits=True), "n_bits=True is a bool"),
    ],
)
def test_what_is_not_a_number_is_refused(call, message):
    with pytest.raises(TypeError, match=message):
        call()
