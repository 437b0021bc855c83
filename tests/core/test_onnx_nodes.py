"""Every node test that ONNX ships for QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear, to the bit."""

import numpy as np
import onnx
import pytest

from quantlab import Grid, QParams, choose_qparams, dequantize, formats, quantize
from tests.onnx_cases import cases

FLOATS = {fmt.name: fmt for fmt in vars(formats).values() if isinstance(fmt, formats.FloatFormat)}


def params(case, scale, zero_point, dtype):
    """Return the QParams of a case: a scale of one value is per tensor, with as many axes as x it is blocked."""
    name = dtype.name
    grid = Grid(n_bits=int(name.removeprefix("u").removeprefix("int")), signed=not name.startswith("u"))
    scale = scale.squeeze() if scale.size == 1 else scale
    axis = None if scale.ndim == 0 else case.attributes.get("axis", 1)
    zero_point = np.zeros(scale.shape, np.int32) if zero_point is None else zero_point.astype(np.int32)
    return QParams(
        scale=scale,
        zero_point=zero_point.reshape(scale.shape),
        grid=grid,
        axis=axis,
        group_size=case.attributes.get("block_size"),
    )


def broadcast_scale(case, x, scale):
    shape = [1] * x.ndim
    if scale.size > 1:
        shape[case.attributes.get("axis", 1)] = scale.size
    return scale.reshape(shape)


def assert_same_bits(got, want):
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    assert got.tobytes() == want.tobytes()


def test_the_collection_is_complete():
    """Each of the operators has cases of every dtype that ONNX quantizes to; a lost case would show here."""
    assert {op: len(cases(op)) for op in ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")} == {
        "QuantizeLinear": 13,
        "DequantizeLinear": 14,
        "DynamicQuantizeLinear": 3,
    }


@pytest.mark.parametrize("case", cases("QuantizeLinear"), ids=lambda case: case.name)
def test_quantize_linear(case):
    x, scale, *rest = case.inputs
    want = case.outputs[0]
    zero_point = rest[0] if rest else None
    if want.dtype.name in FLOATS:  # a float target has no zero point: it is 0.0
        assert not np.any(zero_point.astype(np.float32))
        fmt = FLOATS[want.dtype.name]
        got = formats.encode(x / broadcast_scale(case, x, scale), fmt, saturate=True).view(want.dtype)
        if want.dtype.name == "float4_e2m1fn":  # ONNX's packing knows +0 alone where a small negative rounds to zero
            got = np.where(got.astype(np.float32) == 0, np.zeros_like(got), got)
    else:
        got = quantize(x, params(case, scale, zero_point, want.dtype), dialect="onnx").astype(want.dtype)
        if "output_dtype" in case.attributes:
            assert want.dtype == onnx.helper.tensor_dtype_to_np_dtype(case.attributes["output_dtype"])
    assert_same_bits(got, want)


@pytest.mark.parametrize("case", cases("DequantizeLinear"), ids=lambda case: case.name)
def test_dequantize_linear(case):
    q, scale, *rest = case.inputs
    zero_point = rest[0] if rest else None
    if q.dtype.name in FLOATS:
        fmt = FLOATS[q.dtype.name]
        values = formats.decode(q.view(np.uint8), fmt) - (0 if zero_point is None else zero_point.astype(np.float32))
        got = (values * scale.astype(np.float32)).astype(scale.dtype)
    else:
        codes = q.astype(
            np.int8 if q.dtype.name in ("int4", "int2") else np.uint8 if q.dtype.itemsize == 1 else q.dtype
        )
        got = dequantize(codes, params(case, scale, zero_point, q.dtype))
    assert_same_bits(got, case.outputs[0])


@pytest.mark.parametrize("case", cases("DynamicQuantizeLinear"), ids=lambda case: case.name)
def test_dynamic_quantize_linear(case):
    (x,) = case.inputs
    qp = choose_qparams(x.min(), x.max(), grid=Grid(n_bits=8, signed=False), dialect="onnx")
    assert_same_bits(quantize(x, qp, dialect="onnx"), case.outputs[0])
    assert_same_bits(qp.scale, case.outputs[1])
    assert_same_bits(np.uint8(qp.zero_point), case.outputs[2])


def test_dynamic_quantize_linear_of_zeros_has_scale_one():
    """No node test covers it; onnxruntime does."""
    import onnxruntime as ort
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"])],
        "dynamic",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
        [
            helper.make_tensor_value_info(name, dtype, None)
            for name, dtype in [("q", TensorProto.UINT8), ("s", TensorProto.FLOAT), ("z", TensorProto.UINT8)]
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=10)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    for x in [np.zeros(3, np.float32), *rng.normal(size=(200, 3)).astype(np.float32)]:
        want = session.run(None, {"x": x})
        qp = choose_qparams(x.min(), x.max(), grid=Grid(n_bits=8, signed=False), dialect="onnx")
        assert np.array_equal(quantize(x, qp, dialect="onnx"), want[0])
        assert (qp.scale, qp.zero_point) == (want[1], want[2])
