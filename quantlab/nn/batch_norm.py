"""Batch normalization: in training a thing of the batch, afterwards one multiplication and one addition a channel."""

import numpy as np

from quantlab.nn.layers import Layer

__all__ = ["BatchNorm"]


class BatchNorm(Layer):
    r"""Give every channel (the last axis) mean beta and standard deviation gamma.

    .. math:: Y = \gamma \hat X + \beta, \qquad \hat X = \frac{X - \mu}{\sqrt{\sigma^2 + \epsilon}}

    In training :math:`\mu` and :math:`\sigma^2` are those of the batch, over all axes but the last, and with n values a
    channel

    .. math:: dX = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} \Big( dY - \tfrac1n \textstyle\sum dY
              - \hat X\, \tfrac1n \sum dY \hat X \Big), \qquad d\gamma = \sum dY \hat X, \qquad d\beta = \sum dY

    Without training they are the running averages, and the layer does the same to every sample, alone or not.

    Parameters
    ----------
    channels : int
    eps : float
        Added to the variance; TensorFlow's and EfficientNet's 1e-3, where torch's default is 1e-5.
    momentum : float
        What is kept of the running averages at every training step; torch calls 1 minus this number momentum.

    Attributes
    ----------
    params : dict
        ``gamma`` and ``beta``, (channels,), float32.
    mean, variance : ndarray of float32, shape (channels,)
        Running averages. As in torch, the variance of a batch enters unbiased, divided by n - 1.

    Raises
    ------
    ValueError
        In ``forward``, if the last axis of ``X`` is not the channels, or in training a channel has fewer than 2 values.

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, algorithms 1 and 2.

    Examples
    --------
    >>> layer = BatchNorm(1, eps=0.0)
    >>> layer.forward(np.array([[1.0], [3.0]]), training=True).ravel()
    array([-1.,  1.])
    >>> layer.mean, layer.variance
    (array([0.2], dtype=float32), array([1.1], dtype=float32))
    """

    def __init__(self, channels: int, *, eps: float = 1e-3, momentum: float = 0.9):
        super().__init__()
        self.params["gamma"] = np.ones(channels, np.float32)
        self.params["beta"] = np.zeros(channels, np.float32)
        self.mean, self.variance = np.zeros(channels, np.float32), np.ones(channels, np.float32)
        self.eps, self.momentum = eps, momentum

    def forward(self, X: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Return the normalized input, in its shape; in training also move the running averages."""
        gamma, beta = self.params["gamma"], self.params["beta"]
        if X.shape[-1:] != gamma.shape or (training and X.size < 2 * len(gamma)):
            raise ValueError(
                f"X.shape={X.shape}; expected (..., {len(gamma)}), in training with at least 2 values a channel"
            )
        self._kept = None
        if not training:
            return (X - self.mean) * (gamma / np.sqrt(self.variance + self.eps)) + beta
        axes, n = tuple(range(X.ndim - 1)), X.size // len(gamma)
        mu, variance = X.mean(axis=axes), X.var(axis=axes)
        self._move(mu, variance * (n / (n - 1)))
        factor = 1 / np.sqrt(variance + self.eps)
        X_hat = (X - mu) * factor
        self._kept = (X_hat, gamma * factor)
        return gamma * X_hat + beta

    def _move(self, mu: np.ndarray, variance: np.ndarray) -> None:
        keep = self.momentum
        self.mean = (keep * self.mean + (1 - keep) * mu).astype(self.mean.dtype)
        self.variance = (keep * self.variance + (1 - keep) * variance).astype(self.variance.dtype)

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Set ``grads["gamma"]`` and ``grads["beta"]``, and return ``dX``."""
        X_hat, factor = self._recall()
        axes, n = tuple(range(dY.ndim - 1)), dY.size // dY.shape[-1]
        d_gamma, d_beta = (dY * X_hat).sum(axis=axes), dY.sum(axis=axes)
        self.grads["gamma"], self.grads["beta"] = d_gamma, d_beta
        return factor * (dY - d_beta / n - X_hat * (d_gamma / n))
