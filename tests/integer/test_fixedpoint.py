"""Fixed-point multipliers against exact rational arithmetic and the published C code in Python integers."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.integer.fixedpoint import (
    ROUNDINGS,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    rounding_divide_by_pot,
    saturating_rounding_doubling_high_mul,
)

INT32 = st.integers(-(2**31), 2**31 - 1)


def c_divide(a, b):
    """C's integer division: towards zero."""
    return abs(a) // b * (1 if a >= 0 else -1)


def c_high_mul(a, b):
    """gemmlowp's SaturatingRoundingDoublingHighMul, line by line."""
    if a == b == -(2**31):
        return 2**31 - 1
    ab = a * b
    nudge = 2**30 if ab >= 0 else 1 - 2**30
    return c_divide(ab + nudge, 2**31)


def c_divide_by_pot(x, exponent):
    """gemmlowp's RoundingDivideByPOT, line by line."""
    mask = (1 << exponent) - 1
    remainder = x & mask
    threshold = (mask >> 1) + (1 if x < 0 else 0)
    return (x >> exponent) + (1 if remainder > threshold else 0)


def c_quantize_multiplier(real):
    """TFLite's QuantizeMultiplier, line by line."""
    if real == 0:
        return 0, 0
    q, shift = math.frexp(real)
    fixed = math.floor(Fraction(q) * 2**31 + Fraction(1, 2))  # std::round of a positive number, exactly
    if fixed == 2**31:
        fixed //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        return 2**31 - 1, 30
    return fixed, shift


REALS = [
    0.0,
    1.0,
    0.5,
    1e-3,
    0.0117,
    3.7,
    1 - 2**-32,  # the mantissa rounds up to 2**31
    1 - 2**-33,
    np.nextafter(1.0, 0.0),
    0.5 + 2**-32,  # a tie
    2.0**-32,  # the smallest that survives: 0.5 * 2**-31
    np.nextafter(2.0**-32, 0.0),
    1e-300,
    5e-324,
    2.0**30,
    np.nextafter(2.0**30, 0.0),
    2.0**31,
    1e300,
]


def test_quantize_multiplier_on_corners():
    multiplier, shift = quantize_multiplier(REALS)
    assert multiplier.dtype == shift.dtype == np.int32
    assert list(zip(multiplier.tolist(), shift.tolist(), strict=True)) == [c_quantize_multiplier(r) for r in REALS]


@given(st.floats(2.0**-31, 2.0**29))
def test_quantize_multiplier_is_within_its_bound(real):
    multiplier, shift = quantize_multiplier(real)
    assert (int(multiplier), int(shift)) == c_quantize_multiplier(real)
    assert 2**30 <= multiplier < 2**31
    # Rounding moves the mantissa by at most half of 1, and the mantissa is at least 2**30: relative error 2**-31.
    error = Fraction(int(multiplier)) * Fraction(2) ** (int(shift) - 31) / Fraction(real) - 1
    assert abs(error) <= Fraction(1, 2**31)


@given(INT32, INT32)
def test_high_mul_equals_the_c_code(a, b):
    assert saturating_rounding_doubling_high_mul(a, b) == c_high_mul(a, b)


def test_high_mul_on_corners():
    ends = [-(2**31), -(2**31) + 1, -(2**30), -1, 0, 1, 2**30, 2**31 - 1]
    a, b = (g.ravel() for g in np.meshgrid(ends, ends))
    expected = [c_high_mul(int(x), int(y)) for x, y in zip(a, b, strict=True)]
    assert saturating_rounding_doubling_high_mul(a, b).tolist() == expected


@given(INT32, st.integers(0, 31))
def test_divide_by_pot_equals_the_c_code(x, exponent):
    assert rounding_divide_by_pot(x, exponent) == c_divide_by_pot(x, exponent)


def test_divide_by_pot_on_all_ties():
    for exponent in range(1, 20):
        x = np.arange(-9, 10) * 2 ** (exponent - 1)
        assert rounding_divide_by_pot(x, exponent).tolist() == [c_divide_by_pot(int(v), exponent) for v in x]


@settings(max_examples=300)
@given(st.integers(-(2**24), 2**24), st.floats(2.0**-24, 8.0))
def test_products_equal_the_c_code_and_stay_near_the_real_product(x, real):
    m, s = (int(v) for v in quantize_multiplier(real))
    left, right = max(s, 0), max(-s, 0)
    half_up = ((x << left) * m + 2**30) >> 31
    expected = {
        "single": math.floor(Fraction(x * m) * Fraction(2) ** (s - 31) + Fraction(1, 2)),
        "gemmlowp": c_divide_by_pot(c_high_mul(x << left, m), right),
        "ruy": (half_up + (1 << right >> 1)) >> right,
    }
    got = {r: int(multiply_by_quantized_multiplier(x, m, s, rounding=r)) for r in ROUNDINGS}
    assert got == expected
    # One rounding errs by at most 1/2; the two roundings by at most 1/2 + 1/4 (the first in steps of 1/2 or finer,
    # since it is rounded again only if right >= 1). The multiplier itself adds |product| * 2**-31.
    product = Fraction(x) * Fraction(real)
    slack = abs(product) / 2**31
    assert abs(got["single"] - product) <= Fraction(1, 2) + slack
    assert abs(got["gemmlowp"] - product) <= Fraction(3, 4) + slack
    assert abs(got["ruy"] - product) <= Fraction(3, 4) + slack


def test_arrays_broadcast_a_multiplier_a_channel():
    rng = np.random.default_rng(0)
    x = rng.integers(-(2**20), 2**20, (50, 7))
    m, s = quantize_multiplier(np.exp(rng.uniform(-9, 1, 7)))
    for rounding in ROUNDINGS:
        y = multiply_by_quantized_multiplier(x, m, s, rounding=rounding)
        columns = [multiply_by_quantized_multiplier(x[:, j], m[j], s[j], rounding=rounding) for j in range(7)]
        assert (y == np.stack(columns, axis=1)).all()
    assert multiply_by_quantized_multiplier(x[:0], m, s, rounding="ruy").shape == (0, 7)


@pytest.mark.parametrize("real", [-1.0, np.nan, np.inf])
def test_a_multiplier_must_be_finite_and_not_negative(real):
    with pytest.raises(ValueError, match=f"real_multiplier={real}; expected a finite number >= 0"):
        quantize_multiplier([0.5, real])


def test_errors_name_what_came():
    with pytest.raises(ValueError, match="rounding='double'; expected one of"):
        multiply_by_quantized_multiplier(1, 2**30, 0, rounding="double")
    with pytest.raises(TypeError, match=r"x\.dtype=float64"):
        multiply_by_quantized_multiplier(1.5, 2**30, 0, rounding="ruy")
    with pytest.raises(ValueError, match="x reaches from 2147483648"):
        multiply_by_quantized_multiplier(2**31, 2**30, 0, rounding="single")
    with pytest.raises(ValueError, match="shift=31; expected -31 to 30"):
        multiply_by_quantized_multiplier(1, 2**30, 31, rounding="single")
    for rounding in ("gemmlowp", "ruy"):
        with pytest.raises(
            ValueError, match="x << shift reaches from 4294967296 .* int32 can hold: .* check the scales"
        ):
            multiply_by_quantized_multiplier(2**30, 2**30, 2, rounding=rounding)
    for exponent in (-1, 32):
        with pytest.raises(ValueError, match=f"exponent={exponent}; expected 0 to 31"):
            rounding_divide_by_pot(1, exponent)
    assert rounding_divide_by_pot(np.array([2**30, 2**30 - 1, -(2**30)]), 31).tolist() == [1, 0, -1]
