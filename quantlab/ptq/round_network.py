"""AdaRound for the layers of a network, one after another."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from quantlab.core.affine import dequantize, fake_quantize
from quantlab.core.qparams import QParams
from quantlab.core.windows import place_windows
from quantlab.nn.conv import pad_image
from quantlab.nn.network import Network, Node
from quantlab.ptq.adaround import Moments, moments, round_adaptively
from quantlab.ptq.equalize import is_depthwise
from quantlab.ptq.side_by_side import mend_in_order

__all__ = ["adaround_network", "layer_moments", "round_to_nearest"]


def round_to_nearest(network: Network, weight_qps: Mapping[str, QParams]) -> Network:
    """Return the network with the weights of some layers on their grids, each rounded to the nearest mark."""
    changes = {name: {"W": fake_quantize(network[name].params["W"], qp)} for name, qp in weight_qps.items()}
    return network.with_params(changes)


def adaround_network(
    network: Network,
    weight_qps: Mapping[str, QParams],
    x: np.ndarray,
    *,
    float_inputs: bool = False,
    hook: Callable[[str, np.ndarray], np.ndarray] | None = None,
    n_positions: int = 10_000,
    **options,
) -> Network:
    """Return the network with the weights of some layers on their grids, each rounded up or down by AdaRound.

    Parameters
    ----------
    network : Network
        With batch norms folded.
    weight_qps : dict of str to QParams
        For the layers to round; symmetric. The others stay as they are. Pass the same ones to
        `quantlab.ptq.quantize.quantize_network`, and the codes come out again.
    x : ndarray of float32, shape (samples, ...)
        Calibration samples.
    float_inputs : bool
        Reconstruct every layer from the inputs that it has in the float network. By default it gets those of the
        network rounded so far, and its target is still the float output: it makes up for errors before it.
    hook : callable, optional
        As in `Network.forward`, on the rounded side: fake quantization of its activations.
    n_positions : int
        At most so many windows of a layer, spread evenly over all samples, enter the moments.
    **options
        ``n_steps``, ``lr``, ``regularization``, ``betas``, ``warmup`` as in `quantlab.ptq.adaround.adaround`.

    Returns
    -------
    Network

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> W, b = np.float32([[1.4, 2.39]]), np.zeros(1, np.float32)
    >>> network = Network([Node("fc", "linear", ("input",), {"W": W, "b": b})])
    >>> qps = {"fc": QParams(scale=1.0, zero_point=0, grid=Grid(n_bits=4))}
    >>> adaround_network(network, qps, np.float32([[1.0, 1.0], [2.0, 2.0]]))["fc"].params["W"]
    array([[2., 2.]], dtype=float32)
    """

    def learn(node: Node, rounded_node: Node, inputs: tuple, rounded_inputs: tuple, y: np.ndarray) -> Node:
        if node.name not in weight_qps:
            return rounded_node
        (x_float,), (x_hat,) = inputs, rounded_inputs
        found = layer_moments(node, x_float, None if float_inputs else x_hat, n_positions=n_positions)
        W, qp = node.params["W"], weight_qps[node.name]
        codes = round_adaptively(W.reshape(len(W), -1), found, qp=qp, **options)
        return replace(rounded_node, params={**rounded_node.params, "W": dequantize(codes.reshape(W.shape), qp)})

    return mend_in_order(network, round_to_nearest(network, weight_qps), x, learn, hook=hook)


def layer_moments(node: Node, x: np.ndarray, x_hat: np.ndarray | None = None, *, n_positions: int = 10_000) -> Moments:
    """Return the moments of what a layer's weights, flattened to (out, -1), are multiplied with.

    Parameters
    ----------
    node : Node
        A linear layer, a convolution of one group, or a depthwise one, which has moments for every channel.
    x, x_hat : ndarray of float
        The layer's inputs, as in `quantlab.ptq.adaround.moments`.
    n_positions : int

    Raises
    ------
    ValueError
        For other operators and numbers of groups.
    """
    if node.op == "linear":
        return moments(x, x_hat)
    if node.op != "conv" or (node.options["groups"] != 1 and not is_depthwise(node)):
        raise ValueError(f"{node.name!r}: no moments for {node.op!r} with groups={node.options.get('groups')}")
    pair = [_windows(node, each, n_positions) for each in (x, x_hat) if each is not None]
    return moments(*pair)


def _windows(node: Node, x: np.ndarray, n_positions: int) -> np.ndarray:
    """Return windows of the padded input, (positions, -1); of a depthwise layer (channels, positions, -1)."""
    kernel, stride = node.params["W"].shape[1:3], node.options["stride"]
    pads, (height, width) = place_windows(x.shape[1:3], kernel=kernel, stride=stride, padding=node.options["padding"])
    views = np.lib.stride_tricks.sliding_window_view(pad_image(x, pads), kernel, axis=(1, 2))
    total = len(x) * height * width
    chosen = np.linspace(0, total - 1, min(total, n_positions)).astype(np.int64)
    n, i, j = np.unravel_index(chosen, (len(x), height, width))
    found = views[n, i * stride[0], j * stride[1]]  # (positions, channels, kh, kw)
    if is_depthwise(node):
        return found.transpose(1, 0, 2, 3).reshape(x.shape[3], len(chosen), -1)
    return found.transpose(0, 2, 3, 1).reshape(len(chosen), -1)
