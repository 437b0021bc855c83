"""A float network and ranges in, a network of integers out."""

from collections.abc import Iterable, Mapping

import numpy as np

from quantlab.core.affine import quantize
from quantlab.core.grid import Grid
from quantlab.core.observers import Observer
from quantlab.core.qparams import QParams, choose_qparams
from quantlab.integer.bias import quantize_bias
from quantlab.nn.network import INPUT, Network
from quantlab.ptq.integer_node import check_integer_node
from quantlab.ptq.quantized_network import QuantizedNetwork

__all__ = ["quantize_network", "weight_qparams"]

# Operators that move or select values: their output keeps the marks of their input, and nothing is rounded. An average
# pool does round, but no runtime gives it a scale of its own.
SAME_MARKS = ("max_pool", "average_pool", "flatten")
BIAS_LIMIT = 2**30  # half of what int32 holds: the other half is left to the products


def quantize_network(
    network: Network,
    observers: Mapping[str, Observer],
    *,
    weight_bits: int,
    per_channel: bool,
    activation_bits: int = 8,
    weight_qps: Mapping[str, QParams] | None = None,
    keep_float: Iterable[str] = (),
) -> QuantizedNetwork:
    r"""Return the network in integers: LiteRT's scheme.

    Weights are symmetric without the lowest code, -127 to 127 at 8 bits; activations are asymmetric, one scale and zero
    point each; biases are int32 with the scale of the accumulator:

    .. math:: s_w = \frac{\max|W|}{2^{n-1} - 1}, \qquad s_b = s_x s_w, \qquad s_y = \frac{\max y - \min y}{2^n - 1}

    with the range of y widened to hold 0. Pools and "flatten" keep the scale and zero point of their input.

    Parameters
    ----------
    network : Network
        Without batch norms: `quantlab.ptq.fold` takes them into the weights.
    observers : dict of str to Observer
        From `quantlab.ptq.calibrate.calibrate`.
    weight_bits, activation_bits : int
        2 to 16. More than 8 can be simulated but not run.
    per_channel : bool
        One weight scale for every output channel, or one for all.
    weight_qps : dict of str to QParams, optional
        For nodes whose weights lie on a grid already, as after `quantlab.ptq.adaround`; the others are chosen here.
    keep_float : iterable of str, optional
        Nodes that are not quantized: mixed precision, as TensorFlow's converter makes it. Codes are dequantized before
        such a node and its output is quantized behind it, if a node on integers reads it: two such nodes in a row hand
        on float32.

    Raises
    ------
    ValueError
        If a node cannot be computed on integers, has no observer, ``weight_qps`` names a node without weights, or
        ``keep_float`` names no node.

    Notes
    -----
    A channel whose weights are so small beside its bias that the bias would leave int32 gets a larger scale, so that
    the bias has 30 bits.

    References
    ----------
    B. Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
    CVPR 2018, section 2.

    Examples
    --------
    >>> from quantlab.nn.network import Node
    >>> from quantlab.ptq.calibrate import calibrate
    >>> W, b = np.array([[1.27, -0.5]], np.float32), np.array([0.1], np.float32)
    >>> network = Network([Node("fc", "linear", ("input",), {"W": W, "b": b}, activation="relu")])
    >>> x = np.array([[2.0, 1.0], [-0.55, 0.0]], np.float32)
    >>> qnet = quantize_network(network, calibrate(network, x), weight_bits=8, per_channel=True)
    >>> qnet.w_q["fc"], qnet.bias_q["fc"]
    (array([[127, -50]], dtype=int8), array([1000], dtype=int32))
    >>> qnet.run(x, dialect="litert").ravel(), qnet.simulate(x).ravel().round(4)
    (array([ 127, -128], dtype=int8), array([2.14, 0.  ], dtype=float32))
    """
    kept = _kept(network, keep_float)
    for node in network.nodes:
        if node.name not in kept:
            check_integer_node(node)
    grid, in_codes = Grid(n_bits=activation_bits), _in_codes(network, kept)
    activations = {INPUT: _observed(observers, INPUT, grid)} if INPUT in in_codes else {}
    weights, w_q, bias_q = {}, {}, {}
    given = dict(weight_qps or {})
    for node in network.nodes:
        if node.name in in_codes:
            same = node.op in SAME_MARKS and node.inputs[0] in activations
            activations[node.name] = activations[node.inputs[0]] if same else _observed(observers, node.name, grid)
        if "W" not in node.params or node.name in kept:
            continue
        W, b, x_qp = node.params["W"], node.params["b"], activations[node.inputs[0]]
        if node.name in given:
            qp = given.pop(node.name)
        else:
            qp = _room_for_bias(weight_qparams(W, n_bits=weight_bits, per_channel=per_channel), b, x_qp)
        weights[node.name], w_q[node.name] = qp, quantize(W, qp)
        bias_q[node.name] = quantize_bias(b, x_scale=x_qp.scale, w_scale=qp.scale)
    if given:
        raise ValueError(f"weight_qps names {sorted(given)}; the nodes with weights are {', '.join(weights)}")
    return QuantizedNetwork(network, activations, weights, w_q, bias_q, kept)


def _kept(network: Network, keep_float: Iterable[str]) -> tuple[str, ...]:
    """Return the nodes that stay in float32, in the order of the network."""
    wanted, names = [keep_float] if isinstance(keep_float, str) else list(keep_float), [n.name for n in network.nodes]
    if unknown := sorted(set(wanted) - set(names)):
        raise ValueError(f"keep_float names {unknown}; the nodes are {', '.join(names)}")
    return tuple(name for name in names if name in wanted)


def _in_codes(network: Network, kept: tuple[str, ...]) -> set[str]:
    """Return whose values are in codes at some place: those that a node on integers reads or writes."""
    on_integers = [node for node in network.nodes if node.name not in kept]
    return {name for node in on_integers for name in (node.name, *node.inputs)}


def weight_qparams(W: np.ndarray, *, n_bits: int, per_channel: bool) -> QParams:
    """Return the symmetric min-max scales of weights, (out, ...), on a grid without its lowest code.

    Weights that are all zero get the scale 2**-23.

    Examples
    --------
    >>> W = np.array([[1.27, 0.0], [0.0, -2.54]], np.float32)
    >>> weight_qparams(W, n_bits=8, per_channel=True).scale, weight_qparams(W, n_bits=8, per_channel=False).scale
    (array([0.01, 0.02], dtype=float32), np.float32(0.02))
    """
    largest = np.abs(W).max(axis=tuple(range(1, W.ndim)) if per_channel else None)
    grid = Grid(n_bits=n_bits, narrow=True)
    return choose_qparams(-largest, largest, grid=grid, symmetric=True, axis=0 if per_channel else None)


def _room_for_bias(qp: QParams, b: np.ndarray, x_qp: QParams) -> QParams:
    """Return weight scales so large that every bias is at most ``BIAS_LIMIT`` steps."""
    b = np.abs(b) if qp.axis is not None else np.abs(b).max()
    scale = np.maximum(qp.scale, b / (np.float64(x_qp.scale) * BIAS_LIMIT))
    return QParams(scale=scale, zero_point=qp.zero_point, grid=qp.grid, axis=qp.axis)


def _observed(observers: Mapping[str, Observer], name: str, grid: Grid) -> QParams:
    if name not in observers:
        raise ValueError(f"observers has no {name!r}; calibrate the network that is quantized: names must be the same")
    return observers[name].qparams(grid=grid)
