"""Keras models of the course, and TensorFlow's converter in each of its modes, without the chatter.

TensorFlow is imported when a function is called. It writes to stderr while it loads and converts, from C++ and past
Python's `warnings`; in a notebook that would look like errors, so `tensorflow` and `to_tflite` hold stderr shut.
"""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

from quantlab.lab import data, models
from quantlab.lab.litert import silent

MODES = ("float32", "float16", "dynamic", "int8", "int16x8")

# (repeats, kernel, stride of the first, input channels, output channels, expansion) of EfficientNet-Lite0's stages
STAGES = (
    (1, 3, 1, 32, 16, 1),
    (2, 3, 2, 16, 24, 6),
    (2, 5, 2, 24, 40, 6),
    (3, 3, 2, 40, 80, 6),
    (3, 5, 1, 80, 112, 6),
    (4, 5, 2, 112, 192, 6),
    (1, 3, 1, 192, 320, 6),
)


def tensorflow() -> ModuleType:
    """Import TensorFlow and return it, without what it writes to stderr while it loads.

    Raises
    ------
    ImportError
        If it is not installed; the text says what to type.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read once, when TensorFlow is imported
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    try:
        with silent(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import tensorflow as tf
    except ImportError as error:
        raise ImportError(
            "TensorFlow is not installed; run `make lab` in the course folder, or `pip install tensorflow-cpu` "
            "(it has no release for Python 3.14 yet)"
        ) from error
    return tf


def efficientnet_lite0() -> Any:
    """Return EfficientNet-Lite0 as a Keras model, with the ImageNet weights of `models.efficientnet_weights`.

    Input (n, 224, 224, 3) float32, RGB, ``(pixel - 127) / 128``, as `quantlab.lab.models` feeds it; output 1000 logits.
    Layers are named as in the weight file, without the underscores: ``_blocks.3._expand_conv`` is
    ``blocks.3.expand_conv``.

    Example
    -------
    >>> model = efficientnet_lite0()
    >>> model.input_shape, model.output_shape, model.count_params()
    ((None, 224, 224, 3), (None, 1000), 4694024)
    """
    keras = tensorflow().keras
    layers = keras.layers
    x = image = keras.Input((224, 224, 3))

    def convolution(x: Any, layer: Any, norm: str, *, relu6: bool = True) -> Any:
        x = layers.BatchNormalization(epsilon=1e-3, name=norm)(layer(x))
        return layers.ReLU(6)(x) if relu6 else x

    def plain(filters: int, kernel: int, name: str, *, stride: int = 1) -> Any:
        return layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False, name=name)

    x = convolution(x, plain(32, 3, "conv_stem", stride=2), "bn0")
    blocks = [
        (kernel, stride if i == 0 else 1, n_in if i == 0 else n_out, n_out, expansion)
        for repeats, kernel, stride, n_in, n_out, expansion in STAGES
        for i in range(repeats)
    ]
    for i, (kernel, stride, n_in, n_out, expansion) in enumerate(blocks):
        before, name = x, f"blocks.{i}."
        if expansion != 1:
            x = convolution(x, plain(n_in * expansion, 1, f"{name}expand_conv"), f"{name}bn0")
        depthwise = layers.DepthwiseConv2D(
            kernel, strides=stride, padding="same", use_bias=False, name=f"{name}depthwise_conv"
        )
        x = convolution(x, depthwise, f"{name}bn1")
        x = convolution(x, plain(n_out, 1, f"{name}project_conv"), f"{name}bn2", relu6=False)
        if stride == 1 and n_in == n_out:
            x = layers.Add()([x, before])
    x = convolution(x, plain(1280, 1, "conv_head"), "bn1")
    logits = layers.Dense(1000, name="fc")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, logits)
    _set_efficientnet_weights(model)
    return model


def _set_efficientnet_weights(model: Any) -> None:
    """Put the weights of the file into the layers that bear their names."""
    weights = models.efficientnet_weights()
    for layer in model.layers:
        name = ".".join(part if part.isdigit() else f"_{part}" for part in layer.name.split("."))
        if f"{name}.running_mean" in weights:
            layer.set_weights([weights[f"{name}.{w}"] for w in ("weight", "bias", "running_mean", "running_var")])
        elif f"{name}.bias" in weights:
            layer.set_weights([weights[f"{name}.weight"].T, weights[f"{name}.bias"]])
        elif f"{name}.weight" in weights:
            w = weights[f"{name}.weight"]  # (out, in / groups, height, width)
            # Keras wants (height, width, in, out), and (height, width, channels, 1) for a depthwise layer
            layer.set_weights([w.transpose(2, 3, 0, 1) if "depthwise" in name else w.transpose(2, 3, 1, 0)])


def digits_cnn(digits: data.Split, *, seed: int, n_epochs: int = 10) -> Any:
    """Return a small Keras CNN for the 8 x 8 digits, trained here in a few seconds.

    Four convolutions, one of them depthwise, each with batch norm and ReLU; max pooling, a dense layer, softmax. It is
    trained in float64 and rounded to float32 at the end, so that the order in which a processor sums, which moves the
    last bits, hardly ever shows in the weights.

    Parameters
    ----------
    digits : Split
        From `data.digits`; its training images only are used.
    seed : int
        Of the initial weights and of the order of the images.
    n_epochs : int

    Returns
    -------
    keras.Model
        Input (n, 8, 8, 1) float32 in [0, 1], output 10 probabilities.
    """
    keras = tensorflow().keras
    n, rng = len(digits.x_train), np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(n) for _ in range(n_epochs)])
    wide = _digits_cnn(keras, "float64", seed=seed)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, len(order) // 64))
    with quiet():
        wide.compile(optimizer, loss="sparse_categorical_crossentropy", jit_compile=False)
        x, y = digits.x_train.reshape(-1, 8, 8, 1)[order].astype(np.float64), digits.y_train[order]
        wide.fit(x, y, batch_size=64, epochs=1, shuffle=False, verbose=0)
    model = _digits_cnn(keras, "float32", seed=seed)
    model.set_weights([w.astype(np.float32) for w in wide.get_weights()])
    return model


def _digits_cnn(keras: ModuleType, dtype: str, *, seed: int) -> Any:
    layers = keras.layers

    def initializer(i: int) -> Any:
        return keras.initializers.GlorotUniform(seed=10 * seed + i)

    def convolution(x: Any, layer: type, *args: Any, i: int, **options: Any) -> Any:
        name = "depthwise_initializer" if layer is layers.DepthwiseConv2D else "kernel_initializer"
        x = layer(*args, padding="same", use_bias=False, dtype=dtype, **{name: initializer(i)}, **options)(x)
        return layers.ReLU(dtype=dtype)(layers.BatchNormalization(momentum=0.9, dtype=dtype)(x))

    image = keras.Input((8, 8, 1), dtype=dtype)
    x = convolution(image, layers.Conv2D, 16, 3, i=0)
    x = convolution(x, layers.Conv2D, 48, 3, strides=2, i=1)
    x = convolution(x, layers.DepthwiseConv2D, 3, i=2)
    x = convolution(x, layers.Conv2D, 64, 1, i=3)
    x = layers.Flatten(dtype=dtype)(layers.MaxPooling2D(dtype=dtype)(x))
    logits = layers.Dense(10, kernel_initializer=initializer(4), dtype=dtype)(x)
    return keras.Model(image, layers.Softmax(dtype=dtype)(logits))


def to_tflite(model: Any, *, mode: str, representative: np.ndarray | None = None, float_io: bool = False) -> bytes:
    """Return a Keras model as a .tflite file, by `tf.lite.TFLiteConverter.from_keras_model`.

    ========= =========================== =========================== ========================
    mode      weights                     activations                 needs ``representative``
    ========= =========================== =========================== ========================
    float32   float32                     float32                     no
    float16   float16                     float32                     no
    dynamic   int8                        float32                     no
    int8      int8                        int8                        yes
    int16x8   int8                        int16                       yes
    ========= =========================== =========================== ========================

    Parameters
    ----------
    model : keras.Model
        With one input.
    mode : str
        A row of the table.
    representative : ndarray of float32, shape (n, ...)
        Inputs from which the ranges of activations are taken, one at a time.
    float_io : bool
        In the modes int8 and int16x8: keep float32 at both ends, with a QUANTIZE and a DEQUANTIZE operator.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        If the mode is unknown, or representative inputs are missing, not needed, or not float32.
    """
    if mode not in MODES:
        raise ValueError(f"mode={mode!r}; choose one of {', '.join(MODES)}")
    needed = mode in ("int8", "int16x8")
    if needed != (representative is not None):
        raise ValueError(f"mode={mode!r} {'needs' if needed else 'takes no'} representative inputs")
    if needed and representative.dtype != np.float32:
        raise ValueError(f"representative.dtype={representative.dtype}; expected float32, as the model's input")
    tf = tensorflow()
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if mode != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if needed:
        converter.representative_dataset = lambda: ([x[None]] for x in representative)
        ops = (
            "TFLITE_BUILTINS_INT8"
            if mode == "int8"
            else ("EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8")
        )
        converter.target_spec.supported_ops = [getattr(tf.lite.OpsSet, ops)]
        if not float_io:
            converter.inference_input_type = converter.inference_output_type = tf.int8 if mode == "int8" else tf.int16
    with quiet():
        return converter.convert()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what TensorFlow prints, warns and logs, below errors."""
    logger = logging.getLogger("tensorflow")  # it logs at level INFO where it believes that somebody types
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with silent(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
