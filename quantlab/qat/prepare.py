"""From a trained float network to one that trains, or is judged, through quantization."""

import numpy as np

from quantlab.core.grid import Grid
from quantlab.nn.layers import Linear, Sequential
from quantlab.qat.layers import QATLinear

__all__ = ["prepare"]


def prepare(model: Sequential, *, w_grid: Grid, x_grid: Grid | None, rule: str, rng: np.random.Generator) -> Sequential:
    """Return a copy of a float network in which every linear layer quantizes its weights and its inputs.

    The copy starts from the same parameters and shares no array with ``model``. Its activation ranges are empty until
    one ``forward(X, training=True)``: a pass over calibration data alone gives post-training quantization, further
    training from there quantization-aware training.

    Parameters
    ----------
    model : Sequential
        Of `Linear` layers and layers without parameters, such as `ReLU`.
    w_grid, x_grid, rule, rng
        As for `quantlab.qat.layers.QATLinear`, one grid for all layers.

    Raises
    ------
    TypeError
        If a layer has parameters and is not a `Linear`, or is a `QATLinear` already.

    Examples
    --------
    >>> from quantlab.nn.layers import ReLU
    >>> rng = np.random.default_rng(0)
    >>> model = Sequential([Linear(4, 3, rng=rng), ReLU(), Linear(3, 2, rng=rng)])
    >>> copy = prepare(model, w_grid=Grid(n_bits=4), x_grid=None, rule="ste", rng=rng)
    >>> [type(layer).__name__ for layer in copy.layers]
    ['QATLinear', 'ReLU', 'QATLinear']
    >>> np.array_equal(copy.params["2.W"], model.params["2.W"]), copy.params["2.W"] is model.params["2.W"]
    (True, False)
    """
    layers = []
    for i, layer in enumerate(model.layers):
        if type(layer) is Linear:
            n_out, n_in = layer.params["W"].shape
            quantized = QATLinear(n_in, n_out, w_grid=w_grid, x_grid=x_grid, rule=rule, rng=rng)
            for name, value in layer.params.items():
                quantized.params[name][...] = value
            layers.append(quantized)
        elif layer.params:
            raise TypeError(
                f"model.layers[{i}] is a {type(layer).__name__}; prepare knows Linear and layers without parameters"
            )
        else:
            layers.append(type(layer)())
    return Sequential(layers)
