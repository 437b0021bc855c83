"""A network as a list of named nodes: what post-training quantization reads, rewrites and runs.

Training wants layers that remember (`quantlab.nn.layers`); quantization wants to look at the whole graph: which batch
norm follows which convolution, who else reads a tensor, what the range of every activation is. So here a network is
data, a tuple of `Node`, and a rewritten network is a new tuple.

Activations are (samples, height, width, channels), or (samples, features) after "mean" and "flatten".

=============== ======================================= ==========================================================
op              params                                  options
=============== ======================================= ==========================================================
"conv"          W (out, kh, kw, in / groups), b (out,)  stride (1, 1), padding "same", groups 1
"linear"        W (out, in), b (out,)
"batch_norm"    gamma, beta, mean, variance (channels,) eps 1e-3
"add"
"mean"                                                  over height and width
"max_pool"                                              size, stride (= size), padding "valid"
"average_pool"                                          size, stride (= size), padding "valid"
"flatten"
=============== ======================================= ==========================================================

A depthwise convolution has as many groups as input channels, so its W is (out, kh, kw, 1).
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from quantlab.nn.conv import average_pool2d, conv2d, max_pool2d

__all__ = ["ACTIVATIONS", "INPUT", "Network", "Node", "activate", "apply_node", "apply_operation"]

INPUT = "input"  # the name under which nodes read the network's own input

# op -> names of its parameters, and its options with what they are when left out (... for those that must be given)
OPS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "conv": (("W", "b"), {"stride": (1, 1), "padding": "same", "groups": 1}),
    "linear": (("W", "b"), {}),
    "batch_norm": (("gamma", "beta", "mean", "variance"), {"eps": 1e-3}),
    "add": ((), {}),
    "mean": ((), {}),
    "max_pool": ((), {"size": ..., "stride": None, "padding": "valid"}),
    "average_pool": ((), {"size": ..., "stride": None, "padding": "valid"}),
    "flatten": ((), {}),
}
W_AXES = {"conv": 4, "linear": 2}

ACTIVATIONS: dict[str | None, Callable[..., np.ndarray]] = {
    None: lambda x: x,
    "relu": lambda x: np.maximum(x, np.float32(0)),
    "relu6": lambda x: np.clip(x, np.float32(0), np.float32(6)),
    "clip": lambda x, limit: np.clip(x, np.float32(0), limit),
}


@dataclass(frozen=True, eq=False)
class Node:
    """One operator of a network.

    Attributes
    ----------
    name : str
        Of the node and of its output.
    op : str
        A row of the table at the head of this module.
    inputs : tuple of str
        Names of earlier nodes, or ``"input"``: two for "add", otherwise one.
    params : dict of str to ndarray of float32
        Those in the table; with the activation "clip" also ``limit`` (out,).
    options : dict
        Those that are left out take the value in the table.
    activation : {None, "relu", "relu6", "clip"}
        Applied to the output. "clip" goes from 0 to ``limit``, which every channel has its own of: what a ReLU6 becomes
        when its channels are scaled (`quantlab.ptq.equalize`).

    Raises
    ------
    ValueError
        If the operator or the activation is unknown, or inputs, params, their shapes or options are not those of the
        operator.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    params: Mapping[str, np.ndarray] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    activation: str | None = None

    def __post_init__(self):
        if self.op not in OPS:
            raise ValueError(f"node {self.name!r}: op={self.op!r}; expected one of {', '.join(OPS)}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"node {self.name!r}: activation={self.activation!r}; expected None, 'relu', 'relu6' or 'clip'"
            )
        params, options = OPS[self.op]
        params = (*params, "limit") if self.activation == "clip" else params
        n_inputs = 2 if self.op == "add" else 1
        if len(self.inputs) != n_inputs:
            raise ValueError(f"node {self.name!r}: inputs={self.inputs}; {self.op!r} has {n_inputs}")
        if set(self.params) != set(params):
            raise ValueError(f"node {self.name!r}: params {sorted(self.params)}; {self.op!r} has {sorted(params)}")
        _check_shapes(self)
        if unknown := set(self.options) - set(options):
            raise ValueError(f"node {self.name!r}: options {sorted(unknown)}; {self.op!r} has {sorted(options)}")
        filled = {**options, **self.options}
        if missing := [name for name, value in filled.items() if value is ...]:
            raise ValueError(f"node {self.name!r}: {self.op!r} needs options {missing}")
        object.__setattr__(self, "options", filled)


def _check_shapes(node: Node) -> None:
    """Raise ValueError unless W has the axes of its operator, and all other params have one value an output."""
    shapes = {name: np.shape(value) for name, value in node.params.items()}
    n_axes = {name: W_AXES[node.op] if name == "W" else 1 for name in shapes}
    if any(len(shapes[name]) != n_axes[name] for name in shapes) or len({shape[:1] for shape in shapes.values()}) > 1:
        raise ValueError(f"node {node.name!r}: params of shapes {shapes}; expected those of the table at the head")


@dataclass(frozen=True, eq=False)
class Network:
    """Nodes in the order in which they are computed; the last one is the output.

    Raises
    ------
    ValueError
        If there is no node, a name is used twice, or a node reads what is not computed before it.

    Examples
    --------
    >>> W, b = np.array([[1.0, -2.0]], np.float32), np.zeros(1, np.float32)
    >>> network = Network([Node("fc", "linear", ("input",), {"W": W, "b": b}, activation="relu")])
    >>> network.forward(np.array([[3.0, 1.0], [1.0, 3.0]], np.float32))
    array([[1.],
           [0.]], dtype=float32)
    """

    nodes: tuple[Node, ...]

    def __post_init__(self):
        object.__setattr__(self, "nodes", tuple(self.nodes))
        if not self.nodes:
            raise ValueError("nodes is empty; expected at least one node, which is the output")
        known = {INPUT}
        for node in self.nodes:
            if node.name in known:
                raise ValueError(f"node {node.name!r}: the name is taken; give every node its own")
            if missing := [name for name in node.inputs if name not in known]:
                raise ValueError(
                    f"node {node.name!r} reads {missing}; expected {INPUT!r} or nodes that stand before it"
                )
            known.add(node.name)

    def __getitem__(self, name: str) -> Node:
        """Return the node of this name."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(f"there is no node {name!r}; choose from {', '.join(node.name for node in self.nodes)}")

    def consumers(self, name: str) -> tuple[Node, ...]:
        """Return the nodes that read the output of ``name``."""
        return tuple(node for node in self.nodes if name in node.inputs)

    def with_params(self, changes: Mapping[str, Mapping[str, np.ndarray]]) -> "Network":
        """Return a network in which the nodes named in ``changes`` have some params replaced.

        Raises
        ------
        KeyError
            If there is no such node.
        ValueError
            If a node has no such param.
        """
        for name in changes:
            self[name]
        return Network(
            [replace(node, params={**node.params, **changes.get(node.name, {})}) for node in self.nodes],
        )

    def forward(
        self,
        x: np.ndarray,
        *,
        hook: Callable[[str, np.ndarray], np.ndarray] | None = None,
        apply: Callable[..., np.ndarray] | None = None,
    ) -> np.ndarray:
        """Return the network's output for float32 inputs; for float64 ones, in float64.

        Parameters
        ----------
        x : ndarray of float32, shape (samples, ...)
        hook : callable, optional
            ``hook(name, value)`` is called with the network's input under the name ``"input"``, then with the output of
            every node, after its activation. What it returns goes on in place of the value: return the value itself to
            look at it (calibration), or a fake-quantized one (simulation).
        apply : callable, optional
            ``apply(node, *inputs)`` computes a node in place of `apply_node`: on integers, for one.

        Returns
        -------
        ndarray
        """
        hook, apply = hook or (lambda name, value: value), apply or apply_node
        last_reader = {name: i for i, node in enumerate(self.nodes) for name in node.inputs}
        values = {INPUT: hook(INPUT, x)}
        for i, node in enumerate(self.nodes):
            values[node.name] = hook(node.name, apply(node, *(values[name] for name in node.inputs)))
            for name in set(node.inputs):  # an activation that nobody reads any more is let go
                if last_reader[name] == i:
                    del values[name]
        return values[self.nodes[-1].name]

    def activations(self, x: np.ndarray, *, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Return the outputs of the named nodes (and ``"input"``, if named) for float32 inputs.

        Raises
        ------
        KeyError
            If there is no node of a name.

        Examples
        --------
        >>> network = Network([Node("twice", "add", ("input", "input")), Node("cut", "flatten", ("twice",))])
        >>> network.activations(np.float32([[3.0]]), names=["twice"])
        {'twice': array([[6.]], dtype=float32)}
        """
        wanted, found = list(names), {}
        for name in wanted:
            if name != INPUT:
                self[name]

        def keep(name: str, value: np.ndarray) -> np.ndarray:
            if name in wanted:
                found[name] = value
            return value

        self.forward(x, hook=keep)
        return {name: found[name] for name in wanted}


def apply_node(node: Node, *inputs: np.ndarray) -> np.ndarray:
    """Return the float32 output of one node for its inputs, activation included."""
    return activate(node, apply_operation(node, *inputs))


def apply_operation(node: Node, *inputs: np.ndarray) -> np.ndarray:
    """Return the float32 output of one node before its activation."""
    return _OPERATIONS[node.op](node, *inputs)


def activate(node: Node, y: np.ndarray) -> np.ndarray:
    """Return the activation of a node for what `apply_operation` returned.

    Examples
    --------
    >>> node = Node("cut", "flatten", ("input",), {"limit": np.float32([4.0, 0.5])}, activation="clip")
    >>> activate(node, np.float32([[-1.0, 2.0]]))
    array([[0. , 0.5]], dtype=float32)
    """
    limit = (node.params["limit"],) if node.activation == "clip" else ()
    return ACTIVATIONS[node.activation](y, *limit)


def _conv(node: Node, x: np.ndarray) -> np.ndarray:
    return conv2d(x, node.params["W"], node.params["b"], **node.options)


def _linear(node: Node, x: np.ndarray) -> np.ndarray:
    return x @ node.params["W"].T + node.params["b"]


def _batch_norm(node: Node, x: np.ndarray) -> np.ndarray:
    p = node.params
    factor = p["gamma"] / np.sqrt(p["variance"] + np.float32(node.options["eps"]))
    return (x - p["mean"]) * factor + p["beta"]


def _pool(pool: Callable[..., np.ndarray]) -> Callable[[Node, np.ndarray], np.ndarray]:
    def apply(node: Node, x: np.ndarray) -> np.ndarray:
        size, stride = node.options["size"], node.options["stride"]
        return pool(x, size=size, stride=stride or size, padding=node.options["padding"])

    return apply


_OPERATIONS: dict[str, Callable[..., np.ndarray]] = {
    "conv": _conv,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "add": lambda node, a, b: a + b,
    "mean": lambda node, x: x.mean(axis=(1, 2)),
    "max_pool": _pool(max_pool2d),
    "average_pool": _pool(average_pool2d),
    "flatten": lambda node, x: x.reshape(len(x), math.prod(x.shape[1:])),
}
