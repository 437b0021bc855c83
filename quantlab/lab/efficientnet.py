"""EfficientNet-Lite0 as a list of nodes, with its ImageNet weights: a real network for quantization in numpy."""

from collections.abc import Mapping

import numpy as np

from quantlab.lab.models import efficientnet_weights
from quantlab.nn.network import INPUT, Network, Node

__all__ = ["efficientnet_network"]

STRIDE_2 = ("_conv_stem", *(f"_blocks.{i}._depthwise_conv" for i in (1, 3, 5, 11)))  # all others have stride 1
# Blocks that repeat the one before them; the others change the number of channels or the size of the image.
SHORTCUTS = tuple(f"_blocks.{i}" for i in (2, 4, 6, 7, 9, 10, 12, 13, 14))
EPS = 1e-3


def efficientnet_network() -> Network:
    """Return EfficientNet-Lite0 with its batch norms, ready for `quantlab.ptq`.

    Nodes are called as in the weight file: ``_conv_stem``, ``_bn0``, ``_blocks.1._expand_conv``, ...; a block's
    shortcut is ``_blocks.2``, the pool ``_avg_pooling``, the classifier ``_fc``. ReLU6 follows every batch norm but the
    last of a block. Inputs come from `quantlab.lab.models.efficientnet_input`; outputs are the 1000 logits.

    Example
    -------
    >>> network = efficientnet_network()
    >>> len(network.nodes), sum(node.op == "conv" for node in network.nodes), network["_blocks.2"].inputs
    (109, 49, ('_blocks.1._bn2', '_blocks.2._bn2'))
    """
    weights = efficientnet_weights()
    nodes: list[Node] = []
    last = block_input = INPUT
    for name in (key.removesuffix(".weight") for key in weights if key.endswith(".weight")):  # in order of execution
        block, _, layer = name.rpartition(".")
        if layer == "_fc":
            nodes.append(Node("_avg_pooling", "mean", (last,)))
            nodes.append(Node(name, "linear", ("_avg_pooling",), _params(weights, name, W="weight", b="bias")))
        elif layer.startswith("_bn"):
            fields = {"gamma": "weight", "beta": "bias", "mean": "running_mean", "variance": "running_var"}
            relu6 = None if layer == "_bn2" else "relu6"
            nodes.append(Node(name, "batch_norm", (last,), _params(weights, name, **fields), {"eps": EPS}, relu6))
        else:
            nodes.append(_conv(weights, name, last))
        last = name
        if layer == "_bn2":  # the end of a block
            if block in SHORTCUTS:
                nodes.append(Node(block, "add", (block_input, name)))
                last = block
            block_input = last
    return Network(nodes)


def _conv(weights: Mapping[str, np.ndarray], name: str, source: str) -> Node:
    W = np.ascontiguousarray(weights[f"{name}.weight"].transpose(0, 2, 3, 1))
    options = {
        "stride": (2, 2) if name in STRIDE_2 else (1, 1),
        "padding": "same",
        "groups": len(W) if name.endswith("_depthwise_conv") else 1,
    }
    return Node(name, "conv", (source,), {"W": W, "b": np.zeros(len(W), np.float32)}, options)


def _params(weights: Mapping[str, np.ndarray], name: str, **fields: str) -> dict[str, np.ndarray]:
    return {ours: weights[f"{name}.{theirs}"] for ours, theirs in fields.items()}
