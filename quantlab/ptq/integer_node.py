"""One node of a network on integers: which operator of `quantlab.integer.ops` computes it."""

import math
from dataclasses import replace

import numpy as np

from quantlab.core.affine import quantize
from quantlab.core.qparams import QParams
from quantlab.integer import ops
from quantlab.nn.network import Node

__all__ = ["apply_integer_node", "check_integer_node", "reads_one_channel"]

# Operators that clamp their own output: an activation costs nothing there.
FUSED = ("conv", "linear", "add", "max_pool", "average_pool")


def check_integer_node(node: Node) -> None:
    """Raise ValueError, with the way out, if there is no integer operator for a node."""
    if node.op == "batch_norm":
        raise ValueError(f"{node.name!r} is a batch norm; fold it first, with quantlab.ptq.fold")
    if node.activation is not None and node.op not in FUSED:
        raise ValueError(f"{node.name!r}: {node.op!r} has no activation on integers; give it to the node before")


def apply_integer_node(
    node: Node,
    *inputs: np.ndarray,
    x_qps: tuple[QParams, ...],
    y_qp: QParams,
    w_q: np.ndarray | None,
    w_qp: QParams | None,
    bias_q: np.ndarray | None,
    dialect: str,
) -> np.ndarray:
    """Return the output codes of one node for the codes of its inputs, activation included.

    Parameters
    ----------
    node : Node
        Of its float params only the limit of the activation "clip" is read.
    *inputs : ndarray of integers
        Codes, with their ``x_qps``.
    y_qp : QParams
    w_q, w_qp, bias_q
        For convolutions and linear layers.
    dialect : str

    Returns
    -------
    ndarray of ``y_qp.grid.dtype``
    """
    check_integer_node(node)
    if node.activation == "clip":  # as LiteRT would: a fused ReLU, and the operator MINIMUM with a constant
        relu = replace(node, params={k: v for k, v in node.params.items() if k != "limit"}, activation="relu")
        y_q = apply_integer_node(
            relu, *inputs, x_qps=x_qps, y_qp=y_qp, w_q=w_q, w_qp=w_qp, bias_q=bias_q, dialect=dialect
        )
        return np.minimum(y_q, quantize(node.params["limit"], y_qp))
    options, common = node.options, {"y_qp": y_qp, "dialect": dialect}
    if node.op == "add":
        return ops.add(*inputs, a_qp=x_qps[0], b_qp=x_qps[1], activation=node.activation, **common)
    (x_q,), (x_qp,) = inputs, x_qps
    if node.op in ("conv", "linear"):
        layer = {"x_qp": x_qp, "w_qp": w_qp, "activation": node.activation, **common}
        if node.op == "linear":
            return ops.fully_connected(x_q, w_q, bias_q, **layer)
        conv = ops.depthwise_conv2d if reads_one_channel(node) else ops.conv2d
        return conv(x_q, w_q, bias_q, stride=options["stride"], padding=options["padding"], **layer)
    if node.op == "mean":
        return ops.mean(x_q, x_qp=x_qp, **common)
    if node.op == "flatten":
        return x_q.reshape(len(x_q), math.prod(x_q.shape[1:]))
    pool = ops.max_pool if node.op == "max_pool" else ops.average_pool
    return pool(
        x_q,
        x_qp=x_qp,
        size=options["size"],
        stride=options["stride"] or options["size"],
        padding=options["padding"],
        dialect=dialect,
        activation=node.activation,
    )


def reads_one_channel(node: Node) -> bool:
    """Tell whether each output of a convolution reads one channel: a depthwise one, whatever its multiplier."""
    return node.options["groups"] > 1 and node.params["W"].shape[3] == 1
