# %% [markdown]
# # Exercises 05: Calibrate ranges
#
# Everything that you need stands in [lesson 05](../../notebooks/05_calibrate_ranges.ipynb). Write each function in the cell below its
# task and run the check under it. `hint("05.1")` helps a little more each time; `solution("05.1")` opens after an attempt.
#
# About 49 minutes in all, difficulty 1 to 3 of 3.
# &nbsp; [previous: Exercises 04](../../exercises/04_choose_granularity/04_choose_granularity.ipynb) ·
# [next: Exercises 06](../../exercises/06_compute_with_integers/06_compute_with_integers.ipynb)

# %%
import numpy as np

from quantlab.lab import check, hint, solution

# %% [markdown]
# ## 05.1 Average a range &nbsp; (difficulty 1, 8 minutes)
#
# Return `(lo, hi)`, the moving average of the batches' minima and maxima: the first batch sets the range, each further batch moves it by
# the share `c` towards its own. `batches` is a list of arrays of any shape.


# %%
def moving_range_spec(batches: list[np.ndarray], c: float) -> tuple[float, float]:
    """Slow and obvious: the weights of all batches written out, for the minima and the maxima."""
    n = len(batches)
    weights = [c * (1 - c) ** (n - 1 - i) for i in range(n)]
    weights[0] = (1 - c) ** (n - 1)
    lo = sum(w * float(b.min()) for w, b in zip(weights, batches, strict=True))
    hi = sum(w * float(b.max()) for w, b in zip(weights, batches, strict=True))
    return lo, hi


moving_range_spec([np.array([0.0, 4.0]), np.array([-1.0, 8.0])], c=0.25)


# %%
def moving_range(batches: list[np.ndarray], c: float) -> tuple[float, float]:
    ### BEGIN SOLUTION
    lo, hi = float(batches[0].min()), float(batches[0].max())
    for batch in batches[1:]:
        lo += c * (float(batch.min()) - lo)
        hi += c * (float(batch.max()) - hi)
    return lo, hi
    ### END SOLUTION


# %%
check("05.1", moving_range)

# %% [markdown]
# ## 05.2 Cut off the tails &nbsp; (difficulty 1, 8 minutes)
#
# Return `(lo, hi)` after dropping the `n_cut` smallest and the `n_cut` largest values, widened to hold 0. At least one value is left; `x`
# has any shape and must not change.


# %%
def trimmed_range_spec(x: np.ndarray, n_cut: int) -> tuple[float, float]:
    """Slow and obvious: throw away one value after the other."""
    values = [float(v) for v in x.ravel()]
    for _ in range(n_cut):
        values.remove(min(values))
        values.remove(max(values))
    return min([*values, 0.0]), max([*values, 0.0])


trimmed_range_spec(np.array([[-9.0, -2.0, 1.0], [3.0, 4.0, 70.0]]), n_cut=1)


# %%
def trimmed_range(x: np.ndarray, n_cut: int) -> tuple[float, float]:
    ### BEGIN SOLUTION
    values = np.sort(x, axis=None)
    kept = values[n_cut : values.size - n_cut]
    return min(float(kept[0]), 0.0), max(float(kept[-1]), 0.0)
    ### END SOLUTION


# %%
check("05.2", trimmed_range)

# %% [markdown]
# ## 05.3 Weigh rounding against clipping &nbsp; (difficulty 2, 8 minutes)
#
# Return the two parts of the error that the lesson predicts for a threshold `T`, `(rounding, clipping)`: `s**2 / 12` for a step that cuts
# `[-T, T]` into `2**n_bits - 1` gaps, and the mean squared distance of the values to the range.


# %%
def error_parts_spec(x: np.ndarray, T: float, n_bits: int) -> tuple[float, float]:
    """Slow and obvious: measure rounding on 100,000 points spread over [-T, T], and clip value by value."""
    marks = np.linspace(-T, T, 2**n_bits)
    points = np.linspace(-T, T, 100_001)
    step = marks[1] - marks[0]
    rounded = marks[0] + np.rint((points - marks[0]) / step) * step
    outside = 0.0
    for v in x.ravel():
        outside += max(abs(float(v)) - T, 0.0) ** 2
    return float(np.mean((points - rounded) ** 2)), outside / x.size


[round(part, 4) for part in error_parts_spec(np.array([0.5, -1.0, 5.0]), T=3.0, n_bits=2)]


# %%
def error_parts(x: np.ndarray, T: float, n_bits: int) -> tuple[float, float]:
    ### BEGIN SOLUTION
    step = 2 * T / (2**n_bits - 1)
    outside = np.maximum(np.abs(x.astype(np.float64)) - T, 0)
    return step**2 / 12, float(np.mean(outside**2))
    ### END SOLUTION


# %%
check("05.3", error_parts)

# %% [markdown]
# ## 05.4 Search the best threshold &nbsp; (difficulty 2, 10 minutes)
#
# Return that of the `candidates` whose *measured* error is least: clip to `[-T, T]`, round to the marks of a symmetric narrow grid with
# `quant_max` on the positive side (`s = T / quant_max`), and take the mean squared error. Of equal ones take the first.


# %%
def best_threshold_spec(x: np.ndarray, quant_max: int, candidates: list[float]) -> float:
    """Slow and obvious: value by value."""
    best, least = candidates[0], float("inf")
    for T in candidates:
        s = T / quant_max
        error = 0.0
        for v in x.ravel():
            mark = min(max(round(float(v) / s), -quant_max), quant_max)
            error += (float(v) - mark * s) ** 2
        if error < least:
            best, least = T, error
    return best


best_threshold_spec(np.array([0.0, 1.0, 1.0, 1.0, 8.0]), quant_max=4, candidates=[2.0, 4.0, 8.0])


# %%
def best_threshold(x: np.ndarray, quant_max: int, candidates: list[float]) -> float:
    ### BEGIN SOLUTION
    x = x.astype(np.float64)
    errors = []
    for T in candidates:
        s = T / quant_max
        x_hat = np.clip(np.rint(x / s), -quant_max, quant_max) * s
        errors.append(np.mean((x - x_hat) ** 2))
    return candidates[int(np.argmin(errors))]
    ### END SOLUTION


# %%
check("05.4", best_threshold)

# %% [markdown]
# ## 05.5 Double a histogram's range &nbsp; (difficulty 3, 15 minutes)
#
# `counts` holds `2 * B` equal bins over `[-r, r)`, `B` even. Return the counts of the same values in `2 * B` equal bins over `[-2r, 2r)`:
# every new bin is two old ones, and the new outer bins are empty.


# %%
def doubled_spec(counts: np.ndarray) -> np.ndarray:
    """Slow and obvious: put each value into the middle of its old bin, and count again."""
    B = len(counts) // 2
    new = np.zeros_like(counts)
    for j in range(-B, B):
        middle = j + 0.5  # in units of the old bin width; the new bins are twice as wide
        new[int(np.floor(middle / 2)) + B] += counts[j + B]
    return new


doubled_spec(np.array([1, 2, 3, 4, 5, 6, 7, 8]))


# %%
def doubled(counts: np.ndarray) -> np.ndarray:
    ### BEGIN SOLUTION
    quarter = np.zeros(len(counts) // 4, counts.dtype)
    return np.concatenate([quarter, counts.reshape(-1, 2).sum(axis=1), quarter]).astype(counts.dtype)
    ### END SOLUTION


# %%
check("05.5", doubled)
