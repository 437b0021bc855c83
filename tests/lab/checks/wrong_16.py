"""Plausible wrong answers to the exercises of lesson 16, and what the verdict on each must say."""

import numpy as np

from quantlab.lab.checks.proof import wrong


def _table(x_scale, x_zero, y_scale, y_zero, rounding=np.rint, codes=None):
    codes = np.arange(-128, 128) if codes is None else codes
    x = (codes - x_zero) * x_scale
    return np.clip(rounding(x / (1 + np.exp(-x)) / y_scale) + y_zero, -128, 127).astype(np.int8)


@wrong("16.1", says="entry 0 belongs to code -128")
def in_order_of_bytes(x_scale, x_zero, y_scale, y_zero):
    return _table(x_scale, x_zero, y_scale, y_zero, codes=np.arange(256).astype(np.uint8).astype(np.int8).astype(int))


@wrong("16.1", says="this is the gate alone")
def sigmoid_table(x_scale, x_zero, y_scale, y_zero):
    x = (np.arange(-128, 128) - x_zero) * x_scale
    return np.clip(np.rint(1 / (1 + np.exp(-x)) / y_scale) + y_zero, -128, 127).astype(np.int8)


@wrong("16.1", says="this is ReLU6")
def relu6_table(x_scale, x_zero, y_scale, y_zero):
    x = (np.arange(-128, 128) - x_zero) * x_scale
    return np.clip(np.rint(np.clip(x, 0, 6) / y_scale) + y_zero, -128, 127).astype(np.int8)


@wrong("16.1", says="you cut digits off")
def truncated(x_scale, x_zero, y_scale, y_zero):
    return _table(x_scale, x_zero, y_scale, y_zero, rounding=np.trunc)


@wrong("16.1", says="take the input's zero point off")
def zero_point_forgotten(x_scale, x_zero, y_scale, y_zero):
    return _table(x_scale, 0, y_scale, y_zero)


@wrong("16.1", says="add the output's zero point")
def no_output_zero(x_scale, x_zero, y_scale, y_zero):
    return _table(x_scale, x_zero, y_scale, 0)


@wrong("16.1", says="they do not wrap")
def wraps(x_scale, x_zero, y_scale, y_zero):
    x = (np.arange(-128, 128) - x_zero) * x_scale
    return (np.rint(x / (1 + np.exp(-x)) / y_scale) + y_zero).astype(int).astype(np.int8)


@wrong("16.2", says="you take the wider of both ranges")
def wider_of_both(first, branches):
    lo, hi = first
    rows = []
    for low, high in branches:
        lo, hi = min(lo, low), max(hi, high)
        rows.append((lo, hi))
    return np.array(rows)


@wrong("16.2", says="each of your rows knows one block")
def first_with_each(first, branches):
    return np.array(first) + np.array(branches)


@wrong("16.2", says="0 must have a mark")
def not_widened(first, branches):
    return np.cumsum([first, *branches], axis=0)[1:]


@wrong("16.2", says="widen what you return")
def widened_on_the_way(first, branches):
    lo, hi = first
    rows = []
    for low, high in branches:
        lo, hi = min(lo + low, 0.0), max(hi + high, 0.0)
        rows.append((lo, hi))
    return np.array(rows)


@wrong("16.2", says="lowest plus lowest")
def crossed(first, branches):
    lo, hi = first
    rows = []
    for low, high in branches:
        lo, hi = lo + high, hi + low
        rows.append((min(lo, 0.0), max(hi, 0.0)))
    return np.array(rows)


@wrong("16.3", says="the bias of channel 1 is as it was")
def bias_forgotten(W_write, b_write, W_read, c, factor):
    factors = np.ones(len(b_write))
    factors[c] = factor
    return W_write * factors[:, None], b_write, W_read / factors


@wrong("16.3", says="whoever reads channel 1 must divide")
def not_divided(W_write, b_write, W_read, c, factor):
    factors = np.ones(len(b_write))
    factors[c] = factor
    return W_write * factors[:, None], b_write * factors, W_read


@wrong("16.3", says="you divided row 1 of W_read")
def row_divided(W_write, b_write, W_read, c, factor):
    factors = np.ones(len(b_write))
    factors[c] = factor
    rows = W_read.copy()
    rows[c] /= factor
    return W_write * factors[:, None], b_write * factors, rows


@wrong("16.3", says="you multiplied column 1 of W_read")
def multiplied_twice(W_write, b_write, W_read, c, factor):
    factors = np.ones(len(b_write))
    factors[c] = factor
    return W_write * factors[:, None], b_write * factors, W_read * factors


@wrong("16.3", says="other channels of the stream changed")
def everything_louder(W_write, b_write, W_read, c, factor):
    return W_write * factor, b_write * factor, W_read / factor


@wrong("16.3", says="the stream has not changed")
def nothing_planted(W_write, b_write, W_read, c, factor):
    return W_write.copy(), b_write.copy(), W_read.copy()


@wrong("16.4", says="6 and 0.9 belong to different channels")
def product_of_maxima(x_max, gate_max, per_channel):
    return x_max * gate_max / 255 if per_channel else x_max.max() * gate_max.max() / 255


@wrong("16.4", says="the product of the channel with the largest x")
def channel_of_the_largest_x(x_max, gate_max, per_channel):
    top = x_max * gate_max
    return top / 255 if per_channel else top[x_max.argmax()] / 255


@wrong("16.4", says="256 marks have 255 steps")
def marks_for_steps(x_max, gate_max, per_channel):
    top = x_max * gate_max
    return (top if per_channel else top.max()) / 256


@wrong("16.4", says="you average")
def averaged(x_max, gate_max, per_channel):
    top = x_max * gate_max
    return (top if per_channel else top.mean()) / 255


@wrong("16.4", says="the grid is unsigned")
def signed_grid(x_max, gate_max, per_channel):
    top = x_max * gate_max
    return (top if per_channel else top.max()) / 127


@wrong("16.4", says="the last mark of yours is 6: the gate is missing")
def no_gate(x_max, gate_max, per_channel):
    return (x_max if per_channel else x_max.max()) / 255


@wrong("16.4", says="channel 0 never gets beyond 1.5")
def ungated_channels(x_max, gate_max, per_channel):
    return (x_max if per_channel else (x_max * gate_max).max()) / 255


@wrong("16.5", says="higher is better")
def lower_wins(a, b):
    d = a - b
    half = 2.776 * d.std(ddof=1) / np.sqrt(5)
    if abs(d.mean()) <= half:
        return "not settled"
    return "b" if d.mean() > 0 else "a"


@wrong("16.5", says="says nothing")
def means_alone(a, b):
    return "a" if a.mean() > b.mean() else "b"


@wrong("16.5", says="subtract first")
def unpaired(a, b):
    half = 2.776 * np.sqrt(a.var(ddof=1) + b.var(ddof=1)) / np.sqrt(5)
    d = a.mean() - b.mean()
    return "not settled" if abs(d) <= half else "a" if d > 0 else "b"


@wrong("16.5", says="use 2.776, not 1.96")
def normal_quantile(a, b):
    d = a - b
    half = 1.96 * d.std(ddof=1) / np.sqrt(5)
    return "not settled" if abs(d.mean()) <= half else "a" if d.mean() > 0 else "b"


@wrong("16.5", says="divide by sqrt(5), not by 5")
def root_forgotten(a, b):
    d = a - b
    half = 2.776 * d.std(ddof=1) / 5
    return "not settled" if abs(d.mean()) <= half else "a" if d.mean() > 0 else "b"


@wrong("16.5", says="use ddof=1")
def population_spread(a, b):
    d = a - b
    half = 2.776 * d.std() / np.sqrt(5)
    return "not settled" if abs(d.mean()) <= half else "a" if d.mean() > 0 else "b"
