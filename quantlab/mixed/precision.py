"""From a network to tables of costs, and from an allocation back to a network: 4, 8, 16 and 32 bits a weight."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from quantlab.core.affine import fake_quantize
from quantlab.mixed.gradients import weight_layers
from quantlab.nn.network import Network
from quantlab.ptq.quantize import weight_qparams

__all__ = ["BITS", "measured_costs", "mixed_network", "store_weights", "stored_bytes", "weight_sizes"]

BITS = (4, 8, 16, 32)
"""int4 and int8 (symmetric, a scale an output channel), float16, float32: what kernels exist for."""


def store_weights(W: np.ndarray, *, n_bits: int) -> np.ndarray:
    """Return weights, (out, ...), as they are after storage in ``n_bits`` bits each: float32 again.

    32 returns them unchanged; 16 rounds to float16, ties to even; 8 and 4 round to symmetric integers with a scale an
    output channel, as `quantlab.ptq.quantize.weight_qparams`.

    Raises
    ------
    ValueError
        For other numbers of bits, for weights beyond float16's largest number, 65504, and at 8 and 4 bits for NaN
        and infinities. At 16 and 32 bits NaN stays NaN.

    Examples
    --------
    >>> W = np.array([[0.7, -0.33]], np.float32)
    >>> store_weights(W, n_bits=4), store_weights(W, n_bits=16)
    (array([[ 0.7, -0.3]], dtype=float32), array([[ 0.7001953 , -0.33007812]], dtype=float32))
    """
    check_bits([n_bits])
    W = np.asarray(W, np.float32)
    if n_bits == 32:
        return W
    if n_bits == 16:
        if (np.abs(W) > np.finfo(np.float16).max).any():
            raise ValueError(f"max|W|={np.abs(W).max():g} is beyond float16, which ends at 65504; keep 32 bits")
        return W.astype(np.float16).astype(np.float32)
    return fake_quantize(W, weight_qparams(W, n_bits=n_bits, per_channel=True))


def stored_bytes(W: np.ndarray, *, n_bits: int) -> int:
    """Return the bytes of weights, (out, ...), at ``n_bits`` bits each, packed.

    8 and 4 bits come with a float32 scale for every output channel.

    Raises
    ------
    ValueError
        For other numbers of bits than those of `BITS`, and for weights without an axis of outputs.

    Examples
    --------
    >>> [stored_bytes(np.ones((2, 9), np.float32), n_bits=n) for n in BITS]
    [17, 26, 36, 72]
    """
    check_bits([n_bits])
    if not np.ndim(W):
        raise ValueError("W is a single number; expected weights (out, ...)")
    return (np.size(W) * n_bits + 7) // 8 + (4 * len(W) if n_bits <= 8 else 0)


def mixed_network(network: Network, bits: Mapping[str, int]) -> Network:
    """Return the network with each layer's weights rounded to its number of bits; biases stay float32.

    Parameters
    ----------
    network : Network
    bits : dict of str to int
        Of every layer with weights, and of no other.

    Raises
    ------
    ValueError
        If a layer is missing or has no weights, or no kernel has the number of bits.

    Examples
    --------
    >>> from quantlab.nn.network import Node
    >>> W = np.array([[0.7, -0.33]], np.float32)
    >>> network = Network([Node("fc", "linear", ("input",), {"W": W, "b": np.zeros(1, np.float32)})])
    >>> mixed_network(network, {"fc": 4}).forward(np.ones((1, 2), np.float32)).round(3)
    array([[0.4]], dtype=float32)
    """
    layers = weight_layers(network)
    check_names(network, bits)
    missing = [name for name in layers if name not in bits]
    if missing:
        raise ValueError(f"bits says nothing of {', '.join(missing)}; give every layer with weights its bits")
    return network.with_params(
        {name: {"W": store_weights(network[name].params["W"], n_bits=bits[name])} for name in layers}
    )


def weight_sizes(network: Network, *, layers: Iterable[str] | None = None, bits: Sequence[int] = BITS) -> np.ndarray:
    """Return the bytes of each layer's weights at each number of bits, as `stored_bytes` counts them.

    Biases are left out: they cost the same everywhere.

    Parameters
    ----------
    network : Network
    layers : iterable of str, optional
        By default all with weights.
    bits : sequence of int
        Columns of the table.

    Returns
    -------
    ndarray of int64, shape (layers, bits)

    Raises
    ------
    ValueError
        If a layer is not in the network or has no weights, or no kernel has the number of bits.

    Examples
    --------
    >>> from quantlab.nn.network import Node
    >>> fc = Node("fc", "linear", ("input",), {"W": np.ones((2, 8), np.float32), "b": np.zeros(2, np.float32)})
    >>> weight_sizes(Network([fc]))
    array([[16, 24, 32, 64]])
    >>> weight_sizes(Network([fc, Node("flat", "flatten", ("fc",))]), layers=["flat"])
    Traceback (most recent call last):
    ...
    ValueError: layer 'flat' ('flatten') has no weights; the layers with weights are fc
    """
    layers = weight_layers(network) if layers is None else tuple(layers)
    check_names(network, layers)
    rows = [[stored_bytes(network[name].params["W"], n_bits=n) for n in bits] for name in layers]
    return np.array(rows, np.int64).reshape(len(layers), len(bits))


def measured_costs(
    table: Mapping[str, Mapping[int, float]], *, layers: Iterable[str], bits: Sequence[int] = BITS
) -> np.ndarray:
    """Return measured times as a table of costs.

    Parameters
    ----------
    table : dict of str to dict of int to float
        For each layer, for each number of bits, the time of its kernel on the machine that will run it.
    layers : iterable of str
        Rows, in this order.
    bits : sequence of int
        Columns.

    Returns
    -------
    ndarray of float64, shape (layers, bits)

    Raises
    ------
    ValueError
        If a layer was not measured, or not at these bits: a time that nobody measured is not guessed.

    Examples
    --------
    >>> measured_costs({"fc": {8: 0.5, 32: 1.5}}, layers=["fc"], bits=(8, 32))
    array([[0.5, 1.5]])
    >>> measured_costs({"fc": {8: 0.5, 32: 1.5}}, layers=["fc"], bits=(4, 8))
    Traceback (most recent call last):
    ...
    ValueError: 'fc' was not measured at 4 bits, only at 8, 32; measure the kernel, or leave these bits out
    """
    rows = []
    for name in layers:
        if name not in table:
            raise ValueError(f"{name!r} was not measured; the table holds {', '.join(table) or 'nothing'}")
        for n in bits:
            if n not in table[name]:
                known = ", ".join(map(str, table[name])) or "none"
                raise ValueError(
                    f"{name!r} was not measured at {n} bits, only at {known}; measure the kernel, or leave these bits "
                    "out"
                )
        rows.append([float(table[name][n]) for n in bits])
    return np.array(rows, np.float64).reshape(len(rows), len(bits))


def check_bits(bits: Iterable[int]) -> None:
    """Raise ValueError unless every number of bits is one of `BITS`."""
    for n in bits:
        if n not in BITS:
            raise ValueError(f"no kernel has {n}-bit weights; choose from {', '.join(map(str, BITS))}")


def check_names(network: Network, names: Iterable[str]) -> None:
    """Raise ValueError unless every name is a layer with weights."""
    nodes = {node.name: node for node in network.nodes}
    known = ", ".join(weight_layers(network)) or "none"
    for name in names:
        if name not in nodes:
            raise ValueError(f"no layer is called {name!r}; the layers with weights are {known}")
        if "W" not in nodes[name].params:
            raise ValueError(f"layer {name!r} ({nodes[name].op!r}) has no weights; the layers with weights are {known}")
