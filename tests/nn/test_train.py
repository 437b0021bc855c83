"""The training loop: what it shuffles, what it averages, and that it learns."""

import numpy as np
import pytest

from quantlab.lab.data import digits
from quantlab.nn.layers import Linear, ReLU, Sequential
from quantlab.nn.optim import SGD, Adam
from quantlab.nn.train import accuracy, train


def test_the_loss_is_the_mean_over_all_samples_with_a_smaller_last_batch():
    # With lr = 0 nothing changes, so every epoch has the same loss, however the samples are cut: ln 3 at zero weights.
    model = Linear(2, 3, rng=np.random.default_rng(0))
    model.params["W"][:] = 0
    X, labels = np.random.default_rng(1).normal(size=(10, 2)).astype(np.float32), np.arange(10) % 3
    for batch_size in (3, 10, 99):
        rng = np.random.default_rng(2)
        losses = train(model, X, labels, optimizer=SGD(lr=0), n_epochs=2, batch_size=batch_size, rng=rng)
        assert losses == pytest.approx([np.log(3)] * 2, rel=1e-6)  # float32: 2**-24 a rounding, a few of them


def test_the_same_seed_gives_the_same_network():
    d = digits(seed=0)
    finals = []
    for _ in range(2):
        rng = np.random.default_rng(3)
        model = Sequential([Linear(64, 16, rng=rng), ReLU(), Linear(16, 10, rng=rng)])
        train(model, d.x_train, d.y_train, optimizer=Adam(lr=0.01), n_epochs=2, batch_size=64, rng=rng)
        finals.append(model.params)
    for name in finals[0]:
        assert np.array_equal(finals[0][name], finals[1][name])


def test_a_small_network_reads_digits():
    d = digits(seed=0)
    rng = np.random.default_rng(0)
    model = Sequential([Linear(64, 64, rng=rng), ReLU(), Linear(64, 10, rng=rng)])
    assert accuracy(model, d.x_test, d.y_test) < 0.4
    losses = train(model, d.x_train, d.y_train, optimizer=Adam(lr=0.003), n_epochs=20, batch_size=32, rng=rng)
    assert losses[-1] < 0.1 < losses[0]
    # 0.97 to 0.98 over seeds; 450 test digits give a standard error of 0.008
    assert accuracy(model, d.x_test, d.y_test) > 0.94


@pytest.mark.parametrize(("n_samples", "labels"), [(4, 3), (4, 1), (4, 5), (0, 0)])
def test_one_label_a_sample(n_samples, labels):
    """One label for all would broadcast, and more labels than samples would be cut off."""
    model, X, labels = Linear(2, 2, rng=np.random.default_rng(0)), np.zeros((n_samples, 2)), np.zeros(labels, int)
    text = rf"labels.shape=\({len(labels)},\) for {n_samples} samples; expected"
    with pytest.raises(ValueError, match=text):
        accuracy(model, X, labels)
    with pytest.raises(ValueError, match=text):
        train(model, X, labels, optimizer=SGD(lr=1), n_epochs=1, batch_size=2, rng=np.random.default_rng(0))


def test_batch_size_must_be_positive():
    model = Linear(2, 2, rng=np.random.default_rng(0))
    one = {"optimizer": SGD(lr=1), "n_epochs": 2, "batch_size": 1, "rng": np.random.default_rng(0)}
    assert len(train(model, np.ones((4, 2)), np.zeros(4, int), **one)) == 2
    with pytest.raises(ValueError, match="batch_size=0; expected at least 1"):
        train(
            model,
            np.zeros((4, 2)),
            np.zeros(4, int),
            optimizer=SGD(lr=1),
            n_epochs=1,
            batch_size=0,
            rng=np.random.default_rng(0),
        )
