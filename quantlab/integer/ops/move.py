"""Operators that move values and compute nothing."""

import numpy as np

from quantlab.core.qparams import QParams
from quantlab.integer.ops.common import check_integers, check_one_scale

__all__ = ["pad"]


def pad(x_q: np.ndarray, *, x_qp: QParams, paddings: np.ndarray, value_q: int | None = None) -> np.ndarray:
    """Return ``x_q`` with constant codes around it: LiteRT's PAD and PADV2.

    Parameters
    ----------
    x_q : ndarray of integers
    x_qp : QParams
        Of input and output; its zero point stands for the real number 0.
    paddings : array_like of int, shape (x_q.ndim, 2)
        How many codes stand before and after, for every axis; 0 or more.
    value_q : int, optional
        The code to pad with (PADV2); the zero point when left out (PAD).

    Raises
    ------
    TypeError
        If ``x_q`` is not of an integer dtype.
    ValueError
        If the paddings do not fit the array, the QParams has an axis, or the code to pad with is none of the dtype.

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> qp = QParams(scale=0.1, zero_point=-3, grid=Grid(n_bits=8))
    >>> pad(np.array([[1, 2]], np.int8), x_qp=qp, paddings=[(0, 0), (1, 2)])
    array([[-3,  1,  2, -3, -3]], dtype=int8)
    """
    x_q, paddings = check_integers("x_q", x_q), np.asarray(paddings)
    check_one_scale("x_qp", x_qp)
    if paddings.shape != (x_q.ndim, 2) or paddings.dtype.kind not in "iu" or (paddings < 0).any():
        raise ValueError(
            f"paddings={paddings.tolist()} for x_q.shape={x_q.shape}; expected {x_q.ndim} pairs of integers, 0 or more"
        )
    value, ends = x_qp.zero_point if value_q is None else value_q, np.iinfo(x_q.dtype)
    if np.ndim(value) or value != np.round(value) or not ends.min <= value <= ends.max:
        raise ValueError(f"value_q={value}; expected an integer from {ends.min} to {ends.max}: codes are {x_q.dtype}")
    return np.pad(x_q, paddings, constant_values=np.asarray(value).astype(x_q.dtype))
