"""TensorFlow leaves chosen layers in float32; quantlab runs the file as LiteRT does, and as its own networks do."""

import functools

import numpy as np
import pytest

from quantlab.integer.tflite import read, run, tensors
from quantlab.lab import litert
from quantlab.lab.keras_mixed import to_mixed_tflite, weighted_operators
from tests.integer.tflite.files import as_images, digits, digits_model
from tests.integer.tflite.float_bounds import slack

# Of the five layers with a kernel: one; neighbours; one inside and the last; the first.
CHOICES = [(1,), (2, 3), (2, 4), (0,)]


def layer_names():
    return [layer.name for layer in digits_model().layers if hasattr(layer, "kernel")]


@functools.cache
def mixed_file(chosen):
    names = layer_names()
    calibration = as_images(digits().x_train[:100])
    return to_mixed_tflite(digits_model(), representative=calibration, keep_float=[names[i] for i in chosen])


@pytest.mark.parametrize("chosen", CHOICES, ids=str)
def test_the_chosen_layers_alone_are_float(chosen):
    model = read(mixed_file(chosen))
    kinds = [str(operator.dtype) for operator in weighted_operators(model)]
    assert kinds == ["float32" if i in chosen else "int8" for i in range(5)]
    names = [operator.name for operator in model.operators]
    first, last = 0 in chosen, 4 in chosen
    # at the ends of the file, and around each run of float layers (the last is followed by an int8 softmax)
    runs = sum(i - 1 not in chosen for i in chosen)
    assert names.count("QUANTIZE") == runs + (not first)
    assert names.count("DEQUANTIZE") == runs + (not first)
    assert last <= (names[-3] == "QUANTIZE")


def reads_reals(model, operator):
    before = [op for op in model.operators if op.outputs[0] == operator.inputs[0]]
    return bool(before) and before[0].name not in ("QUANTIZE", "DEQUANTIZE")


@pytest.mark.parametrize("dialect", litert.KERNELS)
@pytest.mark.parametrize("chosen", CHOICES, ids=str)
def test_equal_to_litert(chosen, dialect):
    """Integers to the bit, reals within rounding.

    A code behind a float layer may be another one where the real lies closer to a tie than the sums of the two differ:
    about 1e-6 of a step of 0.02, so once in 10,000 codes at most; then all behind it may differ. None does in these.
    """
    content = mixed_file(chosen)
    model, n_codes, n_reals = read(content), 0, 0
    for x in np.split(as_images(digits().x_test)[:6], 6):
        theirs, ours = litert.tensors(content, x, kernels=dialect), tensors(model, x, dialect=dialect)
        for operator in model.operators:
            (y,) = operator.outputs
            if y not in theirs:
                continue
            if operator.name.startswith(("CONV", "DEPTH", "FULLY")) and ours[y].dtype == np.float32:
                allowed = slack(operator, theirs)
                if reads_reals(model, operator):  # they differ already, by less than 1e-5
                    w = theirs[operator.inputs[1]]
                    allowed = allowed + 1e-5 * np.abs(w).reshape(len(w), -1).sum(axis=1)
                assert (np.abs(ours[y] - theirs[y]) <= allowed).all()
                assert np.abs(ours[y] - theirs[y]).max() < 1e-5
                n_reals += ours[y].size
            else:
                assert np.array_equal(ours[y], theirs[y]), operator
                n_codes += ours[y].size * (ours[y].dtype == np.int8)
    assert n_codes > 10_000
    assert n_reals == 6 * sum((1024, 768, 768, 1024, 10)[i] for i in chosen)


def test_the_check_can_fail():
    """Another layer in float32 is another network, and so is another kernel set."""
    x = as_images(digits().x_test)
    theirs = litert.run(mixed_file((1,)), x, kernels="litert")
    assert np.array_equal(run(read(mixed_file((1,))), x, dialect="litert"), theirs)
    assert not np.array_equal(run(read(mixed_file((2, 4))), x, dialect="litert"), theirs)
    assert not np.array_equal(run(read(mixed_file((1,))), x, dialect="litert_ruy"), theirs)


def test_what_is_refused():
    model, calibration = digits_model(), as_images(digits().x_train[:2])
    pool = next(layer.name for layer in model.layers if layer.name.startswith("max_pool"))
    with pytest.raises(ValueError, match=rf"keep_float names \['{pool}'\]; the layers with a kernel are conv2d"):
        to_mixed_tflite(model, representative=calibration, keep_float=[pool])
    with pytest.raises(TypeError, match="expected a list of names"):
        to_mixed_tflite(model, representative=calibration, keep_float=layer_names()[0])
