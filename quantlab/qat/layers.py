"""Layers that train through quantization, under a rule that is chosen by name."""

import numpy as np

from quantlab.core.affine import fake_quantize
from quantlab.core.granularity import reduce_groups
from quantlab.core.grid import Grid
from quantlab.core.observers import MovingAverageObserver
from quantlab.core.qparams import QParams, choose_qparams
from quantlab.nn.layers import Layer, Linear
from quantlab.qat.noise import add_rounding_noise, noise_mask
from quantlab.qat.ste import straight_through_mask

__all__ = ["RULES", "FakeQuantize", "QATLinear", "quantize_in_training"]

RULES = ("ste", "noise", "none")


def quantize_in_training(
    x: np.ndarray, qp: QParams, *, rule: str, rng: np.random.Generator | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values that a network in training computes with, and where the gradient passes.

    ========= ============================ =====================================================
    rule      values                       gradient by x
    ========= ============================ =====================================================
    "ste"     ``fake_quantize(x)``         1 where the rounded value is on the grid, else 0
    "noise"   clipped x plus noise         1 where x is in the range, else 0
    "none"    ``fake_quantize(x)``         0: the true one, wherever rounding has a gradient
    ========= ============================ =====================================================

    Parameters
    ----------
    x : ndarray of float32, any shape
    qp : QParams
    rule : {"ste", "noise", "none"}
    rng : numpy.random.Generator
        For "noise" alone.

    Returns
    -------
    x_hat : ndarray of float32, mask : ndarray of bool
        Both in the shape of ``x``.

    Raises
    ------
    ValueError
        If the rule is unknown, "noise" comes without ``rng``, or shapes do not fit. NaN in ``x`` stays NaN.

    Examples
    --------
    >>> qp = QParams(scale=1.0, zero_point=0, grid=Grid(n_bits=2))
    >>> x = np.array([0.4, 1.4, 1.6], dtype=np.float32)
    >>> quantize_in_training(x, qp, rule="ste")
    (array([0., 1., 1.], dtype=float32), array([ True,  True, False]))
    >>> quantize_in_training(x, qp, rule="none")
    (array([0., 1., 1.], dtype=float32), array([False, False, False]))
    """
    _check_rule(rule, rng)
    if rule == "noise":
        return add_rounding_noise(x, qp, rng=rng), noise_mask(x, qp)
    x_hat = fake_quantize(x, qp)
    return x_hat, straight_through_mask(x, qp) if rule == "ste" else np.zeros(np.shape(x), bool)


class FakeQuantize(Layer):
    """Quantizes activations to the range that a moving average has seen: one asymmetric scale a tensor.

    In training it first updates the average, then applies the rule. Otherwise it rounds, whatever the rule.

    Parameters
    ----------
    grid : Grid
    rule : {"ste", "noise", "none"}
    rng : numpy.random.Generator
        For "noise" alone.
    averaging_constant : float
        Weight of a new batch, in (0, 1]. The first batch sets the range.

    Raises
    ------
    ValueError
        If the rule is unknown, "noise" comes without ``rng``; in ``forward``, before any batch was seen in training.

    Examples
    --------
    >>> layer = FakeQuantize(Grid(n_bits=2, signed=False), rule="ste")
    >>> X = np.array([[0.0, 1.0, 2.2, 3.0]], dtype=np.float32)
    >>> layer.forward(X, training=True)
    array([[0., 1., 2., 3.]], dtype=float32)
    >>> layer.forward(np.array([[9.0]], dtype=np.float32))
    array([[3.]], dtype=float32)
    """

    def __init__(
        self, grid: Grid, *, rule: str, rng: np.random.Generator | None = None, averaging_constant: float = 0.1
    ):
        super().__init__()
        _check_rule(rule, rng)
        self.grid, self.rule, self.rng = grid, rule, rng
        self.observer = MovingAverageObserver(averaging_constant=averaging_constant)

    def forward(self, X: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Return the quantized, or noisy, activations."""
        if not training:
            self._kept = None
            return fake_quantize(X, self.observer.qparams(grid=self.grid))
        qp = self.observer.update(X).qparams(grid=self.grid)
        X_hat, mask = quantize_in_training(X, qp, rule=self.rule, rng=self.rng)
        self._kept = (mask,)
        return X_hat

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Return ``dY`` where the rule lets it pass, and 0 elsewhere."""
        (mask,) = self._recall()
        return dY * mask


class QATLinear(Linear):
    """A linear layer that computes with quantized weights, and with quantized inputs if asked.

    ``params["W"]`` stays float32: it collects steps much smaller than a mark, and is quantized anew in every forward
    pass, symmetric, one scale an output, from its largest magnitude. The scale counts as a constant in the gradient. On
    a full grid (-128 to 127) a largest weight that is positive rounds to one mark beyond the grid and is clipped, which
    stops its gradient; on a narrow one nothing is clipped.

    Parameters
    ----------
    n_in, n_out : int
    w_grid : Grid
        Of the weights, signed.
    x_grid : Grid or None
        Of the inputs, see `FakeQuantize`; None leaves them float.
    rule : {"ste", "noise", "none"}
    rng : numpy.random.Generator
        Draws the first weights, and the noise of the rule "noise".

    Raises
    ------
    ValueError
        If the rule is unknown or ``w_grid`` is unsigned; in ``forward``, if ``X`` is not (samples, n_in).

    Examples
    --------
    Weights of 2 bits, -2, -1, 0 or 1 steps: 1.5 is clipped, 0.6 and -0.4 are rounded.

    >>> layer = QATLinear(3, 1, w_grid=Grid(n_bits=2), x_grid=None, rule="ste", rng=np.random.default_rng(0))
    >>> layer.params["W"][:] = [[1.5, 0.6, -0.4]]
    >>> layer.forward(np.eye(3, dtype=np.float32), training=True).ravel()
    array([1., 1., 0.], dtype=float32)
    >>> _ = layer.backward(np.ones((3, 1), dtype=np.float32))
    >>> layer.grads["W"]
    array([[0., 1., 1.]], dtype=float32)
    """

    def __init__(
        self, n_in: int, n_out: int, *, w_grid: Grid, x_grid: Grid | None, rule: str, rng: np.random.Generator
    ):
        super().__init__(n_in, n_out, rng=rng)
        if not w_grid.signed:
            raise ValueError(f"w_grid={w_grid}; expected a signed grid: weights are quantized around zero")
        _check_rule(rule, rng)
        self.w_grid, self.rule, self.rng = w_grid, rule, rng
        self.quantize_x = None if x_grid is None else FakeQuantize(x_grid, rule=rule, rng=rng)

    def w_qparams(self) -> QParams:
        """Return scale and zero point of the weights as they are now."""
        W = self.params["W"]
        lo, hi = reduce_groups(W, np.min, axis=0), reduce_groups(W, np.max, axis=0)
        return choose_qparams(lo, hi, grid=self.w_grid, symmetric=True, axis=0)

    def forward(self, X: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Return ``X_hat @ W_hat.T + b``, shape (samples, n_out)."""
        W, b = self.params["W"], self.params["b"]
        self._check_input(X)
        if self.quantize_x is not None:
            X = self.quantize_x.forward(X, training=training)
        if not training:
            self._kept = None
            return X @ fake_quantize(W, self.w_qparams()).T + b
        W_hat, mask = quantize_in_training(W, self.w_qparams(), rule=self.rule, rng=self.rng)
        self._kept = (X, W_hat, mask)
        return X @ W_hat.T + b

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Set ``grads``, the one of W under the rule, and return ``dX`` under the rule."""
        X, W_hat, mask = self._recall()
        self.grads["W"] = (dY.T @ X) * mask
        self.grads["b"] = dY.sum(axis=0)
        dX = dY @ W_hat
        return dX if self.quantize_x is None else self.quantize_x.backward(dX)


def _check_rule(rule: str, rng: np.random.Generator | None) -> None:
    if rule not in RULES:
        raise ValueError(f"rule={rule!r}; expected one of {RULES}")
    if rule == "noise" and rng is None:
        raise ValueError('rule="noise" draws random numbers; pass rng=np.random.default_rng(seed)')
