"""What each production tool computes between a real and its code, measured on tie-heavy data.

A dialect takes x (already clipped to the reals that the grid spans), the scale s and the zero point z, all of shapes
that broadcast, and writes ``round(x / s)`` as float32 into ``out``; ``out`` may be x itself.
"""

import numpy as np

from quantlab.core.grid import round_half_away

# Adding and subtracting this rounds a small float32 to an integer.
ROUNDER = np.float32(1.5 * 2**23)


def fma(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return ``a * b + c`` of float32 arrays, rounded to float32 once: the fused multiply-add of a CPU.

    float64 holds the product of two float32 exactly, but not always the sum. Its error (Knuth's TwoSum) says in which
    direction the lost part lies; moving an even last bit that way (round to odd) makes the second rounding, to
    float32, come out as if there had been one. Finite values of ordinary size only: nothing is done about overflow.

    Examples
    --------
    >>> a, c = np.float32([1 + 2**-12]), np.float32([-1 - 2**-11])
    >>> fma(a, a, c), a * a + c
    (array([5.9604645e-08], dtype=float32), array([0.], dtype=float32))
    """
    product = a.astype(np.float64) * b.astype(np.float64)
    total = product + c
    back = total - product
    lost = (product - (total - back)) + (c - back)
    even = total.view(np.int64) & 1 == 0
    total = np.where((lost != 0) & even, np.nextafter(total, np.copysign(np.inf, lost)), total)
    return total.astype(np.float32)


def steps_reciprocal(x, s, z, out):
    """rint(x * inv), inv = 1 / s rounded to float32."""
    np.multiply(x, np.float32(1) / s, out=out)
    # At 1.5 * 2**23 float32 holds only integers, so the sum rounds, half to even, as rint does; exact below 2**22,
    # and clipped x are below 2**16. Unlike rint it gives +0.0 for small negative values, with no further pass.
    np.add(out, ROUNDER, out=out)
    np.subtract(out, ROUNDER, out=out)


def steps_division(x, s, z, out):
    """rint(x / s)."""
    np.divide(x, s, out=out)
    np.rint(out, out=out)


def steps_division_away(x, s, z, out):
    """round(x / s), ties away from zero."""
    np.divide(x, s, out=out)
    round_half_away(out, out=out)


def steps_fma(x, s, z, out):
    """rint(fma(x, inv, z)) - z."""
    z = z.astype(np.float32)
    np.subtract(np.rint(fma(x, np.float32(1) / s, z)), z, out=out)


# What each tool computes between x and the code, measured on tie-heavy data.
DIALECTS = {
    "torch": steps_reciprocal,  # torch.fake_quantize_*, torchao.quantize_affine
    "torch_native": steps_fma,  # torch.quantize_per_tensor
    "onnx": steps_division,  # QuantizeLinear, onnxruntime
    "litert": steps_reciprocal,  # XNNPACK, and ruy but for the last n % 8 values of a tensor
    "litert_reference": steps_division_away,  # LiteRT's reference kernels
}
