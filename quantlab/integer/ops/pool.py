"""Pools and means on integers: sums that are divided, and maxima that only select."""

import math

import numpy as np

from quantlab.core.qparams import QParams
from quantlab.core.windows import Padding, place_pool_windows, window_slices
from quantlab.integer.fixedpoint import multiply_by_quantized_multiplier, quantize_multiplier
from quantlab.integer.ops.common import (
    check_activation,
    check_integers,
    check_kernel_set,
    check_one_scale,
    clamp,
)
from quantlab.integer.ops.operands import GRIDS

__all__ = ["average_pool", "max_pool", "mean"]


def average_pool(
    x_q: np.ndarray,
    *,
    x_qp: QParams,
    size: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding,
    dialect: str,
    activation: str | None = None,
) -> np.ndarray:
    r"""Return the mean code of every window, rounded half away from zero; the scale stays.

    .. math:: q = \mathrm{round}\left( \tfrac1n \textstyle\sum q_x \right)

    The n pixels of a window are those inside the image: padding is not counted. The codes themselves are averaged, the
    zero point included, so "away from zero" is away from the code 0, not from the real number 0.

    Parameters
    ----------
    x_q : ndarray of int8 or uint8, shape (samples, height, width, channels)
    x_qp : QParams
        Of input and output. One scale.
    size, stride : (int, int)
    padding : {"same", "valid"} or ((top, bottom), (left, right))
    dialect : {"litert", "litert_ruy", "litert_reference"}
        All three round alike: XNNPACK leaves this operator to LiteRT's own kernels.
    activation : {None, "relu", "relu6"}

    Returns
    -------
    ndarray of ``x_q.dtype``, shape (samples, out height, out width, channels)

    Raises
    ------
    TypeError
        If ``x_q`` is neither int8 nor uint8, or not of the dtype of its grid.
    ValueError
        If the shape, the padding, the dialect or the activation do not fit, or a window lies in the padding.

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> qp = QParams(scale=0.1, zero_point=0, grid=Grid(n_bits=8))
    >>> x_q = np.array([1, 2, -1, -2], np.int8).reshape(1, 1, 4, 1)
    >>> average_pool(x_q, x_qp=qp, size=(1, 2), stride=(1, 2), padding="valid", dialect="litert").ravel()
    array([ 2, -2], dtype=int8)
    """
    x_q = _checked(x_q, x_qp, dialect=dialect, activation=activation)
    pads, out = place_pool_windows(x_q.shape[1:3], kernel=size, stride=stride, padding=padding)
    x = np.pad(x_q, ((0, 0), *pads, (0, 0)))
    inside = np.pad(np.ones((1, *x_q.shape[1:3], 1), np.int32), ((0, 0), *pads, (0, 0)))
    slices = [window_slices(i, j, out=out, stride=stride) for i, j in np.ndindex(*size)]
    total = sum(x[s].astype(np.int32) for s in slices)
    count = sum(inside[s] for s in slices)
    y_q = np.sign(total) * ((np.abs(total) + count // 2) // count)
    return clamp(y_q.astype(x_q.dtype), x_qp, activation, "litert_reference")


def max_pool(
    x_q: np.ndarray,
    *,
    x_qp: QParams,
    size: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding,
    dialect: str,
    activation: str | None = None,
) -> np.ndarray:
    """Return the largest code of every window; padding never wins. Nothing is rounded, and the scale stays.

    Parameters and errors as `average_pool`. The dialect only places the mark of 6 of a fused "relu6": XNNPACK's in
    "litert", unless the stride exceeds the window, which XNNPACK leaves to LiteRT's own kernel.

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> qp = QParams(scale=0.1, zero_point=0, grid=Grid(n_bits=8))
    >>> x_q = np.array([1, 2, -1, -2], np.int8).reshape(1, 1, 4, 1)
    >>> max_pool(x_q, x_qp=qp, size=(1, 2), stride=(1, 2), padding="valid", dialect="litert").ravel()
    array([ 2, -1], dtype=int8)
    """
    x_q = _checked(x_q, x_qp, dialect=dialect, activation=activation)
    pads, out = place_pool_windows(x_q.shape[1:3], kernel=size, stride=stride, padding=padding)
    x = np.pad(x_q, ((0, 0), *pads, (0, 0)), constant_values=np.iinfo(x_q.dtype).min)
    y_q = x[window_slices(0, 0, out=out, stride=stride)].copy()
    for i, j in np.ndindex(*size):
        np.maximum(y_q, x[window_slices(i, j, out=out, stride=stride)], out=y_q)
    skips_pixels = any(s > k for s, k in zip(stride, size, strict=True))
    return clamp(y_q, x_qp, activation, "litert_reference" if skips_pixels else dialect)


def mean(
    x_q: np.ndarray,
    *,
    x_qp: QParams,
    y_qp: QParams,
    dialect: str,
    axis: tuple[int, ...] = (1, 2),
    keepdims: bool = False,
) -> np.ndarray:
    r"""Return the mean over some axes in steps of the output: LiteRT's MEAN.

    .. math:: q = \mathrm{round}\left( \frac{s_x}{s_y}\, \frac1n \sum (q_x - z_x) \right) + z_y

    ==================== ============================================================================================
    dialect              computed
    ==================== ============================================================================================
    litert               ``rint(f32(S m) + b)``, ``m = f32(f32(1/n) f32(s_x/s_y))``, ``b = f32(z_y - f32(n z_x m))``
    litert_reference     fixed point, ``s_x/s_y`` as an int32 multiplier that is divided by n, rounding "gemmlowp"
    litert_ruy           the same, but for ``keepdims`` and the axes 1 and 2 of four: see Notes
    ==================== ============================================================================================

    S is the sum of the codes, f32(.) rounds to float32.

    Parameters
    ----------
    x_q : ndarray of int8
    x_qp, y_qp : QParams
        One scale each.
    dialect : {"litert", "litert_ruy", "litert_reference"}
    axis : tuple of int
        Not negative.
    keepdims : bool
        Leave the axes in, with length 1.

    Returns
    -------
    ndarray of ``y_qp.grid.dtype``

    Raises
    ------
    TypeError
        If ``x_q`` is not of an integer dtype.
    ValueError
        If there is no value to average, or scales, axes or the dialect do not fit.

    Notes
    -----
    In "litert" the zero point of the output is added before rounding, so a tie goes to the even *code*. The special
    case of "litert_ruy" folds the zero points into one integer, ``z_y - half_away(f32(z_x s_x / s_y))``, and
    multiplies S by ``f32(s_x / f32(n s_y))`` in fixed point: rounding "ruy" for 16 channels at a time, "gemmlowp" for
    the last ``channels % 16``.

    References
    ----------
    LiteRT: tflite/kernels/reduce.cc, internal/reference/reduce.h (QuantizedMeanOrSum) and
    internal/optimized/integer_ops/mean.h. XNNPACK: qs8-rdsum with a conversion from int32.

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> qp = QParams(scale=0.5, zero_point=1, grid=Grid(n_bits=8))
    >>> x_q = np.array([1, 2, 2, 1], np.int8).reshape(1, 2, 2, 1)
    >>> for dialect in ("litert", "litert_ruy", "litert_reference"):
    ...     print(f"{dialect:16}", mean(x_q, x_qp=qp, y_qp=qp, dialect=dialect))
    litert           [[2]]
    litert_ruy       [[2]]
    litert_reference [[2]]
    """
    x_q = check_integers("x_q", x_q)
    check_kernel_set(dialect)
    check_one_scale("x_qp", x_qp)
    check_one_scale("y_qp", y_qp)
    n = math.prod(x_q.shape[a] for a in set(axis)) if axis and set(axis) <= set(range(x_q.ndim)) else 0
    if not n:
        raise ValueError(f"axis={axis} of x_q.shape={x_q.shape}; expected axes from 0 to {x_q.ndim - 1}, with values")
    S = x_q.sum(axis=tuple(set(axis)), keepdims=keepdims, dtype=np.int64)
    if dialect == "litert":
        y = _mean_float32(S, n, x_qp, y_qp)
    elif dialect == "litert_ruy" and keepdims and x_q.ndim == 4 and set(axis) == {1, 2}:
        y = _mean_of_images(S, n, x_qp, y_qp)
    else:
        y = _mean_fixed_point(S, n, x_qp, y_qp)
    return np.clip(y, y_qp.grid.quant_min, y_qp.grid.quant_max).astype(y_qp.grid.dtype)


def _mean_float32(S: np.ndarray, n: int, x_qp: QParams, y_qp: QParams) -> np.ndarray:
    m = np.float32(1) / np.float32(n) * (x_qp.scale / y_qp.scale)
    b = np.float32(y_qp.zero_point) - np.float32(n * int(x_qp.zero_point)) * m
    return np.rint(S.astype(np.float32) * m + b)


def _mean_fixed_point(S: np.ndarray, n: int, x_qp: QParams, y_qp: QParams) -> np.ndarray:
    multiplier, shift = (int(v) for v in quantize_multiplier(np.float64(x_qp.scale) / np.float64(y_qp.scale)))
    extra = min(n.bit_length() - 1, 32, 31 + shift)  # bits that keep the divided multiplier large
    multiplier, shift = (multiplier << extra) // n, shift - extra
    y = multiply_by_quantized_multiplier(S - n * int(x_qp.zero_point), multiplier, shift, rounding="gemmlowp")
    return y + y_qp.zero_point


def _mean_of_images(S: np.ndarray, n: int, x_qp: QParams, y_qp: QParams) -> np.ndarray:
    shifted = np.float32(x_qp.zero_point) * x_qp.scale / y_qp.scale
    bias = int(y_qp.zero_point) - int(shifted + np.copysign(np.float32(0.5), shifted))  # half away: int cuts off
    real = np.float64(x_qp.scale / (np.float32(n) * y_qp.scale))
    y = np.empty_like(S)
    body = S.shape[-1] // 16 * 16
    for part, rounding in ((np.s_[..., :body], "ruy"), (np.s_[..., body:], "gemmlowp")):
        y[part] = multiply_by_quantized_multiplier(S[part], *quantize_multiplier(real), rounding=rounding)
    return y + bias


def _checked(x_q: np.ndarray, x_qp: QParams, *, dialect: str, activation: str | None) -> np.ndarray:
    """Return the images, having checked all that pools share."""
    x_q = check_integers("x_q", x_q)
    if x_q.dtype not in GRIDS or x_q.dtype != x_qp.grid.dtype:
        raise TypeError(f"x_q.dtype={x_q.dtype} on {x_qp.grid}; expected int8 or uint8, the dtype of the grid")
    if x_q.ndim != 4:
        raise ValueError(f"x_q.shape={x_q.shape}; expected (samples, height, width, channels)")
    check_kernel_set(dialect)
    check_activation(activation)
    check_one_scale("x_qp", x_qp)
    return x_q
