r"""AdaRound: learn for each weight whether to round it up or down.

Rounding to nearest makes the error of every single weight as small as it can be. The output's error is another matter:
it is a sum, and errors that point the same way add up. With H the second moments of the inputs, a row's mean squared
output error is the quadratic form

.. math:: \mathrm{E}\big[(e \cdot x)^2\big] = e^T H e, \qquad e = \hat w - w,\quad H = \mathrm{E}[x x^T],

and over the 2^n ways to round n weights up or down its minimum is seldom at "all to nearest". AdaRound looks for it by
gradient descent on a soft choice h between 0 (down) and 1 (up), which a growing penalty drives to either end.
"""

import math
from typing import NamedTuple

import numpy as np

from quantlab.core.arguments import as_integer
from quantlab.core.granularity import scale_view
from quantlab.core.qparams import QParams
from quantlab.nn.optim import Adam

__all__ = ["Moments", "adaround", "beta_schedule", "moments", "rectified_sigmoid", "regularizer", "round_adaptively"]

GAMMA, ZETA = -0.1, 1.1  # a sigmoid stretched to these ends and clipped reaches 0 and 1 at finite V


class Moments(NamedTuple):
    """Second moments of a layer's inputs: all that the best rounding depends on.

    x is the input in the float network, x_hat the one that the rounded layer gets. Leading axes, if there are any, are
    groups, such as the channels of a depthwise convolution.
    """

    H: np.ndarray  # E[x_hat x_hat^T], (..., in, in)
    C: np.ndarray  # E[x_hat x^T]


def moments(X: np.ndarray, X_hat: np.ndarray | None = None) -> Moments:
    """Return the second moments of inputs (..., samples, in), float64; without `X_hat` both are the same.

    Raises
    ------
    ValueError
        If there is no sample, or the shapes differ.

    Examples
    --------
    >>> moments(np.array([[1.0, 2.0], [3.0, 0.0]])).H
    array([[5., 1.],
           [1., 2.]])
    """
    X = np.asarray(X, np.float64)
    same = X_hat is None or X_hat is X
    X_hat = X if same else np.asarray(X_hat, np.float64)
    if X.ndim < 2 or not X.shape[-2] or X_hat.shape != X.shape:
        raise ValueError(
            f"X.shape={X.shape}, X_hat.shape={X_hat.shape}; expected (..., samples, in) twice, 1 sample or more"
        )
    n, turned = X.shape[-2], np.swapaxes(X_hat, -1, -2)
    H = turned @ X_hat / n
    return Moments(H, H if same else turned @ X / n)


def adaround(
    W: np.ndarray,
    X: np.ndarray,
    *,
    qp: QParams,
    X_hat: np.ndarray | None = None,
    n_steps: int = 500,
    lr: float = 0.03,
    regularization: float = 1.0,
    betas: tuple[float, float] = (20.0, 2.0),
    warmup: float = 0.2,
) -> np.ndarray:
    r"""Return codes of the weights of a linear layer, each rounded up or down so that its outputs change least.

    .. math:: \min_{V} \; \mathrm{E}\,\lVert W x - \hat W(V)\, \hat x \rVert^2
              + \lambda \sum_{ij} 1 - |2 h(V_{ij}) - 1|^\beta,
              \qquad \hat W = s\, \mathrm{clip}\big(\lfloor W / s \rfloor + h(V),\, q_{\min},\, q_{\max}\big)

    A bias is not needed: it is the same on both sides.

    Parameters
    ----------
    W : ndarray of float, shape (out, in)
    X : ndarray of float, shape (samples, in)
        Inputs of the layer in the float network. Fewer samples than inputs leave directions unseen.
    qp : QParams
        Symmetric; per tensor, or per channel with axis=0.
    X_hat : ndarray of float, shape (samples, in), optional
        Inputs of the same samples when the layers before are quantized already ("asymmetric reconstruction"): the
        rounding then makes up for part of their errors. Without it, `X`.
    n_steps : int
        Steps of Adam, each on all samples: they enter through their moments only.
    lr : float
    regularization : float
        :math:`\lambda` in units of what an error of one whole step in one weight costs on average, s^2 times the mean
        of H's diagonal. The paper's is in the units of the layer's output.
    betas : (float, float)
        The penalty's exponent at the start and at the end, see `beta_schedule`.
    warmup : float
        Share of the steps without penalty.

    Returns
    -------
    ndarray of ``qp.grid.dtype``, shape (out, in)
        Never further than one code from W / s, but where the grid ends. No row is worse on `X` than rounded to nearest:
        a row that is takes nearest.

    Raises
    ------
    ValueError
        If shapes do not fit, the zero point is not 0, scales lie along another axis, a weight or an input is NaN or
        infinite, or a number is out of its range.

    References
    ----------
    M. Nagel, R. A. Amjad, M. van Baalen, C. Louizos, T. Blankevoort, "Up or Down? Adaptive Rounding for Post-Training
    Quantization", ICML 2020, arXiv:2004.10568, eqs. 21 to 24. Their eq. 25 compares outputs after the activation; that
    is no quadratic form any more, and is left out here.

    Examples
    --------
    Two equal inputs: with both weights rounded to nearest the errors add up to 0.79, with one of them up to 0.21.

    >>> from quantlab.core.grid import Grid
    >>> qp = QParams(scale=1.0, zero_point=0, grid=Grid(n_bits=4))
    >>> adaround(np.array([[1.4, 2.39]]), np.array([[1.0, 1.0], [2.0, 2.0]]), qp=qp)
    array([[2, 2]], dtype=int8)
    """
    if W.ndim != 2 or X.ndim != 2 or X.shape[1] != W.shape[1] or (X_hat is not None and X_hat.shape != X.shape):
        raise ValueError(
            f"W.shape={W.shape}, X.shape={X.shape}, X_hat {None if X_hat is None else X_hat.shape}; expected "
            "(out, in), (samples, in) and None or the shape of X"
        )
    return round_adaptively(
        W, moments(X, X_hat), qp=qp, n_steps=n_steps, lr=lr, regularization=regularization, betas=betas, warmup=warmup
    )


def round_adaptively(
    W: np.ndarray,
    found: Moments,
    *,
    qp: QParams,
    n_steps: int = 500,
    lr: float = 0.03,
    regularization: float = 1.0,
    betas: tuple[float, float] = (20.0, 2.0),
    warmup: float = 0.2,
) -> np.ndarray:
    """Return what `adaround` does, for moments in place of samples.

    Parameters
    ----------
    W : ndarray of float, shape (out, in), or (out, kernel) of a depthwise convolution
    found : Moments
        Of shape (in, in), or (out, kernel, kernel): each output has inputs of its own.
    """
    steps = as_integer("n_steps", n_steps)
    if np.any(qp.zero_point) or steps < 1 or not 0 <= warmup < 1 or not (lr > 0 and regularization >= 0):
        raise ValueError(
            f"zero_point={qp.zero_point}, n_steps={n_steps}, lr={lr}, regularization={regularization}, "
            f"warmup={warmup}; expected zero points 0, n_steps 1 or more, lr above 0, regularization 0 or more, warmup "
            "from 0 to below 1"
        )
    if qp.axis not in (None, 0) or qp.group_size is not None:
        raise ValueError(f"qp.axis={qp.axis}, qp.group_size={qp.group_size}; expected one scale, or one a row (axis=0)")
    W = np.asarray(W, np.float64)
    if not all(np.isfinite(values).all() for values in (W, *found)):
        raise ValueError("W or the inputs hold NaN or infinities, which no integer says; find where they come from")
    s = np.broadcast_to(scale_view(qp.scale, W.shape, axis=qp.axis, group_size=None).reshape(-1, 1), (len(W), 1))
    s = s.astype(np.float64)
    lo, hi = qp.grid.quant_min, qp.grid.quant_max
    # All in steps of the grid. A row's error is e^T H e + 2 e^T d + constant, with d = (H - C) w.
    target = W / s
    d = _rows(target, (found.H - found.C).swapaxes(-1, -2))
    unit = np.maximum(np.einsum("...ii->...i", found.H).mean(axis=-1, keepdims=True), np.finfo(np.float32).tiny)
    H = (found.H / (unit[..., None] if found.H.ndim == 3 else unit)).astype(np.float32)
    d = (d / unit).astype(np.float32)

    floor = np.floor(target)
    params = {"V": _inverse_sigmoid(target - floor).astype(np.float32)}
    free = (floor >= lo) & (floor + 1 <= hi)  # elsewhere the clip decides
    base = (np.where(free, floor, np.clip(floor, lo, hi)) - target).astype(np.float32)
    adam = Adam(lr=lr)
    for step in range(steps):
        h, slope = rectified_sigmoid(params["V"])
        gradient = 2 * (_rows(base + h * free, H) + d) * slope
        if step >= warmup * steps:
            beta = beta_schedule((step / steps - warmup) / (1 - warmup), betas=betas)
            gradient += regularization * regularizer(params["V"], beta=beta)[1]
        adam.step(params, {"V": np.where(free, gradient, 0).astype(np.float32)})

    learned = np.clip(floor + (params["V"] > 0), lo, hi)
    nearest = np.clip(np.rint(target), lo, hi)
    errors = [((q - target) * (_rows(q - target, H) + 2 * d)).sum(axis=-1, keepdims=True) for q in (learned, nearest)]
    return np.where(errors[0] < errors[1], learned, nearest).astype(qp.grid.dtype)


def rectified_sigmoid(V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Return h(V) and its derivative.

    .. math:: h(V) = \mathrm{clip}\big(\sigma(V)\,(\zeta - \gamma) + \gamma,\; 0,\; 1\big), \qquad
              \zeta = 1.1,\ \gamma = -0.1

    It reaches 0 and 1 at finite V, where a sigmoid's gradient would only fade. Where it is clipped, the derivative is
    0. Infinities give 0 and 1, NaN gives NaN.

    References
    ----------
    Nagel et al. 2020, eq. 23.

    Examples
    --------
    >>> rectified_sigmoid(np.array([-3.0, 0.0, 3.0]))[0]
    array([0. , 0.5, 1. ])
    """
    with np.errstate(over="ignore"):
        sigma = 1 / (1 + np.exp(-V))
    stretched = sigma * (ZETA - GAMMA) + GAMMA
    inside = (stretched > 0) & (stretched < 1)
    return np.clip(stretched, 0, 1), np.where(inside, sigma * (1 - sigma) * (ZETA - GAMMA), 0)


def regularizer(V: np.ndarray, *, beta: float) -> tuple[float, np.ndarray]:
    r"""Return the penalty on undecided weights, and its gradient by V.

    .. math:: f = \sum_{ij} 1 - |2 h(V_{ij}) - 1|^\beta

    1 for h = 1/2, 0 at h = 0 and 1. With a large beta only what is nearly decided is pulled in; with beta = 2 all.

    Raises
    ------
    ValueError
        If beta is below 1: the gradient would be infinite at h = 1/2.

    References
    ----------
    Nagel et al. 2020, eq. 24.

    Examples
    --------
    >>> regularizer(np.array([-9.0, 0.0]), beta=2.0)[0]
    1.0
    """
    if not beta >= 1:
        raise ValueError(f"beta={beta}; expected 1 or more")
    h, slope = rectified_sigmoid(V)
    side = 2 * h - 1
    power = np.abs(side) ** (beta - 1)
    return float((1 - power * np.abs(side)).sum()), -2 * beta * power * np.sign(side) * slope


def beta_schedule(t: float, *, betas: tuple[float, float]) -> float:
    r"""Return the exponent at time t, from 0 to 1: half a cosine from the first beta to the second.

    Examples
    --------
    >>> [beta_schedule(t, betas=(20.0, 2.0)) for t in (0.0, 0.5, 1.0)]
    [20.0, 11.0, 2.0]
    """
    start, end = betas
    return end + (start - end) * (1 + math.cos(math.pi * t)) / 2


def _inverse_sigmoid(h: np.ndarray) -> np.ndarray:
    """Return V with h(V) = h, for h in [0, 1]: the warm start, at which the soft weights are the float ones."""
    sigma = (h - GAMMA) / (ZETA - GAMMA)
    return np.log(sigma / (1 - sigma))


def _rows(e: np.ndarray, H: np.ndarray) -> np.ndarray:
    """Return each row of e times its H: one for all rows, or (rows, in, in)."""
    return e @ H if H.ndim == 2 else np.matmul(e[:, None], H)[:, 0]
