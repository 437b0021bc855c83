"""Watch a network's activations while data flow through it."""

from collections.abc import Callable

import numpy as np

from quantlab.core.observers import MinMaxObserver, Observer
from quantlab.nn.network import Network

__all__ = ["calibrate"]


def calibrate(
    network: Network, x: np.ndarray, *, observer: Callable[[], Observer] = MinMaxObserver, batch_size: int = 32
) -> dict[str, Observer]:
    """Return an observer for the input and for every node's output, after its activation.

    Parameters
    ----------
    network : Network
        As it will be quantized: with batch norms folded.
    x : ndarray of float, shape (samples, ...)
        Samples like those that the network will meet, and none of those that it will be judged by. In float64 the
        ranges are the same on every machine; float32 sums differ in their last bits, and so do the scales then.
    observer : callable
        Makes a fresh observer; ``lambda: PercentileObserver(percentile=99.99)`` for one with arguments.
    batch_size : int
        Samples that are computed at a time; bounds the memory, and with `MinMaxObserver` changes nothing.

    Returns
    -------
    dict of str to Observer
        Under ``"input"`` and the nodes' names.

    Raises
    ------
    ValueError
        If there is no sample, the batch size is below 1, or an activation is not finite.

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> from quantlab.nn.network import Node
    >>> network = Network([Node("sum", "add", ("input", "input"), activation="relu")])
    >>> found = calibrate(network, np.array([[-1.0, 3.0]]))
    >>> {name: observer.range(grid=Grid(n_bits=8)) for name, observer in found.items()}
    {'input': (-1.0, 3.0), 'sum': (0.0, 6.0)}
    """
    if batch_size < 1 or not len(x):
        raise ValueError(f"batch_size={batch_size} with {len(x)} samples; expected at least 1 of both")
    observers: dict[str, Observer] = {}

    def watch(name: str, value: np.ndarray) -> np.ndarray:
        observers.setdefault(name, observer()).update(value)
        return value

    for start in range(0, len(x), batch_size):
        network.forward(x[start : start + batch_size], hook=watch)
    return observers
