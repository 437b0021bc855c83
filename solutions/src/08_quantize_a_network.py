# %% [markdown]
# # Exercises 08: Quantize a network
#
# Six exercises on [lesson 08](../../notebooks/08_quantize_a_network.ipynb). Write each function, run the check, and ask
# `hint("08.1")` when you are stuck. `solution("08.1")` opens after an attempt.
#
# About 53 minutes in all, difficulty 1 to 3 of 3.
# &nbsp; [previous: Exercises 07](../../exercises/07_train_through_rounding/07_train_through_rounding.ipynb) ·
# [next: Exercises 09](../../exercises/09_repair_what_ptq_breaks/09_repair_what_ptq_breaks.ipynb)

# %%
import math

import numpy as np

from quantlab.lab import check, hint, solution

# %% [markdown]
# ## 08.1 Fold a batch norm &nbsp; (difficulty 1, 8 minutes)
#
# Return the weights and the bias of one convolution that does the work of a convolution and of the batch norm behind it. `W` is
# (out, kh, kw, in), everything else (out,); the specification folds one number after the other.


# %%
def fold_spec(W, b, gamma, beta, mean, variance, eps):
    """Slow and obvious: one channel, one weight at a time."""
    W, b = W.copy(), b.copy()
    for o in range(len(W)):
        spread = math.sqrt(variance[o] + eps)
        for place in np.ndindex(*W.shape[1:]):
            W[(o, *place)] = gamma[o] * W[(o, *place)] / spread
        b[o] = gamma[o] * (b[o] - mean[o]) / spread + beta[o]
    return W, b


# %%
def fold(
    W: np.ndarray,
    b: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    eps: float,
) -> tuple[np.ndarray, np.ndarray]:
    ### BEGIN SOLUTION
    factor = gamma / np.sqrt(variance + eps)
    return W * factor[:, None, None, None], (b - mean) * factor + beta
    ### END SOLUTION


# %%
check("08.1", fold)

# %% [markdown]
# ## 08.2 Pad as TensorFlow does &nbsp; (difficulty 2, 8 minutes)
#
# `padding="same"` gives `ceil(n / stride)` outputs for `n` pixels, with as little padding as that takes. Return how many
# pixels stand in front and how many behind: of an odd number, the larger half stands *behind*. (torch's `padding=1` pads
# both ends, and under stride 2 sees other windows; a port that mixes them up is off by one pixel everywhere.)


# %%
def same_padding_spec(n: int, kernel: int, stride: int) -> tuple[int, int]:
    """Slow and obvious: pad one pixel more until enough windows fit."""
    n_out, total = math.ceil(n / stride), 0
    while len(range(0, n + total - kernel + 1, stride)) < n_out:
        total += 1
    return total // 2, total - total // 2


print(same_padding_spec(224, kernel=3, stride=2))


# %%
def same_padding(n: int, kernel: int, stride: int) -> tuple[int, int]:
    ### BEGIN SOLUTION
    n_out = -(-n // stride)
    total = max((n_out - 1) * stride + kernel - n, 0)
    return total // 2, total - total // 2
    ### END SOLUTION


# %%
check("08.2", same_padding)

# %% [markdown]
# ## 08.3 Add with two rulers &nbsp; (difficulty 2, 10 minutes)
#
# Add two int8 tensors, each with its own scale and zero point, and return int8 codes on the ruler of the output. Round once, at
# the end (`np.rint`), and saturate.


# %%
def add_spec(a_q, b_q, s_a, z_a, s_b, z_b, s_y, z_y):
    """Slow and obvious: one pair at a time, in Python's own numbers."""
    y_q = []
    for a, b in zip(a_q.ravel().tolist(), b_q.ravel().tolist(), strict=True):
        real = s_a * (a - z_a) + s_b * (b - z_b)
        y_q.append(min(max(round(real / s_y) + z_y, -128), 127))
    return np.array(y_q, np.int8).reshape(a_q.shape)


# %%
def add(
    a_q: np.ndarray, b_q: np.ndarray, s_a: float, z_a: int, s_b: float, z_b: int, s_y: float, z_y: int
) -> np.ndarray:
    """a_q, b_q: int8, of one shape. Returns int8."""
    ### BEGIN SOLUTION
    real = s_a * (a_q.astype(np.float64) - z_a) + s_b * (b_q.astype(np.float64) - z_b)
    return np.clip(np.rint(real / s_y) + z_y, -128, 127).astype(np.int8)
    ### END SOLUTION


# %%
check("08.3", add)

# %% [markdown]
# ## 08.4 Leave room for the bias &nbsp; (difficulty 3, 10 minutes)
#
# Trained networks have channels whose weights died and whose bias lives. With $s_w = \max|W_o| / 127$ the bias, in steps of $s_x s_w$,
# may then leave int32. Return one weight scale an output channel: $\max|W_o| / 127$, but so large that the bias is
# at most $2^{30}$ steps, and never below $2^{-23}$.


# %%
def weight_scales_spec(W: np.ndarray, b: np.ndarray, x_scale: float) -> np.ndarray:
    """Slow and obvious: one channel at a time, three demands."""
    scales = []
    for weights, bias in zip(W, b, strict=True):
        largest = max(abs(w) for w in weights.ravel().tolist())
        scales.append(max(largest / 127, abs(bias) / (x_scale * 2**30), 2**-23))
    return np.array(scales)


# %%
def weight_scales(W: np.ndarray, b: np.ndarray, x_scale: float) -> np.ndarray:
    """W: (out, ...), b: (out,). Returns (out,)."""
    ### BEGIN SOLUTION
    largest = np.abs(W).reshape(len(W), -1).max(axis=1)
    return np.maximum(np.maximum(largest / 127, np.abs(b) / (x_scale * 2**30)), 2**-23)
    ### END SOLUTION


# %%
check("08.4", weight_scales)

# %% [markdown]
# ## 08.5 Count the bytes &nbsp; (difficulty 1, 7 minutes)
#
# Return the bytes that the parameters of a quantized network take: weights of `n_bits`, packed, each tensor padded to a whole
# byte; an int32 bias an output channel; a float32 scale an output channel, or one a tensor. `shapes` are those of the weights,
# (out, ...).


# %%
def n_bytes_spec(shapes: list[tuple[int, ...]], n_bits: int, per_channel: bool) -> int:
    """Slow and obvious: make the arrays, and ask them."""
    total = 0
    for shape in shapes:
        bits = np.zeros(math.prod(shape) * n_bits, bool)
        bias = np.zeros(shape[0], np.int32)
        scale = np.zeros(shape[0] if per_channel else 1, np.float32)
        total += np.packbits(bits).nbytes + bias.nbytes + scale.nbytes
    return total


# %%
def n_bytes(shapes: list[tuple[int, ...]], n_bits: int, per_channel: bool) -> int:
    ### BEGIN SOLUTION
    weights = sum((math.prod(shape) * n_bits + 7) // 8 for shape in shapes)
    channels = sum(shape[0] for shape in shapes)
    return weights + 4 * channels + 4 * (channels if per_channel else len(shapes))
    ### END SOLUTION


# %%
check("08.5", n_bytes)

# %% [markdown]
# ## 08.6 Count where they disagree &nbsp; (difficulty 2, 10 minutes)
#
# Two networks answered the same images. Return how many images only `a` got right, how many only `b`, and the p-value of McNemar's exact
# test: the chance that a fair coin, thrown once for each of these images, splits them at least as unevenly, in either direction; 1.0 if
# there are none.


# %%
def disagreement_spec(a_right: np.ndarray, b_right: np.ndarray) -> tuple[int, int, float]:
    """Slow and obvious: all sequences of throws."""
    from itertools import product

    only_a = sum(1 for a, b in zip(a_right, b_right, strict=True) if a and not b)
    only_b = sum(1 for a, b in zip(a_right, b_right, strict=True) if b and not a)
    n = only_a + only_b
    uneven = [abs(2 * sum(throws) - n) >= abs(only_a - only_b) for throws in product([0, 1], repeat=n)]
    return only_a, only_b, sum(uneven) / len(uneven)


print(disagreement_spec(np.array([True, True, True, False]), np.array([False, False, True, True])))


# %%
def disagreement(a_right: np.ndarray, b_right: np.ndarray) -> tuple[int, int, float]:
    """a_right, b_right: bool, (images,). Returns (only a, only b, p)."""
    ### BEGIN SOLUTION
    only_a, only_b = int((a_right & ~b_right).sum()), int((b_right & ~a_right).sum())
    n, fewer = only_a + only_b, min(only_a, only_b)
    tail = sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n
    return only_a, only_b, min(1.0, 2 * tail)
    ### END SOLUTION


# %%
check("08.6", disagreement)
