"""Scale and zero point: what they are, and how a range leads to them."""

from dataclasses import dataclass

import numpy as np

from quantlab.core.arguments import as_array, as_flag, as_integer, as_reals
from quantlab.core.grid import Grid

# torch.ao.quantization's floor for a scale: float32's machine epsilon.
EPS = np.float32(2**-23)


@dataclass(frozen=True, eq=False)
class QParams:
    """Scale and zero point of a quantized array, with the grid that its codes live on.

    Parameters
    ----------
    scale : float or array of float32
        The real distance between two marks. One number per tensor; shape ``(C,)`` per axis; for groups the shape
        that `quantlab.core.granularity.scale_shape` gives.
    zero_point : int or array of int32
        The mark that stands for 0.0; same shape as `scale`, or one number for all.
    grid : Grid
        The integers that codes may take.
    axis, group_size : int, optional
        Which values share a scale; see `quantlab.core.granularity`.

    Raises
    ------
    TypeError
        If a scale is not a real number, the zero point, `axis` or `group_size` not an integer, or `grid` not a Grid.
    ValueError
        If a scale is not positive and finite or is subnormal (its reciprocal would overflow), a zero point lies
        outside the grid, shapes do not fit, or `group_size` is below 1 or comes without an axis.

    Examples
    --------
    >>> QParams(scale=0.5, zero_point=-3, grid=Grid(n_bits=8))
    QParams(scale=0.5, zero_point=-3, grid=Grid(n_bits=8, signed=True, narrow=False))
    """

    scale: np.ndarray
    zero_point: np.ndarray
    grid: Grid
    axis: int | None = None
    group_size: int | None = None

    def __post_init__(self):
        require_grid(self.grid)
        for name in ("axis", "group_size"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, as_integer(name, getattr(self, name)))
        if self.group_size is not None and (self.axis is None or self.group_size < 1):
            raise ValueError(f"group_size={self.group_size} with axis={self.axis}; pass 1 or more, and name the axis")
        given = as_reals("scale", self.scale)
        with np.errstate(over="ignore"):
            scale = given.astype(np.float32)
        zero_point = as_array("zero_point", self.zero_point)
        if zero_point.dtype.kind not in "iu":
            raise TypeError(
                f"zero_point has dtype {zero_point.dtype}; it is a mark on the grid: round it, and pass an integer"
            )
        bad = ~(np.isfinite(scale) & (scale >= np.finfo(np.float32).tiny))
        if bad.any():
            raise ValueError(
                f"scale={given[bad].flat[0]!s} ({bad.sum()} of {scale.size}) is not a positive normal float32 (2**-126 "
                "or more); rescale x, or take choose_qparams with dialect='torch', whose scales are 2**-23 or more"
            )
        quant_min, quant_max = self.grid.quant_min, self.grid.quant_max
        with np.errstate(over="ignore"):
            bad = ~np.isfinite(scale * np.float32(self.grid.n_levels))
        if bad.any():
            raise ValueError(
                f"scale={scale[bad].flat[0]!s} is so large that the ends of the grid lie beyond float32; rescale x"
            )
        bad = (zero_point < quant_min) | (zero_point > quant_max)
        if bad.any():
            raise ValueError(
                f"zero_point={zero_point[bad].flat[0]} is outside the grid {quant_min}..{quant_max}; widen the range "
                "so that it holds 0.0 before computing the zero point, do not clamp it afterwards"
            )
        if self.axis is None and scale.ndim:
            raise ValueError(f"scale has shape {scale.shape}, but axis is None; name the axis, or pass one scale")
        if self.axis is not None and self.group_size is None and scale.ndim != 1:
            raise ValueError(f"scale has shape {scale.shape}; with axis={self.axis} pass one scale a slice, shape (C,)")
        if zero_point.ndim and zero_point.shape != scale.shape:
            raise ValueError(f"zero_point has shape {zero_point.shape}, scale {scale.shape}; make them equal")
        zero_point = np.broadcast_to(zero_point.astype(np.int32), scale.shape).copy()
        # [()] turns a 0-d array into a numpy scalar, which prints and formats like a number
        object.__setattr__(self, "scale", scale[()])
        object.__setattr__(self, "zero_point", zero_point[()])

    def __repr__(self):
        where = "".join(
            f", {name}={value}"
            for name, value in [("axis", self.axis), ("group_size", self.group_size)]
            if value is not None
        )
        if self.axis is None:
            return f"QParams(scale={self.scale!s}, zero_point={self.zero_point!s}, grid={self.grid}{where})"
        return f"QParams(scale=<{self.scale.shape}>, zero_point=<{self.zero_point.shape}>, grid={self.grid}{where})"

    def __eq__(self, other):
        if not isinstance(other, QParams):
            return NotImplemented
        same = (self.grid, self.axis, self.group_size) == (other.grid, other.axis, other.group_size)
        return same and np.array_equal(self.scale, other.scale) and np.array_equal(self.zero_point, other.zero_point)


def require_grid(grid):
    """Raise TypeError unless `grid` is a Grid."""
    if not isinstance(grid, Grid):
        raise TypeError(f"grid={grid!r} is a {type(grid).__name__}; pass a Grid, as Grid(n_bits=8)")


def choose_qparams(
    lo,
    hi,
    *,
    grid: Grid,
    symmetric: bool = False,
    axis: int | None = None,
    group_size: int | None = None,
    dialect="torch",
) -> QParams:
    """Return the scale and zero point with which `grid` spans the range ``[lo, hi]``.

    The range is first widened to hold 0.0, so that zero has a mark of its own:

        asymmetric   ``scale = (hi - lo) / (quant_max - quant_min)``, ``zero_point = quant_min - rint(lo / scale)``
        symmetric    ``scale = max(-lo, hi) / ((quant_max - quant_min) / 2)``, ``zero_point`` the middle of the grid:
                     0 when it is signed, ``2**(n_bits - 1)`` when it is not

    All of it in float32, as torch's observers do. The symmetric scale of a full signed grid divides by 127.5, not by
    127: at ``hi`` the largest value clips by half a step. Only a narrow grid divides by 127.

    Parameters
    ----------
    lo, hi : float or array of float32
        The range; per axis or per group arrays of the shape of the scales.
    grid : Grid
        The integers to map to.
    symmetric : bool
        Put the zero point in the middle of the grid.
    axis, group_size : int, optional
        Stored in the result; see `QParams`.
    dialect : {"torch", "onnx"}
        What a range of width 0 gets: scale 2**-23 (torch, which applies this floor to every scale) or 1
        (ONNX DynamicQuantizeLinear, which has no other floor).

    Raises
    ------
    TypeError
        If a bound is not a real number, `grid` not a Grid, or `symmetric` not a bool.
    ValueError
        If lo > hi, their shapes do not fit, a bound is NaN or infinite, the range is too wide for float32 or, in the
        dialect "onnx", so narrow that its scale is subnormal, or the dialect is unknown; else as `QParams`.

    Examples
    --------
    >>> choose_qparams(1.0, 6.0, grid=Grid(n_bits=8))
    QParams(scale=0.023529412, zero_point=-128, grid=Grid(n_bits=8, signed=True, narrow=False))
    """
    if dialect not in ("torch", "onnx"):
        raise ValueError(f"dialect={dialect!r} has no rule for ranges; choose 'torch' or 'onnx'")
    require_grid(grid)
    symmetric = as_flag("symmetric", symmetric)
    lo, hi = as_reals("lo", lo), as_reals("hi", hi)
    for name, bound in (("lo", lo), ("hi", hi)):
        if not np.isfinite(bound).all():
            raise ValueError(f"{name} holds {bound[~np.isfinite(bound)].flat[0]}; a range needs finite bounds")
    if lo.ndim and hi.ndim and lo.shape != hi.shape:
        raise ValueError(f"lo has shape {lo.shape}, hi {hi.shape}; make them equal, or one of them a single number")
    lo, hi = np.broadcast_arrays(lo, hi)
    if (lo > hi).any():
        first = tuple(int(i) for i in np.argwhere(lo > hi)[0])
        where = f" at index {first}" if first else ""
        raise ValueError(f"lo={lo[first]} is greater than hi={hi[first]}{where}; swap them")
    with np.errstate(over="ignore"):
        below = np.minimum(lo, 0).astype(np.float32)
        above = np.maximum(hi, 0).astype(np.float32)
        quant_min, quant_max = grid.quant_min, grid.quant_max
        if symmetric:
            scale = np.maximum(-below, above) / np.float32((quant_max - quant_min) / 2)
        else:
            scale = (above - below) / np.float32(quant_max - quant_min)
    if not np.isfinite(scale).all():
        raise ValueError(f"the range [{lo.min()}, {hi.max()}] is too wide for float32; rescale the data, or clip it")
    scale = np.maximum(scale, EPS) if dialect == "torch" else np.where(scale == 0, np.float32(1), scale)
    if symmetric:
        zero_point = np.full(scale.shape, 0 if grid.signed else 2 ** (grid.n_bits - 1), np.int32)
    else:
        zero_point = (quant_min - np.rint(below / scale)).astype(np.int32)  # on the grid: -below <= range
    return QParams(scale=scale, zero_point=zero_point, grid=grid, axis=axis, group_size=group_size)
