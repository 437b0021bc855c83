"""Values and gradients through rounding against torch's, bit for bit, on ties and their neighbours."""

import numpy as np
import pytest
import torch

from quantlab.core.affine import fake_quantize
from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams
from quantlab.qat.ste import (
    broadcast_qparams,
    fake_quantize_backward,
    fake_quantize_learnable,
    fake_quantize_learnable_backward,
    straight_through_mask,
)

GRIDS = [
    Grid(n_bits=8),
    Grid(n_bits=8, signed=False),
    Grid(n_bits=8, narrow=True),
    Grid(n_bits=4),
    Grid(n_bits=2),
    Grid(n_bits=1, signed=False),
]
N = 200_000  # six grids: 1.2 million values


def ties_and_neighbours(rng, n, scale, zero_point, grid):
    """Return ``(k + 1/2) * scale`` for k on the grid and a little beyond, a third of it one float32 up, one down."""
    k = rng.integers(grid.quant_min - zero_point - 3, grid.quant_max - zero_point + 4, n)
    x = ((k + 0.5) * np.float64(scale)).astype(np.float32)
    x[::3] = np.nextafter(x[::3], np.float32(np.inf))
    x[1::3] = np.nextafter(x[1::3], np.float32(-np.inf))
    x[::11] = rng.normal(scale=scale * grid.n_levels, size=len(x[::11]))
    x[:2] = np.inf, -np.inf
    return x


def random_case(rng, shape, axis, grid):
    """Return x, dy, scale and zero point; with an axis, each channel on its own ties."""
    n_channels = 1 if axis is None else shape[axis]
    scale = np.exp(rng.uniform(-6, 2, n_channels)).astype(np.float32)
    zero_point = rng.integers(grid.quant_min, grid.quant_max + 1, n_channels)
    n = int(np.prod(shape)) // n_channels
    rows = np.stack([ties_and_neighbours(rng, n, s, z, grid) for s, z in zip(scale, zero_point, strict=True)])
    if axis is None:
        return rows.reshape(shape), rng.normal(size=shape).astype(np.float32), scale[0], zero_point[0]
    other = [d for i, d in enumerate(shape) if i != axis]
    x = np.moveaxis(rows.reshape(n_channels, *other), 0, axis)
    return np.ascontiguousarray(x), rng.normal(size=shape).astype(np.float32), scale, zero_point


def same_bits(ours, theirs):
    theirs = theirs.detach().numpy()
    assert ours.dtype == theirs.dtype == np.float32
    return np.array_equal(np.ascontiguousarray(ours).view(np.int32), np.ascontiguousarray(theirs).view(np.int32))


@pytest.mark.parametrize("grid", GRIDS, ids=repr)
def test_per_tensor_values_and_gradients_equal_torch(grid):
    x, dy, scale, zero_point = random_case(np.random.default_rng(1), (N,), None, grid)
    qp = QParams(scale=scale, zero_point=zero_point, grid=grid)
    leaf = torch.tensor(x, requires_grad=True)
    y = torch.fake_quantize_per_tensor_affine(leaf, float(scale), int(zero_point), grid.quant_min, grid.quant_max)
    y.backward(torch.tensor(dy))
    assert same_bits(fake_quantize(x, qp), y)
    assert same_bits(fake_quantize_backward(dy, x, qp), leaf.grad)
    # The check can fail: the textbook's mask, quant_min <= x / s + z <= quant_max without rounding, is another one.
    textbook = (x / scale + zero_point >= grid.quant_min) & (x / scale + zero_point <= grid.quant_max)
    assert (textbook != straight_through_mask(x, qp)).sum() > 100


@pytest.mark.parametrize(("shape", "axis"), [((16, 12_500), 0), ((10, 40, 5, 100), 1), ((2, 1000, 100), -1)])
@pytest.mark.parametrize("grid", GRIDS, ids=repr)
def test_per_channel_values_and_gradients_equal_torch(grid, shape, axis):
    x, dy, scale, zero_point = random_case(np.random.default_rng(2), shape, axis % len(shape), grid)
    qp = QParams(scale=scale, zero_point=zero_point, grid=grid, axis=axis)
    leaf = torch.tensor(x, requires_grad=True)
    y = torch.fake_quantize_per_channel_affine(
        leaf,
        torch.tensor(scale),
        torch.tensor(zero_point, dtype=torch.int32),
        axis % len(shape),
        grid.quant_min,
        grid.quant_max,
    )
    y.backward(torch.tensor(dy))
    finite = np.isfinite(x)
    assert same_bits(fake_quantize(x, qp)[finite], y[torch.tensor(finite)])
    assert same_bits(fake_quantize_backward(dy, x, qp), leaf.grad)


def test_torchs_per_channel_kernel_sends_infinities_to_the_low_end():
    # Why the test above leaves infinite values (not their gradients) out: quantlab saturates on the side they lie.
    x = torch.tensor([[np.inf, -np.inf, 1e30, -1e30]])
    zero = torch.zeros(1, dtype=torch.int32)
    assert torch.fake_quantize_per_channel_affine(x, torch.ones(1), zero, 0, -128, 127).tolist() == [[-128.0] * 4]
    qp = QParams(scale=[1.0], zero_point=[0], grid=Grid(n_bits=8), axis=0)
    assert fake_quantize(x.numpy(), qp).tolist() == [[127.0, -128.0, 127.0, -128.0]]
    assert not straight_through_mask(x.numpy(), qp).any()


def test_groups_are_columns_by_themselves():
    rng = np.random.default_rng(3)
    x, dy = rng.normal(size=(6, 20, 3)).astype(np.float32), rng.normal(size=(6, 20, 3)).astype(np.float32)
    scale = rng.uniform(0.1, 0.5, (6, 4, 3)).astype(np.float32)
    zero_point = rng.integers(-2, 2, (6, 4, 3))
    grid = Grid(n_bits=2)
    dx = fake_quantize_backward(dy, x, QParams(scale=scale, zero_point=zero_point, grid=grid, axis=1, group_size=5))
    for i, g, j in np.ndindex(6, 4, 3):
        part = (i, slice(5 * g, 5 * g + 5), j)
        one = QParams(scale=scale[i, g, j], zero_point=zero_point[i, g, j], grid=grid)
        assert np.array_equal(dx[part], fake_quantize_backward(dy[part], x[part], one))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0)])
def test_0d_and_empty_arrays(shape):
    qp = QParams(scale=1.0, zero_point=0, grid=Grid(n_bits=8))
    assert fake_quantize_backward(np.ones(shape, np.float32), np.zeros(shape, np.float32), qp).shape == shape


def torch_learnable(x, dy, scale, zero_point, grid, axis, grad_factor):
    """Return y, dx, d_scale and d_zero_point of torch's learnable fake quantization."""
    leaves = [torch.tensor(np.atleast_1d(v).astype(np.float32), requires_grad=True) for v in (x, scale, zero_point)]
    ends = (grid.quant_min, grid.quant_max, grad_factor)
    if axis is None:
        y = torch._fake_quantize_learnable_per_tensor_affine(*leaves, *ends)
    else:
        y = torch._fake_quantize_learnable_per_channel_affine(*leaves, axis, *ends)
    y.backward(torch.tensor(dy))
    return y, *(leaf.grad for leaf in leaves)


def torch_backward_zero_point(zero_point, grid):
    """The zero point of torch's per-tensor backward kernel: clipped(z + 0.5), cut towards zero."""
    return np.trunc(np.clip(np.float32(zero_point) + np.float32(0.5), grid.quant_min, grid.quant_max))


@pytest.mark.parametrize("grad_factor", [1.0, 0.3])
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("grid", GRIDS, ids=repr)
def test_learnable_form_equals_torch(grid, axis, grad_factor):
    rng = np.random.default_rng(4)
    for trial in range(4):
        x, dy, scale, zero_point = random_case(rng, (20, 500), axis, grid)
        x = np.where(np.isfinite(x), x, 0)
        zero_point = zero_point.astype(np.float32)
        if trial % 2:  # between two marks, and beyond the grid
            zero_point = (zero_point + rng.uniform(-1.4, 1.4, zero_point.shape)).astype(np.float32)
        y, dx, ds, dz = torch_learnable(x, dy, scale, zero_point, grid, axis, grad_factor)
        assert same_bits(fake_quantize_learnable(x, scale, zero_point, grid=grid, axis=axis), y)

        back = zero_point if axis is not None else torch_backward_zero_point(zero_point, grid)
        ours = fake_quantize_learnable_backward(dy, x, scale, back, grid=grid, axis=axis, grad_factor=grad_factor)
        assert same_bits(ours[0], dx)
        # torch sums float32 terms in float32, n = 10,000 at most: blockwise, so that the error stays below about
        # log2(n) * 2**-24 = 8e-7 of the sum of magnitudes. No term exceeds |dy| * max(n_levels, 1/2) or |dy| * s.
        rows = np.abs(dy).sum(axis=None if axis is None else 1 - axis) * grad_factor
        assert (np.abs(ours[1] - ds.numpy()) <= 1e-6 * rows * grid.n_levels).all()
        assert (np.abs(ours[2] - dz.numpy()) <= 1e-6 * rows * scale).all()


@pytest.mark.parametrize("grid", GRIDS, ids=repr)
def test_every_term_of_the_learnable_gradients_equals_torch(grid):
    # One value a channel: the sums have one term, and nothing hides in them.
    rng = np.random.default_rng(5)
    scale = np.exp(rng.uniform(-6, 2, 50_000)).astype(np.float32)
    zero_point = rng.integers(grid.quant_min, grid.quant_max + 1, 50_000)
    x = np.concatenate([ties_and_neighbours(rng, 5, s, z, grid)[2:3] for s, z in zip(scale, zero_point, strict=True)])
    dy = rng.normal(size=(50_000, 1)).astype(np.float32)
    _, dx, ds, dz = torch_learnable(x[:, None], dy, scale, zero_point, grid, 0, 1.0)
    ours = fake_quantize_learnable_backward(dy, x[:, None], scale, zero_point, grid=grid, axis=0)
    assert same_bits(ours[0], dx)
    assert (ours[1] == ds.numpy()).all()
    assert (ours[2] == dz.numpy()).all()
    assert (ours[1] != 0).sum() > 10_000
    assert (ours[2] != 0).sum() > 1_000


def test_a_negative_zero_point_is_one_off_in_torchs_per_tensor_gradient():
    grid, scale = Grid(n_bits=4), np.float32(1)
    x = np.array([-5.0, 10.0], np.float32)  # with z = -3 both ends: -8 on the grid, 7 on the grid
    dy = np.ones(2, np.float32)
    y, dx, _, _ = torch_learnable(x, dy, scale, np.float32(-3), grid, None, 1.0)
    assert y.tolist() == [-5, 10]  # forward neither is clipped
    assert dx.tolist() == [1, 0]  # backward the second is
    assert fake_quantize_learnable_backward(dy, x, scale, -3.0, grid=grid)[0].tolist() == [1, 1]


def test_infinities_are_outside_on_their_side():
    x = np.array([np.inf, -np.inf, 1e38], np.float32)
    dx, ds, dz = fake_quantize_learnable_backward(np.ones(3), x, 0.5, 1.0, grid=Grid(n_bits=4))
    assert dx.tolist() == [0, 0, 0]
    assert (ds, dz) == ((7 - 1) + (-8 - 1) + (7 - 1), -1.5)


def test_errors_name_what_came():
    qp = QParams(scale=[1.0, 2.0], zero_point=0, grid=Grid(n_bits=8), axis=1)
    with pytest.raises(ValueError, match=r"scale has shape \(2,\); expected \(3,\) for an array of shape \(2, 3\)"):
        broadcast_qparams(qp, (2, 3))
    with pytest.raises(ValueError, match=r"dy\.shape=\(4,\); expected \(2, 2\), the shape of x"):
        fake_quantize_backward(np.ones(4), np.ones((2, 2)), qp)
    with pytest.raises(ValueError, match="scale=-1.0"):
        fake_quantize_learnable(np.ones(3), -1.0, 0.0, grid=Grid(n_bits=8))
