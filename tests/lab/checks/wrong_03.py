"""Plausible wrong answers to exercise 03, each with words that its verdict must hold."""

import numpy as np

from quantlab.lab.checks.proof import wrong


def _marks(n_bits):
    return -(2 ** (n_bits - 1)), 2 ** (n_bits - 1) - 1


def _fit(lo, hi, n_bits, *, n_gaps=None, rounding=np.rint, start=None):
    quant_min, quant_max = _marks(n_bits)
    lo, hi = min(lo, 0.0), max(hi, 0.0)
    scale = (hi - lo) / (n_gaps or quant_max - quant_min)
    return scale, int((quant_min if start is None else start) - rounding(lo / scale))


@wrong("03.1", says="the ruler must reach 0")
def not_widened(lo, hi, n_bits):
    quant_min, quant_max = _marks(n_bits)
    scale = (hi - lo) / (quant_max - quant_min)
    return scale, int(quant_min - np.rint(lo / scale))


@wrong("03.1", says="you clamp the zero point")
def clamped(lo, hi, n_bits):
    scale, zero_point = not_widened(lo, hi, n_bits)
    return scale, int(np.clip(zero_point, *_marks(n_bits)))


@wrong("03.1", says="8 marks have 7 gaps")
def one_gap_too_many(lo, hi, n_bits):
    return _fit(lo, hi, n_bits, n_gaps=2**n_bits)


@wrong("03.1", says="a signed grid starts at -4")
def unsigned(lo, hi, n_bits):
    return _fit(lo, hi, n_bits, start=0)


@wrong("03.1", says="int() cuts, the grid rounds")
def cut(lo, hi, n_bits):
    return _fit(lo, hi, n_bits, rounding=np.trunc)


@wrong("03.1", says="float division by zero")
def no_range(lo, hi, n_bits):
    return _fit(float(lo), float(hi), n_bits)


@wrong("03.1", says="a scale of 0 makes NaN later")
def scale_of_zero(lo, hi, n_bits):
    return (0.0, -128) if lo == hi == 0 else _fit(lo, hi, n_bits)


@wrong("03.1", says="subtracts round(lo / scale)")
def added(lo, hi, n_bits):
    return _fit(lo, hi, n_bits, rounding=lambda v: -np.rint(v))


@wrong("03.1", says="n_bits=3 bits, not 8")
def always_eight_bits(lo, hi, n_bits):
    return _fit(lo, hi, 8)


@wrong("03.1", says="not from -m to m")
def symmetric(lo, hi, n_bits):
    return 2 * max(-lo, hi) / (2**n_bits - 1), 0


def _codes(x, scale, zero_point, n_bits, *, rounding=np.rint, clip=True):
    q = rounding(x / np.float32(scale)) + zero_point
    q = np.clip(q, *_marks(n_bits)) if clip else q
    return q.astype(np.int64).astype(np.int8)


@wrong("03.2", says="astype cuts towards zero")
def truncated(x, scale, zero_point, n_bits):
    return _codes(x, scale, zero_point, n_bits, rounding=np.trunc)


@wrong("03.2", says="int8 wraps around")
def not_clipped(x, scale, zero_point, n_bits):
    return _codes(x, scale, zero_point, n_bits, clip=False)


@wrong("03.2", says="4 bits end at -8 and 7")
def clipped_to_eight_bits(x, scale, zero_point, n_bits):
    return _codes(x, scale, zero_point, 8)


@wrong("03.2", says="clip last")
def clipped_before_the_zero_point(x, scale, zero_point, n_bits):
    return (np.clip(np.rint(x / np.float32(scale)), *_marks(n_bits)) + zero_point).astype(np.int8)


@wrong("03.2", says="2.5 is a tie")
def half_up(x, scale, zero_point, n_bits):
    return _codes(x, scale, zero_point, n_bits, rounding=lambda v: np.floor(v + 0.5))


@wrong("03.2", says="an odd one turns even into odd")
def zero_point_inside(x, scale, zero_point, n_bits):
    return np.clip(np.rint(x / np.float32(scale) + zero_point), *_marks(n_bits)).astype(np.int8)


@wrong("03.2", says="divide in float32")
def in_float64(x, scale, zero_point, n_bits):
    return np.clip(np.rint(x.astype(np.float64) / scale) + zero_point, *_marks(n_bits)).astype(np.int8)


@wrong("03.2", says="your result has dtype float32")
def not_converted(x, scale, zero_point, n_bits):
    return _codes(x, scale, zero_point, n_bits).astype(np.float32)


@wrong("03.2", says="add the zero point")
def subtracted(x, scale, zero_point, n_bits):
    return _codes(x, scale, -zero_point, n_bits)


@wrong("03.2", says="one step is scale=4.0 long")
def multiplied(x, scale, zero_point, n_bits):
    return _codes(x, 1 / scale, zero_point, n_bits)


@wrong("03.2", says="a signed grid has negative ones")
def clipped_at_zero(x, scale, zero_point, n_bits):
    return np.clip(np.rint(x / np.float32(scale)) + zero_point, 0, 2**n_bits - 1).astype(np.int8)


@wrong("03.2", says="clip to the grid, -128 to 127")
def narrow(x, scale, zero_point, n_bits):
    return np.maximum(_codes(x, scale, zero_point, n_bits), 1 - 2 ** (n_bits - 1)).astype(np.int8)


def _split(x, x_hat, inside, *, power=2):
    errors = np.abs(x - x_hat) ** power
    return float(errors[inside].sum() / x.size), float(errors[~inside].sum() / x.size)


@wrong("03.3", says="square the error")
def absolute(x, x_hat, lo, hi):
    return _split(x, x_hat, (lo <= x) & (x <= hi), power=1)


@wrong("03.3", says="a ruler has two ends")
def upper_end_only(x, x_hat, lo, hi):
    return _split(x, x_hat, x <= hi)


@wrong("03.3", says="look at x, not at x_hat")
def by_what_came_back(x, x_hat, lo, hi):
    return _split(x, x_hat, ((x_hat != hi) & (x_hat != lo)) | (x == hi))


@wrong("03.3", says="a value at the end of the range is inside")
def open_interval(x, x_hat, lo, hi):
    return _split(x, x_hat, (lo < x) & (x < hi))


@wrong("03.3", says="the number of all values")
def own_means(x, x_hat, lo, hi):
    inside = (lo <= x) & (x <= hi)
    parts = [((x - x_hat) ** 2)[m] for m in (inside, ~inside)]
    # the first cases have one value of two in each part
    return tuple(float(p.mean() if x.size > 2 and p.size else p.sum() / x.size) for p in parts)


@wrong("03.3", says="the mean of no values")
def mean_of_none(x, x_hat, lo, hi):
    inside = (lo <= x) & (x <= hi)
    parts = [((x - x_hat) ** 2)[m] for m in (inside, ~inside)]
    return tuple(float(p.mean()) if p.size else float("nan") for p in parts)


@wrong("03.3", says="its whole error counts here")
def way_to_the_end(x, x_hat, lo, hi):
    end = np.clip(x, lo, hi)
    return float(np.mean((end - x_hat) ** 2)), float(np.mean((x - end) ** 2))


@wrong("03.3", says="you return clipping first")
def swapped(x, x_hat, lo, hi):
    return _split(x, x_hat, (lo <= x) & (x <= hi))[::-1]


def _predict(power, length, n_bits):
    return float(10 * np.log10(power * 12 * (2**n_bits - 1) ** 2 / length**2))


@wrong("03.4", says="twice too much")
def amplitude_decibels(x, n_bits):
    return 2 * _predict(np.mean(x**2), 2 * np.abs(x).max(), n_bits)


@wrong("03.4", says="np.log is the natural one")
def natural_logarithm(x, n_bits):
    return float(np.log(10)) * _predict(np.mean(x**2), 2 * np.abs(x).max(), n_bits)


@wrong("03.4", says="not the spread around the mean")
def variance(x, n_bits):
    return _predict(np.var(x), 2 * np.abs(x).max(), n_bits)


@wrong("03.4", says="not from min to max")
def asymmetric(x, n_bits):
    return _predict(np.mean(x**2), np.ptp(x), n_bits)


@wrong("03.4", says="take the absolute value before the maximum")
def signed_maximum(x, n_bits):
    return _predict(np.mean(x**2), 2 * x.max(), n_bits)


@wrong("03.4", says="it is 2 m long")
def half_the_ruler(x, n_bits):
    return _predict(np.mean(x**2), np.abs(x).max(), n_bits)


@wrong("03.4", says="gaps between them")
def marks_for_gaps(x, n_bits):
    return float(10 * np.log10(np.mean(x**2) * 12 * 4**n_bits / (2 * np.abs(x).max()) ** 2))


@wrong("03.4", says="the penalty of this tensor is missing")
def slope_only(x, n_bits):
    return 6.02 * n_bits


@wrong("03.4", says="not s**2")
def twelfth_forgotten(x, n_bits):
    return _predict(np.mean(x**2) / 12, 2 * np.abs(x).max(), n_bits)


@wrong("03.4", says="upside down")
def noise_over_signal(x, n_bits):
    return -_predict(np.mean(x**2), 2 * np.abs(x).max(), n_bits)


@wrong("03.4", says="not the sum")
def summed(x, n_bits):
    return _predict(np.sum(x**2), 2 * np.abs(x).max(), n_bits)


@wrong("03.4", says="the ratio itself")
def not_in_decibels(x, n_bits):
    return float(10 ** (_predict(np.mean(x**2), 2 * np.abs(x).max(), n_bits) / 10))


def _keeps(
    round_trip, *, ranges=((-1.0, 2.0), (0.0, 6.0), (1.0, 6.0), (-5.0, -2.0)), beyond=3.0, slack=1.01, zero=True
):
    for lo, hi in ranges:
        low, high = min(lo, 0.0), max(hi, 0.0)
        x = np.linspace(low - beyond, high + beyond, 5001).astype(np.float32)
        error = np.abs(np.clip(x, low, high) - round_trip(x, lo, hi)).max()
        if error > slack * (high - low) / 510 or (zero and round_trip(np.zeros(1, np.float32), lo, hi)[0] != 0):
            return False
    return True


@wrong("03.5", says="your test passes one that returns zeros only")
def always(round_trip):
    return True


@wrong("03.5", says="your test rejects a sound quantizer")
def never(round_trip):
    return False


@wrong("03.5", says="rounds down")
def mean_error(round_trip):
    x = np.linspace(-1, 2, 1001).astype(np.float32)
    return bool(np.abs(x - round_trip(x, -1.0, 2.0)).mean() < 3 / 255)


@wrong("03.5", says="up to three quarters")
def nearly_a_whole_gap(round_trip):
    return _keeps(round_trip, slack=1.9)


@wrong("03.5", says="all upwards")
def one_sign_only(round_trip):
    return _keeps(lambda x, lo, hi: np.minimum(round_trip(x, lo, hi), np.clip(x, min(lo, 0.0), max(hi, 0.0))))


@wrong("03.5", says="clamps the zero point")
def zero_always_inside(round_trip):
    return _keeps(round_trip, ranges=((-1.0, 2.0), (0.0, 6.0)))


@wrong("03.5", says="codes wrap around")
def never_beyond_the_range(round_trip):
    return _keeps(round_trip, beyond=0.0)


@wrong("03.5", says="zero has no mark")
def zero_forgotten(round_trip):
    return _keeps(round_trip, zero=False)
