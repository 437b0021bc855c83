"""Gradients of a network of nodes against torch's autograd in float64."""

import numpy as np
import pytest
import torch

from quantlab.mixed.gradients import draw_labels, loss_gradients, weight_layers
from quantlab.nn.network import Network, Node
from tests.mixed.torch_oracle import questions, small_network, to_ours, torch_loss


@pytest.mark.parametrize("activation", ["relu", "relu6"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gradients_are_those_of_torch(seed, activation):
    network, (x, labels) = small_network(seed, activation=activation), questions(seed, 7)
    loss, gradients = loss_gradients(network, x, labels)
    function, weights = torch_loss(network, x, labels)
    want = torch.func.grad(function)(weights)
    assert list(gradients) == weight_layers(network) == list(want)
    assert abs(loss - float(function(weights))) < 1e-12
    for name, value in gradients.items():
        assert np.abs(to_ours(want[name])).max() > 1e-6, name  # a gradient of nothing would prove nothing
        # sums of a few hundred terms of size 1 in float64: rounding of 1e-16 each, so far below 1e-12
        np.testing.assert_allclose(value, to_ours(want[name]), rtol=0, atol=1e-12)


def test_the_kinks_are_crossed():
    """Or else the ReLU6 of the test above could be the identity."""
    network, (x, _) = small_network(0), questions(0, 7)
    y = network.activations(x, names=["_first.conv", "depthwise"])
    assert all((v == 0).any() and (v == 6).any() and ((v > 0) & (v < 6)).any() for v in y.values())


def test_clip_has_a_limit_for_each_channel():
    """Against central differences of the loss: torch has no such activation."""
    rng = np.random.default_rng(3)
    params = {"W": rng.normal(size=(3, 4)), "b": rng.normal(size=3), "limit": np.array([0.5, 1.0, 9.0])}
    network = Network([Node("fc", "linear", ("input",), params, activation="clip")])
    x, labels = rng.normal(size=(20, 4)), rng.integers(0, 3, 20)
    gradient = loss_gradients(network, x, labels)[1]["fc"]
    for at in np.ndindex(3, 4):
        d = np.zeros((3, 4))
        d[at] = 1e-6
        up, down = (
            loss_gradients(network.with_params({"fc": {"W": params["W"] + s * d}}), x, labels)[0] for s in (1, -1)
        )
        assert abs((up - down) / 2e-6 - gradient[at]) < 1e-8  # differences of numbers near 1: rounding 1e-16 / 2e-6


def test_a_branch_that_reaches_no_logit_has_the_gradient_zero():
    params = {"W": np.ones((2, 2), np.float32), "b": np.zeros(2, np.float32)}
    network = Network([Node("unused", "linear", ("input",), params), Node("fc", "linear", ("input",), params)])
    gradients = loss_gradients(network, np.array([[1.0, 2.0]]), np.array([0]))[1]
    assert not gradients["unused"].any()
    assert gradients["fc"].any()


def test_float32_stays_float32():
    network, (x, labels) = small_network(0), questions(0, 2)
    gradients = loss_gradients(network, x.astype(np.float32), labels)[1]
    assert {g.dtype for g in gradients.values()} == {np.dtype(np.float32)}


def test_the_network_is_left_alone():
    network, (x, labels) = small_network(0), questions(0, 2)
    before = {name: network[name].params["W"].copy() for name in weight_layers(network)}
    loss_gradients(network, x, labels)
    assert all(np.array_equal(network[name].params["W"], W) for name, W in before.items())


def test_drawn_labels_have_the_probabilities_of_the_softmax():
    logits = np.tile(np.log([0.7, 0.2, 0.1]) + 5, (20_000, 1))
    share = np.bincount(draw_labels(logits, rng=np.random.default_rng(0))) / 20_000
    # four standard deviations of a share near 0.7 of 20,000 draws: 4 * sqrt(0.21 / 20,000) = 0.013
    np.testing.assert_allclose(share, [0.7, 0.2, 0.1], atol=0.013)


def test_operators_without_gradient_are_named():
    one = np.ones(2, np.float32)
    norm = Node("bn", "batch_norm", ("input",), {"gamma": one, "beta": one, "mean": one, "variance": one})
    with pytest.raises(ValueError, match=r"'bn' is a 'batch_norm'.*quantlab\.ptq\.fold"):
        loss_gradients(Network([norm]), np.ones((1, 2)), np.array([0]))
    pool = Node("pool", "average_pool", ("input",), options={"size": (2, 2)})
    with pytest.raises(ValueError, match="'pool' is a 'average_pool', which has no gradient here; expected conv"):
        loss_gradients(Network([pool]), np.ones((1, 2, 2, 1)), np.array([0]))


def test_labels_must_fit():
    with pytest.raises(ValueError, match="labels reach from 0 to 3"):
        loss_gradients(small_network(0), questions(0, 2)[0], np.array([0, 3]))


def test_the_oracle_is_in_float64():
    loss, weights = torch_loss(small_network(0), *questions(0, 2))
    assert loss(weights).dtype == torch.float64
