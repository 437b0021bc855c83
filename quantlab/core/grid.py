"""Integer grids and the rounding rules that lead to them."""

from dataclasses import dataclass

import numpy as np

from quantlab.core.arguments import as_array, as_flag, as_integer


@dataclass(frozen=True)
class Grid:
    """The integers that a code may take: all of ``quant_min .. quant_max``.

    A grid of ``n_bits`` bits has ``2**n_bits`` marks: ``-2**(n_bits-1) .. 2**(n_bits-1) - 1`` when it is signed,
    ``0 .. 2**n_bits - 1`` when it is not. A narrow grid leaves out the lowest mark, which makes a signed grid
    symmetric (``-127 .. 127``).

    Parameters
    ----------
    n_bits : int
        Width of a code, 1 to 16. There is no default: a silent 8 has hidden many bugs.
    signed : bool
        Two's complement codes (int8) or unsigned ones (uint8).
    narrow : bool
        Leave out the lowest mark, as TFLite does for weights.

    Raises
    ------
    TypeError
        If `n_bits` is not an integer, or `signed` or `narrow` not a bool.
    ValueError
        If `n_bits` lies outside 1..16, or the grid would be left with a single mark.

    Examples
    --------
    >>> Grid(n_bits=8)
    Grid(n_bits=8, signed=True, narrow=False)
    >>> Grid(n_bits=8, narrow=True).quant_min, Grid(n_bits=4, signed=False).quant_max
    (-127, 15)
    """

    n_bits: int
    signed: bool = True
    narrow: bool = False

    def __post_init__(self):
        object.__setattr__(self, "n_bits", as_integer("n_bits", self.n_bits))
        for name in ("signed", "narrow"):
            object.__setattr__(self, name, as_flag(name, getattr(self, name)))
        if not 1 <= self.n_bits <= 16:
            raise ValueError(f"n_bits={self.n_bits} is outside 1..16; wider codes would not be exact in float32")
        if self.n_bits == 1 and self.narrow:
            raise ValueError("narrow=True leaves a 1-bit grid with one mark; use narrow=False or n_bits >= 2")

    @property
    def quant_min(self) -> int:
        """The lowest mark."""
        return (-(2 ** (self.n_bits - 1)) if self.signed else 0) + self.narrow

    @property
    def quant_max(self) -> int:
        """The highest mark."""
        return 2 ** (self.n_bits - self.signed) - 1

    @property
    def n_levels(self) -> int:
        """How many marks there are."""
        return self.quant_max - self.quant_min + 1

    @property
    def dtype(self) -> np.dtype:
        """The smallest numpy integer that holds every mark (int8, uint8, int16 or uint16)."""
        return np.dtype(f"{'int' if self.signed else 'uint'}{8 if self.n_bits <= 8 else 16}")


def _as_float(x) -> np.ndarray:
    x = as_array("x", x)
    if x.dtype.kind != "f":
        raise TypeError(f"x has dtype {x.dtype}; only floats have a fraction to round: x.astype(np.float64)")
    return x


def round_half_even(x, *, out=None):
    """Round to the nearest integer, ties to the even one: torch, ONNX, numpy and IEEE 754's default.

    Parameters
    ----------
    x : array of float
        NaN stays NaN, infinities stay.
    out : array, optional
        Where to write the result.

    Raises
    ------
    TypeError
        If `x` is not floating point.

    Examples
    --------
    >>> round_half_even(np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]))
    array([-2., -2., -0.,  0.,  2.,  2.])
    """
    return np.rint(_as_float(x), out=out)


def round_half_away(x, *, out=None):
    """Round to the nearest integer, ties away from zero: C's ``round``, TFLite's reference kernels, ggml.

    ``floor(|x| + 0.5)`` is the formula in books, and wrong in floating point: 0.49999997 + 0.5 rounds to 1. The
    fraction is compared with one half instead, which is exact.

    Parameters
    ----------
    x : array of float
        NaN stays NaN, infinities stay.
    out : array, optional
        Where to write the result.

    Raises
    ------
    TypeError
        If `x` is not floating point.

    Examples
    --------
    >>> round_half_away(np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]))
    array([-3., -2., -1.,  1.,  2.,  3.])
    """
    x = _as_float(x)
    fraction, whole = np.modf(x)
    return np.add(whole, np.copysign(np.abs(fraction) >= 0.5, x), out=out)


def round_half_up(x, *, out=None):
    """Round to the nearest integer, ties towards plus infinity: TensorFlow's fake quantization.

    Parameters
    ----------
    x : array of float
        NaN stays NaN, infinities stay.
    out : array, optional
        Where to write the result.

    Raises
    ------
    TypeError
        If `x` is not floating point.

    Examples
    --------
    >>> round_half_up(np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]))
    array([-2., -1.,  0.,  1.,  2.,  3.])
    """
    x = _as_float(x)
    whole = np.floor(x)
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, and NaN >= 0.5 is False: inf stays inf
        return np.add(whole, x - whole >= 0.5, out=out)
