"""Sizes counted by packing, rounding by numpy's own float16 and by the integer grid, and names that are not there."""

import numpy as np
import pytest

from quantlab.formats import pack
from quantlab.mixed.gradients import weight_layers
from quantlab.mixed.precision import BITS, measured_costs, mixed_network, store_weights, stored_bytes, weight_sizes
from quantlab.nn.network import Network, Node


def network() -> Network:
    rng = np.random.default_rng(0)
    W0, W1 = rng.standard_normal((3, 2, 2, 1)).astype(np.float32), rng.standard_normal((5, 3)).astype(np.float32)
    options = {"stride": (1, 1), "padding": "same", "groups": 1}
    return Network(
        [
            Node("conv", "conv", ("input",), {"W": W0, "b": np.zeros(3, np.float32)}, options, activation="relu"),
            Node("mean", "mean", ("conv",)),
            Node("fc", "linear", ("mean",), {"W": W1, "b": np.ones(5, np.float32)}),
        ]
    )


def test_sizes_are_those_of_packed_bytes():
    net = network()
    assert list(weight_layers(net)) == ["conv", "fc"]
    for name, row in zip(weight_layers(net), weight_sizes(net), strict=True):
        W = net[name].params["W"]
        codes = np.zeros(W.size, np.int8)
        nibbles = pack(np.resize(codes, W.size + W.size % 2), n_bits=4).nbytes
        assert row.tolist() == [nibbles + 4 * len(W), W.size + 4 * len(W), W.astype(np.float16).nbytes, W.nbytes]
        assert row.tolist() == [stored_bytes(W, n_bits=n) for n in BITS]
    assert weight_sizes(net, layers=["fc"], bits=(32,)).tolist() == [[60]]
    with pytest.raises(ValueError, match="no kernel has 6-bit weights"):
        stored_bytes(net["fc"].params["W"], n_bits=6)


@pytest.mark.parametrize("n_bits", [4, 8])
def test_integer_weights_lie_on_a_grid(n_bits):
    W = network()["fc"].params["W"]
    rounded, step = store_weights(W, n_bits=n_bits), np.abs(W).max(axis=1, keepdims=True) / (2 ** (n_bits - 1) - 1)
    codes = rounded / step
    assert np.abs(codes - np.rint(codes)).max() < 1e-4  # float32: codes up to 127, each with an error of 1e-7 of itself
    assert np.abs(rounded - W).max(axis=1).max() <= (step / 2 * (1 + 1e-5)).max()
    assert np.abs(np.rint(codes)).max() == 2 ** (n_bits - 1) - 1


def test_float_weights():
    W = np.array([[1 + 2**-11, 1 + 3 * 2**-11, 1e-9, -65504]], np.float32)
    assert store_weights(W, n_bits=16).tolist() == [[1, 1 + 2**-9, 0, -65504]]  # ties to even; too small is 0
    assert np.array_equal(store_weights(W, n_bits=32), W)
    for W in (7e4, 65505, np.inf):  # 65505 would round to 65504
        with pytest.raises(ValueError, match="beyond float16"):
            store_weights(np.array([[W]]), n_bits=16)
    with pytest.raises(ValueError, match="finite"):
        store_weights(np.array([[np.nan, 1.0]]), n_bits=8)
    with pytest.raises(ValueError, match=r"expected weights \(out, \.\.\.\)"):
        stored_bytes(np.float32(1), n_bits=8)


def test_mixed_network_rounds_what_it_is_told():
    net = network()
    mixed = mixed_network(net, {"conv": 4, "fc": 32})
    assert np.array_equal(mixed["conv"].params["W"], store_weights(net["conv"].params["W"], n_bits=4))
    assert not np.array_equal(mixed["conv"].params["W"], net["conv"].params["W"])
    assert np.array_equal(mixed["fc"].params["W"], net["fc"].params["W"])
    assert np.array_equal(mixed["fc"].params["b"], net["fc"].params["b"])


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda net: mixed_network(net, {"conv": 8}), "bits says nothing of fc"),
        (lambda net: mixed_network(net, {"conv": 8, "fc": 8, "mean": 8}), r"'mean' \('mean'\) has no weights"),
        (lambda net: mixed_network(net, {"conv": 8, "fc": 3}), "no kernel has 3-bit weights; choose from 4, 8, 16, 32"),
        (lambda net: mixed_network(net, {"conv": 8, "fc": 8, "fcc": 8}), "no layer is called 'fcc'.* are conv, fc"),
        (lambda net: weight_sizes(net, layers=["mean"]), "has no weights; the layers with weights are conv, fc"),
        (lambda net: weight_sizes(net, bits=(8, 12)), "no kernel has 12-bit weights"),
        (lambda net: measured_costs({}, layers=["fc"]), "'fc' was not measured; the table holds nothing"),
        (lambda net: measured_costs({"fc": {8: 1.0}}, layers=["fc"]), "not measured at 4 bits, only at 8"),
    ],
)
def test_errors_name_the_way_out(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call(network())


def test_measured_costs():
    table = {"fc": dict(zip(BITS, (1.0, 2.0, 3.0, 4.0), strict=True)), "conv": dict.fromkeys(BITS, 0.5)}
    assert measured_costs(table, layers=["conv", "fc"]).tolist() == [[0.5] * 4, [1.0, 2.0, 3.0, 4.0]]
