"""The convolution layer and its gradients against torch's autograd, in float64."""

import numpy as np
import pytest

from quantlab.core.windows import place_windows
from quantlab.nn.conv_layer import Conv2D
from tests.nn.torch_images import TOLERANCE, leaf, nchw, nhwc, torch_conv


def gradients_of_torch(X, W, b, dY, *, layer, pads):
    """Output and gradients of torch, in our layouts."""
    x, w, bias = leaf(nchw(X)), leaf(nchw(W)), leaf(b)
    y = torch_conv(x, w, bias, stride=layer.stride, pads=pads, groups=layer.groups)
    y.backward(leaf(nchw(dY)))
    return nhwc(y), nhwc(x.grad), nhwc(w.grad), bias.grad.numpy()


@pytest.mark.parametrize(
    ("n_in", "n_out", "kernel", "stride", "padding", "groups"),
    [
        (3, 5, (3, 3), (1, 1), "same", 1),
        (4, 6, (3, 2), (2, 1), "same", 1),
        (4, 8, (1, 1), (2, 2), "valid", 1),
        (1, 4, (5, 3), (2, 3), ((2, 1), (0, 3)), 1),
        (6, 6, (3, 3), (1, 1), "same", 6),
        (5, 5, (5, 5), (2, 2), "same", 5),
        (3, 12, (3, 3), (1, 2), "valid", 3),
        (6, 4, (3, 3), (1, 1), "same", 2),
    ],
)
def test_forward_and_gradients_equal_torch(n_in, n_out, kernel, stride, padding, groups):
    rng = np.random.default_rng(7)
    layer = Conv2D(n_in, n_out, kernel=kernel, stride=stride, padding=padding, groups=groups, rng=rng)
    X = rng.normal(size=(2, 9, 8, n_in))
    W = layer.params["W"].astype(np.float64)
    b = layer.params["b"][:] = rng.normal(size=n_out)
    pads, out = place_windows((9, 8), kernel=kernel, stride=stride, padding=padding)
    dY = rng.normal(size=(2, *out, n_out))
    Y = layer.forward(X, training=True)
    dX = layer.backward(dY)
    ours = (Y, dX, layer.grads["W"], layer.grads["b"])
    theirs = gradients_of_torch(X, W, layer.params["b"], dY, layer=layer, pads=pads)
    magnitudes = gradients_of_torch(*map(np.abs, (X, W, b, dY)), layer=layer, pads=pads)
    for mine, want, magnitude in zip(ours, theirs, magnitudes, strict=True):
        assert mine.shape == want.shape
        assert (np.abs(mine - want) <= TOLERANCE * magnitude).all()


def test_without_bias_and_in_float32():
    rng = np.random.default_rng(8)
    for groups in (1, 4):
        layer = Conv2D(4, 4, kernel=(3, 3), groups=groups, bias=False, rng=rng)
        Y = layer.forward(rng.normal(size=(2, 5, 5, 4)).astype(np.float32), training=True)
        dX = layer.backward(Y)
        assert list(layer.params) == list(layer.grads) == ["W"]
        assert Y.dtype == dX.dtype == layer.grads["W"].dtype == np.float32


def test_he_initialization_has_its_variance():
    rng = np.random.default_rng(9)
    dense, depthwise = (
        Conv2D(64, 64, kernel=(3, 3), rng=rng),
        Conv2D(2**13, 2**13, kernel=(3, 3), groups=2**13, rng=rng),
    )
    for layer, fan_in in ((dense, 576), (depthwise, 9)):
        W = layer.params["W"]
        # the variance of n normal draws is within 5 * sqrt(2 / n) of its expectation
        assert abs(W.var() * fan_in / 2 - 1) < 5 * np.sqrt(2 / W.size)


def test_errors_name_what_came():
    rng = np.random.default_rng(10)
    with pytest.raises(ValueError, match="groups=3 does not divide n_in=6 and n_out=4"):
        Conv2D(6, 4, kernel=(3, 3), groups=3, rng=rng)
    layer = Conv2D(2, 4, kernel=(3, 3), rng=rng)
    with pytest.raises(ValueError, match=r"x\.shape=\(1, 5, 5, 3\)"):
        layer.forward(np.zeros((1, 5, 5, 3)))
    layer.forward(np.zeros((1, 5, 5, 2)))
    with pytest.raises(ValueError, match=r"Conv2D\.backward has no input.*training=True"):
        layer.backward(np.zeros((1, 5, 5, 4)))
