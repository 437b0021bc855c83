"""Fold a batch norm into the layer in front of it: one affine map after another is one affine map.

A network in training normalizes each channel by what it measures; in inference these numbers are constants, and integer
runtimes have no operator for them. Folding is exact in the reals. What it does to the weights is another matter: each
output channel is multiplied by a factor of its own, and afterwards the channels of one layer may differ in range by
orders of magnitude.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from quantlab.core.arguments import as_real, as_reals
from quantlab.nn.network import Network, Node

__all__ = ["Statistics", "batch_norm_statistics", "fold", "fold_batch_norm"]

AFFINE = ("conv", "linear")  # operators with W and b


class Statistics(NamedTuple):
    """Mean and standard deviation of each output channel of a layer, before its activation; float32, shape (out,)."""

    mean: np.ndarray
    std: np.ndarray


def fold_batch_norm(
    W: np.ndarray,
    b: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    *,
    eps: float,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the weights and the bias of a layer that does the work of a layer and of the batch norm behind it.

    .. math:: W'_o = \frac{\gamma_o}{\sqrt{\sigma_o^2 + \epsilon}} W_o, \qquad
              b'_o = \frac{\gamma_o}{\sqrt{\sigma_o^2 + \epsilon}} (b_o - \mu_o) + \beta_o

    Computed in float64 and rounded once, to the dtype of `W`.

    Parameters
    ----------
    W : ndarray of float, shape (out, ...)
    b, gamma, beta, mean, variance : ndarray of float, shape (out,)
        A layer without a bias has b = 0.
    eps : float
        What the batch norm adds to the variance; 0 or more.

    Returns
    -------
    W, b : ndarray, shapes and dtype of `W` and ``(out,)``

    Raises
    ------
    ValueError
        If shapes differ, a variance or eps is negative, or both are 0 (the factor would be infinite).

    Notes
    -----
    Where gamma is 0 the channel's weights become 0, exactly, and the channel is a constant, beta. A symmetric scale
    made of its largest weight would be 0, and 0 / 0 is NaN: `quantlab.choose_qparams` has a smallest scale for that.
    NaN and infinities pass through.

    References
    ----------
    B. Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
    2018, arXiv:1712.05877, eq. 14.

    Examples
    --------
    >>> one = np.ones(1, np.float32)
    >>> fold_batch_norm(np.float32([[2.0, 4.0]]), 0 * one, 3 * one, one, 2 * one, 35 * one, eps=1.0)
    (array([[1., 2.]], dtype=float32), array([0.], dtype=float32))
    """
    W = as_reals("W", W)
    vectors = {"b": b, "gamma": gamma, "beta": beta, "mean": mean, "variance": variance}
    vectors = {name: as_reals(name, v).astype(np.float64) for name, v in vectors.items()}
    if W.ndim == 0:
        raise ValueError("W.shape=(); expected (out, ...), an axis of output channels")
    for name, v in vectors.items():
        if v.shape != W.shape[:1]:
            raise ValueError(f"{name}.shape={v.shape}; expected {W.shape[:1]}, one an output channel of W {W.shape}")
    variance = vectors["variance"]
    if as_real("eps", eps) < 0 or (variance < 0).any() or (variance + eps == 0).any():
        raise ValueError(f"eps={eps}, variance from {variance.min()}; expected 0 or more, and not both of them 0")
    factor = vectors["gamma"] / np.sqrt(variance + eps)
    folded_W = W.astype(np.float64) * factor.reshape(-1, *[1] * (W.ndim - 1))
    folded_b = (vectors["b"] - vectors["mean"]) * factor + vectors["beta"]
    dtype = np.result_type(W.dtype, np.float32)
    return folded_W.astype(dtype), folded_b.astype(dtype)


def fold(network: Network) -> Network:
    """Return the network with every batch norm folded into the conv or linear node that it follows.

    The folded node keeps the name of the layer and takes the activation of the batch norm; who read the batch norm
    reads the layer now. A batch norm stays if it follows anything else, if its layer has an activation in between, or
    if somebody else reads the layer too.

    Examples
    --------
    >>> one = np.ones(1, np.float32)
    >>> layer = Node("fc", "linear", ("input",), {"W": np.float32([[2.0]]), "b": 0 * one})
    >>> norm = Node("bn", "batch_norm", ("fc",), dict(gamma=one, beta=one, mean=one, variance=3 * one), {"eps": 1.0})
    >>> [(node.name, node.op, float(node.params["W"][0, 0])) for node in fold(Network([layer, norm])).nodes]
    [('fc', 'linear', 1.0)]
    """
    pairs = _pairs(network)
    norms, renamed, nodes = {layer: norm for norm, layer in pairs.items()}, {}, []
    for node in network.nodes:
        if node.name in pairs:
            renamed[node.name] = pairs[node.name]
            continue
        node = replace(node, inputs=tuple(renamed.get(name, name) for name in node.inputs))
        if node.name in norms:
            norm = network[norms[node.name]]
            W, b = fold_batch_norm(**node.params, **norm.params, eps=norm.options["eps"])
            node = replace(node, params={"W": W, "b": b}, activation=norm.activation)
        nodes.append(node)
    return Network(nodes)


def batch_norm_statistics(network: Network) -> dict[str, Statistics]:
    """Return what the batch norms that `fold` folds say about the folded layers: {name: Statistics}.

    After normalization a channel has mean 0 and variance 1 over the training data, so behind gamma and beta its mean is
    beta and its standard deviation |gamma|. This is all that a network knows about its data when no data is at hand.

    Examples
    --------
    >>> one = np.ones(1, np.float32)
    >>> layer = Node("fc", "linear", ("input",), {"W": np.float32([[2.0]]), "b": 0 * one})
    >>> norm = Node("bn", "batch_norm", ("fc",), dict(gamma=-3 * one, beta=one, mean=one, variance=one))
    >>> batch_norm_statistics(Network([layer, norm]))
    {'fc': Statistics(mean=array([1.], dtype=float32), std=array([3.], dtype=float32))}
    """
    found = {}
    for norm, layer in _pairs(network).items():
        params = network[norm].params
        found[layer] = Statistics(params["beta"], np.abs(params["gamma"]))
    return found


def _pairs(network: Network) -> dict[str, str]:
    """Return {batch norm: the layer that it can be folded into}."""
    layers: dict[str, Node] = {node.name: node for node in network.nodes if node.op in AFFINE}
    found = {}
    for node in network.nodes:
        layer = layers.get(node.inputs[0]) if node.op == "batch_norm" else None
        if layer and layer.activation is None and len(network.consumers(layer.name)) == 1:
            found[node.name] = layer.name
    return found
