"""What operators on images have in common, on integers or on reals: where the windows lie."""

from math import prod

from quantlab.core.windows import Windows, place_windows
from quantlab.integer.tflite.call import Call
from quantlab.integer.tflite.errors import CorruptFileError, TooLargeError

__all__ = ["dilation_of", "image_shape", "stride_of", "windows_of"]

MAX_PADDED = 2**26  # values of one padded image
MAX_WINDOW = 2**16  # pixels of one window: the pool over a whole image of 224 x 224 has 50,176


def windows_of(call: Call, kernel: tuple[int, int], channels: int, dilation: tuple[int, int] = (1, 1)) -> Windows:
    """Return where the windows of a convolution or a pool lie, having checked the output's shape and the memory."""
    n, height, width, _ = image_shape(call)
    if prod(kernel) > MAX_WINDOW:
        raise TooLargeError(f"{call.operator} has windows of {kernel}; expected at most {MAX_WINDOW:,} pixels")
    windows = place_windows(
        (height, width),
        kernel=kernel,
        stride=stride_of(call),
        dilation=dilation,
        padding=call.option("padding").lower(),
    )
    call.expect_shape((n, *windows.out, channels))
    padded = [size + sum(pads) for size, pads in zip((height, width), windows.pads, strict=True)]
    if n * prod(padded) * call.shape(0)[3] > MAX_PADDED:
        raise TooLargeError(f"{call.operator} pads its input to {padded}; expected at most {MAX_PADDED:,} values")
    return windows


def image_shape(call: Call) -> tuple[int, int, int, int]:
    """Return the shape of input 0, (samples, height, width, channels)."""
    if len(call.shape(0)) != 4:
        raise CorruptFileError(f"{call.operator} reads {call.inputs[0]}; expected (samples, height, width, channels)")
    return call.shape(0)


def stride_of(call: Call) -> tuple[int, int]:
    """Return the option stride, (height, width)."""
    return call.option("stride_h"), call.option("stride_w")


def dilation_of(call: Call) -> tuple[int, int]:
    """Return the option dilation, (height, width)."""
    return call.option("dilation_h_factor"), call.option("dilation_w_factor")
