"""The quantizer whose range is trained, for weights and for activations."""

import numpy as np

from quantlab.core.affine import fake_quantize
from quantlab.core.grid import Grid
from quantlab.core.qparams import EPS, QParams
from quantlab.nn.layers import Layer
from quantlab.qat.clipping import clip_backward, clip_qparams, initial_clip
from quantlab.qat.lsq import gradient_scale, initial_step, lsq_backward, step_qparams
from quantlab.qat.quantizers import LEARNED, check_rule

__all__ = ["LearnedRange"]


class LearnedRange(Layer):
    """Quantizes to a range that is trained: LSQ's step, or PACT's end of the range.

    The parameter gets its first value from the first values that come by, see `quantlab.qat.lsq.initial_step` and
    `quantlab.qat.clipping.initial_clip`. For activations this has to be a batch in training.

    Parameters
    ----------
    grid : Grid
        Holding 0; for "pact" unsigned or narrow.
    rule : {"lsq", "pact"}
    channels : int or None
        So many slices along axis 0 have a parameter each, as weights do; None has one for all.
    samples : bool
        Whether axis 0 counts samples, as in activations: LSQ's gradient scale takes the features of one sample.
    decay : float
        Of PACT's alpha, see `quantlab.qat.clipping.clip_backward`.

    Attributes
    ----------
    params : dict
        ``step`` or ``alpha``, float32, shape () or (channels,). A step that an optimizer sent below 2**-23 is put
        back to it, as torch does.

    Raises
    ------
    ValueError
        If the rule is unknown or the grid is none for it; in ``forward``, if activations come before any batch in
        training, or the first values have not so many channels.

    Examples
    --------
    >>> quantizer = LearnedRange(Grid(n_bits=2), rule="lsq", channels=1)
    >>> quantizer.forward(np.array([[0.6, -0.4]], dtype=np.float32), training=True)
    array([[1., 0.]], dtype=float32)
    >>> quantizer.backward(np.array([[1.0, 1.0]], dtype=np.float32))
    array([[1., 1.]], dtype=float32)
    >>> quantizer.grads["step"].round(2)  # (1 - 0.6 + 0 + 0.4) / sqrt(2)
    array([0.57], dtype=float32)
    """

    def __init__(
        self, grid: Grid, *, rule: str, channels: int | None = None, samples: bool = False, decay: float = 0.0
    ):
        super().__init__()
        check_rule(rule, None, among=LEARNED)
        if rule == "pact":
            clip_qparams(1.0, grid=grid)  # refuses a grid that does not end at -alpha, now and not in the first batch
        else:
            gradient_scale(1, grid=grid)  # refuses a grid with no mark above 0
        self.grid, self.rule, self.samples, self.decay = grid, rule, samples, decay
        self.axis = None if channels is None else 0
        self.name = "step" if rule == "lsq" else "alpha"
        self.params[self.name] = np.zeros(() if channels is None else channels, np.float32)
        self.quantizing, self._ready = True, False

    def qparams(self, x: np.ndarray | None = None) -> QParams:
        """Return scale and zero point; the first ``x`` may set them, if it is not activations."""
        value, grid, axis = self.params[self.name], self.grid, self.axis
        if not self._ready:
            if x is None or self.samples:
                raise ValueError(f"no {self.name} yet: call forward(X, training=True) on some data first")
            self._begin(x)
        if self.rule == "lsq":
            return step_qparams(np.maximum(value, EPS, out=value), grid=grid, axis=axis)
        return clip_qparams(np.maximum(value, EPS * grid.quant_max, out=value), grid=grid, axis=axis)

    def _begin(self, x: np.ndarray) -> None:
        value = (initial_step if self.rule == "lsq" else initial_clip)(x, grid=self.grid, axis=self.axis)
        if value.shape != self.params[self.name].shape:
            raise ValueError(f"x.shape={x.shape}; expected channels={len(self.params[self.name])} along axis 0")
        self.params[self.name][...] = value
        self._ready = True

    def forward(self, X: np.ndarray, *, training: bool = False) -> np.ndarray:
        """Return the quantized values."""
        if training and not self._ready:
            self._begin(X)
        self._kept = (X, self.quantizing) if training else None
        return X if training and not self.quantizing else fake_quantize(X, self.qparams(X))

    def backward(self, dY: np.ndarray) -> np.ndarray:
        """Set the parameter's gradient, and return the one by the values."""
        X, quantized = self._recall()
        value = self.params[self.name]
        if not quantized:
            self.grads[self.name] = np.zeros_like(value)
            return dY
        arguments = (dY, X, value)
        if self.rule == "pact":
            dX, grad = clip_backward(*arguments, grid=self.grid, axis=self.axis, decay=self.decay)
        else:
            n = X.size // (len(X) if self.samples else 1) // value.size
            factor = gradient_scale(n, grid=self.grid)
            dX, grad = lsq_backward(*arguments, grid=self.grid, axis=self.axis, grad_factor=factor)
        self.grads[self.name] = np.asarray(grad)
        return dX
