"""QAT layers with learned ranges, and convolutions: gradients against torch's autograd and its own fake quantizers."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from quantlab import Grid, fake_quantize
from quantlab.lab.data import digits
from quantlab.nn.layers import ReLU, Sequential
from quantlab.nn.optim import SGD, Adam
from quantlab.nn.train import accuracy, train
from quantlab.qat.layers import QATConv2D, QATLinear
from quantlab.qat.learned_range import LearnedRange
from quantlab.qat.lsq import initial_step
from quantlab.qat.quantizers import WeightQuantizer

W_GRID, X_GRID = Grid(n_bits=3), Grid(n_bits=4, signed=False)


def torch_lsq(x, step, grid, axis, n):
    """torch's learnable fake quantization with LSQ's gradient scale; the step is a leaf."""
    zero, ends = torch.zeros(step.shape), (grid.quant_min, grid.quant_max, (n * grid.quant_max) ** -0.5)
    if axis is None:
        return torch._fake_quantize_learnable_per_tensor_affine(x, step, zero, *ends)
    return torch._fake_quantize_learnable_per_channel_affine(x, step, zero, axis, *ends)


def leaves(*arrays):
    return [torch.tensor(np.atleast_1d(a), requires_grad=True) for a in arrays]


def close(ours, theirs, size):
    """Within float32's rounding of the sums behind both: n * 2**-23 of the sum of magnitudes, n a few hundred."""
    return (np.abs(ours - theirs.detach().numpy().reshape(np.shape(ours))) <= 2e-5 * size).all()


def test_lsq_linear_equals_torch():
    rng = np.random.default_rng(0)
    layer = QATLinear(30, 20, w_grid=W_GRID, x_grid=X_GRID, rule="lsq", rng=rng)
    assert list(layer.params) == ["W", "b", "w_step", "x_step"]
    layer.forward(np.abs(rng.normal(size=(8, 30))).astype(np.float32), training=True)
    X, dY = rng.normal(size=(40, 30)).astype(np.float32), rng.normal(size=(40, 20)).astype(np.float32)
    Y = layer.forward(X, training=True)
    dX = layer.backward(dY)
    x, w, b, w_step, x_step = leaves(X, *layer.params.values())
    y = F.linear(torch_lsq(x, x_step, X_GRID, None, 30), torch_lsq(w, w_step, W_GRID, 0, 30), b)
    y.backward(torch.tensor(dY))
    assert close(Y, y, np.abs(Y).max())
    assert close(dX, x.grad, np.abs(dX).max())
    for name, leaf in zip(["W", "b", "w_step", "x_step"], [w, b, w_step, x_step], strict=True):
        assert layer.grads[name].shape == layer.params[name].shape
        assert close(layer.grads[name], leaf.grad, np.abs(layer.grads[name]).max()), name
        assert np.abs(layer.grads[name]).max() > 0


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("rule", ["lsq", "ste"])
def test_convolution_equals_torch(groups, rule):
    rng = np.random.default_rng(1)
    layer = QATConv2D(
        4, 8, kernel=(3, 3), stride=(2, 1), padding=((1, 1), (1, 1)), groups=groups,
        w_grid=W_GRID, x_grid=X_GRID, rule=rule, rng=rng,
    )  # fmt: skip
    X = np.abs(rng.normal(size=(5, 9, 7, 4))).astype(np.float32)
    Y = layer.forward(X, training=True)
    dY = rng.normal(size=Y.shape).astype(np.float32)
    dX = layer.backward(dY)

    W = layer.params["W"].transpose(0, 3, 1, 2)
    x, w, b = leaves(X.transpose(0, 3, 1, 2), W, layer.params["b"])
    if rule == "lsq":
        w_step, x_step = leaves(layer.params["w_step"], layer.params["x_step"])
        hats = torch_lsq(x, x_step, X_GRID, None, X[0].size), torch_lsq(w, w_step, W_GRID, 0, W[0].size)
    else:
        x_qp, w_qp = layer.quantize_x.qparams(), layer.w_qparams()
        zeros = torch.zeros(8, dtype=torch.int32)
        hats = (
            torch.fake_quantize_per_tensor_affine(x, float(x_qp.scale), int(x_qp.zero_point), 0, 15),
            torch.fake_quantize_per_channel_affine(w, torch.tensor(w_qp.scale), zeros, 0, -4, 3),
        )
    y = F.conv2d(*hats, b, stride=(2, 1), padding=1, groups=groups)
    y.backward(torch.tensor(dY.transpose(0, 3, 1, 2).copy()))
    back = (0, 2, 3, 1)
    assert close(Y, y.permute(back), np.abs(Y).max())
    assert close(dX, x.grad.permute(back), np.abs(dX).max())
    assert close(layer.grads["W"], w.grad.permute(back), np.abs(layer.grads["W"]).max())
    assert close(layer.grads["b"], b.grad, np.abs(layer.grads["b"]).max())
    if rule == "lsq":
        assert close(layer.grads["w_step"], w_step.grad, np.abs(layer.grads["w_step"]).max())
        assert close(layer.grads["x_step"], x_step.grad, np.abs(layer.grads["x_step"]).max())


@pytest.mark.parametrize(("rule", "name"), [("lsq", "step"), ("pact", "alpha")])
def test_the_first_values_set_the_range_and_training_moves_it(rule, name):
    grid = Grid(n_bits=4, narrow=True)
    rng = np.random.default_rng(2)
    layer = QATLinear(6, 3, w_grid=grid, x_grid=X_GRID, rule=rule, rng=rng)
    X = np.abs(rng.normal(size=(10, 6))).astype(np.float32)
    with pytest.raises(ValueError, match=f"no {name} yet: call forward"):
        layer.forward(X)
    layer.forward(X, training=True)
    W = layer.params["W"]
    first = {"step": initial_step(W, grid=grid, axis=0), "alpha": np.abs(W).max(axis=1)}[name]
    assert np.array_equal(layer.params[f"w_{name}"], first)
    model = Sequential([layer])
    train(model, X, np.arange(10) % 3, optimizer=SGD(lr=0.5), n_epochs=3, batch_size=5, rng=rng)
    assert (layer.params[f"w_{name}"] != first).all()
    qp = layer.w_qparams()
    end = layer.params[f"w_{name}"] / (1 if rule == "lsq" else grid.quant_max)
    assert np.allclose(qp.scale, end, rtol=1e-6)
    layer.forward(X)
    assert np.array_equal(layer.quantize_w.forward(W), fake_quantize(W, qp))


@pytest.mark.parametrize(("rule", "name", "floor"), [("lsq", "step", 2.0**-23), ("pact", "alpha", 7 * 2.0**-23)])
def test_a_range_that_went_below_zero_is_put_back(rule, name, floor):
    """To where the step is torch's smallest scale."""
    quantizer = LearnedRange(Grid(n_bits=4, narrow=True), rule=rule)
    x = np.random.default_rng(3).normal(size=50).astype(np.float32)
    quantizer.forward(x, training=True)
    quantizer.params[name][...] = -1
    assert np.isfinite(quantizer.forward(x, training=True)).all()
    assert quantizer.params[name] == np.float32(floor)


@pytest.mark.parametrize("rule", ["lsq", "pact"])
def test_a_switched_off_range_is_off_in_training_alone(rule):
    """A schedule may leave activations float in training; what is judged is rounded all the same."""
    quantizer = LearnedRange(Grid(n_bits=2, signed=False), rule=rule, samples=True)
    x = np.random.default_rng(7).random((6, 5), np.float32)
    quantizer.forward(x, training=True)
    quantizer.quantizing = False
    assert quantizer.forward(x, training=True) is x
    assert np.array_equal(quantizer.forward(x), fake_quantize(x, quantizer.qparams()))
    assert len(np.unique(quantizer.forward(x))) <= 4


def test_quant_noise_rounds_half_of_the_weights_and_all_activations():
    rng = np.random.default_rng(8)
    layer = QATLinear(200, 100, w_grid=W_GRID, x_grid=X_GRID, rule="quant_noise", rng=rng)
    W = layer.params["W"]
    rounded = (layer.quantize_w.forward(W, training=True) != W).mean()
    assert abs(rounded - 0.5) < 0.018  # the share of 20,000 draws scatters by 0.0035: five of them
    X = rng.random((8, 200), np.float32)
    assert len(np.unique(layer.quantize_x.forward(X, training=True))) <= 16


def test_pact_decays_alpha():
    quantizer = LearnedRange(Grid(n_bits=4, signed=False), rule="pact", samples=True, decay=0.25)
    x = np.random.default_rng(4).random((5, 3), np.float32)
    quantizer.forward(x, training=True)
    quantizer.backward(np.zeros_like(x))
    assert quantizer.grads["alpha"] == np.float32(0.25) * x.max()


# Over seeds 0, 1, 2 and 5: lsq 0.944 to 0.962 at 4 bits and 0.916 to 0.947 at 2; pact 0.949 to 0.969 and 0.882 to
# 0.924; quant_noise 0.962 to 0.973. A float network gets 0.971 to 0.980.
@pytest.mark.parametrize(
    ("rule", "n_bits", "at_least"),
    [("lsq", 4, 0.92), ("lsq", 2, 0.88), ("pact", 4, 0.92), ("pact", 2, 0.84), ("quant_noise", 4, 0.93)],
)
def test_every_rule_learns_digits(rule, n_bits, at_least):
    rng, d = np.random.default_rng(5), digits(seed=0)
    grids = {"w_grid": Grid(n_bits=n_bits, narrow=True), "x_grid": Grid(n_bits=n_bits, signed=False)}
    layers = [QATLinear(64, 64, **grids, rule=rule, rng=rng), ReLU(), QATLinear(64, 10, **grids, rule=rule, rng=rng)]
    model = Sequential(layers)
    train(model, d.x_train, d.y_train, optimizer=Adam(lr=0.003), n_epochs=20, batch_size=64, rng=rng)
    assert accuracy(model, d.x_test, d.y_test) >= at_least


def test_errors_name_what_came():
    rng = np.random.default_rng(6)
    with pytest.raises(ValueError, match=r"rule='lq'; expected one of .*'lsq', 'pact'"):
        QATLinear(3, 2, w_grid=W_GRID, x_grid=None, rule="lq", rng=rng)
    with pytest.raises(ValueError, match=r"rule='ste'; expected one of \('lsq', 'pact'\)"):
        LearnedRange(W_GRID, rule="ste")
    with pytest.raises(ValueError, match="narrow=True"):
        QATLinear(3, 2, w_grid=W_GRID, x_grid=None, rule="pact", rng=rng)
    with pytest.raises(ValueError, match="has no mark above 0"):
        LearnedRange(Grid(n_bits=1), rule="lsq")
    with pytest.raises(ValueError, match=r"x\.shape=\(2, 5\); expected channels=3 along axis 0"):
        LearnedRange(W_GRID, rule="lsq", channels=3).forward(np.ones((2, 5), np.float32), training=True)
    with pytest.raises(ValueError, match='rule="quant_noise" draws random numbers'):
        WeightQuantizer(W_GRID, axis=0, rule="quant_noise")
