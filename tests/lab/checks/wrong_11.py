"""Plausible wrong answers to the exercises of lesson 11, and what the verdict on each must say."""

import numpy as np

from quantlab.lab.checks.proof import wrong


def layer(x, w_q, w_scale, *, widen=True, n_bits=8, rounding=np.rint, shift=True, dtype=np.int32, turn=False):
    lo, hi = (min(x.min(), 0), max(x.max(), 0)) if widen else (x.min(), x.max())
    scale = np.float32(hi - lo) / np.float32(2**n_bits - 1)
    zero_point = int(np.rint(-lo / scale))
    x_q = np.clip(rounding(x / scale).astype(np.int32) + zero_point, 0, 2**n_bits - 1)
    acc = ((x_q - zero_point if shift else x_q).astype(dtype) @ w_q.astype(dtype).T).astype(np.float32)
    return acc * scale * (w_scale[:, None] if turn else w_scale)


@wrong("11.1", says="the range must hold 0: it is [0, 255]")
def not_widened(x, w_q, w_scale):
    return layer(x, w_q, w_scale, widen=False)


@wrong("11.1", says="the range must hold 0: it is [-255, 0]")
def widened_below_only(x, w_q, w_scale):
    lo = min(x.min(), np.float32(0))
    scale = (x.max() - lo) / np.float32(255)
    zero_point = int(np.rint(-lo / scale))
    x_q = np.clip(np.rint(x / scale).astype(np.int32) + zero_point, 0, 255)
    return ((x_q - zero_point) @ w_q.astype(np.int32).T).astype(np.float32) * (scale * w_scale)


@wrong("11.1", says="subtract it from every code")
def zero_point_left_in(x, w_q, w_scale):
    return layer(x, w_q, w_scale, shift=False)


@wrong("11.1", says="a cast cuts it to 0")
def truncated(x, w_q, w_scale):
    return layer(x, w_q, w_scale, rounding=np.trunc)


@wrong("11.1", says="sum in int32")
def sum_in_int16(x, w_q, w_scale):
    return layer(x, w_q, w_scale, dtype=np.int16)


@wrong("11.1", says="makes a column of the result")
def scales_on_rows(x, w_q, w_scale):
    return layer(x, w_q, w_scale, turn=len(x) == len(w_q))


@wrong("11.1", says="one scale and one zero point for all of x")
def one_range_a_row(x, w_q, w_scale):
    return np.concatenate([layer(row[None], w_q, w_scale) for row in x])


def ranges(x, mask, *, axis=(1, 2), zero=True, mask_lo=True, mask_hi=True):
    kept = mask[..., None] == 1
    lo = np.where(kept, x, np.inf).min(axis=axis) if mask_lo else x.min(axis=axis)
    hi = np.where(kept, x, -np.inf).max(axis=axis) if mask_hi else x.max(axis=axis)
    return (np.minimum(lo, 0), np.maximum(hi, 0)) if zero else (lo, hi)


@wrong("11.2", says="9 stands at padding: it is no token")
def padding_counts(x, mask):
    return ranges(x, mask, mask_lo=False, mask_hi=False)


@wrong("11.2", says="-9 stands at padding: it is no token")
def padding_counts_below(x, mask):
    return ranges(x, mask, mask_lo=False)


@wrong("11.2", says="the range must hold 0")
def without_zero(x, mask):
    return ranges(x, mask, zero=False)


@wrong("11.2", says="each sentence has a range of its own")
def one_range_for_the_batch(x, mask):
    lo, hi = ranges(x, mask, axis=None)
    return np.full(len(x), lo), np.full(len(x), hi)


@wrong("11.2", says="expected (1,): one a sentence")
def one_range_a_token(x, mask):
    return ranges(x, mask, axis=2)


def weigh(shapes, quantized, *, scales=lambda shape: 4 * shape[0], size=np.prod, small=1, everything=False):
    total = 0
    for name, shape in shapes.items():
        inside = name in quantized or (everything and len(shape) > 1)
        total += small * int(size(shape)) + scales(shape) if inside else 4 * int(size(shape))
    return total


@wrong("11.3", says="and one scale of 4 bytes")
def scales_forgotten(shapes, quantized):
    return weigh(shapes, quantized, scales=lambda shape: 0)


@wrong("11.3", says="one scale for each entry of the first axis")
def one_scale_a_tensor(shapes, quantized):
    return weigh(shapes, quantized, scales=lambda shape: 4)


@wrong("11.3", says="and nothing for zero points")
def zero_points_too(shapes, quantized):
    return weigh(shapes, quantized, scales=lambda shape: 4 if shape[0] == 1 else 5 * shape[0])


@wrong("11.3", says="a float32 takes 4 bytes")
def everything_in_bytes(shapes, quantized):
    return weigh({name: shape for name, shape in shapes.items() if name in quantized}, quantized)


@wrong("11.3", says="a convolution has four axes")
def two_axes(shapes, quantized):
    return weigh(shapes, quantized, size=lambda shape: np.prod(shape[:2]))


@wrong("11.3", says="the table of words too")
def all_matrices(shapes, quantized):
    return weigh(shapes, quantized, everything=True)


@wrong("11.3", says="count with Python's own integers")
def counted_in_int32(shapes, quantized):
    return int(np.int64(weigh(shapes, quantized)).astype(np.int32))


@wrong("11.4", says="a loss of more than max_loss is not excluded")
def by_the_middle(forms, max_mb, max_loss):
    left = {n: ms for n, (ms, mb, lo, hi) in forms.items() if mb <= max_mb and (lo + hi) / 2 >= -max_loss}
    return min(left, key=left.get) if left else "float32"


@wrong("11.4", says="200 MB are more than max_mb")
def size_ignored(forms, max_mb, max_loss):
    left = {n: ms for n, (ms, mb, lo, hi) in forms.items() if lo >= -max_loss}
    return min(left, key=left.get) if left else "float32"


@wrong("11.4", says="the whole interval lies below -max_loss")
def loss_ignored(forms, max_mb, max_loss):
    left = {n: ms for n, (ms, mb, lo, hi) in forms.items() if mb <= max_mb}
    return min(left, key=left.get) if left else "float32"


@wrong("11.4", says="a form that gained accuracy has lost none")
def both_ends(forms, max_mb, max_loss):
    left = {n: ms for n, (ms, mb, lo, hi) in forms.items() if mb <= max_mb and max(abs(lo), abs(hi)) <= max_loss}
    return min(left, key=left.get) if left else "float32"


@wrong("11.4", says="both qualify: take the smaller ms")
def the_slowest(forms, max_mb, max_loss):
    left = {n: ms for n, (ms, mb, lo, hi) in forms.items() if mb <= max_mb and lo >= -max_loss}
    return max(left, key=left.get) if left else "float32"


@wrong("11.4", says="nor 0.05 more than max_loss=0.05")
def strictly(forms, max_mb, max_loss):
    left = {n: ms for n, (ms, mb, lo, hi) in forms.items() if mb < max_mb and lo > -max_loss}
    return min(left, key=left.get) if left else "float32"


@wrong("11.4", says="no form qualifies")
def best_of_the_bad(forms, max_mb, max_loss):
    left = {n: ms for n, (ms, mb, lo, hi) in forms.items() if mb <= max_mb and lo >= -max_loss}
    left = left or {n: form[0] for n, form in forms.items()}
    return min(left, key=left.get) if left else "float32"
