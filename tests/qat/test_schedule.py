"""The schedule's switches, and what each of them stops."""

import numpy as np
import pytest

from quantlab import Grid
from quantlab.nn.batch_norm import BatchNorm
from quantlab.nn.conv_layer import Conv2D
from quantlab.nn.layers import Linear, ReLU, Sequential
from quantlab.nn.pool_layers import GlobalAveragePool, Residual
from quantlab.qat.fold import QATConvBatchNorm
from quantlab.qat.prepare import prepare
from quantlab.qat.schedule import Schedule, walk


def network(rule="ste"):
    rng = np.random.default_rng(0)
    body = [Conv2D(3, 3, kernel=(3, 3), rng=rng), BatchNorm(3), ReLU()]
    model = Sequential([Residual(body), GlobalAveragePool(), Sequential([Linear(3, 2, rng=rng)])])
    return prepare(model, w_grid=Grid(n_bits=4), x_grid=Grid(n_bits=4), rule=rule, rng=rng)


def image(seed, spread=1.0):
    return (np.random.default_rng(seed).normal(size=(4, 5, 5, 3)) * spread).astype(np.float32)


def state(model):
    conv = next(layer for layer in walk(model) if isinstance(layer, QATConvBatchNorm))
    return conv.quantize_x.observer.range(grid=Grid(n_bits=4)), conv.batch_norm.mean.copy()


def test_every_layer_is_found():
    names = [type(layer).__name__ for layer in walk(network())]
    assert names == ["QATConvBatchNorm", "ReLU", "GlobalAveragePool", "QATLinear"]


def test_each_switch_stops_its_own_thing():
    model = network()
    model.forward(image(1), training=True)
    for schedule, observes, averages in [
        (Schedule(), True, True),
        (Schedule(freeze_observers_at=2), False, True),
        (Schedule(freeze_statistics_at=2), True, False),
    ]:
        schedule.apply(model, epoch=2)
        (lo, mean) = state(model)
        model.forward(image(2, spread=3.0), training=True)
        (lo_after, mean_after) = state(model)
        assert (lo != lo_after) == observes
        assert (not np.array_equal(mean, mean_after)) == averages


@pytest.mark.parametrize("rule", ["ste", "lsq"])
def test_activations_stay_float_until_their_epoch_but_are_watched(rule):
    model = network(rule)
    schedule = Schedule(quantize_activations_at=3)
    schedule.apply(model, epoch=2)
    linear = list(walk(model))[-1]
    X = image(3)[:, 0, 0]
    Y = linear.forward(X, training=True)
    dY = np.ones_like(Y)
    dX = linear.backward(dY)
    W_hat = linear.quantize_w.forward(linear.params["W"])
    assert np.array_equal(Y, X @ W_hat.T + linear.params["b"])
    assert np.array_equal(dX, dY @ W_hat)
    if rule == "lsq":
        assert linear.grads["x_step"] == 0
    schedule.apply(model, epoch=3)
    assert not np.array_equal(linear.forward(X, training=True), Y)
    assert np.array_equal(linear.forward(X, training=True), linear.forward(X))


def test_errors_name_what_came():
    with pytest.raises(ValueError, match="freeze_observers_at=-1"):
        Schedule(freeze_observers_at=-1)
    with pytest.raises(ValueError, match="epoch=-1"):
        Schedule().stage(-1)
    for epoch in (None, 1.5):
        with pytest.raises(TypeError, match=f"quantize_activations_at={epoch} is a"):
            Schedule(quantize_activations_at=epoch)
    with pytest.raises(TypeError, match="freeze_statistics_at='3' is a str"):
        Schedule(freeze_statistics_at="3")
