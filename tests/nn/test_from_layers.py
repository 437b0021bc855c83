"""A network made of layers computes what the layers do."""

import numpy as np
import pytest

from quantlab.nn.batch_norm import BatchNorm
from quantlab.nn.conv_layer import Conv2D
from quantlab.nn.from_layers import network_from_layers
from quantlab.nn.layers import Linear, ReLU, Sequential
from quantlab.nn.pool_layers import Flatten, GlobalAveragePool, MaxPool2D, Residual


def model(rng):
    return Sequential(
        [
            Conv2D(3, 8, kernel=(3, 2), stride=(2, 1), padding=((1, 0), (0, 1)), rng=rng),
            BatchNorm(8, eps=0.1),
            ReLU(),
            Residual([Conv2D(8, 8, kernel=(3, 3), groups=8, bias=False, rng=rng), ReLU(), pointwise(8, rng)]),
            ReLU(),
            MaxPool2D((3, 3), stride=(1, 2), padding="same"),
            Sequential([Flatten(), Linear(8 * 3 * 3, 5, rng=rng)]),
        ]
    )


def pointwise(channels, rng):
    return Conv2D(channels, channels, kernel=(1, 1), rng=rng)


def test_it_computes_what_the_layers_do():
    rng = np.random.default_rng(1)
    layers = model(rng)
    for value in layers.params.values():
        value += rng.normal(size=value.shape).astype(np.float32) / 9
    X = rng.normal(size=(4, 6, 6, 3)).astype(np.float32)
    for _ in range(3):
        layers.forward(X, training=True)  # moves the running averages
    network = network_from_layers(layers)
    names = ["conv0", "batch_norm1", "conv2", "conv3", "add4", "max_pool5", "flatten6", "linear7"]
    assert [node.name for node in network.nodes] == names
    relu = {"batch_norm1", "conv2", "add4"}
    assert {node.name for node in network.nodes if node.activation == "relu"} == relu
    # The same operations in the same order, but for the batch norm's eps, which is added in float32 here and there.
    assert np.abs(network.forward(X) - layers.forward(X)).max() <= 2**-20 * np.abs(layers.forward(X)).max()


def test_params_are_float32_copies():
    layers = Sequential([Linear(4, 3, rng=np.random.default_rng(2))])
    layers.layers[0].params = {name: value.astype(np.float64) for name, value in layers.layers[0].params.items()}
    network = network_from_layers(layers)
    layers.layers[0].params["W"][:] = 0
    assert network["linear0"].params["W"].dtype == np.float32
    assert network["linear0"].params["W"].all()


def test_it_refuses_what_it_does_not_know():
    class Strange(Linear):
        pass

    rng = np.random.default_rng(3)
    with pytest.raises(TypeError, match=r"a layer is a Strange; expected one of Linear, Conv2D, .*ReLU, Residual"):
        network_from_layers(Sequential([Strange(2, 2, rng=rng)]))
    with pytest.raises(ValueError, match="a ReLU follows 'input', which others read without it"):
        network_from_layers(Sequential([ReLU(), GlobalAveragePool()]))
    with pytest.raises(ValueError, match="a ReLU follows 'linear0'"):
        network_from_layers(Sequential([Linear(2, 2, rng=rng), Residual([ReLU(), Linear(2, 2, rng=rng)])]))
    inside = Sequential([Residual([Linear(2, 2, rng=rng), ReLU()])])
    assert [node.activation for node in network_from_layers(inside).nodes] == ["relu", None]
