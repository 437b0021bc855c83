"""Exact accumulators at floating-point speed: products of rows, of windows, and sums of shifted images.

Zero points are taken out before the sum: ``x - z`` has 9 bits, which float32 holds as well as 8. So padding is zero,
and no row or column sums are needed. What the sums may reach decides the floating type; see `ExactProduct`.
"""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from quantlab.core.windows import Pair, Windows, window_slices
from quantlab.integer.fixedpoint import INT32_MAX, INT32_MIN
from quantlab.integer.matmul import FLOAT32_EXACT, FLOAT64_EXACT, SHORTEST_FLOAT32_BLOCK

__all__ = ["ExactProduct", "check_int32", "depthwise_pieces", "pad_image", "shifted", "shifted_bound", "window_pieces"]

PATCHES = 2**18  # values of gathered windows, or of outputs, at a time: 1 MiB of float32
BLOCK = 2**15  # values of a depthwise output at a time: 128 KiB, so that several of them fit a level 2 cache


class ExactProduct:
    r"""The product of rows with a weight matrix, and a bias: integers that are held in floating point, exact.

    .. math:: a_{mo} = \sum_k X_{mk} W_{ko} + b_o

    Neither a sum nor any part of it, in whatever order, can exceed ``x_bound * sum_k |W_ko| + |b_o|``. Where that is at
    most 2**24, float32 holds every integer on the way. This bound by the weights at hand allows longer sums than one by
    dtypes. Beyond it the summed axis is cut into pieces, whose results meet in float64; if these pieces would be short,
    all of the product runs in float64, up to 2**53.

    Parameters
    ----------
    W : ndarray of float32 or float64, shape (K, out)
    bias : ndarray of float64, shape (out,)
    x_bound : int
        The largest magnitude in X.

    Raises
    ------
    ValueError
        If sums may leave the integers of float64; on the call, if an accumulator leaves int32, where production kernels
        would wrap.

    Examples
    --------
    >>> W = np.array([[2.0], [3.0]], np.float32)
    >>> ExactProduct(W, np.array([5.0]), x_bound=255)(np.array([[10, -1]], np.float32))
    array([[22.]], dtype=float32)
    """

    def __init__(self, W: np.ndarray, bias: np.ndarray, *, x_bound: int):
        self.reach = sum_bound(W, bias, x_bound=x_bound)
        self.pieces, floating = [slice(None)], np.float32
        if self.reach > FLOAT32_EXACT:
            self.pieces = _pieces(W, x_bound)
            if len(self.pieces) * SHORTEST_FLOAT32_BLOCK > len(W):
                self.pieces, floating = [slice(None)], np.float64
        self.acc_dtype = np.float32 if self.reach <= FLOAT32_EXACT else np.float64
        self.W = W.astype(floating, copy=False)
        self.bias = bias.astype(self.acc_dtype) if bias.any() else None

    def __call__(self, X: np.ndarray) -> np.ndarray:
        X = X.astype(self.W.dtype, copy=False)
        acc = (X[:, self.pieces[0]] @ self.W[self.pieces[0]]).astype(self.acc_dtype, copy=False)
        for piece in self.pieces[1:]:
            acc += X[:, piece] @ self.W[piece]
        if self.bias is not None:
            acc += self.bias
        if self.reach > INT32_MAX:
            check_int32(acc)
        return acc


def window_pieces(
    x_q: np.ndarray,
    x_zero_point: int,
    products: list[ExactProduct],
    *,
    kernel: Pair,
    stride: Pair,
    dilation: Pair,
    out: Pair,
) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Yield the accumulators of a convolution piece by piece, with the samples and output rows that they are for.

    Parameters
    ----------
    x_q : ndarray of integers, shape (samples, height, width, channels)
        Padded.
    products : list of ExactProduct
        One for each group, weights of shape (kh * kw * channels / groups, out / groups).
    kernel, stride, dilation, out : (int, int)

    Yields
    ------
    (samples, rows) : slices of the output
    acc : ndarray, shape (values of them in order, out)
    """
    n_in = x_q.shape[3] // len(products)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    n_out = sum(product.W.shape[1] for product in products)
    # A piece is some rows of one image, or some images if they are small.
    values = out[1] * max(kernel[0] * kernel[1] * n_in, n_out)  # of a row
    n_rows = min(max(PATCHES // values, 1), out[0])
    n_samples = max(PATCHES // (values * out[0]), 1)
    for first in range(0, len(x_q), n_samples):
        samples = slice(first, first + n_samples)
        for top in range(0, out[0], n_rows):
            rows = slice(top, min(top + n_rows, out[0]))
            seen = slice(rows.start * stride[0], (rows.stop - 1) * stride[0] + spans[0])
            x = shifted(x_q[samples, seen], x_zero_point)
            windows = sliding_window_view(x, spans, axis=(1, 2))[:, :: stride[0], :: stride[1]]
            windows = windows[..., :: dilation[0], :: dilation[1]]
            windows = windows.transpose(0, 1, 2, 4, 5, 3)  # (samples, rows, out width, kh, kw, channels)
            parts = [  # 1 x 1, stride 1, one group: reshape copies nothing
                product(windows[..., g * n_in : (g + 1) * n_in].reshape(-1, len(product.W)))
                for g, product in enumerate(products)
            ]
            yield (samples, rows), parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def depthwise_pieces(
    x_q: np.ndarray,
    x_zero_point: int,
    W: np.ndarray,
    bias: np.ndarray,
    *,
    x_bound: int,
    kernel: Pair,
    stride: Pair,
    dilation: Pair,
    out: Pair,
) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Yield the accumulators of a depthwise convolution as `window_pieces` does: sums of shifted images.

    Exact as `ExactProduct`: 25 products of 9 and 8 bits stay below 2**20 in float32, and a larger bias moves all to
    float64.

    Parameters
    ----------
    x_q : ndarray of integers, shape (samples, height, width, channels)
        Padded.
    W : ndarray of float, shape (kh * kw, channels * multiplier)
    bias : ndarray of float64, shape (channels * multiplier,)
    x_bound : int
    kernel, stride, dilation, out : (int, int)
    """
    reach = sum_bound(W, bias, x_bound=x_bound)
    floating = np.float32 if reach <= FLOAT32_EXACT else np.float64
    n_out = W.shape[1]
    multiplier = n_out // x_q.shape[3]
    # One weight for every value of an output row: long inner loops, where a vector of n_out weights makes short ones.
    taps = np.repeat(W.astype(floating)[:, None], out[1], axis=1)
    bias = bias.astype(floating) if bias.any() else None
    span = (kernel[0] - 1) * dilation[0] + 1
    n_rows = max(BLOCK // (out[1] * n_out), 1)
    for n in range(len(x_q)):
        for top in range(0, out[0], n_rows):
            rows = slice(top, min(top + n_rows, out[0]))
            x = x_q[n : n + 1, rows.start * stride[0] : (rows.stop - 1) * stride[0] + span]
            x = shifted(np.repeat(x, multiplier, axis=3) if multiplier > 1 else x, x_zero_point)
            x = x.astype(floating, copy=False)
            size = (rows.stop - rows.start, out[1])
            acc, term = np.empty((2, 1, *size, n_out), floating)
            for k, tap in enumerate(taps):
                image = x[window_slices(*divmod(k, kernel[1]), out=size, stride=stride, dilation=dilation)]
                np.multiply(image, tap, out=term if k else acc)
                if k:
                    acc += term
            if bias is not None:
                acc += bias
            if reach > INT32_MAX:
                check_int32(acc)
            yield (slice(n, n + 1), rows), acc


def shifted(q: np.ndarray, zero_point: np.ndarray | int) -> np.ndarray:
    """Return ``q - zero_point`` in floating point, exact: in float32 for 8 and 16 bits, otherwise in float64.

    Zero points for each output stand on the first axis.
    """
    zero_point = np.asarray(zero_point)
    if zero_point.ndim:
        zero_point = zero_point.reshape(-1, *[1] * (q.ndim - 1))
    x = q.astype(np.float32 if q.dtype.itemsize <= 2 else np.float64)
    if zero_point.any():
        x -= zero_point.astype(x.dtype)
    return x


def shifted_bound(q: np.ndarray, zero_point: np.ndarray | int) -> int:
    """Return the largest magnitude that ``q - zero_point`` can have: by dtype up to 16 bits, by value beyond."""
    if q.dtype.itemsize <= 2:
        info = np.iinfo(q.dtype)
        lo, hi = int(info.min), int(info.max)
    else:
        lo, hi = int(q.min(initial=0)), int(q.max(initial=0))
    return max(hi - int(zero_point), int(zero_point) - lo)


def pad_image(x_q: np.ndarray, windows: Windows, zero_point: np.ndarray | int) -> np.ndarray:
    """Return images with their zero point around them, which stands for 0.0; without padding, the array itself."""
    if not np.any(windows.pads):
        return x_q
    return np.pad(x_q, ((0, 0), *windows.pads, (0, 0)), constant_values=np.asarray(zero_point).astype(x_q.dtype))


def sum_bound(W: np.ndarray, bias: np.ndarray, *, x_bound: int) -> float:
    """Return what the magnitude of no sum over the first axis of W, and of no part of it, exceeds."""
    reach = (x_bound * np.abs(W).sum(axis=0, dtype=np.float64) + np.abs(bias)).max(initial=0)
    if reach > FLOAT64_EXACT:
        raise ValueError(f"sums may reach {reach:.3g}, more than float64 holds exactly; use fewer or smaller values")
    return reach


def check_int32(acc: np.ndarray) -> None:
    """Raise ValueError if an accumulator leaves int32."""
    if acc.size and (acc.max() > INT32_MAX or acc.min() < INT32_MIN):
        raise ValueError(
            f"acc reaches from {acc.min():.0f} to {acc.max():.0f}; expected values that int32 can hold, since every "
            "dialect accumulates in 32 bits: use fewer inputs, fewer bits or a smaller bias"
        )


def _pieces(W: np.ndarray, x_bound: int) -> list[slice]:
    """Cut the summed axis so that in each piece no output can leave the integers that float32 holds."""
    starts, total = [0], 0.0
    for k, largest in enumerate(x_bound * np.abs(W).max(axis=1, initial=0).astype(np.float64)):
        if total + largest > FLOAT32_EXACT:
            starts, total = [*starts, k], 0.0
        total += largest
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], len(W)], strict=True)]
