"""Exact integer products against int64 and Python integers, and against ONNX's MatMulInteger."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from quantlab.integer.matmul import int_matmul, int_matmul_zero_point
from tests.onnx_cases import cases

EIGHT_BITS = [np.int8, np.uint8]
DTYPES = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64]


def exact(A, B):
    """The product in Python integers, which have no width."""
    return np.matmul(A.astype(object), B.astype(object))


@pytest.mark.parametrize("a_dtype", DTYPES)
@pytest.mark.parametrize("b_dtype", DTYPES)
def test_extreme_values_of_every_dtype(a_dtype, b_dtype):
    # All four products of the ends of the dtypes, K = 3: beyond int64 the product must be refused, not wrapped.
    ends = [np.iinfo(a_dtype).min, np.iinfo(a_dtype).max]
    A = np.array([[e] * 3 for e in ends], a_dtype)
    B = np.array([[np.iinfo(b_dtype).min, np.iinfo(b_dtype).max]] * 3, b_dtype)
    bound = 3 * max(map(abs, map(int, A.flat))) * max(map(abs, map(int, B.flat)))
    if bound >= 2**63:
        with pytest.raises(ValueError, match="may exceed int64"):
            int_matmul(A, B)
        return
    C = int_matmul(A, B)
    assert C.dtype == (np.int32 if bound < 2**31 else np.int64)
    assert (exact(A, B) == C).all()


# The longest block is K = 2**24 // (max|a| * max|b|). One term more, and the sum below is an odd number beyond 2**24,
# which float32 cannot hold: a block that is too long by one fails here.
@pytest.mark.parametrize(
    ("a_dtype", "b_dtype", "a", "b", "longest"),
    [
        (np.int8, np.int8, -128, -128, 1024),
        (np.uint8, np.int8, 255, -128, 514),
        (np.int8, np.uint8, -128, 255, 514),
        (np.uint8, np.uint8, 255, 255, 258),
    ],
)
def test_the_worst_sums_of_8_bit_numbers(a_dtype, b_dtype, a, b, longest):
    assert 2**24 // abs(a * b) == longest
    for K in (longest - 1, longest, longest + 1, longest + 2, 2 * longest + 1, 4 * longest + 3):
        A, B = np.full((2, K), a, a_dtype), np.full((K, 3), b, b_dtype)
        A[1, -1], B[-1, :] = 1, 1  # the last term of row 1 is 1 * 1: an odd sum
        assert (int_matmul(A, B) == A.astype(np.int64) @ B.astype(np.int64)).all()


def test_16_bit_numbers_beyond_what_float64_sums_hold():
    # 2**30 * 2**23 is 2**53; these 2**23 + 3 terms go one block further. 48 MB, a tenth of a second.
    K = 2**23 + 3
    A, B = np.full((1, K), -(2**15), np.int16), np.full((K, 1), -(2**15), np.int16)
    A[0, -1] = B[-1, 0] = 1
    assert int_matmul(A, B)[0, 0] == (K - 1) * 2**30 + 1


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_random_products(data):
    a_dtype, b_dtype = (data.draw(st.sampled_from(DTYPES[:4])) for _ in range(2))
    shapes = data.draw(hnp.mutually_broadcastable_shapes(signature="(m?,k),(k,n?)->(m?,n?)", max_side=6))
    A, B = (
        data.draw(hnp.arrays(dtype, shape, elements=hnp.from_dtype(np.dtype(dtype))))
        for dtype, shape in zip((a_dtype, b_dtype), shapes.input_shapes, strict=True)
    )
    C = int_matmul(A, B)
    assert np.shape(C) == shapes.result_shape
    assert C.dtype in (np.int32, np.int64)
    assert np.array_equal(C, np.matmul(A.astype(np.int64), B.astype(np.int64)))


def test_long_random_products_and_transposed_weights():
    rng = np.random.default_rng(7)
    for a_dtype in EIGHT_BITS:
        for b_dtype in EIGHT_BITS:
            A = rng.integers(np.iinfo(a_dtype).min, np.iinfo(a_dtype).max, (13, 3001), a_dtype, endpoint=True)
            W = rng.integers(np.iinfo(b_dtype).min, np.iinfo(b_dtype).max, (17, 3001), b_dtype, endpoint=True)
            expected = A.astype(np.int64) @ W.T.astype(np.int64)
            assert (int_matmul(A, W.T) == expected).all()
            assert (int_matmul(A[:, ::-1], W[:, ::-1].T) == expected).all()


def test_the_dtype_follows_from_dtypes_and_length_alone():
    ones = np.ones((1, 131072), np.int8)
    assert int_matmul(ones[:, :-1], ones[:, :-1].T).dtype == np.int32
    assert int_matmul(ones, ones.T).dtype == np.int64
    full = np.full((1, 131072), -128, np.int8)
    assert int_matmul(full, full.T)[0, 0] == 2**31  # one more than int32 holds


def test_wide_dtypes_with_small_values_are_exact_and_stay_int64():
    rng = np.random.default_rng(3)
    A, B = rng.integers(-255, 256, (5, 999)), rng.integers(0, 256, (999, 4)).astype(np.uint64)
    C = int_matmul(A, B)
    assert C.dtype == np.int64
    assert (A @ B.astype(np.int64) == C).all()


@pytest.mark.parametrize(("a", "b", "c"), [((0, 3), (3, 2), (0, 2)), ((2, 0), (0, 4), (2, 4)), ((0,), (0,), ())])
def test_empty_operands(a, b, c):
    C = int_matmul(np.zeros(a, np.int8), np.zeros(b, np.int8))
    assert C.shape == c
    assert C.dtype == np.int32
    assert (C == 0).all()


@pytest.mark.parametrize(
    ("A", "B", "error", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2), np.int8), TypeError, r"A\.dtype=float64; expected an integer dtype"),
        (np.zeros((2, 3), np.int8), np.zeros((3, 2), bool), TypeError, r"B\.dtype=bool"),
        (np.zeros((2, 3), np.int8), np.zeros((4, 2), np.int8), ValueError, r"A\.shape\[-1\]=3 is not B\.shape\[-2\]=4"),
        (np.zeros((5, 2, 3), np.int8), np.zeros((4, 3, 2), np.int8), ValueError, "do not broadcast"),
        (np.int8(3), np.zeros((4, 2), np.int8), ValueError, r"A\.ndim=0"),
    ],
)
def test_errors_name_what_came(A, B, error, message):
    with pytest.raises(error, match=message):
        int_matmul(A, B)


@pytest.mark.parametrize("case", cases("MatMulInteger"), ids=lambda case: case.name)
def test_node_tests_of_onnx(case):
    C = int_matmul_zero_point(*case.inputs)
    assert C.dtype == case.outputs[0].dtype
    assert np.array_equal(C, case.outputs[0])


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_zero_points_of_every_shape(data):
    M, K, N = (data.draw(st.integers(0, 5)) for _ in range(3))
    batch = data.draw(st.sampled_from([(), (2,)]))
    a_dtype, b_dtype = (data.draw(st.sampled_from(EIGHT_BITS)) for _ in range(2))
    A = data.draw(hnp.arrays(a_dtype, (*batch, M, K), elements=hnp.from_dtype(np.dtype(a_dtype))))
    B = data.draw(hnp.arrays(b_dtype, (K, N), elements=hnp.from_dtype(np.dtype(b_dtype))))
    a_shape = data.draw(st.sampled_from([(), (1,), (M,), (M, 1), (*batch, M, 1)]))
    b_shape = data.draw(st.sampled_from([(), (1,), (N,), (1, N)]))
    a = data.draw(hnp.arrays(a_dtype, a_shape, elements=hnp.from_dtype(np.dtype(a_dtype))))
    b = data.draw(hnp.arrays(b_dtype, b_shape, elements=hnp.from_dtype(np.dtype(b_dtype))))
    a_column = a[:, None] if a.ndim == 1 else a
    C = int_matmul_zero_point(A, B, a, b)
    assert C.dtype == np.int32
    assert np.array_equal(C, (A.astype(np.int64) - a_column) @ (B.astype(np.int64) - b))


def test_zero_points_at_the_ends_reach_the_int32_limit():
    # |A - a| = |B - b| = 255, K = 33025: 255 * 255 * K = 2147450625 < 2**31, and one term more does not fit.
    for K, dtype in ((33025, np.int32), (33026, np.int64)):
        A, B = np.full((1, K), -128, np.int8), np.full((K, 1), 127, np.int8)
        C = int_matmul_zero_point(A, B, np.int8(127), np.int8(-128))
        assert C.dtype == dtype
        assert C[0, 0] == -255 * 255 * K


@pytest.mark.parametrize(
    ("a_zero_point", "b_zero_point", "error", "message"),
    [
        (np.zeros(3, np.int8), 0, ValueError, r"a_zero_point\.shape=\(3,\) does not broadcast to \(2, 1\).*row of A"),
        (
            0,
            np.zeros(3, np.int8),
            ValueError,
            r"b_zero_point\.shape=\(3,\) does not broadcast to \(1, 5\).*column of B",
        ),
        (0.5, 0, TypeError, r"a_zero_point\.dtype=float64"),
        (0, 2**40, ValueError, "b_zero_point reaches from 1099511627776"),
    ],
)
def test_errors_of_zero_points(a_zero_point, b_zero_point, error, message):
    with pytest.raises(error, match=message):
        int_matmul_zero_point(np.zeros((2, 4), np.int8), np.zeros((4, 5), np.int8), a_zero_point, b_zero_point)
