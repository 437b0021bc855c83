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
from quantlab.ptq.constant_input import constant_response
from quantlab.ptq.equalize import reader
from quantlab.ptq.fold import Statistics

__all__ = ["absorb_bias", "absorb_biases", "absorbable"]


def absorbable(statistics: Statistics, *, n_std: float = 3.0) -> np.ndarray:
    r"""Return what can be absorbed of each channel, :math:`c = \max(0, \beta - n \gamma)`, shape (out,).

    If the channel before its activation is normal, it lies below c in 0.135 % of the cases with n = 3.

    Examples
    --------
    >>> absorbable(Statistics(np.float32([10.0, 1.0]), np.float32([2.0, 2.0])))
    array([4., 0.], dtype=float32)
    """
    return np.maximum(statistics.mean - np.float32(n_std) * statistics.std, 0)


def absorb_bias(b1: np.ndarray, W2: np.ndarray, b2: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the biases of two layers after the constant c of the first layer's outputs went into the second.

    .. math:: b^{(1)} \leftarrow b^{(1)} - c, \qquad b^{(2)} \leftarrow b^{(2)} + W^{(2)} c

    summed over the windows of a convolution. Exact for all h >= c, if no padding is inside a window.

    Parameters
    ----------
    b1, c : ndarray of float, shape (channels,)
    W2 : ndarray of float, shape (out, ..., channels / groups)
    b2 : ndarray of float, shape (out,)

    Raises
    ------
    ValueError
        If a c is negative or NaN, or shapes do not fit.

    References
    ----------
    Nagel et al. 2019, arXiv:1906.04721, section 4.1.4, "Absorbing high biases".

    Examples
    --------
    >>> absorb_bias(np.float32([5.0]), np.float32([[2.0]]), np.float32([1.0]), np.float32([4.0]))
    (array([1.], dtype=float32), array([9.], dtype=float32))
    """
    if b1.shape != c.shape or b2.shape != W2.shape[:1] or not (c >= 0).all():
        raise ValueError(
            f"b1.shape={b1.shape}, c.shape={c.shape}, b2.shape={b2.shape}, W2.shape={W2.shape}; expected (channels,) "
            "twice, (out,) and (out, ..., channels / groups), and c 0 or more"
        )
    return (b1 - c).astype(b1.dtype), (b2 + constant_response(W2, c)).astype(b2.dtype)


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
        if node.activation is None or following is None or (_pads(following) and not padded):
            continue
        mine, theirs = params[name], params[following.name]
        limit = 6 if node.activation == "relu6" else mine.get("limit", np.inf)
        c = np.minimum(absorbable(found, n_std=n_std), limit).astype(np.float32)
        mine["b"], theirs["b"] = absorb_bias(mine["b"], theirs["W"], theirs["b"], c)
        if node.activation != "relu":
            mine["limit"] = (limit - c).astype(np.float32)
            activations[name] = "clip"
        absorbed[name] = c
    nodes = [
        replace(node, params=params[node.name], activation=activations.get(node.name, node.activation))
        for node in network.nodes
    ]
    return Network(nodes), absorbed


def _pads(node: Node) -> bool:
    """Tell whether a layer puts zeros beside what it reads. Pools in front of it do not: they leave padding out."""
    padding = node.options.get("padding", "valid")
    if isinstance(padding, str):
        return padding == "same" and node.params["W"].shape[1:3] != (1, 1)
    return bool(np.any(padding))
