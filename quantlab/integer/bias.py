"""The scale of an accumulator, and the bias that is counted in it."""

import numpy as np

from quantlab.integer.fixedpoint import INT32_MAX, INT32_MIN

__all__ = ["bias_scale", "checked_scale", "quantize_bias"]


def bias_scale(x_scale: np.ndarray | float, w_scale: np.ndarray | float) -> np.ndarray:
    """Return the scale of the accumulator, and so of an int32 bias: ``x_scale * w_scale``, rounded to float32.

    Raises
    ------
    ValueError
        If a scale, or the product in float32, is not positive and finite.

    Examples
    --------
    >>> bias_scale(0.5, [0.25, 0.125])
    array([0.125 , 0.0625], dtype=float32)
    """
    x_scale, w_scale = checked_scale("x_scale", x_scale), checked_scale("w_scale", w_scale)
    with np.errstate(over="ignore", under="ignore"):
        product = x_scale * w_scale
    bad = ~(np.isfinite(product) & (product > 0))
    if bad.any():
        raise ValueError(
            f"x_scale * w_scale = {product[bad].flat[0]} in float32; expected a positive, finite scale: the two do not "
            "belong to one layer"
        )
    return product


def quantize_bias(bias: np.ndarray, *, x_scale: np.ndarray | float, w_scale: np.ndarray | float) -> np.ndarray:
    r"""Return the bias in the accumulator's own steps, so that it can be added before anything is rounded.

    .. math:: b_q = \mathrm{rint}\left( b / \mathrm{f32}(s_x s_w) \right)

    Parameters
    ----------
    bias : array_like of float, shape (C,)
    x_scale : float
    w_scale : float or array_like of float, shape (C,)

    Returns
    -------
    ndarray of int32, shape (C,)
        Zero point 0. Ties go to the even integer; the quotient is taken in float64.

    Raises
    ------
    ValueError
        As `bias_scale`, and if a bias is NaN, or a quotient leaves int32 (as with an infinite bias): such a layer has
        too small a scale for its bias.

    Examples
    --------
    >>> quantize_bias([1.0, -0.3], x_scale=0.5, w_scale=[0.25, 0.125])
    array([ 8, -5], dtype=int32)
    """
    bias = np.asarray(bias, np.float64)
    steps = np.rint(bias / bias_scale(x_scale, w_scale).astype(np.float64))
    bad = ~((steps >= INT32_MIN) & (steps <= INT32_MAX))
    if bad.any():
        raise ValueError(
            f"bias={np.broadcast_to(bias, steps.shape)[bad].flat[0]} is {steps[bad].flat[0]} steps of "
            "x_scale * w_scale; expected a number that int32 can hold: use a larger weight scale for this channel"
        )
    return steps.astype(np.int32)


def checked_scale(name: str, value: np.ndarray | float) -> np.ndarray:
    """Return a scale as float32; raise ValueError unless all of it is positive and finite."""
    value = np.asarray(value, np.float32)
    bad = ~(np.isfinite(value) & (value > 0))
    if bad.any():
        raise ValueError(f"{name}={value[bad].flat[0]}; expected a positive, finite scale")
    return value
