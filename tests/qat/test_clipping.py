"""Learned clipping against torch's autograd of the paper's own formula."""

import math

import numpy as np
import pytest
import torch

from quantlab import Grid
from quantlab.qat.clipping import clip_backward, clip_qparams, clip_quantize, initial_clip

UNSIGNED = [Grid(n_bits=n, signed=False) for n in range(2, 9)]
NARROW = [Grid(n_bits=n, narrow=True) for n in range(2, 9)]


def autograd(dy, x, alpha, grid, axis):
    """0.5 (|x| - |x - a| + a), on a signed grid the sum of both sides; then rounding straight through."""
    x, a = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (x, alpha))
    end = a if axis is None else a.unsqueeze(1 - axis % 2)
    y = 0.5 * (x.abs() - (x - end).abs() + end)
    if grid.signed:
        y = 0.5 * ((x + end).abs() - (x - end).abs())
    y.backward(torch.tensor(dy, dtype=torch.float64))
    step = end / grid.quant_max
    return (torch.round(y / step) * step).detach().numpy(), x.grad.numpy(), a.grad.numpy()


@pytest.mark.parametrize("grid", UNSIGNED + NARROW, ids=repr)
@pytest.mark.parametrize("axis", [None, 0, 1, -2])
def test_it_equals_autograd_of_the_papers_formula(grid, axis):
    rng = np.random.default_rng(grid.n_bits)
    x, dy = rng.normal(size=(2, 30, 50)).astype(np.float32)
    alpha = rng.uniform(0.5, 1.5, () if axis is None else x.shape[axis]).astype(np.float32)
    y, dx, d_alpha = autograd(dy, x, alpha, grid, axis)
    ours = clip_backward(dy, x, alpha, grid=grid, axis=axis)
    values = clip_quantize(x, alpha, grid=grid, axis=axis)
    step = np.max(alpha) / grid.quant_max
    near = np.abs(values - y) < 1e-5
    assert (near | (np.abs(np.abs(values - y) - step) < step)).all()
    assert near.mean() > 0.999  # a tie may fall to the other side in float64
    assert np.array_equal(ours[0], dx.astype(np.float32))
    assert np.allclose(ours[1], d_alpha, rtol=1e-6, atol=1e-6)  # float64 sums of the same terms, then one float32
    assert (dx == 0).any()


def test_both_ends_count_as_the_paper_says():
    x = np.array([0.0, 1.0, 2.0], np.float32)
    dx, d_alpha = clip_backward(np.ones(3), x, 2.0, grid=Grid(n_bits=4, signed=False))
    assert dx.tolist() == [1, 1, 0]
    assert d_alpha == 1
    dx, d_alpha = clip_backward(np.ones(3), -x, 2.0, grid=Grid(n_bits=4, narrow=True))
    assert dx.tolist() == [1, 1, 0]
    assert d_alpha == -1


def test_decay_is_that_of_half_its_square():
    grid, alpha = Grid(n_bits=4, signed=False), np.array([2.0, 3.0], np.float32)
    x = np.zeros((2, 5), np.float32)
    assert clip_backward(x, x, alpha, grid=grid, axis=0, decay=0.1)[1].tolist() == pytest.approx([0.2, 0.3])


def test_nothing_is_clipped_at_first_and_the_last_mark_lies_at_alpha():
    x = np.random.default_rng(1).normal(size=(6, 40)).astype(np.float32)
    for grid in (Grid(n_bits=4, narrow=True), Grid(n_bits=4, signed=False)):
        alpha = initial_clip(x, grid=grid, axis=0)
        hat = clip_quantize(x, alpha, grid=grid, axis=0)
        want = np.abs(x).max(axis=1) if grid.signed else x.max(axis=1)
        assert np.array_equal(alpha, want)
        assert np.allclose(np.abs(hat).max(axis=1) if grid.signed else hat.max(axis=1), alpha, rtol=1e-6)
    # nothing above 0: the smallest end whose step is torch's floor for scales
    assert initial_clip(-np.ones(3), grid=Grid(n_bits=4, signed=False)) == np.float32(15 * 2.0**-23)
    assert initial_clip(np.full(3, 1e-9), grid=Grid(n_bits=4, narrow=True)) == np.float32(7 * 2.0**-23)


@pytest.mark.parametrize("axis", [None, 1])
def test_alphas_gradient_is_a_float64_sum(axis):
    """Of a million terms, against math.fsum: one rounding to float32, and n * 2**-53 of the sum of magnitudes."""
    rng, alpha = np.random.default_rng(2), np.full(() if axis is None else 2, 0.5, np.float32)
    x, dy = rng.normal(size=(500_000, 2)).astype(np.float32), rng.normal(1, 1, (500_000, 2)).astype(np.float32)
    pulls = np.where(x >= 0.5, dy, 0) - np.where(x <= -0.5, dy, 0)
    want = [math.fsum(column) for column in (pulls.T if axis == 1 else [pulls.ravel()])]
    got = np.atleast_1d(clip_backward(dy, x, alpha, grid=Grid(n_bits=4, narrow=True), axis=axis)[1])
    assert (np.abs(got - want) <= 2**-24 * np.abs(want) + x.size * 2.0**-53 * np.abs(pulls).sum()).all()


def test_infinities_and_nan():
    x = np.array([np.inf, -np.inf, np.nan], np.float32)
    dx, d_alpha = clip_backward(np.ones(3), x, 1.0, grid=Grid(n_bits=4, narrow=True))
    assert dx.tolist() == [0, 0, 0]
    assert d_alpha == 0


def test_errors_name_what_came():
    with pytest.raises(ValueError, match="narrow=True"):
        clip_qparams(1.0, grid=Grid(n_bits=4))
    grid = Grid(n_bits=4, signed=False)
    with pytest.raises(ValueError, match="not a positive"):
        clip_backward(np.ones(3), np.ones(3), 0.0, grid=grid)
    with pytest.raises(ValueError, match="decay=-1"):
        clip_backward(np.ones(3), np.ones(3), 1.0, grid=grid, decay=-1)
    with pytest.raises(ValueError, match="decay=nan; expected 0 or more"):
        clip_backward(np.ones(3), np.ones(3), 1.0, grid=grid, decay=np.nan)
    for n in (1, 3):
        with pytest.raises(
            ValueError, match=rf"scale has shape \({n},\); expected \(2,\) for an array of shape \(2, 3\)"
        ):
            clip_backward(np.ones((2, 3)), np.ones((2, 3)), np.ones(n), grid=grid, axis=0)
    with pytest.raises(ValueError, match=r"dy\.shape=\(3,\); expected \(2,\)"):
        clip_backward(np.ones(3), np.ones(2), 1.0, grid=grid)
    with pytest.raises(ValueError, match="finite"):
        initial_clip(np.array([np.inf]), grid=grid)
    with pytest.raises(ValueError, match="the largest value is inf"), np.errstate(over="ignore"):
        initial_clip(np.array([1e300]), grid=grid)  # beyond float32
