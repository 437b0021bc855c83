"""Run a float network and its rounded copy side by side, and mend the copy one node at a time."""

from collections.abc import Callable

import numpy as np

from quantlab.nn.network import INPUT, Network, Node, activate, apply_node, apply_operation

__all__ = ["mend_in_order"]

Mend = Callable[[Node, Node, tuple[np.ndarray, ...], tuple[np.ndarray, ...], np.ndarray], Node]


def mend_in_order(
    network: Network,
    rounded: Network,
    x: np.ndarray,
    mend: Mend,
    *,
    hook: Callable[[str, np.ndarray], np.ndarray] | None = None,
) -> Network:
    """Return the rounded network with every layer replaced by what ``mend`` makes of it, in order of execution.

    A layer is mended when all before it are, so that it sees the activations that it will get.

    Parameters
    ----------
    network, rounded : Network
        Nodes of the same names in the same order.
    x : ndarray of float32, shape (samples, ...)
        All samples are held in memory, at every node twice.
    mend : callable
        ``mend(node, rounded_node, inputs, rounded_inputs, y)`` is called for nodes with weights, with the inputs that
        they get in the float and in the rounded network, and with the float node's output before its activation. It
        returns a node in place of ``rounded_node``.
    hook : callable, optional
        As in `Network.forward`, on the rounded side.

    Raises
    ------
    ValueError
        If the two networks do not have the same nodes.
    """
    if [(n.name, n.inputs) for n in network.nodes] != [(n.name, n.inputs) for n in rounded.nodes]:
        raise ValueError("network and rounded have different nodes; pass two versions of one network")
    hook = hook or (lambda name, value: value)
    last_reader = {name: i for i, node in enumerate(network.nodes) for name in node.inputs}
    values, rounded_values, nodes = {INPUT: x}, {INPUT: hook(INPUT, x)}, []
    for i, (node, rounded_node) in enumerate(zip(network.nodes, rounded.nodes, strict=True)):
        inputs = tuple(values[name] for name in node.inputs)
        rounded_inputs = tuple(rounded_values[name] for name in node.inputs)
        y = apply_operation(node, *inputs)
        if "W" in node.params:
            rounded_node = mend(node, rounded_node, inputs, rounded_inputs, y)
        nodes.append(rounded_node)
        values[node.name] = activate(node, y)
        rounded_values[node.name] = hook(node.name, apply_node(rounded_node, *rounded_inputs))
        for name in set(node.inputs):
            if last_reader[name] == i:
                del values[name], rounded_values[name]
    return Network(nodes)
