"""What a layer makes of an input that is constant in every channel: means and absorbed biases travel so."""

import numpy as np

__all__ = ["constant_response"]


def constant_response(W: np.ndarray, x: np.ndarray) -> np.ndarray:
    r"""Return a layer's output, without its bias, for an input that has one value a channel at all places.

    .. math:: y_o = \sum_c \Big( \sum_{ij} W_{oijc} \Big) x_c

    over the channels c of the group that output o reads. How many groups there are follows from the shapes.

    Parameters
    ----------
    W : ndarray of float, shape (out, ..., channels / groups)
    x : array_like of float, shape (channels,)

    Returns
    -------
    ndarray of float64, shape (out,)

    Raises
    ------
    ValueError
        If the channels, or the outputs, are not as many equal groups as the shapes imply.

    Examples
    --------
    >>> constant_response(np.float32([[1.0, 2.0], [0.0, -1.0]]), np.array([10.0, 1.0]))
    array([12., -1.])
    >>> constant_response(np.ones((2, 3, 3, 1), np.float32), np.array([10.0, 1.0]))  # depthwise
    array([90.,  9.])
    """
    x, n_in = np.asarray(x, np.float64), W.shape[-1] if W.ndim > 1 else 0
    groups = len(x) // n_in if x.ndim == 1 and n_in else 0
    if not groups or groups * n_in != len(x) or len(W) % groups:
        raise ValueError(
            f"W.shape={W.shape}, x.shape={x.shape}; expected (out, ..., channels / groups) and (channels,), with "
            "groups dividing out"
        )
    kernel = W.astype(np.float64).sum(axis=tuple(range(1, W.ndim - 1)))  # over the window
    return (kernel.reshape(groups, -1, n_in) @ x.reshape(groups, n_in, 1)).reshape(-1)
