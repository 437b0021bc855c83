"""Gradients of the loss by the weights of a network as it will be quantized: batch norms folded, nothing in training.

`quantlab.nn.layers` trains, and in training a batch norm divides by the spread of its batch. Quantization changes the
folded weights of the network that is used, so the slope and the curvature that matter are taken there.
"""

from collections.abc import Callable

import numpy as np

from quantlab.nn.conv_layer import Conv2D
from quantlab.nn.layers import Layer, Linear, softmax_cross_entropy
from quantlab.nn.network import INPUT, Network, Node, activate
from quantlab.nn.pool_layers import Flatten, GlobalAveragePool, MaxPool2D

__all__ = ["draw_labels", "loss_gradients", "weight_layers"]


def weight_layers(network: Network) -> list[str]:
    """Return the names of the nodes with weights, in order.

    Examples
    --------
    >>> W, b = np.ones((1, 2), np.float32), np.zeros(1, np.float32)
    >>> weight_layers(Network([Node("flat", "flatten", ("input",)), Node("fc", "linear", ("flat",), {"W": W, "b": b})]))
    ['fc']
    """
    return [node.name for node in network.nodes if "W" in node.params]


def loss_gradients(network: Network, x: np.ndarray, labels: np.ndarray) -> tuple[float, dict[str, np.ndarray]]:
    r"""Return the mean cross entropy of a network's logits and its gradient by every W.

    .. math:: L = -\frac1N \sum_n \log \mathrm{softmax}(f(x_n))_{y_n},
              \qquad g_\ell = \frac{\partial L}{\partial W_\ell}

    Parameters
    ----------
    network : Network
        With batch norms folded; its output are logits (samples, classes).
    x : ndarray of float, shape (samples, ...)
        In float64 everything is computed in float64: differences of gradients need it.
    labels : ndarray of int, shape (samples,)

    Returns
    -------
    loss : float
        In nats.
    gradients : dict of str to ndarray
        Under the names of `weight_layers`, in the shapes of W. At the kink of a ReLU the gradient is 0, as in torch; of
        equal values a max pool takes the first.

    Raises
    ------
    ValueError
        If there is a batch norm, which `quantlab.ptq.fold` takes away, or another operator without a gradient here; or
        as `quantlab.nn.layers.softmax_cross_entropy`.

    Examples
    --------
    >>> params = {"W": np.zeros((2, 1), np.float32), "b": np.zeros(2, np.float32)}
    >>> network = Network([Node("fc", "linear", ("input",), params)])
    >>> loss, gradients = loss_gradients(network, np.array([[3.0]]), np.array([1]))
    >>> round(loss, 4), gradients["fc"].ravel()
    (0.6931, array([ 1.5, -1.5]))
    """
    layers: dict[str, Layer] = {node.name: _layer(node) for node in network.nodes if node.op != "add"}
    values: dict[str, np.ndarray] = {}

    def compute(node: Node, *inputs: np.ndarray) -> np.ndarray:
        y = inputs[0] + inputs[1] if node.op == "add" else layers[node.name].forward(inputs[0], training=True)
        values[node.name] = activate(node, y)
        return values[node.name]

    loss, d_logits = softmax_cross_entropy(network.forward(x, apply=compute), labels)
    by_output: dict[str, np.ndarray] = {network.nodes[-1].name: d_logits}
    for node in reversed(network.nodes):
        if node.name not in by_output:  # its output reaches no logit
            continue
        d = by_output.pop(node.name) * _slope(node, values.pop(node.name))
        d = d if node.op == "add" else layers[node.name].backward(d)
        for name in node.inputs:
            if name != INPUT:
                by_output[name] = by_output[name] + d if name in by_output else d
    return loss, {
        name: layers[name].grads.get("W", np.zeros_like(network[name].params["W"])) for name in weight_layers(network)
    }


def draw_labels(logits: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Return one class for every row, drawn with the probabilities ``softmax(logits)``.

    Gradients with such labels give the Fisher information of the network, for which nobody has to label anything.

    Examples
    --------
    >>> draw_labels(np.array([[0.0, 50.0], [50.0, 0.0]]), rng=np.random.default_rng(0))
    array([1, 0])
    """
    noise = rng.gumbel(size=logits.shape)  # the argmax of logits + Gumbel noise has the distribution softmax(logits)
    return (logits + noise).argmax(axis=1)


def _with_params(layer: Layer, node: Node) -> Layer:
    layer.params = dict(node.params)
    return layer


def _conv(node: Node) -> Layer:
    stride, padding, groups = (node.options[name] for name in ("stride", "padding", "groups"))
    small = Conv2D(  # its own weights are replaced at once
        groups, groups, kernel=(1, 1), stride=stride, padding=padding, groups=groups, rng=np.random.default_rng(0)
    )
    return _with_params(small, node)


def _max_pool(node: Node) -> Layer:
    return MaxPool2D(node.options["size"], stride=node.options["stride"], padding=node.options["padding"])


_LAYERS: dict[str, Callable[[Node], Layer]] = {
    "conv": _conv,
    "linear": lambda node: _with_params(Linear(1, 1, rng=np.random.default_rng(0)), node),
    "max_pool": _max_pool,
    "mean": lambda node: GlobalAveragePool(),
    "flatten": lambda node: Flatten(),
}


def _layer(node: Node) -> Layer:
    """Return the layer of `quantlab.nn` that computes a node and its gradient."""
    if node.op not in _LAYERS:
        way_out = "fold it with quantlab.ptq.fold" if node.op == "batch_norm" else f"expected {', '.join(_LAYERS)}, add"
        raise ValueError(f"node {node.name!r} is a {node.op!r}, which has no gradient here; {way_out}")
    return _LAYERS[node.op](node)


def _slope(node: Node, y: np.ndarray) -> np.ndarray | float:
    """Return the derivative of a node's activation, from its output."""
    match node.activation:
        case None:
            return 1.0
        case "relu":
            return y > 0
        case "relu6":
            return (y > 0) & (y < 6)
        case "clip":
            return (y > 0) & (y < node.params["limit"])
