"""Plausible wrong answers to the exercises of lesson 04, and what the verdict on each must say."""

import math

import numpy as np

from quantlab.lab.checks.proof import wrong


def _true_bits(n_out, n_in, group_size, n_bits, scale_bits, zero_point_bits, *, divide=lambda a, b: math.ceil(a / b)):
    return n_bits + (scale_bits + zero_point_bits) * divide(n_in, group_size) / n_in


@wrong("04.1", says="the bits of all weights together")
def total_bits(n_out, n_in, group_size, n_bits, scale_bits, zero_point_bits):
    return n_out * n_in * _true_bits(n_out, n_in, group_size, n_bits, scale_bits, zero_point_bits)


@wrong("04.1", says="half a bit more for each")
def codes_only(n_out, n_in, group_size, n_bits, scale_bits, zero_point_bits):
    return float(n_bits)


@wrong("04.1", says="every row has scales of its own")
def scales_of_one_row(n_out, n_in, group_size, n_bits, scale_bits, zero_point_bits):
    return n_bits + (scale_bits + zero_point_bits) * -(-n_in // group_size) / (n_out * n_in)


@wrong("04.1", says="two groups of 32")
def one_scale_a_row(n_out, n_in, group_size, n_bits, scale_bits, zero_point_bits):
    return n_bits + (scale_bits + zero_point_bits) / n_in


@wrong("04.1", says="the zero points are stored too")
def no_zero_points(n_out, n_in, group_size, n_bits, scale_bits, zero_point_bits):
    return _true_bits(n_out, n_in, group_size, n_bits, scale_bits, 0)


@wrong("04.1", says="the short one needs a scale too")
def whole_groups_only(n_out, n_in, group_size, n_bits, scale_bits, zero_point_bits):
    return _true_bits(n_out, n_in, group_size, n_bits, scale_bits, zero_point_bits, divide=lambda a, b: a // b)


def _channel_scales(W, quant_max):
    largest = np.abs(W).reshape(len(W), -1).max(axis=1)
    return np.where(largest > 0, largest / quant_max, 1).astype(np.float32)


@wrong("04.2", says="2 scales for 3 channels")
def wrong_axis(W, quant_max):
    return (np.abs(W).max(axis=0) / quant_max).astype(np.float32)


@wrong("04.2", says="which is per tensor")
def per_tensor(W, quant_max):
    return np.float32(np.abs(W).max() / quant_max)


@wrong("04.2", says="take absolute values first")
def signed_maximum(W, quant_max):
    return (W.reshape(len(W), -1).max(axis=1) / quant_max).astype(np.float32)


@wrong("04.2", says="half a step longer")
def full_grid(W, quant_max):
    return (_channel_scales(W, quant_max) * (quant_max / (quant_max + 0.5))).astype(np.float32)


@wrong("04.2", says="a scale of 0 makes NaN")
def zero_scale(W, quant_max):
    return (np.abs(W).reshape(len(W), -1).max(axis=1) / quant_max).astype(np.float32)


@wrong("04.2", says="all axes but the first share a scale")
def only_the_last_axis(W, quant_max):
    largest = np.abs(W).max(axis=-1)
    return np.where(largest > 0, largest / quant_max, 1).astype(np.float32)


@wrong("04.2", says="you return float64")
def double(W, quant_max):
    return _channel_scales(W, quant_max).astype(np.float64)


def _refuse(W, group_size):
    if W.shape[1] % group_size:
        raise ValueError(f"{group_size} does not divide {W.shape[1]}")


@wrong("04.3", says="you took every second value")
def strided(W, group_size):
    _refuse(W, group_size)
    groups = W.reshape(len(W), group_size, -1)
    return groups.min(axis=1), groups.max(axis=1)


@wrong("04.3", says="how long a group is")
def counted(W, group_size):
    _refuse(W, group_size)
    groups = W.reshape(len(W), group_size, -1)
    return groups.min(axis=2), groups.max(axis=2)


@wrong("04.3", says="0 not included")
def widened(W, group_size):
    _refuse(W, group_size)
    groups = W.reshape(len(W), -1, group_size)
    return np.minimum(groups.min(axis=2), 0), np.maximum(groups.max(axis=2), 0)


@wrong("04.3", says="numpy's reshape complains")
def unchecked(W, group_size):
    groups = W.reshape(len(W), W.shape[1] // group_size, group_size)
    return groups.min(axis=2), groups.max(axis=2)


@wrong("04.3", says="you return a result, but 3 does not divide 4")
def trimmed(W, group_size):
    n_groups = W.shape[1] // group_size
    groups = W[:, : n_groups * group_size].reshape(len(W), n_groups, group_size)
    return groups.min(axis=2), groups.max(axis=2)


@wrong("04.3", says="a ValueError, because")
def asserted(W, group_size):
    assert W.shape[1] % group_size == 0
    groups = W.reshape(len(W), -1, group_size)
    return groups.min(axis=2), groups.max(axis=2)


def _grouped_matmul(p, q, s, *, dtype=np.int32):
    n_out, n_groups = s.shape
    P, Q = (codes.reshape(len(codes), n_groups, -1).astype(dtype) for codes in (p, q))
    return np.einsum("njo,oj->no", np.einsum("njk,ojk->njo", P, Q), s).astype(np.float32)


@wrong("04.4", says="the scales are missing")
def integers_only(p, q, s):
    return (p.astype(np.int32) @ q.T.astype(np.int32)).astype(np.float32)


@wrong("04.4", says="times the mean scale")
def mean_scale(p, q, s):
    return (p.astype(np.int32) @ q.T.astype(np.int32) * s.mean(axis=1)).astype(np.float32)


@wrong("04.4", says="each group has a sum of its own")
def summed_scales(p, q, s):
    return (p.astype(np.int32) @ q.T.astype(np.int32) * s.sum(axis=1)).astype(np.float32)


@wrong("04.4", says="your groups take every second column")
def strided_groups(p, q, s):
    n_groups = s.shape[1]
    P, Q = (codes.reshape(len(codes), -1, n_groups).astype(np.int32) for codes in (p, q))
    return np.einsum("nkj,okj,oj->no", P, Q, s).astype(np.float32)


@wrong("04.4", says="which wraps silently")
def in_int8(p, q, s):
    return _grouped_matmul(p, q, s, dtype=np.int8)


@wrong("04.4", says="their sum does not")
def in_int16(p, q, s):
    return _grouped_matmul(p, q, s, dtype=np.int16)


@wrong("04.4", says="belongs to group j of row o")
def scales_of_the_first_row(p, q, s):
    return _grouped_matmul(p, q, np.broadcast_to(s[:1], s.shape))


@wrong("04.4", says="you return float64")
def in_float64(p, q, s):
    return _grouped_matmul(p, q, s).astype(np.float64)


def _lost(W, quant_max, *, codes=np.rint):
    channels = np.abs(W).reshape(len(W), -1)
    return (channels.max(axis=1) > 0) & (codes(channels / (channels.max() / quant_max)) == 0).all(axis=1)


@wrong("04.5", says="that channel lives")
def any_code_zero(W, quant_max):
    codes = np.rint(W.reshape(len(W), -1) / (np.abs(W).max() / quant_max))
    return np.flatnonzero((codes == 0).any(axis=1))


@wrong("04.5", says="1 rounds to mark 0")
def without_quantizing(W, quant_max):
    return np.flatnonzero((W.reshape(len(W), -1) == 0).all(axis=1))


@wrong("04.5", says="channel 2 was zero before")
def zeros_too(W, quant_max):
    channels = np.abs(W).reshape(len(W), -1)
    return np.flatnonzero((np.rint(channels / (channels.max() / quant_max)) == 0).all(axis=1))


@wrong("04.5", says="it does not cut off")
def truncated(W, quant_max):
    return np.flatnonzero(_lost(W, quant_max, codes=np.trunc))


@wrong("04.5", says="a negative weight is not lost")
def largest_code(W, quant_max):
    channels = W.reshape(len(W), -1)
    codes = np.rint(channels / (np.abs(W).max() / quant_max))
    return np.flatnonzero((codes.max(axis=1) == 0) & (channels != 0).any(axis=1))


@wrong("04.5", says="take absolute values")
def scale_of_the_largest(W, quant_max):
    channels = W.reshape(len(W), -1)
    codes = np.rint(channels / (W.max() / quant_max))
    return np.flatnonzero((codes == 0).all(axis=1) & (channels != 0).any(axis=1))


@wrong("04.5", says="add up to 0, but neither is 0")
def summed_codes(W, quant_max):
    channels = W.reshape(len(W), -1)
    codes = np.rint(channels / (np.abs(W).max() / quant_max))
    return np.flatnonzero((codes.sum(axis=1) == 0) & (channels != 0).any(axis=1))


@wrong("04.5", says="goes to the even mark 0")
def half_up(W, quant_max):
    return np.flatnonzero(_lost(W, quant_max, codes=lambda steps: np.floor(steps + 0.5)))


@wrong("04.5", says="np.flatnonzero turns it into indices")
def a_mask(W, quant_max):
    return _lost(W, quant_max)
