"""What can be wrong with a .tflite file: one family of exceptions, so that a caller can catch all of it at once.

`TFLiteError` is a ValueError. A file from outside, whatever it holds, raises one of the family or gives a result.
"""

__all__ = ["CorruptFileError", "TFLiteError", "TooLargeError", "UnsupportedError"]


class TFLiteError(ValueError):
    """The file cannot be read or run; the text names the operator or the tensor. Base of the three below."""


class CorruptFileError(TFLiteError):
    """The file is no .tflite, is cut off, or contradicts itself: shapes, buffer sizes, indices, scales."""


class UnsupportedError(TFLiteError):
    """The file may be right, but it holds an operator, a type or an option that quantlab does not have."""


class TooLargeError(TFLiteError):
    """The file asks for more memory than the caller allowed."""
