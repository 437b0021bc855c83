"""A `quantlab.nn.network.Network` as a torch module, for tools that quantize torch modules."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from quantlab.core.windows import place_windows
from quantlab.nn.network import INPUT, Network, Node

if TYPE_CHECKING:
    from torch import nn

__all__ = ["network_module"]


def network_module(network: Network, *, shape: tuple[int, int, int]) -> "nn.Module":
    """Return a module that computes what ``network.forward`` does, in evaluation mode.

    Every node becomes a submodule under its name (dots and leading underscores changed: ``_blocks.3`` is ``blocks_3``),
    its activation a submodule beside it, so that torch's quantizers find ``Conv2d``, ``Linear``, ``ReLU6`` and sums.
    Padding of TensorFlow's kind becomes a ``ZeroPad2d`` where both ends differ.

    Parameters
    ----------
    network : Network
        Of the operators conv, linear, add, mean and max_pool; fold batch norms before.
    shape : (int, int, int)
        Height, width and channels of an image, from which the padding follows.

    Returns
    -------
    torch.nn.Module
        Takes float32 (n, height, width, channels). Inside, tensors are (n, channels, height, width), in memory as they
        came ("channels last"), which is the order that int8 convolutions want. `torch.fx` can trace it.

    Raises
    ------
    ValueError
        If the network holds another operator, or the activation "clip".

    Example
    -------
    >>> import torch
    >>> W, b = np.ones((4, 3, 3, 1), np.float32), np.zeros(4, np.float32)
    >>> conv = Node("conv", "conv", ("input",), {"W": W, "b": b}, activation="relu6")
    >>> network = Network([conv, Node("mean", "mean", ("conv",))])
    >>> network_module(network, shape=(8, 8, 1))(torch.ones(1, 8, 8, 1))[0, 0]  # 4 corners of 4, the others 6 at most
    tensor(5.8750)
    """
    import torch
    from torch import nn

    parts = {"relu": nn.ReLU, "relu6": nn.ReLU6}
    last = network.nodes[-1].name
    if unknown := [node.name for node in network.nodes if node.activation not in (None, *parts)]:
        raise ValueError(f"node {unknown[0]!r}: activation='clip' has no torch layer here; relu and relu6 have")
    names = {node.name: node.name.strip("_").replace(".", "_") for node in network.nodes}
    sizes = _sizes(network, shape)

    class Converted(nn.Module):
        def __init__(self):
            super().__init__()
            for node in network.nodes:
                if node.op != "add":
                    setattr(self, names[node.name], _layer(node, sizes[node.inputs[0]]))
                if node.activation:
                    setattr(self, f"{names[node.name]}_{node.activation}", parts[node.activation]())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            values = {INPUT: x.permute(0, 3, 1, 2)}
            for node in network.nodes:
                inputs = [values[name] for name in node.inputs]
                y = inputs[0] + inputs[1] if node.op == "add" else getattr(self, names[node.name])(*inputs)
                if node.activation:
                    y = getattr(self, f"{names[node.name]}_{node.activation}")(y)
                values[node.name] = y
            return values[last]

    return Converted().eval().requires_grad_(False)


def _sizes(network: Network, shape: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
    """Return height and width (or nothing, after the mean) of every tensor, by running the network on a zero image."""
    sizes = {}

    def note(name: str, value: np.ndarray) -> np.ndarray:
        sizes[name] = value.shape[1:-1]
        return value

    network.forward(np.zeros((1, *shape), np.float32), hook=note)
    return sizes


def _layer(node: Node, size: tuple[int, ...]) -> "nn.Module":
    """Return the torch layer of a node that reads an image of this size, its weights in place."""
    import torch
    from torch import nn

    if node.op == "mean":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if node.op == "max_pool":
        stride = node.options["stride"] or node.options["size"]
        kernel = {"kernel_size": node.options["size"], "stride": stride}
        return _padded(
            lambda padding: nn.MaxPool2d(**kernel, padding=padding), node, size, node.options["size"], stride
        )
    if node.op == "linear":
        weight = node.params["W"]
        layer = padded = nn.Linear(*reversed(weight.shape))
    elif node.op == "conv":
        weight = np.ascontiguousarray(node.params["W"].transpose(0, 3, 1, 2))
        n_out, n_in, *kernel = weight.shape
        groups, stride = node.options["groups"], node.options["stride"]
        padded = _padded(
            lambda padding: nn.Conv2d(n_in * groups, n_out, kernel, stride=stride, padding=padding, groups=groups),
            node,
            size,
            tuple(kernel),
            stride,
        )
        layer = padded[1] if isinstance(padded, nn.Sequential) else padded
    else:
        raise ValueError(
            f"node {node.name!r}: op={node.op!r} has no torch layer here, conv, linear, add, mean and max_pool "
            "have; fold batch norms first"
        )
    layer.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(node.params["b"])})
    return padded


def _padded(make: Callable[[tuple[int, int]], "nn.Module"], node: Node, size, kernel, stride) -> "nn.Module":
    """Return the layer with its padding, or behind a ``ZeroPad2d`` where the two ends of an axis differ."""
    from torch import nn

    (top, bottom), (left, right) = place_windows(
        size, kernel=kernel, stride=stride, padding=node.options["padding"]
    ).pads
    if (top, left) == (bottom, right):
        return make((top, left))
    if node.op == "max_pool":
        raise ValueError(
            f"node {node.name!r}: a max_pool that pads {top} before and {bottom} behind has no torch layer"
        )
    return nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), make((0, 0)))
