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
from quantlab.formats.floatformat import FLOAT4_E2M1FN, FLOAT8_E4M3FN, FLOAT8_E8M0FNU, FloatFormat
from quantlab.formats.minifloat import cast, decode, encode

# The 16 levels of NormalFloat: QLoRA (Dettmers et al. 2023, arXiv:2305.14314), Appendix E, as float32. Eight levels
# from -1 to 0 and nine from 0 to 1 are quantiles of the normal distribution at equally spaced probabilities (eq. 4),
# divided by the largest.
NF4_LEVELS = np.array(
    [
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022823334,
        -0.09105003625154495,
        0.0,
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
        1.0,
    ],
    np.float32,
)
NF4_LEVELS.flags.writeable = False

MX_GROUP_SIZE, NVFP4_GROUP_SIZE = 32, 16
SCALE_MODES = ("floor", "ceil", "even", "rceil")


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
    >>> x = np.linspace(-1, 1, 32, dtype=np.float32)
    >>> error = dequantize_blocks(quantize_mx(x, element=FLOAT8_E4M3FN)) - x
    >>> float(np.abs(error).max()) < 2**-5  # values next to 1 are 1/16 apart
    True
    """
    scales = blocks.scales if blocks.scale_format is None else decode(blocks.scales, blocks.scale_format)
    if blocks.tensor_scale is not None:
        scales = blocks.tensor_scale * scales
    grouped = blocks.levels[blocks.codes].reshape(*scales.shape, blocks.group_size)
    grouped *= scales[..., None]
    return grouped.reshape(blocks.codes.shape)


def quantize_nf4(x, *, group_size: int = 64) -> Blocks:
    """Quantize to the 16 levels of NormalFloat, scaled to the largest magnitude of each block.

        ``scale = max |x|``, ``code`` = the level nearest to ``x * (1 / scale)``

    Equal to bitsandbytes on the CPU to the bit, where the last axis holds whole blocks. All in float32; a value in the
    middle between two levels takes the lower one. A block of zeros gets scale 0. Storing the scales in 8 bits
    (double quantization) is not part of it.

    Parameters
    ----------
    x : array of float16, float32 or float64, shape (..., n)
        Turned into float32 first.
    group_size : int
        Block size; divides n. 64 in QLoRA.

    Raises
    ------
    TypeError
        If `x` is not floating point.
    ValueError
        If `x` holds NaN or infinities, or `group_size` does not divide its last axis.

    Examples
    --------
    >>> blocks = quantize_nf4(np.array([0.0, 1.0, -2.0, 4.0]), group_size=4)
    >>> blocks.codes, blocks.scales
    (array([ 7, 10,  2, 15], dtype=uint8), array([4.], dtype=float32))
    """
    grouped = _grouped(x, group_size, finite=True)
    scales = np.abs(grouped).max(axis=-1)
    reciprocal = np.float32(1) / np.maximum(scales, np.float32(1e-38))  # bitsandbytes' floor: 0 * 1e38 is 0
    scaled = grouped * reciprocal[..., None]
    codes = np.zeros(scaled.shape, np.uint8)
    for midpoint in (NF4_LEVELS[1:] + NF4_LEVELS[:-1]) / 2:  # several times as fast as np.searchsorted
        codes += scaled > midpoint
    return Blocks(codes.reshape(np.shape(x)), scales, NF4_LEVELS, group_size)


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
        If 32 does not divide the last axis, or `scale_mode` is unknown.

    Examples
    --------
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
    grouped = _grouped(x, MX_GROUP_SIZE, finite=False)
    scales = _mx_scales(np.abs(grouped).max(axis=-1), element, scale_mode)
    scaled = grouped / decode(scales, FLOAT8_E8M0FNU)[..., None]
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
    grouped = _grouped(x, NVFP4_GROUP_SIZE, finite=True)
    amax = np.abs(grouped).max(axis=-1)
    if tensor_scale is None:
        largest = amax.max(initial=0)
        tensor_scale = largest / (FLOAT8_E4M3FN.max * FLOAT4_E2M1FN.max) if largest > 2.0**-100 else 1.0
    elif not 2.0**-100 <= tensor_scale <= 2.0**100:
        raise ValueError(f"tensor_scale={tensor_scale} is not in 2**-100..2**100; max|x| / (448 * 6) is usual")
    tensor_scale = np.float32(tensor_scale)
    ratio = amax / np.float32(FLOAT4_E2M1FN.max) / tensor_scale
    scales = encode(np.clip(ratio, FLOAT8_E4M3FN.smallest_normal, FLOAT8_E4M3FN.max), FLOAT8_E4M3FN)
    reciprocal = (np.float32(1) / tensor_scale) / decode(scales, FLOAT8_E4M3FN)
    codes = encode(grouped * reciprocal[..., None], FLOAT4_E2M1FN, saturate=True)
    return Blocks(
        codes.reshape(np.shape(x)), scales, _levels(FLOAT4_E2M1FN), NVFP4_GROUP_SIZE, FLOAT8_E4M3FN, tensor_scale
    )


def _grouped(x, group_size: int, *, finite: bool) -> np.ndarray:
    """`x` as float32 with the blocks on an axis of their own, checked."""
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
