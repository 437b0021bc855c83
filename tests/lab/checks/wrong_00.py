"""Plausible wrong answers to the exercises of lesson 00, and what the verdict on each must say."""

import numpy as np

from quantlab.lab.checks.proof import wrong


@wrong("00.1", says="you count weights, not bytes")
def weights(n, n_bits):
    return n


@wrong("00.1", says="those are bits")
def bits(n, n_bits):
    return n * n_bits


@wrong("00.1", says="two weights of 4 bits share one byte")
def a_byte_each(n, n_bits):
    return n * -(-n_bits // 8)


@wrong("00.1", says="round up, or the last weight is cut off")
def rounded_down(n, n_bits):
    return n * n_bits // 8


@wrong("00.1", says="nothing to store takes no bytes")
def one_byte_too_many(n, n_bits):
    return n * n_bits // 8 + (n * n_bits % 8 > 0 or n == 0)


@wrong("00.1", says="a float; wanted is an int")
def a_float(n, n_bits):
    return float(np.ceil(n * n_bits / 8))


@wrong("00.2", says="int8 ends at 127")
def always_signed(n_bits, signed):
    return np.dtype(f"int{next(w for w in (8, 16, 32, 64) if w >= n_bits)}")


@wrong("00.2", says="there is no 4-bit integer in numpy")
def as_wide_as_the_code(n_bits, signed):
    import ml_dtypes  # noqa: F401 - from then on numpy knows the name int4, and answers with ml_dtypes' type

    return np.dtype(f"{'int' if signed else 'uint'}{n_bits}")


@wrong("00.2", says="9 bits do not fit into 8")
def rounded_width(n_bits, signed):
    width = 8 * max(1, round(n_bits / 8))
    return np.dtype(f"{'int' if signed else 'uint'}{width}")


@wrong("00.2", says="8 bits fit into 8 bits")
def strictly_more(n_bits, signed):
    width = next(w for w in (8, 16, 32, 64) if w > n_bits)
    return np.dtype(f"{'int' if signed else 'uint'}{width}")


@wrong("00.2", says="you return the text 'int8'")
def a_text(n_bits, signed):
    return f"int{next(w for w in (8, 16, 32, 64) if w >= n_bits)}"


@wrong("00.2", says="with a sign either")
def no_int64(n_bits, signed):
    width = next(w for w in (8, 16, 32, 64) if w >= n_bits)
    return np.dtype(f"int{min(width, 32)}" if signed else f"uint{width}")


@wrong("00.3", says="whatever its sign")
def signed_difference(x, y):
    return float(np.max(y.astype(np.float64) - x, initial=0.0))


@wrong("00.3", says="the mean hides a bad value")
def mean(x, y):
    return float(np.abs(x.astype(np.float64) - y).mean()) if x.size else 0.0


@wrong("00.3", says="3 - 5 wraps to 254")
def wraps(x, y):
    return float(np.abs(x - y).max(initial=0))


@wrong("00.3", says="whole numbers cut fractions off")
def whole_numbers(x, y):
    return float(np.abs(x.astype(np.int64) - y.astype(np.int64)).max(initial=0))


@wrong("00.3", says="int32 ends at 2**31 - 1")
def one_size_larger(x, y):
    kind = {1: np.int16}.get(x.itemsize, x.dtype)
    return float(np.abs(x.astype(kind) - y.astype(kind)).max(initial=0))


@wrong("00.3", says="convert to float64")
def in_float32(x, y):
    return float(np.abs(x.astype(np.float32) - y.astype(np.float32)).max(initial=0))


@wrong("00.3", says="look at every element, whatever the shape")
def first_row(x, y):
    difference = np.abs(x.astype(np.float64) - y.astype(np.float64))
    return float(difference[0].max(initial=0.0) if difference.ndim > 1 else difference.max(initial=0.0))


@wrong("00.3", says="zero-size array")
def empty_forgotten(x, y):
    return float(np.abs(x.astype(np.float64) - y.astype(np.float64)).max())


@wrong("00.4", says="black and white are allowed at every number of bits")
def shifted_out(pixels, n_bits):
    return pixels >> (8 - n_bits) << (8 - n_bits)


@wrong("00.4", says="one step between them, not two")
def as_many_steps_as_values(pixels, n_bits):
    step = 255 / 2**n_bits
    return np.rint(np.rint(pixels / step) * step).astype(np.uint8)


@wrong("00.4", says="round to the nearest step, do not cut off")
def floored(pixels, n_bits):
    step = 255 / (2**n_bits - 1)
    return np.rint(np.floor(pixels / step) * step).astype(np.uint8)


@wrong("00.4", says="200 * 3 wraps to 88")
def wrapped(pixels, n_bits):
    n_steps = 2**n_bits - 1
    return np.rint(np.rint(pixels * n_steps / 255) * 255 / n_steps).astype(np.uint8)


@wrong("00.4", says="astype cuts off")
def cut_off(pixels, n_bits):
    step = 255 / (2**n_bits - 1)
    return (np.rint(pixels / step) * step).astype(np.uint8)


@wrong("00.4", says="neither always up nor always down")
def rounded_up(pixels, n_bits):
    step = 255 / (2**n_bits - 1)
    return np.ceil(np.rint(pixels / step) * step).astype(np.uint8)


@wrong("00.4", says="has dtype float64; wanted is uint8")
def floats(pixels, n_bits):
    step = 255 / (2**n_bits - 1)
    return np.rint(np.rint(pixels / step) * step)


@wrong("00.4", says="your result has shape (4,)")
def flattened(pixels, n_bits):
    step = 255 / (2**n_bits - 1)
    return np.rint(np.rint(pixels.ravel() / step) * step).astype(np.uint8)
