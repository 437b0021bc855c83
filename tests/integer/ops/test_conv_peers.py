"""Convolutions equal ONNX's node tests, ONNX Runtime and torch bit for bit. These keep channels before height."""

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams
from quantlab.integer.bias import bias_scale
from quantlab.integer.ops import conv2d, conv_integer, depthwise_conv2d
from tests.integer.ops.convolutions import INT8, Shape, random_convolution
from tests.onnx_cases import cases

UINT8 = Grid(n_bits=8, signed=False)
SHAPES = [
    Shape((1, 5, 7, 3), 60, (3, 3)),
    Shape((3, 4, 4, 20), 33, (1, 1)),
    Shape((2, 9, 6, 2), 41, (2, 3), (2, 2), padding="valid"),
    Shape((1, 8, 9, 4), 30, (3, 2), (1, 1), (2, 2)),
    Shape((2, 5, 5, 12), 24, (3, 3), (1, 2), groups=4),
    Shape((2, 6, 5, 1), 50, (3, 3)),
    Shape((1, 6, 7, 64), 64, (3, 3), groups=None),
    Shape((2, 7, 5, 21), 42, (5, 3), (2, 1), groups=None),
]


def pads_of(attributes):
    """Return quantlab's padding for ONNX's, which holds all starts before all ends."""
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    return (top, bottom), (left, right)


@pytest.mark.parametrize("case", cases("ConvInteger"), ids=lambda case: case.name)
def test_conv_integer_node_tests_of_onnx(case):
    x_q, w_q, x_zero, *w_zero = case.inputs
    y = conv_integer(
        x_q.transpose(0, 2, 3, 1),
        w_q.transpose(0, 2, 3, 1),
        x_zero_point=x_zero,
        w_zero_point=w_zero[0] if w_zero else 0,
        padding=pads_of(case.attributes),
    )
    assert y.dtype == case.outputs[0].dtype
    assert np.array_equal(y.transpose(0, 3, 1, 2), case.outputs[0])


@pytest.mark.parametrize("case", cases("QLinearConv"), ids=lambda case: case.name)
def test_qlinear_conv_node_tests_of_onnx(case):
    x_q, x_scale, x_zero, w_q, w_scale, w_zero, y_scale, y_zero = case.inputs
    y = conv2d(
        x_q.transpose(0, 2, 3, 1),
        w_q.transpose(0, 2, 3, 1),
        None,
        x_qp=QParams(scale=x_scale, zero_point=x_zero, grid=UINT8),
        w_qp=QParams(scale=w_scale, zero_point=w_zero, grid=UINT8, axis=0),
        y_qp=QParams(scale=y_scale, zero_point=y_zero, grid=UINT8),
        padding=pads_of(case.attributes),
        dialect="onnx",
    )
    assert y.dtype == case.outputs[0].dtype
    assert np.array_equal(y.transpose(0, 3, 1, 2), case.outputs[0])


def onnxruntime_conv(layer, activation_grid):
    """QLinearConv of ONNX Runtime."""
    kinds = {np.dtype(np.int8): TensorProto.INT8, np.dtype(np.uint8): TensorProto.UINT8}
    kinds[np.dtype(np.int32)] = TensorProto.INT32
    x_qp, w_qp, y_qp = layer.qps.values()
    values = {
        "x": layer.x_q.transpose(0, 3, 1, 2),
        "sx": x_qp.scale,
        "zx": x_qp.zero_point.astype(activation_grid.dtype),
        "w": layer.w_q.transpose(0, 3, 1, 2),
        "sw": w_qp.scale,
        "zw": w_qp.zero_point.astype(np.int8),
        "sy": y_qp.scale,
        "zy": y_qp.zero_point.astype(activation_grid.dtype),
        "b": layer.bias_q,
    }
    values = {name: np.ascontiguousarray(v).reshape(np.shape(v)) for name, v in values.items()}
    inputs = [helper.make_tensor_value_info("x", kinds[layer.x_q.dtype], values["x"].shape)]
    constants = [
        helper.make_tensor(name, kinds.get(v.dtype, TensorProto.FLOAT), v.shape, v.ravel().tolist())
        for name, v in values.items()
        if name != "x"
    ]
    shape = layer.shape
    node = helper.make_node(
        "QLinearConv",
        list(values),
        ["y"],
        strides=shape.stride,
        dilations=shape.dilation,
        group=shape.image[3] if shape.groups is None else shape.groups,
        pads=[pads[side] for side in (0, 1) for pads in layer.windows.pads],
    )
    output = helper.make_tensor_value_info("y", kinds[activation_grid.dtype], None)
    graph = helper.make_graph([node], "g", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": values["x"]})[0].transpose(0, 2, 3, 1)


@pytest.mark.parametrize("grid", [UINT8, INT8], ids=["uint8", "int8"])
@pytest.mark.parametrize("where", ["anywhere", "ties", "near_ties"])
def test_conv2d_equals_onnxruntime(where, grid):
    rng = np.random.default_rng(71)
    others = dict.fromkeys(("litert_ruy", "litert_reference"), 0)
    for shape in SHAPES:
        for per_channel in (False, True):
            layer = random_convolution(rng, shape, per_channel=per_channel, where=where, grid=grid)
            theirs = onnxruntime_conv(layer, grid)
            assert (layer.ours("onnx") == theirs).all()
            for dialect in others:
                others[dialect] += np.count_nonzero(layer.ours(dialect) != theirs)
    if where != "anywhere":
        assert min(others.values()) > 50


def torch_conv(layer, bias, pads, *, relu):
    """Quantized convolution of torch's fbgemm engine."""
    torch.backends.quantized.engine = "fbgemm"
    x_qp, w_qp, y_qp = layer.qps.values()
    x, w = (torch.from_numpy(np.ascontiguousarray(q.transpose(0, 3, 1, 2))) for q in (layer.x_q, layer.w_q))
    x = torch._make_per_tensor_quantized_tensor(x, float(x_qp.scale), int(x_qp.zero_point))
    if w_qp.axis is None:
        w = torch._make_per_tensor_quantized_tensor(w, float(w_qp.scale), 0)
    else:
        scale = torch.from_numpy(w_qp.scale.astype(np.float64))
        w = torch._make_per_channel_quantized_tensor(w, scale, torch.zeros(len(scale), dtype=torch.int64), 0)
    shape = layer.shape
    groups = shape.image[3] if shape.groups is None else shape.groups
    packed = torch.ops.quantized.conv2d_prepack(
        w, torch.from_numpy(bias), list(shape.stride), list(pads), list(shape.dilation), groups
    )
    op = torch.ops.quantized.conv2d_relu if relu else torch.ops.quantized.conv2d
    return op(x, packed, float(y_qp.scale), int(y_qp.zero_point)).int_repr().numpy().transpose(0, 2, 3, 1)


# torch says that its quantized tensors will go; the arithmetic of its kernels is what is asked here.
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
@pytest.mark.parametrize("per_channel", [False, True], ids=["per tensor", "per channel"])
@pytest.mark.parametrize("where", ["anywhere", "near_ties"])
def test_conv2d_equals_torch(where, per_channel):
    rng, wrong = np.random.default_rng(73), 0
    for trial, shape in enumerate(SHAPES * 2):
        if shape.groups is None and shape.out > shape.image[3]:
            continue  # fbgemm has no depth multiplier of its own
        layer = random_convolution(rng, shape, per_channel=per_channel, where=where, grid=UINT8)
        # 7 bits of x: without VNNI fbgemm adds pairs in 16 bits, which saturate.
        x_qp = QParams(scale=layer.qps["x_qp"].scale, zero_point=int(rng.integers(0, 128)), grid=UINT8)
        layer = layer._replace(x_q=layer.x_q >> 1, qps={**layer.qps, "x_qp": x_qp})
        y_qp, steps = layer.qps["y_qp"], bias_scale(x_qp.scale, layer.qps["w_qp"].scale)
        bias = (rng.uniform(-5000, 5000, shape.out) * steps).astype(np.float32)
        if where == "near_ties":  # put the windows without padding beside a tie again, now by a bias of floats
            window = np.broadcast_to(layer.x_q[:1, :1, :1], (1, *shape.kernel, shape.image[3]))
            acc = conv_integer(window, layer.w_q, x_zero_point=x_qp.zero_point, padding="valid").ravel()
            ties = rng.integers(0, 255, shape.out) - y_qp.zero_point + 0.5
            bias = (ties * y_qp.scale - acc * steps.astype(np.float64)).astype(np.float32)
        pads = (shape.kernel[0] // 2, shape.kernel[1] // 2)
        theirs = torch_conv(layer, bias, pads, relu=trial % 2 == 1)
        op = depthwise_conv2d if shape.groups is None else conv2d
        ours = op(
            layer.x_q,
            layer.w_q,
            bias,
            **layer.qps,
            stride=shape.stride,
            dilation=shape.dilation,
            padding=tuple((p, p) for p in pads),
            dialect="torch",
            activation="relu" if trial % 2 else None,
        )
        assert (ours == theirs).all()
        rounded = layer._replace(bias_q=np.rint(bias / steps).astype(np.int32))
        integer = op(
            rounded.x_q,
            rounded.w_q,
            rounded.bias_q,
            **rounded.qps,
            stride=shape.stride,
            dilation=shape.dilation,
            padding=tuple((p, p) for p in pads),
            dialect="onnx",
            activation="relu" if trial % 2 else None,
        )
        wrong += np.count_nonzero(integer != theirs)
    if where == "near_ties":
        assert wrong > 100  # a rounded bias is another arithmetic
