"""How far apart are two arrays, and what does a code really cost."""

import math

import numpy as np

from quantlab.core.arguments import as_integer, as_real, as_reals
from quantlab.core.granularity import scale_shape

# Infinities, and squares beyond float64, give infinity or NaN: a figure to be seen, with no warning beside it.
_quiet = np.errstate(over="ignore", invalid="ignore")


def _pair(x, x_hat, names=("x", "x_hat")):
    """Return both as flat float64; raise ValueError unless their shapes agree and they are not empty."""
    x, x_hat = as_reals(names[0], x), as_reals(names[1], x_hat)
    if x.shape != x_hat.shape:
        raise ValueError(f"{names[0]} has shape {x.shape}, {names[1]} {x_hat.shape}; compare arrays of one shape")
    if x.size == 0:
        raise ValueError(f"{names[0]} is empty; a mean over no values is undefined")
    return x.astype(np.float64).ravel(), x_hat.astype(np.float64).ravel()


@_quiet
def mse(x, x_hat) -> float:
    """Return the mean squared error ``mean((x - x_hat)**2)``, summed in float64.

    Parameters
    ----------
    x, x_hat : array of float, the same shape
        The original and what came back.

    Returns
    -------
    float
        NaN if either holds NaN, or both the same infinity.

    Raises
    ------
    TypeError
        If an array does not hold real numbers.
    ValueError
        If the shapes differ or the arrays are empty.

    Examples
    --------
    >>> mse([1.0, 2.0], [1.0, 4.0])
    2.0
    """
    x, x_hat = _pair(x, x_hat)
    return float(np.mean((x - x_hat) ** 2))


@_quiet
def sqnr_db(x, x_hat) -> float:
    """Return the signal-to-quantization-noise ratio ``10 log10(sum x**2 / sum (x - x_hat)**2)`` in decibels.

    Parameters
    ----------
    x, x_hat : array of float, the same shape
        The original and what came back.

    Returns
    -------
    float
        In dB; infinity when nothing was lost; NaN if `x` or `x_hat` holds NaN or infinities.

    Raises
    ------
    TypeError
        If an array does not hold real numbers.
    ValueError
        If the shapes differ, the arrays are empty, or `x` is all zeros: there is no signal to compare with.

    Examples
    --------
    >>> sqnr_db([10.0, 0.0], [9.0, 0.0])
    20.0
    """
    x, x_hat = _pair(x, x_hat)
    signal, noise = float(x @ x), float(np.sum((x - x_hat) ** 2))
    if signal == 0:
        raise ValueError("x is all zeros (its squares sum to 0); noise beside no signal has no ratio: use mse")
    return math.inf if noise == 0 else 10 * math.log10(signal / noise)


@_quiet
def cosine_similarity(x, x_hat) -> float:
    """Return the cosine of the angle between two arrays taken as vectors, ``x . x_hat / (|x| |x_hat|)``.

    It does not see a common factor: an array halved everywhere still has cosine 1.

    Parameters
    ----------
    x, x_hat : array of float, the same shape
        The original and what came back. NaN and infinities give NaN.

    Raises
    ------
    TypeError
        If an array does not hold real numbers.
    ValueError
        If the shapes differ, the arrays are empty, or one of them is all zeros and so has no direction.

    Examples
    --------
    >>> cosine_similarity([1.0, 0.0], [1.0, 1.0])
    0.7071067811865475
    """
    x, x_hat = _pair(x, x_hat)
    norms = float(np.linalg.norm(x) * np.linalg.norm(x_hat))
    if norms == 0:
        raise ValueError("x or x_hat is all zeros (its squares sum to 0) and has no direction: use mse")
    return float(x @ x_hat) / norms


@_quiet
def kl_divergence(p, q) -> float:
    """Return the Kullback-Leibler divergence ``sum p log(p / q)`` in nats.

    Parameters
    ----------
    p, q : array of float, the same shape
        Counts or probabilities; each is divided by its sum.

    Returns
    -------
    float
        Zero for equal distributions; infinity when `q` has a zero where `p` has none. Terms with p = 0 count as 0.

    Raises
    ------
    TypeError
        If an array does not hold real numbers.
    ValueError
        If the shapes differ, the arrays are empty, a value is negative or NaN, or one sums to zero.

    Examples
    --------
    >>> round(kl_divergence([1, 1], [1, 3]), 4)
    0.1438
    """
    p, q = _pair(p, q, ("p", "q"))
    for name, values in (("p", p), ("q", q)):
        if not (values >= 0).all() or not 0 < values.sum() < math.inf:
            raise ValueError(
                f"{name} is no distribution (lowest value {values.min()}, sum {values.sum()}); pass counts"
            )
    p, q = p / p.sum(), q / q.sum()
    seen = p > 0
    with np.errstate(divide="ignore"):  # log(0) = -inf: the divergence is infinite
        return float(np.sum(p[seen] * (np.log(p[seen]) - np.log(q[seen]))))


def bits_per_weight(
    shape, *, n_bits: int, axis: int | None = None, group_size: int | None = None, scale_bits: int = 32,
    zero_point_bits: int = 0,
) -> float:  # fmt: skip
    """Return what one weight costs in storage, the scales and zero points included.

    ``n_bits + (scale_bits + zero_point_bits) * n_scales / n_weights``

    Parameters
    ----------
    shape : tuple of int
        Shape of the weights.
    n_bits : int or float
        Bits of a code; a mean over several widths may have a fraction.
    axis, group_size : int, optional
        Which weights share a scale; see `quantlab.core.granularity`.
    scale_bits, zero_point_bits : int or float
        Bits of one scale and one zero point; a symmetric scheme stores no zero point.

    Raises
    ------
    TypeError
        If a size, `axis` or `group_size` is not an integer, or a number of bits not a real number.
    ValueError
        If the array has no weights, a number of bits is negative, or the granularity does not fit its shape.

    Examples
    --------
    >>> bits_per_weight((4096, 4096), n_bits=4, axis=1, group_size=32, scale_bits=16)
    4.5
    """
    if not isinstance(shape, tuple | list):
        raise TypeError(f"shape={shape!r} is a {type(shape).__name__}; pass a tuple of integers, as W.shape")
    shape = tuple(as_integer("a size in shape", size) for size in shape)
    if min(shape, default=1) < 1:
        raise ValueError(f"shape={shape} holds no weights; every size must be 1 or more")
    for name, bits in (("n_bits", n_bits), ("scale_bits", scale_bits), ("zero_point_bits", zero_point_bits)):
        if not 0 <= as_real(name, bits) < math.inf:
            raise ValueError(f"{name}={bits} is no number of bits; pass 0 or more")
    n_scales, n_weights = math.prod(scale_shape(shape, axis=axis, group_size=group_size)), math.prod(shape)
    return n_bits + (scale_bits + zero_point_bits) * n_scales / n_weights
