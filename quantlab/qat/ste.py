"""The straight-through rule: gradients through rounding, for the input and for scale and zero point.

Rounding has the gradient zero almost everywhere, so nothing can be learned through it. The rule (Bengio et al. 2013,
arXiv:1308.3432) takes the gradient of the identity instead, where the quantizer did not clip, and zero where it did.
What rounds forward is `quantlab.fake_quantize`; here is the way back.
"""

import numpy as np

from quantlab.core.affine import fake_quantize
from quantlab.core.dialects import fma
from quantlab.core.granularity import reduce_groups, scale_shape
from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams

__all__ = [
    "along_axis",
    "broadcast_qparams",
    "fake_quantize_backward",
    "fake_quantize_learnable",
    "fake_quantize_learnable_backward",
    "straight_through_mask",
]


def broadcast_qparams(qp: QParams, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and zero point, both float32, in a shape that broadcasts against an array of ``shape``.

    Raises
    ------
    ValueError
        If the parameters do not fit the shape.

    Examples
    --------
    >>> qp = QParams(scale=[0.5, 0.25], zero_point=0, grid=Grid(n_bits=8), axis=1)
    >>> broadcast_qparams(qp, (3, 2, 4))[0].shape
    (1, 2, 1)
    """
    expected = scale_shape(shape, axis=qp.axis, group_size=qp.group_size)
    if np.shape(qp.scale) != expected:
        raise ValueError(
            f"scale has shape {np.shape(qp.scale)}; expected {expected} for an array of shape {shape}; choose the "
            "parameters for this array, or check the axis"
        )
    s, z = np.asarray(qp.scale), np.asarray(qp.zero_point, np.float32)
    if qp.axis is None:
        return s, z
    if qp.group_size is not None:
        return s.repeat(qp.group_size, qp.axis), z.repeat(qp.group_size, qp.axis)
    return along_axis(s, len(shape), axis=qp.axis), along_axis(z, len(shape), axis=qp.axis)


def along_axis(values: np.ndarray, ndim: int, *, axis: int) -> np.ndarray:
    """Return one value a slice in a shape that broadcasts against an array of ``ndim`` axes.

    Examples
    --------
    >>> along_axis(np.array([0.5, 0.25]), 3, axis=-2).shape
    (1, 2, 1)
    """
    return np.expand_dims(values, [i for i in range(ndim) if i != axis % ndim])


def straight_through_mask(x: np.ndarray, qp: QParams) -> np.ndarray:
    r"""Return where the rule lets a gradient pass: where the *rounded* value lies on the grid.

    .. math:: q_{\min} \le \mathrm{rint}(x / s) + z \le q_{\max}

    Parameters
    ----------
    x : ndarray of float, any shape
    qp : QParams

    Returns
    -------
    ndarray of bool, in the shape of ``x``
        The range is half a step wider than the grid at both ends, ties as `fake_quantize` decides them: at s = 0.1 on
        an int8 grid, 12.74 passes and 12.75 does not. NaN and infinities do not pass.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Notes
    -----
    As torch.fake_quantize_per_tensor_affine and per_channel_affine: ``x * f32(1 / s)`` in float32, half to even.

    Examples
    --------
    >>> qp = QParams(scale=0.1, zero_point=0, grid=Grid(n_bits=8))
    >>> straight_through_mask(np.array([12.74, 12.75, -12.85]), qp)
    array([ True, False,  True])
    """
    x = np.asarray(x, np.float32)
    s, z = broadcast_qparams(qp, x.shape)
    with np.errstate(over="ignore"):
        steps = np.rint(x * (np.float32(1) / s))
    return (steps >= qp.grid.quant_min - z) & (steps <= qp.grid.quant_max - z)


def fake_quantize_backward(dy: np.ndarray, x: np.ndarray, qp: QParams) -> np.ndarray:
    """Return the gradient by ``x`` under the straight-through rule: ``dy`` where the mask holds, else 0.

    Parameters
    ----------
    dy : ndarray of float32
        Gradient of the loss by ``fake_quantize(x, qp)``, in the shape of ``x``.
    x : ndarray of float32
    qp : QParams

    Returns
    -------
    ndarray of float32, in the shape of ``x``

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> qp = QParams(scale=1.0, zero_point=0, grid=Grid(n_bits=2))
    >>> fake_quantize_backward(np.ones(4, np.float32), np.array([-9.0, -2.0, 0.4, 9.0]), qp)
    array([0., 1., 1., 0.], dtype=float32)
    """
    if np.shape(dy) != np.shape(x):
        raise ValueError(f"dy.shape={np.shape(dy)}; expected {np.shape(x)}, the shape of x")
    return np.asarray(dy, np.float32) * straight_through_mask(x, qp)


def fake_quantize_learnable(
    x: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, *, grid: Grid, axis: int | None = None
) -> np.ndarray:
    """Fake-quantize with a zero point that is a real number while it is being learned.

    The zero point is rounded half to even and clipped to the grid; the rest is `fake_quantize`.

    Parameters
    ----------
    x : ndarray of float, any shape
    scale, zero_point : ndarray of float32
        Shape () for the tensor, or ``(x.shape[axis],)``.
    grid : Grid
    axis : int, optional

    Returns
    -------
    ndarray of float32, in the shape of ``x``

    Raises
    ------
    ValueError
        If a scale is not positive (a learned one may step below 0: lower its learning rate, or learn its logarithm),
        or the shapes do not fit. NaN in ``x`` stays NaN.

    Examples
    --------
    >>> fake_quantize_learnable(np.array([0.4, 9.0]), 1.0, -2.4, grid=Grid(n_bits=3))
    array([0., 5.], dtype=float32)
    """
    return fake_quantize(x, _rounded(scale, zero_point, grid=grid, axis=axis))


def fake_quantize_learnable_backward(
    dy: np.ndarray,
    x: np.ndarray,
    scale: np.ndarray,
    zero_point: np.ndarray,
    *,
    grid: Grid,
    axis: int | None = None,
    grad_factor: float = 1.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""Return the gradients by ``x``, scale and zero point: those of learned step size quantization, with a zero point.

    .. math::
        \frac{\partial \hat x}{\partial s} = \begin{cases} (\hat x - x) / s & \text{inside} \\
        q_{\min} - z & \text{below} \\ q_{\max} - z & \text{above} \end{cases} \qquad
        \frac{\partial \hat x}{\partial z} = \begin{cases} 0 & \text{inside} \\ -s & \text{outside} \end{cases}

    Parameters
    ----------
    dy, x : ndarray of float32, equal shapes
    scale, zero_point, grid, axis
        As for `fake_quantize_learnable`.
    grad_factor : float
        Multiplies the two gradients of the parameters, which are sums over many values; Esser et al. take
        ``1 / sqrt(x.size * quant_max)``.

    Returns
    -------
    dx, d_scale, d_zero_point : ndarray of float32
        In the shapes of ``x``, of the scales and of the scales again. The sums are taken in float64. Infinities count
        as outside, each on its side.

    Raises
    ------
    ValueError
        As `fake_quantize_learnable`.

    Notes
    -----
    As torch's CPU kernels, which fuse multiplications and additions: ``q = rint(fma(x, f32(1/s), z))`` says what is
    inside, and ``x_hat - x`` is ``fma(clip(q) - z, s, -x)``. At a few ties this q is another integer than the forward
    pass took, which adds z after rounding.
    torch's per-tensor kernel has one slip more: on the way back it rounds the zero point by cutting ``z + 0.5``
    towards zero, so that a learned zero point of -3 counts as -2. Its per-channel kernel does not, nor does this one.

    References
    ----------
    Esser et al. 2020, "Learned Step Size Quantization", arXiv:1902.08153, eq. 3; Bhalgat et al. 2020, "LSQ+",
    arXiv:2004.09576, eqs. 5 and 6; torch._fake_quantize_learnable_per_tensor_affine.

    Examples
    --------
    >>> x = np.array([0.4, 9.0], np.float32)
    >>> dx, ds, dz = fake_quantize_learnable_backward(np.ones(2), x, 1.0, 0.0, grid=Grid(n_bits=3))
    >>> dx, ds, dz
    (array([1., 0.], dtype=float32), np.float32(2.6), np.float32(-1.0))
    """
    if np.shape(dy) != np.shape(x):
        raise ValueError(f"dy.shape={np.shape(dy)}; expected {np.shape(x)}, the shape of x")
    dy, x = np.asarray(dy, np.float32), np.asarray(x, np.float32)
    qp = _rounded(scale, zero_point, grid=grid, axis=axis)
    s, z = broadcast_qparams(qp, x.shape)
    inv = np.float32(1) / s
    # Two steps beyond the grid is as far out as infinity, and fma wants finite numbers.
    x = np.clip(x, (grid.quant_min - z - 2) * s, (grid.quant_max - z + 2) * s)
    q = np.rint(fma(x, inv, z))
    inside = (q >= grid.quant_min) & (q <= grid.quant_max)
    steps = np.clip(q, grid.quant_min, grid.quant_max) - z
    factor = np.float32(grad_factor)
    d_scale = np.where(inside, dy * fma(steps, s, -x) * inv, dy * steps) * factor
    d_zero_point = np.where(inside, np.float32(0), -dy * s) * factor
    sums = (
        np.asarray(reduce_groups(d, lambda v, axis: v.sum(axis=axis, dtype=np.float64), axis=axis), np.float32)[()]
        for d in (d_scale, d_zero_point)
    )
    return dy * inside, *sums


def _rounded(scale: np.ndarray, zero_point: np.ndarray, *, grid: Grid, axis: int | None) -> QParams:
    z = np.clip(np.rint(np.asarray(zero_point, np.float32)), grid.quant_min, grid.quant_max)
    return QParams(scale=scale, zero_point=z.astype(np.int32), grid=grid, axis=axis)
