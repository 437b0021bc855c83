"""The torch modules against the numpy functions: equal values, equal gradients."""

import numpy as np
import pytest
import torch

from quantlab import Grid, QParams
from quantlab.qat import pytorch
from quantlab.qat.clipping import clip_backward, clip_quantize, initial_clip
from quantlab.qat.lsq import gradient_scale, initial_step, lsq_backward, lsq_quantize
from quantlab.qat.noise import add_rounding_noise, noise_mask, quantize_random_part
from quantlab.qat.quantizers import WeightQuantizer

rng = np.random.default_rng(0)
X, DY = rng.normal(size=(2, 12, 200)).astype(np.float32)


def through(module, x=X, dy=DY):
    """Return what the module makes of x, and the gradient by x."""
    leaf = torch.tensor(x, requires_grad=True)
    y = module(leaf)
    y.backward(torch.tensor(dy))
    return y.detach().numpy(), leaf.grad.numpy()


@pytest.mark.parametrize("n_bits", range(2, 9))
@pytest.mark.parametrize("channels", [None, 12])
@pytest.mark.parametrize("samples", [True, False])
def test_lsq(n_bits, channels, samples):
    grid, axis = Grid(n_bits=n_bits), None if channels is None else 0
    module = pytorch.LearnedStep(grid, channels=channels, samples=samples)
    y, dx = through(module)
    step = module.step.detach().numpy()
    # torch adds the magnitudes in float32: 2,400 of them, pairwise
    assert np.allclose(step, initial_step(X, grid=grid, axis=axis), rtol=1e-6)
    factor = gradient_scale(X.size // (12 if samples else 1) // step.size, grid=grid)
    ours = lsq_backward(DY, X, step, grid=grid, axis=axis, grad_factor=factor)
    assert np.array_equal(y, lsq_quantize(X, step, grid=grid, axis=axis))
    assert np.array_equal(dx, ours[0])
    # the same sums in float64, each rounded to float32 once
    assert np.allclose(module.step.grad.numpy(), ours[1], rtol=3e-7, atol=0)
    with torch.no_grad():
        module.step.fill_(-1.0)
    assert torch.isfinite(module(torch.tensor(X))).all()
    assert (module.step == 2.0**-23).all()


@pytest.mark.parametrize("n_bits", range(2, 9))
@pytest.mark.parametrize("axis", [None, 0])
def test_straight_through(n_bits, axis):
    quantizer = WeightQuantizer(Grid(n_bits=n_bits), axis=axis, rule="ste")
    want = quantizer.forward(X, training=True), quantizer.backward(DY)
    module = pytorch.StraightThrough(Grid(n_bits=n_bits), axis=axis)
    assert all(np.array_equal(a, b) for a, b in zip(through(module), want, strict=True))
    assert (module(torch.zeros(12, 3)) == 0).all()  # not 0 / 0


def test_a_first_value_that_sets_no_range_is_refused():
    for module in (pytorch.LearnedStep(Grid(n_bits=3), channels=3), pytorch.LearnedClip(Grid(n_bits=3, narrow=True))):
        with pytest.raises(ValueError, match="holds NaN or infinities"):
            module(torch.full((3, 2), torch.nan))
    with pytest.raises(ValueError, match="the first x is empty"):
        pytorch.LearnedStep(Grid(n_bits=3), samples=True)(torch.zeros(0, 2))
    with pytest.raises(ValueError, match="x has 1 slices along the axis; expected channels=3"):
        pytorch.LearnedStep(Grid(n_bits=3), channels=3)(torch.ones(1, 5))
    with pytest.raises(ValueError, match="no mark above 0"):
        pytorch.LearnedStep(Grid(n_bits=1))


@pytest.mark.parametrize("channels", [None, 12])
@pytest.mark.parametrize(
    "grid", [Grid(n_bits=n, signed=False) for n in (2, 4, 8)] + [Grid(n_bits=3, narrow=True)], ids=repr
)
def test_pact(channels, grid):
    axis = None if channels is None else 0
    module = pytorch.LearnedClip(grid, channels=channels)
    module(torch.tensor(X - 1))  # so that the largest magnitude is not the largest value
    assert np.array_equal(module.alpha.detach().numpy(), initial_clip(X - 1, grid=grid, axis=axis))
    with torch.no_grad():
        module.alpha.mul_(0.4)
    y, dx = through(module)
    alpha = module.alpha.detach().numpy()
    ours = clip_backward(DY, X, alpha, grid=grid, axis=axis)
    # clipped + (rounded - clipped) is not always rounded, to the last bit
    assert np.abs(y - clip_quantize(X, alpha, grid=grid, axis=axis)).max() <= 2**-22 * alpha.max()
    assert np.array_equal(dx, ours[0])
    assert np.allclose(module.alpha.grad.numpy(), ours[1], rtol=1e-5, atol=1e-5)  # torch adds 2,400 terms in float32
    with torch.no_grad():
        module.alpha.fill_(-1.0)
    assert torch.isfinite(module(torch.tensor(X))).all()
    assert (module.alpha == grid.quant_max * 2.0**-23).all()
    with pytest.raises(ValueError, match="narrow=True"):
        pytorch.LearnedClip(Grid(n_bits=4))


def test_noise():
    grid = Grid(n_bits=3)
    qp, u = QParams(scale=0.4, zero_point=0, grid=grid), np.random.default_rng(1).random(X.shape, np.float32)
    noise = torch.tensor(u - np.float32(0.5))
    y, dx = through(lambda x: pytorch.add_rounding_noise(x, torch.tensor(0.4), grid=grid, noise=noise))
    assert np.allclose(y, add_rounding_noise(X, qp, rng=np.random.default_rng(1)), rtol=0, atol=1e-6)
    assert np.array_equal(dx, DY * noise_mask(X, qp))
    drawn = torch.tensor(u < 0.5)
    y, dx = through(lambda x: pytorch.quantize_random_part(x, torch.tensor(0.4), grid=grid, drawn=drawn))
    mixed, mask = quantize_random_part(X, qp, share=0.5, rng=np.random.default_rng(1))
    assert np.array_equal(y, mixed)
    assert np.array_equal(dx, DY * mask)
    step, leaf = (torch.tensor(v, requires_grad=True) for v in (0.4, X))
    pytorch.quantize_random_part(leaf, step, grid=grid, drawn=drawn).sum().backward()
    assert step.grad is None  # it follows the weights, and is not trained


def test_a_torch_network_learns_its_steps():
    torch.manual_seed(0)
    linear = torch.nn.Linear(8, 3)
    torch.nn.utils.parametrize.register_parametrization(
        linear, "weight", pytorch.LearnedStep(Grid(n_bits=2), channels=3)
    )
    step = linear.parametrizations.weight[0].step
    x = torch.randn(64, 8)
    before = step.detach().clone()
    optimizer = torch.optim.SGD(linear.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(linear(x), torch.arange(64) % 3).backward()
        optimizer.step()
    assert (step != before).all()
    assert all(len(row.unique()) <= 4 for row in linear.weight)
