# %% [markdown]
# # Exercises 00: Start here
#
# Four small functions, to get used to the way exercises work here; see [lesson 00](../../notebooks/00_start_here.ipynb). Write each
# function in the cell below its task and run the check under it. `hint("00.1")` helps a little more each time; `solution("00.1")` opens
# after an attempt. A cell that ends in `_spec` shows what is meant, slowly; you may call it, but yours must do without it.
#
# About 21 minutes in all, difficulty 1 to 2 of 3.
# &nbsp; [next: Exercises 01](../../exercises/01_see_why_models_shrink/01_see_why_models_shrink.ipynb)

# %%
import numpy as np

from quantlab.lab import check, hint, solution

# %% [markdown]
# ## 00.1 Count the bytes &nbsp; (difficulty 1, 3 minutes)
#
# How many whole bytes do `n` weights of `n_bits` bits take, packed without gaps? You saw it in the lesson; write it once from memory.


# %%
def n_bytes_spec(n: int, n_bits: int) -> int:
    """Slow and obvious: write down all bits, cut them into eights, count the pieces."""
    bits = "1" * n_bits * n
    return len([bits[i : i + 8] for i in range(0, len(bits), 8)])


n_bytes_spec(5, 4)


# %%
def n_bytes(n: int, n_bits: int) -> int:
    ### BEGIN SOLUTION
    bits = n * n_bits
    return -(-bits // 8)
    ### END SOLUTION


# %%
check("00.1", n_bytes)

# %% [markdown]
# ## 00.2 Choose a data type &nbsp; (difficulty 1, 5 minutes)
#
# Return the smallest numpy integer dtype that holds integers of `n_bits` bits (1 to 64), signed or unsigned. Numpy has 8, 16, 32 and
# 64 bits, and nothing between.


# %%
def storage_dtype_spec(n_bits: int, signed: bool) -> np.dtype:
    """Slow and obvious: the first dtype that reaches the two ends of the range."""
    lo, hi = (-(2 ** (n_bits - 1)), 2 ** (n_bits - 1) - 1) if signed else (0, 2**n_bits - 1)
    kinds = [np.int8, np.int16, np.int32, np.int64] if signed else [np.uint8, np.uint16, np.uint32, np.uint64]
    return np.dtype(next(k for k in kinds if np.iinfo(k).min <= lo and hi <= np.iinfo(k).max))


storage_dtype_spec(4, signed=True)


# %%
def storage_dtype(n_bits: int, signed: bool) -> np.dtype:
    ### BEGIN SOLUTION
    width = next(width for width in (8, 16, 32, 64) if width >= n_bits)
    return np.dtype(f"int{width}" if signed else f"uint{width}")
    ### END SOLUTION


# %%
check("00.2", storage_dtype)

# %% [markdown]
# ## 00.3 Find the worst error &nbsp; (difficulty 1, 5 minutes)
#
# Return the largest absolute difference between two arrays of the same shape and any number type, as a float; 0.0 if they are empty.
# The second line below shows why this is not as easy as it looks.


# %%
def max_abs_error_spec(x: np.ndarray, y: np.ndarray) -> float:
    """Slow and obvious: one pair of Python numbers after the other."""
    worst = 0.0
    for a, b in zip(x.ravel().tolist(), y.ravel().tolist(), strict=True):
        worst = max(worst, abs(a - b))
    return float(worst)


three, five = np.array([3], dtype=np.uint8), np.array([5], dtype=np.uint8)
print(max_abs_error_spec(three, five), three - five)


# %%
def max_abs_error(x: np.ndarray, y: np.ndarray) -> float:
    ### BEGIN SOLUTION
    if x.size == 0:
        return 0.0
    return float(np.abs(x.astype(np.float64) - y.astype(np.float64)).max())
    ### END SOLUTION


# %%
check("00.3", max_abs_error)

# %% [markdown]
# ## 00.4 Quantize the cat &nbsp; (difficulty 2, 8 minutes)
#
# Keep `n_bits` bits (1 to 8) of each uint8 value: of the $2^b$ values evenly spaced from 0 to 255 return the nearest one, rounded to a
# whole number, as uint8. The shape stays; there are never ties between two of these values.


# %%
def keep_bits_spec(pixels: np.ndarray, n_bits: int) -> np.ndarray:
    """Slow and obvious: try all allowed values for each pixel."""
    allowed = np.linspace(0, 255, 2**n_bits)
    nearest = [allowed[np.abs(allowed - int(p)).argmin()] for p in pixels.ravel()]
    return np.rint(nearest).astype(np.uint8).reshape(pixels.shape)


keep_bits_spec(np.array([[0, 50, 100], [150, 200, 255]], dtype=np.uint8), n_bits=2)


# %%
def keep_bits(pixels: np.ndarray, n_bits: int) -> np.ndarray:
    ### BEGIN SOLUTION
    step = 255 / (2**n_bits - 1)
    return np.rint(np.rint(pixels / step) * step).astype(np.uint8)
    ### END SOLUTION


# %%
check("00.4", keep_bits)
