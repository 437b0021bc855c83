"""From int8 operators of a .tflite file to functions of `quantlab.integer.ops`: one short function an operator.

Each takes the numbers out of the file, turns weights into quantlab's layout, checks that the shape which the file
promises is the one that the operator implies (before anything is computed, so that a damaged file cannot ask for any
amount of memory), and calls.
"""

from collections.abc import Callable

import numpy as np

from quantlab.core.qparams import QParams
from quantlab.integer import ops
from quantlab.integer.tflite.call import Call
from quantlab.integer.tflite.errors import CorruptFileError, UnsupportedError
from quantlab.integer.tflite.images import dilation_of, image_shape, stride_of, windows_of
from quantlab.integer.tflite.moves import MOVES

__all__ = ["OPERATORS"]


def _conv_2d(call: Call) -> np.ndarray:
    return _convolution(call, call.array(1), call.qp(1), ops.conv2d)


def _depthwise_conv_2d(call: Call) -> np.ndarray:
    """TFLite keeps depthwise weights as (1, height, width, channels), with their scales on the last axis."""
    w, qp = call.array(1), call.qp(1)
    if w.ndim != 4 or w.shape[0] != 1:
        raise CorruptFileError(f"{call.operator} has weights {call.inputs[1]}; expected (1, height, width, channels)")
    if qp.axis is not None:
        qp = QParams(scale=qp.scale, zero_point=qp.zero_point, grid=qp.grid, axis=0)
    return _convolution(call, np.ascontiguousarray(w.transpose(3, 1, 2, 0)), qp, ops.depthwise_conv2d)


def _convolution(call: Call, w: np.ndarray, w_qp: QParams, function: Callable[..., np.ndarray]) -> np.ndarray:
    call.require(2, at_most=3)
    if w.ndim != 4:
        raise CorruptFileError(f"{call.operator} has weights {call.inputs[1]}; expected 4 axes")
    windows_of(call, w.shape[1:3], len(w), dilation_of(call))
    return function(
        call.array(0),
        w,
        call.array(2),
        x_qp=call.qp(0),
        w_qp=w_qp,
        y_qp=call.y_qp,
        stride=stride_of(call),
        dilation=dilation_of(call),
        padding=call.option("padding").lower(),
        dialect=call.kernels,
        activation=call.activation,
    )


def _fully_connected(call: Call) -> np.ndarray:
    call.require(2, at_most=3)
    x, w = call.array(0), call.array(1)
    if w.ndim != 2 or w.shape[1] == 0 or x.size % w.shape[1]:
        raise CorruptFileError(f"{call.operator} multiplies {call.inputs[0]} by {call.inputs[1]}; they do not fit")
    rows = x.shape[:-1] if call.option("keep_num_dims") else (x.size // w.shape[1],)
    call.expect_shape((*rows, len(w)))
    # Here the micro-controller's kernels differ from the reference kernels: they round twice, as in a convolution.
    return ops.fully_connected(
        x.reshape(*rows, w.shape[1]),
        w,
        call.array(2),
        x_qp=call.qp(0),
        w_qp=call.qp(1),
        y_qp=call.y_qp,
        dialect="litert_reference_conv" if call.dialect == "tflite_micro" else call.dialect,
        activation=call.activation,
    )


def _pool(function: Callable[..., np.ndarray]) -> Callable[[Call], np.ndarray]:
    def pool(call: Call) -> np.ndarray:
        call.require(1)
        size = (call.option("filter_height"), call.option("filter_width"))
        windows_of(call, size, image_shape(call)[3])
        call.expect_same_scale(0)
        return function(
            call.array(0),
            x_qp=call.qp(0),
            size=size,
            stride=stride_of(call),
            padding=call.option("padding").lower(),
            dialect=call.kernels,
            activation=call.activation,
        )

    return pool


def _mean(call: Call) -> np.ndarray:
    call.require(2)
    axes, keepdims = call.axes(1), call.option("keep_dims")
    kept = [1 if k in axes else n for k, n in enumerate(call.shape(0)) if keepdims or k not in axes]
    call.expect_shape(tuple(kept))
    return ops.mean(call.array(0), x_qp=call.qp(0), y_qp=call.y_qp, dialect=call.kernels, axis=axes, keepdims=keepdims)


def _binary(function: Callable[..., np.ndarray]) -> Callable[[Call], np.ndarray]:
    def binary(call: Call) -> np.ndarray:
        call.require(2)
        a, b = call.array(0), call.array(1)
        call.expect_shape(np.broadcast_shapes(a.shape, b.shape))
        return function(
            a,
            b,
            a_qp=call.qp(0),
            b_qp=call.qp(1),
            y_qp=call.y_qp,
            dialect=call.kernels,
            activation=call.activation,
        )

    return binary


def _unary(function: Callable[..., np.ndarray], **options: float) -> Callable[[Call], np.ndarray]:
    def unary(call: Call) -> np.ndarray:
        call.require(1)
        call.expect_shape(call.shape(0))
        return function(call.array(0), x_qp=call.qp(0), y_qp=call.y_qp, dialect=call.kernels, **options)

    return unary


def _softmax(call: Call) -> np.ndarray:
    call.require(1)
    call.expect_shape(call.shape(0))
    return ops.softmax(call.array(0), x_qp=call.qp(0), y_qp=call.y_qp, dialect=call.kernels, beta=call.option("beta"))


def _quantize(call: Call) -> np.ndarray:
    call.require(1)
    call.expect_shape(call.shape(0))
    x, y_qp = call.array(0), call.byte_qp(call.output)
    if x.dtype == np.float32:
        return ops.quantize_values(x, y_qp=y_qp, dialect=call.kernels)
    return ops.requantize_values(x, x_qp=call.byte_qp(call.inputs[0]), y_qp=y_qp, dialect=call.kernels)


def _dequantize(call: Call) -> np.ndarray:
    call.require(1)
    call.expect_shape(call.shape(0))
    return ops.dequantize_values(call.array(0), qp=call.byte_qp(call.inputs[0]), dialect=call.kernels)


def _concatenation(call: Call) -> np.ndarray:
    call.require(1, at_most=len(call.inputs))
    axis = call.option("axis")
    shape = list(call.shape(0))
    shape[axis] = sum(part.shape[axis] for part in call.arrays)
    call.expect_shape(tuple(shape))
    if call.activation is not None:
        raise UnsupportedError(f"{call.operator} has a fused activation; expected none")
    part_qps = [call.qp(i) for i in range(len(call.inputs))]
    return ops.concatenate(call.arrays, axis=axis, part_qps=part_qps, y_qp=call.y_qp, dialect=call.kernels)


OPERATORS: dict[str, Callable[[Call], np.ndarray]] = {
    **MOVES,
    "ADD": _binary(ops.add),
    "AVERAGE_POOL_2D": _pool(ops.average_pool),
    "CONCATENATION": _concatenation,
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "DEQUANTIZE": _dequantize,
    "FULLY_CONNECTED": _fully_connected,
    "HARD_SWISH": _unary(ops.hard_swish),
    "LOGISTIC": _unary(ops.logistic),
    "MAX_POOL_2D": _pool(ops.max_pool),
    "MEAN": _mean,
    "MUL": _binary(ops.mul),
    "QUANTIZE": _quantize,
    "RELU": _unary(ops.relu),
    "RELU6": _unary(ops.relu, limit=6.0),
    "SOFTMAX": _softmax,
    "SUB": _binary(ops.sub),
}
