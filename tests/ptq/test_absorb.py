"""Absorbed biases: exact where the premise holds, and wrong exactly where the module says."""

from dataclasses import replace

import numpy as np
import pytest

from quantlab.nn.network import Network, Node
from quantlab.ptq.absorb import absorb_bias, absorb_biases, absorbable
from quantlab.ptq.fold import Statistics

rng = np.random.default_rng(92)


def network(padding="valid", activation="relu"):
    """A layer whose outputs are 5 or more, a depthwise convolution, a 1 x 1 convolution."""
    first = {"W": np.full((4, 1, 1, 1), 0.25, np.float32), "b": np.float32([9.0, 8.0, 7.0, 5.5])}
    second = {"W": rng.normal(size=(4, 3, 3, 1)).astype(np.float32), "b": np.float32([40, 0, 40, 0])}
    third = {"W": rng.normal(size=(2, 1, 1, 4)).astype(np.float32), "b": np.zeros(2, np.float32)}
    return Network(
        [
            Node("a", "conv", ("input",), first, {"padding": "same"}, activation),
            Node("b", "conv", ("a",), second, {"padding": padding, "groups": 4}, "relu"),
            Node("c", "conv", ("b",), third, {"padding": "same"}),
        ]
    )


STATISTICS = {"a": Statistics(np.float32([9, 8, 7, 5.5]), np.full(4, 0.25, np.float32))}


@pytest.mark.parametrize("activation", ["relu", "relu6"])
def test_exact_when_no_value_lies_below(activation):
    x = rng.uniform(-1, 1, (3, 8, 8, 1)).astype(np.float32)
    before = network(activation=activation)
    after, absorbed = absorb_biases(before, STATISTICS)
    limit = 6 if activation == "relu6" else np.inf
    assert np.array_equal(absorbed["a"], np.minimum([8.25, 7.25, 6.25, 4.75], limit))
    hidden = after.activations(x, names=["a"])["a"]
    assert hidden.max() < before.activations(x, names=["a"])["a"].max()
    # sums of 9 and 4 products of numbers below 10 and 4, in other orders
    assert np.abs(before.forward(x) - after.forward(x)).max() < 13 * 2.0**-24 * 9 * 10 * 4 * 4 * 2
    if activation == "relu6":
        assert np.array_equal(after["a"].params["limit"], 6 - absorbed["a"])


def test_padding_is_left_alone_unless_asked_for():
    x = rng.uniform(-1, 1, (1, 8, 8, 1)).astype(np.float32)
    before = network(padding="same")
    after, absorbed = absorb_biases(before, STATISTICS)
    assert absorbed == {}
    assert np.array_equal(after.forward(x), before.forward(x))
    after, absorbed = absorb_biases(before, STATISTICS, padded=True)
    off = np.abs(before.forward(x) - after.forward(x))[0].max(axis=-1)
    assert list(absorbed) == ["a"]
    assert off[1:-1, 1:-1].max() < 1e-3
    assert off[0].max() > 1


def test_a_high_bias_of_a_linear_layer():
    W, b1, b2, c = rng.normal(size=(3, 4)), np.full(4, 9.0), np.zeros(3), np.array([0.0, 1, 2, 8])
    new_b1, new_b2 = absorb_bias(b1, W, b2, c)
    h = rng.uniform(-1, 1, (50, 4))
    np.testing.assert_allclose(np.maximum(h + b1, 0) @ W.T + b2, np.maximum(h + new_b1, 0) @ W.T + new_b2, atol=1e-12)


def test_what_is_absorbed_is_rarely_undercut():
    mean, std = np.float32([10, 3, 1]), np.float32([2, 1, 1])
    c = absorbable(Statistics(mean, std))
    assert np.array_equal(c, np.float32([4, 0, 0]))
    below = (rng.normal(10, 2, 1_000_000) < c[0]).mean()
    assert abs(below - 0.00135) < 5 * np.sqrt(0.00135 / 1e6)  # five standard deviations of a count


@pytest.mark.parametrize(
    ("padding", "kernel", "between", "pads"),
    [
        ("valid", 3, None, False),
        ("same", 1, None, False),  # 1 x 1: nothing to pad
        ("same", 3, None, True),
        (((0, 0), (0, 0)), 3, None, False),
        (((0, 1), (0, 0)), 3, None, True),
        (((0, 0), (1, 0)), 1, None, True),  # zeros are zeros, whatever the kernel
        ("valid", 1, "max_pool", False),  # a pool leaves its padding out of the maximum
        ("valid", 1, "average_pool", False),  # and out of the mean
        ("same", 3, "max_pool", True),
    ],
)
def test_whether_the_next_layer_sees_padding(padding, kernel, between, pads):
    first = {"W": np.full((2, 1, 1, 1), 0.25, np.float32), "b": np.float32([9.0, 8.0])}
    second = {"W": rng.normal(size=(3, kernel, kernel, 2)).astype(np.float32), "b": np.zeros(3, np.float32)}
    nodes = [Node("a", "conv", ("input",), first, activation="relu")]
    if between:
        nodes.append(Node("pool", between, ("a",), options={"size": (3, 3), "stride": (2, 2), "padding": "same"}))
    nodes.append(Node("b", "conv", (nodes[-1].name,), second, {"padding": padding}))
    before, statistics = Network(nodes), {"a": Statistics(np.float32([9, 8]), np.full(2, 0.25, np.float32))}
    after, absorbed = absorb_biases(before, statistics)
    assert list(absorbed) == ([] if pads else ["a"])
    x = rng.uniform(-1, 1, (2, 8, 8, 1)).astype(np.float32)
    # Sums of up to 18 products of numbers below 10 and 4, in two orders, each within n * 2**-24 of its terms' sum.
    assert np.abs(before.forward(x) - after.forward(x)).max() < 2 * 18 * 2.0**-24 * 18 * 10 * 4
    wrong = absorb_biases(before, statistics, padded=True)[0].forward(x) - before.forward(x)
    assert (np.abs(wrong).max() > 1) == pads


def test_layers_that_do_not_take_part():
    """The last layer is read by nobody, a layer without an activation is not cut off at 0."""
    before = network()
    off = {"c": Statistics(np.float32([9, 9]), np.ones(2, np.float32))}
    assert absorb_biases(before, off)[1] == {}
    assert absorb_biases(Network(before.nodes[:2]), {"b": Statistics(np.full(4, 9.0), np.ones(4))})[1] == {}
    nodes = [replace(node, activation=None) if node.name == "a" else node for node in before.nodes]
    assert absorb_biases(Network(nodes), STATISTICS)[1] == {}


def test_errors_name_what_came():
    W2 = np.ones((2, 4))
    for b1, b2, c in [(4, 2, 3), (3, 2, 4), (4, 1, 4)]:
        with pytest.raises(ValueError, match=rf"b1.shape=\({b1},\), c.shape=\({c},\), b2.shape=\({b2},\)"):
            absorb_bias(np.ones(b1), W2, np.ones(b2), np.ones(c))
    with pytest.raises(ValueError, match=r"expected \(out, ..., channels / groups\)"):
        absorb_bias(np.ones(3), W2, np.ones(2), np.ones(3))
    for c in (-1.0, np.nan):
        with pytest.raises(ValueError, match="c 0 or more"):
            absorb_bias(np.ones(4), W2, np.ones(2), np.array([1, 1, 1, c]))
