"""Pools, flatten and shortcut against torch's autograd."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from quantlab.core.windows import place_windows
from quantlab.nn.conv_layer import Conv2D
from quantlab.nn.layers import Linear, ReLU, Sequential
from quantlab.nn.pool_layers import Flatten, GlobalAveragePool, MaxPool2D, Residual
from tests.nn.torch_images import leaf, nchw, nhwc, torch_conv


@pytest.mark.parametrize("values", ["distinct", "ties"])
@pytest.mark.parametrize(
    ("size", "stride", "padding"),
    [((2, 2), None, "valid"), ((3, 3), (2, 2), "same"), ((2, 3), (1, 2), ((1, 0), (0, 2)))],
)
def test_max_pool_equals_torch(size, stride, padding, values):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(2, 7, 8, 3)) - 2
    if values == "ties":
        X = np.round(X)
    layer = MaxPool2D(size, stride=stride, padding=padding)
    Y = layer.forward(X, training=True)
    dY = rng.integers(-9, 10, Y.shape).astype(np.float64)  # integers: sums are exact
    dX = layer.backward(dY)
    x = leaf(nchw(X))
    (top, bottom), (left, right) = place_windows((7, 8), kernel=size, stride=layer.stride, padding=padding).pads
    y = F.max_pool2d(F.pad(x, (left, right, top, bottom), value=-np.inf), size, layer.stride)
    y.backward(torch.tensor(nchw(dY)))
    assert np.array_equal(Y, nhwc(y))
    assert np.array_equal(dX, nhwc(x.grad))


def test_global_average_pool_and_flatten_equal_torch():
    rng = np.random.default_rng(2)
    X, dY = rng.normal(size=(2, 3, 5, 4)), rng.normal(size=(2, 4))
    pool, x = GlobalAveragePool(), leaf(X)
    y = x.mean(dim=(1, 2))
    y.backward(torch.tensor(dY))
    assert np.abs(pool.forward(X, training=True) - y.detach().numpy()).max() < 15 * 2**-52 * np.abs(X).max()
    assert np.abs(pool.backward(dY) - x.grad.numpy()).max() < 2**-52
    flatten, dY = Flatten(), rng.normal(size=(2, 60))
    assert np.array_equal(flatten.forward(X, training=True), X.reshape(2, 60))
    assert np.array_equal(flatten.backward(dY), dY.reshape(X.shape))


def test_residual_equals_torch_and_shares_its_bodys_arrays():
    rng = np.random.default_rng(3)
    block = Residual([Conv2D(2, 2, kernel=(3, 3), rng=rng), ReLU()])
    model = Sequential([block, Flatten(), Linear(50, 3, rng=rng)])
    assert list(model.params) == ["0.0.W", "0.0.b", "2.W", "2.b"]
    assert model.params["0.0.W"] is block.body.layers[0].params["W"]
    X, dY = rng.normal(size=(4, 5, 5, 2)), rng.normal(size=(4, 3))
    Y = model.forward(X, training=True)
    dX = model.backward(dY)
    x = leaf(nchw(X))
    w, b, w2, b2 = (leaf(nchw(p) if p.ndim == 4 else p) for p in model.params.values())
    h = x + F.relu(torch_conv(x, w, b, stride=1, pads=((1, 1), (1, 1)), groups=1))
    y = F.linear(h.movedim(1, -1).reshape(4, 50), w2, b2)
    y.backward(torch.tensor(dY))
    # values of order 10, through sums of at most 100 products: 100 * 2**-53 * 100
    assert np.abs(Y - y.detach().numpy()).max() < 1e-12
    assert np.abs(dX - nhwc(x.grad)).max() < 1e-12
    theirs = [nhwc(w.grad), b.grad.numpy(), w2.grad.numpy(), b2.grad.numpy()]
    assert list(model.grads) == list(model.params)
    for mine, want in zip(model.grads.values(), theirs, strict=True):
        assert np.abs(mine - want).max() < 1e-12


def test_no_samples_and_no_image():
    assert Flatten().forward(np.zeros((0, 2, 3))).shape == (0, 6)
    with pytest.raises(ValueError, match=r"x\.shape=\(2, 3\); expected \(samples, height, width, channels\)"):
        GlobalAveragePool().forward(np.zeros((2, 3)))


def test_errors_name_what_came():
    block = Residual([Linear(3, 2, rng=np.random.default_rng(0))])
    with pytest.raises(ValueError, match=r"the body makes \(4, 2\) of X\.shape=\(4, 3\)"):
        block.forward(np.zeros((4, 3)))
    for layer in (MaxPool2D((2, 2)), GlobalAveragePool(), Flatten()):
        layer.forward(np.zeros((1, 4, 4, 2)))
        with pytest.raises(ValueError, match="has no input to go back to"):
            layer.backward(np.zeros((1, 2)))
