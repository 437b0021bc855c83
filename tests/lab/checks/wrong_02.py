"""Plausible wrong answers to exercise 02, each with words that its verdict must hold."""

import numpy as np

from quantlab.lab.checks.proof import wrong


@wrong("02.1", says="weighs negatively")
def unsigned(code, n_bits):
    return code


@wrong("02.1", says="two zeros")
def sign_and_magnitude(code, n_bits):
    half = 2 ** (n_bits - 1)
    return -(code - half) if code >= half else code


@wrong("02.1", says="ones' complement")
def flipped(code, n_bits):
    return -(2**n_bits - 1 - code) if code >= 2 ** (n_bits - 1) else code


@wrong("02.1", says="that suits 8 bits only")
def eight_bits_only(code, n_bits):
    return code - 256 if code >= 2 ** (n_bits - 1) else code


def _fields(x):
    code = int(np.float32(x).view(np.uint32))
    return code >> 31, (code >> 23) & 0xFF, code & 0x7FFFFF


@wrong("02.2", says="the bias is taken off")
def without_bias(x):
    sign, exponent, mantissa = _fields(x)
    return sign, exponent - 127, mantissa


@wrong("02.2", says="the leading 1, which is not stored")
def with_leading_one(x):
    sign, exponent, mantissa = _fields(x)
    return sign, exponent, mantissa + 2**23


@wrong("02.2", says="the order is sign, exponent, mantissa")
def other_order(x):
    sign, exponent, mantissa = _fields(x)
    return sign, mantissa, exponent


@wrong("02.2", says="it is stored as one bit")
def arithmetic_shift(x):
    return int(np.float32(x).view(np.int32)) >> 31, *_fields(x)[1:]


@wrong("02.2", says="a float; wanted is an int")
def mantissa_as_fraction(x):
    sign, exponent, mantissa = _fields(x)
    return sign, exponent, mantissa / 2**23


@wrong("02.2", says="the sign is the highest bit")
def sign_by_comparison(x):
    return int(x < 0), *_fields(x)[1:]


@wrong("02.2", says="the sign bit is still in it")
def not_masked(x):
    code = int(np.float32(x).view(np.uint32))
    return code >> 31, code >> 23, code & 0x7FFFFF


@wrong("02.2", says="is x a float64 on the way")
def as_float64(x):
    code = int(np.float64(x).view(np.uint64))
    return code >> 63, (code >> 52) & 0x7FF, code & (2**52 - 1)


@wrong("02.2", says="a subnormal has the exponent field 0")
def by_logarithm(x):
    sign, exponent, mantissa = _fields(x)
    if x == 0 or not np.isfinite(x):
        return sign, exponent, mantissa
    return sign, int(np.floor(np.log2(np.abs(np.float64(x))))) + 127, mantissa


def _small_float(code, exp_bits, man_bits, *, lowest=1, leading=0, bias=None, signed=True):
    bias = 2 ** (exp_bits - 1) - 1 if bias is None else bias
    E, M = (code >> man_bits) % 2**exp_bits, code % 2**man_bits
    value = 2.0 ** (max(E, lowest) - bias) * ((1 if E > 0 else leading) + M / 2**man_bits)
    return -value if signed and code >> (exp_bits + man_bits) else value


@wrong("02.3", says="exponent field 0 has no leading 1")
def no_subnormals(code, exp_bits, man_bits):
    return _small_float(code, exp_bits, man_bits, lowest=0, leading=1)


@wrong("02.3", says="subnormals keep the exponent of field 1")
def subnormals_too_small(code, exp_bits, man_bits):
    return _small_float(code, exp_bits, man_bits, lowest=0)


@wrong("02.3", says="the highest bit is the sign")
def never_negative(code, exp_bits, man_bits):
    return _small_float(code, exp_bits, man_bits, signed=False)


@wrong("02.3", says="the bias is 2**(exp_bits - 1) - 1")
def bias_off_by_one(code, exp_bits, man_bits):
    return _small_float(code, exp_bits, man_bits, bias=2 ** (exp_bits - 1))


@wrong("02.3", says="(exp_bits - 1) - 1, 1")
def float32_bias(code, exp_bits, man_bits):
    return _small_float(code, exp_bits, man_bits, bias=127)


@wrong("02.3", says="exponent field 0 still has its mantissa")
def flushed(code, exp_bits, man_bits):
    return _small_float(code, exp_bits, man_bits) if (code >> man_bits) % 2**exp_bits else 0.0


@wrong("02.3", says="all codes are numbers here")
def highest_exponent_reserved(code, exp_bits, man_bits):
    reserved = (code >> man_bits) % 2**exp_bits == 2**exp_bits - 1
    return np.inf if reserved else _small_float(code, exp_bits, man_bits)


def _round(x, *, largest=6.0, rounding=np.rint):
    a = np.minimum(np.abs(x), largest)
    step = np.where(a < 2, 0.5, np.where(a < 4, 1.0, 2.0))
    return np.copysign(rounding(a / step) * step, x)


@wrong("02.4", says="not the next lower one")
def cut(x):
    return _round(x, rounding=np.floor)


@wrong("02.4", says="negative values are the mirror image")
def only_positive(x):
    return np.abs(_round(x))


@wrong("02.4", says="6 is the largest value")
def not_saturated(x):
    return _round(x, largest=np.inf)


@wrong("02.4", says="it is equally far from every value")
def by_distance(x):
    values = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
    return np.copysign(values[np.abs(np.abs(x)[:, None] - values).argmin(axis=1)], x)


@wrong("02.4", says="there is no 2.5")
def one_step_for_all(x):
    return np.clip(np.rint(x * 2) / 2, -6, 6)


@wrong("02.4", says="the even code wins, so 4")
def ties_up(x):
    return _round(x, rounding=lambda v: np.floor(v + 0.5))


@wrong("02.4", says="0 and 2, which lie below")
def ties_away_near_zero(x):
    y = _round(x)
    return np.where(np.abs(x) == 0.25, np.copysign(0.5, x), np.where(np.abs(x) == 2.5, np.copysign(3.0, x), y))


@wrong("02.4", says="ties of negative values")
def ties_towards_plus_infinity(x):
    down = _round(x, rounding=lambda v: np.ceil(v - 0.5))
    return np.where(x < 0, down, _round(x))


def _pack(q, *, mask=0x0F, order=(0, 1), pad=0):
    codes = np.full(q.size + q.size % 2, pad, dtype=np.uint8)
    codes[: q.size] = q.view(np.uint8) & mask
    low, high = codes[order[0] :: 2], codes[order[1] :: 2]
    return low | (high << 4)


@wrong("02.5", says="on the right")
def big_order(q):
    return _pack(q, order=(1, 0))


@wrong("02.5", says="the sign bits of one code spill")
def not_masked_codes(q):
    return _pack(q, mask=0xFF)


@wrong("02.5", says="in four bits: -1 is 1111")
def sign_bit(q):
    return _pack(np.where(q < 0, np.abs(q) | 8, q).astype(np.int8))


@wrong("02.5", says="your result has shape (0,)")
def last_one_lost(q):
    return _pack(q[: q.size - q.size % 2])


@wrong("02.5", says="wanted is uint8")
def signed_bytes(q):
    return _pack(q).view(np.int8)


@wrong("02.5", says="with q=[5] your bytes are 11110101")
def padded_with_ones(q):
    return _pack(q, pad=0x0F)
