"""A network with nodes in float32 as a .tflite file: LiteRT computes what quantlab does."""

import numpy as np
import pytest

from quantlab.core.affine import dequantize, quantize
from quantlab.integer.tflite import read, run
from quantlab.lab import litert
from quantlab.lab.litert_export import to_tflite
from quantlab.nn.network import INPUT
from quantlab.ptq.calibrate import calibrate
from quantlab.ptq.quantize import quantize_network
from tests.lab.test_litert_export import other_network
from tests.ptq.networks import random_digits_cnn


def digits_case(rng):
    return random_digits_cnn(3), rng.uniform(0, 1, (32, 8, 8, 1)).astype(np.float32)


def other_case(rng):
    return other_network(rng), rng.normal(size=(64, 11, 9, 3)).astype(np.float32) * 2


CHOICES = [
    (digits_case, ["conv8"]),
    (digits_case, ["conv2", "conv4"]),
    (digits_case, ["add6", "mean15"]),
    (digits_case, ["conv0", "linear16"]),
    (other_case, ["stem", "wide"]),
    (other_case, ["point", "grouped", "pool"]),
    (other_case, ["sum", "largest", "hidden"]),
]


def slack(node, largest):
    """Return how far two float32 sums of a node's n terms may lie apart: n * 2**-23 * sum|terms|, to first order.

    Each lies within half of that of the sum in the reals. ``largest`` is the largest magnitude among the inputs.
    """
    if "W" in node.params:
        W, b = (np.abs(node.params[name]) for name in ("W", "b"))
        return (W[0].size + 1) * 2.0**-23 * (largest * W.reshape(len(W), -1).sum(axis=1) + b).max()
    return {"mean": 17, "average_pool": 7}.get(node.op, 0) * 2.0**-23 * largest  # pixels, and a division


@pytest.mark.parametrize("kernels", litert.KERNELS)
@pytest.mark.parametrize(("case", "kept"), CHOICES, ids=[" ".join(kept) for _, kept in CHOICES])
def test_every_node_on_litert_s_own_inputs(case, kept, kernels):
    """Codes to the bit, reals within what the order of summation explains."""
    network, x = case(np.random.default_rng(5))
    qnet = quantize_network(network, calibrate(network, x), weight_bits=8, per_channel=True, keep_float=kept)
    content = to_tflite(qnet, input_shape=x.shape)
    x = quantize(x, qnet.activations[INPUT]) if INPUT in qnet.activations else x
    shown = litert.tensors(content, x, kernels=kernels)
    names = [INPUT, *(node.name for node in network.nodes)]  # the export numbers the activations in this order
    counts = {"codes": 0, "reals": 0}

    def reals(name):
        value = shown[names.index(name)]
        return dequantize(value, qnet.activations[name]) if value.dtype == np.int8 else value

    def compare(name, ours):
        theirs = shown.get(names.index(name), ours)
        assert ours.dtype == theirs.dtype
        assert (ours.dtype == np.float32) == (name in qnet.keep_float or name not in qnet.activations)
        if ours.dtype == np.int8 or name == INPUT:
            assert np.array_equal(ours, theirs), name
        else:
            largest = max(np.abs(reals(source)).max() for source in network[name].inputs)
            assert np.abs(ours - theirs).max() <= slack(network[name], largest), name
        counts["codes" if ours.dtype == np.int8 else "reals"] += theirs.size
        return theirs

    qnet.run(x, dialect=kernels, hook=compare)
    assert counts["codes"] > 50_000
    assert counts["reals"] >= 32 * 10


@pytest.mark.parametrize("kernels", litert.KERNELS)
@pytest.mark.parametrize(("case", "kept"), CHOICES, ids=[" ".join(kept) for _, kept in CHOICES])
def test_from_end_to_end(case, kept, kernels):
    """Whole runs, each on values of its own: a code behind a float layer may fall to the other side of a tie.

    Where sums of random products are rounded, that takes one within 1e-6 of a tie, and none of these is. A mean of six
    codes is a tie as soon as its sum is three more than a multiple of six; XNNPACK multiplies by 1/6 where quantlab
    divides by 6, and of these about half fall apart, by one step.
    """
    network, x = case(np.random.default_rng(5))
    qnet = quantize_network(network, calibrate(network, x), weight_bits=8, per_channel=True, keep_float=kept)
    content = to_tflite(qnet, input_shape=x.shape)
    x = quantize(x, qnet.activations[INPUT]) if INPUT in qnet.activations else x
    want = litert.run(content, x, kernels=kernels)
    for got in (run(read(content), x, dialect=kernels), qnet.run(x, dialect=kernels)):
        if got.dtype == np.float32:
            assert np.abs(got - want).max() < 1e-5 * np.abs(want).max()
        elif "pool" in kept and kernels == "litert":
            assert np.abs(got.astype(int) - want).max() == 1
        else:
            assert np.array_equal(got, want)


def test_codes_behind_a_float_pool_differ_at_ties_alone():
    network, x = other_case(np.random.default_rng(5))
    qnet = quantize_network(network, calibrate(network, x), weight_bits=8, per_channel=True, keep_float=["pool"])
    x = quantize(x, qnet.activations[INPUT])
    content = to_tflite(qnet, input_shape=x.shape)
    file, qp = read(content), qnet.activations["pool"]
    theirs, ours = litert.tensors(content, x, kernels="litert"), qnet.codes(x, dialect="litert")
    behind = quantize(ours["pool"], qp)
    differ = behind != theirs[file.named("pool/codes").index]
    steps = ours["pool"].astype(np.float64) / qp.scale
    to_a_tie = np.abs(steps % 1 - 0.5)
    # Six products and a division by two ways: 7 * 2**-23 of at most 255 steps
    assert 0 < differ.sum() < 0.1 * differ.size
    assert to_a_tie[differ].max() < 7 * 2.0**-23 * 255


def test_another_layer_in_float_does_not_match():
    network, x = digits_case(np.random.default_rng(5))
    observers = calibrate(network, x)
    outputs = {}
    for kept in ("conv2", "conv8"):
        qnet = quantize_network(network, observers, weight_bits=8, per_channel=True, keep_float=[kept])
        x_q = quantize(x, qnet.activations[INPUT])
        outputs[kept] = qnet.run(x_q, dialect="litert")
        theirs = litert.run(to_tflite(qnet, input_shape=x.shape), x_q, kernels="litert")
        assert np.array_equal(outputs[kept], theirs)
    assert (outputs["conv2"] != outputs["conv8"]).mean() > 0.05


def test_one_cast_for_all_readers():
    network, x = digits_case(np.random.default_rng(5))
    options = {"weight_bits": 8, "per_channel": True}
    qnet = quantize_network(network, calibrate(network, x), **options, keep_float=["conv2", "add6"])
    operators = [op.name for op in read(to_tflite(qnet, input_shape=x.shape)).operators]
    assert operators.count("DEQUANTIZE") == 2  # conv0 once, for both its readers, and conv4
    assert operators.count("QUANTIZE") == 2  # conv2 for conv4, and the sum for the pool
