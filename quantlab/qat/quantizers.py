"""Quantizers for training whose range follows the data, and the rules by which a gradient goes back through them.

They have the form of a layer. ``forward(X, training=True)`` may change the quantizer (an average, a first step);
``backward`` fills ``grads`` where it has ``params``; ``qparams(x)`` says which scale and zero point hold.
"""

import numpy as np

from quantlab.core.affine import fake_quantize
from quantlab.core.granularity import reduce_groups
from quantlab.core.grid import Grid
from quantlab.core.observers import MovingAverageObserver
from quantlab.core.qparams import QParams, choose_qparams
from quantlab.nn.layers import Layer
from quantlab.qat.noise import add_rounding_noise, noise_mask, quantize_random_part
from quantlab.qat.ste import straight_through_mask

__all__ = ["FIXED", "LEARNED", "RULES", "FakeQuantize", "WeightQuantizer", "check_rule", "quantize_in_training"]

FIXED = ("ste", "noise", "quant_noise", "none")  # the range follows the data
LEARNED = ("lsq", "pact")  # the range is a parameter
RULES = (*FIXED, *LEARNED)
SHARE = 0.5  # of the weights that "quant_noise" rounds at a time


def quantize_in_training(
    x: np.ndarray, qp: QParams, *, rule: str, rng: np.random.Generator | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values that a network in training computes with, and where the gradient passes.

    ============= ============================ =====================================================
    rule          values                       gradient by x
    ============= ============================ =====================================================
    "ste"         ``fake_quantize(x)``         1 where the rounded value is on the grid, else 0
    "noise"       clipped x plus noise         1 where x is in the range, else 0
    "quant_noise" half of it fake-quantized    as "ste" on that half, 1 on the other
    "none"        ``fake_quantize(x)``         0: the true one, wherever rounding has a gradient
    ============= ============================ =====================================================

    Parameters
    ----------
    x : ndarray of float32, any shape
    qp : QParams
    rule : {"ste", "noise", "quant_noise", "none"}
        The rules "lsq" and "pact" learn a range besides, and have functions of their own.
    rng : numpy.random.Generator
        For "noise" and "quant_noise".

    Returns
    -------
    x_hat : ndarray of float32, mask : ndarray of bool
        Both in the shape of ``x``.

    Raises
    ------
    ValueError
        If the rule is unknown, needs ``rng`` and has none, or shapes do not fit. NaN in ``x`` stays NaN.

    Examples
    --------
    >>> qp = QParams(scale=1.0, zero_point=0, grid=Grid(n_bits=2))
    >>> x = np.array([0.4, 1.4, 1.6], dtype=np.float32)
    >>> quantize_in_training(x, qp, rule="ste")
    (array([0., 1., 1.], dtype=float32), array([ True,  True, False]))
    >>> quantize_in_training(x, qp, rule="none")
    (array([0., 1., 1.], dtype=float32), array([False, False, False]))
    """
    check_rule(rule, rng, among=FIXED)
    if rule == "noise":
        return add_rounding_noise(x, qp, rng=rng), noise_mask(x, qp)
    if rule == "quant_noise":
        return quantize_random_part(x, qp, share=SHARE, rng=rng)
    x_hat = fake_quantize(x, qp)
    return x_hat, straight_through_mask(x, qp) if rule == "ste" else np.zeros(np.shape(x), bool)


class FakeQuantize(Layer):
    """Quantizes activations to the range that a moving average has seen: one asymmetric scale a tensor.

    In training it first updates the average, then applies the rule. Otherwise it rounds, whatever the rule.

    Parameters
    ----------
    grid : Grid
    rule : {"ste", "noise", "quant_noise", "none"}
        "quant_noise" is a rule for weights: activations go straight through.
    rng : numpy.random.Generator
        For "noise".
    averaging_constant : float
        Weight of a new batch, in (0, 1]. The first batch sets the range.

    Attributes
    ----------
    observing, quantizing : bool
        Switches for a `quantlab.qat.schedule.Schedule`: whether training still moves the average, and whether training
        quantizes at all.

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
        self.rule = "ste" if rule == "quant_noise" else rule
        check_rule(self.rule, rng, among=FIXED)
        self.grid, self.rng = grid, rng
        self.observer = MovingAverageObserver(averaging_constant=averaging_constant)
        self.observing = self.quantizing = True

    def qparams(self, X: np.ndarray | None = None) -> QParams:
        """Return scale and zero point; they do not depend on ``X``."""
        return self.observer.qparams(grid=self.grid)

    def forward(self, X: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Return the quantized, or noisy, activations."""
        if not training:
            self._kept = None
            return fake_quantize(X, self.qparams())
        if self.observing:
            self.observer.update(X)
        if not self.quantizing:
            self._kept = (np.True_,)
            return X
        X_hat, mask = quantize_in_training(X, self.qparams(), rule=self.rule, rng=self.rng)
        self._kept = (mask,)
        return X_hat

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Return ``dY`` where the rule lets it pass, and 0 elsewhere."""
        (mask,) = self._recall()
        return dY * mask


class WeightQuantizer(Layer):
    """Quantizes weights, symmetric, one scale an output, to the largest magnitude that they have now.

    The scale counts as a constant in the gradient. On a full grid (-128 to 127) a largest weight that is positive
    rounds to one mark beyond the grid and is clipped, which stops its gradient; on a narrow one nothing is clipped.

    Parameters
    ----------
    grid : Grid
        Signed.
    axis : int or None
        Of the outputs; None for one scale in all.
    rule : {"ste", "noise", "quant_noise", "none"}
    rng : numpy.random.Generator
        For "noise" and "quant_noise".

    Examples
    --------
    >>> quantizer = WeightQuantizer(Grid(n_bits=2), axis=0, rule="ste")
    >>> quantizer.forward(np.array([[1.5, 0.6, -0.4]], dtype=np.float32), training=True)
    array([[1., 1., 0.]], dtype=float32)
    >>> quantizer.backward(np.ones((1, 3), dtype=np.float32))
    array([[0., 1., 1.]], dtype=float32)
    """

    def __init__(self, grid: Grid, *, axis: int | None, rule: str, rng: np.random.Generator | None = None):
        super().__init__()
        check_rule(rule, rng, among=FIXED)
        self.grid, self.axis, self.rule, self.rng = grid, axis, rule, rng

    def qparams(self, W: np.ndarray) -> QParams:
        """Return scale and zero point of the weights as they are now."""
        lo, hi = reduce_groups(W, np.min, axis=self.axis), reduce_groups(W, np.max, axis=self.axis)
        return choose_qparams(lo, hi, grid=self.grid, symmetric=True, axis=self.axis)

    def forward(self, W: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Return what the layer computes with in place of ``W``."""
        self._kept = None
        if not training:
            return fake_quantize(W, self.qparams(W))
        W_hat, mask = quantize_in_training(W, self.qparams(W), rule=self.rule, rng=self.rng)
        self._kept = (mask,)
        return W_hat

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Return the gradient by W, given the one by what ``forward`` returned."""
        (mask,) = self._recall()
        return dY * mask


def check_rule(rule: str, rng: np.random.Generator | None, *, among: tuple[str, ...] = RULES) -> None:
    """Raise ValueError unless the rule is known, and has random numbers if it draws any."""
    if rule not in among:
        raise ValueError(f"rule={rule!r}; expected one of {among}")
    if rule in ("noise", "quant_noise") and rng is None:
        raise ValueError(f'rule="{rule}" draws random numbers; pass rng=np.random.default_rng(seed)')
