"""Calling a student's function: copies go in and come out, and whatever happens becomes a verdict."""

import copy
import dis
import linecache
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from quantlab.lab.checks.describe import describe_call
from quantlab.lab.course import grading


class Incorrect(Exception):
    """The answer is wrong; the text is a hint that holds the smallest input that shows it."""


class NotAttempted(Exception):
    """The answer is still the stub."""


def attempt(function: Callable, *args: Any, inplace: bool = False, **kwargs: Any) -> Any:
    """Call a student's function on copies of the arguments, and return a copy of what it returns.

    Checks of kind "function" get their answer wrapped in this already; use it for methods of a student's class.

    Raises
    ------
    NotAttempted
        If the function raises NotImplementedError or returns ``...``.
    Incorrect
        If it raises anything else, returns None, or changes an argument (unless ``inplace``).

    Example
    -------
    >>> attempt(lambda x: x / 0, 1)
    Traceback (most recent call last):
    quantlab.lab.checks.attempt.Incorrect: with x=1 your code raised ZeroDivisionError: division by zero
    """
    shown = describe_call(function, args, kwargs)
    before = (args, kwargs) if inplace else copied((args, kwargs))
    given, named = (args, kwargs) if inplace else copied((args, kwargs))
    try:
        with warnings.catch_warnings():
            if grading():  # a warning on stderr would cost the student the points of the cell
                warnings.simplefilter("ignore")
            result = function(*given, **named)
    except NotImplementedError:
        raise NotAttempted from None
    except (Exception, SystemExit) as error:
        said = " ".join(traceback.format_exception_only(error)[-1].split())
        raise Incorrect(f"{shown}your code raised {said}{_place(error)}") from None
    if result is Ellipsis:
        raise NotAttempted
    if not inplace and not _same((given, named), before):
        raise Incorrect(f"{shown}your function changes its argument in place: work on a copy")
    if result is None and not inplace:
        raise Incorrect(f"{shown}your function returns nothing (None): is a return missing?")
    return copied(result)


def _place(error: BaseException) -> str:
    """Return the student's own line that raised, where its source is known."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    # The innermost frame may lie inside numpy; the student's file is that of the outermost.
    own = [f for f in frames if f.filename == frames[0].filename]
    line = linecache.getline(own[-1].filename, own[-1].lineno or 0).strip() if own else ""
    return f", at `{line}`" if line and own[-1].name != "<lambda>" else ""


def is_blank(function: Callable) -> bool:
    """Tell whether the body is only ``...``, ``pass`` or a docstring."""
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    idle = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}
    steps = list(dis.get_instructions(code))
    returns = [s.argval for s in steps if s.opname in {"LOAD_CONST", "RETURN_CONST"}]
    return {s.opname for s in steps} <= idle and returns == [None]


def copied(value: Any) -> Any:
    """Return a deep copy; what cannot be copied (a generator, a lock) comes back as it is."""
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(copied(v) for v in value)
    if type(value) is dict:
        return {k: copied(v) for k, v in value.items()}
    try:
        return copy.deepcopy(value)
    except Exception:
        return value


def _same(a: Any, b: Any) -> bool:
    """Tell whether two arguments still hold the same: arrays by value, containers by item, others by ==."""
    if a is b or isinstance(a, np.generic):  # the latter cannot change, and a NaN differs from itself
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if type(a).__eq__ is object.__eq__:  # compared by identity, which a copy never keeps
        return True
    try:
        return bool(a == b)
    except Exception:
        return True
