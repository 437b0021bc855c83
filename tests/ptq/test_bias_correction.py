"""Means of clipped normals against scipy and against samples; corrected networks against the float one."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from quantlab import fake_quantize
from quantlab.nn.network import Network, Node, apply_node, apply_operation
from quantlab.ptq.bias_correction import (
    clipped_normal_mean,
    correct_biases,
    correct_biases_from_statistics,
    expected_inputs,
    mean_shift,
)
from quantlab.ptq.fold import Statistics
from quantlab.ptq.quantize import weight_qparams

rng = np.random.default_rng(93)
MEANS, STDS = (v.ravel() for v in np.meshgrid([-9.0, -1.0, 0.0, 2.5, 6.0, 7.0, 20.0], [0.01, 1.0, 3.0, 50.0]))


@pytest.mark.parametrize(
    ("low", "high"), [(0, np.inf), (0, 6.0), (0, 0.75), (-3.0, 6.0), (2.0, np.inf), (-np.inf, 1.0)]
)
def test_equals_an_integral(low, high):
    for mu, sigma, got in zip(MEANS, STDS, clipped_normal_mean(MEANS, STDS, low=low, high=high), strict=True):

        def weighted(x, mu=mu, sigma=sigma):
            return x * math.exp(-(((x - mu) / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))

        ends = [float(np.clip(mu + k * sigma, low, high)) for k in (-40, -5, 0, 5, 40)]
        want = sum(integrate.quad(weighted, *pair)[0] for pair in pairwise(ends))
        want += high * stats.norm.sf(high, mu, sigma) if np.isfinite(high) else 0
        want += low * stats.norm.cdf(low, mu, sigma) if np.isfinite(low) else 0
        assert abs(got - want) < 1e-9 * max(1, sigma)


def test_relu_equals_the_papers_formula_and_truncnorm():
    # section 4.2.1: E = sigma phi(-mu / sigma) + mu (1 - Phi(-mu / sigma))
    paper = STDS * stats.norm.pdf(-MEANS / STDS) + MEANS * (1 - stats.norm.cdf(-MEANS / STDS))
    # float64, two products of numbers up to 50: 50 * 2**-53 for each of some ten roundings
    np.testing.assert_allclose(clipped_normal_mean(MEANS, STDS), paper, rtol=0, atol=1e-12)
    a, b = -MEANS / STDS, (6 - MEANS) / STDS
    near = (np.abs(a) < 5) & (np.abs(b) < 20)  # far out truncnorm itself loses digits
    assert near.sum() > 8
    a, b, mu, sigma = a[near], b[near], MEANS[near], STDS[near]
    p = stats.norm.cdf(b) - stats.norm.cdf(a)
    want = p * stats.truncnorm.mean(a, b, loc=mu, scale=sigma) + 6 * stats.norm.sf(b)
    np.testing.assert_allclose(clipped_normal_mean(mu, sigma, high=6.0), want, atol=1e-8)


def test_equals_a_million_samples():
    for mu, sigma in [(0.3, 1.0), (5.0, 2.0), (-2.0, 4.0)]:
        x = np.clip(rng.normal(mu, sigma, 1_000_000), 0, 6)
        got = clipped_normal_mean(np.array(mu), np.array(sigma), high=6.0)
        assert abs(got - x.mean()) < 5 * x.std() / 1000  # five standard errors


def test_constants_and_lines_without_ends():
    assert clipped_normal_mean(np.array([3.0, -1, 8]), np.zeros(3), high=6.0).tolist() == [3, 0, 6]
    assert clipped_normal_mean(np.array([3.0, -1]), np.ones(2), low=-np.inf).tolist() == [3, -1]
    limits = np.array([0.5, 6.0])
    got = clipped_normal_mean(np.array([1.0, 1.0]), np.array([1.0, 1.0]), high=limits)
    assert (got <= limits).all()
    for std in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="expected finite std >= 0"):
            clipped_normal_mean(np.zeros(2), np.array([1.0, std]))
    with np.errstate(all="raise"):  # an infinite mean is a constant; NaN stays NaN
        got = clipped_normal_mean(np.array([np.inf, -np.inf, np.nan]), np.ones(3), high=6.0)
        assert np.array_equal(got, [6, 0, np.nan], equal_nan=True)
        assert clipped_normal_mean(np.array([np.inf, 2.0]), np.array([0.0, 0.0])).tolist() == [np.inf, 2]
    with pytest.raises(ValueError, match="low <= high"):
        clipped_normal_mean(np.zeros(1), np.ones(1), low=1.0, high=0.0)


SHAPES = {  # W, groups
    "linear": ((3, 6), 1),
    "conv": ((4, 2, 3, 6), 1),
    "grouped": ((4, 2, 3, 3), 2),
    "depthwise": ((6, 2, 3, 1), 6),
    "depthwise, multiplier 2": ((12, 2, 3, 1), 6),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_the_shift_is_what_the_output_moves_by(kind):
    mean_x = rng.normal(size=6)
    x = np.broadcast_to(mean_x, (2, 4, 4, 6)) if kind != "linear" else np.broadcast_to(mean_x, (2, 6))
    shape, groups = SHAPES[kind]
    W, e = rng.normal(size=shape), rng.normal(size=shape)
    options = {} if kind == "linear" else {"padding": "valid", "groups": groups}
    op = "linear" if kind == "linear" else "conv"
    node, moved = (Node("n", op, ("input",), {"W": V, "b": np.zeros(len(V))}, options) for V in (W, W + e))
    want = (apply_operation(moved, x) - apply_operation(node, x)).reshape(-1, len(W)).mean(axis=0)
    # Both in float64, then one rounding to float32 of numbers below 64.
    assert np.abs(want).max() < 64
    assert np.abs(mean_shift(W, W + e, mean_x) - want).max() <= 64 * 2.0**-24


def small_network():
    def conv(name, source, n_out, n_in, groups, activation):
        W = rng.normal(size=(n_out, 3, 3, n_in // groups)).astype(np.float32)
        b = rng.normal(size=n_out).astype(np.float32)
        return Node(name, "conv", (source,), {"W": W, "b": b}, {"groups": groups, "padding": "valid"}, activation)

    fc = {"W": rng.normal(size=(5, 6)).astype(np.float32), "b": np.zeros(5, np.float32)}
    nodes = [conv("a", "input", 6, 3, 1, "relu6"), conv("b", "a", 6, 6, 6, "relu"), Node("pool", "mean", ("b",))]
    return Network([*nodes, Node("fc", "linear", ("pool",), fc)])


def rounded(network, n_bits=3):
    changes = {}
    for node in network.nodes:
        if "W" in node.params:
            W = node.params["W"]
            changes[node.name] = {"W": fake_quantize(W, weight_qparams(W, n_bits=n_bits, per_channel=False))}
    return network.with_params(changes)


@pytest.mark.parametrize("hooked", [False, True])
def test_corrected_layers_have_the_float_means(hooked):
    network = small_network()
    coarse = rounded(network)
    x = rng.normal(size=(8, 12, 12, 3)).astype(np.float32)

    def hook(name, value):
        return np.round(value * 4) / np.float32(4)

    hook = hook if hooked else None
    changes = correct_biases(network, coarse, x, hook=hook)
    assert set(changes) == {"a", "b", "fc"}
    corrected = coarse.with_params(changes)

    def means(net, through):
        found = {}

        def apply(node, *inputs):
            if "W" in node.params:
                y = apply_operation(node, *inputs)
                found[node.name] = y.mean(axis=tuple(range(y.ndim - 1)))
            return through(node, *inputs)

        net.forward(x, apply=apply, hook=hook if net is not network else None)
        return found

    want, before, after = (means(net, apply_node) for net in (network, coarse, corrected))
    for name in want:
        # the mean of 800 float32 numbers below 100, and the rounding of the bias
        assert np.abs(after[name] - want[name]).max() < 1e-4
        assert np.abs(before[name] - want[name]).max() > 1e-2


def test_without_data_as_good_as_the_statistics():
    # An input that is normal in every channel and independent between places: then the layer after it is what its
    # statistics say, and the analytic correction must take the mean shift of the second layer away.
    network = small_network()
    coarse = rounded(network)
    x = rng.normal(size=(200, 14, 14, 3)).astype(np.float32)
    y = apply_operation(network["a"], x)
    statistics = {"a": Statistics(y.mean(axis=(0, 1, 2)), y.std(axis=(0, 1, 2)))}
    known = expected_inputs(network, statistics)
    assert list(known) == ["a"]
    measured = network.activations(x, names=["a"])["a"].mean(axis=(0, 1, 2))
    # 28,800 windows of 9 places, so 3,200 independent ones of a standard deviation of 3: a standard error of 0.05
    np.testing.assert_allclose(known["a"], measured, atol=0.1)
    changes = correct_biases_from_statistics(network, coarse, statistics)
    assert list(changes) == ["b"]
    only_b = network.with_params({"b": {"W": coarse["b"].params["W"]}})
    want, off, mended = (
        apply_operation(net["b"], network.activations(x, names=["a"])["a"]).mean(axis=(0, 1, 2))
        for net in (network, only_b, only_b.with_params(changes))
    )
    assert np.abs(mended - want).max() < 0.1 * np.abs(off - want).max()


def test_means_travel_through_sums_and_pools():
    one = np.ones(2, np.float32)
    fc = {"W": np.eye(2, dtype=np.float32), "b": 0 * one}
    nodes = [
        Node("a", "conv", ("input",), {"W": np.ones((2, 1, 1, 2), np.float32), "b": one}),
        Node("twice", "add", ("a", "input")),
        Node("pool", "mean", ("twice",)),
        Node("fc", "linear", ("pool",), fc),
        Node("max", "max_pool", ("twice",), options={"size": (2, 2)}),
    ]
    network = Network(nodes)
    statistics = {"a": Statistics(np.float32([1, -2]), one)}
    known = expected_inputs(network, statistics, mean_input=np.array([10.0, 20.0]))
    assert known["twice"].tolist() == known["pool"].tolist() == [11, 18]
    assert set(known) == {"input", "a", "twice", "pool"}
    assert set(expected_inputs(network, statistics)) == {"a"}


def test_errors_name_what_came():
    with pytest.raises(ValueError, match=r"W_hat.shape=\(2, 3\); expected two equal shapes"):
        mean_shift(np.ones((2, 4)), np.ones((2, 3)), np.ones(4))
    for W, x in [((2, 4), (3,)), ((3, 2), (4,)), ((2, 4), ()), ((2, 0), (3,)), ((2,), (2,)), ((2, 4), (0,))]:
        with pytest.raises(
            ValueError, match=r"expected \(out, ..., channels / groups\) and \(channels,\), with groups"
        ):
            mean_shift(np.ones(W), np.ones(W), np.ones(x))
    network = small_network()
    with pytest.raises(ValueError, match="have different nodes"):
        correct_biases(network, Network(network.nodes[:2]), np.ones((1, 9, 9, 3), np.float32))
