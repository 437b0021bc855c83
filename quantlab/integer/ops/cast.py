r"""From reals to codes, from codes to codes and back to reals, as LiteRT's QUANTIZE and DEQUANTIZE compute it.

================ ============================== ============================== ===================
dialect          QUANTIZE of float32            QUANTIZE of 8-bit codes        DEQUANTIZE
================ ============================== ============================== ===================
litert           ``rint(x * inv)``              ``(d * m + 128) >> 8``,        ``d * s``
                                                ``m = rint(256 * s_x / s_y)``
litert_reference ``x / s`` in float32,          fixed point "gemmlowp"         ``d * s``
                 half away
litert_ruy       vectors of 8: ``rint(x*inv)``  vectors of 16: "ruy"           vectors of 8:
                                                                               ``q*s - z*s``
litert_ruy,      ``x / s`` in float64,          "gemmlowp"                     ``d * s``
what is left     half away
================ ============================== ============================== ===================

Here ``inv = f32(1 / s)`` and ``d = q - z``; zero points are added, and the result is clipped, after rounding. The
multiplier of the fixed points is ``f64(s_x) / f64(s_y)``.

What XNNPACK does not take, LiteRT's optimized kernels compute, and "litert" is then "litert_ruy": QUANTIZE to int16,
between int8 and uint8, and with ``s_x / s_y`` below 2**-8 or above 2**7.

All were measured on every code, at, next to and off ties, and on the odd ends of tensors. Sources: qs8_vcvt and
f32_qs8_vcvt in XNNPACK; tflite/kernels/quantize.cc, tflite/kernels/internal/optimized/optimized_ops.h
(AffineQuantize, Requantize, Dequantize) and tflite/kernels/internal/reference/{quantize,requantize,dequantize}.h.
"""

import numpy as np

from quantlab.core.affine import dequantize, quantize
from quantlab.core.grid import round_half_away
from quantlab.core.qparams import QParams
from quantlab.integer.fixedpoint import multiply_by_quantized_multiplier, quantize_multiplier
from quantlab.integer.ops.common import check_kernel_set, check_one_scale
from quantlab.integer.ops.operands import GRIDS, check_one_scale_on_grid, codes_of
from quantlab.integer.ops.vectors import vector_body

__all__ = ["dequantize_values", "quantize_values", "requantize_values"]

EIGHT_BITS = tuple(GRIDS)


def quantize_values(x: np.ndarray, *, y_qp: QParams, dialect: str) -> np.ndarray:
    """Return the codes of float32 values: LiteRT's QUANTIZE.

    Parameters
    ----------
    x : ndarray of float32, any shape
    y_qp : QParams
        One scale and zero point, on a grid of int8, uint8 or int16.
    dialect : {"litert", "litert_ruy", "litert_reference"}
        See the table at the head of this module; it tells what happens to ties.

    Returns
    -------
    ndarray of ``y_qp.grid.dtype``, in the shape of ``x``
        Beyond the ends of the grid codes saturate.

    Raises
    ------
    TypeError
        If ``x`` is not float32.
    ValueError
        If ``x`` holds NaN, a QParams has an axis, the dialect is unknown, or a value is 2**31 steps or more where
        XNNPACK does not compute: the conversion to int32 then gives nonsense. XNNPACK saturates.

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> qp, x = QParams(scale=0.5, zero_point=0, grid=Grid(n_bits=8)), np.array([0.25, 0.75, -0.25], np.float32)
    >>> for dialect in ("litert", "litert_ruy", "litert_reference"):
    ...     print(f"{dialect:16}", quantize_values(np.resize(x, 9), y_qp=qp, dialect=dialect))
    litert           [0 2 0 0 2 0 0 2 0]
    litert_ruy       [ 0  2  0  0  2  0  0  2 -1]
    litert_reference [ 1  2 -1  1  2 -1  1  2 -1]
    """
    check_kernel_set(dialect)
    x = np.asarray(x)
    if x.dtype != np.float32:
        raise TypeError(f"x.dtype={x.dtype}; expected float32, the only reals that the kernel takes")
    check_one_scale("y_qp", y_qp)
    if dialect == "litert" and y_qp.grid.n_bits == 8:
        return quantize(x, y_qp, dialect="litert")
    largest = np.abs(x).max(initial=0)
    if largest / np.float64(y_qp.scale) >= 2.0**31:  # NaN goes on to quantize, which counts it
        raise ValueError(f"x reaches {largest}, 2**31 steps of {y_qp.scale} or more, where {dialect!r} gives nonsense")
    if dialect == "litert_reference":
        return quantize(x, y_qp, dialect="litert_reference")
    flat = x.reshape(-1)
    q = quantize(flat, y_qp, dialect="litert")
    rest = slice(flat.size - flat.size % 8, None)
    steps = round_half_away(flat[rest].astype(np.float64) / np.float64(y_qp.scale)) + y_qp.zero_point
    q[rest] = np.clip(steps, y_qp.grid.quant_min, y_qp.grid.quant_max).astype(q.dtype)
    return q.reshape(x.shape)


def requantize_values(x_q: np.ndarray, *, x_qp: QParams, y_qp: QParams, dialect: str) -> np.ndarray:
    """Return 8-bit codes on another scale: LiteRT's QUANTIZE of a tensor that is quantized already.

    Parameters
    ----------
    x_q : ndarray of int8 or uint8, any shape
    x_qp, y_qp : QParams
        One scale and zero point each, on the grids of int8 or uint8.
    dialect : {"litert", "litert_ruy", "litert_reference"}
        See the table at the head of this module; it tells what happens to ties.

    Returns
    -------
    ndarray of ``y_qp.grid.dtype``, in the shape of ``x_q``
        Beyond the ends of the grid codes saturate.

    Raises
    ------
    TypeError
        If ``x_q`` is neither int8 nor uint8.
    ValueError
        If a QParams has an axis or another grid, the dialect is unknown, or ``s_x / s_y`` is so large that a fixed
        point cannot shift the codes within int32.

    Notes
    -----
    XNNPACK's multiplier has 8 bits behind the point: at ``s_x / s_y`` = 1 / 100 it is 3 / 256, off by 17 %.

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> x_qp, y_qp = (QParams(scale=s, zero_point=0, grid=Grid(n_bits=8)) for s in (0.01, 1.0))
    >>> x_q = np.array([-128, 49, 50, 127], np.int8)
    >>> for dialect in ("litert", "litert_reference"):
    ...     print(f"{dialect:16}", requantize_values(x_q, x_qp=x_qp, y_qp=y_qp, dialect=dialect))
    litert           [-1  1  1  1]
    litert_reference [-1  0  1  1]
    """
    check_kernel_set(dialect)
    x_q = codes_of("x", x_q, x_qp, dtypes=EIGHT_BITS)
    check_one_scale_on_grid("y", y_qp, GRIDS.get(y_qp.grid.dtype, GRIDS[x_q.dtype]))
    offsets = x_q.astype(np.int64) - int(x_qp.zero_point)
    ratio = x_qp.scale / y_qp.scale
    if dialect == "litert" and x_qp.grid == y_qp.grid and 2.0**-8 <= ratio <= 2.0**7:
        steps = (offsets * int(np.rint(256 * ratio)) + 128) >> 8
    else:
        fixed = quantize_multiplier(np.float64(x_qp.scale) / np.float64(y_qp.scale))
        steps = multiply_by_quantized_multiplier(offsets, *fixed, rounding="gemmlowp")
        if dialect != "litert_reference":
            in_vector = vector_body(max(x_q.size, 1), x_q.size, width=16).reshape(x_q.shape)
            steps = np.where(in_vector, multiply_by_quantized_multiplier(offsets, *fixed, rounding="ruy"), steps)
    grid = y_qp.grid
    return np.clip(steps + y_qp.zero_point, grid.quant_min, grid.quant_max).astype(grid.dtype)


def dequantize_values(q: np.ndarray, *, qp: QParams, dialect: str) -> np.ndarray:
    """Return the reals that 8-bit codes stand for, in float32: LiteRT's DEQUANTIZE.

    Parameters
    ----------
    q : ndarray of int8 or uint8, any shape
    qp : QParams
        One scale and zero point.
    dialect : {"litert", "litert_ruy", "litert_reference"}
        "litert_ruy" computes ``q * s - z * s``, three roundings in place of one, but for the last ``q.size % 8``
        values.

    Returns
    -------
    ndarray of float32, in the shape of ``q``
        The zero point gives 0.0 in every dialect.

    Raises
    ------
    TypeError
        If ``q`` is neither int8 nor uint8.
    ValueError
        If the QParams has an axis or another grid, or the dialect is unknown.

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> q, qp = np.full(9, -68, np.int8), QParams(scale=0.1, zero_point=3, grid=Grid(n_bits=8))
    >>> dequantize_values(q, qp=qp, dialect="litert_ruy")[7:]
    array([-7.1000004, -7.1      ], dtype=float32)
    """
    check_kernel_set(dialect)
    q = codes_of("q", q, qp, dtypes=EIGHT_BITS)
    if dialect != "litert_ruy":
        return dequantize(q, qp)
    split = q.astype(np.float32) * qp.scale - np.float32(qp.zero_point) * qp.scale
    in_vector = vector_body(max(q.size, 1), q.size, width=8).reshape(q.shape)
    return np.where(in_vector, split, dequantize(q, qp))
