"""From a trained float network to one that trains, or is judged, through quantization."""

from copy import deepcopy
from typing import Any

import numpy as np

from quantlab.core.grid import Grid
from quantlab.nn.batch_norm import BatchNorm
from quantlab.nn.conv_layer import Conv2D
from quantlab.nn.layers import Layer, Linear, Sequential
from quantlab.nn.pool_layers import Residual
from quantlab.qat.fold import QATConvBatchNorm
from quantlab.qat.layers import QATConv2D, QATLinear

__all__ = ["prepare"]


def prepare(
    model: Sequential,
    *,
    w_grid: Grid,
    x_grid: Grid | None,
    rule: str,
    rng: np.random.Generator,
    statistics: str = "running",
) -> Sequential:
    """Return a copy of a float network in which linear layers and convolutions quantize their weights and their inputs.

    A batch norm right behind a convolution is folded into it. The copy starts from the same parameters and shares no
    array with ``model``. Its activation ranges are empty until one ``forward(X, training=True)``: a pass over
    calibration data alone gives post-training quantization, further training from there quantization-aware training.

    Parameters
    ----------
    model : Sequential
        Of Linear, Conv2D, BatchNorm behind a Conv2D, layers without parameters, Residual and Sequential.
    w_grid, x_grid, rule, rng
        As for `quantlab.qat.layers.QATLinear`, one grid for all layers.
    statistics : {"running", "batch"}
        Of folded batch norms, see `quantlab.qat.fold.QATConvBatchNorm`.

    Raises
    ------
    TypeError
        If a layer has parameters and is none of these: a batch norm behind anything else, or a layer that was prepared
        already.

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
    options = {"w_grid": w_grid, "x_grid": x_grid, "rule": rule, "rng": rng}
    return _prepared(model, options, statistics=statistics, where="model")


def _prepared(model: Sequential, options: dict[str, Any], *, statistics: str, where: str) -> Sequential:
    layers: list[Layer] = []
    skip = False
    for i, layer in enumerate(model.layers):
        name, follower = f"{where}.layers[{i}]", model.layers[i + 1] if i + 1 < len(model.layers) else None
        if skip:
            skip = False
        elif type(layer) is Linear:
            n_out, n_in = layer.params["W"].shape
            layers.append(_filled(QATLinear(n_in, n_out, **options), layer.params))
        elif type(layer) is Conv2D:
            skip = type(follower) is BatchNorm
            layers.append(_convolution(layer, follower if skip else None, options, statistics=statistics))
        elif type(layer) is Sequential:
            layers.append(_prepared(layer, options, statistics=statistics, where=name))
        elif type(layer) is Residual:
            body = _prepared(layer.body, options, statistics=statistics, where=f"{name}.body")
            layers.append(Residual(body.layers))
        elif layer.params:
            raise TypeError(
                f"{name} is a {type(layer).__name__}; prepare knows Linear, Conv2D, BatchNorm behind a Conv2D, and "
                "layers without parameters"
            )
        else:
            layers.append(deepcopy(layer))
    return Sequential(layers)


def _convolution(layer: Conv2D, norm: BatchNorm | None, options: dict[str, Any], *, statistics: str) -> QATConv2D:
    W = layer.params["W"]
    geometry = {"kernel": W.shape[1:3], "stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
    channels = (W.shape[3] * layer.groups, W.shape[0])
    if norm is None:
        return _filled(QATConv2D(*channels, **geometry, **options), layer.params)
    both = QATConvBatchNorm(
        *channels, statistics=statistics, eps=norm.eps, momentum=norm.momentum, **geometry, **options
    )
    both.batch_norm.mean, both.batch_norm.variance = norm.mean.copy(), norm.variance.copy()
    return _filled(both, layer.params | norm.params)


def _filled(layer: Layer, params: dict[str, np.ndarray]) -> Layer:
    """Copy the values of the parameters into a layer that has them by the same names, and return it."""
    for name, value in params.items():
        layer.params[name][...] = value
    return layer
