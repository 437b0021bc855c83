"""LSQ against torch's learnable fake quantization: values and dX to the bit, the step's gradient to 1e-6."""

import math

import numpy as np
import pytest
import torch

from quantlab import Grid
from quantlab.qat.lsq import gradient_scale, initial_step, lsq_backward, lsq_quantize, step_qparams
from quantlab.qat.ste import fake_quantize_learnable_backward

GRIDS = [Grid(n_bits=n, signed=signed) for n in range(2, 9) for signed in (True, False)]


def case(rng, grid, axis, shape=(24, 400)):
    """Return values, a third of them on ties and beside them, their gradient, and steps."""
    step = np.exp(rng.uniform(-5, 1, () if axis is None else shape[axis])).astype(np.float32)
    s = step if axis is None else np.expand_dims(step, 1 - axis % 2)
    low = min(grid.quant_min, 0) - 2
    v = (rng.integers(2 * low, 2 * grid.quant_max + 4, shape) / 2 * np.float64(s)).astype(np.float32)
    v[:, ::3] = np.nextafter(v[:, ::3], np.float32(np.inf))
    v = np.where(rng.random(shape) < 0.5, v, rng.normal(size=shape) * s * grid.quant_max / 2).astype(np.float32)
    return v, rng.normal(size=shape).astype(np.float32), step


def torch_learnable(dy, v, step, grid, axis, grad_factor=1.0):
    leaf, s = torch.tensor(v, requires_grad=True), torch.tensor(np.atleast_1d(step), requires_grad=True)
    zero, ends = torch.zeros(s.shape, requires_grad=True), (grid.quant_min, grid.quant_max, grad_factor)
    if axis is None:
        y = torch._fake_quantize_learnable_per_tensor_affine(leaf, s, zero, *ends)
    else:
        y = torch._fake_quantize_learnable_per_channel_affine(leaf, s, zero, axis % v.ndim, *ends)
    y.backward(torch.tensor(dy))
    return y.detach().numpy(), leaf.grad.numpy(), s.grad.numpy()


@pytest.mark.parametrize("grid", GRIDS, ids=repr)
@pytest.mark.parametrize("axis", [None, 0, 1, -2])
def test_it_equals_torchs_learnable_fake_quantization(grid, axis):
    rng = np.random.default_rng(grid.n_bits)
    v, dy, step = case(rng, grid, axis)
    y, dv, d_step = torch_learnable(dy, v, step, grid, axis, grad_factor=0.3)
    ours = lsq_backward(dy, v, step, grid=grid, axis=axis, grad_factor=0.3)
    assert np.array_equal(lsq_quantize(v, step, grid=grid, axis=axis), y)
    assert np.array_equal(ours[0], dv)
    assert (dv == 0).sum() > 50  # some are outside
    # torch rounds each of n <= 9,600 terms to float32 three times and adds in float32, pairwise: (3 + log2(n)) * 2**-24
    # of the sum of magnitudes, 1e-6. That sum, in float64:
    s = step if axis is None else np.expand_dims(step, 1 - axis % 2)
    q = np.rint(v.astype(np.float64) / s)
    terms = np.where(dv != 0, q - v.astype(np.float64) / s, np.clip(q, grid.quant_min, grid.quant_max)) * dy * 0.3
    size = np.abs(terms).sum(axis=None if axis is None else 1 - axis % 2)
    assert (np.abs(ours[1] - d_step) <= 1e-6 * size).all()


@pytest.mark.parametrize("axis", [None, 0])
def test_on_weights_the_steps_gradient_is_within_1e6_of_its_own_size(axis):
    # A gradient that points somewhere, as in training: then the sum is of the size of its terms, and 1e-6 is relative.
    rng = np.random.default_rng(3)
    for n_bits in (2, 3, 4, 8):
        grid = Grid(n_bits=n_bits)
        v = rng.normal(size=(16, 1000)).astype(np.float32)
        step = initial_step(v, grid=grid, axis=axis)
        dy = (lsq_quantize(v, step, grid=grid, axis=axis) - v).astype(np.float32)  # of the squared rounding error
        _, _, want = torch_learnable(dy, v, step, grid, axis)
        _, got = lsq_backward(dy, v, step, grid=grid, axis=axis)
        assert (np.abs(got - want) <= 1e-6 * np.abs(want)).all()


@pytest.mark.parametrize("axis", [None, 1])
def test_the_step_s_gradient_is_a_float64_sum(axis):
    """Of a million terms, against math.fsum of the definition: one rounding to float32, and n * 2**-53 of the terms."""
    rng, grid = np.random.default_rng(9), Grid(n_bits=4, signed=False)
    v, dy = rng.normal(3, 4, (500_000, 2)).astype(np.float32), rng.normal(1, 1, (500_000, 2)).astype(np.float32)
    step = np.full(() if axis is None else 2, 0.5, np.float32)  # a power of two: v / s is exact
    q = np.rint(v.astype(np.float64) / 0.5)
    inside = (q >= 0) & (q <= 15)
    terms = dy.astype(np.float64) * np.where(inside, q - v / 0.5, np.clip(q, 0, 15))
    want = [math.fsum(column) for column in (terms.T if axis == 1 else [terms.ravel()])]
    got = np.atleast_1d(lsq_backward(dy, v, step, grid=grid, axis=axis)[1])
    assert (np.abs(got - want) <= 2**-24 * np.abs(want) + terms.size * 2.0**-53 * np.abs(terms).sum()).all()


def test_it_is_the_form_with_a_zero_point_at_the_zero_point_0():
    rng = np.random.default_rng(4)
    grid = Grid(n_bits=4)
    v, dy, step = case(rng, grid, 0)
    ours = lsq_backward(dy, v, step, grid=grid, axis=0)
    dx, ds, _ = fake_quantize_learnable_backward(dy, v, step, np.zeros_like(step), grid=grid, axis=0)
    assert np.array_equal(ours[0], dx)
    assert np.allclose(ours[1], ds, rtol=1e-5, atol=1e-6 * np.abs(dy).sum(axis=1).max())


def test_the_gradient_is_the_slope_where_rounding_is_held_fixed():
    # Numerically: straight through, v_hat = v + s * offset inside, with the offset of rounding held fixed.
    rng = np.random.default_rng(5)
    v, s, grid = rng.normal(size=500).astype(np.float32), np.float32(0.31), Grid(n_bits=3)
    qs = np.clip(np.rint(v / s), -4, 3)
    inside = (np.rint(v / s) >= -4) & (np.rint(v / s) <= 3)
    h = 1e-3
    y_up = (s + h) * np.clip(v / s + (qs - v / s) * inside, -4, 3)  # the rounding offset is carried along
    # d/ds of s * (v/s + offset) is the offset; of s * q outside it is q
    slope = (y_up - s * qs) / h
    want = np.where(inside, slope - v / s, slope)  # v does not move with s
    for i in range(0, 500, 50):
        _, got = lsq_backward(np.ones(1), v[i : i + 1], s, grid=grid)
        assert abs(got - want[i]) < 1e-3


def test_first_step_and_gradient_scale_as_in_the_paper():
    v = np.random.default_rng(6).normal(size=(3, 4, 5)).astype(np.float32)
    for grid in (Grid(n_bits=2), Grid(n_bits=8, signed=False)):
        want = 2 * np.abs(v.astype(np.float64)).mean(axis=(0, 2)) / np.sqrt(grid.quant_max)
        assert np.allclose(initial_step(v, grid=grid, axis=1), want, rtol=1e-6)
        assert initial_step(v, grid=grid).shape == ()
        assert gradient_scale(100, grid=grid) == pytest.approx((100 * grid.quant_max) ** -0.5, rel=1e-12)
    assert initial_step(np.zeros(3), grid=Grid(n_bits=2)) == np.float32(2**-23)


def test_infinities_and_nan():
    dv, d_step = lsq_backward(np.ones(2), np.array([np.inf, -np.inf]), 0.5, grid=Grid(n_bits=4))
    assert dv.tolist() == [0, 0]
    assert d_step == 7 - 8
    dv, d_step = lsq_backward(np.ones(1), np.array([np.nan]), 0.5, grid=Grid(n_bits=4))
    assert dv[0] == 0
    assert np.isnan(d_step)


def test_errors_name_what_came():
    grid = Grid(n_bits=4)
    with pytest.raises(ValueError, match="scale=-0.5"):
        step_qparams(-0.5, grid=grid)
    with pytest.raises(ValueError, match=r"dv_hat\.shape=\(3,\); expected \(2,\)"):
        lsq_backward(np.ones(3), np.ones(2), 1.0, grid=grid)
    with pytest.raises(ValueError, match=r"scale has shape \(2,\); expected \(3,\) for an array of shape \(3, 2\)"):
        lsq_backward(np.ones((3, 2)), np.ones((3, 2)), np.ones(2), grid=grid, axis=0)
    for step in (0.0, -1.0, np.nan, np.inf, 1e-40):  # forward and backward refuse the same steps
        for call in (
            lambda s: lsq_backward(np.ones(3), np.ones(3), s, grid=grid),
            lambda s: lsq_quantize(1.0, s, grid=grid),
        ):
            with pytest.raises(ValueError, match=f"scale={np.float32(step)!s} .*is not a positive normal float32"):
                call(step)
    with pytest.raises(ValueError, match="n=0"):
        gradient_scale(0, grid=grid)
    with pytest.raises(TypeError, match="n=2.5 is a float"):
        gradient_scale(2.5, grid=grid)
    with pytest.raises(ValueError, match="no mark above 0"):
        initial_step(np.ones(3), grid=Grid(n_bits=1))
    with pytest.raises(ValueError, match="finite"):
        initial_step(np.array([np.inf]), grid=grid)
