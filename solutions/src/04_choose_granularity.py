# %% [markdown]
# # Exercises 04: Choose granularity
#
# Everything that you need stands in [lesson 04](../../notebooks/04_choose_granularity.ipynb). Write each function in the cell below its
# task and run the check under it. `hint("04.1")` helps a little more each time; `solution("04.1")` opens after an attempt.
#
# About 46 minutes in all, difficulty 1 to 3 of 3.
# &nbsp; [previous: Exercises 03](../../exercises/03_map_reals_to_integers/03_map_reals_to_integers.ipynb) ·
# [next: Exercises 05](../../exercises/05_calibrate_ranges/05_calibrate_ranges.ipynb)

# %%
import numpy as np

from quantlab.lab import check, hint, solution

# %% [markdown]
# ## 04.1 Count the true bits &nbsp; (difficulty 1, 5 minutes)
#
# Return what one weight of an `n_out` x `n_in` matrix costs in bits, scales and zero points included. Each row is cut into groups of
# `group_size`; where that does not divide `n_in`, the last group of the row is shorter, and has a scale and a zero point all the same.


# %%
def true_bits_spec(n_out: int, n_in: int, group_size: int, n_bits: int, scale_bits: int, zero_point_bits: int) -> float:
    """Slow and obvious: walk over the matrix and write every bit."""
    bits = 0
    for _ in range(n_out):
        for column in range(n_in):
            if column % group_size == 0:
                bits += scale_bits + zero_point_bits
            bits += n_bits
    return bits / (n_out * n_in)


true_bits_spec(2, 10, group_size=4, n_bits=4, scale_bits=16, zero_point_bits=4)


# %%
def true_bits(n_out: int, n_in: int, group_size: int, n_bits: int, scale_bits: int, zero_point_bits: int) -> float:
    ### BEGIN SOLUTION
    n_groups = n_out * -(-n_in // group_size)
    return n_bits + (scale_bits + zero_point_bits) * n_groups / (n_out * n_in)
    ### END SOLUTION


# %%
check("04.1", true_bits)

# %% [markdown]
# ## 04.2 Scale every channel &nbsp; (difficulty 1, 8 minutes)
#
# Return one symmetric scale a channel, float32 of shape `(C,)`: the largest absolute weight of the channel goes to the mark `quant_max`.
# Channels are on axis 0 of `W`, which has two axes or more; a channel of zeros gets the scale 1.


# %%
def channel_scales_spec(W: np.ndarray, quant_max: int) -> np.ndarray:
    """Slow and obvious: one weight after the other."""
    scales = []
    for channel in W:
        largest = 0.0
        for w in channel.ravel():
            largest = max(largest, abs(float(w)))
        scales.append(largest / quant_max if largest > 0 else 1.0)
    return np.array(scales, dtype=np.float32)


channel_scales_spec(np.array([[0.5, -2.0], [0.0, 0.0], [1.0, 0.25]], dtype=np.float32), quant_max=4)


# %%
def channel_scales(W: np.ndarray, quant_max: int) -> np.ndarray:
    ### BEGIN SOLUTION
    largest = np.abs(W).reshape(len(W), -1).max(axis=1)
    return np.where(largest > 0, largest / quant_max, 1).astype(np.float32)
    ### END SOLUTION


# %%
check("04.2", channel_scales)

# %% [markdown]
# ## 04.3 Cut rows into groups &nbsp; (difficulty 2, 8 minutes)
#
# Return the smallest and the largest value of every group: two arrays of shape `(n_out, n_in / group_size)`, for groups of neighbouring
# entries within a row. Use a reshape, no loop; when `group_size` does not divide `n_in`, raise a ValueError.


# %%
def group_ranges_spec(W: np.ndarray, group_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Slow and obvious: cut out each group."""
    n_out, n_in = W.shape
    lo, hi = np.zeros((n_out, n_in // group_size)), np.zeros((n_out, n_in // group_size))
    for row in range(n_out):
        for j in range(n_in // group_size):
            group = W[row, j * group_size : (j + 1) * group_size]
            lo[row, j], hi[row, j] = group.min(), group.max()
    return lo, hi


group_ranges_spec(np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]), group_size=2)


# %%
def group_ranges(W: np.ndarray, group_size: int) -> tuple[np.ndarray, np.ndarray]:
    ### BEGIN SOLUTION
    n_out, n_in = W.shape
    if n_in % group_size:
        raise ValueError(f"group_size={group_size} does not divide n_in={n_in}; choose a divisor, or pad the rows")
    groups = W.reshape(n_out, n_in // group_size, group_size)
    return groups.min(axis=2), groups.max(axis=2)
    ### END SOLUTION


# %%
check("04.3", group_ranges)

# %% [markdown]
# ## 04.4 Multiply group by group &nbsp; (difficulty 3, 15 minutes)
#
# Return `X @ W.T` as float32 of shape `(n, n_out)`, where only the codes of `X` and `W` are given: `p` is int8, `(n, n_in)`, and the
# scale of `X` is left to the caller; `q` is int8, `(n_out, n_in)`, with symmetric scales `s`, float32, `(n_out, n_groups)`. Within a
# group add integers; multiply by a scale once a group.


# %%
def grouped_matmul_spec(p: np.ndarray, q: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Slow and obvious: back to real weights first, then one product after the other."""
    group_size = q.shape[1] // s.shape[1]
    y = np.zeros((len(p), len(q)))
    for row in range(len(p)):
        for out in range(len(q)):
            for i in range(q.shape[1]):
                y[row, out] += float(p[row, i]) * float(q[out, i]) * float(s[out, i // group_size])
    return y.astype(np.float32)


grouped_matmul_spec(np.int8([[1, 2, 3, 4]]), np.int8([[1, 1, 1, 1]]), np.float32([[1.0, 10.0]]))


# %%
def grouped_matmul(p: np.ndarray, q: np.ndarray, s: np.ndarray) -> np.ndarray:
    ### BEGIN SOLUTION
    n_out, n_groups = s.shape
    P = p.reshape(len(p), n_groups, -1).astype(np.int32)
    Q = q.reshape(n_out, n_groups, -1).astype(np.int32)
    partial = np.einsum("njk,ojk->njo", P, Q)
    return np.einsum("njo,oj->no", partial, s).astype(np.float32)
    ### END SOLUTION


# %%
check("04.4", grouped_matmul)

# %% [markdown]
# ## 04.5 Find the lost filters &nbsp; (difficulty 2, 10 minutes)
#
# Return the indices (in order, an integer array) of the channels that one scale for the whole tensor wipes out: they are not all zero, but
# every one of their codes is. The scale is symmetric and sends the largest absolute weight to `quant_max`; rounding is half to even.


# %%
def lost_channels_spec(W: np.ndarray, quant_max: int) -> np.ndarray:
    """Slow and obvious: quantize each weight, look at each channel. `round` in Python is half to even."""
    scale = max(abs(float(w)) for w in W.ravel()) / quant_max
    lost = []
    for c, channel in enumerate(W):
        has_weights = any(float(w) != 0 for w in channel.ravel())
        has_codes = any(round(float(w) / scale) != 0 for w in channel.ravel())
        if has_weights and not has_codes:
            lost.append(c)
    return np.array(lost, dtype=np.int64)


lost_channels_spec(np.array([[8.0, 0.0], [1.0, -1.0], [0.0, 0.0]]), quant_max=2)


# %%
def lost_channels(W: np.ndarray, quant_max: int) -> np.ndarray:
    ### BEGIN SOLUTION
    channels = np.abs(W).reshape(len(W), -1)
    scale = channels.max() / quant_max
    has_weights = channels.max(axis=1) > 0
    has_codes = np.rint(channels / scale).max(axis=1) > 0
    return np.flatnonzero(has_weights & ~has_codes)
    ### END SOLUTION


# %%
check("04.5", lost_channels)
