"""The descriptions against ml_dtypes' and numpy's finfo."""

import dataclasses

import ml_dtypes
import numpy as np
import pytest

from quantlab.formats import FLOAT4_E2M1FN, FLOAT8_E4M3FN, FORMATS, FloatFormat


def test_every_format_of_ml_dtypes_is_here():
    floats = {name for name in dir(ml_dtypes) if name.startswith(("float", "bfloat"))}
    assert floats | {"float16", "float32"} == set(FORMATS)
    assert all(name == fmt.name for name, fmt in FORMATS.items())


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_equals_finfo(fmt):
    dtype = np.dtype(getattr(ml_dtypes, fmt.name, fmt.name))
    info = ml_dtypes.finfo(dtype)
    assert fmt.n_bits == info.bits
    assert fmt.man_bits == info.nmant
    assert fmt.dtype.itemsize == dtype.itemsize
    assert fmt.max == float(info.max)
    assert fmt.smallest_normal == float(info.smallest_normal)
    assert fmt.smallest_subnormal == float(info.smallest_subnormal)
    assert 2.0**fmt.max_exponent <= fmt.max < 2.0 ** (fmt.max_exponent + 1)

    def bits(value):
        return int(np.array([value], np.float32).astype(dtype).view(fmt.dtype)[0])

    assert fmt.max_code == bits(fmt.max)
    assert fmt.inf_code == (bits(np.inf) if fmt.specials == "ieee" else None)
    assert fmt.nan_code == (bits(np.nan) if fmt.specials != "none" else None)


def test_is_a_value():
    same = FloatFormat("float4_e2m1fn", 2, 1, 1, "none")
    assert same == FLOAT4_E2M1FN
    assert hash(same) == hash(FLOAT4_E2M1FN)
    with pytest.raises(dataclasses.FrozenInstanceError):
        FLOAT8_E4M3FN.bias = 8


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ((4, 3, 7, "fnz"), "specials='fnz'.*'ieee', 'fn', 'fnuz', 'none'"),
        ((11, 52, 1023), "exp_bits=11, man_bits=52.*at most 8 and 23"),
        ((0, 3, 0), "exp_bits=0"),
        ((8, 0, 127, "ieee"), "'ieee' needs a sign bit and a fraction"),
        ((4, 3, 8, "fnuz", False), "'fnuz' needs a sign bit"),
    ],
)
def test_errors_say_what_is_wrong(fields, words):
    with pytest.raises(ValueError, match=words):
        FloatFormat("mine", *fields)
