"""NF4: sixteen levels where normally distributed weights lie, and one float32 scale a block."""

import numpy as np

from quantlab.formats.blocks import Blocks, grouped

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


def quantize_nf4(x, *, group_size: int = 64) -> Blocks:
    """Quantize to the 16 levels of NormalFloat, scaled to the largest magnitude of each block.

        ``scale = max |x|``, ``code`` = the level nearest to ``x * (1 / scale)``

    Equal to bitsandbytes on the CPU to the bit, where the last axis holds whole blocks. All in float32; a value in the
    middle between two levels takes the lower one. A block of zeros gets scale 0; below 1e-38, the floor that keeps
    the reciprocal finite, codes come out too small, as in bitsandbytes. Storing the scales in 8 bits (double
    quantization) is not part of it.

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
    blocks = grouped(x, group_size, finite=True)
    scales = np.abs(blocks).max(axis=-1)
    reciprocal = np.float32(1) / np.maximum(scales, np.float32(1e-38))  # bitsandbytes' floor: 0 * 1e38 is 0
    scaled = blocks * reciprocal[..., None]
    codes = np.zeros(scaled.shape, np.uint8)
    for midpoint in (NF4_LEVELS[1:] + NF4_LEVELS[:-1]) / 2:  # several times as fast as np.searchsorted
        codes += scaled > midpoint
    return Blocks(codes.reshape(np.shape(x)), scales, NF4_LEVELS, group_size)
