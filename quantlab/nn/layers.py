"""Layers with explicit forward and backward, and the loss that classifiers end in.

A layer keeps its parameters in ``params`` and, after ``backward``, their gradients in ``grads``: dictionaries of
float32 arrays with the same names. ``forward(X, training=True)`` keeps what ``backward`` needs; without ``training``
nothing is kept. ``backward(dY)`` takes the gradient of the loss by the output and returns the one by the input.
"""

import numpy as np

__all__ = ["Layer", "Linear", "ReLU", "Sequential", "softmax_cross_entropy"]


class Layer:
    """What all layers share: no parameters unless they say so."""

    def __init__(self):
        self.params: dict[str, np.ndarray] = {}
        self.grads: dict[str, np.ndarray] = {}
        self._kept: tuple | None = None

    def forward(self, X: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Return the layer's output."""
        raise NotImplementedError

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Fill ``grads`` and return the gradient by the input of the last ``forward(X, training=True)``."""
        raise NotImplementedError

    def _recall(self) -> tuple:
        if self._kept is None:
            raise ValueError(
                f"{type(self).__name__}.backward has no input to go back to: call forward(X, training=True)"
            )
        return self._kept


class Linear(Layer):
    r"""Fully connected layer ``Y = X W^T + b``.

    .. math:: dW = dY^T X, \qquad db = \sum_n dY_n, \qquad dX = dY\, W

    Parameters
    ----------
    n_in, n_out : int
    rng : numpy.random.Generator
        Draws W from a normal distribution of variance 2 / n_in (He et al. 2015, eq. 10, for layers before a ReLU); b
        starts at zero.

    Attributes
    ----------
    params : dict
        ``W`` (n_out, n_in) and ``b`` (n_out,), float32.

    Raises
    ------
    ValueError
        In ``forward``, if ``X`` is not (samples, n_in).

    Examples
    --------
    >>> layer = Linear(2, 1, rng=np.random.default_rng(0))
    >>> layer.params["W"][:] = [[2.0, -1.0]]
    >>> layer.forward(np.array([[3.0, 4.0]], dtype=np.float32), training=True)
    array([[2.]], dtype=float32)
    >>> layer.backward(np.array([[10.0]], dtype=np.float32))
    array([[ 20., -10.]], dtype=float32)
    >>> layer.grads["W"], layer.grads["b"]
    (array([[30., 40.]], dtype=float32), array([10.], dtype=float32))
    """

    def __init__(self, n_in: int, n_out: int, *, rng: np.random.Generator):
        super().__init__()
        self.params["W"] = (rng.standard_normal((n_out, n_in)) * np.sqrt(2 / n_in)).astype(np.float32)
        self.params["b"] = np.zeros(n_out, np.float32)

    def forward(self, X: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Return ``X @ W.T + b``, shape (samples, n_out)."""
        W, b = self.params["W"], self.params["b"]
        self._check_input(X)
        self._kept = (X, W) if training else None
        return X @ W.T + b

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Set ``grads["W"]`` and ``grads["b"]``, and return ``dX``."""
        X, W = self._recall()
        self.grads["W"] = dY.T @ X
        self.grads["b"] = dY.sum(axis=0)
        return dY @ W

    def _check_input(self, X: np.ndarray) -> None:
        W = self.params["W"]
        if X.ndim != 2 or X.shape[1] != W.shape[1]:
            raise ValueError(f"X.shape={X.shape}; expected (samples, {W.shape[1]}), since W is {W.shape} (out, in)")


class ReLU(Layer):
    """``max(x, 0)``; its gradient at exactly 0 is 0, as in torch.

    Examples
    --------
    >>> relu = ReLU()
    >>> relu.forward(np.array([[-1.0, 0.0, 2.0]]), training=True)
    array([[0., 0., 2.]])
    >>> relu.backward(np.ones((1, 3)))
    array([[0., 0., 1.]])
    """

    def forward(self, X: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Return ``max(X, 0)``, in the shape of ``X``."""
        self._kept = (X > 0,) if training else None
        return np.maximum(X, 0)

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Return ``dY`` where the input was positive, and 0 elsewhere."""
        (positive,) = self._recall()
        return dY * positive


class Sequential(Layer):
    """One layer after another.

    Parameters
    ----------
    layers : list of Layer

    Attributes
    ----------
    params, grads : dict
        Those of all layers, under names like ``"0.W"``: the same arrays, so that an optimizer's change in place reaches
        the layers.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> model = Sequential([Linear(64, 32, rng=rng), ReLU(), Linear(32, 10, rng=rng)])
    >>> list(model.params)
    ['0.W', '0.b', '2.W', '2.b']
    """

    def __init__(self, layers: list[Layer]):
        super().__init__()
        self.layers = list(layers)
        self.params = self._named("params")

    def _named(self, what: str) -> dict[str, np.ndarray]:
        return {f"{i}.{name}": v for i, layer in enumerate(self.layers) for name, v in getattr(layer, what).items()}

    def forward(self, X: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Return the output of the last layer."""
        for layer in self.layers:
            X = layer.forward(X, training=training)
        return X

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Go back through the layers, collect ``grads``, and return the gradient by the input of the first."""
        for layer in reversed(self.layers):
            dY = layer.backward(dY)
        self.grads = self._named("grads")
        return dY


def softmax_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    r"""Return the mean cross entropy of ``softmax(logits)``, and its gradient by the logits.

    .. math:: L = -\frac1N \sum_n \log p_{n, y_n}, \qquad \frac{\partial L}{\partial z_{nk}}
              = \frac{p_{nk} - [k = y_n]}{N}, \qquad p = \mathrm{softmax}(z)

    Parameters
    ----------
    logits : ndarray of float, shape (samples, classes)
        The largest of each row is taken away first, so that large logits do not overflow.
    labels : ndarray of int, shape (samples,)
        From 0 to classes - 1.

    Returns
    -------
    loss : float
        In nats.
    d_logits : ndarray, shape and dtype of ``logits``

    Raises
    ------
    TypeError
        If the labels are not integers.
    ValueError
        If the shapes do not fit, there is no sample, or a label is out of range.

    Notes
    -----
    A row with NaN or plus infinity gives NaN. Minus infinity is a probability of 0: the loss is infinite if that is the
    label's, and finite otherwise.

    Examples
    --------
    >>> loss, d_logits = softmax_cross_entropy(np.array([[0.0, 0.0]]), np.array([1]))
    >>> round(loss, 6), d_logits
    (0.693147, array([[ 0.5, -0.5]]))
    """
    if logits.ndim != 2 or len(logits) == 0 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits.shape={logits.shape} and labels.shape={labels.shape}; expected (samples, classes) and (samples,), "
            "with at least one sample"
        )
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels.dtype={labels.dtype}; expected integers, the indices of the classes")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(f"labels reach from {labels.min()} to {labels.max()}; expected 0 to {logits.shape[1] - 1}")
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    d_logits = np.exp(log_p)
    d_logits[rows, labels] -= 1
    d_logits /= len(labels)
    return -float(log_p[rows, labels].mean()), d_logits
