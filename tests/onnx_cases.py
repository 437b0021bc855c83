"""The node tests that ship inside the onnx package, as plain numpy arrays."""

import functools
import warnings
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper, numpy_helper


class Case(NamedTuple):
    """One node test: call the operator with `inputs` and `attributes`, and expect `outputs`.

    The dtype of an array names its element type; types that numpy lacks are those of ml_dtypes (int4, float8_e4m3fn,
    float4_e2m1fn, ...), one element an item, not packed. An optional input that is left out is None.
    """

    name: str
    attributes: dict[str, Any]
    inputs: list[np.ndarray | None]
    outputs: list[np.ndarray]


@functools.cache
def _all_test_cases() -> list:
    from onnx.backend.test.case.node import collect_testcases  # builds its cases on import, which takes seconds

    with warnings.catch_warnings():  # onnx divides by zero on purpose while it builds other operators' cases
        warnings.simplefilter("ignore", RuntimeWarning)
        # Asking for one operator is no faster, and spoils the list for the next caller: onnx fills it only once.
        return collect_testcases()


@functools.cache
def cases(op_type: str) -> list[Case]:
    """Return every node test of onnx whose graph is one node of this operator, in onnx's order.

    Left out are only the `_expanded` twins: the same inputs and outputs, with the operator written out as a graph of
    other operators.
    """
    found = []
    for test in _all_test_cases():
        nodes = test.model.graph.node
        if len(nodes) != 1 or nodes[0].op_type != op_type or nodes[0].domain != "":
            continue
        attributes = {a.name: helper.get_attribute_value(a) for a in nodes[0].attribute}
        attributes = {k: v.decode() if isinstance(v, bytes) else v for k, v in attributes.items()}
        for given, expected in test.data_sets:
            present = iter(given)
            inputs = [_array(next(present)) if name else None for name in nodes[0].input]
            found.append(Case(test.name, attributes, inputs, [_array(y) for y in expected]))
    return found


def _array(value: np.ndarray | onnx.TensorProto) -> np.ndarray:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)
