"""One layer at a time, against whole networks built anew, scipy's entropy and torch's losses."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from quantlab.mixed.gradients import weight_layers
from quantlab.mixed.sensitivity import changed_logits, mean_kl, round_weights, sensitivities
from quantlab.nn.network import Network, Node
from quantlab.ptq.calibrate import calibrate
from quantlab.ptq.quantize import quantize_network
from tests.mixed.torch_oracle import questions, small_network


def by_hand(W: np.ndarray, n_bits: int, per_channel: bool) -> np.ndarray:
    """Round to the nearest mark, ties to the even one, with the largest weight on the last mark."""
    largest = np.abs(W).max(axis=tuple(range(1, W.ndim)) if per_channel else None, keepdims=True)
    top = 2 ** (n_bits - 1) - 1
    scale = (largest / top).astype(np.float32)
    return np.clip(np.rint(W / scale), -top, top) * scale


@pytest.mark.parametrize("per_channel", [True, False])
def test_each_row_is_a_network_with_one_layer_changed(per_channel):
    network, (x, labels) = small_network(0), questions(0, 20)
    found = sensitivities(network, x, n_bits=[2, 4, 8], per_channel=per_channel, labels=labels, batch_size=7)
    assert [(s.name, s.n_bits) for s in found] == [(name, b) for name in weight_layers(network) for b in (2, 4, 8)]
    before = torch.from_numpy(network.forward(x))
    wanted = torch.from_numpy(labels)
    for s in found:
        W = network[s.name].params["W"]
        rounded = by_hand(W, s.n_bits, per_channel)
        after = torch.from_numpy(network.with_params({s.name: {"W": rounded}}).forward(x))
        loss = float(cross_entropy(after, wanted) - cross_entropy(before, wanted))
        kl = float(kl_div(log_softmax(after, 1), log_softmax(before, 1), log_target=True, reduction="batchmean"))
        ratio = 10 * math.log10(float((before**2).sum() / ((before - after) ** 2).sum()))
        # float32 scales computed in two ways may differ by an ulp, 6e-8 of a weight; logits are of size 10
        assert abs(s.loss_increase - loss) < 1e-5
        assert abs(s.kl - kl) < 1e-5
        assert abs(s.sqnr_db - ratio) < 1e-2
        assert s.n_weights == W.size
    assert max(s.kl for s in found) > 0.02


def test_fewer_bits_cost_more_here():
    found = sensitivities(small_network(0), questions(0, 50)[0], n_bits=[2, 8], per_channel=True)
    two, eight = found[::2], found[1::2]
    assert all(a.kl > b.kl and a.sqnr_db < b.sqnr_db for a, b in zip(two, eight, strict=True))
    assert all(math.isnan(s.loss_increase) for s in found)


def test_the_rounded_weights_are_those_of_quantize_network():
    network, (x, _) = small_network(1), questions(1, 10)
    for per_channel in (True, False):
        qnet = quantize_network(network, calibrate(network, x), weight_bits=4, per_channel=per_channel)
        for name, w in ((name, qnet.dequantized()[name].params["W"]) for name in weight_layers(network)):
            ours = round_weights(network[name].params["W"], n_bits=4, per_channel=per_channel)
            np.testing.assert_array_equal(ours, w)


def test_batches_change_nothing():
    network, (x, _) = small_network(2), questions(2, 11)
    changes = [("_first.conv", network["_first.conv"].params["W"] * 2), ("fc", network["fc"].params["W"] * 0)]
    before, after = changed_logits(network, x, changes=changes, batch_size=4)
    want = [network.with_params({name: {"W": W}}).forward(x) for name, W in changes]
    # the same products in the same order, but for BLAS kernels that depend on the number of rows
    np.testing.assert_allclose(before, network.forward(x), rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(after, want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_only_what_lies_behind_the_layer_is_computed_again(monkeypatch):
    from quantlab.mixed import sensitivity

    computed = []
    real = sensitivity.apply_node
    monkeypatch.setattr(sensitivity, "apply_node", lambda node, *x: computed.append(node.name) or real(node, *x))
    network, (x, _) = small_network(2), questions(2, 3)
    changed_logits(network, x, changes=[("pointwise", network["pointwise"].params["W"] * 2)])
    assert computed == ["pointwise", "sum", "pool", "mean", "hidden", "fc"]


def test_a_change_of_nothing_costs_nothing():
    W = np.float32([[1.0, -1.0], [0.0, 1.0]])  # on the grid at every width
    network = Network([Node("fc", "linear", ("input",), {"W": W, "b": np.zeros(2, np.float32)})])
    (found,) = sensitivities(network, np.array([[1.0, 2.0]]), n_bits=[2], per_channel=True, labels=np.array([0]))
    assert (found.sqnr_db, found.kl, found.loss_increase) == (math.inf, 0, 0)


def test_kl_is_scipys_and_survives_large_logits():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 6, 4)) * 3
    p, q = (np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) for z in (a, b))
    assert abs(mean_kl(a, b) - scipy.stats.entropy(p, q, axis=1).mean()) < 1e-12
    assert abs(mean_kl(a + 1e4, b - 1e4) - mean_kl(a, b)) < 1e-9  # logits of 1e4 have steps of 2e-12
    assert mean_kl(np.array([[0.0, 2000.0]]), np.array([[2000.0, 0.0]])) == 2000
    assert mean_kl(a, a) == 0
    coarse = [z.astype(np.float32) for z in (a, b)]  # computed in float64 all the same
    assert mean_kl(*coarse) == mean_kl(*(z.astype(np.float64) for z in coarse))
    assert math.isnan(mean_kl(np.array([[np.nan, 0.0]]), np.zeros((1, 2))))


def test_errors_name_the_way_out():
    network, (x, labels) = small_network(0), questions(0, 2)
    bits = {"n_bits": [4], "per_channel": True}
    with pytest.raises(ValueError, match="'pool' has no weights; the layers that do are _first.conv"):
        sensitivities(network, x, names=["pool"], **bits)
    with pytest.raises(KeyError, match="there is no node 'nobody'; choose from"):
        sensitivities(network, x, names=["nobody"], **bits)
    with pytest.raises(ValueError, match="expected at least one of each"):
        sensitivities(network, x, names=[], **bits)
    with pytest.raises(ValueError, match="expected at least one of each"):
        sensitivities(network, x, n_bits=[], per_channel=True)
    with pytest.raises(ValueError, match="n_bits >= 2"):
        sensitivities(network, x, n_bits=[1], per_channel=True)
    with pytest.raises(ValueError, match="labels.shape"):
        sensitivities(network, x, labels=labels[:1], **bits)
    with pytest.raises(ValueError, match="batch_size=0 with 2 samples"):
        sensitivities(network, x, batch_size=0, **bits)
    with pytest.raises(ValueError, match="batch_size=64 with 0 samples"):
        sensitivities(network, x[:0], **bits)
    with pytest.raises(ValueError, match=r"W of 'fc' has shape \(5, 3\); expected \(3, 5\)"):
        changed_logits(network, x, changes=[("fc", np.zeros((5, 3)))])
    for shape, other in (((2, 3), (2, 4)), ((0, 3), (0, 3)), ((3,), (3,))):
        with pytest.raises(ValueError, match="twice"):
            mean_kl(np.zeros(shape), np.zeros(other))
