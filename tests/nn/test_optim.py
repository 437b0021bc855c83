"""Optimizers against torch.optim, step for step, in float64."""

import numpy as np
import pytest
import torch

from quantlab.nn.optim import SGD, Adam

OPTIMIZERS = {
    "sgd": (SGD(lr=0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
    "momentum": (SGD(lr=0.05, momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)),
    "adam": (Adam(lr=0.01), lambda p: torch.optim.Adam(p, lr=0.01)),
    "adam, other betas": (
        Adam(lr=0.3, betas=(0.5, 0.9), eps=1e-3),
        lambda p: torch.optim.Adam(p, lr=0.3, betas=(0.5, 0.9), eps=1e-3),
    ),
}


@pytest.mark.parametrize(("ours", "make_theirs"), OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_equals_torch_over_100_steps(ours, make_theirs):
    rng = np.random.default_rng(8)
    params = {"W": rng.normal(size=(5, 3)), "b": rng.normal(size=4)}
    leaves = {name: torch.tensor(value, requires_grad=True) for name, value in params.items()}
    theirs = make_theirs(list(leaves.values()))
    kept = dict(params)
    for _ in range(100):
        grads = {name: rng.normal(size=value.shape) * 10.0 ** rng.integers(-3, 2) for name, value in params.items()}
        grads["b"][0] = 0  # never a gradient: Adam must not divide by zero
        ours.step(params, grads)
        for name, leaf in leaves.items():
            leaf.grad = torch.tensor(grads[name])
        theirs.step()
    for name, leaf in leaves.items():
        assert params[name] is kept[name]  # in place
        # 100 steps, each with fewer than 20 roundings of 2**-53 of a number below 100: 100 * 20 * 100 * 2**-53 = 2e-11
        assert np.abs(params[name] - leaf.detach().numpy()).max() < 2e-11


@pytest.mark.parametrize("optimizer", [SGD(lr=0.1, momentum=0.9), Adam(lr=0.1)])
def test_float32_parameters_stay_float32(optimizer):
    theta = {"w": np.ones(3, np.float32)}
    for _ in range(3):
        optimizer.step(theta, {"w": np.full(3, 0.5, np.float32)})
    assert theta["w"].dtype == np.float32
    assert (theta["w"] < 1).all()


def test_errors_name_what_came():
    with pytest.raises(ValueError, match="lr=-1; expected a number from 0"):
        SGD(lr=-1)
    with pytest.raises(ValueError, match=r"momentum=1\.0; expected a number from 0 to below 1"):
        SGD(lr=0.1, momentum=1.0)
    with pytest.raises(ValueError, match=r"betas=1\.5"):
        Adam(lr=0.1, betas=(0.9, 1.5))
    with pytest.raises(ValueError, match=r"grads has no 'w', only \[\]; call backward before step"):
        SGD(lr=0.1).step({"w": np.zeros(2)}, {})
    with pytest.raises(ValueError, match=r"grads\['w'\]\.shape=\(3,\); expected \(2,\)"):
        Adam(lr=0.1).step({"w": np.zeros(2)}, {"w": np.zeros(3)})
