"""A real multiplier as an int32 and a shift, and the three ways in which kernels round the product.

A processor without floating point multiplies by 0.0117 like this: ``0.0117 = 0.7488 * 2**-6``; store
``round(0.7488 * 2**31)`` as an int32, multiply in 64 bits, and drop ``31 + 6`` bits. What is dropped must be rounded,
and that is where kernels differ: some drop all bits at once, some 31 first and then the rest, which rounds twice.

=========== =============================================== ======================== ===============================
rounding    product with the multiplier                     shift to the right       used by
=========== =============================================== ======================== ===============================
"single"    ``(x * m + 2**(30-s)) >> (31-s)``, half up      (the same step)          TFLite and CMSIS-NN when built
                                                                                     for single rounding
"gemmlowp"  `saturating_rounding_doubling_high_mul`         `rounding_divide_by_pot` LiteRT's reference convolutions
"ruy"       ``((x << l) * m + 2**30) >> 31``, half up       ``(y + 2**(r-1)) >> r``  LiteRT's optimized kernels
=========== =============================================== ======================== ===============================

Here ``s`` is the shift, ``l = max(s, 0)`` and ``r = max(-s, 0)``. "gemmlowp" shifts left by ``l`` too. The results
differ by at most 1.
"""

import numpy as np

__all__ = [
    "ROUNDINGS",
    "multiply_by_quantized_multiplier",
    "quantize_multiplier",
    "rounding_divide_by_pot",
    "saturating_rounding_doubling_high_mul",
]

ROUNDINGS = ("single", "gemmlowp", "ruy")

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


def quantize_multiplier(real_multiplier: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the int32 ``multiplier`` and the ``shift`` that stand for a real multiplier.

    .. math:: M \approx m \cdot 2^{-31} \cdot 2^{s}, \qquad 2^{30} \le m < 2^{31}

    Parameters
    ----------
    real_multiplier : array_like of float64
        Finite, at least 0; for a layer ``x_scale * w_scale / y_scale``.

    Returns
    -------
    multiplier, shift : ndarray of int32, in the shape of ``real_multiplier``
        ``shift`` is positive to the left. The relative error is at most 2**-31.

    Raises
    ------
    ValueError
        If a multiplier is negative, NaN or infinite.

    Notes
    -----
    The mantissa is rounded half away from zero; if that gives 2**31, it is halved and the shift grows by one. Zero, and
    anything below 2**-32, becomes (0, 0). A multiplier of 2**30 or more saturates at (2**31 - 1, 30).

    References
    ----------
    QuantizeMultiplier in tensorflow/lite/kernels/internal/quantization_util.cc; Jacob et al., "Quantization and
    Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018, eq. 6.

    Examples
    --------
    >>> m, s = quantize_multiplier(0.0117)
    >>> int(m), int(s)
    (1608035756, -6)
    >>> f"{m * 2.0**-31 * 2.0**s:.12f}"
    '0.011700000003'
    """
    real = np.asarray(real_multiplier, np.float64)
    bad = ~(np.isfinite(real) & (real >= 0))
    if bad.any():
        raise ValueError(f"real_multiplier={real[bad].flat[0]}; expected a finite number >= 0: check the scales")
    mantissa, shift = np.frexp(real)  # real = mantissa * 2**shift with 0.5 <= mantissa < 1, or 0
    multiplier = np.floor(mantissa * 2.0**31 + 0.5).astype(np.int64)  # not negative: half up is half away
    overflow = multiplier == 2**31
    multiplier = np.where(overflow, multiplier // 2, multiplier)
    shift = shift + overflow
    vanishes = shift < -31
    saturates = shift > 30
    multiplier = np.where(vanishes, 0, np.where(saturates, INT32_MAX, multiplier))
    shift = np.where(vanishes, 0, np.minimum(shift, 30))
    return multiplier.astype(np.int32), shift.astype(np.int32)


def saturating_rounding_doubling_high_mul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    r"""Return the high 32 bits of ``2 * a * b``, rounded half up: ARM's SQRDMULH.

    .. math:: \mathrm{round}\left( a b / 2^{31} \right)

    Parameters
    ----------
    a, b : array_like of int32 (any integers of that range), shapes that broadcast

    Returns
    -------
    ndarray of int32
        The one product that does not fit, (-2**31) * (-2**31), saturates at 2**31 - 1.

    Raises
    ------
    TypeError, ValueError
        If an operand is not of an integer dtype, or holds a value outside int32.

    Notes
    -----
    gemmlowp adds 2**30 or, to a negative product, 1 - 2**30, and then divides, which in C cuts towards zero. That
    looks like rounding half away from zero, and is rounding half up: the 1 sends a negative tie to the upper neighbour.

    Examples
    --------
    >>> saturating_rounding_doubling_high_mul(np.array([3, -3]), 2**30)
    array([ 2, -1], dtype=int32)
    """
    product = _int32_values("a", a) * _int32_values("b", b)
    return np.minimum((product + 2**30) >> 31, INT32_MAX).astype(np.int32)


def rounding_divide_by_pot(x: np.ndarray, exponent: np.ndarray | int) -> np.ndarray:
    r"""Return ``x / 2**exponent``, rounded half away from zero.

    Parameters
    ----------
    x : array_like of int32 (any integers of that range)
    exponent : array_like of int, 0 to 31, shape that broadcasts against ``x``

    Returns
    -------
    ndarray of int32

    Raises
    ------
    TypeError, ValueError
        If an operand is not of an integer dtype, ``x`` leaves int32, or an exponent leaves 0..31.

    Notes
    -----
    gemmlowp's RoundingDivideByPOT. "POT" is a power of two.

    Examples
    --------
    >>> rounding_divide_by_pot(np.array([5, 6, -5, -6, 7]), 2)
    array([ 1,  2, -1, -2,  2], dtype=int32)
    """
    x = _int32_values("x", x)
    exponent = _int32_values("exponent", exponent)
    bad = (exponent < 0) | (exponent > 31)
    if bad.any():
        raise ValueError(f"exponent={exponent[bad].flat[0]}; expected 0 to 31: shift to the left with <<")
    half = (1 << exponent) >> 1
    return (np.sign(x) * ((np.abs(x) + half) >> exponent)).astype(np.int32)


def multiply_by_quantized_multiplier(
    x: np.ndarray, multiplier: np.ndarray, shift: np.ndarray, *, rounding: str
) -> np.ndarray:
    r"""Return ``round(x * multiplier * 2**(shift - 31))`` in integers, under one of the `ROUNDINGS`.

    Parameters
    ----------
    x : array_like of int32 (any integers of that range)
        Accumulators.
    multiplier, shift : array_like of int
        From `quantize_multiplier`; shapes that broadcast against ``x``.
    rounding : {"single", "gemmlowp", "ruy"}
        See the table at the head of this module. Ties go up, but for the second step of "gemmlowp", where they go away
        from zero.

    Returns
    -------
    ndarray of int64
        Not clipped: a result beyond int32, which C code would wrap or saturate, comes out as it is.

    Raises
    ------
    TypeError, ValueError
        If an operand is not of an integer dtype or leaves int32, a shift leaves -31..30, or the rounding is unknown.
        With "gemmlowp" and "ruy" also if ``x << shift`` leaves int32, where C code would wrap.

    Examples
    --------
    Rounding twice is not rounding once: 8 * 0.3 = 2.4, but 0.3 = 0.6 / 2, and 8 * 0.6 = 4.8 becomes 5, then 2.5
    becomes 3. With -8 the second tie goes away from zero, or up:

    >>> m, s = quantize_multiplier(0.3)
    >>> for rounding in ROUNDINGS:
    ...     print(f"{rounding:8}", multiply_by_quantized_multiplier(np.array([8, -8]), m, s, rounding=rounding))
    single   [ 2 -2]
    gemmlowp [ 3 -3]
    ruy      [ 3 -2]
    """
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding={rounding!r}; expected one of {ROUNDINGS}")
    x = _int32_values("x", x)
    m = _int32_values("multiplier", multiplier)
    s = _int32_values("shift", shift)
    bad = (s < -31) | (s > 30)
    if bad.any():
        raise ValueError(f"shift={s[bad].flat[0]}; expected -31 to 30, as quantize_multiplier gives")
    if rounding == "single":
        return (x * m + (1 << (30 - s))) >> (31 - s)
    left, right = _int32_values("x << shift", x << np.maximum(s, 0)), np.maximum(-s, 0)
    if rounding == "gemmlowp":
        return rounding_divide_by_pot(saturating_rounding_doubling_high_mul(left, m), right).astype(np.int64)
    high = (left * m + 2**30) >> 31
    return (high + ((1 << right) >> 1)) >> right


def _int32_values(name: str, x: np.ndarray | int) -> np.ndarray:
    """Return ``x`` as int64, having checked that int32 holds every value: then no product of two overflows."""
    x = np.asarray(x)
    if not np.issubdtype(x.dtype, np.integer):
        raise TypeError(f"{name}.dtype={x.dtype}; expected an integer dtype")
    if x.size and (x.min() < INT32_MIN or x.max() > INT32_MAX):
        raise ValueError(
            f"{name} reaches from {x.min()} to {x.max()}; expected values that int32 can hold: use smaller values, or "
            "check the scales, whose quotient is the multiplier"
        )
    return x.astype(np.int64)
