"""Operators that compute nothing: they put values elsewhere, pad them, or put shapes together."""

from collections.abc import Callable

import numpy as np

from quantlab.integer.ops import pad
from quantlab.integer.tflite.call import Call
from quantlab.integer.tflite.errors import CorruptFileError, UnsupportedError

__all__ = ["MOVES"]


def _pad(call: Call) -> np.ndarray:
    """Put what stands for 0, the zero point, around the values; PADV2 brings its own value."""
    call.require(2, at_most=3)
    x, pads = call.array(0), call.integers(1)
    if pads.shape != (x.ndim, 2) or (pads < 0).any():
        raise CorruptFileError(f"{call.operator} pads {call.inputs[0]} by {pads.tolist()}; expected two sizes an axis")
    call.expect_shape(tuple(int(n) for n in pads.sum(axis=1) + x.shape))
    call.expect_same_scale(0)
    value = call.array(2).reshape(()) if len(call.inputs) > 2 else None
    return pad(x, x_qp=call.qp(0), paddings=pads, value_q=value)


def _reshape(call: Call) -> np.ndarray:
    """Into the shape that stands in a second input, with -1 for one size, or else into that of the output."""
    call.require(1, at_most=2)
    wanted = call.integers(1).ravel().tolist() if len(call.inputs) > 1 else call.output.shape
    return call.array(0).reshape(wanted)


def _squeeze(call: Call) -> np.ndarray:
    """SQUEEZE and EXPAND_DIMS: the same values, with sizes of 1 left out or put in."""
    call.require(1, at_most=2)
    if [n for n in call.shape(0) if n != 1] != [n for n in call.output.shape if n != 1]:
        raise CorruptFileError(
            f"{call.operator} turns {call.inputs[0]} into {call.output}; expected the same sizes but 1"
        )
    return call.array(0).reshape(call.output.shape)


def _transpose(call: Call) -> np.ndarray:
    call.require(2)
    axes = [int(a) for a in np.atleast_1d(call.integers(1))]
    if sorted(axes) != list(range(call.array(0).ndim)):
        raise CorruptFileError(f"{call.operator} orders the axes of {call.inputs[0]} as {axes}; expected each once")
    return np.ascontiguousarray(call.array(0).transpose(axes))


# Keras' Flatten becomes RESHAPE, with a shape that three operators on int32 put together from the input's.


def _shape(call: Call) -> np.ndarray:
    call.require(1)
    return np.array(call.shape(0), call.output.dtype)


def _strided_slice(call: Call) -> np.ndarray:
    call.require(4)
    x, begin, end, strides = (call.integers(i) for i in range(4))
    if x.ndim != 1 or any(v.shape != (1,) for v in (begin, end, strides)):
        raise UnsupportedError(f"{call.operator} cuts {call.inputs[0]}; expected a list of sizes")
    if call.option("ellipsis_mask") or call.option("new_axis_mask"):
        raise UnsupportedError(f"{call.operator} uses ellipsis_mask or new_axis_mask; expected neither")
    start = None if call.option("begin_mask") else int(begin[0])
    if call.option("shrink_axis_mask"):
        return x[start or 0]
    return x[start : None if call.option("end_mask") else int(end[0]) : int(strides[0])]


def _pack(call: Call) -> np.ndarray:
    call.require(1, at_most=len(call.inputs))
    return np.stack([call.integers(i) for i in range(len(call.inputs))], axis=call.option("axis"))


# A dilated convolution may be stored as three operators: one that deals the pixels of every block out to images of
# their own, a plain convolution, and one that gathers them again.


def _blocks(call: Call) -> tuple[int, int, np.ndarray]:
    """Return height and width of a block, and the sizes, ((top, bottom), (left, right)), to pad or to crop."""
    call.require(3)
    block, sizes = call.integers(1), call.integers(2)
    if len(call.shape(0)) != 4 or block.shape != (2,) or sizes.shape != (2, 2):
        raise UnsupportedError(f"{call.operator} on {call.inputs[0]}, block {block.tolist()}; expected images")
    if (block < 1).any() or (sizes < 0).any():
        raise CorruptFileError(f"{call.operator} has block {block.tolist()} and sizes {sizes.tolist()}")
    return int(block[0]), int(block[1]), sizes.astype(np.int64)


def _space_to_batch(call: Call) -> np.ndarray:
    high, wide, pads = _blocks(call)
    n, height, width, channels = call.shape(0)
    height, width = height + int(pads[0].sum()), width + int(pads[1].sum())
    if height % high or width % wide:
        raise CorruptFileError(f"{call.operator} cuts {height} x {width} into blocks of {high} x {wide}")
    call.expect_shape((n * high * wide, height // high, width // wide, channels))
    x = np.pad(call.array(0), [(0, 0), *pads, (0, 0)], constant_values=call.qp(0).zero_point.astype(np.int8))
    x = x.reshape(n, height // high, high, width // wide, wide, channels)
    return x.transpose(2, 4, 0, 1, 3, 5).reshape(n * high * wide, height // high, width // wide, channels)


def _batch_to_space(call: Call) -> np.ndarray:
    high, wide, crops = _blocks(call)
    n, height, width, channels = call.shape(0)
    if n % (high * wide):
        raise CorruptFileError(f"{call.operator} gathers {n} images into blocks of {high} x {wide}")
    (top, bottom), (left, right) = crops.tolist()
    rows, columns = slice(top, max(height * high - bottom, 0)), slice(left, max(width * wide - right, 0))
    x = call.array(0).reshape(high, wide, n // (high * wide), height, width, channels)
    x = x.transpose(2, 3, 0, 4, 1, 5).reshape(n // (high * wide), height * high, width * wide, channels)
    return np.ascontiguousarray(x[:, rows, columns])


MOVES: dict[str, Callable[[Call], np.ndarray]] = {
    "BATCH_TO_SPACE_ND": _batch_to_space,
    "EXPAND_DIMS": _squeeze,
    "PACK": _pack,
    "PAD": _pad,
    "PADV2": _pad,
    "RESHAPE": _reshape,
    "SHAPE": _shape,
    "SPACE_TO_BATCH_ND": _space_to_batch,
    "SQUEEZE": _squeeze,
    "STRIDED_SLICE": _strided_slice,
    "TRANSPOSE": _transpose,
}
