"""Folding against torch's own, and against the network that is not folded."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from quantlab import choose_qparams, quantize
from quantlab.core.grid import Grid
from quantlab.nn.network import Network, Node
from quantlab.ptq.fold import batch_norm_statistics, fold, fold_batch_norm

rng = np.random.default_rng(90)
EPS = 2.0**-10  # the same number in float32 and in float64


def norm(channels: int, name: str = "bn", source: str = "conv", activation=None) -> Node:
    params = {
        "gamma": rng.normal(size=channels).astype(np.float32),
        "beta": rng.normal(size=channels).astype(np.float32),
        "mean": rng.normal(size=channels).astype(np.float32),
        "variance": rng.uniform(0.1, 3, channels).astype(np.float32),
    }
    return Node(name, "batch_norm", (source,), params, {"eps": EPS}, activation)


def conv(n_out: int, n_in: int, name: str = "conv", source: str = "input", groups: int = 1) -> Node:
    W = rng.normal(size=(n_out, 3, 3, n_in // groups)).astype(np.float32)
    b = rng.normal(size=n_out).astype(np.float32)
    return Node(name, "conv", (source,), {"W": W, "b": b}, {"groups": groups, "stride": (2, 1)})


def load(bn, node):
    for name, ours in [("weight", "gamma"), ("bias", "beta"), ("running_mean", "mean"), ("running_var", "variance")]:
        getattr(bn, name).data = torch.from_numpy(node.params[ours]).double()
    return bn.double().eval()


@pytest.mark.parametrize("kind", ["conv", "depthwise", "linear"])
def test_equals_torchs_fusion(kind):
    bn = norm(6)
    if kind == "linear":
        W, b = rng.normal(size=(6, 5)), rng.normal(size=6)
        theirs, theirs_bn, fuse = torch.nn.Linear(5, 6).double(), torch.nn.BatchNorm1d(6, eps=EPS), fuse_linear_bn_eval
        turned = W
    else:
        groups = 6 if kind == "depthwise" else 1
        W, b = rng.normal(size=(6, 3, 2, 6 // groups)), rng.normal(size=6)
        theirs = torch.nn.Conv2d(6, 6, (3, 2), groups=groups).double()
        theirs_bn, fuse, turned = torch.nn.BatchNorm2d(6, eps=EPS), fuse_conv_bn_eval, W.transpose(0, 3, 1, 2)
    theirs.weight.data, theirs.bias.data = torch.from_numpy(turned.copy()), torch.from_numpy(b)
    fused = fuse(theirs.eval(), load(theirs_bn, bn))
    got_W, got_b = fold_batch_norm(W, b, **bn.params, eps=EPS)
    want_W = fused.weight.detach().numpy()
    want_W = want_W if kind == "linear" else want_W.transpose(0, 2, 3, 1)
    # float64 on both sides: a root, a quotient, two products; 8 units of 2**-53 hold all ways to order them
    np.testing.assert_allclose(got_W, want_W, rtol=8 * 2.0**-53, atol=0)
    # b - mean may cancel: relative to the larger of the terms, which are below 10
    np.testing.assert_allclose(got_b, fused.bias.detach().numpy(), rtol=0, atol=10 * 8 * 2.0**-53)
    assert got_W.dtype == np.float64


def test_float32_is_rounded_once():
    W, b, bn = rng.normal(size=(7, 4)).astype(np.float32), rng.normal(size=7).astype(np.float32), norm(7)
    got_W, got_b = fold_batch_norm(W, b, **bn.params, eps=EPS)
    want_W, want_b = fold_batch_norm(W.astype(np.float64), b.astype(np.float64), **bn.params, eps=EPS)
    assert got_W.dtype == got_b.dtype == np.float32
    assert np.array_equal(got_W, want_W.astype(np.float32))
    assert np.array_equal(got_b, want_b.astype(np.float32))


def test_a_folded_network_computes_the_same():
    x = rng.normal(size=(3, 9, 8, 4)).astype(np.float32)
    network = Network(
        [
            conv(6, 4),
            norm(6, activation="relu6"),
            conv(6, 6, "dw", "bn", groups=6),
            norm(6, "bn2", "dw"),
            Node("sum", "add", ("bn2", "bn2"), activation="relu"),
            norm(6, "bn3", "sum"),  # follows no layer: stays
        ]
    )
    folded = fold(network)
    assert [node.name for node in folded.nodes] == ["conv", "dw", "sum", "bn3"]
    assert folded["conv"].activation == "relu6"
    assert folded["sum"].inputs == ("dw", "dw")
    assert folded["dw"].options == network["dw"].options
    want, got = network.forward(x), folded.forward(x)
    # sums of 36, then 9 products below 100, rounded in float32 in other orders: 45 * 2**-24 * 100, doubled twice
    assert np.abs(want - got).max() < 45 * 2.0**-24 * 100 * 4
    assert np.abs(want).max() > 1
    wide = [replace(n, params={k: v.astype(np.float64) for k, v in n.params.items()}) for n in network.nodes]
    float64 = Network(wide)
    x64 = x.astype(np.float64)
    assert np.abs(float64.forward(x64) - fold(float64).forward(x64)).max() < 45 * 2.0**-53 * 100 * 4


def test_what_cannot_be_folded_stays():
    activated = [replace(conv(6, 4), activation="relu"), norm(6)]
    read_twice = [conv(6, 4), norm(6), Node("sum", "add", ("conv", "bn"))]
    for nodes in (activated, read_twice):
        network = Network(nodes)
        assert [n.name for n in fold(network).nodes] == [n.name for n in nodes]
        assert batch_norm_statistics(network) == {}


def test_statistics_are_what_comes_out_of_a_normalized_channel():
    W, x = rng.normal(size=(5, 3)), rng.normal(size=(200_000, 3))
    y = x @ W.T
    bn = norm(5, source="fc")
    bn.params["gamma"][0] = -0.5  # a negative factor: its standard deviation is positive all the same
    bn = replace(bn, params={**bn.params, "mean": y.mean(axis=0), "variance": y.var(axis=0)}, options={"eps": 0.0})
    network = Network([Node("fc", "linear", ("input",), {"W": W, "b": np.zeros(5)}), bn])
    mean, std = batch_norm_statistics(network)["fc"]
    out = fold(network).forward(x)
    # the batch norm's own statistics are those of these samples: 200,000 values of at most 100, summed in float64,
    # round by 200,000 * 2**-53 * 100 = 2e-9 in the mean
    np.testing.assert_allclose(out.mean(axis=0), mean, rtol=0, atol=2e-9)
    np.testing.assert_allclose(out.std(axis=0), std, rtol=0, atol=2e-9)
    assert (std > 0).all()


def test_a_dead_channel_becomes_zeros_and_can_be_quantized():
    bn = norm(3)
    bn.params["gamma"][1] = 0
    W, b = fold_batch_norm(rng.normal(size=(3, 4)).astype(np.float32), np.ones(3, np.float32), **bn.params, eps=EPS)
    assert (W[1] == 0).all()
    assert b[1] == bn.params["beta"][1]
    largest = np.abs(W).max(axis=1)
    qp = choose_qparams(-largest, largest, grid=Grid(n_bits=8, narrow=True), symmetric=True, axis=0)
    assert (quantize(W, qp)[1] == 0).all()


def test_errors_name_what_came():
    W, v = np.ones((2, 3)), np.ones(2)
    with pytest.raises(ValueError, match=r"W.shape=\(\); expected \(out, ...\)"):
        fold_batch_norm(*np.ones(6, np.float32), eps=1e-3)
    with pytest.raises(ValueError, match=r"mean.shape=\(3,\); expected \(2,\)"):
        fold_batch_norm(W, v, v, v, np.ones(3), v, eps=1e-3)
    for variance, eps in [(v * -1, 1e-3), (v, -1.0), (v * 0, 0.0)]:
        with pytest.raises(ValueError, match="expected 0 or more"):
            fold_batch_norm(W, v, v, v, v, variance, eps=eps)
