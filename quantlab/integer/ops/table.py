r"""Functions of one int8 value: 256 codes in, 256 codes out, so each is a table that the codes look up.

================ =========================== ============================== ========================
dialect          LOGISTIC                    HARD_SWISH, RELU, RELU6        TANH
================ =========================== ============================== ========================
litert           sigmoid in float64,         LiteRT's own kernel: XNNPACK   tanhf of the C library,
                 ``rint(f32(t * inv + z))``  does not take the int8 ones    not built here
litert_ruy,      ``1 / (1 + expf(-x))``,     one integer formula            the same
litert_reference ``t * inv`` half away, + z
================ =========================== ============================== ========================

Here ``inv = f32(1 / s_y)``, and x is ``s_x * (q - z_x)`` in float32. ``expf`` is taken as the exact exponential,
rounded to float32, from which a good C library rarely differs. Its ``tanhf`` differs often in the last bits, so that
next to a tie the code depends on the library: TANH is left out.

Measured on all codes of thousands of scales, many chosen so that a value falls next to a tie. Sources:
src/reference/unary-elementwise.cc in XNNPACK; tflite/kernels/activations.cc,
tflite/kernels/internal/reference/hard_swish.h and LUTPopulate in tflite/kernels/internal/common.h in LiteRT.
"""

import numpy as np

from quantlab.core.affine import quantize
from quantlab.core.grid import Grid, round_half_away
from quantlab.core.qparams import QParams
from quantlab.integer.fixedpoint import INT32_MAX, multiply_by_quantized_multiplier, quantize_multiplier
from quantlab.integer.ops.common import check_kernel_set
from quantlab.integer.ops.operands import check_one_scale_on_grid, codes_of

__all__ = ["hard_swish", "logistic", "relu"]

INT8 = Grid(n_bits=8)
CODES = np.arange(-128, 128, dtype=np.int8)


def logistic(x_q: np.ndarray, *, x_qp: QParams, y_qp: QParams, dialect: str) -> np.ndarray:
    r"""Return ``1 / (1 + exp(-x))`` of int8 codes.

    Parameters
    ----------
    x_q : ndarray of int8, any shape
    x_qp, y_qp : QParams
        One scale and zero point each, on the grid of int8. ``y_qp.scale`` is 1 / 256 in every file that a converter
        writes, with zero point -128; only "litert" takes another scale.
    dialect : {"litert", "litert_ruy", "litert_reference"}
        See the table at the head of this module; it tells what happens to ties.

    Returns
    -------
    ndarray of int8, in the shape of ``x_q``
        Saturates: a sigmoid of 1 would be code 128.

    Raises
    ------
    TypeError
        If ``x_q`` is not int8.
    ValueError
        If a QParams has an axis or another grid, the dialect is unknown, or ``y_qp.scale`` is not 1 / 256 in a dialect
        whose kernel refuses that.

    Examples
    --------
    >>> x_qp, y_qp = (QParams(scale=s, zero_point=z, grid=INT8) for s, z in ((0.1, 0), (1 / 256, -128)))
    >>> logistic(np.array([-128, -10, 0, 10, 127], np.int8), x_qp=x_qp, y_qp=y_qp, dialect="litert")
    array([-128,  -59,    0,   59,  127], dtype=int8)
    """
    x_q = _checked(x_q, x_qp, y_qp, dialect)
    x = (x_qp.scale * _offsets(x_qp).astype(np.float32)).astype(np.float64)
    inv, zero_point = np.float32(1) / y_qp.scale, np.float32(y_qp.zero_point)
    if dialect == "litert":
        e = np.exp(np.clip(x, -100, 100))
        steps = np.rint((e / (1 + e)).astype(np.float32) * inv + zero_point)
    elif y_qp.scale != 2.0**-8:
        raise ValueError(f"y_qp.scale={y_qp.scale}; expected 1 / 256: LOGISTIC of {dialect!r} refuses any other")
    else:
        with np.errstate(over="ignore"):  # infinity, and its reciprocal 0, is what C gives
            e = np.exp(-x).astype(np.float32)
        steps = round_half_away(np.float32(1) / (1 + e) * inv) + zero_point
    return _look_up(x_q, steps)


def relu(x_q: np.ndarray, *, x_qp: QParams, y_qp: QParams, dialect: str, limit: float | None = None) -> np.ndarray:
    r"""Return ``max(x, 0)``, or ``min(max(x, 0), limit)``, of int8 codes: RELU and RELU6 that no layer took in.

    .. math::
        q = \mathrm{clip}\left( \mathrm{round}\left( \frac{s_x}{s_y} (x - z_x) \right) + z_y,\; z_y,\; q_{limit} \right)

    Parameters
    ----------
    x_q : ndarray of int8, any shape
    x_qp, y_qp : QParams
        One scale and zero point each, on the grid of int8.
    dialect : {"litert", "litert_ruy", "litert_reference"}
        The same in all: ``f32(s_x / s_y)`` as fixed point, ties away from zero. The mark of the limit is
        ``limit / s_y`` in float32, half away.
    limit : float, optional
        6 for RELU6.

    Returns
    -------
    ndarray of int8, in the shape of ``x_q``

    Raises
    ------
    TypeError
        If ``x_q`` is not int8.
    ValueError
        If a QParams has an axis or another grid, the dialect is unknown, the limit is not positive, or
        ``x_qp.scale / y_qp.scale`` is so large that fixed point cannot shift the codes within int32.

    Examples
    --------
    >>> qp = QParams(scale=0.1, zero_point=-28, grid=INT8)
    >>> relu(np.array([-128, -28, 2, 127], np.int8), x_qp=qp, y_qp=qp, dialect="litert", limit=6)
    array([-28, -28,   2,  32], dtype=int8)
    """
    if limit is not None and not limit > 0:
        raise ValueError(f"limit={limit}; expected a positive number, or None")
    x_q = _checked(x_q, x_qp, y_qp, dialect)
    fixed = quantize_multiplier(x_qp.scale / y_qp.scale)
    steps = multiply_by_quantized_multiplier(_offsets(x_qp), *fixed, rounding="gemmlowp") + y_qp.zero_point
    steps = np.maximum(steps, y_qp.zero_point)
    if limit is not None:
        steps = np.minimum(steps, quantize(np.float32(limit), y_qp, dialect="litert_reference"))
    return _look_up(x_q, steps)


def hard_swish(x_q: np.ndarray, *, x_qp: QParams, y_qp: QParams, dialect: str) -> np.ndarray:
    r"""Return ``x * min(max(x + 3, 0), 6) / 6`` of int8 codes, in 16-bit fixed point.

    The input becomes ``v = 128 * (q - z_x)`` and goes two ways: times ``s_x / (128 s_y)`` towards steps of the output;
    and times ``s_x / 128 * 32768 / 3``, saturating, which is -32768 at x = -3 and 32767 at x = 3, then moved and halved
    to 0..32767: the gate. The product of both is cut towards zero, then shifted and rounded half away from zero.

    Parameters
    ----------
    x_q : ndarray of int8, any shape
    x_qp, y_qp : QParams
        One scale and zero point each, on the grid of int8.
    dialect : {"litert", "litert_ruy", "litert_reference"}
        The same in all. The 16-bit products before the gate are rounded half up.

    Returns
    -------
    ndarray of int8, in the shape of ``x_q``
        Saturates.

    Raises
    ------
    TypeError
        If ``x_q`` is not int8.
    ValueError
        If a QParams has an axis or another grid, the dialect is unknown, or ``x_qp.scale / y_qp.scale`` is 128 or more,
        which LiteRT refuses.

    Examples
    --------
    >>> qp = QParams(scale=0.05, zero_point=0, grid=INT8)
    >>> hard_swish(np.array([-80, -30, 0, 30, 80], np.int8), x_qp=qp, y_qp=qp, dialect="litert")
    array([ 0, -8,  0, 23, 80], dtype=int8)
    """
    x_q = _checked(x_q, x_qp, y_qp, dialect)
    fine_scale = x_qp.scale * np.float32(2.0**-7)
    to_output, output_shift = _multiplier16(fine_scale / y_qp.scale)
    to_gate, gate_shift = _multiplier16(fine_scale / np.float32(3 / 32768))
    if output_shift > 0:
        raise ValueError(
            f"x_qp.scale={x_qp.scale}, y_qp.scale={y_qp.scale}; expected an input less than 128 times as coarse as the "
            "output, as LiteRT does"
        )
    v = _offsets(x_qp) << 7
    # All but one bit of a left shift comes before the multiplier, for precision: what saturates there saturates anyway.
    gate = _int16(v << (gate_shift - 1)) if gate_shift > 0 else v
    gate = _high_mul16(gate, to_gate)
    if gate_shift > 0:
        gate = _int16(gate << 1)
    gate = (_shift_half_away(gate, max(-gate_shift, 0)) + 2**15) >> 1
    product = gate * _high_mul16(v, to_output)
    cut = np.sign(product) * (np.abs(product) >> 15)
    return _look_up(x_q, _shift_half_away(cut, -output_shift) + y_qp.zero_point)


def _multiplier16(real: np.float32) -> tuple[int, int]:
    """Return `quantize_multiplier` with its multiplier cut down to 16 bits, half up."""
    multiplier, shift = (int(part) for part in quantize_multiplier(real))
    return (2**15 - 1 if multiplier >= INT32_MAX - 2**15 else (multiplier + 2**15) >> 16), shift


def _int16(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -(2**15), 2**15 - 1)


def _high_mul16(a: np.ndarray, b: int) -> np.ndarray:
    """Return the high 16 bits of ``2 * a * b``, rounded half up; b is never -2**15, so it fits."""
    return (a * b + 2**14) >> 15


def _shift_half_away(x: np.ndarray, shift: int) -> np.ndarray:
    return np.sign(x) * ((np.abs(x) + ((1 << shift) >> 1)) >> shift)


def _checked(x_q: np.ndarray, x_qp: QParams, y_qp: QParams, dialect: str) -> np.ndarray:
    check_kernel_set(dialect)
    check_one_scale_on_grid("y", y_qp, INT8)
    return codes_of("x", x_q, x_qp)


def _offsets(qp: QParams) -> np.ndarray:
    """Return all codes without the zero point."""
    return CODES.astype(np.int64) - int(qp.zero_point)


def _look_up(x_q: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the table of ``steps``, clipped to int8, at the codes."""
    return np.clip(steps, -128, 127).astype(np.int8)[x_q.astype(np.int64) + 128]
