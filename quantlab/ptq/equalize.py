r"""Cross-layer equalization: move range from wide channels to narrow ones without changing what the network computes.

With one scale for a whole weight tensor, the widest channel sets the step, and a channel a hundred times narrower gets
two or three codes. But the width of a channel is arbitrary. For every positive s

.. math:: \mathrm{relu}(h / s) \cdot s = \mathrm{relu}(h), \qquad \min(h / s,\, 6 / s) \cdot s = \min(h, 6),

so an output channel may be divided by s if the next layer multiplies that input channel by s. A ReLU6 must be scaled
too: it becomes a clip with a limit of its own for every channel. (The paper puts a plain ReLU in place of ReLU6 before
it equalizes. This changes the network, and how much must be measured.)
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from quantlab.nn.network import Network, Node
from quantlab.ptq.fold import AFFINE, Statistics

__all__ = ["equalization_scales", "equalize", "equalize_layers", "reader", "rescale", "scale_statistics"]

SCALABLE = (None, "relu", "relu6", "clip")
PASSES = ("max_pool", "average_pool", "mean")  # dividing a channel before or after these is the same


def equalization_scales(*ranges: np.ndarray) -> list[np.ndarray]:
    r"""Return by what to divide each channel between layers so that all layers of a chain get the same range there.

    Channel i has the range :math:`r_i^{(k)} = \max |W_i^{(k)}|` in layer k. Dividing by :math:`s_k` behind layer k and
    multiplying by it in layer k + 1 keeps the product of the ranges, so what all can be equal to is the geometric mean:

    .. math:: s_k = s_{k-1} \frac{r^{(k)}}{t}, \qquad t = \Big( \prod_k r^{(k)} \Big)^{1/n}, \qquad s_0 = 1

    For two layers that is :math:`s = \sqrt{r^{(1)} / r^{(2)}}`, for a depthwise convolution between two others
    :math:`s_1 = r^{(1)} / t,\ s_2 = t / r^{(3)}`.

    Parameters
    ----------
    *ranges : ndarray of float, shape (channels,)
        One for each layer of the chain, two or more; 0 or more. A layer in which a channel is all zero is left out of
        that channel's mean: no scale can widen it. If all but one are zero, the scales are 1.

    Returns
    -------
    list of ndarray of float64, shape (channels,)
        One fewer than there are layers.

    Raises
    ------
    ValueError
        If there are fewer than two ranges, shapes differ, or a range is negative or not finite.

    References
    ----------
    M. Nagel, M. van Baalen, T. Blankevoort, M. Welling, "Data-Free Quantization Through Weight Equalization and Bias
    Correction", ICCV 2019, arXiv:1906.04721, section 4.1 (s_i = sqrt(r1 r2) / r2) and appendix A, for pairs.

    Examples
    --------
    >>> equalization_scales(np.array([8.0, 1.0, 0.0]), np.array([2.0, 4.0, 3.0]))
    [array([2. , 0.5, 1. ])]
    """
    r = np.array(_same_shapes(ranges), np.float64)
    if not np.isfinite(r).all() or (r < 0).any():
        raise ValueError(f"ranges reach from {r.min()} to {r.max()}; expected finite numbers, 0 or more")
    known = r > 0
    log_r = np.log(np.where(known, r, 1))
    log_t = log_r.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return list(np.exp(np.cumsum(np.where(known, log_r - log_t, 0), axis=0)[:-1]))


def equalize_layers(
    weights: list[np.ndarray], biases: list[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    r"""Return weights and biases of consecutive layers with equal ranges in each channel between them.

    .. math:: W^{(k)} \leftarrow S_k^{-1} W^{(k)} S_{k-1}, \qquad b^{(k)} \leftarrow S_k^{-1} b^{(k)}

    Parameters
    ----------
    weights : list of ndarray of float
        Two or more: (out, ..., in). Those between the first and the last are depthwise, (channels, kh, kw, 1).
    biases : list of ndarray of float, shape (out,)
        Of all layers but the last, whose bias does not change.

    Returns
    -------
    weights, biases : lists as given
    scales : list of ndarray of float64
        By what each layer's outputs were divided. A ReLU between needs no change, a ReLU6 must clip at 6 / s.

    Raises
    ------
    ValueError
        If the channels of one layer are not those of the next, there is not one bias fewer than weights, or a bias is
        not (out,).

    Examples
    --------
    >>> W1, W2 = np.float32([[8.0], [1.0]]), np.float32([[2.0, 4.0]])
    >>> (W1, W2), (b,), (s,) = equalize_layers([W1, W2], [np.float32([2.0, 1.0])])
    >>> W1.ravel(), W2.ravel(), b, s
    (array([4., 2.], dtype=float32), array([4., 2.], dtype=float32), array([1., 2.], dtype=float32), array([2. , 0.5]))
    """
    if len(weights) < 2 or len(biases) != len(weights) - 1:
        raise ValueError(f"{len(weights)} weights and {len(biases)} biases; expected 2 or more, and one bias fewer")
    for W, b in zip(weights, biases, strict=False):  # the last layer's bias does not change
        if b.shape != W.shape[:1]:
            raise ValueError(f"b.shape={b.shape} of a layer with W.shape={W.shape}; expected {W.shape[:1]}")
    for W in weights[1:-1]:
        if W.ndim != 4 or W.shape[3] != 1:
            raise ValueError(f"W.shape={W.shape} between two layers; expected a depthwise one, (channels, kh, kw, 1)")
    ranges = [_largest(W, axis=0) for W in weights[:-1]]
    scales = equalization_scales(*ranges, _largest(weights[-1], axis=-1))
    for k, s in enumerate(scales):
        weights = [*weights[:k], _divide_outputs(weights[k], s), _multiply_inputs(weights[k + 1], s), *weights[k + 2 :]]
    return weights, [(b / s).astype(b.dtype) for b, s in zip(biases, scales, strict=True)], scales


def equalize(
    network: Network, *, n_iterations: int = 50, tolerance: float = 1e-6
) -> tuple[Network, dict[str, np.ndarray]]:
    """Return a network with equalized ranges that computes the same, and by what each layer's output was divided.

    Chains are layers whose output only the next one reads: a convolution, any number of depthwise ones, and a last
    layer; pools may stand between. A layer may end one chain and begin another, so chains are equalized in turns until
    no scale changes by more than `tolerance`. ReLU6 becomes "clip".

    Parameters
    ----------
    network : Network
        With batch norms folded.
    n_iterations : int
        At most so many turns.
    tolerance : float

    Returns
    -------
    network : Network
    scales : dict of str to ndarray of float64, shape (out,)
        For every layer of a chain but its last. `rescale` with these gives the same network.

    Raises
    ------
    ValueError
        If a batch norm is left.

    Examples
    --------
    >>> def fc(name, source, W, activation):
    ...     return Node(name, "linear", (source,), {"W": W, "b": np.zeros(len(W), np.float32)}, activation=activation)
    >>> W1, W2 = np.float32([[8.0], [1.0]]), np.float32([[2.0, 4.0]])
    >>> network, scales = equalize(Network([fc("a", "input", W1, "relu6"), fc("b", "a", W2, None)]))
    >>> scales, network["a"].activation, network["a"].params["limit"]
    ({'a': array([2. , 0.5])}, 'clip', array([ 3., 12.], dtype=float32))
    """
    if norms := [node.name for node in network.nodes if node.op == "batch_norm"]:
        raise ValueError(f"{norms[0]!r} is a batch norm; fold it first, with quantlab.ptq.fold")
    chains = _chains(network)
    scales = {name: np.ones(len(network[name].params["W"])) for chain in chains for name in chain[:-1]}
    current = network
    for _ in range(n_iterations):
        largest = 0.0
        for chain in chains:
            ranges = [_largest(current[name].params["W"], axis=0) for name in chain[:-1]]
            last = current[chain[-1]]
            ranges.append(_largest(last.params["W"], axis=0 if is_depthwise(last) else -1))
            found = equalization_scales(*ranges)
            for name, s in zip(chain[:-1], found, strict=True):
                scales[name] = scales[name] * s
                largest = max(largest, float(np.abs(np.log(s)).max()))
            current = rescale(current, dict(zip(chain[:-1], found, strict=True)))
        if largest <= tolerance:
            break
    return rescale(network, scales), scales


def rescale(network: Network, scales: Mapping[str, np.ndarray]) -> Network:
    """Return a network that computes the same with the output channels of some layers divided by given numbers.

    Parameters
    ----------
    network : Network
    scales : dict of str to ndarray of float, shape (out,)
        Positive and finite, for layers whose output one other layer reads, with at most pools between.

    Raises
    ------
    ValueError
        If a layer has no such reader, or a scale is not positive and finite or has another shape.

    Notes
    -----
    Equal in the reals. In float32 the rounding errors differ, unless all scales are powers of two.
    """
    params = {node.name: dict(node.params) for node in network.nodes}
    clipped = set()
    for name, s in scales.items():
        node, s = network[name], np.asarray(s, np.float64)
        following = reader(network, name)
        if following is None:
            raise ValueError(f"{name!r} cannot be rescaled: what reads it is not one conv or linear node alone")
        if s.shape != params[name]["b"].shape or not (np.isfinite(s) & (s > 0)).all():
            raise ValueError(f"scales[{name!r}] has shape {s.shape}; expected {params[name]['b'].shape}, all positive")
        mine, theirs = params[name], params[following.name]
        mine["W"], mine["b"] = _divide_outputs(mine["W"], s), (mine["b"] / s).astype(mine["b"].dtype)
        theirs["W"] = _multiply_inputs(theirs["W"], s)
        if node.activation in ("relu6", "clip"):
            mine["limit"] = (mine.get("limit", 6) / s).astype(np.float32)
            clipped.add(name)
    nodes = [
        replace(node, params=params[node.name], activation="clip" if node.name in clipped else node.activation)
        for node in network.nodes
    ]
    return Network(nodes)


def scale_statistics(statistics: Mapping[str, Statistics], scales: Mapping[str, np.ndarray]) -> dict[str, Statistics]:
    """Return what `quantlab.ptq.fold.batch_norm_statistics` says of a network after `rescale` with these scales."""
    return {
        name: Statistics(*((v / scales[name]).astype(np.float32) for v in found)) if name in scales else found
        for name, found in statistics.items()
    }


def is_depthwise(node: Node) -> bool:
    """Tell whether a node has one input channel for every output channel."""
    groups = node.options.get("groups", 1)
    return groups > 1 and node.params["W"].shape[3] == 1 and groups == len(node.params["W"])


def reader(network: Network, name: str) -> Node | None:
    """Return the only layer that reads a layer channel by channel, through pools or at once; None if there is none."""
    node = network[name]
    if node.op not in AFFINE or node.activation not in SCALABLE:
        return None
    while True:
        readers = network.consumers(node.name)
        if len(readers) != 1 or node is network.nodes[-1]:
            return None
        node = readers[0]
        if node.op in AFFINE:
            return node if node.options.get("groups", 1) == 1 or is_depthwise(node) else None
        if node.op not in PASSES or node.activation not in (None, "relu"):
            return None


def _chains(network: Network) -> list[list[str]]:
    """Return the chains of layers that can be equalized together, in order."""
    chains, inside = [], set()
    for node in network.nodes:
        if node.name in inside:
            continue
        chain = [node.name]
        while node.op in AFFINE and (following := reader(network, node.name)):
            chain.append(following.name)
            node = following
            if not is_depthwise(node):
                break
            inside.add(node.name)
        if len(chain) > 1:
            chains.append(chain)
    return chains


def _largest(W: np.ndarray, *, axis: int) -> np.ndarray:
    """Return the largest magnitude in each slice along an axis."""
    return np.abs(W).max(axis=tuple(i for i in range(W.ndim) if i != axis % W.ndim), initial=0)


def _divide_outputs(W: np.ndarray, s: np.ndarray) -> np.ndarray:
    return (W / s.reshape(-1, *[1] * (W.ndim - 1))).astype(W.dtype)


def _multiply_inputs(W: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Multiply each input channel: along the last axis, or the first if that has length 1, as in a depthwise layer."""
    depthwise = W.ndim == 4 and W.shape[3] == 1 and len(s) == len(W)
    return (W * (s.reshape(-1, 1, 1, 1) if depthwise else s)).astype(W.dtype)


def _same_shapes(ranges: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    shapes = {np.shape(r) for r in ranges}
    if len(ranges) < 2 or len(shapes) != 1 or len(shapes.pop()) != 1:
        raise ValueError(
            f"ranges of shapes {[np.shape(r) for r in ranges]}; expected two or more of one shape (channels,): the "
            "outputs of one layer are the inputs of the next"
        )
    return ranges
