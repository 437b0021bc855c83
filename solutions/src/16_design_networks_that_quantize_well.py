# %% [markdown]
# # Exercises 16: Design networks that quantize well
#
# Five exercises on [lesson 16](../../notebooks/16_design_networks_that_quantize_well.ipynb). Write each function, run the check, and ask
# `hint("16.1")` when you are stuck. `solution("16.1")` opens after an attempt.
#
# About 42 minutes in all, difficulty 1 to 2 of 3.
# &nbsp; [previous: Exercises 15](../../exercises/15_allocate_bits/15_allocate_bits.ipynb)

# %%
import math

import numpy as np

from quantlab.lab import check, hint, solution

# %% [markdown]
# ## 16.1 Fold a swish into a table &nbsp; (difficulty 1, 8 minutes)
#
# An int8 tensor has 256 possible codes, so any function of one tensor is a table of 256 codes. Return the table of swish as an int8 array, $x\,\sigma(x)$: entry
# `i` is the output's code for the input's code `i - 128`, rounded half to even and saturated.


# %%
def swish_table_spec(x_scale: float, x_zero: int, y_scale: float, y_zero: int) -> np.ndarray:
    """Slow and obvious: one code at a time."""
    table = []
    for code in range(-128, 128):
        x = (code - x_zero) * x_scale
        y = x / (1 + math.exp(-x))
        table.append(min(max(round(y / y_scale) + y_zero, -128), 127))
    return np.array(table, np.int8)


# %%
def swish_table(x_scale: float, x_zero: int, y_scale: float, y_zero: int) -> np.ndarray:
    ### BEGIN SOLUTION
    x = (np.arange(-128, 128) - x_zero) * x_scale
    y = x / (1 + np.exp(-x))
    return np.clip(np.rint(y / y_scale) + y_zero, -128, 127).astype(np.int8)
    ### END SOLUTION


# %%
check("16.1", swish_table)

# %% [markdown]
# ## 16.2 Bound a growing stream &nbsp; (difficulty 1, 6 minutes)
#
# A stream begins with values in `first = (lo, hi)`; block $k$ adds something in `branches[k] = (lo, hi)`. Without looking at data, return the ranges that no
# sum can leave, one behind each block, as an array of shape `(blocks, 2)`. Zero must have a mark: every range is widened to hold 0.


# %%
def stream_ranges_spec(first: tuple[float, float], branches: list[tuple[float, float]]) -> np.ndarray:
    """Slow and obvious: the worst case of each block, one after the other."""
    lo, hi = first
    rows = []
    for low, high in branches:
        lo, hi = lo + low, hi + high
        rows.append((min(lo, 0.0), max(hi, 0.0)))
    return np.array(rows)


# %%
def stream_ranges(first: tuple[float, float], branches: list[tuple[float, float]]) -> np.ndarray:
    ### BEGIN SOLUTION
    ends = np.cumsum([first, *branches], axis=0)[1:]
    return np.stack([np.minimum(ends[:, 0], 0), np.maximum(ends[:, 1], 0)], axis=1)
    ### END SOLUTION


# %%
check("16.2", stream_ranges)

# %% [markdown]
# ## 16.3 Plant a loud channel &nbsp; (difficulty 2, 10 minutes)
#
# One linear layer writes a stream, `s = x @ W_write.T + b_write`, another reads it, `y = s @ W_read.T`. Return `(W_write, b_write, W_read)`, new arrays, such that
# channel `c` of the stream is `factor` times as large, and `y` is the same as before.


# %%
def loud_spec(W_write, b_write, W_read, c: int, factor: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slow and obvious: one weight at a time."""
    W_write, b_write, W_read = W_write.tolist(), b_write.tolist(), W_read.tolist()
    for j in range(len(W_write[c])):
        W_write[c][j] *= factor
    b_write[c] *= factor
    for row in W_read:
        row[c] /= factor
    return np.array(W_write), np.array(b_write), np.array(W_read)


# %%
def loud(
    W_write: np.ndarray, b_write: np.ndarray, W_read: np.ndarray, c: int, factor: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ### BEGIN SOLUTION
    factors = np.ones(len(b_write))
    factors[c] = factor
    return W_write * factors[:, None], b_write * factors, W_read / factors
    ### END SOLUTION


# %%
check("16.3", loud)

# %% [markdown]
# ## 16.4 Place the scale behind a gate &nbsp; (difficulty 2, 8 minutes)
#
# Squeeze-and-excite multiplies channel `c` of `x` (values from 0 to `x_max[c]`) by a gate of at most `gate_max[c]`. Return the smallest scale of an unsigned 8-bit tensor
# (0 to 255, zero point 0) in which no product can saturate: `per_channel=False` one number for all, `per_channel=True` one for each channel.


# %%
def gate_scale_spec(x_max: np.ndarray, gate_max: np.ndarray, per_channel: bool) -> np.ndarray:
    """Slow and obvious: the largest product of each channel."""
    scales = []
    for x, gate in zip(x_max.tolist(), gate_max.tolist(), strict=True):
        scales.append(x * gate / 255)
    return np.array(scales if per_channel else max(scales))


# %%
def gate_scale(x_max: np.ndarray, gate_max: np.ndarray, per_channel: bool) -> np.ndarray:
    ### BEGIN SOLUTION
    top = x_max * gate_max
    return (top if per_channel else top.max()) / 255
    ### END SOLUTION


# %%
check("16.4", gate_scale)

# %% [markdown]
# ## 16.5 Choose between two designs &nbsp; (difficulty 2, 10 minutes)
#
# Two designs were trained with the same five seeds. `a` and `b` hold their SQNR in dB, seed by seed. Return `"a"` or `"b"` if the 95 % interval of the paired
# difference (Student's t, 2.776 for four degrees of freedom, standard deviation with `ddof=1`) leaves 0 out, and `"not settled"` otherwise. Higher is better.


# %%
def choose_spec(a: np.ndarray, b: np.ndarray) -> str:
    """Slow and obvious: the mean of the differences, and their spread, by hand."""
    differences = [float(x) - float(y) for x, y in zip(a, b, strict=True)]
    mean = sum(differences) / 5
    variance = sum((d - mean) ** 2 for d in differences) / 4
    half = 2.776 * variance**0.5 / 5**0.5
    if abs(mean) <= half:
        return "not settled"
    return "a" if mean > 0 else "b"


# %%
def choose(a: np.ndarray, b: np.ndarray) -> str:
    ### BEGIN SOLUTION
    difference = a - b
    half = 2.776 * difference.std(ddof=1) / np.sqrt(5)
    if abs(difference.mean()) <= half:
        return "not settled"
    return "a" if difference.mean() > 0 else "b"
    ### END SOLUTION


# %%
check("16.5", choose)
