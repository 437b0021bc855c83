r"""Absorb high biases: move a constant that a channel always carries into the bias of the next layer.

Equalization divides a channel's bias with its weights, and where s is small the bias grows; then the activation's range
grows, and with one scale for the whole tensor every channel pays. But if h is at least c nearly always, then

.. math:: \mathrm{relu}(h) = \mathrm{relu}(h - c) + c,

and the next layer may add c times its weights to its own bias, once, in float.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from quantlab.nn.network import Network, Node
from quantlab.ptq.equalize import is_depthwise, reader
from quantlab.ptq.fold import Statistics

__all__ = ["absorb_bias", "absorb_biases", "absorbable"]


def absorbable(statistics: Statistics, *, n_std: float = 3.0) -> np.ndarray:
    r"""Return what can be absorbed of each channel, :math:`c = \max(0, \beta - 3 \gamma)`, shape (out,).

    If the channel before its activation is normal, it lies below c in 0.135 % of the cases.

    Examples
    --------
    >>> absorbable(Statistics(np.float32([10.0, 1.0]), np.float32([2.0, 2.0])))
    array([4., 0.], dtype=float32)
    """
    return np.maximum(statistics.mean - np.float32(n_std) * statistics.std, 0)


def absorb_bias(
    b1: np.ndarray, W2: np.ndarray, b2: np.ndarray, c: np.ndarray, *, depthwise: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the biases of two layers after the constant c of the first layer's outputs went into the second.

    .. math:: b^{(1)} \leftarrow b^{(1)} - c, \qquad b^{(2)} \leftarrow b^{(2)} + W^{(2)} c

    summed over the windows of a convolution. Exact for all h >= c, if no padding is inside a window.

    Parameters
    ----------
    b1, c : ndarray of float, shape (channels,)
    W2 : ndarray of float, shape (out, ..., channels), or (channels, kh, kw, 1) if `depthwise`
    b2 : ndarray of float, shape (out,)

    Raises
    ------
    ValueError
        If a c is negative, or shapes do not fit.

    References
    ----------
    Nagel et al. 2019, arXiv:1906.04721, section 4.1.4, "Absorbing high biases".

    Examples
    --------
    >>> absorb_bias(np.float32([5.0]), np.float32([[2.0]]), np.float32([1.0]), np.float32([4.0]))
    (array([1.], dtype=float32), array([9.], dtype=float32))
    """
    channels = len(W2) if depthwise else W2.shape[-1]
    if b1.shape != c.shape or c.shape != (channels,) or (c < 0).any():
        raise ValueError(f"b1 has shape {b1.shape}, c {c.shape}; expected ({channels},) as W2 reads, and c 0 or more")
    kernel = W2.astype(np.float64).sum(axis=tuple(range(1, W2.ndim - 1)))  # over the window
    moved = kernel[:, 0] * c if depthwise else kernel @ c
    return (b1 - c).astype(b1.dtype), (b2 + moved).astype(b2.dtype)


def absorb_biases(
    network: Network, statistics: Mapping[str, Statistics], *, n_std: float = 3.0, padded: bool = False
) -> tuple[Network, dict[str, np.ndarray]]:
    """Return a network with high biases absorbed, and what went out of each layer.

    A layer takes part if it ends in a ReLU, a ReLU6 or a clip (whose limit falls by c) and one other layer reads it.

    Parameters
    ----------
    network : Network
        With batch norms folded.
    statistics : dict of str to Statistics
        `quantlab.ptq.fold.batch_norm_statistics` of the network, passed through `scale_statistics` after `equalize`.
    n_std : float
        How far below the mean c lies, in standard deviations.
    padded : bool
        Absorb into convolutions with padding too. There it is wrong at the border: a window that reaches into the
        padding lacks c at those places. The paper does not speak of it; the default leaves such pairs as they are.

    Returns
    -------
    network : Network
    absorbed : dict of str to ndarray of float32, shape (out,)
        For the layers that took part.
    """
    params, activations, absorbed = {node.name: dict(node.params) for node in network.nodes}, {}, {}
    for name, found in statistics.items():
        node, following = network[name], reader(network, name)
        if node.activation is None or following is None or (_is_padded(network, node) and not padded):
            continue
        mine, theirs = params[name], params[following.name]
        limit = 6 if node.activation == "relu6" else mine.get("limit", np.inf)
        c = np.minimum(absorbable(found, n_std=n_std), limit).astype(np.float32)
        mine["b"], theirs["b"] = absorb_bias(mine["b"], theirs["W"], theirs["b"], c, depthwise=is_depthwise(following))
        if node.activation != "relu":
            mine["limit"] = (limit - c).astype(np.float32)
            activations[name] = "clip"
        absorbed[name] = c
    nodes = [
        replace(node, params=params[node.name], activation=activations.get(node.name, node.activation))
        for node in network.nodes
    ]
    return Network(nodes), absorbed


def _is_padded(network: Network, node: Node) -> bool:
    """Tell whether zeros are put beside a layer's output before the next layer reads it."""
    while True:
        (node,) = network.consumers(node.name)
        if node.op in ("linear", "mean", "max_pool"):  # a padded max pool takes no maximum over the padding
            if node.op == "linear":
                return False
            continue
        size = node.params["W"].shape[1:3] if node.op == "conv" else node.options["size"]
        padding = node.options["padding"]
        if tuple(size) != (1, 1) and padding != "valid" and (padding == "same" or np.max(padding) > 0):
            return True
        if node.op == "conv":
            return False
