"""Checks of exercise 06: accumulators, zero points, biases, multipliers, and a layer made of them."""

import numpy as np

from quantlab.integer.fixedpoint import multiply_by_quantized_multiplier, quantize_multiplier
from quantlab.integer.requantize import quantize_bias
from quantlab.lab.checks import Incorrect, exercise, expect, expect_equal, expect_type


@exercise(
    "06.1",
    title="Count the safe products",
    difficulty=1,
    minutes=8,
    hints=(
        "The largest and the smallest product of two ranges lie at their corners.",
        "A signed accumulator ends at 2**(n_bits - 1) - 1 above, and at -2**(n_bits - 1) below: check both.",
        "min(top // largest, bottom // smallest), where an end that no product moves towards does not count.",
    ),
)
def check_safe_products(answer, say):
    """``safe_products``: how many products fit into an accumulator, whatever the values."""
    for ranges, n_bits, want, hint in [
        ((1, 255, 1, 255), 32, 33025, "an n-bit signed accumulator ends at 2**(n_bits - 1) - 1: one bit is the sign"),
        ((-100, 10, -100, 10), 16, 3, "the largest product is (-100)(-100): it need not be a_max * b_max"),
        ((-128, 127, -128, 127), 16, 1, "two products of (-128)(-128) are 32768, and int16 ends at 32767"),
        ((0, 1, -128, 1), 16, 256, "products of -128 add up too: the lower end of the accumulator counts"),
        ((1, 3, 2, 5), 16, 2184, "the largest product is 15"),
        ((-128, 127, -128, 127), 32, 131071, "compute with whole numbers: 131072 products of 2**14 are 2**31"),
    ]:
        when = "with a in {}..{}, b in {}..{}, n_bits={}".format(*ranges, n_bits)
        got = answer(*ranges, n_bits)
        if np.ndim(got) == 0 and got < 0:
            a_min, _, b_min, _ = ranges
            reason = "the lower end of the accumulator is reached by the smallest product, the upper one by the largest"
            if min(a_min, b_min) > 0:
                reason = "no product is negative here, so the lower end does not count"
            raise Incorrect(f"{when} you return {got}: {reason}")
        expect_equal(got, want, when=when, hint=hint)
        expect_type(got, int, when=when)
    say("a layer of 131,072 inputs could overflow int32; none of this course has a tenth of that")


@exercise(
    "06.2",
    title="Take the zero points out",
    difficulty=2,
    minutes=8,
    hints=(
        "Expand (A - a)(B - b) under the sum over k: there are four terms.",
        "a is subtracted from A, so it multiplies what is left of the product: the sums of B.",
        "C - a * column_sums - b * row_sums[:, None] + K * a * b; the column sums belong to columns of the result.",
    ),
)
def check_without_zero_points(answer, say):
    """``without_zero_points``: correct a product of codes by row and column sums."""
    rng = np.random.default_rng(6)
    # Square, so that a forgotten [:, None] broadcasts without an error.
    A, B = np.array([[1, 2], [3, 5]], np.int8), np.array([[4, -1], [0, 2]], np.int8)
    C, rows, columns = _sums(A, B)

    def right(a, b):
        return ((A.astype(np.int64) - a) @ (B.astype(np.int64) - b)).astype(np.int32)

    when = "with A=[[1, 2], [3, 5]], B=[[4, -1], [0, 2]], a_zero_point=1, b_zero_point=0"
    got = answer(C, rows, columns, 2, 1, 0)
    for wrong, hint in [
        (C - rows[:, None], "a_zero_point is taken from A, so what it multiplies is the sums of B"),
        (C + columns, "subtract the term of one zero point; only the last term, K * a * b, is added"),
        (C - columns[:, None], "a column sum belongs to a column of the result: row_sums needs [:, None], not these"),
    ]:
        if isinstance(got, np.ndarray) and np.array_equal(got, wrong):
            raise Incorrect(f"{when} your first row is {got[0].tolist()}, expected {right(1, 0)[0].tolist()}: {hint}")
    expect_equal(
        got, right(1, 0), when=when, hint="with one zero point 0, a single term remains: a times the sums of B"
    )
    when = when.replace("a_zero_point=1, b_zero_point=0", "a_zero_point=0, b_zero_point=3")
    hint = "a row sum belongs to a row of the result: give row_sums an axis, row_sums[:, None]"
    expect_equal(answer(C, rows, columns, 2, 0, 3), right(0, 3), when=when, hint=hint)
    when = when.replace("a_zero_point=0", "a_zero_point=1")
    hint = "both zero points at once: what was subtracted twice comes back as K * a * b"
    expect_equal(answer(C, rows, columns, 2, 1, 3), right(1, 3), when=when, hint=hint)
    A, B = rng.integers(-128, 128, (3, 50), dtype=np.int8), rng.integers(-128, 128, (50, 4), dtype=np.int8)
    got = answer(*_sums(A, B), 50, -128, 7)
    hint = "K is the number of products in a sum, not a size of the result"
    expect_equal(got, right(-128, 7), when="with A (3, 50), B (50, 4), K=50, a_zero_point=-128", hint=hint)


def _sums(A, B):
    """Return what a matrix unit hands over: the product and the sums, int32."""
    C = (A.astype(np.int64) @ B.astype(np.int64)).astype(np.int32)
    return C, A.sum(axis=1, dtype=np.int32), B.sum(axis=0, dtype=np.int32)


@exercise(
    "06.3",
    title="Fold the bias",
    difficulty=2,
    minutes=8,
    hints=(
        "The accumulator counts in steps of x_scale * w_scale.",
        "Subtracting the zero point from every input takes x_zero_point * w from a sum, for each weight of the row.",
        "rint(b / (x_scale * w_scale)) - x_zero_point * w_q.sum(axis=1), with sums wider than int8.",
    ),
)
def check_folded_bias(answer, say):
    """``folded_bias``: bias and zero-point correction in one int32 vector."""
    b, w_q = np.array([1.0, -1.0], np.float32), np.array([[1, 2], [3, 4]], np.int8)
    quarter = {"x_scale": np.float32(0.5), "w_scale": np.float32(0.5)}
    when = "with b=[1, -1], w_q=[[1, 2], [3, 4]], x_scale=w_scale=0.5, x_zero_point=0"
    got = answer(b, w_q, **quarter, x_zero_point=0)
    hint = "a bias of 1 is 4 steps of x_scale * w_scale = 0.25"
    expect_equal(np.asarray(got).astype(np.float64), np.array([4.0, -4.0]), when=when, hint=hint)
    expect_equal(got, np.array([4, -4], np.int32), when=when)
    when = when.replace("x_zero_point=0", "x_zero_point=10")
    got = answer(b, w_q, **quarter, x_zero_point=10)
    for wrong, hint in [
        ([34, 66], "the zero point is subtracted from every input, so the correction is subtracted"),
        ([-36, -64], "one correction an output: sum each row of w_q over its inputs, axis=1"),
    ]:
        if np.array_equal(got, wrong):
            raise Incorrect(f"{when} you return {wrong}, expected [-26, -74]: {hint}")
    expect_equal(got, np.array([-26, -74], np.int32), when=when, hint="4 - 10 * (1 + 2) and -4 - 10 * (3 + 4)")
    w_q = np.full((1, 3), 127, np.int8)
    got = answer(np.zeros(1, np.float32), w_q, **quarter, x_zero_point=-128)
    hint = "3 * 127 does not fit into int8: sum, and multiply by the zero point, in a wider type"
    expect_equal(
        got, np.array([48768], np.int32), when="with w_q=[[127, 127, 127]], b=[0], x_zero_point=-128", hint=hint
    )
    b = np.array([0.37, -0.37, 0.1], np.float32)
    w_q = np.zeros((3, 2), np.int8)
    scales = {"x_scale": np.float32(0.25), "w_scale": np.float32(1.0)}
    for values in (b, b * 1.2):
        want = quantize_bias(values, **scales)
        when = f"with b={np.round(values, 3).tolist()}, w_q=0, x_scale=0.25, w_scale=1"
        hint = "a bias goes to the nearest step: round, neither cut nor floor"
        expect_equal(answer(values, w_q, **scales, x_zero_point=5), want, when=when, hint=hint)


@exercise(
    "06.4",
    title="Store a real number in integers",
    difficulty=2,
    minutes=10,
    hints=(
        "np.frexp(M) or math.frexp(M) splits a float into a fraction in [1/2, 1) and a power of two.",
        "The multiplier is that fraction times 2**31, rounded; the shift is the exponent as it comes, with its sign.",
        "If the multiplier has become 2**31, it is 2**30 with a shift of one more.",
    ),
)
def check_fixed_point(answer, say):
    """``fixed_point``: a positive real number as an int32 and a shift."""
    for M, hint in [
        (0.5, "0.5 is 2**30 / 2**31 with no shift at all"),
        (0.125, "0.125 = 0.5 * 2**-2: M is smaller than the fraction, so the shift is negative"),
        (3.0, "3 = 0.75 * 2**2"),
        (0.3, "the fraction 0.6 times 2**31 is 1288490188.8: round it, int() cuts"),
        (1 - 2.0**-40, "this fraction rounds to 2**31, which no int32 holds: store 2**30, and a shift of one more"),
    ]:
        when = f"with M={'1 - 2**-40' if M == 1 - 2.0**-40 else M}"
        got = answer(M)
        expect_type(got, tuple, when=when)
        expect(len(got) == 2, f"{when} you return {len(got)} values, expected (multiplier, shift)")
        want = tuple(int(v) for v in quantize_multiplier(M))
        if tuple(got) == (want[0], -want[1]) and want[1]:
            raise Incorrect(f"{when} your shift is {got[1]}, expected {want[1]}: a positive shift makes M larger")
        if got[0] >= 2**31 and M < 0.9:
            raise Incorrect(
                f"{when} your multiplier is {got[0]}, beyond int32: the fraction lies in [1/2, 1), not [1, 2)"
            )
        expect_equal(tuple(got), want, when=when, hint=hint)
        for value in got:
            expect_type(value, int, when=when)
    rng = np.random.default_rng(6)
    for M in np.exp(rng.uniform(-12, 4, 200)).tolist():
        want = tuple(int(v) for v in quantize_multiplier(M))
        expect_equal(tuple(answer(M)), want, when=f"with M={M!r}", hint="the nearest of the two neighbours")
    say("the relative error is at most 2**-31, a hundred times less than that of a float32")


@exercise(
    "06.5",
    title="Round twice",
    difficulty=2,
    minutes=10,
    hints=(
        "Dropping n bits and rounding half up is (x + 2**(n - 1)) >> n.",
        "The product of two int32 needs int64.",
        "high = (acc * multiplier + 2**30) >> 31 in int64, then the same with -shift bits; half of 2**0 is 0.",
    ),
)
def check_round_twice(answer, say):
    """``round_twice``: ruy's requantization."""
    m, s = (int(v) for v in quantize_multiplier(0.3))
    acc = np.array([8, -8, 0, 5], np.int32)
    when = f"with acc=[8, -8, 0, 5], multiplier={m}, shift={s} (M = 0.3)"
    got, want = answer(acc, m, s), _ruy(acc, m, s)
    wrapped = (((acc * np.int32(m) + np.int32(2**30)) >> 31) + 1) >> 1
    for wrong, hint in [
        (wrapped.tolist(), "acc * multiplier does not fit into int32, and wraps: multiply in int64"),
        ([2, -2, 0, 2], "8 * 0.6 = 4.8 rounds to 5, and 5 / 2 to 3; you round once, at the end"),
        ([2, -3, 0, 1], "a shift alone goes down: add half of the last step before each of the two"),
        ([3, -3, 0, 2], "-5 / 2 is a tie, and half up sends it to -2; yours goes away from zero"),
    ]:
        if np.array_equal(got, wrong):
            raise Incorrect(f"{when} you return {wrong}, expected {want.tolist()}: {hint}")
    expect_equal(np.asarray(got).astype(np.int64), want.astype(np.int64), when=when, hint="two steps, each half up")
    expect_equal(got, want, when=when)
    hint = "with shift 0 there is no second rounding: half of 2**0 is 0 here"
    want = _ruy(acc, 2**30, 0)
    expect_equal(answer(acc, 2**30, 0), want, when="with acc=[8, -8, 0, 5], multiplier=2**30, shift=0", hint=hint)
    rng = np.random.default_rng(6)
    many = rng.integers(-(2**22), 2**22, (50, 40), dtype=np.int32)
    for r in range(1, 12):
        want = _ruy(many, 3 * 2**29 + 1, -r)
        expect_equal(answer(many, 3 * 2**29 + 1, -r), want, when=f"with 2000 values and shift={-r}")


def _ruy(acc, m, s):
    return multiply_by_quantized_multiplier(acc, m, s, rounding="ruy").astype(np.int32)


@exercise(
    "06.6",
    title="Mend a layer",
    difficulty=3,
    minutes=12,
    hints=(
        "Feed it one input and one weight, both 100: what does the first line compute?",
        "Ask for the rounding: is a shift half up? And ask for ReLU: which code stands for the real number 0?",
        "Widen before the product; add 1 << (30 - shift) before the shift; clamp at y_zero_point.",
    ),
)
def check_layer(answer, say):
    """``layer``: an int8 fully connected layer with ReLU, rounded once."""

    def ask(x, w, folded, y_zero_point, hint):
        x_q, w_q, folded = np.array([[x]], np.int8), np.array([[w]], np.int8), np.array([folded], np.int32)
        when = f"with x_q=[[{x}]], w_q=[[{w}]], folded={folded.tolist()}, M=0.25, y_zero_point={y_zero_point}"
        want = _layer(x_q, w_q, folded, 2**30, -1, y_zero_point)
        got = answer(x_q, w_q, folded, 2**30, -1, y_zero_point)
        expect_equal(np.asarray(got).astype(np.int64), want.astype(np.int64), when=when, hint=hint)
        expect_equal(got, want, when=when)

    ask(3, 4, 0, 0, "12 * 0.25 is 3")
    ask(4, 4, 0, 10, "the zero point counts in steps of the output: add it after the shift")
    ask(20, 10, 0, 0, "the product of two int8 wraps in int8: widen before you multiply")
    ask(3, 1, 0, 0, "0.75 rounds to 1; a shift alone cuts it to 0: add half of the last step first")
    ask(2, 1, 0, 0, "0.5 is a tie, and half up sends it to 1")
    ask(2, -20, 0, -100, "ReLU cuts off at the real number 0, and its code is the zero point, not 0")
    ask(2, 20, 0, -100, "this output, 10 steps above the zero point, is positive: ReLU lets it pass")
    ask(127, 127, 0, 100, "beyond 127 the output saturates: clip before you cast to int8")
    rng = np.random.default_rng(6)
    x_q, w_q = rng.integers(-128, 128, (5, 70), dtype=np.int8), rng.integers(-127, 128, (9, 70), dtype=np.int8)
    folded = rng.integers(-5000, 5000, 9, dtype=np.int32)
    want = _layer(x_q, w_q, folded, 1_481_126_683, -9, -20)
    got = answer(x_q, w_q, folded, 1_481_126_683, -9, -20)
    expect_equal(got, want, when="with x_q (5, 70), w_q (9, 70)", hint="sum over the inputs, add folded to each output")


def _layer(x_q, w_q, folded, m, s, y_zero_point):
    acc = x_q.astype(np.int64) @ w_q.astype(np.int64).T + folded
    y = multiply_by_quantized_multiplier(acc, m, s, rounding="single") + y_zero_point
    return np.clip(np.maximum(y, y_zero_point), -128, 127).astype(np.int8)
