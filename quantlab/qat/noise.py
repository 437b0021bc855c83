"""Noise in place of rounding: an error of the right size that leaves the gradient alone."""

import numpy as np

from quantlab.core.qparams import QParams
from quantlab.qat.ste import broadcast_qparams

__all__ = ["add_rounding_noise", "noise_mask"]


def add_rounding_noise(x: np.ndarray, qp: QParams, *, rng: np.random.Generator) -> np.ndarray:
    r"""Return ``x``, clipped to the range of the grid, plus uniform noise of one step's width.

    .. math:: \tilde x = \mathrm{clip}(x,\; s (q_{\min} - z),\; s (q_{\max} - z)) + s u, \qquad
              u \sim U[-\tfrac12, \tfrac12)

    The error of rounding is spread evenly over half a step to either side, if values are spread over many steps; this
    draws one from the same distribution, of variance s**2 / 12. Unlike rounding it has a gradient: 1 inside the range.
    It is for training; what is deployed must still round.

    Parameters
    ----------
    x : ndarray of float, any shape
        Infinities are clipped; NaN stays NaN.
    qp : QParams
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of float32, in the shape of ``x``
        Up to half a step outside the range, since the noise comes after clipping: so its mean is zero at the ends too.

    Raises
    ------
    ValueError
        If the parameters do not fit the shape.

    References
    ----------
    Défossez, Adi and Synnaeve 2021, "Differentiable Model Compression via Pseudo Quantization Noise",
    arXiv:2104.09987, section 3.

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> x, qp = np.full(100_000, 0.3, np.float32), QParams(scale=0.5, zero_point=0, grid=Grid(n_bits=4))
    >>> error = add_rounding_noise(x, qp, rng=np.random.default_rng(0)) - x
    >>> f"largest {np.abs(error).max():.3f}, mean {abs(error.mean()):.2f}, variance / (s²/12) {error.var() * 48:.2f}"
    'largest 0.250, mean 0.00, variance / (s²/12) 1.00'
    """
    x = np.asarray(x, np.float32)
    s, z = broadcast_qparams(qp, x.shape)
    noise = rng.random(x.shape, np.float32) - np.float32(0.5)
    return np.clip(x, (qp.grid.quant_min - z) * s, (qp.grid.quant_max - z) * s) + noise * s


def noise_mask(x: np.ndarray, qp: QParams) -> np.ndarray:
    """Return where the gradient passes `add_rounding_noise`: where ``x`` lies in the range, its ends included.

    Half a step narrower at both ends than `quantlab.qat.ste.straight_through_mask`: clipping comes before noise, but
    after rounding.

    Parameters
    ----------
    x : ndarray of float, any shape
    qp : QParams

    Returns
    -------
    ndarray of bool, in the shape of ``x``

    Raises
    ------
    ValueError
        If the parameters do not fit the shape.

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> noise_mask(np.array([-2.0, 1.0, 1.1]), QParams(scale=1.0, zero_point=0, grid=Grid(n_bits=2)))
    array([ True,  True, False])
    """
    x = np.asarray(x, np.float32)
    s, z = broadcast_qparams(qp, x.shape)
    return (x >= (qp.grid.quant_min - z) * s) & (x <= (qp.grid.quant_max - z) * s)
