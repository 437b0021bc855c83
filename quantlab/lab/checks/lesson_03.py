"""Checks of exercise 03: fit a ruler, walk along it, take its error apart, predict it, and test it."""

from functools import partial

import numpy as np

from quantlab import Grid, QParams, choose_qparams, fake_quantize, quantize
from quantlab.lab.checks import Incorrect, exercise, expect, expect_close, expect_equal, expect_type


@exercise(
    "03.1",
    title="Fit the ruler",
    difficulty=1,
    minutes=6,
    hints=(
        "Widen the range first: lo must not be above 0, hi not below.",
        "The scale is the length of the range divided by the number of gaps, one less than the number of marks.",
        "lo / scale, rounded, is how many marks below zero the ruler starts; it starts at mark quant_min.",
    ),
)
def check_fit(answer, say):
    """``fit(lo, hi, n_bits)``: scale and zero point of an asymmetric signed grid."""
    for lo, hi, n_bits in [
        (-1.2, 2.3, 3),
        (-1.3, 2.2, 3),
        (0.0, 6.0, 8),
        (1.0, 6.0, 8),
        (-5.0, -2.0, 8),
        (-0.3, 1.1, 4),
    ]:
        when = f"with lo={lo}, hi={hi}, n_bits={n_bits}"
        got = answer(lo, hi, n_bits)
        expect_type(got, (tuple, list), when=when)
        expect(len(got) == 2, f"{when} you return {len(got)} values; wanted are scale and zero_point")
        scale, zero_point = got
        expect_type(scale, float, when=f"{when}, scale:")
        expect_type(zero_point, int, when=f"{when}, zero_point:")
        low, high, n_gaps = min(lo, 0.0), max(hi, 0.0), 2**n_bits - 1
        want = (high - low) / n_gaps
        want_zero = -(2 ** (n_bits - 1)) - int(np.rint(low / want))
        if not np.isclose(scale, want) and np.isclose(scale, (high - low) / (n_gaps + 1)):
            raise Incorrect(f"{when} you divide by {n_gaps + 1}: {n_gaps + 1} marks have {n_gaps} gaps between them")
        if not np.isclose(scale, want) and np.isclose(scale, (hi - lo) / n_gaps):
            if -(2 ** (n_bits - 1)) <= zero_point < 2 ** (n_bits - 1):
                raise Incorrect(
                    f"{when} you clamp the zero point: that moves the ruler; widen the range to hold 0 instead"
                )
            raise Incorrect(f"{when} mark {zero_point} stands for 0, and no such mark exists: the ruler must reach 0")
        hint = ""
        if np.isclose(scale, (high - low) / 255):
            hint = f"the grid has n_bits={n_bits} bits, not 8"
        elif np.isclose(scale, 2 * max(-low, high) / n_gaps):
            hint = "an asymmetric ruler reaches from lo to hi, not from -m to m"
        expect_close(scale, want, atol=1e-9 + 1e-5 * want, when=f"{when}, scale:", hint=hint)
        if zero_point == want_zero + 2 ** (n_bits - 1):
            raise Incorrect(f"{when} you count marks from 0; a signed grid starts at {-(2 ** (n_bits - 1))}")
        hint = "you are one mark off: int() cuts, the grid rounds" if abs(zero_point - want_zero) == 1 else ""
        if zero_point - want_zero == 2 * int(np.rint(low / want)):
            hint = "the formula subtracts round(lo / scale) from the lowest mark, you add it"
        expect_equal(zero_point, want_zero, when=f"{when}, zero_point:", hint=hint)
    when = "with lo=0.0, hi=0.0, n_bits=8"
    got = answer(0.0, 0.0, 8)
    expect_type(got, (tuple, list), when=when)
    hint = "a range of zeros is legal (a pruned channel), and a scale of 0 makes NaN later"
    expect_close(got[0], 1.0, atol=0, when=f"{when}, scale:", hint=hint)
    hint = "lo lies on the lowest mark, as in every range that starts at 0"
    expect_close(got[1], -128, atol=0, when=f"{when}, zero_point:", hint=hint)


@exercise(
    "03.2",
    title="Find the codes",
    difficulty=1,
    minutes=6,
    hints=(
        "Divide, round, add, clip, convert: in this order.",
        "np.rint sends ties to the even integer; np.round without digits does too.",
        "np.clip(np.rint(x / np.float32(scale)) + zero_point, quant_min, quant_max).astype(np.int8)",
    ),
)
def check_find_codes(answer, say):
    """``find_codes(x, scale, zero_point, n_bits)``: int8 codes, ties half to even before the zero point is added."""
    for x, scale, zero_point, n_bits, hint in [
        ([0.9], 1.0, 0, 8, "astype cuts towards zero; round to the nearest mark first"),
        ([-0.9], 1.0, 0, 8, "round to the nearest mark; a signed grid has negative ones"),
        ([8.0], 4.0, 0, 8, "one step is scale=4.0 long: divide by it"),
        ([2.0], 1.0, 3, 8, "add the zero point to the rounded steps: it is the mark that stands for 0"),
        ([300.0, -300.0], 1.0, 0, 8, "clip to the grid, -128 to 127, before you convert: int8 wraps around"),
        ([9.0, -9.0], 1.0, 0, 4, "4 bits end at -8 and 7, although the array is int8"),
        ([7.0], 1.0, 3, 4, "clip last, after adding the zero point, or codes leave the grid"),
        ([1.5, 2.5], 1.0, 0, 8, "2.5 is a tie, and goes to the even integer: +0.5 and floor would make it 3"),
        ([0.5, 1.5], 1.0, 1, 8, "the tie is decided before the zero point is added; an odd one turns even into odd"),
    ]:
        qp = QParams(scale=scale, zero_point=zero_point, grid=Grid(n_bits))
        v = np.array(x, dtype=np.float32)
        when = f"with x={x}, scale={scale}, zero_point={zero_point}, n_bits={n_bits}"
        got = answer(v, scale, zero_point, n_bits)
        expect_equal(got, quantize(v, qp, dialect="onnx"), when=when, hint=hint)
    qp = choose_qparams(-1.0, 2.0, grid=Grid(n_bits=8))
    v = (np.arange(-300, 301) / 2 * float(qp.scale)).astype(np.float32)
    got = answer(v, float(qp.scale), int(qp.zero_point), 8)
    hint = "divide in float32, by np.float32(scale): a double gives other ties, and so does a reciprocal"
    expect_equal(got, quantize(v, qp, dialect="onnx"), when="with 601 values on and between the marks", hint=hint)
    say("equal to ONNX's QuantizeLinear, ties included")


@exercise(
    "03.3",
    title="Split the error",
    difficulty=2,
    minutes=8,
    hints=(
        "Which of the two kinds a value belongs to depends on x, not on what came back.",
        "Make a mask of what is inside; its opposite is outside, on both sides.",
        "Both sums are divided by the same number: by x.size.",
    ),
)
def check_split_error(answer, say):
    """``split_error(x, x_hat, lo, hi)``: mean squared error of the values inside and outside of the range."""
    for x, x_hat, part, hint in [
        ([0.5, 1.0], [0.0, 1.0], "rounding", "square the error, then take the mean"),
        ([3.0, 1.0], [1.0, 1.0], "clipping", "3.0 lies beyond hi, wherever it came back"),
        ([-4.0, 1.0], [-1.0, 1.0], "clipping", "-4.0 lies below lo: a ruler has two ends"),
        (
            [0.75, 0.0],
            [1.0, 0.0],
            "rounding",
            "0.75 was rounded up to the last mark, not clipped: look at x, not at x_hat",
        ),
        ([1.0, 0.0], [0.5, 0.0], "rounding", "a value at the end of the range is inside"),
        ([3.0, 0.0], [0.75, 0.0], "clipping", "3.0 is outside, so its whole error counts here, not only its way to hi"),
        ([0.5, 3.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], "both", "divide both sums by the number of all values"),
    ]:
        a, b = np.array(x), np.array(x_hat)
        inside = np.abs(a) <= 1
        want = tuple(float(((a - b) ** 2)[m].sum() / a.size) for m in (inside, ~inside))
        when = f"with x={x}, x_hat={x_hat}, lo=-1, hi=1"
        got = answer(a, b, -1.0, 1.0)
        expect_type(got, (tuple, list), when=when)
        if x == [0.5, 1.0] and tuple(got) == want[::-1]:
            raise Incorrect(f"{when} you return clipping first; wanted is (rounding, clipping)")
        if any(isinstance(v, float | np.floating) and np.isnan(v) for v in got):
            raise Incorrect(f"{when} you return nan, the mean of no values: divide both sums by the size of x")
        expect_close(got, want, atol=1e-12, when=when, hint=f"{part}: {hint}")
    rng = np.random.default_rng(0)
    a = rng.normal(size=10_000).astype(np.float32)
    qp = choose_qparams(-1.0, 2.0, grid=Grid(n_bits=4))
    b = fake_quantize(a, qp)
    got = answer(a, b, -1.0, 2.0)
    total = float(np.mean((a.astype(np.float64) - b) ** 2))
    when = "with 10,000 values, the sum of your two parts:"
    expect_close(float(got[0] + got[1]), total, atol=1e-5 * total, when=when, hint="they must add up to the whole")


@exercise(
    "03.4",
    title="Predict the decibels",
    difficulty=2,
    minutes=8,
    hints=(
        "Signal power is the mean of x squared; noise power is scale squared over 12.",
        "The scale is 2 m / (2**n_bits - 1), with m the largest absolute value.",
        "10 * np.log10(np.mean(x**2) / (scale**2 / 12))",
    ),
)
def check_predict_sqnr(answer, say):
    """``predict_sqnr(x, n_bits)``: 10 log10(mean(x^2) / (s^2 / 12)) for a symmetric min-max ruler."""
    rng = np.random.default_rng(0)
    for name, x, n_bits in [
        ("4,000 values from a normal distribution", rng.normal(size=4000), 8),
        ("4,000 values around 3", rng.normal(3, 0.5, 4000), 8),
        ("4,000 values of which the largest in size is -9", np.append(rng.normal(size=3999), -9.0), 8),
        ("4,000 uniform values in [-1, 1]", rng.uniform(-1, 1, 4000), 4),
    ]:
        power, m, n_gaps = np.mean(x**2), np.abs(x).max(), 2**n_bits - 1
        want = _decibels(power, 2 * m / n_gaps)
        when = f"with {name}, n_bits={n_bits}"
        got = answer(x, n_bits)
        expect_type(got, float, when=when)
        mistakes = [
            (2 * want, "twice too much: this is a ratio of powers, so 10 log10"),
            (want * np.log(10), "decibels use the logarithm to base 10; np.log is the natural one"),
            (_decibels(np.var(x), 2 * m / n_gaps), "take the mean of x**2, not the spread around the mean of x"),
            (_decibels(power, np.ptp(x) / n_gaps), "a symmetric ruler reaches from -m to m, not from min to max"),
            (_decibels(power, 2 * x.max() / n_gaps), "take the absolute value before the maximum"),
            (_decibels(power, m / n_gaps), "the ruler reaches from -m to m: it is 2 m long"),
            (_decibels(power, 2 * m / (n_gaps + 1)), f"{n_gaps + 1} marks have {n_gaps} gaps between them"),
            (6.02 * n_bits, "6.02 dB a bit is the slope; the penalty of this tensor is missing"),
            (6.02 * n_bits + 1.76, "1.76 dB is for a sine of full height; this tensor has a penalty of its own"),
            (want - 10 * np.log10(12), "an error that is spread evenly over a gap has the power s**2 / 12, not s**2"),
            (_decibels(power, np.sqrt(2 * m / n_gaps)), "square the scale: the noise is s**2 / 12"),
            (-want, "signal over noise: your fraction is upside down"),
            (10 ** (want / 10), "this is the ratio itself; decibels are 10 log10 of it"),
            (_decibels(np.sum(x**2), 2 * m / n_gaps), "the power is the mean of x**2, not the sum"),
            (_decibels(m**2, 2 * m / n_gaps), "the power is the mean of x**2, not the square of the largest value"),
            (_decibels(power, 2 * m / (n_gaps - 1)), f"a length of 2 m has {n_gaps} gaps, not {n_gaps - 1}"),
        ]
        for value, hint in mistakes:
            if abs(value - want) > 0.03 and abs(got - value) < 0.02:
                raise Incorrect(f"{when} you return {got:.2f}, expected {want:.2f}: {hint}")
        expect_close(got, want, atol=0.02, when=when)
    say("no tensor was quantized for it")


def _decibels(power, scale):
    return float(10 * np.log10(power / (scale**2 / 12)))


def _round_trip(x, lo, hi, *, rounding=np.rint, n_gaps=255, widen=True, clip=True, slide=True, last=127):
    """An int8 round trip in float64, with one switch for each way to break it."""
    x = np.asarray(x, dtype=np.float64)
    low, high = (min(lo, 0.0), max(hi, 0.0)) if widen else (lo, hi)
    s = (high - low) / n_gaps
    if slide:
        z = np.clip(-128 - np.rint(low / s), -128, 127)  # the clip matters only to a range that was not widened
        q = rounding(x / s) + z
    else:
        z = -128 - low / s
        q = rounding(x / s + z)
    q = np.clip(q, -128, min(n_gaps - 128, last)) if clip else (q + 128) % 256 - 128
    return ((q - z) * s).astype(np.float32)


def _library(x, lo, hi, *, dialect):
    return fake_quantize(x, choose_qparams(lo, hi, grid=Grid(n_bits=8)), dialect=dialect)


SOUND = {
    "one that computes as torch does": partial(_library, dialect="torch"),
    "one that computes as ONNX does": partial(_library, dialect="onnx"),
}
BROKEN = {
    "one that returns zeros only": lambda x, lo, hi: np.zeros_like(x),
    "one that rounds down: np.floor, errors up to a whole gap": partial(_round_trip, rounding=np.floor),
    "one that rounds up from a quarter of a gap on: errors up to three quarters, all upwards": partial(
        _round_trip, rounding=lambda v: np.ceil(v - 0.25)
    ),
    "one that does not widen the range, and clamps the zero point": partial(_round_trip, widen=False),
    "one that does not clip: beyond the range its codes wrap around": partial(_round_trip, clip=False),
    "one whose zero has no mark: its zero point is not rounded": partial(_round_trip, slide=False),
    "one that uses 7 of the 8 bits": partial(_round_trip, n_gaps=127),
    "one that never uses the last mark": partial(_round_trip, last=126),
}


@exercise(
    "03.5",
    title="Catch the broken quantizer",
    difficulty=3,
    minutes=15,
    hints=(
        "Use more than one range: some with zero inside (-1.2 to 2.3: not on a mark by chance), some without it.",
        "np.linspace from below the range to above it visits every mark; compare the largest error with a bound.",
        "np.clip(x, lo, hi) of the widened range is what should come back, up to 1.01 * scale / 2; and zero is zero.",
    ),
)
def check_keeps_promises(answer, say):
    """``keeps_promises(round_trip)``: True for a sound int8 round trip, False for a broken one."""
    for name, round_trip in SOUND.items():
        got = answer(round_trip)
        expect_type(got, bool, when=f"for {name}")
        expect(
            got, f"your test rejects a sound quantizer, {name}: is the range widened, the bound 1 % above s/2, lo < hi?"
        )
    for name, round_trip in BROKEN.items():
        got = answer(round_trip)
        expect_type(got, bool, when=f"for {name}")
        expect(not got, f"your test passes {name}")
    say(f"{len(SOUND)} sound quantizers pass, {len(BROKEN)} broken ones are caught")
