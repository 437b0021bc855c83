"""Batch norm folded in training: against torch's ConvBn2d, and against autograd of the written-out formula."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from quantlab import Grid, fake_quantize
from quantlab.nn.batch_norm import BatchNorm
from quantlab.nn.conv_layer import Conv2D
from quantlab.qat.fold import QATConvBatchNorm

GRID = Grid(n_bits=4)
GEOMETRY = {"kernel": (3, 3), "stride": (1, 2), "padding": ((1, 1), (1, 1))}
EPS = 1e-3
BACK = (0, 2, 3, 1)


def make(rule="ste", *, statistics="running", rng, momentum=0.9, w_grid=GRID):
    layer = QATConvBatchNorm(
        3,
        5,
        **GEOMETRY,
        statistics=statistics,
        eps=EPS,
        momentum=momentum,
        w_grid=w_grid,
        x_grid=None,
        rule=rule,
        rng=rng,
    )
    layer.params["b"][:] = rng.normal(size=5)
    layer.params["gamma"][:] = rng.uniform(0.5, 2, 5) * [1, -1, 1, 1, 1]
    layer.params["beta"][:] = rng.normal(size=5)
    layer.batch_norm.mean[:] = rng.normal(size=5)
    layer.batch_norm.variance[:] = rng.uniform(0.5, 2, 5)
    return layer


def autograd(layer, X, dY, mode):
    """The three formulas of the docstring, in torch, with torch's own fake quantizer; a dictionary of values."""
    leaf = {n: torch.tensor(v, requires_grad=True) for n, v in layer.params.items()}
    leaf["X"] = torch.tensor(X, requires_grad=True)
    W, b, gamma, beta = (leaf[n] for n in ("W", "b", "gamma", "beta"))
    mean, variance = torch.tensor(layer.batch_norm.mean), torch.tensor(layer.batch_norm.variance)

    def conv(w):
        return F.conv2d(leaf["X"].permute(0, 3, 1, 2), w.permute(0, 3, 1, 2), stride=(1, 2), padding=1).permute(BACK)

    def quantized(factor):
        w = W * factor[:, None, None, None]
        scale = (w.detach().abs().amax((1, 2, 3)) / 7.5).clamp(min=2.0**-23)
        zeros = torch.zeros(5, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(w, scale, zeros, 0, -8, 7)

    if mode == "running":
        factor = gamma / torch.sqrt(variance + EPS)
        y = conv(quantized(factor)) / factor + b
        mu, var = y.mean((0, 1, 2)), y.var((0, 1, 2), correction=0)
        Y = (y - mu) / torch.sqrt(var + EPS) * gamma + beta
    else:
        if mode == "batch":
            y = conv(W) + b
            mean, variance = y.mean((0, 1, 2)), y.var((0, 1, 2), correction=0)
        factor = gamma / torch.sqrt(variance + EPS)
        Y = conv(quantized(factor)) + (b - mean) * factor + beta
    Y.backward(torch.tensor(dY))
    return {"Y": Y.detach().numpy()} | {name: v.grad.numpy() for name, v in leaf.items()}


@pytest.mark.parametrize("mode", ["running", "batch", "frozen"])
def test_values_and_gradients_equal_autograd(mode):
    rng = np.random.default_rng(0)
    layer = make(statistics="batch" if mode == "batch" else "running", rng=rng)
    layer.frozen = mode == "frozen"
    X, dY = rng.normal(size=(6, 7, 8, 3)).astype(np.float32), rng.normal(size=(6, 7, 4, 5)).astype(np.float32)
    want = autograd(layer, X, dY, mode)
    before = layer.batch_norm.mean.copy(), layer.batch_norm.variance.copy()
    got = {"Y": layer.forward(X, training=True), "X": layer.backward(dY)} | layer.grads
    again = {"X": layer.backward(dY)} | layer.grads  # the way back takes nothing away
    assert all(np.array_equal(value, got[name]) for name, value in again.items())
    moved = not np.array_equal(before[0], layer.batch_norm.mean) or not np.array_equal(
        before[1], layer.batch_norm.variance
    )
    assert moved == (mode != "frozen")
    assert set(got) == set(want)
    for name, value in want.items():
        # float32 sums of at most 168 terms, twice, each within 2**-24 of the sum of magnitudes
        size = (
            np.abs(value).max() if name != "b" else np.abs(dY).sum(axis=(0, 1, 2)).max()
        )  # b's cancel: BN takes it out
        assert np.abs(got[name] - value).max() <= 2e-5 * size, name


def test_running_equals_torchs_convbn2d():
    from torch.ao.nn.intrinsic.qat import ConvBn2d
    from torch.ao.quantization import FakeQuantize, PerChannelMinMaxObserver, QConfig

    rng = np.random.default_rng(1)
    layer = make(rng=rng)
    weight = FakeQuantize.with_args(
        observer=PerChannelMinMaxObserver,
        quant_min=-8,
        quant_max=7,
        dtype=torch.qint8,
        qscheme=torch.per_channel_symmetric,
    )
    theirs = ConvBn2d(
        3, 5, 3, stride=(1, 2), padding=1, bias=True, eps=EPS, momentum=0.1,
        qconfig=QConfig(activation=torch.nn.Identity, weight=weight),
    )  # fmt: skip
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(layer.params["W"].transpose(0, 3, 1, 2)))
        for mine, other in [("b", theirs.bias), ("gamma", theirs.bn.weight), ("beta", theirs.bn.bias)]:
            other.copy_(torch.tensor(layer.params[mine]))
        theirs.bn.running_mean.copy_(torch.tensor(layer.batch_norm.mean))
        theirs.bn.running_var.copy_(torch.tensor(layer.batch_norm.variance))
    theirs.train()
    X, dY = rng.normal(size=(6, 7, 8, 3)).astype(np.float32), rng.normal(size=(6, 7, 4, 5)).astype(np.float32)
    x = torch.tensor(X.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    y = theirs(x)
    y.backward(torch.tensor(dY.transpose(0, 3, 1, 2).copy()))
    Y, dX = layer.forward(X, training=True), layer.backward(dY)
    pairs = [
        (Y, y.detach().permute(BACK)),
        (dX, x.grad.permute(BACK)),
        (layer.grads["W"], theirs.weight.grad.permute(BACK)),
        (layer.grads["gamma"], theirs.bn.weight.grad),
        (layer.grads["beta"], theirs.bn.bias.grad),
        (layer.batch_norm.mean, theirs.bn.running_mean),
        (layer.batch_norm.variance, theirs.bn.running_var),
    ]
    for ours, other in pairs:
        other = other.numpy()
        assert np.abs(ours - other).max() <= 2e-5 * np.abs(other).max()


def test_fine_grids_give_back_the_float_network():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(6, 7, 8, 3)).astype(np.float32)
    for statistics in ("running", "batch"):
        layer = make(statistics=statistics, rng=rng, w_grid=Grid(n_bits=16))
        conv, norm = Conv2D(3, 5, **GEOMETRY, rng=rng), BatchNorm(5, eps=EPS)
        for name in ("W", "b"):
            conv.params[name][...] = layer.params[name]
        for name in ("gamma", "beta"):
            norm.params[name][...] = layer.params[name]
        norm.mean, norm.variance = layer.batch_norm.mean.copy(), layer.batch_norm.variance.copy()
        for training in (True, False):
            want = norm.forward(conv.forward(X, training=training), training=training)
            # 16 bits: an error of 2**-16 of the largest weight, 27 products a sum
            assert np.abs(layer.forward(X, training=training) - want).max() < 2e-3 * np.abs(want).max()


@pytest.mark.parametrize("rule", ["lsq", "ste"])
def test_what_is_left_is_one_convolution(rule):
    rng = np.random.default_rng(3)
    layer = make(rule, rng=rng)
    X = rng.normal(size=(6, 7, 8, 3)).astype(np.float32)
    layer.forward(X, training=True)
    W, bias = layer.folded()
    plain = Conv2D(3, 5, **GEOMETRY, rng=rng)
    plain.params["W"][...], plain.params["b"][...] = fake_quantize(W, layer.w_qparams()), bias
    assert np.allclose(layer.forward(X), plain.forward(X), rtol=1e-5, atol=1e-5)
    assert max(len(np.unique(w)) for w in plain.params["W"]) <= 16


def test_errors_name_what_came():
    rng = np.random.default_rng(4)
    with pytest.raises(ValueError, match="statistics='moving'"):
        make(statistics="moving", rng=rng)
    layer = make(rng=rng)
    layer.params["gamma"][2] = 0
    with pytest.raises(ValueError, match="gamma is 0 in 1 channels.*statistics='batch'"):
        layer.forward(np.ones((2, 4, 4, 3), np.float32), training=True)
    with pytest.raises(ValueError, match="has no input"):
        make(rng=rng).backward(np.ones((2, 4, 4, 5), np.float32))
