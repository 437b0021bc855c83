"""Batch normalization folded into the convolution before it, while both are trained.

What runs in the end is one convolution, with the weights ``W * gamma / sigma``. Training through rounding has to round
those, not W: this layer does. The question is which sigma: that of the batch, which the gradient knows but which
trembles, or the running average, which stands still but is not what the batch was normalized with.
"""

from typing import Any

import numpy as np

from quantlab.core.qparams import QParams
from quantlab.nn.batch_norm import BatchNorm
from quantlab.nn.conv_layer import Conv2D
from quantlab.qat.layers import QATConv2D

__all__ = ["STATISTICS", "QATConvBatchNorm"]

STATISTICS = ("running", "batch")


class QATConvBatchNorm(QATConv2D):
    r"""A convolution and its batch norm, trained through the rounding of the folded weights.

    With q the weights' quantizer, :math:`\sigma = \sqrt{\mathrm{variance} + \epsilon}`, and B for the batch:

    .. math::
        \text{statistics="batch":} \quad & Y = \hat X * q\Big(\frac{\gamma}{\sigma_B} W\Big)
            + (b - \mu_B) \frac{\gamma}{\sigma_B} + \beta \\
        \text{statistics="running":} \quad & Y = \mathrm{BN}_B\Big( \hat X * q\Big(\frac{\gamma}{\sigma} W\Big)
            \frac{\sigma}{\gamma} + b \Big) \\
        \text{frozen, or not training:} \quad & Y = \hat X * q\Big(\frac{\gamma}{\sigma} W\Big)
            + (b - \mu) \frac{\gamma}{\sigma} + \beta

    "batch" convolves twice: once with W, for the statistics. With "running" the rounded weights move as slowly as the
    averages do, and the quotient :math:`\sigma / \gamma` takes the fold out again before the batch is normalized.

    Parameters
    ----------
    n_in, n_out : int
    statistics : {"running", "batch"}
    eps, momentum : float
        As for `quantlab.nn.batch_norm.BatchNorm`.
    **options
        As for `QATConv2D`: kernel, stride, padding, groups, w_grid, x_grid, rule, rng.

    Attributes
    ----------
    params : dict
        ``W``, ``b``, ``gamma``, ``beta``, and learned ranges.
    batch_norm : BatchNorm
        Holds the running averages.
    frozen : bool
        A switch for a `quantlab.qat.schedule.Schedule`: train with the running averages, and leave them as they are.

    Raises
    ------
    ValueError
        If ``statistics`` is unknown; in training with "running", if a gamma is exactly 0, since its fold cannot be
        taken out again.

    References
    ----------
    Jacob et al. 2018, arXiv:1712.05877, section 3.2 and figure C.7 ("batch"); Krishnamoorthi 2018, arXiv:1806.08342,
    section 3.2.2 (why the averages, and freezing); torch.ao.nn.intrinsic.qat.ConvBn2d, which computes "running".

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> layer = QATConvBatchNorm(
    ...     1, 1, kernel=(1, 1), w_grid=Grid(n_bits=8), x_grid=None, rule="ste", rng=np.random.default_rng(0), eps=0.0
    ... )
    >>> X = np.array([1.0, 3.0], dtype=np.float32).reshape(1, 1, 2, 1)
    >>> layer.forward(X, training=True).ravel().round(2)
    array([-1.,  1.], dtype=float32)
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        statistics: str = "running",
        eps: float = 1e-3,
        momentum: float = 0.9,
        **options: Any,
    ):
        super().__init__(n_in, n_out, **options)
        if statistics not in STATISTICS:
            raise ValueError(f"statistics={statistics!r}; expected one of {STATISTICS}")
        self.statistics, self.frozen = statistics, False
        self.batch_norm = BatchNorm(n_out, eps=eps, momentum=momentum)
        self.params |= self.batch_norm.params
        self._way_back: tuple = ()

    def folded(self) -> tuple[np.ndarray, np.ndarray]:
        """Return weights and bias of the one convolution that is left after training, not yet quantized."""
        factor = self.params["gamma"] / self._sigma(self.batch_norm.variance)
        bias = (self.params["b"] - self.batch_norm.mean) * factor + self.params["beta"]
        return self.params["W"] * _per_output(factor), bias

    def w_qparams(self) -> QParams:
        """Return scale and zero point of the folded weights as they are now."""
        return self.quantize_w.qparams(self.folded()[0])

    def _sigma(self, variance: np.ndarray) -> np.ndarray:
        return np.sqrt(variance + np.float32(self.batch_norm.eps))

    def forward(self, X: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Return the normalized convolution, shape (samples, out height, out width, n_out)."""
        X_hat = self.x_hat(X, training=training)
        norm = self.batch_norm
        if not training or self.frozen:
            return self._forward_folded(X_hat, norm.mean, self._sigma(norm.variance), training=training)
        if self.statistics == "running":
            return self._forward_running(X_hat)
        Y = self.convolve(X_hat, self.params["W"], training=True) + self.params["b"]
        plain = self._kept
        norm.forward(Y, training=True)  # for its averages
        mu, sigma = Y.mean(axis=(0, 1, 2)), self._sigma(Y.var(axis=(0, 1, 2)))
        Z = self._forward_folded(X_hat, mu, sigma, training=True)
        self._way_back = (*self._way_back, plain, Y - mu)
        return Z

    def _forward_folded(self, X_hat: np.ndarray, mu: np.ndarray, sigma: np.ndarray, *, training: bool) -> np.ndarray:
        factor = self.params["gamma"] / sigma
        W_hat = self.quantize_w.forward(self.params["W"] * _per_output(factor), training=training)
        self._way_back = (mu, sigma)
        Y = self.convolve(X_hat, W_hat, training=training)
        return Y + ((self.params["b"] - mu) * factor + self.params["beta"])

    def _forward_running(self, X_hat: np.ndarray) -> np.ndarray:
        sigma = self._sigma(self.batch_norm.variance)
        factor = self.params["gamma"] / sigma
        if not factor.all():
            raise ValueError(
                f"gamma is 0 in {(factor == 0).sum()} channels, and cannot be divided by; use statistics='batch'"
            )
        W_hat = self.quantize_w.forward(self.params["W"] * _per_output(factor), training=True)
        Y = self.convolve(X_hat, W_hat, training=True) / factor
        self._way_back = (None, sigma, Y)
        return self.batch_norm.forward(Y + self.params["b"], training=True)

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Set ``grads`` and return ``dX``, through the statistics of the batch where they were used."""
        self._recall()
        mu, sigma, *rest = self._way_back
        gamma, b = self.params["gamma"], self.params["b"]
        factor, total = gamma / sigma, dY.sum(axis=(0, 1, 2))
        if mu is None:  # running
            (Y,) = rest
            dY = self.batch_norm.backward(dY)
            self.grads |= self.batch_norm.grads
            d_b = dY.sum(axis=(0, 1, 2))
            d_factor = -(dY * Y).sum(axis=(0, 1, 2)) / factor
            dX = Conv2D.backward(self, dY / factor)
        else:
            self.grads["gamma"], self.grads["beta"] = np.zeros_like(gamma), total
            d_b = total * factor
            d_factor = total * (b - mu)
            dX = Conv2D.backward(self, dY)
        dW = self.quantize_w.backward(self.grads["W"])
        d_factor = d_factor + (dW * self.params["W"]).sum(axis=(1, 2, 3))
        self.grads |= {"W": dW * _per_output(factor), "b": d_b, "gamma": self.grads["gamma"] + d_factor / sigma}
        if mu is not None and rest:  # batch: the statistics depend on W and X, too
            dX = dX + self._backward_statistics(*rest, d_mu=-d_b, d_variance=-d_factor * gamma / (2 * sigma**3))
        return self.backward_inputs(dX)

    def _backward_statistics(
        self, plain: tuple, centred: np.ndarray, *, d_mu: np.ndarray, d_variance: np.ndarray
    ) -> np.ndarray:
        n = centred.size // centred.shape[-1]
        kept, grads = self._kept, dict(self.grads)
        self._kept = plain
        dX = Conv2D.backward(self, (d_mu + 2 * d_variance * centred) / np.float32(n))
        self.grads |= {"W": grads["W"] + self.grads["W"], "b": grads["b"] + self.grads["b"]}
        self._kept = kept
        return dX


def _per_output(factor: np.ndarray) -> np.ndarray:
    """Return one factor an output in a shape that multiplies weights (out, kh, kw, in)."""
    return factor[:, None, None, None]
