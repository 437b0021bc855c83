"""A network whose numbers are integers, but for the layers that are kept in float32."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from quantlab.core.affine import dequantize, fake_quantize, quantize
from quantlab.core.qparams import QParams
from quantlab.integer.bias import bias_scale
from quantlab.integer.ops import dequantize_values, quantize_values
from quantlab.integer.ops.common import check_kernel_set
from quantlab.nn.network import INPUT, Network, Node, apply_node
from quantlab.ptq.integer_node import apply_integer_node

__all__ = ["QuantizedNetwork"]


@dataclass(frozen=True, eq=False)
class QuantizedNetwork:
    """A network whose weights, biases and activations are integers; made by `quantlab.ptq.quantize.quantize_network`.

    Attributes
    ----------
    network : Network
        The float network that it came from.
    activations : dict of str to QParams
        Of the input and of every node's output, if it is ever in codes.
    weights : dict of str to QParams
        Of every convolution and linear layer.
    w_q : dict of str to ndarray
        Their codes, in the shapes of W.
    bias_q : dict of str to ndarray of int32
        In steps of input scale times weight scale.
    keep_float : tuple of str
        Nodes that compute in float32 with their float weights. They dequantize codes that they read, and give reals,
        which a node on integers quantizes before it reads them. If nobody reads the input but they, it stays real, too.
    """

    network: Network
    activations: Mapping[str, QParams]
    weights: Mapping[str, QParams]
    w_q: Mapping[str, np.ndarray]
    bias_q: Mapping[str, np.ndarray]
    keep_float: tuple[str, ...] = ()

    def run(
        self, x: np.ndarray, *, dialect: str, hook: Callable[[str, np.ndarray], np.ndarray] | None = None
    ) -> np.ndarray:
        """Return the output's codes, computed on integers alone; or its reals, if the last node is kept in float32.

        Parameters
        ----------
        x : ndarray, shape (samples, ...)
            Codes of the input, or reals: these are quantized first.
        dialect : {"litert", "litert_ruy", "litert_reference"}
            Whose rounding; see `quantlab.integer.ops`.
        hook : callable
            As in `Network.forward`, with codes, or with reals where nodes are kept in float32.

        Returns
        -------
        ndarray of the output grid's dtype, or of float32
            `dequantize` it with ``activations`` of the last node, or compare codes: they have the order of the reals.

        Raises
        ------
        TypeError
            If ``x`` holds integers of another dtype than the input's grid.
        ValueError
            If the dialect is unknown, weights or activations have more than 8 bits, or as `quantlab.integer.ops`.
        """
        check_kernel_set(dialect)
        x = np.asarray(x)
        if INPUT not in self.activations:
            if x.dtype != np.float32:
                raise TypeError(f"x.dtype={x.dtype}; expected float32: the layers that read it are kept in float32")
        elif x.dtype.kind == "f":
            x = quantize(x, self.activations[INPUT])
        elif x.dtype != self.activations[INPUT].grid.dtype:
            raise TypeError(f"x.dtype={x.dtype}; expected {self.activations[INPUT].grid.dtype} codes, or reals")
        for name, node_qp in (*self.activations.items(), *self.weights.items()):
            if node_qp.grid.n_bits > 8:
                raise ValueError(f"{name!r} has {node_qp.grid.n_bits} bits; integer kernels take 8: use simulate")
        return self.network.forward(x, hook=hook, apply=lambda node, *inputs: self._apply(node, inputs, dialect))

    def codes(self, x: np.ndarray, *, dialect: str) -> dict[str, np.ndarray]:
        """Return the codes of every activation, from ``"input"`` to the output; arguments and errors as `run`.

        What nodes that are kept in float32 put out is there in reals.
        """
        found: dict[str, np.ndarray] = {}

        def keep(name: str, value: np.ndarray) -> np.ndarray:
            found[name] = value
            return value

        self.run(x, dialect=dialect, hook=keep)
        return found

    def _apply(self, node: Node, inputs: tuple[np.ndarray, ...], dialect: str) -> np.ndarray:
        pairs = list(zip(node.inputs, inputs, strict=True))
        if node.name in self.keep_float:
            return apply_node(node, *(self._as_reals(name, value, dialect) for name, value in pairs))
        return apply_integer_node(
            node,
            *(self._as_codes(name, value, dialect) for name, value in pairs),
            x_qps=tuple(self.activations[name] for name in node.inputs),
            y_qp=self.activations[node.name],
            w_q=self.w_q.get(node.name),
            w_qp=self.weights.get(node.name),
            bias_q=self.bias_q.get(node.name),
            dialect=dialect,
        )

    def _as_reals(self, name: str, value: np.ndarray, dialect: str) -> np.ndarray:
        if value.dtype.kind == "f":
            return value
        return dequantize_values(value, qp=self.activations[name], dialect=dialect)

    def _as_codes(self, name: str, value: np.ndarray, dialect: str) -> np.ndarray:
        if value.dtype.kind != "f":
            return value
        return quantize_values(value, y_qp=self.activations[name], dialect=dialect)

    def dequantized(self) -> Network:
        """Return the float network with the reals that its weights and biases stand for: only they are rounded.

        Nodes that are kept in float32 have the weights that they had.
        """
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
        in the others more than 99 of 100. An average pool of 2 x 2, whose means are often ties, has about 90 of 100,
        and "mean", which the others divide in integers, 88 to 99. From layer to layer such steps add up.

        Parameters
        ----------
        x : ndarray of float, shape (samples, ...)
        hook : callable
            As in `Network.forward`; gets the fake-quantized values, and unrounded ones of nodes kept in float32.
        """
        real = {*self.keep_float, *({INPUT} - set(self.activations))}

        def round_behind(name: str, value: np.ndarray) -> np.ndarray:
            value = value if name in real else fake_quantize(value, self.activations[name])
            return value if hook is None else hook(name, value)

        def round_before(node: Node, *inputs: np.ndarray) -> np.ndarray:
            if node.name not in self.keep_float:
                pairs = zip(node.inputs, inputs, strict=True)
                inputs = [fake_quantize(v, self.activations[name]) if name in real else v for name, v in pairs]
            return apply_node(node, *inputs)

        return self.dequantized().forward(x, hook=round_behind, apply=round_before)

    def n_bytes(self) -> int:
        """Return the bytes of weights, packed at their number of bits, with their scales, and of int32 biases.

        Weights and biases that are kept in float32 have four bytes each.
        """
        weights = sum((w_q.size * self.weights[name].grid.n_bits + 7) // 8 for name, w_q in self.w_q.items())
        return (
            weights
            + sum(4 * np.size(qp.scale) for qp in self.weights.values())
            + sum(4 * b.size for b in self.bias_q.values())
            + sum(4 * p.size for name in self.keep_float for p in self.network[name].params.values())
        )
