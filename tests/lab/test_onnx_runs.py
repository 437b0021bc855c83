"""The helpers around ONNX Runtime, on a layer small enough to know what must come out."""

import numpy as np
import onnx
import pytest

from quantlab.lab.onnx_runs import Feeds, executed_ops, load, op_times

TEXT = (
    '<ir_version: 10, opset_import: ["" : 21]> net (float[n, 8] x) => (float[n, 4] y) { p = MatMul(x, V) y = Relu(p) }'
)


@pytest.fixture
def layer(tmp_path):
    model = onnx.parser.parse_model(TEXT)
    V = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(V, "V"))
    onnx.save(model, tmp_path / "layer.onnx")
    return tmp_path / "layer.onnx", V


def test_load(layer):
    file, V = layer
    x = np.random.default_rng(1).normal(size=(3, 8)).astype(np.float32)
    assert np.allclose(load(file)(x), np.maximum(x @ V, 0), atol=1e-6)  # sums of 8 products near 1: 8 * 2**-24 * 8


def test_feeds_calibrate(layer, tmp_path):
    """The range of the input must come from the feeds, all of them."""
    from onnxruntime.quantization import QuantType, quantize_static

    file, _ = layer
    x = np.zeros((2, 8), np.float32)
    x[0, 0], x[1, 3] = -1, 3
    out = tmp_path / "static.onnx"
    quantize_static(file, out, Feeds([{"x": row[None]} for row in x]), activation_type=QuantType.QUInt8)
    values = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(out).graph.initializer}
    assert values["x_scale"] == np.float32(4 / 255)
    assert values["x_zero_point"] == round(1 / 4 * 255)


def test_executed_ops_and_times(layer):
    file, _ = layer
    ops = executed_ops(file)
    assert sum(ops.values()) <= 2
    seconds = op_times(file, np.zeros((64, 8), np.float32), runs=3)
    assert set(seconds) == set(ops)
    assert all(0 < t < 1 for t in seconds.values())
