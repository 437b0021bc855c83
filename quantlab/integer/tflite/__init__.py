"""Reads .tflite files, lists them, and runs int8 ones on integers alone."""

from quantlab.integer.tflite.errors import CorruptFileError, TFLiteError, TooLargeError, UnsupportedError
from quantlab.integer.tflite.model import Model, Operator, Tensor
from quantlab.integer.tflite.reader import read
from quantlab.integer.tflite.run import DIALECTS, run, tensors
from quantlab.integer.tflite.table import rows, table

__all__ = [
    "DIALECTS",
    "CorruptFileError",
    "Model",
    "Operator",
    "TFLiteError",
    "Tensor",
    "TooLargeError",
    "UnsupportedError",
    "read",
    "rows",
    "run",
    "table",
    "tensors",
]
