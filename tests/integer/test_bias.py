"""Biases in steps of the accumulator: the scale in float32, the quotient nearest."""

from fractions import Fraction

import numpy as np
import pytest

from quantlab.integer.bias import bias_scale, quantize_bias


def test_the_bias_scale_is_rounded_to_float32():
    x, w = np.float32(0.1), np.float32(0.3)
    s = bias_scale(x, w)
    assert s.dtype == np.float32
    assert Fraction(float(s)) != Fraction(float(x)) * Fraction(float(w))
    assert s == np.float32(float(x) * float(w))


def test_quantize_bias_rounds_half_to_even_and_by_channel():
    assert quantize_bias([0.5, 1.5, -2.5], x_scale=1.0, w_scale=1.0).tolist() == [0, 2, -2]
    ends = [-(2.0**31), 2.0**31 - 1]
    assert quantize_bias(ends, x_scale=1.0, w_scale=1.0).tolist() == ends
    for beyond in (ends[0] - 1, ends[1] + 1):
        with pytest.raises(ValueError, match="expected a number that int32 can hold"):
            quantize_bias([beyond], x_scale=1.0, w_scale=1.0)
    rng = np.random.default_rng(1)
    bias, w_scale = rng.normal(size=1000), rng.uniform(1e-3, 1e-2, 1000).astype(np.float32)
    steps = quantize_bias(bias, x_scale=0.02, w_scale=w_scale)
    assert steps.dtype == np.int32
    # the quotient in float64 errs by 2**-53 of at most 2**18 steps
    assert np.abs(steps * bias_scale(0.02, w_scale).astype(np.float64) - bias).max() <= 0.5 * 0.02 * 0.01 * (1 + 2**-23)


@pytest.mark.parametrize("bias", [np.nan, np.inf, 1e6])
def test_a_bias_that_int32_cannot_hold_is_refused(bias):
    with pytest.raises(ValueError, match="expected a number that int32 can hold"):
        quantize_bias([0.0, bias], x_scale=0.01, w_scale=0.01)


@pytest.mark.parametrize(("x_scale", "w_scale"), [(1e-30, [1.0, 1e-30]), (1e30, [1.0, 1e30])])
def test_a_product_that_float32_does_not_hold_is_no_scale(x_scale, w_scale):
    # Infinite, it would take every bias to 0 without a word.
    for call in (bias_scale, lambda x, w: quantize_bias([0.0, 1.0], x_scale=x, w_scale=w)):
        with pytest.raises(ValueError, match=r"x_scale \* w_scale = (0.0|inf) in float32; expected a positive, finite"):
            call(x_scale, w_scale)
    with pytest.raises(ValueError, match="w_scale=nan; expected a positive, finite scale"):
        bias_scale(1.0, [1.0, np.nan])
