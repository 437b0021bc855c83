"""Inputs and answers in a few words, for verdicts: the same text on every machine."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

MAX_ITEMS = 8


def describe(value: Any) -> str:
    """Return a short text for a value: small arrays in full, large ones by shape and range.

    >>> describe(np.float32(0.1)), describe(np.array([1, 2], dtype=np.int8))
    ('0.1', 'int8 [1, 2]')
    >>> describe(np.zeros((100, 3), dtype=np.float32))
    'float32 array of shape (100, 3), values 0 to 0'
    """
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.6g}"
    if isinstance(value, np.integer):
        return str(int(value))
    if isinstance(value, np.ndarray):
        return _describe_array(value)
    if isinstance(value, (list, tuple)) and len(value) <= MAX_ITEMS:
        left, right = "[]" if isinstance(value, list) else "()"
        return left + ", ".join(describe(v) for v in value) + right
    if inspect.isfunction(value) or inspect.isclass(value):
        return value.__name__
    text = repr(value)
    return text if len(text) <= 80 and " at 0x" not in text else f"object of type {type(value).__name__}"


def _describe_array(x: np.ndarray) -> str:
    if x.size <= MAX_ITEMS or (x.ndim == 2 and x.size <= 2 * MAX_ITEMS):
        items = np.array2string(x, separator=", ", precision=6, suppress_small=True, floatmode="maxprec")
        return f"{x.dtype} {' '.join(items.split())}"
    if not np.issubdtype(x.dtype, np.number) or np.issubdtype(x.dtype, np.complexfloating):
        return f"{x.dtype} array of shape {x.shape}"
    return f"{x.dtype} array of shape {x.shape}, values {float(x.min()):.4g} to {float(x.max()):.4g}"


def describe_call(function: Callable, args: tuple, kwargs: Mapping[str, Any]) -> str:
    """Return ``"with lo=2, hi=5 "`` for a call, or nothing for a call without arguments.

    >>> describe_call(lambda lo, hi: None, (2, 5), {})
    'with lo=2, hi=5 '
    """
    try:
        named = inspect.signature(function).bind(*args, **kwargs).arguments
    except (TypeError, ValueError):  # the call does not fit the signature, or there is none to read
        named = {f"argument {i}": a for i, a in enumerate(args, 1)} | dict(kwargs)
    shown = ", ".join(f"{name}={describe(value)}" for name, value in named.items())
    return f"with {shown} " if shown else ""
