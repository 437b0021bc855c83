r"""Sums and products of two int8 tensors with scales of their own, as each of LiteRT's kernel sets computes them.

Neither operand counts in steps of the output, so both are rescaled, and each kernel set has its own fixed point for it:

================ =========================================================== ==========================================
dialect          ADD, SUB: ``q = clip(... + zp)``, a and b without their zp  MUL: ``p = a * b``
================ =========================================================== ==========================================
litert           ``(a * m_a + b * m_b + 2**(n-1)) >> n``, multipliers of     ``rint(f32(p) * m)``,
                 21 bits: one rounding, half up                              ``m = f32(f32(s_a * s_b) / s_y)``
litert_reference ``a << 20`` and ``b << 20`` times ``s / (2 * max(s))``,     p times ``m``, fixed point with rounding
                 added, times ``2 * max(s) / (2**20 * s_y)``: three times    "gemmlowp"
                 fixed point with rounding "gemmlowp"
litert_ruy       the same, but ADD in vectors rounds the operands otherwise: the same; a vector's sum with the zero
                 elementwise once, half up, with a scalar up, then down;     point wraps in 16 bits, as in ADD
                 SUB has no vectors
================ =========================================================== ==========================================

XNNPACK ("litert") takes ADD and SUB with ``2**-10 <= s_a / s_y, s_b / s_y < 2**8`` and MUL with ``2**-16 <= m < 2**8``.
With other scales LiteRT falls back to its own kernel, and so do these functions: "litert" is then "litert_ruy".

Measured on all 65,536 pairs of codes and on shapes with odd ends, at, next to and off ties. Sources: qs8_vadd_minmax
and qs8_vmul_minmax_fp32 in XNNPACK (src/microparams-init.c); tflite/kernels/{add,sub,mul}.cc and
tflite/kernels/internal/{reference,optimized}/integer_ops/{add,mul}.h in LiteRT.
"""

import numpy as np

from quantlab.core.qparams import QParams
from quantlab.integer.fixedpoint import (
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
)
from quantlab.integer.ops.common import check_activation, check_kernel_set, clamp
from quantlab.integer.ops.operands import GRIDS, check_one_scale_on_grid, offsets_from_zero
from quantlab.integer.ops.vectors import broadcast_runs, vector_body

__all__ = ["add", "mul", "sub"]

LEFT_SHIFT = 20  # LiteRT's own kernels add 8-bit operands in steps of 2**-20


def add(
    a_q: np.ndarray,
    b_q: np.ndarray,
    *,
    a_qp: QParams,
    b_qp: QParams,
    y_qp: QParams,
    dialect: str,
    activation: str | None = None,
) -> np.ndarray:
    r"""Return ``activation(a + b)``, computed on integers.

    .. math::
        q = \mathrm{clip}\left( \mathrm{round}\left( \frac{s_a (a - z_a) + s_b (b - z_b)}{s_y} \right) + z_y \right)

    Parameters
    ----------
    a_q, b_q : ndarray of int8
        Shapes that broadcast: equal ones, a scalar, a vector for the last axis, or any other that numpy takes.
    a_qp, b_qp, y_qp : QParams
        One scale and zero point each, on the grid of int8.
    dialect : {"litert", "litert_ruy", "litert_reference"}
        See the table at the head of this module; it tells what happens to ties.
    activation : {None, "relu", "relu6"}
        Fused: a clamp of the output integers.

    Returns
    -------
    ndarray of int8, in the broadcast shape
        Beyond the ends of the grid the result saturates. In the vectors of "litert_ruy" a sum beyond 2**15 steps of the
        output wraps around, as in the kernel; that takes operands over 64 times as coarse as the output.

    Raises
    ------
    TypeError
        If an operand is not int8.
    ValueError
        If shapes do not broadcast, a QParams has an axis or another grid, the dialect or activation is unknown, or an
        operand's scale is 2**19 times the output's or more: LiteRT then ends the process.

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> a_qp, b_qp, y_qp = (QParams(scale=s, zero_point=0, grid=Grid(n_bits=8)) for s in (0.5, 0.25, 1.0))
    >>> a_q, b_q = np.array([3, 4, -3], np.int8), np.array([10, 1, -1], np.int8)
    >>> for dialect in ("litert", "litert_ruy", "litert_reference"):
    ...     print(f"{dialect:16}", add(a_q, b_q, a_qp=a_qp, b_qp=b_qp, y_qp=y_qp, dialect=dialect))
    litert           [ 4  2 -2]
    litert_ruy       [ 4  2 -2]
    litert_reference [ 4  2 -2]
    """
    return _sum(a_q, b_q, a_qp, b_qp, y_qp, dialect=dialect, activation=activation, sign=1)


def sub(
    a_q: np.ndarray,
    b_q: np.ndarray,
    *,
    a_qp: QParams,
    b_qp: QParams,
    y_qp: QParams,
    dialect: str,
    activation: str | None = None,
) -> np.ndarray:
    """Return ``activation(a - b)``, computed on integers; everything is as in `add`.

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> qp = QParams(scale=0.5, zero_point=1, grid=Grid(n_bits=8))
    >>> sub(np.array([5], np.int8), np.array([3], np.int8), a_qp=qp, b_qp=qp, y_qp=qp, dialect="litert")
    array([3], dtype=int8)
    """
    return _sum(a_q, b_q, a_qp, b_qp, y_qp, dialect=dialect, activation=activation, sign=-1)


def mul(
    a_q: np.ndarray,
    b_q: np.ndarray,
    *,
    a_qp: QParams,
    b_qp: QParams,
    y_qp: QParams,
    dialect: str,
    activation: str | None = None,
) -> np.ndarray:
    r"""Return ``activation(a * b)``, value by value, computed on integers.

    .. math:: q = \mathrm{clip}\left( \mathrm{round}\left( \frac{s_a s_b}{s_y} (a - z_a)(b - z_b) \right) + z_y \right)

    Parameters, results and errors are those of `add`, but for the scales: ``s_a * s_b / s_y`` has to be a positive,
    finite float32, and so small that fixed point can shift the products within int32.

    Examples
    --------
    A product that falls halfway between two outputs:

    >>> from quantlab.core.grid import Grid
    >>> a_qp, b_qp, y_qp = (QParams(scale=s, zero_point=0, grid=Grid(n_bits=8)) for s in (0.5, 0.25, 1.0))
    >>> a_q, b_q = np.array([4, -4], np.int8), np.array([1, 1], np.int8)
    >>> for dialect in ("litert", "litert_reference"):
    ...     print(f"{dialect:16}", mul(a_q, b_q, a_qp=a_qp, b_qp=b_qp, y_qp=y_qp, dialect=dialect))
    litert           [0 0]
    litert_reference [ 1 -1]
    """
    check_kernel_set(dialect)
    a, b = _operands(a_q, b_q, a_qp, b_qp, y_qp, activation)
    with np.errstate(over="ignore", under="ignore"):
        multiplier = a_qp.scale * b_qp.scale / y_qp.scale
    if not (np.isfinite(multiplier) and multiplier > 0):
        raise ValueError(
            f"a_qp.scale={a_qp.scale}, b_qp.scale={b_qp.scale}, y_qp.scale={y_qp.scale}: a * b / y is not a positive, "
            "finite float32; the scales do not belong to one product"
        )
    product = a * b
    if dialect == "litert" and 2.0**-16 <= multiplier < 2.0**8:
        steps = np.rint(product.astype(np.float32) * multiplier) + y_qp.zero_point
        return clamp(_to_int8(steps), y_qp, activation, dialect)
    steps = multiply_by_quantized_multiplier(product, *quantize_multiplier(multiplier), rounding="gemmlowp")
    y = steps + y_qp.zero_point
    if dialect != "litert_reference":
        pattern, run = broadcast_runs(a.shape, b.shape)
        if pattern != "single":
            narrow = np.clip(steps, -(2**15), 2**15 - 1) + y_qp.zero_point
            in_vector = vector_body(run, y.size, width=16).reshape(y.shape)
            y = np.where(in_vector, narrow.astype(np.int16), y)
    return clamp(_to_int8(y), y_qp, activation, "litert_reference")


def _operands(
    a_q: np.ndarray, b_q: np.ndarray, a_qp: QParams, b_qp: QParams, y_qp: QParams, activation: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return both operands as int64 without their zero points, having checked all arguments but the dialect."""
    check_activation(activation)
    a = offsets_from_zero("a", a_q, a_qp)
    b = offsets_from_zero("b", b_q, b_qp)
    check_one_scale_on_grid("y", y_qp, GRIDS[np.dtype(np.int8)])
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError as error:
        raise ValueError(f"a_q.shape={a.shape}, b_q.shape={b.shape}; expected shapes that broadcast") from error
    return a, b


def _to_int8(steps: np.ndarray) -> np.ndarray:
    return np.clip(steps, -128, 127).astype(np.int8)


def _sum(
    a_q: np.ndarray,
    b_q: np.ndarray,
    a_qp: QParams,
    b_qp: QParams,
    y_qp: QParams,
    *,
    dialect: str,
    activation: str | None,
    sign: int,
) -> np.ndarray:
    check_kernel_set(dialect)
    a, b = _operands(a_q, b_q, a_qp, b_qp, y_qp, activation)
    with np.errstate(over="ignore", under="ignore"):  # infinity and 0 are told below what they are
        ratios = a_qp.scale / y_qp.scale, b_qp.scale / y_qp.scale
    if dialect == "litert" and min(ratios) >= 2.0**-10 and max(ratios) < 2.0**8:
        steps = _sum_of_21_bits(a, sign * b, ratios)
        return clamp(_to_int8(steps + y_qp.zero_point), y_qp, activation, dialect)
    if max(a_qp.scale, b_qp.scale) >= 2.0**19 * y_qp.scale:
        raise ValueError(
            f"a_qp.scale={a_qp.scale}, b_qp.scale={b_qp.scale}, y_qp.scale={y_qp.scale}; expected operands less than "
            "2**19 times as coarse as the output: LiteRT ends the process here. The scales do not belong to one sum"
        )
    pattern, run = broadcast_runs(a.shape, b.shape)
    if dialect == "litert_reference" or sign < 0:
        pattern = "single"
    double = 2 * np.float64(max(a_qp.scale, b_qp.scale))
    output = quantize_multiplier(double / (2.0**LEFT_SHIFT * np.float64(y_qp.scale)))

    def total(pattern):
        a_high, b_high = (
            _high(x, quantize_multiplier(np.float64(qp.scale) / double), pattern) for x, qp in ((a, a_qp), (b, b_qp))
        )
        return multiply_by_quantized_multiplier(a_high + sign * b_high, *output, rounding="gemmlowp") + y_qp.zero_point

    y = total("single")
    if pattern != "single":
        in_vector = vector_body(run, y.size, width=16 if pattern == "elementwise" else 8).reshape(y.shape)
        y = np.where(in_vector, total(pattern).astype(np.int16), y)
    return clamp(_to_int8(y), y_qp, activation, "litert_reference")


def _sum_of_21_bits(a: np.ndarray, b: np.ndarray, ratios: tuple[np.float32, np.float32]) -> np.ndarray:
    """Return ``a * ratios[0] + b * ratios[1]``; the larger ratio becomes an integer of 21 bits."""
    shift = LEFT_SHIFT + 1 - int(np.frexp(max(ratios))[1])
    m_a, m_b = (int(np.rint(np.ldexp(ratio, shift))) for ratio in ratios)
    return (a * m_a + b * m_b + (1 << (shift - 1))) >> shift


def _high(x: np.ndarray, fixed: tuple[np.ndarray, np.ndarray], pattern: str) -> np.ndarray:
    """Return an operand in steps of ``2 * max(s) / 2**20``: the three ways to round it."""
    multiplier, shift = int(fixed[0]), int(fixed[1])
    if pattern == "elementwise":  # the shift is spared: no second rounding
        left = LEFT_SHIFT + shift
        shifted = x << left if left >= 0 else x >> -left
        return saturating_rounding_doubling_high_mul(shifted, multiplier).astype(np.int64)
    high = saturating_rounding_doubling_high_mul(x << LEFT_SHIFT, multiplier)
    if pattern == "scalar":
        return high.astype(np.int64) >> -shift
    return rounding_divide_by_pot(high, -shift).astype(np.int64)
