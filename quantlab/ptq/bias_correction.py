r"""Bias correction: rounded weights shift the mean of every output, and a bias can shift it back.

With W + e in place of W, an output is off by e x. Its variance is what rounding costs; its mean,
:math:`\epsilon\, \mathrm{E}[x]`, is a constant, and constants are free. After a ReLU E[x] is not zero, and with the few
weights of a depthwise channel the errors do not average out: this is where it pays.

E[x] is measured on samples, or, without data, computed from the batch norm in front: a normal distribution cut off by
the activation.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from quantlab.nn.network import INPUT, Network, Node, apply_operation
from quantlab.ptq.constant_input import constant_response
from quantlab.ptq.fold import Statistics
from quantlab.ptq.side_by_side import mend_in_order

__all__ = ["clipped_normal_mean", "correct_biases", "correct_biases_from_statistics", "expected_inputs", "mean_shift"]


SUMS = ("add", "mean", "average_pool")  # operators whose mean output follows from their mean inputs


def mean_shift(W: np.ndarray, W_hat: np.ndarray, mean_x: np.ndarray) -> np.ndarray:
    r"""Return by how much rounded weights shift the mean output: :math:`(\hat W - W)\, \mathrm{E}[x]`.

    Take it away from the bias. For a convolution the errors of a window are summed first, which takes E[x] as equal at
    all of its places (and leaves the border of a padded image out of account).

    Parameters
    ----------
    W, W_hat : ndarray of float, shape (out, ..., channels / groups)
    mean_x : ndarray of float, shape (channels,)

    Returns
    -------
    ndarray of float32, shape (out,)

    Raises
    ------
    ValueError
        If shapes do not fit.

    References
    ----------
    Nagel et al. 2019, arXiv:1906.04721, section 4.2 and appendix B.

    Examples
    --------
    >>> mean_shift(np.float32([[0.5, 1.25]]), np.float32([[1.0, 1.0]]), np.float32([10.0, 1.0]))
    array([4.75], dtype=float32)
    """
    if W.shape != W_hat.shape:
        raise ValueError(f"W.shape={W.shape}, W_hat.shape={W_hat.shape}; expected two equal shapes")
    return constant_response(W_hat.astype(np.float64) - W, mean_x).astype(np.float32)


def clipped_normal_mean(
    mean: np.ndarray, std: np.ndarray, *, low: np.ndarray | float = 0.0, high: np.ndarray | float = np.inf
) -> np.ndarray:
    r"""Return the mean of clip(x, low, high) for a normal x: after a ReLU (high infinite) or a ReLU6 (high = 6).

    .. math:: \mathrm{E} = a\,\Phi(\alpha) + b\,(1 - \Phi(\beta)) + \mu\,(\Phi(\beta) - \Phi(\alpha))
              + \sigma\,(\varphi(\alpha) - \varphi(\beta)), \qquad
              \alpha = \frac{a - \mu}{\sigma},\ \beta = \frac{b - \mu}{\sigma}

    What lies below a counts as a, what lies above b as b, and the rest is the mean of a truncated normal.

    Parameters
    ----------
    mean, std : ndarray of float
        Of x; std 0 or more and finite, and 0 means a constant. A mean that is infinite is one too, and NaN gives NaN.
    low, high : float or ndarray
        low <= high; infinite for an end that does not clip.

    Returns
    -------
    ndarray of float64

    Raises
    ------
    ValueError
        If a std is negative or not finite, or low is above high.

    References
    ----------
    Nagel et al. 2019, arXiv:1906.04721, section 4.2.1 for ReLU, appendix C for both ends.

    Examples
    --------
    >>> clipped_normal_mean(np.array([0.0, -2.0, 9.0]), np.array([1.0, 0.0, 0.0]), high=6.0).round(4)
    array([0.3989, 0.    , 6.    ])
    """
    mu, sigma, a, b = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (mean, std, low, high)))
    if not (np.isfinite(sigma) & (sigma >= 0)).all() or (a > b).any():
        raise ValueError(
            f"std from {sigma.min()} to {sigma.max()}, low up to {a.max()}, high from {b.min()}; expected finite "
            "std >= 0, low <= high"
        )
    varies = (sigma > 0) & np.isfinite(mu)
    m, s = np.where(varies, mu, 0), np.where(varies, sigma, 1)
    alpha, beta = (a - m) / s, (b - m) / s
    below, above = _normal_cdf(alpha), _normal_cdf(-beta)
    inside = _normal_cdf(beta) - below
    found = m * inside + s * (_normal_density(alpha) - _normal_density(beta))
    found += np.where(below > 0, np.where(np.isfinite(a), a, 0) * below, 0)
    found += np.where(above > 0, np.where(np.isfinite(b), b, 0) * above, 0)
    return np.where(varies, np.clip(found, a, b), np.clip(mu, a, b))


def _normal_cdf(x: np.ndarray) -> np.ndarray:
    # erfc, not 1 + erf: it keeps its relative precision far out on the left
    return np.vectorize(math.erfc, otypes=[np.float64])(-x / math.sqrt(2)) / 2


def _normal_density(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.square(x) / 2) / math.sqrt(2 * math.pi)


def expected_inputs(
    network: Network, statistics: Mapping[str, Statistics], *, mean_input: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return E[x] of every output that can be known without data, one number a channel: {name: (channels,)}.

    A layer with statistics is a normal distribution before its activation; sums and averages of known means are known.
    The rest (max pools, layers without a batch norm, what follows them) is left out.

    Parameters
    ----------
    network : Network
        With batch norms folded.
    statistics : dict of str to Statistics
    mean_input : ndarray of float, shape (channels,), optional
        Of the network's input, if it is known.
    """
    known = {} if mean_input is None else {INPUT: np.asarray(mean_input, np.float64)}
    for node in network.nodes:
        inputs = [known.get(name) for name in node.inputs]
        if node.name in statistics:
            low = -np.inf if node.activation is None else 0.0
            high = {"relu6": 6.0, "clip": node.params.get("limit")}.get(node.activation, np.inf)
            known[node.name] = clipped_normal_mean(*statistics[node.name], low=low, high=high)
        elif node.op in SUMS and node.activation is None and all(value is not None for value in inputs):
            known[node.name] = sum(inputs)
    return known


def correct_biases_from_statistics(
    network: Network, rounded: Network, statistics: Mapping[str, Statistics], *, mean_input: np.ndarray | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """Return biases that are corrected without data, for the layers whose E[x] `expected_inputs` knows.

    Parameters
    ----------
    network, rounded : Network
        In float, with batch norms folded, and the same with rounded weights (`QuantizedNetwork.dequantized`).
    statistics : dict of str to Statistics
        Of ``network``, see `quantlab.ptq.fold.batch_norm_statistics`.
    mean_input : ndarray of float, shape (channels,), optional

    Returns
    -------
    dict of str to {"b": ndarray of float32}
        For `Network.with_params`.
    """
    means, changes = expected_inputs(network, statistics, mean_input=mean_input), {}
    for node in network.nodes:
        if "W" in node.params and node.inputs[0] in means:
            W, W_hat = node.params["W"], rounded[node.name].params["W"]
            shift = mean_shift(W, W_hat, means[node.inputs[0]])
            changes[node.name] = {"b": node.params["b"] - shift}
    return changes


def correct_biases(
    network: Network, rounded: Network, x: np.ndarray, *, hook: Callable[[str, np.ndarray], np.ndarray] | None = None
) -> dict[str, dict[str, np.ndarray]]:
    """Return biases with which every layer's mean output on samples is the float network's.

    Both networks run side by side, one node at a time. Each layer is corrected before the next one is looked at, so a
    layer also makes up for what is left of the shifts before it. Means are taken before the activation.

    Parameters
    ----------
    network, rounded : Network
        As in `correct_biases_from_statistics`.
    x : ndarray of float32, shape (samples, ...)
        Calibration samples.
    hook : callable, optional
        As in `Network.forward`, on the rounded side: fake quantization of its activations.

    Returns
    -------
    dict of str to {"b": ndarray of float32}
        For `Network.with_params`, of the rounded network or of the float one before it is quantized again.

    References
    ----------
    Nagel et al. 2019, arXiv:1906.04721, appendix D.
    """

    def correct(node: Node, rounded_node: Node, inputs: tuple, rounded_inputs: tuple, y: np.ndarray) -> Node:
        y_hat = apply_operation(rounded_node, *rounded_inputs)
        axes = tuple(range(y.ndim - 1))
        shift = y_hat.mean(axis=axes, dtype=np.float64) - y.mean(axis=axes, dtype=np.float64)
        b = (rounded_node.params["b"] - shift).astype(np.float32)
        return replace(rounded_node, params={**rounded_node.params, "b": b})

    corrected = mend_in_order(network, rounded, x, correct, hook=hook)
    return {node.name: {"b": node.params["b"]} for node in corrected.nodes if "W" in node.params}
