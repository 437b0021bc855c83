"""The network as a list of nodes: what it computes, and what it refuses."""

import weakref
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from quantlab.nn.network import INPUT, Network, Node, apply_node
from tests.nn.torch_images import nchw, nhwc


def small_network(rng):
    """Every operator once, with a shortcut."""

    def normal(*shape):
        return rng.normal(size=shape)

    return Network(
        [
            Node("conv", "conv", (INPUT,), {"W": normal(4, 3, 3, 2), "b": normal(4)}, activation="relu6"),
            Node(
                "depthwise",
                "conv",
                ("conv",),
                {"W": normal(4, 3, 3, 1), "b": normal(4)},
                {"groups": 4, "stride": (1, 1), "padding": ((1, 1), (1, 1))},
            ),
            Node(
                "norm",
                "batch_norm",
                ("depthwise",),
                {"gamma": normal(4), "beta": normal(4), "mean": normal(4), "variance": rng.uniform(1, 2, 4)},
                {"eps": 0.5},
            ),
            Node("add", "add", ("conv", "norm"), activation="relu"),
            Node("max_pool", "max_pool", ("add",), options={"size": (2, 2)}),
            Node("average_pool", "average_pool", ("max_pool",), options={"size": (2, 2), "stride": (1, 1)}),
            Node("mean", "mean", ("average_pool",)),
            Node("flatten", "flatten", ("average_pool",)),
            Node("fc", "linear", ("flatten",), {"W": normal(3, 36), "b": normal(3)}),
        ]
    )


def with_torch(network, x):
    """Every output of `small_network`, computed by torch."""
    p = {node.name: {name: torch.tensor(v) for name, v in node.params.items()} for node in network.nodes}
    W = {name: torch.tensor(nchw(network[name].params["W"])) for name in ("conv", "depthwise")}
    found = {"conv": F.relu6(F.conv2d(torch.tensor(nchw(x)), W["conv"], p["conv"]["b"], padding=1))}
    found["depthwise"] = F.conv2d(found["conv"], W["depthwise"], p["depthwise"]["b"], padding=1, groups=4)
    bn = p["norm"]
    found["norm"] = F.batch_norm(found["depthwise"], bn["mean"], bn["variance"], bn["gamma"], bn["beta"], eps=0.5)
    found["add"] = F.relu(found["conv"] + found["norm"])
    found["max_pool"] = F.max_pool2d(found["add"], 2)
    found["average_pool"] = F.avg_pool2d(found["max_pool"], 2, 1)
    images = {name: nhwc(value) for name, value in found.items()}
    images["mean"] = images["average_pool"].mean(axis=(1, 2))
    images["flatten"] = images["average_pool"].reshape(len(x), -1)
    images["fc"] = images["flatten"] @ network["fc"].params["W"].T + network["fc"].params["b"]
    return images


def test_every_operator_equals_torch():
    rng = np.random.default_rng(1)
    network, x = small_network(rng), rng.normal(size=(3, 8, 8, 2))
    want = with_torch(network, x)
    found = network.activations(x, names=list(want))
    for name, value in want.items():
        assert found[name].shape == value.shape
        # values below 100 through sums of 36 products: 36 * 2**-52 * 100 * 9 operators
        assert np.abs(found[name] - value).max() < 1e-11, name
    assert np.array_equal(network.forward(x), found["fc"])
    assert np.array_equal(apply_node(network["add"], found["conv"], found["norm"]), found["add"])


def test_a_hook_sees_every_value_once_and_replaces_it():
    rng = np.random.default_rng(2)
    network, x = small_network(rng), rng.normal(size=(1, 8, 8, 2)).astype(np.float32)
    seen = []

    def hook(name, value):
        seen.append(name)
        return np.zeros_like(value) if name == "flatten" else value

    assert np.array_equal(network.forward(x, hook=hook)[0], network["fc"].params["b"])
    assert seen == [INPUT, *(node.name for node in network.nodes)]


def test_activations_are_let_go_after_their_last_reader():
    rng = np.random.default_rng(2)
    network, x = small_network(rng), rng.normal(size=(1, 8, 8, 2))
    references, alive = {}, {}

    def hook(name, value):
        references[name] = weakref.ref(value)
        alive[name] = [other for other, reference in references.items() if reference() is not None]
        return value

    network.forward(x, hook=hook)
    assert "conv" in alive["norm"]  # the shortcut still needs it
    assert set(alive["max_pool"]) == {INPUT, "add", "max_pool"}  # the caller holds the input


def test_apply_computes_in_place_of_the_nodes():
    network = Network([Node("a", "flatten", (INPUT,)), Node("b", "add", ("a", INPUT))])
    calls = []

    def apply(node, *inputs):
        calls.append((node.name, [int(x) for x in inputs]))
        return sum(inputs) + 1

    assert network.forward(np.int64(5), apply=apply) == 12
    assert calls == [("a", [5]), ("b", [6, 5])]


def test_rewriting_leaves_the_original_alone():
    network = small_network(np.random.default_rng(3))
    changed = network.with_params({"fc": {"b": np.ones(3)}})
    assert (changed["fc"].params["b"] == 1).all()
    assert changed["fc"].params["W"] is network["fc"].params["W"]
    assert not (network["fc"].params["b"] == 1).all()
    assert [node.name for node in network.consumers("conv")] == ["depthwise", "add"]
    assert network.consumers("fc") == ()
    with pytest.raises(KeyError, match="there is no node 'fd'; choose from conv, depthwise"):
        network.with_params({"fd": {}})
    with pytest.raises(ValueError, match="node 'fc': params"):
        network.with_params({"fc": {"V": np.ones(3)}})
    with pytest.raises(KeyError, match="there is no node 'none'"):
        network.activations(np.zeros((1, 8, 8, 2)), names=["none"])


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"op": "gelu"}, "op='gelu'; expected one of conv, linear"),
        ({"activation": "tanh"}, "activation='tanh'"),
        ({"inputs": ("input", "input")}, r"inputs=\('input', 'input'\); 'flatten' has 1"),
        ({"op": "add"}, "'add' has 2"),
        ({"params": {"W": 1}}, r"params \['W'\]; 'flatten' has \[\]"),
        ({"options": {"axis": 1}}, r"options \['axis'\]; 'flatten' has \[\]"),
        ({"op": "max_pool"}, r"'max_pool' needs options \['size'\]"),
    ],
)
def test_nodes_refuse_what_they_are_not(fields, text):
    with pytest.raises(ValueError, match=text):
        Node(**{"name": "n", "op": "flatten", "inputs": (INPUT,), **fields})


@pytest.mark.parametrize(
    ("op", "shapes"),
    [
        ("linear", {"W": (3, 2), "b": (7,)}),  # x @ W.T + b would broadcast
        ("linear", {"W": (3, 2), "b": ()}),
        ("linear", {"W": (3, 2), "b": (3, 1)}),
        ("linear", {"W": (3, 1, 1, 2), "b": (3,)}),
        ("conv", {"W": (3, 2), "b": (3,)}),
        ("conv", {"W": (3, 1, 1, 2), "b": (3,), "limit": (2,)}),
        ("batch_norm", {"gamma": (3,), "beta": (3,), "mean": (3,), "variance": (1,)}),
    ],
)
def test_params_have_one_value_an_output(op, shapes):
    with pytest.raises(ValueError, match="node 'n': params of shapes .*; expected those of the table at the head"):
        Node(
            "n",
            op,
            (INPUT,),
            {k: np.ones(v) for k, v in shapes.items()},
            activation="clip" if "limit" in shapes else None,
        )


def test_nodes_and_networks_are_themselves_alone():
    """Arrays have no one truth value, so two nodes are equal only if they are the same object."""
    a, b = (Node("n", "linear", (INPUT,), {"W": np.ones((2, 3)), "b": np.ones(2)}) for _ in range(2))
    assert a != b
    with pytest.raises(FrozenInstanceError):
        a.name = "m"
    assert len({a, b, a, Network([a]), Network([a])}) == 4


def test_no_samples():
    network = Network(
        [Node("pool", "max_pool", (INPUT,), options={"size": (2, 2)}), Node("flat", "flatten", ("pool",))]
    )
    assert network.forward(np.zeros((0, 4, 4, 3), np.float32)).shape == (0, 12)


def test_networks_refuse_what_cannot_be_computed():
    with pytest.raises(ValueError, match="nodes is empty"):
        Network([])
    with pytest.raises(ValueError, match="node 'a': the name is taken"):
        Network([Node("a", "flatten", (INPUT,)), Node("a", "flatten", ("a",))])
    with pytest.raises(ValueError, match=r"node 'a' reads \['b'\]"):
        Network([Node("a", "flatten", ("b",)), Node("b", "flatten", (INPUT,))])
