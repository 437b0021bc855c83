"""What each production tool computes between a real and its code, measured on tie-heavy data.

A dialect takes x (already clipped to the reals that the grid spans), the scale s and the zero point z, all of shapes
that broadcast, and writes ``round(x / s)`` as float32 into ``out``; ``out`` may be x itself.
"""

import numpy as np

from quantlab.core.grid import round_half_away

# Adding and subtracting this rounds a small float32 to an integer.
ROUNDER = np.float32(1.5 * 2**23)


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
    """rint(fma(x, inv, z)) - z: one float32 rounding for product and sum together.

    float64 holds the product of two float32 exactly, but not always the sum. Its error (Knuth's TwoSum) says in which
    direction the lost part lies; moving an even last bit that way (round to odd) makes the second rounding, to
    float32, come out as if there had been one.
    """
    product = x.astype(np.float64) * (np.float32(1) / s).astype(np.float64)
    z = z.astype(np.float64)
    total = product + z
    back = total - product
    error = (product - (total - back)) + (z - back)
    inexact_even = (error != 0) & (total.view(np.int64) & 1 == 0)
    total[inexact_even] = np.nextafter(total[inexact_even], np.copysign(np.inf, error[inexact_even]))
    np.subtract(np.rint(total.astype(np.float32)), z.astype(np.float32), out=out)


# What each tool computes between x and the code, measured on tie-heavy data.
DIALECTS = {
    "torch": steps_reciprocal,  # torch.fake_quantize_*, torchao.quantize_affine
    "torch_native": steps_fma,  # torch.quantize_per_tensor
    "onnx": steps_division,  # QuantizeLinear, onnxruntime
    "litert": steps_reciprocal,  # XNNPACK, and ruy but for the last n % 8 values of a tensor
    "litert_reference": steps_division_away,  # LiteRT's reference kernels
}
