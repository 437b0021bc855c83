r"""SOFTMAX of int8 codes: a table of float exponentials, or fixed point down to the division.

The largest code of a row is taken out first, so that one table of 256 exponentials ``exp(-s_x * beta * d)`` serves all
rows ("litert", "litert_ruy": LiteRT's own kernel, since XNNPACK does not take the int8 one):

.. math:: q_j = \mathrm{round}\left( e_j \cdot \frac{1}{s_y \sum_i e_i} \right) - 128

in float32, added from left to right, ties away from zero. The reference kernel ("litert_reference") has no floats at
all. A number x in ``k`` integer bits is stored as ``x * 2**(31 - k)``:

- d: 5 integer bits; what its shift could carry beyond -31 counts as exp(d) = 0.
- exp(d): d is cut into a rest in [-1/4, 0), whose exponential is a polynomial of degree 4 about -1/8, and bits of 1/4
  to 16, each a multiplication by a constant exp(-2**k).
- the sum: 12 integer bits, the exponentials rounded half away to 2**-19.
- 1 / sum: the sum is shifted to 1 + x with 0 <= x < 1; 1 / ((1 + x) / 2) by three steps of Newton from
  48/17 - 32/17 * (1 + x) / 2.
"""

import numpy as np

from quantlab.core.grid import Grid, round_half_away
from quantlab.core.qparams import QParams
from quantlab.integer.fixedpoint import (
    INT32_MAX,
    INT32_MIN,
    quantize_multiplier,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
)
from quantlab.integer.ops.common import check_kernel_set
from quantlab.integer.ops.operands import check_one_scale_on_grid, codes_of

__all__ = ["softmax"]

DIFF_BITS, SUM_BITS = 5, 12  # integer bits of the differences and of the sum of exponentials
# exp(-2**k) in 31 fractional bits, for the bits k of a difference
EXP_OF_BITS = {k: int(np.rint(np.exp(-(2.0**k)) * 2.0**31)) for k in range(-2, 5)}
EXP_EIGHTH = int(np.rint(np.exp(-1 / 8) * 2.0**31))
THIRD = int(np.rint(2.0**31 / 3))
NEWTON_48_17, NEWTON_32_17 = int(np.rint(48 / 17 * 2.0**29)), int(np.rint(-32 / 17 * 2.0**29))


def softmax(x_q: np.ndarray, *, x_qp: QParams, y_qp: QParams, dialect: str, beta: float = 1.0) -> np.ndarray:
    r"""Return ``exp(beta * x) / sum(exp(beta * x))`` along the last axis.

    Parameters
    ----------
    x_q : ndarray of int8, shape (..., C)
    x_qp, y_qp : QParams
        One scale and zero point each, on the grid of int8. The output's are 1 / 256 and -128: the kernels want that.
    dialect : {"litert", "litert_ruy", "litert_reference"}
        See the head of this module.
    beta : float
        Taken as float32; positive.

    Returns
    -------
    ndarray of int8, in the shape of ``x_q``
        A probability of 1 would be code 128; it saturates at 127.

    Raises
    ------
    TypeError
        If ``x_q`` is not int8.
    ValueError
        If a QParams has an axis or another grid, the output's scale is not 1 / 256 or its zero point not -128, beta is
        not positive and finite, the dialect is unknown, the last axis is missing or empty. With "litert_reference" also
        if ``beta * x_qp.scale`` is 2**-26 or less, or if the exponentials of a row sum up to 512 or more, as 512 equal
        logits do: the kernel then ends the process.

    References
    ----------
    tflite/kernels/activations.cc, Softmax in tflite/kernels/internal/optimized/optimized_ops.h and
    tflite/kernels/internal/reference/softmax.h in LiteRT; exp_on_negative_values and one_over_one_plus_x_for_x_in_0_1
    in gemmlowp's fixedpoint/fixedpoint.h. Measured next to ties; the two formulas differ there, by 1.

    Examples
    --------
    >>> x_qp, y_qp = (QParams(scale=s, zero_point=z, grid=Grid(n_bits=8)) for s, z in ((0.1, 0), (1 / 256, -128)))
    >>> softmax(np.array([[10, 20, 30]], np.int8), x_qp=x_qp, y_qp=y_qp, dialect="litert")
    array([[-105,  -65,   42]], dtype=int8)
    """
    check_kernel_set(dialect)
    x_q = codes_of("x", x_q, x_qp)
    check_one_scale_on_grid("y", y_qp, Grid(n_bits=8))
    if y_qp.scale != 2.0**-8 or y_qp.zero_point != -128:
        raise ValueError(f"y_qp={y_qp}; expected scale 1 / 256 and zero point -128, as the kernels do")
    beta = np.float32(beta)
    if not (np.isfinite(beta) and beta > 0):
        raise ValueError(f"beta={beta}; expected a positive, finite number")
    if not x_q.ndim or not x_q.shape[-1]:
        raise ValueError(f"x_q.shape={x_q.shape}; expected a last axis with at least one value")
    depth = x_q.max(axis=-1, keepdims=True).astype(np.int64) - x_q  # 0 to 255 below the largest
    steps = _fixed(depth, x_qp.scale, beta) if dialect == "litert_reference" else _from_table(depth, x_qp.scale, beta)
    return np.clip(steps - 128, -128, 127).astype(np.int8)


def _from_table(depth: np.ndarray, scale: np.float32, beta: np.float32) -> np.ndarray:
    exponents = -scale * beta * np.arange(256, dtype=np.float32)
    table = np.exp(exponents.astype(np.float64)).astype(np.float32)
    e = table[depth]
    total = np.cumsum(e, axis=-1, dtype=np.float32)[..., -1:]  # cumsum adds in order; sum does not
    return round_half_away(e * (np.float32(1) / (total * np.float32(2.0**-8))))


def _fixed(depth: np.ndarray, scale: np.float32, beta: np.float32) -> np.ndarray:
    real = np.float64(beta) * np.float64(scale) * 2.0 ** (31 - DIFF_BITS)
    if real <= 1:
        raise ValueError(
            f"beta={beta}, x_qp.scale={scale}; expected a product over 2**-26 = 1.5e-8: 'litert_reference' ends the "
            "process on a smaller one"
        )
    multiplier, shift = (int(part) for part in quantize_multiplier(real))
    # What the shift alone could move beyond -31 counts as 0.
    deepest = int((2**DIFF_BITS - 1) * 2.0 ** (31 - DIFF_BITS - shift))
    e = _exp(_multiply(-np.minimum(depth, deepest) << shift, multiplier))
    e = np.where(depth <= deepest, e, 0)
    total = _divide(e, SUM_BITS).sum(axis=-1, keepdims=True)
    n_bits = np.frexp(total.astype(np.float64))[1].astype(np.int64)  # 2**(n_bits - 1) <= total < 2**n_bits
    if (n_bits > 28).any():
        raise ValueError(
            f"x_q has a row of {depth.shape[-1]} values whose exponentials sum up to 512 or more; the kernel of "
            "'litert_reference' shifts by more than 31 bits there and ends the process: use another kernel set"
        )
    inverse = _inverse_of_one_plus((total << (32 - n_bits)) - 2**31)
    return _divide(_multiply(inverse, e), n_bits + 3)


def _exp(d: np.ndarray) -> np.ndarray:
    """Return exp of numbers <= 0: 5 integer bits in, none out; exp(0) is 2**31 - 1."""
    quarter = 1 << (31 - DIFF_BITS - 2)
    rest = (d & (quarter - 1)) - quarter  # in [-1/4, 0)
    x = (rest << DIFF_BITS) + 2**28  # about -1/8
    x2 = _multiply(x, x)
    x3, x4 = _multiply(x2, x), _multiply(x2, x2)
    tail = _divide(_multiply(_divide(x4, 2) + x3, THIRD) + x2, 1)  # x**2 / 2 + x**3 / 6 + x**4 / 24
    e = EXP_EIGHTH + _multiply(x + tail, EXP_EIGHTH)
    bits = rest - d
    for k, factor in EXP_OF_BITS.items():
        e = np.where(bits & (1 << (31 - DIFF_BITS + k)), _multiply(e, factor), e)
    return np.where(d == 0, INT32_MAX, e)


def _inverse_of_one_plus(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + x) for x in [0, 1): no integer bits in, none out."""
    half = (x + INT32_MAX + 1) // 2  # (1 + x) / 2, rounded half up
    y = NEWTON_48_17 + _multiply(half, NEWTON_32_17)  # 2 integer bits
    for _ in range(3):
        y = y + (_multiply(y, 2**29 - _multiply(half, y)) << 2)
    return np.clip(y << 1, INT32_MIN, INT32_MAX)


def _multiply(a: np.ndarray, b: np.ndarray | int) -> np.ndarray:
    return saturating_rounding_doubling_high_mul(a, b).astype(np.int64)


def _divide(a: np.ndarray, exponent: np.ndarray | int) -> np.ndarray:
    return rounding_divide_by_pot(a, exponent).astype(np.int64)
