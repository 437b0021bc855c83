"""Batch normalization against torch's, in float64: both modes, gradients and running averages."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from quantlab.nn.batch_norm import BatchNorm
from tests.nn.torch_images import leaf

# x_hat is a sum of some hundred values, divided by a root: a few hundred times 2**-53 of values of order 10.
TOLERANCE = 1e-12


def random_layer(rng, channels, **options):
    layer = BatchNorm(channels, **options)
    for value in (*layer.params.values(), layer.mean):
        value[:] = rng.normal(size=channels)
    layer.variance[:] = rng.uniform(0.5, 2, channels)
    return layer


@pytest.mark.parametrize("shape", [(7, 3), (2, 5, 4, 6)])
@pytest.mark.parametrize(("eps", "momentum"), [(1e-3, 0.9), (1e-5, 0.5)])
def test_training_equals_torch(shape, eps, momentum):
    rng = np.random.default_rng(1)
    layer = random_layer(rng, shape[-1], eps=eps, momentum=momentum)
    layer.mean, layer.variance = layer.mean.astype(np.float64), layer.variance.astype(np.float64)
    X, dY = 3 * rng.normal(size=shape) + 1, rng.normal(size=shape)
    x, gamma, beta = (leaf(v) for v in (X, layer.params["gamma"], layer.params["beta"]))
    mean, variance = torch.tensor(layer.mean.copy()), torch.tensor(layer.variance.copy())
    y = F.batch_norm(
        x.movedim(-1, 1), mean, variance, gamma, beta, training=True, momentum=1 - momentum, eps=eps
    ).movedim(1, -1)
    y.backward(torch.tensor(dY))
    pairs = [
        (layer.forward(X, training=True), y.detach()),
        (layer.backward(dY), x.grad),
        (layer.grads["gamma"], gamma.grad),
        (layer.grads["beta"], beta.grad),
        (layer.mean, mean),
        (layer.variance, variance),
    ]
    for ours, theirs in pairs:
        assert ours.shape == tuple(theirs.shape)
        assert np.abs(ours - theirs.numpy()).max() < TOLERANCE


def test_inference_uses_the_running_averages_and_changes_nothing():
    rng = np.random.default_rng(2)
    layer = random_layer(rng, 6)
    X, kept = rng.normal(size=(2, 5, 4, 6)), (layer.mean.copy(), layer.variance.copy())
    arguments = [torch.tensor(v, dtype=torch.float64) for v in (layer.mean, layer.variance, *layer.params.values())]
    y = F.batch_norm(torch.tensor(X).movedim(-1, 1), *arguments, eps=1e-3).movedim(1, -1).numpy()
    # gamma / sqrt(variance + eps) is float32 here: off by 2**-22 of it at most
    bound = 2**-22 * (np.abs(X) + np.abs(layer.mean)) * np.abs(layer.params["gamma"]) * 2
    assert (np.abs(layer.forward(X) - y) <= bound).all()
    assert np.array_equal(layer.forward(X)[:1], layer.forward(X[:1]))
    assert np.array_equal(kept, (layer.mean, layer.variance))


def test_float32_stays_float32():
    layer = BatchNorm(3)
    X = np.random.default_rng(3).normal(size=(4, 3)).astype(np.float32)
    Y = layer.forward(X, training=True)
    arrays = [Y, layer.backward(Y), *layer.grads.values(), layer.mean, layer.variance, layer.forward(X)]
    assert {a.dtype for a in arrays} == {np.dtype(np.float32)}


def test_a_constant_channel_is_beta():
    layer = BatchNorm(1)
    layer.params["beta"][:] = 7
    Y = layer.forward(np.full((4, 1), 5.0), training=True)
    assert (Y == 7).all()
    assert (layer.backward(np.arange(4.0)[:, None]) < 1e4).all()  # finite, thanks to eps


def test_errors_name_what_came():
    layer = BatchNorm(3)
    with pytest.raises(ValueError, match=r"X\.shape=\(2, 4\); expected \(\.\.\., 3\)"):
        layer.forward(np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"X\.shape=\(1, 3\).*at least 2 values"):
        layer.forward(np.zeros((1, 3)), training=True)
    layer.forward(np.zeros((2, 3)), training=True)
    layer.forward(np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"BatchNorm\.backward has no input"):
        layer.backward(np.zeros((1, 3)))
