"""A float network and ranges in, a network of integers out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from quantlab.core.affine import dequantize, fake_quantize, quantize
from quantlab.core.grid import Grid
from quantlab.core.observers import Observer
from quantlab.core.qparams import QParams, choose_qparams
from quantlab.integer.requantize import bias_scale, quantize_bias
from quantlab.nn.network import INPUT, Network, Node
from quantlab.ptq.integer_node import apply_integer_node, check_integer_node

__all__ = ["QuantizedNetwork", "quantize_network", "weight_qparams"]

# Operators that move or select values: their output keeps the marks of their input, and nothing is rounded. An average
# pool does round, but no runtime gives it a scale of its own.
SAME_MARKS = ("max_pool", "average_pool", "flatten")
BIAS_LIMIT = 2**30  # half of what int32 holds: the other half is left to the products


@dataclass(frozen=True)
class QuantizedNetwork:
    """A network whose weights, biases and activations are integers; made by `quantize_network`.

    Attributes
    ----------
    network : Network
        The float network that it came from.
    activations : dict of str to QParams
        Of the input and of every node's output.
    weights : dict of str to QParams
        Of every convolution and linear layer.
    w_q : dict of str to ndarray
        Their codes, in the shapes of W.
    bias_q : dict of str to ndarray of int32
        In steps of input scale times weight scale.
    """

    network: Network
    activations: Mapping[str, QParams]
    weights: Mapping[str, QParams]
    w_q: Mapping[str, np.ndarray]
    bias_q: Mapping[str, np.ndarray]

    def run(
        self, x: np.ndarray, *, dialect: str, hook: Callable[[str, np.ndarray], np.ndarray] | None = None
    ) -> np.ndarray:
        """Return the output's codes, computed on integers alone.

        Parameters
        ----------
        x : ndarray, shape (samples, ...)
            Codes of the input, or reals: these are quantized first.
        dialect : {"litert", "litert_ruy", "litert_reference"}
            Whose rounding; see `quantlab.integer.ops`.
        hook : callable
            As in `Network.forward`, with codes.

        Returns
        -------
        ndarray of the output grid's dtype
            `dequantize` it with ``activations`` of the last node, or compare codes: they have the order of the reals.

        Raises
        ------
        TypeError
            If ``x`` holds integers of another dtype than the input's grid.
        ValueError
            If weights or activations have more than 8 bits, or as `quantlab.integer.ops`.
        """
        qp = self.activations[INPUT]
        x = np.asarray(x)
        if x.dtype.kind == "f":
            x = quantize(x, qp)
        if x.dtype != qp.grid.dtype:
            raise TypeError(f"x.dtype={x.dtype}; expected {qp.grid.dtype} codes, or reals")
        for name, node_qp in (*self.activations.items(), *self.weights.items()):
            if node_qp.grid.n_bits > 8:
                raise ValueError(f"{name!r} has {node_qp.grid.n_bits} bits; integer kernels take 8: use simulate")
        return self.network.forward(x, hook=hook, apply=lambda node, *inputs: self._apply(node, inputs, dialect))

    def codes(self, x: np.ndarray, *, dialect: str) -> dict[str, np.ndarray]:
        """Return the codes of every activation, from ``"input"`` to the output; arguments and errors as `run`."""
        found: dict[str, np.ndarray] = {}

        def keep(name: str, value: np.ndarray) -> np.ndarray:
            found[name] = value
            return value

        self.run(x, dialect=dialect, hook=keep)
        return found

    def _apply(self, node: Node, inputs: tuple[np.ndarray, ...], dialect: str) -> np.ndarray:
        return apply_integer_node(
            node,
            *inputs,
            x_qps=tuple(self.activations[name] for name in node.inputs),
            y_qp=self.activations[node.name],
            w_q=self.w_q.get(node.name),
            w_qp=self.weights.get(node.name),
            bias_q=self.bias_q.get(node.name),
            dialect=dialect,
        )

    def dequantized(self) -> Network:
        """Return the float network with the reals that its weights and biases stand for: only they are rounded."""
        changes = {}
        for name, w_qp in self.weights.items():
            x_scale = self.activations[self.network[name].inputs[0]].scale
            b = (self.bias_q[name] * bias_scale(x_scale, w_qp.scale).astype(np.float64)).astype(np.float32)
            changes[name] = {"W": dequantize(self.w_q[name], w_qp), "b": b}
        return self.network.with_params(changes)

    def simulate(self, x: np.ndarray, *, hook: Callable[[str, np.ndarray], np.ndarray] | None = None) -> np.ndarray:
        """Return the output in reals, every activation fake-quantized: what the integers stand for, in float32.

        Given the same inputs, each node is at most one step away from what `run` computes: kernels round ties and near
        ties in ways of their own. Measured on random networks: in "litert" more than 9,998 of 10,000 codes are equal,
        in the others more than 99 of 100. An average pool, whose means are often ties, has 90 of 100, and "mean", which
        the others divide in integers, 88. From layer to layer such steps add up.

        Parameters
        ----------
        x : ndarray of float, shape (samples, ...)
        hook : callable
            As in `Network.forward`; gets the fake-quantized values.
        """

        def through_integers(name: str, value: np.ndarray) -> np.ndarray:
            value = fake_quantize(value, self.activations[name])
            return value if hook is None else hook(name, value)

        return self.dequantized().forward(x, hook=through_integers)

    def n_bytes(self) -> int:
        """Return the bytes of weights, packed at their number of bits, with their scales, and of int32 biases."""
        weights = sum((w_q.size * self.weights[name].grid.n_bits + 7) // 8 for name, w_q in self.w_q.items())
        return (
            weights
            + sum(4 * np.size(qp.scale) for qp in self.weights.values())
            + sum(4 * b.size for b in self.bias_q.values())
        )


def quantize_network(
    network: Network,
    observers: Mapping[str, Observer],
    *,
    weight_bits: int,
    per_channel: bool,
    activation_bits: int = 8,
    weight_qps: Mapping[str, QParams] | None = None,
) -> QuantizedNetwork:
    r"""Return the network in integers: LiteRT's scheme.

    Weights are symmetric without the lowest code, -127 to 127 at 8 bits; activations are asymmetric, one scale and zero
    point each; biases are int32 with the scale of the accumulator:

    .. math:: s_w = \frac{\max|W|}{2^{n-1} - 1}, \qquad s_b = s_x s_w, \qquad s_y = \frac{\max y - \min y}{2^n - 1}

    Pools and "flatten" keep the scale and zero point of their input.

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

    Raises
    ------
    ValueError
        If a node cannot be computed on integers, has no observer, or ``weight_qps`` names a node without weights.

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
    for node in network.nodes:
        check_integer_node(node)
    grid = Grid(n_bits=activation_bits)
    activations = {INPUT: _observed(observers, INPUT, grid)}
    weights, w_q, bias_q = {}, {}, {}
    given = dict(weight_qps or {})
    for node in network.nodes:
        x_qp = activations[node.inputs[0]]
        activations[node.name] = x_qp if node.op in SAME_MARKS else _observed(observers, node.name, grid)
        if "W" not in node.params:
            continue
        W, b = node.params["W"], node.params["b"]
        if node.name in given:
            qp = given.pop(node.name)
        else:
            qp = _room_for_bias(weight_qparams(W, n_bits=weight_bits, per_channel=per_channel), b, x_qp)
        weights[node.name], w_q[node.name] = qp, quantize(W, qp)
        bias_q[node.name] = quantize_bias(b, x_scale=x_qp.scale, w_scale=qp.scale)
    if given:
        raise ValueError(f"weight_qps names {sorted(given)}; the nodes with weights are {', '.join(weights)}")
    return QuantizedNetwork(network, activations, weights, w_q, bias_q)


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
