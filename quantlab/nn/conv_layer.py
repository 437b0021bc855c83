"""The convolution layer: a sum of kh * kw linear layers, each on a shifted image, and so is its gradient."""

import numpy as np

from quantlab.core.windows import Padding, place_windows, window_slices
from quantlab.nn.conv import conv2d, pad_image
from quantlab.nn.layers import Layer

__all__ = ["Conv2D"]


class Conv2D(Layer):
    r"""Convolution of images (samples, height, width, channels); ``groups=n_in`` makes it depthwise.

    With :math:`X^{ij}` the image shifted by (i, j) and :math:`W_{ij}` the (out, in) slice of the kernel:

    .. math:: Y = \sum_{ij} X^{ij} W_{ij}^T + b, \qquad dW_{ij} = dY^T X^{ij}, \qquad dX^{ij} \mathrel{+}= dY\, W_{ij}

    Parameters
    ----------
    n_in, n_out : int
        Channels.
    kernel, stride : (int, int)
    padding : {"same", "valid"} or ((top, bottom), (left, right))
    groups : int
        Divides both ``n_in`` and ``n_out``.
    bias : bool
        Leave it out before a `BatchNorm`, which takes away every constant: the gradient of such a bias is 0, of which
        rounding leaves noise, and Adam steps by ``lr`` whatever the size of a gradient.
    rng : numpy.random.Generator
        Draws W from a normal distribution of variance 2 / (values that one output sums), as `Linear` does.

    Attributes
    ----------
    params : dict
        ``W`` (n_out, kh, kw, n_in / groups) and, unless left out, ``b`` (n_out,), float32.

    Raises
    ------
    ValueError
        If ``groups`` does not divide the channels; in ``forward``, if ``X`` does not fit.

    Examples
    --------
    >>> layer = Conv2D(1, 1, kernel=(1, 2), padding="valid", rng=np.random.default_rng(0))
    >>> layer.params["W"][:] = np.reshape([2.0, -1.0], (1, 1, 2, 1))
    >>> X = np.array([3.0, 4.0, 6.0], np.float32).reshape(1, 1, 3, 1)
    >>> layer.forward(X, training=True).ravel()
    array([2., 2.], dtype=float32)
    >>> layer.backward(np.array([1.0, 10.0], np.float32).reshape(1, 1, 2, 1)).ravel()
    array([  2.,  19., -10.], dtype=float32)
    >>> layer.grads["W"].ravel(), layer.grads["b"]
    (array([43., 64.], dtype=float32), array([11.], dtype=float32))
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        padding: Padding = "same",
        groups: int = 1,
        bias: bool = True,
        rng: np.random.Generator,
    ):
        super().__init__()
        if groups < 1 or n_in % groups or n_out % groups:
            raise ValueError(f"groups={groups} does not divide n_in={n_in} and n_out={n_out}; choose a common divisor")
        shape = (n_out, *kernel, n_in // groups)
        self.params["W"] = (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)
        if bias:
            self.params["b"] = np.zeros(n_out, np.float32)
        self.stride, self.padding, self.groups = stride, padding, groups

    def forward(self, X: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Return the convolution, shape (samples, out height, out width, n_out)."""
        W, b = self.params["W"], self.params.get("b")
        self._kept = (X, W) if training else None
        return conv2d(X, W, b, stride=self.stride, padding=self.padding, groups=self.groups)

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Fill ``grads`` and return ``dX``."""
        X, W = self._recall()
        kernel = W.shape[1:3]
        pads, _ = place_windows(X.shape[1:3], kernel=kernel, stride=self.stride, padding=self.padding)
        (top, _), (left, _) = pads
        padded = pad_image(X, pads)
        d_padded, dW = np.zeros_like(padded), np.empty(W.shape, np.result_type(X, dY))
        for i, j in np.ndindex(*kernel):
            window = window_slices(i, j, out=dY.shape[1:3], stride=self.stride)
            dW[:, i, j] = self._weight_gradient(dY, padded[window])
            d_padded[window] += self._input_gradient(dY, W[:, i, j])
        self.grads["W"] = dW
        if "b" in self.params:
            self.grads["b"] = dY.sum(axis=(0, 1, 2))
        return d_padded[:, top : top + X.shape[1], left : left + X.shape[2]]

    def _weight_gradient(self, dY: np.ndarray, X: np.ndarray) -> np.ndarray:
        """Return ``dY.T @ X`` over all pixels of all samples, group by group: (out, in / groups)."""
        if self.groups == 1:
            return dY.reshape(-1, dY.shape[-1]).T @ X.reshape(-1, X.shape[-1])
        dY, X = self._grouped(dY), self._grouped(X)
        return np.einsum("pgo,pgi->goi", dY, X).reshape(-1, X.shape[-1])

    def _input_gradient(self, dY: np.ndarray, W: np.ndarray) -> np.ndarray:
        """Return ``dY @ W``, group by group: (samples, height, width, in)."""
        if self.groups == 1:
            return dY @ W
        W = W.reshape(self.groups, -1, W.shape[-1])
        return np.einsum("pgo,goi->pgi", self._grouped(dY), W).reshape(*dY.shape[:3], -1)

    def _grouped(self, x: np.ndarray) -> np.ndarray:
        """Return (samples, height, width, channels) as (pixels, groups, channels / groups)."""
        return x.reshape(-1, self.groups, x.shape[-1] // self.groups)
