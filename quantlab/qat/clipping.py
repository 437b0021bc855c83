"""Learned clipping: where the range ends is a parameter, trained with the weights.

PACT (Choi et al. 2018) learns the upper end of activations behind a ReLU. On a signed grid the same rule learns one
magnitude for both ends, and so clips weights. That is the learned clipping of this room, in place of DoReFa's weights
(Zhou et al. 2016, arXiv:1606.06160): DoReFa sends weights through ``tanh(w) / max|tanh(w)|``, which changes what a
trained network computes before anything is rounded, and wants a batch norm to put the lost scale back. Clipping starts
where the float network stands.

The step is ``alpha / quant_max``, so a learned end is a learned step in other units. What differs from LSQ is the
gradient: here only clipped values pull at the end; in LSQ the rounding error inside pulls, too.
"""

import numpy as np

from quantlab.core.affine import fake_quantize
from quantlab.core.granularity import reduce_groups
from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams
from quantlab.qat.ste import along_axis, broadcast_qparams

__all__ = ["clip_backward", "clip_qparams", "clip_quantize", "initial_clip"]


def clip_qparams(alpha: np.ndarray, *, grid: Grid, axis: int | None = None) -> QParams:
    """Return scale ``alpha / quant_max`` and zero point 0: the last mark lies at alpha.

    Raises
    ------
    ValueError
        If the grid is neither unsigned nor narrow (a full signed grid reaches one step beyond -alpha), or an alpha is
        not positive.

    Examples
    --------
    >>> clip_qparams(6.0, grid=Grid(n_bits=2, signed=False))
    QParams(scale=2.0, zero_point=0, grid=Grid(n_bits=2, signed=False, narrow=False))
    """
    if grid.quant_min not in (0, -grid.quant_max):
        raise ValueError(
            f"grid={grid}; expected an unsigned grid, or a signed one with narrow=True, which ends at -alpha"
        )
    return QParams(scale=np.asarray(alpha, np.float32) / np.float32(grid.quant_max), zero_point=0, grid=grid, axis=axis)


def initial_clip(x: np.ndarray, *, grid: Grid, axis: int | None = None) -> np.ndarray:
    """Return the end to begin with: the largest value that the grid can hold, so that nothing is clipped at first.

    The paper begins at 10 for all layers, a number for networks with batch norm; data say more.

    Parameters
    ----------
    x : ndarray of float, any shape, not empty
        Weights, or the first batch of activations.
    grid : Grid
    axis : int, optional

    Returns
    -------
    ndarray of float32, shape () or (x.shape[axis],)
        On an unsigned grid the largest value, else the largest magnitude; at least 2**-23 times ``quant_max``.

    Raises
    ------
    ValueError
        If ``x`` is empty, or what would be the end is not finite in float32.

    Examples
    --------
    >>> initial_clip(np.array([-3.0, 2.0]), grid=Grid(n_bits=4, signed=False))
    np.float32(2.0)
    """
    x = np.asarray(x, np.float32)
    largest = reduce_groups(np.abs(x) if grid.signed else x, np.max, axis=axis)
    if not np.isfinite(largest).all():
        raise ValueError(f"the largest value is {np.max(largest)}; a range needs finite values")
    return np.maximum(largest, np.float32(grid.quant_max * 2.0**-23))[()]


def clip_quantize(x: np.ndarray, alpha: np.ndarray, *, grid: Grid, axis: int | None = None) -> np.ndarray:
    r"""Return the values clipped to ``[0, alpha]``, on a signed grid to ``[-alpha, alpha]``, and rounded.

    .. math:: y = \tfrac12 \big( |x| - |x - \alpha| + \alpha \big), \qquad
              y_q = \mathrm{round}\Big( y\, \frac{2^k - 1}{\alpha} \Big) \frac{\alpha}{2^k - 1}

    Parameters
    ----------
    x : ndarray of float, any shape
        Infinities are clipped; NaN stays NaN.
    alpha : float or ndarray of float32, shape () or (x.shape[axis],)
    grid : Grid
        Unsigned, or signed and narrow.
    axis : int, optional

    Returns
    -------
    ndarray of float32, in the shape of ``x``

    Raises
    ------
    ValueError
        As `clip_qparams`.

    References
    ----------
    Choi et al. 2018, "PACT: Parameterized Clipping Activation for Quantized Neural Networks", arXiv:1805.06085,
    eqs. 1 and 2.

    Examples
    --------
    >>> clip_quantize(np.array([-1.0, 2.9, 9.0]), 6.0, grid=Grid(n_bits=2, signed=False))
    array([0., 2., 6.], dtype=float32)
    """
    return fake_quantize(x, clip_qparams(alpha, grid=grid, axis=axis))


def clip_backward(
    dy: np.ndarray,
    x: np.ndarray,
    alpha: np.ndarray,
    *,
    grid: Grid,
    axis: int | None = None,
    decay: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return the gradients by the values and by alpha, straight through the rounding.

    .. math::
        \frac{\partial y_q}{\partial x} = [\,0 \le x < \alpha\,], \qquad
        \frac{\partial y_q}{\partial \alpha} = [\,x \ge \alpha\,], \qquad
        d_\alpha = \sum \frac{\partial L}{\partial y_q} \frac{\partial y_q}{\partial \alpha} + \lambda \alpha

    On a signed grid the gradient passes where ``|x| < alpha``, and ``x <= -alpha`` counts -1 in alpha's.

    Parameters
    ----------
    dy, x : ndarray of float32, equal shapes
    alpha, grid, axis
        As for `clip_quantize`.
    decay : float
        lambda: adds the gradient of ``lambda alpha**2 / 2``. Without it only clipped values pull at alpha, so that one
        that clips nothing never moves; what finer steps would gain is in no term, and lambda stands for it.

    Returns
    -------
    dx : ndarray of float32, in the shape of ``x``
        x = alpha counts as clipped, as in the paper's eq. 3; x = 0 as inside. NaN passes nothing.
    d_alpha : ndarray of float32, shape () or (x.shape[axis],)
        Summed in float64.

    Raises
    ------
    ValueError
        If the shapes differ or do not fit, ``decay`` is negative or NaN, or as `clip_qparams`.

    References
    ----------
    Choi et al. 2018, arXiv:1805.06085, eq. 3 and section 3.

    Examples
    --------
    >>> clip_backward(np.ones(3), np.array([-1.0, 2.9, 9.0]), 6.0, grid=Grid(n_bits=2, signed=False), decay=0.5)
    (array([0., 1., 0.], dtype=float32), np.float32(4.0))
    """
    if np.shape(dy) != np.shape(x):
        raise ValueError(f"dy.shape={np.shape(dy)}; expected {np.shape(x)}, the shape of x")
    if not decay >= 0:
        raise ValueError(f"decay={decay}; expected 0 or more")
    dy, x, alpha = (np.asarray(v, np.float32) for v in (dy, x, alpha))
    broadcast_qparams(clip_qparams(alpha, grid=grid, axis=axis), x.shape)  # refuses an alpha that does not fit
    end = alpha if axis is None else along_axis(alpha, x.ndim, axis=axis)
    above = x >= end
    below = x <= -end if grid.signed else np.zeros_like(above)
    inside = (np.abs(x) < end) if grid.signed else (x >= 0) & (x < end)
    pulls = reduce_groups(dy * above - dy * below, lambda v, axis: v.sum(axis=axis, dtype=np.float64), axis=axis)
    return dy * inside, np.asarray(pulls + decay * alpha, np.float32)[()]
