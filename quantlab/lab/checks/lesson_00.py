"""Checks of exercise 00: a first function, a first table, a first worst case."""

import numpy as np

from quantlab.lab.checks import Incorrect, exercise, expect_array, expect_close, expect_equal, expect_type


@exercise(
    "00.1",
    title="Count the bytes",
    difficulty=1,
    minutes=3,
    hints=(
        "A byte holds 8 bits.",
        "Five weights of 4 bits are 20 bits; they do not fit into 2 bytes.",
        "Round the number of bits up to whole bytes: -(-bits // 8).",
    ),
)
def check_n_bytes(answer, say):
    """``n_bytes(n, n_bits)``: bytes that n weights of n_bits bits take when they are packed without gaps."""
    for n, n_bits, hint in [
        (3, 32, "you count weights, not bytes"),
        (2, 4, "two weights of 4 bits share one byte: add up the bits first, then divide by 8"),
        (5, 4, "a file has whole bytes: round up, or the last weight is cut off"),
        (0, 8, "nothing to store takes no bytes"),
        (4_652_008, 3, "compute with whole numbers, and round up only once, at the end"),
    ]:
        got = answer(n, n_bits)
        when = f"with n={n}, n_bits={n_bits}"
        want = -(-n * n_bits // 8)
        if n == 3 and got == want * 8:
            raise Incorrect(f"{when} you return {got}, expected {want}: those are bits, and a byte holds 8")
        expect_equal(got, want, when=when, hint=hint)
        expect_type(got, int, when=when)
    say("4,652,008 weights of 3 bits are 1,744,503 bytes")


@exercise(
    "00.2",
    title="Choose a data type",
    difficulty=1,
    minutes=5,
    hints=(
        "numpy has integers of 8, 16, 32 and 64 bits: there is no np.int4.",
        "Take the smallest of them that has at least n_bits bits.",
        "Walk through (8, 16, 32, 64) and return np.dtype(f'int{width}') or np.dtype(f'uint{width}') at the first fit.",
    ),
)
def check_storage_dtype(answer, say):
    """``storage_dtype(n_bits, signed)``: the smallest numpy integer dtype that holds n_bits-bit integers."""
    for n_bits, signed, want, hint in [
        (8, True, "int8", "8 bits fit into 8 bits"),
        (8, False, "uint8", "without a sign, 8 bits reach 255, and int8 ends at 127"),
        (4, True, "int8", "there is no 4-bit integer in numpy; the smallest that holds it has 8 bits"),
        (9, True, "int16", "9 bits do not fit into 8: round the width up, not to the nearest"),
        (16, False, "uint16", "16 bits without a sign are uint16"),
        (17, True, "int32", "17 bits do not fit into 16"),
        (33, False, "uint64", "33 bits do not fit into 32"),
        (33, True, "int64", "33 bits do not fit into 32, with a sign either"),
    ]:
        got = answer(n_bits, signed)
        when = f"with n_bits={n_bits}, signed={signed}"
        if isinstance(got, str):
            raise Incorrect(f"{when} you return the text {got!r}: wrap it, np.dtype({got!r})")
        try:
            got = np.dtype(got)
        except TypeError:
            expect_type(got, np.dtype, when=when)
        if got != np.dtype(want):
            raise Incorrect(f"{when} you return {got}, expected {want}: {hint}")


@exercise(
    "00.3",
    title="Find the worst error",
    difficulty=1,
    minutes=5,
    hints=(
        "An error has a size, whatever its sign.",
        "Integers wrap: in uint8, 3 - 5 is 254. Subtract in floating point.",
        "np.abs(x.astype(np.float64) - y.astype(np.float64)).max(), and a case for empty arrays.",
    ),
)
def check_max_abs_error(answer, say):
    """``max_abs_error(x, y)``: the largest absolute difference of two arrays; 0.0 for empty arrays."""
    for x, y in [([0.0, 0.0], [1.0, 3.0]), ([1.0, 3.0], [0.0, 0.0]), ([0.0, 0.0], [1.0, -3.0])]:
        when = f"with x={x}, y={y}"
        got = answer(np.array(x, dtype=np.float32), np.array(y, dtype=np.float32))
        if isinstance(got, (float, np.floating)) and got == 2.0:
            raise Incorrect(f"{when} you return 2, expected 3: the mean hides a bad value; take the maximum")
        expect_close(got, 3.0, atol=0, when=when, hint="take the size of each difference, whatever its sign")
    got = answer(np.array([3], dtype=np.uint8), np.array([5], dtype=np.uint8))
    hint = "uint8 has no negative numbers, 3 - 5 wraps to 254: convert before you subtract"
    expect_close(got, 2.0, atol=0, when="with x=uint8 [3], y=uint8 [5]", hint=hint)
    big, small = np.array([2**30], dtype=np.int32), np.array([-(2**30)], dtype=np.int32)
    hint = "int32 ends at 2**31 - 1, and the difference wraps: convert to floating point before you subtract"
    expect_close(answer(big, small), 2.0**31, atol=0, when="with x=int32 [2**30], y=int32 [-2**30]", hint=hint)
    got = answer(np.array([2**24 + 1], dtype=np.int32), np.array([2**24], dtype=np.int32))
    hint = "float32 has no number between 2**24 and 2**24 + 2 (lesson 02 says why): convert to float64"
    expect_close(got, 1.0, atol=0, when="with x=int32 [2**24 + 1], y=int32 [2**24]", hint=hint)
    got = answer(np.array([0.5], dtype=np.float32), np.array([0.75], dtype=np.float32))
    expect_close(got, 0.25, atol=0, when="with x=[0.5], y=[0.75]", hint="whole numbers cut fractions off")
    got = answer(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 2.0], [3.0, 9.0]]))
    if isinstance(got, np.ndarray) and got.shape != ():
        expect_array(got, shape=(), when="with two 2 x 2 arrays")
    expect_close(got, 5.0, atol=1e-6, when="with two 2 x 2 arrays", hint="look at every element, whatever the shape")
    got = answer(np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.float32))
    expect_close(got, 0.0, atol=0, when="with two empty arrays", hint="nothing differs, so the error is 0.0")
    say("test the maximum, not the mean: you will need this habit in lesson 03")


@exercise(
    "00.4",
    title="Quantize the cat",
    difficulty=2,
    minutes=8,
    hints=(
        "2**n_bits values have 2**n_bits - 1 steps between them.",
        "Divide by the step (in floating point), round, multiply by the step.",
        "step = 255 / (2**n_bits - 1), then np.rint(np.rint(pixels / step) * step).astype(np.uint8)",
    ),
)
def check_keep_bits(answer, say):
    """``keep_bits(pixels, n_bits)``: the nearest of 2**n_bits evenly spaced values from 0 to 255."""
    for pixels, n_bits, hint in [
        ([0, 255], 1, "black and white are allowed at every number of bits and stay as they are"),
        ([100], 1, "two values, 0 and 255, have one step between them, not two"),
        ([200], 1, "200 is nearer to 255 than to 0: round to the nearest step, do not cut off"),
        ([200], 2, "in uint8, 200 * 3 wraps to 88: divide by the step, or convert before you multiply"),
        ([73], 3, "two steps are 72.86, which is 73: astype cuts off, np.rint rounds"),
        ([[17, 34], [51, 68]], 4, "these four are whole steps of 17, and the shape stays"),
    ]:
        x = np.array(pixels, dtype=np.uint8)
        allowed = np.linspace(0, 255, 2**n_bits)
        nearest = np.abs(allowed - x[..., None].astype(np.float64)).argmin(axis=-1)
        want = np.rint(allowed[nearest]).astype(np.uint8)
        expect_equal(answer(x, n_bits), want, when=f"with pixels={pixels}, n_bits={n_bits}", hint=hint)
    everything = np.arange(256, dtype=np.uint8)
    expect_equal(answer(everything, 8), everything, when="with all 256 values, n_bits=8", hint="8 bits change nothing")
    hint = "one step is 36.43, which is 36: round to a whole number, neither always up nor always down"
    expect_equal(answer(everything[36:37], 3), everything[36:37], when="with pixels=[36], n_bits=3", hint=hint)
    for n_bits in range(1, 8):
        allowed = np.linspace(0, 255, 2**n_bits)
        want = np.rint(allowed[np.abs(allowed - everything[:, None]).argmin(axis=1)]).astype(np.uint8)
        expect_equal(answer(everything, n_bits), want, when=f"with all 256 values, n_bits={n_bits}")
    say("you wrote a quantizer: lesson 03 gives it a scale and a zero point")
