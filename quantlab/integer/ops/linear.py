"""Products and layers on integers alone: quantized inputs and weights in, quantized outputs out."""

import numpy as np

from quantlab.core.qparams import QParams
from quantlab.integer.matmul import int_matmul_zero_point
from quantlab.integer.ops.accumulate import ExactProduct, shifted, shifted_bound
from quantlab.integer.ops.common import (
    check_activation,
    check_integers,
    check_one_scale,
    check_weight_scale,
    layer_bias,
    layer_requantizer,
)
from quantlab.integer.requantize import requantize

__all__ = ["fully_connected", "matmul"]


def matmul(
    a_q: np.ndarray, b_q: np.ndarray, *, a_qp: QParams, b_qp: QParams, y_qp: QParams, dialect: str = "onnx"
) -> np.ndarray:
    r"""Return the quantized product of two quantized matrices: ONNX's QLinearMatMul.

    .. math:: q = \mathrm{requantize}\Big( \sum_k (A_{ik} - z_a)(B_{kj} - z_b) \Big)

    Parameters
    ----------
    a_q : ndarray of integers, shape (..., M, K)
    b_q : ndarray of integers, shape (..., K, N)
    a_qp, y_qp : QParams
        One scale and one zero point each.
    b_qp : QParams
        One scale, or one a column (``axis=-1`` or its positive equal).
    dialect : str
        See `quantlab.integer.requantize`.

    Returns
    -------
    ndarray of ``y_qp.grid.dtype``, shape (..., M, N)

    Raises
    ------
    TypeError
        If an operand is not of an integer dtype.
    ValueError
        If shapes, axes or the dialect do not fit, or an accumulator leaves int32.

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> qp = QParams(scale=0.5, zero_point=1, grid=Grid(n_bits=8))
    >>> matmul(np.array([[3, 5]], np.int8), np.array([[2], [4]], np.int8), a_qp=qp, b_qp=qp, y_qp=qp)
    array([[8]], dtype=int8)
    """
    check_one_scale("a_qp", a_qp)
    check_one_scale("y_qp", y_qp)
    if b_qp.axis not in (None, -1, np.ndim(b_q) - 1) or b_qp.group_size is not None:
        raise ValueError(
            f"b_qp.axis={b_qp.axis}, b_qp.group_size={b_qp.group_size}; expected one scale, or one a column (axis=-1)"
        )
    acc = int_matmul_zero_point(a_q, b_q, a_qp.zero_point, b_qp.zero_point)
    return requantize(
        acc,
        x_scale=a_qp.scale,
        w_scale=b_qp.scale,
        y_scale=y_qp.scale,
        y_zero_point=y_qp.zero_point,
        grid=y_qp.grid,
        dialect=dialect,
    )


def fully_connected(
    x_q: np.ndarray,
    w_q: np.ndarray,
    bias_q: np.ndarray | None,
    *,
    x_qp: QParams,
    w_qp: QParams,
    y_qp: QParams,
    dialect: str,
    activation: str | None = None,
) -> np.ndarray:
    r"""Return ``activation(x @ W.T + b)``, computed on integers and requantized.

    .. math:: a_{no} = \sum_i (X_{ni} - z_x)(W_{oi} - z_w) + b_o, \qquad
              q_{no} = \mathrm{requantize}(a_{no})

    Parameters
    ----------
    x_q : ndarray of integers, shape (..., in)
    w_q : ndarray of integers, shape (out, in)
    bias_q : ndarray of int32, shape (out,), or None
        From `quantize_bias`. For ``dialect="torch"`` the float32 bias itself.
    x_qp, y_qp : QParams
        One scale and one zero point each.
    w_qp : QParams
        One scale, or one an output (``axis=0``).
    dialect : str
        See `quantlab.integer.requantize`.
    activation : {None, "relu", "relu6"}
        Fused: a clamp of the *output integers* to the marks of 0 and 6. It costs nothing and rounds nothing.

    Returns
    -------
    ndarray of ``y_qp.grid.dtype``, shape (..., out)

    Raises
    ------
    TypeError
        If an operand is not of an integer dtype.
    ValueError
        If shapes, axes, the dialect or the activation do not fit, or an accumulator leaves int32.

    Notes
    -----
    The mark of 6 is a rounded number, too: ``rint(f32(6 / scale) + zero_point)`` in XNNPACK, half away from zero of
    ``f32(6 / scale)`` in LiteRT's other kernels. onnx and torch, which have no fused relu6, quantize 6 as any other
    value.

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> grid = Grid(n_bits=8)
    >>> x_qp = QParams(scale=0.1, zero_point=-3, grid=grid)
    >>> w_qp = QParams(scale=[0.02, 0.01], zero_point=[0, 0], grid=grid, axis=0)
    >>> y_qp = QParams(scale=0.05, zero_point=10, grid=grid)
    >>> x_q, w_q = np.array([[7, -13]], np.int8), np.array([[50, 20], [-30, 40]], np.int8)
    >>> fully_connected(x_q, w_q, None, x_qp=x_qp, w_qp=w_qp, y_qp=y_qp, dialect="litert")
    array([[22, -4]], dtype=int8)
    >>> fully_connected(x_q, w_q, None, x_qp=x_qp, w_qp=w_qp, y_qp=y_qp, dialect="litert", activation="relu")
    array([[22, 10]], dtype=int8)
    """
    check_activation(activation)
    check_one_scale("x_qp", x_qp)
    check_one_scale("y_qp", y_qp)
    x_q, w_q = check_integers("x_q", x_q), check_integers("w_q", w_q)
    if w_q.ndim != 2 or not w_q.size:
        raise ValueError(f"w_q.shape={w_q.shape}; expected (out, in), 1 or more of both")
    n_out, n_in = w_q.shape
    if x_q.shape[-1:] != (n_in,):
        raise ValueError(
            f"x_q.shape={x_q.shape} and w_q.shape={w_q.shape}; expected (..., {n_in}) and ({n_out}, {n_in})"
        )
    check_weight_scale(w_qp, n_out)
    bias, float_bias = layer_bias(bias_q, n_out, dialect=dialect)
    step = layer_requantizer(
        n_out, x_qp=x_qp, w_qp=w_qp, y_qp=y_qp, dialect=dialect, activation=activation, float_bias=float_bias
    )
    W = shifted(w_q, w_qp.zero_point).T
    product = ExactProduct(W, bias, x_bound=shifted_bound(x_q, x_qp.zero_point))
    acc = product(shifted(x_q, x_qp.zero_point).reshape(-1, n_in))
    return step(acc).reshape(*x_q.shape[:-1], n_out)
