"""Grids and rounding rules: every kind of integer, and what is refused."""

import numpy as np
import pytest

from quantlab.core.grid import Grid, round_half_away, round_half_even, round_half_up

RULES = [round_half_even, round_half_away, round_half_up]


@pytest.mark.parametrize("integer", [np.int8, np.uint8, np.int16, np.uint64])
@pytest.mark.parametrize("n_bits", [1, 8, 16])
def test_a_numpy_integer_gives_the_same_grid_and_does_not_overflow(integer, n_bits):
    for signed in (False, True):
        grid, same = Grid(n_bits=integer(n_bits), signed=np.bool_(signed)), Grid(n_bits=n_bits, signed=signed)
        assert repr(grid) == repr(same)
        assert hash(grid) == hash(same)
        assert (grid.quant_min, grid.quant_max) == (same.quant_min, same.quant_max)
        assert grid.n_levels == 2**n_bits


def test_the_dtype_is_the_smallest_that_holds_every_mark():
    for n_bits in range(1, 17):
        for signed in (False, True):
            grid = Grid(n_bits=n_bits, signed=signed)
            limits = np.iinfo(grid.dtype)
            assert limits.min <= grid.quant_min <= grid.quant_max <= limits.max
            assert grid.dtype.itemsize == (1 if n_bits <= 8 else 2)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_out_is_written_and_the_dtype_stays(rule, dtype):
    x = np.array([0.25, 1.75, -3.125], dtype)
    out = np.empty_like(x)
    assert rule(x, out=out) is out
    assert out.tolist() == rule(x).tolist() == [0, 2, -3]
    assert rule(x).dtype == dtype


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bad", [3, np.int8([1]), True, "a", None, 1j])
def test_rounding_takes_floats_only(rule, bad):
    with pytest.raises(TypeError, match="only floats have a fraction"):
        rule(bad)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_bits": True}, "n_bits=True is a bool; pass an integer"),
        ({"n_bits": np.float64(8)}, "is a float64"),
        ({"n_bits": None}, "is a NoneType"),
        ({"n_bits": 8, "signed": "False"}, "signed='False' is a str; pass True or False"),
        ({"n_bits": 8, "narrow": 2}, "narrow=2 is a int; pass True or False"),
    ],
)
def test_settings_of_another_type_are_refused(settings, message):
    with pytest.raises(TypeError, match=message):
        Grid(**settings)
