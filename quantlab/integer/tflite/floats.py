"""Operators that a mixed file leaves in float32: between a DEQUANTIZE and a QUANTIZE, or at the ends.

Sums of float32 products have no one right order, so these agree with a runtime up to rounding, not to the bit. With n
products of magnitudes that sum up to S, each of the two is within ``n * 2**-24 * S`` of the sum in the reals, to first
order, and so they are within twice that of each other. A maximum, a move and an activation are exact.
"""

from collections.abc import Callable

import numpy as np

from quantlab.core.windows import window_slices
from quantlab.integer.tflite.call import Call
from quantlab.integer.tflite.errors import CorruptFileError
from quantlab.integer.tflite.images import dilation_of, image_shape, stride_of, windows_of
from quantlab.integer.tflite.moves import MOVES

__all__ = ["FLOAT_OPERATORS"]

MOVED = ("EXPAND_DIMS", "RESHAPE", "SQUEEZE", "TRANSPOSE")  # of `MOVES`, those that never look at a scale
LIMITS = {None: (-np.inf, np.inf), "relu": (0, np.inf), "relu6": (0, 6)}


def _activated(call: Call, y: np.ndarray) -> np.ndarray:
    lo, hi = LIMITS[call.activation]
    return np.clip(y, np.float32(lo), np.float32(hi))


def _reals(call: Call, *indices: int) -> list[np.ndarray]:
    """Return inputs, all of them float32: there are no kernels for float32 activations and int8 weights here."""
    return [call.real(i) for i in indices]


def _conv_2d(call: Call) -> np.ndarray:
    """One matrix product for every place in the window; weights are (out, height, width, channels / groups)."""
    call.require(2, at_most=3)
    x, w = _reals(call, 0, 1)
    channels = image_shape(call)[3]
    if w.ndim != 4 or not w.size or channels % w.shape[3] or len(w) % (channels // w.shape[3]):
        raise CorruptFileError(f"{call.operator} has weights {call.inputs[1]} for {call.inputs[0]}; they do not fit")
    groups = channels // w.shape[3]

    def product(part: np.ndarray, i: int, j: int) -> np.ndarray:
        pairs = zip(np.split(part, groups, axis=-1), np.split(w[:, i, j], groups), strict=True)
        return np.concatenate([p @ w_group.T for p, w_group in pairs], axis=-1)

    return _convolution(call, x, w.shape[1:3], len(w), product)


def _depthwise_conv_2d(call: Call) -> np.ndarray:
    """Weights are (1, height, width, outputs), as many outputs in a row as the multiplier says from one channel."""
    call.require(2, at_most=3)
    x, w = _reals(call, 0, 1)
    channels = image_shape(call)[3]
    if w.ndim != 4 or w.shape[0] != 1 or not channels or w.shape[3] % channels:
        raise CorruptFileError(f"{call.operator} has weights {call.inputs[1]} for {call.inputs[0]}; they do not fit")
    times = w.shape[3] // channels
    return _convolution(
        call, x, w.shape[1:3], w.shape[3], lambda part, i, j: np.repeat(part, times, axis=-1) * w[0, i, j]
    )


def _convolution(
    call: Call,
    x: np.ndarray,
    kernel: tuple[int, int],
    n_out: int,
    product: Callable[[np.ndarray, int, int], np.ndarray],
) -> np.ndarray:
    dilation = dilation_of(call)
    windows = windows_of(call, kernel, n_out, dilation)
    x = np.pad(x, ((0, 0), *windows.pads, (0, 0)))
    y = np.zeros((len(x), *windows.out, n_out), np.float32)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            y += product(x[window_slices(i, j, out=windows.out, stride=stride_of(call), dilation=dilation)], i, j)
    return _activated(call, y + _bias(call, n_out))


def _bias(call: Call, n_out: int) -> np.ndarray:
    if call.array(2) is None:
        return np.zeros(n_out, np.float32)
    (b,) = _reals(call, 2)
    if b.shape != (n_out,):
        raise CorruptFileError(f"{call.operator} has bias {call.inputs[2]}; expected {n_out} values")
    return b


def _fully_connected(call: Call) -> np.ndarray:
    call.require(2, at_most=3)
    x, w = _reals(call, 0, 1)
    if w.ndim != 2 or w.shape[1] == 0 or x.size % w.shape[1]:
        raise CorruptFileError(f"{call.operator} multiplies {call.inputs[0]} by {call.inputs[1]}; they do not fit")
    rows = x.shape[:-1] if call.option("keep_num_dims") else (x.size // w.shape[1],)
    call.expect_shape((*rows, len(w)))
    return _activated(call, x.reshape(*rows, w.shape[1]) @ w.T + _bias(call, len(w)))


def _add(call: Call) -> np.ndarray:
    call.require(2)
    a, b = _reals(call, 0, 1)
    call.expect_shape(np.broadcast_shapes(a.shape, b.shape))
    return _activated(call, a + b)


def _max_pool(call: Call) -> np.ndarray:
    return _pool(call, np.maximum, value=-np.inf)


def _average_pool(call: Call) -> np.ndarray:
    """Padding is not counted."""
    return _pool(call, np.add, value=0.0)


def _pool(call: Call, combine: np.ufunc, *, value: float) -> np.ndarray:
    call.require(1)
    (x,) = _reals(call, 0)
    kernel = (call.option("filter_height"), call.option("filter_width"))
    windows = windows_of(call, kernel, image_shape(call)[3])
    pads = ((0, 0), *windows.pads, (0, 0))
    inside = np.pad(np.ones((1, *x.shape[1:3], 1), np.float32), pads)
    x = np.pad(x, pads, constant_values=np.float32(value))
    places = [
        window_slices(i, j, out=windows.out, stride=stride_of(call)) for i in range(kernel[0]) for j in range(kernel[1])
    ]
    y = x[places[0]].copy()
    for place in places[1:]:
        combine(y, x[place], out=y)
    return _activated(call, y if combine is np.maximum else y / sum(inside[place] for place in places))


def _mean(call: Call) -> np.ndarray:
    call.require(2)
    (x,) = _reals(call, 0)
    axes, keepdims = call.axes(1), call.option("keep_dims")
    call.expect_shape(tuple(1 if k in axes else n for k, n in enumerate(x.shape) if keepdims or k not in axes))
    return x.mean(axis=axes, keepdims=keepdims)


def _softmax(call: Call) -> np.ndarray:
    call.require(1)
    (x,) = _reals(call, 0)
    e = np.exp((x - x.max(axis=-1, keepdims=True)) * np.float32(call.option("beta")))
    return e / e.sum(axis=-1, keepdims=True)


def _relu(limit: float) -> Callable[[Call], np.ndarray]:
    def relu(call: Call) -> np.ndarray:
        call.require(1)
        return np.clip(_reals(call, 0)[0], np.float32(0), np.float32(limit))

    return relu


FLOAT_OPERATORS: dict[str, Callable[[Call], np.ndarray]] = {
    **{name: MOVES[name] for name in MOVED},
    "ADD": _add,
    "AVERAGE_POOL_2D": _average_pool,
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "FULLY_CONNECTED": _fully_connected,
    "MAX_POOL_2D": _max_pool,
    "MEAN": _mean,
    "RELU": _relu(np.inf),
    "RELU6": _relu(6),
    "SOFTMAX": _softmax,
}
