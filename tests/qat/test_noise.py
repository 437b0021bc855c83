"""Noise in place of rounding: its distribution, and its gradient against torch's autograd."""

import numpy as np
import pytest
import torch

from quantlab.core.affine import fake_quantize
from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams
from quantlab.qat.noise import add_rounding_noise, noise_mask, quantize_random_part
from quantlab.qat.ste import straight_through_mask

QP = QParams(scale=[0.5, 0.125], zero_point=[1, -3], grid=Grid(n_bits=4), axis=0)


def test_the_gradient_is_that_of_the_same_expression_in_torch():
    rng = np.random.default_rng(0)
    x = (rng.integers(-60, 60, (2, 5000)) / 16).astype(np.float32)  # many on the two ends
    lo, hi = np.array([[-4.5], [-0.625]], np.float32), np.array([[3.0], [1.25]], np.float32)
    leaf = torch.tensor(x, requires_grad=True)
    noise = np.random.default_rng(1).random(x.shape, np.float32) - np.float32(0.5)
    y = torch.clamp(leaf, torch.tensor(lo), torch.tensor(hi)) + torch.tensor(noise * np.float32([[0.5], [0.125]]))
    y.sum().backward()
    assert (add_rounding_noise(x, QP, rng=np.random.default_rng(1)) == y.detach().numpy()).all()
    assert ((x == lo) | (x == hi)).sum() > 50
    assert (noise_mask(x, QP) == leaf.grad.numpy().astype(bool)).all()


def test_it_has_the_size_of_the_rounding_error():
    rng = np.random.default_rng(2)
    qp = QParams(scale=0.03, zero_point=0, grid=Grid(n_bits=8))
    x = rng.normal(size=200_000).astype(np.float32)
    error = (add_rounding_noise(x, qp, rng=rng) - x).astype(np.float64)
    rounding = (fake_quantize(x, qp) - x).astype(np.float64)
    # |x| < 3.8 lies in the range for all but about 30 of 200,000; both errors are sums of float32 below 4: 2**-22 each
    inside = np.abs(x) < 3.8
    assert np.abs(error[inside]).max() <= 0.015 + 2**-21
    # The variance of n uniform values has the relative standard deviation sqrt(0.8 / n) = 0.002: five of them.
    assert abs(error[inside].var() / (0.03**2 / 12) - 1) < 0.01
    assert abs(error[inside].var() / rounding[inside].var() - 1) < 0.015
    # The mean of n uniform values: s / sqrt(12 n) = 2e-5.
    assert abs(error[inside].mean()) < 1e-4


def test_the_rng_alone_decides():
    x = np.linspace(-1, 1, 50, dtype=np.float32).reshape(2, 25)
    first, again, other = (add_rounding_noise(x, QP, rng=np.random.default_rng(s)) for s in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()


def test_parameters_must_fit():
    with pytest.raises(ValueError, match=r"expected \(3,\)"):
        add_rounding_noise(np.zeros((3, 2)), QP, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"expected \(3,\)"):
        noise_mask(np.zeros((3, 2)), QP)


def test_a_random_part_is_rounded_and_the_rest_left_alone():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(2, 50_000)).astype(np.float32) * 3
    mixed, mask = quantize_random_part(x, QP, share=0.3, rng=np.random.default_rng(6))
    hat, inside = fake_quantize(x, QP), straight_through_mask(x, QP)
    rounded = mixed != x
    assert (mixed[rounded] == hat[rounded]).all()
    # The share of n draws scatters by sqrt(p (1 - p) / n) = 0.0015: five of them. Almost no x lies on a mark.
    assert abs(rounded.mean() - 0.3) < 0.0075
    assert (mask == (~rounded | inside)).all()
    assert (~mask).sum() > 1000


def test_its_two_ends_are_float_and_straight_through():
    x = np.random.default_rng(7).normal(size=(2, 500)).astype(np.float32) * 3
    rng = np.random.default_rng(8)
    nothing, all_of_it = (quantize_random_part(x, QP, share=share, rng=rng) for share in (0, 1))
    assert (nothing[0] == x).all()
    assert nothing[1].all()
    assert (all_of_it[0] == fake_quantize(x, QP)).all()
    assert (all_of_it[1] == straight_through_mask(x, QP)).all()
    for share in (1.5, -0.1, np.nan):
        with pytest.raises(ValueError, match=f"share={share}"):
            quantize_random_part(x, QP, share=share, rng=rng)
    with pytest.raises(TypeError, match="share='1' is a str"):
        quantize_random_part(x, QP, share="1", rng=rng)
