"""One layer at a time: round the weights of one layer, leave the others in float, and measure what comes out.

Three measures of the same change. The SQNR of the logits needs no labels and no probabilities; the Kullback-Leibler
divergence asks how far the answers moved, still without labels; the increase of the loss is what one minds, and needs
labelled data. None of them knows what happens when several layers are rounded at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from quantlab.core.affine import fake_quantize
from quantlab.core.metrics import sqnr_db
from quantlab.mixed.gradients import weight_layers
from quantlab.nn.layers import softmax_cross_entropy
from quantlab.nn.network import Network, Node, apply_node
from quantlab.ptq.quantize import weight_qparams

__all__ = ["Sensitivity", "changed_logits", "mean_kl", "round_weights", "sensitivities"]


@dataclass(frozen=True)
class Sensitivity:
    """What it does to the logits of a network to round the weights of one of its layers.

    Attributes
    ----------
    name : str
        The layer.
    n_bits : int
    n_weights : int
    sqnr_db : float
        Of the logits, in decibels; infinity if nothing changed.
    kl : float
        Mean over the samples of KL(softmax(float logits), softmax(changed logits)), in nats; 0 or more.
    loss_increase : float
        Mean cross entropy after minus before, in nats; negative if rounding helped. NaN without labels.
    """

    name: str
    n_bits: int
    n_weights: int
    sqnr_db: float
    kl: float
    loss_increase: float


def round_weights(W: np.ndarray, *, n_bits: int, per_channel: bool) -> np.ndarray:
    """Return weights on the grid that `quantlab.ptq.quantize.quantize_network` gives them: symmetric, min-max.

    Examples
    --------
    >>> round_weights(np.array([[1.0, 0.4], [0.1, 0.04]], np.float32), n_bits=2, per_channel=True)
    array([[1. , 0. ],
           [0.1, 0. ]], dtype=float32)
    """
    return fake_quantize(W, weight_qparams(W, n_bits=n_bits, per_channel=per_channel))


def sensitivities(
    network: Network,
    x: np.ndarray,
    *,
    n_bits: Sequence[int],
    per_channel: bool,
    labels: np.ndarray | None = None,
    names: Sequence[str] | None = None,
    batch_size: int = 64,
) -> list[Sensitivity]:
    """Return what each layer's rounding does, for every layer and every number of bits.

    Parameters
    ----------
    network : Network
        As it will be quantized, with batch norms folded: folding changes the ranges of the channels. Its output are
        logits (samples, classes).
    x : ndarray of float, shape (samples, ...)
    n_bits : sequence of int
        2 to 16 each.
    per_channel : bool
        One scale for every output channel, or one for the layer.
    labels : ndarray of int, shape (samples,), optional
    names : sequence of str, optional
        The layers; all that have weights, if left out.
    batch_size : int
        Samples at a time. The activations of a batch are kept, so that only what lies behind the layer is computed
        again.

    Returns
    -------
    list of Sensitivity
        Layer by layer, and for each in the order of ``n_bits``.

    Raises
    ------
    ValueError
        If a layer has no weights, a number of bits is no grid's, nothing is asked, labels do not fit, or the logits
        are all 0.
    KeyError
        If there is no layer of a name.

    Examples
    --------
    >>> params = {"W": np.float32([[1.0, 0.4], [-1.0, 0.2]]), "b": np.zeros(2, np.float32)}
    >>> network = Network([Node("fc", "linear", ("input",), params)])
    >>> for found in sensitivities(network, np.array([[1.0, 2.0]]), n_bits=[2, 8], per_channel=True):
    ...     print(found.name, found.n_bits, f"{found.sqnr_db:.1f} dB, KL {found.kl:.5f}")
    fc 2 6.5 dB, KL 0.00682
    fc 8 48.6 dB, KL 0.00000
    """
    names = weight_layers(network) if names is None else list(names)
    if not names or not len(n_bits):
        raise ValueError(f"names={names}, n_bits={list(n_bits)}; expected at least one of each")
    pairs = [(name, bits) for name in names for bits in n_bits]
    changes = ((name, round_weights(_weights(network, name), n_bits=b, per_channel=per_channel)) for name, b in pairs)
    before, after = changed_logits(network, x, changes=changes, batch_size=batch_size)
    loss = np.nan if labels is None else softmax_cross_entropy(before, labels)[0]
    return [
        Sensitivity(
            name=name,
            n_bits=bits,
            n_weights=network[name].params["W"].size,
            sqnr_db=sqnr_db(before, logits),
            kl=mean_kl(before, logits),
            loss_increase=np.nan if labels is None else softmax_cross_entropy(logits, labels)[0] - loss,
        )
        for (name, bits), logits in zip(pairs, after, strict=True)
    ]


def changed_logits(
    network: Network, x: np.ndarray, *, changes: Iterable[tuple[str, np.ndarray]], batch_size: int = 64
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the network's logits, and those after each change alone: W of the layer ``name`` replaced by another.

    Raises
    ------
    ValueError
        If there is no sample, ``batch_size`` is below 1, a layer has no weights, or a W has another shape.
    KeyError
        If there is no layer of a name.

    Examples
    --------
    >>> params = {"W": np.float32([[2.0]]), "b": np.zeros(1, np.float32)}
    >>> network = Network([Node("a", "linear", ("input",), params), Node("b", "linear", ("a",), params)])
    >>> changed_logits(network, np.float32([[1.0]]), changes=[("a", np.float32([[5.0]]))])
    (array([[4.]], dtype=float32), [array([[10.]], dtype=float32)])
    """
    if batch_size < 1 or not len(x):
        raise ValueError(f"batch_size={batch_size} with {len(x)} samples; expected at least 1 of both")
    changes = list(changes)
    for name, W in changes:
        if W.shape != _weights(network, name).shape:
            raise ValueError(f"W of {name!r} has shape {W.shape}; expected {_weights(network, name).shape}")
    rows = [list(_run(network, x[start : start + batch_size], changes)) for start in range(0, len(x), batch_size)]
    before, *after = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    return before, after


def mean_kl(logits: np.ndarray, changed: np.ndarray) -> float:
    r"""Return the mean over samples of :math:`\sum_k p_k \log(p_k / q_k)`, p and q the softmax of the two logits.

    Computed in float64 from logarithms, so that a probability that underflows does no harm. A logit that is NaN or
    infinite makes it NaN.

    Raises
    ------
    ValueError
        If the shapes differ, are not (samples, classes), or there is no sample.

    Examples
    --------
    >>> round(mean_kl(np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])), 4)
    0.1438
    """
    if logits.shape != changed.shape or logits.ndim != 2 or not len(logits):
        raise ValueError(
            f"logits.shape={logits.shape}, changed.shape={changed.shape}; expected (samples, classes) twice"
        )
    log_p, log_q = _log_softmax(logits), _log_softmax(changed)
    return float((np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean())


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _weights(network: Network, name: str) -> np.ndarray:
    if "W" not in network[name].params:
        raise ValueError(f"{name!r} has no weights; the layers that do are {', '.join(weight_layers(network))}")
    return network[name].params["W"]


def _run(network: Network, x: np.ndarray, changes: list[tuple[str, np.ndarray]]) -> Iterator[np.ndarray]:
    """Yield the logits of one batch, then those after each change; only what it reaches is computed again."""
    kept: dict[str, np.ndarray] = {}

    def keep(name: str, value: np.ndarray) -> np.ndarray:
        kept[name] = value
        return value

    yield network.forward(x, hook=keep)
    for name, W in changes:
        reached = {name}
        for node in network.nodes:
            if not reached.isdisjoint(node.inputs):
                reached.add(node.name)

        def compute(node: Node, *inputs: np.ndarray, reached: set[str] = reached) -> np.ndarray:
            return apply_node(node, *inputs) if node.name in reached else kept[node.name]

        yield network.with_params({name: {"W": W}}).forward(x, apply=compute)
