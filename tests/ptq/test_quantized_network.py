"""Networks in which some nodes stay in float32: what they compute, and that nothing else changes.

That a runtime computes the same is tested in tests/lab/test_mixed_export.py.
"""

import numpy as np
import pytest

from quantlab.core.affine import dequantize, fake_quantize, quantize
from quantlab.nn.network import INPUT, Network, Node, apply_node
from quantlab.ptq.calibrate import calibrate
from quantlab.ptq.quantize import quantize_network
from tests.ptq.networks import random_digits_cnn

NAMES = [node.name for node in random_digits_cnn(2).nodes]
CHOICES = [["conv8"], ["conv2", "conv4"], ["add6", "mean15"], ["conv0"], ["linear16"], ["max_pool7"], NAMES]


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).uniform(0, 1, (32, 8, 8, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    return random_digits_cnn(2)


@pytest.fixture(params=CHOICES, ids=lambda names: " ".join(names[:2]))
def qnet(request, network, x):
    return quantize_network(
        network, calibrate(network, x), weight_bits=8, per_channel=True, keep_float=request.param[::-1]
    )


def test_float_nodes_get_reals_and_give_reals(qnet, network, x):
    codes = qnet.codes(x, dialect="litert")
    assert qnet.keep_float == tuple(name for name in NAMES if name in qnet.keep_float)
    for node in network.nodes:
        kept = node.name in qnet.keep_float
        assert codes[node.name].dtype == (np.float32 if kept else np.int8)
        assert (node.name in qnet.w_q) == ("W" in node.params and not kept)
        if kept:
            inputs = [
                v if v.dtype == np.float32 else dequantize(v, qnet.activations[name])
                for name, v in ((name, codes[name]) for name in node.inputs)
            ]
            assert np.array_equal(codes[node.name], apply_node(node, *inputs))


def test_integer_nodes_are_those_of_the_integer_network(qnet, network, x):
    """Given the same codes in, the same codes out: leaving a node in float32 changes no other."""
    whole = quantize_network(network, calibrate(network, x), weight_bits=8, per_channel=True)
    reference = whole.codes(x, dialect="litert")

    def same(name, value):
        if value.dtype == np.float32:
            return dequantize(reference[name], whole.activations[name])
        assert np.array_equal(value, reference[name]), name
        return reference[name]

    qnet.run(x, dialect="litert", hook=same)


def test_simulation(qnet, network, x):
    """As without float nodes: in the default dialect nearly every code is the one that simulation says."""
    y, simulated = qnet.run(x, dialect="litert"), qnet.simulate(x)
    if y.dtype == np.int8:
        assert (quantize(simulated, qnet.activations["linear16"]) == y).mean() > 0.99
    else:
        assert np.abs(simulated - y).mean() < 0.01 * np.abs(y).mean()
    assert np.array_equal(simulated, network.forward(x)) == (len(qnet.keep_float) == len(NAMES))


def test_both_kinds_of_readers(x):
    """A node on integers quantizes what it reads from a float node; a float node beside it gets the reals."""
    W, b = np.full((1, 1, 1, 1), 0.7, np.float32), np.zeros(1, np.float32)
    conv, double = Node("conv", "conv", (INPUT,), {"W": W, "b": b}), Node("double", "add", ("conv", "conv"))
    network = Network([conv, double, Node("sum", "add", ("conv", "double"))])
    qnet = quantize_network(network, calibrate(network, x), weight_bits=8, per_channel=True, keep_float=["conv", "sum"])
    conv = np.float32(0.7) * x
    double = fake_quantize(2 * fake_quantize(conv, qnet.activations["conv"]), qnet.activations["double"])
    assert np.array_equal(qnet.run(x, dialect="litert"), conv + double)  # one product, one sum: nothing to reorder
    assert np.array_equal(qnet.simulate(x), conv + double)
    # Nobody reads the input in codes.
    assert INPUT not in qnet.activations
    with pytest.raises(TypeError, match=r"x\.dtype=int8; expected float32: the layers that read it are kept"):
        qnet.run(x.astype(np.int8), dialect="litert")


def test_accuracy_comes_back(network, x):
    """The negative control: at 3 bits one layer in float32 helps, and all of them help more."""
    observers, want = calibrate(network, x), network.forward(x)
    errors = [
        np.square(
            quantize_network(network, observers, weight_bits=3, per_channel=True, keep_float=kept).simulate(x) - want
        ).mean()
        for kept in ([], ["conv8"], ["conv8", "conv12", "conv2", "conv0"])
    ]
    assert errors[0] > errors[1] > errors[2] > 0


def test_bytes(network, x):
    observers = calibrate(network, x)
    options = {"weight_bits": 8, "per_channel": True}
    whole, mixed = (quantize_network(network, observers, **options, keep_float=k).n_bytes() for k in ((), ["conv8"]))
    W = network["conv8"].params["W"]
    assert mixed - whole == 3 * W.size - 4 * len(W)  # four bytes for one, and no scales; a bias has four in both


def test_unknown_names(network, x):
    with pytest.raises(ValueError, match=r"keep_float names \['conv9'\]; the nodes are conv0, conv2"):
        quantize_network(network, calibrate(network, x), weight_bits=8, per_channel=True, keep_float=["conv9"])


def test_a_float_node_may_be_one_without_an_integer_operator(x):
    flat, n = Node("flat", "flatten", (INPUT,)), 64
    ones = {name: np.ones(n, np.float32) for name in ("gamma", "beta", "mean", "variance")}
    network = Network([flat, Node("norm", "batch_norm", ("flat",), ones)])
    qnet = quantize_network(network, calibrate(network, x), weight_bits=8, per_channel=True, keep_float=["norm"])
    assert np.abs(qnet.run(x, dialect="litert") - network.forward(x)).max() < 1 / 255
