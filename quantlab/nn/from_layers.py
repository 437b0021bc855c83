"""From layers that were trained to a network that can be quantized."""

from dataclasses import replace
from typing import Any

import numpy as np

from quantlab.nn.batch_norm import BatchNorm
from quantlab.nn.conv_layer import Conv2D
from quantlab.nn.layers import Layer, Linear, ReLU, Sequential
from quantlab.nn.network import INPUT, Network, Node
from quantlab.nn.pool_layers import Flatten, GlobalAveragePool, MaxPool2D, Residual

__all__ = ["network_from_layers"]


# layer -> the operator; arrays beside its params; its options
_NODES: dict[type, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    Linear: ("linear", (), ()),
    Conv2D: ("conv", (), ("stride", "padding", "groups")),
    BatchNorm: ("batch_norm", ("mean", "variance"), ("eps",)),
    MaxPool2D: ("max_pool", (), ("size", "stride", "padding")),
    GlobalAveragePool: ("mean", (), ()),
    Flatten: ("flatten", (), ()),
}


def network_from_layers(model: Sequential) -> Network:
    """Return the network that computes what ``model.forward`` does without training.

    Nodes are called after their operator, numbered in order: "conv0", "batch_norm1", ... A ReLU becomes the activation
    of the node before it. Params are float32 copies.

    Parameters
    ----------
    model : Sequential
        Of Linear, Conv2D, BatchNorm, ReLU, MaxPool2D, GlobalAveragePool, Flatten, Residual and Sequential.

    Raises
    ------
    TypeError
        If there is a layer of another kind: a subclass may compute something else.
    ValueError
        If a ReLU has no node before it, or stands at the start of a Residual: there the shortcut reads the same node.

    Examples
    --------
    >>> model = Sequential([Linear(4, 3, rng=np.random.default_rng(0)), ReLU()])
    >>> [(node.name, node.op, node.activation) for node in network_from_layers(model).nodes]
    [('linear0', 'linear', 'relu')]
    """
    nodes: list[Node] = []
    _append(model, INPUT, nodes, shared=frozenset({INPUT}))
    return Network(nodes)


def _append(layer: Layer, source: str, nodes: list[Node], *, shared: frozenset[str]) -> str:
    """Append the nodes of a layer that reads ``source``, and return the name of its output.

    Nodes in ``shared`` have other readers, and must stay as they are.
    """
    kind = type(layer)
    if kind is Sequential:
        for inner in layer.layers:
            source = _append(inner, source, nodes, shared=shared)
        return source
    if kind is Residual:
        return _add_node(nodes, "add", source, _append(layer.body, source, nodes, shared=shared | {source}))
    if kind is ReLU:
        if source in shared:
            raise ValueError(f"a ReLU follows {source!r}, which others read without it; put it after a layer")
        nodes[-1] = replace(nodes[-1], activation="relu")
        return source
    if kind not in _NODES:
        names = ", ".join(known.__name__ for known in (*_NODES, ReLU, Residual, Sequential))
        raise TypeError(f"a layer is a {kind.__name__}; expected one of {names}")
    op, attributes, options = _NODES[kind]
    arrays = dict(layer.params) | {name: getattr(layer, name) for name in attributes}
    if kind is Conv2D:
        arrays.setdefault("b", np.zeros(len(arrays["W"])))
    params = {name: np.array(value, np.float32) for name, value in arrays.items()}
    return _add_node(nodes, op, source, params=params, options={name: getattr(layer, name) for name in options})


def _add_node(nodes: list[Node], op: str, *inputs: str, **fields: Any) -> str:
    nodes.append(Node(f"{op}{len(nodes)}", op, inputs, **fields))
    return nodes[-1].name
