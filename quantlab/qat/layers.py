"""Layers that train through quantization, under a rule that is chosen by name."""

import numpy as np

from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams
from quantlab.core.windows import Padding
from quantlab.nn.conv import conv2d
from quantlab.nn.conv_layer import Conv2D
from quantlab.nn.layers import Layer, Linear
from quantlab.qat.learned_range import LearnedRange
from quantlab.qat.quantizers import (
    LEARNED,
    RULES,
    FakeQuantize,
    WeightQuantizer,
    check_rule,
    quantize_in_training,
)

__all__ = ["RULES", "FakeQuantize", "QATConv2D", "QATLinear", "Quantizing", "quantize_in_training"]


class Quantizing(Layer):
    """What layers with a quantizer on their weights, and one on their inputs, share; put it before the layer's class.

    A learned range joins the layer's ``params`` as ``w_step`` and ``x_step``, or ``w_alpha`` and ``x_alpha``.

    Attributes
    ----------
    quantize_w : WeightQuantizer or LearnedRange
        One scale an output.
    quantize_x : FakeQuantize, LearnedRange or None
        One scale.
    """

    quantize_w: WeightQuantizer | LearnedRange
    quantize_x: FakeQuantize | LearnedRange | None

    def add_quantizers(self, *, w_grid: Grid, x_grid: Grid | None, rule: str, rng: np.random.Generator) -> None:
        """Make both for the layer's ``params["W"]``; to be called once, by ``__init__``."""
        if not w_grid.signed:
            raise ValueError(f"w_grid={w_grid}; expected a signed grid: weights are quantized around zero")
        check_rule(rule, rng)
        self.quantize_x = None
        if rule in LEARNED:
            self.quantize_w = LearnedRange(w_grid, rule=rule, channels=len(self.params["W"]))
            if x_grid is not None:
                self.quantize_x = LearnedRange(x_grid, rule=rule, samples=True)
        else:
            self.quantize_w = WeightQuantizer(w_grid, axis=0, rule=rule, rng=rng)
            if x_grid is not None:
                self.quantize_x = FakeQuantize(x_grid, rule=rule, rng=rng)
        for prefix, quantizer in self._quantizers():
            self.params |= {prefix + name: value for name, value in quantizer.params.items()}

    def _quantizers(self) -> list[tuple[str, Layer]]:
        pairs = [("w_", self.quantize_w), ("x_", self.quantize_x)]
        return [(prefix, quantizer) for prefix, quantizer in pairs if quantizer is not None]

    def w_qparams(self) -> QParams:
        """Return scale and zero point of the weights as they are now."""
        return self.quantize_w.qparams(self.params["W"])

    def x_hat(self, X: np.ndarray, *, training: bool) -> np.ndarray:
        """Return the inputs that the layer computes with."""
        return X if self.quantize_x is None else self.quantize_x.forward(X, training=training)

    def backward_inputs(self, dX: np.ndarray) -> np.ndarray:
        """Take ``dX`` back through its quantizer, and collect the gradients of both learned ranges."""
        if self.quantize_x is not None:
            dX = self.quantize_x.backward(dX)
        for prefix, quantizer in self._quantizers():
            self.grads |= {prefix + name: value for name, value in quantizer.grads.items()}
        return dX


class QATLinear(Quantizing, Linear):
    """A linear layer that computes with quantized weights, and with quantized inputs if asked.

    ``params["W"]`` stays float32: it collects steps much smaller than a mark, and is quantized anew in every forward
    pass, symmetric, one scale an output. Under the rules "lsq" and "pact" the scales are trained; under the others they
    follow the largest magnitude, see `quantlab.qat.quantizers`.

    Parameters
    ----------
    n_in, n_out : int
    w_grid : Grid
        Of the weights, signed; for "pact" narrow.
    x_grid : Grid or None
        Of the inputs; None leaves them float. For "lsq" and "pact" real 0 is mark 0: inputs below 0 need a signed grid.
    rule : {"ste", "noise", "quant_noise", "none", "lsq", "pact"}
    rng : numpy.random.Generator
        Draws the first weights, and the noise of the rules that have any.

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
        self.add_quantizers(w_grid=w_grid, x_grid=x_grid, rule=rule, rng=rng)

    def forward(self, X: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Return ``X_hat @ W_hat.T + b``, shape (samples, n_out)."""
        self._check_input(X)
        X_hat = self.x_hat(X, training=training)
        W_hat = self.quantize_w.forward(self.params["W"], training=training)
        self._kept = (X_hat, W_hat) if training else None
        return X_hat @ W_hat.T + self.params["b"]

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Set ``grads``, the one of W under the rule, and return ``dX`` under the rule."""
        dX = super().backward(dY)
        self.grads["W"] = self.quantize_w.backward(self.grads["W"])
        return self.backward_inputs(dX)


class QATConv2D(Quantizing, Conv2D):
    """A convolution that computes with quantized weights, one scale an output, and with quantized inputs if asked.

    Parameters
    ----------
    n_in, n_out, kernel, stride, padding, groups
        As for `quantlab.nn.conv_layer.Conv2D`. Padding is real 0, which has a mark of its own.
    w_grid, x_grid, rule, rng
        As for `QATLinear`.

    Raises
    ------
    ValueError
        As `Conv2D` and `QATLinear`.

    Examples
    --------
    >>> grids = {"w_grid": Grid(n_bits=2), "x_grid": None}
    >>> layer = QATConv2D(1, 1, kernel=(1, 3), **grids, rule="ste", rng=np.random.default_rng(0))
    >>> layer.params["W"][0, 0, :, 0] = [1.5, 0.6, -0.4]
    >>> layer.forward(np.eye(3, dtype=np.float32)[:, None, :, None], training=True)[:, 0, 1, 0]
    array([1., 1., 0.], dtype=float32)
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        kernel: tuple[int, int],
        stride: tuple[int, int] = (1, 1),
        padding: Padding = "same",
        groups: int = 1,
        w_grid: Grid,
        x_grid: Grid | None,
        rule: str,
        rng: np.random.Generator,
    ):
        super().__init__(n_in, n_out, kernel=kernel, stride=stride, padding=padding, groups=groups, rng=rng)
        self.add_quantizers(w_grid=w_grid, x_grid=x_grid, rule=rule, rng=rng)

    def forward(self, X: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Return the convolution of what both quantizers give, shape (samples, out height, out width, n_out)."""
        X_hat = self.x_hat(X, training=training)
        W_hat = self.quantize_w.forward(self.params["W"], training=training)
        return self.convolve(X_hat, W_hat, training=training) + self.params["b"]

    def convolve(self, X_hat: np.ndarray, W_hat: np.ndarray, *, training: bool) -> np.ndarray:
        """Return the convolution of given values, without bias; ``Conv2D.backward`` will go back through it."""
        self._kept = (X_hat, W_hat) if training else None
        return conv2d(X_hat, W_hat, None, stride=self.stride, padding=self.padding, groups=self.groups)

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Set ``grads``, the one of W under the rule, and return ``dX`` under the rule."""
        dX = super().backward(dY)
        self.grads["W"] = self.quantize_w.backward(self.grads["W"])
        return self.backward_inputs(dX)
