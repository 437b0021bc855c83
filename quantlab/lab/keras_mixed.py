"""A Keras model as a .tflite file in which chosen layers stay in float32: TensorFlow's own way to mixed precision.

The converter has no option for it. `tf.lite.experimental.QuantizationDebugger` has: its ``denylisted_nodes`` are left
alone, and the file gets a DEQUANTIZE in front of them and a QUANTIZE behind. It passes over names that it does not know
without a word; `to_mixed_tflite` looks at what came out.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from quantlab.integer.tflite import Model, read
from quantlab.lab.keras_models import quiet, tensorflow

__all__ = ["Weighted", "to_mixed_tflite", "weighted_operators"]

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
SCOPES = ("", "_1", "_2", "_3")  # Keras may number the scopes of a model that was traced before


def to_mixed_tflite(model: Any, *, representative: np.ndarray, keep_float: Iterable[str]) -> bytes:
    """Return a Keras model as an int8 .tflite file with some layers left in float32.

    Neighbouring float layers hand float32 to each other. The file takes and gives float32.

    Parameters
    ----------
    model : keras.Model
        With one input.
    representative : ndarray of float32, shape (n, ...)
        Inputs from which the ranges of activations are taken, one at a time.
    keep_float : iterable of str
        Names of layers with a kernel (``Conv2D``, ``DepthwiseConv2D``, ``Dense``), as ``model.summary()`` lists them.
        Their batch norm and ReLU go with them.

    Returns
    -------
    bytes
        `quantlab.integer.tflite.table` lists it, `quantlab.integer.tflite.run` runs it.

    Raises
    ------
    TypeError
        If ``keep_float`` is one string, not a list of them.
    ValueError
        If the model has no such layer, no operator of the file bears its name, or the converter made int8 of it all the
        same.

    Example
    -------
    >>> from quantlab.lab.keras_models import tensorflow
    >>> keras = tensorflow().keras
    >>> a, b = (keras.layers.Dense(3, name=name) for name in "ab")
    >>> model = keras.Sequential([keras.Input((4,)), a, b])
    >>> x = np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 4)
    >>> file = read(to_mixed_tflite(model, representative=x, keep_float=["b"]))
    >>> [op.name for op in file.operators]
    ['QUANTIZE', 'FULLY_CONNECTED', 'DEQUANTIZE', 'FULLY_CONNECTED']
    """
    if isinstance(keep_float, str):
        raise TypeError(f"keep_float={keep_float!r}; expected a list of names")
    kept, layers = list(keep_float), [layer.name for layer in model.layers if hasattr(layer, "kernel")]
    if unknown := sorted(set(kept) - set(layers)):
        raise ValueError(f"keep_float names {unknown}; the layers with a kernel are {', '.join(layers)}")
    tf = tensorflow()
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.representative_dataset = lambda: ([x[None]] for x in representative)
    debugging = tf.lite.experimental
    with quiet():
        debugger = debugging.QuantizationDebugger(
            converter=converter, debug_dataset=converter.representative_dataset
        )  # calibrates; the layers are quantized again for every new set of options
        operators = weighted_operators(read(debugger.calibrated_model))
        places = _places(operators, layers)
        if missing := [name for name in kept if name not in places]:
            raise ValueError(f"no operator of the file bears the name of {missing}; found {', '.join(places)}")
        nodes = [operators[places[name]].output for name in kept]
        debugger.options = debugging.QuantizationDebugOptions(denylisted_nodes=nodes)
        content = debugger.get_nondebug_quantized_model()
    is_float = [operator.dtype == np.float32 for operator in weighted_operators(read(content))]
    found = [name for name, place in places.items() if is_float[place]]
    if set(found) != set(kept):
        raise ValueError(f"the converter left {found} in float32; asked for {kept}")
    return content


class Weighted(NamedTuple):
    """An operator with weights: the names of its output and of its weights, and their dtype."""

    output: str
    weights: str
    dtype: np.dtype


def weighted_operators(model: Model) -> list[Weighted]:
    """Return the convolutions and dense layers of a file, in the order of execution."""
    found = [op for op in model.operators if op.name in WEIGHTED]
    weights = [model.tensors[op.inputs[1]] for op in found]
    return [Weighted(model.tensors[op.outputs[0]].name, w.name, w.dtype) for op, w in zip(found, weights, strict=True)]


def _places(operators: list[Weighted], layers: list[str]) -> dict[str, int]:
    """Return where in the list the operator of each layer stands: the name is part of what the tensors are called."""
    found = []
    for scope in SCOPES:
        names = {f"{layer}{scope}": layer for layer in layers}
        found.append({})
        for place, operator in enumerate(operators):
            for part in f"{operator.output};{operator.weights}".replace(";", "/").split("/"):
                if part in names:
                    found[-1].setdefault(names[part], place)
    return max(found, key=len)
