"""Which values share a scale: the whole tensor, a slice along one axis, or a group within a slice.

Every granularity is the same computation on a view of three axes ``(R, M, K)``: the scale has shape ``(R, 1, K)``, so
``M`` successive entries of the middle axis share one scale.

========== ==================== ========================================== =======================================
name       axis, group_size     shape of the scale                         the view of x
========== ==================== ========================================== =======================================
per tensor None, None           ``()``                                     ``(1, x.size, 1)``
per axis   axis, None           ``(x.shape[axis],)``                       ``(before * C, after, 1)``, and
                                                                           ``(1, before, C)`` for the last axis
per group  axis, group_size     x.shape with ``x.shape[axis]/group_size``  ``(before * groups, group_size, after)``
                                in place of ``x.shape[axis]``
========== ==================== ========================================== =======================================

Per group with one scale a column block is what ONNX calls blocked quantization, and what every 4-bit language model
uses (groups of 32 to 128 along the input axis).
"""

import math

import numpy as np

from quantlab.core.arguments import as_array, as_integer


def normalize_axis(axis: int, ndim: int) -> int:
    """Return `axis` as a non-negative index; raise ValueError if an array of `ndim` axes has no such axis.

    TypeError if it is not an integer.

    Examples
    --------
    >>> normalize_axis(-1, 3)
    2
    """
    axis = as_integer("axis", axis)
    if ndim == 0:
        raise ValueError(f"axis={axis} is out of range: a 0-d array has no axes; use axis=None")
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis={axis} is out of range for an array of {ndim} axes; choose from {-ndim} to {ndim - 1}")
    return axis % ndim


def scale_shape(shape: tuple[int, ...], *, axis: int | None = None, group_size: int | None = None) -> tuple[int, ...]:
    """Return the shape of the scales of an array of the given shape.

    Parameters
    ----------
    shape : tuple of int
        The shape of the array to quantize.
    axis : int, optional
        The axis whose slices (per axis) or whose groups (per group) have scales of their own.
    group_size : int, optional
        How many successive entries along `axis` share a scale.

    Raises
    ------
    TypeError
        If `axis` or `group_size` is not an integer.
    ValueError
        If the axis is out of range, `group_size` comes without an axis, or does not divide it.

    Examples
    --------
    >>> scale_shape((64, 100)), scale_shape((64, 100), axis=0), scale_shape((64, 100), axis=1, group_size=50)
    ((), (64,), (64, 2))
    """
    if axis is None:
        if group_size is not None:
            raise ValueError(f"group_size={group_size} came without axis; name the axis that the groups lie on")
        return ()
    axis = normalize_axis(axis, len(shape))
    if group_size is None:
        return (shape[axis],)
    group_size = as_integer("group_size", group_size)
    if group_size < 1 or shape[axis] % group_size:
        raise ValueError(
            f"group_size={group_size} does not divide x.shape[{axis}]={shape[axis]}; choose a divisor, or pad the axis"
        )
    return (*shape[:axis], shape[axis] // group_size, *shape[axis + 1 :])


def view_shape(
    shape: tuple[int, ...], *, axis: int | None = None, group_size: int | None = None
) -> tuple[int, int, int]:
    """Return the three-axis shape ``(R, M, K)`` in which the M entries of the middle axis share a scale.

    Parameters and errors are those of `scale_shape`.

    Examples
    --------
    >>> view_shape((64, 3, 3, 8), axis=0), view_shape((64, 8), axis=1), view_shape((64, 8), axis=1, group_size=4)
    ((64, 72, 1), (1, 64, 8), (128, 4, 1))
    """
    scale_shape(shape, axis=axis, group_size=group_size)
    if axis is None:
        return (1, math.prod(shape), 1)
    axis = normalize_axis(axis, len(shape))
    before, after = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    if group_size is not None:
        return (before * (shape[axis] // group_size), group_size, after)
    if after == 1:  # one scale a column: keep the columns together, so that rows are walked in memory order
        return (1, before, shape[axis])
    return (before * shape[axis], after, 1)


def scale_view(scale: np.ndarray, shape: tuple[int, ...], *, axis: int | None = None, group_size: int | None = None):
    """Return `scale` (or a zero point) in the shape ``(R, 1, K)`` that broadcasts against the view of the array.

    Parameters
    ----------
    scale : array
        Of the shape that `scale_shape` gives.
    shape : tuple of int
        The shape of the array to quantize.
    axis, group_size
        As in `scale_shape`.

    Raises
    ------
    ValueError
        If `scale` has another shape.

    Examples
    --------
    >>> scale_view(np.ones(64, np.float32), (64, 3, 3, 8), axis=0).shape
    (64, 1, 1)
    """
    expected = scale_shape(shape, axis=axis, group_size=group_size)
    scale = as_array("scale", scale)
    if scale.shape != expected:
        raise ValueError(
            f"scale has shape {scale.shape}, but x of shape {shape} with axis={axis}, group_size={group_size} needs "
            f"{expected}; choose the parameters for this x, or check the axis"
        )
    rows, _, columns = view_shape(shape, axis=axis, group_size=group_size)
    if axis is not None and group_size is None and columns == 1:
        scale = np.tile(scale, rows // max(len(scale), 1))  # slices repeat once for each index before the axis
    return scale.reshape(rows, 1, columns)


def reduce_groups(x: np.ndarray, reduction, *, axis: int | None = None, group_size: int | None = None) -> np.ndarray:
    """Apply a reduction such as ``np.min`` over all the values that share a scale.

    Parameters
    ----------
    x : array
        Any shape; not empty.
    reduction : callable
        Takes ``(array, axis=tuple of int)``: ``np.min``, ``np.max``, ``np.mean``, ...
    axis, group_size
        As in `scale_shape`.

    Returns
    -------
    array
        Of the shape that `scale_shape` gives.

    Raises
    ------
    TypeError, ValueError
        As `scale_shape`; ValueError too if `x` is empty.

    Examples
    --------
    >>> reduce_groups(np.arange(12.0).reshape(2, 6), np.max, axis=1, group_size=3)
    array([[ 2.,  5.],
           [ 8., 11.]])
    """
    x = as_array("x", x)
    if x.size == 0:
        raise ValueError(f"x of shape {x.shape} is empty; there is nothing to reduce")
    shape = scale_shape(x.shape, axis=axis, group_size=group_size)
    if axis is None:
        return reduction(x, axis=tuple(range(x.ndim)))
    axis = normalize_axis(axis, x.ndim)
    if group_size is None:
        return reduction(x, axis=tuple(a for a in range(x.ndim) if a != axis))
    groups = x.reshape(*x.shape[:axis], shape[axis], group_size, *x.shape[axis + 1 :])
    return reduction(groups, axis=(axis + 1,))
