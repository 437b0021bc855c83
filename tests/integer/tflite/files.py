"""The .tflite files of these tests, each converted once in a session."""

import functools

import numpy as np

from quantlab.lab import data, keras_models

MODES = ("float32", "float16", "dynamic", "int8", "int16x8")


@functools.cache
def digits():
    """The split that the digits CNN is trained and tested on."""
    return data.digits(seed=0)


def as_images(x):
    """Rows of 64 pixels as (n, 8, 8, 1)."""
    return x.reshape(-1, 8, 8, 1)


@functools.cache
def digits_model():
    """The digits CNN in Keras: too briefly trained to be good, which does not matter here."""
    return keras_models.digits_cnn(digits(), seed=0, n_epochs=3)


@functools.cache
def digits_file(mode, *, float_io=False):
    """The digits CNN, converted."""
    calibration = as_images(digits().x_train[:100]) if mode in ("int8", "int16x8") else None
    return keras_models.to_tflite(digits_model(), mode=mode, representative=calibration, float_io=float_io)


@functools.cache
def digits_int8_input():
    """The test images as int8: the input has scale 1/255 and zero point -128, as its range [0, 1] is calibrated."""
    return np.rint(as_images(digits().x_test) * 255 - 128).astype(np.int8)


@functools.cache
def efficientnet_model():
    """EfficientNet-Lite0 in Keras."""
    return keras_models.efficientnet_lite0()


@functools.cache
def efficientnet_crops():
    """Ten photographs: crops of four to calibrate with, of the other six to test with, as the network wants them."""
    rng = np.random.default_rng(10)
    photos = data.photographs()
    chosen = ("china", "coffee", "flower", "tissue")
    crops = {name: data.crops(photo, n=4, rng=rng) for name, photo in photos.items()}
    calibration = np.concatenate([crops[name] for name in chosen])
    test = np.concatenate([crops[name] for name in photos if name not in chosen])
    return tuple(((x.astype(np.float32) - 127) / 128) for x in (calibration, test))


@functools.cache
def efficientnet_int8():
    """EfficientNet-Lite0, converted to int8."""
    calibration, _ = efficientnet_crops()
    return keras_models.to_tflite(efficientnet_model(), mode="int8", representative=calibration)


def efficientnet_int8_input():
    """The test crops as int8: scale 1/128 and zero point -1 put (pixel - 127) / 128 on exact integers, pixel - 128."""
    _, test = efficientnet_crops()
    return (test * 128 - 1).astype(np.int8)
