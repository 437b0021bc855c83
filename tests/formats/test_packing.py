"""Packing against bit strings built one bit at a time, and against the bytes that onnx stores."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

from quantlab.formats import packing
from quantlab.formats.packing import pack, unpack, wrap

WIDTHS = range(1, 9)


def limits(n_bits, signed):
    return (-(1 << (n_bits - 1)), (1 << (n_bits - 1)) - 1) if signed else (0, (1 << n_bits) - 1)


def slow_pack(q, n_bits, order):
    """Write every code as a string of bits, join, cut into bytes."""
    bits = np.array([[(int(v) >> j) & 1 for j in range(n_bits)] for v in q], np.uint8).reshape(-1, n_bits)
    return np.packbits(bits if order == "little" else bits[:, ::-1], bitorder=order)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("n_bits", WIDTHS)
def test_equals_bit_strings(n_bits, signed, order):
    lo, hi = limits(n_bits, signed)
    rng = np.random.default_rng(n_bits)
    for size in [*range(20), 1000]:
        q = rng.integers(lo, hi, size, endpoint=True)
        packed = pack(q, n_bits=n_bits, order=order)
        assert packed.dtype == np.uint8
        np.testing.assert_array_equal(packed, slow_pack(q, n_bits, order))
        back = unpack(packed, n_bits=n_bits, count=size, signed=signed, order=order)
        assert back.dtype == (np.int8 if signed else np.uint8)
        np.testing.assert_array_equal(back, q)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("n_bits", WIDTHS)
def test_every_chunk_is_worked_on(n_bits, order, monkeypatch):
    monkeypatch.setattr(packing, "CHUNK", 64)  # the loops over chunks turn often, and the last is cut off
    q = np.random.default_rng(1).integers(*limits(n_bits, True), 1003, endpoint=True)
    packed = pack(q, n_bits=n_bits, order=order)
    np.testing.assert_array_equal(packed, slow_pack(q, n_bits, order))
    np.testing.assert_array_equal(unpack(packed, n_bits=n_bits, count=q.size, signed=True, order=order), q)


def test_full_size_chunks():
    q = np.random.default_rng(2).integers(-8, 7, 3 * packing.CHUNK + 5, endpoint=True, dtype=np.int8)
    packed = pack(q, n_bits=4)
    np.testing.assert_array_equal(packed[: q.size // 2], (q[:-1:2] & 15) | (q[1::2] << 4).astype(np.uint8))
    np.testing.assert_array_equal(unpack(packed, n_bits=4, count=q.size, signed=True), q)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("n_bits", [1, 2, 4])
def test_every_byte(n_bits, order):
    every = np.arange(256, dtype=np.uint8)
    count = 256 * 8 // n_bits
    bits = np.unpackbits(every, bitorder=order).reshape(count, n_bits)
    weights = 1 << np.arange(n_bits)
    expected = bits @ (weights if order == "little" else weights[::-1])
    np.testing.assert_array_equal(unpack(every, n_bits=n_bits, count=count, signed=False, order=order), expected)
    sign = 1 << (n_bits - 1)
    expected = np.where(expected >= sign, expected - 2 * sign, expected)
    np.testing.assert_array_equal(unpack(every, n_bits=n_bits, count=count, signed=True, order=order), expected)


@pytest.mark.parametrize("name", ["int2", "uint2", "int4", "uint4", "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn"])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 37])
def test_equals_the_bytes_of_onnx(name, size):
    dtype = np.dtype(getattr(ml_dtypes, name))
    n_bits = int(name.removeprefix("u").removeprefix("int").removeprefix("float")[0])
    signed = name.startswith("int")
    q = np.random.default_rng(size).integers(*limits(n_bits, signed), size, endpoint=True)
    values = q.astype(dtype) if "int" in name else q.astype(np.uint8).view(dtype)
    stored = np.frombuffer(numpy_helper.from_array(values).raw_data, np.uint8)
    np.testing.assert_array_equal(pack(q, n_bits=n_bits), stored)
    np.testing.assert_array_equal(unpack(stored, n_bits=n_bits, count=size, signed=signed), q)


@given(st.data(), st.integers(1, 8), st.booleans(), st.sampled_from(["little", "big"]))
def test_round_trip(data, n_bits, signed, order):
    q = np.array(data.draw(st.lists(st.integers(*limits(n_bits, signed)))), np.int64)
    packed = pack(q, n_bits=n_bits, order=order)
    assert len(packed) == -(-len(q) * n_bits // 8)
    np.testing.assert_array_equal(unpack(packed, n_bits=n_bits, count=len(q), signed=signed, order=order), q)


@pytest.mark.parametrize("n_bits", WIDTHS)
def test_bits_behind_the_last_code(n_bits):
    q = np.full(3, -1)
    little, big = pack(q, n_bits=n_bits), pack(q, n_bits=n_bits, order="big")
    assert np.unpackbits(little).sum() == np.unpackbits(big).sum() == 3 * n_bits  # what is left over is 0
    ones = np.full(len(little), 255, np.uint8)  # and is not looked at
    np.testing.assert_array_equal(unpack(ones, n_bits=n_bits, count=3, signed=True), q)
    np.testing.assert_array_equal(unpack(ones, n_bits=n_bits, count=3, signed=True, order="big"), q)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_every_integer_dtype(dtype):
    q = np.arange(8, dtype=dtype).reshape(2, 4)
    expected = pack(np.arange(8), n_bits=3)
    np.testing.assert_array_equal(pack(q, n_bits=3), expected)
    np.testing.assert_array_equal(pack(np.asfortranarray(q), n_bits=3), expected)  # C order, whatever the memory
    np.testing.assert_array_equal(pack(np.stack([q, q], axis=-1)[..., 0], n_bits=3), expected)


def test_0d_and_strided_bytes():
    np.testing.assert_array_equal(pack(np.int8(-3), n_bits=3), [0b101])
    packed = np.repeat(pack(np.arange(16), n_bits=4), 2)[::2]
    np.testing.assert_array_equal(unpack(packed, n_bits=4, count=16, signed=False), np.arange(16))


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("n_bits", WIDTHS)
def test_wrap_is_modular(n_bits, signed):
    q = np.arange(-300, 300)
    lo, _ = limits(n_bits, signed)
    wrapped = wrap(q, n_bits=n_bits, signed=signed)
    assert wrapped.dtype == (np.int8 if signed else np.uint8)
    np.testing.assert_array_equal(wrapped, (q - lo) % (1 << n_bits) + lo)
    np.testing.assert_array_equal(q, np.arange(-300, 300))  # the input is left alone


@pytest.mark.parametrize("name", ["int2", "uint2", "int4", "uint4"])
def test_wrap_equals_ml_dtypes(name):
    q = np.arange(-128, 128, dtype=np.int8)
    expected = q.astype(getattr(ml_dtypes, name)).astype(np.int8)
    np.testing.assert_array_equal(wrap(q, n_bits=int(name[-1]), signed=name.startswith("int")), expected)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: pack([8, -1], n_bits=4), ValueError, "-1..8.*0..15 or -8..7.*wrap"),
        (lambda: pack([16], n_bits=4), ValueError, "16..16"),
        (lambda: pack([-9], n_bits=4), ValueError, "-9..-9"),
        (lambda: pack(np.array([2**64 - 1], np.uint64), n_bits=8), ValueError, "18446744073709551615"),
        (lambda: pack([0.5], n_bits=4), TypeError, "float64.*np.rint"),
        (lambda: pack([True], n_bits=1), TypeError, "bool"),
        (lambda: pack([1], n_bits=9), ValueError, "n_bits=9 is not 1 to 8"),
        (lambda: pack([1], n_bits=0), ValueError, "n_bits=0"),
        (lambda: pack([1], n_bits=4, order="LSB"), ValueError, "order='LSB'.*'little'.*'big'"),
        (lambda: unpack(np.zeros(2, np.int8), n_bits=4, count=4, signed=True), TypeError, "int8.*uint8"),
        (lambda: unpack(np.zeros(2, np.uint8), n_bits=4, count=5, signed=True), ValueError, "holds 2.*count=5.*take 3"),
        (lambda: unpack(np.zeros(2, np.uint8), n_bits=4, count=2, signed=True), ValueError, "take 1"),
        (lambda: unpack(np.zeros(0, np.uint8), n_bits=4, count=-1, signed=True), ValueError, "count=-1"),
        (lambda: unpack(np.zeros(2, np.uint8), n_bits=16, count=1, signed=True), ValueError, "n_bits=16"),
        (lambda: wrap([1.0], n_bits=4, signed=True), TypeError, "float64"),
        (lambda: wrap([1], n_bits=12, signed=True), ValueError, "n_bits=12"),
    ],
)
def test_errors_say_what_is_wrong(call, error, words):
    with pytest.raises(error, match=f"(?s){words}"):
        call()
