"""Equalization: ranges come out equal, functions stay, and the clip of a ReLU6 goes along."""

from dataclasses import replace

import numpy as np
import pytest

from quantlab import dequantize
from quantlab.nn.network import ACTIVATIONS, Network, Node
from quantlab.ptq.calibrate import calibrate
from quantlab.ptq.equalize import (
    equalization_scales,
    equalize,
    equalize_layers,
    reader,
    rescale,
    scale_statistics,
)
from quantlab.ptq.fold import Statistics
from quantlab.ptq.quantize import quantize_network

rng = np.random.default_rng(91)

# Scales are computed in float64 through logarithms below 12, which are off by up to 12 * 2**-53 each; the exponential
# of the sum of five hands this on as a relative error.
IN_FLOAT64 = 2 * 5 * 12 * 2.0**-53
# Weights are rounded to float32 when they are scaled, once or (between two layers) twice, and compared two at a time.
IN_FLOAT32 = 4 * 2.0**-24


def layer(name, source, n_out, n_in, *, op="conv", kernel=1, groups=1, activation=None, spread=2.0):
    shape = (n_out, n_in) if op == "linear" else (n_out, kernel, kernel, n_in // groups)
    W = rng.normal(size=shape) * np.exp(rng.normal(0, spread, n_out)).reshape(-1, *[1] * (len(shape) - 1))
    params = {"W": W.astype(np.float32), "b": rng.normal(size=n_out).astype(np.float32)}
    return Node(name, op, (source,), params, {"groups": groups} if op == "conv" else {}, activation)


def block(activation="relu6"):
    """An inverted residual like EfficientNet's, a classifier behind it."""
    return Network(
        [
            layer("stem", "input", 4, 3, kernel=3, activation=activation),
            layer("expand", "stem", 8, 4, activation=activation),
            layer("dw", "expand", 8, 8, kernel=3, groups=8, activation=activation),
            layer("project", "dw", 4, 8),
            Node("sum", "add", ("stem", "project")),
            layer("head", "sum", 6, 4, activation=activation),
            Node("pool", "mean", ("head",)),
            layer("fc", "pool", 5, 6, op="linear"),
        ]
    )


def largest(W, axis):
    return np.abs(W).max(axis=tuple(i for i in range(W.ndim) if i != axis % W.ndim))


def test_two_layers_get_the_papers_scale():
    r1, r2 = rng.uniform(0.1, 10, 9), rng.uniform(0.1, 10, 9)
    (s,) = equalization_scales(r1, r2)
    np.testing.assert_allclose(s, np.sqrt(r1 * r2) / r2, rtol=IN_FLOAT64)
    np.testing.assert_allclose(r1 / s, r2 * s, rtol=2 * IN_FLOAT64)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_ranges_are_equal_afterwards(n):
    ranges = rng.lognormal(0, 3, (n, 20))
    scales = [np.ones(20), *equalization_scales(*ranges), np.ones(20)]
    after = [r * before / behind for r, before, behind in zip(ranges, scales[:-1], scales[1:], strict=True)]
    for r in after[1:]:
        np.testing.assert_allclose(r, after[0], rtol=2 * IN_FLOAT64)
    np.testing.assert_allclose(np.prod(after, axis=0), np.prod(ranges, axis=0), rtol=n * IN_FLOAT64)


def test_the_scale_maximizes_the_smallest_precision():
    # Appendix A of the paper: for symmetric per-tensor grids, sum p1 p2 with p = r_i / max r is largest when the
    # ranges are equal. Here against a search over random scales.
    r1, r2 = rng.uniform(0.1, 10, 5), rng.uniform(0.1, 10, 5)

    def precision(s):
        a, b = r1 / s, r2 * s
        return (a / a.max() * b / b.max()).sum()

    (s,) = equalization_scales(r1, r2)
    tried = np.array([precision(s * np.exp(rng.normal(0, sigma, 5))) for sigma in (0.01, 0.3, 2) for _ in range(300)])
    assert tried.max() <= precision(s) * (1 + 1e-12)  # small changes that leave both maxima alone change nothing
    assert np.median(tried[-300:]) < 0.5 * precision(s)  # far away is far worse: 0.12 at most, with 300 seeds


def test_dead_channels_keep_finite_scales():
    s1, s2 = equalization_scales(np.array([0, 4.0, 0, 0]), np.array([2.0, 0, 0, 0]), np.array([8.0, 1.0, 0, 3.0]))
    np.testing.assert_allclose(s1, [1, 2, 1, 1])
    np.testing.assert_allclose(s2, [0.5, 2, 1, 1])  # channel 0: 2 and 8 meet at 4; channel 1: 4 and 1 at 2


def test_arrays_of_a_pair_and_of_a_triple():
    W1, W2, W3 = (layer("x", "input", *s).params["W"] for s in ((8, 4), (8, 1), (5, 8)))
    b1, b2 = rng.normal(size=(2, 8)).astype(np.float32)
    (V1, V2), (c1,), (s,) = equalize_layers([W1[:, 0, 0], W3[:, 0, 0]], [b1])
    np.testing.assert_allclose(largest(V1, 0), largest(V2, 1), rtol=IN_FLOAT32)
    x = rng.normal(size=(50, 4)).astype(np.float32)
    want = np.maximum(x @ W1[:, 0, 0].T + b1, 0) @ W3[:, 0, 0].T
    got = np.maximum(x @ V1.T + c1, 0) @ V2.T
    # each path has 4 + 8 roundings of terms whose sizes multiply to at most sum |x| |W1| |W3|
    bound = np.maximum(np.abs(x) @ np.abs(W1[:, 0, 0]).T + np.abs(b1), 0) @ np.abs(W3[:, 0, 0]).T
    assert (np.abs(want - got) <= 2 * 16 * 2.0**-24 * bound).all()
    (V1, V2, V3), _, (s1, s2) = equalize_layers([W1, W2, W3], [b1, b2])
    np.testing.assert_allclose(largest(V1, 0), largest(V2, 0), rtol=IN_FLOAT32)
    np.testing.assert_allclose(largest(V1, 0), largest(V3, 3), rtol=IN_FLOAT32)
    np.testing.assert_allclose(V2, W2 * (s1 / s2).reshape(-1, 1, 1, 1), rtol=IN_FLOAT32)


@pytest.mark.parametrize("activation", [None, "relu", "relu6"])
def test_an_equalized_network_computes_the_same(activation):
    network = block(activation)
    x = rng.normal(size=(4, 7, 6, 3)).astype(np.float32)
    equalized, scales = equalize(network)
    assert set(scales) == {"expand", "dw", "head"}  # the stem has two readers, and project meets it in the sum
    assert max(np.abs(np.log(s)).max() for s in scales.values()) > 1
    want, got = network.forward(x), equalized.forward(x)
    scale = np.abs(want).max()
    # the weights themselves were rounded to float32 after scaling: relative 2**-24 in each of 5 layers, times up to 27
    # terms of a sum, times 10 for their cancellation; a scale that is forgotten moves everything by a factor
    assert np.abs(want - got).max() < 5 * 27 * 2.0**-24 * 10 * scale
    # In float64 the same bound is 2**29 times smaller; but the limits of a clip are kept in float32.
    exact = Network([replace(n, params={k: np.float64(v) for k, v in n.params.items()}) for n in network.nodes])
    bits = 24 if activation == "relu6" else 53
    off = np.abs(rescale(exact, scales).forward(np.float64(x)) - exact.forward(np.float64(x)))
    assert off.max() < 5 * 27 * 2.0**-bits * 10 * scale
    W = {name: equalized[name].params["W"] for name in ("expand", "dw", "project", "head", "fc")}
    # the turns end when no scale moves by more than a millionth, and each has moved less than the one before
    np.testing.assert_allclose(largest(W["expand"], 0), largest(W["dw"], 0), rtol=1e-5)
    np.testing.assert_allclose(largest(W["dw"], 0), largest(W["project"], 3), rtol=1e-5)
    np.testing.assert_allclose(largest(W["head"], 0), largest(W["fc"], 1), rtol=1e-5)
    if activation == "relu6":
        assert equalized["dw"].activation == "clip"
        np.testing.assert_allclose(equalized["dw"].params["limit"], 6 / scales["dw"], rtol=2**-24)
        assert (network.activations(x, names=["dw"])["dw"] == 6).any()  # else the limit proves nothing
        relu = Network([replace(n, activation="relu" if n.activation else None) for n in network.nodes])
        assert np.abs(relu.forward(x) - want).max() > 0.01 * scale


def test_layers_that_share_a_middle_are_equalized_in_turns():
    network = Network([layer(f"l{i}", f"l{i - 1}" if i else "input", 6, 6, activation="relu") for i in range(4)])
    equalized, scales = equalize(network, tolerance=1e-9, n_iterations=500)
    assert list(scales) == ["l0", "l1", "l2"]
    for i in range(3):
        out, into = equalized[f"l{i}"].params["W"], equalized[f"l{i + 1}"].params["W"]
        np.testing.assert_allclose(largest(out, 0), largest(into, 3), rtol=1e-5)


def test_powers_of_two_change_no_bit():
    network = block("relu6")
    scales = {name: 2.0 ** rng.integers(-6, 7, len(network[name].params["b"])) for name in ("expand", "dw", "head")}
    x = rng.normal(size=(2, 6, 6, 3)).astype(np.float32)
    assert np.array_equal(rescale(network, scales).forward(x), network.forward(x))


def test_a_clip_runs_on_integers_as_a_minimum():
    # one channel, one weight: the codes of a convolution that clips at 2 are those of its ReLU, cut at the code of 2
    W, b, limit = np.ones((2, 1, 1, 1), np.float32), np.float32([0.0, 0.5]), np.float32([2.0, 5.0])
    clip = Network([Node("c", "conv", ("input",), {"W": W, "b": b, "limit": limit}, activation="clip")])
    relu = Network([Node("c", "conv", ("input",), {"W": W, "b": b}, activation="relu")])
    x = np.linspace(-1, 4, 200, dtype=np.float32).reshape(2, 10, 10, 1)
    observers = calibrate(relu, x)
    for dialect in ("litert", "litert_ruy", "litert_reference"):
        q_clip = quantize_network(clip, observers, weight_bits=8, per_channel=True)
        q_relu = quantize_network(relu, observers, weight_bits=8, per_channel=True)
        got, want = q_clip.run(x, dialect=dialect), q_relu.run(x, dialect=dialect)
        qp = q_relu.activations["c"]
        cut = np.rint(limit / qp.scale).astype(np.int32) + qp.zero_point
        assert np.array_equal(got, np.minimum(want, cut))
        assert not np.array_equal(got, want)
        # the sum of at most half a step each for input, weight, bias and output
        assert np.abs(dequantize(got, qp) - clip.forward(x)).max() <= 2 * qp.scale


def test_reader_and_errors(monkeypatch):
    network = block()
    assert [n and n.name for n in (reader(network, x) for x in ("stem", "expand", "project", "head", "fc"))] == [
        None,
        "dw",
        None,
        "fc",
        None,
    ]
    pooled = Network(
        [
            layer("l0", "input", 4, 4, activation="relu"),
            Node("pool", "mean", ("l0",)),
            layer("fc", "pool", 3, 4, op="linear"),
        ]
    )
    assert reader(pooled, "pool") is None  # a pool has no weights to divide
    assert reader(pooled, "l0").name == "fc"
    with monkeypatch.context() as patch:  # an activation that does not scale
        patch.setitem(ACTIVATIONS, "swish", lambda x: x / (1 + np.exp(-x)))
        swish = Network([replace(pooled.nodes[0], activation="swish"), *pooled.nodes[1:]])
        assert reader(swish, "l0") is None
    with pytest.raises(ValueError, match="'stem' cannot be rescaled"):
        rescale(network, {"stem": np.ones(4)})
    for bad in (np.ones(3), np.zeros(8), np.full(8, np.nan)):
        with pytest.raises(ValueError, match=r"scales\['dw'\]"):
            rescale(network, {"dw": bad})
    one = np.ones(3, np.float32)
    norm = Node("bn", "batch_norm", ("input",), dict(gamma=one, beta=one, mean=one, variance=one))
    with pytest.raises(ValueError, match="fold it first"):
        equalize(Network([norm]))
    with pytest.raises(ValueError, match="two or more of one shape"):
        equalization_scales(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="finite numbers, 0 or more"):
        equalization_scales(np.ones(3), -np.ones(3))
    with pytest.raises(ValueError, match="one bias fewer"):
        equalize_layers([np.ones((2, 2))], [])
    with pytest.raises(ValueError, match=r"b.shape=\(1,\) of a layer with W.shape=\(2, 2\); expected \(2,\)"):
        equalize_layers([np.ones((2, 2))] * 2, [np.ones(1)])
    with pytest.raises(ValueError, match="expected a depthwise one"):
        equalize_layers([np.ones((2, 2))] * 3, [np.ones(2)] * 2)


def test_statistics_are_scaled_with_the_channels():
    one = np.ones(1, np.float32)
    statistics = {"a": Statistics(2 * one, 4 * one), "b": Statistics(one, one)}
    found = scale_statistics(statistics, {"a": np.array([4.0])})
    assert found["a"] == (0.5, 1.0)
    assert found["b"] is statistics["b"]
