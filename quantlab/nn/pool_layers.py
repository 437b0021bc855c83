"""Layers that shrink images, and the one that adds a shortcut; all without parameters of their own."""

import math

import numpy as np

from quantlab.core.windows import Padding, place_windows, window_slices
from quantlab.nn.conv import check_image, max_pool2d, pad_image
from quantlab.nn.layers import Layer, Sequential

__all__ = ["Flatten", "GlobalAveragePool", "MaxPool2D", "Residual"]


class MaxPool2D(Layer):
    """The largest value of every window; the gradient goes to it, to the first one among equals, as in torch.

    Parameters
    ----------
    size : (int, int)
    stride : (int, int), optional
        As ``size`` when left out.
    padding : {"same", "valid"} or ((top, bottom), (left, right))

    Examples
    --------
    >>> pool = MaxPool2D((1, 2))
    >>> pool.forward(np.reshape([1.0, 5.0, 2.0, 2.0], (1, 1, 4, 1)), training=True).ravel()
    array([5., 2.])
    >>> pool.backward(np.reshape([10.0, 20.0], (1, 1, 2, 1))).ravel()
    array([ 0., 10., 20.,  0.])
    """

    def __init__(self, size: tuple[int, int], *, stride: tuple[int, int] | None = None, padding: Padding = "valid"):
        super().__init__()
        self.size, self.stride, self.padding = size, stride or size, padding

    def forward(self, X: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Return the maxima, shape (samples, out height, out width, channels)."""
        Y = max_pool2d(X, size=self.size, stride=self.stride, padding=self.padding)
        self._kept = (X, Y) if training else None
        return Y

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Return ``dX``; a value that is the maximum of several windows collects from all of them.

        A window whose maximum is NaN hands nothing back.
        """
        X, Y = self._recall()
        (top, _), (left, _) = pads = place_windows(
            X.shape[1:3], kernel=self.size, stride=self.stride, padding=self.padding
        ).pads
        padded = pad_image(X, pads, value=-np.inf)
        dX, open_windows = np.zeros(padded.shape, dY.dtype), np.ones(Y.shape, bool)
        for i, j in np.ndindex(*self.size):
            window = window_slices(i, j, out=Y.shape[1:3], stride=self.stride)
            wins = open_windows & (padded[window] == Y)
            dX[window] += dY * wins
            open_windows &= ~wins
        return dX[:, top : top + X.shape[1], left : left + X.shape[2]]


class GlobalAveragePool(Layer):
    """The mean of every channel over the image: (samples, height, width, channels) to (samples, channels).

    Examples
    --------
    >>> pool = GlobalAveragePool()
    >>> pool.forward(np.reshape([1.0, 5.0], (1, 1, 2, 1)), training=True)
    array([[3.]])
    >>> pool.backward(np.array([[10.0]])).ravel()
    array([5., 5.])
    """

    def forward(self, X: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Return the means."""
        check_image(X)
        self._kept = (X.shape,) if training else None
        return X.mean(axis=(1, 2))

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Return ``dX``: every pixel gets the same share."""
        (shape,) = self._recall()
        n, height, width, channels = shape
        return np.broadcast_to((dY / (height * width)).reshape(n, 1, 1, channels), shape)


class Flatten(Layer):
    """(samples, ...) to (samples, features).

    Examples
    --------
    >>> Flatten().forward(np.zeros((5, 2, 2, 3))).shape
    (5, 12)
    """

    def forward(self, X: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Return ``X`` with one row a sample."""
        self._kept = (X.shape,) if training else None
        return X.reshape(len(X), math.prod(X.shape[1:]))

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Return ``dY`` in the shape of ``X``."""
        (shape,) = self._recall()
        return dY.reshape(shape)


class Residual(Layer):
    """``X + body(X)``: some layers with a shortcut around them. The body keeps the shape.

    Parameters
    ----------
    layers : list of Layer
        The body.

    Attributes
    ----------
    body : Sequential
    params, grads : dict
        Those of the body, under its names.

    Examples
    --------
    >>> from quantlab.nn.layers import ReLU
    >>> block = Residual([ReLU()])
    >>> block.forward(np.array([[-1.0, 2.0]]), training=True)
    array([[-1.,  4.]])
    >>> block.backward(np.ones((1, 2)))
    array([[1., 2.]])
    """

    def __init__(self, layers: list[Layer]):
        super().__init__()
        self.body = Sequential(layers)
        self.params = self.body.params

    def forward(self, X: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Return ``X + body(X)``."""
        Y = self.body.forward(X, training=training)
        if Y.shape != X.shape:
            raise ValueError(f"the body makes {Y.shape} of X.shape={X.shape}; a shortcut needs equal shapes")
        return X + Y

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Return ``dX``, the sum of what comes through the body and what comes around it."""
        dX = self.body.backward(dY)
        self.grads = self.body.grads
        return dY + dX
