"""What the operators on 8-bit codes share: their grids, and checks of an operand and its QParams."""

import numpy as np

from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams
from quantlab.integer.ops.common import check_one_scale

__all__ = ["GRIDS", "check_one_scale_on_grid", "codes_of", "offsets_from_zero"]

GRIDS = {np.dtype(np.int8): Grid(n_bits=8), np.dtype(np.uint8): Grid(n_bits=8, signed=False)}


def codes_of(
    name: str, q: np.ndarray, qp: QParams, *, dtypes: tuple[np.dtype, ...] = (np.dtype(np.int8),)
) -> np.ndarray:
    """Return ``q`` as an array, having checked that its dtype is one of ``dtypes`` and ``qp`` one scale on its grid."""
    q = np.asarray(q)
    if q.dtype not in dtypes:
        raise TypeError(f"{name}_q.dtype={q.dtype}; expected {' or '.join(map(str, dtypes))}")
    check_one_scale_on_grid(name, qp, GRIDS[q.dtype])
    return q


def check_one_scale_on_grid(name: str, qp: QParams, grid: Grid) -> None:
    """Raise ValueError unless ``qp`` is one scale and one zero point on ``grid``."""
    check_one_scale(f"{name}_qp", qp)
    if qp.grid != grid:
        raise ValueError(f"{name}_qp.grid={qp.grid}; expected {grid}, all of {grid.dtype}")


def offsets_from_zero(name: str, q: np.ndarray, qp: QParams) -> np.ndarray:
    """Return int8 codes as int64 without their zero point, having checked both.

    Examples
    --------
    >>> offsets_from_zero("x", np.array([-128, 5], np.int8), QParams(scale=1.0, zero_point=100, grid=Grid(n_bits=8)))
    array([-228,  -95])
    """
    return codes_of(name, q, qp).astype(np.int64) - int(qp.zero_point)
