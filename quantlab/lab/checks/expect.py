"""What checks ask of an answer; each raises `Incorrect` with the first place where it fails."""

from typing import Any

import numpy as np

from quantlab.lab.checks.attempt import Incorrect
from quantlab.lab.checks.describe import describe


def expect(condition: Any, hint: str) -> None:
    """Raise Incorrect(hint) unless the condition holds.

    >>> expect(1 + 1 == 2, "arithmetic is broken")
    """
    if not condition:
        raise Incorrect(hint)


def expect_type(got: Any, want: type | tuple[type, ...], *, when: str) -> None:
    """Ask for a type. Python's and numpy's scalars of one kind are equal here: int, float and bool.

    >>> expect_type(np.int32(3), int, when="with n=3")
    """
    wanted = want if isinstance(want, tuple) else (want,)
    kinds = {int: (int, np.integer), float: (float, np.floating), bool: (bool, np.bool_)}
    allowed = tuple(t for w in wanted for t in kinds.get(w, (w,)))
    is_bool = isinstance(got, (bool, np.bool_)) and bool not in wanted  # a bool is an int to Python, not to us
    if is_bool or not isinstance(got, allowed):
        names = " or ".join(t.__name__ for t in wanted)
        raise Incorrect(
            f"{when} you return {describe(got)}, {_article(type(got).__name__)}; wanted is {_article(names)}"
        )


def expect_array(got: Any, *, when: str, shape: tuple[int, ...] | None = None, dtype: Any = None) -> np.ndarray:
    """Ask for a numpy array of a shape and a dtype, and return it.

    >>> expect_array(np.zeros(3), shape=(3,), dtype=np.float64, when="with n=3").sum()
    np.float64(0.0)
    """
    if not isinstance(got, (np.ndarray, np.generic)):
        raise Incorrect(f"{when} you return {describe(got)}, {_article(type(got).__name__)}; wanted is a numpy array")
    if shape is not None and got.shape != tuple(shape):
        raise Incorrect(f"{when} your result has shape {got.shape}; wanted is {tuple(shape)}")
    if dtype is not None and got.dtype != np.dtype(dtype):
        raise Incorrect(f"{when} your result has dtype {got.dtype}; wanted is {np.dtype(dtype)}")
    return np.asarray(got)


def expect_equal(got: Any, want: Any, *, when: str, hint: str = "") -> None:
    """Ask for equality: of numbers and texts, of arrays in shape, dtype and every value.

    ``when`` names the input ("with lo=2, hi=5"); ``hint`` says what the student probably did.

    >>> expect_equal(np.int8([1, 2]), np.int8([1, 3]), when="with x=[1, 3]", hint="the grid rounds")
    Traceback (most recent call last):
    quantlab.lab.checks.attempt.Incorrect: with x=[1, 3] element 1 is 2, expected 3: the grid rounds
    """
    _compare(got, want, 0.0, when, hint)


def expect_close(got: Any, want: Any, *, atol: float, when: str, hint: str = "") -> None:
    """Ask for values within ``atol`` of the wanted ones; the dtype is free, the shape is not. NaN equals NaN.

    >>> expect_close(0.1 + 0.2, 0.3, atol=1e-12, when="with 0.1, 0.2")
    """
    _compare(got, want, atol, when, hint)


def _compare(got: Any, want: Any, atol: float, when: str, hint: str) -> None:
    end = f": {hint}" if hint else ""
    if isinstance(want, np.ndarray):
        x = expect_array(got, shape=want.shape, dtype=None if atol else want.dtype, when=when)
        wrong = ~_agree(x, want, atol)
        if wrong.any():
            at = tuple(int(i) for i in np.argwhere(wrong)[0])
            place = f"element {at[0] if len(at) == 1 else at}" if at else "the result"
            raise Incorrect(f"{when} {place} is {describe(x[at])}, expected {describe(want[at])}{end}")
        return
    if isinstance(want, (tuple, list)):
        expect_type(got, (tuple, list), when=when)
        expect(len(got) == len(want), f"{when} you return {len(got)} values, expected {len(want)}{end}")
        for i, (one, other) in enumerate(zip(got, want, strict=True)):
            _compare(one, other, atol, f"{when}, value {i} of your answer:", hint)
        return
    if isinstance(want, (bool, np.bool_, int, float, np.number)):
        is_bool = isinstance(want, (bool, np.bool_))
        number = got[()] if isinstance(got, np.ndarray) and got.ndim == 0 else got
        expect_type(number, bool if is_bool else (int, float), when=when)
        if not _agree(np.asarray(number), np.asarray(want), atol):
            raise Incorrect(f"{when} you return {describe(number)}, expected {describe(want)}{end}")
        return
    if type(got) is not type(want) or got != want:
        raise Incorrect(f"{when} you return {describe(got)}, expected {describe(want)}{end}")


def _agree(got: np.ndarray, want: np.ndarray, atol: float) -> np.ndarray:
    """Compare elementwise; infinities must be equal, and NaN stands where NaN is wanted."""
    equal = got == want
    if np.issubdtype(want.dtype, np.inexact) or np.issubdtype(got.dtype, np.inexact):
        with np.errstate(invalid="ignore"):
            equal = equal | (np.abs(got.astype(np.float64) - want.astype(np.float64)) <= atol)
        equal = equal | (np.isnan(got) & np.isnan(want))
    return np.asarray(equal)


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
