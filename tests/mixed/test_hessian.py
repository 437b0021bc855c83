"""Curvature against torch's double backward, exact Hessians of small layers, and every sign vector there is."""

import itertools

import numpy as np
import pytest
import torch

from quantlab.mixed.gradients import loss_gradients, weight_layers
from quantlab.mixed.hessian import (
    Trace,
    fisher_diagonal,
    hessian_trace,
    hessian_vector_product,
    predict_from_diagonal,
    predict_from_trace,
)
from quantlab.nn.network import Network, Node
from tests.mixed.torch_oracle import questions, small_network, to_ours, to_torch, torch_loss


def exact_hessian(network: Network, x: np.ndarray, labels: np.ndarray, name: str) -> np.ndarray:
    """Return torch's Hessian of the loss by one layer's W, in the order of torch's layout."""
    loss, weights = torch_loss(network, x, labels)
    W = weights[name]
    H = torch.autograd.functional.hessian(lambda w: loss({**weights, name: w.reshape(W.shape)}), W.ravel())
    return H.numpy()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", ["_first.conv", "depthwise", "pointwise", "hidden", "fc"])
def test_products_are_those_of_the_exact_hessian(name, seed):
    network, (x, labels) = small_network(seed), questions(seed, 6)
    v = np.random.default_rng(seed).normal(size=network[name].params["W"].shape)
    ours = hessian_vector_product(network, x, labels, name=name, v=v)
    want = exact_hessian(network, x, labels, name) @ to_torch(v).numpy().ravel()
    assert np.abs(want).max() > 1e-3
    # Rounding of gradients of size 10 is 1e-15 each, over a step of 1e-7: 1e-8; truncation, step**2, is far below
    np.testing.assert_allclose(to_torch(ours).numpy().ravel(), want, rtol=0, atol=2e-7)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_length_of_the_direction_is_taken_out(factor):
    """The step is the largest change of a weight, whatever the length of v; or else 1e6 v would cross every kink."""
    network, (x, labels) = small_network(1), questions(1, 6)
    v = np.random.default_rng(1).normal(size=(5, 4))
    one, scaled = (hessian_vector_product(network, x, labels, name="hidden", v=k * v) for k in (1, factor))
    assert np.abs(one).max() > 1e-3
    np.testing.assert_allclose(scaled / factor, one, rtol=0, atol=4e-7)  # two errors of the size above


def test_products_are_those_of_double_backward_in_one_piece():
    """With all layers' tensors in one list: a mix-up of names would show."""
    network, (x, labels) = small_network(4), questions(4, 6)
    loss, weights = torch_loss(network, x, labels)
    rng = np.random.default_rng(4)
    for name in weight_layers(network):
        v = rng.choice([-1.0, 1.0], size=network[name].params["W"].shape)
        one = {key: to_torch(v) if key == name else torch.zeros_like(value) for key, value in weights.items()}
        want = torch.func.grad(lambda w, one=one: sum((g * one[k]).sum() for k, g in torch.func.grad(loss)(w).items()))(
            weights
        )
        ours = hessian_vector_product(network, x, labels, name=name, v=v)
        np.testing.assert_allclose(ours, to_ours(want[name]), rtol=0, atol=2e-7)


def test_the_mean_over_all_sign_vectors_is_the_trace():
    """Of a layer with 6 weights: 64 sign vectors, so nothing is left to chance."""
    rng = np.random.default_rng(5)
    params = {"W": rng.normal(size=(3, 2)), "b": rng.normal(size=3)}
    network = Network([Node("fc", "linear", ("input",), params)])
    x, labels = rng.normal(size=(8, 2)), rng.integers(0, 3, 8)
    p = np.exp(network.forward(x))
    p /= p.sum(axis=1, keepdims=True)
    trace = ((p * (1 - p)).sum(axis=1) * (x**2).sum(axis=1)).mean()  # of the mean of (diag p - p p^T) (x) x x^T
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=6))).reshape(-1, 3, 2)
    products = [(v * hessian_vector_product(network, x, labels, name="fc", v=v)).sum() for v in signs]
    assert abs(np.mean(products) - trace) < 1e-8
    assert np.std(products) > 0.01


def test_hutchinson_finds_the_trace_and_knows_its_error():
    network, (x, labels) = small_network(6), questions(6, 6)
    found = hessian_trace(network, x, labels, n_probes=60, rng=np.random.default_rng(0))
    assert list(found) == weight_layers(network)
    for name, trace in found.items():
        H = exact_hessian(network, x, labels, name)
        off_diagonal = (H**2).sum() - (np.diag(H) ** 2).sum()
        want = np.sqrt(2 * off_diagonal / 60)
        assert abs(trace.value - np.trace(H)) < 4 * want + 1e-6, name
        # A standard deviation of 60 numbers scatters by 1 / sqrt(118) if they are normal, 9 %; heavy tails: three times
        assert 0.6 < trace.standard_error / want < 1.6, name
        assert trace.n_weights == len(H)


def test_a_layer_alone_and_a_single_probe():
    network, (x, labels) = small_network(6), questions(6, 6)
    rng = np.random.default_rng(5)
    signs = [rng.choice([-1.0, 1.0], size=(3, 5)) for _ in range(3)]
    a, b, c = ((v * hessian_vector_product(network, x, labels, name="fc", v=v)).sum() for v in signs)
    found = hessian_trace(network, x, labels, n_probes=3, rng=np.random.default_rng(5), names=["fc"])["fc"]
    mean = (a + b + c) / 3
    # the same products in float64, their few sums in another order
    assert found.value == pytest.approx(mean, rel=1e-12)
    # the unbiased variance of three numbers, and the error of their mean; differences of them lose some digits
    variance = ((a - mean) ** 2 + (b - mean) ** 2 + (c - mean) ** 2) / 2
    assert found.standard_error == pytest.approx(np.sqrt(variance / 3), rel=1e-9)
    found = hessian_trace(network, x, labels, n_probes=1, rng=np.random.default_rng(0), names=["fc"])
    assert list(found) == ["fc"]
    assert np.isnan(found["fc"].standard_error)


def test_fisher_is_the_mean_of_squares_of_a_loop_in_torch():
    network, (x, labels) = small_network(7), questions(7, 9)
    want = None
    for i in range(9):
        loss, weights = torch_loss(network, x[i : i + 1], labels[i : i + 1])
        squares = {name: to_ours(g) ** 2 for name, g in torch.func.grad(loss)(weights).items()}
        want = squares if want is None else {name: want[name] + squares[name] for name in want}
    found = fisher_diagonal(network, x, labels)
    assert list(found) == weight_layers(network)
    for name, value in found.items():
        np.testing.assert_allclose(value, want[name] / 9, rtol=1e-9, atol=1e-14)
    mean = loss_gradients(network, x, labels)[1]
    assert all((found[name] >= mean[name] ** 2 - 1e-15).all() for name in found)  # Jensen
    assert all(found[name].sum() > 1.01 * (mean[name] ** 2).sum() for name in found)  # and it is another thing


def test_fisher_squares_in_float64():
    """The square of a float32 gradient of 1e-25 is no float32."""
    params = {"W": np.zeros((2, 1), np.float32), "b": np.zeros(2, np.float32)}
    network = Network([Node("fc", "linear", ("input",), params)])
    found = fisher_diagonal(network, np.float32([[2e-25]]), np.array([0]))["fc"]
    assert found.dtype == np.float64
    # softmax of zeros is 1/2, so the gradient is half of the input; 2e-25 in float32 is off by up to 2**-24 of itself,
    # and its square by twice that: 1.2e-7
    np.testing.assert_allclose(found, 1e-50, rtol=1.2e-7)


def test_fisher_of_drawn_labels_is_the_hessian_of_a_linear_network():
    """There the Hessian of the loss does not depend on the labels, and is the Fisher information."""
    rng = np.random.default_rng(8)
    network = Network([Node("fc", "linear", ("input",), {"W": rng.normal(size=(3, 2)), "b": np.zeros(3)})])
    x = rng.normal(size=(5, 2))
    z = network.forward(x)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    classes = [
        fisher_diagonal(network, x[i : i + 1], np.array([k]))["fc"] * p[i, k] for i in range(5) for k in range(3)
    ]
    H = exact_hessian_of_linear(p, x)
    np.testing.assert_allclose(sum(classes).ravel() / 5, np.diag(H), rtol=1e-12)


def exact_hessian_of_linear(p: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The mean over samples of (diag p - p p^T) (x) x x^T."""
    return np.mean([np.kron(np.diag(q) - np.outer(q, q), np.outer(u, u)) for q, u in zip(p, x, strict=True)], axis=0)


def test_the_trace_predicts_the_mean_over_directions():
    rng = np.random.default_rng(9)
    A = rng.normal(size=(5, 5))
    H = A @ A.T
    directions = rng.normal(size=(200_000, 5))
    directions *= 0.1 / np.linalg.norm(directions, axis=1, keepdims=True)
    increases = 0.5 * np.einsum("ni,ij,nj->n", directions, H, directions)
    predicted = predict_from_trace(Trace(float(np.trace(H)), 0.0, 5), directions[0])
    assert abs(predicted - increases.mean()) < 5 * increases.std() / np.sqrt(200_000)


def test_the_diagonal_is_weight_by_weight():
    F, d = np.array([[1.0, 2.0], [0.0, 4.0]]), np.array([[0.1, -0.2], [7.0, 0.3]])
    assert np.isclose(predict_from_diagonal(F, d), 0.5 * (0.01 + 0.08 + 0.36))


def test_errors_name_the_way_out():
    network, (x, labels) = small_network(0), questions(0, 2)
    v = np.ones((3, 5))
    with pytest.raises(ValueError, match=r"x\.dtype=float32; expected float64"):
        hessian_vector_product(network, x.astype(np.float32), labels, name="fc", v=v)
    for name in ("pool", "nobody"):
        with pytest.raises(ValueError, match=f"name='{name}'; the layers with weights are _first.conv, depthwise"):
            hessian_vector_product(network, x, labels, name=name, v=v)
        with pytest.raises(ValueError, match=f"name='{name}'; the layers"):
            hessian_trace(network, x, labels, names=[name], n_probes=2, rng=np.random.default_rng(0))
    for bad in (v[:2], 0 * v, np.full((3, 5), np.nan), np.full((3, 5), np.inf)):
        with pytest.raises(ValueError, match="v has shape"):
            hessian_vector_product(network, x, labels, name="fc", v=bad)
    with pytest.raises(ValueError, match="step=0"):
        hessian_vector_product(network, x, labels, name="fc", v=v, step=0)
    with pytest.raises(ValueError, match="n_probes=0"):
        hessian_trace(network, x, labels, n_probes=0, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="0 samples and 0 labels"):
        fisher_diagonal(network, x[:0], labels[:0])
    with pytest.raises(ValueError, match="2 samples and 1 labels"):
        fisher_diagonal(network, x, labels[:1])
    with pytest.raises(ValueError, match="d_W has 3 values; the trace is of 4 weights"):
        predict_from_trace(Trace(1.0, 0.0, 4), np.ones(3))
    with pytest.raises(ValueError, match="expected equal shapes"):
        predict_from_diagonal(np.ones(3), np.ones((3, 1)))
