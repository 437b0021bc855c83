"""A prepared network starts where the float one stands, quantizes everything, and leaves the float one alone."""

from copy import deepcopy

import numpy as np
import pytest

from quantlab import Grid, fake_quantize
from quantlab.nn.batch_norm import BatchNorm
from quantlab.nn.conv_layer import Conv2D
from quantlab.nn.layers import Linear, ReLU, Sequential
from quantlab.nn.optim import SGD
from quantlab.nn.pool_layers import GlobalAveragePool, MaxPool2D, Residual
from quantlab.nn.train import train
from quantlab.qat.layers import QATLinear
from quantlab.qat.prepare import prepare

GRIDS = {"w_grid": Grid(n_bits=3), "x_grid": Grid(n_bits=3, signed=False)}


@pytest.fixture
def model():
    rng = np.random.default_rng(0)
    return Sequential([Linear(5, 4, rng=rng), ReLU(), Linear(4, 3, rng=rng)])


@pytest.fixture
def X():
    return np.random.default_rng(1).random((20, 5), np.float32)


def test_it_starts_from_the_same_parameters_in_arrays_of_its_own(model):
    copy = prepare(model, **GRIDS, rule="ste", rng=np.random.default_rng(2))
    assert list(copy.params) == list(model.params)
    for name, value in model.params.items():
        assert np.array_equal(copy.params[name], value)
        assert not np.shares_memory(copy.params[name], value)


def test_every_weight_and_input_is_quantized(model, X):
    """Against the same network written out with fake_quantize."""
    copy = prepare(model, **GRIDS, rule="ste", rng=np.random.default_rng(2))
    copy.forward(X, training=True)
    want = X
    for layer in copy.layers:
        if isinstance(layer, QATLinear):
            x_hat = fake_quantize(want, layer.quantize_x.observer.qparams(grid=GRIDS["x_grid"]))
            want = x_hat @ fake_quantize(layer.params["W"], layer.w_qparams()).T + layer.params["b"]
        else:
            want = np.maximum(want, 0)
    assert np.array_equal(copy.forward(X), want)
    assert not np.array_equal(copy.forward(X), model.forward(X))


def test_training_it_leaves_the_float_network_alone(model, X):
    before = {name: value.copy() for name, value in model.params.items()}
    copy = prepare(model, **GRIDS, rule="ste", rng=np.random.default_rng(2))
    labels = np.arange(len(X)) % 3
    train(copy, X, labels, optimizer=SGD(lr=0.1), n_epochs=2, batch_size=5, rng=np.random.default_rng(3))
    assert not np.array_equal(copy.params["0.W"], before["0.W"])
    assert all(np.array_equal(model.params[name], value) for name, value in before.items())


def test_layers_without_parameters_are_copies_too(model):
    """A ReLU keeps what backward needs: two networks that shared it would go back through each other's inputs."""
    copy = prepare(model, **GRIDS, rule="ste", rng=np.random.default_rng(2))
    assert copy.layers[1] is not model.layers[1]


def test_a_layer_that_it_does_not_know_is_refused(model):
    copy = prepare(model, **GRIDS, rule="ste", rng=np.random.default_rng(2))
    with pytest.raises(TypeError, match=r"model.layers\[0\] is a QATLinear"):
        prepare(copy, **GRIDS, rule="ste", rng=np.random.default_rng(2))


def test_convolutions_norms_residuals_and_nested_networks_are_prepared():
    rng = np.random.default_rng(4)
    body = [Conv2D(3, 3, kernel=(3, 3), rng=rng), BatchNorm(3, eps=0.01, momentum=0.7), ReLU()]
    nested = Sequential([Conv2D(3, 6, kernel=(3, 3), stride=(2, 2), padding="valid", groups=3, rng=rng), ReLU()])
    model = Sequential([Residual(body), nested, MaxPool2D((2, 2)), GlobalAveragePool(), Linear(6, 2, rng=rng)])
    images = rng.random((5, 9, 9, 3), np.float32)  # odd: padding "same" would begin one pixel earlier
    model.forward(images, training=True)  # moves the averages away from 0 and 1
    fine = {"w_grid": Grid(n_bits=16), "x_grid": Grid(n_bits=16)}
    for statistics in ("running", "batch"):
        copy = prepare(model, **fine, rule="ste", rng=rng, statistics=statistics)
        norm = copy.layers[0].body.layers[0].batch_norm
        assert norm.eps == 0.01
        assert norm.momentum == 0.7
        assert np.array_equal(norm.mean, body[1].mean)
        assert not np.shares_memory(norm.mean, body[1].mean)
        reference = deepcopy(model)
        for training in (True, False):
            want, got = (network.forward(images, training=training) for network in (reference, copy))
            # 16 bits everywhere: steps of 2**-16 of the range, some hundred of them added up
            assert np.abs(got - want).max() < 1e-3 * np.abs(want).max()


def test_a_batch_norm_behind_something_else_is_refused():
    rng = np.random.default_rng(5)
    model = Sequential([Linear(3, 3, rng=rng), BatchNorm(3)])
    with pytest.raises(TypeError, match=r"model.layers\[1\] is a BatchNorm"):
        prepare(model, **GRIDS, rule="ste", rng=rng)
