"""Operators on integers alone: quantized inputs and weights in, quantized outputs out."""

from quantlab.integer.ops.cast import dequantize_values, quantize_values, requantize_values
from quantlab.integer.ops.concat import concatenate
from quantlab.integer.ops.conv import conv2d, conv_integer, depthwise_conv2d
from quantlab.integer.ops.elementwise import add, mul, sub
from quantlab.integer.ops.linear import fully_connected, matmul
from quantlab.integer.ops.move import pad
from quantlab.integer.ops.pool import average_pool, max_pool, mean
from quantlab.integer.ops.softmax import softmax
from quantlab.integer.ops.table import hard_swish, logistic, relu

__all__ = [
    "add",
    "average_pool",
    "concatenate",
    "conv2d",
    "conv_integer",
    "depthwise_conv2d",
    "dequantize_values",
    "fully_connected",
    "hard_swish",
    "logistic",
    "matmul",
    "max_pool",
    "mean",
    "mul",
    "pad",
    "quantize_values",
    "relu",
    "requantize_values",
    "softmax",
    "sub",
]
