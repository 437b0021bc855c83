"""What the expectations accept, and what they say when they do not."""

import numpy as np
import pytest

from quantlab.lab.checks import Incorrect, expect, expect_array, expect_close, expect_equal, expect_type
from quantlab.lab.checks.describe import describe, describe_call


def says(function, *args, **kwargs):
    with pytest.raises(Incorrect) as caught:
        function(*args, when="with n=3", **kwargs)
    return str(caught.value)


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (3, 3),
        (np.int64(3), 3),
        (3.0, 3),
        (np.array(3), 3),
        (float("nan"), np.nan),
        (-np.inf, -np.inf),
        (True, np.True_),
        ("int8", "int8"),
        ((1, 2.0), (1, 2)),
        ([1, np.int8([1])], (1, np.int8([1]))),
        (np.float32([1, np.nan, np.inf]), np.float32([1, np.nan, np.inf])),
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (np.array([True, False]), np.array([True, False])),
        (None, None),
    ],
)
def test_equal(got, want):
    expect_equal(got, want, when="with n=3")


@pytest.mark.parametrize(
    ("got", "want", "text"),
    [
        (4, 3, "with n=3 you return 4, expected 3"),
        (True, 1, "with n=3 you return True, a bool; wanted is an int or float"),
        ("3", 3, "with n=3 you return '3', a str; wanted is an int or float"),
        (1, True, "with n=3 you return 1, an int; wanted is a bool"),
        (np.nan, 3, "with n=3 you return nan, expected 3"),
        (np.inf, -np.inf, "with n=3 you return inf, expected -inf"),
        ("int8", "uint8", "with n=3 you return 'int8', expected 'uint8'"),
        ((1, 2, 3), (1, 2), "with n=3 you return 3 values, expected 2"),
        ((1, 3), (1, 2), "with n=3, value 1 of your answer: you return 3, expected 2"),
        ([1, 2], np.int64([1, 2]), "with n=3 you return [1, 2], a list; wanted is a numpy array"),
        (np.int64([1, 2]), np.int8([1, 2]), "with n=3 your result has dtype int64; wanted is int8"),
        (np.int8([[1, 2]]), np.int8([1, 2]), "with n=3 your result has shape (1, 2); wanted is (2,)"),
        (np.int8([1, 2]), np.int8([1, 3]), "with n=3 element 1 is 2, expected 3"),
        (np.int8([[1, 2]]), np.int8([[1, 3]]), "with n=3 element (0, 1) is 2, expected 3"),
        (np.float32([np.nan]), np.float32([1]), "with n=3 element 0 is nan, expected 1"),
        (np.float64([1 + 1e-15]), np.float64([1]), "with n=3 element 0 is 1, expected 1"),
    ],
)
def test_not_equal(got, want, text):
    assert says(expect_equal, got, want) == text
    assert says(expect_equal, got, want, hint="look again").startswith(text)


def test_large_integers_are_not_compared_as_floats():
    assert says(expect_equal, np.int64([2**53 + 1]), np.int64([2**53])).startswith("with n=3 element 0")
    assert says(expect_equal, 2**53 + 1, 2**53) == f"with n=3 you return {2**53 + 1}, expected {2**53}"


def test_close_is_about_values_and_shape():
    expect_close(np.float64([1.05, 2]), np.float32([1, 2]), atol=0.06, when="")
    assert "element 0" in says(expect_close, np.float64([1.05, 2]), np.float32([1, 2]), atol=0.04)
    assert "shape" in says(expect_close, np.float64([[1, 2]]), np.float32([1, 2]), atol=1)
    assert says(expect_close, np.uint8([3]), np.uint8([5]), atol=1).startswith("with n=3 element 0 is 3")


def test_types_and_arrays():
    expect_type(np.float32(1), float, when="")
    expect_type(np.dtype("int8"), np.dtype, when="")
    assert says(expect_type, 1.0, int) == "with n=3 you return 1, a float; wanted is an int"
    assert expect_array(np.float32(3), when="", shape=()) == 3
    assert says(expect_array, [1.0]).endswith("wanted is a numpy array")
    expect(True, "never said")
    with pytest.raises(Incorrect, match="said"):
        expect(False, "said")


def test_descriptions_are_short_and_the_same_everywhere():
    assert describe(object()) == "object of type object"
    assert describe([np.float32(0.1), (1, "a")]) == "[0.1, (1, 'a')]"
    assert describe(np.arange(2000).reshape(2, 1000)) == "int64 array of shape (2, 1000), values 0 to 1999"
    assert describe(np.float32([[1, 2], [3, 4]])) == "float32 [[1., 2.], [3., 4.]]"
    assert describe(len.__class__) == "builtin_function_or_method"
    assert describe("x" * 100) == "object of type str"
    assert describe_call(lambda: 0, (), {}) == ""
    assert describe_call(lambda lo, hi=1: 0, (2,), {"hi": 5.0}) == "with lo=2, hi=5 "
