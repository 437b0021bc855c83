# %% [markdown]
# # Exercises 06: Compute with integers
#
# Six exercises on [lesson 06](../../notebooks/06_compute_with_integers.ipynb). Write each function, run the check, and ask
# `hint("06.1")` when you are stuck. `solution("06.1")` opens after an attempt.
#
# About 56 minutes in all, difficulty 1 to 3 of 3.
# &nbsp; [previous: Exercises 05](../../exercises/05_calibrate_ranges/05_calibrate_ranges.ipynb) ·
# [next: Exercises 07](../../exercises/07_train_through_rounding/07_train_through_rounding.ipynb)

# %%
import numpy as np

from quantlab.lab import check, hint, solution

# %% [markdown]
# ## 06.1 Count the safe products &nbsp; (difficulty 1, 8 minutes)
#
# Return the largest number of products `a * b` that fit into a signed accumulator of `n_bits`, whatever the values: `a`
# lies in `a_min..a_max` and `b` in `b_min..b_max`, both ends included. Compute with Python's own integers; the specification
# adds up the two worst products until one of the sums leaves the accumulator.


# %%
def safe_products_spec(a_min: int, a_max: int, b_min: int, b_max: int, n_bits: int) -> int:
    """Slow and obvious: repeat the largest and the smallest product until one of the sums does not fit."""
    corners = [a * b for a in (a_min, a_max) for b in (b_min, b_max)]
    n = 0
    while (n + 1) * max(corners) <= 2 ** (n_bits - 1) - 1 and (n + 1) * min(corners) >= -(2 ** (n_bits - 1)):
        n += 1
    return n


print(safe_products_spec(-128, 127, -127, 127, n_bits=16))


# %%
def safe_products(a_min: int, a_max: int, b_min: int, b_max: int, n_bits: int) -> int:
    ### BEGIN SOLUTION
    corners = [a * b for a in (a_min, a_max) for b in (b_min, b_max)]
    top, bottom = 2 ** (n_bits - 1) - 1, -(2 ** (n_bits - 1))
    limits = [top // max(corners)] if max(corners) > 0 else []
    limits += [bottom // min(corners)] if min(corners) < 0 else []
    return min(limits)
    ### END SOLUTION


# %%
check("06.1", safe_products)

# %% [markdown]
# ## 06.2 Take the zero points out &nbsp; (difficulty 2, 8 minutes)
#
# A matrix unit has computed `C = A @ B` on raw codes, and the sums of A's rows and of B's columns are known. Return what
# `(A - a_zero_point) @ (B - b_zero_point)` would have been, as int32, without A and B.


# %%
def without_zero_points_spec(A: np.ndarray, B: np.ndarray, a_zero_point: int, b_zero_point: int) -> np.ndarray:
    """Slow and obvious: shift both matrices, which needs 9 bits a value, and multiply again."""
    return ((A.astype(np.int64) - a_zero_point) @ (B.astype(np.int64) - b_zero_point)).astype(np.int32)


# %%
def without_zero_points(
    C: np.ndarray, row_sums: np.ndarray, column_sums: np.ndarray, K: int, a_zero_point: int, b_zero_point: int
) -> np.ndarray:
    """C: (M, N) int32, row_sums of A: (M,), column_sums of B: (N,), K: products in a sum."""
    ### BEGIN SOLUTION
    corrected = C - a_zero_point * column_sums - b_zero_point * row_sums[:, None] + K * a_zero_point * b_zero_point
    return corrected.astype(np.int32)
    ### END SOLUTION


# %%
check("06.2", without_zero_points)

# %% [markdown]
# ## 06.3 Fold the bias &nbsp; (difficulty 2, 8 minutes)
#
# Return the int32 vector that a converter stores for a layer with symmetric int8 weights: the bias in steps of the
# accumulator, with the correction for the input's zero point already in it. Then `x_q @ w_q.T + folded` is the accumulator.


# %%
def folded_bias_spec(
    b: np.ndarray, w_q: np.ndarray, *, x_scale: np.float32, w_scale: np.float32, x_zero_point: int
) -> np.ndarray:
    """Slow and obvious: one output at a time, one weight at a time."""
    folded = []
    for bias, row in zip(b, w_q, strict=True):
        steps = int(np.rint(np.float64(bias) / np.float64(x_scale * w_scale)))
        for code in row:
            steps -= x_zero_point * int(code)
        folded.append(steps)
    return np.array(folded, np.int32)


# %%
def folded_bias(
    b: np.ndarray, w_q: np.ndarray, *, x_scale: np.float32, w_scale: np.float32, x_zero_point: int
) -> np.ndarray:
    """b: (out,) float32, w_q: (out, in) int8. Returns (out,) int32."""
    ### BEGIN SOLUTION
    steps = np.rint(b.astype(np.float64) / np.float64(x_scale * w_scale)).astype(np.int64)
    return (steps - x_zero_point * w_q.sum(axis=1, dtype=np.int64)).astype(np.int32)
    ### END SOLUTION


# %%
check("06.3", folded_bias)

# %% [markdown]
# ## 06.4 Store a real number in integers &nbsp; (difficulty 2, 10 minutes)
#
# Return `(multiplier, shift)` with `M` nearly equal to `multiplier / 2**31 * 2**shift`, where `2**30 <= multiplier < 2**31`:
# the nearest integer (no `M` of the check lies on a tie). `M` is positive. Mind the `M` whose fraction rounds up to `2**31`, which an int32 cannot hold.


# %%
def fixed_point_spec(M: float) -> tuple[int, int]:
    """Slow and obvious: double or halve until the fraction lies in [1/2, 1), then round."""
    fraction, shift = M, 0
    while fraction >= 1:
        fraction, shift = fraction / 2, shift + 1
    while fraction < 0.5:
        fraction, shift = fraction * 2, shift - 1
    multiplier = int(np.floor(fraction * 2**31 + 0.5))
    return (multiplier // 2, shift + 1) if multiplier == 2**31 else (multiplier, shift)


# %%
def fixed_point(M: float) -> tuple[int, int]:
    ### BEGIN SOLUTION
    fraction, shift = np.frexp(M)
    multiplier, shift = int(np.floor(fraction * 2**31 + 0.5)), int(shift)
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    return multiplier, shift
    ### END SOLUTION


# %%
check("06.4", fixed_point)

# %% [markdown]
# ## 06.5 Round twice &nbsp; (difficulty 2, 10 minutes)
#
# Requantize as ruy does: multiply by `multiplier`, drop 31 bits, then drop `-shift` bits more, and round half up both times.
# `acc` is int32, `shift` is 0 or negative. Return int32; the zero point and the clip come later.


# %%
def round_twice_spec(acc: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    """Slow and obvious: exact fractions, one value at a time."""
    from fractions import Fraction
    from math import floor

    half = Fraction(1, 2)
    once = [floor(Fraction(int(a) * multiplier, 2**31) + half) for a in acc.ravel()]
    twice = [floor(Fraction(n, 2**-shift) + half) for n in once]
    return np.array(twice, np.int32).reshape(acc.shape)


# %%
def round_twice(acc: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    ### BEGIN SOLUTION
    high = (acc.astype(np.int64) * multiplier + 2**30) >> 31
    half = (1 << -shift) >> 1
    return ((high + half) >> -shift).astype(np.int32)
    ### END SOLUTION


# %%
check("06.5", round_twice)

# %% [markdown]
# ## 06.6 Mend a layer &nbsp; (difficulty 3, 12 minutes)
#
# Below is a layer with a fused ReLU, as someone once wrote it. It runs, it looks right, and it has three bugs. Write the
# layer without them, for the same arguments; `shift` is negative.


# %%
def broken_layer(x_q, w_q, folded, multiplier, shift, y_zero_point):
    acc = (x_q @ w_q.T).astype(np.int32) + folded
    y = ((acc.astype(np.int64) * multiplier) >> (31 - shift)) + y_zero_point
    y = np.maximum(y, 0)
    return np.clip(y, -128, 127).astype(np.int8)


# %%
def layer(
    x_q: np.ndarray, w_q: np.ndarray, folded: np.ndarray, multiplier: int, shift: int, y_zero_point: int
) -> np.ndarray:
    """x_q: (samples, in) int8, w_q: (out, in) int8, folded: (out,) int32. Round once, half up. Returns int8."""
    ### BEGIN SOLUTION
    acc = x_q.astype(np.int32) @ w_q.astype(np.int32).T + folded
    y = ((acc.astype(np.int64) * multiplier + (1 << (30 - shift))) >> (31 - shift)) + y_zero_point
    return np.clip(np.maximum(y, y_zero_point), -128, 127).astype(np.int8)
    ### END SOLUTION


# %%
check("06.6", layer)
