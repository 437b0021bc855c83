"""The dialects of requantization as functions: from scales to a multiplier, and to what decides next to a tie.

The table at the head of `quantlab.integer.requantize` says what each computes.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from quantlab.core.grid import round_half_away
from quantlab.integer.fixedpoint import multiply_by_quantized_multiplier, quantize_multiplier

__all__ = ["DIALECTS", "Rounding", "Scales", "with_tail"]


class Scales(NamedTuple):
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


class Rounding(NamedTuple):
    """How a dialect gets from accumulators to steps: ``rint(f32(acc) * multiplier)``, or ``exact`` where that may err.

    ``band`` is half the width of the neighbourhood of a tie in which the first rounding of two can move a product over
    the tie. ``exact(acc, channel)`` takes int64 accumulators and the index of the weight scale of each.
    """

    multiplier: np.ndarray  # float32
    exact: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    band: float = 0.0


def _float32(scales: Scales) -> Rounding:
    return Rounding(scales.product / scales.y)


def _fixed_point(real: np.ndarray, rounding: str) -> Rounding:
    real = np.atleast_1d(real)
    m, shift = quantize_multiplier(real)

    def exact(acc: np.ndarray, channel: np.ndarray) -> np.ndarray:
        return multiply_by_quantized_multiplier(acc, m[channel], shift[channel], rounding=rounding)

    # The first rounding keeps -shift binary digits behind the point, so it moves a product by 2**(shift - 1) at most.
    return Rounding(real.astype(np.float32), exact, band=2.0 ** (int(shift.max()) - 1))


def _ruy(scales: Scales) -> Rounding:
    one = scales.w.ndim == 0
    real = scales.product.astype(np.float64) / scales.y.astype(np.float64) if one else scales.real
    return _fixed_point(real, "ruy")


def _gemmlowp(scales: Scales) -> Rounding:
    return _fixed_point(scales.real, "gemmlowp")


def _float64(scales: Scales) -> Rounding:
    real = np.atleast_1d(scales.real)
    return Rounding(real.astype(np.float32), lambda acc, channel: round_half_away(acc * real[channel]))


def with_tail(rounding: Rounding, scales: Scales, n_body: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return an exact arithmetic that is gemmlowp's from channel ``n_body`` on."""
    tail = _gemmlowp(scales)

    def exact(acc: np.ndarray, channel: np.ndarray) -> np.ndarray:
        return np.where(channel < n_body, rounding.exact(acc, channel), tail.exact(acc, channel))

    return exact


DIALECTS = {
    "litert": _float32,
    "litert_ruy": _ruy,
    "litert_reference_conv": _gemmlowp,
    "litert_reference": _float64,
    "onnx": _float32,
    "torch": _float32,
}
