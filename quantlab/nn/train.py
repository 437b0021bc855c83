"""A training loop for classifiers, small enough to read at a glance."""

import numpy as np

from quantlab.nn.layers import Layer, softmax_cross_entropy
from quantlab.nn.optim import SGD, Adam

__all__ = ["accuracy", "train"]


def train(
    model: Layer,
    X: np.ndarray,
    labels: np.ndarray,
    *,
    optimizer: SGD | Adam,
    n_epochs: int,
    batch_size: int,
    rng: np.random.Generator,
) -> list[float]:
    """Train ``model`` in place by minibatches, and return the mean loss of every epoch.

    Parameters
    ----------
    model : Layer
        Gives logits, (samples, classes).
    X : ndarray of float32, shape (samples, features)
    labels : ndarray of int, shape (samples,)
    optimizer : SGD or Adam
    n_epochs, batch_size : int
        The last batch of an epoch may be smaller.
    rng : numpy.random.Generator
        Shuffles the samples anew in every epoch.

    Returns
    -------
    list of float
        Mean over the samples, in nats, each loss taken before its step.

    Raises
    ------
    ValueError
        If the batch size is below 1, there is no sample, or there is not one label a sample.

    Examples
    --------
    >>> from quantlab.nn.layers import Linear
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 2)).astype(np.float32)
    >>> model = Linear(2, 2, rng=rng)
    >>> losses = train(
    ...     model, X, (X[:, 0] > 0).astype(int), optimizer=SGD(lr=0.5), n_epochs=5, batch_size=20, rng=rng
    ... )
    >>> losses[-1] < losses[0] / 2, accuracy(model, X, (X[:, 0] > 0).astype(int)) > 0.95
    (True, True)
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}; expected at least 1")
    _check_labels(X, labels)
    losses = []
    for _ in range(n_epochs):
        order = rng.permutation(len(X))
        total = 0.0
        for start in range(0, len(X), batch_size):
            batch = order[start : start + batch_size]
            loss, d_logits = softmax_cross_entropy(model.forward(X[batch], training=True), labels[batch])
            model.backward(d_logits)
            optimizer.step(model.params, model.grads)
            total += loss * len(batch)
        losses.append(total / len(X))
    return losses


def accuracy(model: Layer, X: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of samples whose largest logit is that of their label; the first of equal ones counts.

    Raises
    ------
    ValueError
        If there is no sample, or there is not one label a sample.
    """
    _check_labels(X, labels)
    return float((model.forward(X).argmax(axis=1) == labels).mean())


def _check_labels(X: np.ndarray, labels: np.ndarray) -> None:
    if not len(X) or np.shape(labels) != (len(X),):
        raise ValueError(
            f"labels.shape={np.shape(labels)} for {len(X)} samples; expected ({len(X)},), and 1 sample or more"
        )
