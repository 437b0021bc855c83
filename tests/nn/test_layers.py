"""Layers and loss against torch's autograd, in float64, so that a tolerance can be derived and tight."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from quantlab.nn.layers import Linear, ReLU, Sequential, softmax_cross_entropy

# A dot product of n terms in float64 errs by at most about n * 2**-53 of the sum of the magnitudes of its terms, on our
# side and on torch's. n <= 128 everywhere here: 2 * 128 * 2**-53 < 3e-14.
TOLERANCE = 3e-14


def assert_close(ours, theirs, magnitudes):
    assert ours.shape == theirs.shape
    assert (np.abs(ours - theirs.detach().numpy()) <= TOLERANCE * magnitudes).all()


def as_leaf(array):
    return torch.tensor(np.asarray(array, np.float64), requires_grad=True)


@pytest.mark.parametrize(("n", "n_in", "n_out"), [(1, 1, 1), (7, 5, 3), (128, 64, 10), (3, 100, 128)])
def test_linear_equals_torch(n, n_in, n_out):
    rng = np.random.default_rng(n)
    layer = Linear(n_in, n_out, rng=rng)
    layer.params["b"][:] = rng.normal(size=n_out)
    X, dY = rng.normal(size=(n, n_in)), rng.normal(size=(n, n_out))
    Y = layer.forward(X, training=True)
    dX = layer.backward(dY)

    x, w, b = as_leaf(X), as_leaf(layer.params["W"]), as_leaf(layer.params["b"])
    y = F.linear(x, w, b)
    y.backward(torch.tensor(dY))
    W = np.abs(layer.params["W"].astype(np.float64))
    assert_close(Y, y, np.abs(X) @ W.T + np.abs(layer.params["b"]))
    assert_close(layer.grads["W"], w.grad, np.abs(dY).T @ np.abs(X))
    assert_close(layer.grads["b"], b.grad, np.abs(dY).sum(axis=0))
    assert_close(dX, x.grad, np.abs(dY) @ W)


def test_relu_equals_torch_at_zero_too():
    X = np.array([[-1.5, -0.0, 0.0, 2.0, np.inf, -np.inf]], np.float32)
    dY = np.arange(1, 7, dtype=np.float32)[None]
    relu = ReLU()
    x = torch.tensor(X, requires_grad=True)
    y = F.relu(x)
    y.backward(torch.tensor(dY))
    assert np.array_equal(relu.forward(X, training=True), y.detach().numpy())
    assert np.array_equal(relu.backward(dY), x.grad.numpy())


def test_cross_entropy_equals_torch_for_ordinary_and_huge_logits():
    rng = np.random.default_rng(3)
    for spread in (1, 50, 2000):  # exp(2000) overflows; exp(-2000) underflows to 0
        logits, labels = rng.normal(size=(40, 10)) * spread, rng.integers(0, 10, 40)
        loss, d_logits = softmax_cross_entropy(logits, labels)
        z = as_leaf(logits)
        expected = F.cross_entropy(z, torch.tensor(labels))
        expected.backward()
        # exp and log err by a few 2**-53, times at most |logit|, which the exponential takes as an absolute error
        bound = 2**-50 * spread * 5
        assert abs(loss - expected.item()) <= bound
        assert np.abs(d_logits - z.grad.numpy()).max() <= bound


def test_cross_entropy_of_infinite_logits():
    loss, gradient = softmax_cross_entropy(np.array([[-np.inf, 0.0]]), np.array([1]))
    assert loss == 0
    assert gradient.tolist() == [[0, 0]]
    assert softmax_cross_entropy(np.array([[-np.inf, 0.0]]), np.array([0]))[0] == np.inf
    with np.errstate(invalid="ignore"):
        for bad in (np.nan, np.inf):
            assert np.isnan(softmax_cross_entropy(np.array([[bad, 0.0]]), np.array([0]))[0])


def test_sequential_equals_torch_end_to_end():
    rng = np.random.default_rng(4)
    model = Sequential([Linear(20, 30, rng=rng), ReLU(), Linear(30, 25, rng=rng), ReLU(), Linear(25, 4, rng=rng)])
    X, labels = rng.normal(size=(50, 20)), rng.integers(0, 4, 50)
    loss, d_logits = softmax_cross_entropy(model.forward(X, training=True), labels)
    dX = model.backward(d_logits)

    leaves = {name: as_leaf(value) for name, value in model.params.items()}
    x = as_leaf(X)
    h = F.relu(F.linear(x, leaves["0.W"], leaves["0.b"]))
    h = F.relu(F.linear(h, leaves["2.W"], leaves["2.b"]))
    expected = F.cross_entropy(F.linear(h, leaves["4.W"], leaves["4.b"]), torch.tensor(labels))
    expected.backward()
    assert abs(loss - expected.item()) < 1e-13
    assert model.grads.keys() == leaves.keys()
    for name, leaf in leaves.items():
        # Values are of order 1 at most, and errors pass through five products of at most 50 terms: 5 * 50 * 2**-53.
        assert np.abs(model.grads[name] - leaf.grad.numpy()).max() < 1e-13
    assert np.abs(dX - x.grad.numpy()).max() < 1e-13


def test_float32_stays_float32():
    rng = np.random.default_rng(5)
    model = Sequential([Linear(4, 3, rng=rng), ReLU()])
    Y = model.forward(rng.normal(size=(2, 4)).astype(np.float32), training=True)
    _, d_logits = softmax_cross_entropy(Y, np.array([0, 2]))
    assert Y.dtype == d_logits.dtype == model.backward(d_logits).dtype == np.float32
    assert {g.dtype for g in model.grads.values()} == {np.dtype(np.float32)}


def test_he_initialization_has_its_variance():
    W = Linear(500, 400, rng=np.random.default_rng(6)).params["W"]
    # the variance of 200,000 normal draws is within 5 * sqrt(2 / 200,000) = 1.6 % of its expectation
    assert abs(W.var() / (2 / 500) - 1) < 0.016


def test_errors_name_what_came():
    layer = Linear(4, 3, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"X\.shape=\(2, 5\); expected \(samples, 4\)"):
        layer.forward(np.zeros((2, 5)))
    layer.forward(np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"Linear\.backward has no input.*training=True"):
        layer.backward(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="labels reach from 0 to 3; expected 0 to 2"):
        softmax_cross_entropy(np.zeros((2, 3)), np.array([0, 3]))
    with pytest.raises(ValueError, match=r"logits\.shape=\(2, 3\) and labels\.shape=\(3,\)"):
        softmax_cross_entropy(np.zeros((2, 3)), np.array([0, 1, 2]))
    with pytest.raises(TypeError, match=r"labels\.dtype=float64; expected integers"):
        softmax_cross_entropy(np.zeros((1, 3)), np.zeros(1))
    with pytest.raises(ValueError, match="at least one sample"):
        softmax_cross_entropy(np.zeros((0, 3)), np.zeros(0, int))
