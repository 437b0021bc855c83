"""What the tests of quantized networks share: an untrained digits CNN whose batch norms do something."""

import numpy as np

from quantlab.lab.digits_cnn import digits_cnn
from quantlab.nn.batch_norm import BatchNorm
from quantlab.nn.from_layers import network_from_layers
from quantlab.nn.network import Network
from quantlab.nn.pool_layers import Residual
from quantlab.ptq.fold import fold


def random_digits_cnn(seed: int) -> Network:
    """Return a folded digits CNN with random weights and batch norms."""
    rng = np.random.default_rng(seed)
    model = digits_cnn(rng=rng)
    layers = list(model.layers)
    for layer in layers:
        if isinstance(layer, Residual):
            layers += layer.body.layers
        if isinstance(layer, BatchNorm):
            n = len(layer.mean)
            layer.params["gamma"][:] = rng.uniform(0.3, 2, n)
            layer.params["beta"][:] = rng.normal(size=n)
            layer.mean[:] = rng.normal(size=n) / 3
            layer.variance[:] = rng.uniform(0.2, 2, n)
    return fold(network_from_layers(model))
