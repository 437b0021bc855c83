"""A training loop for torch modules that classify, and the count of right answers: one for all arms of a trial."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from quantlab.lab.data import Split

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["count_right", "digit_tensors", "fit"]


def digit_tensors(split: Split) -> tuple["torch.Tensor", ...]:
    """Return ``x_train, y_train, x_test, y_test`` of `quantlab.lab.data.digits` for a convolution in torch.

    Returns
    -------
    tuple of torch.Tensor
        Images are float32 (n, 1, 8, 8) in [0, 1], labels int64 (n,).

    Example
    -------
    >>> from quantlab.lab.data import digits
    >>> [tuple(t.shape) for t in digit_tensors(digits(seed=0))]
    [(1347, 1, 8, 8), (1347,), (450, 1, 8, 8), (450,)]
    """
    import torch

    images = [torch.tensor(x, dtype=torch.float32).reshape(-1, 1, 8, 8) for x in (split.x_train, split.x_test)]
    labels = [torch.tensor(np.asarray(y, np.int64)) for y in (split.y_train, split.y_test)]
    return images[0], labels[0], images[1], labels[1]


def fit(
    model: "nn.Module",
    x: "torch.Tensor",
    y: "torch.Tensor",
    *,
    n_epochs: int,
    lr: float,
    seed: int,
    batch_size: int = 64,
    before_epoch: Callable[[int], object] | None = None,
) -> list[float]:
    """Train ``model`` in place with Adam on the cross entropy of its logits.

    The mode (``train()`` or ``eval()``) is the caller's business: a module exported by torch has no such methods.

    Parameters
    ----------
    model : torch.nn.Module
        Takes a batch of ``x``, returns logits (batch, classes).
    x, y : torch.Tensor
        Samples first; y holds int64 classes.
    n_epochs : int
        How often every sample is seen.
    lr : float
        Adam's step size.
    seed : int
        Of the order of the samples. Two models trained with the same seed see the same batches.
    batch_size : int
        The last batch of an epoch may be smaller; one of a single sample is left out, since batch norm cannot take it.
    before_epoch : callable, optional
        ``before_epoch(0)``, ``before_epoch(1)``, ...: the place of a schedule that freezes things.

    Returns
    -------
    list of float
        The mean loss of each epoch.

    Raises
    ------
    ValueError
        If there is nothing to train with, or the loss is no longer finite.

    Example
    -------
    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> x = torch.rand(256, 2)
    >>> losses = fit(torch.nn.Linear(2, 2), x, (x[:, 0] > x[:, 1]).long(), n_epochs=20, lr=0.1, seed=0)
    >>> losses[-1] < losses[0] / 2
    True
    """
    import torch

    if len(x) < 2 or len(x) != len(y) or batch_size < 2:
        raise ValueError(f"x has {len(x)} samples, y {len(y)}, batch_size={batch_size}; expected as many, at least 2")
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=lr)
    losses = []
    for epoch in range(n_epochs):
        if before_epoch is not None:
            before_epoch(epoch)
        total, n = 0.0, 0
        for batch in torch.randperm(len(x), generator=order).split(batch_size):
            if len(batch) < 2:
                continue
            loss = torch.nn.functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total, n = total + loss.item() * len(batch), n + len(batch)
        losses.append(total / n)
        if not np.isfinite(losses[-1]):
            raise ValueError(f"the loss of epoch {epoch} is {losses[-1]}; choose a smaller lr than {lr}")
    return losses


def count_right(model: "nn.Module", x: "torch.Tensor", y: "torch.Tensor") -> int:
    """Return how many samples get their class from ``model``, as it stands: the mode is not changed.

    A model that is training would see batch statistics and dropout, and its observers would learn from ``x``: put it
    into evaluation mode, and stop its observers, before you ask.

    Example
    -------
    >>> import torch
    >>> x = torch.eye(3)
    >>> count_right(torch.nn.Identity(), x, torch.tensor([0, 1, 1]))
    2
    """
    import torch

    with torch.no_grad():
        return int((model(x).argmax(dim=1) == y).sum())
