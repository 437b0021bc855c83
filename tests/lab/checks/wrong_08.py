"""Plausible wrong answers to the exercises of lesson 08, and what the verdict on each must say."""

import math

import numpy as np

from quantlab.lab.checks.proof import wrong


def folded(W, factor):
    return W * factor[:, None, None, None]


@wrong("08.1", says="divide by the standard deviation")
def by_the_variance(W, b, gamma, beta, mean, variance, eps):
    factor = gamma / (variance + eps)
    return folded(W, factor), (b - mean) * factor + beta


@wrong("08.1", says="the first axis of W")
def along_the_inputs(W, b, gamma, beta, mean, variance, eps):
    factor = gamma / np.sqrt(variance + eps)
    return W * factor, (b - mean) * factor + beta


@wrong("08.1", says="inside the root")
def eps_outside(W, b, gamma, beta, mean, variance, eps):
    factor = gamma / (np.sqrt(variance) + eps)
    return folded(W, factor), (b - mean) * factor + beta


@wrong("08.1", says="scales the old bias too")
def bias_not_scaled(W, b, gamma, beta, mean, variance, eps):
    factor = gamma / np.sqrt(variance + eps)
    return folded(W, factor), b - mean * factor + beta


@wrong("08.1", says="taken away before the factor")
def mean_not_scaled(W, b, gamma, beta, mean, variance, eps):
    factor = gamma / np.sqrt(variance + eps)
    return folded(W, factor), b * factor - mean + beta


@wrong("08.1", says="gamma may be negative")
def gamma_without_sign(W, b, gamma, beta, mean, variance, eps):
    factor = np.abs(gamma) / np.sqrt(variance + eps)
    return folded(W, factor), (b - mean) * factor + beta


@wrong("08.2", says="one more, behind")
def as_torch(n, kernel, stride):
    return (kernel - 1) // 2, kernel // 2


@wrong("08.2", says="the larger half behind")
def larger_half_in_front(n, kernel, stride):
    total = max((-(-n // stride) - 1) * stride + kernel - n, 0)
    return total - total // 2, total // 2


@wrong("08.2", says="ceil(7 / 2) = 4 outputs")
def floor_of_the_outputs(n, kernel, stride):
    total = max((n // stride - 1) * stride + kernel - n, 0)
    return total // 2, total - total // 2


@wrong("08.2", says="never negative")
def negative_padding(n, kernel, stride):
    total = (-(-n // stride) - 1) * stride + kernel - n
    return total // 2, total - total // 2


@wrong("08.2", says="5 / 2 is rounded up")
def round_of_the_outputs(n, kernel, stride):
    total = max((round(n / stride) - 1) * stride + kernel - n, 0)  # Python rounds 2.5 to 2, and 3.5 to 4
    return total // 2, total - total // 2


@wrong("08.3", says="codes in different units do not add")
def codes_added(a_q, b_q, s_a, z_a, s_b, z_b, s_y, z_y):
    return np.clip(a_q.astype(int) + b_q, -128, 127).astype(np.int8)


@wrong("08.3", says="subtract each zero point")
def zero_points_forgotten(a_q, b_q, s_a, z_a, s_b, z_b, s_y, z_y):
    real = s_a * a_q.astype(np.float64) + s_b * b_q.astype(np.float64)
    return np.clip(np.rint(real / s_y) + z_y, -128, 127).astype(np.int8)


@wrong("08.3", says="round once, at the end")
def each_rounded(a_q, b_q, s_a, z_a, s_b, z_b, s_y, z_y):
    a, b = np.rint(s_a / s_y * (a_q.astype(int) - z_a)), np.rint(s_b / s_y * (b_q.astype(int) - z_b))
    return np.clip(a + b + z_y, -128, 127).astype(np.int8)


@wrong("08.3", says="widen before you subtract")
def wraps(a_q, b_q, s_a, z_a, s_b, z_b, s_y, z_y):
    real = s_a * (a_q - np.int8(z_a)) + s_b * (b_q - np.int8(z_b))
    return np.clip(np.rint(real / s_y) + z_y, -128, 127).astype(np.int8)


@wrong("08.3", says="clip before you cast")
def not_clipped(a_q, b_q, s_a, z_a, s_b, z_b, s_y, z_y):
    real = s_a * (a_q.astype(np.float64) - z_a) + s_b * (b_q.astype(np.float64) - z_b)
    return (np.rint(real / s_y) + z_y).astype(np.int64).astype(np.int8)


@wrong("08.3", says="before the zero point is added")
def zero_point_inside(a_q, b_q, s_a, z_a, s_b, z_b, s_y, z_y):
    real = s_a * (a_q.astype(np.float64) - z_a) + s_b * (b_q.astype(np.float64) - z_b)
    return np.clip(np.rint(real / s_y + z_y), -128, 127).astype(np.int8)


def real_sum(a_q, b_q, s_a, z_a, s_b, z_b):
    return s_a * (a_q.astype(np.float64) - z_a) + s_b * (b_q.astype(np.float64) - z_b)


@wrong("08.3", says="the lowest int8 code is -128")
def narrow_grid(a_q, b_q, s_a, z_a, s_b, z_b, s_y, z_y):
    real = real_sum(a_q, b_q, s_a, z_a, s_b, z_b)
    return np.clip(np.rint(real / s_y) + z_y, -127, 127).astype(np.int8)


@wrong("08.3", says="clip after the zero point is added")
def clipped_too_early(a_q, b_q, s_a, z_a, s_b, z_b, s_y, z_y):
    real = real_sum(a_q, b_q, s_a, z_a, s_b, z_b)
    return (np.clip(np.rint(real / s_y), -128, 127) + z_y).astype(np.int64).astype(np.int8)


@wrong("08.3", says="do not round it before you divide")
def sum_rounded(a_q, b_q, s_a, z_a, s_b, z_b, s_y, z_y):
    real = np.rint(real_sum(a_q, b_q, s_a, z_a, s_b, z_b))
    return np.clip(np.rint(real / s_y) + z_y, -128, 127).astype(np.int8)


def largest(W):
    return np.abs(W).reshape(len(W), -1).max(axis=1)


@wrong("08.4", says="each channel has a scale of its own")
def one_for_all(W, b, x_scale):
    return np.full(len(W), np.abs(W).max() / 127)


@wrong("08.4", says="no mark -128")
def by_128(W, b, x_scale):
    return np.maximum(np.maximum(largest(W) / 128, np.abs(b) / (x_scale * 2**30)), 2**-23)


@wrong("08.4", says="int32 ends at 2e9")
def bias_forgotten(W, b, x_scale):
    return np.maximum(largest(W) / 127, 2**-23)


@wrong("08.4", says="divide by x_scale")
def x_scale_forgotten(W, b, x_scale):
    return np.maximum(np.maximum(largest(W) / 127, np.abs(b) / 2**30), 2**-23)


@wrong("08.4", says="as much room as a positive one")
def only_positive_biases(W, b, x_scale):
    return np.maximum(np.maximum(largest(W) / 127, b / (x_scale * 2**30)), 2**-23)


@wrong("08.4", says="a scale of 0 is none")
def no_smallest(W, b, x_scale):
    return np.maximum(largest(W) / 127, np.abs(b) / (x_scale * 2**30))


@wrong("08.4", says="take absolute values")
def not_absolute(W, b, x_scale):
    top = W.reshape(len(W), -1).max(axis=1)
    return np.maximum(np.maximum(top / 127, np.abs(b) / (x_scale * 2**30)), 2**-23)


@wrong("08.4", says="are no zeros")
def only_zeros_mended(W, b, x_scale):
    scale = np.maximum(largest(W) / 127, np.abs(b) / (x_scale * 2**30))
    return np.where(scale == 0, 2**-23, scale)


@wrong("08.4", says="not the largest of all")
def largest_bias(W, b, x_scale):
    return np.maximum(np.maximum(largest(W) / 127, np.abs(b).max() / (x_scale * 2**30)), 2**-23)


@wrong("08.4", says="expected (2,)")
def axes_kept(W, b, x_scale):
    top = np.abs(W).max(axis=(1, 2, 3), keepdims=True)
    return np.maximum(top / 127, 2**-23)


def parts(shapes, n_bits):
    return sum((math.prod(s) * n_bits + 7) // 8 for s in shapes), sum(s[0] for s in shapes)


@wrong("08.5", says="4-bit weights are packed")
def a_byte_a_weight(shapes, n_bits, per_channel):
    _, channels = parts(shapes, n_bits)
    return sum(map(math.prod, shapes)) + 4 * channels + 4 * (channels if per_channel else len(shapes))


@wrong("08.5", says="8 weights, 4 bytes of bias, 4 of scale")
def without_scales(shapes, n_bits, per_channel):
    weights, channels = parts(shapes, n_bits)
    return weights + 4 * channels


@wrong("08.5", says="each of the 3 outputs has a scale")
def one_scale_a_tensor(shapes, n_bits, per_channel):
    weights, channels = parts(shapes, n_bits)
    return weights + 4 * channels + 4 * len(shapes)


@wrong("08.5", says="each tensor is padded to a whole byte by itself")
def rounded_in_sum(shapes, n_bits, per_channel):
    _, channels = parts(shapes, n_bits)
    weights = (sum(map(math.prod, shapes)) * n_bits + 7) // 8
    return weights + 4 * channels + 4 * (channels if per_channel else len(shapes))


@wrong("08.5", says="round up")
def rounded_down(shapes, n_bits, per_channel):
    _, channels = parts(shapes, n_bits)
    weights = sum(math.prod(s) * n_bits // 8 for s in shapes)
    return weights + 4 * channels + 4 * (channels if per_channel else len(shapes))


@wrong("08.5", says="one int32 bias an output")
def one_bias_a_tensor(shapes, n_bits, per_channel):
    weights, channels = parts(shapes, n_bits)
    return weights + 4 * len(shapes) + 4 * (channels if per_channel else len(shapes))


@wrong("08.5", says="may lie across two bytes")
def whole_weights_in_a_byte(shapes, n_bits, per_channel):
    _, channels = parts(shapes, n_bits)
    weights = sum(-(-math.prod(s) // (8 // n_bits)) for s in shapes)
    return weights + 4 * channels + 4 * (channels if per_channel else len(shapes))


@wrong("08.5", says="not row by row")
def each_row_padded(shapes, n_bits, per_channel):
    _, channels = parts(shapes, n_bits)
    weights = sum(s[0] * -(-math.prod(s[1:]) * n_bits // 8) for s in shapes)
    return weights + 4 * channels + 4 * (channels if per_channel else len(shapes))


@wrong("08.5", says="each of the 2 tensors has a scale of its own")
def one_scale_a_network(shapes, n_bits, per_channel):
    weights, channels = parts(shapes, n_bits)
    return weights + 4 * channels + 4 * (channels if per_channel else 1)


def counts(a_right, b_right):
    return int((a_right & ~b_right).sum()), int((b_right & ~a_right).sum())


@wrong("08.6", says="count where exactly one of the two is right")
def all_right_answers(a_right, b_right):
    only_a, only_b = counts(a_right, b_right)
    tail = sum(math.comb(only_a + only_b, k) for k in range(min(only_a, only_b) + 1)) / 2 ** (only_a + only_b)
    return int(a_right.sum()), int(b_right.sum()), min(1.0, 2 * tail)


@wrong("08.6", says="both directions count")
def one_sided(a_right, b_right):
    only_a, only_b = counts(a_right, b_right)
    n = only_a + only_b
    return only_a, only_b, sum(math.comb(n, k) for k in range(min(only_a, only_b) + 1)) / 2**n


@wrong("08.6", says="the more uneven splits count too")
def this_split_only(a_right, b_right):
    only_a, only_b = counts(a_right, b_right)
    n = only_a + only_b
    return only_a, only_b, min(1.0, 2 * math.comb(n, only_a) / 2**n)


@wrong("08.6", says="never more")
def above_one(a_right, b_right):
    only_a, only_b = counts(a_right, b_right)
    n = only_a + only_b
    return only_a, only_b, 2 * sum(math.comb(n, k) for k in range(min(only_a, only_b) + 1)) / 2**n


@wrong("08.6", says="sum up to the smaller")
def up_to_b(a_right, b_right):
    only_a, only_b = counts(a_right, b_right)
    n = only_a + only_b
    return only_a, only_b, min(1.0, 2 * sum(math.comb(n, k) for k in range(only_b + 1)) / 2**n)


@wrong("08.6", says="include the smaller count")
def this_split_left_out(a_right, b_right):
    only_a, only_b = counts(a_right, b_right)
    n = only_a + only_b
    return only_a, only_b, min(1.0, 2 * sum(math.comb(n, k) for k in range(min(only_a, only_b))) / 2**n)


@wrong("08.6", says="not for all 11")
def a_throw_for_every_image(a_right, b_right):
    only_a, only_b = counts(a_right, b_right)
    n = len(a_right)
    return only_a, only_b, min(1.0, 2 * sum(math.comb(n, k) for k in range(min(only_a, only_b) + 1)) / 2**n)


@wrong("08.6", says="chi-square approximation")
def chi_square(a_right, b_right):
    only_a, only_b = counts(a_right, b_right)
    n = max(only_a + only_b, 1)
    return only_a, only_b, math.erfc(math.sqrt((only_a - only_b) ** 2 / n / 2))
