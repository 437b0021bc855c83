"""Static quantization in torch: integer layers where they should be, ranges where they should end, bits as asked."""

import numpy as np
import pytest
import torch

from quantlab.core.metrics import sqnr_db
from quantlab.lab.network_torch import network_module
from quantlab.lab.torch_ops import count_ops, node_times
from quantlab.lab.torch_static import engine, min_max_config, static_layer, static_linears, static_network
from quantlab.nn.network import Network, Node


@pytest.fixture
def network():
    rng = np.random.default_rng(0)
    nodes = []
    for i, (n, source) in enumerate([(8, "input"), (12, "_a.0")]):
        W = rng.normal(size=(n, 3, 3, 3 if i == 0 else 8)).astype(np.float32)
        params = {"W": W, "b": np.zeros(n, np.float32)}
        nodes.append(Node(f"_a.{i}", "conv", (source,), params, {"stride": (2, 2)}, "relu6"))
    return Network([*nodes, Node("mean", "mean", ("_a.1",))])


def test_static_network(network):
    x = np.random.default_rng(1).uniform(0, 2, size=(4, 8, 8, 3)).astype(np.float32)
    quantized = static_network(network, x)
    y = network.forward(x)
    kinds = [type(part).__name__ for part in quantized.modules()]
    assert kinds.count("ConvReLU2d") == 2
    assert "ReLU6" not in kinds
    scales = [float(part.scale) for part in quantized.modules() if type(part).__name__ == "ConvReLU2d"]
    assert scales == [pytest.approx(6 / 255)] * 2, "the range of a ReLU6 that is reached ends at 6"
    with torch.no_grad():
        assert sqnr_db(y, quantized(torch.from_numpy(x)).numpy()) > 30


def test_one_layer_loses_6_db_a_bit():
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(256, 64), torch.rand(200, 256)
    with torch.no_grad():
        db = {n: sqnr_db(layer(x).numpy(), static_layer(layer, x, n_bits=n)(x).numpy()) for n in (7, 8)}
    assert 4 < db[8] - db[7] < 8  # 6.02, and the weights' own error beside it


def test_linears_anywhere():
    inner = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())
    module = torch.nn.Sequential(inner, torch.nn.Linear(4, 2)).eval()
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    static = static_linears(module, [(x[:2],), (x[2:],)], qconfig=min_max_config())
    ops = count_ops(lambda: static(torch.from_numpy(x)))
    assert ops["quantized.linear"] == 2
    assert float(static[0][0].quant.scale) == pytest.approx((max(x.max(), 0) - min(x.min(), 0)) / 255), "all feeds"
    assert count_ops(lambda: module(torch.from_numpy(x))).get("quantized.linear", 0) == 0


def test_the_engine_is_given_back():
    before = torch.backends.quantized.engine
    with pytest.raises(KeyError), engine("onednn"):
        raise KeyError
    assert torch.backends.quantized.engine == before
    with engine("none such") as used:
        assert used == before


def test_node_times(network):
    traced = torch.fx.symbolic_trace(network_module(network, shape=(8, 8, 3)))
    seconds = node_times(traced, torch.zeros(1, 8, 8, 3), rounds=2)
    assert {node.name for node in traced.graph.nodes} == set(seconds)
    assert list(seconds.values()) == sorted(seconds.values(), reverse=True)
