# %% [markdown]
# # Exercises 02: Encode numbers
#
# Five exercises for [lesson 02](../../notebooks/02_encode_numbers.ipynb), from one bit pattern to packed bytes. Each
# begins with a slow specification that you can run and look at. Write the function, run the cell below it, read the
# verdict. `hint("02.1")`, in a cell of your own, gives a hint, and one more each time; `solution("02.1")` opens after an
# attempt.
#
# About 38 minutes in all, difficulty 1 to 2 of 3.
# &nbsp; [previous: Exercises 01](../../exercises/01_see_why_models_shrink/01_see_why_models_shrink.ipynb) ·
# [next: Exercises 03](../../exercises/03_map_reals_to_integers/03_map_reals_to_integers.ipynb)

# %%
import numpy as np

from quantlab.lab import check, hint, solution

# %% [markdown]
# ## 02.1 Read two's complement &nbsp; (difficulty 1, 4 minutes)
#
# Return the signed integer that a code of `n_bits` bits stands for. The code comes as a number from 0 to
# `2**n_bits - 1`.


# %%
def to_signed_spec(code: int, n_bits: int) -> int:
    """Write the bits down; the highest one weighs negatively."""
    bits = f"{code:0{n_bits}b}"
    value = -int(bits[0]) * 2 ** (n_bits - 1)
    for i, bit in enumerate(reversed(bits[1:])):
        value += int(bit) * 2**i
    return value


print([to_signed_spec(code, 3) for code in range(8)])


# %%
def to_signed(code: int, n_bits: int) -> int:
    ### BEGIN SOLUTION
    return code - 2**n_bits if code >= 2 ** (n_bits - 1) else code
    ### END SOLUTION


# %%
check("02.1", to_signed)

# %% [markdown]
# ## 02.2 Take a float apart &nbsp; (difficulty 1, 6 minutes)
#
# Return the three fields of a float32 as integers, as they are stored: sign, exponent (the bias still in it), mantissa
# (without the leading 1).


# %%
def fields_spec(x: np.float32) -> tuple[int, int, int]:
    """Cut the 32 bits as text."""
    bits = "".join(f"{byte:08b}" for byte in np.float32(x).tobytes()[::-1])
    return int(bits[0], 2), int(bits[1:9], 2), int(bits[9:], 2)


print(fields_spec(np.float32(1.0)), fields_spec(np.float32(-0.75)))


# %%
def fields(x: np.float32) -> tuple[int, int, int]:
    ### BEGIN SOLUTION
    code = int(np.float32(x).view(np.uint32))
    return code >> 31, (code >> 23) & 0xFF, code & 0x7FFFFF
    ### END SOLUTION


# %%
check("02.2", fields)

# %% [markdown]
# ## 02.3 Decode a small float &nbsp; (difficulty 2, 8 minutes)
#
# Return the value of one code of a float with `exp_bits` and `man_bits`. The bias is `2**(exp_bits - 1) - 1`, and there
# is neither infinity nor NaN.


# %%
def small_float_spec(code: int, exp_bits: int, man_bits: int) -> float:
    """Count: the positive values go up from 0; the step doubles each time the exponent field goes beyond 1."""
    value, step = 0.0, 2.0 ** (1 - (2 ** (exp_bits - 1) - 1) - man_bits)
    for k in range(code % 2 ** (exp_bits + man_bits)):
        value += step * 2.0 ** max(k // 2**man_bits - 1, 0)
    return -value if code >= 2 ** (exp_bits + man_bits) else value


print([small_float_spec(code, 2, 1) for code in range(16)])


# %%
def small_float(code: int, exp_bits: int, man_bits: int) -> float:
    ### BEGIN SOLUTION
    bias = 2 ** (exp_bits - 1) - 1
    exponent, mantissa = (code >> man_bits) % 2**exp_bits, code % 2**man_bits
    leading = 1 if exponent > 0 else 0
    value = 2.0 ** (max(exponent, 1) - bias) * (leading + mantissa / 2**man_bits)
    return -value if code >> (exp_bits + man_bits) else value
    ### END SOLUTION


# %%
check("02.3", small_float)

# %% [markdown]
# ## 02.4 Round to FP4 &nbsp; (difficulty 2, 10 minutes)
#
# Return each value of `x`, rounded to the nearest of the 15 values of e2m1. Ties go to the even code, and what is too
# large saturates. There is no NaN in `x`, but there may be infinities.


# %%
def round_to_fp4_spec(x: np.ndarray) -> np.ndarray:
    """Try all 8 magnitudes for each value; of two equally near ones take the even code."""
    magnitudes = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]  # by code
    rounded = []
    for v in x.tolist():
        a = min(abs(v), 6.0)
        code = min(range(8), key=lambda c: (abs(a - magnitudes[c]), c % 2))
        rounded.append(-magnitudes[code] if v < 0 else magnitudes[code])
    return np.array(rounded)


print(round_to_fp4_spec(np.array([0.2, -0.7, 2.5, 5.0, -100.0])))


# %%
def round_to_fp4(x: np.ndarray) -> np.ndarray:
    ### BEGIN SOLUTION
    a = np.minimum(np.abs(x), 6.0)
    step = np.where(a < 2, 0.5, np.where(a < 4, 1.0, 2.0))
    return np.copysign(np.rint(a / step) * step, x)
    ### END SOLUTION


# %%
check("02.4", round_to_fp4)

# %% [markdown]
# ## 02.5 Pack two codes into a byte &nbsp; (difficulty 2, 10 minutes)
#
# Pack integers from -8 to 7 into bytes, two to a byte: the first code in the low four bits, the second in the high
# four. If their number is odd, the last high half is 0.


# %%
def pack_int4_spec(q: np.ndarray) -> np.ndarray:
    """Write the bits of each code down, and join them in pairs: the second one stands on the left."""
    bits = [f"{code % 16:04b}" for code in q.tolist()]
    if len(bits) % 2:
        bits.append("0000")
    return np.array([int(bits[i + 1] + bits[i], 2) for i in range(0, len(bits), 2)], dtype=np.uint8)


print([f"{byte:08b}" for byte in pack_int4_spec(np.array([1, -2, 7], dtype=np.int8))])


# %%
def pack_int4(q: np.ndarray) -> np.ndarray:
    ### BEGIN SOLUTION
    codes = np.zeros(q.size + q.size % 2, dtype=np.uint8)
    codes[: q.size] = q.view(np.uint8) & 0x0F
    return codes[0::2] | (codes[1::2] << 4)
    ### END SOLUTION


# %%
check("02.5", pack_int4)
