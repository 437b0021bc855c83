"""Noise in place of rounding: an error of the right size that leaves the gradient alone, or rounding here and there."""

import numpy as np

from quantlab.core.affine import fake_quantize
from quantlab.core.arguments import as_real
from quantlab.core.qparams import QParams
from quantlab.qat.ste import broadcast_qparams, straight_through_mask

__all__ = ["add_rounding_noise", "noise_mask", "quantize_random_part"]


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


def quantize_random_part(
    x: np.ndarray, qp: QParams, *, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return ``x`` with a random part of it fake-quantized, and where the gradient passes: Quant-Noise.

    .. math:: \tilde x_i = \begin{cases} \hat x_i & \text{with probability } p \\ x_i & \text{else} \end{cases}

    Every value is drawn anew at every call. The untouched ones have an honest gradient, 1; the quantized ones the
    straight-through one. ``share=1`` is ordinary training through rounding, 0 none at all.

    Parameters
    ----------
    x : ndarray of float, any shape
        Weights: the paper leaves activations alone. NaN stays NaN.
    qp : QParams
    share : float
        p, from 0 to 1.
    rng : numpy.random.Generator

    Returns
    -------
    x_tilde : ndarray of float32, mask : ndarray of bool
        Both in the shape of ``x``.

    Raises
    ------
    TypeError
        If ``share`` is not a number.
    ValueError
        If ``share`` is not from 0 to 1, or the parameters do not fit the shape.

    References
    ----------
    Fan, Stock et al. 2021, "Training with Quantization Noise for Extreme Model Compression", arXiv:2004.07320,
    section 4.

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> x, qp = np.full(6, 0.3, np.float32), QParams(scale=1.0, zero_point=0, grid=Grid(n_bits=2))
    >>> quantize_random_part(x, qp, share=0.5, rng=np.random.default_rng(0))[0]
    array([0.3, 0.3, 0.3, 0. , 0. , 0. ], dtype=float32)
    """
    if not 0 <= as_real("share", share) <= 1:
        raise ValueError(f"share={share}; expected a number from 0 to 1")
    x = np.asarray(x, np.float32)
    drawn = rng.random(x.shape, np.float32) < share
    return np.where(drawn, fake_quantize(x, qp), x), ~drawn | straight_through_mask(x, qp)
