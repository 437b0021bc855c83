# %% [markdown]
# # Exercises 03: Map reals to integers
#
# Five exercises for [lesson 03](../../notebooks/03_map_reals_to_integers.ipynb), from the formula to a test that finds
# bugs. Each begins with a slow specification that you can run and look at. Write the function, run the cell below it,
# read the verdict. `hint("03.1")`, in a cell of your own, gives a hint, and one more each time; `solution("03.1")`
# opens after an attempt.
#
# About 43 minutes in all, difficulty 1 to 3 of 3.
# &nbsp; [previous: Exercises 02](../../exercises/02_encode_numbers/02_encode_numbers.ipynb) ·
# [next: Exercises 04](../../exercises/04_choose_granularity/04_choose_granularity.ipynb)

# %%
import numpy as np

from quantlab.lab import check, hint, solution

# %% [markdown]
# ## 03.1 Fit the ruler &nbsp; (difficulty 1, 6 minutes)
#
# Return the scale and the zero point of an asymmetric signed grid of `n_bits` bits that covers the range `[lo, hi]`.
# The range need not hold zero (the ruler must), and an all-zero range gets the scale 1; the formula for $z$ stays as it
# is.


# %%
def fit_spec(lo: float, hi: float, n_bits: int) -> tuple[float, int]:
    """Lay all marks from lo to hi, and see which of them is nearest to zero."""
    lo, hi = min(lo, 0.0), max(hi, 0.0)
    marks = list(range(-(2 ** (n_bits - 1)), 2 ** (n_bits - 1)))
    if lo == hi:
        return 1.0, marks[0]
    values = np.linspace(lo, hi, len(marks))
    return float(values[1] - values[0]), marks[np.abs(values).argmin()]


print(fit_spec(-1.2, 2.3, 3))


# %%
def fit(lo: float, hi: float, n_bits: int) -> tuple[float, int]:
    ### BEGIN SOLUTION
    lo, hi = min(lo, 0.0), max(hi, 0.0)
    quant_min, quant_max = -(2 ** (n_bits - 1)), 2 ** (n_bits - 1) - 1
    if lo == hi:
        return 1.0, quant_min
    scale = (hi - lo) / (quant_max - quant_min)
    return scale, int(quant_min - np.rint(lo / scale))
    ### END SOLUTION


# %%
check("03.1", fit)

# %% [markdown]
# ## 03.2 Find the codes &nbsp; (difficulty 1, 6 minutes)
#
# Return the int8 codes of `x`: the nearest mark of a signed grid of `n_bits` bits (at most 8), ties as ONNX sends them.
# Compute in float32, as `x` is.


# %%
def codes_spec(x: np.ndarray, scale: float, zero_point: int, n_bits: int) -> np.ndarray:
    """Try every mark for every value; of two equally near marks take the one an even number of steps from zero."""
    marks = np.arange(-(2 ** (n_bits - 1)), 2 ** (n_bits - 1))
    codes = []
    for v in x:
        distance = np.abs(v / np.float32(scale) - (marks - zero_point))
        nearest = marks[distance == distance.min()]
        codes.append(min(nearest, key=lambda mark: (mark - zero_point) % 2))
    return np.array(codes, dtype=np.int8)


print(codes_spec(np.array([-9.0, 0.0, 0.6, 1.0, 3.0], dtype=np.float32), 2.0, 1, 3))


# %%
def find_codes(x: np.ndarray, scale: float, zero_point: int, n_bits: int) -> np.ndarray:
    ### BEGIN SOLUTION
    quant_min, quant_max = -(2 ** (n_bits - 1)), 2 ** (n_bits - 1) - 1
    steps = np.rint(x / np.float32(scale))
    return np.clip(steps + zero_point, quant_min, quant_max).astype(np.int8)
    ### END SOLUTION


# %%
check("03.2", find_codes)

# %% [markdown]
# ## 03.3 Split the error &nbsp; (difficulty 2, 8 minutes)
#
# Given `x`, what came back, and the range `[lo, hi]` that the ruler covers, return the mean squared error in two parts,
# `(rounding, clipping)`. A value at an end of the range is inside, and the two parts add up to the whole.


# %%
def split_spec(x: np.ndarray, x_hat: np.ndarray, lo: float, hi: float) -> tuple[float, float]:
    """One value after the other."""
    rounding = clipping = 0.0
    for v, v_hat in zip(x.tolist(), x_hat.tolist(), strict=True):
        if lo <= v <= hi:
            rounding += (v - v_hat) ** 2
        else:
            clipping += (v - v_hat) ** 2
    return rounding / len(x), clipping / len(x)


print(split_spec(np.array([0.5, 1.0, 3.0, -4.0]), np.array([0.0, 1.0, 1.0, -1.0]), -1.0, 1.0))


# %%
def split_error(x: np.ndarray, x_hat: np.ndarray, lo: float, hi: float) -> tuple[float, float]:
    ### BEGIN SOLUTION
    squares = (x - x_hat) ** 2
    inside = (lo <= x) & (x <= hi)
    return float(squares[inside].sum() / x.size), float(squares[~inside].sum() / x.size)
    ### END SOLUTION


# %%
check("03.3", split_error)

# %% [markdown]
# ## 03.4 Predict the decibels &nbsp; (difficulty 2, 8 minutes)
#
# Return the SQNR in dB that a symmetric min-max ruler of `n_bits` bits will leave of `x`, without quantizing: the formula
# with $s^2/12$. Half the ruler is $m = \max|x|$, and it has $2^b - 1$ gaps.

# %%
from quantlab import Grid, choose_qparams, fake_quantize, sqnr_db


def sqnr_spec(x: np.ndarray, n_bits: int) -> float:
    """Measure it. At 8 bits and more the formula comes within a tenth of a decibel."""
    qp = choose_qparams(x.min(), x.max(), grid=Grid(n_bits), symmetric=True)
    return sqnr_db(x, fake_quantize(x, qp))


print(f"{sqnr_spec(np.random.default_rng(0).normal(size=100_000).astype(np.float32), 8):.1f} dB")


# %%
def predict_sqnr(x: np.ndarray, n_bits: int) -> float:
    ### BEGIN SOLUTION
    scale = 2 * np.abs(x).max() / (2**n_bits - 1)
    noise = scale**2 / 12
    return float(10 * np.log10(np.mean(x**2) / noise))
    ### END SOLUTION


# %%
check("03.4", predict_sqnr)

# %% [markdown]
# ## 03.5 Catch the broken quantizer &nbsp; (difficulty 3, 15 minutes)
#
# Somebody hands you `round_trip(x, lo, hi)`: it takes a float32 array to int8 and back, with an asymmetric ruler fitted
# to `[lo, hi]`, `lo < hi`. Write its test: return True if it keeps the three promises below, on ranges and values of
# your choice.
#
# 1. Zero comes back as exactly zero.
# 2. Inside `[lo, hi]`, widened to hold zero, no error exceeds half a gap.
# 3. Beyond an end of that range, a value comes back within half a gap of this end.
#
# The check runs your test on two sound quantizers and several broken ones. float32 rounds too: let the bounds be 1 %
# wider than the formula says. Here is a sound one, and the test that let the bug of the lesson pass.

# %%
from collections.abc import Callable


def sound(x: np.ndarray, lo: float, hi: float) -> np.ndarray:
    return fake_quantize(x, choose_qparams(lo, hi, grid=Grid(n_bits=8)))


def too_kind(round_trip: Callable[[np.ndarray, float, float], np.ndarray]) -> bool:
    x = np.array([1, 2, 3, 4, 5, 6], dtype=np.float32)
    return bool(np.abs(x - round_trip(x, 1.0, 6.0)).mean() < 0.25)


print(too_kind(sound))


# %%
def keeps_promises(round_trip: Callable[[np.ndarray, float, float], np.ndarray]) -> bool:
    ### BEGIN SOLUTION
    for lo, hi in [(-1.0, 2.0), (0.0, 6.0), (1.0, 6.0), (-5.0, -2.0), (-1.2, 2.3)]:
        lo0, hi0 = min(lo, 0.0), max(hi, 0.0)
        bound = 1.01 * (hi0 - lo0) / 255 / 2
        x = np.linspace(lo0 - 3, hi0 + 3, 10_001).astype(np.float32)
        if np.abs(np.clip(x, lo0, hi0) - round_trip(x, lo, hi)).max() > bound:
            return False
        if round_trip(np.zeros(1, dtype=np.float32), lo, hi)[0] != 0:
            return False
    return True
    ### END SOLUTION


# %%
check("03.5", keeps_promises)
