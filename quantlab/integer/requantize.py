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
- onnx: QLinearMatMul and QLinearConv in ONNX Runtime. The formula is XNNPACK's.
- torch: quantized linear, engines fbgemm and x86, and quantized convolution, engine fbgemm (where the CPU has VNNI, x86
  hands convolutions to oneDNN, which rounds otherwise next to ties). The bias stays float32. With one weight scale it
  enters as ``fma(bias, f32(1 / p), f32(acc))``, rounded once; with a vector as ``f32(acc) + f32(bias / p)``.
"""

import numpy as np

from quantlab.core.dialects import fma
from quantlab.core.grid import Grid
from quantlab.integer.bias import bias_scale, checked_scale, quantize_bias
from quantlab.integer.fixedpoint import INT32_MAX, INT32_MIN
from quantlab.integer.rounding import DIALECTS, Scales, with_tail

__all__ = ["DIALECTS", "Requantizer", "bias_scale", "quantize_bias", "requantize"]

CHUNK = 2**15  # accumulators at a time: 128 KiB of float32, so that all passes but the first read from the cache


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
        If the dialect is unknown, a scale is not positive and finite, ``w_scale`` or ``bias`` does not fit the last
        axis, that axis is empty, values leave int32, the zero point leaves the grid, the multiplier is 0 or infinite in
        float32, a bias is NaN, or a float bias meets an integer dialect. "litert_ruy" and "litert_reference_conv" also
        refuse accumulators that a multiplier of 1 or more would shift out of int32.

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
    acc = np.asarray(acc)
    _check_accumulator(acc)
    n_channels = acc.shape[-1] if acc.ndim else 1
    if np.ndim(w_scale) and np.shape(w_scale) != acc.shape[-1:]:
        raise ValueError(f"w_scale.shape={np.shape(w_scale)}; expected () or acc.shape[-1:]={acc.shape[-1:]}")
    step = Requantizer(
        n_channels=n_channels,
        x_scale=x_scale,
        w_scale=w_scale,
        y_scale=y_scale,
        y_zero_point=y_zero_point,
        grid=grid,
        dialect=dialect,
        bias=bias,
    )
    return step(acc)


class Requantizer:
    r"""`requantize` with its scales checked and its multipliers laid out once, for a layer that works in pieces.

    Most accumulators lie far from a tie, and there all dialects agree: the nearest integer is the nearest integer. So
    every dialect computes ``t = f32(acc) * m`` and rounds it, and only where t lies next to a tie, or rounding twice
    could reach one, the dialect's own arithmetic decides. This is exact, not an approximation:

    - t has a relative error of at most ``4 * 2**-24 + 2**-31``: four roundings to float32 (of acc, of m, of their
      product, one to spare) and that of a 31-bit multiplier. Every result beyond ``bound``, one step outside the grid,
      is clipped; inside, the absolute error stays below ``bound * 2**-22 * (1 + 2**-8)``.
    - A first rounding to ``2**-r`` of a step moves the product by at most ``2**-(r + 1)``.
    - Where t is farther from a tie than the sum of both, the exact product lies on the same side of the tie as t, at
      every stage, and no rule for ties is asked.

    Parameters
    ----------
    n_channels : int
        Length of the last axis of what is to be requantized.
    x_scale, w_scale, y_scale, y_zero_point, grid, dialect, bias
        As in `requantize`.
    n_tail : int
        Only for "litert_ruy" with a vector of weight scales: the last ``n_tail`` channels round as
        "litert_reference_conv". Vector instructions requantize several channels at a time, and what is left over goes
        through other code.
    clip : (int, int), optional
        Lowest and highest code, for a fused activation; the ends of the grid when left out.

    Examples
    --------
    >>> half = {"x_scale": 1.0, "w_scale": 0.5, "y_scale": 1.0, "y_zero_point": 0, "grid": Grid(n_bits=8)}
    >>> Requantizer(n_channels=1, **half, dialect="litert_ruy")(np.array([[-3.0], [3.0]], np.float32))
    array([[-1],
           [ 2]], dtype=int8)
    """

    def __init__(
        self,
        *,
        n_channels: int,
        x_scale: np.ndarray | float,
        w_scale: np.ndarray | float,
        y_scale: np.ndarray | float,
        y_zero_point: int,
        grid: Grid,
        dialect: str,
        bias: np.ndarray | None = None,
        n_tail: int = 0,
        clip: tuple[int, int] | None = None,
    ):
        if dialect not in DIALECTS:
            raise ValueError(f"dialect={dialect!r}; expected one of {tuple(DIALECTS)}")
        _check_zero_point(y_zero_point, grid)
        scales = Scales(
            checked_scale("x_scale", x_scale), checked_scale("w_scale", w_scale), checked_scale("y_scale", y_scale)
        )
        for name, scale in (("x_scale", scales.x), ("y_scale", scales.y)):
            if scale.ndim:
                raise ValueError(f"{name}.shape={scale.shape}; expected one number: activations have one scale")
        if scales.w.ndim and scales.w.shape != (n_channels,):
            raise ValueError(f"w_scale.shape={scales.w.shape}; expected () or ({n_channels},), one a channel")
        _check_multiplier(scales)
        if n_channels < 1:
            raise ValueError(f"n_channels={n_channels}; expected 1 or more, the length of the last axis")
        self.n_channels, self.grid, self.scales = n_channels, grid, scales
        self.bias = None if bias is None else _float_bias(bias, n_channels, dialect)
        self.zero_point = int(y_zero_point)
        self.ends = tuple(end - self.zero_point for end in clip or (grid.quant_min, grid.quant_max))
        self.rounding = DIALECTS[dialect](scales)
        if n_tail:
            self.rounding = self.rounding._replace(exact=with_tail(self.rounding, scales, n_channels - n_tail))
        self.rows = max(CHUNK // n_channels, 1)
        # One multiplier for every value of a chunk: long inner loops, where a vector of n_channels makes short ones.
        vector = self.rounding.multiplier.size == n_channels > 1
        self.multiplier = (
            np.tile(self.rounding.multiplier, self.rows) if vector else self.rounding.multiplier.reshape(())
        )

    def __call__(self, acc: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        """Return the accumulators, shape (..., n_channels), on the grid; ``out`` is C-contiguous if given.

        Accumulators are integers that int32 can hold, in an integer dtype or exact in a floating one; this is not
        checked again.
        """
        if out is None:
            out = np.empty(acc.shape, self.grid.dtype)
        flat, flat_out = acc.reshape(-1), out.reshape(-1)
        size = self.rows * self.n_channels
        t = np.empty(min(size, flat.size), np.float32)
        for start in range(0, flat.size, size):
            self._chunk(flat[start : start + size], t, flat_out[start : start + size])
        return out

    def _chunk(self, acc: np.ndarray, t: np.ndarray, out: np.ndarray) -> None:
        t = t[: acc.size]
        np.copyto(t, acc, casting="unsafe")
        if self.bias is not None:
            t[:] = _add_float_bias(t.reshape(-1, self.n_channels), self.bias, self.scales).reshape(-1)
        t *= self.multiplier[: acc.size] if self.multiplier.ndim else self.multiplier
        lo, hi = self.ends
        if self.rounding.exact is None:
            np.rint(t, out=t)
        else:
            steps = np.rint(t)
            reach = (max(-lo, hi) + 1) * 2.0**-22 * (1 + 2.0**-8) + self.rounding.band
            near = np.flatnonzero(np.abs(t - steps) >= 0.5 - reach)
            channel = near % self.n_channels if self.multiplier.ndim else np.zeros_like(near)
            # float32 cannot hold every int32, but what is clipped to a grid of 16 bits it can
            steps[near] = np.clip(self.rounding.exact(acc[near].astype(np.int64), channel), lo, hi)
            t = steps
        np.clip(t, lo, hi, out=t)
        t += self.zero_point
        np.copyto(out, t, casting="unsafe")


def _float_bias(bias: np.ndarray, n_channels: int, dialect: str) -> np.ndarray:
    bias = np.asarray(bias, np.float32)
    if dialect != "torch":
        raise ValueError(f"bias with dialect={dialect!r}: add quantize_bias(bias) to acc; torch alone keeps floats")
    if bias.shape != (n_channels,) or np.isnan(bias).any():
        raise ValueError(f"bias of shape {bias.shape}, {np.isnan(bias).sum()} NaN; expected ({n_channels},), no NaN")
    return bias


def _add_float_bias(acc: np.ndarray, bias: np.ndarray, scales: Scales) -> np.ndarray:
    """Return ``acc + bias / (x_scale * w_scale)`` in float32, as fbgemm does."""
    acc = acc.astype(np.float32)
    if scales.w.ndim:
        return acc + bias / scales.product
    return fma(bias, np.float32(1) / scales.product, acc)


def _check_multiplier(scales: Scales) -> None:
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
