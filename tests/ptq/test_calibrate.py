"""Calibration sees every activation of every sample."""

import numpy as np
import pytest

from quantlab.core.grid import Grid
from quantlab.core.observers import PercentileObserver
from quantlab.nn.network import INPUT, Network, Node
from quantlab.ptq.calibrate import calibrate

GRID = Grid(n_bits=8)


def network():
    rng = np.random.default_rng(1)
    return Network(
        [
            Node("conv", "conv", (INPUT,), {"W": rng.normal(size=(4, 3, 3, 2)), "b": rng.normal(size=4)}, {}, "relu"),
            Node("pool", "max_pool", ("conv",), options={"size": (2, 2)}),
            Node("mean", "mean", ("pool",)),
        ]
    )


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_ranges_are_the_extremes_of_all_samples(batch_size):
    x = np.random.default_rng(2).normal(size=(7, 6, 6, 2))
    found = calibrate(network(), x, batch_size=batch_size)
    values = network().activations(x, names=[INPUT, "conv", "pool", "mean"])
    assert list(found) == list(values)
    for name, value in values.items():
        # in float64, which another batch size may sum in another order; observers keep float32
        assert found[name].range(grid=GRID) == pytest.approx((value.min(), value.max()), rel=2**-23)


def test_every_activation_gets_an_observer_of_its_own():
    x = np.random.default_rng(3).normal(size=(50, 6, 6, 2))
    found = calibrate(network(), x, observer=lambda: PercentileObserver(percentile=90))
    assert len({id(observer) for observer in found.values()}) == 4
    lo, hi = found[INPUT].range(grid=GRID)
    # A percentile observer moves outwards to the edge of a bin: 2**-10 wide, 4,096 of them up to 4, where |x| ends.
    assert 2 < np.abs(x).max() < 4
    assert 0 <= -np.quantile(-x, 0.9, method="inverted_cdf") - lo <= 2**-10
    assert 0 <= hi - np.quantile(x, 0.9, method="inverted_cdf") <= 2**-10


def test_errors_name_what_came():
    x = np.zeros((2, 6, 6, 2))
    with pytest.raises(ValueError, match="batch_size=0 with 2 samples"):
        calibrate(network(), x, batch_size=0)
    with pytest.raises(ValueError, match="with 0 samples"):
        calibrate(network(), x[:0])
    x[1, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        calibrate(network(), x)
