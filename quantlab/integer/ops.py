"""Products and layers on integers alone: quantized inputs and weights in, quantized outputs out."""

import numpy as np

from quantlab.core.affine import quantize
from quantlab.core.qparams import QParams
from quantlab.integer.matmul import int_matmul_zero_point
from quantlab.integer.requantize import requantize

__all__ = ["fully_connected", "matmul"]

ACTIVATIONS = (None, "relu", "relu6")


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
    _check_one_scale("a_qp", a_qp)
    _check_one_scale("y_qp", y_qp)
    if b_qp.axis not in (None, -1, np.ndim(b_q) - 1) or b_qp.group_size is not None:
        raise ValueError(
            f"b_qp.axis={b_qp.axis}, b_qp.group_size={b_qp.group_size}; expected one scale, or one a column (axis=-1)"
        )
    acc = int_matmul_zero_point(a_q, b_q, a_qp.zero_point, b_qp.zero_point)
    return _requantize(acc, a_qp, b_qp, y_qp, dialect=dialect)


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
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation={activation!r}; expected one of {ACTIVATIONS}")
    _check_one_scale("x_qp", x_qp)
    _check_one_scale("y_qp", y_qp)
    if w_qp.axis not in (None, 0) or w_qp.group_size is not None:
        raise ValueError(
            f"w_qp.axis={w_qp.axis}, w_qp.group_size={w_qp.group_size}; expected one scale, or one an output (axis=0)"
        )
    w_q = np.asarray(w_q)
    if w_q.ndim != 2:
        raise ValueError(f"w_q.shape={w_q.shape}; expected (out, in)")
    x_q = np.asarray(x_q)
    acc = int_matmul_zero_point(np.atleast_2d(x_q), w_q.T, x_qp.zero_point, w_qp.zero_point)
    acc = acc.reshape(*x_q.shape[:-1], len(w_q))
    float_bias = None
    if bias_q is not None:
        bias_q = np.asarray(bias_q)
        if bias_q.shape != (len(w_q),):
            raise ValueError(f"bias_q.shape={bias_q.shape}; expected ({len(w_q)},), one an output")
        if dialect == "torch":
            float_bias = bias_q
        elif np.issubdtype(bias_q.dtype, np.integer):
            acc = acc.astype(np.int64) + bias_q
        else:
            raise TypeError(f"bias_q.dtype={bias_q.dtype}; expected int32: use quantize_bias, or dialect='torch'")
    y_q = _requantize(acc, x_qp, w_qp, y_qp, dialect=dialect, bias=float_bias)
    return _clamp(y_q, y_qp, activation, dialect)


def _check_one_scale(name: str, qp: QParams) -> None:
    if qp.axis is not None:
        raise ValueError(f"{name}.axis={qp.axis}; expected None: activations have one scale")


def _requantize(
    acc: np.ndarray, x_qp: QParams, w_qp: QParams, y_qp: QParams, *, dialect: str, bias: np.ndarray | None = None
) -> np.ndarray:
    return requantize(
        acc,
        x_scale=x_qp.scale,
        w_scale=w_qp.scale,
        y_scale=y_qp.scale,
        y_zero_point=y_qp.zero_point,
        grid=y_qp.grid,
        dialect=dialect,
        bias=bias,
    )


def _clamp(y_q: np.ndarray, qp: QParams, activation: str | None, dialect: str) -> np.ndarray:
    """Apply a fused activation to output integers."""
    if activation is None:
        return y_q
    y_q = np.maximum(y_q, qp.zero_point.astype(y_q.dtype))
    if activation == "relu":
        return y_q
    six = np.float32(6)
    if dialect == "litert":
        mark = np.clip(np.rint(six / qp.scale + np.float32(qp.zero_point)), qp.grid.quant_min, qp.grid.quant_max)
    else:
        mark = quantize(six, qp, dialect=dialect if dialect in ("onnx", "torch") else "litert_reference")
    return np.minimum(y_q, np.asarray(mark).astype(y_q.dtype))
