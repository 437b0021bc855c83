"""As a new user would: three small Keras models of one's own, converted, listed, run, equal."""

import numpy as np
import pytest

from quantlab.integer.tflite import DIALECTS, read, rows, run, table
from quantlab.lab import keras_models, litert
from tests.integer.tflite.own_models import MODELS, built
from tests.integer.tflite.test_run import mismatches, runtime_output

OPERATORS = {
    "residual": {"QUANTIZE", "CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED", "DEQUANTIZE"},
    "depthwise": {"PAD", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "RESHAPE", "SOFTMAX"},
    "dense_only": {"HARD_SWISH", "LOGISTIC", "MUL", "CONCATENATION", "FULLY_CONNECTED"},
}


@pytest.mark.parametrize("float_io", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_convert_list_run_equal(name, float_io):
    # With int8 at both ends, the number of samples is fixed too, as the micro-controller's interpreter wants: it cannot
    # resize tensors, and takes the 1 that stands for an open size at its word.
    model, x = built(keras_models.tensorflow().keras, name, batch_size=None if float_io else 1)
    content = keras_models.to_tflite(model, mode="int8", representative=x[:40], float_io=float_io)
    file = read(content)
    assert {row.operator.split()[0] for row in rows(file)} >= OPERATORS[name] - (
        set() if float_io else {"QUANTIZE", "DEQUANTIZE"}
    )
    assert len(table(file).splitlines()) == len(file.operators) + 4
    if not float_io:
        qp = file.tensors[file.inputs[0]].qp
        x = np.clip(np.rint(x / qp.scale) + qp.zero_point, -128, 127).astype(np.int8)
    for dialect in litert.KERNELS if float_io else DIALECTS:
        counts = mismatches(content, x[40:44], dialect)
        assert all(differ == 0 for _, differ in counts.values()), (dialect, counts)
        assert np.array_equal(run(file, x, dialect=dialect), runtime_output(content, x, dialect))


def test_the_integers_mean_what_the_float_model_computes():
    """Equal to a runtime is one thing; both are also near the Keras model, in steps of the output."""
    for name in MODELS:
        model, x = built(keras_models.tensorflow().keras, name)
        file = read(keras_models.to_tflite(model, mode="int8", representative=x, float_io=True))
        step = file.tensors[file.operators[-1].inputs[0]].qp.scale
        error = np.abs(run(file, x[:20], dialect="litert") - model(x[:20]).numpy()) / step
        assert np.median(error) < 4


def test_kernel_names():
    assert set(litert.KERNELS) | {"tflite_micro"} == set(DIALECTS)
