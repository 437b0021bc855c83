"""A quantized network as a .tflite file: the very integers that quantlab chose, for a production runtime to run."""

import numpy as np

from quantlab.core.qparams import QParams
from quantlab.lab.tflite_writer import ModelWriter
from quantlab.nn.network import INPUT, Node
from quantlab.ptq.integer_node import reads_one_channel
from quantlab.ptq.quantized_network import QuantizedNetwork

__all__ = ["to_tflite"]


def to_tflite(qnet: QuantizedNetwork, *, input_shape: tuple[int, ...]) -> bytes:
    """Return a .tflite file with the codes, scales and zero points of a quantized network; no converter looks at them.

    One operator a node. Tensors are called after the nodes, and the weights of a node ``name/W`` and ``name/b``. Around
    nodes that are kept in float32 stand DEQUANTIZE, to ``name/reals``, and QUANTIZE, to ``name/codes``.

    Parameters
    ----------
    qnet : QuantizedNetwork
        Of 8-bit activations and weights of at most 8 bits, which the file stores as int8.
    input_shape : tuple of int
        (samples, ...); the file fixes it.

    Returns
    -------
    bytes
        Run them with `quantlab.lab.litert.run`. Input and output are int8, or float32 where only float layers read or
        write them.

    Raises
    ------
    ValueError
        If there are more than 8 bits, a node has explicit padding (the format knows "same" and "valid" alone), or the
        activation "clip".

    Example
    -------
    >>> from quantlab.lab import litert
    >>> from quantlab.nn.network import Network
    >>> from quantlab.ptq.calibrate import calibrate
    >>> from quantlab.ptq.quantize import quantize_network
    >>> W, b = np.array([[1.27, -0.5]], np.float32), np.array([0.1], np.float32)
    >>> network = Network([Node("fc", "linear", ("input",), {"W": W, "b": b}, activation="relu")])
    >>> x = np.array([[2.0, 1.0], [-0.55, 0.0]], np.float32)
    >>> qnet = quantize_network(network, calibrate(network, x), weight_bits=8, per_channel=True)
    >>> model = to_tflite(qnet, input_shape=(2, 2))
    >>> litert.run(model, np.array([[127, 26], [-128, -40]], np.int8), kernels="litert").ravel()
    array([ 127, -128], dtype=int8)
    """
    for kind, qps, allowed in (("activations", qnet.activations, (8,)), ("weights", qnet.weights, range(2, 9))):
        for name, qp in qps.items():
            if qp.grid.n_bits not in allowed or not qp.grid.signed:
                raise ValueError(f"{kind} of {name!r} are on {qp.grid}; the file holds int8 (weights: at most 8 bits)")
    export = _Export(qnet, input_shape)
    for node in qnet.network.nodes:
        export.add(node)
    return export.writer.build(inputs=[export.tensors[INPUT]], outputs=[export.tensors[qnet.network.nodes[-1].name]])


class _Export:
    """The file so far, and which tensor holds which activation."""

    def __init__(self, qnet: QuantizedNetwork, input_shape: tuple[int, ...]):
        self.qnet, self.writer = qnet, ModelWriter()
        self.shapes: dict[str, tuple[int, ...]] = {}

        def note(name: str, value: np.ndarray) -> np.ndarray:
            self.shapes[name] = value.shape
            return value

        qnet.network.forward(np.zeros(input_shape, np.float32), hook=note)
        self.real = {*qnet.keep_float, *({INPUT} - set(qnet.activations))}
        self.tensors = {
            name: self._real(name, shape) if name in self.real else self._codes(name, shape)
            for name, shape in self.shapes.items()
        }
        self.casts: dict[str, int] = {}  # the same activations on the other side: codes of reals, or reals of codes

    def _quantized(self, name: str, shape: tuple[int, ...], qp: QParams, **constant: object) -> int:
        return self.writer.tensor(shape, np.int8, scale=qp.scale, zero_point=qp.zero_point, name=name, **constant)

    def _codes(self, name: str, shape: tuple[int, ...]) -> int:
        return self._quantized(name, shape, self.qnet.activations[name])

    def _real(self, name: str, shape: tuple[int, ...], **constant: object) -> int:
        return self.writer.tensor(shape, np.float32, name=name, **constant)

    def _input(self, name: str, *, real: bool) -> int:
        """Return the tensor of an activation in codes or in reals; put the operator in front that makes it, once."""
        if real == (name in self.real):
            return self.tensors[name]
        if name not in self.casts:
            shape = self.shapes[name]
            if real:
                operator, cast = "DEQUANTIZE", self._real(f"{name}/reals", shape)
            else:
                operator, cast = "QUANTIZE", self._quantized(f"{name}/codes", shape, self.qnet.activations[name])
            self.writer.operator(operator, inputs=[self.tensors[name]], outputs=[cast], version=1 + real)
            self.casts[name] = cast
        return self.casts[name]

    def _int32(self, name: str, values: np.ndarray, **quantization: object) -> int:
        return self.writer.tensor(values.shape, np.int32, data=values, name=name, **quantization)

    def add(self, node: Node) -> None:
        """Append one node."""
        if node.activation == "clip":
            raise ValueError(
                f"{node.name!r} clips each channel at a limit of its own; the file fuses None, relu, relu6"
            )
        real = node.name in self.qnet.keep_float
        inputs, options = [self._input(name, real=real) for name in node.inputs], {}
        w = self.qnet.w_q.get(node.name, node.params.get("W"))
        if node.op == "linear":
            operator, version = "FULLY_CONNECTED", 4
            inputs += self._weights(node, w, axis=0)
        elif node.op == "conv" and reads_one_channel(node):
            operator, version = "DEPTHWISE_CONV_2D", 3
            w = w[..., 0].transpose(1, 2, 0)[None]  # (1, kh, kw, out)
            inputs += self._weights(node, w, axis=3)
            options = {**_windows(node), "depthMultiplier": w.shape[-1] // node.options["groups"]}
        elif node.op == "conv":
            operator, version = "CONV_2D", 3
            inputs += self._weights(node, w, axis=0)
            options = _windows(node)
        elif node.op == "mean":
            operator, version, options = "MEAN", 2, {"keepDims": False}
            inputs.append(self._int32(f"{node.name}/axes", np.array([1, 2], np.int32)))
        elif node.op == "flatten":
            operator, version = "RESHAPE", 1
            inputs.append(self._int32(f"{node.name}/shape", np.array(self.shapes[node.name], np.int32)))
        elif node.op == "add":
            operator, version = "ADD", 2
        else:
            operator, version = f"{node.op.upper()}_2D", 2
            height, width = node.options["size"]
            options = {**_windows(node), "filterHeight": height, "filterWidth": width}
        if operator not in ("MEAN", "RESHAPE"):
            options["activation"] = node.activation
        outputs, version = [self.tensors[node.name]], 1 if real else version
        self.writer.operator(operator, inputs=inputs, outputs=outputs, version=version, **options)

    def _weights(self, node: Node, w: np.ndarray, *, axis: int) -> list[int]:
        """Return the tensors of weights and bias."""
        if node.name in self.qnet.keep_float:
            b = node.params["b"]
            return [self._real(f"{node.name}/W", w.shape, data=w), self._real(f"{node.name}/b", b.shape, data=b)]
        w_qp, x_qp = self.qnet.weights[node.name], self.qnet.activations[node.inputs[0]]
        codes = self._quantized(f"{node.name}/W", w.shape, w_qp, data=w, axis=axis)
        bias_q = self.qnet.bias_q[node.name]
        return [codes, self._int32(f"{node.name}/b", bias_q, scale=x_qp.scale * w_qp.scale, zero_point=0)]


def _windows(node: Node) -> dict[str, int]:
    """Return the options that convolutions and pools share."""
    padding = node.options["padding"]
    if padding not in ("same", "valid"):
        raise ValueError(f"{node.name!r} has padding={padding}; a .tflite operator has 'same' or 'valid' only")
    height, width = node.options["stride"] or node.options["size"]
    return {"padding": 0 if padding == "same" else 1, "strideH": height, "strideW": width}
