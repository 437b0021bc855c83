"""Block formats: codes of 4 to 8 bits, and one scale for every 16 to 64 of them.

============ =================== ============ ========================================= ==========================
format       codes               values a     scale                                     bits a weight
                                 scale
============ =================== ============ ========================================= ==========================
NF4          16 levels, a table  64           float32, the largest magnitude            4.5
MXFP8        e4m3fn or e5m2      32           e8m0, a power of two                      8.25
MXFP6        e2m3 or e3m2        32           e8m0                                      6.25
MXFP4        e2m1                32           e8m0                                      4.25
NVFP4        e2m1                16           e4m3fn, times one float32 for the tensor  4.5, and 32 for the tensor
============ =================== ============ ========================================= ==========================

Blocks lie along the last axis. Codes are kept one to a byte here, to be looked at; `quantlab.formats.pack` makes the
bytes that are stored (bitsandbytes wants ``order="big"``, torchao ``order="little"``).
"""

from dataclasses import dataclass

import numpy as np

from quantlab.core.granularity import scale_shape
from quantlab.core.metrics import bits_per_weight
from quantlab.formats.floatformat import FloatFormat
from quantlab.formats.minifloat import decode


@dataclass(frozen=True, eq=False)
class Blocks:
    """Codes and the scales of their blocks.

    Parameters
    ----------
    codes : array of uint8, shape (..., n)
        One code to an element.
    scales : array, shape (..., n / group_size)
        float32, or uint8 codes of `scale_format`.
    levels : array of float32, shape (2**n_bits,)
        What each code stands for before it is scaled.
    group_size : int
        How many codes share a scale.
    scale_format : FloatFormat, optional
        What the scales are codes of; None if they are float32.
    tensor_scale : float, optional
        A second scale, for the whole array.
    """

    codes: np.ndarray
    scales: np.ndarray
    levels: np.ndarray
    group_size: int
    scale_format: FloatFormat | None = None
    tensor_scale: np.float32 | None = None

    @property
    def n_bits(self) -> int:
        """Width of a code."""
        return len(self.levels).bit_length() - 1

    @property
    def bits_per_weight(self) -> float:
        """Bits of storage for each weight, all scales included."""
        scale_bits = 8 * self.scales.itemsize
        shape = self.codes.shape
        bits = bits_per_weight(shape, n_bits=self.n_bits, axis=-1, group_size=self.group_size, scale_bits=scale_bits)
        return bits if self.tensor_scale is None else bits + 32 / self.codes.size


def dequantize_blocks(blocks: Blocks) -> np.ndarray:
    """Return ``level(code) * scale`` as float32, or ``level(code) * (tensor_scale * scale)`` with a tensor scale.

    A scale that is NaN (e8m0 code 255) makes its whole block NaN. The product is rounded to float32 and may overflow
    to infinity (448 * 2**120).

    Examples
    --------
    >>> from quantlab.formats import FLOAT8_E4M3FN, quantize_mx
    >>> x = np.linspace(-1, 1, 32, dtype=np.float32)
    >>> error = dequantize_blocks(quantize_mx(x, element=FLOAT8_E4M3FN)) - x
    >>> float(np.abs(error).max()) < 2**-5  # values next to 1 are 1/16 apart
    True
    """
    scales = blocks.scales if blocks.scale_format is None else decode(blocks.scales, blocks.scale_format)
    if blocks.tensor_scale is not None:
        scales = blocks.tensor_scale * scales
    values = blocks.levels[blocks.codes].reshape(*scales.shape, blocks.group_size)
    values *= scales[..., None]
    return values.reshape(blocks.codes.shape)


def grouped(x: np.ndarray, group_size: int, *, finite: bool) -> np.ndarray:
    """Return `x` as float32, checked, with the blocks on an axis of their own."""
    x = np.asarray(x)
    if x.dtype not in (np.float16, np.float32, np.float64):
        raise TypeError(
            f"x has dtype {x.dtype}, expected float16, float32 or float64; x.astype(np.float32) converts it"
        )
    shape = scale_shape(x.shape, axis=-1, group_size=group_size)
    x = x.astype(np.float32, copy=False)
    if finite and not np.isfinite(x).all():
        raise ValueError("x holds NaN or infinities, which this format has no code for; replace them (np.nan_to_num)")
    return x.reshape(*shape, group_size)
