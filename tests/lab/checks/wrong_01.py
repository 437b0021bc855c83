"""Plausible wrong answers to the exercises of lesson 01, and what the verdict on each must say."""

import math

from quantlab.lab.checks.proof import wrong


def _model_bytes(shapes, n_bits, *, axis=0, minimum=2, exact=math.ceil):
    """Return what the solution returns, with one part of it to spoil."""
    codes = sum(exact(math.prod(s) * n_bits / 8) for s in shapes if len(s) >= minimum)
    scales = sum(s[axis] for s in shapes if len(s) >= minimum)
    return codes + 4 * scales + 4 * sum(math.prod(s) for s in shapes if len(s) < minimum)


@wrong("01.1", says="the scales are missing")
def without_scales(shapes, n_bits):
    return _model_bytes(shapes, n_bits) - 4 * sum(s[0] for s in shapes if len(s) >= 2)


@wrong("01.1", says="it keeps its float32 values")
def everything_quantized(shapes, n_bits):
    return _model_bytes(shapes, n_bits, minimum=1)


@wrong("01.1", says="an array begins at a whole byte")
def cut_off(shapes, n_bits):
    return _model_bytes(shapes, n_bits, exact=math.floor)


@wrong("01.1", says="rounded up to whole bytes by itself")
def rounded_once(shapes, n_bits):
    return math.ceil(_model_bytes(shapes, n_bits, exact=float))


@wrong("01.1", says="round up once for the array")
def rounded_by_row(shapes, n_bits):
    rows = sum(s[0] * math.ceil(math.prod(s[1:]) * n_bits / 8) + 4 * s[0] for s in shapes if len(s) >= 2)
    return rows + 4 * sum(math.prod(s) for s in shapes if len(s) < 2)


@wrong("01.1", says="a float32 scale for each of the 2 rows")
def scale_a_column(shapes, n_bits):
    return _model_bytes(shapes, n_bits, axis=-1)


@wrong("01.1", says="scales only along the first axis")
def scale_a_filter(shapes, n_bits):
    kernels = sum(s[0] * s[1] - s[0] for s in shapes if len(s) == 4)
    return _model_bytes(shapes, n_bits) + 4 * kernels


@wrong("01.2", says="two operations")
def multiplications_only(m, k, n, n_bytes):
    return m * k * n / (n_bytes * m * k + 4 * k * n + 4 * m * n)


@wrong("01.2", says="the result is written too")
def result_forgotten(m, k, n, n_bytes):
    return 2 * m * k * n / (n_bytes * m * k + 4 * k * n)


@wrong("01.2", says="the vectors move too")
def weights_only(m, k, n, n_bytes):
    return 2 * m * k * n / (n_bytes * m * k)


@wrong("01.2", says="turn it round")
def bytes_an_operation(m, k, n, n_bytes):
    return (n_bytes * m * k + 4 * k * n + 4 * m * n) / (2 * m * k * n)


@wrong("01.2", says="only the weights have n_bytes")
def everything_small(m, k, n, n_bytes):
    return 2 * m * k * n / (n_bytes * (m * k + k * n + m * n))


@wrong("01.2", says="half a byte a weight")
def whole_bytes(m, k, n, n_bytes):
    return 2 * m * k * n / (math.ceil(n_bytes) * m * k + 4 * k * n + 4 * m * n)


@wrong("01.3", says="here memory is the limit")
def only_peak(intensity, bandwidth, peaks):
    return max(peaks, default=0.0)


@wrong("01.3", says="here arithmetic is the limit")
def only_slope(intensity, bandwidth, peaks):
    return intensity * bandwidth


@wrong("01.3", says="the units do not add up")
def all_units(intensity, bandwidth, peaks):
    return min(intensity * bandwidth, sum(peaks))


@wrong("01.3", says="the work runs on the best unit")
def first_unit(intensity, bandwidth, peaks):
    return min(intensity * bandwidth, peaks[0] if peaks else 0.0)


@wrong("01.3", says="the best unit need not come last")
def last_unit(intensity, bandwidth, peaks):
    return min(intensity * bandwidth, peaks[-1] if peaks else 0.0)


@wrong("01.3", says="without a unit nothing can be done")
def no_unit_no_limit(intensity, bandwidth, peaks):
    return min([intensity * bandwidth, *[max(peaks)] * bool(peaks)]) if peaks else intensity * bandwidth


def _tokens(n_weights, n_bits, group_size, readers, bandwidth, peak, *, scale_bits=16.0, bits_a_byte=8, longer=max):
    n_bytes = n_weights * (n_bits + scale_bits / group_size) / bits_a_byte
    return readers / longer([n_bytes / bandwidth, 2 * n_weights * readers / peak])


@wrong("01.4", says="the scales are missing")
def no_scales(*args):
    return _tokens(*args, scale_bits=0.0)


@wrong("01.4", says="a byte has 8 bits")
def bits_as_bytes(*args):
    return _tokens(*args, bits_a_byte=1)


@wrong("01.4", says="each reader gets a token")
def steps(n_weights, n_bits, group_size, readers, bandwidth, peak):
    return _tokens(n_weights, n_bits, group_size, readers, bandwidth, peak) / readers


@wrong("01.4", says="the longer time counts, not the sum")
def one_after_the_other(*args):
    return _tokens(*args, longer=sum)


@wrong("01.4", says="reading takes longer here")
def shorter_time(*args):
    return _tokens(*args, longer=min)


@wrong("01.4", says="read once for all readers together")
def weights_for_each_reader(n_weights, n_bits, group_size, readers, bandwidth, peak):
    return _tokens(n_weights, n_bits, group_size, 1, bandwidth, peak)


@wrong("01.4", says="computing is the limit")
def only_bandwidth(n_weights, n_bits, group_size, readers, bandwidth, peak):
    return _tokens(n_weights, n_bits, group_size, readers, bandwidth, float("inf"))


@wrong("01.4", says="one float16 scale for 16")
def float32_scales(*args):
    return _tokens(*args, scale_bits=32.0)


def _limit(peak, speedup, overhead):
    saved = 2 / peak * (1 - 1 / speedup)
    return overhead / saved if saved > 0 else -1.0


@wrong("01.5", says="at width 10 float32 is faster, at 11 int8")
def rounded_down(rows, peak, speedup, overhead):
    return math.floor(_limit(peak, speedup, overhead))


@wrong("01.5", says="you return 12, expected 11: at width 10 float32 is faster")
def rounded_to_nearest(rows, peak, speedup, overhead):
    return round(_limit(peak, speedup, overhead)) + 1


@wrong("01.5", says="strictly faster is 11")
def not_strictly(rows, peak, speedup, overhead):
    return max(1, math.ceil(_limit(peak, speedup, overhead)))


@wrong("01.5", says="rows stand on both sides")
def with_rows(rows, peak, speedup, overhead):
    return math.floor(rows * _limit(peak, speedup, overhead)) + 1


@wrong("01.5", says="the product in int8 takes time too")
def product_for_nothing(rows, peak, speedup, overhead):
    return math.floor(overhead * peak / 2) + 1 if speedup > 1 else 0


@wrong("01.5", says="what int8 saves is 1 - 1 / speedup")
def rest_for_saving(rows, peak, speedup, overhead):
    return math.floor(overhead / (2 / peak / speedup)) + 1 if speedup > 1 else 0


@wrong("01.5", says="a product that is no faster never pays")
def division_unguarded(rows, peak, speedup, overhead):
    return math.floor(_limit(peak, max(speedup, 1.5), overhead)) + 1


@wrong("01.5", says="half the speed never pays")
def only_equal_guarded(rows, peak, speedup, overhead):
    return 0 if speedup == 1 else math.floor(overhead / (2 / peak * (1 - 1 / speedup))) + 1
