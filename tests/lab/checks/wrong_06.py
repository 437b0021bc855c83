"""Plausible wrong answers to the exercises of lesson 06, and what the verdict on each must say."""

import math

import numpy as np

from quantlab.integer.fixedpoint import multiply_by_quantized_multiplier
from quantlab.lab.checks.proof import wrong


def corners(a_min, a_max, b_min, b_max):
    return [a * b for a in (a_min, a_max) for b in (b_min, b_max)]


@wrong("06.1", says="one bit is the sign")
def unsigned_accumulator(a_min, a_max, b_min, b_max, n_bits):
    return (2**n_bits - 1) // max(map(abs, corners(a_min, a_max, b_min, b_max)))


@wrong("06.1", says="int16 ends at 32767")
def off_by_one(a_min, a_max, b_min, b_max, n_bits):
    return 2 ** (n_bits - 1) // max(map(abs, corners(a_min, a_max, b_min, b_max)))


@wrong("06.1", says="it need not be a_max * b_max")
def only_one_corner(a_min, a_max, b_min, b_max, n_bits):
    return (2 ** (n_bits - 1) - 1) // (a_max * b_max)


@wrong("06.1", says="the lower end of the accumulator counts")
def only_the_upper_end(a_min, a_max, b_min, b_max, n_bits):
    return (2 ** (n_bits - 1) - 1) // max(corners(a_min, a_max, b_min, b_max))


@wrong("06.1", says="no product is negative here")
def both_ends_always(a_min, a_max, b_min, b_max, n_bits):
    products = corners(a_min, a_max, b_min, b_max)
    return min((2 ** (n_bits - 1) - 1) // max(products), -(2 ** (n_bits - 1)) // min(products))


@wrong("06.1", says="reached by the smallest product")
def upper_end_twice(a_min, a_max, b_min, b_max, n_bits):
    products = corners(a_min, a_max, b_min, b_max)
    return min((2 ** (n_bits - 1) - 1) // p for p in (max(products), min(products)))


@wrong("06.2", says="what it multiplies is the sums of B")
def sums_swapped(C, row_sums, column_sums, K, a, b):
    return (C - a * row_sums[:, None] - b * column_sums + K * a * b).astype(np.int32)


@wrong("06.2", says="subtract the term of one zero point")
def signs_turned(C, row_sums, column_sums, K, a, b):
    return (C + a * column_sums + b * row_sums[:, None] + K * a * b).astype(np.int32)


@wrong("06.2", says="give row_sums an axis")
def row_sums_without_axis(C, row_sums, column_sums, K, a, b):
    return (C - a * column_sums - b * row_sums + K * a * b).astype(np.int32)


@wrong("06.2", says="comes back as K * a * b")
def constant_forgotten(C, row_sums, column_sums, K, a, b):
    return (C - a * column_sums - b * row_sums[:, None]).astype(np.int32)


@wrong("06.2", says="not a size of the result")
def constant_by_columns(C, row_sums, column_sums, K, a, b):
    return (C - a * column_sums - b * row_sums[:, None] + C.shape[1] * a * b).astype(np.int32)


def steps(b, x_scale, w_scale):
    return np.rint(b.astype(np.float64) / np.float64(x_scale * w_scale)).astype(np.int64)


@wrong("06.3", says="4 steps of x_scale * w_scale")
def one_scale(b, w_q, *, x_scale, w_scale, x_zero_point):
    return (steps(b, x_scale, np.float32(1)) - x_zero_point * w_q.sum(axis=1, dtype=np.int64)).astype(np.int32)


@wrong("06.3", says="so the correction is subtracted")
def correction_added(b, w_q, *, x_scale, w_scale, x_zero_point):
    return (steps(b, x_scale, w_scale) + x_zero_point * w_q.sum(axis=1, dtype=np.int64)).astype(np.int32)


@wrong("06.3", says="sum each row of w_q over its inputs")
def wrong_axis(b, w_q, *, x_scale, w_scale, x_zero_point):
    return (steps(b, x_scale, w_scale) - x_zero_point * w_q.sum(axis=0, dtype=np.int64)).astype(np.int32)


@wrong("06.3", says="does not fit into int8")
def sums_in_int8(b, w_q, *, x_scale, w_scale, x_zero_point):
    return (steps(b, x_scale, w_scale) - x_zero_point * w_q.sum(axis=1, dtype=np.int8).astype(np.int64)).astype(
        np.int32
    )


@wrong("06.3", says="neither cut nor floor")
def bias_cut(b, w_q, *, x_scale, w_scale, x_zero_point):
    whole = (b.astype(np.float64) / np.float64(x_scale * w_scale)).astype(np.int64)
    return (whole - x_zero_point * w_q.sum(axis=1, dtype=np.int64)).astype(np.int32)


@wrong("06.3", says="wanted is int32")
def in_int64(b, w_q, *, x_scale, w_scale, x_zero_point):
    return steps(b, x_scale, w_scale) - x_zero_point * w_q.sum(axis=1, dtype=np.int64)


@wrong("06.4", says="a positive shift makes M larger")
def shift_turned(M):
    fraction, shift = math.frexp(M)
    return math.floor(fraction * 2**31 + 0.5), -shift


@wrong("06.4", says="not [1, 2)")
def fraction_from_one(M):
    shift = math.floor(math.log2(M))
    return math.floor(M / 2**shift * 2**31 + 0.5), shift


@wrong("06.4", says="int() cuts")
def multiplier_cut(M):
    fraction, shift = math.frexp(M)
    return int(fraction * 2**31), shift


@wrong("06.4", says="which no int32 holds")
def two_to_the_31(M):
    fraction, shift = math.frexp(M)
    return math.floor(fraction * 2**31 + 0.5), shift


@wrong("06.4", says="0.5 is 2**30 / 2**31")
def sixteen_bits(M):
    fraction, shift = math.frexp(M)
    return math.floor(fraction * 2**15 + 0.5), shift


@wrong("06.5", says="you round once")
def once(acc, multiplier, shift):
    return multiply_by_quantized_multiplier(acc, multiplier, shift, rounding="single").astype(np.int32)


@wrong("06.5", says="a shift alone goes down")
def floors(acc, multiplier, shift):
    return (((acc.astype(np.int64) * multiplier) >> 31) >> -shift).astype(np.int32)


@wrong("06.5", says="yours goes away from zero")
def gemmlowp(acc, multiplier, shift):
    return multiply_by_quantized_multiplier(acc, multiplier, shift, rounding="gemmlowp").astype(np.int32)


@wrong("06.5", says="multiply in int64")
def product_in_int32(acc, multiplier, shift):
    high = (acc * multiplier + 2**30) >> 31
    return ((high + ((1 << -shift) >> 1)) >> -shift).astype(np.int32)


@wrong("06.5", says="negative shift count")
def half_of_nothing(acc, multiplier, shift):
    high = (acc.astype(np.int64) * multiplier + 2**30) >> 31
    return ((high + (1 << (-shift - 1))) >> -shift).astype(np.int32)


def mended(x_q, w_q, folded, m, s, z, *, half=True, zero=None, widen=True, clip=True):
    acc = (x_q.astype(np.int64) @ w_q.astype(np.int64).T if widen else (x_q @ w_q.T).astype(np.int64)) + folded
    y = ((acc * m + (1 << (30 - s) if half else 0)) >> (31 - s)) + z
    y = np.maximum(y, z if zero is None else zero)
    return (np.clip(y, -128, 127) if clip else y).astype(np.int8)


@wrong("06.6", says="widen before you multiply")
def product_in_int8(x_q, w_q, folded, multiplier, shift, y_zero_point):
    return mended(x_q, w_q, folded, multiplier, shift, y_zero_point, widen=False)


@wrong("06.6", says="a shift alone cuts it to 0")
def not_rounded(x_q, w_q, folded, multiplier, shift, y_zero_point):
    return mended(x_q, w_q, folded, multiplier, shift, y_zero_point, half=False)


@wrong("06.6", says="its code is the zero point, not 0")
def relu_at_code_0(x_q, w_q, folded, multiplier, shift, y_zero_point):
    return mended(x_q, w_q, folded, multiplier, shift, y_zero_point, zero=0)


@wrong("06.6", says="clip before you cast")
def not_clipped(x_q, w_q, folded, multiplier, shift, y_zero_point):
    return mended(x_q, w_q, folded, multiplier, shift, y_zero_point, clip=False)


@wrong("06.6", says="out of bounds for int32")
def product_in_int32_too(x_q, w_q, folded, multiplier, shift, y_zero_point):
    acc = x_q.astype(np.int32) @ w_q.astype(np.int32).T + folded
    y = ((acc * multiplier + (1 << (30 - shift))) >> (31 - shift)) + y_zero_point
    return np.clip(np.maximum(y, y_zero_point), -128, 127).astype(np.int8)


@wrong("06.6", says="add it after the shift")
def zero_point_shifted_away(x_q, w_q, folded, multiplier, shift, y_zero_point):
    return np.maximum(mended(x_q, w_q, folded + y_zero_point, multiplier, shift, 0, zero=-128), np.int8(y_zero_point))


@wrong("06.6", says="half up sends it to 1")
def ties_to_even(x_q, w_q, folded, multiplier, shift, y_zero_point):
    acc = x_q.astype(np.int64) @ w_q.astype(np.int64).T + folded
    y = np.rint(acc * (multiplier * 2.0 ** (shift - 31))) + y_zero_point
    return np.clip(np.maximum(y, y_zero_point), -128, 127).astype(np.int8)
