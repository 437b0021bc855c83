"""A small convolutional network for handwritten digits, which trains in seconds in numpy."""

import numpy as np

from quantlab.lab.data import Split
from quantlab.nn.batch_norm import BatchNorm
from quantlab.nn.conv_layer import Conv2D
from quantlab.nn.layers import Layer, Linear, ReLU, Sequential
from quantlab.nn.optim import Adam
from quantlab.nn.pool_layers import GlobalAveragePool, MaxPool2D, Residual
from quantlab.nn.train import train

__all__ = ["digits_cnn", "digits_images", "train_digits_cnn"]

PLAN = ((1e-2, 6), (1e-3, 2))  # learning rate and epochs


def digits_images(x: np.ndarray) -> np.ndarray:
    """Return rows of 64 pixels, as `quantlab.lab.data.digits` has them, as float32 images (n, 8, 8, 1)."""
    return np.asarray(x, np.float32).reshape(-1, 8, 8, 1)


def digits_cnn(*, rng: np.random.Generator) -> Sequential:
    """Return an untrained network with what mobile networks are made of, for images (n, 8, 8, 1).

    A 3 x 3 convolution to 16 channels, a residual block (depthwise 3 x 3, then 1 x 1), a 2 x 2 max pool, the same again
    with 32 channels, the mean over the image, and a linear layer to 10 logits. Batch norm follows every convolution,
    ReLU all but the last of a block. Its 7,082 parameters are float64; see `train_digits_cnn`.

    Example
    -------
    >>> model = digits_cnn(rng=np.random.default_rng(0))
    >>> model.forward(np.zeros((2, 8, 8, 1))).shape, sum(p.size for p in model.params.values())
    ((2, 10), 7082)
    """

    def conv(n_in: int, n_out: int, *, kernel: int, groups: int = 1) -> list[Layer]:
        layer = Conv2D(n_in, n_out, kernel=(kernel, kernel), groups=groups, bias=False, rng=rng)
        return [_double(layer), _double(BatchNorm(n_out))]

    def block(n: int) -> Layer:
        return Residual([*conv(n, n, kernel=3, groups=n), ReLU(), *conv(n, n, kernel=1)])

    return Sequential(
        [
            *conv(1, 16, kernel=3),
            ReLU(),
            block(16),
            MaxPool2D((2, 2)),
            *conv(16, 32, kernel=3),
            ReLU(),
            block(32),
            GlobalAveragePool(),
            _double(Linear(32, 10, rng=rng)),
        ]
    )


def train_digits_cnn(split: Split, *, seed: int) -> Sequential:
    """Return the network, trained on the training half of the digits: 8 epochs, about 3 seconds.

    It trains in float64. Machines differ in the last bits of a sum, here below 1e-14 of a weight by the end; rounded to
    float32, as `quantlab.nn.from_layers.network_from_layers` does, the weights are then the same everywhere, but for
    one in a million that falls on a rounding edge.

    Example
    -------
    >>> from quantlab.lab.data import digits
    >>> split = digits(seed=0, n_test=1700)  # 97 digits to learn from
    >>> train_digits_cnn(split, seed=0).params["0.W"].shape
    (16, 3, 3, 1)
    """
    rng = np.random.default_rng(seed)
    model = digits_cnn(rng=rng)
    images = digits_images(split.x_train).astype(np.float64)
    for lr, n_epochs in PLAN:
        train(model, images, split.y_train, optimizer=Adam(lr=lr), n_epochs=n_epochs, batch_size=64, rng=rng)
    return model


def _double(layer: Layer) -> Layer:
    """Return the layer with its arrays in float64."""
    layer.params = {name: value.astype(np.float64) for name, value in layer.params.items()}
    if isinstance(layer, BatchNorm):
        layer.mean, layer.variance = layer.mean.astype(np.float64), layer.variance.astype(np.float64)
    return layer
