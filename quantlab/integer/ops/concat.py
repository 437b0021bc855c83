"""CONCATENATION of quantized tensors: it moves codes, and never changes one."""

from collections.abc import Sequence

import numpy as np

from quantlab.core.qparams import QParams
from quantlab.integer.ops.common import check_kernel_set

__all__ = ["concatenate"]


def concatenate(
    parts: Sequence[np.ndarray], *, axis: int, part_qps: Sequence[QParams], y_qp: QParams, dialect: str
) -> np.ndarray:
    """Return codes side by side along an axis.

    Parameters
    ----------
    parts : sequence of ndarray of integers
        Equal shapes but for ``axis``, one dtype.
    axis : int
        May be negative.
    part_qps : sequence of QParams
        One for each part. Each has to equal ``y_qp``: converters see to that, since all three kernel sets refuse int8
        inputs that they would have to rescale (tflite/kernels/concatenation.cc). LiteRT's uint8 kernels do rescale;
        that is not built here.
    y_qp : QParams
    dialect : {"litert", "litert_ruy", "litert_reference"}
        The same in all.

    Returns
    -------
    ndarray of ``y_qp.grid.dtype``

    Raises
    ------
    TypeError
        If a part has another dtype than the grid.
    ValueError
        If there is no part, a part has another scale, zero point or grid than the output, shapes do not fit, or the
        dialect is unknown.

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> qp, q = QParams(scale=0.5, zero_point=0, grid=Grid(n_bits=8)), np.array([[1, 2]], np.int8)
    >>> concatenate([q, -q], axis=-1, part_qps=[qp, qp], y_qp=qp, dialect="litert")
    array([[ 1,  2, -1, -2]], dtype=int8)
    """
    check_kernel_set(dialect)
    parts = [np.asarray(part) for part in parts]
    if not parts or len(parts) != len(part_qps):
        raise ValueError(f"{len(parts)} parts and {len(part_qps)} part_qps; expected at least 1, one for each part")
    for index, (part, qp) in enumerate(zip(parts, part_qps, strict=True)):
        if part.dtype != y_qp.grid.dtype:
            raise TypeError(f"parts[{index}].dtype={part.dtype}; expected {y_qp.grid.dtype}, as y_qp.grid says")
        if qp != y_qp:
            raise ValueError(
                f"part_qps[{index}]={qp}, y_qp={y_qp}; expected equal ones, as LiteRT's int8 kernels do: "
                "requantize_values first"
            )
    return np.concatenate(parts, axis=axis)
