"""A torch module of one's own as a `quantlab.nn.network.Network`: to fold, calibrate, quantize, and allocate bits.

`quantlab.lab.network_torch` is the way back. Two things change on the way: images are (samples, height, width,
channels) here, so a linear layer behind a flattened image gets its weights in another order; and a ReLU belongs to the
node before it.
"""

import operator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import fx, nn
from torch.ao import quantization as tq
from torch.fx.passes.shape_prop import ShapeProp

from quantlab.core.windows import place_windows
from quantlab.nn.network import INPUT, Network, Node

__all__ = ["network_from_torch"]

SAME = (nn.Identity, nn.Dropout, tq.QuantStub, tq.DeQuantStub)
RELUS = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    torch.relu: "relu",
    nn.functional.relu: "relu",
    nn.functional.relu6: "relu6",
    "relu": "relu",
}
ADDS = (operator.add, operator.iadd, torch.add, "add", "add_")
ON_IMAGES = ("conv", "batch_norm", "max_pool", "average_pool", "mean")
FLATTENS = (torch.flatten, "flatten")


def network_from_torch(module: nn.Module, x: torch.Tensor) -> Network:
    """Return the network that computes what a torch module does in evaluation mode.

    Parameters
    ----------
    module : torch.nn.Module
        Of Linear, Conv2d, BatchNorm2d, ReLU, ReLU6, sums, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d(1), Flatten, and what
        does nothing in evaluation mode: Dropout, Identity, the stubs of lesson 12. `torch.fx` must be able to trace it.
    x : torch.Tensor of float32
        One or more inputs, for the shapes: (samples, channels, height, width) or (samples, features).

    Returns
    -------
    Network
        Takes images as (samples, height, width, channels). Nodes are called after the modules. Batch norms are nodes;
        `quantlab.ptq.fold.fold` folds them.

    Raises
    ------
    ValueError
        If the module is in training mode, or holds a layer, an option or a call that a network does not have.

    Example
    -------
    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)).eval()
    >>> x = torch.rand(5, 1, 8, 8)
    >>> network = network_from_torch(net, x)
    >>> [(node.name, node.op, node.activation) for node in network.nodes]
    [('0', 'conv', 'relu'), ('2', 'flatten', None), ('3', 'linear', None)]
    >>> with torch.no_grad():
    ...     np.abs(network.forward(x.permute(0, 2, 3, 1).numpy()) - net(x).numpy()).max() < 1e-6
    np.True_
    """
    if module.training:
        raise ValueError("module is in training mode; call module.eval() first")
    graph = fx.symbolic_trace(module)
    inputs = [node.name for node in graph.graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        raise ValueError(f"the module takes {len(inputs)} inputs, {', '.join(inputs)}; a network takes one")
    with torch.no_grad():
        ShapeProp(graph).propagate(x[:1])
    return _Reader(graph).network()


class _Reader:
    """The nodes so far, and for each node of the graph, the node of the network that holds its value."""

    def __init__(self, graph: fx.GraphModule):
        self.graph, self.nodes, self.names = graph, {}, {}
        self.flat: dict[str, tuple[int, ...]] = {}  # flattened images: their (channels, height, width)
        self.means: set[str] = set()  # images of one pixel in torch, (samples, channels) here

    def network(self) -> Network:
        for node in self.graph.graph.nodes:
            if node.op == "placeholder":
                self.names[node] = INPUT
            elif node.op == "output":
                return self._finished(node.args[0])
            elif node.op == "call_module":
                self._module(node, self.graph.get_submodule(node.target))
            else:
                self._call(node)
        raise AssertionError("a graph ends with its output")

    def _finished(self, node: Any) -> Network:
        if not isinstance(node, fx.Node):
            raise ValueError(f"the module returns {node}; a network returns one tensor")
        name, nodes = self.names[node], list(self.nodes.values())
        if not nodes or nodes[-1].name != name:
            raise ValueError(f"the module returns {name!r}, which is not what it computes last")
        if name in self.flat:
            raise ValueError(
                f"the module returns the flattened image {name!r}, whose order is another here; stop before"
            )
        return Network(nodes)

    def _module(self, node: fx.Node, layer: nn.Module) -> None:
        if isinstance(layer, SAME):
            self._same(node)
        elif type(layer) in RELUS:
            self._relu(node, RELUS[type(layer)])
        elif isinstance(layer, nn.Flatten):
            self._flatten(node, layer.start_dim, layer.end_dim)
        elif isinstance(layer, nn.Linear):
            self._add(node, "linear", {"W": self._columns(node, layer), "b": _bias(layer)}, flat=())
        elif isinstance(layer, nn.Conv2d):
            _expect(node, padding_with_zeros=layer.padding_mode == "zeros", dilation_1=set(layer.dilation) == {1})
            W = _array(layer.weight).transpose(0, 2, 3, 1)
            options = {"stride": _pair(layer.stride), "groups": layer.groups}
            options["padding"] = self._padding(node, layer.padding, _pair(layer.kernel_size), options["stride"])
            self._add(node, "conv", {"W": np.ascontiguousarray(W), "b": _bias(layer)}, options)
        elif isinstance(layer, nn.BatchNorm2d):
            _expect(node, running_statistics=layer.running_mean is not None)
            ones, zeros = np.ones(layer.num_features, np.float32), np.zeros(layer.num_features, np.float32)
            params = {
                "gamma": _array(layer.weight) if layer.affine else ones,
                "beta": _array(layer.bias) if layer.affine else zeros,
                "mean": _array(layer.running_mean),
                "variance": _array(layer.running_var),
            }
            self._add(node, "batch_norm", params, {"eps": layer.eps})
        elif isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
            self._pool(node, layer)
        elif isinstance(layer, nn.AdaptiveAvgPool2d) and layer.output_size in (1, (1, 1)):
            self._add(node, "mean")
        else:
            raise ValueError(f"module {node.target!r} is {layer}; a network has no such layer")

    def _call(self, node: fx.Node) -> None:
        """Functions and methods."""
        target, args = node.target, node.args[1:]
        if target in ADDS and len(node.args) == 2 and all(isinstance(a, fx.Node) for a in node.args):
            self._add(node, "add")
        elif target in RELUS:
            self._relu(node, RELUS[target])
        elif target in FLATTENS:
            start = args[0] if args else node.kwargs.get("start_dim", 0)
            self._flatten(node, start, args[1] if len(args) > 1 else node.kwargs.get("end_dim", -1))
        elif target == "mean" and _axes(args[0] if args else node.kwargs.get("dim")) == {2, 3}:
            self._add(node, "mean")
        else:
            raise ValueError(
                f"{node.name!r} calls {getattr(target, '__name__', target)}{node.args}; a network has sums, ReLU, "
                "flatten(1) and the mean over an image"
            )

    def _pool(self, node: fx.Node, layer: nn.Module) -> None:
        op = "max_pool" if isinstance(layer, nn.MaxPool2d) else "average_pool"
        _expect(node, sizes_rounded_down=not layer.ceil_mode, dilation_1=_pair(getattr(layer, "dilation", 1)) == (1, 1))
        counted = getattr(layer, "count_include_pad", False) and _pair(layer.padding) != (0, 0)
        _expect(
            node, padding_not_counted=not counted, no_divisor_override=getattr(layer, "divisor_override", None) is None
        )
        size, stride = _pair(layer.kernel_size), _pair(layer.stride)
        padding = self._padding(node, layer.padding, size, stride)
        self._add(node, op, options={"size": size, "stride": stride, "padding": padding})

    def _padding(self, node: fx.Node, padding: Any, kernel: tuple[int, int], stride: tuple[int, int]) -> Any:
        """Return padding as "valid", "same" where that is the same for images of every size, or in numbers."""
        if isinstance(padding, str):
            return padding
        pads = tuple((p, p) for p in _pair(padding))
        same = place_windows(_shape(node.args[0])[2:], kernel=kernel, stride=stride, padding="same").pads
        if not any(_pair(padding)):
            return "valid"
        return "same" if stride == (1, 1) and pads == same else pads

    def _flatten(self, node: fx.Node, start: int, end: int) -> None:
        shape = _shape(node.args[0])
        _expect(node, from_axis_1_to_the_last=start == 1 and end in (-1, len(shape) - 1))
        self._add(node, "flatten", flat=shape[1:] if np.prod(shape[2:]) > 1 else None)

    def _columns(self, node: fx.Node, layer: nn.Linear) -> np.ndarray:
        """Return the weights, their columns ordered as the flattened image is here: height, width, channels."""
        W, shape = _array(layer.weight), self.flat.get(self.names[node.args[0]])
        _expect(node, rows_of_features=len(_shape(node.args[0])) == 2)
        return W if shape is None else W.reshape(-1, *shape).transpose(0, 2, 3, 1).reshape(W.shape)

    def _relu(self, node: fx.Node, activation: str) -> None:
        """Give the activation to the node before; to a pool of one pixel, if others read that without it."""
        (before,) = node.all_input_nodes
        name = self.names[before]
        if name == INPUT or self.nodes[name].activation or len(before.users) > 1:
            _expect(node, a_batch_of_images=len(_shape(node)) == 4)
            self._add(node, "max_pool", options={"size": (1, 1)})
            name = self.names[node]
        self.nodes[name] = replace(self.nodes[name], activation=activation)
        self.names[node] = name

    def _same(self, node: fx.Node) -> None:
        self.names[node] = self.names[node.all_input_nodes[0]]

    def _add(self, node: fx.Node, op: str, params=None, options=None, *, flat: tuple[int, ...] | None = None) -> None:
        inputs = tuple(self.names[source] for source in node.all_input_nodes)
        inputs = inputs * 2 if op == "add" and len(inputs) == 1 else inputs
        if op in ON_IMAGES:
            _expect(node, a_batch_of_images=len(_shape(node.args[0])) == 4 and inputs[0] not in self.means)
        elif op == "add":
            _expect(node, two_tensors_of_one_shape=len({_shape(source) for source in node.all_input_nodes}) == 1)
        name = str(node.target) if node.op == "call_module" else node.name
        name = node.name if name in self.nodes or name == INPUT else name
        self.nodes[name] = Node(name, op, inputs, params or {}, options or {})
        self.names[node] = name
        if op == "mean":
            self.means.add(name)
        if flat is None:
            flat = self.flat.get(inputs[0])
        if flat:
            self.flat[name] = flat


def _expect(node: fx.Node, **conditions: bool) -> None:
    for what, holds in conditions.items():
        if not holds:
            what = what.replace("_", " ")
            raise ValueError(f"{node.name!r} ({node.target}): expected {what}; a network has nothing else")


def _axes(dim: Any) -> set[int]:
    """Return the axes of an image that ``dim`` names."""
    return {axis % 4 for axis in dim} if isinstance(dim, tuple | list) else set()


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["tensor_meta"].shape)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().numpy().astype(np.float32)


def _bias(layer: nn.Module) -> np.ndarray:
    return np.zeros(len(layer.weight), np.float32) if layer.bias is None else _array(layer.bias)
