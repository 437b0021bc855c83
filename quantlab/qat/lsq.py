"""Learned step size quantization: the step is a parameter, trained with the weights (Esser et al. 2020).

The grid has no zero point: real 0 is mark 0. Weights take a signed grid, activations after a ReLU an unsigned one. The
paper's Q_N and Q_P are ``-grid.quant_min`` and ``grid.quant_max``. Forward is `quantlab.fake_quantize`.
"""

import numpy as np

from quantlab.core.affine import fake_quantize
from quantlab.core.arguments import as_integer
from quantlab.core.granularity import reduce_groups
from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams
from quantlab.qat.ste import broadcast_qparams

__all__ = ["gradient_scale", "initial_step", "lsq_backward", "lsq_quantize", "step_qparams"]


def step_qparams(step: np.ndarray, *, grid: Grid, axis: int | None = None) -> QParams:
    """Return the step as a scale with the zero point 0, for `quantlab.quantize` and its kin.

    Raises
    ------
    ValueError
        If 0 is not on the grid, a step is not a positive normal number (a learned one may step below 0: lower its
        learning rate), or there are several without an axis.

    Examples
    --------
    >>> step_qparams(0.5, grid=Grid(n_bits=2))
    QParams(scale=0.5, zero_point=0, grid=Grid(n_bits=2, signed=True, narrow=False))
    """
    return QParams(scale=step, zero_point=0, grid=grid, axis=axis)


def initial_step(v: np.ndarray, *, grid: Grid, axis: int | None = None) -> np.ndarray:
    r"""Return the step to begin with, from the values that will be quantized.

    .. math:: s_0 = \frac{2 \langle |v| \rangle}{\sqrt{Q_P}}

    Parameters
    ----------
    v : ndarray of float, any shape, not empty
        Weights, or the first batch of activations.
    grid : Grid
        With marks above 0.
    axis : int, optional
        One step for each slice along it.

    Returns
    -------
    ndarray of float32, shape () or (v.shape[axis],)
        At least 2**-23, torch's floor for scales, which is what all zeros get.

    Raises
    ------
    ValueError
        If ``v`` is empty or its mean magnitude is not finite, or no mark lies above 0.

    References
    ----------
    Esser et al. 2020, arXiv:1902.08153, section 2.1.

    Examples
    --------
    >>> initial_step(np.array([-3.0, 1.0]), grid=Grid(n_bits=3, signed=False)).round(4)
    np.float32(1.5119)
    """
    size = reduce_groups(np.abs(np.asarray(v, np.float32)), np.mean, axis=axis)
    if not np.isfinite(size).all():
        raise ValueError(f"the mean magnitude of v is {np.max(size)}; a step needs finite values")
    return np.maximum(2 * size / np.sqrt(_marks_above(grid)), 2.0**-23).astype(np.float32)[()]


def gradient_scale(n: int, *, grid: Grid) -> float:
    r"""Return the factor that balances the step's gradient against those of the weights.

    .. math:: g = \frac{1}{\sqrt{n\, Q_P}}

    Parameters
    ----------
    n : int
        Values that share the step: for weights their number, for activations the features of one sample.
    grid : Grid

    Raises
    ------
    TypeError
        If ``n`` is not an integer.
    ValueError
        If ``n`` is below 1, or no mark lies above 0.

    Notes
    -----
    A step's gradient is a sum over n values, so it grows with n, and a longer grid makes its terms larger. An optimizer
    that divides each gradient by its own size, as Adam does, cancels any such factor; SGD does not.

    References
    ----------
    Esser et al. 2020, arXiv:1902.08153, section 2.2.

    Examples
    --------
    >>> gradient_scale(2500, grid=Grid(n_bits=2))
    0.02
    """
    if as_integer("n", n) < 1:
        raise ValueError(f"n={n}; expected the number of values that share a step, 1 or more")
    return float(1 / np.sqrt(n * _marks_above(grid)))


def lsq_quantize(v: np.ndarray, step: np.ndarray, *, grid: Grid, axis: int | None = None) -> np.ndarray:
    r"""Return the values rounded to multiples of the step.

    .. math:: \hat v = s \cdot \mathrm{round}\big(\mathrm{clip}(v / s,\; -Q_N,\; Q_P)\big)

    Parameters
    ----------
    v : ndarray of float, any shape
        Infinities are clipped; NaN stays NaN. Ties go to the even mark.
    step : float or ndarray of float32, shape () or (v.shape[axis],)
    grid : Grid
    axis : int, optional

    Returns
    -------
    ndarray of float32, in the shape of ``v``

    Raises
    ------
    ValueError
        As `step_qparams`.

    References
    ----------
    Esser et al. 2020, arXiv:1902.08153, eqs. 1 and 2. Equal to the bit to torch's learnable fake quantization with a
    zero point of 0.

    Examples
    --------
    >>> lsq_quantize(np.array([-9.0, 0.4, 1.3]), 0.5, grid=Grid(n_bits=3))
    array([-2. ,  0.5,  1.5], dtype=float32)
    """
    return fake_quantize(v, step_qparams(step, grid=grid, axis=axis))


def lsq_backward(
    dv_hat: np.ndarray,
    v: np.ndarray,
    step: np.ndarray,
    *,
    grid: Grid,
    axis: int | None = None,
    grad_factor: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the gradients by the values and by the step.

    .. math::
        \frac{\partial \hat v}{\partial v} = \begin{cases} 1 & \text{inside} \\ 0 & \text{outside} \end{cases} \qquad
        \frac{\partial \hat v}{\partial s} = \begin{cases} \mathrm{round}(v / s) - v / s & \text{inside} \\
        -Q_N & \text{below} \\ Q_P & \text{above} \end{cases}

    Inside is where the rounded value lies on the grid, as in torch and `quantlab.qat.ste.straight_through_mask`. (The
    paper's inside is -Q_N < v / s < Q_P: it ends at the outermost marks, half a step earlier.) The terms are ``q``
    outside and ``q - v / s`` inside, so that two dot products are enough:

    .. math:: \frac{\partial L}{\partial s} = \sum \frac{\partial L}{\partial \hat v} q
              - \frac1s \sum_{\text{inside}} \frac{\partial L}{\partial \hat v} v, \qquad
              q = \mathrm{clip}(\mathrm{round}(v/s))

    Parameters
    ----------
    dv_hat, v : ndarray of float32, equal shapes
    step, grid, axis
        As for `lsq_quantize`.
    grad_factor : float
        Multiplies the step's gradient; the paper takes `gradient_scale`.

    Returns
    -------
    dv : ndarray of float32, in the shape of ``v``
    d_step : ndarray of float32, shape () or (v.shape[axis],)
        The products and sums are taken in float64, where a product of two float32 is exact. Infinite ``v`` count as
        outside; NaN makes it NaN.

    Raises
    ------
    ValueError
        If the shapes differ or do not fit, or as `step_qparams`.

    Notes
    -----
    The same as `quantlab.qat.ste.fake_quantize_learnable_backward` at the zero point 0, which repeats torch's float32
    arithmetic term by term and is many times slower. ``dv`` equals torch's to the bit, ``d_step`` to 1e-6 of the sum of
    its terms' magnitudes: torch rounds every term to float32, and adds in float32.

    References
    ----------
    Esser et al. 2020, arXiv:1902.08153, eqs. 3 and 5, with torch's ends.

    Examples
    --------
    >>> lsq_backward(np.ones(3), np.array([-9.0, 0.4, 9.0]), 1.0, grid=Grid(n_bits=3))
    (array([0., 1., 0.], dtype=float32), np.float32(-1.4))
    """
    if np.shape(dv_hat) != np.shape(v):
        raise ValueError(f"dv_hat.shape={np.shape(dv_hat)}; expected {np.shape(v)}, the shape of v")
    dv_hat, v, step = (np.asarray(x, np.float32) for x in (dv_hat, v, step))
    s, _ = broadcast_qparams(step_qparams(step, grid=grid, axis=axis), v.shape)
    # One step beyond the grid is as far out as infinity, and 0 times infinity is no number.
    v = np.clip(v, (grid.quant_min - 1) * s, (grid.quant_max + 1) * s)
    q = np.rint(v * (np.float32(1) / s))
    inside = (q >= grid.quant_min) & (q <= grid.quant_max)
    np.clip(q, grid.quant_min, grid.quant_max, out=q)
    dv = dv_hat * inside
    d_step = _dot(dv_hat, q, axis=axis) - _dot(dv, v, axis=axis) / step
    return dv, np.asarray(d_step * grad_factor, np.float32)[()]


def _dot(a: np.ndarray, b: np.ndarray, *, axis: int | None) -> np.ndarray:
    """Return the sum of a * b over all that shares a step; einsum converts to float64 piece by piece, in the cache."""
    if axis is None:
        return np.einsum("i,i->", a.reshape(-1), b.reshape(-1), dtype=np.float64)
    a, b = (np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1) for x in (a, b))
    return np.einsum("ij,ij->i", a, b, dtype=np.float64)


def _marks_above(grid: Grid) -> int:
    if grid.quant_max < 1:
        raise ValueError(f"grid={grid} has no mark above 0; take 2 bits or more, or an unsigned grid")
    return grid.quant_max
