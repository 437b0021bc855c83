"""Small floats, bit for bit, against ml_dtypes, numpy, torch and onnx, and against a search in the list of values."""

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.numpy_helper import to_float8e8m0

from quantlab.formats import (
    BFLOAT16,
    FLOAT4_E2M1FN,
    FLOAT6_E3M2FN,
    FLOAT8_E4M3FN,
    FLOAT8_E5M2,
    FLOAT8_E8M0FNU,
    FLOAT16,
    FLOAT32,
    FORMATS,
    cast,
    decode,
    encode,
    grid_values,
    minifloat,
    ulp,
    wrap,
)
from tests.onnx_cases import cases

SMALL = {name: fmt for name, fmt in FORMATS.items() if fmt.n_bits <= 16}
SIGNED = {name: fmt for name, fmt in SMALL.items() if fmt.signed}


def peer(fmt):
    return np.dtype(getattr(ml_dtypes, fmt.name, fmt.name))


def every_code(fmt):
    return np.arange(1 << fmt.n_bits, dtype=fmt.dtype)


def quiet(x):
    """Replace every NaN by the quiet one of its sign: tools keep payloads or not, and `decode` does not."""
    return np.where(np.isnan(x), np.copysign(np.array(np.nan, x.dtype), x), x)


def assert_same_bits(a, b):
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a.view(f"u{a.itemsize}"), b.view(f"u{b.itemsize}"))


@pytest.fixture(scope="module")
def floats():
    """Float32 inputs: all float16 and all bfloat16, and 2 million patterns of bits, NaN and infinities included."""
    rng = np.random.default_rng(0)
    every = np.arange(1 << 16, dtype=np.uint16)
    halves, brains = every.view(np.float16).astype(np.float32), (every.astype(np.uint32) << 16).view(np.float32)
    bits = rng.integers(0, 1 << 32, 1_000_000, dtype=np.uint32).view(np.float32)
    near_one = np.ldexp(rng.standard_normal(1_000_000), rng.integers(-24, 18, 1_000_000)).astype(np.float32)
    return quiet(np.concatenate([halves, brains, bits, near_one]))


def ties(fmt):
    """All values of a format, all middles between two of them, and the float32 next to each of these."""
    values = grid_values(fmt).astype(np.float64)
    beyond = values[-1] + (values[-1] - values[-2]) * np.array(
        [0.5, 1.0, 2.0]
    )  # the last tie is with what would follow
    points = np.concatenate([values, (values[1:] + values[:-1]) / 2, beyond, -beyond, [0.0, -0.0]])
    with np.errstate(over="ignore"):
        points = points.astype(np.float32)  # exact: one bit more than the format has
    return np.concatenate([points, np.nextafter(points, np.float32(np.inf)), np.nextafter(points, np.float32(-np.inf))])


@pytest.mark.parametrize("fmt", SMALL.values(), ids=SMALL)
def test_decode_equals_ml_dtypes_on_every_code(fmt):
    expected = every_code(fmt).view(peer(fmt)).astype(np.float32)
    values = decode(every_code(fmt), fmt)
    assert values.dtype == np.float32
    assert_same_bits(values, quiet(expected))


@pytest.mark.parametrize("fmt", SMALL.values(), ids=SMALL)
def test_encode_finds_every_code_again(fmt):
    codes = every_code(fmt)
    values = decode(codes, fmt)
    back = encode(values, fmt)
    assert back.dtype == fmt.dtype
    number = ~np.isnan(values)
    np.testing.assert_array_equal(back[number], codes[number])
    assert np.isnan(decode(back[~number], fmt)).all()


@pytest.mark.parametrize("fmt", SMALL.values(), ids=SMALL)
def test_encode_equals_ml_dtypes(fmt, floats):
    for x in (floats, ties(fmt)):
        with np.errstate(over="ignore"):  # numpy reports overflow of float16
            expected = x.astype(peer(fmt)).view(fmt.dtype)
        np.testing.assert_array_equal(encode(x, fmt, nan="zero"), expected)


@pytest.mark.parametrize("fmt", SMALL.values(), ids=SMALL)
def test_encode_equals_ml_dtypes_on_every_float16(fmt):
    x = quiet(every_code(FLOAT16).view(np.float16))
    np.testing.assert_array_equal(encode(x, fmt, nan="zero"), x.astype(peer(fmt)).view(fmt.dtype))


@pytest.mark.parametrize("fmt", [*SIGNED.values(), FLOAT32], ids=[*SIGNED, "float32"])
def test_float64_is_rounded_once(fmt):
    """Float64 values so close to a tie that a float32 in between would land on it, against the exact comparison."""
    rng = np.random.default_rng(1)
    if fmt == FLOAT32:
        lower = rng.integers(0, fmt.max_code, 100_000, dtype=np.uint32).view(np.float32)
        values = np.sort(np.unique(lower))
        values = np.sort(np.concatenate([values, np.nextafter(values, np.float32(np.inf))])).astype(np.float64)
    else:
        values = grid_values(fmt).astype(np.float64)
    middles = (values[1:] + values[:-1]) / 2  # exact in float64
    x = np.concatenate([np.nextafter(middles, np.inf), np.nextafter(middles, -np.inf)])
    nearest = np.concatenate([values[1:], values[:-1]])
    keep = nearest != 0  # its sign is x's, and is tested elsewhere
    if fmt == FLOAT32:
        keep &= np.concatenate([np.spacing(values[:-1].astype(np.float32)) == np.diff(values)] * 2)
    np.testing.assert_array_equal(cast(x, fmt)[keep].astype(np.float64), nearest[keep])
    twice = x.astype(np.float32).astype(np.float64)
    assert fmt == FLOAT32 or (twice == np.concatenate([middles, middles])).any()  # the trap is really there


def test_float64_equals_numpy():
    rng = np.random.default_rng(2)
    x = np.ldexp(rng.standard_normal(300_000), rng.integers(-180, 140, 300_000))
    x = np.concatenate([x, rng.integers(0, 1 << 63, 300_000, dtype=np.uint64).view(np.float64), [np.inf, -np.inf, 0.0]])
    x = quiet(x)
    with np.errstate(over="ignore"):
        assert_same_bits(encode(x, FLOAT32), x.astype(np.float32).view(np.uint32))
        assert_same_bits(encode(x, FLOAT16), x.astype(np.float16).view(np.uint16))
        assert_same_bits(decode(encode(x, FLOAT32), FLOAT32), x.astype(np.float32))


@pytest.mark.parametrize("rounding", ["nearest", "up", "down"])
@pytest.mark.parametrize("fmt", SMALL.values(), ids=SMALL)
def test_rounding_equals_a_search_in_the_list(fmt, rounding):
    """Exact: in float64 the middle of two values has no rounding error."""
    rng = np.random.default_rng(3)
    values = grid_values(fmt).astype(np.float64)
    values = values[values >= 0]
    codes = encode(values, fmt)  # proven against ml_dtypes above
    x = np.concatenate([np.abs(ties(fmt)).astype(np.float64), values[-1] * rng.random(20_000)])
    x = x[(x >= (0 if fmt.signed else 2 * values[0])) & (x <= values[-1])]  # e8m0's lowest code has a test of its own
    above = np.searchsorted(values, x, side="left")  # values[above - 1] < x <= values[above]
    below = np.where(values[above] == x, above, above - 1)
    middle = (values[above] + values[below]) / 2
    even = np.where(codes[above] % 2 == 0, above, below) if fmt.man_bits else above  # powers of two: ties up
    nearest = np.where(x == middle, even, np.where(x > middle, above, below))
    index = {"nearest": nearest, "up": above, "down": below}[rounding]
    np.testing.assert_array_equal(encode(x, fmt, rounding=rounding), codes[index])
    if fmt.signed:
        np.testing.assert_array_equal(cast(-x, fmt, rounding=rounding), -values[index])


@pytest.mark.parametrize("fmt", SMALL.values(), ids=SMALL)
def test_saturate_equals_clipping(fmt, floats):
    """Onnx's definition: clip to the finite range, infinities too, then cast."""
    x = np.concatenate([floats, ties(fmt)])
    x = x if fmt.signed else np.abs(x[x != 0])
    expected = np.clip(x, np.float32(-fmt.max), np.float32(fmt.max)).astype(peer(fmt)).view(fmt.dtype)
    np.testing.assert_array_equal(encode(x, fmt, saturate=True, nan="zero"), expected)


TORCH = "float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu bfloat16 float16"


@pytest.mark.parametrize("name", TORCH.split())
def test_equals_torch(name, floats):
    fmt, dtype, raw = FORMATS[name], getattr(torch, name), torch.uint8 if "8" in name else torch.uint16
    codes = every_code(fmt)
    values = torch.from_numpy(codes).view(dtype).to(torch.float32).numpy()
    np.testing.assert_array_equal(decode(codes, fmt), values)
    x = np.concatenate([floats, ties(fmt)])
    if name == "float16":
        x = x[~np.isnan(x)]  # float16 NaN differ in payload, and their values are compared above
    expected = torch.from_numpy(x).to(dtype).view(raw).numpy()
    if name == "float8_e8m0fnu":
        x = np.maximum(np.abs(x), np.float32(fmt.smallest_normal))  # torch drops the sign, and 0 becomes 2**-127
    actual = encode(x, fmt, saturate=name == "float8_e4m3fn")
    if name in ("bfloat16", "float8_e5m2"):  # torch's NaN has another payload: all ones
        number = ~np.isnan(x)
        assert np.isnan(decode(expected[~number], fmt)).all()
        assert np.isnan(decode(actual[~number], fmt)).all()
        expected, actual = expected[number], actual[number]
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("rounding", ["nearest", "up", "down"])
@pytest.mark.parametrize("saturate", [True, False])
def test_e8m0_equals_onnx(rounding, saturate, floats):
    x = np.concatenate([floats, ties(FLOAT8_E8M0FNU)])
    x = x[np.isfinite(x) & (x >= FLOAT8_E8M0FNU.smallest_normal)]  # onnx: the sign is dropped, infinity is always NaN
    expected = to_float8e8m0(x, saturate, rounding).view(np.uint8)
    np.testing.assert_array_equal(encode(x, FLOAT8_E8M0FNU, saturate=saturate, rounding=rounding), expected)


def test_e8m0_edges():
    x = np.array([0.0, -0.0, -1.0, -np.inf, np.nan])
    for rounding in minifloat.ROUNDINGS:
        np.testing.assert_array_equal(encode(x, FLOAT8_E8M0FNU, rounding=rounding), 255)
        np.testing.assert_array_equal(encode(x, FLOAT8_E8M0FNU, rounding=rounding, saturate=True), [0, 0, 0, 0, 255])
    x = np.array([2.0**-149, 2.0**-127, 1.1 * 2.0**-127, 2.0**-126, 2.0**127, 1.1 * 2.0**127, 1.9 * 2.0**127, np.inf])
    np.testing.assert_array_equal(encode(x, FLOAT8_E8M0FNU), [0, 0, 1, 1, 254, 254, 255, 255])
    np.testing.assert_array_equal(encode(x, FLOAT8_E8M0FNU, rounding="down"), [0, 0, 0, 1, 254, 254, 254, 255])
    np.testing.assert_array_equal(encode(x, FLOAT8_E8M0FNU, rounding="up"), [1, 1, 1, 1, 254, 255, 255, 255])
    np.testing.assert_array_equal(
        encode(x, FLOAT8_E8M0FNU, rounding="up", saturate=True), [1, 1, 1, 1, 254, 254, 254, 254]
    )


def onnx_cast(x, to, saturate=1, round_mode="up"):
    """ONNX Cast with quantlab alone; arrays of ml_dtypes are taken and given as their bits."""
    target = np.dtype(helper.tensor_dtype_to_np_dtype(to))
    if x.dtype.name in FORMATS:
        fmt = FORMATS[x.dtype.name]
        values = decode(x.view(fmt.dtype), fmt)
    elif x.dtype.name.startswith(("int", "uint")):
        bits = x.view(np.uint8)
        values = wrap(bits, n_bits=int(x.dtype.name[-1]), signed=x.dtype.name.startswith("int")).astype(np.float32)
    else:
        values = x  # float64
    if target.name in FORMATS:
        fmt = FORMATS[target.name]
        rounding = round_mode if fmt == FLOAT8_E8M0FNU else "nearest"
        saturate = bool(saturate) and fmt.n_bits == 8  # it speaks of fp8 only
        return encode(values, fmt, saturate=saturate, rounding=rounding, nan="zero").view(target)
    if target.kind == "f":
        return values.astype(target)  # float64, which holds every float32
    n_bits = int(target.name.lstrip("uint"))  # fractions are cut off, and overflow wraps
    return wrap(np.trunc(values).astype(np.int64), n_bits=n_bits, signed=target.name.startswith("int"))


CASTS = cases("Cast")
ELEMENT_TYPES = ["INT2", "UINT2", "INT4", "UINT4", "FLOAT4E2M1", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2",
                 "FLOAT8E5M2FNUZ", "FLOAT8E8M0", "BFLOAT16", "FLOAT16"]  # fmt: skip


def test_no_cast_of_onnx_is_lost():
    assert len(CASTS) == 116  # 60 of Cast, and 56 of CastLike, which is defined as a Cast
    assert sum(not case.name.startswith("test_castlike") for case in CASTS) == 60
    # This onnx has no string and no bool cases. All but FLOAT to DOUBLE and back concern an element type of this list.
    concerned = {np.dtype(helper.tensor_dtype_to_np_dtype(getattr(TensorProto, name))) for name in ELEMENT_TYPES}
    others = [case.name for case in CASTS if not {case.inputs[0].dtype, case.outputs[0].dtype} & concerned]
    assert all("FLOAT_to_DOUBLE" in name or "DOUBLE_to_FLOAT" in name for name in others)
    touched = {array.dtype for case in CASTS for array in (case.inputs[0], case.outputs[0])}
    assert concerned <= touched


@pytest.mark.parametrize("case", CASTS, ids=[case.name for case in CASTS])
def test_equals_onnx_cast(case):
    (x,), (expected,) = case.inputs, case.outputs
    actual = onnx_cast(x, **case.attributes)
    assert actual.shape == expected.shape
    if "int" in expected.dtype.name:  # above the low 2 or 4 bits ml_dtypes keeps what it likes
        np.testing.assert_array_equal(actual, expected.astype(actual.dtype))
    else:
        assert_same_bits(actual, np.ascontiguousarray(expected))


@pytest.mark.parametrize("fmt", SIGNED.values(), ids=SIGNED)
def test_grid_and_ulp(fmt):
    values = grid_values(fmt)
    finite = np.unique(every_code(fmt).view(peer(fmt)).astype(np.float32))
    np.testing.assert_array_equal(values, finite[np.isfinite(finite)])
    assert not np.signbit(values[values == 0]).any()
    positive = values[values >= 0].astype(np.float64)
    gaps = np.diff(positive)
    np.testing.assert_array_equal(ulp(positive[:-1], fmt), gaps)  # from each value to the one above
    np.testing.assert_array_equal(ulp(-(positive[:-1] + positive[1:]) / 2, fmt), gaps)  # in between, and negative
    np.testing.assert_array_equal(ulp(np.array([fmt.max, 2 * fmt.max, 1e300]), fmt), gaps[-1])
    assert np.isnan(ulp(np.array([np.nan, np.inf, -np.inf]), fmt)).all()


def test_ulp_equals_numpy():
    x = every_code(FLOAT16).view(np.float16)
    x = x[np.isfinite(x)]
    below_top = x[np.abs(x) < 2.0**15]  # where numpy's spacing, computed from the next number, does not overflow
    np.testing.assert_array_equal(ulp(below_top, FLOAT16), np.spacing(np.abs(below_top)))
    x = np.random.default_rng(4).integers(0, FLOAT32.max_code, 100_000, dtype=np.uint32).view(np.float32)
    np.testing.assert_array_equal(ulp(x, FLOAT32), np.spacing(x))


@given(
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=50),
    st.sampled_from(list(SIGNED.values())),
    st.sampled_from(["nearest", "up", "down"]),
)
def test_invariants(numbers, fmt, rounding):
    x = np.sort(np.array(numbers, np.float32))
    y = cast(x, fmt, saturate=True, rounding=rounding)
    assert (np.diff(y) >= 0).all()  # monotone
    np.testing.assert_array_equal(cast(y, fmt, rounding=rounding), y)  # idempotent
    np.testing.assert_array_equal(cast(-x, fmt, saturate=True, rounding=rounding), -y)  # odd
    inside = np.abs(x) <= fmt.max
    error = np.abs(y.astype(np.float64) - x)[inside]
    assert (error <= ulp(x, fmt)[inside] * (0.5 if rounding == "nearest" else 1)).all()
    assert rounding != "down" or (np.abs(y) <= np.abs(x)).all()
    assert rounding != "up" or (np.abs(y) >= np.abs(x))[inside].all()


def test_chunks_shapes_and_memory_orders():
    x = np.random.default_rng(5).standard_normal((3, minifloat.CHUNK // 2 + 1)).astype(np.float32)
    for view in (x, x.T, x[:, ::-3], x[:, :0], x[0, 0]):
        expected = view.astype(ml_dtypes.float8_e4m3fn).view(np.uint8)
        codes = encode(view, FLOAT8_E4M3FN)
        assert codes.shape == view.shape
        np.testing.assert_array_equal(codes, expected)
        assert np.shape(decode(codes, FLOAT8_E4M3FN)) == view.shape
    before = x.copy()
    encode(np.where(x > 2, np.inf, x), FLOAT8_E5M2)
    np.testing.assert_array_equal(x, before)


def test_shared_tables_cannot_be_changed():
    values = decode(every_code(FLOAT4_E2M1FN), FLOAT4_E2M1FN)
    values[:] = 0
    assert decode(np.uint8(7), FLOAT4_E2M1FN) == 6


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: encode([1.0, np.nan], FLOAT4_E2M1FN), ValueError, "1 NaN.*float4_e2m1fn has no code.*nan='zero'"),
        (lambda: cast([np.nan], FLOAT6_E3M2FN), ValueError, "float6_e3m2fn has no code"),
        (lambda: encode([1, 2], FLOAT16), TypeError, "x has dtype int64.*float32"),
        (lambda: encode([1.0], FLOAT16, rounding="even"), ValueError, "rounding='even'.*'nearest', 'up', 'down'"),
        (lambda: encode([1.0], FLOAT16, nan="keep"), ValueError, "nan='keep'.*'raise' or 'zero'"),
        (lambda: ulp([1], BFLOAT16), TypeError, "x has dtype int64"),
        (lambda: decode([1], FLOAT16), TypeError, "codes has dtype int64.*uint16"),
        (lambda: decode(np.uint8([3, 16]), FLOAT4_E2M1FN), ValueError, "16.*float4_e2m1fn has 4 bits.*0..15.*unpack"),
        (lambda: decode(np.uint16([256]), FLOAT8_E5M2), ValueError, "256.*8 bits"),
        (lambda: grid_values(FLOAT32), ValueError, "float32.*too many"),
    ],
)
def test_errors_say_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call()
