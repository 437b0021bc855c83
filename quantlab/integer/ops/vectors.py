"""Which values of a tensor LiteRT's optimized kernels compute in vectors, and which one at a time.

Its loops take 8 or 16 values at once, written in NEON instructions (on x86 through a translation into SSE), and a
scalar loop takes what is left. Several operators round differently in the two, so that a result depends on where in
the tensor it stands: `litert_ruy` has no formula for one value alone.
"""

import numpy as np

__all__ = ["broadcast_runs", "vector_body"]


def vector_body(run: int, size: int, *, width: int) -> np.ndarray:
    """Return which of ``size`` values the vector loop computes, if it is called once for each ``run`` of them.

    Parameters
    ----------
    run : int
        Values a call, at least 1.
    size : int
        A multiple of ``run``.
    width : int
        Values a vector step takes.

    Returns
    -------
    ndarray of bool, shape (size,)
        True for the first ``run - run % width`` values of every run.

    Examples
    --------
    >>> vector_body(5, 10, width=2)
    array([ True,  True,  True,  True, False,  True,  True,  True,  True,
           False])
    """
    return np.arange(size) % run < run - run % width


def broadcast_runs(a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> tuple[str, int]:
    """Return how the optimized kernels walk over two operands, and how many outputs one inner loop computes.

    Axes are joined from the last one on: equal axes first, then axes that one operand repeats, again equal ones, then
    axes that the other operand repeats, then equal ones. What does not fit into these five is left to a slow loop over
    single values.

    Parameters
    ----------
    a_shape, b_shape : tuple of int
        Shapes that broadcast.

    Returns
    -------
    pattern : {"elementwise", "scalar", "single"}
        Two vectors, a scalar and a vector, or one value at a time.
    run : int
        Outputs of one inner loop.

    References
    ----------
    ProcessBroadcastShapes in tflite/kernels/internal/reference/process_broadcast_shapes.h, BinaryBroadcastFiveFold in
    tflite/kernels/internal/optimized/optimized_ops.h.

    Examples
    --------
    >>> broadcast_runs((1, 7, 7, 24), (1, 7, 7, 24)), broadcast_runs((1, 7, 7, 24), (24,))
    (('elementwise', 1176), ('elementwise', 24))
    >>> broadcast_runs((1, 7, 7, 24), ()), broadcast_runs((2, 3, 4, 5), (1, 3, 1, 5))
    (('scalar', 1176), ('single', 1))
    """
    n_axes = max(len(a_shape), len(b_shape))
    a, b = ((1,) * (n_axes - len(shape)) + tuple(shape) for shape in (a_shape, b_shape))
    axes = list(zip(a, b, strict=True))
    inner = _take(axes, lambda m, n: m == n)
    if not axes:
        return "elementwise", inner
    if axes[-1][1] == 1:  # the operand that repeats its innermost unequal axis comes first
        axes = [(n, m) for m, n in axes]
    repeated = _take(axes, lambda m, n: m == 1)
    _take(axes, lambda m, n: m == n)
    _take(axes, lambda m, n: n == 1)
    _take(axes, lambda m, n: m == n)
    if axes:
        return "single", 1
    return ("elementwise", inner) if inner > 1 else ("scalar", repeated)


def _take(axes: list[tuple[int, int]], fits) -> int:
    """Remove axes from the end while they fit; return the number of outputs along them."""
    size = 1
    while axes and fits(*axes[-1]):
        size *= max(axes.pop())
    return size
