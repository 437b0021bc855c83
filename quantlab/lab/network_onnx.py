"""A `quantlab.nn.network.Network` as an ONNX model, written node by node."""

from typing import TYPE_CHECKING

import numpy as np

from quantlab.lab.minilm_onnx import IR_VERSION, OPSET
from quantlab.nn.network import INPUT, Network, Node

if TYPE_CHECKING:
    import onnx

__all__ = ["network_onnx"]


def network_onnx(network: Network, *, shape: tuple[int, int, int]) -> "onnx.ModelProto":
    """Return a model that computes what ``network.forward`` does.

    Parameters
    ----------
    network : Network
        Of the operators conv, linear, add, mean and max_pool; fold batch norms before (`quantlab.ptq.fold`).
    shape : (int, int, int)
        Height, width and channels of an image.

    Returns
    -------
    onnx.ModelProto
        Opset 21. ``input`` is float32 (n, height, width, channels) and is turned to (n, channels, height, width), which
        is ONNX's order; ``output`` is the last node's. Nodes keep their names; an activation is a node
        ``<name>.relu6`` (``Clip``) or ``<name>.relu``.

    Raises
    ------
    ValueError
        If the network holds another operator, or the activation "clip".

    Example
    -------
    >>> W, b = np.ones((4, 3, 3, 1), np.float32), np.zeros(4, np.float32)
    >>> conv = Node("stem", "conv", ("input",), {"W": W, "b": b}, activation="relu6")
    >>> [node.op_type for node in network_onnx(Network([conv]), shape=(8, 8, 1)).graph.node]
    ['Transpose', 'Conv', 'Clip']
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constants = {"zero": np.float32(0), "six": np.float32(6)}
    nodes = [helper.make_node("Transpose", [INPUT], ["image"], name="image", perm=[0, 3, 1, 2])]
    tensors = {INPUT: "image"}
    for node in network.nodes:
        inputs = [tensors[name] for name in node.inputs]
        last = node is network.nodes[-1]
        made, tensors[node.name] = _nodes(node, inputs, constants, "output" if last else None)
        nodes += made
    channels = network.forward(np.zeros((1, *shape), np.float32)).shape[-1]
    image = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", *shape])
    is_map = network.nodes[-1].op not in ("linear", "mean")
    output = helper.make_tensor_value_info(
        "output", TensorProto.FLOAT, ["n", channels, *(["h", "w"] if is_map else [])]
    )
    used = {name for node in nodes for name in node.input}
    initializers = [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items() if name in used]
    graph = helper.make_graph(nodes, "network", [image], [output], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def _nodes(node: Node, inputs: list[str], constants: dict[str, np.ndarray], output: str | None):
    """Return the ONNX nodes of one node, and the name of the tensor that they end in; add constants."""
    from onnx import helper

    if node.activation not in (None, "relu", "relu6"):
        raise ValueError(f"node {node.name!r}: activation={node.activation!r} is not written here; relu and relu6 are")
    attributes, windows = {}, node.options
    if node.op in ("conv", "linear"):
        W = node.params["W"].transpose(0, 3, 1, 2) if node.op == "conv" else node.params["W"]
        constants |= {f"{node.name}.W": np.ascontiguousarray(W), f"{node.name}.b": node.params["b"]}
        inputs = [*inputs, f"{node.name}.W", f"{node.name}.b"]
    if node.op == "conv":
        kind = "Conv"
        attributes = {
            "kernel_shape": node.params["W"].shape[1:3],
            "group": windows["groups"],
            "strides": windows["stride"],
        }
    elif node.op == "max_pool":
        kind = "MaxPool"
        attributes = {"kernel_shape": windows["size"], "strides": windows["stride"] or windows["size"]}
    elif node.op == "mean":
        kind = "GlobalAveragePool"
    elif node.op in ("linear", "add"):
        kind, attributes = ("Gemm", {"transB": 1}) if node.op == "linear" else ("Add", {})
    else:
        raise ValueError(
            f"node {node.name!r}: op={node.op!r} is not written here, conv, linear, add, mean and "
            "max_pool are; fold batch norms first"
        )
    if "padding" in windows:
        attributes |= _pads(windows["padding"])
    names = [node.name] + ([f"{node.name}.flat"] if node.op == "mean" else [])
    names += [f"{node.name}.{node.activation}"] if node.activation else []
    outputs = [f"{name}.y" for name in names[:-1]] + [output or f"{names[-1]}.y"]
    made = [helper.make_node(kind, inputs, [outputs[0]], name=node.name, **attributes)]
    if node.op == "mean":
        made.append(helper.make_node("Flatten", [outputs[0]], [outputs[1]], name=names[1]))
    if node.activation == "relu6":
        made.append(helper.make_node("Clip", [outputs[-2], "zero", "six"], [outputs[-1]], name=names[-1]))
    elif node.activation == "relu":
        made.append(helper.make_node("Relu", [outputs[-2]], [outputs[-1]], name=names[-1]))
    return made, outputs[-1]


def _pads(padding: object) -> dict[str, object]:
    """Return the attributes of a padding: TensorFlow's "same" is ONNX's SAME_UPPER."""
    if isinstance(padding, str):
        return {"auto_pad": {"same": "SAME_UPPER", "valid": "VALID"}[padding]}
    (top, bottom), (left, right) = padding
    return {"pads": [top, left, bottom, right]}
