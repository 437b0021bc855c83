"""The oracle of integer networks: LiteRT runs the very integers that quantlab chose, and gives the same integers."""

from dataclasses import replace

import numpy as np
import pytest

from quantlab.core.affine import quantize
from quantlab.lab import data, litert, models
from quantlab.lab.efficientnet import efficientnet_network
from quantlab.lab.litert_export import to_tflite
from quantlab.nn.network import INPUT, Network, Node
from quantlab.ptq.calibrate import calibrate
from quantlab.ptq.fold import fold
from quantlab.ptq.quantize import quantize_network
from tests.ptq.networks import random_digits_cnn


def compare(qnet, x, *, least):
    """Compare every activation with every kernel set, to the bit; return how many values the dialects differ in."""
    x_q = quantize(x, qnet.activations[INPUT])
    model = to_tflite(qnet, input_shape=x.shape)
    ours = {dialect: qnet.codes(x_q, dialect=dialect) for dialect in litert.KERNELS}
    names = list(ours["litert"])  # the export numbers the activations in this order
    for kernels in litert.KERNELS:
        shown = litert.tensors(model, x_q, kernels=kernels)
        compared = 0
        for index, name in enumerate(names):
            if index in shown:
                assert np.array_equal(shown[index], ours[kernels][name]), (kernels, name)
                compared += shown[index].size
        assert compared > least
        assert np.array_equal(litert.run(model, x_q, kernels=kernels), ours[kernels][names[-1]])
    return {
        kernels: sum(np.count_nonzero(ours["litert"][name] != ours[kernels][name]) for name in names)
        for kernels in ("litert_ruy", "litert_reference")
    }


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("per_channel", [True, False], ids=["per channel", "per tensor"])
def test_digits_cnn_equals_litert_to_the_bit(per_channel, bits):
    x = np.random.default_rng(1).uniform(0, 1, (32, 8, 8, 1)).astype(np.float32)
    network = random_digits_cnn(3)
    qnet = quantize_network(network, calibrate(network, x), weight_bits=bits, per_channel=per_channel)
    differ = compare(qnet, x, least=150_000)
    assert min(differ.values()) > 10  # the check can fail: the dialects are told from each other


def other_network(rng):
    """What the digits CNN does not have: strides, valid padding, depth multiplier, ReLU6, average pool, flatten."""

    def params(*shape):
        W = rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        return {"W": W.astype(np.float32), "b": rng.normal(size=shape[0]).astype(np.float32)}

    return Network(
        [
            Node("stem", "conv", (INPUT,), params(6, 3, 2, 3), {"stride": (2, 1)}, "relu6"),
            Node("wide", "conv", ("stem",), params(12, 3, 3, 1), {"groups": 6, "padding": "valid"}, "relu6"),
            Node("point", "conv", ("wide",), params(12, 1, 1, 12), {"stride": (1, 1)}),
            Node("grouped", "conv", ("point",), params(12, 3, 3, 4), {"groups": 3}, "relu"),
            Node("sum", "add", ("wide", "grouped"), activation="relu"),
            Node("pool", "average_pool", ("sum",), {}, {"size": (2, 3), "stride": (1, 2), "padding": "same"}, "relu6"),
            Node("strided", "conv", ("pool",), params(12, 5, 5, 1), {"groups": 12, "stride": (2, 2)}),
            Node("largest", "max_pool", ("strided",), options={"size": (2, 1), "padding": "same"}),
            Node("flat", "flatten", ("largest",)),
            Node("hidden", "linear", ("flat",), params(7, 24), activation="relu6"),
            Node("out", "linear", ("hidden",), params(4, 7)),
        ]
    )


@pytest.mark.parametrize("per_channel", [True, False], ids=["per channel", "per tensor"])
def test_other_operators_equal_litert_to_the_bit(per_channel):
    rng = np.random.default_rng(5)
    network, x = other_network(rng), rng.normal(size=(64, 11, 9, 3)).astype(np.float32) * 2
    qnet = quantize_network(network, calibrate(network, x), weight_bits=8, per_channel=per_channel)
    differ = compare(qnet, x, least=60_000)
    assert min(differ.values()) > 10


def test_efficientnet_equals_litert_to_the_bit():
    photos = data.photographs(["china", "cat"])
    images = {name: data.crops(photo, n=2, rng=np.random.default_rng(0)) for name, photo in photos.items()}
    x_cal, x = (models.efficientnet_input(images[name]) for name in ("china", "cat"))
    network = fold(efficientnet_network())
    qnet = quantize_network(network, calibrate(network, x_cal), weight_bits=8, per_channel=True)
    differ = compare(qnet, x, least=13_000_000)
    assert min(differ.values()) > 10_000


def test_tensors_are_named_after_the_nodes():
    network, x = random_digits_cnn(3), np.zeros((2, 8, 8, 1), np.float32)
    qnet = quantize_network(network, calibrate(network, x + 1), weight_bits=8, per_channel=True)
    model = to_tflite(qnet, input_shape=x.shape)
    for name in ("input", "conv0/W", "conv0/b", "mean15/axes"):
        assert name.encode() in model


def test_what_the_format_cannot_hold_is_named():
    network, x = random_digits_cnn(3), np.ones((2, 8, 8, 1), np.float32)
    observers = calibrate(network, x)
    wide = quantize_network(network, observers, weight_bits=16, per_channel=True)
    with pytest.raises(ValueError, match="weights of 'conv0' are on Grid"):
        to_tflite(wide, input_shape=x.shape)
    narrow = quantize_network(network, observers, weight_bits=8, activation_bits=4, per_channel=True)
    with pytest.raises(ValueError, match="activations of 'input' are on Grid"):
        to_tflite(narrow, input_shape=x.shape)
    clipped = replace(
        network["linear16"], activation="clip", params={**network["linear16"].params, "limit": np.ones(10)}
    )
    qnet = quantize_network(Network([*network.nodes[:-1], clipped]), observers, weight_bits=8, per_channel=True)
    with pytest.raises(ValueError, match="'linear16' clips each channel"):
        to_tflite(qnet, input_shape=x.shape)
    params = {"W": np.ones((1, 2, 2, 1), np.float32), "b": np.ones(1, np.float32)}
    padded = Network([Node("c", "conv", (INPUT,), params, {"padding": ((1, 0), (0, 0))})])
    qnet = quantize_network(padded, calibrate(padded, x), weight_bits=8, per_channel=True)
    with pytest.raises(ValueError, match=r"'c' has padding=\(\(1, 0\), \(0, 0\)\); a \.tflite operator has"):
        to_tflite(qnet, input_shape=x.shape)
