"""The Keras models of the course, and the converter's modes."""

import logging
import warnings

import numpy as np
import pytest

from quantlab.integer.tflite import read
from quantlab.lab import data, keras_models, litert, models
from tests.integer.tflite import files


def constants(content):
    """What a file computes with, without the names, in which the converter counts up."""
    model = read(content)
    return [(op.name, op.inputs, op.outputs, op.options) for op in model.operators], [
        (t.shape, t.dtype, None if t.data is None else t.data.tobytes(), None if t.scale is None else t.scale.tobytes())
        for t in model.tensors
    ]


def test_efficientnet_has_the_logits_of_the_torch_network():
    rng = np.random.default_rng(0)
    crops = np.concatenate([data.crops(photo, n=1, rng=rng) for photo in data.photographs().values()])
    want = models.efficientnet_activations(crops, layers=["_fc"])["_fc"]
    got = files.efficientnet_model()((crops.astype(np.float32) - 127) / 128).numpy()
    assert np.abs(want).max() > 5
    assert np.abs(got - want).max() < 1e-3


def test_every_weight_of_efficientnet_is_in_the_keras_model():
    model = files.efficientnet_model()
    got = sorted(float(np.float64(w).sum()) for w in model.get_weights())
    want = sorted(float(np.float64(w).sum()) for w in models.efficientnet_weights().values())
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)  # orders of summation differ


def test_digits_cnn_learns_and_repeats():
    split = data.digits(seed=0)
    model, again = (keras_models.digits_cnn(split, seed=0, n_epochs=2) for _ in range(2))
    for w, v in zip(model.get_weights(), again.get_weights(), strict=True):
        assert w.dtype == np.float32
        assert np.array_equal(w, v)
    other = keras_models.digits_cnn(split, seed=1, n_epochs=1)
    assert not np.array_equal(model.get_weights()[0], other.get_weights()[0])
    winner = model(files.as_images(split.x_test)).numpy().argmax(axis=1)
    assert (winner == split.y_test).mean() > 0.4  # a guess is right once in ten


@pytest.mark.parametrize("mode", keras_models.MODES)
def test_modes(mode):
    """What the table in `to_tflite` says of weights and activations."""
    model = read(files.digits_file(mode))
    weights = {"float32": "float32", "float16": "float16"}.get(mode, "int8")
    activations = {"int8": "int8", "int16x8": "int16"}.get(mode, "float32")
    assert str(model.tensors[model.inputs[0]].dtype) == str(model.tensors[model.outputs[0]].dtype) == activations
    largest = max((t for t in model.tensors if t.data is not None), key=lambda t: t.size)
    assert str(largest.dtype) == weights


@pytest.mark.parametrize("mode", ["int8", "int16x8"])
def test_float_at_both_ends(mode):
    model = read(files.digits_file(mode, float_io=True))
    assert (model.operators[0].name, model.operators[-1].name) == ("QUANTIZE", "DEQUANTIZE")
    assert model.tensors[model.inputs[0]].dtype == model.tensors[model.outputs[0]].dtype == np.float32


def test_all_modes_compute_nearly_the_same():
    x = files.as_images(files.digits().x_test)[:20]
    want = files.digits_model()(x).numpy()
    for mode, bound in [("float32", 1e-5), ("float16", 0.02), ("dynamic", 0.1)]:
        assert np.abs(litert.run(files.digits_file(mode), x, kernels="litert") - want).max() < bound
    for mode in ("int8", "int16x8"):
        got = litert.run(files.digits_file(mode, float_io=True), x, kernels="litert")
        assert np.abs(got - want).max() < 0.2


def test_conversion_repeats():
    calibration = files.as_images(files.digits().x_train[:100])
    again = keras_models.to_tflite(files.digits_model(), mode="int8", representative=calibration)
    assert constants(again) == constants(files.digits_file("int8"))
    fewer = keras_models.to_tflite(files.digits_model(), mode="int8", representative=calibration[:2])
    assert constants(fewer) != constants(again)


def test_nothing_is_printed(capfd):
    keras_models.tensorflow().get_logger().setLevel("INFO")  # as in a notebook
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        keras_models.to_tflite(files.digits_model(), mode="dynamic")
        keras_models.tensorflow()
    assert caught == []
    assert capfd.readouterr() == ("", "")
    assert keras_models.tensorflow().get_logger().level == logging.INFO


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"mode": "int4"}, "mode='int4'; choose one of float32, float16, dynamic, int8, int16x8"),
        ({"mode": "int8"}, "mode='int8' needs representative inputs"),
        ({"mode": "dynamic", "representative": np.zeros((1, 8, 8, 1), np.float32)}, "takes no representative inputs"),
        ({"mode": "int8", "representative": np.zeros((1, 8, 8, 1))}, "representative.dtype=float64; expected float32"),
    ],
)
def test_errors(arguments, says):
    with pytest.raises(ValueError, match=says):
        keras_models.to_tflite(None, **arguments)
