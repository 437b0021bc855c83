"""Convolutions and pools of float32 images, forward: (samples, height, width, channels) in and out.

A convolution is one matrix product once every window lies in a row of its own. A depthwise one has no sum over channels
for a matrix product to do: it is kh * kw products of whole shifted images, added up. Both work on pieces that fit the
cache, since these pieces are read and written many times.
"""

import numpy as np

from quantlab.core.windows import Padding, place_pool_windows, place_windows, window_slices

__all__ = ["average_pool2d", "conv2d", "max_pool2d", "pad_image"]

PATCHES = 2**21  # values of gathered windows at a time: 8 MiB
BLOCK = 2**15  # values of a depthwise output at a time: 128 KiB, so that two of them fit a level 2 cache


def conv2d(
    x: np.ndarray,
    W: np.ndarray,
    b: np.ndarray | None,
    *,
    stride: tuple[int, int] = (1, 1),
    padding: Padding,
    groups: int = 1,
) -> np.ndarray:
    r"""Return the convolution of images with kernels (a cross-correlation: the kernel is not flipped).

    .. math:: Y_{nhwo} = b_o + \sum_{i,j,c} X_{n,\,h s_h + i - p_t,\,w s_w + j - p_l,\,c}\, W_{oijc}

    Output o sees the channels of its own group: the channels and the outputs are cut into ``groups`` equal runs.

    Parameters
    ----------
    x : ndarray of float, shape (samples, height, width, channels)
    W : ndarray of float, shape (out, kh, kw, channels / groups)
    b : ndarray of float, shape (out,), or None
    stride : (int, int)
    padding : {"same", "valid"} or ((top, bottom), (left, right))
        With zeros; "same" as TensorFlow's, see `quantlab.core.windows.place_windows`.
    groups : int
        As many as channels for a depthwise convolution.

    Returns
    -------
    ndarray, shape (samples, out height, out width, out)

    Raises
    ------
    ValueError
        If shapes or groups do not fit, or no window fits the image.

    Examples
    --------
    >>> x = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    >>> conv2d(x, np.ones((1, 2, 2, 1), np.float32), None, padding="valid")[0, :, :, 0]
    array([[ 8., 12.],
           [20., 24.]], dtype=float32)
    """
    check_conv(x, W, b, groups=groups)
    n_out, *kernel, n_in = W.shape
    pads, out = place_windows(x.shape[1:3], kernel=kernel, stride=stride, padding=padding)
    if n_in == 1 and groups > 1:
        y = _depthwise(x, W, stride=stride, pads=pads, out=out)
    else:
        x = pad_image(x, pads)
        y = np.empty((len(x), *out, n_out), np.result_type(x, W))
        for g in range(groups):
            mine = slice(g * n_out // groups, (g + 1) * n_out // groups)
            _dense(x[..., g * n_in : (g + 1) * n_in], W[mine], stride=stride, y=y[..., mine])
    if b is not None:
        y += b
    return y


def _dense(x: np.ndarray, W: np.ndarray, *, stride: tuple[int, int], y: np.ndarray) -> None:
    """Write the convolution of padded images to ``y``, one matrix product for as many images as fit."""
    n_out, kh, kw, n_in = W.shape
    W = W.reshape(n_out, -1).T
    windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), axis=(1, 2))[:, :: stride[0], :: stride[1]]
    windows = windows.transpose(0, 1, 2, 4, 5, 3)  # (samples, out height, out width, kh, kw, channels)
    step = max(PATCHES // (windows[0].size or 1), 1) if len(x) else 1
    for start in range(0, len(x), step):
        patches = windows[start : start + step].reshape(-1, kh * kw * n_in)  # 1 x 1, stride 1: no copy
        y[start : start + step] = (patches @ W).reshape(-1, *y.shape[1:])


def _depthwise(
    x: np.ndarray, W: np.ndarray, *, stride: tuple[int, int], pads: tuple, out: tuple[int, int]
) -> np.ndarray:
    """Return the depthwise convolution as a sum of shifted images, some rows of one image at a time."""
    n_out, kh, kw, _ = W.shape
    multiplier = n_out // x.shape[-1]
    if multiplier > 1:
        x = np.repeat(x, multiplier, axis=-1)
    x = pad_image(x, pads)
    y = np.empty((len(x), *out, n_out), np.result_type(x, W))
    # One weight for every value of an output row: long inner loops, where a vector of n_out weights makes short ones.
    taps = np.repeat(W.reshape(n_out, -1).T[:, None], out[1], axis=1)
    rows = max(BLOCK // (out[1] * n_out), 1)
    part = np.empty((1, rows, out[1], n_out), y.dtype)
    for n in range(len(x)):
        for top in range(0, out[0], rows):
            total = y[n : n + 1, top : top + rows]
            image = x[n : n + 1, top * stride[0] :]
            term = part[:, : total.shape[1]]
            for k in range(kh * kw):
                shifted = image[window_slices(*divmod(k, kw), out=total.shape[1:3], stride=stride)]
                np.multiply(shifted, taps[k], out=total if k == 0 else term)
                if k:
                    total += term
    return y


def max_pool2d(
    x: np.ndarray, *, size: tuple[int, int], stride: tuple[int, int], padding: Padding = "valid"
) -> np.ndarray:
    """Return the largest value of every window; padding never wins.

    Parameters
    ----------
    x : ndarray of float, shape (samples, height, width, channels)
    size, stride : (int, int)
    padding : {"same", "valid"} or ((top, bottom), (left, right))

    Raises
    ------
    TypeError
        If ``x`` does not hold floats.
    ValueError
        If ``x`` is not four-dimensional, no window fits, or one lies in the padding.

    Notes
    -----
    NaN wins in every window that holds one.

    Examples
    --------
    >>> x = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    >>> max_pool2d(x, size=(2, 2), stride=(2, 2), padding="same").ravel()
    array([4., 5., 7., 8.], dtype=float32)
    """
    check_image(x)
    if x.dtype.kind != "f":
        raise TypeError(f"x.dtype={x.dtype}; expected floats: codes have a pool in quantlab.integer.ops")
    pads, out = place_pool_windows(x.shape[1:3], kernel=size, stride=stride, padding=padding)
    x = pad_image(x, pads, value=-np.inf)
    y = x[window_slices(0, 0, out=out, stride=stride)].copy()
    for k in range(1, size[0] * size[1]):
        np.maximum(y, x[window_slices(*divmod(k, size[1]), out=out, stride=stride)], out=y)
    return y


def average_pool2d(
    x: np.ndarray, *, size: tuple[int, int], stride: tuple[int, int], padding: Padding = "valid"
) -> np.ndarray:
    """Return the mean of every window, over the pixels of the image alone: padding is not counted.

    So do TensorFlow and LiteRT; torch does with ``count_include_pad=False``. Parameters and errors as `max_pool2d`;
    integers are averaged in float64.

    Examples
    --------
    >>> x = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    >>> average_pool2d(x, size=(2, 2), stride=(2, 2), padding="same").ravel()
    array([2. , 3.5, 6.5, 8. ], dtype=float32)
    """
    check_image(x)
    pads, out = place_pool_windows(x.shape[1:3], kernel=size, stride=stride, padding=padding)
    counts = pad_image(np.ones((1, *x.shape[1:3], 1), x.dtype), pads)
    x = pad_image(x, pads)
    slices = [window_slices(*divmod(k, size[1]), out=out, stride=stride) for k in range(size[0] * size[1])]
    return sum(x[s] for s in slices) / sum(counts[s] for s in slices)


def pad_image(x: np.ndarray, pads: tuple, *, value: float = 0.0) -> np.ndarray:
    """Return images with ``value`` around them: ((top, bottom), (left, right)). Without padding, the array itself."""
    if not np.any(pads):
        return x
    (top, bottom), (left, right) = pads
    n, height, width, channels = x.shape
    y = np.full((n, top + height + bottom, left + width + right, channels), value, x.dtype)
    y[:, top : top + height, left : left + width] = x
    return y


def check_image(x: np.ndarray) -> None:
    """Raise ValueError unless ``x`` is (samples, height, width, channels)."""
    if x.ndim != 4:
        raise ValueError(f"x.shape={x.shape}; expected (samples, height, width, channels)")


def check_conv(x: np.ndarray, W: np.ndarray, b: np.ndarray | None, *, groups: int) -> None:
    """Raise ValueError unless images, kernels, bias and groups belong together."""
    check_image(x)
    if W.ndim != 4 or not W.size:
        raise ValueError(f"W.shape={W.shape}; expected (out, kh, kw, channels / groups), 1 or more of each")
    if groups < 1 or len(W) % groups or W.shape[3] * groups != x.shape[3]:
        raise ValueError(
            f"W.shape={W.shape} with groups={groups} and x.shape={x.shape}; expected (out, kh, kw, channels / groups), "
            "with groups dividing both channels and out"
        )
    if b is not None and b.shape != W.shape[:1]:
        raise ValueError(f"b.shape={b.shape}; expected {W.shape[:1]}, one an output")
