"""Checks of arguments that the whole core shares: without them numpy misreads a value, or fails in its own words."""

import numpy as np


def as_array(name: str, x) -> np.ndarray:
    """Return `x` as an array; raise TypeError for a masked array, ValueError for rows of unequal lengths.

    Examples
    --------
    >>> as_array("x", [[1.0], [2.0]]).shape
    (2, 1)
    """
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, whose mask would be lost; pass {name}.filled(value) or .compressed()"
        )
    try:
        return np.asarray(x)
    except ValueError as error:
        raise ValueError(f"{name} has rows of unequal lengths; pass one array, or pad the rows") from error


def as_reals(name: str, x) -> np.ndarray:
    """Return `x` as an array of floats or integers; raise TypeError for any other dtype.

    Examples
    --------
    >>> as_reals("lo", 3)
    array(3)
    """
    x = as_array(name, x)
    if x.dtype.kind not in "fiu":
        raise TypeError(f"{name} has dtype {x.dtype}; pass real values, as {name}.astype(np.float32)")
    return x


def as_integer(name: str, value) -> int:
    """Return `value` as a Python int, which cannot overflow; raise TypeError for a bool or anything else.

    Examples
    --------
    >>> as_integer("n_bits", np.int8(8))
    8
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}; pass an integer")
    return int(value)


def as_real(name: str, value) -> float:
    """Return `value` as a Python float; raise TypeError for a bool or anything else that is not one real number.

    Examples
    --------
    >>> as_real("percentile", 99)
    99.0
    """
    if isinstance(value, bool) or not isinstance(value, float | int | np.floating | np.integer):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}; pass one real number")
    return float(value)


def as_flag(name: str, value) -> bool:
    """Return `value` as a Python bool; raise TypeError for anything else: the string "False" would count as true.

    Examples
    --------
    >>> as_flag("signed", np.bool_(True))
    True
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}; pass True or False")
    return bool(value)
