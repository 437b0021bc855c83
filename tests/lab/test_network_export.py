"""Networks as torch modules and ONNX files, against the numpy network that they come from."""

import numpy as np
import onnxruntime
import pytest
import torch

from quantlab.lab.efficientnet import efficientnet_network
from quantlab.lab.network_onnx import network_onnx
from quantlab.lab.network_torch import network_module
from quantlab.nn.network import Network, Node
from quantlab.ptq.fold import fold


def conv(name, source, n_out, n_in, kernel, rng, *, groups=1, activation=None, **options):
    W = rng.normal(size=(n_out, *kernel, n_in // groups)).astype(np.float32)
    params = {"W": W, "b": rng.normal(size=n_out).astype(np.float32)}
    return Node(name, "conv", (source,), params, {"groups": groups, **options}, activation)


@pytest.fixture(scope="module")
def small():
    """Every operator once: odd sizes, rectangular kernels, explicit and one-sided padding, a multiplier of 2."""
    rng = np.random.default_rng(0)
    W, b = rng.normal(size=(5, 6)).astype(np.float32), rng.normal(size=5).astype(np.float32)
    return Network(
        [
            conv("_stem", "input", 6, 3, (3, 3), rng, stride=(2, 2), activation="relu6"),
            conv("b.0._wide", "_stem", 12, 6, (3, 5), rng, groups=6, activation="relu"),
            conv("b.0._narrow", "b.0._wide", 6, 12, (1, 1), rng, padding="valid"),
            Node("b.0", "add", ("_stem", "b.0._narrow"), activation="relu6"),
            Node("pool", "max_pool", ("b.0",), options={"size": (2, 2)}),
            conv("late", "pool", 6, 6, (2, 2), rng, padding=((1, 0), (0, 2))),
            Node("mean", "mean", ("late",)),
            Node("fc", "linear", ("mean",), {"W": W, "b": b}),
        ]
    )


def runs(network, shape):
    """The two exports as functions of an array."""
    module = network_module(network, shape=shape)
    session = onnxruntime.InferenceSession(network_onnx(network, shape=shape).SerializeToString())
    return {
        "torch": lambda x: module(torch.from_numpy(x)).numpy(),
        "onnx": lambda x: session.run(None, {"input": x})[0],
    }


@pytest.mark.parametrize("shape", [(13, 10, 3), (12, 16, 3)])
def test_every_operator(small, shape):
    x = np.random.default_rng(1).normal(size=(3, *shape)).astype(np.float32)
    want = small.forward(x)
    for name, run in runs(small, shape).items():
        # Sums of at most 54 products of size 10 or so, in float32: 54 * 2**-24 * 540 at the very worst, in 4 layers.
        assert np.abs(run(x) - want).max() < 1e-3, name
        assert np.abs(run(x[:, ::-1].copy()) - want).max() > 1e-2, "the comparison can fail"


def test_efficientnet():
    network = fold(efficientnet_network())
    x = np.random.default_rng(2).uniform(-1, 1, size=(2, 224, 224, 3)).astype(np.float32)
    want = network.forward(x)
    for name, run in runs(network, (224, 224, 3)).items():
        # Logits of about 10 behind 50 layers, each off by some 2**-24 of its values: 3e-5 if all had the same sign, and
        # cancellation in sums of up to 1,280 products. The course promises 1e-3.
        assert np.abs(run(x) - want).max() < 1e-3, name


def test_a_map_as_output():
    rng = np.random.default_rng(3)
    network = Network([conv("only", "input", 2, 1, (3, 3), rng)])
    x = rng.normal(size=(1, 5, 7, 1)).astype(np.float32)
    for run in runs(network, (5, 7, 1)).values():
        assert np.abs(run(x).transpose(0, 2, 3, 1) - network.forward(x)).max() < 1e-5


def test_torch_can_trace_it(small):
    names = [node.target for node in torch.fx.symbolic_trace(network_module(small, shape=(13, 10, 3))).graph.nodes]
    assert {"stem.1", "stem_relu6", "b_0__wide", "b_0_relu6", "fc"} <= {str(name) for name in names}


@pytest.mark.parametrize("export", [network_module, network_onnx])
def test_batch_norms_are_refused(export):
    with pytest.raises(ValueError, match="op='batch_norm' .* fold batch norms first"):
        export(efficientnet_network(), shape=(224, 224, 3))


@pytest.mark.parametrize("export", [network_module, network_onnx])
def test_a_clip_of_each_channel_is_refused(export):
    params = {"W": np.ones((1, 1, 1, 1), np.float32), "b": np.ones(1, np.float32), "limit": np.ones(1, np.float32)}
    with pytest.raises(ValueError, match="node 'c': activation='clip' .* here; relu and relu6"):
        export(Network([Node("c", "conv", ("input",), params, activation="clip")]), shape=(4, 4, 1))


def test_a_one_sided_pool_is_refused_by_torch():
    network = Network([Node("p", "max_pool", ("input",), options={"size": (2, 2), "padding": "same"})])
    with pytest.raises(ValueError, match="max_pool that pads 0 before and 1 behind"):
        network_module(network, shape=(5, 5, 1))
