"""From int32 accumulators back to 8 bits: what each tool computes, by name.

An accumulator counts in steps of ``x_scale * w_scale``; the output counts in steps of ``y_scale``. Between the two
stands one real multiplier, ``M = x_scale * w_scale / y_scale``, and every tool has its own way to apply it:

====================== ================================================ ==============================================
dialect                multiplier                                       rounded product
====================== ================================================ ==============================================
litert                 ``m = f32(f32(x_scale * w_scale) / y_scale)``    ``rint(f32(acc) * m)``
litert_ruy             M in float64 -> int32 and shift                  fixed point, rounding "ruy"
litert_reference_conv  M in float64 -> int32 and shift                  fixed point, rounding "gemmlowp"
litert_reference       M in float64                                     ``acc * M`` in float64, ties away from zero
onnx                   ``m`` as litert                                  ``rint(f32(acc) * m)``
torch                  ``m`` as litert                                  ``rint((f32(acc) + bias / p) * m)``
====================== ================================================ ==============================================

f32(.) is rounding to float32, rint rounds ties to even, ``p = f32(x_scale * w_scale)``. The zero point is added, and
the result is clipped, after rounding. All were compared with the tools on accumulators at and next to ties:

- litert: LiteRT's default kernels (XNNPACK): fully connected, convolution, depthwise convolution.
- litert_ruy: LiteRT without default delegates, the same operators. A fully connected layer with one weight scale
  computes ``M = f64(p) / f64(y_scale)``, all others ``M = f64(x_scale) * f64(w_scale) / f64(y_scale)``. So here one
  scale is not the same as a vector of equal scales: for a convolution, pass a vector.
- litert_reference_conv: LiteRT's reference convolution and depthwise convolution.
- litert_reference: LiteRT's reference fully connected layer. No fixed point at all.
- onnx: QLinearMatMul in ONNX Runtime. The formula is XNNPACK's.
- torch: quantized linear, engines fbgemm and x86. The bias stays float32. With one weight scale it enters as
  ``fma(bias, f32(1 / p), f32(acc))``, rounded once; with a vector as ``f32(acc) + f32(bias / p)``.
"""

from typing import NamedTuple

import numpy as np

from quantlab.core.dialects import fma
from quantlab.core.grid import Grid, round_half_away
from quantlab.integer.fixedpoint import INT32_MAX, INT32_MIN, multiply_by_quantized_multiplier, quantize_multiplier

__all__ = ["DIALECTS", "bias_scale", "quantize_bias", "requantize"]


class _Scales(NamedTuple):
    """Float32 scales of input, weights and output."""

    x: np.ndarray
    w: np.ndarray
    y: np.ndarray

    @property
    def product(self) -> np.ndarray:
        return self.x * self.w

    @property
    def real(self) -> np.ndarray:
        """The multiplier in float64."""
        return self.x.astype(np.float64) * self.w.astype(np.float64) / self.y.astype(np.float64)


def _float32(acc: np.ndarray, scales: _Scales) -> np.ndarray:
    return np.rint(acc.astype(np.float32) * (scales.product / scales.y))


def _ruy(acc: np.ndarray, scales: _Scales) -> np.ndarray:
    one = scales.w.ndim == 0
    real = scales.product.astype(np.float64) / scales.y.astype(np.float64) if one else scales.real
    return multiply_by_quantized_multiplier(acc, *quantize_multiplier(real), rounding="ruy")


def _gemmlowp(acc: np.ndarray, scales: _Scales) -> np.ndarray:
    return multiply_by_quantized_multiplier(acc, *quantize_multiplier(scales.real), rounding="gemmlowp")


def _float64(acc: np.ndarray, scales: _Scales) -> np.ndarray:
    return round_half_away(acc * scales.real)


DIALECTS = {
    "litert": _float32,
    "litert_ruy": _ruy,
    "litert_reference_conv": _gemmlowp,
    "litert_reference": _float64,
    "onnx": _float32,
    "torch": _float32,
}


def bias_scale(x_scale: np.ndarray | float, w_scale: np.ndarray | float) -> np.ndarray:
    """Return the scale of the accumulator, and so of an int32 bias: ``x_scale * w_scale``, rounded to float32.

    Examples
    --------
    >>> bias_scale(0.5, [0.25, 0.125])
    array([0.125 , 0.0625], dtype=float32)
    """
    return _scale("x_scale", x_scale) * _scale("w_scale", w_scale)


def quantize_bias(bias: np.ndarray, *, x_scale: np.ndarray | float, w_scale: np.ndarray | float) -> np.ndarray:
    r"""Return the bias in the accumulator's own steps, so that it can be added before anything is rounded.

    .. math:: b_q = \mathrm{rint}\left( b / \mathrm{f32}(s_x s_w) \right)

    Parameters
    ----------
    bias : array_like of float, shape (C,)
    x_scale : float
    w_scale : float or array_like of float, shape (C,)

    Returns
    -------
    ndarray of int32, shape (C,)
        Zero point 0. Ties go to the even integer; the quotient is taken in float64.

    Raises
    ------
    ValueError
        If a scale is not positive and finite, a bias is NaN, or a quotient leaves int32 (as with an infinite bias):
        such a layer has too small a scale for its bias.

    Examples
    --------
    >>> quantize_bias([1.0, -0.3], x_scale=0.5, w_scale=[0.25, 0.125])
    array([ 8, -5], dtype=int32)
    """
    bias = np.asarray(bias, np.float64)
    steps = np.rint(bias / bias_scale(x_scale, w_scale).astype(np.float64))
    bad = ~((steps >= INT32_MIN) & (steps <= INT32_MAX))
    if bad.any():
        raise ValueError(
            f"bias={np.broadcast_to(bias, steps.shape)[bad].flat[0]} is {steps[bad].flat[0]} steps of "
            "x_scale * w_scale; expected a number that int32 can hold: use a larger weight scale for this channel"
        )
    return steps.astype(np.int32)


def requantize(
    acc: np.ndarray,
    *,
    x_scale: np.ndarray | float,
    w_scale: np.ndarray | float,
    y_scale: np.ndarray | float,
    y_zero_point: int,
    grid: Grid,
    dialect: str,
    bias: np.ndarray | None = None,
) -> np.ndarray:
    r"""Return the accumulators in steps of the output: scaled, rounded, shifted by the zero point and clipped.

    .. math:: q = \mathrm{clip}\left( \mathrm{round}\left( \frac{s_x s_w}{s_y}\, a \right) + z_y \right)

    Parameters
    ----------
    acc : ndarray of integers, shape (..., C)
        Zero points already taken out, an int32 bias already added. The values must fit int32, whatever the dtype.
    x_scale, y_scale : float
        Taken as float32.
    w_scale : float or array_like of float, shape (C,)
        One for all, or one a channel.
    y_zero_point : int
        On ``grid``.
    grid : Grid
        The integers of the output.
    dialect : str
        A row of the table at the head of this module; it tells what happens to ties.
    bias : array_like of float32, shape (C,), optional
        Only for ``dialect="torch"``, whose bias is not quantized.

    Returns
    -------
    ndarray of ``grid.dtype``, shape (..., C)
        Beyond the ends of the grid the result saturates.

    Raises
    ------
    TypeError
        If ``acc`` or ``y_zero_point`` is not of an integer dtype.
    ValueError
        If the dialect is unknown, a scale is not positive and finite, ``w_scale`` does not fit the last axis, values
        leave int32, the zero point leaves the grid, the multiplier is 0 or infinite in float32, or a float bias meets
        an integer dialect. "litert_ruy" and "litert_reference_conv" also refuse accumulators that a multiplier of 1 or
        more would shift out of int32.

    Examples
    --------
    Accumulators that fall halfway between two outputs:

    >>> acc = np.array([-3, -1, 1, 3], dtype=np.int32)
    >>> half = {"x_scale": 1.0, "w_scale": 0.5, "y_scale": 1.0, "y_zero_point": 0, "grid": Grid(n_bits=8)}
    >>> for dialect in ("litert", "litert_ruy", "litert_reference"):
    ...     print(f"{dialect:16}", requantize(acc, **half, dialect=dialect))
    litert           [-2  0  0  2]
    litert_ruy       [-1  0  1  2]
    litert_reference [-2 -1  1  2]
    """
    if dialect not in DIALECTS:
        raise ValueError(f"dialect={dialect!r}; expected one of {tuple(DIALECTS)}")
    acc = np.asarray(acc)
    _check_accumulator(acc)
    _check_zero_point(y_zero_point, grid)
    scales = _Scales(_scale("x_scale", x_scale), _scale("w_scale", w_scale), _scale("y_scale", y_scale))
    for name, scale in (("x_scale", scales.x), ("y_scale", scales.y)):
        if scale.ndim:
            raise ValueError(f"{name}.shape={scale.shape}; expected one number: activations have one scale")
    if scales.w.ndim and scales.w.shape != acc.shape[-1:]:
        raise ValueError(f"w_scale.shape={scales.w.shape}; expected () or acc.shape[-1:]={acc.shape[-1:]}")
    _check_multiplier(scales)
    if bias is not None:
        if dialect != "torch":
            raise ValueError(f"bias with dialect={dialect!r}: add quantize_bias(bias) to acc; torch alone keeps floats")
        acc = _add_float_bias(acc, np.asarray(bias, np.float32), scales)
    steps = DIALECTS[dialect](acc, scales)
    z = int(y_zero_point)
    return (np.clip(steps, grid.quant_min - z, grid.quant_max - z) + z).astype(grid.dtype)


def _add_float_bias(acc: np.ndarray, bias: np.ndarray, scales: _Scales) -> np.ndarray:
    """Return ``acc + bias / (x_scale * w_scale)`` in float32, as fbgemm does."""
    acc = acc.astype(np.float32)
    if scales.w.ndim:
        return acc + bias / scales.product
    return fma(bias, np.float32(1) / scales.product, acc)


def _scale(name: str, value: np.ndarray | float) -> np.ndarray:
    value = np.asarray(value, np.float32)
    bad = ~(np.isfinite(value) & (value > 0))
    if bad.any():
        raise ValueError(f"{name}={value[bad].flat[0]}; expected a positive, finite scale")
    return value


def _check_multiplier(scales: _Scales) -> None:
    with np.errstate(over="ignore", under="ignore"):
        product = scales.product
        m = product / scales.y
    bad = ~(np.isfinite(m) & (m > 0) & (product > 0))
    if bad.any():
        raise ValueError(
            f"x_scale={scales.x}, w_scale={np.broadcast_to(scales.w, bad.shape)[bad].flat[0]}, y_scale={scales.y}: "
            "x_scale * w_scale / y_scale is not a positive, finite float32; the scales do not belong to one layer"
        )


def _check_accumulator(acc: np.ndarray) -> None:
    if not np.issubdtype(acc.dtype, np.integer):
        raise TypeError(f"acc.dtype={acc.dtype}; expected an integer dtype: requantize takes int_matmul's result")
    if acc.size and (acc.min() < INT32_MIN or acc.max() > INT32_MAX):
        raise ValueError(
            f"acc reaches from {acc.min()} to {acc.max()}; expected values that int32 can hold, since every dialect "
            "accumulates in 32 bits: use fewer inputs or fewer bits"
        )


def _check_zero_point(zero_point: int, grid: Grid) -> None:
    if not np.issubdtype(np.asarray(zero_point).dtype, np.integer) or np.ndim(zero_point):
        raise TypeError(f"y_zero_point={zero_point!r}; expected one integer")
    if not grid.quant_min <= zero_point <= grid.quant_max:
        raise ValueError(
            f"y_zero_point={zero_point}; expected {grid.quant_min} to {grid.quant_max}, the ends of the grid"
        )
