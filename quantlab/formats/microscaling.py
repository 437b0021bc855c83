"""MX and NVFP4: small floats in blocks, under scales that are small floats themselves."""

import numpy as np

from quantlab.formats.blocks import Blocks, grouped
from quantlab.formats.floatformat import (
    FLOAT4_E2M1FN,
    FLOAT6_E2M3FN,
    FLOAT6_E3M2FN,
    FLOAT8_E4M3FN,
    FLOAT8_E5M2,
    FLOAT8_E8M0FNU,
    FloatFormat,
)
from quantlab.formats.minifloat import cast, decode, encode

MX_GROUP_SIZE, NVFP4_GROUP_SIZE = 32, 16
SCALE_MODES = ("floor", "ceil", "even", "rceil")
ELEMENTS = (FLOAT8_E4M3FN, FLOAT8_E5M2, FLOAT6_E2M3FN, FLOAT6_E3M2FN, FLOAT4_E2M1FN)


def quantize_mx(x, *, element: FloatFormat = FLOAT4_E2M1FN, scale_mode: str = "floor") -> Blocks:
    """Quantize to an OCP microscaling format: small floats in blocks of 32 under a scale that is a power of two.

    With ``e = element.max_exponent`` and ``m = max |x|`` of the block, the scale is ``2**k``:

    - ``"floor"``: ``k = floor(log2 m) - e`` (the specification, 6.3). Values beyond ``element.max * 2**k`` saturate:
      in e2m1 those from 6 to 8 times the scale.
    - ``"ceil"``: ``k = ceil(log2 m) - e``. Nothing saturates, up to a binade is left unused.
    - ``"even"``: as floor, of m rounded to as many fraction bits as the element has.
    - ``"rceil"``: ``k = ceil(log2(m / element.max))``, the smallest scale with which nothing saturates (NVIDIA's rule;
      the quotient is rounded to float32, so m itself may be cut by half an ulp).

    The names are torchao's; codes and scales are equal to its to the bit, with two exceptions. torchao's rceil takes
    a float32 log2, which rounds the logarithm of a number just above a power of two down to an integer; this one is
    exact. And where ``k`` is limited to -127 (blocks below about 1e-36), torchao divides by 2**-126 (rceil: by 1)
    in place of 2**-127.

    Parameters
    ----------
    x : array of float16, float32 or float64, shape (..., n), n a multiple of 32
        Turned into float32 first.
    element : FloatFormat
        FLOAT8_E4M3FN, FLOAT8_E5M2, FLOAT6_E2M3FN, FLOAT6_E3M2FN or FLOAT4_E2M1FN. Its values saturate, and round to
        nearest, ties to even.
    scale_mode : {"floor", "ceil", "even", "rceil"}

    Returns
    -------
    Blocks
        Scales are e8m0 codes, ``k + 127``. A block of zeros gets code 0 (2**-127). NaN makes its block's scale NaN
        (255). Infinity counts as 2**128 (rceil: gets the largest scale) and saturates; most others of its block
        vanish.

    Raises
    ------
    TypeError
        If `x` is not floating point.
    ValueError
        If 32 does not divide the last axis, `scale_mode` is unknown, or `element` is none of the five.

    Examples
    --------
    >>> from quantlab.formats import dequantize_blocks
    >>> x = np.array([7.0, 1.0] + 30 * [0.0])
    >>> for mode in ("floor", "ceil"):
    ...     print(mode, dequantize_blocks(quantize_mx(x, scale_mode=mode))[:2])
    floor [6. 1.]
    ceil [8. 1.]
    >>> quantize_mx(x).bits_per_weight
    4.25
    """
    if scale_mode not in SCALE_MODES:
        raise ValueError(f"scale_mode={scale_mode!r} is unknown; choose one of {SCALE_MODES}")
    if element not in ELEMENTS:
        raise ValueError(f"element={element.name} is no element of MX; choose one of {[e.name for e in ELEMENTS]}")
    blocks = grouped(x, MX_GROUP_SIZE, finite=False)
    scales = _mx_scales(np.abs(blocks).max(axis=-1), element, scale_mode)
    scaled = blocks / decode(scales, FLOAT8_E8M0FNU)[..., None]
    codes = encode(scaled, element, saturate=True, nan="zero")  # the scale remembers the NaN
    return Blocks(codes.reshape(np.shape(x)), scales, _levels(element), MX_GROUP_SIZE, FLOAT8_E8M0FNU)


def quantize_nvfp4(x, *, tensor_scale: float | None = None) -> Blocks:
    """Quantize to NVFP4: e2m1 in blocks of 16 under an e4m3fn scale, and one float32 scale for the tensor.

        ``tensor_scale = max |x| / (448 * 6)``, over the whole array
        ``scale = e4m3fn(clip(max |x| / 6 / tensor_scale, 2**-6, 448))``, over the block
        ``code = e2m1(clip(x * ((1 / tensor_scale) / scale), -6, 6))``

    All in float32; e4m3fn and e2m1 round to nearest, ties to even. Codes and scales equal torchao's to the bit.
    448 and 6 are the largest values of e4m3fn and e2m1; the scales use e4m3fn's normal numbers only, so a block whose
    largest magnitude is below ``2**-6 / 448`` of the tensor's loses resolution, and far below it becomes zero.

    Parameters
    ----------
    x : array of float16, float32 or float64, shape (..., n), n a multiple of 16
        Turned into float32 first.
    tensor_scale : float, optional
        A calibrated one in place of the formula; 1.0 gives NVFP4 with a single level of scales.

    Returns
    -------
    Blocks
        Scales are e4m3fn codes. An array with no magnitude above 2**-100, zeros included, gets ``tensor_scale`` 1 and
        becomes all zeros.

    Raises
    ------
    TypeError
        If `x` is not floating point.
    ValueError
        If `x` holds NaN or infinities, 16 does not divide its last axis, or `tensor_scale` is not in 2**-100..2**100.

    Examples
    --------
    >>> x = np.linspace(-3, 3, 64, dtype=np.float32)
    >>> blocks = quantize_nvfp4(x)
    >>> blocks.codes[:4], decode(blocks.scales, FLOAT8_E4M3FN)
    (array([15, 15, 15, 15], dtype=uint8), array([448., 224., 224., 448.], dtype=float32))
    >>> blocks.bits_per_weight  # 4 + 8/16, and 32/64 for the tensor scale
    5.0
    """
    blocks = grouped(x, NVFP4_GROUP_SIZE, finite=True)
    amax = np.abs(blocks).max(axis=-1)
    if tensor_scale is None:
        largest = amax.max(initial=0)
        tensor_scale = largest / (FLOAT8_E4M3FN.max * FLOAT4_E2M1FN.max) if largest > 2.0**-100 else 1.0
    elif not 2.0**-100 <= tensor_scale <= 2.0**100:
        raise ValueError(f"tensor_scale={tensor_scale} is not in 2**-100..2**100; max|x| / (448 * 6) is usual")
    tensor_scale = np.float32(tensor_scale)
    ratio = amax / np.float32(FLOAT4_E2M1FN.max) / tensor_scale
    scales = encode(np.clip(ratio, FLOAT8_E4M3FN.smallest_normal, FLOAT8_E4M3FN.max), FLOAT8_E4M3FN)
    reciprocal = (np.float32(1) / tensor_scale) / decode(scales, FLOAT8_E4M3FN)
    codes = encode(blocks * reciprocal[..., None], FLOAT4_E2M1FN, saturate=True)
    return Blocks(
        codes.reshape(np.shape(x)), scales, _levels(FLOAT4_E2M1FN), NVFP4_GROUP_SIZE, FLOAT8_E4M3FN, tensor_scale
    )


def _mx_scales(amax: np.ndarray, element: FloatFormat, scale_mode: str) -> np.ndarray:
    """The e8m0 codes of the scales: every mode is a cast to e8m0, of another ratio or with another rounding."""
    if scale_mode == "rceil":
        ratio = amax / np.float32(element.max)
    else:
        if scale_mode == "even":
            amax = cast(amax, FloatFormat("wide exponent", 8, element.man_bits, 127))
        amax = np.where(np.isinf(amax), 2.0**128, amax.astype(np.float64))
        ratio = amax / 2.0**element.max_exponent
    rounding = "up" if scale_mode in ("ceil", "rceil") else "down"
    codes = encode(ratio, FLOAT8_E8M0FNU, rounding=rounding, saturate=True)
    return np.where(ratio <= 2.0**-127, np.uint8(0), codes)  # zeros, and what `encode` would round up from code 0


def _levels(element: FloatFormat) -> np.ndarray:
    return decode(np.arange(1 << element.n_bits, dtype=np.uint8), element)
