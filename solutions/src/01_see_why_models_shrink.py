# %% [markdown]
# # Exercises 01: See why models shrink
#
# Everything that you need stands in [lesson 01](../../notebooks/01_see_why_models_shrink.ipynb). Write each function in the cell below
# its task and run the check under it. `hint("01.1")` helps a little more each time; `solution("01.1")` opens after an attempt.
#
# About 40 minutes in all, difficulty 1 to 3 of 3.
# &nbsp; [previous: Exercises 00](../../exercises/00_start_here/00_start_here.ipynb) ·
# [next: Exercises 02](../../exercises/02_encode_numbers/02_encode_numbers.ipynb)

# %%
import math

from quantlab.lab import check, hint, solution

# %% [markdown]
# ## 01.1 Weigh a model &nbsp; (difficulty 1, 8 minutes)
#
# Given the shapes of a model's arrays, return its bytes when every array of two or more axes is stored as `n_bits`-bit codes with one
# float32 scale for each entry of its first axis, and every other array as float32. Each array begins at a whole byte: five codes of
# 4 bits take 3 bytes.
#
# The specification stores one array code by code. Yours computes, and takes a whole model.


# %%
def array_bytes_spec(shape: tuple[int, ...], n_bits: int) -> int:
    """Slow and obvious: write every bit, then count."""
    bits = ""
    for _ in range(math.prod(shape)):
        bits += "0" * n_bits
    while len(bits) % 8:
        bits += "0"
    scales = [0.0] * shape[0]
    return len(bits) // 8 + 4 * len(scales)


array_bytes_spec((2, 5), n_bits=4)


# %%
def model_bytes(shapes: list[tuple[int, ...]], n_bits: int) -> int:
    ### BEGIN SOLUTION
    total = 0
    for shape in shapes:
        n = math.prod(shape)
        if len(shape) >= 2:
            total += -(-n * n_bits // 8) + 4 * shape[0]
        else:
            total += 4 * n
    return total
    ### END SOLUTION


# %%
check("01.1", model_bytes)

# %% [markdown]
# ## 01.2 Count operations for each byte &nbsp; (difficulty 1, 5 minutes)
#
# Return the arithmetic intensity of a product of an `m` x `k` matrix with a `k` x `n` matrix: operations for each byte, when both factors
# are read once and the result is written once. `n_bytes` are the bytes of one weight (the `m` x `k` matrix); the other factor and the
# result are float32.


# %%
def intensity_spec(m: int, k: int, n: int, n_bytes: float) -> float:
    """Slow and obvious: do the product, and count."""
    operations = 0
    for _row in range(m):
        for _column in range(n):
            for _term in range(k):
                operations += 2  # a multiplication and an addition
    moved = sum(n_bytes for _ in range(m * k)) + sum(4 for _ in range(k * n)) + sum(4 for _ in range(m * n))
    return operations / moved


intensity_spec(8, 8, 1, n_bytes=1)


# %%
def intensity(m: int, k: int, n: int, n_bytes: float) -> float:
    ### BEGIN SOLUTION
    return 2 * m * k * n / (n_bytes * m * k + 4 * k * n + 4 * m * n)
    ### END SOLUTION


# %%
check("01.2", intensity)

# %% [markdown]
# ## 01.3 Stand under the roof &nbsp; (difficulty 1, 5 minutes)
#
# Return the most operations a second that work of a given intensity (operations for each byte) can reach on a machine with a given
# `bandwidth` (bytes a second) and a list of `peaks`: operations a second, one for each unit that can do the work. It runs on the best
# of them. A list without units can do nothing.


# %%
def roof_spec(intensity: float, bandwidth: float, peaks: list[float]) -> float:
    """Slow and obvious: let each unit do one operation; it needs its bytes, and it needs its time."""
    fastest = 0.0
    for peak in peaks:
        fetching, computing = 1 / intensity / bandwidth, 1 / peak
        fastest = max(fastest, 1 / max(fetching, computing))
    return fastest


roof_spec(0.5, bandwidth=20e9, peaks=[100e9, 400e9])


# %%
def roof(intensity: float, bandwidth: float, peaks: list[float]) -> float:
    ### BEGIN SOLUTION
    return min(intensity * bandwidth, max(peaks, default=0.0))
    ### END SOLUTION


# %%
check("01.3", roof)

# %% [markdown]
# ## 01.4 Bound the tokens &nbsp; (difficulty 2, 10 minutes)
#
# A server writes for `readers` people at once: in each step it reads all `n_weights` weights once and does 2 operations for each weight and
# reader. Return the upper bound of the tokens a second for all readers together. The weights are codes of `n_bits` in groups of
# `group_size`, which divides `n_weights`, and each group has one float16 scale.


# %%
def tokens_spec(n_weights: int, n_bits: int, group_size: int, readers: int, bandwidth: float, peak: float) -> float:
    """Slow and obvious: walk through one step, weight by weight."""
    bits = operations = 0
    for weight in range(n_weights):
        if weight % group_size == 0:
            bits += 16  # a new group begins with its scale
        bits += n_bits
        for _reader in range(readers):
            operations += 2
    seconds = max(bits / 8 / bandwidth, operations / peak)
    return readers / seconds


tokens_spec(64, n_bits=4, group_size=32, readers=1, bandwidth=36e9, peak=1e12)


# %%
def tokens_per_second(
    n_weights: int, n_bits: int, group_size: int, readers: int, bandwidth: float, peak: float
) -> float:
    ### BEGIN SOLUTION
    n_bytes = n_weights * (n_bits + 16 / group_size) / 8
    seconds = max(n_bytes / bandwidth, 2 * n_weights * readers / peak)
    return readers / seconds
    ### END SOLUTION


# %%
check("01.4", tokens_per_second)

# %% [markdown]
# ## 01.5 Find where int8 begins to pay &nbsp; (difficulty 3, 12 minutes)
#
# A layer multiplies a `width` x `width` matrix with `rows` vectors. In float32 that takes `2 * rows * width**2 / peak` seconds. In int8 the
# product is `speedup` times as fast, and before and after it each of the `rows * width` values costs `overhead` seconds for conversions.
# Return the smallest width (a whole number, at least 1) at which int8 is strictly faster, or 0 if there is none.
#
# The specification tries one width after the other, and never ends where there is none. (A check that does not come back is stopped
# with the square button of the tool bar.)


# %%
def first_width_spec(rows: int, peak: float, speedup: float, overhead: float) -> int:
    """Slow and obvious: try all widths."""
    width = 1
    while True:
        in_float = 2 * rows * width**2 / peak
        in_int8 = in_float / speedup + rows * width * overhead
        if in_int8 < in_float:
            return width
        width += 1


first_width_spec(rows=128, peak=64e9, speedup=2, overhead=2**-30)


# %%
def first_width(rows: int, peak: float, speedup: float, overhead: float) -> int:
    ### BEGIN SOLUTION
    saved = 2 / peak * (1 - 1 / speedup)  # seconds for each row, times width squared
    if saved <= 0:
        return 0
    return math.floor(overhead / saved) + 1
    ### END SOLUTION


# %%
check("01.5", first_width)
